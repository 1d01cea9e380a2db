//! The drivers of operations: what an operation does is a type, and its handler is a driver with that
//! type in it, which goes on behind it.

use pentimento_memory::AddressSpace;
use pentimento_registers::CpuState;

use crate::arena::{Cursor, Op, advance, dispatch};
use crate::frame::{Frame, settle, slow};
use crate::outcome::{Done, Miss};

/// An operation with the next one behind it.
pub(crate) trait Straight {
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done;
}

/// A direct branch: says whether it is taken.
pub(crate) trait Branch {
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done<bool>;
}

/// Where an operation goes that has done nothing.
#[inline(always)]
pub(crate) fn miss<'a>(
    miss: Miss,
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    match miss {
        Miss::Slow => slow(cursor, cpu, memory, frame),
        Miss::Flags => settle(cursor, cpu, memory, frame),
    }
}

/// The handler of a [`Straight`] operation.
pub(crate) fn straight<'a, S: Straight>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    match S::execute(op, cpu, memory, frame) {
        Ok(()) => advance(cursor, cpu, memory, frame),
        Err(why) => miss(why, cursor, cpu, memory, frame),
    }
}

/// The handler of a [`Branch`].
pub(crate) fn branch<'a, B: Branch>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    match B::execute(op, cpu, memory, frame) {
        Ok(true) => follow(cursor, op, cpu, memory, frame),
        Ok(false) => advance(cursor, cpu, memory, frame),
        Err(why) => miss(why, cursor, cpu, memory, frame),
    }
}

/// The handler of a [`Straight`] operation that records flags, with a Jcc behind it: both at once.
pub(crate) fn fused<'a, S: Straight, const CONDITION: u8>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    match S::execute(op, cpu, memory, frame) {
        Ok(()) => {
            let cursor = cursor.next();
            let Some(op) = cursor.op() else { return cursor };
            match frame.pending.holds::<CONDITION>(cpu) {
                Ok(true) => follow(cursor, op, cpu, memory, frame),
                Ok(false) => advance(cursor, cpu, memory, frame),
                Err(why) => miss(why, cursor, cpu, memory, frame),
            }
        }
        Err(why) => miss(why, cursor, cpu, memory, frame),
    }
}

/// Goes where the branch `op` at `cursor` leads.
///
/// Where it is not taken the block goes on, and the way there is another jump of the host: so what
/// comes next depends on a prediction of the host's and not on the data of the guest's condition.
#[inline(always)]
pub(crate) fn follow<'a>(
    cursor: Cursor<'a>,
    op: &'a Op,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    frame.left -= i64::from(op.count);
    if frame.left < 0 || op.taken.is_open() {
        return frame.leave(cursor, cpu);
    }
    dispatch(Cursor::follow(frame.ops, &op.taken), cpu, memory, frame)
}

/// JMP, and where a block ends without one.
pub(crate) struct Always;

impl Branch for Always {
    #[inline(always)]
    fn execute(_: &Op, _: &mut CpuState, _: &mut AddressSpace, _: &mut Frame<'_>) -> Done<bool> {
        Ok(true)
    }
}

/// The handler of `First`, or where that does nothing of `Second`: a short one that takes few host
/// registers, and one behind it that does all that the first leaves. In one, the second would have the
/// first save registers.
pub(crate) fn attempt<'a, First: Straight, Second: Straight>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    match First::execute(op, cpu, memory, frame) {
        Ok(()) => advance(cursor, cpu, memory, frame),
        Err(_) => again::<Second>(cursor, cpu, memory, frame),
    }
}

/// [`attempt`] with a third that does what the second leaves.
pub(crate) fn attempts<'a, First: Straight, Second: Straight, Third: Straight>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    match First::execute(op, cpu, memory, frame) {
        Ok(()) => advance(cursor, cpu, memory, frame),
        Err(_) => again_twice::<Second, Third>(cursor, cpu, memory, frame),
    }
}

#[cold]
#[inline(never)]
fn again_twice<'a, Second: Straight, Third: Straight>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    attempt::<Second, Third>(cursor, cpu, memory, frame)
}

#[cold]
#[inline(never)]
fn again<'a, Second: Straight>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    straight::<Second>(cursor, cpu, memory, frame)
}
