//! Ranges of addresses.

use alloc::vec::Vec;
use core::ops::{Bound, RangeBounds};

/// A range of addresses with both ends in it, in the form that takes the least time to ask. It may be empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Span {
    first: u32,
    last: u32,
}

impl Span {
    /// All addresses.
    pub const ALL: Self = Self { first: 0, last: u32::MAX };
    /// None.
    pub const EMPTY: Self = Self { first: 1, last: 0 };

    /// The addresses in `range`.
    #[must_use]
    pub fn of(range: impl RangeBounds<u32>) -> Self {
        let first = match range.start_bound() {
            Bound::Included(first) => Some(*first),
            Bound::Excluded(before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let last = match range.end_bound() {
            Bound::Included(last) => Some(*last),
            Bound::Excluded(behind) => behind.checked_sub(1),
            Bound::Unbounded => Some(u32::MAX),
        };
        // Without either there is no address in it.
        first.zip(last).map_or(Self::EMPTY, |(first, last)| Self { first, last })
    }

    /// Whether there is no address in it.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.first > self.last
    }

    /// Whether `address` is in it.
    #[inline(always)]
    #[must_use]
    pub const fn contains(self, address: u32) -> bool {
        self.first <= address && address <= self.last
    }

    /// Whether one of the `length` bytes from `address` on is in it, of which there is at least one. They
    /// wrap at 4 GiB.
    #[inline(always)]
    #[must_use]
    pub const fn touches(self, address: u32, length: u8) -> bool {
        let inside = address.wrapping_sub(self.first) <= self.last.wrapping_sub(self.first);
        let reaches = self.first.wrapping_sub(address) < length as u32;
        !self.is_empty() && (inside || reaches)
    }

    /// The same with as many more addresses in front of it, as far as there are any.
    #[must_use]
    pub const fn with_front(self, more: u32) -> Self {
        if self.is_empty() { self } else { Self { first: self.first.saturating_sub(more), ..self } }
    }
}

/// Ranges of addresses, in any order; they may overlap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ranges(Vec<Span>);

impl Ranges {
    /// Adds a range; an empty one adds nothing.
    pub fn add(&mut self, span: Span) {
        if span == Span::ALL {
            self.0.clear();
        }
        if !span.is_empty() && !self.is_everything() {
            self.0.push(span);
        }
    }

    /// Whether there is no address.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn is_everything(&self) -> bool {
        self.0 == [Span::ALL]
    }

    /// Whether `address` is in one of them.
    #[inline]
    #[must_use]
    pub fn contains(&self, address: u32) -> bool {
        self.0.iter().any(|span| span.contains(address))
    }

    /// Whether one of them [has](Span::touches) one of the `length` bytes from `address` on.
    #[inline]
    #[must_use]
    pub fn touches(&self, address: u32, length: u8) -> bool {
        self.0.iter().any(|span| span.touches(address, length))
    }
}
