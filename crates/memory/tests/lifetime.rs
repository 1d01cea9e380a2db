//! Tracking, snapshots, forks, sharing and limits, on both backings.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use pentimento_memory::engine::prepare_fast;
use pentimento_memory::{
    Access, AddressSpace, Backing, FaultKind, MapError, PAGE_SIZE, Permissions, SharedError, SharedMemory,
    WatchHit,
};

const R: Permissions = Permissions::READ;
const RW: Permissions = Permissions::READ.union(Permissions::WRITE);
const RWX: Permissions = Permissions::all();

fn both(check: impl Fn(AddressSpace)) {
    for backing in [Backing::Paged, Backing::Reserved] {
        check(AddressSpace::with_backing(backing));
    }
}

#[test]
fn dirty_pages_are_those_stored_to() {
    both(|mut space| {
        space.map(0x1000, 0x5000, RW).unwrap();
        assert!(space.dirty_pages().is_empty(), "mapping is no store");
        space.write(0x2000, 1u8).unwrap();
        space.write(0x2004, 1u8).unwrap();
        space.write(0x4fff, 1u16).unwrap();
        assert_eq!(space.read::<u8>(0x3000), Ok(0));
        assert_eq!(space.dirty_pages(), [2, 4, 5]);
        space.clear_dirty();
        assert!(space.dirty_pages().is_empty());
        space.write(0x4000, 1u8).unwrap();
        assert_eq!(space.dirty_pages(), [4]);
        space.write(0x9000, 1u8).unwrap_err();
        assert_eq!(space.dirty_pages(), [4], "a store that faults is none");
    });
}

#[test]
fn accesses_to_watched_pages_are_recorded() {
    both(|mut space| {
        space.watch(0x2000, 1).unwrap();
        space.map(0x1000, 0x3000, RWX).unwrap();
        space.write(0x1ffe, 0x4433_2211u32).unwrap();
        assert_eq!(space.read::<u32>(0x3000), Ok(0));
        assert_eq!(space.read::<u16>(0x2000), Ok(0x4433));
        space.write(0x2ffc, 1u32).unwrap();
        space.fill(0x2ff0, 0u8, 0x20).unwrap();
        space.copy_forward::<u32>(0x3000, 0x2000, 4).unwrap();
        let hit = |address, length, access| WatchHit { address, length, access };
        let expected = [
            hit(0x2000, 2, Access::Write),
            hit(0x2000, 2, Access::Read),
            hit(0x2ffc, 4, Access::Write),
            hit(0x2ff0, 0x10, Access::Write),
            hit(0x2000, 0x10, Access::Read),
        ];
        assert_eq!((space.watch_generation(), space.take_watch_hits()), (5, expected.to_vec()));
        assert_eq!(space.fork().unwrap().read::<u16>(0x2000), Ok(0x4433));
        space.unwatch(0, u32::MAX).unwrap();
        space.write(0x2000, 1u32).unwrap();
        assert_eq!(space.watch_generation(), 5);
    });
}

#[test]
fn snapshots_nest_and_restore_again_and_again() {
    both(|mut space| {
        space.map(0x1000, 0x2000, RW).unwrap();
        space.write(0x1000, 1u32).unwrap();
        let outer = space.snapshot();
        space.write(0x1000, 2u32).unwrap();
        let inner = space.snapshot();
        for turn in 0..3 {
            space.write(0x1000, 3u32 + turn).unwrap();
            space.unmap(0x2000, 0x1000).unwrap();
            space.map(0x8000, 0x1000, R).unwrap();
            space.restore(inner).unwrap();
            assert_eq!(space.read::<u32>(0x1000), Ok(2));
            assert_eq!((space.permissions(0x2000), space.permissions(0x8000)), (Some(RW), None));
        }
        space.restore(outer).unwrap();
        assert_eq!(space.read::<u32>(0x1000), Ok(1));
        assert!(space.restore(inner).is_err() && space.discard(inner).is_err());
        space.write(0x1000, 9u32).unwrap();
        space.discard(outer).unwrap();
        assert_eq!(space.read::<u32>(0x1000), Ok(9));
        assert_eq!(space.resident_pages(), 1);
    });
}

