//! Machine code of the host, instruction by instruction: bytes behind names.
//!
//! An address of the guest's is 32 bits wide and counts from the start of its memory, which is in R10 and
//! is the GS base, too. With the prefixes 65h and 67h any operand wraps where the guest's does. One
//! register and a small displacement are added to R10 instead: what would wrap lands on the guards around
//! the guest's memory, and CPUs load from there a cycle sooner.

use pentimento_decoder::Map;

/// A register of the host by its number, 0 to 15.
pub(crate) type Reg = u8;

pub(crate) const RAX: Reg = 0;
pub(crate) const RCX: Reg = 1;
pub(crate) const RSP: Reg = 4;
pub(crate) const RSI: Reg = 6;
pub(crate) const RDI: Reg = 7;
pub(crate) const R8: Reg = 8;
pub(crate) const R9: Reg = 9;
/// Holds the host's address of guest address zero.
pub(crate) const BASE: Reg = 10;

/// `[base + index * scale + displacement]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mem {
    pub(crate) base: Option<Reg>,
    /// Never RSP. The scale is 1, 2, 4 or 8.
    pub(crate) index: Option<(Reg, u8)>,
    pub(crate) displacement: i32,
    /// An address of the guest's; else one of the host's, 64 bits wide.
    pub(crate) guest: bool,
}

impl Mem {
    /// An address of the host's.
    pub(crate) const fn host(base: Reg, displacement: i32) -> Self {
        Self { base: Some(base), index: None, displacement, guest: false }
    }

    /// What a register of the guest's and a displacement of at most [`Self::REACH`] address.
    pub(crate) const fn guest(register: Reg, displacement: i32) -> Self {
        Self { base: Some(BASE), index: Some((register, 1)), displacement, guest: false }
    }

    /// The displacement up to which the guards reach, either way, and every operand behind it.
    pub(crate) const REACH: u32 = 32 * 1024;

    /// The same without the prefixes, if there is such a form.
    pub(crate) fn short(self) -> Self {
        let near = self.displacement.unsigned_abs() <= Self::REACH;
        match (self.base, self.index) {
            (Some(register), None) | (None, Some((register, 1))) if near => {
                Self::guest(register, self.displacement)
            }
            (None, None) if self.displacement >= 0 => Self::host(BASE, self.displacement),
            _ => self,
        }
    }
}

/// What the rm field names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rm {
    Reg(Reg),
    Mem(Mem),
}

/// An opcode with what comes before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opcode {
    /// 66h, F2h or F3h; 0 for none.
    pub(crate) prefix: u8,
    pub(crate) map: Map,
    pub(crate) byte: u8,
    /// 64-bit operands.
    pub(crate) wide: bool,
}

impl Opcode {
    /// A one-byte opcode with 32-bit operands.
    pub(crate) const fn of(byte: u8) -> Self {
        Self { prefix: 0, map: Map::OneByte, byte, wide: false }
    }

    /// A one-byte opcode with 64-bit operands.
    pub(crate) const fn wide(byte: u8) -> Self {
        Self { prefix: 0, map: Map::OneByte, byte, wide: true }
    }

    /// An opcode behind 0Fh.
    pub(crate) const fn two(byte: u8) -> Self {
        Self { prefix: 0, map: Map::TwoByte, byte, wide: false }
    }

    /// The bytes that lead to the map, and the opcode.
    #[inline(always)]
    const fn bytes(self) -> Bytes {
        let (bits, length) = match self.map {
            Map::OneByte => (self.byte as u64, 1),
            Map::TwoByte => ((self.byte as u64) << 8 | 0x0f, 2),
            Map::ThreeByte38 => ((self.byte as u64) << 16 | 0x380f, 3),
            Map::ThreeByte3a => ((self.byte as u64) << 16 | 0x3a0f, 3),
        };
        Bytes { bits, length }
    }
}

/// A group of ALU opcodes: `ADD` to `CMP` by their `/digit`.
pub(crate) mod alu {
    pub(crate) const ADD: u8 = 0;
    pub(crate) const SUB: u8 = 5;
    pub(crate) const CMP: u8 = 7;
}

