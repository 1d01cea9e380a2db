//! Operands of x87 instructions as types: what memory holds, and where in the register stack.

use core::marker::PhantomData;

use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, F80};

use pentimento_execute::float::extended;
use pentimento_execute::float::{Format, Unpacked};

use crate::arena::Op;
use crate::frame::Frame;
use crate::operand::Address;
use crate::outcome::{Done, Miss};
use crate::x87::unit::{both, other, physical, register};

/// A datum in memory that becomes a double extended one exactly.
pub(crate) trait Datum {
    fn load(memory: &AddressSpace, address: u32) -> Done<F80>;
    /// The datum taken apart, whatever it is.
    #[inline(always)]
    fn unpack(memory: &AddressSpace, address: u32) -> Done<Unpacked> {
        Ok(Self::load(memory, address)?.unpack())
    }
    /// The same if it surely is [usual](extended::usual).
    #[inline(always)]
    fn load_usual(memory: &AddressSpace, address: u32) -> Done<F80> {
        let value = Self::load(memory, address)?;
        if extended::usual(value, value) { Ok(value) } else { Err(Miss::Slow) }
    }
}

/// m32fp.
pub(crate) struct Single;
/// m64fp.
pub(crate) struct Double;
/// m80fp.
pub(crate) struct Extended;
/// m16int, m32int or m64int.
pub(crate) struct Int<I>(PhantomData<I>);

impl Datum for Single {
    #[inline(always)]
    fn load(memory: &AddressSpace, address: u32) -> Done<F80> {
        extended::from_single(memory.read_fast(address).ok_or(Miss::Slow)?).ok_or(Miss::Slow)
    }
    #[inline(always)]
    fn unpack(memory: &AddressSpace, address: u32) -> Done<Unpacked> {
        Ok(memory.read_fast::<u32>(address).ok_or(Miss::Slow)?.unpack())
    }
    #[inline(always)]
    fn load_usual(memory: &AddressSpace, address: u32) -> Done<F80> {
        extended::from_single_usual(memory.read_fast(address).ok_or(Miss::Slow)?).ok_or(Miss::Slow)
    }
}

impl Datum for Double {
    #[inline(always)]
    fn load(memory: &AddressSpace, address: u32) -> Done<F80> {
        extended::from_double(memory.read_fast(address).ok_or(Miss::Slow)?).ok_or(Miss::Slow)
    }
    #[inline(always)]
    fn unpack(memory: &AddressSpace, address: u32) -> Done<Unpacked> {
        Ok(memory.read_fast::<u64>(address).ok_or(Miss::Slow)?.unpack())
    }
    #[inline(always)]
    fn load_usual(memory: &AddressSpace, address: u32) -> Done<F80> {
        extended::from_double_usual(memory.read_fast(address).ok_or(Miss::Slow)?).ok_or(Miss::Slow)
    }
}

impl Datum for Extended {
    #[inline(always)]
    fn load(memory: &AddressSpace, address: u32) -> Done<F80> {
        let significand = memory.read_fast(address).ok_or(Miss::Slow)?;
        let sign_exponent = memory.read_fast(address.wrapping_add(8)).ok_or(Miss::Slow)?;
        Ok(F80::new(sign_exponent, significand))
    }
}

macro_rules! integers {
    ($($signed:ty = $bits:ty),*) => {$(
        impl Datum for Int<$signed> {
            #[inline(always)]
            fn load(memory: &AddressSpace, address: u32) -> Done<F80> {
                let value = memory.read_fast::<$bits>(address).ok_or(Miss::Slow)?;
                Ok(extended::from_integer((value as $signed).into()))
            }
        }
    )*};
}

integers!(i16 = u16, i32 = u32, i64 = u64);

/// The operand of an instruction besides ST(0).
pub(crate) trait FloatSource {
    /// The destination is the register in [`Op::immediate`], and the source ST(0).
    const REVERSED: bool = false;
    /// ST(0) is popped.
    const POPS: bool = false;
    /// Where the operand lies in memory; a register has no address.
    fn address(op: &Op, cpu: &CpuState) -> u32;
    /// The bits of the registers that must not be empty, ST(0) among them if `st0`.
    fn registers(op: &Op, st0: bool) -> u8;
    /// The value, if it is a register, or memory that can be read.
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace, address: u32) -> Done<F80>;
    /// The value if it and `st0` are [usual](extended::usual).
    fn get_usual(op: &Op, cpu: &CpuState, memory: &AddressSpace, address: u32, st0: F80) -> Done<F80>;
    /// The value taken apart, whatever it is.
    fn unpack(op: &Op, cpu: &CpuState, memory: &AddressSpace, address: u32) -> Done<Unpacked>;
    /// Notes that the instruction has executed.
    fn executed(op: &Op, frame: &mut Frame<'_>, address: u32);
}

