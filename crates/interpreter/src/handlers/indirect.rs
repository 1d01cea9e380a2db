//! Branches to wherever a register, memory or the stack says.
//!
//! Behind such a branch the block has operations of its own, a [`case`] for each of the first few
//! destinations that it turned out to have, and a [`lookup`] for all others. Which case it is, the
//! host's predictor learns; found by a lookup alone, everything behind would wait for the guest's
//! data. A CALL has a case for what it returns to, and the RET goes there.

use core::marker::PhantomData;

use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Gpr};

use crate::arena::{Cursor, Op, advance, dispatch};
use crate::drivers::{follow, handlers, miss};
use crate::frame::{Frame, Leave, jump};
use crate::handlers::transfer::{peek, push};
use crate::operand::Source;
use crate::outcome::Done;

/// Cases of an indirect JMP or CALL.
pub(crate) const CASES: usize = 4;

/// An indirect branch: says where it goes.
pub(crate) trait Indirect {
    /// Whether it is a CALL.
    const CALLS: bool;
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace) -> Done<u32>;
}

/// CALL to what a register or memory holds; the immediate is the return address.
pub(crate) struct CallIndirect<S>(PhantomData<S>);

impl<S: Source<u32>> Indirect for CallIndirect<S> {
    const CALLS: bool = true;
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace) -> Done<u32> {
        let target = S::get(op, cpu, memory)?;
        push(cpu, memory, op.immediate)?;
        Ok(target)
    }
}

/// JMP to what a register or memory holds.
pub(crate) struct JumpIndirect<S>(PhantomData<S>);

impl<S: Source<u32>> Indirect for JumpIndirect<S> {
    const CALLS: bool = false;
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace) -> Done<u32> {
        S::get(op, cpu, memory)
    }
}

/// Charges the block that ends with `op`, and says whether the run may go on.
#[inline(always)]
fn charge(op: &Op, frame: &mut Frame<'_>) -> bool {
    frame.left -= i64::from(op.count);
    if frame.left < 0 {
        frame.leave = Leave::Continue;
    }
    frame.left >= 0
}

handlers! {
    /// The handler of an [`Indirect`] branch.
    indirect[I: Indirect](cursor, op, cpu, memory, frame) {
        match I::execute(op, cpu, memory) {
            Ok(target) => {
                cpu.eip = target;
                if !charge(op, frame) {
                    return Cursor::STOPPED;
                }
                let behind = cursor.next();
                if I::CALLS {
                    frame.calls.push(behind.spent());
                    return advance(behind, cpu, memory, frame);
                }
                dispatch(behind, cpu, memory, frame)
            }
            Err(why) => miss(why, cursor, cpu, memory, frame),
        }
    }

    /// The handler of CALL to a known place; the immediate is the return address.
    call[](cursor, op, cpu, memory, frame) {
        match push(cpu, memory, op.immediate) {
            Ok(()) => {
                frame.calls.push(cursor.next().spent());
                follow(cursor, op, cpu, memory, frame)
            }
            Err(why) => miss(why, cursor, cpu, memory, frame),
        }
    }

    /// The handler of RET; the immediate is what it releases.
    ret[](cursor, op, cpu, memory, frame) {
        match peek(cpu, memory) {
            Ok(target) => {
                let top = cpu.gpr(Gpr::Esp).wrapping_add(4).wrapping_add(op.immediate);
                cpu.set_gpr(Gpr::Esp, top);
                cpu.eip = target;
                if !charge(op, frame) {
                    return Cursor::STOPPED;
                }
                let behind = frame.calls.pop();
                match behind.checked() {
                    Some(case) if case.immediate == target => dispatch(behind, cpu, memory, frame),
                    _ => advance(cursor, cpu, memory, frame),
                }
            }
            Err(why) => miss(why, cursor, cpu, memory, frame),
        }
    }

    /// The handler of a destination that an indirect branch was seen to have: the immediate. The first
    /// that is free is filled in with where the branch goes.
    case[](cursor, op, cpu, memory, frame) {
        if op.taken.is_open() {
            frame.leave = Leave::Link { site: cursor.index_in(frame.ops) as u32 };
            return Cursor::STOPPED;
        }
        if cpu.eip == op.immediate {
            dispatch(Cursor::follow(frame.ops, &op.taken), cpu, memory, frame)
        } else {
            advance(cursor, cpu, memory, frame)
        }
    }
}

/// The handler behind the last case.
pub(crate) fn lookup<'a>(
    _: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    jump(cpu, memory, frame)
}