/// JRCXZ and the short JMP, for [`Emitter::short`].
pub(crate) const JRCXZ: u8 = 0xe3;
pub(crate) const JMP_SHORT: u8 = 0xeb;

/// Conditions as Jcc encodes them.
pub(crate) mod condition {
    pub(crate) const BELOW: u8 = 2;
    pub(crate) const EQUAL: u8 = 4;
    pub(crate) const NOT_EQUAL: u8 = 5;
    pub(crate) const ABOVE: u8 = 7;
    pub(crate) const LESS: u8 = 12;
}

/// A place in the code that holds a displacement to be filled in: its offset, of four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Site(pub(crate) u32);

/// Up to eight bytes while they are put together, in a register of the host's.
#[derive(Clone, Copy)]
struct Bytes {
    bits: u64,
    length: u32,
}

impl Bytes {
    /// None yet.
    const NONE: Self = Self { bits: 0, length: 0 };

    /// Appends the low `count` bytes of `value`, which has no others.
    #[inline(always)]
    const fn append(&mut self, value: u64, count: u32) {
        self.bits |= value << (8 * self.length);
        self.length += count;
    }

    /// Puts a byte before all others.
    #[inline(always)]
    const fn prepend(&mut self, value: u8) {
        self.bits = self.bits << 8 | value as u64;
        self.length += 1;
    }
}

/// Code that is being written. Offsets count from the start of the code memory.
pub(crate) struct Emitter {
    /// What was written, and room for more.
    bytes: Vec<u8>,
    length: usize,
    origin: u32,
}

/// Bytes by which the room for code grows.
const ROOM: usize = 4096;
/// Bytes that are written at once, at most.
const PIECES: usize = 20;

impl Emitter {
    /// An emitter whose first byte will lie at offset `origin`.
    pub(crate) fn new(origin: u32) -> Self {
        Self { bytes: vec![0; ROOM], length: 0, origin }
    }

    /// Begins again at another offset.
    pub(crate) fn restart(&mut self, origin: u32) {
        self.length = 0;
        self.origin = origin;
    }

    /// Where the next byte will lie.
    #[inline]
    pub(crate) fn offset(&self) -> u32 {
        self.origin + self.length as u32
    }

    /// What was written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    #[inline(always)]
    fn put(&mut self, code: Bytes) {
        let room = self.room();
        room[..8].copy_from_slice(&code.bits.to_le_bytes());
        self.length += code.length as usize;
    }

    /// Two pieces, one behind the other, of which the second has four bytes at most.
    #[inline(always)]
    fn put_two(&mut self, code: Bytes, behind: Bytes) {
        let room = self.room();
        room[..8].copy_from_slice(&code.bits.to_le_bytes());
        let at = (code.length & 15) as usize;
        room[at..at + 4].copy_from_slice(&(behind.bits as u32).to_le_bytes());
        self.length += (code.length + behind.length) as usize;
    }

    /// What is behind that which was written: enough for two pieces.
    #[inline(always)]
    fn room(&mut self) -> &mut [u8; PIECES] {
        if self.bytes.len() - self.length < PIECES {
            self.grow();
        }
        #[expect(clippy::unwrap_used, reason = "it has just been seen to be there")]
        self.bytes[self.length..].first_chunk_mut().unwrap()
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        self.bytes.resize(self.length + ROOM, 0);
    }

