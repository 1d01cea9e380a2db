//! Random sequences of operations, against a map of pages and against the other backing.

use std::collections::BTreeMap;

use pentimento_memory::{
    Access, AddressSpace, Backing, Fault, FaultKind, MapError, PAGE_SIZE, Permissions, SnapshotId,
};
use proptest::prelude::*;

/// The trivial model: every byte of every mapped page.
#[derive(Clone, Default)]
struct Model {
    pages: BTreeMap<u32, (Permissions, Vec<u8>)>,
}

impl Model {
    fn pages_of(start: u32, length: u32) -> Option<std::ops::Range<u32>> {
        let end = u64::from(start) + u64::from(length);
        let first = start / PAGE_SIZE;
        match length {
            _ if end > 1 << 32 => None,
            0 => Some(first..first),
            _ => Some(first..end.div_ceil(u64::from(PAGE_SIZE)) as u32),
        }
    }

    fn access(&self, address: u32, length: u32, access: Access) -> Result<(), Fault> {
        for offset in 0..length {
            let address = address.wrapping_add(offset);
            let kind = match self.pages.get(&(address / PAGE_SIZE)) {
                None => FaultKind::NotMapped,
                Some((held, _)) if !held.contains(access.needs()) => FaultKind::Protected,
                Some(_) => continue,
            };
            return Err(Fault { address, access, kind });
        }
        Ok(())
    }

    fn byte(&mut self, address: u32) -> &mut u8 {
        let (_, bytes) = self.pages.get_mut(&(address / PAGE_SIZE)).expect("checked to be mapped");
        &mut bytes[(address % PAGE_SIZE) as usize]
    }

    fn load(&mut self, address: u32, length: u32) -> Result<Vec<u8>, Fault> {
        self.access(address, length, Access::Read)?;
        Ok((0..length).map(|offset| *self.byte(address.wrapping_add(offset))).collect())
    }

    fn store(&mut self, address: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.access(address, bytes.len() as u32, Access::Write)?;
        for (offset, byte) in bytes.iter().enumerate() {
            *self.byte(address.wrapping_add(offset as u32)) = *byte;
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Map(u32, u32, u8),
    Unmap(u32, u32),
    Protect(u32, u32, u8),
    Write(u32, u8, u128),
    Read(u32, u8),
    WriteBytes(u32, u32, u8),
    Poke(u32, u8),
    Copy(u32, u32, u32, u8),
    Fill(u32, u8, u32),
    ClearDirty,
    MarkCode(u32),
    Watch(u32, bool),
    Snapshot,
    Restore(u8),
    Discard(u8),
    Fork(bool),
}

/// Addresses on and around six pages at either end of the space, with page ends most likely.
fn address() -> impl Strategy<Value = u32> {
    (0u32..6, prop_oneof![3 => 4080u32..4096, 1 => 0u32..16, 1 => 0u32..4096])
        .prop_map(|(page, offset)| (page * PAGE_SIZE + offset).wrapping_sub(3 * PAGE_SIZE))
}

fn length() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..40, 4000u32..9000]
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    prop_oneof![
        4 => (address(), length(), 0u8..8).prop_map(|(a, l, p)| Map(a, l, p | 1)),
        1 => (address(), length()).prop_map(|(a, l)| Unmap(a, l)),
        2 => (address(), length(), 0u8..8).prop_map(|(a, l, p)| Protect(a, l, p)),
        8 => (address(), 0u8..5, any::<u128>()).prop_map(|(a, s, v)| Write(a, s, v)),
        4 => (address(), 0u8..5).prop_map(|(a, s)| Read(a, s)),
        2 => (address(), length(), any::<u8>()).prop_map(|(a, l, v)| WriteBytes(a, l, v)),
        1 => (address(), any::<u8>()).prop_map(|(a, v)| Poke(a, v)),
        3 => (address(), address(), 0u32..3000, 0u8..3).prop_map(|(a, b, c, s)| Copy(a, b, c, s)),
        2 => (address(), any::<u8>(), 0u32..6000).prop_map(|(a, v, c)| Fill(a, v, c)),
        1 => Just(ClearDirty),
        1 => address().prop_map(MarkCode),
        1 => (address(), any::<bool>()).prop_map(|(a, on)| Watch(a, on)),
        1 => Just(Snapshot),
        1 => any::<u8>().prop_map(Restore),
        1 => any::<u8>().prop_map(Discard),
        1 => any::<bool>().prop_map(Fork),
    ]
}

