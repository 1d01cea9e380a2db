//! The system as a whole: names, limits, random numbers, and the odds and ends of prctl(2).

use crate::errno::Errno;
use crate::ids::ProcessId;
use crate::kernel::{Arguments, Call, Kernel};
use crate::record::Record;
use crate::resource::{Limit, Resource};
use crate::signal::Signal;
use crate::wait::CallResult;

/// Bytes of a field of `struct utsname`.
const NAME: usize = 65;

/// The fields of `struct utsname`.
fn names(kernel: &Kernel) -> [Vec<u8>; 6] {
    [
        b"Linux".to_vec(),
        kernel.host_name.clone(),
        b"6.1.0-pentimento".to_vec(),
        b"#1 SMP PREEMPT_DYNAMIC 2000-01-01".to_vec(),
        b"i686".to_vec(),
        kernel.domain_name.clone(),
    ]
}

/// uname(2) with `count` fields of `size` bytes.
fn name_system(call: &mut Call<'_>, address: u32, count: usize, size: usize) -> CallResult {
    let record =
        names(call.kernel).iter().take(count).enumerate().fold(Record::new(), |record, (index, field)| {
            record.bytes(&field[..field.len().min(size - 1)]).pad_to(size * (index + 1))
        });
    call.user().copy_out(address, record.as_bytes())?;
    Ok(0)
}

/// uname(2).
pub(super) fn uname(call: &mut Call<'_>, [address, ..]: Arguments) -> CallResult {
    name_system(call, address, 6, NAME)
}

/// uname(2) as number 109: without the domain.
pub(super) fn olduname(call: &mut Call<'_>, [address, ..]: Arguments) -> CallResult {
    name_system(call, address, 5, NAME)
}

/// uname(2) as number 59: fields of nine bytes.
pub(super) fn oldolduname(call: &mut Call<'_>, [address, ..]: Arguments) -> CallResult {
    name_system(call, address, 5, 9)
}

/// A name that the superuser gives the machine.
fn new_name(call: &mut Call<'_>, name: u32, length: u32) -> Result<Vec<u8>, Errno> {
    if call.process().credentials.euid != 0 {
        return Err(Errno::EPERM);
    }
    if length >= NAME as u32 {
        return Err(Errno::EINVAL);
    }
    call.user().bytes(name, length)
}

/// setdomainname(2).
pub(super) fn setdomainname(call: &mut Call<'_>, [name, length, ..]: Arguments) -> CallResult {
    call.kernel.domain_name = new_name(call, name, length)?;
    Ok(0)
}

