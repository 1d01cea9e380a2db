//! Who a process is: its numbers, users, groups, process group and session.

use crate::errno::Errno;
use crate::ids::ProcessId;
use crate::kernel::{Arguments, Call};
use crate::record::Record;
use crate::task::Credentials;
use crate::wait::CallResult;

/// Groups that a process may be in beside its own (NGROUPS_MAX).
const GROUPS_MAX: u32 = 65_536;

/// "Leave it as it is" in setresuid(2) and its like.
const KEEP: u32 = u32::MAX;

/// getpid(2).
pub(super) fn getpid(call: &mut Call<'_>, _: Arguments) -> CallResult {
    Ok(call.process_id.0)
}

/// gettid(2).
pub(super) fn gettid(call: &mut Call<'_>, _: Arguments) -> CallResult {
    Ok(call.task_id.0)
}

/// getppid(2).
pub(super) fn getppid(call: &mut Call<'_>, _: Arguments) -> CallResult {
    Ok(call.process().parent.0)
}

/// The process that a number names, 0 being the caller's.
fn named(call: &mut Call<'_>, number: u32) -> Result<ProcessId, Errno> {
    if (number as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    let id = if number == 0 { call.process_id } else { ProcessId(number) };
    if call.kernel.processes.contains_key(&id) { Ok(id) } else { Err(Errno::ESRCH) }
}

/// getpgid(2).
pub(super) fn getpgid(call: &mut Call<'_>, [number, ..]: Arguments) -> CallResult {
    let id = named(call, number).map_err(|_| Errno::ESRCH)?;
    Ok(call.kernel.processes[&id].group.0)
}

/// getpgrp(2).
pub(super) fn getpgrp(call: &mut Call<'_>, _: Arguments) -> CallResult {
    Ok(call.process().group.0)
}

/// getsid(2).
pub(super) fn getsid(call: &mut Call<'_>, [number, ..]: Arguments) -> CallResult {
    let id = named(call, number).map_err(|_| Errno::ESRCH)?;
    Ok(call.kernel.processes[&id].session.0)
}

/// setpgid(2).
pub(super) fn setpgid(call: &mut Call<'_>, [number, group, ..]: Arguments) -> CallResult {
    if (group as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    let own = call.process_id;
    let id = named(call, number)?;
    let session = call.process().session;
    let target = &call.kernel.processes[&id];
    if id != own && target.parent != own {
        return Err(Errno::ESRCH.into());
    }
    if id != own && target.has_executed {
        return Err(Errno::EACCES.into());
    }
    let group = if group == 0 { id } else { ProcessId(group) };
    let exists = group == id
        || call.kernel.processes.values().any(|other| other.group == group && other.session == session);
    if target.session != session || target.session == id || !exists {
        return Err(Errno::EPERM.into());
    }
    if let Some(target) = call.kernel.processes.get_mut(&id) {
        target.group = group;
    }
    Ok(0)
}

/// setsid(2).
pub(super) fn setsid(call: &mut Call<'_>, _: Arguments) -> CallResult {
    let own = call.process_id;
    if call.kernel.processes.values().any(|process| process.group == own) {
        return Err(Errno::EPERM.into());
    }
    let process = call.process();
    (process.group, process.session) = (own, own);
    Ok(own.0)
}

/// The getters of one number.
macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident => $field:ident;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name(call: &mut Call<'_>, _: Arguments) -> CallResult {
            Ok(call.process().credentials.$field)
        }
    )*};
    ($($(#[$doc:meta])* $name:ident => short $field:ident;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name(call: &mut Call<'_>, _: Arguments) -> CallResult {
            Ok(shorten(call.process().credentials.$field).into())
        }
    )*};
}

getters! {
    /// getuid(2) with a 16-bit result.
    getuid16 => short uid;
    /// geteuid(2) with a 16-bit result.
    geteuid16 => short euid;
    /// getgid(2) with a 16-bit result.
    getgid16 => short gid;
    /// getegid(2) with a 16-bit result.
    getegid16 => short egid;
}

