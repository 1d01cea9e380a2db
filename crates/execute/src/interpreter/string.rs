//! MOVS and STOS, alone and repeated: whole runs go to the address space's block operations.

use core::marker::PhantomData;

use pentimento_memory::{AddressSpace, BlockFault};
use pentimento_registers::{CpuState, Eflags, Gpr};

use super::branch::{Done, Miss, Straight};
use super::cursor::Op;
use super::frame::Frame;
use crate::{REPEAT_CHUNK, Width};

/// The EAX, AX or AL that STOS stores.
fn accumulator<W: Width>(cpu: &CpuState) -> W {
    W::truncate(cpu.gpr(Gpr::Eax))
}

/// Moves a register over `count` elements.
#[inline(always)]
fn advance<W: Width>(cpu: &mut CpuState, register: Gpr, count: u32) {
    let moved = cpu.gpr(register).wrapping_add(count.wrapping_mul(W::BYTES));
    cpu.set_gpr(register, moved);
}

/// STOS; MOVS if `MOVE`.
pub(super) struct One<W, const MOVE: bool>(PhantomData<W>);

impl<W: Width, const MOVE: bool> Straight for One<W, MOVE> {
    #[inline(always)]
    fn execute(_: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
        if cpu.eflags.contains(Eflags::DF) {
            return Err(Miss::Slow);
        }
        let value: W = match MOVE {
            true => memory.read_fast(cpu.gpr(Gpr::Esi)).ok_or(Miss::Slow)?,
            false => accumulator(cpu),
        };
        memory.write_fast(cpu.gpr(Gpr::Edi), value).ok_or(Miss::Slow)?;
        advance::<W>(cpu, Gpr::Edi, 1);
        if MOVE {
            advance::<W>(cpu, Gpr::Esi, 1);
        }
        Ok(())
    }
}

/// REP STOS; REP MOVS if `MOVE`.
///
/// What a fault leaves undone, and a write to code, goes to the reference: it goes on from the
/// registers as they then are.
pub(super) struct Repeated<W, const MOVE: bool>(PhantomData<W>);

impl<W: Width, const MOVE: bool> Straight for Repeated<W, MOVE> {
    fn execute(_: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let count = cpu.gpr(Gpr::Ecx);
        if count > REPEAT_CHUNK || cpu.eflags.contains(Eflags::DF) {
            return Err(Miss::Slow);
        }
        let destination = cpu.gpr(Gpr::Edi);
        let result = match MOVE {
            true => memory.copy_forward::<W>(destination, cpu.gpr(Gpr::Esi), count),
            false => memory.fill::<W>(destination, accumulator(cpu), count),
        };
        let done = match result {
            Ok(()) => count,
            Err(BlockFault { done, .. }) => done,
        };
        advance::<W>(cpu, Gpr::Edi, done);
        if MOVE {
            advance::<W>(cpu, Gpr::Esi, done);
        }
        cpu.set_gpr(Gpr::Ecx, count - done);
        if done < count || memory.code_generation() != frame.generation { Err(Miss::Slow) } else { Ok(()) }
    }
}
