//! Compact operations, the arena that owns them, and the pointer that walks over them.
//!
//! This is the interpreter's only file with `unsafe`. With the feature `safe-dispatch` a slice takes
//! the pointer's place: a handler then checks that there is a next operation before it goes there.
//!
//! The argument, on which every block below rests: a cursor starts at a position of an arena or
//! where a link leads, and goes on by [`Cursor::next`]. (1) Nobody but the arena changes which
//! operations there are, and not while cursors are about, which borrow them. (2) A link is zero or a
//! position that was in the arena when it was set, and positions stay until the arena is emptied,
//! all its links and jumps with it. (3) An arena that runs is not empty, and ends with
//! [`TERMINATORS`] operations whose handler goes nowhere. How many steps a cursor may make says its
//! type: a handler is given one that may make as many, each step takes one away, and only here is
//! one made anew, for the handler of the operation that it is at. So none leaves the arena from an
//! operation before the last ones.
#![cfg_attr(not(feature = "safe-dispatch"), allow(unsafe_code, reason = "see docs/unsafe.md"))]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::marker::PhantomData;

use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Gpr};

use crate::frame::{Frame, slow, stop};
use crate::step::Step;

/// Executes one operation and those behind it, or with the dispatch loop just one: then it returns
/// where to go on, and [`Cursor::STOPPED`] to leave.
pub(crate) type OpHandler =
    for<'a> fn(Cursor<'a>, &mut CpuState, &mut AddressSpace, &mut Frame<'a>) -> Cursor<'a>;

/// Of a cursor that may make two steps: a handler's.
#[derive(Clone, Copy)]
pub(crate) struct Fresh;
/// Of one that may make one step.
#[derive(Clone, Copy)]
pub(crate) struct Stepped;
/// Of one that may make none.
#[derive(Clone, Copy)]
pub(crate) struct Spent;

/// What a cursor may do that may make a step.
pub(crate) trait Steps: Copy {
    /// What it may do behind the step.
    type Fewer;
}

impl Steps for Fresh {
    type Fewer = Stepped;
}

impl Steps for Stepped {
    type Fewer = Spent;
}

/// A predecoded instruction: 32 bytes. What a field means is up to the handler.
#[derive(Clone, Debug)]
#[repr(C, align(32))]
pub(crate) struct Op {
    pub(crate) handler: OpHandler,
    /// The register operand, or the first of two.
    pub(crate) first: Gpr,
    /// The second register operand, or the base of an address.
    pub(crate) second: Gpr,
    /// The index of an address.
    pub(crate) index: Gpr,
    /// Binary logarithm of the scale, or [`GONE`] without an index.
    pub(crate) scale: u8,
    /// Instructions of the block up to and with this one.
    pub(crate) count: u16,
    /// Where `first` and `second` lie in the register file if they are byte registers.
    pub(crate) first_byte: u8,
    pub(crate) second_byte: u8,
    pub(crate) immediate: u32,
    pub(crate) displacement: u32,
    /// The operation that a branch goes to if it is taken.
    pub(crate) taken: Link,
    /// The handler executes the next operation, too.
    pub(crate) joins_next: bool,
    /// All flags are kept before it, so that the budget may end there.
    pub(crate) keeps_flags: bool,
    /// Zero, or [`GONE`] for an address without a base.
    pub(crate) base_shift: u8,
    /// The segment register of an address that has a base, by its number.
    pub(crate) segment: u8,
}

/// By how much the register of an address is shifted that the address does not have: out of its 32
/// bits.
pub(crate) const GONE: u8 = 32;

impl Op {
    /// One that has only its fields' neutral values, and runs through the reference.
    pub(crate) const fn blank() -> Self {
        Self {
            handler: slow,
            first: Gpr::Eax,
            second: Gpr::Eax,
            index: Gpr::Eax,
            scale: 0,
            count: 0,
            first_byte: 0,
            second_byte: 0,
            immediate: 0,
            displacement: 0,
            taken: Link::open(),
            joins_next: false,
            keeps_flags: true,
            base_shift: 0,
            segment: 0,
        }
    }
}