getters! {
    /// getuid(2).
    getuid => uid;
    /// geteuid(2).
    geteuid => euid;
    /// getgid(2).
    getgid => gid;
    /// getegid(2).
    getegid => egid;
}

/// The real, effective, saved and file system's number of a kind of identity.
type Quadruple = [u32; 4];

/// User or group numbers of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    User,
    Group,
}

impl Which {
    fn get(self, credentials: &Credentials) -> Quadruple {
        let c = credentials;
        match self {
            Self::User => [c.uid, c.euid, c.suid, c.fsuid],
            Self::Group => [c.gid, c.egid, c.sgid, c.fsgid],
        }
    }

    fn set(self, credentials: &mut Credentials, [real, effective, saved, file]: Quadruple) {
        let c = credentials;
        match self {
            Self::User => (c.uid, c.euid, c.suid, c.fsuid) = (real, effective, saved, file),
            Self::Group => (c.gid, c.egid, c.sgid, c.fsgid) = (real, effective, saved, file),
        }
    }
}

/// Changes real, effective and saved numbers: the superuser to anything, others to what they have.
fn set_all(call: &mut Call<'_>, which: Which, wanted: [u32; 3]) -> CallResult {
    let credentials = &mut call.process().credentials;
    let old = which.get(credentials);
    let allowed = |id: u32| credentials.euid == 0 || id == KEEP || old[..3].contains(&id);
    if !wanted.into_iter().all(allowed) {
        return Err(Errno::EPERM.into());
    }
    let pick = |index: usize| if wanted[index] == KEEP { old[index] } else { wanted[index] };
    let new = [pick(0), pick(1), pick(2)];
    which.set(credentials, [new[0], new[1], new[2], new[1]]);
    Ok(0)
}

/// setuid(2) and setgid(2): the superuser changes all three, others the effective one.
fn set_one(call: &mut Call<'_>, which: Which, id: u32) -> CallResult {
    if id == KEEP {
        return Err(Errno::EINVAL.into());
    }
    let credentials = &call.process().credentials;
    let [real, _, saved, _] = which.get(credentials);
    if credentials.euid == 0 {
        return set_all(call, which, [id; 3]);
    }
    if id != real && id != saved {
        return Err(Errno::EPERM.into());
    }
    set_all(call, which, [KEEP, id, KEEP])
}

/// setreuid(2) and setregid(2): the saved number follows the effective one.
fn set_two(call: &mut Call<'_>, which: Which, [real, effective]: [u32; 2]) -> CallResult {
    let old = which.get(&call.process().credentials);
    let new_effective = if effective == KEEP { old[1] } else { effective };
    let saves = real != KEEP || effective != KEEP && effective != old[0];
    let privileged = call.process().credentials.euid == 0;
    let may_real = privileged || real == KEEP || real == old[0] || real == old[1];
    let may_effective = privileged || effective == KEEP || old[..3].contains(&effective);
    if !may_real || !may_effective {
        return Err(Errno::EPERM.into());
    }
    let new_real = if real == KEEP { old[0] } else { real };
    let saved = if saves { new_effective } else { old[2] };
    which.set(&mut call.process().credentials, [new_real, new_effective, saved, new_effective]);
    Ok(0)
}

/// setfsuid(2) and setfsgid(2): returns the old number whether or not it changed.
fn set_file(call: &mut Call<'_>, which: Which, id: u32) -> CallResult {
    let credentials = &mut call.process().credentials;
    let old = which.get(credentials);
    if id != KEEP && (credentials.euid == 0 || old.contains(&id)) {
        which.set(credentials, [old[0], old[1], old[2], id]);
    }
    Ok(old[3])
}

