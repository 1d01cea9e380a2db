//! The drivers of handlers: what an operation does is a type, and the driver goes on behind it.

use pentimento_memory::AddressSpace;
use pentimento_registers::CpuState;

use crate::cursor::{Cursor, Op, advance, dispatch};
use crate::frame::{Frame, settle, slow};

/// Why an operation has done nothing.
pub(crate) enum Miss {
    /// It takes the reference to execute it: a page fault, a device, a write to code...
    Slow,
    /// It needs flags in EFLAGS.
    Flags,
}

/// What an operation returns.
pub(crate) type Done<T = ()> = Result<T, Miss>;

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
