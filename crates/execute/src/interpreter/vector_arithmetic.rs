//! SSE arithmetic and comparison: what the host's own arithmetic answers at once, and behind that
//! the rest.
//!
//! Each instruction has two operations in one: a short one that takes few host registers, and a
//! [`Float`] or its like that it leaves everything else to.

use core::marker::PhantomData;

use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Eflags};

use super::branch::{Done, Miss, Straight, straight};
use super::cursor::{Cursor, Op, advance};
use super::flags::Pending;
use super::frame::Frame;
use super::vector::{Float, Source, first, operation, settle};
use crate::vector::floating_point::{self, FloatMiddling};
use crate::vector::host::{Real, is_silent};
use crate::vector::{comparison, lane};

/// The handler of an operation that another one stands behind.
#[inline(always)]
fn first_try<'a, S: Straight, G: Straight>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    match S::execute(op, cpu, memory, frame) {
        Ok(()) => advance(cursor, cpu, memory, frame),
        Err(_) => second_try::<G>(cursor, cpu, memory, frame),
    }
}

#[cold]
#[inline(never)]
fn second_try<'a, G: Straight>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    straight::<G>(cursor, cpu, memory, frame)
}

/// The handler of addition to square root.
pub(super) fn arithmetic<'a, S: Source, const OPERATION: u16>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    first_try::<Middling<S, OPERATION>, Noted<S, OPERATION>>(cursor, cpu, memory, frame)
}

/// A function of [`floating_point::middling`].
struct Middling<S, const OPERATION: u16>(PhantomData<S>);

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
struct Noted<S, const OPERATION: u16>(PhantomData<S>);

impl<S: Source, const OPERATION: u16> Straight for Noted<S, OPERATION> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        Float::<S, OPERATION>::execute(op, cpu, memory, frame)?;
        frame.silent = is_silent(cpu.mxcsr);
        Ok(())
    }
}

/// The handler of COMISD and UCOMISD, or with `u32` COMISS and UCOMISS.
pub(super) fn compare<'a, R: Real, S: Source, const SIGNALLING: bool>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    first_try::<CompareQuietly<R, S>, Compare<R, S, SIGNALLING>>(cursor, cpu, memory, frame)
}

/// A comparison that raises nothing.
struct CompareQuietly<R, S>(PhantomData<(R, S)>);

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

/// Any comparison.
struct Compare<R, S, const SIGNALLING: bool>(PhantomData<(R, S)>);

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
