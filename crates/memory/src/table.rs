//! The page table: two levels of 1,024, leaves allocated as they are entered.
//!
//! A flat table would save a load, but it is megabytes of address space, and asking the operating
//! system for that and faulting its pages in costs more than all else in the life of a short
//! machine (measured: 24 us against 2 us; the load costs 1 ns where each address hangs on the load
//! before, and 0.1 ns elsewhere). Leaves that were never entered are all the same leaf of
//! zeros, so a lookup needs no check.
//!
//! For a machine that runs on, that load is a fifth of the time of pointer-chasing code. Such a
//! machine's engine asks for a flat copy beside the two levels ([`Table::flatten`]), which changes
//! with them; until then all spaces share one of zeros, in which nothing is fast.

use alloc::alloc::{alloc, alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::ptr::NonNull;

use crate::entry::{Entry, READ_FAST, WATCHED, WRITE_FAST};
use crate::reserved::{Reservation, shown};
use crate::source::FrameSource;
use crate::zeroed;

/// Pages in a 4 GiB space.
pub(crate) const PAGES: u32 = 1 << 20;
/// Entries a group: a leaf, the unit in which users of the table skip what was never used.
pub(crate) const GROUP: u32 = 1024;
const GROUPS: usize = (PAGES / GROUP) as usize;

type Leaf = [Entry; GROUP as usize];
type Root = [NonNull<Leaf>; GROUPS];

/// The leaf of all groups that were never entered.
struct EmptyLeaf(Leaf);

// SAFETY: it is never written, and its null pointers lead nowhere.
unsafe impl Sync for EmptyLeaf {}

static EMPTY_LEAF: EmptyLeaf = EmptyLeaf([Entry::EMPTY; GROUP as usize]);

type Flat = [Entry; PAGES as usize];

/// The flat table of all spaces that have none of their own. It takes up no memory: reading it
/// maps the host's page of zeros. The cell keeps it out of the executable file.
struct EmptyFlat(UnsafeCell<Flat>);

// SAFETY: it is never written, and its null pointers lead nowhere.
unsafe impl Sync for EmptyFlat {}

static EMPTY_FLAT: EmptyFlat = EmptyFlat(UnsafeCell::new([Entry::EMPTY; PAGES as usize]));

fn empty_flat() -> NonNull<Flat> {
    // SAFETY: the address of a static is not null.
    unsafe { NonNull::new_unchecked(EMPTY_FLAT.0.get()) }
}

fn empty_leaf() -> NonNull<Leaf> {
    NonNull::from(&EMPTY_LEAF.0)
}

/// The entries, and which groups of them were ever entered.
///
/// Reads and writes go through raw pointers: the table behaves like an array of `Cell`.
pub(crate) struct Table {
    root: NonNull<Root>,
    /// A copy of all entries in one array, or the array of zeros.
    flat: NonNull<Flat>,
    entered: [u64; GROUPS / 64],
    /// Who counts the copy.
    counted: Option<FrameSource>,
    /// Shows in place what the entries say.
    pub(crate) reservation: Option<Reservation>,
}

impl Table {
    /// An empty table, or `None` where the host has no memory for one.
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: the layout's size is not zero.
        let root = NonNull::new(unsafe { alloc(Layout::new::<Root>()) }.cast::<Root>())?;
        for group in 0..GROUPS {
            // SAFETY: the index is below the root's length, and the block is new.
            unsafe { root.cast::<NonNull<Leaf>>().add(group).write(empty_leaf()) };
        }
        Some(Self { root, flat: empty_flat(), entered: [0; GROUPS / 64], counted: None, reservation: None })
    }

    /// The entry of the page that holds `address`.
    #[inline(always)]
    pub(crate) fn of(&self, address: u32) -> Entry {
        // SAFETY: ten bits of the address index 1,024 places on either level, all of them
        // initialised; only this thread can reach them, because `Table` is not `Sync`, and the
        // leaf of zeros is never written.
        unsafe {
            let leaf = self.root.cast::<NonNull<Leaf>>().add((address >> 22) as usize).read();
            leaf.cast::<Entry>().add((address >> 12) as usize % GROUP as usize).read()
        }
    }

    /// The entry of the page that holds `address` as the flat copy has it: all zeros without one.
    #[inline(always)]
    pub(crate) fn flat_of(&self, address: u32) -> Entry {
        // SAFETY: twenty bits of the address index 2^20 places, all initialised; as to other
        // threads, see `of`.
        unsafe { self.flat.cast::<Entry>().add((address >> 12) as usize).read() }
    }

    /// Whether there is a flat copy.
    #[inline(always)]
    pub(crate) fn is_flat(&self) -> bool {
        self.flat != empty_flat()
    }

    /// Makes a flat copy, if the host has the memory for it, and a machine with `source` may have one more.
    pub(crate) fn flatten(&mut self, source: Option<&FrameSource>) {
        if self.is_flat() {
            return;
        }
        if self.counted.is_none()
            && let Some(source) = source
        {
            if !source.take_flat(size_of::<Flat>()) {
                return;
            }
            self.counted = Some(source.clone());
        }
        // Zero is the empty entry.
        let Some(flat) = zeroed::allocate(Layout::new::<Flat>()) else { return };
        let flat = flat.cast::<Flat>();
        let mut page = 0;
        while let Some((at, entry)) = self.next_used(page, PAGES) {
            // SAFETY: page numbers are below the array's length, and the block is new.
            unsafe { flat.cast::<Entry>().add(at as usize).write(entry) };
            page = at + 1;
        }
        self.flat = flat;
    }

    /// The entry of page number `page`, which is taken modulo `PAGES`.
    #[inline(always)]
    pub(crate) fn get(&self, page: u32) -> Entry {
        self.of(page << 12)
    }

    /// Changes the entry of a page whose group was entered before; in others, all stays empty. A
    /// watched page loses its fast bits here, whoever meant to set them.
    #[inline]
    pub(crate) fn set(&self, page: u32, entry: Entry) {
        let group = (page / GROUP) as usize % GROUPS;
        // SAFETY: the group is below the root's length.
        let leaf = unsafe { self.root.cast::<NonNull<Leaf>>().add(group).read() };
        if leaf != empty_leaf() {
            let entry = if entry.has(WATCHED) { entry.without(READ_FAST | WRITE_FAST) } else { entry };
            // SAFETY: the leaf is this table's own, the index is below its length, and no
            // reference to its entries ever exists.
            let old = unsafe { leaf.cast::<Entry>().add((page % GROUP) as usize).replace(entry) };
            if self.is_flat() {
                // SAFETY: the array is this table's own, and the page number is below its length.
                unsafe { self.flat.cast::<Entry>().add((page % PAGES) as usize).write(entry) }
            }
            if let Some(reservation) = &self.reservation
                && shown(old) != shown(entry)
            {
                reservation.note(page);
            }
        }
    }

    /// Enters the groups of pages `first..end`, which lets `set` be used on them; `None` where the
    /// host has no memory for that.
    pub(crate) fn enter(&mut self, first: u32, end: u32) -> Option<()> {
        for group in first / GROUP..end.div_ceil(GROUP) {
            let bit = 1 << (group % 64);
            if self.entered[group as usize / 64] & bit == 0 {
                // SAFETY: the layout's size is not zero; zero is the empty entry.
                let leaf = NonNull::new(unsafe { alloc_zeroed(Layout::new::<Leaf>()) }.cast())?;
                // SAFETY: the group is below the root's length.
                unsafe { self.root.cast::<NonNull<Leaf>>().add(group as usize % GROUPS).write(leaf) };
                self.entered[group as usize / 64] |= bit;
            }
        }
        Some(())
    }

    /// Bytes that the table takes.
    pub(crate) fn bytes(&self) -> usize {
        let leaves: u32 = self.entered.iter().map(|word| word.count_ones()).sum();
        // Of the flat copy the host provides what leaves have, too.
        let copies = if self.is_flat() { 2 } else { 1 };
        size_of::<Root>() + leaves as usize * size_of::<Leaf>() * copies
    }

    /// The first page in `page..end` whose group was ever entered.
    pub(crate) fn next_entered(&self, page: u32, end: u32) -> Option<u32> {
        let mut group = page / GROUP;
        while group < end.div_ceil(GROUP) {
            let word = self.entered[group as usize / 64] >> (group % 64);
            if word != 0 {
                let found = (group + word.trailing_zeros()) * GROUP;
                return (found < end).then_some(found.max(page));
            }
            group = (group / 64 + 1) * 64;
        }
        None
    }

    /// The first page in `page..end` that has an entry, and that entry.
    pub(crate) fn next_used(&self, mut page: u32, end: u32) -> Option<(u32, Entry)> {
        while let Some(first) = self.next_entered(page, end) {
            let stop = (first / GROUP + 1) * GROUP;
            for at in first..stop.min(end) {
                let entry = self.get(at);
                if entry != Entry::EMPTY {
                    return Some((at, entry));
                }
            }
            page = stop;
        }
        None
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let mut page = 0;
        while let Some(first) = self.next_entered(page, PAGES) {
            // SAFETY: the group is below the root's length; it was entered, so its leaf came from
            // the allocator with this layout, and nothing uses it any more.
            unsafe {
                let leaf = self.root.cast::<NonNull<Leaf>>().add((first / GROUP) as usize).read();
                dealloc(leaf.as_ptr().cast(), Layout::new::<Leaf>());
            }
            page = first + GROUP;
        }
        if self.is_flat() {
            // SAFETY: `flatten` got it from there with this layout.
            unsafe { zeroed::free(self.flat.cast(), Layout::new::<Flat>()) };
        }
        if let Some(source) = &self.counted {
            source.give_flat();
        }
        // SAFETY: `new` got it from the allocator with this layout.
        unsafe { dealloc(self.root.as_ptr().cast(), Layout::new::<Root>()) };
    }
}