/// A 16-bit number as the calls with 32-bit ones take it.
const fn widen(id: u32) -> u32 {
    if id & 0xffff == 0xffff { KEEP } else { id & 0xffff }
}

/// The 16-bit forms: a number of which all bits are set leaves things as they are.
macro_rules! short_setters {
    ($($(#[$doc:meta])* $name:ident => $wide:ident;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
            $wide(call, arguments.map(widen))
        }
    )*};
}

short_setters! {
    /// setuid(2) with a 16-bit number.
    setuid16 => setuid;
    /// setgid(2) with a 16-bit number.
    setgid16 => setgid;
    /// setreuid(2) with 16-bit numbers.
    setreuid16 => setreuid;
    /// setregid(2) with 16-bit numbers.
    setregid16 => setregid;
    /// setresuid(2) with 16-bit numbers.
    setresuid16 => setresuid;
    /// setresgid(2) with 16-bit numbers.
    setresgid16 => setresgid;
    /// setfsuid(2) with a 16-bit number.
    setfsuid16 => setfsuid;
    /// setfsgid(2) with a 16-bit number.
    setfsgid16 => setfsgid;
}

/// The calls that change numbers, for users and for groups.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident => $common:ident($which:ident, $($pattern:ident)|+);)*) => {$(
        $(#[$doc])*
        pub(super) fn $name(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
            $common(call, Which::$which, setters!(@take arguments $($pattern)|+))
        }
    )*};
    (@take $arguments:ident one) => { $arguments[0] };
    (@take $arguments:ident two) => { [$arguments[0], $arguments[1]] };
    (@take $arguments:ident three) => { [$arguments[0], $arguments[1], $arguments[2]] };
}

setters! {
    /// setuid(2).
    setuid => set_one(User, one);
    /// setgid(2).
    setgid => set_one(Group, one);
    /// setreuid(2).
    setreuid => set_two(User, two);
    /// setregid(2).
    setregid => set_two(Group, two);
    /// setresuid(2).
    setresuid => set_all(User, three);
    /// setresgid(2).
    setresgid => set_all(Group, three);
    /// setfsuid(2).
    setfsuid => set_file(User, one);
    /// setfsgid(2).
    setfsgid => set_file(Group, one);
}

fn get_all(call: &mut Call<'_>, which: Which, addresses: [u32; 3]) -> CallResult {
    let ids = which.get(&call.process().credentials);
    for (address, id) in addresses.into_iter().zip(ids) {
        call.user().write(address, id)?;
    }
    Ok(0)
}

/// getresuid(2).
pub(super) fn getresuid(call: &mut Call<'_>, [real, effective, saved, ..]: Arguments) -> CallResult {
    get_all(call, Which::User, [real, effective, saved])
}

/// getresgid(2).
pub(super) fn getresgid(call: &mut Call<'_>, [real, effective, saved, ..]: Arguments) -> CallResult {
    get_all(call, Which::Group, [real, effective, saved])
}

/// getresuid(2) and getresgid(2) with 16-bit numbers.
fn get_all16(call: &mut Call<'_>, which: Which, addresses: [u32; 3]) -> CallResult {
    let ids = which.get(&call.process().credentials);
    for (address, id) in addresses.into_iter().zip(ids) {
        call.user().write(address, shorten(id))?;
    }
    Ok(0)
}

/// getresuid(2) with 16-bit numbers.
pub(super) fn getresuid16(call: &mut Call<'_>, [real, effective, saved, ..]: Arguments) -> CallResult {
    get_all16(call, Which::User, [real, effective, saved])
}

/// getresgid(2) with 16-bit numbers.
pub(super) fn getresgid16(call: &mut Call<'_>, [real, effective, saved, ..]: Arguments) -> CallResult {
    get_all16(call, Which::Group, [real, effective, saved])
}

/// A user or group in 16 bits; one that needs more shows as the overflow one.
fn shorten(id: u32) -> u16 {
    u16::try_from(id).unwrap_or(65_534)
}

