//! The drivers of operations: what an operation does is a type, and its handler is a driver with that
//! type in it, which goes on behind it.

use pentimento_memory::AddressSpace;
use pentimento_registers::CpuState;

use crate::arena::{Cursor, Op, Steps, advance, dispatch};
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

/// Declares handlers: name, type parameters, what each is given (the cursor and the operation there, the
/// registers, the memory, and what all share), and what it does.
macro_rules! handlers {
    ($($(#[$attribute:meta])* $name:ident[$($generics:tt)*]
        ($cursor:ident, $op:ident, $cpu:ident, $memory:ident, $frame:ident) $body:block)*) => {$(
        $(#[$attribute])*
        pub(crate) fn $name<'a, $($generics)*>(
            $cursor: $crate::arena::Cursor<'a>,
            $cpu: &mut pentimento_registers::CpuState,
            $memory: &mut pentimento_memory::AddressSpace,
            $frame: &mut $crate::frame::Frame<'a>,
        ) -> $crate::arena::Cursor<'a> {
            let Some($op) = $cursor.op() else { return $cursor };
            $body
        }
    )*};
}
pub(crate) use handlers;

/// Where an operation goes that has done nothing.
#[inline(always)]
pub(crate) fn miss<'a, S: Steps>(
    miss: Miss,
    cursor: Cursor<'a, S>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    match miss {
        Miss::Slow => slow(cursor, cpu, memory, frame),
        Miss::Flags => settle(cursor, cpu, memory, frame),
    }
}

/// Goes on behind an operation that is `done`, or where one goes that has done nothing.
#[inline(always)]
pub(crate) fn finish<'a, S: Steps>(
    done: Done,
    cursor: Cursor<'a, S>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    match done {
        Ok(()) => advance(cursor, cpu, memory, frame),
        Err(why) => miss(why, cursor, cpu, memory, frame),
    }
}

/// Goes where the branch `op` at `cursor` leads if it is `taken`, and on behind it if it is not.
#[inline(always)]
fn decide<'a, S: Steps>(
    taken: Done<bool>,
    (cursor, op): (Cursor<'a, S>, &'a Op),
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    match taken {
        Ok(true) => follow(cursor, op, cpu, memory, frame),
        Ok(false) => advance(cursor, cpu, memory, frame),
        Err(why) => miss(why, cursor, cpu, memory, frame),
    }
}

/// Goes where the branch `op` at `cursor` leads.
///
/// Where it is not taken the block goes on, and the way there is another jump of the host: so what
/// comes next depends on a prediction of the host's and not on the data of the guest's condition.
#[inline(always)]
pub(crate) fn follow<'a, S>(
    cursor: Cursor<'a, S>,
    op: &'a Op,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    frame.left -= i64::from(op.count);
    if frame.left < 0 || op.taken.is_open() {
        return frame.leave(cursor.spent(), cpu);
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

handlers! {
    /// The handler of a [`Straight`] operation.
    straight[S: Straight](cursor, op, cpu, memory, frame) {
        let done = S::execute(op, cpu, memory, frame);
        finish(done, cursor, cpu, memory, frame)
    }

    /// The handler of a [`Branch`].
    branch[B: Branch](cursor, op, cpu, memory, frame) {
        let taken = B::execute(op, cpu, memory, frame);
        decide(taken, (cursor, op), cpu, memory, frame)
    }

    /// The handler of a [`Straight`] operation that records flags, with a Jcc behind it: both at once.
    fused[S: Straight, const CONDITION: u8](cursor, op, cpu, memory, frame) {
        if let Err(why) = S::execute(op, cpu, memory, frame) {
            return miss(why, cursor, cpu, memory, frame);
        }
        let cursor = cursor.next();
        let Some(op) = cursor.op() else { return Cursor::STOPPED };
        let taken = frame.pending.holds::<CONDITION>(cpu);
        decide(taken, (cursor, op), cpu, memory, frame)
    }

    /// The handler of two [`Straight`] operations, one behind the other.
    pair[A: Straight, B: Straight](cursor, op, cpu, memory, frame) {
        if let Err(why) = A::execute(op, cpu, memory, frame) {
            return miss(why, cursor, cpu, memory, frame);
        }
        let cursor = cursor.next();
        let Some(op) = cursor.op() else { return Cursor::STOPPED };
        let done = B::execute(op, cpu, memory, frame);
        finish(done, cursor, cpu, memory, frame)
    }

    /// The handler of `First`, or where that does nothing of `Second`: a short one that takes few host
    /// registers, and one behind it that does all that the first leaves. In one, the second would have
    /// the first save registers.
    attempt[First: Straight, Second: Straight](cursor, op, cpu, memory, frame) {
        match First::execute(op, cpu, memory, frame) {
            Ok(()) => advance(cursor, cpu, memory, frame),
            Err(_) => again::<Second>(cursor, cpu, memory, frame),
        }
    }

    /// [`attempt`] with a third that does what the second leaves.
    attempts[First: Straight, Second: Straight, Third: Straight](cursor, op, cpu, memory, frame) {
        match First::execute(op, cpu, memory, frame) {
            Ok(()) => advance(cursor, cpu, memory, frame),
            Err(_) => again_twice::<Second, Third>(cursor, cpu, memory, frame),
        }
    }

    /// [`straight`] for who comes there seldom.
    #[cold]
    #[inline(never)]
    again[S: Straight](cursor, op, cpu, memory, frame) {
        let done = S::execute(op, cpu, memory, frame);
        finish(done, cursor, cpu, memory, frame)
    }

    /// [`attempt`] for who comes there seldom.
    #[cold]
    #[inline(never)]
    again_twice[First: Straight, Second: Straight](cursor, op, cpu, memory, frame) {
        match First::execute(op, cpu, memory, frame) {
            Ok(()) => advance(cursor, cpu, memory, frame),
            Err(_) => again::<Second>(cursor, cpu, memory, frame),
        }
    }
}
