//! Permissions, page crossings, hostile ranges, devices and block operations, on both backings.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::sync::{Arc, Mutex};

use pentimento_memory::engine::reservation;
use pentimento_memory::{
    Access, AddressSpace, Backing, Fault, FaultKind, MapError, MmioHandler, PAGE_SIZE, Permissions,
    RegionKind,
};

const R: Permissions = Permissions::READ;
const W: Permissions = Permissions::WRITE;
const X: Permissions = Permissions::EXECUTE;
const RW: Permissions = R.union(W);

fn both(check: impl Fn(AddressSpace)) {
    for backing in [Backing::Paged, Backing::Reserved] {
        check(AddressSpace::with_backing(backing));
    }
}

#[test]
fn a_space_says_which_backing_it_has() {
    assert_eq!(AddressSpace::new().backing(), Backing::Paged);
    let mut reserved = AddressSpace::with_backing(Backing::Reserved);
    let backing = reserved.backing();
    assert_eq!(backing == Backing::Reserved, reservation(&mut reserved).is_some());
    #[cfg(all(feature = "std", target_os = "linux", target_pointer_width = "64"))]
    assert_eq!(reserved.backing(), Backing::Reserved);
}

#[test]
fn each_permission_allows_its_access_and_no_other() {
    both(|mut space| {
        for bits in 0..8 {
            let held = Permissions::from_bits_truncate(bits);
            space.map(0x1000, PAGE_SIZE, held).unwrap();
            assert_eq!(space.permissions(0x1fff), Some(held));
            let kind = if held.is_empty() { FaultKind::Hidden } else { FaultKind::Protected };
            let expect = |access: Access| match held.contains(access.needs()) {
                true => Ok(()),
                false => Err(Fault { address: 0x1004, access, kind }),
            };
            // Twice, so that the fast path is asked as well.
            for _ in 0..2 {
                assert_eq!(space.read::<u32>(0x1004).map(drop), expect(Access::Read), "{held:?}");
                assert_eq!(space.write(0x1004, 0x9090_9090u32), expect(Access::Write), "{held:?}");
                let fetched = space.fetch(0x1004, &mut [0; 15]);
                assert_eq!(fetched, if held.contains(X) { 15 } else { 0 }, "{held:?}");
                for access in [Access::Read, Access::Write, Access::Execute] {
                    assert_eq!(space.check(0x1004, 4, access), expect(access), "{held:?}");
                }
            }
        }
    });
}

#[test]
fn crossing_a_page_needs_both_sides_before_a_byte_moves() {
    // Permissions of two neighbours, and the offset into the second page at which a store stops.
    let cases = [
        (Some(RW), Some(RW), None),
        (Some(RW), Some(R), Some((0x2000, FaultKind::Protected))),
        (Some(RW), None, Some((0x2000, FaultKind::NotMapped))),
        (Some(R), Some(RW), Some((0x1ffe, FaultKind::Protected))),
        (None, Some(RW), Some((0x1ffe, FaultKind::NotMapped))),
        (None, None, Some((0x1ffe, FaultKind::NotMapped))),
    ];
    both(|mut space| {
        for (first, second, stop) in cases {
            space.unmap(0x1000, 0x2000).unwrap();
            for (page, held) in [(0x1000, first), (0x2000, second)] {
                if let Some(held) = held {
                    space.map(page, PAGE_SIZE, held).unwrap();
                    space.poke_bytes(page, &[0xee; 4096]).unwrap();
                }
            }
            let expected =
                stop.map_or(Ok(()), |(address, kind)| Err(Fault { address, access: Access::Write, kind }));
            assert_eq!(space.write(0x1ffe, 0x4433_2211u32), expected);
            let mut bytes = [0; 2];
            if space.peek_bytes(0x1ffe, &mut bytes).is_ok() {
                assert_eq!(bytes, if stop.is_none() { [0x11, 0x22] } else { [0xee; 2] });
            }
            if space.peek_bytes(0x2000, &mut bytes).is_ok() {
                assert_eq!(bytes, if stop.is_none() { [0x33, 0x44] } else { [0xee; 2] });
            }
        }
    });
}

#[test]
fn addresses_wrap_at_four_gibibytes() {
    both(|mut space| {
        space.map(0xffff_f000, PAGE_SIZE, RW | X).unwrap();
        space.map(0, PAGE_SIZE, RW | X).unwrap();
        space.write(0xffff_fffd, 0x0102_0304_0506_0708u64).unwrap();
        assert_eq!(space.read::<u64>(0xffff_fffd), Ok(0x0102_0304_0506_0708));
        assert_eq!(space.read::<u8>(0), Ok(0x05));
        assert_eq!(space.fetch(0xffff_fff8, &mut [0; 15]), 15);
        space.copy_forward::<u16>(0xffff_f800, 0xffff_fffd, 4).unwrap();
        assert_eq!(space.read::<u64>(0xffff_f800), Ok(0x0102_0304_0506_0708));
    });
}

