//! ptrace(2): the requests of debuggers, by their numbers on i386.

use pentimento_registers::{CpuState, DescriptorTables, TlsDescriptors};

use super::thread::{UserDescriptor, set_descriptor, tls_entry};
use crate::errno::Errno;
use crate::floating_point::{self, FSAVE, FXSAVE, LEGACY};
use crate::ids::{ProcessId, TaskId, Termination};
use crate::kernel::{Arguments, Call};
use crate::ptrace::{
    Event, Mode, REGISTERS, Stop, TraceOptions, Tracing, registers, set_register, set_registers,
};
use crate::record::Record;
use crate::signal::{Info, PendingSignals, Signal, SignalSet, code};
use crate::task::{Process, Task};
use crate::wait::CallResult;

/// Bytes of `struct user` on i386.
const USER_SIZE: u32 = 284;
/// Where its copies of the debug registers lie.
const DEBUG_REGISTERS: u32 = 252;

/// Types of register sets (`NT_*` of elf.h).
const NT_PRSTATUS: u32 = 1;
const NT_PRFPREG: u32 = 2;
const NT_386_TLS: u32 = 0x200;
const NT_PRXFPREG: u32 = 0x46e6_2b7f;

/// ptrace(2).
pub(super) fn ptrace(call: &mut Call<'_>, [request, target, address, data, ..]: Arguments) -> CallResult {
    const TRACEME: u32 = 0;
    const ATTACH: u32 = 16;
    const SEIZE: u32 = 0x4206;
    const KILL: u32 = 8;
    const INTERRUPT: u32 = 0x4207;
    let id = TaskId(target);
    match request {
        TRACEME => return trace_me(call),
        ATTACH => return attach(call, id, None),
        SEIZE if address != 0 => return Err(Errno::EIO.into()),
        SEIZE => {
            let options = TraceOptions::from_bits(data).ok_or(Errno::EIO)?;
            return attach(call, id, Some(options));
        }
        _ => {}
    }
    let own = call.process_id;
    let tracing = call.kernel.tracing(id).filter(|tracing| tracing.tracer == own).ok_or(Errno::ESRCH)?;
    match (request, tracing.stop) {
        (KILL, _) => {
            let process = call.kernel.tasks.get(&id).map(|task| task.process).ok_or(Errno::ESRCH)?;
            call.kernel.end_process(process, Termination::Killed(Signal::KILL.number()));
            Ok(0)
        }
        (INTERRUPT, _) if !tracing.seized => Err(Errno::EIO.into()),
        (INTERRUPT, None) => {
            tracing.interrupted = true;
            // What it waits for goes on afterwards.
            let waits = call.kernel.tasks.get(&id).and_then(|task| task.call.as_ref());
            if !waits.is_some_and(|call| call.uninterruptible) {
                call.kernel.make_runnable(id);
            }
            Ok(0)
        }
        (INTERRUPT, Some(_)) => {
            tracing.interrupted = !tracing.listening;
            call.kernel.continue_listener(id);
            Ok(0)
        }
        (_, None) => Err(Errno::ESRCH.into()),
        (_, Some(stop)) => serve(call, id, stop, [request, address, data]),
    }
}

/// A thread wants its parent to trace it.
fn trace_me(call: &mut Call<'_>) -> CallResult {
    if call.task().tracing.is_some() {
        return Err(Errno::EPERM.into());
    }
    let parent = call.process().parent;
    if !call.kernel.processes.contains_key(&parent) {
        return Err(Errno::EPERM.into());
    }
    call.kernel.begin_tracing(call.task_id, Tracing::new(parent, TraceOptions::default(), false));
    Ok(0)
}

/// Whether a process may look into another (ptrace(2), "Ptrace access mode checking").
pub(super) fn may_access(own: &Process, other: &Process) -> bool {
    let (mine, theirs) = (&own.credentials, &other.credentials);
    let same_user = [theirs.uid, theirs.euid, theirs.suid].iter().all(|id| *id == mine.uid);
    let same_group = [theirs.gid, theirs.egid, theirs.sgid].iter().all(|id| *id == mine.gid);
    mine.euid == 0 || same_user && same_group && other.attributes.dumpable == 1
}

