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
    load: Load,
}

/// How many tasks could run, on average over one, five and fifteen minutes (`/proc/loadavg`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Load {
    /// In units of 1/2048.
    averages: [u64; 3],
    /// The monotonic time up to which they are computed.
    until: u64,
}

impl Load {
    /// Nanoseconds between two samples.
    const SAMPLE: u64 = 5_000_000_000;
    const ONE: u64 = 1 << 11;
    /// What remains of each average after a sample: e to the power of -5 seconds over its time, times
    /// [`Self::ONE`].
    const DECAY: [u64; 3] = [1884, 2014, 2037];

    /// `running` tasks could run from the last sample up to `now`.
    fn sample(&mut self, now: u64, running: u64) {
        /// After as many samples nothing remains of what was before.
        const ALL: u64 = 2000;
        let samples = now.saturating_sub(self.until) / Self::SAMPLE;
        self.until += samples * Self::SAMPLE;
        for _ in 0..samples.min(ALL) {
            for (average, decay) in self.averages.iter_mut().zip(Self::DECAY) {
                let active = running * Self::ONE;
                let sum = *average * decay + active * (Self::ONE - decay);
                // Rounded towards what is active now, or the average would never get there.
                *average = (sum + if active >= *average { Self::ONE - 1 } else { 0 }) / Self::ONE;
            }
        }
    }
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

    /// Nanoseconds in which somebody ran.
    pub(crate) fn busy(&self) -> u64 {
        self.processor_time(self.elapsed.instructions)
    }

    /// The averages of `/proc/loadavg` in hundredths. One task counts as running while time passes with
    /// instructions, none while it is skipped.
    pub(crate) fn load(&self) -> [u64; 3] {
        let mut load = self.elapsed.load;
        if !self.is_real() {
            load.sample(self.busy().saturating_add(self.elapsed.skipped), 1);
        }
        load.averages.map(|average| (average + Load::ONE / 200) * 100 / Load::ONE)
    }

    /// Lets virtual time pass until `deadline` (monotonic nanoseconds), at once.
    pub(crate) fn pass_until(&mut self, deadline: u64) {
        let now = self.monotonic();
        let left = deadline.saturating_sub(now);
        self.elapsed.load.sample(now, 1);
        self.elapsed.load.sample(now.saturating_add(left), 0);
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
