//! A program's first stack: arguments, environment and auxiliary vector (System V ABI, Intel386
//! supplement, figure 3-31; getauxval(3)).

use crate::random::Random;
use crate::space::Space;

use super::elf::LoadError;

/// What execve(2) passes.
#[derive(Clone, Default, Debug)]
pub(crate) struct Arguments {
    /// argv, without terminating zeros.
    pub(crate) argv: Vec<Vec<u8>>,
    /// envp, without terminating zeros.
    pub(crate) envp: Vec<Vec<u8>>,
}

/// The most bytes that one string may have (MAX_ARG_STRLEN).
pub(crate) const MAX_STRING: u32 = 128 << 10;

impl Arguments {
    /// Bytes that the strings and the pointers to them take.
    fn size(&self) -> u64 {
        self.argv.iter().chain(&self.envp).map(|text| text.len() as u64 + 1 + 4).sum()
    }
}

/// Entries of the auxiliary vector: (type, value) without AT_NULL and without those whose values are on the stack.
pub(crate) type Auxiliary = Vec<(u32, u32)>;

const AT_PLATFORM: u32 = 15;
const AT_RANDOM: u32 = 25;
const AT_EXECFN: u32 = 31;

/// Fills the stack below `top` and gives the first stack pointer.
pub(crate) fn build(
    space: &mut Space,
    top: u32,
    path: &[u8],
    arguments: &Arguments,
    auxiliary: &Auxiliary,
    random: &mut Random,
) -> Result<u32, LoadError> {
    // A quarter of the stack limit, at least 128 KiB, and at most three quarters of 8 MiB (execve(2)).
    let room = u64::from(space.stack_limit / 4).clamp(u64::from(MAX_STRING), 6 << 20);
    if arguments.size() > room {
        return Err(LoadError::Arguments);
    }
    let mut bytes = StringArea { low: top - 4, pieces: Vec::new() };
    let file_name = bytes.string(path);
    let end = bytes.low;
    let envp: Vec<u32> = arguments.envp.iter().rev().map(|text| bytes.string(text)).collect();
    space.environment = (bytes.low, end);
    let end = bytes.low;
    let argv: Vec<u32> = arguments.argv.iter().rev().map(|text| bytes.string(text)).collect();
    space.arguments = (bytes.low, end);
    bytes.low = bytes.low.wrapping_sub(random.below(0x800) as u32) & !15;
    let platform = bytes.string(b"i686");
    let mut seed = [0; 16];
    random.fill(&mut seed);
    let seed = bytes.push(&seed);

    let mut words = vec![arguments.argv.len() as u32];
    words.extend(argv.iter().rev());
    words.push(0);
    words.extend(envp.iter().rev());
    words.push(0);
    let pointers = [(AT_RANDOM, seed), (AT_EXECFN, file_name), (AT_PLATFORM, platform), (0, 0)];
    let vector = words.len();
    for (kind, value) in auxiliary.iter().chain(&pointers) {
        words.extend([*kind, *value]);
    }
    space.auxiliary = words[vector..].iter().flat_map(|word| word.to_le_bytes()).collect();
    let pointer = (bytes.low - 4 * words.len() as u32) & !15;
    let table: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.pieces.push((pointer, table));
    for (address, piece) in &bytes.pieces {
        crate::user_memory::UserMemory::new(space)
            .copy_out(*address, piece)
            .map_err(|_| LoadError::Arguments)?;
    }
    Ok(pointer)
}

/// Strings from the top of the stack downwards.
struct StringArea {
    low: u32,
    pieces: Vec<(u32, Vec<u8>)>,
}

impl StringArea {
    fn push(&mut self, bytes: &[u8]) -> u32 {
        self.low = self.low.wrapping_sub(bytes.len() as u32);
        self.pieces.push((self.low, bytes.to_vec()));
        self.low
    }

    fn string(&mut self, text: &[u8]) -> u32 {
        let mut bytes = text.to_vec();
        bytes.push(0);
        self.push(&bytes)
    }
}
