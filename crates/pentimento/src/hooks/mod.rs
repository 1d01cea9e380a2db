//! Hooks: closures that hear of what a guest does while it runs, and may change it.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use pentimento::{Cpu, Gpr, Halt, Permissions};
//!
//! let mut cpu = Cpu::new();
//! cpu.memory.map(0x1000, 0x1000, Permissions::all())?;
//! cpu.memory.poke_bytes(0x1000, &[0x50, 0x40, 0x58, 0xcc])?; // push eax; inc eax; pop eax; int3
//! cpu.state.eip = 0x1000;
//! cpu.state.set_gpr(Gpr::Esp, 0x2000);
//! let seen = Arc::new(Mutex::new(Vec::new()));
//! let list = seen.clone();
//! cpu.hooks.on_access(.., move |_, access| list.lock().unwrap().push((access.eip, access.address)));
//! assert!(matches!(cpu.run(100), Halt::Exception { .. }));
//! assert_eq!(*seen.lock().unwrap(), [(0x1000, 0x1ffc), (0x1002, 0x1ffc)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod coverage;
mod listener;
#[cfg(feature = "linux")]
mod machine;
mod view;

use std::fmt;
use std::ops::RangeBounds;
use std::sync::atomic::{AtomicU64, Ordering};

use pentimento_decoder::{Instruction, Operation};
pub use pentimento_execute::observe::ends_block;
use pentimento_execute::observe::{Interests, MemoryAccess, Observed, Position, Span};
use pentimento_execute::{Engine, Guest, Stop, Until};
use pentimento_memory::{Access, Fault};
use pentimento_registers::Exception;

pub use coverage::Coverage;
use listener::{Listener, Listening};
#[cfg(feature = "linux")]
pub(crate) use machine::Positions;
#[cfg(feature = "linux")]
pub use machine::{GuestCall, MachineView};
pub use view::{StateView, View};

/// The task that runs, on a machine that has tasks.
#[cfg(feature = "linux")]
pub(crate) type Task = pentimento_linux::TaskId;
#[cfg(not(feature = "linux"))]
pub(crate) type Task = u32;

/// A hook of [`Hooks`], which can be removed by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct HookId(u64);

/// What a hook that may take an event's place has done about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reply {
    /// Nothing: it goes on as without the hook, or as the next hook says.
    Pass,
    /// All that there was to do: no other hook is asked, and what would have come does not.
    Done,
}

/// How control came to a block by a branch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Edge {
    /// EIP of the branch.
    pub from: u32,
    /// EIP of the block.
    pub to: u32,
}