#[test]
fn discarding_keeps_the_state_and_what_outer_snapshots_need() {
    both(|mut space| {
        space.map(0x1000, 0x2000, RW).unwrap();
        space.write(0x1000, 1u32).unwrap();
        let outer = space.snapshot();
        space.write(0x1000, 2u32).unwrap();
        let inner = space.snapshot();
        space.write(0x1000, 3u32).unwrap();
        space.write(0x2000, 3u32).unwrap();
        assert_eq!(space.resident_pages(), 4, "two pages, and one for each snapshot");
        space.discard(inner).unwrap();
        assert_eq!([0x1000, 0x2000].map(|at| space.read::<u32>(at)), [Ok(3), Ok(3)]);
        assert_eq!(space.resident_pages(), 3, "the inner snapshot's page is gone");
        space.write(0x1000, 4u32).unwrap();
        assert_eq!(space.resident_pages(), 3, "the outer snapshot has what it needs");
        space.restore(outer).unwrap();
        assert_eq!([0x1000, 0x2000].map(|at| space.read::<u32>(at)), [Ok(1), Ok(0)]);
        assert_eq!(space.resident_pages(), 1);
    });
}

#[test]
fn what_a_snapshot_loop_writes_comes_back_each_time() {
    both(|mut space| {
        space.map(0x1000, 0x6000, RWX).unwrap();
        space.fill(0x1000, 7u32, 0x1800).unwrap();
        space.map(0x7000, 0x2000, RWX).unwrap();
        let snapshot = space.snapshot();
        // Pages change their part in the loop: always written, never, every third time, once; zeros before.
        for turn in 0..100u32 {
            space.write(0x1000, turn).unwrap();
            space.write(0x8ffc, turn).unwrap();
            if turn % 3 == 0 {
                space.fill(0x2000, turn, 0x400).unwrap();
            }
            if turn == 50 {
                space.write(0x3ffc, turn).unwrap();
            }
            if turn % 7 == 0 {
                space.protect(0x4000, 0x1000, R).unwrap();
                space.write(0x5000, turn).unwrap();
            }
            if turn % 11 == 0 {
                space.unmap(0x5000, 0x1000).unwrap();
            }
            space.restore(snapshot).unwrap();
            let expected = |at: u32| Ok(if at < 0x7000 { 7 } else { 0 });
            for at in (0x1000..0x9000).step_by(4) {
                assert_eq!(space.read::<u32>(at), expected(at), "turn {turn}, {at:#x}");
            }
            assert_eq!(space.permissions(0x4000), Some(RWX));
        }
        space.discard(snapshot).unwrap();
        assert_eq!(
            space.resident_pages(),
            6 + 1,
            "those that had content, and one that is written each time"
        );
    });
}

#[test]
fn pages_that_a_loop_keeps_for_speed_are_no_reason_to_refuse_one() {
    both(|mut space| {
        space.map(0, 64 * PAGE_SIZE, RW).unwrap();
        // A page needs one more for the moment in which it is copied.
        space.set_resident_limit(Some(8 + 4 + 1));
        space.fill(0, 1u8, 8 * PAGE_SIZE).unwrap();
        let outer = space.snapshot();
        let write = |space: &mut AddressSpace, pages: core::ops::Range<u32>| {
            pages.into_iter().try_for_each(|page| space.write(page * PAGE_SIZE, 2u8))
        };
        for turn in 0..10 {
            // Four pages at a time fit, whichever they are.
            let first = turn % 2 * 4;
            write(&mut space, first..first + 4).unwrap();
            assert_eq!(write(&mut space, 8..10).map_err(|fault| fault.kind), Err(FaultKind::OutOfMemory));
            space.restore(outer).unwrap();
        }
        let inner = space.snapshot();
        write(&mut space, 10..14).unwrap();
        space.restore(inner).unwrap();
        space.map(0, PAGE_SIZE, RW).unwrap();
        space.restore(outer).unwrap();
        assert!((0..8).all(|page| space.read::<u8>(page * PAGE_SIZE) == Ok(1)));
    });
}

