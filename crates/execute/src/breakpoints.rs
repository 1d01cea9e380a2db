//! Where runs stop.

use alloc::vec::Vec;

/// EIPs before which an engine leaves with [`Exit::Breakpoint`](crate::Exit::Breakpoint). Engines compile
/// nothing there, so that what runs is not asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Breakpoints {
    /// In ascending order, each once.
    addresses: Vec<u32>,
}

impl Breakpoints {
    /// Makes these the breakpoints; `addresses` are in ascending order. Those that there are already cost
    /// an engine nothing, new ones the blocks that they are in.
    pub fn set(&mut self, addresses: impl Iterator<Item = u32> + Clone) {
        if !addresses.clone().eq(self.addresses.iter().copied()) {
            self.addresses.clear();
            self.addresses.extend(addresses);
        }
    }

    /// Whether there is one at `eip`.
    #[inline]
    #[must_use]
    pub fn contains(&self, eip: u32) -> bool {
        !self.addresses.is_empty() && self.addresses.binary_search(&eip).is_ok()
    }

    /// Has `known`, what an engine has compiled blocks for, keep up with these: calls `drop` for each
    /// address where no instruction may be in a block any more.
    #[inline]
    pub fn bring_up_to_date(&self, known: &mut Self, drop: impl FnMut(u32)) {
        if self != known {
            self.tell_new(known, drop);
        }
    }

    #[cold]
    fn tell_new(&self, known: &mut Self, drop: impl FnMut(u32)) {
        self.addresses.iter().copied().filter(|address| !known.contains(*address)).for_each(drop);
        known.clone_from(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_hear_of_new_ones_only() {
        let (mut breakpoints, mut known) = (Breakpoints::default(), Breakpoints::default());
        let mut dropped = Vec::new();
        for (addresses, new) in [(&[1, 5][..], &[1, 5][..]), (&[1, 4, 5], &[4]), (&[4], &[]), (&[5], &[5])] {
            breakpoints.set(addresses.iter().copied());
            breakpoints.bring_up_to_date(&mut known, |address| dropped.push(address));
            assert_eq!((core::mem::take(&mut dropped), &known), (new.to_vec(), &breakpoints));
            assert!(addresses.iter().all(|address| known.contains(*address)) && !known.contains(2));
        }
    }
}
