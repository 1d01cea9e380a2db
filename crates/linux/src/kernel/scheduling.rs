//! Who runs next, and how time passes while nobody can.

use std::time::Duration;

use super::{Kernel, Next};
use crate::ids::TaskId;
use crate::scheduler::Event;
use crate::task::TaskState;
use crate::wait::{Channel, Wait};

/// Instructions that a task may execute while no other one wants to run: after as many, the kernel looks
/// whether the host has something for it.
const ALONE: u64 = 1 << 20;

impl Kernel {
    /// Decides who runs next: finishes calls that can be finished, delivers signals, and lets time
    /// pass while nobody can run.
    pub(super) fn next(&mut self) -> Next {
        /// Rounds without anybody to run after which the host is asked.
        const PATIENCE: usize = 1000;
        for _ in 0..PATIENCE {
            if let Some(ended) = self.first.and_then(|first| self.processes.get(&first)?.ended) {
                return Next::Finished(ended);
            }
            if !self.fs.close_leftovers() {
                return Next::Idle;
            }
            self.wake_files();
            self.fire_events();
            if self.fs.has_console() {
                self.fs.pump_console();
                self.wake_files();
            }
            if self.fs.has_bridges() {
                self.fs.pump_network();
                self.wake_files();
            }
            if self.awaits_output() && self.fs.wait_for_output(Duration::ZERO) {
                self.wake(Channel::Output);
            }
            let Some((task, left)) = self.pick() else {
                match self.idle() {
                    Some(next) => return next,
                    None => continue,
                }
            };
            let uninterruptible = self
                .tasks
                .get(&task)
                .and_then(|task| task.call.as_ref())
                .is_some_and(|call| call.uninterruptible);
            if !uninterruptible {
                self.deliver_signals(task);
            }
            if !self.can_run(task) {
                continue;
            }
            if self.tasks.get(&task).is_some_and(|task| task.call.is_some()) {
                self.run_call(task);
                if core::mem::take(&mut self.paused) || self.fs.work.is_to_stop() {
                    return Next::Idle;
                }
                continue;
            }
            let Some(space) = self.switch_to(task) else { continue };
            let quantum = match self.scheduler.events.first() {
                Some((time, _)) => left.min(self.time.instructions_until(*time)).max(1),
                None => left,
            };
            return Next::Run { task, space, quantum };
        }
        Next::Idle
    }

    /// The task whose turn it is, with what is left of its quantum.
    fn pick(&mut self) -> Option<(TaskId, u64)> {
        if let Some((task, left)) = self.scheduler.current {
            if left > 0 && self.can_run(task) {
                return Some((task, left));
            }
            self.scheduler.current = None;
            self.enqueue(task);
        }
        while let Some(id) = self.scheduler.queue.pop_front() {
            if let Some(task) = self.tasks.get_mut(&id) {
                task.queued = false;
            }
            if self.can_run(id) {
                let alone = self.scheduler.queue.is_empty();
                let quantum = if alone { ALONE } else { self.draw_quantum() };
                self.scheduler.current = Some((id, quantum));
                self.scheduler.alone = alone;
                return self.scheduler.current;
            }
        }
        None
    }

    /// Instructions that a task may execute while others wait for their turn.
    fn draw_quantum(&mut self) -> u64 {
        let (low, high) = (*self.scheduler.quanta.start(), *self.scheduler.quanta.end());
        let choice = self.random.below(high.saturating_sub(low).saturating_add(1));
        low.saturating_add(choice).max(1)
    }

    /// Whether `task` exists, waits for nothing, and is not stopped.
    fn can_run(&self, task: TaskId) -> bool {
        self.tasks.get(&task).is_some_and(|task| {
            task.state == TaskState::Runnable
                && match &task.tracing {
                    Some(tracing) => tracing.stop.is_none(),
                    None => self.processes.get(&task.process).is_some_and(|process| !process.stopped),
                }
        })
    }

    /// Puts a task that can run at the end of the queue, unless it is there.
    pub(super) fn enqueue(&mut self, id: TaskId) {
        if !self.can_run(id) || self.scheduler.current.is_some_and(|(current, _)| current == id) {
            return;
        }
        if let Some(task) = self.tasks.get_mut(&id)
            && !core::mem::replace(&mut task.queued, true)
        {
            self.scheduler.queue.push_back(id);
            if core::mem::take(&mut self.scheduler.alone) {
                let quantum = self.draw_quantum();
                if let Some((_, left)) = &mut self.scheduler.current {
                    *left = quantum.min(*left);
                }
            }
        }
    }

