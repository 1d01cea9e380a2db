//! One address space, what it should be, and the engines that watch it.

use std::collections::{BTreeMap, BTreeSet};

use pentimento_memory::engine::{CodeChanges, CodeReader, reservation};
use pentimento_memory::{AddressSpace, MapError, PAGE_SIZE, Permissions, SnapshotId};

use super::Operation;
use super::host::Host;
use super::model::{Content, Model, pages_of};

/// An engine that keeps copies of bytes: its translations.
#[derive(Default)]
struct Translator {
    reader: CodeReader,
    bytes: BTreeMap<u32, u8>,
    /// Pages of which it checks the bytes before it uses them, as far as it knows.
    unwatched: BTreeSet<u32>,
}

impl Translator {
    fn catch_up(&mut self, space: &mut AddressSpace) {
        match self.reader.catch_up(space) {
            CodeChanges::Everything => {
                self.bytes.clear();
                // It is behind: it cannot know which pages it left unwatched are so still.
                for page in core::mem::take(&mut self.unwatched) {
                    self.reader.release(space, page * PAGE_SIZE);
                }
            }
            CodeChanges::Writes(writes) => {
                for write in writes {
                    self.bytes.retain(|at, _| at.wrapping_sub(write.address) >= write.length);
                    self.unwatched
                        .retain(|page| (page * PAGE_SIZE).wrapping_sub(write.address) >= write.length);
                }
            }
        }
    }

    /// `others` are the pages that the other engine left unwatched, as far as that knows.
    fn translate(
        &mut self,
        space: &mut AddressSpace,
        model: &Model,
        others: &BTreeSet<u32>,
        (start, length): (u32, u32),
    ) {
        self.catch_up(space);
        let Some(last) = start.checked_add(length - 1) else { return };
        let bytes: Option<Vec<_>> = (start..=last).map(|at| Some((at, model.get(at)?))).collect();
        let watched = self.reader.watch(space, start, length);
        let in_range =
            |pages: &BTreeSet<u32>| pages.range(start / PAGE_SIZE..=last / PAGE_SIZE).count() as u32;
        match (in_range(&self.unwatched), in_range(others)) {
            (0, 0) => assert_eq!(watched, bytes.is_some()),
            (0, _) => assert!(bytes.is_some() || !watched),
            _ => assert!(!watched, "a page that was left unwatched is not watched"),
        }
        if watched || in_range(&self.unwatched) == last / PAGE_SIZE - start / PAGE_SIZE + 1 {
            self.bytes.extend(bytes.into_iter().flatten());
        }
    }

    fn leave_unwatched(&mut self, space: &mut AddressSpace, model: &Model, address: u32) {
        self.catch_up(space);
        let private = matches!(model.pages.get(&(address / PAGE_SIZE)), Some((_, Content::Private(_))));
        assert_eq!(self.reader.leave_unwatched(space, address), private);
        if private {
            self.catch_up(space);
            self.unwatched.insert(address / PAGE_SIZE);
        }
    }

    fn forget(&mut self, space: &mut AddressSpace, address: u32) {
        self.bytes.retain(|at, _| at / PAGE_SIZE != address / PAGE_SIZE);
        self.reader.release(space, address);
        self.unwatched.remove(&(address / PAGE_SIZE));
    }

    /// Nothing of what an engine would go on to execute is stale, or is so unknown to it.
    fn check(&mut self, space: &mut AddressSpace, model: &Model) {
        if !self.reader.is_current(space) {
            self.catch_up(space);
        }
        assert!(self.reader.is_current(space));
        for (at, byte) in &self.bytes {
            let unwatched = self.unwatched.contains(&(at / PAGE_SIZE));
            let now = model.get(*at);
            assert!(now == Some(*byte) || unwatched && now.is_some(), "stale code at {at:#x}");
        }
        for page in &self.unwatched {
            let private = matches!(model.pages.get(page), Some((_, Content::Private(_))));
            assert!(private, "page {page:#x} went without a word");
        }
    }
}

pub(crate) struct Side {
    pub(crate) space: AddressSpace,
    pub(crate) model: Model,
    snapshots: Vec<(SnapshotId, Model)>,
    /// One looks after every operation, the other one when it is told to.
    engines: [Translator; 2],
}

impl Side {
    pub(crate) fn new(space: AddressSpace, model: Model) -> Self {
        Self { space, model, snapshots: vec![], engines: Default::default() }
    }

    pub(crate) fn fork(&mut self) -> Self {
        let child = self.space.fork().expect("memory for a fork");
        assert_ne!(child.identity(), self.space.identity());
        Self::new(child, self.model.clone())
    }

