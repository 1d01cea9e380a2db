//! Processes and threads: how they start and end.

use bitflags::bitflags;
use pentimento_registers::Gpr;

use super::call::Arguments;
use super::thread::{UserDescriptor, set_descriptor};
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId, Termination};
use crate::kernel::Kernel;
use crate::resource::Resource;
use crate::signal::{AlternateStack, PendingSignals, Signal, SignalSet};
use crate::space::Space;
use crate::task::{Process, Task, TaskState};
use crate::timer::Timers;
use crate::wait::{CallResult, Channel, Failure, Wait};

bitflags! {
    /// Flags of clone(2); the low byte of the word is the exit signal.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(super) struct CloneFlags: u32 {
        const VM = 0x100;
        const FS = 0x200;
        const FILES = 0x400;
        const SIGHAND = 0x800;
        const PIDFD = 0x1000;
        const VFORK = 0x4000;
        const PARENT = 0x8000;
        const THREAD = 0x1_0000;
        const NEWNS = 0x2_0000;
        const SYSVSEM = 0x4_0000;
        const SETTLS = 0x8_0000;
        const PARENT_SETTID = 0x10_0000;
        const CHILD_CLEARTID = 0x20_0000;
        const DETACHED = 0x40_0000;
        const UNTRACED = 0x80_0000;
        const CHILD_SETTID = 0x100_0000;
        const NEWCGROUP = 0x200_0000;
        const NEWUTS = 0x400_0000;
        const NEWIPC = 0x800_0000;
        const NEWUSER = 0x1000_0000;
        const NEWPID = 0x2000_0000;
        const NEWNET = 0x4000_0000;
        const IO = 0x8000_0000;
    }
}

impl CloneFlags {
    /// Namespaces, which this kernel does not have.
    const NAMESPACES: Self = Self::NEWNS
        .union(Self::NEWCGROUP)
        .union(Self::NEWUTS)
        .union(Self::NEWIPC)
        .union(Self::NEWUSER)
        .union(Self::NEWPID)
        .union(Self::NEWNET);
}

/// What clone(2) and clone3(2) ask for.
#[derive(Clone, Copy, Debug)]
struct Request {
    flags: CloneFlags,
    exit_signal: u32,
    /// The child's stack pointer; 0 to keep the caller's.
    stack: u32,
    parent_number: u32,
    child_number: u32,
    tls: u32,
    /// Where CLONE_PIDFD stores the descriptor.
    descriptor: u32,
}

impl Request {
    const FORK: Self = Self {
        flags: CloneFlags::empty(),
        exit_signal: Signal::CHLD.number() as u32,
        stack: 0,
        parent_number: 0,
        child_number: 0,
        tls: 0,
        descriptor: 0,
    };