/// PTRACE_ATTACH, and with options PTRACE_SEIZE.
fn attach(call: &mut Call<'_>, id: TaskId, seize: Option<TraceOptions>) -> CallResult {
    let own = call.process_id;
    let task = call.kernel.tasks.get(&id).ok_or(Errno::ESRCH)?;
    let other = call.kernel.processes.get(&task.process).ok_or(Errno::ESRCH)?;
    let is_stopped = other.stopped;
    if task.process == own || task.tracing.is_some() || !may_access(&call.kernel.processes[&own], other) {
        return Err(Errno::EPERM.into());
    }
    call.kernel.begin_tracing(id, Tracing::new(own, seize.unwrap_or_default(), seize.is_some()));
    if is_stopped {
        call.kernel.stop_tracee(id, Stop::Group(Signal::STOP));
    } else if seize.is_none() {
        let user = call.process().credentials.uid;
        call.kernel.signal_task(id, Info::sent(Signal::STOP, code::USER, own.number(), user));
    }
    Ok(0)
}

/// What there is of a traced thread to look at and to change.
struct Tracee<'a> {
    cpu: &'a mut CpuState,
    tls: &'a mut TlsDescriptors,
    mask: &'a mut SignalSet,
    pending: &'a PendingSignals,
    process: ProcessId,
    tracing: &'a mut Tracing,
}

/// A traced thread that is stopped.
fn tracee<'a>(call: &'a mut Call<'_>, id: TaskId) -> Result<Tracee<'a>, Errno> {
    let Task { process, cpu, tls, mask, pending, tracing, .. } =
        call.kernel.tasks.get_mut(&id).ok_or(Errno::ESRCH)?;
    let tracing = tracing.as_deref_mut().ok_or(Errno::ESRCH)?;
    Ok(Tracee { cpu, tls, mask, pending, process: *process, tracing })
}

/// Serves a request about a stopped thread.
fn serve(call: &mut Call<'_>, id: TaskId, stop: Stop, [request, address, data]: [u32; 3]) -> CallResult {
    match request {
        // PTRACE_PEEKTEXT, PTRACE_PEEKDATA, PTRACE_POKETEXT, PTRACE_POKEDATA
        1 | 2 => {
            let mut word = [0; 4];
            if call.kernel.read_memory(id, address, &mut word) < word.len() {
                return Err(Errno::EIO.into());
            }
            call.user().copy_out(data, &word)?;
        }
        4 | 5 => {
            if call.kernel.write_memory(id, address, &data.to_le_bytes()) < 4 {
                return Err(Errno::EIO.into());
            }
        }
        // PTRACE_PEEKUSR, PTRACE_POKEUSR
        3 => {
            let word = peek_user(call, id, address)?;
            call.user().write(data, word)?;
        }
        6 => poke_user(call, id, address, data)?,
        // PTRACE_CONT, PTRACE_SINGLESTEP, PTRACE_DETACH, PTRACE_SYSCALL, PTRACE_SYSEMU and its stepping kin
        7 => resume(call, id, (Mode::Free, false), data)?,
        9 => resume(call, id, (Mode::Free, true), data)?,
        17 => {
            let signal = optional_signal(data)?;
            call.kernel.end_tracing(id, signal);
        }
        24 => resume(call, id, (Mode::Calls, false), data)?,
        31 => resume(call, id, (Mode::Emulation, false), data)?,
        32 => resume(call, id, (Mode::Emulation, true), data)?,
        // PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_GETFPREGS, PTRACE_SETFPREGS, PTRACE_GETFPXREGS,
        // PTRACE_SETFPXREGS
        12 => get_set(call, id, NT_PRSTATUS, (data, u32::MAX)).map(drop)?,
        13 => put_set(call, id, NT_PRSTATUS, (data, 4 * REGISTERS as u32)).map(drop)?,
        14 => get_set(call, id, NT_PRFPREG, (data, u32::MAX)).map(drop)?,
        15 => put_set(call, id, NT_PRFPREG, (data, FSAVE as u32)).map(drop)?,
        18 => get_set(call, id, NT_PRXFPREG, (data, u32::MAX)).map(drop)?,
        19 => put_set(call, id, NT_PRXFPREG, (data, FXSAVE)).map(drop)?,
        // PTRACE_GET_THREAD_AREA, PTRACE_SET_THREAD_AREA
        25 => {
            let entry = tls_entry(address)?;
            let held = tracee(call, id)?.tls.get(entry);
            let words = UserDescriptor::from_descriptor(address, held).0;
            call.user().copy_out(data, words.iter().fold(Record::new(), |r, w| r.u32(*w)).as_bytes())?;
        }
        26 => {
            tls_entry(address)?;
            let [_, base, limit, flags] = call.user().words(data)?;
            set_descriptor(tracee(call, id)?.tls, UserDescriptor([address, base, limit, flags]), false)?;
            call.kernel.refresh_segments(id);
        }
        // PTRACE_SETOPTIONS and PTRACE_OLDSETOPTIONS
        21 | 0x4200 => {
            let options = TraceOptions::from_bits(data).ok_or(Errno::EINVAL)?;
            tracee(call, id)?.tracing.options = options;
        }
        _ => return inspect(call, id, stop, [request, address, data]),
    }
    Ok(0)
}