    pub(crate) fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Map(start, length, permissions) => {
                let permissions = Permissions::from_bits_truncate(permissions);
                let result = self.space.map(start, length, permissions);
                let Some(pages) = pages_of(start, length) else {
                    return assert_eq!(result, Err(MapError::OutOfRange { start, length }));
                };
                assert_eq!(result, Ok(()));
                let zeros = |page| (page, (permissions, Content::Private(vec![0; 4096])));
                self.model.pages.extend(pages.map(zeros));
            }
            Operation::Unmap(start, length) => {
                let result = self.space.unmap(start, length);
                let Some(pages) = pages_of(start, length) else {
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
                let poked = self.model.set(address, value);
                assert_eq!(self.space.poke_bytes(address, &[value]).is_ok(), poked);
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
            Operation::Translate(which, start, length) => {
                let [engine, other] = match &mut self.engines {
                    [first, second] if which => [second, first],
                    [first, second] => [first, second],
                };
                engine.translate(&mut self.space, &self.model, &other.unwatched, (start, length));
            }
            Operation::LeaveUnwatched(which, address) => {
                self.engines[usize::from(which)].leave_unwatched(&mut self.space, &self.model, address);
            }
            Operation::Forget(which, address) => {
                self.engines[usize::from(which)].forget(&mut self.space, address);
            }
            Operation::CatchUp(which) => self.engines[usize::from(which)].catch_up(&mut self.space),
            Operation::Watch(address, true) => assert_eq!(self.space.watch(address, 1), Ok(())),
            Operation::Watch(address, false) => assert_eq!(self.space.unwatch(address, 1), Ok(())),
            Operation::Snapshot | Operation::Restore(_) | Operation::Discard(_) => self.snapshot(operation),
            Operation::Reserve(true) => {
                self.space.reserve();
            }
            Operation::Reserve(false) => self.space.unreserve(),
            Operation::Host(address, value) => self.host(address, value),
            // What concerns more than one space.
            _ => {}
        }
    }

    fn snapshot(&mut self, operation: &Operation) {
        let count = self.snapshots.len();
        match *operation {
            Operation::Snapshot if count < 4 => {
                self.snapshots.push((self.space.snapshot(), self.model.clone()));
            }
            Operation::Restore(which) if count > 0 => {
                self.snapshots.truncate(usize::from(which) % count + 1);
                let (id, model) = &self.snapshots[self.snapshots.len() - 1];
                self.space.restore(*id).expect("the snapshot is there");
                self.model = model.clone();
            }
            Operation::Discard(which) if count > 0 => {
                let depth = usize::from(which) % count;
                self.space.discard(self.snapshots[depth].0).expect("the snapshot is there");
                assert!(self.space.restore(self.snapshots[depth].0).is_err());
                self.snapshots.truncate(depth);
            }
            _ => {}
        }
    }

    /// What translated code could do: load what the host lets it load, and store where it lets it.
    fn host(&mut self, address: u32, value: u8) {
        let Some(base) = reservation(&mut self.space) else { return };
        let host = Host::new(base.addr().get() as u64);
        for (page, (permissions, _)) in &self.model.pages {
            let Some(access) = host.access(*page) else { continue };
            assert!(permissions.contains(access), "page {page:#x}: {access:?} of {permissions:?}");
            assert_eq!(self.model.page(*page), Some(host.read(*page)), "page {page:#x} in place differs");
        }
        let mapped: Vec<u32> = host.pages().collect();
        assert!(mapped.iter().all(|page| self.model.pages.contains_key(page)), "{mapped:x?} are mapped");
        if host.access(address / PAGE_SIZE).is_some_and(|access| access.contains(Permissions::WRITE)) {
            host.write(address, value);
            assert!(self.model.set(address, value));
            // A page that the host lets be stored to has been stored to before, and holds no code.
            assert!(self.space.dirty_pages().contains(&(address / PAGE_SIZE)));
            self.engines[0].check(&mut self.space, &self.model);
        }
    }

    fn protect(&mut self, start: u32, length: u32, permissions: u8) {
        let permissions = Permissions::from_bits_truncate(permissions);
        let result = self.space.protect(start, length, permissions);
        let Some(mut pages) = pages_of(start, length) else {
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

    pub(crate) fn check(&mut self) {
        self.engines[0].check(&mut self.space, &self.model);
        self.same();
    }

    /// The space has the pages and the bytes that it should have.
    fn same(&self) {
        let mut regions = BTreeMap::new();
        for region in self.space.regions() {
            for page in 0..(region.length / 4096) as u32 {
                regions.insert(region.start / PAGE_SIZE + page, region.permissions);
            }
        }
        assert!(regions.iter().eq(self.model.pages.iter().map(|(page, held)| (page, &held.0))));
        for page in self.model.pages.keys() {
            let mut held = vec![0; 4096];
            let start = page * PAGE_SIZE;
            let expected = self.model.page(*page);
            let read = self.space.peek_bytes(start, &mut held);
            assert_eq!(read.is_ok(), expected.is_some(), "page {page:#x}");
            assert!(expected.is_none_or(|bytes| bytes == held), "page {page:#x} differs");
        }
    }

    /// Goes back to every snapshot, the last first.
    pub(crate) fn unwind(&mut self) {
        while let Some((id, model)) = self.snapshots.pop() {
            self.space.restore(id).expect("the snapshot is there");
            self.model = model;
            self.check();
            self.engines[1].check(&mut self.space, &self.model);
            self.space.discard(id).expect("the snapshot is there");
            self.check();
        }
        self.engines[1].check(&mut self.space, &self.model);
    }
}
