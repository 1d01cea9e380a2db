//! System calls: the table, and how one is run.

mod advice;
mod attributes;
mod children;
mod copy;
mod descriptor;
mod directory;
mod event;
mod execute;
mod file;
mod flags;
mod identity;
mod ipc;
mod lock;
mod memory;
mod message;
mod message_queue;
mod pidfd;
mod poll;
mod priority;
mod process;
mod process_memory;
mod ptrace;
mod range;
mod remap;
mod schedule;
mod seccomp;
mod semaphore;
mod shared_memory;
mod signal;
mod socket;
mod system;
pub(crate) mod table;
mod thread;
mod time;
mod trace;
mod transfer;

use pentimento_registers::Gpr;
pub use table::{ArgumentKind, SystemCall, system_calls};

use crate::errno::Errno;
use crate::event::KernelEvent;
use crate::ids::{ProcessId, TaskId};
use crate::kernel::account::WAIT;
use crate::kernel::{Arguments, Call, Kernel};
use crate::signal::Info;
use crate::task::{Attributes, OomAdjustment};
use crate::vfs::Setting;
use crate::wait::{CallResult, Failure, PendingCall, Restart};

use seccomp::Screened;

impl Kernel {
    /// [`Self::system_call`].
    pub(crate) fn begin_call(&mut self, id: TaskId) {
        let Some(mut call) = Call::of(self, id) else { return };
        let register = |gpr| call.task().cpu.gpr(gpr);
        let [number, arguments @ ..] =
            [Gpr::Eax, Gpr::Ebx, Gpr::Ecx, Gpr::Edx, Gpr::Esi, Gpr::Edi, Gpr::Ebp].map(register);
        call.task().call = Some(PendingCall { number, arguments, ..PendingCall::default() });
        if call.kernel.host.trace.is_some() {
            call.trace_entry();
        }
        if call.task().tracing.is_some() {
            if call.kernel.stop_before_call(id, number) {
                return;
            }
            if let Some(pending) = call.kernel.restarted_call(id, number) {
                let (number, arguments) = (pending.number, pending.arguments);
                call.task().call = Some(pending);
                call.run(number, arguments, 0);
                return;
            }
        }
        match call.screen(number, &arguments) {
            Screened::Allowed => call.run(number, arguments, 0),
            Screened::Refused(outcome) => call.conclude(number, outcome, None),
        };
    }

    /// Runs the pending call of `id` once. If it still waits, says what a signal would do to it.
    pub(crate) fn run_call(&mut self, id: TaskId) -> Option<Restart> {
        let mut call = Call::of(self, id)?;
        let pending = call.task().call.as_ref()?;
        let (number, arguments) = (pending.number, pending.arguments);
        // What a signal interrupts has to come to its end before the handler's frame is made.
        let pauses = if pending.interrupted { u32::MAX } else { pending.pauses };
        // Behind a tracer's stop it may be another call than the one that was made.
        if call.task().tracing.is_some()
            && let Screened::Refused(outcome) = call.screen(number, &arguments)
        {
            return call.conclude(number, outcome, None);
        }
        call.run(number, arguments, pauses)
    }
}

