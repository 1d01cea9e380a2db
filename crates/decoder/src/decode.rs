//! Bytes to instructions: prefixes, opcode, ModRM, SIB, displacement, immediates (SDM volume 2, chapter 2).

use pentimento_registers::SegmentRegister;

use crate::instruction::{DecodeError, DecodeErrorKind, Instruction, NO_REGISTER, Prefixes};
use crate::lookup::{self, SHAPES, Shape, UNDEFINED};
use crate::operand_code::Immediate;
use crate::row::Map;

/// The longest instruction, in bytes (SDM volume 2, section 2.3.11).
const LONGEST: usize = 15;

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
    let mut cursor = Cursor { bytes, position: 0 };
    let mut prefixes = PrefixState { prefixes: Prefixes::empty(), segment: SegmentRegister::Ds };
    let opcode = loop {
        let byte = cursor.byte()?;
        if !prefixes.take(byte) {
            break byte;
        }
    };
    let class = prefixes.class();
    let (map, opcode) = match opcode {
        0x0f => match cursor.byte()? {
            0x38 => (Map::ThreeByte38, cursor.byte()?),
            0x3a => (Map::ThreeByte3a, cursor.byte()?),
            second => (Map::TwoByte, second),
        },
        first => (Map::OneByte, first),
    };
    let opcode_offset = cursor.position - 1;
    let slot = lookup::slot(map, class, opcode);
    let mut index = slot;
    let mut modrm = 0;
    if slot & lookup::GROUP != 0 {
        modrm = cursor.peek()?;
        index = lookup::resolve(slot, modrm);
    }
    if index == UNDEFINED {
        return Err(undefined(map, opcode, modrm, opcode_offset));
    }
    let shape = SHAPES[index as usize];
    let mut instruction = Instruction::new(index, lookup::row(index).operation, opcode);
    instruction.prefixes = Prefixes::from_bits_retain(prefixes.prefixes.bits() & !shape.consumed);
    instruction.segment = SegmentRegister::Ds;
    if shape.modrm {
        instruction.modrm = cursor.byte()?;
        if instruction.modrm < 0xc0 && !shape.mod_ignored {
            address(&mut cursor, &mut instruction)?;
        }
    }
    immediate(&mut cursor, &mut instruction, shape)?;
    if instruction.prefixes.contains(Prefixes::SEGMENT) {
        instruction.segment = prefixes.segment;
    }
    if instruction.prefixes.contains(Prefixes::LOCK) && !(shape.lock && instruction.modrm < 0xc0) {
        return Err(DecodeError { offset: opcode_offset as u8, kind: DecodeErrorKind::LockNotAllowed });
    }
    instruction.length = cursor.position as u8;
    Ok(instruction)
}

/// The error for an opcode that no row claims: VEX, EVEX and XOP escapes apart from the rest.
fn undefined(map: Map, opcode: u8, modrm: u8, offset: usize) -> DecodeError {
    let kind = match (map, opcode) {
        (Map::OneByte, 0xc4 | 0xc5) => DecodeErrorKind::Vex,
        (Map::OneByte, 0x62) => DecodeErrorKind::Evex,
        // XOP escapes are told from POP by a map number of 8 or more.
        (Map::OneByte, 0x8f) if modrm & 0x1f >= 8 => DecodeErrorKind::Xop,
        _ => DecodeErrorKind::Undefined,
    };
    DecodeError { offset: offset as u8, kind }
}

/// The prefixes seen so far.
struct PrefixState {
    prefixes: Prefixes,
    segment: SegmentRegister,
}

impl PrefixState {
    /// Takes `byte` if it is a prefix. The last segment override and the last of F2h and F3h win.
    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        let segment = match byte {
            0x26 => SegmentRegister::Es,
            0x2e => SegmentRegister::Cs,
            0x36 => SegmentRegister::Ss,
            0x3e => SegmentRegister::Ds,
            0x64 => SegmentRegister::Fs,
            0x65 => SegmentRegister::Gs,
            0x66 => return self.set(Prefixes::OPERAND_SIZE),
            0x67 => return self.set(Prefixes::ADDRESS_SIZE),
            0xf0 => return self.set(Prefixes::LOCK),
            0xf2 => {
                self.prefixes.remove(Prefixes::REP);
                return self.set(Prefixes::REPNE);
            }
            0xf3 => {
                self.prefixes.remove(Prefixes::REPNE);
                return self.set(Prefixes::REP);
            }
            _ => return false,
        };
        self.segment = segment;
        self.set(Prefixes::SEGMENT)
    }

    #[inline(always)]
    fn set(&mut self, prefix: Prefixes) -> bool {
        self.prefixes = self.prefixes.union(prefix);
        true
    }

    /// The combination of 66h, F3h and F2h that selects rows.
    #[inline(always)]
    fn class(&self) -> usize {
        let bits = self.prefixes.bits() as usize;
        (bits & (Prefixes::REP.bits() | Prefixes::REPNE.bits()) as usize) | (bits >> 3 & 1)
    }
}

