//! Chooses handlers for a block's operations.

use pentimento_decoder::{Instruction, Operand, Operation};
use pentimento_registers::Eflags;

use crate::arithmetic as a;
use crate::arithmetic::{
    Add, And, Binary, Compare, Complement, Count, Divide, DoubleShift, Multiply, MultiplyWide, Negate, Shift,
    Shifted, Sub, Update,
};
use crate::branch::{Always, branch, fused, straight};
use crate::cursor::{Handler, Op};
use crate::frame::{End, MOST, Step};
use crate::indirect::{self, CallIndirect, JumpIndirect};
use crate::liveness::Liveness;
use crate::operand::{Absolute, Base, Based, First, Fixed, Immediate, Indexed, Memory, Scaled, Second};
use crate::pair::{self, Kind};
use crate::select_rarer;
use crate::select_vector;
use crate::select_x87;
use crate::shape::{Mode, Shape, operands};
use crate::transfer as t;

/// Evaluates an expression with a type alias for the addressing form.
macro_rules! by_mode {
    ($mode:expr, $address:ident => $handler:expr) => {
        match $mode {
            Mode::Based => {
                type $address = Memory<Based>;
                $handler as Handler
            }
            Mode::Indexed => {
                type $address = Memory<Indexed>;
                $handler as Handler
            }
            Mode::Scaled => {
                type $address = Memory<Scaled>;
                $handler as Handler
            }
            Mode::Absolute => {
                type $address = Memory<Absolute>;
                $handler as Handler
            }
        }
    };
}

/// Evaluates an expression with a constant that says whether flags are wanted.
macro_rules! by_flag {
    ($wanted:expr, $flags:ident => $handler:expr) => {
        if $wanted {
            const $flags: bool = true;
            $handler
        } else {
            const $flags: bool = false;
            $handler
        }
    };
}

/// Evaluates an expression with a type alias for the width.
macro_rules! by_width {
    ($bytes:expr, $width:ident => $handler:expr) => {
        match $bytes {
            1 => {
                type $width = u8;
                $handler
            }
            2 => {
                type $width = u16;
                $handler
            }
            _ => {
                type $width = u32;
                $handler
            }
        }
    };
}

/// Evaluates an expression with a constant for the condition.
macro_rules! by_condition {
    ($number:expr, $condition:ident => $handler:expr) => {
        by_condition!(@arms $number, $condition, $handler, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@arms $number:expr, $condition:ident, $handler:expr, $($value:literal)*) => {
        match $number & 15 {
            $($value => { const $condition: u8 = $value; Some($handler as Handler) })*
            _ => None,
        }
    };
}

/// Evaluates an expression with a constant for a register.
macro_rules! by_register {
    ($register:expr, $number:ident => $handler:expr) => {
        by_register!(@arms $register, $number, $handler, 0 1 2 3 4 5 6, 7)
    };
    (@arms $register:expr, $number:ident, $handler:expr, $($value:literal)*, $last:literal) => {
        match $register as u8 {
            $($value => { const $number: u8 = $value; $handler as Handler })*
            _ => { const $number: u8 = $last; $handler as Handler }
        }
    };
}

/// Evaluates an expression with constants for the two registers of an operation.
macro_rules! by_registers {
    ($op:expr, $first:ident, $second:ident => $handler:expr) => {
        by_register!($op.first, $first => by_register!($op.second, $second => $handler))
    };
}
pub(crate) use {by_condition, by_mode, by_width};

/// An instruction on its way to a handler.
struct Choice<'a> {
    instruction: &'a Instruction,
    shapes: [Shape; 2],
    bytes: u16,
    /// The flags that somebody sees.
    live: Eflags,
}

/// Gives the operations of a block their handlers and operands.
pub(crate) fn select(ops: &mut [Op], steps: &[Step]) {
    let mut liveness = Liveness::at_end();
    let mut kinds = [None; MOST as usize];
    for index in (0..ops.len().min(steps.len())).rev() {
        let Some(instruction) = steps[index].instruction else { continue };
        let live = liveness.step(&instruction, steps[index].lacking);
        ops[index].keeps_flags = liveness.is_all();
        if steps[index].lacking {
            continue;
        }
        let op = &mut ops[index];
        let shapes = operands(op, &instruction);
        let bytes = pentimento_execute::operand_bytes(&instruction, 0);
        let choice = Choice { instruction: &instruction, shapes, bytes, live };
        if let Some(kind) = kinds.get_mut(index) {
            *kind = pair::kind(&instruction, shapes, bytes, live);
        }
        let handler = choice.handler(op, &steps[index]);
        if let Some(handler) = handler.or_else(|| select_rarer::select(op, &steps[index], &instruction)) {
            op.handler = handler;
        }
        if let Some(jcc) = steps.get(index + 1).and_then(|step| step.instruction)
            && jcc.operation() == Operation::Jcc
            && pentimento_execute::operand_size_bytes(&jcc) == 4
            && let Some(handler) = choice.fused(&ops[index], &jcc)
        {
            ops[index].handler = handler;
            ops[index].joins_next = true;
        }
    }
    if is_long_stretch(steps) {
        join_pairs(ops, &kinds);
    }
}

