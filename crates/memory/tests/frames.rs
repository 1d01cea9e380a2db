//! What the spaces of one machine share: frames, and the memory that the host keeps for them.
#![cfg(all(feature = "std", target_os = "linux", target_pointer_width = "64"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use pentimento_memory::engine::{
    CodeReader, mappings, mappings_left, mappings_wanted, prepare_fast, reservation,
};
use pentimento_memory::{
    AddressSpace, Backing, FaultKind, FrameSource, PAGE_SIZE, Permissions, SharedMemory,
};

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
fn pages_that_are_filled_one_after_another_come_in_runs() {
    let frames = FrameSource::new();
    for backing in [Backing::Paged, Backing::Reserved] {
        let mut space = AddressSpace::try_new_from(&frames, backing).unwrap();
        space.map(0x10_0000, 1 << 20, RW).unwrap();
        prepare_fast(&mut space);
        // A small space has no more than it wrote to.
        space.map(0x80_0000, 1 << 20, RW).unwrap();
        for page in 0..256u32 {
            space.write(0x80_0000 + page * PAGE_SIZE, 1u8).unwrap();
            assert_eq!(space.resident_pages(), page + 1);
        }
        let (mut slow, mut resident) = (0, vec![]);
        for page in 0..256u32 {
            let address = 0x10_0000 + page * PAGE_SIZE;
            assert_eq!(space.read::<u32>(address), Ok(0));
            if space.write_fast(address, page).is_none() {
                space.write(address, page).unwrap();
                slow += 1;
                resident.push(space.resident_pages() - 256);
            }
        }
        // Twice as many each time, and then a group of 64 at once.
        assert_eq!((slow, resident), (10, vec![1, 3, 7, 15, 31, 63, 64, 128, 192, 256]), "{backing:?}");
        assert_eq!(space.resident_pages(), 512);
        assert!((0..256).all(|page| space.read(0x10_0000 + page * PAGE_SIZE) == Ok(page)));

        // Not for pages that lie apart, go downwards, differ, or are limited or remembered.
        space.map(0x40_0000, 1 << 20, RW).unwrap();
        space.protect(0x40_3000, PAGE_SIZE, Permissions::READ).unwrap();
        let mut expected = 512;
        for page in [255u32, 254, 253, 100, 102, 0, 1, 2] {
            space.write(0x40_0000 + page * PAGE_SIZE, 1u8).unwrap();
            expected += 1;
            assert_eq!(space.resident_pages(), expected + u32::from(page == 1), "{backing:?} {page}");
        }
        let snapshot = space.snapshot();
        space.write(0x48_0000, 1u8).unwrap();
        space.write(0x48_1000, 1u8).unwrap();
        assert_eq!(space.resident_pages(), expected + 2);
        space.discard(snapshot).unwrap();
        space.set_resident_limit(Some(1000));
        space.write(0x48_2000, 1u8).unwrap();
        assert_eq!(space.resident_pages(), expected + 3);
    }
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

/// That `space`, a [`process`] of `runs` runs, has the content that it was given.
#[track_caller]
fn is_whole(space: &AddressSpace, runs: u32) {
    for run in 0..runs {
        let start = 0x0900_0000 + run * 0x20_0000;
        assert!((0..25).all(|page| space.read::<u32>(start + page * PAGE_SIZE) == Ok(run + 1)), "run {run}");
    }
}

#[test]
fn mappings_are_counted_and_known_beforehand() {
    let frames = FrameSource::new();
    let first = process(&frames, 3);
    let mut space = process(&frames, 8);
    frames.set_mapping_limit(Some(100));
    let wanted = mappings_wanted(&space);
    // A mapping for each run and one for each gap, and two more around it all.
    assert_eq!((wanted, mappings(&space), mappings_left(&space)), (2 * 8, 0, 100));
    assert!(space.reserve() && reservation(&mut space).is_some());
    assert_eq!((mappings(&space), mappings_left(&space)), (wanted + 2, 100 - wanted - 2));
    space.unmap(0x0900_0000, 25 * PAGE_SIZE).unwrap();
    space.protect(0x0920_0000, PAGE_SIZE, Permissions::READ).unwrap();
    assert!(reservation(&mut space).is_some());
    assert_eq!(mappings(&space), wanted + 2 - 2 + 1);
    space.unreserve();
    assert_eq!((mappings(&space), mappings_left(&space)), (0, 100));
    drop(first);
}

#[test]
fn a_space_that_needs_more_mappings_than_there_are_stays_paged() {
    let frames = FrameSource::new();
    let mut small = process(&frames, 4);
    let mut space = process(&frames, 8);
    frames.set_mapping_limit(Some(16));
    assert!(!space.reserve() && space.backing() == Backing::Paged);
    assert!(small.reserve() && reservation(&mut small).is_some());
    is_whole(&space, 8);

    // Each page that is made different takes up to two more.
    let mut written = 0;
    while reservation(&mut small).is_some() {
        small.protect(0x0900_1000 + written * 2 * PAGE_SIZE, PAGE_SIZE, Permissions::READ).unwrap();
        written += 1;
        assert!(written < 12, "sixteen mappings are not enough for {written} pages");
    }
    assert!(written > 1 && small.backing() == Backing::Paged && mappings(&small) == 0);
    is_whole(&small, 4);
    assert!(small.write(0x0900_1000, 1u8).is_err() && small.write(0x0900_0000, 1u32).is_ok());
    frames.set_mapping_limit(None);
    assert!(small.reserve() && in_place(&mut small, 0x0920_0000) == 2);
}

#[test]
fn an_idle_space_makes_room_for_one_that_runs() {
    let frames = FrameSource::new();
    let mut idle = process(&frames, 8);
    let mut busy = process(&frames, 8);
    let mut hot = process(&frames, 8);
    frames.set_mapping_limit(Some(40));
    assert!(idle.reserve() && busy.reserve());
    assert!(reservation(&mut idle).is_some() && reservation(&mut busy).is_some());
    assert!(!hot.reserve(), "both were asked for a moment ago");
    let mut tries = 0;
    while !hot.reserve() {
        assert!(reservation(&mut busy).is_some());
        tries += 1;
        assert!(tries < 100, "one of them is idle by now");
    }
    assert_eq!(
        [&idle, &busy, &hot].map(AddressSpace::backing),
        [Backing::Paged, Backing::Reserved, Backing::Reserved]
    );
    for space in [&mut idle, &mut busy, &mut hot] {
        is_whole(space, 8);
        space.write(0x0900_0000, 9u32).unwrap();
    }
    assert_eq!((in_place(&mut busy, 0x0900_0000), in_place(&mut hot, 0x0900_0000)), (9, 9));
    assert_eq!((reservation(&mut idle), mappings(&idle)), (None, 0));
    drop(busy);
    assert!(idle.reserve() && in_place(&mut idle, 0x0900_0000) == 9, "it may come back");
}

#[test]
fn an_object_that_nobody_else_had_stays_mapped() {
    let object = SharedMemory::new(0x4000).unwrap();
    let [mut space, mut other] =
        [(); 2].map(|()| AddressSpace::try_new_from(&FrameSource::new(), Backing::Reserved).unwrap());
    for space in [&mut space, &mut other] {
        space.map_shared(0x10_0000, 0x4000, Permissions::all(), &object, 0).unwrap();
    }
    space.fill(0x10_0000, 1u8, 0x4000).unwrap();
    assert_eq!(in_place(&mut space, 0x10_1000) as u8, 1);
    let before = mappings(&space);
    for turn in 2..6u8 {
        space.release_shared();
        object.write(0x1000, &[turn]).unwrap();
        if turn == 4 {
            // As the kernel does for a system call that writes to one of the pages.
            space.write_bytes(0x10_2000, &[turn]).unwrap();
        }
        assert_eq!((in_place(&mut space, 0x10_1000) as u8, mappings(&space)), (turn, before));
        assert_eq!(other.read::<u8>(0x10_0000).map_err(|fault| fault.kind), Err(FaultKind::Busy));
    }

    // Where another one has it, or has had it, pages come when they are touched.
    space.release_shared();
    other.write(0x10_1000, 9u8).unwrap();
    assert!(reservation(&mut space).is_some());
    assert_eq!(mappings(&space), 2, "nothing is shown");
    other.release_shared();
    assert_eq!(space.read::<u8>(0x10_1000), Ok(9));
    assert_eq!(in_place(&mut space, 0x10_1000) as u8, 9);

    // What is mapped elsewhere meanwhile, made smaller or forgotten does not come back.
    space.release_shared();
    object.resize(0x1000).unwrap();
    assert!(reservation(&mut space).is_some() && mappings(&space) == 2);
    assert_eq!(space.read::<u8>(0x10_1000).map_err(|fault| fault.kind), Err(FaultKind::BeyondEnd));
    space.write(0x10_0000, 5u8).unwrap();
    space.release_shared();
    let second = SharedMemory::new(0x4000).unwrap();
    space.unmap(0x10_0000, 0x4000).unwrap();
    space.map_shared(0x10_0000, 0x4000, Permissions::all(), &second, 0).unwrap();
    assert!(reservation(&mut space).is_some() && mappings(&space) == 2);
    assert_eq!(space.read::<u8>(0x10_0000), Ok(0));
}

#[test]
fn code_of_an_object_is_found_in_pages_that_stayed_mapped() {
    let object = SharedMemory::new(0x1000).unwrap();
    let mut space = AddressSpace::with_backing(Backing::Reserved);
    for address in [0x10_0000, 0x20_0000] {
        space.map_shared(address, 0x1000, Permissions::all(), &object, 0).unwrap();
    }
    let mut reader = CodeReader::new();
    let _ = reader.catch_up(&mut space);
    space.write(0x20_0000, 1u8).unwrap();
    space.release_shared();
    // The page that is written through is not held when its other view is translated.
    assert!(reader.watch(&mut space, 0x10_0000, 4));
    assert!(reservation(&mut space).is_some());
    prepare_fast(&mut space);
    assert!(space.write_fast(0x20_0000, 2u8).is_none() && reader.is_current(&space));
    space.write(0x20_0000, 2u8).unwrap();
    assert!(!reader.is_current(&space));
    // Through a handle, while the space does not hold it.
    let _ = reader.catch_up(&mut space);
    assert!(reader.watch(&mut space, 0x10_0000, 4));
    space.release_shared();
    object.write(0, &[3]).unwrap();
    assert!(reservation(&mut space).is_some());
    assert!(!reader.is_current(&space));
}
