//! Random code that looks a little like compilers': mostly common instructions on registers and on
//! a small arena, short branches both ways, and now and then a store into itself.

use pentimento_registers::{ControlWord, F80, Gpr, Mxcsr, X87State};

use crate::generate::Random;

/// Where the code is. Its pages can be written.
pub(super) const CODE: u32 = 0x1000;
pub(super) const CODE_LENGTH: u32 = 0x2000;
/// Where the same pages are a second time, in a sequence that is aliased.
pub(super) const ALIAS: u32 = 0x1_0000;
/// The arena: EBX points to its start, EBP and ESP to its middle, EDI anywhere.
pub(super) const DATA: u32 = 0x2_0000;
pub(super) const DATA_LENGTH: u32 = 0x4000;

/// Instructions of a snippet.
const LONGEST: u32 = 40;

/// Everything that a snippet starts from.
pub(super) struct Sequence {
    pub(super) code: Vec<u8>,
    /// Whether the code is a shared object that is mapped twice.
    pub(super) aliased: bool,
    pub(super) data: Vec<u8>,
    pub(super) registers: [u32; 8],
    pub(super) xmm: [u128; 8],
    pub(super) x87: X87State,
    pub(super) mxcsr: Mxcsr,
}

/// Control words: each rounding mode and precision, and now and then exceptions that are not masked.
const CONTROL_WORDS: &[u16] =
    &[0x37f, 0x37f, 0x27f, 0x07f, 0x77f, 0xb7f, 0xf7f, 0x67f, 0xa7f, 0xe7f, 0x47f, 0x35f, 0x372, 0x37a];

/// MXCSR at first: silent or not, each rounding mode, DAZ, FZ, and an exception that is not masked.
const MXCSR: &[u32] = &[0x1f80, 0x1fa0, 0x1fa0, 0x1fbf, 0x3f80, 0x5fa0, 0x7fa0, 0x1fc0, 0x9fa0, 0x1f20];

/// Opcodes behind 0Fh of instructions on vectors, with 66h and without: whether they take an immediate,
/// and which forms of ModR/M they have.
#[rustfmt::skip]
const VECTORS: &[(&[u8], Form)] = &[
    (&[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6e, 0x6f, 0x74, 0x75, 0x76, 0x7e, 0x7f,
       0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5,
       0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee, 0xef, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc,
       0xfd, 0xfe, 0x10, 0x11, 0x14, 0x15, 0x28, 0x29, 0x2a, 0x2c, 0x2d, 0x2e, 0x2f, 0x51, 0x54, 0x55, 0x56, 0x57, 0x58,
       0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f], Form::Modrm),
    (&[0x12, 0x13, 0x16, 0x17, 0x2b, 0xe7], Form::Memory),
    (&[0x50, 0xd7, 0xf7], Form::Registers),
    (&[0x70, 0xc2, 0xc4, 0xc6], Form::ModrmByte),
    (&[0xc5], Form::RegistersByte),
    (&[0x71, 0x72], Form::GroupRegistersByte(0x54)),
    (&[0x73], Form::GroupRegistersByte(0x44)),
];

/// The same behind 0Fh 38h.
#[rustfmt::skip]
const VECTORS_38: &[u8] = &[
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x1c, 0x1d, 0x1e,
    0x10, 0x14, 0x15, 0x17, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x28, 0x29, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x37,
    0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40, 0x41, 0xdb, 0xdc, 0xdd, 0xde, 0xdf,
];

/// How many of [`VECTORS_38`] exist without 66h.
const MMX_38: usize = 15;

/// The same behind 0Fh 3Ah, all with an immediate, and with 66h alone.
#[rustfmt::skip]
const VECTORS_3A: &[u8] = &[
    0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x14, 0x15, 0x16, 0x17, 0x20, 0x21, 0x22, 0x40, 0x41, 0x42, 0x44,
    0x60, 0x61, 0x62, 0x63, 0xdf,
];

