//! The world that every case sees: a few pages with known contents, a few segment descriptors,
//! and nothing else.
//!
//! The native oracle builds it with mmap(2), set_thread_area(2) and modify_ldt(2), an engine's
//! bench with [`AddressSpace`](pentimento_memory::AddressSpace) and
//! [`DescriptorTables`]; both read it from here.

use std::sync::LazyLock;

use pentimento_memory::{PAGE_SIZE, Permissions};
use pentimento_registers::{
    CpuState, Descriptor, DescriptorTables, LocalDescriptors, Segment, TlsDescriptors,
};

/// Bytes a page, as an index.
pub const PAGE: usize = PAGE_SIZE as usize;

/// One mapped page. Page `i` of [`PAGES`] occupies bytes `i * 4096..` of the *arena*, in which
/// initial contents and changes are expressed.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Where it is mapped.
    pub address: u32,
    /// What it allows.
    pub permissions: Permissions,
}

const fn page(address: u32, permissions: Permissions) -> Page {
    Page { address, permissions }
}

const R: Permissions = Permissions::READ;
const RW: Permissions = Permissions::READ.union(Permissions::WRITE);
const RX: Permissions = Permissions::READ.union(Permissions::EXECUTE);

/// Every mapped page. The first two make 16-bit addresses reach memory, wrap and cross 64 KiB;
/// hosts that reserve low memory (vm.mmap_min_addr) go without them.
#[rustfmt::skip]
pub const PAGES: &[Page] = &[
    page(0x0000_e000, RW),
    page(0x0000_f000, RW),
    page(0x0001_0000, RW),
    page(0x0001_1000, R),
    page(0x4000_0000, RW),
    page(0x4000_1000, RW),
    page(0x4000_2000, R),
    page(0x5000_0000, RX),
    page(0x5000_1000, RX),
];

/// How many of [`PAGES`] lie below 64 KiB.
pub const LOW_PAGES: usize = 2;

/// Addresses of the data pages reached with 32-bit addresses: two writable, one read-only, then nothing.
pub const DATA: core::ops::Range<u32> = 0x4000_0000..0x4000_3000;

/// Addresses of the data pages reached with 16-bit addresses: the third is beyond 64 KiB, the last read-only.
pub const LOW_DATA: core::ops::Range<u32> = 0x0000_e000..0x0001_2000;

/// Addresses of the code pages, filled with INT3; then nothing.
pub const CODE: core::ops::Range<u32> = 0x5000_0000..0x5000_2000;

/// Where the native oracle itself lives. A case must not reach it.
pub const RESERVED: core::ops::Range<u32> = 0x7000_0000..0x7060_0000;

/// The page index and arena offset of `address`.
#[must_use]
pub fn arena_offset(address: u32) -> Option<u32> {
    let index = PAGES.iter().position(|page| page.address == address & !(PAGE_SIZE - 1))?;
    Some(index as u32 * PAGE_SIZE + address % PAGE_SIZE)
}

/// The address of an arena offset.
///
/// # Panics
/// If `offset` lies behind the last page.
#[must_use]
pub fn arena_address(offset: u32) -> u32 {
    PAGES[(offset / PAGE_SIZE) as usize].address + offset % PAGE_SIZE
}

/// The arena before a case's patches: INT3 in code pages, repeatable noise elsewhere.
#[must_use]
pub fn background() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PAGES.len() * PAGE);
    for page in PAGES {
        if page.permissions.contains(Permissions::EXECUTE) {
            bytes.resize(bytes.len() + PAGE, 0xcc);
        } else {
            let noise = |i: u32| (i.wrapping_add(page.address).wrapping_mul(0x9e37_79b1) >> 24) as u8;
            bytes.extend((0..PAGE_SIZE).map(noise));
        }
    }
    bytes
}

/// A descriptor of the layout, as `struct user_desc` of asm/ldt.h describes it.
#[derive(Clone, Copy, Debug)]
pub struct UserDescriptor {
    /// In the LDT rather than among the TLS entries of the GDT.
    pub local: bool,
    /// Entry number in that table.
    pub entry: u16,
    /// What it describes.
    pub descriptor: Descriptor,
    /// Whether the limit counts pages.
    pub limit_in_pages: bool,
}

impl UserDescriptor {
    /// The selector that names it.
    #[must_use]
    pub const fn selector(&self) -> u16 {
        self.entry << 3 | (self.local as u16) << 2 | 3
    }
}

const DATA_SEGMENT: Descriptor = Descriptor::FLAT_DATA;

/// Selector of the TLS segment that GS holds by default: based at [`DATA`], without a limit.
pub const GS: u16 = 0x63;
/// Selector of the TLS segment that FS holds by default: the first 5000 bytes of [`DATA`].
pub const FS: u16 = 0x6b;
/// Selector of an expand-down TLS segment whose valid offsets begin behind FFFh.
pub const EXPAND_DOWN: u16 = 0x73;
/// Selector of a flat code segment in the LDT.
pub const LOCAL_CODE: u16 = 0x07;
/// Selector of a read-only data segment in the LDT.
pub const LOCAL_READ_ONLY: u16 = 0x0f;
/// Selector of a data segment in the LDT that is not present.
pub const LOCAL_ABSENT: u16 = 0x17;

/// Every descriptor beside Linux's own flat ones.
#[rustfmt::skip]
pub const DESCRIPTORS: &[UserDescriptor] = &[
    UserDescriptor { local: false, entry: 12, limit_in_pages: true,  descriptor: Descriptor { base: DATA.start, ..DATA_SEGMENT } },
    UserDescriptor { local: false, entry: 13, limit_in_pages: false, descriptor: Descriptor { base: DATA.start, limit: 4999, ..DATA_SEGMENT } },
    UserDescriptor { local: false, entry: 14, limit_in_pages: false, descriptor: Descriptor { base: DATA.start, limit: 0xfff, expand_down: true, ..DATA_SEGMENT } },
    UserDescriptor { local: true,  entry: 0,  limit_in_pages: true,  descriptor: Descriptor::FLAT_CODE },
    UserDescriptor { local: true,  entry: 1,  limit_in_pages: true,  descriptor: Descriptor { base: DATA.start, accessible: false, ..DATA_SEGMENT } },
    UserDescriptor { local: true,  entry: 2,  limit_in_pages: true,  descriptor: Descriptor { present: false, ..DATA_SEGMENT } },
];

/// The tables that hold [`DESCRIPTORS`].
static TABLES: LazyLock<(TlsDescriptors, LocalDescriptors)> = LazyLock::new(|| {
    let (mut tls, mut local) = (TlsDescriptors::new(), LocalDescriptors::new());
    for entry in DESCRIPTORS {
        if entry.local {
            local.set(entry.entry, Some(entry.descriptor));
        } else {
            tls.set(entry.entry, Some(entry.descriptor));
        }
    }
    (tls, local)
});

/// The descriptor tables with [`DESCRIPTORS`] in them.
#[must_use]
pub fn descriptor_tables() -> DescriptorTables<'static> {
    let (tls, local) = &*TABLES;
    DescriptorTables { tls, local }
}

/// A segment register after `selector` was loaded into it.
#[must_use]
pub fn segment(selector: u16) -> Segment {
    Segment::new(selector, descriptor_tables().get(selector, 0))
}

/// The registers that a case starts from: a fresh process with FS and GS on their TLS segments.
#[must_use]
pub fn initial_state() -> CpuState {
    let mut state = CpuState::new();
    state.segments[4] = segment(FS);
    state.segments[5] = segment(GS);
    state
}
