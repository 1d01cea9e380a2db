//! The decoder beside `iced-x86` and `yaxpeax-x86`, over the code of real i386 programs.
//!
//! The programs are those that `cargo xtask guests` unpacks, or the ELF files that the environment
//! variable `PENTIMENTO_GUESTS` lists, separated by colons; without either, the project's own
//! fixtures. Each decoder walks the executable sections from start to end. Group `decode` is
//! decoding alone. Group `operands` is what a translator or interpreter needs: all that every operand
//! says (register; base, index, scale, displacement and segment; immediate; branch) is read through
//! the accessors that the decoder's users have. Widths are left out, because with `iced-x86` users
//! take them from the opcode.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use goblin::elf::Elf;
use pentimento_decoder::{Operand, Register, decode};
use pentimento_registers::Gpr;
use yaxpeax_arch::{Decoder as _, LengthedInstruction as _, U8Reader};
use yaxpeax_x86::protected_mode::{InstDecoder, Instruction as YaxpeaxInstruction, RegSpec};

/// Where `cargo xtask guests` puts programs, and what there is without them.
const PROGRAMS: &[&str] = &[
    "guests/debian/usr/lib/i386-linux-gnu/libc.so.6",
    "guests/debian/usr/bin/bash",
    "fixtures/kernels/compress",
    "fixtures/kernels/bytecode",
];

/// The executable sections of the programs that are there.
fn sections() -> Vec<Vec<u8>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listed = std::env::var("PENTIMENTO_GUESTS").unwrap_or_default();
    let mut paths: Vec<PathBuf> =
        listed.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths = PROGRAMS.iter().map(|path| top.join(path)).collect();
    }
    paths.iter().filter_map(|path| std::fs::read(path).ok()).flat_map(|file| executable(&file)).collect()
}

fn executable(file: &[u8]) -> Vec<Vec<u8>> {
    let Ok(elf) = Elf::parse(file) else { return Vec::new() };
    elf.section_headers
        .iter()
        .filter(|section| section.is_executable())
        .filter_map(|section| file.get(section.file_range()?).map(<[u8]>::to_vec))
        .collect()
}

/// Instructions, and a sum over their lengths that keeps the work alive.
type Walk = (u64, u64);

fn pentimento(code: &[u8], mut visit: impl FnMut(&pentimento_decoder::Instruction) -> u64) -> Walk {
    let (mut at, mut count, mut sum) = (0, 0, 0);
    while at < code.len() {
        match &decode(&code[at..]) {
            Ok(instruction) => {
                at += usize::from(instruction.length());
                sum = visit(black_box(instruction)).wrapping_add(sum);
            }
            Err(_) => at += 1,
        }
        count += 1;
    }
    (count, sum)
}

fn pentimento_operands(instruction: &pentimento_decoder::Instruction) -> u64 {
    let number = |register: Option<Gpr>| register.map_or(8, Gpr::number).into();
    let mut sum = 0_u64;
    for operand in instruction.operands() {
        let value: u64 = match operand {
            Operand::Register(register) => match register {
                Register::Gpr8(register) => register.number().into(),
                Register::Gpr16(register) | Register::Gpr32(register) => register.number().into(),
                Register::Segment(register) => register.number().into(),
                Register::Control(number)
                | Register::Debug(number)
                | Register::St(number)
                | Register::Mmx(number)
                | Register::Xmm(number) => number.into(),
            },
            Operand::Memory(memory) => address(
                number(memory.base),
                number(memory.index),
                memory.scale.into(),
                memory.displacement,
                memory.segment.number().into(),
            ),
            Operand::Immediate { value, .. } => value.into(),
            Operand::Relative(displacement) => displacement as u64,
            Operand::Far { selector, offset } => u64::from(selector) ^ u64::from(offset),
        };
        sum = sum.wrapping_add(value);
    }
    sum
}

/// All that a memory operand says, in one number.
#[inline(always)]
fn address(base: u64, index: u64, scale: u64, displacement: u32, segment: u64) -> u64 {
    u64::from(displacement) ^ base << 32 ^ index << 40 ^ scale << 48 ^ segment << 56
}

fn iced(code: &[u8], mut visit: impl FnMut(&iced_x86::Instruction) -> u64) -> Walk {
    let mut decoder = iced_x86::Decoder::new(32, code, iced_x86::DecoderOptions::NONE);
    let mut instruction = iced_x86::Instruction::default();
    let (mut count, mut sum) = (0, 0);
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        sum = visit(black_box(&instruction)).wrapping_add(sum);
        count += 1;
    }
    (count, sum)
}

