//! Bytes to instructions: prefixes, opcode, ModRM, SIB, displacement, immediates (SDM volume 2, chapter 2).

use core::hint::select_unpredictable;

use crate::address::{AddressForm, FORMS_SIB, FORMS16, FORMS32};
use crate::instruction::{DecodeError, DecodeErrorKind, Instruction, Parts, Prefixes};
use crate::lookup::{self, OpcodeEntry};
use crate::operand_code::{Immediate, ImmediateWidth};
use crate::row::Map;

/// The longest instruction, in bytes (SDM volume 2, section 2.3.11).
const LONGEST: usize = 15;

/// Bytes that decoding may look at: an instruction and a displacement or immediate that would make it too long.
const WINDOW: usize = 20;

/// Decodes the instruction at the start of `bytes` as 32-bit code.
///
/// Fifteen bytes are always enough; a shorter slice will do where the instruction ends inside it.
///
/// # Errors
/// What is wrong with the bytes, and at which of them.
///
/// ```
/// use pentimento_decoder::{Operation, decode};
///
/// let instruction = decode(&[0x8b, 0x44, 0x24, 0x08])?;
/// assert_eq!(instruction.operation(), Operation::Mov);
/// assert_eq!(instruction.length(), 4);
/// # Ok::<(), pentimento_decoder::DecodeError>(())
/// ```
pub fn decode(bytes: &[u8]) -> Result<Instruction, DecodeError> {
    match bytes.first_chunk().and_then(decode_plain) {
        Some(instruction) => Ok(instruction),
        None => decode_any(bytes),
    }
}

/// Decodes what most instructions are: no prefixes, one- or two-byte opcode, at most one
/// immediate, and valid. Leaves the rest to [`decode_any`].
#[inline(always)]
fn decode_plain(window: &[u8; WINDOW]) -> Option<Instruction> {
    let mut opcode = window[0];
    let mut slot = lookup::entry(Map::OneByte, 0, opcode);
    let mut at = 1;
    if slot.is_special() {
        if opcode != 0x0f {
            return None;
        }
        opcode = window[1];
        slot = lookup::entry(Map::TwoByte, 0, opcode);
        at = 2;
    }
    let entry = lookup::select(slot, window[at]);
    if !entry.is_plain() {
        return None;
    }
    let body = Body::read(window, at, slot, entry, Prefixes::empty());
    Some(body.instruction(entry, opcode, Prefixes::empty()))
}

/// Decodes anything.
#[inline(never)]
fn decode_any(bytes: &[u8]) -> Result<Instruction, DecodeError> {
    // Zeros stand in for bytes that are missing, and whoever uses one of them finds the
    // instruction truncated.
    let mut window = [0; WINDOW];
    let present = bytes.len().min(WINDOW);
    window[..present].copy_from_slice(&bytes[..present]);
    let available = bytes.len().min(LONGEST);
    let opcode = Opcode::read(&window, available)?;
    let (entry, prefixes) = (opcode.entry, opcode.prefixes.difference(opcode.entry.consumed()));
    let mut body = Body::read(&window, opcode.end, entry, entry, prefixes);
    if entry.is_unusual() {
        body.read_unusual(&window, lookup::shape(entry.row()).immediate, prefixes);
    }
    if body.end > available {
        return Err(overrun(body.end, bytes.len()));
    }
    if prefixes.contains(Prefixes::LOCK) && !(entry.allows_lock() && body.modrm < 0xc0) {
        let offset = window.iter().position(|byte| *byte == 0xf0).unwrap_or_default();
        return Err(DecodeError { offset: offset as u8, kind: DecodeErrorKind::LockNotAllowed });
    }
    if prefixes.contains(Prefixes::SEGMENT) {
        body.address = body.address.with_segment(opcode.segment);
    }
    Ok(body.instruction(entry, opcode.byte, prefixes))
}

/// Prefixes and opcode.
struct Opcode {
    prefixes: Prefixes,
    /// The number of the segment that an override names.
    segment: u8,
    map: Map,
    /// The last opcode byte.
    byte: u8,
    /// The offset of what follows it.
    end: usize,
    /// What it leads to.
    entry: OpcodeEntry,
}

impl Opcode {
    /// Reads up to the opcode from `window`, of which `available` bytes are there, and finds its row.
    #[inline(always)]
    fn read(window: &[u8; WINDOW], available: usize) -> Result<Self, DecodeError> {
        let (mut prefixes, mut segment, mut map) = (Prefixes::empty(), 0, Map::OneByte);
        for end in 1..=LONGEST {
            let byte = window[end - 1];
            let entry = lookup::entry(map, class(prefixes), byte);
            if entry.is_prefix() {
                prefixes = entry.prefixed(prefixes);
                segment = entry.overriding().unwrap_or(segment);
            } else if let Some(next) = entry.escape() {
                map = next;
            } else {
                let entry = lookup::select(entry, window[end]);
                let opcode = Self { prefixes, segment, map, byte, end, entry };
                return if entry.is_special() {
                    Err(opcode.undefined(window[end], available))
                } else {
                    Ok(opcode)
                };
            }
        }
        Err(overrun(LONGEST + 1, available))
    }

