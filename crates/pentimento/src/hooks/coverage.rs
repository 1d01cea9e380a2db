//! Which blocks have run, and how often.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use pentimento_execute::observe::Span;

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
    counts: Arc<Mutex<BTreeMap<u32, u64>>>,
}

impl Coverage {
    pub(super) fn of(range: Span) -> Self {
        Self { range, counts: Arc::default() }
    }

    pub(super) const fn range(&self) -> Span {
        self.range
    }

    pub(super) fn add(&self, eip: u32, times: u64) {
        if self.range.contains(eip) {
            *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(eip).or_default() += times;
        }
    }

    /// The blocks that have begun, by EIP, and how often.
    #[must_use]
    pub fn counts(&self) -> Vec<(u32, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(eip, times)| (*eip, *times)).collect()
    }

    /// Forgets what has been counted.
    pub fn clear(&self) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
