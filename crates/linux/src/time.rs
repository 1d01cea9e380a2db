//! The machine's clocks.

use crate::config::TimeMode;
use crate::host;

/// Where the guest's time comes from.
pub(crate) struct Timekeeper {
    mode: TimeMode,
    clock: Box<dyn host::Clock>,
    /// What a snapshot keeps.
    pub(crate) elapsed: Elapsed,
}

/// How far a machine's time has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Elapsed {
    /// Instructions executed by all tasks.
    instructions: u64,
    /// Virtual nanoseconds that passed while nobody could run.
    skipped: u64,
    /// What clock_settime(2) added to the wall clock.
    offset: i64,
}

impl Timekeeper {
    pub(crate) fn new(mode: TimeMode, clock: Box<dyn host::Clock>) -> Self {
        Self { mode, clock, elapsed: Elapsed::default() }
    }

    /// Accounts for executed instructions.
    pub(crate) const fn retire(&mut self, instructions: u64) {
        self.elapsed.instructions = self.elapsed.instructions.wrapping_add(instructions);
    }

    /// CLOCK_MONOTONIC in nanoseconds.
    pub(crate) fn monotonic(&mut self) -> u64 {
        match self.mode {
            TimeMode::Virtual { nanoseconds_per_thousand, .. } => {
                let run = u128::from(self.elapsed.instructions) * u128::from(nanoseconds_per_thousand) / 1000;
                (run as u64).saturating_add(self.elapsed.skipped)
            }
            TimeMode::Real => self.clock.monotonic().as_nanos() as u64,
        }
    }

    /// How many instructions may run before monotonic time reaches `deadline`, if they are what drives it.
    pub(crate) fn instructions_until(&mut self, deadline: u64) -> u64 {
        let left = deadline.saturating_sub(self.monotonic());
        match self.mode {
            TimeMode::Virtual { nanoseconds_per_thousand: 0, .. } | TimeMode::Real => u64::MAX,
            TimeMode::Virtual { nanoseconds_per_thousand, .. } => {
                (u128::from(left) * 1000).div_ceil(u128::from(nanoseconds_per_thousand)) as u64
            }
        }
    }

    /// The processor time of that many instructions, in nanoseconds.
    pub(crate) fn processor_time(&self, instructions: u64) -> u64 {
        match self.mode {
            TimeMode::Virtual { nanoseconds_per_thousand, .. } => {
                (u128::from(instructions) * u128::from(nanoseconds_per_thousand) / 1000) as u64
            }
            TimeMode::Real => instructions,
        }
    }

    /// CLOCK_REALTIME in nanoseconds since 1970.
    pub(crate) fn realtime(&mut self) -> u64 {
        let base = match self.mode {
            TimeMode::Virtual { start, .. } => (start.as_nanos() as u64).saturating_add(self.monotonic()),
            TimeMode::Real => self.clock.realtime().as_nanos() as u64,
        };
        base.saturating_add_signed(self.elapsed.offset)
    }

    /// Sets CLOCK_REALTIME for this machine alone.
    pub(crate) fn set_realtime(&mut self, nanoseconds: u64) {
        let now = self.realtime().saturating_add_signed(self.elapsed.offset.saturating_neg());
        self.elapsed.offset = nanoseconds.wrapping_sub(now) as i64;
    }

    /// Lets virtual time pass until `deadline` (monotonic nanoseconds), at once.
    pub(crate) fn pass_until(&mut self, deadline: u64) {
        let left = deadline.saturating_sub(self.monotonic());
        self.elapsed.skipped = self.elapsed.skipped.saturating_add(left);
    }

    /// Has the host sleep.
    pub(crate) fn sleep(&mut self, duration: std::time::Duration) {
        self.clock.sleep(duration);
    }

    /// Whether waiting costs the host time.
    pub(crate) const fn is_real(&self) -> bool {
        matches!(self.mode, TimeMode::Real)
    }
}
