//! How often blocks have begun.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use pentimento_execute::observe::Observer;

/// How often blocks have begun that are counted.
#[derive(Default)]
pub(crate) struct Counters {
    /// Which place a block has.
    places: BTreeMap<u32, u32>,
    /// EIP and times.
    slots: Vec<(u32, u64)>,
    /// Those that are not zero.
    touched: Vec<u32>,
}

impl Counters {
    /// The place of what is not counted.
    pub(crate) const NONE: u32 = u32::MAX;

    /// The place of the block at `eip`.
    pub(crate) fn slot(&mut self, eip: u32) -> u32 {
        *self.places.entry(eip).or_insert_with(|| {
            self.slots.push((eip, 0));
            self.slots.len() as u32 - 1
        })
    }

    #[inline(always)]
    pub(crate) fn count(&mut self, slot: u32) {
        if let Some((_, times)) = self.slots.get_mut(slot as usize) {
            if *times == 0 {
                self.touched.push(slot);
            }
            *times += 1;
        }
    }

    /// Tells `observer` what has been counted, and begins anew.
    pub(crate) fn settle(&mut self, observer: &mut (dyn Observer + '_)) {
        for slot in self.touched.drain(..) {
            if let Some((eip, times)) = self.slots.get_mut(slot as usize) {
                observer.counted(*eip, core::mem::take(times));
            }
        }
    }
}
