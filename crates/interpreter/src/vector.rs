//! XMM registers: moves, packed integers, floating point, conversions, comparisons.
//!
//! What they compute are the functions of [`vector`](pentimento_execute::vector), resolved when this is compiled,
//! so that most become the host's own vector instruction between a load and a store. Values travel
//! as `[u128; 1]`, because a plain `u128` would travel in two integer registers. Misaligned operands,
//! unmasked exceptions and MMX registers are for the reference.

use core::array;
use core::marker::PhantomData;

use pentimento_decoder::Operation;
use pentimento_memory::AddressSpace;
use pentimento_registers::CpuState;

use crate::branch::{Done, Miss, Straight};
use crate::cursor::Op;
use crate::frame::Frame;
use crate::operand::Address;
use pentimento_execute::float::Flags;
use pentimento_execute::vector::floating_point::{self, FloatBinary, FloatWithImmediate};
use pentimento_execute::vector::{Binary, Shift, WithImmediate, packed, shuffle, sign_bits};

/// A vector in memory.
type Wide = [u128; 1];

/// A vector operand that can be read.
pub(crate) trait Source {
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<Wide>;
}

/// The XMM register in [`Op::second`].
pub(crate) struct Xmm;
/// The general register in [`Op::second`], zero-extended.
pub(crate) struct General;
/// Sixteen bytes at an aligned address of form `A`.
pub(crate) struct Aligned<A>(PhantomData<A>);
/// Sixteen bytes at any address of form `A`.
pub(crate) struct Unaligned<A>(PhantomData<A>);
/// Eight bytes at an address of form `A`, zero-extended.
pub(crate) struct Quad<A>(PhantomData<A>);
/// Four bytes at an address of form `A`, zero-extended.
pub(crate) struct Double<A>(PhantomData<A>);

impl Source for Xmm {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, _: &AddressSpace) -> Done<Wide> {
        Ok(*array::from_ref(&cpu.xmm[op.second as usize]))
    }
}

impl Source for General {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, _: &AddressSpace) -> Done<Wide> {
        Ok([cpu.gpr(op.second).into()])
    }
}

impl<A: Address> Source for Aligned<A> {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<Wide> {
        let address = A::of(op, cpu);
        if address % 16 != 0 {
            return Err(Miss::Slow);
        }
        memory.read_fast(address).ok_or(Miss::Slow)
    }
}

impl<A: Address> Source for Unaligned<A> {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<Wide> {
        memory.read_fast(A::of(op, cpu)).ok_or(Miss::Slow)
    }
}

impl<A: Address> Source for Quad<A> {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<Wide> {
        memory.read_fast::<u64>(A::of(op, cpu)).map(|value| [value.into()]).ok_or(Miss::Slow)
    }
}

impl<A: Address> Source for Double<A> {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<Wide> {
        memory.read_fast::<u32>(A::of(op, cpu)).map(|value| [value.into()]).ok_or(Miss::Slow)
    }
}

/// The XMM register in [`Op::first`].
#[inline(always)]
pub(crate) fn first<'c>(op: &Op, cpu: &'c mut CpuState) -> &'c mut u128 {
    &mut cpu.xmm[op.first as usize]
}

/// Declares types that [`Straight`] is implemented for; `S` is the source. What hands out references
/// to its own locals is `outlined`: with such references about, the handler could not end in a jump.
macro_rules! vector {
    ($($(#[$doc:meta])* $kind:ident $name:ident $(<const $constant:ident: $of:ty>)?
        ($op:ident, $cpu:ident, $source:ident, $frame:ident) $body:block)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name<S, $(const $constant: $of)?>(PhantomData<S>);
        impl<S: Source, $(const $constant: $of)?> Straight for $name<S, $($constant)?> {
            vector!(@$kind $op, $cpu, $source, $frame, $body);
        }
    )*};
    (@inlined $op:ident, $cpu:ident, $source:ident, $frame:ident, $body:block) => {
        #[inline(always)]
        fn execute($op: &Op, $cpu: &mut CpuState, memory: &mut AddressSpace, $frame: &mut Frame<'_>) -> Done {
            let $source = S::get($op, $cpu, memory)?;
            $body
        }
    };
    (@outlined $op:ident, $cpu:ident, $source:ident, $frame:ident, $body:block) => {
        #[inline(never)]
        fn execute($op: &Op, $cpu: &mut CpuState, memory: &mut AddressSpace, $frame: &mut Frame<'_>) -> Done {
            let $source = S::get($op, $cpu, memory)?;
            $body
        }
    };
}

