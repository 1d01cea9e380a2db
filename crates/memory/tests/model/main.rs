//! Random sequences of operations on spaces that fork, share objects and are watched by engines,
//! against a map of pages.

mod host;
mod model;
mod side;

use std::cell::RefCell;
use std::rc::Rc;

use pentimento_memory::{AddressSpace, Backing, FrameSource, PAGE_SIZE, Permissions, SharedMemory};
use proptest::prelude::*;

use model::{Content, Model, pages_of};
use side::Side;

/// Pages of each shared object.
const OBJECT_PAGES: u32 = 3;
/// Shared objects.
const OBJECTS: usize = 2;

#[derive(Clone, Debug)]
enum Operation {
    Map(u32, u32, u8),
    MapShared(u32, u32, u8, usize, u32),
    Unmap(u32, u32),
    Protect(u32, u32, u8),
    Write(u32, u8, u128),
    Read(u32, u8),
    WriteBytes(u32, u32, u8),
    Poke(u32, u8),
    Copy(u32, u32, u32, u8),
    Fill(u32, u8, u32),
    ClearDirty,
    /// An engine keeps something of some bytes.
    Translate(bool, u32, u32),
    /// An engine checks what it has of a page by itself from now on.
    LeaveUnwatched(bool, u32),
    /// An engine drops all that it has of a page.
    Forget(bool, u32),
    /// An engine looks what was written.
    CatchUp(bool),
    Watch(u32, bool),
    Snapshot,
    Restore(u8),
    Discard(u8),
    Fork(bool),
    /// Goes on with the side of a fork that was left behind.
    Switch(u8),
    /// Stores through a handle of a shared object.
    WriteObject(usize, u32, u32, u8),
    ResizeObject(usize, u32),
    ReleaseShared,
    /// Changes the backing.
    Reserve(bool),
    /// Looks at what the host has mapped in place, and stores there.
    Host(u32, u8),
}

/// Addresses on and around six pages at either end of the space, with page ends most likely.
fn address() -> impl Strategy<Value = u32> {
    (0u32..6, prop_oneof![3 => 4080u32..4096, 1 => 0u32..16, 1 => 0u32..4096])
        .prop_map(|(page, offset)| (page * PAGE_SIZE + offset).wrapping_sub(3 * PAGE_SIZE))
}

fn length() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..40, 4000u32..9000]
}

/// Places in an object, and around its end.
fn offset() -> impl Strategy<Value = u32> {
    (0..OBJECT_PAGES, prop_oneof![3 => 4080u32..4096, 1 => 0u32..16, 1 => 0u32..4096])
        .prop_map(|(page, offset)| page * PAGE_SIZE + offset)
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let accesses = prop_oneof![
        8 => (address(), 0u8..5, any::<u128>()).prop_map(|(a, s, v)| Write(a, s, v)),
        4 => (address(), 0u8..5).prop_map(|(a, s)| Read(a, s)),
        2 => (address(), length(), any::<u8>()).prop_map(|(a, l, v)| WriteBytes(a, l, v)),
        1 => (address(), any::<u8>()).prop_map(|(a, v)| Poke(a, v)),
        3 => (address(), address(), 0u32..3000, 0u8..3).prop_map(|(a, b, c, s)| Copy(a, b, c, s)),
        2 => (address(), any::<u8>(), 0u32..6000).prop_map(|(a, v, c)| Fill(a, v, c)),
    ];
    let mappings = prop_oneof![
        3 => (address(), length(), 0u8..8).prop_map(|(a, l, p)| Map(a, l, p | 1)),
        3 => (address(), length(), 0u8..8, 0..OBJECTS, 0..OBJECT_PAGES + 1)
            .prop_map(|(a, l, p, o, f)| MapShared(a, l, p | 1, o, f)),
        1 => (address(), length()).prop_map(|(a, l)| Unmap(a, l)),
        2 => (address(), length(), 0u8..8).prop_map(|(a, l, p)| Protect(a, l, p)),
    ];
    let engines = prop_oneof![
        4 => (any::<bool>(), address(), 1u32..40).prop_map(|(r, a, l)| Translate(r, a, l)),
        1 => (any::<bool>(), address()).prop_map(|(r, a)| Forget(r, a)),
        1 => (any::<bool>(), address()).prop_map(|(r, a)| LeaveUnwatched(r, a)),
        2 => any::<bool>().prop_map(CatchUp),
    ];
    let objects = prop_oneof![
        3 => (0..OBJECTS, offset(), 1u32..5000, any::<u8>()).prop_map(|(o, f, l, v)| WriteObject(o, f, l, v)),
        1 => (0..OBJECTS, offset()).prop_map(|(o, l)| ResizeObject(o, l)),
        2 => Just(ReleaseShared),
    ];
    prop_oneof![
        20 => accesses,
        9 => mappings,
        7 => engines,
        4 => objects,
        1 => Just(ClearDirty),
        1 => (address(), any::<bool>()).prop_map(|(a, on)| Watch(a, on)),
        2 => Just(Snapshot),
        4 => any::<u8>().prop_map(Restore),
        1 => any::<u8>().prop_map(Discard),
        1 => any::<bool>().prop_map(Fork),
        2 => any::<u8>().prop_map(Switch),
        2 => prop_oneof![3 => Just(true), 1 => Just(false)].prop_map(Reserve),
        4 => (address(), any::<u8>()).prop_map(|(a, v)| Host(a, v)),
    ]
}

