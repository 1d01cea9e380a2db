//! The layout of the file shared with the native oracle, `fixtures/oracle/oracle.c`: little-endian
//! throughout. Whoever changes one changes the other.

use pentimento_memory::{PAGE_SIZE, Permissions};
use pentimento_registers::Descriptor;

use crate::case::{Case, Chunk, Ending};
use crate::engine::in_pages;
use crate::layout::{self, DESCRIPTORS, PAGES, UserDescriptor};
use crate::machine;

pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"PORA");
pub(super) const BACKGROUND_OFFSET: u64 = 0x1000;
pub(super) const INPUT_OFFSET: u64 = 0x2_0000;
pub(super) const INPUT_SIZE: usize = 0x10_0000;
pub(super) const OUTPUT_OFFSET: u64 = 0x12_0000;
pub(super) const SHARED_SIZE: u64 = 0x32_0000;

/// Offsets of `struct control`.
pub(super) const READY: u64 = 4;
pub(super) const CASE_COUNT: u64 = 16;
pub(super) const CASES_DONE: u64 = 20;
pub(super) const OUTPUT_BYTES: u64 = 24;
const PAGE_TABLE: usize = 32;
const PAGE_ENTRY: usize = 12;
const MAX_PAGES: usize = 16;
const DESCRIPTOR_TABLE: usize = PAGE_TABLE + MAX_PAGES * PAGE_ENTRY;
const DESCRIPTOR_ENTRY: usize = 24;
const MAX_DESCRIPTORS: usize = 8;
pub(super) const CONTROL_SIZE: usize = DESCRIPTOR_TABLE + MAX_DESCRIPTORS * DESCRIPTOR_ENTRY;

const _: () = assert!(PAGES.len() <= MAX_PAGES && DESCRIPTORS.len() <= MAX_DESCRIPTORS);

/// Sizes of `struct case_header` and `struct result`.
const CASE_HEADER_SIZE: usize = 8 + machine::SIZE;
const RESULT_HEADER_SIZE: usize = 24 + machine::SIZE;
const CHUNK_SIZE: usize = 20;

fn put(bytes: &mut Vec<u8>, word: u32) {
    bytes.extend(word.to_le_bytes());
}

/// The control block that sets the world up.
pub(super) fn control() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [MAGIC, 0, PAGES.len() as u32, DESCRIPTORS.len() as u32, 0, 0, 0, 0] {
        put(&mut bytes, word);
    }
    for page in PAGES {
        put(&mut bytes, page.address);
        put(&mut bytes, protection(page.permissions));
        put(&mut bytes, 0);
    }
    bytes.resize(DESCRIPTOR_TABLE, 0);
    for entry in DESCRIPTORS {
        put(&mut bytes, entry.local.into());
        for word in user_desc(entry) {
            put(&mut bytes, word);
        }
        put(&mut bytes, 0);
    }
    bytes.resize(CONTROL_SIZE, 0);
    bytes
}

/// The errno that mapping page `index` gave, from an answered control block.
pub(super) fn page_error(control: &[u8], index: usize) -> u32 {
    word(control, PAGE_TABLE + index * PAGE_ENTRY + 8)
}

/// The errno that installing descriptor `index` gave.
pub(super) fn descriptor_error(control: &[u8], index: usize) -> u32 {
    word(control, DESCRIPTOR_TABLE + index * DESCRIPTOR_ENTRY + 20)
}

/// PROT_READ, PROT_WRITE and PROT_EXEC have the bits of [`Permissions`].
fn protection(permissions: Permissions) -> u32 {
    permissions.bits().into()
}

/// `struct user_desc` (set_thread_area(2)).
fn user_desc(entry: &UserDescriptor) -> [u32; 4] {
    let Descriptor { base, limit, code, accessible, expand_down, big, present } = entry.descriptor;
    let contents = u32::from(code) << 1 | u32::from(expand_down);
    let limit = if entry.limit_in_pages { limit / PAGE_SIZE } else { limit };
    let flags = u32::from(big)
        | contents << 1
        | u32::from(!accessible) << 3
        | u32::from(entry.limit_in_pages) << 4
        | u32::from(!present) << 5;
    [entry.entry.into(), base, limit, flags]
}

/// Appends a case.
pub(super) fn encode(case: &Case, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    put(bytes, 0);
    put(bytes, 0);
    machine::encode(&case.state, bytes);
    let mut count = 0u32;
    for (address, piece) in case.memory().flat_map(|(address, bytes)| in_pages(address, bytes)) {
        let Some(offset) = layout::arena_offset(address) else { continue };
        put(bytes, offset);
        put(bytes, piece.len() as u32);
        bytes.extend(piece);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        count += 1;
    }
    let size = (bytes.len() - start) as u32;
    bytes[start..start + 4].copy_from_slice(&size.to_le_bytes());
    bytes[start + 4..start + 8].copy_from_slice(&count.to_le_bytes());
    debug_assert!(size as usize >= CASE_HEADER_SIZE);
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(word)
}

/// Takes the first result off `bytes`; `None` where they are no result.
pub(super) fn decode(bytes: &mut &[u8]) -> Option<Ending> {
    if bytes.len() < RESULT_HEADER_SIZE {
        return None;
    }
    let size = word(bytes, 0) as usize;
    let chunk_count = word(bytes, 4) as usize;
    if size != RESULT_HEADER_SIZE + chunk_count * CHUNK_SIZE || size > bytes.len() {
        return None;
    }
    let (result, rest) = bytes.split_at(size);
    *bytes = rest;
    let vector = word(result, 8);
    const PAGE_FAULT: u32 = 14;
    let chunks = result[RESULT_HEADER_SIZE..].chunks_exact(CHUNK_SIZE).map(|chunk| {
        let mut contents = [0; 16];
        contents.copy_from_slice(&chunk[4..]);
        Chunk { address: layout::arena_address(word(chunk, 0)), bytes: contents }
    });
    Some(Ending {
        vector,
        error_code: word(result, 12),
        // The kernel reports the last CR2 with every other exception too.
        address: if vector == PAGE_FAULT { word(result, 16) } else { 0 },
        state: machine::decode(&result[24..RESULT_HEADER_SIZE]),
        chunks: chunks.collect(),
    })
}