vector! {
    /// A copy that fills the register.
    inlined Load(op, cpu, source, _frame) {
        *array::from_mut(first(op, cpu)) = source;
        Ok(())
    }
    /// MOVQ between registers: the low half.
    inlined LoadQuad(op, cpu, source, _frame) {
        *first(op, cpu) = u128::from(source[0] as u64);
        Ok(())
    }
    /// MOVSD between registers, MOVLPS and MOVLPD from memory: the high half stays.
    inlined MergeQuad(op, cpu, source, _frame) {
        bytemuck::cast_mut::<_, [u64; 2]>(first(op, cpu))[0] = source[0] as u64;
        Ok(())
    }
    /// MOVHPS and MOVHPD from memory, MOVLHPS: the low half stays.
    inlined MergeHigh(op, cpu, source, _frame) {
        bytemuck::cast_mut::<_, [u64; 2]>(first(op, cpu))[1] = source[0] as u64;
        Ok(())
    }
    /// MOVSS between registers: the upper three quarters stay.
    inlined MergeDouble(op, cpu, source, _frame) {
        bytemuck::cast_mut::<_, [u32; 4]>(first(op, cpu))[0] = source[0] as u32;
        Ok(())
    }
    /// A function of [`packed::binary`] or [`packed::unary`].
    inlined Packed<const OPERATION: u16>(op, cpu, source, _frame) {
        let function = const { packed_function(OPERATION) };
        function(first(op, cpu), &source[0]);
        Ok(())
    }
    /// The same for those that are too large to be inlined.
    outlined PackedCall<const OPERATION: u16>(op, cpu, source, _frame) {
        let function = const { packed_function(OPERATION) };
        function(first(op, cpu), &source[0]);
        Ok(())
    }
    /// A function of [`shuffle::with_immediate`].
    inlined Shuffle<const OPERATION: u16>(op, cpu, source, _frame) {
        let function = const { shuffle_function(OPERATION) };
        function(first(op, cpu), &source[0], op.immediate as u8);
        Ok(())
    }
    /// A shift by a vector's low half.
    inlined ShiftBy<const OPERATION: u16>(op, cpu, source, _frame) {
        let function = const { shift_function(OPERATION) };
        function(first(op, cpu), source[0] as u64);
        Ok(())
    }
    /// A function of [`floating_point::binary`].
    outlined Float<const OPERATION: u16>(op, cpu, source, _frame) {
        let mut value = *array::from_ref(first(op, cpu));
        let function = const { float_function(OPERATION) };
        let flags = function(&mut value[0], &source[0], cpu.mxcsr);
        settle(cpu, flags)?;
        *array::from_mut(first(op, cpu)) = value;
        Ok(())
    }
    /// A function of [`floating_point::with_immediate`].
    outlined FloatImmediate<const OPERATION: u16>(op, cpu, source, _frame) {
        let mut value = *array::from_ref(first(op, cpu));
        let function = const { float_immediate_function(OPERATION) };
        let flags = function(&mut value[0], &source[0], op.immediate as u8, cpu.mxcsr);
        settle(cpu, flags)?;
        *array::from_mut(first(op, cpu)) = value;
        Ok(())
    }
    /// A conversion to a general register.
    outlined ToGeneral<const OPERATION: u16>(op, cpu, source, _frame) {
        let mut value = [0];
        let function = const { float_function(OPERATION) };
        let flags = function(&mut value[0], &source[0], cpu.mxcsr);
        settle(cpu, flags)?;
        cpu.set_gpr(op.first, value[0] as u32);
        Ok(())
    }
    /// PMOVMSKB, MOVMSKPS and MOVMSKPD, by the width of a lane.
    inlined Mask<const BITS: u16>(op, cpu, source, _frame) {
        let mask = match BITS {
            8 => sign_bits::<i8, _>(&source[0]),
            32 => sign_bits::<i32, _>(&source[0]),
            _ => sign_bits::<i64, _>(&source[0]),
        };
        cpu.set_gpr(op.first, mask);
        Ok(())
    }
    /// MOVD to a general register.
    inlined ToRegister(op, cpu, source, _frame) {
        cpu.set_gpr(op.first, source[0] as u32);
        Ok(())
    }
}