/// The position of an operation in the arena, or 0, where the arena's first operation stops.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link(Cell<u32>);

impl Link {
    /// One that points nowhere.
    const fn open() -> Self {
        Self(Cell::new(0))
    }

    /// Points the link, which is in `arena` or among its jumps, to an operation of the same arena.
    fn set(&self, arena: &[Op], index: u32) {
        if (index as usize) < arena.len() {
            self.0.set(index);
        }
    }

    /// The position that it points to.
    #[cfg(test)]
    pub(crate) fn place(&self) -> u32 {
        self.0.get()
    }

    /// Whether it points nowhere.
    #[inline(always)]
    pub(crate) fn is_open(&self) -> bool {
        self.0.get() == 0
    }
}

const _: () = assert!(size_of::<Op>() == 32 || size_of::<usize>() != 8);

/// Where execution is, and what it may do there.
#[derive(Clone, Copy)]
#[cfg(not(feature = "safe-dispatch"))]
pub(crate) struct Cursor<'a, S = Fresh> {
    op: *const Op,
    arena: PhantomData<(&'a [Op], S)>,
}

#[cfg(not(feature = "safe-dispatch"))]
impl<'a> Cursor<'a> {
    /// Operation `index` of `arena`, or the first where there is none.
    #[inline(always)]
    pub(crate) fn at(arena: &'a [Op], index: u32) -> Self {
        let op = match arena.get(index as usize..) {
            Some(rest) => rest.as_ptr(),
            None => arena.as_ptr(),
        };
        Self { op, arena: PhantomData }
    }

    /// Where a link in `arena` leads.
    #[inline(always)]
    pub(crate) fn follow(arena: &'a [Op], link: &Link) -> Self {
        // SAFETY: (2) and (3).
        Self { op: unsafe { arena.as_ptr().add(link.0.get() as usize) }, arena: PhantomData }
    }
}

#[cfg(not(feature = "safe-dispatch"))]
impl<'a, S> Cursor<'a, S> {
    /// Nowhere: the engine has to say how it goes on.
    pub(crate) const STOPPED: Self = Self { op: core::ptr::null(), arena: PhantomData };

    /// The operation itself, or `None` if this is [`Cursor::STOPPED`].
    #[inline(always)]
    pub(crate) fn checked(self) -> Option<&'a Op> {
        // SAFETY: see `op`; only `STOPPED` is null.
        unsafe { self.op.as_ref() }
    }

    /// The operation itself. A handler that runs was dispatched from it, so it is there.
    #[inline(always)]
    pub(crate) fn op(self) -> Option<&'a Op> {
        // SAFETY: a cursor is null or points into an arena that lives for `'a`, by (1) to (3). Only the
        // driver sees null ones, and it uses `checked`.
        Some(unsafe { &*self.op })
    }

    /// The operation behind this one.
    #[inline(always)]
    pub(crate) fn next(self) -> Cursor<'a, S::Fewer>
    where
        S: Steps,
    {
        // SAFETY: by (3) this operation is not the arena's last.
        Cursor { op: unsafe { self.op.add(1) }, arena: PhantomData }
    }

    /// The same place for the handler of the operation there, and for nobody else.
    #[inline(always)]
    fn fresh(self) -> Cursor<'a> {
        Cursor { op: self.op, arena: PhantomData }
    }

    /// The same place for who makes no step.
    #[inline(always)]
    pub(crate) fn spent(self) -> Cursor<'a, Spent> {
        Cursor { op: self.op, arena: PhantomData }
    }

    /// The position in `arena`.
    #[inline(always)]
    pub(crate) fn index_in(self, arena: &'a [Op]) -> usize {
        self.op.addr().wrapping_sub(arena.as_ptr().addr()) / size_of::<Op>()
    }
}