#[test]
fn a_snapshot_is_of_one_space() {
    let [mut first, mut second] = [AddressSpace::new(), AddressSpace::new()];
    first.map(0x1000, 0x1000, RW).unwrap();
    second.map(0x2000, 0x1000, RW).unwrap();
    let (of_first, of_second) = (first.snapshot(), second.snapshot());
    second.write(0x2000, 1u8).unwrap();
    let refused = second.restore(of_first).unwrap_err();
    assert_eq!(refused.to_string(), "the address space has no such snapshot");
    assert!(second.discard(of_first).is_err() && first.restore(of_second).is_err());
    assert!(first.fork().unwrap().restore(of_first).is_err());
    assert_eq!(second.read::<u8>(0x2000), Ok(1));
    second.restore(of_second).unwrap();
}

#[test]
fn forks_do_not_see_each_others_stores() {
    both(|mut parent| {
        parent.map(0x1000, 0x3000, RW).unwrap();
        parent.write(0x1000, 1u32).unwrap();
        let mut child = parent.fork().unwrap();
        let mut grandchild = child.fork().unwrap();
        assert_eq!(child.backing(), Backing::Paged, "a process starts paged");
        assert!(parent.backing() == Backing::Paged || child.reserve());
        parent.write(0x1000, 2u32).unwrap();
        // Another thread is as good as this one.
        let child = std::thread::spawn(move || {
            child.write(0x1000, 3u32).unwrap();
            child.write(0x2000, 3u32).unwrap();
            child
        });
        grandchild.write(0x3000, 4u32).unwrap();
        let child = child.join().unwrap();
        let words = |space: &AddressSpace| [0x1000, 0x2000, 0x3000].map(|at| space.read::<u32>(at).unwrap());
        assert_eq!(words(&parent), [2, 0, 0]);
        assert_eq!(words(&child), [3, 3, 0]);
        assert_eq!(words(&grandchild), [1, 0, 4]);
        drop(parent);
        assert_eq!(words(&grandchild), [1, 0, 4]);
    });
}

/// Which of the pages from address zero on can be stored to without further ado.
fn fast(space: &mut AddressSpace, pages: u32) -> Vec<u32> {
    prepare_fast(space);
    (0..pages).filter(|page| space.modify_fast::<u8>(page * PAGE_SIZE, |byte| byte).is_some()).collect()
}

#[test]
fn forks_copy_what_is_written_each_time_and_share_the_rest() {
    const PAGES: u32 = 3000;
    both(|mut parent| {
        parent.map(0, PAGES * PAGE_SIZE, RW).unwrap();
        parent.fill(0, 1u8, PAGES * PAGE_SIZE).unwrap();
        assert_eq!(fast(&mut parent, PAGES).len() as u32, PAGES);
        let first = parent.fork().unwrap();
        assert!(fast(&mut parent, PAGES).is_empty(), "it has written too much to copy it");
        let mut children = vec![];
        for turn in 0..40u8 {
            let pages = if turn < 20 { [7, 70, 700] } else { [8, 80, 800] };
            for page in pages {
                parent.write(page * PAGE_SIZE, turn).unwrap();
            }
            let mut child = parent.fork().unwrap();
            assert!(fast(&mut child, PAGES).is_empty(), "nothing of it is known as written");
            // Now and then all pages are shared, to see which are still written to.
            let expected = match turn {
                16 | 33 => vec![],
                20..33 => vec![7, 8, 70, 80, 700, 800],
                _ => pages.to_vec(),
            };
            assert_eq!(fast(&mut parent, PAGES), expected, "turn {turn}");
            child.write(9 * PAGE_SIZE, turn).unwrap();
            children.push((child, pages));
        }
        assert!((0..PAGES).all(|page| first.read::<u8>(page * PAGE_SIZE) == Ok(1)));
        for (turn, (child, pages)) in (0..).zip(&children) {
            assert!(pages.iter().all(|page| child.read::<u8>(page * PAGE_SIZE) == Ok(turn)), "turn {turn}");
            assert_eq!([9, 10].map(|page| child.read::<u8>(page * PAGE_SIZE)), [Ok(turn), Ok(1)]);
            assert_eq!(child.resident_pages(), PAGES);
        }
        assert_eq!(parent.read::<u8>(9 * PAGE_SIZE), Ok(1));
    });
}