/// A shift by the immediate.
pub(crate) struct ShiftImmediate<const OPERATION: u16>;

impl<const OPERATION: u16> Straight for ShiftImmediate<OPERATION> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
        let function = const { shift_function(OPERATION) };
        function(first(op, cpu), op.immediate.into());
        Ok(())
    }
}

/// A register XORed with itself or the like.
pub(crate) struct Clear;

impl Straight for Clear {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
        *array::from_mut(first(op, cpu)) = [0];
        Ok(())
    }
}

/// Stores: what of the register in [`Op::first`], and whether its address must be aligned.
macro_rules! stores {
    ($($(#[$doc:meta])* $name:ident ($cpu:ident, $op:ident, $address:ident) $value:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name<A>(PhantomData<A>);
        impl<A: Address> Straight for $name<A> {
            #[inline(always)]
            fn execute($op: &Op, $cpu: &mut CpuState, memory: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
                let $address = A::of($op, $cpu);
                let value = $value;
                memory.write_fast($address, value).ok_or(Miss::Slow)
            }
        }
    )*};
}

stores! {
    /// MOVAPS and the like.
    StoreAligned(cpu, op, address) {
        if address % 16 != 0 {
            return Err(Miss::Slow);
        }
        *array::from_ref(&cpu.xmm[op.first as usize])
    };
    /// MOVUPS and the like.
    StoreUnaligned(cpu, op, address) *array::from_ref(&cpu.xmm[op.first as usize]);
    /// MOVSD, MOVQ, MOVLPS, MOVLPD.
    StoreQuad(cpu, op, address) cpu.xmm[op.first as usize] as u64;
    /// MOVHPS, MOVHPD.
    StoreHigh(cpu, op, address) (cpu.xmm[op.first as usize] >> 64) as u64;
    /// MOVSS, MOVD.
    StoreDouble(cpu, op, address) cpu.xmm[op.first as usize] as u32;
}

/// Makes exceptions sticky; does nothing if one is unmasked, so that the reference raises it.
#[inline(always)]
pub(crate) fn settle(cpu: &mut CpuState, flags: Flags) -> Done {
    if !flags.is_empty() {
        let (mxcsr, unmasked) = floating_point::settle(cpu.mxcsr, flags);
        if unmasked {
            return Err(Miss::Slow);
        }
        cpu.mxcsr = mxcsr;
    }
    Ok(())
}

/// The operation with this number.
pub(crate) const fn operation(number: u16) -> Operation {
    Operation::ALL[number as usize]
}

const fn packed_function(number: u16) -> Binary<u128> {
    match (packed::binary(operation(number)), packed::unary(operation(number))) {
        (Some(function), _) | (None, Some(function)) => function,
        (None, None) => |_, _| {},
    }
}

const fn shuffle_function(number: u16) -> WithImmediate<u128> {
    match shuffle::with_immediate(operation(number)) {
        Some(function) => function,
        None => |_, _, _| {},
    }
}

const fn shift_function(number: u16) -> Shift<u128> {
    match packed::shift(operation(number)) {
        Some(function) => function,
        None => |_, _| {},
    }
}

const fn float_function(number: u16) -> FloatBinary {
    match floating_point::binary(operation(number)) {
        Some(function) => function,
        None => |_, _, _| Flags::empty(),
    }
}

const fn float_immediate_function(number: u16) -> FloatWithImmediate {
    match floating_point::with_immediate(operation(number)) {
        Some(function) => function,
        None => |_, _, _, _| Flags::empty(),
    }
}
