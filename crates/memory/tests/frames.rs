//! What the spaces of one machine share: frames, and the memory that the host keeps for them.
#![cfg(all(feature = "std", target_os = "linux", target_pointer_width = "64"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use pentimento_memory::engine::reservation;
use pentimento_memory::{AddressSpace, Backing, FrameSource, PAGE_SIZE, Permissions};

const RW: Permissions = Permissions::READ.union(Permissions::WRITE);
const PAGE: u64 = PAGE_SIZE as u64;
/// Pages of a machine that are not in its file, at most.
const OF_CHUNKS: u64 = 64;

/// A process of `frames` with `runs` runs of 25 written pages.
fn process(frames: &FrameSource, runs: u32) -> AddressSpace {
    let mut space = AddressSpace::try_new_from(frames, Backing::Paged).unwrap();
    for run in 0..runs {
        let start = 0x0900_0000 + run * 0x20_0000;
        space.map(start, 25 * PAGE_SIZE, RW).unwrap();
        space.fill(start, run + 1, 25 * PAGE_SIZE / 4).unwrap();
    }
    space
}

/// Bytes of `space` as the host sees them in place.
fn in_place(space: &mut AddressSpace, address: u32) -> u32 {
    let base = reservation(space).unwrap().addr().get() as u64;
    let mut bytes = [0; 4];
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    std::os::unix::fs::FileExt::read_exact_at(&memory, &mut bytes, base + u64::from(address)).unwrap();
    u32::from_le_bytes(bytes)
}

#[test]
fn a_space_goes_into_its_reservation_without_copies() {
    let frames = FrameSource::new();
    let first = process(&frames, 8);
    let mut second = process(&frames, 16);
    let before = frames.used_bytes();
    assert!(before >= (24 * 25 - OF_CHUNKS) * PAGE);
    assert!(second.reserve());
    for run in 0..16 {
        assert_eq!(in_place(&mut second, 0x0900_0000 + run * 0x20_0000 + 0x8000), run + 1);
    }
    assert_eq!(frames.used_bytes(), before, "the second process had none of the machine's first pages");

    // What was forked is where it was, too, and so is what came with a new program.
    let mut child = second.fork().unwrap();
    let used = frames.used_bytes();
    assert!(child.reserve());
    assert_eq!(in_place(&mut child, 0x0900_0000), 1);
    assert_eq!(frames.used_bytes(), used);
    drop(first);
}

#[test]
fn a_small_machine_opens_no_file() {
    let frames = FrameSource::new();
    let space = process(&frames, 1);
    assert_eq!((frames.used_bytes(), space.resident_pages()), (0, 25));
}

#[test]
fn memory_of_one_process_is_ready_for_the_next() {
    let frames = FrameSource::new();
    drop(process(&frames, 40));
    let idle = frames.idle_bytes();
    assert_eq!(frames.used_bytes(), 0);
    assert!(idle >= (1000 - OF_CHUNKS) * PAGE);
    for _ in 0..10 {
        let space = process(&frames, 40);
        // What the first process had in the machine's first pages comes anew.
        assert!(frames.used_bytes() + frames.idle_bytes() <= idle + 2 * OF_CHUNKS * PAGE);
        drop(space);
    }
    frames.trim();
    assert_eq!((frames.used_bytes(), frames.idle_bytes()), (0, 0));
    let mut space = process(&frames, 40);
    space.map(0, 1 << 20, RW).unwrap();
    assert!((0..256).all(|page| space.read::<u32>(page * PAGE_SIZE) == Ok(0)));
    assert!((0..256).all(|page| space.write(page * PAGE_SIZE + 8, 1u8).is_ok()));
    assert!((0..256).all(|page| space.read::<u64>(page * PAGE_SIZE) == Ok(0)), "frames come clean");
}

#[test]
fn memory_that_nobody_uses_is_bounded() {
    const MOST: u64 = 32 << 20;
    let frames = FrameSource::new();
    let mut kept = vec![];
    // Each round fills extents, and then has another process use one page of each.
    for round in 0..4u32 {
        let mut large = AddressSpace::try_new_from(&frames, Backing::Paged).unwrap();
        large.map(0, 64 << 20, RW).unwrap();
        large.fill(0, round + 1, 16 << 20).unwrap();
        assert!(frames.used_bytes() >= 63 << 20);
        drop(large);
        assert!(frames.idle_bytes() <= MOST + frames.used_bytes() / 2, "{round}: {frames:?}");
        let mut sparse = AddressSpace::try_new_from(&frames, Backing::Paged).unwrap();
        sparse.map(0, 64 << 20, RW).unwrap();
        for page in (0..64 << 20).step_by(64 * PAGE_SIZE as usize) {
            sparse.write(page, round).unwrap();
        }
        kept.push(sparse);
        assert!(frames.idle_bytes() <= MOST + frames.used_bytes() / 2, "{round}: {frames:?}");
    }
    frames.trim();
    assert_eq!(frames.idle_bytes(), 0, "also in extents that somebody owns");
    for (round, space) in (0..).zip(&kept) {
        assert_eq!([0, 16 << 20].map(|page| space.read::<u32>(page)), [Ok(round); 2]);
    }
}

#[test]
fn threads_share_a_source_while_another_one_trims() {
    let frames = FrameSource::new();
    let work = |seed: u32| {
        let frames = frames.clone();
        std::thread::spawn(move || {
            for turn in 0..30 {
                let mut space = process(&frames, 6);
                let mut child = space.fork().unwrap();
                for page in 0..25 {
                    space.write(0x0900_0000 + page * PAGE_SIZE, seed + turn).unwrap();
                    assert_eq!(child.read::<u32>(0x0900_0000 + page * PAGE_SIZE), Ok(1));
                    child.write(0x0920_0000 + page * PAGE_SIZE, seed).unwrap();
                    assert_eq!(space.read::<u32>(0x0920_0000 + page * PAGE_SIZE), Ok(2));
                }
                drop(space);
                assert_eq!(child.read::<u32>(0x0920_0000), Ok(seed));
                assert_eq!(child.read::<u32>(0x09a0_8000), Ok(6));
            }
        })
    };
    let threads = [work(1000), work(2000), work(3000)];
    while threads.iter().any(|thread| !thread.is_finished()) {
        frames.trim();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    frames.trim();
    assert_eq!((frames.used_bytes(), frames.idle_bytes()), (0, 0));
}