/// Serves the newer requests, whose numbers are the same on all machines.
fn inspect(call: &mut Call<'_>, id: TaskId, stop: Stop, [request, address, data]: [u32; 3]) -> CallResult {
    match request {
        // PTRACE_GETEVENTMSG
        0x4201 => {
            let message = tracee(call, id)?.tracing.message;
            call.user().write(data, message)?;
        }
        // PTRACE_GETSIGINFO, PTRACE_SETSIGINFO
        0x4202 => {
            let info = stop_info(call, id, stop)?;
            call.user().copy_out(data, &info.to_bytes())?;
        }
        0x4203 => {
            let bytes = call.user().array(data)?;
            let tracing = tracee(call, id)?.tracing;
            let number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            match (&mut tracing.stop, Signal::new(number)) {
                (Some(Stop::Signal(info)), Some(signal)) => *info = Info::from_bytes(signal, &bytes),
                _ => return Err(Errno::EINVAL.into()),
            }
        }
        // PTRACE_GETREGSET, PTRACE_SETREGSET
        0x4204 | 0x4205 => {
            let [base, length] = call.user().words(data)?;
            let done = match request {
                0x4204 => get_set(call, id, address, (base, length))?,
                _ => put_set(call, id, address, (base, length))?,
            };
            call.user().write(data.wrapping_add(4), done)?;
        }
        // PTRACE_LISTEN
        0x4208 => {
            let tracing = tracee(call, id)?.tracing;
            let is_group = matches!(stop, Stop::Group(_) | Stop::Event(Event::Stop));
            if !tracing.seized || !is_group {
                return Err(Errno::EIO.into());
            }
            tracing.listening = true;
            // Where the process has gone on since the stop, that is told at once.
            if !call.kernel.process(id).stopped {
                call.kernel.continue_listener(id);
            }
        }
        // PTRACE_PEEKSIGINFO
        0x4209 => return peek_signals(call, id, address, data),
        // PTRACE_GETSIGMASK, PTRACE_SETSIGMASK
        0x420a | 0x420b if address != 8 => return Err(Errno::EINVAL.into()),
        0x420a => {
            let mask = tracee(call, id)?.mask.0;
            call.user().copy_out(data, &mask.to_le_bytes())?;
        }
        0x420b => {
            let mask = u64::from_le_bytes(call.user().array(data)?);
            *tracee(call, id)?.mask = SignalSet(mask).as_mask();
        }
        // PTRACE_GET_SYSCALL_INFO
        0x420e => return call_info(call, id, stop, (address, data)),
        _ => return Err(Errno::EIO.into()),
    }
    Ok(0)
}

/// A signal, or none for 0.
fn optional_signal(number: u32) -> Result<Option<Signal>, Errno> {
    match number {
        0 => Ok(None),
        number => Signal::new(number).map(Some).ok_or(Errno::EIO),
    }
}

fn resume(call: &mut Call<'_>, id: TaskId, (mode, step): (Mode, bool), signal: u32) -> Result<(), Errno> {
    let signal = optional_signal(signal)?;
    call.kernel.resume_tracee(id, mode, step, signal);
    Ok(())
}

/// A word of `struct user`: the registers; debug registers and all else are zero.
fn peek_user(call: &mut Call<'_>, id: TaskId, offset: u32) -> Result<u32, Errno> {
    if !offset.is_multiple_of(4) || offset >= USER_SIZE {
        return Err(Errno::EIO);
    }
    let tracee = tracee(call, id)?;
    let words = registers(tracee.cpu, tracee.tracing.original);
    Ok(words.get(offset as usize / 4).copied().unwrap_or(0))
}

