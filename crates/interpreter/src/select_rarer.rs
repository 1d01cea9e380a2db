//! Chooses handlers for instructions that are rarer than those of `select`, and yet not rare.

use pentimento_decoder::{Instruction, Operation};

use crate::bit_byte::{self as b, BitTest, Bsf, Bsr, Lzcnt, Popcnt, Scan, Scanned, Tzcnt};
use crate::branch::straight;
use crate::cursor::{Handler, Op};
use crate::exchange::{CompareExchange, ExchangeAdd, ExchangeMemory};
use crate::flag_control::{Clc, Cmc, Direction, Flags, Lahf, Sahf, Stc};
use crate::frame::Step;
use crate::operand::{Absolute, Based, First, Immediate, Indexed, Memory, Scaled, Second};
use crate::select::{by_condition, by_mode, by_width};
use crate::shape::{Mode, Shape, operands};
use crate::{string, thread_local, transfer as t};

/// The handler of an instruction that `select` has none for.
pub(crate) fn select(op: &mut Op, step: &Step, instruction: &Instruction) -> Option<Handler> {
    use Operation as O;
    let shapes = operands(op, instruction);
    let bytes = pentimento_execute::operand_bytes(instruction, 0);
    let handler = match instruction.operation() {
        O::Movs | O::Stos | O::Lods | O::Cmps | O::Scas => string::select(instruction, bytes),
        O::Xchg | O::Xadd | O::Cmpxchg => exchange(instruction.operation(), shapes, bytes),
        O::Bsf => scan::<Bsf>(shapes, bytes),
        O::Bsr => scan::<Bsr>(shapes, bytes),
        O::Tzcnt => scan::<Tzcnt>(shapes, bytes),
        O::Lzcnt => scan::<Lzcnt>(shapes, bytes),
        O::Popcnt => scan::<Popcnt>(shapes, bytes),
        O::Bt => bit_test::<{ b::KEEP }>(shapes, bytes),
        O::Bts => bit_test::<{ b::SET }>(shapes, bytes),
        O::Btr => bit_test::<{ b::RESET }>(shapes, bytes),
        O::Btc => bit_test::<{ b::COMPLEMENT }>(shapes, bytes),
        O::Setcc => set(instruction, shapes),
        O::Cld => Some(straight::<Direction<false>> as Handler),
        O::Std => Some(straight::<Direction<true>> as Handler),
        O::Stc => Some(straight::<Flags<Stc>> as Handler),
        O::Clc => Some(straight::<Flags<Clc>> as Handler),
        O::Cmc => Some(straight::<Flags<Cmc>> as Handler),
        O::Lahf => Some(straight::<Flags<Lahf>> as Handler),
        O::Sahf => Some(straight::<Flags<Sahf>> as Handler),
        O::Nop | O::Pause | O::Endbr32 | O::Endbr64 => Some(straight::<t::Nothing> as Handler),
        O::Prefetchnta | O::Prefetcht0 | O::Prefetcht1 | O::Prefetcht2 | O::Prefetchw | O::Prefetch => {
            Some(straight::<t::Nothing> as Handler)
        }
        _ => None,
    };
    handler.or_else(|| thread_local::select(op, step, instruction))
}

/// XCHG, XADD and CMPXCHG of memory with a register.
fn exchange(operation: Operation, shapes: [Shape; 2], bytes: u16) -> Option<Handler> {
    // XCHG can have its operands either way round.
    let mode = match shapes {
        [Shape::Memory(mode), Shape::Register] | [Shape::Register, Shape::Memory(mode)] => mode,
        _ => return None,
    };
    Some(by_width!(bytes, W => match operation {
        Operation::Xadd => by_mode!(mode, M => straight::<ExchangeAdd<M, W>>),
        Operation::Cmpxchg => by_mode!(mode, M => straight::<CompareExchange<M, W>>),
        _ => by_mode!(mode, M => straight::<ExchangeMemory<M, W>>),
    }))
}

fn scan<N: Scan>(shapes: [Shape; 2], bytes: u16) -> Option<Handler> {
    match (shapes, bytes) {
        ([Shape::Register, Shape::Register], 4) => Some(straight::<Scanned<N, Second>>),
        ([Shape::Register, Shape::Memory(mode)], 4) => Some(by_mode!(mode, M => straight::<Scanned<N, M>>)),
        _ => None,
    }
}

fn bit_test<const CHANGE: u8>(shapes: [Shape; 2], bytes: u16) -> Option<Handler> {
    match (shapes, bytes) {
        ([Shape::Register, Shape::Register], 4) => Some(straight::<BitTest<First, Second, CHANGE>>),
        ([Shape::Register, Shape::Immediate], 4) => Some(straight::<BitTest<First, Immediate, CHANGE>>),
        ([Shape::Memory(mode), Shape::Immediate], 4) => {
            Some(by_mode!(mode, M => straight::<BitTest<M, Immediate, CHANGE>>))
        }
        _ => None,
    }
}

/// SETcc of memory.
fn set(instruction: &Instruction, shapes: [Shape; 2]) -> Option<Handler> {
    let condition = instruction.condition().number();
    match shapes[0] {
        Shape::Memory(Mode::Based) => by_condition!(condition, C => straight::<t::Set<Memory<Based>, C>>),
        Shape::Memory(Mode::Absolute) => {
            by_condition!(condition, C => straight::<t::Set<Memory<Absolute>, C>>)
        }
        _ => None,
    }
}