/// Whether a block is as long as blocks can be and has no branch: so it is one of many in a row, as
/// the unrolled rounds of ciphers and hashes are. In loops that the host's predictor remembers, pairs
/// only cost what they look up.
fn is_long_stretch(steps: &[Step]) -> bool {
    steps.len() > MOST.into() && steps[..MOST.into()].iter().all(|step| step.end == End::Next)
}

/// Joins neighbours that there is a handler of both for.
fn join_pairs(ops: &mut [Op], kinds: &[Option<Kind>]) {
    let mut index = 0;
    while let (Some(&[first, second]), Some([op, next])) = (
        kinds.get(index..index + 2).and_then(<[_]>::first_chunk),
        ops.get_mut(index..).and_then(<[_]>::first_chunk_mut),
    ) {
        index += 1;
        if let (Some(first), Some(second)) = (first, second)
            && !op.joins_next
            && !next.joins_next
        {
            op.handler = pair::handler(first, second);
            op.joins_next = true;
            index += 1;
        }
    }
}

impl Choice<'_> {
    fn handler(&self, op: &mut Op, step: &Step) -> Option<Handler> {
        use Operation as O;
        match self.instruction.operation() {
            O::Mov => self.mov(op),
            O::Movzx => self.extend::<false>(op),
            O::Movsx => self.extend::<true>(op),
            O::Lea => self.lea(op),
            O::Xchg => self.exchange(),
            O::Add => self.update::<Add>(op),
            O::Adc => self.update_with_carry::<a::Adc>(),
            O::Sub => self.update::<Sub>(op),
            O::Sbb => self.update_with_carry::<a::Sbb>(),
            O::And => self.update::<And>(op),
            O::Or => self.update::<a::Or>(op),
            O::Xor => self.update::<a::Xor>(op),
            O::Cmp => self.compare::<Sub>(op),
            O::Test => self.compare::<And>(op),
            O::Inc => self.count::<false>(op),
            O::Dec => self.count::<true>(op),
            O::Neg => self.negate(),
            O::Not => self.complement(),
            O::Shl => self.shift::<a::Shl>(op),
            O::Shr => self.shift::<a::Shr>(op),
            O::Sar => self.shift::<a::Sar>(op),
            O::Rol => self.shift::<a::Rol>(op),
            O::Ror => self.shift::<a::Ror>(op),
            O::Shld => self.double_shift::<false>(op),
            O::Shrd => self.double_shift::<true>(op),
            O::Imul if self.instruction.operand_count() > 1 => self.multiply(op),
            O::Imul => self.multiply_wide::<true>(),
            O::Mul => self.multiply_wide::<false>(),
            O::Div => self.divide::<false>(),
            O::Idiv => self.divide::<true>(),
            _ => self
                .transfer(op, step)
                .or_else(|| select_vector::select(op, self.instruction, self.shapes))
                .or_else(|| select_x87::select(op, self.instruction, self.shapes)),
        }
    }

    /// The handlers of instructions that compute nothing.
    fn transfer(&self, op: &mut Op, step: &Step) -> Option<Handler> {
        use Operation as O;
        let operand_size = pentimento_execute::operand_size_bytes(self.instruction);
        match self.instruction.operation() {
            O::Setcc => self.set(),
            O::Cmovcc if self.bytes == 4 => self.conditional_move(),
            _ if operand_size != 4 => None,
            O::Bswap => Some(straight::<t::SwapBytes>),
            O::Cdq => Some(straight::<t::SignIntoEdx>),
            O::Cwde => Some(straight::<t::ExtendEax>),
            O::Nop => Some(straight::<t::Nothing>),
            O::Push => self.push(op),
            O::Pop if self.shapes[0] == Shape::Register => {
                Some(by_register!(op.first, D => straight::<t::Pop<Fixed<D>>>))
            }
            O::Leave => Some(straight::<t::Leave>),
            O::Jcc => by_condition!(self.instruction.condition().number(), C => branch::<t::JumpIf<C>>),
            O::Jmp => self.jump(),
            O::Call => {
                op.immediate = step.next;
                self.call()
            }
            O::Ret => {
                op.immediate &= 0xffff;
                Some(indirect::ret)
            }
            _ => None,
        }
    }

    fn mov(&self, op: &Op) -> Option<Handler> {
        if self.bytes == 4 {
            return self.mov_whole(op);
        }
        Some(by_width!(self.bytes, W => match self.shapes {
            [Shape::Register, Shape::Register] => {
                by_register!(op.first, D => straight::<t::Move<Fixed<D>, Second, W>>)
            }
            [Shape::Register, Shape::Immediate] => {
                by_register!(op.first, D => straight::<t::Move<Fixed<D>, Immediate, W>>)
            }
            [Shape::Register, Shape::Memory(mode)] => by_mode!(mode, M => straight::<t::Move<First, M, W>>),
            [Shape::Memory(mode), Shape::Register] => by_mode!(mode, M => straight::<t::Move<M, First, W>>),
            [Shape::Memory(mode), Shape::Immediate] => by_mode!(mode, M => straight::<t::Move<M, Immediate, W>>),
            _ => return None,
        }))
    }

    /// MOV of 32 bits, the most common of all instructions.
    fn mov_whole(&self, op: &Op) -> Option<Handler> {
        Some(match self.shapes {
            [Shape::Register, Shape::Register] => {
                by_registers!(op, D, S => straight::<t::Move<Fixed<D>, Fixed<S>, u32>>)
            }
            [Shape::Register, Shape::Immediate] => {
                by_register!(op.first, D => straight::<t::Move<Fixed<D>, Immediate, u32>>)
            }
            [Shape::Register, Shape::Memory(Mode::Based)] => {
                by_registers!(op, D, B => straight::<t::Move<Fixed<D>, Memory<Base<B>>, u32>>)
            }
            [Shape::Memory(Mode::Based), Shape::Register] => {
                by_registers!(op, S, B => straight::<t::Move<Memory<Base<B>>, Fixed<S>, u32>>)
            }
            [Shape::Memory(Mode::Based), Shape::Immediate] => {
                by_register!(op.second, B => straight::<t::Move<Memory<Base<B>>, Immediate, u32>>)
            }
            [Shape::Register, Shape::Memory(mode)] => {
                by_mode!(mode, M => by_register!(op.first, D => straight::<t::Move<Fixed<D>, M, u32>>))
            }
            [Shape::Memory(mode), Shape::Register] => {
                by_mode!(mode, M => by_register!(op.first, S => straight::<t::Move<M, Fixed<S>, u32>>))
            }
            [Shape::Memory(mode), Shape::Immediate] => {
                by_mode!(mode, M => straight::<t::Move<M, Immediate, u32>>)
            }
            _ => return None,
        })
    }

    fn extend<const SIGNED: bool>(&self, op: &Op) -> Option<Handler> {
        if self.bytes != 4 {
            return None;
        }
        let from = pentimento_execute::operand_bytes(self.instruction, 1);
        Some(by_width!(from, W => match self.shapes {
            [Shape::Register, Shape::Register] => {
                by_register!(op.first, D => straight::<t::Extend<Fixed<D>, Second, W, SIGNED>>)
            }
            [Shape::Register, Shape::Memory(mode)] => {
                by_mode!(mode, M => by_register!(op.first, D => straight::<t::Extend<Fixed<D>, M, W, SIGNED>>))
            }
            _ => return None,
        }))
    }

    fn lea(&self, op: &Op) -> Option<Handler> {
        match self.shapes {
            [Shape::Register, Shape::Memory(mode)] if self.bytes == 4 => Some(match mode {
                Mode::Based => by_registers!(op, D, B => straight::<t::EffectiveAddress<Fixed<D>, Base<B>>>),
                Mode::Indexed => {
                    by_register!(op.first, D => straight::<t::EffectiveAddress<Fixed<D>, Indexed>>)
                }
                Mode::Scaled => {
                    by_register!(op.first, D => straight::<t::EffectiveAddress<Fixed<D>, Scaled>>)
                }
                Mode::Absolute => straight::<t::EffectiveAddress<First, Absolute>>,
            }),
            _ => None,
        }
    }

    fn exchange(&self) -> Option<Handler> {
        match self.shapes {
            [Shape::Register, Shape::Register] => {
                Some(by_width!(self.bytes, W => straight::<t::Exchange<W>>))
            }
            _ => None,
        }
    }

    /// What reads CF, too: rarer.
    fn update_with_carry<O: Binary>(&self) -> Option<Handler> {
        let wanted = !self.live.is_empty();
        Some(by_width!(self.bytes, W => by_flag!(wanted, F => match self.shapes {
            [Shape::Register, Shape::Register] => straight::<Update<O, First, Second, W, F>>,
            [Shape::Register, Shape::Immediate] => straight::<Update<O, First, Immediate, W, F>>,
            [Shape::Register, Shape::Memory(mode)] => by_mode!(mode, M => straight::<Update<O, First, M, W, F>>),
            [Shape::Memory(mode), Shape::Register] => by_mode!(mode, M => straight::<Update<O, M, First, W, F>>),
            [Shape::Memory(mode), Shape::Immediate] => {
                by_mode!(mode, M => straight::<Update<O, M, Immediate, W, F>>)
            }
            _ => return None,
        })))
    }

    fn update<O: Binary>(&self, op: &Op) -> Option<Handler> {
        let wanted = !self.live.is_empty();
        Some(match (self.shapes, self.bytes) {
            ([Shape::Register, Shape::Register], 4) => by_flag!(wanted, F => {
                by_registers!(op, D, S => straight::<Update<O, Fixed<D>, Fixed<S>, u32, F>>)
            }),
            ([Shape::Register, Shape::Immediate], 4) => by_flag!(wanted, F => {
                by_register!(op.first, D => straight::<Update<O, Fixed<D>, Immediate, u32, F>>)
            }),
            ([Shape::Register, Shape::Memory(Mode::Based)], 4) => by_flag!(wanted, F => {
                by_register!(op.first, D => straight::<Update<O, Fixed<D>, Memory<Based>, u32, F>>)
            }),
            _ => return self.update_with_carry::<O>(),
        })
    }

    fn compare<O: Binary>(&self, op: &Op) -> Option<Handler> {
        Some(by_width!(self.bytes, W => match self.shapes {
            [Shape::Register, Shape::Register] => {
                by_register!(op.first, A => straight::<Compare<O, Fixed<A>, Second, W>>)
            }
            [Shape::Register, Shape::Immediate] => {
                by_register!(op.first, A => straight::<Compare<O, Fixed<A>, Immediate, W>>)
            }
            [Shape::Register, Shape::Memory(mode)] => by_mode!(mode, M => straight::<Compare<O, First, M, W>>),
            [Shape::Memory(mode), Shape::Register] => by_mode!(mode, M => straight::<Compare<O, M, First, W>>),
            [Shape::Memory(mode), Shape::Immediate] => {
                by_mode!(mode, M => straight::<Compare<O, M, Immediate, W>>)
            }
            _ => return None,
        }))
    }

    fn count<const DOWN: bool>(&self, op: &Op) -> Option<Handler> {
        let carry = self.live.contains(Eflags::CF);
        let others = !self.live.difference(Eflags::CF).is_empty();
        Some(by_width!(self.bytes, W => match (self.shapes[0], others, carry) {
            (Shape::Register, false, _) => {
                by_register!(op.first, R => straight::<Count<Fixed<R>, W, DOWN, { a::NONE }>>)
            }
            (Shape::Register, true, false) => {
                by_register!(op.first, R => straight::<Count<Fixed<R>, W, DOWN, { a::WITHOUT_CARRY }>>)
            }
            (Shape::Register, true, true) => {
                by_register!(op.first, R => straight::<Count<Fixed<R>, W, DOWN, { a::ALL }>>)
            }
            (Shape::Memory(mode), ..) => by_mode!(mode, M => straight::<Count<M, W, DOWN, { a::ALL }>>),
            _ => return None,
        }))
    }

    fn negate(&self) -> Option<Handler> {
        Some(by_width!(self.bytes, W => match self.shapes[0] {
            Shape::Register => {
                by_flag!(!self.live.is_empty(), F => straight::<Negate<First, W, F>> as Handler)
            }
            Shape::Memory(mode) => by_mode!(mode, M => straight::<Negate<M, W, true>>),
            _ => return None,
        }))
    }

    fn complement(&self) -> Option<Handler> {
        Some(by_width!(self.bytes, W => match self.shapes[0] {
            Shape::Register => straight::<Complement<First, W>>,
            Shape::Memory(mode) => by_mode!(mode, M => straight::<Complement<M, W>>),
            _ => return None,
        }))
    }

    /// Shifts by a constant other than zero, and by CL.
    fn shift<S: Shift>(&self, op: &mut Op) -> Option<Handler> {
        let wanted = !self.live.is_empty();
        op.immediate &= 31;
        Some(match self.shapes {
            [Shape::Register, Shape::Immediate] if op.immediate != 0 && self.bytes == 4 => {
                by_flag!(wanted, F => {
                    by_register!(op.first, R => straight::<Shifted<S, Fixed<R>, u32, false, F>>)
                })
            }
            [Shape::Register, Shape::Immediate] if op.immediate != 0 => {
                by_width!(self.bytes, W => by_flag!(wanted, F => straight::<Shifted<S, First, W, false, F>>))
            }
            [Shape::Memory(mode), Shape::Immediate] if op.immediate != 0 && self.bytes == 4 => {
                by_mode!(mode, M => straight::<Shifted<S, M, u32, false, true>>)
            }
            [Shape::Register, Shape::Register] => {
                by_width!(self.bytes, W => by_flag!(wanted, F => straight::<Shifted<S, First, W, true, F>>))
            }
            _ => return None,
        })
    }

    fn double_shift<const RIGHT: bool>(&self, op: &mut Op) -> Option<Handler> {
        let Some(Operand::Immediate { value, .. }) = self.instruction.operand(2) else { return None };
        op.immediate = value & 31;
        if self.bytes != 4 || op.immediate == 0 || self.shapes != [Shape::Register; 2] {
            return None;
        }
        Some(by_flag!(!self.live.is_empty(), F => straight::<DoubleShift<RIGHT, F>> as Handler))
    }

    fn multiply(&self, op: &mut Op) -> Option<Handler> {
        if self.bytes != 4 {
            return None;
        }
        let wanted = self.live.intersects(Eflags::CF.union(Eflags::OF));
        if let Some(Operand::Immediate { value, .. }) = self.instruction.operand(2) {
            op.immediate = value;
            return Some(by_flag!(wanted, F => match self.shapes[1] {
                Shape::Register => straight::<Multiply<Second, Immediate, u32, F>>,
                Shape::Memory(mode) => by_mode!(mode, M => straight::<Multiply<M, Immediate, u32, F>>),
                _ => return None,
            }));
        }
        Some(by_flag!(wanted, F => match self.shapes[1] {
            Shape::Register => straight::<Multiply<First, Second, u32, F>>,
            Shape::Memory(mode) => by_mode!(mode, M => straight::<Multiply<First, M, u32, F>>),
            _ => return None,
        }))
    }

    fn multiply_wide<const SIGNED: bool>(&self) -> Option<Handler> {
        if self.bytes != 4 {
            return None;
        }
        let wanted = self.live.intersects(Eflags::CF.union(Eflags::OF));
        Some(by_flag!(wanted, F => match self.shapes[0] {
            Shape::Register => straight::<MultiplyWide<First, SIGNED, F>>,
            Shape::Memory(mode) => by_mode!(mode, M => straight::<MultiplyWide<M, SIGNED, F>>),
            _ => return None,
        }))
    }

    fn divide<const SIGNED: bool>(&self) -> Option<Handler> {
        if self.bytes != 4 {
            return None;
        }
        Some(by_flag!(!self.live.is_empty(), F => match self.shapes[0] {
            Shape::Register => straight::<Divide<First, SIGNED, F>>,
            Shape::Memory(mode) => by_mode!(mode, M => straight::<Divide<M, SIGNED, F>>),
            _ => return None,
        }))
    }

    fn set(&self) -> Option<Handler> {
        let condition = self.instruction.condition().number();
        match self.shapes[0] {
            Shape::Register => by_condition!(condition, C => straight::<t::Set<First, C>>),
            _ => None,
        }
    }

    fn conditional_move(&self) -> Option<Handler> {
        let condition = self.instruction.condition().number();
        match self.shapes[1] {
            Shape::Register => by_condition!(condition, C => straight::<t::ConditionalMove<Second, C>>),
            Shape::Memory(Mode::Based) => {
                by_condition!(condition, C => straight::<t::ConditionalMove<Memory<Based>, C>>)
            }
            _ => None,
        }
    }

    fn push(&self, op: &Op) -> Option<Handler> {
        Some(match self.shapes[0] {
            Shape::Register => by_register!(op.first, S => straight::<t::Push<Fixed<S>>>),
            Shape::Immediate => straight::<t::Push<Immediate>>,
            Shape::Memory(mode) => by_mode!(mode, M => straight::<t::Push<M>>),
            _ => return None,
        })
    }

    fn jump(&self) -> Option<Handler> {
        Some(match (self.instruction.operand(0), self.shapes[0]) {
            (Some(Operand::Relative(_)), _) => branch::<Always>,
            (_, Shape::Register) => indirect::indirect::<JumpIndirect<First>>,
            (_, Shape::Memory(mode)) => by_mode!(mode, M => indirect::indirect::<JumpIndirect<M>>),
            _ => return None,
        })
    }

    fn call(&self) -> Option<Handler> {
        Some(match (self.instruction.operand(0), self.shapes[0]) {
            (Some(Operand::Relative(_)), _) => indirect::call,
            (_, Shape::Register) => indirect::indirect::<CallIndirect<First>>,
            (_, Shape::Memory(mode)) => by_mode!(mode, M => indirect::indirect::<CallIndirect<M>>),
            _ => return None,
        })
    }

    /// The handler of this instruction and the Jcc behind it.
    fn fused(&self, op: &Op, jcc: &Instruction) -> Option<Handler> {
        use Operation as O;
        let condition = jcc.condition().number();
        match self.instruction.operation() {
            O::Cmp => self.fused_compare::<Sub>(op, condition),
            O::Test if self.shapes == [Shape::Register; 2] && op.first == op.second && self.bytes == 4 => {
                by_condition!(condition, C => {
                    by_register!(op.first, A => fused::<Compare<And, Fixed<A>, Fixed<A>, u32>, C>)
                })
            }
            O::Test => self.fused_compare::<And>(op, condition),
            O::Sub => self.fused_update::<Sub>(op, condition),
            O::Add => self.fused_update::<Add>(op, condition),
            O::And => self.fused_update::<And>(op, condition),
            O::Inc => self.fused_count::<false>(op, condition),
            O::Dec => self.fused_count::<true>(op, condition),
            _ => None,
        }
    }

    fn fused_compare<O: Binary>(&self, op: &Op, condition: u8) -> Option<Handler> {
        type Index = Memory<Indexed>;
        by_width!(self.bytes, W => match self.shapes {
            [Shape::Register, Shape::Register] => by_condition!(condition, C => {
                by_register!(op.first, A => fused::<Compare<O, Fixed<A>, Second, W>, C>)
            }),
            [Shape::Register, Shape::Immediate] => by_condition!(condition, C => {
                by_register!(op.first, A => fused::<Compare<O, Fixed<A>, Immediate, W>, C>)
            }),
            [Shape::Register, Shape::Memory(Mode::Based)] => {
                by_condition!(condition, C => fused::<Compare<O, First, Memory<Based>, W>, C>)
            }
            [Shape::Memory(Mode::Based), Shape::Register] => {
                by_condition!(condition, C => fused::<Compare<O, Memory<Based>, First, W>, C>)
            }
            [Shape::Memory(Mode::Based), Shape::Immediate] => {
                by_condition!(condition, C => fused::<Compare<O, Memory<Based>, Immediate, W>, C>)
            }
            [Shape::Memory(Mode::Indexed), Shape::Immediate] => {
                by_condition!(condition, C => fused::<Compare<O, Index, Immediate, W>, C>)
            }
            _ => None,
        })
    }

    fn fused_update<O: Binary>(&self, op: &Op, condition: u8) -> Option<Handler> {
        match (self.shapes, self.bytes) {
            ([Shape::Register, Shape::Register], 4) => {
                by_condition!(condition, C => fused::<Update<O, First, Second, u32, true>, C>)
            }
            ([Shape::Register, Shape::Immediate], 4) => by_condition!(condition, C => {
                by_register!(op.first, D => fused::<Update<O, Fixed<D>, Immediate, u32, true>, C>)
            }),
            _ => None,
        }
    }

    fn fused_count<const DOWN: bool>(&self, op: &Op, condition: u8) -> Option<Handler> {
        match (self.shapes[0], self.bytes) {
            (Shape::Register, 4) => by_condition!(condition, C => {
                by_register!(op.first, R => fused::<Count<Fixed<R>, u32, DOWN, { a::ALL }>, C>)
            }),
            _ => None,
        }
    }
}
