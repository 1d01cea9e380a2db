//! Handlers in two parts: a short one that takes few host registers, and one behind it that does
//! all that the first leaves. In one, the second would have the first save registers.

use pentimento_memory::AddressSpace;
use pentimento_registers::CpuState;

use crate::branch::{Straight, straight};
use crate::cursor::{Cursor, advance};
use crate::frame::Frame;

/// The handler of `First`, or where that does nothing of `Second`.
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
