//! Chooses handlers for instructions on XMM registers.

use pentimento_decoder::{Instruction, Operand, Operation, Register};
use pentimento_registers::Gpr;

use crate::attempt::attempt;
use crate::branch::straight;
use crate::cursor::{Handler, Op};
use crate::operand::{Absolute, Based, Indexed, Scaled};
use crate::shape::{Mode, Shape};
use crate::vector::{
    Aligned, Clear, Double, Float, FloatImmediate, General, Load, LoadQuad, Mask, MergeDouble, MergeHigh,
    MergeQuad, Packed, PackedCall, Quad, ShiftBy, ShiftImmediate, Shuffle, StoreAligned, StoreDouble,
    StoreHigh, StoreQuad, StoreUnaligned, ToGeneral, ToRegister, Unaligned, Xmm,
};
use crate::vector_arithmetic::{Compare, CompareQuietly, Middling, Noted};

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

/// The handler for whatever source the instruction has: a register of type `$register`, or memory
/// through `$memory`.
macro_rules! by_source {
    ($source:expr, $register:ident, $memory:ident, $s:ident => $handler:expr) => {
        match $source {
            Shape::Memory(mode) => by_mode!(mode, A => { type $s = $memory<A>; $handler }),
            Shape::Register => { type $s = $register; let handler: Handler = $handler; handler }
            _ => return None,
        }
    };
}

/// The handler for one of several operations.
macro_rules! by_operation {
    ($operation:expr, $number:ident => $handler:expr, $($name:ident)*) => {
        match $operation {
            $(Operation::$name => { const $number: u16 = Operation::$name as u16; $handler })*
            _ => return None,
        }
    };
}

/// The handler of an instruction on XMM registers, if there is one, with `op` made ready for it:
/// its memory operand is in there already, as [`operands`](crate::shape::operands) says in `shapes`.
pub(crate) fn select(op: &mut Op, instruction: &Instruction, shapes: [Shape; 2]) -> Option<Handler> {
    use Operation as O;
    if cfg!(target_endian = "big") {
        return None;
    }
    let [to, from] = registers(op, instruction, shapes)?;
    if let Some(Operand::Immediate { value, .. }) = instruction.operand(2) {
        op.immediate = value;
    }
    let same = to == Shape::Register && from == Shape::Register && op.first == op.second;
    Some(match instruction.operation() {
        O::Pxor | O::Xorps | O::Xorpd | O::Psubb | O::Psubw | O::Psubd | O::Psubq if same => {
            straight::<Clear>
        }
        O::Movaps
        | O::Movapd
        | O::Movdqa
        | O::Movups
        | O::Movupd
        | O::Movdqu
        | O::Lddqu
        | O::Movntps
        | O::Movntpd
        | O::Movntdq
        | O::Movntdqa => whole(instruction.operation(), to, from)?,
        O::Movq
        | O::Movd
        | O::Movss
        | O::Movsd
        | O::Movlps
        | O::Movlpd
        | O::Movhps
        | O::Movhpd
        | O::Movlhps => part(instruction, to, from)?,
        O::Pmovmskb => straight::<Mask<Xmm, 8>>,
        O::Movmskps => straight::<Mask<Xmm, 32>>,
        O::Movmskpd => straight::<Mask<Xmm, 64>>,
        O::Comisd => {
            by_source!(from, Xmm, Quad, S => attempt::<CompareQuietly<u64, S>, Compare<u64, S, true>>)
        }
        O::Ucomisd => {
            by_source!(from, Xmm, Quad, S => attempt::<CompareQuietly<u64, S>, Compare<u64, S, false>>)
        }
        O::Comiss => {
            by_source!(from, Xmm, Double, S => attempt::<CompareQuietly<u32, S>, Compare<u32, S, true>>)
        }
        O::Ucomiss => {
            by_source!(from, Xmm, Double, S => attempt::<CompareQuietly<u32, S>, Compare<u32, S, false>>)
        }
        _ => {
            return basic(instruction, from)
                .or_else(|| scalar(instruction, from))
                .or_else(|| float(instruction, from))
                .or_else(|| integer(instruction, from))
                .or_else(|| shuffled(instruction, from));
        }
    })
}

/// Puts the registers into `op` and says which operands they are; `None` where an operand is of
/// another kind, or an MMX register.
fn registers(op: &mut Op, instruction: &Instruction, shapes: [Shape; 2]) -> Option<[Shape; 2]> {
    let mut numbers = [op.first, op.second];
    let mut shapes = shapes;
    for index in 0..2 {
        match instruction.operand(index) {
            Some(Operand::Register(Register::Xmm(number))) => numbers[index] = Gpr::from_number(number),
            Some(Operand::Register(Register::Gpr32(number))) => numbers[index] = number,
            Some(Operand::Memory(_)) if matches!(shapes[index], Shape::Memory(_)) => continue,
            Some(Operand::Immediate { .. }) => continue,
            _ => return None,
        }
        shapes[index] = Shape::Register;
    }
    // A register beside memory is always the first.
    match shapes {
        [Shape::Memory(_), _] => op.first = numbers[1],
        [_, Shape::Memory(_)] => op.first = numbers[0],
        _ => [op.first, op.second] = numbers,
    }
    Some(shapes)
}

