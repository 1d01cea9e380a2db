//! Processes and threads: how they start and end.

use bitflags::bitflags;
use pentimento_registers::Gpr;

use super::thread::{UserDescriptor, set_descriptor};
use crate::errno::Errno;
use crate::event::KernelEvent;
use crate::ids::{ProcessId, TaskId, Termination};
use crate::kernel::{Arguments, Call, Kernel};
use crate::ptrace::Event;
use crate::resource::Resource;
use crate::signal::{AlternateStack, PendingSignals, Signal, SignalSet};
use crate::space::Space;
use crate::task::{Process, Task, TaskState, Transfers};
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
pub(super) fn fork(call: &mut Call<'_>, _: Arguments) -> CallResult {
    start(call, Request::FORK)
}

/// vfork(2): the child runs in the caller's memory, and the caller waits until it leaves that.
pub(super) fn vfork(call: &mut Call<'_>, _: Arguments) -> CallResult {
    start(call, Request { flags: CloneFlags::VM | CloneFlags::VFORK, ..Request::FORK })
}

/// clone(2), with i386's order of arguments.
pub(super) fn clone(
    call: &mut Call<'_>,
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
    start(call, request)
}

/// clone3(2).
pub(super) fn clone3(call: &mut Call<'_>, [address, size, ..]: Arguments) -> CallResult {
    const SMALLEST: u32 = 64;
    const KNOWN: u32 = 88;
    if size < SMALLEST {
        return Err(Errno::EINVAL.into());
    }
    if size > 4096 {
        return Err(Errno::E2BIG.into());
    }
    let mut bytes = call.user().bytes(address, size)?;
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
    start(call, request)
}