    /// Ends the wait of `task`, if it waits, and queues it.
    pub(crate) fn make_runnable(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        if let TaskState::Blocked(wait) = core::mem::replace(&mut task.state, TaskState::Runnable) {
            self.scheduler.forget_wait(id, &wait);
        }
        self.enqueue(id);
    }

    /// Has `task` wait.
    pub(crate) fn block(&mut self, id: TaskId, mut wait: Wait) {
        self.make_runnable(id);
        self.scheduler.enter_wait(id, &mut wait);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.state = TaskState::Blocked(wait);
        }
    }

    /// Wakes everyone who waits for `channel`.
    pub(crate) fn wake(&mut self, channel: Channel) {
        let waiters: Vec<TaskId> = self.scheduler.waiters(channel).collect();
        for task in waiters {
            self.make_runnable(task);
        }
    }

    /// Lets everything happen whose time has come.
    fn fire_events(&mut self) {
        if self.scheduler.events.is_empty() {
            return;
        }
        let now = self.time.monotonic();
        while let Some(&(time, event)) = self.scheduler.events.first()
            && time <= now
            && !self.fs.work.is_to_stop()
        {
            self.scheduler.events.pop_first();
            match event {
                Event::Deadline(task) => self.make_runnable(task),
                Event::RealTimer(process) => self.fire_real_timer(process),
                Event::PosixTimer(process, number) => self.fire_posix_timer(process, number),
            }
        }
    }

    /// When the next event comes, in monotonic nanoseconds.
    fn next_event(&self) -> Option<u64> {
        self.scheduler.events.first().map(|(time, _)| *time)
    }

    /// Whether somebody waits for standard input.
    fn awaits_console(&self) -> bool {
        self.scheduler.waiters(Channel::Console).next().is_some() || self.fs.has_console()
    }

    /// Whether somebody waits for an output of the host to take something.
    fn awaits_output(&self) -> bool {
        self.scheduler.waiters(Channel::Output).next().is_some()
    }

    /// Lets virtual time pass until somebody may run; says what else is to be done where that is not
    /// enough.
    fn idle(&mut self) -> Option<Next> {
        let next = self.next_event();
        let console = self.awaits_console();
        // A reader sees what is wrong with the stream.
        if console && self.fs.wait_for_input(Some(Duration::ZERO)).unwrap_or(true) {
            self.wake(Channel::Console);
            return None;
        }
        let outside = console || self.fs.has_bridges() || self.awaits_output();
        match next {
            Some(next) if !self.time.is_real() => {
                self.time.pass_until(next);
                None
            }
            None if !outside => Some(Next::Deadlock),
            next => Some(Next::Waiting { until: next.map(Duration::from_nanos) }),
        }
    }

    /// Sleeps until something may have happened that [`Next::Waiting`] waits for, at most for
    /// `longest`; says whether something may have.
    pub(super) fn nap(&mut self, longest: Duration) -> bool {
        /// Between a look at the console and one at the network, where both are awaited.
        const TURN: Duration = Duration::from_millis(1);
        let now = self.time.monotonic();
        let left = self.next_event().map(|next| Duration::from_nanos(next.saturating_sub(now)));
        let nap = left.map_or(longest, |left| left.min(longest));
        let happened = match (self.awaits_console(), self.fs.has_bridges()) {
            _ if self.awaits_output() => {
                let alone = !self.awaits_console() && !self.fs.has_bridges();
                self.fs.wait_for_output(if alone { nap } else { nap.min(TURN) });
                true
            }
            (true, true) => {
                self.fs.wait_for_network(nap.min(TURN));
                true
            }
            (true, false) => self.fs.wait_for_input(Some(nap)).unwrap_or(true),
            (false, true) => {
                self.fs.wait_for_network(nap);
                true
            }
            (false, false) => {
                self.time.sleep(nap);
                false
            }
        };
        happened || left.is_some_and(|left| left <= longest)
    }
}