/// Moves of sixteen bytes.
fn whole(operation: Operation, to: Shape, from: Shape) -> Option<Handler> {
    use Operation as O;
    let unaligned = matches!(operation, O::Movups | O::Movupd | O::Movdqu | O::Lddqu);
    Some(match (to, from) {
        (Shape::Register, from) if unaligned => by_source!(from, Xmm, Unaligned, S => straight::<Load<S>>),
        (Shape::Register, from) => by_source!(from, Xmm, Aligned, S => straight::<Load<S>>),
        (Shape::Memory(mode), _) if unaligned => by_mode!(mode, A => straight::<StoreUnaligned<A>>),
        (Shape::Memory(mode), _) => by_mode!(mode, A => straight::<StoreAligned<A>>),
        _ => return None,
    })
}

/// Moves of four and eight bytes.
fn part(instruction: &Instruction, to: Shape, from: Shape) -> Option<Handler> {
    use Operation as O;
    let to_general = matches!(instruction.operand(0), Some(Operand::Register(Register::Gpr32(_))));
    Some(match (instruction.operation(), to, from) {
        (O::Movd, Shape::Register, Shape::Register) if to_general => straight::<ToRegister<Xmm>>,
        (O::Movd, Shape::Register, from) => by_source!(from, General, Double, S => straight::<Load<S>>),
        (O::Movq, Shape::Register, from) => by_source!(from, Xmm, Quad, S => straight::<LoadQuad<S>>),
        (O::Movsd, Shape::Register, Shape::Register) => straight::<MergeQuad<Xmm>>,
        (O::Movss, Shape::Register, Shape::Register) => straight::<MergeDouble<Xmm>>,
        (O::Movlhps, Shape::Register, Shape::Register) => straight::<MergeHigh<Xmm>>,
        (O::Movsd, _, Shape::Memory(mode)) => by_mode!(mode, A => straight::<Load<Quad<A>>>),
        (O::Movss, _, Shape::Memory(mode)) => by_mode!(mode, A => straight::<Load<Double<A>>>),
        (O::Movlps | O::Movlpd, _, Shape::Memory(mode)) => {
            by_mode!(mode, A => straight::<MergeQuad<Quad<A>>>)
        }
        (O::Movhps | O::Movhpd, _, Shape::Memory(mode)) => {
            by_mode!(mode, A => straight::<MergeHigh<Quad<A>>>)
        }
        (O::Movd | O::Movss, Shape::Memory(mode), _) => by_mode!(mode, A => straight::<StoreDouble<A>>),
        (O::Movhps | O::Movhpd, Shape::Memory(mode), _) => by_mode!(mode, A => straight::<StoreHigh<A>>),
        (O::Movq | O::Movsd | O::Movlps | O::Movlpd, Shape::Memory(mode), _) => {
            by_mode!(mode, A => straight::<StoreQuad<A>>)
        }
        _ => return None,
    })
}

/// Addition to square root.
fn basic(instruction: &Instruction, from: Shape) -> Option<Handler> {
    Some(match instruction.operation() {
        Operation::Addsd | Operation::Subsd | Operation::Mulsd | Operation::Divsd | Operation::Sqrtsd => {
            by_operation!(instruction.operation(),
                N => by_source!(from, Xmm, Quad, S => attempt::<Middling<S, N>, Noted<S, N>>), Addsd Subsd Mulsd Divsd Sqrtsd)
        }
        Operation::Addss | Operation::Subss | Operation::Mulss | Operation::Divss | Operation::Sqrtss => {
            by_operation!(instruction.operation(),
                N => by_source!(from, Xmm, Double, S => attempt::<Middling<S, N>, Noted<S, N>>), Addss Subss Mulss Divss Sqrtss)
        }
        _ => by_operation!(instruction.operation(),
            N => by_source!(from, Xmm, Aligned, S => attempt::<Middling<S, N>, Noted<S, N>>),
            Addps Addpd Subps Subpd Mulps Mulpd Divps Divpd Sqrtps Sqrtpd),
    })
}

