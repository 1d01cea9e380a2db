//! What is mapped, as ranges: what a debugger or `/proc/self/maps` shows.

use crate::entry::{MAPPED, SPECIAL};
use crate::table::PAGES;
use crate::{AddressSpace, PAGE_SIZE, Permissions};

/// What is behind the pages of a [`Region`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RegionKind {
    /// Memory of this address space alone.
    Private,
    /// A shared object.
    Shared,
    /// A device.
    Device,
}

/// A run of mapped pages that are alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Region {
    /// The first byte, a multiple of 4096.
    pub start: u32,
    /// The number of bytes, a multiple of 4096, up to 4 GiB.
    pub length: u64,
    /// What the pages allow.
    pub permissions: Permissions,
    /// What is behind them.
    pub kind: RegionKind,
}

impl AddressSpace {
    /// The mapped ranges in ascending order. Neighbours with the same permissions and kind are one
    /// region, however they were mapped.
    pub fn regions(&self) -> impl Iterator<Item = Region> + '_ {
        let mut page = 0;
        core::iter::from_fn(move || {
            let mut region = loop {
                let (at, _) = self.table.next_used(page, PAGES)?;
                page = at + 1;
                if let Some(region) = self.page_region(at) {
                    break region;
                }
            };
            while page < PAGES
                && let Some(next) = self.page_region(page)
                && (next.permissions, next.kind) == (region.permissions, region.kind)
            {
                region.length += next.length;
                page += 1;
            }
            Some(region)
        })
    }

    fn page_region(&self, page: u32) -> Option<Region> {
        let entry = self.table.get(page);
        let kind = if !entry.has(SPECIAL) {
            RegionKind::Private
        } else if entry.has(crate::entry::OWNED) || self.is_shared(entry.slot()) {
            RegionKind::Shared
        } else {
            RegionKind::Device
        };
        entry.has(MAPPED).then(|| Region {
            start: page * PAGE_SIZE,
            length: u64::from(PAGE_SIZE),
            permissions: entry.permissions(),
            kind,
        })
    }
}
