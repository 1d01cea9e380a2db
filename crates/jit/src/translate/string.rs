//! String instructions. The host's DF is clear but for what needs it set.

use pentimento_decoder::{Instruction, Map, Operation, Prefixes};
use pentimento_execute::REPEAT_CHUNK;
use pentimento_execute::blocks::Found;

use super::block::{Cold, Fix, Writer};
use crate::emit::{
    BASE, JMP_SHORT, JRCXZ, Mem, Opcode, R8, R9, RAX, RCX, RDI, RSI, Reg, Rm, Site, alu, condition,
};
use crate::frame::{Frame, LEFT};

/// The binary logarithm of the iterations that count as an instruction.
const CHUNK_BITS: u32 = REPEAT_CHUNK.trailing_zeros();
/// Chunks beyond the first that are done at once, before a request to stop is seen.
const MOST_CHUNKS: i32 = 63;

const CLD: u8 = 0xfc;
const STD: u8 = 0xfd;
/// `shrx ecx, ecx, r9d`.
const SHRX_ECX_ECX_R9D: [u8; 5] = [0xc4, 0xe2, 0x33, 0xf7, 0xc9];
/// `shrx r8d, r8d, r9d`.
const SHRX_R8D_R8D_R9D: [u8; 5] = [0xc4, 0x42, 0x33, 0xf7, 0xc0];
/// `shlx r8d, r8d, r9d`.
const SHLX_R8D_R8D_R9D: [u8; 5] = [0xc4, 0x42, 0x31, 0xf7, 0xc0];

/// `not r9`.
const NOT_R9: [u8; 3] = [0x49, 0xf7, 0xd1];
/// `shrx rcx, r9, rcx`.
const SHRX_RCX_R9_RCX: [u8; 5] = [0xc4, 0xc2, 0xf3, 0xf7, 0xc9];
/// `shrx rcx, r8, rcx`.
const SHRX_RCX_R8_RCX: [u8; 5] = [0xc4, 0xc2, 0xf3, 0xf7, 0xc8];
/// `shlx r8, r8, r9`.
const SHLX_R8_R8_R9: [u8; 5] = [0xc4, 0x42, 0xb1, 0xf7, 0xc0];
/// `shrx rcx, r8, r9`.
const SHRX_RCX_R8_R9: [u8; 5] = [0xc4, 0xc2, 0xb3, 0xf7, 0xc8];

/// Bytes an element.
pub(crate) fn width(instruction: &Instruction) -> i32 {
    match instruction.opcode() & 1 {
        0 => 1,
        _ if instruction.prefixes().contains(Prefixes::OPERAND_SIZE) => 2,
        _ => 4,
    }
}

