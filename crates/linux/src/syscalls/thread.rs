//! Threads: futexes, thread-local storage, and what a thread leaves behind.

use pentimento_memory::Access;
use pentimento_registers::{Descriptor, LocalDescriptors, TlsDescriptors};

use super::time::{Layout, read_timespec};
use crate::errno::Errno;
use crate::futex::{Key, Waiter};
use crate::ids::TaskId;
use crate::kernel::{Arguments, Call, Kernel};
use crate::record::Record;
use crate::wait::{CallResult, Failure, Restart, Wait};

const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAKE_OP: u32 = 5;
const LOCK_PI: u32 = 6;
const UNLOCK_PI: u32 = 7;
const TRYLOCK_PI: u32 = 8;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;
const LOCK_PI2: u32 = 13;
const PRIVATE: u32 = 0x80;
const CLOCK_REALTIME: u32 = 0x100;

/// Bits of a futex word with an owner.
const WAITERS: u32 = 0x8000_0000;
const OWNER_DIED: u32 = 0x4000_0000;
const OWNER: u32 = 0x3fff_ffff;

/// futex(2).
pub(super) fn futex(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    operate(call, arguments, Layout::Short)
}

/// futex(2) with a 64-bit timespec.
pub(super) fn futex_time64(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    operate(call, arguments, Layout::Long)
}