#[test]
fn a_small_process_in_a_reservation_is_copied_until_it_shows_what_it_writes() {
    let mut parent = AddressSpace::with_backing(Backing::Reserved);
    if parent.backing() != Backing::Reserved {
        return;
    }
    parent.map(0, 20 * PAGE_SIZE, RW).unwrap();
    parent.fill(0, 1u8, 20 * PAGE_SIZE).unwrap();
    for turn in 0..20u8 {
        parent.write(3 * PAGE_SIZE, turn).unwrap();
        let child = parent.fork().unwrap();
        let expected = match turn {
            0..16 => (0..20).collect(),
            16 => vec![],
            _ => vec![3],
        };
        assert_eq!(fast(&mut parent, 20), expected, "turn {turn}");
        assert_eq!([3, 4].map(|page| child.read::<u8>(page * PAGE_SIZE)), [Ok(turn), Ok(1)]);
    }
}

#[test]
fn a_fork_within_a_limit_needs_no_more_than_its_parent() {
    both(|mut parent| {
        parent.map(0, 16 * PAGE_SIZE, RW).unwrap();
        parent.set_resident_limit(Some(10));
        for _ in 0..3 {
            parent.fill(0, 1u8, 10 * PAGE_SIZE).unwrap();
            let mut child = parent.fork().unwrap();
            assert_eq!(child.resident_pages(), 10);
            assert!(child.write(10 * PAGE_SIZE, 1u8).is_err());
        }
    });
}

#[test]
fn shared_objects_are_seen_across_forks_by_one_space_at_a_time() {
    both(|mut parent| {
        let object = SharedMemory::new(0x2800).unwrap();
        parent.map_shared(0x1000, 0x4000, RW, &object, 0).unwrap();
        parent.map_shared(0x9000, 0x1000, RW, &object, 0x1000).unwrap();
        assert_eq!(parent.map_shared(0, 1, R, &object, 5), Err(MapError::Unaligned { offset: 5 }));
        let mut child = parent.fork().unwrap();
        parent.write(0x2ffe, 0x4433_2211u32).unwrap();
        assert_eq!(parent.read::<u16>(0x9ffe), Ok(0x2211), "two mappings of one page are one");
        assert_eq!(parent.dirty_pages(), [2, 3]);
        assert_eq!(child.read::<u32>(0x2ffe).map_err(|fault| fault.kind), Err(FaultKind::Busy));
        assert_eq!(object.read(0, &mut [0]), Err(SharedError::Busy));
        parent.release_shared();
        assert_eq!(child.read::<u32>(0x2ffe), Ok(0x4433_2211));
        child.copy_forward::<u8>(0x1001, 0x2ffe, 4).unwrap();
        child.release_shared();
        assert_eq!(parent.read::<u32>(0x1001), Ok(0x4433_2211));

        // The last page counts in full, as Linux has it; beyond it nothing does until it grows.
        assert_eq!(parent.read::<u8>(0x3fff), Ok(0));
        assert_eq!(parent.write(0x4000, 1u8).map_err(|fault| fault.kind), Err(FaultKind::BeyondEnd));
        assert_eq!(parent.write(0x3ffe, 1u32).map_err(|fault| fault.kind), Err(FaultKind::BeyondEnd));
        parent.release_shared();
        object.resize(0x4000).unwrap();
        parent.write(0x4000, 7u8).unwrap();
        parent.release_shared();
        let mut byte = [0];
        object.read(0x3000, &mut byte).unwrap();
        assert_eq!((byte, object.len()), ([7], Some(0x4000)));

        // A space that goes away gives back what it holds, and what was cut off reads as zero.
        child.write(0x1000, 1u8).unwrap();
        drop(child);
        object.resize(0).unwrap();
        object.resize(0x1000).unwrap();
        assert_eq!(parent.read::<u8>(0x1000), Ok(0));
    });
}

