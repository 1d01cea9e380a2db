//! Who runs, and when time passes.
//!
//! One task runs at a time, for a quantum of instructions that the seed draws once there is another one
//! that wants to run; then the next in the queue does. So an interleaving depends on the seed and the input
//! alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use crate::ids::{ProcessId, TaskId};
use crate::wait::{Channel, Wait};

/// Something that happens when its time comes. Entries are not taken back when they lose their
/// point: whoever takes one out of the queue checks whether it still has one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Event {
    /// The deadline of a blocked task's wait.
    Deadline(TaskId),
    /// A process's ITIMER_REAL.
    RealTimer(ProcessId),
    /// A process's POSIX timer of this number.
    PosixTimer(ProcessId, u32),
}

/// The run queue, waiting tasks and future events.
pub(crate) struct Scheduler {
    pub(crate) quanta: RangeInclusive<u64>,
    pub(crate) queue: VecDeque<TaskId>,
    /// Who runs, and how many instructions of its quantum are left.
    pub(crate) current: Option<(TaskId, u64)>,
    /// Nobody else wanted to run when that began: its quantum is drawn when somebody does.
    pub(crate) alone: bool,
    pub(crate) waiting: BTreeMap<Channel, Vec<TaskId>>,
    pub(crate) events: BTreeSet<(u64, Event)>,
}

impl Scheduler {
    pub(crate) fn new(quanta: RangeInclusive<u64>) -> Self {
        Self {
            quanta,
            queue: VecDeque::new(),
            current: None,
            alone: false,
            waiting: BTreeMap::new(),
            events: BTreeSet::new(),
        }
    }

    /// Adds an event at `time` (monotonic nanoseconds).
    pub(crate) fn add_event(&mut self, time: u64, event: Event) {
        self.events.insert((time, event));
    }

    /// Ends the quantum of the running task (sched_yield(2)).
    pub(crate) fn end_quantum(&mut self) {
        if let Some((_, left)) = &mut self.current {
            *left = 0;
        }
    }

    /// Accounts for instructions of the running task.
    pub(crate) fn retire(&mut self, task: TaskId, executed: u64) {
        if let Some((current, left)) = &mut self.current
            && *current == task
        {
            *left = left.saturating_sub(executed);
        }
    }

    /// Takes a task off the queues of what it waited for.
    pub(crate) fn forget_wait(&mut self, task: TaskId, wait: &Wait) {
        for channel in &wait.channels {
            if let Some(tasks) = self.waiting.get_mut(channel) {
                tasks.retain(|waiting| *waiting != task);
                if tasks.is_empty() {
                    self.waiting.remove(channel);
                }
            }
        }
        if let Some(deadline) = wait.deadline {
            self.events.remove(&(deadline, Event::Deadline(task)));
        }
    }
}
