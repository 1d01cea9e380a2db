//! System calls: the table, and how one is run.

mod attributes;
mod call;
mod children;
mod copy;
mod descriptor;
mod directory;
mod event;
mod execute;
mod file;
mod flags;
mod identity;
mod lock;
mod memory;
mod message;
mod pidfd;
mod poll;
mod priority;
mod process;
mod process_memory;
mod schedule;
mod signal;
mod socket;
mod system;
pub(crate) mod table;
mod terminal;
mod thread;
mod time;
mod trace;
mod transfer;

use pentimento_registers::Gpr;
pub use table::{ArgumentKind, SystemCall, system_calls};

use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::kernel::Kernel;
use crate::signal::Info;
use crate::wait::{CallResult, Failure, PendingCall, Restart};

impl Kernel {
    /// [`Self::system_call`].
    pub(crate) fn begin_call(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let register = |gpr| task.cpu.gpr(gpr);
        let arguments = [Gpr::Ebx, Gpr::Ecx, Gpr::Edx, Gpr::Esi, Gpr::Edi, Gpr::Ebp].map(register);
        let number = register(Gpr::Eax);
        task.call = Some(PendingCall { number, arguments, ..PendingCall::default() });
        if self.host.trace.is_some() {
            self.trace_entry(id);
        }
        self.run_call(id);
    }

    /// Runs the pending call of `id` once. If it still waits, says what a signal would do to it.
    pub(crate) fn run_call(&mut self, id: TaskId) -> Option<Restart> {
        let call = self.tasks.get(&id)?.call.as_ref()?;
        let (number, arguments) = (call.number, call.arguments);
        // What a signal interrupts has to come to its end before the handler's frame is made.
        self.fs.work.begin(if call.interrupted { u32::MAX } else { call.pauses });
        // A call that ends its task takes the printed arguments with it.
        let call = self.host.trace.is_some().then(|| call.clone());
        let outcome = match table::find(number).and_then(|row| row.handler) {
            Some(handler) => handler(self, id, arguments),
            None => self.report_unimplemented(number),
        };
        self.wake_files();
        let value = match self.scheduler.admit(outcome) {
            Ok(value) => value,
            Err(Failure::Errno(errno)) => errno.to_register(),
            Err(Failure::NoReturn) => {
                if let Some(call) = call {
                    self.trace_result(id, &call, None);
                }
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.call = None;
                }
                return None;
            }
            Err(Failure::Pause) => {
                self.paused = true;
                let call = self.tasks.get_mut(&id)?.call.as_mut()?;
                // Signals wait for the end of what is only half done.
                (call.pauses, call.uninterruptible) = (call.pauses + 1, true);
                return None;
            }
            Err(Failure::Block(wait)) => {
                let restart = wait.restart;
                let uninterruptible = wait.uninterruptible;
                if let Some(call) = self.tasks.get_mut(&id).and_then(|task| task.call.as_mut()) {
                    call.uninterruptible = uninterruptible;
                }
                // A signal that is already there must not be slept through.
                if uninterruptible || !self.has_signal(id) {
                    self.block(id, wait);
                }
                return Some(restart);
            }
        };
        let task = self.tasks.get_mut(&id)?;
        task.cpu.set_gpr(Gpr::Eax, value);
        // Only sigsuspend and its like, which end with EINTR, leave the mask to the signal's frame.
        if let Some(mask) = task.saved_mask.take() {
            task.mask = mask;
        }
        if let Some(call) = task.call.take() {
            self.trace_result(id, &call, Some(value));
        }
        None
    }

    /// Wakes those who wait for what has happened to files, and sends what terminals have signalled.
    pub(crate) fn wake_files(&mut self) {
        for (group, signal) in self.fs.take_signals() {
            let members = self.processes.iter().filter(|(_, process)| process.group.number() == group);
            let members: Vec<ProcessId> = members.map(|(id, _)| *id).collect();
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