/// The bytes, and how many of them are used up.
struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Cursor<'_> {
    /// The next `N` bytes.
    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let end = self.position + N;
        match self.bytes.get(self.position..end).and_then(|bytes| <[u8; N]>::try_from(bytes).ok()) {
            Some(bytes) if end <= LONGEST => {
                self.position = end;
                Ok(bytes)
            }
            _ => Err(self.overrun(end)),
        }
    }

    #[inline(always)]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.take::<1>().map(|[byte]| byte)
    }

    /// The next byte, to be taken later.
    #[inline(always)]
    fn peek(&mut self) -> Result<u8, DecodeError> {
        let byte = self.byte()?;
        self.position -= 1;
        Ok(byte)
    }

    /// Why the bytes up to `end` cannot be had.
    #[cold]
    fn overrun(&self, end: usize) -> DecodeError {
        if end > LONGEST && self.bytes.len() >= LONGEST {
            DecodeError { offset: LONGEST as u8, kind: DecodeErrorKind::TooLong }
        } else {
            DecodeError { offset: self.bytes.len() as u8, kind: DecodeErrorKind::Truncated }
        }
    }

    #[inline(always)]
    fn word(&mut self) -> Result<u16, DecodeError> {
        self.take().map(u16::from_le_bytes)
    }

    #[inline(always)]
    fn dword(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_le_bytes)
    }

    #[inline(always)]
    fn signed_byte(&mut self) -> Result<u32, DecodeError> {
        self.byte().map(|byte| byte as i8 as u32)
    }
}

/// Reads SIB and displacement (SDM volume 2, tables 2-1 to 2-3).
#[inline(always)]
fn address(cursor: &mut Cursor<'_>, instruction: &mut Instruction) -> Result<(), DecodeError> {
    if instruction.prefixes.contains(Prefixes::ADDRESS_SIZE) {
        return address16(cursor, instruction);
    }
    let (mode, mut base) = (instruction.modrm >> 6, instruction.modrm & 7);
    if base == 4 {
        let sib = cursor.byte()?;
        base = sib & 7;
        let index = sib >> 3 & 7;
        if index != 4 {
            instruction.index = index;
            instruction.scale = sib >> 6;
        }
    }
    if mode == 0 && base == 5 {
        instruction.displacement = cursor.dword()?;
        return Ok(());
    }
    instruction.base = base;
    if base == 4 || base == 5 {
        instruction.segment = SegmentRegister::Ss;
    }
    match mode {
        1 => instruction.displacement = cursor.signed_byte()?,
        2 => instruction.displacement = cursor.dword()?,
        _ => {}
    }
    Ok(())
}

/// Base and index of the 16-bit addressing forms by rm.
const FORMS16: [(u8, u8); 8] = {
    const NO: u8 = NO_REGISTER;
    const BX: u8 = 3;
    const BP: u8 = 5;
    const SI: u8 = 6;
    const DI: u8 = 7;
    [(BX, SI), (BX, DI), (BP, SI), (BP, DI), (SI, NO), (DI, NO), (BP, NO), (BX, NO)]
};

/// Reads the displacement of a 16-bit addressing form.
#[inline(never)]
fn address16(cursor: &mut Cursor<'_>, instruction: &mut Instruction) -> Result<(), DecodeError> {
    let (mode, rm) = (instruction.modrm >> 6, instruction.modrm & 7);
    if mode == 0 && rm == 6 {
        instruction.displacement = cursor.word()? as i16 as u32;
        return Ok(());
    }
    (instruction.base, instruction.index) = FORMS16[rm as usize];
    if instruction.base == 5 {
        instruction.segment = SegmentRegister::Ss;
    }
    match mode {
        1 => instruction.displacement = cursor.signed_byte()?,
        2 => instruction.displacement = cursor.word()? as i16 as u32,
        _ => {}
    }
    Ok(())
}

/// Reads what follows ModRM and displacement.
#[inline(always)]
fn immediate(
    cursor: &mut Cursor<'_>,
    instruction: &mut Instruction,
    shape: Shape,
) -> Result<(), DecodeError> {
    let word = instruction.prefixes.contains(Prefixes::OPERAND_SIZE);
    match shape.immediate {
        Immediate::None => {}
        Immediate::Byte => instruction.immediate = cursor.byte()? as u32,
        Immediate::SignedByte => instruction.immediate = cursor.signed_byte()?,
        Immediate::Word => instruction.immediate = cursor.word()? as u32,
        Immediate::Sized if word => instruction.immediate = cursor.word()? as u32,
        Immediate::SignedSized if word => instruction.immediate = cursor.word()? as i16 as u32,
        Immediate::Sized | Immediate::SignedSized => instruction.immediate = cursor.dword()?,
        Immediate::WordByte => {
            instruction.immediate = cursor.word()? as u32;
            instruction.second_immediate = cursor.byte()? as u16;
        }
        Immediate::ByteByte => {
            instruction.immediate = cursor.byte()? as u32;
            instruction.second_immediate = cursor.byte()? as u16;
        }
        Immediate::Far => {
            instruction.immediate = if word { cursor.word()? as u32 } else { cursor.dword()? };
            instruction.second_immediate = cursor.word()?;
        }
        Immediate::Moffs if instruction.prefixes.contains(Prefixes::ADDRESS_SIZE) => {
            instruction.displacement = cursor.word()? as i16 as u32;
        }
        Immediate::Moffs => instruction.displacement = cursor.dword()?,
    }
    Ok(())
}
