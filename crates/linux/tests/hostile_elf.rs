//! Programs that are none: each gets one clear error, no panic, and no memory for what it only claims.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use pentimento_linux::{Config, Error, Kernel, LoadError};
use proptest::prelude::*;

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
/// Where the program headers start.
const HEADERS: usize = 52;

/// An ELF file with these program headers (type, offset, address, file size, memory size) and no code.
fn elf(headers: &[[u32; 5]]) -> Vec<u8> {
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([2_u16, 3].iter().flat_map(|half| half.to_le_bytes()));
    file.extend([1_u32, 0x0804_8054, HEADERS as u32, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend([52_u16, 32, headers.len() as u16, 0, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    for [kind, offset, address, file_size, memory_size] in headers {
        let header = [*kind, *offset, *address, *address, *file_size, *memory_size, 7, 4096];
        file.extend(header.iter().flat_map(|word| word.to_le_bytes()));
    }
    file.resize(file.len().max(0x200), 0x90);
    file
}

fn load(file: &[u8]) -> Result<(), LoadError> {
    let mut kernel = Kernel::new(Config::default());
    match kernel.spawn_image(b"/program", file, &[b"program"], &[]) {
        Ok(_) => Ok(()),
        Err(Error::Load { source, .. }) => Err(source),
        Err(other) => panic!("{other}"),
    }
}

fn with_byte(offset: usize, value: u8) -> Vec<u8> {
    let mut file = elf(&[GOOD]);
    file[offset] = value;
    file
}

const GOOD: [u32; 5] = [PT_LOAD, 0, 0x0804_8000, 0x100, 0x2000];

#[test]
fn a_plain_program_loads() {
    assert_eq!(load(&elf(&[GOOD])).map_err(|error| error.to_string()), Ok(()));
}

#[test]
fn each_kind_of_nonsense_has_its_message() {
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("empty", vec![], "not an ELF file"),
        ("no magic", vec![0; 200], "not an ELF file"),
        ("cut in the header", elf(&[GOOD])[..40].to_vec(), "not an ELF file"),
        ("64-bit class", with_byte(4, 2), "only those for 32-bit x86"),
        ("big-endian", with_byte(5, 2), "only those for 32-bit x86"),
        ("another machine", with_byte(18, 62), "x32 ABI"),
        ("an object file", with_byte(16, 1), "type 1"),
        ("no program headers", elf(&[]), "program headers"),
        ("program headers outside", with_byte(31, 0x7f), "program headers lie outside"),
        ("no segment", elf(&[[PT_INTERP + 1, 0, 0, 0, 0]]), "no loadable segment"),
        (
            "segment outside the file",
            elf(&[[PT_LOAD, 0x1000, 0x0804_8000, 0x1000, 0x1000]]),
            "outside the file",
        ),
        (
            "offset that overflows",
            elf(&[[PT_LOAD, 0xffff_f000, 0x0804_8000, 0xffff_ffff, 0xffff_ffff]]),
            "malformed",
        ),
        (
            "more in the file than in memory",
            elf(&[[PT_LOAD, 0, 0x0804_8000, 0x100, 0x80]]),
            "larger in the file",
        ),
        ("kernel addresses", elf(&[[PT_LOAD, 0, 0xffff_f000, 0x10, 0x10]]), "outside user memory"),
        ("wraps at 4 GiB", elf(&[[PT_LOAD, 0, 0x0804_8000, 0x100, 0xffff_ffff]]), "outside user memory"),
        (
            "offset and address apart",
            elf(&[[PT_LOAD, 8, 0x0804_8000, 0x10, 0x10]]),
            "differ within their pages",
        ),
        ("over the stack", elf(&[[PT_LOAD, 0, 0x1000_0000, 0x10, 0xefff_d000]]), "do not fit"),
        (
            "interpreter's path outside",
            elf(&[GOOD, [PT_INTERP, 0xffff_0000, 0, 20, 20]]),
            "interpreter's path",
        ),
        ("interpreter's path without end", elf(&[GOOD, [PT_INTERP, 0x1f0, 0, 8, 8]]), "does not end"),
    ];
    for (name, file, message) in cases {
        match load(file) {
            Err(error) => assert!(error.to_string().contains(message), "{name}: {error}"),
            Ok(()) => panic!("{name}: it loads"),
        }
    }
}

#[test]
fn overlapping_segments_load_as_mmap_would_and_nothing_else_breaks() {
    let overlapping = [PT_LOAD, 0, 0x0804_8000, 0x40, 0x1800];
    let _ = load(&elf(&[GOOD, overlapping]));
    let _ = load(&elf(&[overlapping, GOOD, overlapping, GOOD]));
}

/// Found by the fuzzer: the heap's random distance from a program that ends near the top.
#[test]
fn a_program_at_the_top_of_user_memory_has_no_heap() {
    let _ = load(&elf(&[[PT_LOAD, 0, 0xfffc_d000, 0x10, 0x10]]));
    let _ = load(&elf(&[[PT_LOAD, 0, 0xffff_d000, 0x10, 0x1000]]));
}

#[test]
fn claimed_sizes_cost_nothing() {
    // Two gigabytes of zeros that nobody touches.
    assert_eq!(
        load(&elf(&[[PT_LOAD, 0, 0x0804_8000, 0x100, 0x8000_0000]])).map_err(|e| e.to_string()),
        Ok(())
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn mutations_never_panic(changes in prop::collection::vec((0usize..0x120, any::<u8>()), 1..6), cut in 0usize..0x300) {
        let mut file = elf(&[GOOD, [PT_INTERP, 0x100, 0, 12, 12], GOOD]);
        for (at, value) in changes {
            file[at] = value;
        }
        file.truncate(cut);
        let _ = load(&file);
    }

    #[test]
    fn any_headers_never_panic(headers in prop::collection::vec(any::<[u32; 5]>(), 1..5), kinds in any::<[bool; 5]>()) {
        let headers: Vec<[u32; 5]> = headers
            .into_iter()
            .zip(kinds)
            .map(|([_, offset, address, file_size, memory_size], load)| {
                // Small offsets and sizes, so that many get past the first checks.
                let kind = if load { PT_LOAD } else { PT_INTERP };
                [kind, offset & 0xff | address & 0xfff, address, file_size & 0xff, memory_size >> (offset % 32)]
            })
            .collect();
        let _ = load(&elf(&headers));
    }
}
