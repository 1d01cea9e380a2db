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

/// An engine, and the path of the program whose code it knows.
struct Assigned {
    engine: Box<dyn Engine>,
    program: Vec<u8>,
}

/// The engines of one machine.
pub(crate) struct Engines {
    kind: EngineKind,
    active: HashMap<SpaceId, Assigned>,
    /// Those whose space has ended, the last one last.
    retired: Vec<Assigned>,
    /// What engines had counted that are no more.
    ended_counts: BTreeMap<String, u64>,
}

impl Engines {
    /// Engines of that kind, none yet.
    pub(crate) fn new(kind: EngineKind) -> Self {
        Self { kind, active: HashMap::new(), retired: Vec::new(), ended_counts: BTreeMap::new() }
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
                None => Assigned { engine: kind.start(), program: program.to_vec() },
            }
        });
        assigned.engine.as_mut()
    }

    /// A space has ended. Its engine goes to where later spaces find it.
    pub(crate) fn end(&mut self, space: SpaceId) {
        let Some(mut assigned) = self.active.remove(&space) else { return };
        if assigned.engine.retire() {
            self.retired.push(assigned);
        } else {
            add_counts(&mut self.ended_counts, assigned.engine.counts());
        }
        let held = |retired: &[Assigned]| -> usize {
            retired.iter().map(|assigned| assigned.engine.footprint()).sum()
        };
        while self.retired.len() > MOST_RETIRED || held(&self.retired) > MOST_RETIRED_BYTES {
            let oldest = self.retired.remove(0);
            add_counts(&mut self.ended_counts, oldest.engine.counts());
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