fn operate(
    call: &mut Call<'_>,
    [word, operation, value, timeout, word2, value3]: Arguments,
    layout: Layout,
) -> CallResult {
    let private = operation & PRIVATE != 0;
    let command = operation & !(PRIVATE | CLOCK_REALTIME);
    if !word.is_multiple_of(4) {
        return Err(Errno::EINVAL.into());
    }
    if operation & CLOCK_REALTIME != 0 && !matches!(command, WAIT | WAIT_BITSET | LOCK_PI2) {
        return Err(Errno::ENOSYS.into());
    }
    if !private && matches!(command, WAKE | WAKE_BITSET) {
        // What several processes may share is found by what is mapped there.
        call.user().check(word, 4, Access::Read)?;
    }
    let key = Key::new(call.space(), word, private);
    match command {
        WAIT | WAIT_BITSET => {
            let bits = if command == WAIT { u32::MAX } else { value3 };
            let absolute = command == WAIT_BITSET;
            let deadline = wait_deadline(call, timeout, layout, absolute, operation)?;
            wait(call, word, value, Waiter { key, task: call.task_id, bits }, deadline)
        }
        WAKE => Ok(call.kernel.futex_wake(key, at_least_one(value), u32::MAX)),
        WAKE_BITSET if value3 == 0 => Err(Errno::EINVAL.into()),
        WAKE_BITSET => Ok(call.kernel.futex_wake(key, at_least_one(value), value3)),
        REQUEUE | CMP_REQUEUE => {
            let expected = (command == CMP_REQUEUE).then_some(value3);
            requeue(call, (word, key), word2, private, [value, timeout], expected)
        }
        WAKE_OP => wake_and_change(call, key, word2, private, [value, timeout], value3),
        LOCK_PI | LOCK_PI2 => {
            let operation = if command == LOCK_PI { CLOCK_REALTIME } else { operation };
            let deadline = wait_deadline(call, timeout, layout, true, operation)?;
            lock(call, word, key, deadline)
        }
        TRYLOCK_PI => {
            if try_lock(call, word)? {
                Ok(0)
            } else {
                Err(Errno::EAGAIN.into())
            }
        }
        UNLOCK_PI => unlock(call, word, key),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// The kernel wakes one task even if asked for none.
fn at_least_one(count: u32) -> u32 {
    if (count as i32) < 1 { 1 } else { count }
}

/// The deadline of a wait: FUTEX_WAIT's timeout is relative, the others' absolute.
fn wait_deadline(
    call: &mut Call<'_>,
    timeout: u32,
    layout: Layout,
    absolute: bool,
    operation: u32,
) -> Result<Option<u64>, Errno> {
    if timeout == 0 {
        return Ok(call.deadline(None));
    }
    let time = read_timespec(call, timeout, layout)?;
    if !absolute {
        return Ok(call.deadline(Some(time)));
    }
    let now = if operation & CLOCK_REALTIME != 0 {
        call.kernel.time.realtime()
    } else {
        call.kernel.time.monotonic()
    };
    Ok(call.deadline(Some(time.saturating_sub(now))))
}

/// FUTEX_WAIT and FUTEX_WAIT_BITSET.
fn wait(call: &mut Call<'_>, word: u32, expected: u32, waiter: Waiter, deadline: Option<u64>) -> CallResult {
    if waiter.bits == 0 {
        return Err(Errno::EINVAL.into());
    }
    if was_granted(call) {
        return Ok(0);
    }
    if !call.kernel.futexes.holds(call.task_id) {
        let current: u32 = call.user().read(word)?;
        if current != expected {
            return Err(Errno::EAGAIN.into());
        }
        call.kernel.futexes.push(waiter);
    }
    wait_on(call, deadline)
}

/// Whether somebody woke the call on purpose.
fn was_granted(call: &mut Call<'_>) -> bool {
    call.task().call.as_ref().is_some_and(|pending| pending.granted)
}

/// Waits in a futex queue, or leaves it because of a timeout or a signal.
fn wait_on(call: &mut Call<'_>, deadline: Option<u64>) -> CallResult {
    if call.kernel.has_passed(deadline) {
        call.kernel.futexes.remove(call.task_id);
        return Err(Errno::ETIMEDOUT.into());
    }
    if call.is_interrupted() {
        call.kernel.futexes.remove(call.task_id);
    }
    let restart = if deadline.is_some() { Restart::Never } else { Restart::IfFlagged };
    Err(Failure::Block(Wait { restart, ..Wait::default().until(deadline) }))
}

/// FUTEX_REQUEUE and FUTEX_CMP_REQUEUE: wakes some and moves others to a second word's queue.
fn requeue(
    call: &mut Call<'_>,
    (word, key): (u32, Key),
    word2: u32,
    private: bool,
    [wakes, moves]: [u32; 2],
    expected: Option<u32>,
) -> CallResult {
    if (wakes as i32) < 0 || (moves as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    let current: u32 = call.user().read(word)?;
    call.user().check(word2, 4, Access::Read)?;
    if expected.is_some_and(|expected| expected != current) {
        return Err(Errno::EAGAIN.into());
    }
    let target = Key::new(call.space(), word2, private);
    let woken = call.kernel.futex_wake(key, wakes, u32::MAX);
    let moved = call.kernel.futexes.requeue(key, target, moves);
    Ok(if expected.is_some() { woken + moved } else { woken })
}

/// FUTEX_WAKE_OP: changes a second word, wakes on the first, and on the second if its old value compares.
fn wake_and_change(
    call: &mut Call<'_>,
    key: Key,
    word2: u32,
    private: bool,
    [wakes, wakes2]: [u32; 2],
    encoded: u32,
) -> CallResult {
    let sign_extend = |value: u32| ((value << 20) as i32 >> 20) as u32;
    let mut operand = sign_extend(encoded >> 12 & 0xfff);
    let compared = sign_extend(encoded & 0xfff) as i32;
    if encoded >> 31 != 0 {
        operand = 1_u32.wrapping_shl(operand);
    }
    let old: u32 = call.user().read(word2)?;
    let new = match encoded >> 28 & 7 {
        0 => operand,
        1 => old.wrapping_add(operand),
        2 => old | operand,
        3 => old & !operand,
        4 => old ^ operand,
        _ => return Err(Errno::ENOSYS.into()),
    };
    call.user().write(word2, new)?;
    let old = old as i32;
    let also = match encoded >> 24 & 15 {
        0 => old == compared,
        1 => old != compared,
        2 => old < compared,
        3 => old <= compared,
        4 => old > compared,
        5 => old >= compared,
        _ => return Err(Errno::ENOSYS.into()),
    };
    let target = Key::new(call.space(), word2, private);
    let woken = call.kernel.futex_wake(key, at_least_one(wakes), u32::MAX);
    let also = if also { call.kernel.futex_wake(target, at_least_one(wakes2), u32::MAX) } else { 0 };
    Ok(woken + also)
}

/// Takes the lock at `word` if it is free.
fn try_lock(call: &mut Call<'_>, word: u32) -> Result<bool, Errno> {
    let value: u32 = call.user().read(word)?;
    let own = call.task_id.number();
    if value & OWNER == own {
        return Err(Errno::EDEADLK);
    }
    if value & OWNER != 0 {
        return Ok(false);
    }
    call.user().write(word, value & (WAITERS | OWNER_DIED) | own)?;
    Ok(true)
}

/// FUTEX_LOCK_PI. All tasks have the same priority, so there is none to inherit.
fn lock(call: &mut Call<'_>, word: u32, key: Key, deadline: Option<u64>) -> CallResult {
    if was_granted(call) {
        return Ok(0);
    }
    if !call.kernel.futexes.holds(call.task_id) {
        if try_lock(call, word)? {
            return Ok(0);
        }
        let value: u32 = call.user().read(word)?;
        if !call.kernel.tasks.contains_key(&TaskId(value & OWNER)) {
            return Err(Errno::ESRCH.into());
        }
        call.user().write(word, value | WAITERS)?;
        call.kernel.futexes.push(Waiter { key, task: call.task_id, bits: u32::MAX });
    }
    wait_on(call, deadline)
}

/// FUTEX_UNLOCK_PI: hands the lock to the oldest waiter.
fn unlock(call: &mut Call<'_>, word: u32, key: Key) -> CallResult {
    let value: u32 = call.user().read(word)?;
    if value & OWNER != call.task_id.number() {
        return Err(Errno::EPERM.into());
    }
    let new = match call.kernel.futexes.first(key) {
        Some(heir) => heir.number() | if call.kernel.futexes.is_contended(key) { WAITERS } else { 0 },
        None => 0,
    };
    call.user().write(word, new)?;
    call.kernel.futex_wake(key, 1, u32::MAX);
    Ok(0)
}

/// set_robust_list(2).
pub(super) fn set_robust_list(call: &mut Call<'_>, [head, size, ..]: Arguments) -> CallResult {
    if size != 12 {
        return Err(Errno::EINVAL.into());
    }
    call.task().robust_list = head;
    Ok(0)
}

/// get_robust_list(2).
pub(super) fn get_robust_list(call: &mut Call<'_>, [target, head, size, ..]: Arguments) -> CallResult {
    let target = if target == 0 { call.task_id } else { TaskId(target) };
    let list = call.kernel.tasks.get(&target).ok_or(Errno::ESRCH)?.robust_list;
    call.user().write(size, 12_u32)?;
    call.user().write(head, list)?;
    Ok(0)
}

impl Kernel {
    /// Marks the robust futexes that a dying task holds, and wakes one waiter of each (get_robust_list(2)).
    pub(crate) fn release_robust_futexes(&mut self, id: TaskId) {
        // The kernel's own limit against circular lists.
        const LONGEST: usize = 2048;
        let head = core::mem::take(&mut self.task(id).robust_list);
        if head == 0 {
            return;
        }
        let Ok([mut entry, offset, pending]) = self.user(id).words(head) else { return };
        for _ in 0..LONGEST {
            if entry & !1 == head {
                break;
            }
            // Bit 0 of a pointer marks a lock with priority inheritance.
            let Ok(next) = self.user(id).read(entry & !1) else { return };
            if entry != pending {
                self.release_robust_futex(id, (entry & !1).wrapping_add(offset));
            }
            entry = next;
        }
        if pending != 0 {
            self.release_robust_futex(id, (pending & !1).wrapping_add(offset));
        }
    }

    fn release_robust_futex(&mut self, id: TaskId, word: u32) {
        let Ok(value) = self.user(id).read::<u32>(word) else { return };
        if value & OWNER != id.number() || !word.is_multiple_of(4) {
            return;
        }
        if self.user(id).write(word, value & WAITERS | OWNER_DIED).is_ok() && value & WAITERS != 0 {
            for private in [true, false] {
                let key = Key::new(self.space(id), word, private);
                if self.futex_wake(key, 1, u32::MAX) > 0 {
                    break;
                }
            }
        }
    }
}

/// set_tid_address(2).
pub(super) fn set_tid_address(call: &mut Call<'_>, [address, ..]: Arguments) -> CallResult {
    call.task().clear_child_tid = address;
    Ok(call.task_id.number())
}

/// `struct user_desc` (set_thread_area(2)): entry number, base, limit, flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct UserDescriptor(pub(super) [u32; 4]);

impl UserDescriptor {
    const SEG_32BIT: u32 = 1;
    const CONTENTS: u32 = 6;
    const READ_EXEC_ONLY: u32 = 8;
    const LIMIT_IN_PAGES: u32 = 16;
    const SEG_NOT_PRESENT: u32 = 32;
    const USEABLE: u32 = 64;

    /// Whether it stands for "no descriptor": all zero, or the classic empty pattern.
    fn is_empty(self) -> bool {
        let [_, base, limit, flags] = self.0;
        let pattern = Self::READ_EXEC_ONLY | Self::SEG_NOT_PRESENT;
        base == 0 && limit == 0 && (flags == 0 || flags & 0x7f == pattern)
    }

    fn descriptor(self) -> Descriptor {
        let [_, base, limit, flags] = self.0;
        let limit = limit & 0xf_ffff;
        let contents = (flags & Self::CONTENTS) >> 1;
        Descriptor {
            base,
            limit: if flags & Self::LIMIT_IN_PAGES != 0 { limit << 12 | 0xfff } else { limit },
            code: contents & 2 != 0,
            // For code this bit says whether it can be read, for data whether it can be written.
            accessible: flags & Self::READ_EXEC_ONLY == 0,
            expand_down: contents == 1,
            big: flags & Self::SEG_32BIT != 0,
            present: flags & Self::SEG_NOT_PRESENT == 0,
        }
    }

    pub(super) fn from_descriptor(entry: u32, descriptor: Option<Descriptor>) -> Self {
        let Some(descriptor) = descriptor else {
            return Self([entry, 0, 0, Self::READ_EXEC_ONLY | Self::SEG_NOT_PRESENT]);
        };
        let pages = descriptor.limit > 0xf_ffff;
        let flag = |set, bit| if set { bit } else { 0 };
        let contents = flag(descriptor.code, 2) | flag(descriptor.expand_down, 1);
        let flags = flag(descriptor.big, Self::SEG_32BIT)
            | contents << 1
            | flag(!descriptor.accessible, Self::READ_EXEC_ONLY)
            | flag(pages, Self::LIMIT_IN_PAGES)
            | flag(!descriptor.present, Self::SEG_NOT_PRESENT)
            | Self::USEABLE;
        Self([entry, descriptor.base, if pages { descriptor.limit >> 12 } else { descriptor.limit }, flags])
    }
}

/// The entry of the GDT that a program names, if it is one of its TLS entries.
pub(super) fn tls_entry(number: u32) -> Result<u16, Errno> {
    let entry = u16::try_from(number).ok().filter(|entry| {
        (TlsDescriptors::FIRST..TlsDescriptors::FIRST + TlsDescriptors::COUNT).contains(entry)
    });
    entry.ok_or(Errno::EINVAL)
}

/// Sets a TLS entry and gives its number; -1 takes the first free one if `allocate`.
pub(super) fn set_descriptor(
    tls: &mut TlsDescriptors,
    user: UserDescriptor,
    allocate: bool,
) -> Result<u32, Errno> {
    let wanted = user.0[0];
    let entry = if wanted == u32::MAX && allocate {
        tls.first_free().ok_or(Errno::ESRCH)?
    } else {
        tls_entry(wanted)?
    };
    // Only 32-bit data segments that are present, as the kernel has it (tls_desc_okay).
    let flags = user.0[3];
    let data = flags & UserDescriptor::CONTENTS <= 2;
    let good = flags & UserDescriptor::SEG_32BIT != 0 && data && flags & UserDescriptor::SEG_NOT_PRESENT == 0;
    if !user.is_empty() && !good {
        return Err(Errno::EINVAL);
    }
    tls.set(entry, (!user.is_empty()).then(|| user.descriptor()));
    Ok(entry.into())
}

/// set_thread_area(2).
pub(super) fn set_thread_area(call: &mut Call<'_>, [address, ..]: Arguments) -> CallResult {
    let user = UserDescriptor(call.user().words(address)?);
    let mut tls = call.task().tls;
    let entry = set_descriptor(&mut tls, user, true)?;
    if user.0[0] == u32::MAX {
        call.user().write(address, entry)?;
    }
    call.task().tls = tls;
    call.kernel.refresh_segments(call.task_id);
    Ok(0)
}

/// get_thread_area(2).
pub(super) fn get_thread_area(call: &mut Call<'_>, [address, ..]: Arguments) -> CallResult {
    let entry: u32 = call.user().read(address)?;
    let held = call.task().tls.get(tls_entry(entry)?);
    let user = UserDescriptor::from_descriptor(entry, held);
    let record = user.0.iter().fold(Record::new(), |record, word| record.u32(*word));
    call.user().copy_out(address, record.as_bytes())?;
    Ok(0)
}

/// modify_ldt(2).
pub(super) fn modify_ldt(call: &mut Call<'_>, [function, address, size, ..]: Arguments) -> CallResult {
    match function {
        0 => read_local(call, address, size),
        // The default table is empty.
        2 => {
            let length = size.min(5 * 8);
            call.user().copy_out(address, &vec![0; length as usize])?;
            Ok(length)
        }
        1 | 0x11 => write_local(call, address, size, function == 1),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// A descriptor in the processor's own format (SDM volume 3, figure 3-8).
fn encode(descriptor: &Descriptor) -> u64 {
    let pages = descriptor.limit > 0xf_ffff;
    let limit = u64::from(if pages { descriptor.limit >> 12 } else { descriptor.limit });
    let base = u64::from(descriptor.base);
    let kind = u64::from(descriptor.code) << 3
        | u64::from(descriptor.expand_down) << 2
        | u64::from(descriptor.accessible) << 1
        | 1;
    limit & 0xffff
        | (base & 0xff_ffff) << 16
        | (kind | 1 << 4 | 3 << 5 | u64::from(descriptor.present) << 7) << 40
        | (limit >> 16 & 0xf) << 48
        | (u64::from(descriptor.big) << 2 | u64::from(pages) << 3) << 52
        | (base >> 24) << 56
}

fn read_local(call: &mut Call<'_>, address: u32, size: u32) -> CallResult {
    let entries = call.space().local_descriptors.entries();
    if entries.is_empty() {
        return Ok(0);
    }
    // What lies beyond the last entry is read as zeros.
    let length = size.min(u32::from(LocalDescriptors::MOST) * 8);
    let mut bytes: Vec<u8> =
        entries.iter().flat_map(|entry| entry.as_ref().map_or(0, encode).to_le_bytes()).collect();
    bytes.resize(length as usize, 0);
    call.user().copy_out(address, &bytes)?;
    Ok(length)
}

fn write_local(call: &mut Call<'_>, address: u32, size: u32, old_mode: bool) -> CallResult {
    if size != 16 {
        return Err(Errno::EINVAL.into());
    }
    let user = UserDescriptor(call.user().words(address)?);
    let [entry, base, limit, flags] = user.0;
    let entry = u16::try_from(entry).ok().filter(|entry| *entry < LocalDescriptors::MOST);
    let entry = entry.ok_or(Errno::EINVAL)?;
    if flags & UserDescriptor::CONTENTS == UserDescriptor::CONTENTS
        && (old_mode || flags & UserDescriptor::SEG_NOT_PRESENT == 0)
    {
        return Err(Errno::EINVAL.into());
    }
    let cleared = old_mode && base == 0 && limit == 0 || user.is_empty();
    call.space().local_descriptors.set(entry, (!cleared).then(|| user.descriptor()));
    call.kernel.refresh_segments(call.task_id);
    Ok(0)
}
