//! What engines learn of writes to the code that they have translated, on both backings.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use pentimento_memory::engine::{CodeChanges, CodeReader, CodeWrite, generation, prepare_fast};
use pentimento_memory::{AddressSpace, Backing, Permissions, SharedMemory};

const RW: Permissions = Permissions::READ.union(Permissions::WRITE);
const RX: Permissions = Permissions::READ.union(Permissions::EXECUTE);
const RWX: Permissions = Permissions::all();

fn both(check: impl Fn(AddressSpace)) {
    for backing in [Backing::Paged, Backing::Reserved] {
        check(AddressSpace::with_backing(backing));
    }
}

/// A reader that knows `space`.
fn reader(space: &mut AddressSpace) -> CodeReader {
    let mut reader = CodeReader::new();
    assert_eq!(reader.catch_up(space), CodeChanges::Everything);
    assert!(reader.is_current(space));
    reader
}

/// That what `reader` learns is exactly these writes, as address and length.
#[track_caller]
fn learns(reader: &mut CodeReader, space: &mut AddressSpace, expected: &[(u32, u32)]) {
    assert_eq!(reader.is_current(space), expected.is_empty());
    let writes = expected.iter().map(|&(address, length)| CodeWrite { address, length }).collect();
    assert_eq!(reader.catch_up(space), CodeChanges::Writes(writes));
    assert!(reader.is_current(space));
}

#[test]
fn stores_to_translated_bytes_are_seen_and_others_are_not() {
    both(|mut space| {
        space.map(0x1000, 0x3000, RWX).unwrap();
        let mut reader = reader(&mut space);
        assert!(reader.watch(&mut space, 0x1ff0, 0x20));
        assert!(reader.watch(&mut space, 0x1010, 4));
        assert!(!reader.watch(&mut space, 0x9000, 1), "nothing is mapped there");
        let before = generation(&space);
        for (address, value) in
            [(0x1000, 1u32), (0x100c, 2), (0x1014, 3), (0x1fec, 4), (0x2010, 5), (0x3000, 6)]
        {
            space.write(address, value).unwrap();
            assert_eq!(space.read::<u32>(address), Ok(value));
        }
        assert_eq!(generation(&space), before);
        learns(&mut reader, &mut space, &[]);

        space.write(0x100e, 1u32).unwrap();
        assert_ne!(generation(&space), before);
        learns(&mut reader, &mut space, &[(0x100e, 4)]);
        space.write(0x100e, 2u32).unwrap();
        learns(&mut reader, &mut space, &[]);
        space.write(0x1012, 2u8).unwrap();
        learns(&mut reader, &mut space, &[(0x1012, 1)]);
        space.poke_bytes(0x2001, &[1, 2, 3]).unwrap();
        learns(&mut reader, &mut space, &[(0x2001, 3)]);
        space.fill(0x1ff8, 0u8, 0x10).unwrap();
        learns(&mut reader, &mut space, &[(0x1ff8, 0x10)]);
        space.copy_forward::<u8>(0x1ff0, 0x3000, 8).unwrap();
        learns(&mut reader, &mut space, &[(0x1ff0, 8)]);
    });
}

#[test]
fn a_change_of_the_mapping_is_a_write_to_the_page() {
    both(|mut space| {
        let mut reader = reader(&mut space);
        let changes: [fn(&mut AddressSpace); 4] = [
            |space| space.protect(0x1000, 0x1000, RW).unwrap(),
            |space| space.unmap(0x1000, 0x1000).unwrap(),
            |space| space.map(0x1000, 0x1000, RWX).unwrap(),
            |space| {
                let object = SharedMemory::new(0x1000).unwrap();
                space.map_shared(0x1000, 0x1000, RX, &object, 0).unwrap();
            },
        ];
        for change in changes {
            space.map(0x1000, 0x1000, RWX).unwrap();
            assert!(reader.watch(&mut space, 0x1800, 1));
            space.protect(0x1000, 0x1000, RX).unwrap();
            learns(&mut reader, &mut space, &[]);
            change(&mut space);
            learns(&mut reader, &mut space, &[(0x1000, 0x1000)]);
        }
    });
}

