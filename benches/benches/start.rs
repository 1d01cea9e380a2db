//! What it costs to create a machine that runs one instruction and goes away again, or to put one back to a
//! snapshot: a host that judges a snippet of code pays one of the two each time. `cargo bench -p pentimento-benches --bench start`.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use pentimento::{Cpu, CpuModel, EngineKind, Halt, Machine};
use pentimento_memory::{AddressSpace, Backing, Permissions};

const BASE: u32 = 0x1000;
const LENGTH: u32 = 0x2000;
/// `inc eax; int 0x80`.
const CODE: &[u8] = &[0x40, 0xcd, 0x80];
const RWX: Permissions = Permissions::all();

/// A bare CPU that executes one instruction, or with a larger budget goes on to the interrupt.
fn cpu(engine: EngineKind, backing: Backing, budget: u64) -> Halt {
    let mut cpu = Cpu::with(CpuModel::default(), engine);
    cpu.memory = AddressSpace::with_backing(backing);
    let mapped = cpu.memory.map(BASE, LENGTH, RWX).is_ok() && cpu.memory.poke_bytes(BASE, CODE).is_ok();
    assert!(mapped, "the host has two pages to give");
    cpu.state.eip = BASE;
    cpu.run(black_box(budget))
}

/// A Linux machine whose only process executes one instruction.
fn machine(engine: EngineKind) -> Option<Halt> {
    let mut machine = Machine::builder().engine(engine).build().ok()?;
    machine.load_code(BASE, CODE, LENGTH).ok()?;
    Some(machine.run(black_box(1)))
}

/// A Linux machine that runs a static program to its end.
fn hello(program: &[u8]) -> Option<Halt> {
    let mut machine = Machine::builder().build().ok()?;
    machine.kernel().spawn_image(b"hello", program, &[b"hello"], &[]).ok()?;
    Some(machine.run(black_box(1_000_000)))
}

/// `next: inc dword [ebx]; add ebx, 1000h; loop next`, for 50 pages.
const WRITE_50_PAGES: &[u8] = b"\xbb\0\0\x20\0\xb9\x32\0\0\0\xff\x03\x81\xc3\0\x10\0\0\xe2\xf6";

/// A CPU that is put back each time after it has written 50 pages.
fn restore_cpu(criterion: &mut Criterion, engine: EngineKind) {
    let mut cpu = Cpu::with(CpuModel::default(), engine);
    let mapped = cpu.memory.map(BASE, 0x40_0000, RWX).is_ok()
        && cpu.memory.poke_bytes(BASE, WRITE_50_PAGES).is_ok()
        && cpu.memory.poke_bytes(BASE + WRITE_50_PAGES.len() as u32, CODE).is_ok();
    assert!(mapped, "the host has a page to give");
    cpu.state.eip = BASE;
    let start = cpu.snapshot();
    criterion.bench_function(&format!("cpu, {engine}: write 50 pages and restore"), |bencher| {
        bencher.iter(|| {
            assert_eq!(cpu.run(1000), Halt::Interrupt(0x80));
            assert_eq!(cpu.restore(&start), Ok(()));
        });
    });
}

/// A whole machine that is put back each time after it has written 50 pages.
fn restore_machine(criterion: &mut Criterion, engine: EngineKind) {
    let Ok(mut machine) = Machine::builder().engine(engine).build() else { unreachable!("it needs nothing") };
    assert!(machine.load_code(BASE, WRITE_50_PAGES, 0x40_0000).is_ok(), "the host has a page to give");
    let start = machine.snapshot();
    criterion.bench_function(&format!("machine, {engine}: write 50 pages and restore"), |bencher| {
        bencher.iter(|| {
            assert_eq!(machine.run(1000), Halt::CodeEnd);
            assert_eq!(machine.restore(&start), Ok(()));
        });
    });
}

fn restore(criterion: &mut Criterion) {
    for engine in EngineKind::ALL.iter().copied() {
        restore_cpu(criterion, engine);
        restore_machine(criterion, engine);
    }
}

fn start(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("start, one instruction");
    for engine in EngineKind::ALL.iter().copied() {
        for backing in [Backing::Paged, Backing::Reserved] {
            for (budget, exit) in [(1, Halt::Budget), (1000, Halt::Interrupt(0x80))] {
                assert_eq!(cpu(engine, backing, budget), exit);
                group.bench_function(format!("cpu, {engine:?}, {backing:?}, budget {budget}"), |bencher| {
                    bencher.iter(|| cpu(engine, backing, budget));
                });
            }
        }
        assert_eq!(machine(engine), Some(Halt::Budget));
        group.bench_function(format!("machine, {engine:?}"), |bencher| bencher.iter(|| machine(engine)));
    }
    group.finish();

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/programs/hello");
    let program = std::fs::read(path).unwrap_or_default();
    assert_eq!(hello(&program), Some(Halt::Exited(0)), "fixtures/programs/hello runs");
    criterion.bench_function("start to end, hello", |bencher| bencher.iter(|| hello(&program)));
}

criterion_group!(benches, start, restore);
criterion_main!(benches);