    /// One byte.
    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) {
        self.put(Bytes { bits: byte.into(), length: 1 });
    }

    /// Bytes as they are.
    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            let mut code = Bytes::NONE;
            for byte in piece {
                code.append((*byte).into(), 1);
            }
            self.put(code);
        }
    }

    /// Four bytes.
    #[inline]
    pub(crate) fn dword(&mut self, value: u32) {
        self.put(Bytes { bits: value.into(), length: 4 });
    }

    /// Pads with INT3 to a multiple of `alignment`, a power of two.
    pub(crate) fn align(&mut self, alignment: u32) {
        while !self.offset().is_multiple_of(alignment) {
            self.byte(0xcc);
        }
    }

    /// An instruction with a ModRM byte.
    #[inline]
    pub(crate) fn modrm(&mut self, opcode: Opcode, reg: Reg, rm: Rm) {
        let mut code = opcode.bytes();
        let (mut rex, mut displacement) = ((opcode.wide as u8) << 3 | (reg >> 3) << 2, Bytes::NONE);
        match rm {
            Rm::Reg(rm) => {
                rex |= rm >> 3;
                code.append((0xc0 | (reg & 7) << 3 | rm & 7).into(), 1);
            }
            Rm::Mem(mem) => {
                rex |= mem.index.map_or(0, |(index, _)| index >> 3) << 1 | mem.base.unwrap_or(0) >> 3;
                displacement = address(&mut code, reg & 7, &mem);
                if mem.guest {
                    self.put(Bytes { bits: 0x6765, length: 2 });
                }
            }
        }
        if rex != 0 {
            code.prepend(0x40 | rex);
        }
        if opcode.prefix != 0 {
            code.prepend(opcode.prefix);
        }
        self.put_two(code, displacement);
    }

    /// `mov reg, [mem]`, 32 bits.
    pub(crate) fn load(&mut self, reg: Reg, mem: Mem) {
        self.modrm(Opcode::of(0x8b), reg, Rm::Mem(mem));
    }

    /// `mov [mem], reg`, 32 bits.
    pub(crate) fn store(&mut self, mem: Mem, reg: Reg) {
        self.modrm(Opcode::of(0x89), reg, Rm::Mem(mem));
    }

    /// `mov reg, [mem]`, 64 bits.
    pub(crate) fn load_wide(&mut self, reg: Reg, mem: Mem) {
        self.modrm(Opcode::wide(0x8b), reg, Rm::Mem(mem));
    }

    /// `mov [mem], reg`, 64 bits.
    pub(crate) fn store_wide(&mut self, mem: Mem, reg: Reg) {
        self.modrm(Opcode::wide(0x89), reg, Rm::Mem(mem));
    }

    /// `mov [mem], imm32`, 32 bits.
    pub(crate) fn store_immediate(&mut self, mem: Mem, value: u32) {
        self.modrm(Opcode::of(0xc7), 0, Rm::Mem(mem));
        self.dword(value);
    }

    /// `mov to, from`, 32 bits.
    pub(crate) fn copy(&mut self, to: Reg, from: Reg) {
        self.modrm(Opcode::of(0x89), from, Rm::Reg(to));
    }

    /// `mov to, from`, 64 bits.
    pub(crate) fn copy_wide(&mut self, to: Reg, from: Reg) {
        self.modrm(Opcode::wide(0x89), from, Rm::Reg(to));
    }

    /// `mov reg, imm32`; the high half becomes zero.
    pub(crate) fn immediate(&mut self, reg: Reg, value: u32) {
        let mut code = Bytes::NONE;
        if reg > 7 {
            code.append(0x41, 1);
        }
        code.append((0xb8 | reg & 7).into(), 1);
        code.append(value.into(), 4);
        self.put(code);
    }

    /// `mov reg, imm64`.
    pub(crate) fn immediate_wide(&mut self, reg: Reg, value: u64) {
        self.raw(&[0x48 | reg >> 3, 0xb8 | reg & 7]);
        self.raw(&value.to_le_bytes());
    }

    /// `lea reg, [mem]`, 32 bits: what is above is cut off, and no flag changes.
    pub(crate) fn lea(&mut self, reg: Reg, mem: Mem) {
        self.modrm(Opcode::of(0x8d), reg, Rm::Mem(Mem { guest: false, ..mem }));
    }

    /// `lea reg, [mem]`, 64 bits.
    pub(crate) fn lea_wide(&mut self, reg: Reg, mem: Mem) {
        self.modrm(Opcode::wide(0x8d), reg, Rm::Mem(mem));
    }

    /// An ALU operation with an immediate, 64 bits.
    pub(crate) fn alu_wide(&mut self, operation: u8, reg: Reg, value: i32) {
        if let Ok(value) = i8::try_from(value) {
            self.modrm(Opcode::wide(0x83), operation, Rm::Reg(reg));
            self.byte(value as u8);
        } else {
            self.modrm(Opcode::wide(0x81), operation, Rm::Reg(reg));
            self.dword(value as u32);
        }
    }

    /// `jmp rel32` to a place that is filled in later.
    pub(crate) fn jmp(&mut self) -> Site {
        self.byte(0xe9);
        self.site()
    }

    /// `call rel32` to a place that is filled in later.
    pub(crate) fn call(&mut self) -> Site {
        self.byte(0xe8);
        self.site()
    }

    /// `jcc rel32` to a place that is filled in later.
    pub(crate) fn jcc(&mut self, condition: u8) -> Site {
        self.put(Bytes { bits: u64::from(0x80 | condition) << 8 | 0x0f, length: 2 });
        self.site()
    }

    /// `lea reg, [rip + displacement]` of a place that is filled in later.
    pub(crate) fn lea_rip(&mut self, reg: Reg) -> Site {
        self.raw(&[0x48 | (reg >> 3) << 2, 0x8d, (reg & 7) << 3 | 5]);
        self.site()
    }

    fn site(&mut self) -> Site {
        let site = Site(self.offset());
        self.dword(0);
        site
    }

    /// Lets the displacement at `site` lead to `target`.
    pub(crate) fn bind(&mut self, site: Site, target: u32) {
        let at = (site.0 - self.origin) as usize;
        self.bytes[at..at + 4].copy_from_slice(&displacement(site, target).to_le_bytes());
    }

    /// Lets the displacement at `site` lead to what comes next.
    pub(crate) fn bind_here(&mut self, site: Site) {
        self.bind(site, self.offset());
    }

    /// A short jump over what comes next: its displacement is at the returned offset.
    pub(crate) fn short(&mut self, opcode: u8) -> u32 {
        self.raw(&[opcode, 0]);
        self.offset() - 1
    }

    /// Ends the stretch that a short jump goes over.
    pub(crate) fn bind_short(&mut self, at: u32) {
        let distance = self.offset() - at - 1;
        debug_assert!(distance < 128, "a short jump over {distance} bytes");
        self.bytes[(at - self.origin) as usize] = distance as u8;
    }

    /// `seto al`, `lahf`: the status flags into AX.
    pub(crate) fn save_flags(&mut self) {
        self.raw(&[0x0f, 0x90, 0xc0, 0x9f]);
    }

    /// `add al, 127`, `sahf`: the status flags out of AX.
    pub(crate) fn restore_flags(&mut self) {
        self.raw(&[0x04, 0x7f, 0x9e]);
    }
}

