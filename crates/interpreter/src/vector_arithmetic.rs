//! SSE arithmetic and comparison: what the host's own arithmetic answers at once, and behind that
//! the rest.
//!
//! They come in pairs for [`attempt`](crate::attempt::attempt).

use core::marker::PhantomData;

use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Eflags};

use crate::branch::{Done, Miss, Straight};
use crate::cursor::Op;
use crate::flags::Pending;
use crate::frame::Frame;
use crate::vector::{Float, Source, first, operation, settle};
use pentimento_execute::vector::floating_point::{self, FloatMiddling};
use pentimento_execute::vector::host::{Real, is_silent};
use pentimento_execute::vector::{comparison, lane};

/// A function of [`floating_point::middling`].
pub(crate) struct Middling<S, const OPERATION: u16>(PhantomData<S>);

impl<S: Source, const OPERATION: u16> Straight for Middling<S, OPERATION> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        if !frame.silent {
            return Err(Miss::Slow);
        }
        let source = S::get(op, cpu, memory)?;
        let function = const { middling_function(OPERATION) };
        if function(first(op, cpu), &source[0]) { Ok(()) } else { Err(Miss::Slow) }
    }
}

const fn middling_function(number: u16) -> FloatMiddling {
    match floating_point::middling(operation(number)) {
        Some(function) => function,
        None => |_, _| false,
    }
}

/// [`Float`], which may have been what made MXCSR silent.
pub(crate) struct Noted<S, const OPERATION: u16>(PhantomData<S>);

impl<S: Source, const OPERATION: u16> Straight for Noted<S, OPERATION> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        Float::<S, OPERATION>::execute(op, cpu, memory, frame)?;
        frame.silent = is_silent(cpu.mxcsr);
        Ok(())
    }
}

/// A comparison of doubles, or with `u32` of singles, that raises nothing.
pub(crate) struct CompareQuietly<R, S>(PhantomData<(R, S)>);

impl<R: Real, S: Source> Straight for CompareQuietly<R, S> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let source = S::get(op, cpu, memory)?;
        let (a, b) = (lane::<R, _>(first(op, cpu), 0), lane::<R, _>(&source[0], 0));
        let eflags = comparison::ordered_quietly(a, b).ok_or(Miss::Slow)?;
        write(cpu, frame, eflags);
        Ok(())
    }
}

/// COMISD and UCOMISD, or with `u32` COMISS and UCOMISS.
pub(crate) struct Compare<R, S, const SIGNALLING: bool>(PhantomData<(R, S)>);

impl<R: Real, S: Source, const SIGNALLING: bool> Straight for Compare<R, S, SIGNALLING> {
    #[inline(never)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let source = S::get(op, cpu, memory)?;
        let (a, b) = (lane::<R, _>(first(op, cpu), 0), lane::<R, _>(&source[0], 0));
        let (eflags, flags) = comparison::ordered(a, b, SIGNALLING, cpu.mxcsr);
        settle(cpu, flags)?;
        write(cpu, frame, eflags);
        Ok(())
    }
}

/// Writes all status flags.
#[inline(always)]
fn write(cpu: &mut CpuState, frame: &mut Frame<'_>, eflags: Eflags) {
    frame.pending = Pending::SETTLED;
    cpu.eflags = cpu.eflags.difference(Eflags::STATUS).union(eflags);
}