/// A space, what it should be, and the snapshots of both.
struct Pair {
    space: AddressSpace,
    model: Model,
    snapshots: Vec<(SnapshotId, Model)>,
    /// The sides of forks that were not followed, which must not change any more.
    others: Vec<(AddressSpace, Model)>,
}

impl Pair {
    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Map(start, length, permissions) => {
                let permissions = Permissions::from_bits_truncate(permissions);
                let result = self.space.map(start, length, permissions);
                let Some(pages) = Model::pages_of(start, length) else {
                    return assert_eq!(result, Err(MapError::OutOfRange { start, length }));
                };
                assert_eq!(result, Ok(()));
                self.model.pages.extend(pages.map(|page| (page, (permissions, vec![0; 4096]))));
            }
            Operation::Unmap(start, length) => {
                let result = self.space.unmap(start, length);
                let Some(pages) = Model::pages_of(start, length) else {
                    return assert_eq!(result, Err(MapError::OutOfRange { start, length }));
                };
                assert_eq!(result, Ok(()));
                self.model.pages.retain(|page, _| !pages.contains(page));
            }
            Operation::Protect(start, length, permissions) => self.protect(start, length, permissions),
            Operation::Write(address, size, value) => self.write(address, size, value),
            Operation::Read(address, size) => self.read(address, size),
            Operation::WriteBytes(address, length, value) => {
                let bytes = vec![value; length as usize];
                assert_eq!(self.space.write_bytes(address, &bytes), self.model.store(address, &bytes));
            }
            Operation::Poke(address, value) => {
                let mapped = self.model.pages.contains_key(&(address / PAGE_SIZE));
                assert_eq!(self.space.poke_bytes(address, &[value]).is_ok(), mapped);
                if mapped {
                    *self.model.byte(address) = value;
                }
            }
            Operation::Copy(to, from, count, size) => self.copy(to, from, count, size),
            Operation::Fill(to, value, count) => {
                let expected = (0..count).find_map(|offset| {
                    self.model.store(to.wrapping_add(offset), &[value]).err().map(|fault| (offset, fault))
                });
                let result = self.space.fill(to, value, count);
                assert_eq!(result.err().map(|stop| (stop.done, stop.fault)), expected);
            }
            Operation::ClearDirty => {
                self.space.clear_dirty();
                assert!(self.space.dirty_pages().is_empty());
            }
            Operation::MarkCode(address) => self.space.mark_code(address),
            Operation::Watch(address, true) => assert_eq!(self.space.watch(address, 1), Ok(())),
            Operation::Watch(address, false) => assert_eq!(self.space.unwatch(address, 1), Ok(())),
            Operation::Snapshot => {
                if self.snapshots.len() < 4 {
                    self.snapshots.push((self.space.snapshot(), self.model.clone()));
                }
            }
            Operation::Restore(which) => {
                if !self.snapshots.is_empty() {
                    self.snapshots.truncate(usize::from(which) % self.snapshots.len() + 1);
                    let (id, model) = &self.snapshots[self.snapshots.len() - 1];
                    self.space.restore(*id).expect("the snapshot is there");
                    self.model = model.clone();
                }
            }
            Operation::Discard(which) => {
                if !self.snapshots.is_empty() {
                    let depth = usize::from(which) % self.snapshots.len();
                    self.space.discard(self.snapshots[depth].0).expect("the snapshot is there");
                    assert!(self.space.restore(self.snapshots[depth].0).is_err());
                    self.snapshots.truncate(depth);
                }
            }
            Operation::Fork(follow) => self.fork(follow),
        }
    }

    fn protect(&mut self, start: u32, length: u32, permissions: u8) {
        let permissions = Permissions::from_bits_truncate(permissions);
        let result = self.space.protect(start, length, permissions);
        let Some(mut pages) = Model::pages_of(start, length) else {
            return assert_eq!(result, Err(MapError::OutOfRange { start, length }));
        };
        if let Some(hole) = pages.clone().find(|page| !self.model.pages.contains_key(page)) {
            return assert_eq!(result, Err(MapError::NotMapped { address: hole * PAGE_SIZE }));
        }
        assert_eq!(result, Ok(()));
        pages.all(|page| self.model.pages.get_mut(&page).map(|held| held.0 = permissions).is_some());
    }

    fn write(&mut self, address: u32, size: u8, value: u128) {
        let result = match size {
            0 => self.space.write(address, value as u8),
            1 => self.space.write(address, value as u16),
            2 => self.space.write(address, value as u32),
            3 => self.space.write(address, value as u64),
            _ => self.space.write(address, value),
        };
        assert_eq!(result, self.model.store(address, &value.to_le_bytes()[..1 << size]));
    }

    fn read(&mut self, address: u32, size: u8) {
        let result = match size {
            0 => self.space.read::<u8>(address).map(u128::from),
            1 => self.space.read::<u16>(address).map(u128::from),
            2 => self.space.read::<u32>(address).map(u128::from),
            3 => self.space.read::<u64>(address).map(u128::from),
            _ => self.space.read::<u128>(address),
        };
        let expected = self
            .model
            .load(address, 1 << size)
            .map(|bytes| bytes.iter().rev().fold(0u128, |value, byte| value << 8 | u128::from(*byte)));
        assert_eq!(result, expected);
    }

    fn copy(&mut self, to: u32, from: u32, count: u32, size: u8) {
        let bytes = 1 << size;
        let expected = (0..count).find_map(|element| {
            let offset = element * bytes;
            let value = self.model.load(from.wrapping_add(offset), bytes);
            let stored = value.and_then(|value| self.model.store(to.wrapping_add(offset), &value));
            stored.err().map(|fault| (element, fault))
        });
        let result = match size {
            0 => self.space.copy_forward::<u8>(to, from, count),
            1 => self.space.copy_forward::<u16>(to, from, count),
            _ => self.space.copy_forward::<u32>(to, from, count),
        };
        assert_eq!(result.err().map(|stop| (stop.done, stop.fault)), expected);
    }

    fn fork(&mut self, follow: bool) {
        if self.others.len() >= 3 {
            return;
        }
        let child = self.space.fork().expect("memory for a fork");
        if follow {
            // The parent stays behind, and its snapshots with it.
            let parent = std::mem::replace(&mut self.space, child);
            self.snapshots.clear();
            self.others.push((parent, self.model.clone()));
        } else {
            self.others.push((child, self.model.clone()));
        }
    }
}