/// ST(i).
pub(crate) struct Stack;
/// ST(i) as the destination, with ST(0) as the source, which is popped if `POPS`.
pub(crate) struct ToStack<const POPS: bool>;
/// A `D` in memory at an address of form `A`.
pub(crate) struct InMemory<D, A>(PhantomData<(D, A)>);

impl FloatSource for Stack {
    #[inline(always)]
    fn address(_: &Op, _: &CpuState) -> u32 {
        0
    }
    #[inline(always)]
    fn registers(op: &Op, st0: bool) -> u8 {
        if st0 { both(op) } else { other(op) }
    }
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, _: &AddressSpace, _: u32) -> Done<F80> {
        Ok(register(cpu, physical(cpu, op.immediate)))
    }
    #[inline(always)]
    fn get_usual(op: &Op, cpu: &CpuState, _: &AddressSpace, _: u32, st0: F80) -> Done<F80> {
        let value = register(cpu, physical(cpu, op.immediate));
        if extended::usual(st0, value) { Ok(value) } else { Err(Miss::Slow) }
    }
    #[inline(always)]
    fn unpack(op: &Op, cpu: &CpuState, _: &AddressSpace, _: u32) -> Done<Unpacked> {
        Ok(register(cpu, physical(cpu, op.immediate)).unpack())
    }
    #[inline(always)]
    fn executed(op: &Op, frame: &mut Frame<'_>, _: u32) {
        frame.x87.executed(op);
    }
}

impl<const POPS: bool> FloatSource for ToStack<POPS> {
    const REVERSED: bool = true;
    const POPS: bool = POPS;
    #[inline(always)]
    fn address(op: &Op, cpu: &CpuState) -> u32 {
        Stack::address(op, cpu)
    }
    #[inline(always)]
    fn registers(op: &Op, st0: bool) -> u8 {
        Stack::registers(op, st0)
    }
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace, address: u32) -> Done<F80> {
        Stack::get(op, cpu, memory, address)
    }
    #[inline(always)]
    fn get_usual(op: &Op, cpu: &CpuState, memory: &AddressSpace, address: u32, st0: F80) -> Done<F80> {
        Stack::get_usual(op, cpu, memory, address, st0)
    }
    #[inline(always)]
    fn unpack(op: &Op, cpu: &CpuState, memory: &AddressSpace, address: u32) -> Done<Unpacked> {
        Stack::unpack(op, cpu, memory, address)
    }
    #[inline(always)]
    fn executed(op: &Op, frame: &mut Frame<'_>, address: u32) {
        Stack::executed(op, frame, address);
    }
}

impl<D: Datum, A: Address> FloatSource for InMemory<D, A> {
    #[inline(always)]
    fn address(op: &Op, cpu: &CpuState) -> u32 {
        A::of(op, cpu)
    }
    #[inline(always)]
    fn registers(_: &Op, st0: bool) -> u8 {
        u8::from(st0)
    }
    #[inline(always)]
    fn get(_: &Op, _: &CpuState, memory: &AddressSpace, address: u32) -> Done<F80> {
        D::load(memory, address)
    }
    #[inline(always)]
    fn get_usual(_: &Op, _: &CpuState, memory: &AddressSpace, address: u32, st0: F80) -> Done<F80> {
        let value = D::load_usual(memory, address)?;
        if extended::usual(st0, st0) { Ok(value) } else { Err(Miss::Slow) }
    }
    #[inline(always)]
    fn unpack(_: &Op, _: &CpuState, memory: &AddressSpace, address: u32) -> Done<Unpacked> {
        D::unpack(memory, address)
    }
    #[inline(always)]
    fn executed(op: &Op, frame: &mut Frame<'_>, address: u32) {
        frame.x87.executed_at(op, address);
    }
}
