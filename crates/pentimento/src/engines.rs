//! The engines of a machine: one for each address space, and those of spaces that are no more, which serve
//! again where the same programs run.

use std::collections::{BTreeMap, HashMap};

use pentimento_execute::Engine;
use pentimento_linux::SpaceId;

use crate::EngineKind;

/// Engines of ended spaces that are kept.
const MOST_RETIRED: usize = 24;
/// Bytes that they hold together.
const MOST_RETIRED_BYTES: usize = 128 << 20;

/// The part of a machine's memory that is its engines': one of so many.
const SHARE: u64 = 8;

/// The bytes of `total` that engines may hold for what they make of code. They are taken off what the kernel
/// may use, whatever engines do, so that a guest finds as much memory with each of them.
pub(crate) const fn share(total: u64) -> u64 {
    total / SHARE
}

/// An engine, and the path of the program whose code it knows.
struct Assigned {
    engine: Box<dyn Engine>,
    program: Vec<u8>,
    /// Bytes that it held when that was last asked.
    held: usize,
}

/// The engines of one machine.
pub(crate) struct Engines {
    kind: EngineKind,
    active: HashMap<SpaceId, Assigned>,
    /// Those whose space has ended, the last one last.
    retired: Vec<Assigned>,
    /// Bytes that all of them hold together, and may.
    held: usize,
    bound: usize,
    /// What engines had counted that are no more.
    ended_counts: BTreeMap<String, u64>,
}

impl Engines {
    /// Engines of that kind, none yet, which may hold `bound` bytes together.
    pub(crate) fn new(kind: EngineKind, bound: u64) -> Self {
        Self {
            kind,
            active: HashMap::new(),
            retired: Vec::new(),
            held: 0,
            bound: usize::try_from(bound).unwrap_or(usize::MAX),
            ended_counts: BTreeMap::new(),
        }
    }

    /// Their kind.
    pub(crate) const fn kind(&self) -> EngineKind {
        self.kind
    }

    /// The engine of a space in which `program` is executed.
    pub(crate) fn of(&mut self, space: SpaceId, program: &[u8]) -> &mut dyn Engine {
        let Self { kind, active, retired, .. } = self;
        let assigned = active.entry(space).or_insert_with(|| {
            match retired.iter().rposition(|retired| retired.program == program) {
                Some(place) => retired.remove(place),
                None => Assigned { engine: kind.start(), program: program.to_vec(), held: 0 },
            }
        });
        assigned.engine.as_mut()
    }

    /// Takes note of what the engine of `space`, which has run, holds now. Where all hold more than they may,
    /// some begin anew: those whose space has ended first, then whichever holds most.
    pub(crate) fn settle(&mut self, space: SpaceId) {
        let Some(assigned) = self.active.get_mut(&space) else { return };
        let held = assigned.engine.footprint();
        self.held = self.held - core::mem::replace(&mut assigned.held, held) + held;
        while self.held > self.bound {
            if !self.retired.is_empty() {
                let oldest = self.retired.remove(0);
                self.drop_engine(oldest);
                continue;
            }
            let largest = self.active.iter().max_by_key(|(space, assigned)| (assigned.held, **space));
            let Some(space) = largest.map(|(space, _)| *space) else { break };
            if let Some(assigned) = self.active.remove(&space) {
                self.drop_engine(assigned);
            }
        }
    }

    /// Instructions that may be executed before [`settle`](Self::settle) is to be asked again: code that is
    /// made meanwhile must not take much more than there is room for.
    pub(crate) fn patience(&self) -> u64 {
        /// What an instruction that is executed for the first time may take, and the least that is executed.
        const BYTES: usize = 512;
        const LEAST: usize = 1 << 13;
        (self.bound.saturating_sub(self.held) / BYTES).max(LEAST) as u64
    }

    /// Bytes that all of them hold, as far as they have been asked.
    pub(crate) const fn held(&self) -> usize {
        self.held
    }

    fn drop_engine(&mut self, assigned: Assigned) {
        self.held -= assigned.held;
        add_counts(&mut self.ended_counts, assigned.engine.counts());
    }

    /// A space has ended. Its engine goes to where later spaces find it.
    pub(crate) fn end(&mut self, space: SpaceId) {
        let Some(mut assigned) = self.active.remove(&space) else { return };
        if !assigned.engine.retire() {
            return self.drop_engine(assigned);
        }
        let held = assigned.engine.footprint();
        self.held = self.held - core::mem::replace(&mut assigned.held, held) + held;
        self.retired.push(assigned);
        let held = |retired: &[Assigned]| retired.iter().map(|assigned| assigned.held).sum::<usize>();
        while self.retired.len() > MOST_RETIRED || held(&self.retired) > MOST_RETIRED_BYTES {
            let oldest = self.retired.remove(0);
            self.drop_engine(oldest);
        }
    }

    /// What all of them have counted of their own work, by name.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = self.ended_counts.clone();
        for assigned in self.active.values().chain(&self.retired) {
            add_counts(&mut counts, assigned.engine.counts());
        }
        counts
    }
}

fn add_counts(sums: &mut BTreeMap<String, u64>, counts: Vec<(String, u64)>) {
    for (name, count) in counts {
        *sums.entry(name).or_default() += count;
    }
}
