//! Bytes for a row: prefixes, opcode, ModRM, SIB, displacement, and immediates that may be anything.

use pentimento_decoder::{Form, MandatoryPrefix, Map, Row};

use super::random::Random;
use super::values::integer;

/// An encoding, possibly with bytes too many at its end, and where its displacement lies.
#[derive(Clone, Debug)]
pub(super) struct Encoding {
    pub(super) bytes: Vec<u8>,
    /// Offset and length of the displacement; length 0 if there is none.
    pub(super) displacement: (usize, usize),
}

const OPERAND_SIZE: u8 = 0x66;
const ADDRESS_SIZE: u8 = 0x67;
const LOCK: u8 = 0xf0;
const REPNE: u8 = 0xf2;
const REP: u8 = 0xf3;
const SEGMENTS: [u8; 6] = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

/// The longest instruction.
const LONGEST: usize = 15;

/// Encodes `row` with everything that it leaves open chosen at random.
pub(super) fn encode(row: &Row, random: &mut Random, is_string: bool) -> Encoding {
    let mut bytes = prefixes(row, random, is_string);
    let short_addresses = bytes.contains(&ADDRESS_SIZE);
    bytes.extend(row.map().escape());
    bytes.push(row.opcode() + random.below(row.opcode_count().into()) as u8);
    let mut displacement = (0, 0);
    if let Some(modrm) = modrm(row.form(), random) {
        bytes.push(modrm);
        let length = if short_addresses {
            displacement16(modrm)
        } else {
            sib_and_displacement32(modrm, random, &mut bytes)
        };
        displacement = (bytes.len(), length);
        let value = integer(random, 32) as u32;
        bytes.extend(&value.to_le_bytes()[..length]);
    }
    immediates(random, &mut bytes);
    bytes.truncate(LONGEST);
    Encoding { bytes, displacement }
}

/// Fifteen bytes with any opcode of any map.
pub(super) fn unknown(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for prefix in [OPERAND_SIZE, REP, REPNE, ADDRESS_SIZE] {
        if random.percent(20) {
            bytes.push(prefix);
        }
    }
    bytes.extend(random.pick(&Map::ALL).escape());
    bytes.resize_with(LONGEST, || random.next_u32() as u8);
    bytes
}

fn prefixes(row: &Row, random: &mut Random, is_string: bool) -> Vec<u8> {
    let (mandatory, size_percent, repeat_allowed) = match row.prefix() {
        MandatoryPrefix::Any => (None, 25, true),
        MandatoryPrefix::NoRepeat => (None, 25, false),
        MandatoryPrefix::Np => (None, 0, false),
        MandatoryPrefix::OperandSize => (Some(OPERAND_SIZE), 0, true),
        MandatoryPrefix::P66 => (Some(OPERAND_SIZE), 0, false),
        MandatoryPrefix::F3 => (Some(REP), 20, false),
        MandatoryPrefix::F2 => (Some(REPNE), 20, false),
    };
    let mut prefixes: Vec<u8> = mandatory.into_iter().collect();
    let lock = if row.lock_allowed() { 15 } else { 1 };
    let repeat = match (repeat_allowed, is_string) {
        (false, _) => 0,
        (true, false) => 2,
        (true, true) => 30,
    };
    for (prefix, percent) in [
        (OPERAND_SIZE, size_percent),
        (ADDRESS_SIZE, 12),
        (random.pick(&SEGMENTS), 15),
        (LOCK, lock),
        (REP, repeat),
        (REPNE, repeat),
        (random.pick(&SEGMENTS), 1),
    ] {
        if random.percent(percent) {
            let at = random.below(prefixes.len() as u32 + 1) as usize;
            prefixes.insert(at, prefix);
        }
    }
    prefixes
}

fn modrm(form: Form, random: &mut Random) -> Option<u8> {
    let (mode, digits) = match form {
        Form::NoModRm => return None,
        Form::Exact(modrm) => return Some(modrm),
        // Register forms are a quarter of all encodings, and as interesting as the rest.
        Form::Any(digits) => (random.pick(&[0, 1, 2, 3, 3]), digits),
        Form::Register(digits) => (3, digits),
        Form::Memory(digits) => (random.below(3), digits),
        Form::ModIgnored(digits) => (random.below(4), digits),
    };
    let wanted = random.below(digits.count_ones());
    let reg = (0..8u32).filter(|digit| digits >> digit & 1 == 1).nth(wanted as usize).unwrap_or(0);
    Some((mode << 6 | reg << 3 | random.below(8)) as u8)
}

/// The length of the displacement that a ModRM byte asks for with 16-bit addresses.
fn displacement16(modrm: u8) -> usize {
    match (modrm >> 6, modrm & 7) {
        (0, 6) | (2, _) => 2,
        (1, _) => 1,
        _ => 0,
    }
}

/// Appends the SIB byte, if any, and gives the length of the displacement.
fn sib_and_displacement32(modrm: u8, random: &mut Random, bytes: &mut Vec<u8>) -> usize {
    let (mode, rm) = (modrm >> 6, modrm & 7);
    let mut base = rm;
    if mode != 3 && rm == 4 {
        let sib = random.next_u32() as u8;
        bytes.push(sib);
        base = sib & 7;
    }
    match (mode, base) {
        (0, 5) | (2, _) => 4,
        (1, _) => 1,
        _ => 0,
    }
}

/// Appends bytes that serve as immediates of any width.
fn immediates(random: &mut Random, bytes: &mut Vec<u8>) {
    let first = random.pick(&[8, 16, 32]);
    for width in [first, 8, 32] {
        let value = integer(random, width);
        bytes.extend(&value.to_le_bytes()[..width as usize / 8]);
    }
}