/// Scalar minima, maxima and conversions.
fn scalar(instruction: &Instruction, from: Shape) -> Option<Handler> {
    fn double(instruction: &Instruction, from: Shape) -> Option<Handler> {
        Some(by_operation!(instruction.operation(),
            N => by_source!(from, Xmm, Quad, S => straight::<Float<S, N>>),
            Minsd Maxsd Cvtsd2ss Cvtps2pd Cvtdq2pd))
    }
    fn single(instruction: &Instruction, from: Shape) -> Option<Handler> {
        Some(by_operation!(instruction.operation(),
            N => by_source!(from, Xmm, Double, S => straight::<Float<S, N>>), Minss Maxss Cvtss2sd))
    }
    fn from_general(instruction: &Instruction, from: Shape) -> Option<Handler> {
        Some(by_operation!(instruction.operation(),
            N => by_source!(from, General, Double, S => straight::<Float<S, N>>), Cvtsi2sd Cvtsi2ss))
    }
    fn to_general(instruction: &Instruction, from: Shape) -> Option<Handler> {
        Some(match instruction.operation() {
            Operation::Cvttss2si | Operation::Cvtss2si => by_operation!(instruction.operation(),
                N => by_source!(from, Xmm, Double, S => straight::<ToGeneral<S, N>>), Cvttss2si Cvtss2si),
            _ => by_operation!(instruction.operation(),
                N => by_source!(from, Xmm, Quad, S => straight::<ToGeneral<S, N>>), Cvttsd2si Cvtsd2si),
        })
    }
    double(instruction, from)
        .or_else(|| single(instruction, from))
        .or_else(|| from_general(instruction, from))
        .or_else(|| to_general(instruction, from))
}

/// Packed floating point.
fn float(instruction: &Instruction, from: Shape) -> Option<Handler> {
    Some(by_operation!(instruction.operation(),
        N => by_source!(from, Xmm, Aligned, S => straight::<Float<S, N>>),
        Minps Minpd Maxps Maxpd Haddps Haddpd Addsubps Addsubpd Cvtdq2ps Cvtps2dq Cvttps2dq Cvttpd2dq Cvtpd2ps))
}

/// Packed integers and logic.
fn integer(instruction: &Instruction, from: Shape) -> Option<Handler> {
    if from == Shape::Immediate {
        return Some(by_operation!(instruction.operation(), N => straight::<ShiftImmediate<N>>,
            Psllw Pslld Psllq Pslldq Psrlw Psrld Psrlq Psrldq Psraw Psrad));
    }
    if matches!(instruction.operation(), Operation::Psadbw | Operation::Pshufb) {
        return Some(by_operation!(instruction.operation(),
            N => by_source!(from, Xmm, Aligned, S => straight::<PackedCall<S, N>>), Psadbw Pshufb));
    }
    Some(by_operation!(instruction.operation(),
        N => by_source!(from, Xmm, Aligned, S => straight::<Packed<S, N>>),
        Paddb Paddw Paddd Paddq Paddusb Paddusw Paddsb Paddsw
        Psubb Psubw Psubd Psubq Psubusb Psubusw Psubsb Psubsw
        Pmullw Pmulld Pmulhw Pmulhuw Pmuludq Pmaddwd Pavgb Pavgw
        Pmaxub Pmaxsw Pmaxsd Pmaxud Pminub Pminsw Pminsd Pminud
        Pcmpeqb Pcmpeqw Pcmpeqd Pcmpgtb Pcmpgtw Pcmpgtd
        Pand Pandn Por Pxor Andps Andpd Andnps Andnpd Orps Orpd Xorps Xorpd
        Packsswb Packssdw Packuswb
        Punpcklbw Punpcklwd Punpckldq Punpcklqdq Punpckhbw Punpckhwd Punpckhdq Punpckhqdq
        Unpcklps Unpckhps Unpcklpd Unpckhpd))
}

/// Shuffles, comparisons that an immediate chooses, and shifts by a register.
fn shuffled(instruction: &Instruction, from: Shape) -> Option<Handler> {
    fn with_immediate(instruction: &Instruction, from: Shape) -> Option<Handler> {
        Some(by_operation!(instruction.operation(),
            N => by_source!(from, Xmm, Aligned, S => straight::<Shuffle<S, N>>),
            Pshufd Pshuflw Pshufhw Shufps Shufpd Palignr Pblendw Blendps Blendpd))
    }
    fn packed_compare(instruction: &Instruction, from: Shape) -> Option<Handler> {
        Some(by_operation!(instruction.operation(),
            N => by_source!(from, Xmm, Aligned, S => straight::<FloatImmediate<S, N>>), Cmpps Cmppd Roundps Roundpd))
    }
    fn scalar_compare(instruction: &Instruction, from: Shape) -> Option<Handler> {
        Some(match instruction.operation() {
            Operation::Cmpss | Operation::Roundss => by_operation!(instruction.operation(),
                N => by_source!(from, Xmm, Double, S => straight::<FloatImmediate<S, N>>), Cmpss Roundss),
            _ => by_operation!(instruction.operation(),
                N => by_source!(from, Xmm, Quad, S => straight::<FloatImmediate<S, N>>), Cmpsd Roundsd),
        })
    }
    fn shift(instruction: &Instruction, from: Shape) -> Option<Handler> {
        Some(by_operation!(instruction.operation(),
            N => by_source!(from, Xmm, Aligned, S => straight::<ShiftBy<S, N>>),
            Psllw Pslld Psllq Psrlw Psrld Psrlq Psraw Psrad))
    }
    with_immediate(instruction, from)
        .or_else(|| packed_compare(instruction, from))
        .or_else(|| scalar_compare(instruction, from))
        .or_else(|| shift(instruction, from))
}