#[test]
fn hostile_ranges_are_errors_and_change_nothing() {
    both(|mut space| {
        space.map(0xffff_e000, PAGE_SIZE, R).unwrap();
        for (start, length) in [(0xffff_e000, 0x2001), (2, u32::MAX), (u32::MAX, u32::MAX), (u32::MAX, 2)] {
            let error = Err(MapError::OutOfRange { start, length });
            assert_eq!(space.map(start, length, RW), error);
            assert_eq!(space.unmap(start, length), error);
            assert_eq!(space.protect(start, length, RW), error);
        }
        assert_eq!(space.protect(0xffff_e000, 0x2000, RW), Err(MapError::NotMapped { address: 0xffff_f000 }));
        assert_eq!(space.permissions(0xffff_e000), Some(R));
        assert_eq!(space.regions().count(), 1);
        for (start, length) in [(0, 0), (0x123, 0), (u32::MAX, 0)] {
            assert_eq!(space.map(start, length, RW), Ok(()));
            assert_eq!(space.unmap(start, length), Ok(()));
            assert_eq!(space.protect(start, length, RW), Ok(()));
        }
        assert_eq!(space.regions().count(), 1);
        assert_eq!(space.map(u32::MAX, 1, RW), Ok(()));
        assert_eq!(space.map(0, u32::MAX, RW), Ok(()));
        let whole = space.regions().next().unwrap();
        assert_eq!((whole.start, whole.length, whole.kind), (0, 1 << 32, RegionKind::Private));
        assert_eq!(space.unmap(0, u32::MAX), Ok(()));
        assert_eq!(space.regions().count(), 0);
    });
}

#[test]
fn regions_merge_what_is_alike() {
    both(|mut space| {
        space.map(0x10_0000, 0x3000, RW).unwrap();
        space.map(0x10_3000, 0x1000, RW).unwrap();
        space.protect(0x10_1000, 1, R).unwrap();
        space.map(0x3f_f000, 0x2000, X).unwrap();
        let found: Vec<_> = space.regions().map(|r| (r.start, r.length, r.permissions)).collect();
        let expected = [
            (0x10_0000, 0x1000, RW),
            (0x10_1000, 0x1000, R),
            (0x10_2000, 0x2000, RW),
            (0x3f_f000, 0x2000, X),
        ];
        assert_eq!(found, expected);
    });
}

/// Load or store, offset, size, value.
type Call = (char, u32, u32, u64);

/// Remembers what it was asked, and answers loads with the offset in each byte.
struct Recorder(Arc<Mutex<Vec<Call>>>);

impl MmioHandler for Recorder {
    fn read(&mut self, offset: u32, size: u32) -> u64 {
        self.0.lock().expect("no test panics inside").push(('r', offset, size, 0));
        (0..u64::from(size)).fold(0, |value, byte| value | ((u64::from(offset) + byte) & 0xff) << (8 * byte))
    }

    fn write(&mut self, offset: u32, size: u32, value: u64) {
        self.0.lock().expect("no test panics inside").push(('w', offset, size, value));
    }
}

#[test]
fn devices_get_whole_accesses_with_their_offset() {
    both(|mut space| {
        let calls = Arc::new(Mutex::new(vec![]));
        space.map(0x4000, PAGE_SIZE, RW | X).unwrap();
        space.map_mmio(0x5000, 0x2000, RW | X, Box::new(Recorder(calls.clone()))).unwrap();
        let take = || std::mem::take(&mut *calls.lock().unwrap());

        assert_eq!(space.read::<u32>(0x5010), Ok(0x1312_1110));
        assert_eq!(space.read::<u8>(0x6001), Ok(0x01));
        assert_eq!(space.read::<u128>(0x5020).map(|value| value.to_le_bytes()[15]), Ok(0x2f));
        assert_eq!(take(), [('r', 0x10, 4, 0), ('r', 0x1001, 1, 0), ('r', 0x20, 8, 0), ('r', 0x28, 8, 0)]);

        space.write(0x5002, 0xabcdu16).unwrap();
        space.write(0x5008, 1u128 << 64 | 2).unwrap();
        assert_eq!(take(), [('w', 2, 2, 0xabcd), ('w', 8, 8, 2), ('w', 16, 8, 1)]);

        // Across from memory: the memory side is memory, the device side comes by bytes.
        space.write(0x4ffe, 0x4433_2211u32).unwrap();
        assert_eq!(take(), [('w', 0, 1, 0x33), ('w', 1, 1, 0x44)]);
        assert_eq!(space.read::<u32>(0x4ffe), Ok(0x0100_2211));
        take();

        // Block operations reach it element by element.
        space.copy_forward::<u16>(0x5100, 0x4ffc, 2).unwrap();
        space.fill(0x5200, 7u32, 2).unwrap();
        let expected = [('w', 0x100, 2, 0), ('w', 0x102, 2, 0x2211), ('w', 0x200, 4, 7), ('w', 0x204, 4, 7)];
        assert_eq!(take(), expected);

        // What would have no meaning, or side effects that nobody asked for, is refused.
        let device = |address, access| Err(Fault { address, access, kind: FaultKind::Device });
        assert_eq!(space.peek_bytes(0x5000, &mut [0]), device(0x5000, Access::Read));
        assert_eq!(space.poke_bytes(0x5000, &[0]), device(0x5000, Access::Write));
        assert_eq!(space.fetch(0x4ff8, &mut [0; 15]), 8);
        assert_eq!(space.fork().err(), Some(MapError::Device { address: 0x5000 }));

        space.protect(0x5000, 0x1000, R).unwrap();
        assert_eq!(space.write(0x5000, 0u8).map_err(|fault| fault.kind), Err(FaultKind::Protected));
        assert!(take().is_empty());
        assert_eq!(space.regions().filter(|region| region.kind == RegionKind::Device).count(), 2);

        // The second half goes on when the first is replaced; the handler goes with the last page.
        space.map(0x5000, PAGE_SIZE, RW).unwrap();
        assert_eq!(space.read::<u8>(0x6005), Ok(5));
        space.unmap(0x6000, PAGE_SIZE).unwrap();
        assert_eq!(Arc::strong_count(&calls), 1);
    });
}