/// Starts a task, and with CLONE_VFORK waits for it.
fn start(call: &mut Call<'_>, request: Request) -> CallResult {
    let pending = call.task().call.as_ref().map_or(0, |pending| pending.progress);
    if pending != 0 {
        let done = wait_for_vfork(call.kernel, pending)?;
        call.kernel.stop_for_event(call.task_id, Event::VforkDone, pending);
        return Ok(done);
    }
    request.check()?;
    let number = create(call, request)?;
    if !request.flags.contains(CloneFlags::VFORK) {
        return Ok(number);
    }
    if let Some(call) = &mut call.task().call {
        call.progress = number;
    }
    wait_for_vfork(call.kernel, number)
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
fn check_process_limit(call: &mut Call<'_>) -> Result<(), Errno> {
    let process = call.process();
    let (limit, user) = (process.limits[Resource::Nproc].soft, process.credentials.uid);
    if user == 0 || limit >= u64::from(call.kernel.limits.tasks) {
        return Ok(());
    }
    let own = |task: &&Task| {
        call.kernel.processes.get(&task.process).is_some_and(|process| process.credentials.uid == user)
    };
    let count = call.kernel.tasks.values().filter(own).count() as u64;
    if count >= limit { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// What a task takes, its process included.
const TASK: u64 = 4096;

/// Makes the new task, and gives its number.
fn create(call: &mut Call<'_>, request: Request) -> Result<u32, Errno> {
    let flags = request.flags;
    let is_thread = flags.contains(CloneFlags::THREAD);
    if !is_thread && call.kernel.processes.len() >= call.kernel.limits.processes as usize {
        return Err(Errno::EAGAIN);
    }
    check_process_limit(call)?;
    let table = if flags.contains(CloneFlags::FILES) { 0 } else { call.descriptors().held_bytes() };
    let groups = if is_thread { 0 } else { 4 * call.process().credentials.groups.len() as u64 };
    call.charge(TASK + table + groups)?;
    if flags.contains(CloneFlags::PIDFD) {
        super::pidfd::prepare(call, request.descriptor)?;
    }
    let mut cpu = call.task().cpu.clone();
    let mut tls = call.task().tls;
    if flags.contains(CloneFlags::SETTLS) {
        let words = call.user().words(request.tls)?;
        set_descriptor(&mut tls, UserDescriptor(words), false)?;
    }
    let number = call.kernel.new_number()?;
    cpu.set_gpr(Gpr::Eax, 0);
    if request.stack != 0 {
        cpu.set_gpr(Gpr::Esp, request.stack);
    }
    if flags.contains(CloneFlags::PARENT_SETTID) {
        call.user().write(request.parent_number, number)?;
    }
    let process = if is_thread { call.process_id } else { create_process(call, number, request)? };
    let task = copy_task(call, process, flags, cpu, tls);
    let id = TaskId(number);
    call.kernel.tasks.insert(id, task);
    if is_thread {
        call.kernel.process(id).threads.push(id);
    }
    // The selectors are the caller's, but they name the new task's own descriptors now.
    call.kernel.refresh_segments(id);
    if flags.contains(CloneFlags::CHILD_CLEARTID) {
        call.kernel.task(id).clear_child_tid = request.child_number;
    }
    if flags.contains(CloneFlags::CHILD_SETTID) {
        // The call.kernel ignores a bad pointer here too.
        let _ = call.kernel.user(id).write(request.child_number, number);
    }
    if flags.contains(CloneFlags::PIDFD) {
        super::pidfd::give(call, ProcessId(number), request.descriptor)?;
    }
    if !flags.contains(CloneFlags::UNTRACED) {
        let event = match () {
            () if flags.contains(CloneFlags::VFORK) => Event::Vfork,
            () if request.exit_signal == u32::from(Signal::CHLD.number()) => Event::Fork,
            () => Event::Clone,
        };
        call.kernel.trace_child(call.task_id, id, event);
    }
    call.kernel.make_runnable(id);
    let parent = Some(call.process_id);
    call.kernel.tell(|| match is_thread {
        true => KernelEvent::ThreadStarted { process, task: id },
        false => KernelEvent::ProcessStarted { process, parent },
    });
    Ok(number)
}

/// A copy of the caller's thread that shares what `flags` say.
fn copy_task(
    call: &mut Call<'_>,
    process: ProcessId,
    flags: CloneFlags,
    cpu: pentimento_registers::CpuState,
    tls: pentimento_registers::TlsDescriptors,
) -> Task {
    let parent = call.task();
    let (files, location) = (parent.files, parent.location);
    let files = if flags.contains(CloneFlags::FILES) {
        call.kernel.files.hold(files)
    } else {
        let copy = call.kernel.fs.copy(&call.kernel.files[files]);
        call.kernel.files.insert(copy)
    };
    let location = if flags.contains(CloneFlags::FS) {
        call.kernel.locations.hold(location)
    } else {
        let copy = call.kernel.locations[location];
        call.kernel.locations.insert(copy)
    };
    let parent = call.task();
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
        seccomp: parent.seccomp.clone(),
        nice: parent.nice,
        mask: parent.mask,
        saved_mask: None,
        awaited: SignalSet::default(),
        pending: PendingSignals::default(),
        alternate_stack: if keeps_stack { parent.alternate_stack } else { AlternateStack::default() },
        cause: parent.cause,
        crash: None,
        tracing: None,
    }
}

/// A copy of the caller's process.
fn create_process(call: &mut Call<'_>, number: u32, request: Request) -> Result<ProcessId, Errno> {
    let flags = request.flags;
    let parent_id = call.process_id;
    let Some(space) = call.process().space else { return Err(Errno::ENOMEM) };
    let space = if flags.contains(CloneFlags::VM) {
        call.kernel.spaces.hold(space)
    } else {
        let copied = call.kernel.spaces[space].own_bytes();
        call.charge(copied)?;
        call.kernel.fork_memory(space)?
    };
    let actions = call.process().actions;
    let actions = if flags.contains(CloneFlags::SIGHAND) {
        call.kernel.actions.hold(actions)
    } else {
        let copy = call.kernel.actions[actions].clone();
        call.kernel.actions.insert(copy)
    };
    let id = ProcessId(number);
    let parent = &call.kernel.processes[&parent_id];
    let real_parent = if flags.contains(CloneFlags::PARENT) { parent.parent } else { parent_id };
    let serial = call.kernel.new_object();
    let parent = &call.kernel.processes[&parent_id];
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
        tracees: Vec::new(),
        ended_tracees: Vec::new(),
        tracer: None,
        has_executed: false,
        credentials: parent.credentials.clone(),
        executable: parent.executable.clone(),
        actions,
        pending: PendingSignals::default(),
        limits: parent.limits,
        timers: Timers { limit: parent.limits[Resource::Cpu].soft, ..Timers::default() },
        personality: parent.personality,
        oom_adjustment: parent.oom_adjustment,
        transfers: Transfers::default(),
        attributes: crate::task::Attributes { death_signal: 0, subreaper: 0, ..parent.attributes },
        instructions: 0,
        child_instructions: 0,
        started: call.kernel.time.monotonic(),
    };
    call.kernel.processes.insert(id, process);
    if let Some(parent) = call.kernel.processes.get_mut(&real_parent) {
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
        for attachment in copy.attachments.values() {
            self.ipc.attach(attachment.segment);
        }
        Ok(self.spaces.insert(copy))
    }
}

/// Stops a thread for its tracer before it ends, if that wants to be told.
fn stop_before_end(call: &mut Call<'_>, status: u32) -> Result<(), Failure> {
    let told = call.pending()?.progress != 0;
    if told || !call.kernel.stop_for_event(call.task_id, Event::Exit, (status & 0xff) << 8) {
        return Ok(());
    }
    call.pending()?.progress = 1;
    Err(Failure::Block(Wait::default().uninterruptible()))
}

/// exit(2), the system call: ends the calling thread.
pub(super) fn exit(call: &mut Call<'_>, [status, ..]: Arguments) -> CallResult {
    stop_before_end(call, status)?;
    call.kernel.end_task(call.task_id, status as u8);
    Err(Failure::NoReturn)
}

/// exit_group(2): ends the process.
pub(super) fn exit_group(call: &mut Call<'_>, [status, ..]: Arguments) -> CallResult {
    stop_before_end(call, status)?;
    let process = call.process_id;
    call.kernel.end_process(process, Termination::Exited(status as u8));
    Err(Failure::NoReturn)
}

/// unshare(2): descriptors and locations can be separated; there are no namespaces.
pub(super) fn unshare(call: &mut Call<'_>, [bits, ..]: Arguments) -> CallResult {
    let flags = CloneFlags::from_bits(bits).ok_or(Errno::EINVAL)?;
    if flags.intersects(CloneFlags::NAMESPACES) {
        return Err(Errno::EPERM.into());
    }
    let threads = CloneFlags::THREAD | CloneFlags::SIGHAND | CloneFlags::VM;
    if flags.intersects(threads) && call.process().threads.len() > 1 {
        return Err(Errno::EINVAL.into());
    }
    if flags.contains(CloneFlags::FILES) {
        let files = call.task().files;
        call.kernel.own_descriptors(call.task_id, files);
    }
    if flags.contains(CloneFlags::FS) {
        let location = call.task().location;
        let own = call.kernel.locations[location];
        call.kernel.locations.release(location);
        call.task().location = call.kernel.locations.insert(own);
    }
    Ok(0)
}