#[test]
fn sharing_objects_of_hostile_size_fails() {
    assert_eq!(SharedMemory::new(u64::MAX).err(), Some(SharedError::OutOfRange));
    let object = SharedMemory::new(SharedMemory::MAX_LENGTH).unwrap();
    assert_eq!(object.write(u64::MAX, &[1]), Err(SharedError::OutOfRange));
    assert_eq!(object.write(SharedMemory::MAX_LENGTH - 1, &[1, 2]), Err(SharedError::OutOfRange));
    let mut space = AddressSpace::new();
    space.map_shared(0xffff_f000, 0x1000, RW, &object, u64::MAX << 12).unwrap();
    assert_eq!(space.read::<u8>(u32::MAX).map_err(|fault| fault.kind), Err(FaultKind::BeyondEnd));
}

#[test]
fn a_snapshot_covers_private_pages_and_not_shared_objects() {
    both(|mut space| {
        let object = SharedMemory::new(0x1000).unwrap();
        space.map_shared(0x1000, 0x1000, RW, &object, 0).unwrap();
        let snapshot = space.snapshot();
        space.write(0x1000, 1u8).unwrap();
        space.unmap(0x1000, 0x1000).unwrap();
        space.restore(snapshot).unwrap();
        assert_eq!(space.read::<u8>(0x1000), Ok(1));
    });
}

#[test]
fn the_resident_limit_is_a_fault_that_writes_nothing() {
    both(|mut space| {
        space.map(0, 1 << 30, RW).unwrap();
        assert_eq!(space.resident_pages(), 0, "mapping costs no pages");
        assert_eq!(space.read::<u32>(0x2000_0000), Ok(0));
        space.set_resident_limit(Some(2));
        space.write(0x0000, 1u8).unwrap();
        space.write(0x1000, 1u8).unwrap();
        let kind = space.write(0x1ffe, 0xffff_ffffu32).map_err(|fault| (fault.address, fault.kind));
        assert_eq!(kind, Err((0x2000, FaultKind::OutOfMemory)));
        assert_eq!(space.read::<u16>(0x1ffe), Ok(0));
        let stop = space.fill(0x1000, 1u8, 0x2000).unwrap_err();
        assert_eq!((stop.done, stop.fault.kind), (0x1000, FaultKind::OutOfMemory));
        let snapshot = space.snapshot();
        assert_eq!(space.write(0, 2u8).map_err(|fault| fault.kind), Err(FaultKind::OutOfMemory));
        assert_eq!(space.unmap(0, 0x1000), Err(MapError::OutOfMemory), "the snapshot cannot keep it");
        space.set_resident_limit(None);
        space.write(0, 2u8).unwrap();
        space.restore(snapshot).unwrap();
        assert_eq!(space.read::<u8>(0), Ok(1));
        space.discard(snapshot).unwrap();
        space.unmap(0, 1 << 30).unwrap();
        assert_eq!(space.resident_pages(), 0);
    });
}

#[test]
fn a_thousand_spaces_at_once_and_ten_thousand_in_turn() {
    let make = || {
        let mut space = AddressSpace::new();
        space.map(0x0804_8000, 0x1000, RWX).unwrap();
        space.map(0xbfff_0000, 0x1_0000, RW).unwrap();
        space.write(0xbfff_fff0, 1u32).unwrap();
        space
    };
    let many: Vec<_> = (0..1000).map(|_| make()).collect();
    assert!(many.iter().all(|space| space.read::<u32>(0xbfff_fff0) == Ok(1)));
    drop(many);
    let before = resident();
    for _ in 0..10_000 {
        drop(make());
    }
    // Ten thousand that left their tables and frames behind would be 300 MiB; other tests run beside.
    assert!(resident().saturating_sub(before) < 64 << 20);
}