fn iced_operands(instruction: &iced_x86::Instruction) -> u64 {
    use iced_x86::OpKind;
    let mut sum = 0_u64;
    for index in 0..instruction.op_count() {
        let value: u64 = match instruction.op_kind(index) {
            OpKind::Register => instruction.op_register(index) as u64,
            OpKind::Memory => address(
                instruction.memory_base() as u64,
                instruction.memory_index() as u64,
                instruction.memory_index_scale().into(),
                instruction.memory_displacement32(),
                instruction.memory_segment() as u64,
            ),
            OpKind::Immediate8 => instruction.immediate8().into(),
            OpKind::Immediate8_2nd => instruction.immediate8_2nd().into(),
            OpKind::Immediate16 => instruction.immediate16().into(),
            OpKind::Immediate32 => instruction.immediate32().into(),
            OpKind::Immediate8to16 => instruction.immediate8to16() as u64,
            OpKind::Immediate8to32 => instruction.immediate8to32() as u64,
            OpKind::NearBranch16 => instruction.near_branch16().into(),
            OpKind::NearBranch32 => instruction.near_branch32().into(),
            OpKind::FarBranch16 => u64::from(instruction.far_branch_selector() ^ instruction.far_branch16()),
            OpKind::FarBranch32 => {
                u64::from(instruction.far_branch_selector()) ^ u64::from(instruction.far_branch32())
            }
            // Memory of string instructions: the kind implies the base.
            kind => kind as u64 ^ (instruction.memory_segment() as u64) << 56,
        };
        sum = sum.wrapping_add(value);
    }
    sum
}

fn yaxpeax(code: &[u8], mut visit: impl FnMut(&YaxpeaxInstruction) -> u64) -> Walk {
    let decoder = InstDecoder::default();
    let mut instruction = YaxpeaxInstruction::default();
    let (mut at, mut count, mut sum) = (0, 0, 0);
    while at < code.len() {
        let mut reader = U8Reader::new(&code[at..]);
        match decoder.decode_into(&mut instruction, &mut reader) {
            Ok(()) => {
                at += instruction.len().to_const() as usize;
                sum = visit(black_box(&instruction)).wrapping_add(sum);
            }
            Err(_) => at += 1,
        }
        count += 1;
    }
    (count, sum)
}

fn yaxpeax_operands(instruction: &YaxpeaxInstruction) -> u64 {
    use yaxpeax_x86::protected_mode::Operand;
    let number = |register: RegSpec| u64::from(register.num());
    let mut sum = 0_u64;
    for index in 0..instruction.operand_count() {
        let segment = || instruction.segment_override_for_op(index).map_or(8, |segment| segment as u64);
        let value = match instruction.operand(index) {
            Operand::Register { reg } => number(reg),
            Operand::AbsoluteU16 { addr } => address(8, 8, 1, addr.into(), segment()),
            Operand::AbsoluteU32 { addr } => address(8, 8, 1, addr, segment()),
            Operand::MemDeref { base } => address(number(base), 8, 1, 0, segment()),
            Operand::Disp { base, disp } => address(number(base), 8, 1, disp as u32, segment()),
            Operand::MemIndexScale { index, scale } => address(8, number(index), scale.into(), 0, segment()),
            Operand::MemIndexScaleDisp { index, scale, disp } => {
                address(8, number(index), scale.into(), disp as u32, segment())
            }
            Operand::MemBaseIndexScale { base, index, scale } => {
                address(number(base), number(index), scale.into(), 0, segment())
            }
            Operand::MemBaseIndexScaleDisp { base, index, scale, disp } => {
                address(number(base), number(index), scale.into(), disp as u32, segment())
            }
            Operand::ImmediateI8 { imm } => imm as u64,
            Operand::ImmediateU8 { imm } => imm.into(),
            Operand::ImmediateI16 { imm } => imm as u64,
            Operand::ImmediateU16 { imm } => imm.into(),
            Operand::ImmediateI32 { imm } => imm as u64,
            Operand::ImmediateU32 { imm } => imm.into(),
            _ => 1,
        };
        sum = sum.wrapping_add(value);
    }
    sum
}

fn total(sections: &[Vec<u8>], walk: impl Fn(&[u8]) -> Walk) -> Walk {
    sections
        .iter()
        .map(|code| walk(code))
        .fold((0, 0), |sum, walk| (sum.0 + walk.0, sum.1.wrapping_add(walk.1)))
}

fn benches(criterion: &mut Criterion) {
    let sections = sections();
    let (instructions, _) = total(&sections, |code| pentimento(code, |_| 1));
    for operands in [false, true] {
        let mut group = criterion.benchmark_group(if operands { "operands" } else { "decode" });
        group.throughput(Throughput::Elements(instructions));
        group.bench_function("pentimento", |bencher| {
            bencher.iter(|| {
                total(&sections, |code| {
                    if operands { pentimento(code, pentimento_operands) } else { pentimento(code, |_| 1) }
                })
            });
        });
        group.bench_function("iced-x86", |bencher| {
            bencher.iter(|| {
                total(&sections, |code| if operands { iced(code, iced_operands) } else { iced(code, |_| 1) })
            });
        });
        group.bench_function("yaxpeax-x86", |bencher| {
            bencher.iter(|| {
                total(&sections, |code| {
                    if operands { yaxpeax(code, yaxpeax_operands) } else { yaxpeax(code, |_| 1) }
                })
            });
        });
        group.finish();
    }
}

criterion_group!(decoders, benches);
criterion_main!(decoders);