impl Writer<'_> {
    /// A string instruction once. Pointers move behind all accesses.
    pub(super) fn string(&mut self, instruction: &Instruction) {
        let width = width(instruction);
        let step = if self.backwards { -width } else { width };
        let opcode = |byte: u8| Opcode {
            prefix: if width == 2 { 0x66 } else { 0 },
            map: Map::OneByte,
            byte: if width == 1 { byte } else { byte | 1 },
            wide: false,
        };
        let (source, destination) = (Rm::Mem(Mem::guest(RSI, 0)), Rm::Mem(Mem::guest(RDI, 0)));
        let (mut from, mut to) = (false, false);
        match instruction.operation() {
            Operation::Lods => {
                self.emit.modrm(opcode(0x8a), 0, source);
                from = true;
            }
            Operation::Stos => {
                self.emit.modrm(opcode(0x88), 0, destination);
                to = true;
            }
            Operation::Scas => {
                self.emit.modrm(opcode(0x3a), 0, destination);
                to = true;
            }
            Operation::Cmps => {
                self.emit.modrm(opcode(0x8a), R8, source);
                self.emit.modrm(opcode(0x3a), R8, destination);
                (from, to) = (true, true);
            }
            _ => {
                self.emit.modrm(opcode(0x8a), R8, source);
                self.emit.modrm(opcode(0x88), R8, destination);
                (from, to) = (true, true);
            }
        }
        if from {
            self.emit.lea(RSI, Mem::host(RSI, step));
        }
        if to {
            self.emit.lea(RDI, Mem::host(RDI, step));
        }
    }

    /// REP MOVS and REP STOS: the host's, on addresses of the host's, because the destination takes no
    /// segment override. Where they fault they are in the middle of their work, with those addresses.
    /// Each chunk of iterations counts as an instruction; one is counted with the block.
    pub(super) fn repeated(&mut self, instruction: &Instruction, at: usize) {
        self.settle_stack();
        let nothing = self.far_if_zero();
        // mov r8, rcx; shrx ecx, ecx - 1, CHUNK_BITS; jrcxz: it is one chunk
        self.emit.copy_wide(R8, RCX);
        self.emit.immediate(R9, CHUNK_BITS);
        self.emit.lea(RCX, Mem::host(RCX, -1));
        self.emit.raw(&SHRX_ECX_ECX_R9D);
        let one = self.emit.short(JRCXZ);
        let site = self.emit.jmp();
        self.emit.bind_short(one);
        self.emit.copy_wide(RCX, R8);
        let (left, eip) = (self.counted(at), self.items[at].found.eip());
        self.draft.cold.push(Cold::Chunks { site, left, eip, back: self.emit.offset() });
        let both = instruction.operation() == Operation::Movs;
        self.work(instruction, at, both, if both { Fix::Both } else { Fix::Destination });
        self.emit.bind_here(nothing);
    }

    /// Jumps if RCX is zero, as far as may be.
    fn far_if_zero(&mut self) -> Site {
        let zero = self.emit.short(JRCXZ);
        let other = self.emit.short(JMP_SHORT);
        self.emit.bind_short(zero);
        let site = self.emit.jmp();
        self.emit.bind_short(other);
        site
    }

    /// REP CMPS and REP SCAS, a chunk at a time, as above.
    pub(super) fn scan(&mut self, found: &Found, at: usize) {
        let instruction = &found.instruction;
        self.settle_stack();
        let nothing = self.emit.short(JRCXZ);
        self.emit.store(Frame::counter(), RCX);
        // Of the counter less one, the chunks stay behind: shrx r8d, r8d, r9d; shlx r8d, r8d, r9d.
        self.emit.lea(R8, Mem::host(RCX, -1));
        self.emit.immediate(R9, CHUNK_BITS);
        self.emit.raw(&SHRX_R8D_R8D_R9D);
        self.emit.raw(&SHLX_R8D_R8D_R9D);
        self.emit.store(Frame::behind(), R8);
        // not r8d; lea ecx, [rcx + r8 + 1]
        self.emit.modrm(Opcode::of(0xf7), 2, Rm::Reg(R8));
        self.emit.lea(RCX, Mem { base: Some(RCX), index: Some((R8, 1)), displacement: 1, guest: false });
        let both = instruction.operation() == Operation::Cmps;
        self.work(instruction, at, both, Fix::Scan);
        self.emit.load(R8, Frame::behind());
        self.emit.lea(RCX, Mem { base: Some(RCX), index: Some((R8, 1)), displacement: 0, guest: false });
        let while_equal = instruction.prefixes().contains(Prefixes::REP);
        let end = if while_equal { condition::NOT_EQUAL } else { condition::EQUAL };
        let found_it = self.emit.short(0x70 | end);
        let no_more = self.emit.short(JRCXZ);
        self.edge_inside(found.eip());
        self.emit.bind_short(found_it);
        self.emit.bind_short(no_more);
        self.emit.bind_short(nothing);
    }

    /// The host's instruction between pointers of the host's.
    fn work(&mut self, instruction: &Instruction, at: usize, both: bool, fix: Fix) {
        let pointers: &[Reg] = if both { &[RSI, RDI] } else { &[RDI] };
        for &pointer in pointers {
            let mem = Mem { base: Some(BASE), index: Some((pointer, 1)), displacement: 0, guest: false };
            self.emit.lea_wide(pointer, mem);
        }
        let copies = self.backwards && fix == Fix::Both && width(instruction) == 1;
        let nothing_left = copies.then(|| {
            self.copy_backwards(at);
            self.emit.short(JRCXZ)
        });
        if self.backwards {
            self.emit.byte(STD);
        }
        self.point(at, fix);
        let equal = instruction.prefixes().contains(Prefixes::REP) || fix != Fix::Scan;
        self.emit.byte(if equal { 0xf3 } else { 0xf2 });
        if width(instruction) == 2 {
            self.emit.byte(0x66);
        }
        self.emit.byte(instruction.opcode());
        if self.backwards {
            self.emit.byte(CLD);
        }
        if let Some(site) = nothing_left {
            self.emit.bind_short(site);
        }
        self.emit.load(R8, Frame::minus_base());
        for &pointer in pointers {
            let mem = Mem { base: Some(pointer), index: Some((R8, 1)), displacement: 0, guest: false };
            self.emit.lea(pointer, mem);
        }
    }

    /// Copies four bytes at a time for a REP MOVSB that goes backwards, which hosts do byte by byte, and
    /// leaves fewer than four. What is copied onto itself at less than that distance is left as it is. No
    /// flag changes.
    fn copy_backwards(&mut self, at: usize) {
        self.emit.store(Frame::counter(), RCX);
        self.emit.copy_wide(R8, RCX);
        // r9 = rdi - rsi + 4: below 8 they are too near.
        self.emit.copy_wide(R9, RSI);
        self.emit.raw(&NOT_R9);
        self.emit.lea_wide(R9, Mem { base: Some(RDI), index: Some((R9, 1)), displacement: 5, guest: false });
        self.emit.immediate(RCX, 3);
        self.emit.raw(&SHRX_RCX_R9_RCX);
        let near = self.emit.short(JRCXZ);
        self.emit.immediate(RCX, 2);
        self.emit.raw(&SHRX_RCX_R8_RCX);
        let few = self.emit.short(JRCXZ);
        let again = self.emit.offset();
        self.point(at, Fix::Steps);
        self.emit.load(R9, Mem::host(RSI, -3));
        self.emit.store(Mem::host(RDI, -3), R9);
        self.emit.lea_wide(RSI, Mem::host(RSI, -4));
        self.emit.lea_wide(RDI, Mem::host(RDI, -4));
        self.emit.lea_wide(RCX, Mem::host(RCX, -1));
        let done = self.emit.short(JRCXZ);
        let distance = again.wrapping_sub(self.emit.offset() + 2);
        self.emit.raw(&[JMP_SHORT, distance as u8]);
        self.emit.bind_short(done);
        // The counter's low two bits are left.
        self.emit.immediate(R9, 62);
        self.emit.raw(&SHLX_R8_R8_R9);
        self.emit.raw(&SHRX_RCX_R8_R9);
        let over = self.emit.short(JMP_SHORT);
        self.emit.bind_short(near);
        self.emit.bind_short(few);
        self.emit.copy_wide(RCX, R8);
        self.emit.bind_short(over);
    }

    /// Counts the chunks of a repeated instruction beyond the first; too many are for the reference. RCX
    /// has their number, and R8 the counter.
    pub(super) fn chunks(&mut self, left: i32, eip: u32, back: u32) {
        self.emit.copy_wide(R9, RCX);
        self.emit.copy_wide(RCX, R8);
        self.emit.copy(R8, RAX);
        self.emit.save_flags();
        self.emit.alu_wide(alu::CMP, R9, MOST_CHUNKS);
        let many = self.emit.short(0x70 | condition::ABOVE);
        // cmp r14, r9; sub r14, r9
        self.emit.modrm(Opcode::wide(0x39), R9, Rm::Reg(LEFT));
        let few = self.emit.short(0x70 | condition::LESS);
        self.emit.modrm(Opcode::wide(0x29), R9, Rm::Reg(LEFT));
        self.emit.restore_flags();
        self.emit.copy(RAX, R8);
        let site = self.emit.jmp();
        self.emit.bind(site, back);
        self.emit.bind_short(many);
        self.emit.bind_short(few);
        self.emit.restore_flags();
        self.emit.copy(RAX, R8);
        self.reference(left, eip);
    }
}