/// Bytes of host memory in use, or zero where nobody says.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * u64::from(PAGE_SIZE)
}

#[test]
fn a_hundred_thousand_regions_map_like_one() {
    both(|mut space| {
        for region in 0..100_000u32 {
            space.map(region * 2 * PAGE_SIZE, PAGE_SIZE, RW).unwrap();
        }
        assert_eq!(space.regions().count(), 100_000);
        space.write(99_999 * 2 * PAGE_SIZE, 1u8).unwrap();
        assert_eq!(space.resident_pages(), 1);
    });
}

#[test]
fn one_snapshot_can_be_forgotten_among_others() {
    both(|mut space| {
        space.map(0x1000, 0x4000, RW).unwrap();
        let mut taken = Vec::new();
        for round in 0..4u32 {
            taken.push(space.snapshot());
            // Each round writes to a page of its own and to one that all write to.
            space.write(0x1000 + round * 0x1000, round + 1).unwrap();
            space.write(0x1800, round + 1).unwrap();
        }
        let content = |space: &AddressSpace| {
            [0x1000, 0x2000, 0x3000, 0x4000, 0x1800].map(|address| space.read::<u32>(address).unwrap())
        };
        space.forget(taken[1]).unwrap();
        assert_eq!(space.forget(taken[1]), Err(pentimento_memory::NoSuchSnapshot));
        assert_eq!((space.snapshots(), space.has_snapshot(taken[2])), (3, true));
        assert_eq!(content(&space), [1, 2, 3, 4, 4], "forgetting changes nothing");
        space.restore(taken[3]).unwrap();
        assert_eq!(content(&space), [1, 2, 3, 0, 3]);
        space.restore(taken[2]).unwrap();
        assert_eq!(content(&space), [1, 2, 0, 0, 2]);
        space.forget(taken[2]).unwrap();
        space.restore(taken[0]).unwrap();
        assert_eq!(content(&space), [0; 5]);
        space.forget(taken[0]).unwrap();
        assert_eq!((space.snapshots(), space.resident_pages()), (0, 0));
    });
}

#[test]
fn the_first_snapshot_can_be_forgotten_too() {
    both(|mut space| {
        space.map(0x1000, 0x2000, RW).unwrap();
        let first = space.snapshot();
        space.write(0x1000, 1u8).unwrap();
        let second = space.snapshot();
        space.write(0x1000, 2u8).unwrap();
        space.forget(first).unwrap();
        space.restore(second).unwrap();
        assert_eq!(space.read(0x1000), Ok(1u8));
    });
}

#[test]
fn the_content_of_an_object_is_put_back() {
    both(|mut space| {
        let object = SharedMemory::new(0x3800).unwrap();
        space.map_shared(0x1000, 0x4000, RW, &object, 0).unwrap();
        space.write(0x1004, 7u32).unwrap();
        space.write(0x47fc, 8u32).unwrap();
        assert_eq!(object.image().map(|image| image.length()), Err(SharedError::Busy), "the space has it");
        space.release_shared();
        let image = object.image().unwrap();
        assert_eq!(
            (image.length(), image.pages().map(|(index, _)| index).collect::<Vec<_>>()),
            (0x3800, vec![0, 3])
        );
        space.write(0x1004, 9u32).unwrap();
        space.write(0x3000, 10u32).unwrap();
        space.release_shared();
        object.resize(0x2000).unwrap();
        object.put_back(&image).unwrap();
        let read = |space: &AddressSpace, address| space.read::<u32>(address).unwrap();
        assert_eq!([0x1004, 0x3000, 0x47fc].map(|address| read(&space, address)), [7, 0, 8]);
    });
}