/// syslog(2): the kernel's log is empty.
pub(super) fn syslog(call: &mut Call<'_>, [action, buffer, length, ..]: Arguments) -> CallResult {
    match action {
        // SYSLOG_ACTION_READ would wait for a message that never comes; the others find none.
        2..=4 if buffer == 0 || length as i32 <= -1 => Err(Errno::EINVAL.into()),
        2 | 5 | 6 | 7 | 8 if call.process().credentials.euid != 0 => Err(Errno::EPERM.into()),
        0..=10 => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// arch_prctl(2): a 32-bit program can only ask whether CPUID works.
pub(super) fn arch_prctl(_: &mut Call<'_>, [code, ..]: Arguments) -> CallResult {
    const ARCH_GET_CPUID: u32 = 0x1011;
    const ARCH_SET_CPUID: u32 = 0x1012;
    match code {
        ARCH_GET_CPUID => Ok(1),
        ARCH_SET_CPUID => Err(Errno::ENODEV.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// sethostname(2).
pub(super) fn sethostname(call: &mut Call<'_>, [name, length, ..]: Arguments) -> CallResult {
    call.kernel.host_name = new_name(call, name, length)?;
    Ok(0)
}

/// sysinfo(2).
pub(super) fn sysinfo(call: &mut Call<'_>, [address, ..]: Arguments) -> CallResult {
    let uptime = (call.kernel.time.monotonic() / 1_000_000_000) as u32;
    let used: u64 =
        call.kernel.spaces.iter().map(|(_, space)| u64::from(space.memory.resident_pages()) * 4096).sum();
    let total = call.kernel.limits.memory.min(u64::from(u32::MAX));
    let free = total.saturating_sub(used) as u32;
    let record = Record::new()
        .u32(uptime)
        .u32(0)
        .u32(0)
        .u32(0)
        .u32(total as u32)
        .u32(free)
        .u32(0)
        .u32(0)
        .u32(0)
        .u32(0)
        .u16(call.kernel.processes.len().min(usize::from(u16::MAX)) as u16)
        .u16(0)
        .u32(0)
        .u32(0)
        .u32(1)
        .pad_to(64);
    call.user().copy_out(address, record.as_bytes())?;
    Ok(0)
}

/// getrandom(2).
pub(super) fn getrandom(call: &mut Call<'_>, [address, length, flags, ..]: Arguments) -> CallResult {
    const CHUNK: u32 = 4096;
    if flags & !7 != 0 || flags & 6 == 6 {
        return Err(Errno::EINVAL.into());
    }
    let length = length.min(0x01ff_ffff);
    let mut done = call.pending()?.progress;
    while done < length {
        call.spend_bytes(CHUNK, done)?;
        let mut chunk = vec![0; CHUNK.min(length - done) as usize];
        call.kernel.fill_random(&mut chunk);
        match call.user().copy_out(address.wrapping_add(done), &chunk) {
            Ok(()) => done += chunk.len() as u32,
            Err(errno) if done == 0 => return Err(errno.into()),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// The resource with `number`.
fn resource(number: u32) -> Result<Resource, Errno> {
    Resource::from_number(number).ok_or(Errno::EINVAL)
}

/// A limit as 32 bits, all ones for what is larger.
fn short(limit: u64) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

/// A 32-bit limit, all ones for infinity.
fn long(limit: u32) -> u64 {
    if limit == u32::MAX { u64::MAX } else { u64::from(limit) }
}

/// getrlimit(2) as number 191.
pub(super) fn getrlimit(call: &mut Call<'_>, [number, address, ..]: Arguments) -> CallResult {
    let Limit { soft, hard } = call.process().limits[resource(number)?];
    call.user().copy_out(address, Record::new().u32(short(soft)).u32(short(hard)).as_bytes())?;
    Ok(0)
}

/// getrlimit(2) as number 76, whose infinity is the largest signed number.
pub(super) fn old_getrlimit(call: &mut Call<'_>, [number, address, ..]: Arguments) -> CallResult {
    let Limit { soft, hard } = call.process().limits[resource(number)?];
    let clamp = |limit| short(limit).min(i32::MAX as u32);
    call.user().copy_out(address, Record::new().u32(clamp(soft)).u32(clamp(hard)).as_bytes())?;
    Ok(0)
}

/// Sets a limit of a process: raising the hard one takes the superuser, and the machine's own limits stay.
fn set_limit(kernel: &mut Kernel, id: ProcessId, resource: Resource, limit: Limit) -> Result<(), Errno> {
    let machine = &kernel.limits;
    let highest = if resource == Resource::Nofile { u64::from(machine.descriptors) } else { u64::MAX };
    let memory = machine.memory;
    let process = kernel.processes.get_mut(&id).ok_or(Errno::ESRCH)?;
    if limit.soft > limit.hard {
        return Err(Errno::EINVAL);
    }
    let raises = limit.hard > process.limits[resource].hard;
    if raises && process.credentials.euid != 0 || limit.hard > highest {
        return Err(Errno::EPERM);
    }
    process.limits[resource] = limit;
    if resource == Resource::Cpu {
        process.timers.limit = limit.soft;
    }
    let Some(space) = process.space.and_then(|space| kernel.spaces.get_mut(space)) else { return Ok(()) };
    match resource {
        Resource::Stack => space.stack_limit = short(limit.soft),
        Resource::As => space.limit = limit.soft.min(memory),
        Resource::Data => space.data_limit = limit.soft,
        _ => {}
    }
    Ok(())
}

/// setrlimit(2).
pub(super) fn setrlimit(call: &mut Call<'_>, [number, address, ..]: Arguments) -> CallResult {
    let [soft, hard] = call.user().words(address)?;
    let own = call.process_id;
    let limit = Limit { soft: long(soft), hard: long(hard) };
    set_limit(call.kernel, own, resource(number)?, limit)?;
    Ok(0)
}

/// prlimit64(2).
pub(super) fn prlimit64(call: &mut Call<'_>, [target, number, new, old, ..]: Arguments) -> CallResult {
    let id = if target == 0 { call.process_id } else { ProcessId(target) };
    let new = if new == 0 { None } else { Some(call.user().words(new)?) };
    let limits = &call.kernel.processes.get(&id).ok_or(Errno::ESRCH)?.limits;
    let resource = resource(number)?;
    let before = limits[resource];
    if let Some([a, b, c, d]) = new {
        let wide = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        set_limit(call.kernel, id, resource, Limit { soft: wide(a, b), hard: wide(c, d) })?;
    }
    if old != 0 {
        call.user().copy_out(old, Record::new().u64(before.soft).u64(before.hard).as_bytes())?;
    }
    Ok(0)
}

/// personality(2): remembered, and honoured for ADDR_NO_RANDOMIZE, ADDR_LIMIT_3GB and READ_IMPLIES_EXEC at the next execve.
pub(super) fn personality(call: &mut Call<'_>, [wanted, ..]: Arguments) -> CallResult {
    let process = call.process();
    let before = process.personality;
    if wanted != u32::MAX {
        process.personality = wanted;
    }
    Ok(before)
}

/// The highest capability that there is (CAP_CHECKPOINT_RESTORE).
const LAST_CAPABILITY: u32 = 40;

/// prctl(2).
pub(super) fn prctl(call: &mut Call<'_>, [option, value, other, ..]: Arguments) -> CallResult {
    match option {
        1 if value == 0 || Signal::new(value).is_some() => call.process().attributes.death_signal = value,
        2 => {
            let signal = call.process().attributes.death_signal;
            call.user().write(value, signal)?;
        }
        3 => return Ok(call.process().attributes.dumpable),
        4 if value <= 1 => call.process().attributes.dumpable = value,
        7 => return Ok(call.process().attributes.keep_capabilities),
        8 if value <= 1 => call.process().attributes.keep_capabilities = value,
        15 => {
            let name = call.user().bytes_until_zero(value, 15)?;
            call.task().name = name;
        }
        16 => {
            let name = Record::new().bytes(&call.task().name).pad_to(16);
            call.user().copy_out(value, name.as_bytes())?;
        }
        21 => return Ok(call.task().seccomp.mode()),
        22 => return super::seccomp::set_mode(call, value, other),
        // PR_GET_TIMING
        13 => {}
        // PR_CAPBSET_READ
        23 => return if value <= LAST_CAPABILITY { Ok(1) } else { Err(Errno::EINVAL.into()) },
        // PR_GET_SECUREBITS: none is set.
        27 => {}
        // PR_CAP_AMBIENT: the set is empty, and without capabilities that could be passed on stays so.
        47 => return ambient(value, other),
        29 => call.process().attributes.timer_slack = value,
        30 => return Ok(call.process().attributes.timer_slack),
        36 => call.process().attributes.subreaper = u32::from(value != 0),
        37 => {
            let subreaper = call.process().attributes.subreaper;
            call.user().write(value, subreaper)?;
        }
        38 if value == 1 => call.process().attributes.no_new_privileges = 1,
        39 => return Ok(call.process().attributes.no_new_privileges),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// prctl(PR_CAP_AMBIENT).
fn ambient(operation: u32, capability: u32) -> CallResult {
    const IS_SET: u32 = 1;
    const RAISE: u32 = 2;
    const LOWER: u32 = 3;
    const CLEAR_ALL: u32 = 4;
    match operation {
        CLEAR_ALL if capability == 0 => Ok(0),
        IS_SET | LOWER if capability <= LAST_CAPABILITY => Ok(0),
        RAISE if capability <= LAST_CAPABILITY => Err(Errno::EPERM.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// Calls that are known and do nothing here: vhangup(2), sync(2)'s kind without files, and so on.
pub(super) fn accept(_: &mut Call<'_>, _: Arguments) -> CallResult {
    Ok(0)
}

/// Calls that only the superuser of a real machine may make.
pub(super) fn forbidden(_: &mut Call<'_>, _: Arguments) -> CallResult {
    Err(Errno::EPERM.into())
}