/// Sets a word of `struct user`: a register. Debug registers can only be cleared.
fn poke_user(call: &mut Call<'_>, id: TaskId, offset: u32, value: u32) -> Result<(), Errno> {
    if !offset.is_multiple_of(4) || offset >= USER_SIZE {
        return Err(Errno::EIO);
    }
    match offset {
        offset if (offset as usize) < 4 * REGISTERS => change(call, id, |cpu, original, tables| {
            set_register(cpu, original, tables, offset as usize / 4, value)
        }),
        offset if offset >= DEBUG_REGISTERS && value == 0 => Ok(()),
        _ => Err(Errno::EIO),
    }
}

/// Changes a thread's registers, all of them or none.
fn change(
    call: &mut Call<'_>,
    id: TaskId,
    change: impl FnOnce(&mut CpuState, &mut u32, DescriptorTables<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let kernel = &mut *call.kernel;
    let task = kernel.tasks.get_mut(&id).ok_or(Errno::ESRCH)?;
    let space = kernel.processes.get(&task.process).and_then(|process| process.space);
    let space = space.and_then(|space| kernel.spaces.get(space)).ok_or(Errno::ESRCH)?;
    let tracing = task.tracing.as_mut().ok_or(Errno::ESRCH)?;
    let mut cpu = task.cpu.clone();
    let tables = DescriptorTables { tls: &task.tls, local: &space.local_descriptors };
    change(&mut cpu, &mut tracing.original, tables)?;
    task.cpu = cpu;
    Ok(())
}

/// Stores a set of registers of at most `room` bytes, and says how many there were.
fn get_set(call: &mut Call<'_>, id: TaskId, set: u32, (base, room): (u32, u32)) -> Result<u32, Errno> {
    let tracee = tracee(call, id)?;
    let images = floating_point::images(tracee.cpu);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let (bytes, unit) = match set {
        NT_PRSTATUS => (words(&registers(tracee.cpu, tracee.tracing.original)), 4),
        NT_PRFPREG => (images.as_bytes()[..FSAVE].to_vec(), 4),
        NT_PRXFPREG => (images.as_bytes()[LEGACY as usize..].to_vec(), 4),
        NT_386_TLS => {
            let entries = (0..3).map(|index| {
                let entry = TlsDescriptors::FIRST + index;
                UserDescriptor::from_descriptor(entry.into(), tracee.tls.get(entry)).0
            });
            (words(&entries.flatten().collect::<Vec<u32>>()), 16)
        }
        // Extended state and the like: the processor has none (NT_X86_XSTATE), or ports are closed.
        _ => return Err(if set == 0x202 { Errno::ENODEV } else { Errno::EINVAL }),
    };
    if room != u32::MAX && !room.is_multiple_of(unit) {
        return Err(Errno::EINVAL);
    }
    let length = bytes.len().min(room as usize);
    call.user().copy_out(base, &bytes[..length])?;
    Ok(length as u32)
}

/// Sets a set of registers, or its beginning, from `length` bytes; says how many were taken.
fn put_set(call: &mut Call<'_>, id: TaskId, set: u32, (base, length): (u32, u32)) -> Result<u32, Errno> {
    let (size, unit) = match set {
        NT_PRSTATUS => (4 * REGISTERS as u32, 4),
        NT_PRFPREG => (FSAVE as u32, 4),
        NT_PRXFPREG => (FXSAVE, 4),
        NT_386_TLS => (48, 16),
        _ => return Err(if set == 0x202 { Errno::ENODEV } else { Errno::EINVAL }),
    };
    if !length.is_multiple_of(unit) {
        return Err(Errno::EINVAL);
    }
    let length = length.min(size);
    let given = call.user().bytes(base, length)?;
    let (words, _) = given.as_chunks();
    let words: Vec<u32> = words.iter().copied().map(u32::from_le_bytes).collect();
    let images = floating_point::images(tracee(call, id)?.cpu);
    let mut image = match set {
        NT_PRFPREG => images.as_bytes()[..FSAVE].to_vec(),
        _ => images.as_bytes()[LEGACY as usize..].to_vec(),
    };
    if matches!(set, NT_PRFPREG | NT_PRXFPREG) {
        image[..given.len()].copy_from_slice(&given);
    }
    match set {
        NT_PRSTATUS => {
            change(call, id, |cpu, original, tables| set_registers(cpu, original, tables, &words))?;
        }
        NT_PRFPREG => {
            let image = image.first_chunk().ok_or(Errno::EINVAL)?;
            floating_point::restore_fsave(tracee(call, id)?.cpu, image);
        }
        NT_PRXFPREG => {
            let image: &[u8; FXSAVE as usize] = image.first_chunk().ok_or(Errno::EINVAL)?;
            // Reserved bits of MXCSR.
            if u32::from_le_bytes([image[24], image[25], image[26], image[27]]) & !0xffff != 0 {
                return Err(Errno::EINVAL);
            }
            floating_point::restore_fxsave(tracee(call, id)?.cpu, image);
        }
        _ => {
            for (index, entry) in words.as_chunks::<4>().0.iter().enumerate() {
                let number = u32::from(TlsDescriptors::FIRST) + index as u32;
                let [_, base, limit, flags] = *entry;
                let user = UserDescriptor([number, base, limit, flags]);
                set_descriptor(tracee(call, id)?.tls, user, false)?;
            }
            call.kernel.refresh_segments(id);
        }
    }
    Ok(length)
}

/// The `siginfo_t` of a stop: the signal's own, or what tells of stops of other kinds.
fn stop_info(call: &mut Call<'_>, id: TaskId, stop: Stop) -> Result<Info, Errno> {
    let user = call.kernel.process(id).credentials.uid;
    let tracing = tracee(call, id)?.tracing;
    let status = tracing.status().unwrap_or_default();
    match stop {
        Stop::Signal(info) => Ok(info),
        // What tells a stop of the group from one for a signal.
        Stop::Group(_) if !tracing.seized => Err(Errno::EINVAL),
        Stop::Group(_) | Stop::Event(_) | Stop::Entry { .. } | Stop::Exit | Stop::Handler => {
            Ok(Info::sent(Signal::TRAP, status as i32, id.number(), user))
        }
    }
}

/// PTRACE_PEEKSIGINFO: signals in the queue, from a place on. Says how many.
fn peek_signals(call: &mut Call<'_>, id: TaskId, arguments: u32, data: u32) -> CallResult {
    const SHARED: u32 = 1;
    let [offset, offset_high, flags, count] = call.user().words(arguments)?;
    if flags & !SHARED != 0 || (count as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    if offset_high != 0 {
        return Ok(0);
    }
    let tracee = tracee(call, id)?;
    let process = tracee.process;
    let pending: Vec<Info> = match flags & SHARED {
        0 => tracee.pending.iter().copied().collect(),
        _ => {
            call.kernel.processes.get(&process).map_or_else(Vec::new, |p| p.pending.iter().copied().collect())
        }
    };
    let mut done = 0;
    for info in pending.iter().skip(offset as usize).take(count as usize) {
        call.user().copy_out(data.wrapping_add(done * Info::SIZE), &info.to_bytes())?;
        done += 1;
    }
    Ok(done)
}

/// PTRACE_GET_SYSCALL_INFO: stores at most `room` bytes, and says how many there are.
fn call_info(call: &mut Call<'_>, id: TaskId, stop: Stop, (room, data): (u32, u32)) -> CallResult {
    const AUDIT_ARCH_I386: u32 = 0x4000_0003;
    let tracee = tracee(call, id)?;
    let original = tracee.tracing.original;
    let words = registers(tracee.cpu, original);
    let operation = match stop {
        Stop::Entry { .. } => 1,
        Stop::Exit => 2,
        _ => 0,
    };
    let record =
        Record::new().u32(operation).u32(AUDIT_ARCH_I386).u64(words[12].into()).u64(words[15].into());
    let record = match stop {
        Stop::Entry { .. } => {
            let [ebx, ecx, edx, esi, edi, ebp, ..] = words;
            let arguments = [original, ebx, ecx, edx, esi, edi, ebp];
            arguments.iter().fold(record, |record, argument| record.u64(u64::from(*argument)))
        }
        Stop::Exit => {
            let eax = words[6];
            let failed = Errno::from_register(eax).is_some();
            record.u64(i64::from(eax as i32) as u64).u8(failed.into())
        }
        _ => record,
    };
    let bytes = record.as_bytes();
    call.user().copy_out(data, &bytes[..bytes.len().min(room as usize)])?;
    Ok(bytes.len() as u32)
}