/// The displacement that leads from `site` to `target`.
pub(crate) const fn displacement(site: Site, target: u32) -> u32 {
    target.wrapping_sub(site.0 + 4)
}

/// Appends ModRM and SIB for an operand in memory, and gives its displacement.
#[inline]
fn address(code: &mut Bytes, reg: u8, mem: &Mem) -> Bytes {
    let displacement = mem.displacement;
    let scale = mem.index.map_or(0, |(_, scale)| (scale.trailing_zeros() as u8) << 6);
    let index = mem.index.map_or(4, |(index, _)| index & 7);
    let pair = |modrm: u8, sib: u8| u64::from(modrm) | u64::from(sib) << 8;
    let Some(base) = mem.base else {
        // Without base and index it has to be a SIB byte, too: the short form is relative to RIP.
        code.append(pair(reg << 3 | 4, scale | index << 3 | 5), 2);
        return Bytes { bits: (displacement as u32).into(), length: 4 };
    };
    let base = base & 7;
    let mode = match i8::try_from(displacement) {
        Ok(0) if base != 5 => 0,
        Ok(_) => 1,
        Err(_) => 2,
    };
    if mem.index.is_some() || base == 4 {
        code.append(pair(mode << 6 | reg << 3 | 4, scale | index << 3 | base), 2);
    } else {
        code.append((mode << 6 | reg << 3 | base).into(), 1);
    }
    let length = [0, 1, 4][mode as usize];
    Bytes { bits: (displacement as u32).into(), length }
}