#[test]
fn each_reader_learns_of_each_write() {
    both(|mut space| {
        space.map(0x1000, 0x2000, RWX).unwrap();
        let mut first = reader(&mut space);
        let mut second = reader(&mut space);
        assert!(first.watch(&mut space, 0x1000, 8));
        assert!(second.watch(&mut space, 0x1004, 8));
        first.release(&mut space, 0x1000);
        space.write(0x1006, 1u8).unwrap();
        learns(&mut first, &mut space, &[(0x1006, 1)]);
        assert!(first.watch(&mut space, 0x1006, 1));
        space.write(0x1006, 1u8).unwrap();
        learns(&mut first, &mut space, &[(0x1006, 1)]);
        learns(&mut second, &mut space, &[(0x1006, 1), (0x1006, 1)]);

        assert!(first.watch(&mut space, 0x2000, 8));
        first.release(&mut space, 0x2000);
        space.write(0x2000, 1u8).unwrap();
        learns(&mut first, &mut space, &[]);
    });
}

#[test]
fn a_reader_knows_one_space() {
    let mut first = AddressSpace::new();
    first.map(0x1000, 0x1000, RWX).unwrap();
    let mut reader = reader(&mut first);
    assert!(reader.watch(&mut first, 0x1000, 1));
    let mut second = first.fork().unwrap();
    let identities = [first.identity(), second.identity()];
    assert!(!reader.is_current(&second) && !reader.watch(&mut second, 0x1000, 1));
    core::mem::swap(&mut first, &mut second);
    assert_eq!([second.identity(), first.identity()], identities, "an identity moves with its space");
    assert!(!reader.is_current(&first));
    assert_eq!(reader.catch_up(&mut first), CodeChanges::Everything);
    drop(second);
    assert!((0..100).all(|_| !identities.contains(&AddressSpace::new().identity())));
}

#[test]
fn a_fork_leaves_the_parents_code_watched() {
    both(|mut parent| {
        parent.map(0x1000, 0x1000, RWX).unwrap();
        parent.write(0x1000, 1u8).unwrap();
        let mut of_parent = reader(&mut parent);
        assert!(of_parent.watch(&mut parent, 0x1000, 1));
        let mut child = parent.fork().unwrap();
        let mut of_child = reader(&mut child);
        assert!(of_child.watch(&mut child, 0x1000, 1));
        child.write(0x1000, 2u8).unwrap();
        learns(&mut of_child, &mut child, &[(0x1000, 1)]);
        learns(&mut of_parent, &mut parent, &[]);
        parent.write(0x1000, 3u8).unwrap();
        learns(&mut of_parent, &mut parent, &[(0x1000, 1)]);
        learns(&mut of_child, &mut child, &[]);
    });
}

#[test]
fn a_store_through_another_mapping_is_seen_at_once() {
    both(|mut space| {
        let object = SharedMemory::new(0x2000).unwrap();
        space.map_shared(0x1000, 0x2000, RW, &object, 0).unwrap();
        space.map_shared(0x8000, 0x1000, RX, &object, 0x1000).unwrap();
        space.map_shared(0x9000, 0x2000, RX, &object, 0).unwrap();
        let mut reader = reader(&mut space);
        // Fast to store to before anything of it is translated.
        space.write(0x2010, 1u32).unwrap();
        space.write(0x2010, 2u32).unwrap();
        assert!(reader.watch(&mut space, 0x8010, 2));
        let before = generation(&space);
        space.write(0x2020, 3u32).unwrap();
        assert_eq!(generation(&space), before);
        space.write(0x2010, 3u32).unwrap();
        assert_ne!(generation(&space), before);
        learns(&mut reader, &mut space, &[(0x8010, 4)]);
        // And so again and again, whatever is held in between, in two places.
        for turn in 0..3u32 {
            assert!(reader.watch(&mut space, 0x8010, 2) && reader.watch(&mut space, 0xa010, 2));
            if turn == 1 {
                space.release_shared();
            }
            space.write(0x200e, turn).unwrap();
            learns(&mut reader, &mut space, &[(0x800e, 4), (0xa00e, 4)]);
        }
        space.unmap(0x8000, 0x1000).unwrap();
        learns(&mut reader, &mut space, &[(0x8000, 0x1000)]);
    });
}

