//! Hooks of what only a machine has: system calls, signals, processes.

use pentimento_execute::Guest;
use pentimento_linux::{Kernel, KernelEvent, TaskId};
use pentimento_registers::Gpr;

use super::{Hook, HookId, Hooks, Reply, View};
use crate::hooks::Position;

/// A system call that a program makes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GuestCall {
    /// Its number.
    pub number: u32,
    /// Its arguments: EBX, ECX, EDX, ESI, EDI and EBP.
    pub arguments: [u32; 6],
}

impl GuestCall {
    /// The call that the registers describe.
    pub(crate) fn of(state: &pentimento_registers::CpuState) -> Self {
        let arguments = [Gpr::Ebx, Gpr::Ecx, Gpr::Edx, Gpr::Esi, Gpr::Edi, Gpr::Ebp];
        Self { number: state.gpr(Gpr::Eax), arguments: arguments.map(|register| state.gpr(register)) }
    }

    /// Its name, as in the kernel's own table; `None` for a number that Linux does not have.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        pentimento_linux::system_calls().find(|call| call.number == self.number).map(|call| call.name)
    }
}

/// The machine, as a hook for signals and processes sees it.
pub struct MachineView<'a> {
    /// The kernel, with all tasks.
    pub kernel: &'a mut Kernel,
    /// The hooks, to add and remove some.
    pub hooks: &'a mut Hooks,
    stops: bool,
}

impl MachineView<'_> {
    /// Stops the run when all hooks have heard of the event: [`Halt::Hook`](crate::Halt::Hook).
    pub fn stop(&mut self) {
        self.stops = true;
    }
}

