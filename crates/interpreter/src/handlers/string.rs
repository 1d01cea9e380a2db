//! String instructions, alone and repeated: whole runs go to the address space's block operations.

use core::marker::PhantomData;

use pentimento_execute::{Width, repeat_chunk};
use pentimento_memory::engine::generation;
use pentimento_memory::{AddressSpace, BlockFault};
use pentimento_registers::{CpuState, Eflags, Gpr};

use crate::arena::{Cursor, Op, advance};
use crate::drivers::Straight;
use crate::flags::Lazy;
use crate::frame::{Frame, Leave, jump, slow};
use crate::outcome::{Done, Miss};

/// The EAX, AX or AL that STOS stores and SCAS compares.
fn accumulator<W: Width>(cpu: &CpuState) -> W {
    W::register(cpu, Gpr::Eax.number())
}

/// How far an index register moves over one element, in the direction that DF says.
#[inline(always)]
fn step<W: Width>(cpu: &CpuState) -> u32 {
    if cpu.eflags.contains(Eflags::DF) { W::BYTES.wrapping_neg() } else { W::BYTES }
}

/// Moves a register over `count` elements.
#[inline(always)]
fn shift<W: Width>(cpu: &mut CpuState, register: Gpr, count: u32) {
    let moved = cpu.gpr(register).wrapping_add(step::<W>(cpu).wrapping_mul(count));
    cpu.set_gpr(register, moved);
}

/// A string instruction on elements of one width.
pub(crate) trait Text {
    /// Whether ESI moves.
    const SOURCE: bool;
    /// Whether EDI moves.
    const DESTINATION: bool;

    /// One element, `from` and `to` being where ESI and EDI point: what of it is to be compared.
    fn element<W: Width>(cpu: &mut CpuState, memory: &mut AddressSpace, from: u32, to: u32) -> Done<Pair>;

    /// `count` elements upwards at once, if there is a way: says how many came before a fault.
    #[inline(always)]
    fn block<W: Width>(_: &CpuState, _: &mut AddressSpace, _: u32) -> Option<u32> {
        None
    }
}

/// The operands of a comparison, or nothing to compare.
type Pair = Option<(u32, u32)>;

/// MOVS.
pub(crate) struct Movs;
/// STOS.
pub(crate) struct Stos;
/// LODS.
pub(crate) struct Lods;
/// CMPS.
pub(crate) struct Cmps;
/// SCAS.
pub(crate) struct Scas;

fn done(result: Result<(), BlockFault>, count: u32) -> Option<u32> {
    Some(result.map_or_else(|fault| fault.done, |()| count))
}

impl Text for Movs {
    const SOURCE: bool = true;
    const DESTINATION: bool = true;
    #[inline(always)]
    fn element<W: Width>(_: &mut CpuState, memory: &mut AddressSpace, from: u32, to: u32) -> Done<Pair> {
        let value: W = memory.read_fast(from).ok_or(Miss::Slow)?;
        memory.write_fast(to, value).ok_or(Miss::Slow)?;
        Ok(None)
    }
    #[inline(always)]
    fn block<W: Width>(cpu: &CpuState, memory: &mut AddressSpace, count: u32) -> Option<u32> {
        done(memory.copy_forward::<W>(cpu.gpr(Gpr::Edi), cpu.gpr(Gpr::Esi), count), count)
    }
}

impl Text for Stos {
    const SOURCE: bool = false;
    const DESTINATION: bool = true;
    #[inline(always)]
    fn element<W: Width>(cpu: &mut CpuState, memory: &mut AddressSpace, _: u32, to: u32) -> Done<Pair> {
        memory.write_fast(to, accumulator::<W>(cpu)).ok_or(Miss::Slow)?;
        Ok(None)
    }
    #[inline(always)]
    fn block<W: Width>(cpu: &CpuState, memory: &mut AddressSpace, count: u32) -> Option<u32> {
        done(memory.fill(cpu.gpr(Gpr::Edi), accumulator::<W>(cpu), count), count)
    }
}

impl Text for Lods {
    const SOURCE: bool = true;
    const DESTINATION: bool = false;
    #[inline(always)]
    fn element<W: Width>(cpu: &mut CpuState, memory: &mut AddressSpace, from: u32, _: u32) -> Done<Pair> {
        let value: W = memory.read_fast(from).ok_or(Miss::Slow)?;
        W::set_register(cpu, Gpr::Eax.number(), value);
        Ok(None)
    }
}

impl Text for Cmps {
    const SOURCE: bool = true;
    const DESTINATION: bool = true;
    #[inline(always)]
    fn element<W: Width>(_: &mut CpuState, memory: &mut AddressSpace, from: u32, to: u32) -> Done<Pair> {
        let first: W = memory.read_fast(from).ok_or(Miss::Slow)?;
        let second: W = memory.read_fast(to).ok_or(Miss::Slow)?;
        Ok(Some((first.bits(), second.bits())))
    }
}