/// What stands behind an opcode.
#[derive(Clone, Copy)]
enum Form {
    /// No operand byte.
    Alone,
    /// ModR/M.
    Modrm,
    /// ModR/M that is never a register.
    Memory,
    /// ModR/M that is never memory.
    Registers,
    /// The same with an immediate byte.
    RegistersByte,
    /// The same whose register field is one of these, as bits.
    GroupRegistersByte(u8),
    /// ModR/M whose register field is one of these, as bits, and so part of the opcode.
    Group(u8),
    /// The same with an immediate byte.
    GroupByte(u8),
    /// The same with an immediate of the operand size.
    GroupFull(u8),
    /// ModR/M and an immediate byte.
    ModrmByte,
    /// The register in the opcode.
    Short,
    /// The same with an immediate of the operand size.
    ShortFull,
    /// An immediate byte.
    Byte,
    /// An immediate of the operand size.
    Full,
    /// An absolute address.
    Offset,
}

/// A family of encodings: how often, which prefixes may stand before it (as bits: 1 operand size,
/// 2 REP, 4 REPNE, 8 GS, 16 LOCK), opcodes from and to, and what follows.
type Family = (u32, u8, &'static [u8], u8, Form);

#[rustfmt::skip]
const FAMILIES: &[Family] = &[
    (40, 1, &[],     0x00, Form::Modrm), (20, 1, &[],     0x01, Form::Modrm), (40, 1, &[],     0x03, Form::Modrm),
    (10, 1, &[],     0x09, Form::Modrm), (10, 1, &[],     0x0b, Form::Modrm), (8,  1, &[],     0x11, Form::Modrm),
    (8,  1, &[],     0x13, Form::Modrm), (8,  1, &[],     0x19, Form::Modrm), (8,  1, &[],     0x1b, Form::Modrm),
    (10, 1, &[],     0x21, Form::Modrm), (10, 1, &[],     0x23, Form::Modrm), (20, 1, &[],     0x29, Form::Modrm),
    (20, 9, &[],     0x2b, Form::Modrm), (5,  0, &[],     0x2a, Form::Modrm), (15, 1, &[],     0x31, Form::Modrm),
    (15, 9, &[],     0x33, Form::Modrm), (30, 1, &[],     0x39, Form::Modrm), (30, 9, &[],     0x3b, Form::Modrm),
    (15, 0, &[],     0x38, Form::Modrm), (15, 0, &[],     0x3a, Form::Modrm), (8,  0, &[],     0x3c, Form::Byte),
    (8,  1, &[],     0x3d, Form::Full),  (4,  1, &[],     0x05, Form::Full),  (30, 1, &[],     0x85, Form::Modrm),
    (15, 0, &[],     0x84, Form::Modrm), (60, 9, &[],     0x8b, Form::Modrm), (50, 9, &[],     0x89, Form::Modrm),
    (15, 0, &[],     0x8a, Form::Modrm), (15, 0, &[],     0x88, Form::Modrm), (25, 0, &[],     0x8d, Form::Memory),
    (10, 1, &[],     0xc7, Form::GroupFull(1)),      (8, 0, &[],      0xc6, Form::GroupByte(1)),
    (40, 1, &[],     0x83, Form::GroupByte(0xff)),   (15, 1, &[],     0x81, Form::GroupFull(0xff)),
    (10, 0, &[],     0x80, Form::GroupByte(0xff)),   (20, 1, &[],     0xc1, Form::GroupByte(0xbf)),
    (6,  0, &[],     0xc0, Form::GroupByte(0xbf)),   (8, 1, &[],      0xd1, Form::Group(0xbf)),
    (10, 1, &[],     0xd3, Form::Group(0xbf)),       (4, 0, &[],      0xd2, Form::Group(0xbf)),
    (12, 1, &[],     0xf7, Form::Group(0x3c)),       (4, 0, &[],      0xf6, Form::Group(0x3c)),
    (4,  1, &[],     0xf7, Form::Group(0xc0)),       (8, 1, &[],      0xf7, Form::GroupFull(1)),
    (10, 1, &[],     0xff, Form::Group(0x03)),       (6, 0, &[],      0xfe, Form::Group(0x03)),
    (5,  8, &[],     0xff, Form::Group(0x40)),       (20, 1, &[],     0x40, Form::Short),
    (20, 1, &[],     0x48, Form::Short), (20, 0, &[],     0x50, Form::Short), (20, 0, &[],     0x58, Form::Short),
    (20, 1, &[],     0xb8, Form::ShortFull),         (5, 0, &[],      0x6a, Form::Byte),
    (8,  1, &[],     0x6b, Form::ModrmByte),         (8, 8, &[],      0xa1, Form::Offset),
    (5,  8, &[],     0xa3, Form::Offset), (4, 1, &[],     0x87, Form::Modrm), (4, 17, &[],    0x86, Form::Memory),
    (3,  1, &[],     0x98, Form::Alone), (6,  1, &[],     0x99, Form::Alone), (3,  0, &[],     0x9c, Form::Alone),
    (2,  0, &[],     0x9e, Form::Alone), (2,  0, &[],     0x9f, Form::Alone), (3,  0, &[],     0xf5, Form::Alone),
    (3,  0, &[],     0xf8, Form::Alone), (3,  0, &[],     0xf9, Form::Alone), (2,  0, &[],     0xfc, Form::Alone),
    (1,  0, &[],     0xfd, Form::Alone), (6,  7, &[],     0xa4, Form::Alone), (6,  7, &[],     0xa5, Form::Alone),
    (4,  7, &[],     0xa6, Form::Alone), (4,  7, &[],     0xa7, Form::Alone), (4,  7, &[],     0xaa, Form::Alone),
    (4,  7, &[],     0xab, Form::Alone), (3,  7, &[],     0xac, Form::Alone), (3,  7, &[],     0xae, Form::Alone),
    (15, 0, &[0x0f], 0xb6, Form::Modrm), (8,  0, &[0x0f], 0xb7, Form::Modrm), (10, 0, &[0x0f], 0xbe, Form::Modrm),
    (6,  0, &[0x0f], 0xbf, Form::Modrm), (10, 1, &[0x0f], 0xaf, Form::Modrm), (3,  0, &[0x0f], 0xc8, Form::Short),
    (4,  1, &[0x0f], 0xa4, Form::ModrmByte),         (4, 1, &[0x0f],  0xac, Form::ModrmByte),
    (3,  1, &[0x0f], 0xa5, Form::Modrm), (3,  1, &[0x0f], 0xad, Form::Modrm), (4,  1, &[0x0f], 0xa3, Form::Modrm),
    (3,  1, &[0x0f], 0xab, Form::Modrm), (4,  1, &[0x0f], 0xba, Form::GroupByte(0xf0)),
    (4,  3, &[0x0f], 0xbc, Form::Modrm), (4,  3, &[0x0f], 0xbd, Form::Modrm), (3,  2, &[0x0f], 0xb8, Form::Modrm),
    (4, 17, &[0x0f], 0xb1, Form::Memory), (3, 17, &[0x0f], 0xc1, Form::Memory), (2, 0, &[0x0f], 0x1f, Form::Group(1)),
    (8,  7, &[0x0f], 0x10, Form::Modrm), (8,  7, &[0x0f], 0x11, Form::Modrm), (6,  1, &[0x0f], 0x28, Form::Modrm),
    (6,  7, &[0x0f], 0x58, Form::Modrm), (6,  7, &[0x0f], 0x59, Form::Modrm), (6,  7, &[0x0f], 0x5c, Form::Modrm),
    (4,  7, &[0x0f], 0x5e, Form::Modrm), (4,  7, &[0x0f], 0x51, Form::Modrm), (4,  1, &[0x0f], 0x2e, Form::Modrm),
    (4,  6, &[0x0f], 0x2a, Form::Modrm), (4,  6, &[0x0f], 0x2c, Form::Modrm), (4,  1, &[0x0f], 0xef, Form::Modrm),
    (4,  1, &[0x0f], 0x6e, Form::Modrm), (4,  1, &[0x0f], 0x7e, Form::Modrm), (4,  3, &[0x0f], 0x6f, Form::Modrm),
    (4,  1, &[0x0f], 0xfe, Form::Modrm), (4,  1, &[0x0f], 0x14, Form::Modrm), (3,  7, &[0x0f], 0x5a, Form::Modrm),
    (4,  1, &[0x0f], 0x16, Form::Memory), (4, 1, &[0x0f], 0xc6, Form::ModrmByte), (4, 1, &[0x0f], 0x54, Form::Modrm),
    (5,  0, &[],     0xd8, Form::Modrm), (5,  0, &[],     0xd9, Form::Modrm), (4,  0, &[],     0xda, Form::Modrm),
    (5,  0, &[],     0xdb, Form::Modrm), (6,  0, &[],     0xdc, Form::Modrm), (8,  0, &[],     0xdd, Form::Modrm),
    (4,  0, &[],     0xde, Form::Modrm), (4,  0, &[],     0xdf, Form::Modrm), (2,  0, &[],     0xc9, Form::Alone),
];

impl Sequence {
    /// The next snippet.
    pub(super) fn new(random: &mut Random) -> Self {
        let count = 2 + random.below(LONGEST - 2);
        let aliased = random.percent(40);
        let code = match random.percent(3) {
            true => (0..count * 3).map(|_| random.next_u32() as u8).collect(),
            false => Writer::new(aliased).write(random, count),
        };
        // Whatever ran before must not be behind it.
        let code = code.into_iter().chain(std::iter::repeat(0)).take(CODE_LENGTH as usize).collect();
        let data = (0..DATA_LENGTH / 8).flat_map(|_| datum(random).to_le_bytes()).collect();
        let mut registers = [0; 8];
        for register in &mut registers {
            *register = if random.percent(50) { pointer(random) } else { datum(random) as u32 };
        }
        registers[Gpr::Ebx as usize] = DATA;
        registers[Gpr::Ebp as usize] = DATA + DATA_LENGTH / 2;
        let mut xmm = [0; 8];
        for register in &mut xmm {
            *register = u128::from(datum(random)) << 64 | u128::from(datum(random));
        }
        let mxcsr = Mxcsr::from_bits_truncate(random.pick(MXCSR));
        Self { code, aliased, data, registers, xmm, x87: x87(random), mxcsr }
    }
}

/// An x87 unit: as it starts, or full of numbers of all kinds, or anything between.
fn x87(random: &mut Random) -> X87State {
    let mut x87 = X87State::new();
    x87.control = ControlWord::from_bits_truncate(random.pick(CONTROL_WORDS));
    if random.percent(60) {
        x87.in_use = if random.percent(50) { 0xff } else { random.next_u32() as u8 };
        x87.top = random.below(8) as u8;
        for register in &mut x87.registers {
            let exponent = match random.below(8) {
                0 => random.next_u32() as u16,
                1 => random.pick(&[0, 0x7fff, 0x8000, 0xffff, 1, 0x7ffe]),
                _ => (0x3ff0 + random.below(32) as u16) | random.pick(&[0, 0x8000]),
            };
            let integer = if random.percent(90) { 1 << 63 } else { 0 };
            *register = F80::new(exponent, integer | datum(random));
        }
    }
    x87
}

/// A value: small numbers, doubles, ends of ranges, anything.
fn datum(random: &mut Random) -> u64 {
    match random.below(6) {
        0 => u64::from(random.below(40)),
        1 => f64::from(random.below(1000)).to_bits(),
        2 => (f64::from(random.next_u32()) / 3.0 - 5e8).to_bits(),
        3 => u64::from(pointer(random)) << 32 | u64::from(random.below(70_000)),
        4 => random.pick(&[0, u64::MAX, 0x8000_0000_7fff_ffff, 0x8000, 0x7fff_ffff_ffff]),
        _ => random.next_u64(),
    }
}

/// An address in the arena.
fn pointer(random: &mut Random) -> u32 {
    DATA + random.below(DATA_LENGTH)
}

/// Code under construction.
struct Writer {
    code: Vec<u8>,
    /// Where instructions begin.
    starts: Vec<usize>,
    /// Displacement bytes of branches, and which instruction each is to lead to.
    branches: Vec<(usize, usize)>,
    aliased: bool,
}

impl Writer {
    const fn new(aliased: bool) -> Self {
        Self { code: Vec::new(), starts: Vec::new(), branches: Vec::new(), aliased }
    }

    fn write(mut self, random: &mut Random, count: u32) -> Vec<u8> {
        let total: u32 = FAMILIES.iter().map(|family| family.0).sum();
        for _ in 0..count {
            self.starts.push(self.code.len());
            match random.below(100) {
                0..16 => self.branch(random, count),
                16 => self.store_into_code(random),
                17 => self.counter(random),
                18..28 => self.vector(random),
                _ => {
                    let mut ticket = random.below(total);
                    let family = FAMILIES.iter().find(|family| {
                        let found = ticket < family.0;
                        ticket = ticket.wrapping_sub(family.0);
                        found
                    });
                    family.into_iter().for_each(|family| self.instruction(random, family));
                }
            }
        }
        self.starts.push(self.code.len());
        // int 0x80
        self.code.extend([0xcd, 0x80]);
        for (place, to) in &self.branches {
            let target = self.starts[*to];
            // Now and then to the same place in the other mapping.
            let away = if self.aliased && random.percent(15) { i64::from(ALIAS - CODE) } else { 0 };
            let displacement = target as i64 - (*place as i64 + 4) + away;
            self.code[*place..place + 4].copy_from_slice(&(displacement as u32).to_le_bytes());
        }
        self.code
    }

    /// A branch to some instruction not far away: Jcc, JMP, CALL, or RET from such a call.
    fn branch(&mut self, random: &mut Random, count: u32) {
        match random.below(20) {
            0 => return self.code.push(0xc3),
            1 => self.code.push(0xe9),
            2 => self.code.push(0xe8),
            _ => self.code.extend([0x0f, 0x80 + random.below(16) as u8]),
        }
        let here = self.starts.len() as u32;
        let to = (here + random.below(14)).saturating_sub(6).min(count);
        self.branches.push((self.code.len(), to as usize));
        self.code.extend([0; 4]);
    }

    /// `mov byte [code], imm8`, somewhere near, in either mapping.
    fn store_into_code(&mut self, random: &mut Random) {
        let offset = (self.code.len() as u32 + random.below(60)).saturating_sub(20);
        self.code.extend([0xc6, 0x05]);
        let base = if self.aliased && random.percent(60) { ALIAS } else { CODE };
        self.code.extend((base + offset).to_le_bytes());
        self.code.push(random.next_u32() as u8);
    }

    /// `mov ecx, N`: a count for what repeats.
    fn counter(&mut self, random: &mut Random) {
        self.code.push(0xb9);
        let count = if random.percent(80) { random.below(70) } else { random.below(3000) };
        self.code.extend(count.to_le_bytes());
    }

    /// `mov word [ebx+disp8], CONTROL; fldcw [ebx+disp8]`
    fn control_word(&mut self, random: &mut Random) {
        let [low, high] = random.pick(CONTROL_WORDS).to_le_bytes();
        let place = random.below(128) as u8;
        self.code.extend([0x66, 0xc7, 0x43, place, low, high, 0xd9, 0x6b, place]);
    }

    /// An instruction on MMX or XMM registers, or one that ends MMX, or another x87 control word.
    fn vector(&mut self, random: &mut Random) {
        let on_xmm = random.percent(50);
        let (escape, opcode, form): (&[u8], u8, Form) = match random.below(20) {
            0 => return self.code.extend([0x0f, 0x77]),
            1 => return self.control_word(random),
            2..5 => {
                let choice = if on_xmm { VECTORS_38 } else { &VECTORS_38[..MMX_38] };
                (&[0x0f, 0x38], random.pick(choice), Form::Modrm)
            }
            5 if !on_xmm => (&[0x0f, 0x3a], 0x0f, Form::ModrmByte),
            5..8 if on_xmm => (&[0x0f, 0x3a], random.pick(VECTORS_3A), Form::ModrmByte),
            _ => {
                let total = VECTORS.iter().map(|(opcodes, _)| opcodes.len()).sum::<usize>() as u32;
                let mut ticket = random.below(total) as usize;
                let mut found = (0x6f, Form::Modrm);
                for (opcodes, form) in VECTORS {
                    match opcodes.get(ticket) {
                        Some(opcode) => {
                            found = (*opcode, *form);
                            break;
                        }
                        None => ticket -= opcodes.len(),
                    }
                }
                (&[0x0f], found.0, found.1)
            }
        };
        if on_xmm {
            self.code.push(0x66);
        }
        self.encode(random, escape, opcode, form, 1);
    }

    fn instruction(&mut self, random: &mut Random, family: &Family) {
        let (_, prefixes, escape, opcode, form) = *family;
        let mut word = false;
        // Most instructions have no prefix; where several are possible, REP of a string is likely.
        for (bit, byte, percent) in
            [(8, 0x65, 10), (16, 0xf0, 50), (1, 0x66, 15), (2, 0xf3, 30), (4, 0xf2, 25)]
        {
            if prefixes & bit != 0 && random.percent(percent) {
                self.code.push(byte);
                word |= byte == 0x66;
                if byte == 0xf3 {
                    break;
                }
            }
        }
        self.encode(random, escape, opcode, form, if word { 2 } else { 4 });
    }

    /// What comes behind prefixes; a `full` immediate has so many bytes.
    fn encode(&mut self, random: &mut Random, escape: &[u8], opcode: u8, form: Form, full: usize) {
        self.code.extend(escape);
        let (register, immediate) = match form {
            Form::Short | Form::ShortFull => {
                // EBX, EBP and ESP keep what they point to, mostly.
                let number =
                    if random.percent(97) { random.pick(&[0, 1, 2, 6, 7]) } else { random.below(8) as u8 };
                self.code.push(opcode | number);
                self.immediate(random, if matches!(form, Form::ShortFull) { full } else { 0 });
                return;
            }
            Form::Group(fields) => (Some(field(random, fields)), 0),
            Form::GroupByte(fields) => (Some(field(random, fields)), 1),
            Form::GroupFull(fields) => (Some(field(random, fields)), full),
            Form::GroupRegistersByte(fields) => (Some(field(random, fields)), 1),
            Form::ModrmByte | Form::RegistersByte => (None, 1),
            Form::Byte => (None, 1),
            Form::Full => (None, full),
            _ => (None, 0),
        };
        self.code.push(opcode);
        match form {
            Form::Alone | Form::Byte | Form::Full => {}
            Form::Offset => self.code.extend(random.below(DATA_LENGTH).to_le_bytes()),
            Form::Registers | Form::RegistersByte | Form::GroupRegistersByte(_) => {
                let register = register.unwrap_or_else(|| random.below(8) as u8);
                self.code.push(0xc0 | register << 3 | random.below(8) as u8);
            }
            _ => self.modrm(random, register, matches!(form, Form::Memory)),
        }
        self.immediate(random, immediate);
    }

    fn immediate(&mut self, random: &mut Random, bytes: usize) {
        let value = if random.percent(60) { random.below(40) } else { datum(random) as u32 };
        self.code.extend(&value.to_le_bytes()[..bytes]);
    }

    /// A register, or memory near EBX or EBP or through another pointer, now and then indexed.
    fn modrm(&mut self, random: &mut Random, register: Option<u8>, memory: bool) {
        let register = register.unwrap_or_else(|| random.pick(&[0, 1, 2, 6, 7, 0, 1, 2, 6, 7, 3, 5]));
        let field = register << 3;
        if !memory && random.percent(55) {
            self.code.push(0xc0 | field | random.pick(&[0, 1, 2, 6, 7, 0, 1, 2, 6, 7, 3, 4]));
            return;
        }
        match random.below(10) {
            0..4 => self.code.extend([0x43 | field, random.below(128) as u8]),
            4..6 => self.code.extend([0x45 | field, random.next_u32() as u8]),
            6 => {
                self.code.push(0x05 | field);
                self.code.extend(pointer(random).to_le_bytes());
            }
            7 => {
                // EBX plus a register: in the arena if that is small.
                let index = random.pick(&[0, 1, 2, 6, 7]);
                self.code.extend([0x44 | field, (random.below(4) as u8) << 6 | index << 3 | 3]);
                self.code.push(random.below(128) as u8);
            }
            8 => {
                self.code.push(0x83 | field);
                self.code.extend(random.below(DATA_LENGTH).to_le_bytes());
            }
            _ => self.code.push(random.pick(&[0, 1, 2, 3, 6, 7]) | field),
        }
    }
}

/// One of the register fields in a set.
fn field(random: &mut Random, fields: u8) -> u8 {
    let choices: Vec<u8> = (0..8).filter(|field| fields >> field & 1 != 0).collect();
    if choices.is_empty() { 0 } else { random.pick(&choices) }
}
