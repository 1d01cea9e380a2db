//! Compact operations, and the pointer that walks over them.
//!
//! This is the interpreter's only file with `unsafe`. With the feature `safe-dispatch` a slice takes
//! the pointer's place: a handler then checks that there is a next operation before it goes there.
#![cfg_attr(not(feature = "safe-dispatch"), allow(unsafe_code, reason = "see docs/unsafe.md"))]

use core::cell::Cell;

use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Gpr};

use crate::frame::Frame;

/// Executes one operation and those behind it, or with the dispatch loop just one: then it returns
/// where to go on, and [`Cursor::STOPPED`] to leave.
pub(crate) type Handler =
    for<'a> fn(Cursor<'a>, &mut CpuState, &mut AddressSpace, &mut Frame<'a>) -> Cursor<'a>;

/// A predecoded instruction: 32 bytes. What a field means is up to the handler.
#[derive(Clone, Debug)]
#[repr(C, align(32))]
pub(crate) struct Op {
    pub(crate) handler: Handler,
    /// The register operand, or the first of two.
    pub(crate) first: Gpr,
    /// The second register operand, or the base of an address.
    pub(crate) second: Gpr,
    /// The index of an address.
    pub(crate) index: Gpr,
    /// Binary logarithm of the scale.
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
}

/// The position of an operation in the arena, or 0, where the arena's first operation stops.
///
/// Arenas never shrink but to nothing, so a position that was in one stays in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link(Cell<u32>);

impl Link {
    /// One that points nowhere.
    pub(crate) const fn open() -> Self {
        Self(Cell::new(0))
    }

    /// Points the link, which is in `arena`, to an operation of the same arena.
    pub(crate) fn set(&self, arena: &[Op], index: u32) {
        if (index as usize) < arena.len() {
            self.0.set(index);
        }
    }

    /// Whether it points nowhere.
    #[inline(always)]
    pub(crate) fn is_open(&self) -> bool {
        self.0.get() == 0
    }
}

const _: () = assert!(size_of::<Op>() == 32 || size_of::<usize>() != 8);

/// Where execution is.
#[derive(Clone, Copy)]
#[cfg(not(feature = "safe-dispatch"))]
pub(crate) struct Cursor<'a> {
    op: *const Op,
    arena: core::marker::PhantomData<&'a [Op]>,
}

#[cfg(not(feature = "safe-dispatch"))]
impl<'a> Cursor<'a> {
    /// Nowhere: the engine has to say how it goes on.
    pub(crate) const STOPPED: Self = Self { op: core::ptr::null(), arena: core::marker::PhantomData };

    /// Operation `index` of `arena`, or the first where there is none.
    #[inline(always)]
    pub(crate) fn at(arena: &'a [Op], index: u32) -> Self {
        let op = match arena.get(index as usize..) {
            Some(rest) => rest.as_ptr(),
            None => arena.as_ptr(),
        };
        Self { op, arena: core::marker::PhantomData }
    }

    /// Where a link in `arena` leads.
    #[inline(always)]
    pub(crate) fn follow(arena: &'a [Op], link: &Link) -> Self {
        // SAFETY: links are zero, and no arena that runs is empty, or were checked when they were set.
        Self { op: unsafe { arena.as_ptr().add(link.0.get() as usize) }, arena: core::marker::PhantomData }
    }

    /// The operation itself, or `None` if this is [`Cursor::STOPPED`].
    #[inline(always)]
    pub(crate) fn checked(self) -> Option<&'a Op> {
        // SAFETY: see `op`; only `STOPPED` is null.
        unsafe { self.op.as_ref() }
    }

    /// The operation itself. A handler that runs was dispatched from it, so it is there.
    #[inline(always)]
    pub(crate) fn op(self) -> Option<&'a Op> {
        // SAFETY: a cursor is null or points into an arena that lives for `'a`: `at` makes it from
        // one, and `next` stays inside. Only the driver sees null ones, and it uses `checked`.
        Some(unsafe { &*self.op })
    }

    /// The operation behind this one.
    #[inline(always)]
    pub(crate) fn next(self) -> Self {
        // SAFETY: every arena ends with an operation whose handler stops, and handlers of blocks'
        // last operations never come here, so this operation is not the arena's last.
        Self { op: unsafe { self.op.add(1) }, arena: self.arena }
    }

    /// The position in `arena`.
    #[inline(always)]
    pub(crate) fn index_in(self, arena: &'a [Op]) -> usize {
        self.op.addr().wrapping_sub(arena.as_ptr().addr()) / size_of::<Op>()
    }
}

/// Where execution is.
#[derive(Clone, Copy)]
#[cfg(feature = "safe-dispatch")]
pub(crate) struct Cursor<'a>(&'a [Op]);

#[cfg(feature = "safe-dispatch")]
impl<'a> Cursor<'a> {
    /// Nowhere: the engine has to say how it goes on.
    pub(crate) const STOPPED: Self = Self(&[]);

    /// Operation `index` of `arena`, or nowhere if there is none.
    #[inline(always)]
    pub(crate) fn at(arena: &'a [Op], index: u32) -> Self {
        Self(arena.get(index as usize..).unwrap_or_default())
    }

    /// Where a link in `arena` leads.
    #[inline(always)]
    pub(crate) fn follow(arena: &'a [Op], link: &Link) -> Self {
        Self::at(arena, link.0.get())
    }

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
    pub(crate) fn next(self) -> Self {
        Self(self.0.get(1..).unwrap_or_default())
    }

    /// The position in `arena`.
    #[inline(always)]
    pub(crate) fn index_in(self, arena: &'a [Op]) -> usize {
        arena.len() - self.0.len()
    }
}

/// Goes on at `cursor`.
#[inline(always)]
pub(crate) fn dispatch<'a>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
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
pub(crate) fn advance<'a>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    dispatch(cursor.next(), cpu, memory, frame)
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
