//! The machine around the CPU: what instructions can see besides registers and memory.

use crate::{Breakpoints, CpuModel, StopHandle};

/// Which ways out of its own code the guest has: the privilege levels of the interrupt gates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Gates {
    /// Every INT n, SYSENTER and SYSCALL leaves as an [`Exit`](crate::Exit).
    #[default]
    All,
    /// As under a 64-bit Linux kernel: INT 80h leaves; other vectors are #GP, SYSENTER and SYSCALL
    /// #UD, for there the vDSO does not offer them and INT 80h is the one that always works.
    Linux,
}

/// What a machine's CPU is, and its state that no thread owns: CPU model, time-stamp counter, random
/// numbers, interrupt gates.
#[derive(Clone, Debug)]
pub struct Environment {
    /// What CPUID reports and which instructions exist.
    pub model: CpuModel,
    /// The time-stamp counter. An engine adds one for each instruction; the host may set it, so
    /// that guest time is whatever the host says and repeats with it.
    pub time_stamp: u64,
    /// IA32_TSC_AUX: what RDTSCP and RDPID report. Linux keeps the CPU number here.
    pub processor: u32,
    /// Which interrupts the guest may call.
    pub gates: Gates,
    /// Where code ends, if that is to be noticed: an engine leaves with
    /// [`Exit::CodeEnd`](crate::Exit::CodeEnd) before an instruction to which the byte at this EIP
    /// belongs. Reading and writing there is as anywhere. An engine that has run code need not
    /// notice an address that is set then; it may be taken away at any time.
    pub code_end: Option<u32>,
    /// Where runs stop: before an instruction at one of these an engine leaves with
    /// [`Exit::Breakpoint`](crate::Exit::Breakpoint), unless it is the first of the run.
    pub breakpoints: Breakpoints,
    /// State of the generator behind RDRAND and RDSEED; a host that wants other numbers seeds it.
    pub random: u64,
    /// Where other threads ask for a stop. A clone of an environment listens to the same requests.
    pub stop: StopHandle,
    /// What the interpreter left to the reference.
    #[cfg(feature = "count-slow")]
    pub slow_counts: crate::SlowCounts,
}

impl Default for Environment {
    fn default() -> Self {
        Self::new(CpuModel::default())
    }
}

impl Environment {
    /// A machine with this CPU and its counter at zero.
    #[must_use]
    pub fn new(model: CpuModel) -> Self {
        Self {
            model,
            time_stamp: 0,
            processor: 0,
            gates: Gates::All,
            code_end: None,
            breakpoints: Breakpoints::default(),
            random: 0,
            stop: StopHandle::default(),
            #[cfg(feature = "count-slow")]
            slow_counts: crate::SlowCounts::default(),
        }
    }

    /// Whether [`code_end`](Self::code_end) is one of `length` bytes at `eip`.
    #[must_use]
    pub const fn is_code_end(&self, eip: u32, length: u32) -> bool {
        matches!(self.code_end, Some(end) if end.wrapping_sub(eip) < length)
    }

    /// The next 32 random bits (splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom
    /// number generators", 2014).
    pub fn next_random(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.random;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((value ^ (value >> 31)) >> 32) as u32
    }
}
