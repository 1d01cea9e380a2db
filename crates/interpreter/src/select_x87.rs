//! Chooses handlers for x87 instructions, and for the two that move flags through AH.

use pentimento_decoder::{Instruction, Operation};
use pentimento_registers::Condition;

use crate::attempt::attempt;
use crate::branch::straight;
use crate::cursor::{Handler, Op};
use crate::operand::{Absolute, Based, Indexed, Scaled};
use crate::shape::{Mode, Shape};
use crate::x87_arithmetic::{
    self as a, Add, Compare, CompareIntoFlags, Compute, Div, General, Mul, Sub, Unary, Usual,
};
use crate::x87_operand::{Double, Extended, Int, Memory, Single, Stack, ToStack};
use crate::x87_transfer::{self as t, Copy, Load, LoadUsual, MoveIf, Rotate, Store, StoreUsual};
use pentimento_execute::operand_bytes;

/// The handler for an addressing form.
macro_rules! by_mode {
    ($mode:expr, $address:ident => $handler:expr) => {
        match $mode {
            Mode::Based => {
                type $address = Based;
                let handler: Handler = $handler;
                handler
            }
            Mode::Indexed => {
                type $address = Indexed;
                let handler: Handler = $handler;
                handler
            }
            Mode::Scaled => {
                type $address = Scaled;
                let handler: Handler = $handler;
                handler
            }
            Mode::Absolute => {
                type $address = Absolute;
                let handler: Handler = $handler;
                handler
            }
        }
    };
}

/// An x87 instruction on its way to a handler.
struct Choice<'a> {
    instruction: &'a Instruction,
    /// The addressing form of its operand in memory.
    mode: Option<Mode>,
    /// The size of that operand.
    bytes: u16,
}

/// The handler of an x87 instruction, if there is one, with `op` made ready for it: its memory
/// operand is in there already, as [`operands`](crate::shape::operands) says in `shapes`.
pub(crate) fn select(op: &mut Op, instruction: &Instruction, shapes: [Shape; 2]) -> Option<Handler> {
    use Operation as O;
    let in_memory = instruction.modrm() < 0xc0;
    let mode = match shapes[0] {
        Shape::Memory(mode) => Some(mode),
        _ => None,
    };
    let choice = Choice { instruction, mode, bytes: operand_bytes(instruction, 0) };
    let handler = match instruction.operation() {
        O::Sahf => return Some(straight::<t::AhIntoFlags>),
        O::Wait => return Some(straight::<t::Wait>),
        _ if !matches!(instruction.opcode(), 0xd8..=0xdf) => return None,
        _ if in_memory => choice.in_memory(),
        _ => choice.in_registers(),
    };
    if !in_memory {
        // ST(i); FCOMPP and FUCOMPP have the right one there too.
        op.immediate = (instruction.modrm() & 7).into();
        op.displacement = 1 | 1 << op.immediate;
    }
    handler
}