#[test]
fn what_others_do_to_an_object_is_seen_when_a_reader_looks() {
    both(|mut space| {
        let object = SharedMemory::new(0x2000).unwrap();
        space.map_shared(0x1000, 0x2000, RX, &object, 0).unwrap();
        let mut other = AddressSpace::with_backing(space.backing());
        other.map_shared(0x6000, 0x2000, RW, &object, 0).unwrap();
        let mut reader = reader(&mut space);
        assert!(reader.watch(&mut space, 0x1ffe, 4));
        space.release_shared();

        other.write(0x6ff0, 1u32).unwrap();
        other.release_shared();
        learns(&mut reader, &mut space, &[]);
        other.write(0x6ffe, 1u32).unwrap();
        other.release_shared();
        learns(&mut reader, &mut space, &[(0x1ffe, 4)]);

        assert!(reader.watch(&mut space, 0x1ffe, 4));
        space.release_shared();
        object.write(0xff0, &[1; 0x20]).unwrap();
        learns(&mut reader, &mut space, &[(0x1ff0, 0x20)]);

        assert!(reader.watch(&mut space, 0x1ffe, 4));
        space.release_shared();
        object.resize(0xfff).unwrap();
        learns(&mut reader, &mut space, &[(0x1fff, 0x1001)]);
        assert!(!reader.watch(&mut space, 0x2000, 1), "beyond the end");
        object.resize(0x2000).unwrap_err();
        space.release_shared();
        object.resize(0x2000).unwrap();
        assert!(reader.watch(&mut space, 0x2000, 1));
    });
}

#[test]
fn a_space_that_takes_an_object_looks_again() {
    let object = SharedMemory::new(0x1000).unwrap();
    let mut space = AddressSpace::new();
    space.map_shared(0x1000, 0x1000, RX, &object, 0).unwrap();
    let mut reader = reader(&mut space);
    assert!(reader.watch(&mut space, 0x1000, 1));
    space.release_shared();
    let before = generation(&space);
    object.write(0, &[1]).unwrap();
    assert_eq!(generation(&space), before, "nobody runs here");
    assert_eq!(space.read::<u8>(0x1000), Ok(1));
    assert_ne!(generation(&space), before, "who polls between two instructions has to know");
    learns(&mut reader, &mut space, &[(0x1000, 1)]);
}

#[test]
fn code_of_an_object_that_another_space_holds_counts_as_written() {
    let object = SharedMemory::new(0x2000).unwrap();
    let [mut space, mut other] = [AddressSpace::new(), AddressSpace::new()];
    for space in [&mut space, &mut other] {
        space.map_shared(0x1000, 0x2000, RWX, &object, 0).unwrap();
    }
    let mut reader = reader(&mut space);
    assert!(reader.watch(&mut space, 0x1000, 1));
    space.release_shared();
    other.write(0x1000, 1u8).unwrap();
    learns(&mut reader, &mut space, &[(0x1000, 0x1000)]);
    assert!(!reader.watch(&mut space, 0x1000, 1));
    other.release_shared();
    assert!(reader.watch(&mut space, 0x1000, 1));
}

#[test]
fn an_object_ends_with_its_mappings_however_often_it_was_watched() {
    let object = SharedMemory::new(0x1000).unwrap();
    let mut space = AddressSpace::new();
    let mut reader = reader(&mut space);
    space.map_shared(0x1000, 0x1000, RX, &object, 0).unwrap();
    assert!(reader.watch(&mut space, 0x1000, 1));
    space.release_shared();
    object.write(0, &[1]).unwrap();
    space.unmap(0x1000, 0x1000).unwrap();
    object.write(0, &[2]).unwrap();
    learns(&mut reader, &mut space, &[(0x1000, 0x1000)]);
    object.write(0, &[3]).unwrap();
    learns(&mut reader, &mut space, &[]);
}

#[test]
fn restoring_a_page_with_code_is_a_write_to_it() {
    both(|mut space| {
        let object = SharedMemory::new(0x1000).unwrap();
        space.map(0x1000, 0x1000, RWX).unwrap();
        space.write(0x1000, 1u8).unwrap();
        let mut reader = reader(&mut space);
        let snapshot = space.snapshot();
        space.write(0x1000, 2u8).unwrap();
        assert!(reader.watch(&mut space, 0x1000, 1));
        space.restore(snapshot).unwrap();
        learns(&mut reader, &mut space, &[(0x1000, 0x1000)]);
        assert!(reader.watch(&mut space, 0x1000, 1));
        space.map_shared(0x1000, 0x1000, RX, &object, 0).unwrap();
        assert!(reader.watch(&mut space, 0x1000, 1));
        space.restore(snapshot).unwrap();
        learns(&mut reader, &mut space, &[(0x1000, 0x1000)]);
        assert_eq!(space.read::<u8>(0x1000), Ok(1));
    });
}