fn same(space: &AddressSpace, model: &Model) {
    let mut regions = BTreeMap::new();
    for region in space.regions() {
        for page in 0..(region.length / 4096) as u32 {
            regions.insert(region.start / PAGE_SIZE + page, region.permissions);
        }
    }
    assert!(
        regions.iter().eq(model
            .pages
            .iter()
            .map(|(page, (permissions, _))| (page, permissions))
            .collect::<Vec<_>>())
    );
    for (page, (_, bytes)) in &model.pages {
        let mut held = vec![0; 4096];
        space.peek_bytes(page * PAGE_SIZE, &mut held).expect("mapped");
        assert!(held == *bytes, "page {page:#x} differs");
    }
}

fn check(backing: Backing, operations: &[Operation]) {
    let mut pair = Pair {
        space: AddressSpace::with_backing(backing),
        model: Model::default(),
        snapshots: vec![],
        others: vec![],
    };
    for operation in operations {
        pair.apply(operation);
        same(&pair.space, &pair.model);
    }
    for (space, model) in &pair.others {
        same(space, model);
    }
    while let Some((id, model)) = pair.snapshots.pop() {
        pair.space.restore(id).expect("the snapshot is there");
        same(&pair.space, &model);
        pair.space.discard(id).expect("the snapshot is there");
        same(&pair.space, &model);
    }
    pair.space.unmap(0, u32::MAX).expect("unmap has enough memory");
    drop(pair.others);
    assert_eq!(pair.space.resident_pages(), 0, "no snapshot and no mapping is left, nor a page");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn paged_is_the_model(operations in prop::collection::vec(operation(), 1..60)) {
        check(Backing::Paged, &operations);
    }

    #[test]
    fn reserved_is_the_model(operations in prop::collection::vec(operation(), 1..60)) {
        check(Backing::Reserved, &operations);
    }
}