/// A space that runs, those that wait, and what they share.
struct World {
    running: Side,
    waiting: Vec<Side>,
    objects: Vec<SharedMemory>,
    contents: model::Objects,
    /// Bytes of each object: its content is whole pages.
    lengths: [u32; OBJECTS],
}

impl World {
    fn new(frames: &FrameSource, backing: Backing) -> Self {
        let length = OBJECT_PAGES * PAGE_SIZE;
        let contents = Rc::new(RefCell::new(vec![vec![0; length as usize]; OBJECTS]));
        let space = AddressSpace::try_new_from(frames, backing).expect("memory for a page table");
        let object = || SharedMemory::new(u64::from(length)).expect("memory for an object");
        Self {
            running: Side::new(space, Model::new(contents.clone())),
            waiting: vec![],
            objects: (0..OBJECTS).map(|_| object()).collect(),
            contents,
            lengths: [length; OBJECTS],
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::MapShared(start, length, permissions, object, first) => {
                let permissions = Permissions::from_bits_truncate(permissions);
                let offset = u64::from(first * PAGE_SIZE);
                let side = &mut self.running;
                let result = side.space.map_shared(start, length, permissions, &self.objects[object], offset);
                let Some(pages) = pages_of(start, length) else { return assert!(result.is_err()) };
                assert_eq!(result, Ok(()));
                let entry =
                    |page| (page, (permissions, Content::Shared(object, first + page - start / PAGE_SIZE)));
                side.model.pages.extend(pages.map(entry));
            }
            Operation::Fork(follow) if self.waiting.len() < 3 => {
                let mut other = self.running.fork();
                if follow {
                    std::mem::swap(&mut self.running, &mut other);
                }
                self.waiting.push(other);
            }
            Operation::Switch(which) if !self.waiting.is_empty() => {
                self.running.space.release_shared();
                let which = usize::from(which) % self.waiting.len();
                std::mem::swap(&mut self.running, &mut self.waiting[which]);
            }
            Operation::Fork(_) | Operation::Switch(_) => {}
            Operation::WriteObject(object, offset, length, value) => {
                self.running.space.release_shared();
                let bytes = vec![value; length as usize];
                let result = self.objects[object].write(u64::from(offset), &bytes);
                let mut contents = self.contents.borrow_mut();
                assert_eq!(result.is_ok(), offset + length <= self.lengths[object]);
                if result.is_ok() {
                    contents[object][offset as usize..(offset + length) as usize].copy_from_slice(&bytes);
                }
            }
            Operation::ResizeObject(object, length) => {
                self.running.space.release_shared();
                self.objects[object].resize(u64::from(length)).expect("memory for an object");
                self.lengths[object] = length;
                let content = &mut self.contents.borrow_mut()[object];
                // The rest of the last page is memory like any other, which cutting off clears.
                content.resize(length as usize, 0);
                content.resize(length.next_multiple_of(PAGE_SIZE) as usize, 0);
            }
            Operation::ReleaseShared => self.running.space.release_shared(),
            _ => self.running.apply(operation),
        }
    }

    /// Everything is as it should be in the space that runs, and no engine has anything that is not
    /// so any more.
    fn check(&mut self) {
        self.running.check();
    }

    fn finish(mut self) {
        self.running.space.release_shared();
        for side in &mut self.waiting {
            side.check();
            side.space.release_shared();
        }
        self.running.unwind();
        drop(self.waiting);
        let space = &mut self.running.space;
        space.unmap(0, u32::MAX).expect("unmap has enough memory");
        assert_eq!(space.resident_pages(), 0, "no snapshot and no mapping is left, nor a page");
    }
}

fn check(backing: Backing, operations: &[Operation]) {
    check_from(&FrameSource::new(), backing, operations);
}

fn check_from(frames: &FrameSource, backing: Backing, operations: &[Operation]) {
    let mut world = World::new(frames, backing);
    for operation in operations {
        world.apply(operation);
        world.check();
    }
    world.finish();
    frames.trim();
    assert_eq!((frames.used_bytes(), frames.idle_bytes()), (0, 0), "all memory has been given back");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn paged_is_the_model(operations in prop::collection::vec(operation(), 1..80)) {
        check(Backing::Paged, &operations);
    }

    #[test]
    fn paged_beside_a_reserved_one_is_the_model(operations in prop::collection::vec(operation(), 1..80)) {
        let frames = FrameSource::new();
        // A reservation opens the machine's memory file, from which then all of its spaces take frames.
        let reserved = AddressSpace::try_new_from(&frames, Backing::Reserved);
        prop_assert!(reserved.is_ok());
        check_from(&frames, Backing::Paged, &operations);
    }

    #[test]
    fn reserved_with_few_mappings_is_the_model(
        operations in prop::collection::vec(operation(), 1..80),
        mappings in 2usize..24,
    ) {
        let frames = FrameSource::new();
        frames.set_mapping_limit(Some(mappings));
        check_from(&frames, Backing::Reserved, &operations);
    }

    #[test]
    fn reserved_is_the_model(operations in prop::collection::vec(operation(), 1..80)) {
        check(Backing::Reserved, &operations);
    }
}