#[test]
fn restoring_again_and_again_is_a_write_to_the_bytes_that_differ() {
    both(|mut space| {
        space.map(0x1000, 0x1000, RWX).unwrap();
        space.fill(0x1000, 0x90u8, 0x1000).unwrap();
        let snapshot = space.snapshot();
        for turn in 0..2u8 {
            space.write(0x1800, turn).unwrap();
            space.restore(snapshot).unwrap();
        }
        let mut reader = reader(&mut space);
        assert!(reader.watch(&mut space, 0x1100, 8));
        for turn in 0..40u8 {
            space.write(0x1800, turn).unwrap();
            space.restore(snapshot).unwrap();
            learns(&mut reader, &mut space, &[]);
        }
        space.write(0x1104, 0u8).unwrap();
        learns(&mut reader, &mut space, &[(0x1104, 1)]);
        assert!(reader.watch(&mut space, 0x1104, 1));
        space.restore(snapshot).unwrap();
        learns(&mut reader, &mut space, &[(0x1100, 8)]);
        assert_eq!(space.read::<u64>(0x1100), Ok(0x9090_9090_9090_9090));
    });
}

#[test]
fn a_page_that_its_reader_checks_is_as_fast_as_any() {
    both(|mut space| {
        prepare_fast(&mut space);
        space.map(0x1000, 0x3000, RWX).unwrap();
        space.fill(0x1000, 0x90u8, 0x3000).unwrap();
        let [mut first, mut second] = [reader(&mut space), reader(&mut space)];
        assert!(!CodeReader::new().leave_unwatched(&mut space, 0x1000), "it does not know the space");
        assert!(!first.leave_unwatched(&mut space, 0x9000), "nothing is mapped there");

        assert!(first.watch(&mut space, 0x1000, 8) && space.write_fast(0x1800, 1u8).is_none());
        assert!(first.leave_unwatched(&mut space, 0x1000));
        space.write(0x1800, 1u8).unwrap();
        assert!(space.write_fast(0x1000, 1u8).is_some() && space.write_fast(0x1801, 1u8).is_some());
        for reader in [&mut first, &mut second] {
            learns(reader, &mut space, &[]);
            assert!(!reader.watch(&mut space, 0x1000, 1) && !reader.watch(&mut space, 0x0ff8, 16));
            assert!(reader.watch(&mut space, 0x2000, 1));
        }

        // The other one had something of this page.
        assert!(second.leave_unwatched(&mut space, 0x2000));
        for reader in [&mut first, &mut second] {
            learns(reader, &mut space, &[(0x2000, 0x1000)]);
            assert!(!reader.watch(&mut space, 0x2000, 1));
        }
        assert!(first.leave_unwatched(&mut space, 0x2000));
        second.release(&mut space, 0x2000);
        assert!(!second.watch(&mut space, 0x2000, 1), "the first one goes on checking");
        first.release(&mut space, 0x2000);
        assert!(second.watch(&mut space, 0x2000, 1));
        space.write(0x2000, 1u8).unwrap();
        learns(&mut second, &mut space, &[(0x2000, 1)]);

        let mut child = space.fork().unwrap();
        let mut third = CodeReader::new();
        assert_eq!(third.catch_up(&mut child), CodeChanges::Everything);
        assert!(third.watch(&mut child, 0x1000, 1), "it belongs to one space");
    });
}

