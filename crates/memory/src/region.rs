//! What is mapped, as ranges: what a debugger or `/proc/self/maps` shows.

use core::fmt;

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

/// Such as `00001000-00003000 r-x private`; the end is that of the last byte and one.
impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = u64::from(self.start) + self.length;
        let allows = |permission, letter| if self.permissions.contains(permission) { letter } else { '-' };
        let (r, w) = (allows(Permissions::READ, 'r'), allows(Permissions::WRITE, 'w'));
        let x = allows(Permissions::EXECUTE, 'x');
        let kind = match self.kind {
            RegionKind::Private => "private",
            RegionKind::Shared => "shared",
            RegionKind::Device => "device",
        };
        write!(f, "{:08x}-{end:08x} {r}{w}{x} {kind}", self.start)
    }
}

/// The backing, the pages that take up memory, and the regions, at most 100 of them.
impl fmt::Debug for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Shows regions, and whether there are more.
        struct Regions<'a>(&'a AddressSpace);

        impl fmt::Debug for Regions<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                const MOST: usize = 100;
                let mut list = f.debug_list();
                for region in self.0.regions().take(MOST) {
                    list.entry(&format_args!("{region}"));
                }
                if self.0.regions().nth(MOST).is_some() {
                    list.finish_non_exhaustive()
                } else {
                    list.finish()
                }
            }
        }

        f.debug_struct("AddressSpace")
            .field("backing", &self.backing())
            .field("resident_pages", &self.resident_pages())
            .field("regions", &Regions(self))
            .finish_non_exhaustive()
    }
}
