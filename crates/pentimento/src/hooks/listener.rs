//! Who hears of an engine's events and calls the hooks.

use pentimento_decoder::Instruction;
use pentimento_execute::Guest;
use pentimento_execute::observe::{Answer, Interests, MemoryAccess, Observer};
use pentimento_memory::Access;

use super::view::StateView;
use super::{Hook, HookId, Hooks, Lists, Reply, Task, View};

/// The hooks, taken from where they were for as long as some may be called.
pub(super) struct Listener<'a> {
    lists: &'a mut Lists,
    calls: Calls<'a>,
}

/// What calling a hook takes besides the hook.
pub(super) struct Calls<'a> {
    /// Where hooks are added and removed meanwhile.
    pub(super) hooks: &'a mut Hooks,
    task: Option<Task>,
    /// A hook has written to registers since the engine was told.
    is_touched: bool,
}

impl<'a> Listener<'a> {
    pub(super) fn new(lists: &'a mut Lists, hooks: &'a mut Hooks, task: Option<Task>) -> Self {
        Self { lists, calls: Calls { hooks, task, is_touched: false } }
    }

    pub(super) const fn parts(&mut self) -> (&mut Lists, &mut Calls<'a>) {
        (self.lists, &mut self.calls)
    }
}

impl Calls<'_> {
    /// Calls one hook, unless it has been removed.
    #[inline]
    fn call<F: ?Sized>(
        &mut self,
        hook: &mut Hook<F>,
        guest: &mut Guest<'_>,
        call: impl FnOnce(&mut F, &mut View<'_>) -> Reply,
    ) -> Reply {
        if self.is_removed(hook.id) {
            return Reply::Pass;
        }
        let mut reply = Reply::Pass;
        let touched = self.lend(hook, guest, |hook, view| reply = call(hook, view));
        self.is_touched |= touched;
        reply
    }

    /// Calls one hook, and says whether it has written to registers.
    #[inline(always)]
    fn lend<F: ?Sized>(
        &mut self,
        hook: &mut Hook<F>,
        guest: &mut Guest<'_>,
        call: impl FnOnce(&mut F, &mut View<'_>),
    ) -> bool {
        let mut view = View {
            state: StateView::new(guest.state),
            memory: guest.memory,
            environment: guest.environment,
            hooks: self.hooks,
            task: self.task,
            stops: false,
        };
        call(&mut hook.call, &mut view);
        let (stops, touched) = (view.stops, view.state.is_touched);
        if stops {
            self.hooks.stopped.get_or_insert(hook.id);
        }
        touched
    }

    /// Calls the only hook that hears of an event. It has not been removed: the engine would have left.
    #[inline(always)]
    fn tell_only<F: ?Sized>(
        &mut self,
        hook: &mut Hook<F>,
        guest: &mut Guest<'_>,
        call: impl FnOnce(&mut F, &mut View<'_>),
    ) -> Answer {
        let touched = self.lend(hook, guest, call);
        self.answer_to(touched)
    }

    #[inline]
    pub(super) fn is_removed(&self, id: HookId) -> bool {
        !self.hooks.removed.is_empty() && self.hooks.removed.contains(&id)
    }

    /// Calls `hooks` until one has done what there was to do.
    pub(super) fn ask<'h, F: ?Sized + 'h>(
        &mut self,
        hooks: impl Iterator<Item = &'h mut Hook<F>>,
        guest: &mut Guest<'_>,
        mut call: impl FnMut(&mut F, &mut View<'_>) -> Reply,
    ) -> Reply {
        for hook in hooks {
            if self.call(hook, guest, &mut call) == Reply::Done {
                return Reply::Done;
            }
        }
        Reply::Pass
    }

    /// Calls all of `hooks`.
    #[inline]
    pub(super) fn tell<'h, F: ?Sized + 'h>(
        &mut self,
        hooks: impl Iterator<Item = &'h mut Hook<F>>,
        guest: &mut Guest<'_>,
        mut call: impl FnMut(&mut F, &mut View<'_>),
    ) {
        for hook in hooks {
            self.call(hook, guest, |hook, view| {
                call(hook, view);
                Reply::Pass
            });
        }
    }

    /// Whether the engine has to leave: to stop the run, or to be told of other interests.
    #[inline]
    fn leaves(&self) -> bool {
        self.hooks.is_changed || self.hooks.stopped.is_some()
    }

    #[inline]
    fn answer(&mut self) -> Answer {
        let is_touched = std::mem::take(&mut self.is_touched);
        self.answer_to(is_touched)
    }

    #[inline]
    fn answer_to(&self, is_touched: bool) -> Answer {
        if self.leaves() {
            Answer::Leave
        } else if is_touched {
            Answer::GoOn
        } else {
            Answer::Unchanged
        }
    }
}

/// A listener while an engine runs.
pub(super) struct Listening<'l, 'a> {
    pub(super) listener: &'l mut Listener<'a>,
    pub(super) interests: Interests,
}

impl Observer for Listening<'_, '_> {
    #[inline]
    fn interests(&self) -> &Interests {
        &self.interests
    }

    #[inline]
    fn instruction(&mut self, guest: &mut Guest<'_>, instruction: &Instruction) -> Answer {
        let (lists, calls) = self.listener.parts();
        match &mut *lists.instructions {
            // It has asked for this instruction: nobody else has asked for any.
            [hook] if lists.fetches.is_empty() && lists.operations.is_empty() => {
                calls.tell_only(hook, guest, |call, view| call(view, instruction))
            }
            _ => self.instruction_to_all(guest, instruction),
        }
    }

    fn block(&mut self, guest: &mut Guest<'_>, from: Option<u32>) -> Answer {
        let eip = guest.state.eip;
        let (lists, calls) = self.listener.parts();
        let here = lists.blocks.iter_mut().filter(|hook| hook.range.contains(eip));
        calls.tell(here, guest, |call, view| call(view, from));
        calls.answer()
    }

    fn counted(&mut self, eip: u32, times: u64) {
        for (_, coverage) in &self.listener.lists.counts {
            coverage.add(eip, times);
        }
    }

    #[inline]
    fn accesses(&mut self, guest: &mut Guest<'_>, accesses: &[MemoryAccess]) -> Answer {
        let (lists, calls) = self.listener.parts();
        match (&mut *lists.accesses, accesses) {
            ([(kinds, hook)], [access]) => {
                if kinds.contain(access.access) && touches(access, hook) {
                    calls.tell_only(hook, guest, |call, view| call(view, access))
                } else {
                    Answer::Unchanged
                }
            }
            _ => self.accesses_to_all(guest, accesses),
        }
    }
}

impl Listening<'_, '_> {
    #[inline(never)]
    fn instruction_to_all(&mut self, guest: &mut Guest<'_>, instruction: &Instruction) -> Answer {
        let eip = guest.state.eip;
        let (lists, calls) = self.listener.parts();
        let here = lists.instructions.iter_mut().filter(|hook| hook.range.contains(eip));
        calls.tell(here, guest, |call, view| call(view, instruction));
        if !lists.fetches.is_empty() {
            fetched(lists, calls, guest, instruction, eip);
        }
        if lists.operations.is_empty() {
            return calls.answer();
        }
        let asked = lists
            .operations
            .iter_mut()
            .filter(|(operations, _)| operations.contains(&instruction.operation()))
            .map(|(_, hook)| hook);
        match calls.ask(asked, guest, |call, view| call(view, instruction)) {
            Reply::Done => Answer::Done { leave: calls.leaves() },
            Reply::Pass => calls.answer(),
        }
    }

    #[inline(never)]
    fn accesses_to_all(&mut self, guest: &mut Guest<'_>, accesses: &[MemoryAccess]) -> Answer {
        let (lists, calls) = self.listener.parts();
        for access in accesses {
            let here = lists
                .accesses
                .iter_mut()
                .filter(|(kinds, hook)| kinds.contain(access.access) && touches(access, hook))
                .map(|(_, hook)| hook);
            calls.tell(here, guest, |call, view| call(view, access));
        }
        calls.answer()
    }
}

/// Tells of the fetch of `instruction`, at `eip`.
#[cold]
fn fetched(
    lists: &mut Lists,
    calls: &mut Calls<'_>,
    guest: &mut Guest<'_>,
    instruction: &Instruction,
    eip: u32,
) {
    let (mut bytes, length) = ([0; 16], instruction.length());
    // It has just been decoded from there; a hook that has taken it away since gets zeros.
    let _ = guest.memory.peek_bytes(eip, &mut bytes[..length.into()]);
    let value = u128::from_le_bytes(bytes);
    let fetch = MemoryAccess { eip, address: eip, length, access: Access::Execute, value };
    let here = lists.fetches.iter_mut().filter(|hook| touches(&fetch, hook));
    calls.tell(here, guest, |call, view| call(view, &fetch));
}

/// Whether a byte of `access` is in the range of `hook`.
#[inline]
fn touches<F: ?Sized>(access: &MemoryAccess, hook: &Hook<F>) -> bool {
    hook.range.touches(access.address, access.length)
}
