//! The vDSO: a page of code that the kernel maps into every process, as a small ELF shared object
//! (vdso(7)), so that C libraries and unwinders find its functions by name.
//!
//! Built here, byte by byte: headers, dynamic section, symbols with their version, hash table, code.

use pentimento_memory::{PAGE_SIZE, Permissions};

use crate::errno::Errno;
use crate::space::Space;
use crate::space::{Area, AreaSource};

/// Offset of `__kernel_vsyscall` (AT_SYSINFO).
pub(crate) const VSYSCALL: u32 = 0x400;
/// Offset of `__kernel_sigreturn`.
pub(crate) const SIGRETURN: u32 = 0x410;
/// Offset of `__kernel_rt_sigreturn`.
pub(crate) const RT_SIGRETURN: u32 = 0x420;

/// `int 0x80; ret`.
const VSYSCALL_CODE: [u8; 3] = [0xcd, 0x80, 0xc3];
/// `pop eax; mov eax, 119; int 0x80`.
const SIGRETURN_CODE: [u8; 8] = [0x58, 0xb8, 119, 0, 0, 0, 0xcd, 0x80];
/// `mov eax, 173; int 0x80`.
const RT_SIGRETURN_CODE: [u8; 7] = [0xb8, 173, 0, 0, 0, 0xcd, 0x80];

/// Name, offset, size and version index of each function.
const FUNCTIONS: [(&str, u32, u32); 3] = [
    ("__kernel_vsyscall", VSYSCALL, VSYSCALL_CODE.len() as u32),
    ("__kernel_sigreturn", SIGRETURN, SIGRETURN_CODE.len() as u32),
    ("__kernel_rt_sigreturn", RT_SIGRETURN, RT_SIGRETURN_CODE.len() as u32),
];

/// The version that the symbols have.
const VERSION: &str = "LINUX_2.5";
/// The name of the object.
const NAME: &str = "linux-gate.so.1";

const HASH: u32 = 0x100;
const SYMBOLS: u32 = 0x140;
const STRINGS: u32 = 0x180;
const VERSIONS: u32 = 0x220;
const DEFINITIONS: u32 = 0x230;
const DYNAMIC: u32 = 0x280;
const END: u32 = 0x430;

/// Maps the page where there is room.
///
/// # Errors
/// ENOMEM if there is none.
pub(crate) fn map(space: &mut Space) -> Result<(), Errno> {
    let address = space.find_gap(PAGE_SIZE).ok_or(Errno::ENOMEM)?;
    let area = Area::private(Permissions::READ | Permissions::EXECUTE, AreaSource::Vdso);
    space.map(address, PAGE_SIZE, area)?;
    space.memory.poke_bytes(address, &image())?;
    space.vdso = address;
    Ok(())
}

/// The hash of a symbol's name (System V ABI, figure 5-13).
fn hash(name: &str) -> u32 {
    name.bytes().fold(0_u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    })
}

/// An image under construction.
struct Image {
    bytes: Vec<u8>,
    strings: Vec<u8>,
}

impl Image {
    fn put(&mut self, offset: u32, bytes: &[u8]) {
        let offset = offset as usize;
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn put_words(&mut self, offset: u32, words: &[u32]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(offset, &bytes);
    }

    /// The offset of `text` in the string table.
    fn string(&mut self, text: &str) -> u32 {
        let offset = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        offset
    }
}

/// The whole page.
fn image() -> Vec<u8> {
    let mut image = Image { bytes: vec![0; PAGE_SIZE as usize], strings: vec![0] };
    put_headers(&mut image);
    put_symbols(&mut image);
    let name = image.string(NAME);
    let version = image.string(VERSION);
    // Two definitions: the object itself (VER_FLG_BASE), and the version of its symbols.
    image.put_words(DEFINITIONS, &[0x0001_0001, 0x0001_0001, hash(NAME), 20, 28, name, 0]);
    image.put_words(DEFINITIONS + 28, &[0x0000_0001, 0x0001_0002, hash(VERSION), 20, 0, version, 0]);
    let length = image.strings.len() as u32;
    let dynamic = [
        [14, name],                 // DT_SONAME
        [4, HASH],                  // DT_HASH
        [5, STRINGS],               // DT_STRTAB
        [6, SYMBOLS],               // DT_SYMTAB
        [10, length],               // DT_STRSZ
        [11, 16],                   // DT_SYMENT
        [0x6fff_fffc, DEFINITIONS], // DT_VERDEF
        [0x6fff_fffd, 2],           // DT_VERDEFNUM
        [0x6fff_fff0, VERSIONS],    // DT_VERSYM
        [0, 0],                     // DT_NULL
    ];
    image.put_words(DYNAMIC, dynamic.as_flattened());
    let strings = core::mem::take(&mut image.strings);
    image.put(STRINGS, &strings);
    image.put(VSYSCALL, &VSYSCALL_CODE);
    image.put(SIGRETURN, &SIGRETURN_CODE);
    image.put(RT_SIGRETURN, &RT_SIGRETURN_CODE);
    image.bytes
}

/// The ELF header and two program headers: everything is loaded, and there is a dynamic section.
fn put_headers(image: &mut Image) {
    image.put(0, b"\x7fELF\x01\x01\x01");
    image.put_words(16, &[0x0003_0003, 1, VSYSCALL, 52, 0, 0, 0x0020_0034, 2, 0]);
    image.put_words(52, &[1, 0, 0, 0, END, END, 5, PAGE_SIZE]);
    let size = 10 * 8;
    image.put_words(84, &[2, DYNAMIC, DYNAMIC, DYNAMIC, size, size, 4, 4]);
}

/// Symbols, their versions, and a hash table of one bucket.
fn put_symbols(image: &mut Image) {
    for (index, (name, offset, size)) in FUNCTIONS.into_iter().enumerate() {
        let name = image.string(name);
        // STB_GLOBAL, STT_FUNC, in a section that is not SHN_UNDEF.
        image.put_words(SYMBOLS + 16 * (index as u32 + 1), &[name, offset, size, 0x0001_0012]);
    }
    image.put_words(HASH, &[1, 4, 1, 0, 2, 3, 0]);
    image.put_words(VERSIONS, &[0x0002_0000, 0x0002_0002]);
}

#[cfg(test)]
mod tests {
    use super::{FUNCTIONS, NAME, image};

    #[test]
    fn an_independent_reader_finds_the_functions() {
        let bytes = image();
        let elf = goblin::elf::Elf::parse(&bytes).unwrap();
        assert_eq!(elf.soname, Some(NAME));
        let found: Vec<_> = elf
            .dynsyms
            .iter()
            .skip(1)
            .map(|symbol| (elf.dynstrtab.get_at(symbol.st_name).unwrap(), symbol.st_value, symbol.st_size))
            .collect();
        let expected: Vec<_> =
            FUNCTIONS.iter().map(|(name, at, size)| (*name, u64::from(*at), u64::from(*size))).collect();
        assert_eq!(found, expected);
        let dynamic = elf.dynamic.unwrap();
        let entry = |tag| dynamic.dyns.iter().find(|entry| entry.d_tag == tag).unwrap().d_val as usize;
        let versions = entry(goblin::elf::dynamic::DT_VERSYM);
        assert_eq!(&bytes[versions..versions + 8], [0, 0, 2, 0, 2, 0, 2, 0]);
        assert_eq!(entry(goblin::elf::dynamic::DT_VERDEFNUM), 2);
    }
}