#[test]
fn what_ends_an_unwatched_page_is_recorded() {
    both(|mut space| {
        let changes: [fn(&mut AddressSpace); 4] = [
            |space| space.protect(0x1000, 0x1000, RW).unwrap(),
            |space| space.unmap(0x1000, 0x1000).unwrap(),
            |space| space.map(0x1000, 0x1000, RWX).unwrap(),
            |space| {
                let object = SharedMemory::new(0x1000).unwrap();
                space.map_shared(0x1000, 0x1000, RX, &object, 0).unwrap();
            },
        ];
        let mut reader = reader(&mut space);
        for change in changes {
            space.map(0x1000, 0x1000, RWX).unwrap();
            assert!(reader.leave_unwatched(&mut space, 0x1000));
            space.protect(0x1000, 0x1000, RX).unwrap();
            learns(&mut reader, &mut space, &[]);
            change(&mut space);
            learns(&mut reader, &mut space, &[(0x1000, 0x1000)]);
            space.map(0x1000, 0x1000, RWX).unwrap();
            assert!(reader.watch(&mut space, 0x1000, 1));
            space.map(0x1000, 0x1000, RWX).unwrap();
            let _ = reader.catch_up(&mut space);
        }
        let object = SharedMemory::new(0x1000).unwrap();
        space.map_shared(0x2000, 0x1000, RWX, &object, 0).unwrap();
        assert!(!reader.leave_unwatched(&mut space, 0x2000), "others write to it");

        // A loop of snapshots changes its bytes, as stores do, and nothing else.
        space.write(0x1000, 1u8).unwrap();
        let snapshot = space.snapshot();
        assert!(reader.leave_unwatched(&mut space, 0x1000));
        for turn in 0..40u8 {
            space.write(0x1000, turn).unwrap();
            space.restore(snapshot).unwrap();
            learns(&mut reader, &mut space, &[]);
            assert!(!reader.watch(&mut space, 0x1000, 1));
        }
        space.protect(0x1000, 0x1000, RW).unwrap();
        learns(&mut reader, &mut space, &[(0x1000, 0x1000)]);
    });
}

#[test]
fn stores_beside_code_are_recorded_as_any() {
    type Step = fn(&mut AddressSpace);
    both(|mut space| {
        space.map(0x1000, 0x1000, RWX).unwrap();
        space.write(0x1000, 1u8).unwrap();
        let mut reader = reader(&mut space);
        assert!(reader.watch(&mut space, 0x1010, 4));
        // What makes it more than the code: a fork, a snapshot, the record of written pages, a watch.
        let steps: [(&str, Step); 5] = [
            ("nothing", |_| {}),
            ("snapshot", |space| {
                space.snapshot();
            }),
            ("dirty", AddressSpace::clear_dirty),
            ("watch", |space| space.watch(0x1000, 1).unwrap()),
            ("unwatch", |space| space.unwatch(0x1000, 1).unwrap()),
        ];
        for (name, step) in steps {
            let mut child = space.fork().unwrap();
            step(&mut space);
            for value in [0x1111_1111u32, 0x2222_2222] {
                space.write(0x1014, value).unwrap();
                space.write(0x100c, value).unwrap();
                learns(&mut reader, &mut space, &[]);
                space.write(0x1012, value).unwrap();
                learns(&mut reader, &mut space, &[(0x1012, 4)]);
                assert!(reader.watch(&mut space, 0x1010, 4));
                let bytes = value.to_le_bytes()[0];
                assert_eq!([0x1012, 0x1015, 0x1017].map(|at| space.read::<u8>(at)), [Ok(bytes); 3], "{name}");
                assert_eq!(space.dirty_pages(), [1], "{name}");
            }
            assert_eq!(space.take_watch_hits().len(), if name == "watch" { 12 } else { 0 });
            child.write(0x1014, 0u8).unwrap();
            assert_eq!(space.read::<u8>(0x1014), Ok(0x22), "{name}");
            let _ = space.take_watch_hits();
        }
    });
}

#[test]
fn a_reader_that_looks_too_late_takes_everything_as_written() {
    let mut space = AddressSpace::new();
    space.map(0x1000, 0x4000, RWX).unwrap();
    let mut late = reader(&mut space);
    let mut prompt = reader(&mut space);
    for turn in 0..3000u32 {
        let address = 0x1000 + turn * 8 % 0x4000;
        assert!(prompt.watch(&mut space, address, 1));
        space.write(address, 1u8).unwrap();
        learns(&mut prompt, &mut space, &[(address, 1)]);
    }
    assert_eq!(late.catch_up(&mut space), CodeChanges::Everything);
    assert!(late.is_current(&space));
}
