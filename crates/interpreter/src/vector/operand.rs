//! Operands of vector instructions as types: both register files, general registers, and memory.
//!
//! Values travel as `[V; 1]`, because a plain `u128` would travel in two integer registers.

use core::array;
use core::marker::PhantomData;

use pentimento_execute::vector::Vector;
use pentimento_memory::AddressSpace;
use pentimento_registers::CpuState;

use crate::arena::Op;
use crate::drivers::Straight;
use crate::frame::Frame;
use crate::operand::Address;
use crate::outcome::{Done, Miss};

/// A file of vector registers: `u64` is MM0 to MM7, `u128` XMM0 to XMM7.
pub(crate) trait RegisterFile: Vector {
    /// What comes before an instruction's first access to anything.
    fn begin(frame: &Frame<'_>) -> Done;
    /// Register `number`, modulo 8.
    fn register(cpu: &CpuState, number: u8) -> [Self; 1];
    /// The register in [`Op::first`].
    fn first<'c>(op: &Op, cpu: &'c mut CpuState) -> &'c mut Self;
    /// What an instruction does besides that has written the register in [`Op::first`].
    fn wrote_first(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>);
    /// What an instruction does besides that has only read registers.
    fn read(cpu: &mut CpuState, frame: &mut Frame<'_>);
}

impl RegisterFile for u128 {
    #[inline(always)]
    fn begin(_: &Frame<'_>) -> Done {
        Ok(())
    }
    #[inline(always)]
    fn register(cpu: &CpuState, number: u8) -> [Self; 1] {
        *array::from_ref(&cpu.xmm[usize::from(number) & 7])
    }
    #[inline(always)]
    fn first<'c>(op: &Op, cpu: &'c mut CpuState) -> &'c mut Self {
        &mut cpu.xmm[op.first as usize]
    }
    #[inline(always)]
    fn wrote_first(_: &Op, _: &mut CpuState, _: &mut Frame<'_>) {}
    #[inline(always)]
    fn read(_: &mut CpuState, _: &mut Frame<'_>) {}
}

/// The x87 registers' significands. Each instruction but EMMS leaves all of them in use, register 0
/// on top, and all ones in the sign and exponent of the one that it writes (SDM volume 1, section 9.5.1).
impl RegisterFile for u64 {
    #[inline(always)]
    fn begin(frame: &Frame<'_>) -> Done {
        frame.x87.not_pending()
    }
    #[inline(always)]
    fn register(cpu: &CpuState, number: u8) -> [Self; 1] {
        [cpu.x87.mmx(number)]
    }
    #[inline(always)]
    fn first<'c>(op: &Op, cpu: &'c mut CpuState) -> &'c mut Self {
        &mut cpu.x87.registers[op.first as usize].significand
    }
    #[inline(always)]
    fn wrote_first(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>) {
        cpu.x87.registers[op.first as usize].sign_exponent = 0xffff;
        frame.x87.become_mmx(cpu, 0xff);
    }
    #[inline(always)]
    fn read(cpu: &mut CpuState, frame: &mut Frame<'_>) {
        frame.x87.become_mmx(cpu, 0xff);
    }
}

/// A vector operand that can be read.
pub(crate) trait VectorSource<V> {
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<[V; 1]>;
}

/// The XMM register in [`Op::second`].
pub(crate) struct Xmm;
/// The MMX register in [`Op::second`].
pub(crate) struct Mm;
/// The general register in [`Op::second`], zero-extended.
pub(crate) struct General;
/// Sixteen bytes at an aligned address of form `A`.
pub(crate) struct Aligned<A>(PhantomData<A>);
/// Sixteen bytes at any address of form `A`.
pub(crate) struct Unaligned<A>(PhantomData<A>);
/// A `T` at an address of form `A`, zero-extended.
pub(crate) struct Part<T, A>(PhantomData<(T, A)>);
/// Eight bytes in memory, zero-extended.
pub(crate) type Quad<A> = Part<u64, A>;
/// Four bytes in memory, zero-extended.
pub(crate) type Double<A> = Part<u32, A>;
/// Two bytes in memory, zero-extended.
pub(crate) type Word<A> = Part<u16, A>;
/// A byte in memory, zero-extended.
pub(crate) type Byte<A> = Part<u8, A>;

impl VectorSource<u128> for Xmm {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, _: &AddressSpace) -> Done<[u128; 1]> {
        Ok(*array::from_ref(&cpu.xmm[op.second as usize]))
    }
}

/// The lower half, for what moves and converts between the files.
impl VectorSource<u64> for Xmm {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, _: &AddressSpace) -> Done<[u64; 1]> {
        Ok([cpu.xmm[op.second as usize] as u64])
    }
}

impl VectorSource<u64> for Mm {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, _: &AddressSpace) -> Done<[u64; 1]> {
        Ok([cpu.x87.registers[op.second as usize].significand])
    }
}

/// Zero-extended.
impl VectorSource<u128> for Mm {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, _: &AddressSpace) -> Done<[u128; 1]> {
        Ok([cpu.x87.registers[op.second as usize].significand.into()])
    }
}

impl<V: From<u32>> VectorSource<V> for General {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, _: &AddressSpace) -> Done<[V; 1]> {
        Ok([cpu.gpr(op.second).into()])
    }
}

impl<A: Address> VectorSource<u128> for Aligned<A> {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<[u128; 1]> {
        let address = A::of(op, cpu);
        if !address.is_multiple_of(16) {
            return Err(Miss::Slow);
        }
        memory.read_fast(address).ok_or(Miss::Slow)
    }
}

impl<A: Address> VectorSource<u128> for Unaligned<A> {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<[u128; 1]> {
        memory.read_fast(A::of(op, cpu)).ok_or(Miss::Slow)
    }
}

impl<V: From<T>, T: pentimento_memory::Value, A: Address> VectorSource<V> for Part<T, A> {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<[V; 1]> {
        memory.read_fast::<T>(A::of(op, cpu)).map(|value| [value.into()]).ok_or(Miss::Slow)
    }
}

/// What an instruction does with its source, in file `V`.
pub(crate) trait Effect<V> {
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[V; 1]) -> Done;
}

/// An [`Effect`] with the source `S`, as part of its handler.
pub(crate) struct Inline<E, V, S>(PhantomData<(E, V, S)>);

impl<E: Effect<V>, V: RegisterFile, S: VectorSource<V>> Straight for Inline<E, V, S> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        V::begin(frame)?;
        let source = S::get(op, cpu, memory)?;
        E::apply(op, cpu, frame, &source)
    }
}

/// The same with the effect as a function of its own, for what the compiler does not see through: with
/// references to locals about, a handler could not end in a jump, so the source goes by value.
pub(crate) struct Call<E, V, S>(PhantomData<(E, V, S)>);

impl<E: Effect<V>, V: RegisterFile, S: VectorSource<V>> Straight for Call<E, V, S> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        V::begin(frame)?;
        let [source] = S::get(op, cpu, memory)?;
        apply::<E, V>(op, cpu, frame, source)
    }
}

/// One for all kinds of sources.
#[inline(never)]
fn apply<E: Effect<V>, V: RegisterFile>(
    op: &Op,
    cpu: &mut CpuState,
    frame: &mut Frame<'_>,
    source: V,
) -> Done {
    E::apply(op, cpu, frame, &[source])
}