/// getgroups(2).
pub(super) fn getgroups(call: &mut Call<'_>, [size, list, ..]: Arguments) -> CallResult {
    let groups = call.process().credentials.groups.clone();
    let count = groups.len() as u32;
    if (size as i32) < 0 || size != 0 && size < count {
        return Err(Errno::EINVAL.into());
    }
    if size != 0 {
        let record = groups.iter().fold(Record::new(), |record, group| record.u32(*group));
        call.user().copy_out(list, record.as_bytes())?;
    }
    Ok(count)
}

/// getgroups(2) with 16-bit numbers; a group that needs more shows as the overflow group.
pub(super) fn getgroups16(call: &mut Call<'_>, [size, list, ..]: Arguments) -> CallResult {
    let groups = call.process().credentials.groups.clone();
    let count = groups.len() as u32;
    if (size as i32) < 0 || size != 0 && size < count {
        return Err(Errno::EINVAL.into());
    }
    if size != 0 {
        let record = groups.iter().fold(Record::new(), |record, group| record.u16(shorten(*group)));
        call.user().copy_out(list, record.as_bytes())?;
    }
    Ok(count)
}

/// setgroups(2) with 16-bit numbers.
pub(super) fn setgroups16(call: &mut Call<'_>, [size, list, ..]: Arguments) -> CallResult {
    if call.process().credentials.euid != 0 {
        return Err(Errno::EPERM.into());
    }
    if size > GROUPS_MAX {
        return Err(Errno::EINVAL.into());
    }
    call.charge(4 * u64::from(size))?;
    let bytes = call.user().bytes(list, size * 2)?;
    let groups = bytes.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes).into()).collect();
    call.process().credentials.groups = groups;
    Ok(0)
}

/// setgroups(2).
pub(super) fn setgroups(call: &mut Call<'_>, [size, list, ..]: Arguments) -> CallResult {
    if call.process().credentials.euid != 0 {
        return Err(Errno::EPERM.into());
    }
    if size > GROUPS_MAX {
        return Err(Errno::EINVAL.into());
    }
    call.charge(4 * u64::from(size))?;
    let bytes = call.user().bytes(list, size * 4)?;
    let groups = bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    call.process().credentials.groups = groups;
    Ok(0)
}

/// capget(2): the superuser has every capability, others none.
pub(super) fn capget(call: &mut Call<'_>, [header, data, ..]: Arguments) -> CallResult {
    const VERSION_3: u32 = 0x2008_0522;
    const KNOWN: [u32; 3] = [0x1998_0330, 0x2007_1026, VERSION_3];
    let [version, process] = call.user().words(header)?;
    if !KNOWN.contains(&version) {
        call.user().write(header, VERSION_3)?;
        return if data == 0 { Ok(0) } else { Err(Errno::EINVAL.into()) };
    }
    let id = named(call, process)?;
    if data != 0 {
        let all = call.kernel.processes[&id].credentials.euid == 0;
        let (low, high) = if all { (u32::MAX, 0x1ff) } else { (0, 0) };
        let mut record = Record::new().u32(low).u32(low).u32(0);
        if version != KNOWN[0] {
            record = record.u32(high).u32(high).u32(0);
        }
        call.user().copy_out(data, record.as_bytes())?;
    }
    Ok(0)
}

/// capset(2): accepted, as capabilities follow from being the superuser.
pub(super) fn capset(call: &mut Call<'_>, [header, data, ..]: Arguments) -> CallResult {
    const VERSION_3: u32 = 0x2008_0522;
    const KNOWN: [u32; 3] = [0x1998_0330, 0x2007_1026, VERSION_3];
    let [version, _] = call.user().words(header)?;
    if !KNOWN.contains(&version) {
        call.user().write(header, VERSION_3)?;
        return Err(Errno::EINVAL.into());
    }
    call.user().words::<3>(data)?;
    Ok(0)
}