impl Choice<'_> {
    fn in_memory(&self) -> Option<Handler> {
        use Operation as O;
        let mode = self.mode?;
        Some(match self.instruction.operation() {
            O::Fadd => self.binary::<Add>()?,
            O::Fmul => self.binary::<Mul>()?,
            O::Fsub => self.binary::<Sub>()?,
            O::Fsubr => self.binary::<a::SubReversed>()?,
            O::Fdiv => self.binary::<Div>()?,
            O::Fdivr => self.binary::<a::DivReversed>()?,
            O::Fiadd => self.binary_integer::<Add>()?,
            O::Fimul => self.binary_integer::<Mul>()?,
            O::Fisub => self.binary_integer::<Sub>()?,
            O::Fisubr => self.binary_integer::<a::SubReversed>()?,
            O::Fidiv => self.binary_integer::<Div>()?,
            O::Fidivr => self.binary_integer::<a::DivReversed>()?,
            O::Fcom => self.compare::<0>()?,
            O::Fcomp => self.compare::<1>()?,
            O::Ficom => self.compare_integer::<0>()?,
            O::Ficomp => self.compare_integer::<1>()?,
            O::Fld | O::Fild => self.load()?,
            O::Fst => self.store::<false>()?,
            O::Fstp => self.store::<true>()?,
            O::Fist => self.store_integer::<false, false>()?,
            O::Fistp => self.store_integer::<true, false>()?,
            O::Fisttp => self.store_integer::<true, true>()?,
            O::Fldcw => by_mode!(mode, A => straight::<t::LoadControl<A>>),
            O::Fnstcw => by_mode!(mode, A => straight::<t::StoreControl<A>>),
            O::Fnstsw => by_mode!(mode, A => straight::<t::StoreStatus<A>>),
            _ => return None,
        })
    }

    fn in_registers(&self) -> Option<Handler> {
        use Operation as O;
        Some(match self.instruction.operation() {
            O::Fadd | O::Faddp => self.binary_stack::<Add>(),
            O::Fmul | O::Fmulp => self.binary_stack::<Mul>(),
            O::Fsub | O::Fsubp => self.binary_stack::<Sub>(),
            O::Fsubr | O::Fsubrp => self.binary_stack::<a::SubReversed>(),
            O::Fdiv | O::Fdivp => self.binary_stack::<Div>(),
            O::Fdivr | O::Fdivrp => self.binary_stack::<a::DivReversed>(),
            O::Fcom | O::Fucom => straight::<Compare<Stack, 0>>,
            O::Fcomp | O::Fucomp => straight::<Compare<Stack, 1>>,
            O::Fcompp | O::Fucompp => straight::<Compare<Stack, 2>>,
            O::Fcomi | O::Fucomi => straight::<CompareIntoFlags<0>>,
            O::Fcomip | O::Fucomip => straight::<CompareIntoFlags<1>>,
            O::Ftst => straight::<a::Test>,
            O::Fabs => straight::<Unary<a::Absolute>>,
            O::Fchs => straight::<Unary<a::ChangeSign>>,
            O::Fsqrt => straight::<Unary<a::SquareRoot>>,
            O::Frndint => straight::<Unary<a::RoundToInteger>>,
            O::Fld => straight::<Load<Stack>>,
            O::Fld1 | O::Fldl2t | O::Fldl2e | O::Fldpi | O::Fldlg2 | O::Fldln2 | O::Fldz => {
                straight::<t::LoadConstant>
            }
            O::Fst => straight::<Copy<false>>,
            O::Fstp => straight::<Copy<true>>,
            O::Fxch => straight::<t::Exchange>,
            O::Fnop => straight::<Rotate<0>>,
            O::Fincstp => straight::<Rotate<1>>,
            O::Fdecstp => straight::<Rotate<7>>,
            O::Ffree => straight::<t::Free<false>>,
            O::Ffreep => straight::<t::Free<true>>,
            O::Fnclex => straight::<t::ClearExceptions>,
            O::Fnstsw => straight::<t::StatusIntoAx>,
            O::Fcmovb => straight::<MoveIf<{ Condition::B as u8 }>>,
            O::Fcmovnb => straight::<MoveIf<{ Condition::Ae as u8 }>>,
            O::Fcmove => straight::<MoveIf<{ Condition::E as u8 }>>,
            O::Fcmovne => straight::<MoveIf<{ Condition::Ne as u8 }>>,
            O::Fcmovbe => straight::<MoveIf<{ Condition::Be as u8 }>>,
            O::Fcmovnbe => straight::<MoveIf<{ Condition::A as u8 }>>,
            O::Fcmovu => straight::<MoveIf<{ Condition::P as u8 }>>,
            O::Fcmovnu => straight::<MoveIf<{ Condition::Np as u8 }>>,
            _ => return None,
        })
    }

    /// D8h is on ST(0), DCh on ST(i), DEh on ST(i) with a pop.
    fn binary_stack<C: Compute>(&self) -> Handler {
        match self.instruction.opcode() {
            0xd8 => attempt::<Usual<C, Stack>, General<C, Stack>>,
            0xdc => attempt::<Usual<C, ToStack<false>>, General<C, ToStack<false>>>,
            _ => attempt::<Usual<C, ToStack<true>>, General<C, ToStack<true>>>,
        }
    }

    fn binary<C: Compute>(&self) -> Option<Handler> {
        Some(match self.bytes {
            4 => {
                by_mode!(self.mode?, A => attempt::<Usual<C, Memory<Single, A>>, General<C, Memory<Single, A>>>)
            }
            _ => {
                by_mode!(self.mode?, A => attempt::<Usual<C, Memory<Double, A>>, General<C, Memory<Double, A>>>)
            }
        })
    }

    fn binary_integer<C: Compute>(&self) -> Option<Handler> {
        Some(match self.bytes {
            4 => by_mode!(self.mode?, A => straight::<General<C, Memory<Int<i32>, A>>>),
            _ => by_mode!(self.mode?, A => straight::<General<C, Memory<Int<i16>, A>>>),
        })
    }

    fn compare<const POPS: u8>(&self) -> Option<Handler> {
        Some(match self.bytes {
            4 => by_mode!(self.mode?, A => straight::<Compare<Memory<Single, A>, POPS>>),
            _ => by_mode!(self.mode?, A => straight::<Compare<Memory<Double, A>, POPS>>),
        })
    }

    fn compare_integer<const POPS: u8>(&self) -> Option<Handler> {
        Some(match self.bytes {
            4 => by_mode!(self.mode?, A => straight::<Compare<Memory<Int<i32>, A>, POPS>>),
            _ => by_mode!(self.mode?, A => straight::<Compare<Memory<Int<i16>, A>, POPS>>),
        })
    }

    fn load(&self) -> Option<Handler> {
        let mode = self.mode?;
        Some(match (self.instruction.operation(), self.bytes) {
            (Operation::Fild, 2) => by_mode!(mode, A => straight::<Load<Memory<Int<i16>, A>>>),
            (Operation::Fild, 4) => by_mode!(mode, A => straight::<Load<Memory<Int<i32>, A>>>),
            (Operation::Fild, _) => by_mode!(mode, A => straight::<Load<Memory<Int<i64>, A>>>),
            (_, 4) => by_mode!(mode, A => attempt::<LoadUsual<Single, A>, Load<Memory<Single, A>>>),
            (_, 8) => by_mode!(mode, A => attempt::<LoadUsual<Double, A>, Load<Memory<Double, A>>>),
            _ => by_mode!(mode, A => straight::<Load<Memory<Extended, A>>>),
        })
    }

    fn store<const POPS: bool>(&self) -> Option<Handler> {
        let mode = self.mode?;
        Some(match self.bytes {
            4 => by_mode!(mode, A => attempt::<StoreUsual<t::Single, A, POPS>, Store<t::Single, A, POPS>>),
            8 => by_mode!(mode, A => attempt::<StoreUsual<t::Double, A, POPS>, Store<t::Double, A, POPS>>),
            _ => by_mode!(mode, A => straight::<t::StoreExtended<A>>),
        })
    }

    fn store_integer<const POPS: bool, const TRUNCATE: bool>(&self) -> Option<Handler> {
        let mode = self.mode?;
        Some(match self.bytes {
            2 => by_mode!(mode, A => straight::<Store<t::Int<i16, TRUNCATE>, A, POPS>>),
            4 => by_mode!(mode, A => straight::<Store<t::Int<i32, TRUNCATE>, A, POPS>>),
            _ => by_mode!(mode, A => straight::<Store<t::Int<i64, TRUNCATE>, A, POPS>>),
        })
    }
}