impl Call<'_> {
    /// Charges what a wait takes; ENOMEM where that is too much.
    fn admit(&mut self, outcome: CallResult) -> CallResult {
        if let Err(Failure::Block(wait)) = &outcome {
            self.charge(wait.channels.len() as u64 * WAIT)?;
        }
        outcome
    }

    /// Runs the handler once. The call has been paused for the host as often as `pauses` says.
    fn run(&mut self, number: u32, arguments: Arguments, pauses: u32) -> Option<Restart> {
        self.kernel.fs.work.begin(pauses);
        self.kernel.audit_if_due();
        // A call that ends its task takes the printed arguments with it.
        let printed = self.kernel.host.trace.is_some().then(|| self.task().call.clone()).flatten();
        let outcome = match table::find(number).and_then(|row| row.handler) {
            Some(handler) => handler(self, arguments),
            None => self.kernel.report_unimplemented(number),
        };
        self.conclude(number, outcome, printed)
    }

    /// Does with the task what comes of its call, which `printed` keeps for whoever traces it.
    fn conclude(
        &mut self,
        number: u32,
        outcome: CallResult,
        printed: Option<PendingCall>,
    ) -> Option<Restart> {
        self.kernel.wake_files();
        if !self.kernel.fs.settings.is_empty() {
            self.kernel.apply_settings();
        }
        let outcome = self.kernel.scheduler.admit(outcome);
        let value = match self.admit(outcome) {
            Ok(value) => value,
            Err(Failure::Errno(errno)) => errno.to_register(),
            Err(Failure::NoReturn) => {
                if let Some(printed) = printed {
                    self.trace_result(&printed, None);
                }
                if self.lives() {
                    let task = self.task();
                    task.call = None;
                    if let Some(tracing) = &mut task.tracing {
                        tracing.exit_due = true;
                    }
                }
                return None;
            }
            Err(Failure::Pause) => {
                self.kernel.paused = true;
                let pending = self.task().call.as_mut()?;
                // Signals wait for the end of what is only half done.
                (pending.pauses, pending.uninterruptible) = (pending.pauses + 1, true);
                return None;
            }
            Err(Failure::Block(wait)) => {
                let restart = wait.restart;
                if let Some(pending) = &mut self.task().call {
                    pending.uninterruptible = wait.uninterruptible;
                }
                // A signal that is already there must not be slept through.
                if wait.uninterruptible || !self.kernel.has_signal(self.task_id) {
                    self.kernel.block(self.task_id, wait);
                }
                return Some(restart);
            }
        };
        if !self.lives() {
            return None;
        }
        self.count_transfer(number, value);
        let task = self.task();
        task.cpu.set_gpr(Gpr::Eax, value);
        if let Some(tracing) = &mut task.tracing {
            tracing.exit_due = true;
        }
        // Only sigsuspend and its like, which end with EINTR, leave the mask to the signal's frame.
        if let Some(mask) = task.saved_mask.take() {
            task.mask = mask;
        }
        if let Some(pending) = task.call.take() {
            self.trace_result(&pending, Some(value));
            let (task, PendingCall { number, arguments, .. }) = (self.task_id, pending);
            self.kernel.tell(|| KernelEvent::CallEnded { task, number, arguments, result: value });
        }
        None
    }
}

impl Call<'_> {
    /// Notes in `/proc/PID/io` what a call that reads or writes has moved.
    fn count_transfer(&mut self, number: u32, value: u32) {
        /// read, readv, pread64, preadv and preadv2; and those that write.
        const READS: [u32; 5] = [3, 145, 180, 333, 378];
        const WRITES: [u32; 5] = [4, 146, 181, 334, 379];
        let (reads, writes) = (READS.contains(&number), WRITES.contains(&number));
        if !reads && !writes {
            return;
        }
        let moved = if Errno::from_register(value).is_some() { 0 } else { u64::from(value) };
        let transfers = &mut self.process().transfers;
        let (count, bytes) = if reads {
            (&mut transfers.reads, &mut transfers.read)
        } else {
            (&mut transfers.writes, &mut transfers.written)
        };
        (*count, *bytes) = (count.wrapping_add(1), bytes.wrapping_add(moved));
    }
}

impl Kernel {
    /// Does what was written to files of `/proc`.
    fn apply_settings(&mut self) {
        for setting in core::mem::take(&mut self.fs.settings) {
            match setting {
                Setting::ThreadName(thread, name) => {
                    if let Some(task) = self.tasks.get_mut(&TaskId(thread)) {
                        task.name = name;
                    }
                }
                Setting::OomAdjustment { process, value, privileged } => {
                    if let Some(process) = self.processes.get_mut(&ProcessId(process)) {
                        let least = if privileged { value } else { process.oom_adjustment.least };
                        process.oom_adjustment = OomAdjustment { value, least };
                    }
                }
                Setting::TimerSlack(process, nanoseconds) => {
                    if let Some(process) = self.processes.get_mut(&ProcessId(process)) {
                        let default = Attributes::default().timer_slack;
                        let chosen = if nanoseconds == 0 { default } else { nanoseconds };
                        process.attributes.timer_slack = chosen;
                    }
                }
                Setting::CoreFilter(process, bits) => {
                    if let Some(process) = self.processes.get_mut(&ProcessId(process)) {
                        process.attributes.core_filter = bits;
                    }
                }
                Setting::Nothing => {}
            }
        }
    }

    /// Wakes those who wait for what has happened to files, and sends what terminals have signalled.
    pub(crate) fn wake_files(&mut self) {
        for (group, signal) in self.fs.take_signals() {
            let members = self.processes.iter().filter(|(_, process)| process.group.number() == group);
            let members: Vec<ProcessId> = members.map(|(id, _)| id).collect();
            for member in members {
                self.signal_process(member, Info::kernel(signal));
            }
        }
        for channel in self.fs.take_woken() {
            self.wake(channel);
        }
    }

    fn report_unimplemented(&mut self, number: u32) -> CallResult {
        let count = self.unimplemented.entry(number.min(0xffff)).or_default();
        *count = count.saturating_add(1);
        if *count == 1
            && let Some(trace) = &mut self.host.trace
        {
            trace.unimplemented(number, table::find(number).map_or("unknown", |row| row.name));
        }
        Err(Errno::ENOSYS.into())
    }
}
