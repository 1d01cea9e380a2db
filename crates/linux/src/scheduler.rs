//! Who runs, and when time passes.
//!
//! One task runs at a time, for a quantum of instructions that the seed draws once there is another one
//! that wants to run; then the next in the queue does. So an interleaving depends on the seed and the input
//! alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::kernel::account::WAIT;
use crate::wait::{CHANNELS_MAX, CallResult, Channel, Failure, Wait};

/// Entries in the queues of channels, of all tasks together: beyond it ENOMEM.
const WAITING_MAX: usize = 1 << 22;

/// Something that happens when its time comes, and has a task run or may.
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
#[derive(Clone)]
pub(crate) struct Scheduler {
    pub(crate) quanta: RangeInclusive<u64>,
    pub(crate) queue: VecDeque<TaskId>,
    /// Who runs, and how many instructions of its quantum are left.
    pub(crate) current: Option<(TaskId, u64)>,
    /// Nobody else wanted to run when that began: its quantum is drawn when somebody does.
    pub(crate) alone: bool,
    /// Who waits for a channel: by the order in which they began to.
    waiting: BTreeMap<(Channel, u64), TaskId>,
    /// The last ticket that somebody drew.
    last_ticket: u64,
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
            last_ticket: 0,
            events: BTreeSet::new(),
        }
    }

    /// Adds an event at `time` (monotonic nanoseconds).
    pub(crate) fn add_event(&mut self, time: u64, event: Event) {
        self.events.insert((time, event));
    }

    /// Bytes that waits and events take.
    pub(crate) fn held_bytes(&self) -> u64 {
        (self.waiting.len() + self.events.len()) as u64 * WAIT
    }

    /// Takes an event back, if it is there.
    pub(crate) fn remove_event(&mut self, time: u64, event: Event) {
        self.events.remove(&(time, event));
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

    /// What becomes of a call: one that would wait for more than there is room for fails.
    pub(crate) fn admit(&self, outcome: CallResult) -> CallResult {
        let Err(Failure::Block(mut wait)) = outcome else { return outcome };
        wait.channels.sort_unstable();
        wait.channels.dedup();
        if wait.channels.len() > CHANNELS_MAX || self.waiting.len() + wait.channels.len() > WAITING_MAX {
            return Err(Errno::ENOMEM.into());
        }
        Err(Failure::Block(wait))
    }

    /// Puts a task at the end of the queues of what it waits for.
    pub(crate) fn enter_wait(&mut self, task: TaskId, wait: &mut Wait) {
        self.last_ticket += 1;
        wait.ticket = self.last_ticket;
        self.waiting.extend(wait.channels.iter().map(|channel| ((*channel, wait.ticket), task)));
        if let Some(deadline) = wait.deadline {
            self.add_event(deadline, Event::Deadline(task));
        }
    }

    /// Takes a task off the queues of what it waited for.
    pub(crate) fn forget_wait(&mut self, task: TaskId, wait: &Wait) {
        for channel in &wait.channels {
            self.waiting.remove(&(*channel, wait.ticket));
        }
        if let Some(deadline) = wait.deadline {
            self.events.remove(&(deadline, Event::Deadline(task)));
        }
    }

    /// Who waits for a channel, the longest first.
    pub(crate) fn waiters(&self, channel: Channel) -> impl Iterator<Item = TaskId> + '_ {
        self.waiting.range((channel, 0)..=(channel, u64::MAX)).map(|(_, task)| *task)
    }
}
