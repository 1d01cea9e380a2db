//! Which blocks have run, and how often.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pentimento_execute::observe::{Span, Tally};

/// How often blocks have begun: [`Hooks::count_blocks`](crate::Hooks::count_blocks) makes one, and while it is
/// there each run adds to it. Clones are the same counts.
///
/// ```
/// use pentimento::{Cpu, Gpr, Permissions};
///
/// let mut cpu = Cpu::new();
/// cpu.memory.map(0x1000, 0x1000, Permissions::all())?;
/// cpu.memory.poke_bytes(0x1000, &[0x48, 0x75, 0xfd, 0xcc])?; // dec eax; jnz back; int3
/// cpu.state.eip = 0x1000;
/// cpu.state.set_gpr(Gpr::Eax, 10);
/// let (_, coverage) = cpu.hooks.count_blocks(..);
/// cpu.run(1000);
/// assert_eq!(coverage.counts(), [(0x1000, 10), (0x1003, 1)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Coverage {
    range: Span,
    counters: Arc<Counters>,
}

/// A counter for each block, by EIP.
#[derive(Default, Debug)]
struct Counters(Mutex<BTreeMap<u32, Arc<AtomicU64>>>);

impl Counters {
    fn all(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<AtomicU64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally for Counters {
    fn counter(&self, eip: u32) -> Arc<AtomicU64> {
        Arc::clone(self.all().entry(eip).or_default())
    }
}

impl Coverage {
    pub(super) fn of(range: Span) -> Self {
        Self { range, counters: Arc::default() }
    }

    pub(super) const fn range(&self) -> Span {
        self.range
    }

    pub(super) fn add(&self, eip: u32, times: u64) {
        if self.range.contains(eip) {
            self.counters.counter(eip).fetch_add(times, Ordering::Relaxed);
        }
    }

    /// What engines add to.
    pub(super) fn tally(&self) -> Arc<dyn Tally> {
        Arc::clone(&self.counters) as Arc<dyn Tally>
    }

    /// The blocks that have begun, by EIP, and how often.
    #[must_use]
    pub fn counts(&self) -> Vec<(u32, u64)> {
        let counters = self.counters.all();
        let counts = counters.iter().map(|(eip, times)| (*eip, times.load(Ordering::Relaxed)));
        counts.filter(|(_, times)| *times > 0).collect()
    }

    /// Forgets what has been counted.
    pub fn clear(&self) {
        self.counters.all().values().for_each(|times| times.store(0, Ordering::Relaxed));
    }
}
