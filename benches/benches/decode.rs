//! The decoder beside `iced-x86` and `yaxpeax-x86`, over the code of real i386 programs.
//!
//! The programs are those that `cargo xtask guests` unpacks, or the ELF files that the environment
//! variable `PENTIMENTO_GUESTS` lists, separated by colons; without either, the project's own
//! fixtures. Each decoder walks the executable sections from start to end. Measured is what a
//! translator or interpreter needs: `decode` alone, and `operands`, where every operand of every
//! instruction is looked at too.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use goblin::elf::Elf;
use pentimento_decoder::{Operand, decode};
use yaxpeax_arch::{Decoder as _, LengthedInstruction as _, U8Reader};
use yaxpeax_x86::protected_mode::{InstDecoder, Instruction as YaxpeaxInstruction};

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
        match decode(&code[at..]) {
            Ok(instruction) => {
                at += usize::from(instruction.length());
                sum += visit(black_box(&instruction));
            }
            Err(_) => at += 1,
        }
        count += 1;
    }
    (count, sum)
}

fn pentimento_operands(instruction: &pentimento_decoder::Instruction) -> u64 {
    instruction
        .operands()
        .map(|operand| match operand {
            Operand::Memory(memory) => u64::from(memory.displacement),
            Operand::Immediate { value, .. } => u64::from(value),
            _ => 1,
        })
        .sum()
}

fn iced(code: &[u8], mut visit: impl FnMut(&iced_x86::Instruction) -> u64) -> Walk {
    let mut decoder = iced_x86::Decoder::new(32, code, iced_x86::DecoderOptions::NONE);
    let mut instruction = iced_x86::Instruction::default();
    let (mut count, mut sum) = (0, 0);
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        sum += visit(black_box(&instruction));
        count += 1;
    }
    (count, sum)
}

fn iced_operands(instruction: &iced_x86::Instruction) -> u64 {
    (0..instruction.op_count())
        .map(|index| match instruction.op_kind(index) {
            iced_x86::OpKind::Memory => u64::from(instruction.memory_displacement32()),
            iced_x86::OpKind::Register => instruction.op_register(index) as u64 & 1,
            iced_x86::OpKind::NearBranch32 => instruction.near_branch_target() & 1,
            _ => instruction.try_immediate(index).unwrap_or(1),
        })
        .sum()
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
                sum += visit(black_box(&instruction));
            }
            Err(_) => at += 1,
        }
        count += 1;
    }
    (count, sum)
}

fn yaxpeax_operands(instruction: &YaxpeaxInstruction) -> u64 {
    use yaxpeax_x86::protected_mode::Operand;
    (0..instruction.operand_count())
        .map(|index| match instruction.operand(index) {
            Operand::AbsoluteU32 { addr } => u64::from(addr),
            Operand::Disp { disp, .. } | Operand::MemBaseIndexScaleDisp { disp, .. } => disp as u64,
            Operand::ImmediateI32 { imm } => imm as u64,
            Operand::ImmediateI8 { imm } => imm as u64,
            _ => 1,
        })
        .sum()
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
