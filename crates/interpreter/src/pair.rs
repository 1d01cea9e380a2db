//! Two operations in one handler.
//!
//! Long stretches of code that runs but once a loop are beyond what the host's predictor of indirect
//! jumps can remember: there, half as many jumps are worth more than registers within handlers.

use pentimento_decoder::{Instruction, Operand, Operation};
use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Eflags};

use crate::arithmetic::{Add, And, Or, Rol, Ror, Shifted, Shl, Shr, Sub, Update, Xor};
use crate::branch::{Straight, miss, straight};
use crate::cursor::{Cursor, Handler};
use crate::frame::Frame;
use crate::operand::{Based, First, Immediate, Indexed, Memory, Second};
use crate::shape::{Mode, Shape};
use crate::transfer::{EffectiveAddress, Extend, Move, Pop, Push};

/// The handler of two operations.
fn pair<'a, A: Straight, B: Straight>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    match A::execute(op, cpu, memory, frame) {
        Ok(()) => straight::<B>(cursor.next(), cpu, memory, frame),
        Err(why) => miss(why, cursor, cpu, memory, frame),
    }
}

/// Declares the operations that there are pairs of, and the choice between them.
macro_rules! kinds {
    ($($kind:ident: $type:ty,)*) => {
        /// An operation that may be one of a pair.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Kind {
            $($kind,)*
        }

        /// The handler of `first` and `second`.
        pub(crate) fn handler(first: Kind, second: Kind) -> Handler {
            match first {
                $(Kind::$kind => before::<$type>(second),)*
            }
        }

        fn before<A: Straight>(second: Kind) -> Handler {
            match second {
                $(Kind::$kind => pair::<A, $type>,)*
            }
        }
    };
}

kinds! {
    Move: Move<First, Second, u32>,
    MoveImmediate: Move<First, Immediate, u32>,
    Load: Move<First, Memory<Based>, u32>,
    LoadIndexed: Move<First, Memory<Indexed>, u32>,
    LoadByte: Extend<First, Memory<Based>, u8, false>,
    Store: Move<Memory<Based>, First, u32>,
    StoreImmediate: Move<Memory<Based>, Immediate, u32>,
    Lea: EffectiveAddress<First, Based>,
    LeaIndexed: EffectiveAddress<First, Indexed>,
    Push: Push<First>,
    Pop: Pop<First>,
    Add: Update<Add, First, Second, u32, false>,
    AddKeeping: Update<Add, First, Second, u32, true>,
    AddImmediate: Update<Add, First, Immediate, u32, false>,
    AddImmediateKeeping: Update<Add, First, Immediate, u32, true>,
    AddMemory: Update<Add, First, Memory<Based>, u32, false>,
    SubKeeping: Update<Sub, First, Second, u32, true>,
    SubImmediateKeeping: Update<Sub, First, Immediate, u32, true>,
    And: Update<And, First, Second, u32, false>,
    AndImmediateKeeping: Update<And, First, Immediate, u32, true>,
    Or: Update<Or, First, Second, u32, false>,
    Xor: Update<Xor, First, Second, u32, false>,
    XorKeeping: Update<Xor, First, Second, u32, true>,
    ShlKeeping: Shifted<Shl, First, u32, false, true>,
    ShrKeeping: Shifted<Shr, First, u32, false, true>,
    Rol: Shifted<Rol, First, u32, false, false>,
    Ror: Shifted<Ror, First, u32, false, false>,
}

/// What `instruction` is in a pair, if its operands have these `shapes` and `bytes` and somebody
/// sees those flags of it that are `live`.
pub(crate) fn kind(instruction: &Instruction, shapes: [Shape; 2], bytes: u16, live: Eflags) -> Option<Kind> {
    use Operation as O;
    const BASED: Shape = Shape::Memory(Mode::Based);
    const INDEXED: Shape = Shape::Memory(Mode::Indexed);
    if bytes != 4 || pentimento_execute::operand_size_bytes(instruction) != 4 {
        return None;
    }
    let kept = !live.is_empty();
    let either = |dead: Kind, keeping: Kind| if kept { keeping } else { dead };
    Some(match (instruction.operation(), shapes) {
        (O::Mov, [Shape::Register, Shape::Register]) => Kind::Move,
        (O::Mov, [Shape::Register, Shape::Immediate]) => Kind::MoveImmediate,
        (O::Mov, [Shape::Register, BASED]) => Kind::Load,
        (O::Mov, [Shape::Register, INDEXED]) => Kind::LoadIndexed,
        (O::Mov, [BASED, Shape::Register]) => Kind::Store,
        (O::Mov, [BASED, Shape::Immediate]) => Kind::StoreImmediate,
        (O::Movzx, [Shape::Register, BASED]) if pentimento_execute::operand_bytes(instruction, 1) == 1 => {
            Kind::LoadByte
        }
        (O::Lea, [Shape::Register, BASED]) => Kind::Lea,
        (O::Lea, [Shape::Register, INDEXED]) => Kind::LeaIndexed,
        (O::Push, [Shape::Register, _]) => Kind::Push,
        (O::Pop, [Shape::Register, _]) => Kind::Pop,
        (O::Add, [Shape::Register, Shape::Register]) => either(Kind::Add, Kind::AddKeeping),
        (O::Add, [Shape::Register, Shape::Immediate]) => {
            either(Kind::AddImmediate, Kind::AddImmediateKeeping)
        }
        (O::Add, [Shape::Register, BASED]) if !kept => Kind::AddMemory,
        (O::Sub, [Shape::Register, Shape::Register]) => Kind::SubKeeping,
        (O::Sub, [Shape::Register, Shape::Immediate]) => Kind::SubImmediateKeeping,
        (O::And, [Shape::Register, Shape::Register]) if !kept => Kind::And,
        (O::And, [Shape::Register, Shape::Immediate]) => Kind::AndImmediateKeeping,
        (O::Or, [Shape::Register, Shape::Register]) if !kept => Kind::Or,
        (O::Xor, [Shape::Register, Shape::Register]) => either(Kind::Xor, Kind::XorKeeping),
        (O::Shl, [Shape::Register, Shape::Immediate]) if shifts(instruction) => Kind::ShlKeeping,
        (O::Shr, [Shape::Register, Shape::Immediate]) if shifts(instruction) => Kind::ShrKeeping,
        (O::Rol, [Shape::Register, Shape::Immediate]) if !kept && shifts(instruction) => Kind::Rol,
        (O::Ror, [Shape::Register, Shape::Immediate]) if !kept && shifts(instruction) => Kind::Ror,
        _ => return None,
    })
}

/// Whether a shift or rotate by an immediate does anything.
fn shifts(instruction: &Instruction) -> bool {
    matches!(instruction.operand(1), Some(Operand::Immediate { value, .. }) if value & 31 != 0)
}