type OnInstruction = dyn FnMut(&mut View<'_>, &Instruction) + Send;
type OnOperation = dyn FnMut(&mut View<'_>, &Instruction) -> Reply + Send;
type OnBlock = dyn FnMut(&mut View<'_>, Option<u32>) + Send;
type OnAccess = dyn FnMut(&mut View<'_>, &MemoryAccess) + Send;
type OnInterrupt = dyn FnMut(&mut View<'_>, u8) -> Reply + Send;
type OnFault = dyn FnMut(&mut View<'_>, &Fault) -> Reply + Send;
type OnException = dyn FnMut(&mut View<'_>, Exception, u32) -> Reply + Send;

/// One hook: where, and what to do.
struct Hook<F: ?Sized> {
    id: HookId,
    range: Span,
    call: Box<F>,
}

/// Which accesses a hook hears of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accesses {
    Reads,
    Writes,
    Both,
}

impl Accesses {
    fn contain(self, access: Access) -> bool {
        match self {
            Self::Reads => access == Access::Read,
            Self::Writes => access == Access::Write,
            Self::Both => true,
        }
    }
}

/// The hooks of each kind, in the order in which they were added.
#[derive(Default)]
struct Lists {
    instructions: Vec<Hook<OnInstruction>>,
    operations: Vec<(Operations, Hook<OnOperation>)>,
    blocks: Vec<Hook<OnBlock>>,
    fetches: Vec<Hook<OnAccess>>,
    accesses: Vec<(Accesses, Hook<OnAccess>)>,
    counts: Vec<(HookId, Coverage)>,
    interrupts: Vec<Hook<OnInterrupt>>,
    faults: Vec<Hook<OnFault>>,
    exceptions: Vec<Hook<OnException>>,
    #[cfg(feature = "linux")]
    machine: machine::MachineLists,
}

type Operations = &'static [Operation];

impl Lists {
    fn append(&mut self, mut more: Self) {
        self.instructions.append(&mut more.instructions);
        self.operations.append(&mut more.operations);
        self.blocks.append(&mut more.blocks);
        self.fetches.append(&mut more.fetches);
        self.accesses.append(&mut more.accesses);
        self.counts.append(&mut more.counts);
        self.interrupts.append(&mut more.interrupts);
        self.faults.append(&mut more.faults);
        self.exceptions.append(&mut more.exceptions);
        #[cfg(feature = "linux")]
        self.machine.append(&mut more.machine);
    }

    fn remove(&mut self, id: HookId) {
        self.instructions.retain(|hook| hook.id != id);
        self.operations.retain(|(_, hook)| hook.id != id);
        self.blocks.retain(|hook| hook.id != id);
        self.fetches.retain(|hook| hook.id != id);
        self.accesses.retain(|(_, hook)| hook.id != id);
        self.counts.retain(|(other, _)| *other != id);
        self.interrupts.retain(|hook| hook.id != id);
        self.faults.retain(|hook| hook.id != id);
        self.exceptions.retain(|hook| hook.id != id);
        #[cfg(feature = "linux")]
        self.machine.remove(id);
    }

    fn interests(&self) -> Interests {
        /// The number of the latest interests in this process.
        static VERSION: AtomicU64 = AtomicU64::new(0);
        /// Bytes of an instruction at most.
        const LONGEST: u32 = 15;
        let mut interests =
            Interests { version: VERSION.fetch_add(1, Ordering::Relaxed) + 1, ..Interests::default() };
        self.instructions.iter().for_each(|hook| interests.instructions.add(hook.range));
        // The EIPs of all instructions that may have a byte in the range.
        self.fetches.iter().for_each(|hook| interests.instructions.add(hook.range.with_front(LONGEST - 1)));
        self.blocks.iter().for_each(|hook| interests.blocks.add(hook.range));
        self.counts.iter().for_each(|(_, coverage)| interests.counts.add(coverage.range(), coverage.tally()));
        self.accesses.iter().for_each(|(_, hook)| interests.memory.add(hook.range));
        self.operations.iter().for_each(|(operations, _)| interests.operations.extend_from_slice(operations));
        interests
    }
}

/// The hooks of a [`Cpu`](crate::Cpu) or a `Machine`. They are called while it runs, with a [`View`] of
/// it, each time that something happens in their range, and never twice for the same event: not where a
/// run stops and goes on, and not where an instruction starts again because a page was missing.
///
/// They may be added and removed at any time, in hooks too, where it takes effect with the next event. What
/// a hook writes to registers, EIP among them, and to memory counts. Where there is no hook for
/// instructions, blocks and memory, engines run as if there were none at all; with some, translators
/// leave the code to the interpreter, unless all that is asked for is to count blocks.
///
/// A hook that panics takes all hooks with it.
#[derive(Default)]
pub struct Hooks {
    lists: Lists,
    interests: Interests,
    /// The number of the latest hook.
    latest: u64,
    /// Removed in a hook: of those that are [away](Self::is_away).
    removed: Vec<HookId>,
    /// The lists are with a listener; `lists` has what was added meanwhile.
    is_away: bool,
    /// Something was added or removed since [`interests`](Self::interests) were put together.
    is_changed: bool,
    /// The hook that has asked to stop the run.
    pub(crate) stopped: Option<HookId>,
}

impl Hooks {
    fn add<F: ?Sized>(&mut self, range: impl RangeBounds<u32>, call: Box<F>) -> Hook<F> {
        self.latest += 1;
        self.is_changed = true;
        let range = Span::of(range);
        Hook { id: HookId(self.latest), range, call }
    }

    /// Calls `hook` before each instruction at an EIP in `range`. An instruction at which the hook stops
    /// the run, or whose EIP it changes, is not executed.
    ///
    /// A repeated string instruction counts as one each 1,024 iterations, here as in a budget.
    pub fn on_instruction(
        &mut self,
        range: impl RangeBounds<u32>,
        hook: impl FnMut(&mut View<'_>, &Instruction) + Send + 'static,
    ) -> HookId {
        let hook: Hook<OnInstruction> = self.add(range, Box::new(hook));
        let id = hook.id;
        self.lists.instructions.push(hook);
        id
    }

    /// Calls `hook` where a block begins in `range`: where control comes to otherwise than from the
    /// instruction before. Behind each branch, taken or not, is a block.
    pub fn on_block(
        &mut self,
        range: impl RangeBounds<u32>,
        mut hook: impl FnMut(&mut View<'_>) + Send + 'static,
    ) -> HookId {
        let hook: Hook<OnBlock> = self.add(range, Box::new(move |view: &mut View<'_>, _| hook(view)));
        let id = hook.id;
        self.lists.blocks.push(hook);
        id
    }

    /// Counts how often each block in `range` begins: the blocks of [`on_block`](Self::on_block), without a
    /// call for each. What has been counted is in `coverage` when the run ends.
    pub fn count_blocks(&mut self, range: impl RangeBounds<u32>) -> (HookId, Coverage) {
        let Hook { id, range, .. } = self.add(range, Box::new(()));
        let coverage = Coverage::of(range);
        self.lists.counts.push((id, coverage.clone()));
        (id, coverage)
    }

    /// Calls `hook` where a branch leads to a block in `range`.
    pub fn on_edge(
        &mut self,
        range: impl RangeBounds<u32>,
        mut hook: impl FnMut(&mut View<'_>, Edge) + Send + 'static,
    ) -> HookId {
        let call = move |view: &mut View<'_>, from| {
            if let Some(from) = from {
                let to = view.state.eip;
                hook(view, Edge { from, to });
            }
        };
        let hook: Hook<OnBlock> = self.add(range, Box::new(call));
        let id = hook.id;
        self.lists.blocks.push(hook);
        id
    }

    fn on_accesses(
        &mut self,
        accesses: Accesses,
        range: impl RangeBounds<u32>,
        hook: impl FnMut(&mut View<'_>, &MemoryAccess) + Send + 'static,
    ) -> HookId {
        let hook: Hook<OnAccess> = self.add(range, Box::new(hook));
        let id = hook.id;
        self.lists.accesses.push((accesses, hook));
        id
    }

    /// Calls `hook` when an instruction has read or written memory in `range`: a byte of it at least. The
    /// instruction has completed then, and registers and memory are as it has left them.
    ///
    /// What faults is no access, and what the kernel does on behalf of a program is none.
    pub fn on_access(
        &mut self,
        range: impl RangeBounds<u32>,
        hook: impl FnMut(&mut View<'_>, &MemoryAccess) + Send + 'static,
    ) -> HookId {
        self.on_accesses(Accesses::Both, range, hook)
    }

    /// As [`on_access`](Self::on_access), of reads only.
    pub fn on_read(
        &mut self,
        range: impl RangeBounds<u32>,
        hook: impl FnMut(&mut View<'_>, &MemoryAccess) + Send + 'static,
    ) -> HookId {
        self.on_accesses(Accesses::Reads, range, hook)
    }

    /// As [`on_access`](Self::on_access), of writes only.
    pub fn on_write(
        &mut self,
        range: impl RangeBounds<u32>,
        hook: impl FnMut(&mut View<'_>, &MemoryAccess) + Send + 'static,
    ) -> HookId {
        self.on_accesses(Accesses::Writes, range, hook)
    }

    /// Calls `hook` when an instruction is fetched of which a byte is in `range`, before it is executed.
    pub fn on_fetch(
        &mut self,
        range: impl RangeBounds<u32>,
        hook: impl FnMut(&mut View<'_>, &MemoryAccess) + Send + 'static,
    ) -> HookId {
        let hook: Hook<OnAccess> = self.add(range, Box::new(hook));
        let id = hook.id;
        self.lists.fetches.push(hook);
        id
    }

    fn on_operations(
        &mut self,
        operations: Operations,
        hook: impl FnMut(&mut View<'_>, &Instruction) -> Reply + Send + 'static,
    ) -> HookId {
        let hook: Hook<OnOperation> = self.add(.., Box::new(hook));
        let id = hook.id;
        self.lists.operations.push((operations, hook));
        id
    }

    /// Calls `hook` before each CPUID. With [`Reply::Done`] the instruction is not executed: what it would
    /// have answered the hook has put into EAX, EBX, ECX and EDX. EIP goes behind it by itself.
    pub fn on_cpuid(
        &mut self,
        hook: impl FnMut(&mut View<'_>, &Instruction) -> Reply + Send + 'static,
    ) -> HookId {
        self.on_operations(&[Operation::Cpuid], hook)
    }

    /// Calls `hook` before each RDTSC and RDTSCP, as [`on_cpuid`](Self::on_cpuid) does.
    pub fn on_time_stamp(
        &mut self,
        hook: impl FnMut(&mut View<'_>, &Instruction) -> Reply + Send + 'static,
    ) -> HookId {
        self.on_operations(&[Operation::Rdtsc, Operation::Rdtscp], hook)
    }

    /// Calls `hook` before each IN, OUT, INS and OUTS, as [`on_cpuid`](Self::on_cpuid) does. Without
    /// [`Reply::Done`] they raise #GP.
    pub fn on_port(
        &mut self,
        hook: impl FnMut(&mut View<'_>, &Instruction) -> Reply + Send + 'static,
    ) -> HookId {
        self.on_operations(&[Operation::In, Operation::Out, Operation::Ins, Operation::Outs], hook)
    }

    /// Calls `hook` where an INT n leaves the guest's code, EIP behind it: on a CPU all, on a machine INT
    /// 80h, before any hook for system calls. With [`Reply::Done`] the guest goes on.
    pub fn on_interrupt(&mut self, hook: impl FnMut(&mut View<'_>, u8) -> Reply + Send + 'static) -> HookId {
        let hook: Hook<OnInterrupt> = self.add(.., Box::new(hook));
        let id = hook.id;
        self.lists.interrupts.push(hook);
        id
    }

    /// Calls `hook` where memory refuses an access in `range`, because nothing is mapped or it is not
    /// allowed; on a machine, where its kernel has no page for it either. With [`Reply::Done`], the page
    /// being there now, the instruction starts again.
    pub fn on_fault(
        &mut self,
        range: impl RangeBounds<u32>,
        hook: impl FnMut(&mut View<'_>, &Fault) -> Reply + Send + 'static,
    ) -> HookId {
        let hook: Hook<OnFault> = self.add(range, Box::new(hook));
        let id = hook.id;
        self.lists.faults.push(hook);
        id
    }

    /// Calls `hook` where the guest raises an exception other than #PF, with its error code: for a fault
    /// EIP is that of the instruction, for a trap behind it. With [`Reply::Done`] the guest goes on at
    /// EIP.
    pub fn on_exception(
        &mut self,
        hook: impl FnMut(&mut View<'_>, Exception, u32) -> Reply + Send + 'static,
    ) -> HookId {
        let hook: Hook<OnException> = self.add(.., Box::new(hook));
        let id = hook.id;
        self.lists.exceptions.push(hook);
        id
    }

    /// Removes a hook; one that is not there any more is no error.
    pub fn remove(&mut self, id: HookId) {
        self.is_changed = true;
        self.lists.remove(id);
        if self.is_away {
            self.removed.push(id);
        }
    }

    /// Removes all hooks.
    pub fn clear(&mut self) {
        if self.is_away {
            self.removed.extend((1..=self.latest).map(HookId));
        }
        self.lists = Lists::default();
        self.is_changed = true;
    }

    /// What engines have to tell of, as it now is.
    fn refresh(&mut self) {
        if self.is_changed {
            self.is_changed = false;
            self.interests = self.lists.interests();
        }
    }

    /// Has `engine` run, and tell of what there are hooks for.
    pub(crate) fn run(
        &mut self,
        engine: &mut dyn Engine,
        guest: &mut Guest<'_>,
        until: Until,
        (position, task): (&mut Position, Option<Task>),
    ) -> Stop {
        self.refresh();
        if self.interests.is_empty() {
            position.reset();
            return engine.run(guest, until);
        }
        let interests = std::mem::take(&mut self.interests);
        let (stop, interests) = self.listen(task, |listener| {
            let mut observer = Listening { listener, interests };
            let stop = engine.run_observed(guest, until, &mut Observed { observer: &mut observer, position });
            (stop, observer.interests)
        });
        self.interests = interests;
        stop
    }

    /// Calls the hooks for INT n.
    pub(crate) fn interrupt(&mut self, guest: &mut Guest<'_>, vector: u8, task: Option<Task>) -> Reply {
        if self.lists.interrupts.is_empty() {
            return Reply::Pass;
        }
        self.listen(task, |listener| {
            let (hooks, calls) = listener.parts();
            calls.ask(hooks.interrupts.iter_mut(), guest, |call, view| call(view, vector))
        })
    }

    /// Calls the hooks for accesses that memory refuses.
    pub(crate) fn fault(&mut self, guest: &mut Guest<'_>, fault: &Fault, task: Option<Task>) -> Reply {
        if self.lists.faults.is_empty() {
            return Reply::Pass;
        }
        self.listen(task, |listener| {
            let (hooks, calls) = listener.parts();
            let hooks = hooks.faults.iter_mut().filter(|hook| hook.range.contains(fault.address));
            calls.ask(hooks, guest, |call, view| call(view, fault))
        })
    }

    /// Calls the hooks for exceptions.
    pub(crate) fn exception(
        &mut self,
        guest: &mut Guest<'_>,
        (exception, error_code): (Exception, u32),
        task: Option<Task>,
    ) -> Reply {
        if self.lists.exceptions.is_empty() {
            return Reply::Pass;
        }
        self.listen(task, |listener| {
            let (hooks, calls) = listener.parts();
            calls.ask(hooks.exceptions.iter_mut(), guest, |call, view| call(view, exception, error_code))
        })
    }

    /// Gives the lists to a listener for as long as `run` takes.
    fn listen<R>(&mut self, task: Option<Task>, run: impl FnOnce(&mut Listener<'_>) -> R) -> R {
        let mut lists = std::mem::take(&mut self.lists);
        self.is_away = true;
        let result = run(&mut Listener::new(&mut lists, self, task));
        self.is_away = false;
        for id in self.removed.drain(..) {
            lists.remove(id);
        }
        lists.append(std::mem::take(&mut self.lists));
        self.lists = lists;
        result
    }
}

/// How many there are.
impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = &self.lists;
        let mut debug = f.debug_struct("Hooks");
        debug
            .field("instructions", &(lists.instructions.len() + lists.operations.len()))
            .field("blocks", &lists.blocks.len())
            .field("accesses", &(lists.fetches.len() + lists.accesses.len()))
            .field("exits", &(lists.interrupts.len() + lists.faults.len() + lists.exceptions.len()));
        #[cfg(feature = "linux")]
        debug.field("machine", &lists.machine.len());
        debug.finish_non_exhaustive()
    }
}