impl Text for Scas {
    const SOURCE: bool = false;
    const DESTINATION: bool = true;
    #[inline(always)]
    fn element<W: Width>(cpu: &mut CpuState, memory: &mut AddressSpace, _: u32, to: u32) -> Done<Pair> {
        let value: W = memory.read_fast(to).ok_or(Miss::Slow)?;
        Ok(Some((accumulator::<W>(cpu).bits(), value.bits())))
    }
}

/// The instruction without a prefix.
pub(crate) struct One<T, W>(PhantomData<(T, W)>);

impl<T: Text, W: Width> Straight for One<T, W> {
    #[inline(always)]
    fn execute(_: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let pair = T::element::<W>(cpu, memory, cpu.gpr(Gpr::Esi), cpu.gpr(Gpr::Edi))?;
        pass::<T, W>(cpu, 1);
        if let Some((first, second)) = pair {
            frame.pending.record::<W>(Lazy::Sub, first, second);
        }
        Ok(())
    }
}

/// Moves the index registers over `count` elements.
#[inline(always)]
fn pass<T: Text, W: Width>(cpu: &mut CpuState, count: u32) {
    if T::SOURCE {
        shift::<W>(cpu, Gpr::Esi, count);
    }
    if T::DESTINATION {
        shift::<W>(cpu, Gpr::Edi, count);
    }
}

/// Repeated until ECX is zero.
pub(crate) const COUNTED: u8 = 0;
/// Until then or until two elements are not equal.
pub(crate) const WHILE_EQUAL: u8 = 1;
/// Until then or until two elements are equal.
pub(crate) const WHILE_UNEQUAL: u8 = 2;

/// Executes one chunk of a repeated instruction: says whether that was the last. What it leaves
/// undone for a fault or a device the reference can go on with from the registers as they then are.
#[inline(never)]
fn chunk<T: Text, W: Width, const UNTIL: u8>(
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'_>,
) -> Done<bool> {
    let counter = cpu.gpr(Gpr::Ecx);
    let count = repeat_chunk(counter);
    let block = if cpu.eflags.contains(Eflags::DF) { None } else { T::block::<W>(cpu, memory, count) };
    if let Some(done) = block {
        pass::<T, W>(cpu, done);
        cpu.set_gpr(Gpr::Ecx, counter - done);
        return if done == count { Ok(done == counter) } else { Err(Miss::Slow) };
    }
    let (mut from, mut to) = (cpu.gpr(Gpr::Esi), cpu.gpr(Gpr::Edi));
    let step = step::<W>(cpu);
    let (mut done, mut last, mut ended) = (0, None, false);
    while done < count && !ended {
        let Ok(pair) = T::element::<W>(cpu, memory, from, to) else { break };
        ended = pair.is_some_and(|(first, second)| (first == second) != (UNTIL == WHILE_EQUAL));
        last = pair.or(last);
        (from, to) = (from.wrapping_add(step), to.wrapping_add(step));
        done += 1;
    }
    pass::<T, W>(cpu, done);
    cpu.set_gpr(Gpr::Ecx, counter - done);
    if let Some((first, second)) = last {
        frame.pending.record::<W>(Lazy::Sub, first, second);
    }
    if done < count && !ended { Err(Miss::Slow) } else { Ok(ended || done == counter) }
}

/// The handler of a repeated instruction. Each chunk counts as an instruction, and EIP stays until
/// the last.
pub(crate) fn repeated<'a, T: Text, W: Width, const UNTIL: u8>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    // A chunk takes long. The reference does this one, and sees the request behind it.
    if frame.environment.stop.is_requested() {
        return slow(cursor, cpu, memory, frame);
    }
    match chunk::<T, W, UNTIL>(cpu, memory, frame) {
        // The reference finds nothing left to do, and that code was written to.
        Ok(true) if generation(memory) != frame.generation => slow(cursor, cpu, memory, frame),
        Ok(true) => advance(cursor, cpu, memory, frame),
        Ok(false) => again(cursor, cpu, memory, frame),
        Err(_) => slow(cursor, cpu, memory, frame),
    }
}

/// Goes to the instruction at `cursor` once more.
#[cold]
#[inline(never)]
fn again<'a>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    if let Some(step) = frame.steps.get(cursor.index_in(frame.ops)) {
        cpu.eip = step.eip;
        frame.left -= i64::from(step.before) + 1;
        if let Some(observed) = &mut frame.observed {
            observed.position.stays();
        }
    }
    if frame.left < 0 || generation(memory) != frame.generation {
        frame.leave = Leave::Continue;
        return Cursor::STOPPED;
    }
    jump(cpu, memory, frame)
}