/// Where execution is, and what it may do there.
#[derive(Clone, Copy)]
#[cfg(feature = "safe-dispatch")]
pub(crate) struct Cursor<'a, S = Fresh>(&'a [Op], PhantomData<S>);

#[cfg(feature = "safe-dispatch")]
impl<'a> Cursor<'a> {
    /// Operation `index` of `arena`, or nowhere if there is none.
    #[inline(always)]
    pub(crate) fn at(arena: &'a [Op], index: u32) -> Self {
        Self(arena.get(index as usize..).unwrap_or_default(), PhantomData)
    }

    /// Where a link in `arena` leads.
    #[inline(always)]
    pub(crate) fn follow(arena: &'a [Op], link: &Link) -> Self {
        Self::at(arena, link.0.get())
    }
}

#[cfg(feature = "safe-dispatch")]
impl<'a, S> Cursor<'a, S> {
    /// Nowhere: the engine has to say how it goes on.
    pub(crate) const STOPPED: Self = Self(&[], PhantomData);

    /// The operation itself, or `None` if this is [`Cursor::STOPPED`].
    #[inline(always)]
    pub(crate) fn checked(self) -> Option<&'a Op> {
        self.0.first()
    }

    /// The operation itself.
    #[inline(always)]
    pub(crate) fn op(self) -> Option<&'a Op> {
        self.0.first()
    }

    /// The operation behind this one.
    #[inline(always)]
    pub(crate) fn next(self) -> Cursor<'a, S::Fewer>
    where
        S: Steps,
    {
        Cursor(self.0.get(1..).unwrap_or_default(), PhantomData)
    }

    /// The same place for the handler of the operation there, and for nobody else.
    #[inline(always)]
    fn fresh(self) -> Cursor<'a> {
        Cursor(self.0, PhantomData)
    }

    /// The same place for who makes no step.
    #[inline(always)]
    pub(crate) fn spent(self) -> Cursor<'a, Spent> {
        Cursor(self.0, PhantomData)
    }

    /// The position in `arena`.
    #[inline(always)]
    pub(crate) fn index_in(self, arena: &'a [Op]) -> usize {
        arena.len() - self.0.len()
    }
}

/// Goes on at `cursor`.
#[inline(always)]
pub(crate) fn dispatch<'a, S>(
    cursor: Cursor<'a, S>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let cursor = cursor.fresh();
    if cfg!(tail_calls) {
        match cursor.op() {
            Some(op) => (op.handler)(cursor, cpu, memory, frame),
            None => cursor,
        }
    } else {
        cursor
    }
}

/// Goes on behind `cursor`.
#[inline(always)]
pub(crate) fn advance<'a, S: Steps>(
    cursor: Cursor<'a, S>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    dispatch(cursor.next(), cpu, memory, frame)
}

/// Goes on behind `cursor` by way of [`drive`]: for handlers that lend what is on their own stack to somebody,
/// behind which compilers make no tail call.
#[inline(always)]
pub(crate) fn hand_back<'a, S: Steps>(cursor: Cursor<'a, S>) -> Cursor<'a> {
    cursor.next().fresh()
}

/// Runs from `cursor` until a handler stops.
pub(crate) fn drive<'a>(
    mut cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) {
    while let Some(op) = cursor.checked() {
        cursor = (op.handler)(cursor, cpu, memory, frame);
    }
}

/// An entry of the table of jumps: a block's EIP and its first operation.
#[derive(Default, Debug)]
#[repr(C, align(8))]
pub(crate) struct Jump {
    eip: Cell<u32>,
    first: Link,
}

impl Jump {
    /// The link to the block at `eip`, if that is what the entry is about.
    #[inline(always)]
    pub(crate) fn to(&self, eip: u32) -> Option<&Link> {
        if self.eip.get() == eip { Some(&self.first) } else { None }
    }
}

const JUMPS: usize = 4096;

/// Where indirect branches look first; what is empty leads to operation 0, which stops.
pub(crate) type Jumps = [Jump; JUMPS];