    /// Whether the flags go together (clone(2), "ERRORS").
    fn check(&self) -> Result<(), Errno> {
        let flags = self.flags;
        let needs = |flag, needed| !flags.contains(flag) || flags.contains(needed);
        if !needs(CloneFlags::THREAD, CloneFlags::SIGHAND) || !needs(CloneFlags::SIGHAND, CloneFlags::VM) {
            return Err(Errno::EINVAL);
        }
        if flags.intersects(CloneFlags::NAMESPACES) {
            return Err(Errno::EPERM);
        }
        let threaded = CloneFlags::THREAD | CloneFlags::DETACHED;
        if flags.contains(CloneFlags::PIDFD) && flags.intersects(threaded) || self.exit_signal > 64 {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

/// fork(2).
pub(super) fn fork(kernel: &mut Kernel, task: TaskId, _: Arguments) -> CallResult {
    start(kernel, task, Request::FORK)
}

/// vfork(2): the child runs in the caller's memory, and the caller waits until it leaves that.
pub(super) fn vfork(kernel: &mut Kernel, task: TaskId, _: Arguments) -> CallResult {
    start(kernel, task, Request { flags: CloneFlags::VM | CloneFlags::VFORK, ..Request::FORK })
}

/// clone(2), with i386's order of arguments.
pub(super) fn clone(
    kernel: &mut Kernel,
    task: TaskId,
    [bits, stack, parent_number, tls, child_number, _]: Arguments,
) -> CallResult {
    let flags = CloneFlags::from_bits_truncate(bits & !0xff);
    if flags.contains(CloneFlags::PIDFD | CloneFlags::PARENT_SETTID) {
        // The two would be stored in one place.
        return Err(Errno::EINVAL.into());
    }
    let exit_signal = bits & 0xff;
    let request =
        Request { flags, exit_signal, stack, parent_number, child_number, tls, descriptor: parent_number };
    start(kernel, task, request)
}

/// clone3(2).
pub(super) fn clone3(kernel: &mut Kernel, task: TaskId, [address, size, ..]: Arguments) -> CallResult {
    const SMALLEST: u32 = 64;
    const KNOWN: u32 = 88;
    if size < SMALLEST {
        return Err(Errno::EINVAL.into());
    }
    if size > 4096 {
        return Err(Errno::E2BIG.into());
    }
    let mut bytes = kernel.user(task).bytes(address, size)?;
    if bytes.iter().skip(KNOWN as usize).any(|byte| *byte != 0) {
        return Err(Errno::E2BIG.into());
    }
    bytes.resize(KNOWN as usize, 0);
    let fields = bytes.as_chunks::<8>().0;
    let field = |index: usize| fields.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let small = |index| u32::try_from(field(index)).map_err(|_| Errno::EINVAL);
    // flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup
    let bits = small(0)?;
    if bits & 0xff != 0 || bits & CloneFlags::DETACHED.bits() != 0 || field(9) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (stack, stack_size) = (small(5)?, small(6)?);
    if (stack == 0) != (stack_size == 0) {
        return Err(Errno::EINVAL.into());
    }
    let request = Request {
        flags: CloneFlags::from_bits_truncate(bits),
        exit_signal: small(4)?,
        stack: stack.wrapping_add(stack_size),
        parent_number: small(3)?,
        child_number: small(2)?,
        tls: small(7)?,
        descriptor: small(1)?,
    };
    start(kernel, task, request)
}

/// Starts a task, and with CLONE_VFORK waits for it.
fn start(kernel: &mut Kernel, caller: TaskId, request: Request) -> CallResult {
    let pending = kernel.task(caller).call.as_ref().map_or(0, |call| call.progress);
    if pending != 0 {
        return wait_for_vfork(kernel, pending);
    }
    request.check()?;
    let number = create(kernel, caller, request)?;
    if !request.flags.contains(CloneFlags::VFORK) {
        return Ok(number);
    }
    if let Some(call) = &mut kernel.task(caller).call {
        call.progress = number;
    }
    wait_for_vfork(kernel, number)
}

/// Waits until the child has memory of its own. Signals do not end this wait.
fn wait_for_vfork(kernel: &mut Kernel, number: u32) -> CallResult {
    let child = ProcessId(number);
    match kernel.processes.get(&child) {
        Some(process) if process.ended.is_none() && !process.has_executed => {
            Err(Failure::Block(Wait::on(Channel::Vfork(child)).uninterruptible()))
        }
        _ => Ok(number),
    }
}

/// EAGAIN where the caller's user has as many tasks as it may (RLIMIT_NPROC), the superuser excepted.
fn check_process_limit(kernel: &mut Kernel, caller: TaskId) -> Result<(), Errno> {
    let process = kernel.process(caller);
    let (limit, user) = (process.limits[Resource::Nproc].soft, process.credentials.uid);
    if user == 0 || limit >= u64::from(kernel.limits.tasks) {
        return Ok(());
    }
    let own = |task: &&Task| {
        kernel.processes.get(&task.process).is_some_and(|process| process.credentials.uid == user)
    };
    let count = kernel.tasks.values().filter(own).count() as u64;
    if count >= limit { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// Makes the new task, and gives its number.
fn create(kernel: &mut Kernel, caller: TaskId, request: Request) -> Result<u32, Errno> {
    let flags = request.flags;
    let is_thread = flags.contains(CloneFlags::THREAD);
    if !is_thread && kernel.processes.len() >= kernel.limits.processes as usize {
        return Err(Errno::EAGAIN);
    }
    check_process_limit(kernel, caller)?;
    if flags.contains(CloneFlags::PIDFD) {
        super::pidfd::prepare(kernel, caller, request.descriptor)?;
    }
    let mut cpu = kernel.task(caller).cpu.clone();
    let mut tls = kernel.task(caller).tls;
    if flags.contains(CloneFlags::SETTLS) {
        let words = kernel.user(caller).words(request.tls)?;
        set_descriptor(&mut tls, UserDescriptor(words), false)?;
    }
    let number = kernel.new_number()?;
    cpu.set_gpr(Gpr::Eax, 0);
    if request.stack != 0 {
        cpu.set_gpr(Gpr::Esp, request.stack);
    }
    if flags.contains(CloneFlags::PARENT_SETTID) {
        kernel.user(caller).write(request.parent_number, number)?;
    }
    let process = if is_thread {
        kernel.task(caller).process
    } else {
        create_process(kernel, caller, number, request)?
    };
    let task = copy_task(kernel, caller, process, flags, cpu, tls);
    let id = TaskId(number);
    kernel.tasks.insert(id, task);
    if is_thread {
        kernel.process(id).threads.push(id);
    }
    // The selectors are the caller's, but they name the new task's own descriptors now.
    kernel.refresh_segments(id);
    if flags.contains(CloneFlags::CHILD_CLEARTID) {
        kernel.task(id).clear_child_tid = request.child_number;
    }
    if flags.contains(CloneFlags::CHILD_SETTID) {
        // The kernel ignores a bad pointer here too.
        let _ = kernel.user(id).write(request.child_number, number);
    }
    if flags.contains(CloneFlags::PIDFD) {
        super::pidfd::give(kernel, caller, ProcessId(number), request.descriptor)?;
    }
    kernel.make_runnable(id);
    Ok(number)
}

/// A copy of the caller's thread that shares what `flags` say.
fn copy_task(
    kernel: &mut Kernel,
    caller: TaskId,
    process: ProcessId,
    flags: CloneFlags,
    cpu: pentimento_registers::CpuState,
    tls: pentimento_registers::TlsDescriptors,
) -> Task {
    let parent = &kernel.tasks[&caller];
    let (files, location) = (parent.files, parent.location);
    let files = if flags.contains(CloneFlags::FILES) {
        kernel.files.hold(files)
    } else {
        let copy = kernel.fs.copy(&kernel.files[files]);
        kernel.files.insert(copy)
    };
    let location = if flags.contains(CloneFlags::FS) {
        kernel.locations.hold(location)
    } else {
        let copy = kernel.locations[location];
        kernel.locations.insert(copy)
    };
    let parent = &kernel.tasks[&caller];
    // A child that shares memory without sharing the stack's owner starts without an alternate stack.
    let keeps_stack = !flags.contains(CloneFlags::VM) || flags.contains(CloneFlags::VFORK);
    Task {
        process,
        cpu,
        state: TaskState::Runnable,
        queued: false,
        call: None,
        files,
        location,
        tls,
        clear_child_tid: 0,
        robust_list: 0,
        name: parent.name.clone(),
        instructions: 0,
        nice: parent.nice,
        mask: parent.mask,
        saved_mask: None,
        awaited: SignalSet::default(),
        pending: PendingSignals::default(),
        alternate_stack: if keeps_stack { parent.alternate_stack } else { AlternateStack::default() },
        cause: parent.cause,
        crash: None,
    }
}

/// A copy of the caller's process.
fn create_process(
    kernel: &mut Kernel,
    caller: TaskId,
    number: u32,
    request: Request,
) -> Result<ProcessId, Errno> {
    let flags = request.flags;
    let parent_id = kernel.task(caller).process;
    let Some(space) = kernel.process(caller).space else { return Err(Errno::ENOMEM) };
    let space =
        if flags.contains(CloneFlags::VM) { kernel.spaces.hold(space) } else { kernel.fork_memory(space)? };
    let actions = kernel.process(caller).actions;
    let actions = if flags.contains(CloneFlags::SIGHAND) {
        kernel.actions.hold(actions)
    } else {
        let copy = kernel.actions[actions].clone();
        kernel.actions.insert(copy)
    };
    let id = ProcessId(number);
    let parent = &kernel.processes[&parent_id];
    let real_parent = if flags.contains(CloneFlags::PARENT) { parent.parent } else { parent_id };
    let serial = kernel.new_object();
    let parent = &kernel.processes[&parent_id];
    let process = Process {
        serial,
        parent: real_parent,
        group: parent.group,
        session: parent.session,
        space: Some(space),
        threads: vec![TaskId(number)],
        children: Vec::new(),
        ended: None,
        leader_status: None,
        event: None,
        stopped: false,
        exit_signal: Signal::new(request.exit_signal),
        has_executed: false,
        credentials: parent.credentials.clone(),
        executable: parent.executable.clone(),
        actions,
        pending: PendingSignals::default(),
        limits: parent.limits,
        timers: Timers { limit: parent.limits[Resource::Cpu].soft, ..Timers::default() },
        personality: parent.personality,
        attributes: crate::task::Attributes { death_signal: 0, subreaper: 0, ..parent.attributes },
        instructions: 0,
        child_instructions: 0,
        started: kernel.time.monotonic(),
    };
    kernel.processes.insert(id, process);
    if let Some(parent) = kernel.processes.get_mut(&real_parent) {
        parent.children.push(id);
    }
    Ok(id)
}

impl Kernel {
    /// A copy of an address space.
    ///
    /// # Errors
    /// ENOMEM where the machine's memory is used up.
    fn fork_memory(&mut self, id: crate::arena::Id<Space>) -> Result<crate::arena::Id<Space>, Errno> {
        let number = self.new_space_number();
        let copy = self.spaces[id].fork(number)?;
        self.hold_mappings(&copy);
        Ok(self.spaces.insert(copy))
    }
}

/// exit(2), the system call: ends the calling thread.
pub(super) fn exit(kernel: &mut Kernel, task: TaskId, [status, ..]: Arguments) -> CallResult {
    kernel.end_task(task, status as u8);
    Err(Failure::NoReturn)
}

/// exit_group(2): ends the process.
pub(super) fn exit_group(kernel: &mut Kernel, task: TaskId, [status, ..]: Arguments) -> CallResult {
    let process = kernel.task(task).process;
    kernel.end_process(process, Termination::Exited(status as u8));
    Err(Failure::NoReturn)
}

/// unshare(2): descriptors and locations can be separated; there are no namespaces.
pub(super) fn unshare(kernel: &mut Kernel, task: TaskId, [bits, ..]: Arguments) -> CallResult {
    let flags = CloneFlags::from_bits(bits).ok_or(Errno::EINVAL)?;
    if flags.intersects(CloneFlags::NAMESPACES) {
        return Err(Errno::EPERM.into());
    }
    let threads = CloneFlags::THREAD | CloneFlags::SIGHAND | CloneFlags::VM;
    if flags.intersects(threads) && kernel.process(task).threads.len() > 1 {
        return Err(Errno::EINVAL.into());
    }
    if flags.contains(CloneFlags::FILES) {
        let files = kernel.task(task).files;
        kernel.own_descriptors(task, files);
    }
    if flags.contains(CloneFlags::FS) {
        let location = kernel.task(task).location;
        let own = kernel.locations[location];
        kernel.locations.release(location);
        kernel.task(task).location = kernel.locations.insert(own);
    }
    Ok(0)
}
