//! The address space: loads, stores, block operations, and what mapping, creating, forking and
//! snapshots cost, on both backings. `cargo bench -p pentimento-benches --bench memory`.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use pentimento_memory::engine::reservation;
use pentimento_memory::{AddressSpace, Backing, Fault, FrameSource, PAGE_SIZE, Permissions};

const RW: Permissions = Permissions::READ.union(Permissions::WRITE);
/// Where the benches' memory lies, and how much of it.
const BASE: u32 = 0x0900_0000;
const LENGTH: u32 = 16 << 20;

/// A space with 16 MiB of written pages.
fn filled(backing: Backing) -> AddressSpace {
    let mut space = AddressSpace::with_backing(backing);
    let made = space.map(BASE, LENGTH, RW).is_ok() && space.fill(BASE, 0u32, LENGTH / 4).is_ok();
    assert!(made, "the host has 16 MiB to give");
    space
}

fn chase(space: &AddressSpace, mut at: u32, steps: u32) -> Result<u32, Fault> {
    for _ in 0..steps {
        at = space.read(at)?;
    }
    Ok(at)
}

fn loads(space: &AddressSpace, steps: u32) -> Result<u32, Fault> {
    (0..steps).try_fold(0u32, |sum, step| Ok(sum.wrapping_add(space.read::<u32>(BASE + step * 4 % 0x8000)?)))
}

fn stores(space: &mut AddressSpace, steps: u32) -> Result<(), Fault> {
    (0..steps).try_for_each(|step| space.write(BASE + step * 4 % 0x8000, step))
}

fn accesses(group: &mut BenchmarkGroup<'_, WallTime>, backing: Backing) {
    const STEPS: u32 = 10_000;
    let mut space = filled(backing);
    group.throughput(Throughput::Elements(u64::from(STEPS)));
    group.bench_function("load", |bencher| bencher.iter(|| loads(black_box(&space), STEPS)));
    group.bench_function("store", |bencher| bencher.iter(|| stores(black_box(&mut space), STEPS)));
    // A ring through 256 words, each load's address the last one's value.
    for word in 0..256u32 {
        let linked = space.write(BASE + word * 68, BASE + (word + 1) % 256 * 68);
        assert_eq!(linked, Ok(()), "the ring lies in mapped memory");
    }
    group.bench_function("dependent load", |bencher| bencher.iter(|| chase(black_box(&space), BASE, STEPS)));

    group.throughput(Throughput::Bytes(1 << 20));
    let half = BASE + LENGTH / 2;
    group.bench_function("copy 1 MiB", |bencher| {
        bencher.iter(|| space.copy_forward::<u32>(BASE, half, 1 << 18))
    });
    group.bench_function("fill 1 MiB", |bencher| bencher.iter(|| space.fill(BASE, 7u32, 1 << 18)));
}

fn lifetimes(group: &mut BenchmarkGroup<'_, WallTime>, backing: Backing) {
    group.throughput(Throughput::Elements(1));
    group.bench_function("create and drop", |bencher| {
        bencher.iter(|| drop(black_box(AddressSpace::with_backing(backing))));
    });
    group.bench_function("create, map code and stack, write both, drop", |bencher| {
        bencher.iter(|| {
            let mut space = AddressSpace::with_backing(backing);
            let mapped = space.map(0x0804_8000, PAGE_SIZE, Permissions::all());
            let stack = mapped.and_then(|()| space.map(0xbfff_0000, 16 * PAGE_SIZE, RW));
            stack.map(|()| (space.write(0x0804_8000, 0x90u8), space.write(0xbfff_fff0, 0u32)))
        });
    });
    let mut space = AddressSpace::with_backing(backing);
    group.throughput(Throughput::Elements(1 << 18));
    group.bench_function("map and unmap 1 GiB, a page", |bencher| {
        bencher.iter(|| space.map(0, 1 << 30, RW).and_then(|()| space.unmap(0, 1 << 30)));
    });
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("map and unmap 10,000 regions, a region", |bencher| {
        let region = |number: u32| number * 3 * PAGE_SIZE;
        bencher.iter(|| {
            let mapped = (0..10_000).try_for_each(|number| space.map(region(number), PAGE_SIZE, RW));
            mapped.and_then(|()| (0..10_000).try_for_each(|number| space.unmap(region(number), PAGE_SIZE)))
        });
    });
    let mut space = filled(backing);
    group.throughput(Throughput::Elements(u64::from(LENGTH / PAGE_SIZE)));
    group.bench_function("fork 16 MiB, a page", |bencher| {
        bencher.iter_batched(|| (), |()| space.fork(), BatchSize::PerIteration);
    });
    space.clear_dirty();
    let snapshot = space.snapshot();
    group.throughput(Throughput::Elements(1));
    group.bench_function("write 50 pages and restore", |bencher| {
        bencher.iter(|| {
            let written = (0..50).try_for_each(|page| space.write(BASE + page * PAGE_SIZE, page));
            (written, space.restore(snapshot))
        });
    });
}

/// A process of `runs` runs of 25 written pages, beside another one of its machine.
fn process(frames: &FrameSource, runs: u32) -> AddressSpace {
    let space = AddressSpace::try_new_from(frames, Backing::Paged);
    let Ok(mut space) = space else { unreachable!("the host has memory for a page table") };
    for run in 0..runs {
        let start = BASE + run * 0x20_0000;
        let made =
            space.map(start, 25 * PAGE_SIZE, RW).is_ok() && space.fill(start, 1u8, 25 * PAGE_SIZE).is_ok();
        assert!(made, "the host has some megabytes to give");
    }
    space
}

/// What it costs a hot process to get a reservation, of processes whose frames are in the machine's file.
fn promotions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("memory/promotion");
    let frames = FrameSource::new();
    let mut first = process(&frames, 4);
    assert!(reservation(&mut first).is_none() && first.reserve());
    for runs in [4, 16, 64] {
        let name = |what: &str| format!("{what} {} pages in {runs} runs", runs * 25);
        group.bench_function(name("reserve"), |bencher| {
            bencher.iter_batched(
                || process(&frames, runs),
                |mut space| {
                    space.reserve();
                    (reservation(&mut space), space)
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(name("give back"), |bencher| {
            let prepare = || {
                let mut space = process(&frames, runs);
                space.reserve();
                assert!(reservation(&mut space).is_some());
                space
            };
            let give_back = |mut space: AddressSpace| {
                space.unreserve();
                space
            };
            bencher.iter_batched(prepare, give_back, BatchSize::PerIteration);
        });
        group.bench_function(name("a process of"), |bencher| bencher.iter(|| drop(process(&frames, runs))));
    }
    group.finish();
}

fn memory(criterion: &mut Criterion) {
    for (name, backing) in [("paged", Backing::Paged), ("reserved", Backing::Reserved)] {
        let mut group = criterion.benchmark_group(format!("memory/{name}"));
        accesses(&mut group, backing);
        lifetimes(&mut group, backing);
        group.finish();
    }
}

criterion_group!(benches, memory, promotions);
criterion_main!(benches);