/// The place of `eip` in the table of jumps.
#[inline(always)]
pub(crate) fn jump_slot(eip: u32) -> usize {
    (eip ^ eip >> 12) as usize % JUMPS
}

/// How many operations that stop are at the end of an arena: as many as a [`Fresh`] cursor may make steps.
const TERMINATORS: usize = 2;

/// The operations of all blocks of an address space, with what the rare paths know of them and the
/// table of jumps to them.
pub(crate) struct Arena {
    ops: Vec<Op>,
    /// One for each operation.
    steps: Vec<Step>,
    jumps: Box<Jumps>,
}

impl Arena {
    /// One without operations, which cannot run.
    pub(crate) fn new() -> Self {
        let jumps = Box::new([const { Jump { eip: Cell::new(0), first: Link::open() } }; JUMPS]);
        Self { ops: Vec::new(), steps: Vec::new(), jumps }
    }

    /// The operations.
    pub(crate) fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// What belongs to them, one for one.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Bytes of the host's memory that it takes.
    pub(crate) fn footprint(&self) -> usize {
        self.ops.capacity() * size_of::<Op>() + self.steps.capacity() * size_of::<Step>() + size_of::<Jumps>()
    }

    /// The table of jumps.
    pub(crate) fn jumps(&self) -> &Jumps {
        &self.jumps
    }

    /// Drops all operations, and all that leads to one.
    pub(crate) fn clear(&mut self) {
        self.ops.clear();
        self.steps.clear();
        for jump in self.jumps.iter_mut() {
            *jump = Jump::default();
        }
    }

    /// Moves the operations of a block, and as many steps, to the end. Returns where the first now is.
    pub(crate) fn append(&mut self, ops: &mut Vec<Op>, steps: &mut Vec<Step>) -> u32 {
        if self.ops.is_empty() {
            self.push_stop();
        } else {
            self.ops.truncate(self.ops.len() - TERMINATORS);
            self.steps.truncate(self.ops.len());
        }
        let first = self.ops.len() as u32;
        for op in ops.iter() {
            op.taken.0.set(0);
        }
        steps.resize_with(ops.len(), Step::stopping);
        self.ops.append(ops);
        self.steps.append(steps);
        for _ in 0..TERMINATORS {
            self.push_stop();
        }
        first
    }

    fn push_stop(&mut self) {
        self.ops.push(Op { handler: stop, ..Op::blank() });
        self.steps.push(Step::stopping());
    }

    /// Whether operation `at` is none of those that only mark the arena's ends.
    fn is_inside(&self, at: usize) -> bool {
        at > 0 && at + TERMINATORS < self.ops.len()
    }

    /// Puts another operation in the place of number `at`.
    pub(crate) fn replace(&mut self, at: usize, op: Op, step: Step) {
        if self.is_inside(at) {
            op.taken.0.set(0);
            self.ops[at] = op;
            self.steps[at] = step;
        }
    }

    /// Gives operation `at` another handler. Returns the one that it had.
    pub(crate) fn exchange_handler(&mut self, at: usize, handler: OpHandler) -> OpHandler {
        if !self.is_inside(at) {
            return stop;
        }
        core::mem::replace(&mut self.ops[at].handler, handler)
    }

    /// Enters the block of `eip` at operation `first` into the table of jumps.
    pub(crate) fn enter_jump(&self, eip: u32, first: u32) {
        let jump = &self.jumps[jump_slot(eip)];
        jump.eip.set(eip);
        jump.first.set(&self.ops, first);
    }

    /// Links the branch or the case at `site` to the block of `eip` at `first`.
    pub(crate) fn link(&mut self, site: u32, eip: u32, first: u32) {
        let site = site as usize;
        if let Some(op) = self.ops.get(site) {
            op.taken.set(&self.ops, first);
        }
        if let Some(op) = self.ops.get_mut(site)
            && self.steps.get(site).is_some_and(|step| step.is_case)
        {
            op.immediate = eip;
        }
    }
}