type OnCall = dyn FnMut(&mut View<'_>, &GuestCall) -> Reply + Send;
type OnCallEnd = dyn FnMut(&mut View<'_>, &GuestCall, u32) + Send;
type OnEvent = dyn FnMut(&mut MachineView<'_>, &KernelEvent) + Send;

/// The hooks of each kind.
#[derive(Default)]
pub(super) struct MachineLists {
    calls: Vec<Hook<OnCall>>,
    ends: Vec<Hook<OnCallEnd>>,
    events: Vec<Hook<OnEvent>>,
}

impl MachineLists {
    pub(super) fn append(&mut self, more: &mut Self) {
        self.calls.append(&mut more.calls);
        self.ends.append(&mut more.ends);
        self.events.append(&mut more.events);
    }

    pub(super) fn remove(&mut self, id: HookId) {
        self.calls.retain(|hook| hook.id != id);
        self.ends.retain(|hook| hook.id != id);
        self.events.retain(|hook| hook.id != id);
    }

    pub(super) const fn len(&self) -> usize {
        self.calls.len() + self.ends.len() + self.events.len()
    }
}

impl Hooks {
    /// Calls `hook` before the kernel serves a system call, EIP being behind the INT 80h. With
    /// [`Reply::Done`] the kernel does not hear of it, and the program goes on with what the hook has put
    /// into EAX. A call whose number or arguments the hook has changed is served as it then is.
    ///
    /// A call that a signal has interrupted and that starts again is another call.
    pub fn on_system_call(
        &mut self,
        hook: impl FnMut(&mut View<'_>, &GuestCall) -> Reply + Send + 'static,
    ) -> HookId {
        let hook: Hook<OnCall> = self.add(.., Box::new(hook));
        let id = hook.id;
        self.lists.machine.calls.push(hook);
        id
    }

    /// Calls `hook` when the kernel has served a system call, with its result: an errno is negated. The
    /// result is in EAX, too, and the program goes on with what the hook leaves there; unless a signal
    /// has come in between, and the registers are those of its handler.
    ///
    /// Calls that do not come back have no end: exit(2), execve(2) that succeeds, sigreturn(2); nor have
    /// those that a hook has answered.
    pub fn on_system_call_end(
        &mut self,
        hook: impl FnMut(&mut View<'_>, &GuestCall, u32) + Send + 'static,
    ) -> HookId {
        let hook: Hook<OnCallEnd> = self.add(.., Box::new(hook));
        let id = hook.id;
        self.lists.machine.ends.push(hook);
        id
    }

    /// Calls `hook` when a task takes a signal (its number, 1 to 64): when its handler begins, or when the
    /// signal has ended its process.
    pub fn on_signal(
        &mut self,
        mut hook: impl FnMut(&mut MachineView<'_>, TaskId, u8) + Send + 'static,
    ) -> HookId {
        self.on_kernel_event(move |view, event| {
            if let KernelEvent::Signal { task, signal, .. } = *event {
                hook(view, task, signal);
            }
        })
    }

    /// Calls `hook` when something has happened to processes, threads or signals, and when system calls
    /// have ended. The machine is between two turns then.
    pub fn on_kernel_event(
        &mut self,
        hook: impl FnMut(&mut MachineView<'_>, &KernelEvent) + Send + 'static,
    ) -> HookId {
        let hook: Hook<OnEvent> = self.add(.., Box::new(hook));
        let id = hook.id;
        self.lists.machine.events.push(hook);
        id
    }

    /// Calls the hooks for a system call that `guest` makes.
    pub(crate) fn system_call(&mut self, guest: &mut Guest<'_>, task: TaskId) -> Reply {
        if self.lists.machine.calls.is_empty() {
            return Reply::Pass;
        }
        let call = GuestCall::of(guest.state);
        self.listen(Some(task), |listener| {
            let (lists, calls) = listener.parts();
            calls.ask(lists.machine.calls.iter_mut(), guest, |hook, view| hook(view, &call))
        })
    }

    /// Whether any hook wants the kernel's events.
    pub(crate) fn wants_events(&self) -> bool {
        !self.lists.machine.ends.is_empty() || !self.lists.machine.events.is_empty()
    }

    /// Whether any hook wants to hear of accesses that memory refuses.
    pub(crate) fn wants_faults(&self) -> bool {
        !self.lists.faults.is_empty()
    }

    /// Tells the hooks what the kernel has done.
    pub(crate) fn tell_events(
        &mut self,
        kernel: &mut Kernel,
        environment: &mut pentimento_execute::Environment,
    ) {
        for event in kernel.take_events() {
            if let KernelEvent::CallEnded { task, number, arguments, result } = event
                && !self.lists.machine.ends.is_empty()
                && let Some(parts) = kernel.parts(task)
            {
                let (state, memory, descriptors) = (parts.cpu, parts.memory, parts.descriptors);
                let guest = &mut Guest { state, memory, environment, descriptors };
                let call = GuestCall { number, arguments };
                self.listen(Some(task), |listener| {
                    let (lists, calls) = listener.parts();
                    let hooks = lists.machine.ends.iter_mut();
                    calls.tell(hooks, guest, |hook, view| hook(view, &call, result));
                });
            }
            self.listen(None, |listener| {
                let (lists, calls) = listener.parts();
                for hook in &mut lists.machine.events {
                    calls.call_machine(hook, kernel, &event);
                }
            });
        }
    }
}

impl super::listener::Calls<'_> {
    fn call_machine(&mut self, hook: &mut Hook<OnEvent>, kernel: &mut Kernel, event: &KernelEvent) {
        if self.is_removed(hook.id) {
            return;
        }
        let mut view = MachineView { kernel, hooks: self.hooks, stops: false };
        (hook.call)(&mut view, event);
        if view.stops {
            self.hooks.stopped.get_or_insert(hook.id);
        }
    }
}

/// Where the tasks of a machine are among the events that hooks hear of.
#[derive(Clone, Default, Debug)]
pub(crate) struct Positions(std::collections::HashMap<TaskId, Position>);

impl Positions {
    pub(crate) fn of(&mut self, task: TaskId) -> &mut Position {
        self.0.entry(task).or_default()
    }

    /// Forgets tasks that are no more.
    pub(crate) fn keep(&mut self, kernel: &Kernel) {
        if !self.0.is_empty() {
            let alive: std::collections::HashSet<TaskId> = kernel.tasks().collect();
            self.0.retain(|task, _| alive.contains(task));
        }
    }
}