    /// The error for an opcode that no row claims: VEX, EVEX and XOP escapes apart from the rest.
    #[cold]
    fn undefined(&self, modrm: u8, available: usize) -> DecodeError {
        let slot = lookup::entry(self.map, class(self.prefixes), self.byte);
        let decisive = if slot.is_group() { self.end + 1 } else { self.end };
        if decisive > available.min(LONGEST) {
            return overrun(decisive, available);
        }
        let kind = match (self.map, self.byte) {
            (Map::OneByte, 0xc4 | 0xc5) => DecodeErrorKind::Vex,
            (Map::OneByte, 0x62) => DecodeErrorKind::Evex,
            // XOP escapes are told from POP by a map number of 8 or more.
            (Map::OneByte, 0x8f) if modrm & 0x1f >= 8 => DecodeErrorKind::Xop,
            _ => DecodeErrorKind::Undefined,
        };
        DecodeError { offset: self.end as u8 - 1, kind }
    }
}

/// What follows the opcode.
struct Body {
    modrm: u8,
    address: AddressForm,
    displacement: u32,
    immediate: u32,
    second_immediate: u16,
    /// The offset of what follows the instruction.
    end: usize,
}

impl Body {
    /// Reads ModRM, SIB, displacement and one immediate at offset `at`, as far as `entry` has them.
    ///
    /// There are no branches where what they would depend on is hard to predict, and `slot`, which
    /// is `entry` or its group, tells early whether there is a ModRM byte.
    #[inline(always)]
    fn read(
        window: &[u8; WINDOW],
        mut at: usize,
        slot: OpcodeEntry,
        entry: OpcodeEntry,
        prefixes: Prefixes,
    ) -> Self {
        let modrm = byte(window, at) & slot.modrm_mask();
        at += slot.modrm_length();
        let forms = if prefixes.contains(Prefixes::ADDRESS_SIZE) { &FORMS16 } else { &FORMS32 };
        let form = forms[(modrm | slot.no_memory()) as usize];
        let with_sib = FORMS_SIB[(modrm >> 6) as usize][byte(window, at) as usize];
        at += usize::from(form.has_sib());
        let address = select_unpredictable(form.has_sib(), with_sib, form);
        let displacement = address.displacement().extract(dword(window, at));
        at += address.displacement_length();
        let word = prefixes.bits() & Prefixes::OPERAND_SIZE.bits();
        let width = ImmediateWidth::ALL[entry.immediate() | word as usize];
        let immediate = width.extract(dword(window, at));
        let end = at + width.length as usize;
        Self { modrm, address, displacement, immediate, second_immediate: 0, end }
    }

    /// Reads pairs of immediates, far pointers and the offsets of MOV.
    fn read_unusual(&mut self, window: &[u8; WINDOW], kind: Immediate, prefixes: Prefixes) {
        let word = prefixes.contains(Prefixes::OPERAND_SIZE);
        let (first, second) = match kind {
            Immediate::WordByte => (2, 1),
            Immediate::ByteByte => (1, 1),
            Immediate::Far => (if word { 2 } else { 4 }, 2),
            _ => {
                let word = prefixes.contains(Prefixes::ADDRESS_SIZE);
                let raw = dword(window, self.end);
                self.displacement = if word { raw as i16 as u32 } else { raw };
                self.end += if word { 2 } else { 4 };
                return;
            }
        };
        self.immediate = dword(window, self.end) & u32::MAX >> (32 - 8 * first);
        self.second_immediate = (dword(window, self.end + first) & 0xffff >> (16 - 8 * second)) as u16;
        self.end += first + second;
    }

    /// The instruction that the parts read so far make.
    #[inline(always)]
    fn instruction(self, entry: OpcodeEntry, opcode: u8, prefixes: Prefixes) -> Instruction {
        Instruction::new(Parts {
            displacement: self.displacement,
            immediate: self.immediate,
            address: self.address.finished(),
            row: entry.row(),
            second_immediate: self.second_immediate,
            length: self.end as u8,
            prefixes,
            opcode,
            modrm: self.modrm,
        })
    }
}

/// Why bytes up to `end` cannot be had.
#[cold]
fn overrun(end: usize, available: usize) -> DecodeError {
    if end > LONGEST && available >= LONGEST {
        DecodeError { offset: LONGEST as u8, kind: DecodeErrorKind::TooLong }
    } else {
        DecodeError { offset: available as u8, kind: DecodeErrorKind::Truncated }
    }
}

/// The combination of 66h, F3h and F2h that selects rows.
#[inline(always)]
const fn class(prefixes: Prefixes) -> usize {
    let bits = prefixes.bits();
    ((bits & (Prefixes::REP.bits() | Prefixes::REPNE.bits())) | (bits >> 3 & 1)) as usize
}

/// The byte at offset `at`.
///
/// Beyond offset 15 this and [`dword`] read something else, but then the instruction is too long
/// and what was read is thrown away; the masks keep every access inside the window.
#[inline(always)]
const fn byte(window: &[u8; WINDOW], at: usize) -> u8 {
    window[at & 15]
}

/// The four bytes at offset `at`.
#[inline(always)]
const fn dword(window: &[u8; WINDOW], at: usize) -> u32 {
    let at = at & 15;
    u32::from_le_bytes([window[at], window[at + 1], window[at + 2], window[at + 3]])
}