#[test]
fn a_device_may_reach_to_the_last_byte() {
    both(|mut space| {
        let calls = Arc::new(Mutex::new(vec![]));
        space.map_mmio(0, u32::MAX, RW, Box::new(Recorder(calls.clone()))).unwrap();
        let last = |size: u32| u32::MAX - (size - 1);
        assert_eq!(space.read::<u8>(last(1)), Ok(0xff));
        assert_eq!(space.read::<u32>(last(4)), Ok(0xfffe_fdfc));
        assert_eq!(space.read::<u128>(last(16)).map(|value| value >> 120), Ok(0xff));
        space.write(last(16), 1u128 << 64 | 2).unwrap();
        space.write_bytes(last(2), &[1, 2, 3]).unwrap();
        space.read_bytes(last(2), &mut [0; 3]).unwrap();
        space.fill(last(2), 7u16, 2).unwrap();
        space.copy_forward::<u16>(last(2), last(4), 3).unwrap();
        assert_eq!(space.read::<u16>(u32::MAX), Ok(0x00ff), "it wraps");
        space.write(u32::MAX, 0xbbaau16).unwrap();
        let calls = calls.lock().unwrap();
        assert_eq!(calls[calls.len() - 2..], [('w', u32::MAX, 1, 0xaa), ('w', 0, 1, 0xbb)]);
    });
}

#[test]
fn block_operations_stop_exactly_at_the_fault() {
    both(|mut space| {
        space.map(0x1000, 0x2000, RW).unwrap();
        let stop = |done, address, access| {
            let fault = Fault { address, access, kind: FaultKind::NotMapped };
            Err((done, fault))
        };
        let short = |result: Result<(), pentimento_memory::BlockFault>| {
            result.map_err(|stop| (stop.done, stop.fault))
        };
        // The element that crosses into nothing is not begun.
        assert_eq!(short(space.fill(0x2ff2, 0xaaaa_aaaau32, 100)), stop(3, 0x3000, Access::Write));
        assert_eq!(space.read::<u16>(0x2ffe), Ok(0));
        assert_eq!(short(space.copy_forward::<u32>(0x1000, 0x2ff2, 100)), stop(3, 0x3000, Access::Read));
        assert_eq!(short(space.copy_forward::<u8>(0x2fff, 0x1000, u32::MAX)), stop(1, 0x3000, Access::Write));
        assert_eq!(short(space.copy_forward::<u8>(0x9000, 0x8000, 1)), stop(0, 0x8000, Access::Read));
        // The idiom that fills memory with a pattern.
        space.write(0x1000, 0x0403_0201u32).unwrap();
        space.copy_forward::<u8>(0x1004, 0x1000, 0x1800).unwrap();
        assert_eq!(space.read::<u32>(0x2800), Ok(0x0403_0201));
    });
}

#[test]
fn c_strings_end_at_the_nul_the_limit_or_the_fault() {
    both(|mut space| {
        space.map(0x1000, 0x2000, RW).unwrap();
        space.write_bytes(0x1ffc, b"hello\0").unwrap();
        assert_eq!(space.read_c_string(0x1ffc, 100), Ok(Some(b"hello".to_vec())));
        assert_eq!(space.read_c_string(0x1ffc, 6), Ok(Some(b"hello".to_vec())));
        assert_eq!(space.read_c_string(0x1ffc, 5), Ok(None));
        space.fill(0x2800, b'x', 0x800).unwrap();
        let fault = Fault { address: 0x3000, access: Access::Read, kind: FaultKind::NotMapped };
        assert_eq!(space.read_c_string(0x2f00, u32::MAX), Err(fault));
    });
}
