//! How far a run may go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pentimento_execute::{Environment, StopHandle};

use crate::Halt;

/// How far one call of `run` may go; whatever comes first ends it. A number is a budget.
///
/// ```
/// use std::time::Duration;
/// use pentimento::{Bounds, Cpu, Gpr, Halt, Permissions};
///
/// let mut cpu = Cpu::new();
/// cpu.memory.map(0x1000, 0x1000, Permissions::all())?;
/// cpu.memory.poke_bytes(0x1000, &[0x40, 0x40, 0x40, 0xeb, 0xfb])?; // inc eax three times; jmp to the start
/// cpu.state.eip = 0x1000;
/// assert_eq!(cpu.run(2), Halt::Budget);
/// assert_eq!(cpu.run(Bounds::none().until(0x1001)), Halt::Reached(0x1001));
/// assert_eq!(cpu.state.gpr(Gpr::Eax), 4);
/// assert_eq!(cpu.run(Bounds::none().timeout(Duration::from_millis(1))), Halt::Timeout);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Bounds {
    /// Instructions, exactly.
    pub(crate) budget: u64,
    /// The host's time, roughly.
    pub(crate) timeout: Option<Duration>,
    /// An instruction that is not executed, unless the run begins there.
    pub(crate) address: Option<u32>,
    /// The first instruction counts as one that the run has come to: it goes on from another one.
    pub(crate) arriving: bool,
}

impl Bounds {
    /// No bounds: to the end of the program, or for ever.
    pub const fn none() -> Self {
        Self { budget: u64::MAX, timeout: None, address: None, arriving: false }
    }

    /// At most this many instructions: [`Halt::Budget`].
    pub const fn budget(self, instructions: u64) -> Self {
        Self { budget: instructions, ..self }
    }

    /// At most this much of the host's time: [`Halt::Timeout`]. As soon as a
    /// [`StopHandle`] would: within some 16,000 instructions.
    pub const fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Up to a moment of the host's clock: [`Halt::Timeout`], at once where it has passed.
    pub fn deadline(self, moment: Instant) -> Self {
        self.timeout(moment.saturating_duration_since(Instant::now()))
    }

    /// To the instruction at this EIP, which is not executed: [`Halt::Reached`]. A
    /// run that begins there first leaves it.
    pub const fn until(self, address: u32) -> Self {
        Self { address: Some(address), ..self }
    }

    /// The run goes on from another one, at whose end it begins: an instruction where it is to stop is not
    /// left, even if it is the first.
    pub const fn arriving(self) -> Self {
        Self { arriving: true, ..self }
    }

    /// The instructions that the run may execute; `u64::MAX` where nothing was said of them.
    #[must_use]
    pub const fn instructions(&self) -> u64 {
        self.budget
    }

    /// The host's time that it may take.
    #[must_use]
    pub const fn time(&self) -> Option<Duration> {
        self.timeout
    }
}

impl Bounds {
    /// Tells engines where the run stops: at `breakpoints` and at its own address. Says whether there is
    /// any such place.
    pub(crate) fn stops(&self, breakpoints: &BTreeSet<u32>, environment: &mut Environment) -> bool {
        let own = self.address.filter(|address| !breakpoints.contains(address));
        let before = breakpoints.range(..own.unwrap_or(0));
        let behind = breakpoints.range(own.unwrap_or(0)..);
        environment.breakpoints.set(before.chain(&own).chain(behind).copied());
        own.is_some() || !breakpoints.is_empty()
    }
}

impl From<u64> for Bounds {
    fn from(budget: u64) -> Self {
        Self::none().budget(budget)
    }
}

/// What is left of the bounds of a run that is going on.
pub(crate) struct Left {
    pub(crate) budget: u64,
    deadline: Option<Instant>,
    alarm: Option<Alarm>,
}

/// Asks the run to stop when its time is over: also in the midst of an instruction that takes long.
struct Alarm {
    expired: Arc<AtomicBool>,
    /// Dropped to call it off.
    cancel: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

/// Instructions between two looks at the clock on hosts without threads.
const SLICE: u64 = 1 << 16;

impl Left {
    /// The beginning of a run that `stop` can end.
    pub(crate) fn of(bounds: &Bounds, stop: &StopHandle) -> Self {
        // A deadline beyond the clock's range never comes.
        let deadline = bounds.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let alarm = deadline.and(bounds.timeout).and_then(|timeout| Alarm::set(timeout, stop.clone()));
        Self { budget: bounds.budget, deadline, alarm }
    }

    /// Instructions that may run before [`is_over`](Self::is_over) is to be asked.
    pub(crate) fn slice(&self) -> u64 {
        let blind = self.deadline.is_some() && self.alarm.is_none();
        if blind { self.budget.min(SLICE) } else { self.budget }
    }

    /// Whether the time is up.
    pub(crate) fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// The time left, at most `most`.
    #[cfg(feature = "linux")]
    pub(crate) fn time(&self, most: Duration) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        self.deadline.map_or(most, |deadline| left(deadline).min(most))
    }

    /// The end of the run, which came to `halt`: as it is for the host.
    pub(crate) fn end(self, halt: Halt, stop: &StopHandle) -> Halt {
        let Some(Alarm { expired, cancel, thread }) = self.alarm else { return halt };
        drop(cancel);
        // It has nothing in it that panics.
        let _ = thread.join();
        match halt {
            _ if !expired.load(Ordering::Acquire) => halt,
            Halt::Stopped => Halt::Timeout,
            // The run was over before it heard of the alarm, which is not for the next one.
            _ => {
                let _ = stop.take();
                halt
            }
        }
    }
}

impl Alarm {
    /// `None` on hosts without threads.
    fn set(timeout: Duration, stop: StopHandle) -> Option<Self> {
        let expired = Arc::new(AtomicBool::new(false));
        let (cancel, cancelled) = mpsc::channel::<()>();
        let flag = Arc::clone(&expired);
        let ring = move || {
            if cancelled.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
                flag.store(true, Ordering::Release);
                stop.stop();
            }
        };
        let thread = thread::Builder::new().name("pentimento timeout".into()).spawn(ring).ok()?;
        Some(Self { expired, cancel, thread })
    }
}
