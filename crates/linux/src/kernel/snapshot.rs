//! Snapshots of all that is inside the machine.
//!
//! Address spaces remember their pages themselves, and trees of files share what has not changed; all else
//! is small and copied. The memory of a space that ends is set aside while a snapshot has it. What is the
//! host's stays outside: see [`Kernel::snapshot`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pentimento_memory::{AddressSpace, SharedImage, SharedMemory};

use super::Kernel;
use crate::arena::{Arena, Id};
use crate::futex::Futexes;
use crate::ids::{Crash, ProcessId, TaskId};
use crate::ipc::Ipc;
use crate::numbered::Numbered;
use crate::objects::{FileDescriptors, KeptFiles};
use crate::random::Random;
use crate::scheduler::Scheduler;
use crate::signal::Actions;
use crate::space::{KeptSpace, Space, SpaceId};
use crate::task::{Process, Task};
use crate::time::Elapsed;
use crate::vfs::Location;

/// A machine as it was: of one kernel, which keeps the pages that have changed since. Clones are of the
/// same snapshot.
#[derive(Clone)]
pub struct KernelSnapshot(Arc<Kept>);

impl fmt::Debug for KernelSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tasks, spaces) = (self.0.tasks.len(), self.0.spaces.len());
        f.debug_struct("KernelSnapshot")
            .field("tasks", &tasks)
            .field("spaces", &spaces)
            .finish_non_exhaustive()
    }
}

/// Why a machine cannot be what it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It was forgotten, one before it was restored, or it is another machine's.
    #[error("the machine has no such snapshot")]
    NoSuchSnapshot,
    /// The host has no memory for the content of shared mappings.
    #[error("out of memory")]
    OutOfMemory,
}

/// What a snapshot keeps; the fields are those of [`Kernel`].
pub(super) struct Kept {
    random: Random,
    elapsed: Elapsed,
    scheduler: Scheduler,
    tasks: Numbered<TaskId, Task>,
    processes: Numbered<ProcessId, Process>,
    spaces: Arena<KeptSpace>,
    actions: Arena<Actions>,
    files: Arena<FileDescriptors>,
    locations: Arena<Location>,
    fs: KeptFiles,
    futexes: Futexes,
    ipc: Ipc,
    active_space: Option<Id<Space>>,
    last_number: u32,
    /// Spaces from here on are newer. Numbers of spaces are not used again whatever is restored.
    next_space: u32,
    next_object: u64,
    first: Option<ProcessId>,
    crash: Option<Crash>,
    host_name: Vec<u8>,
    domain_name: Vec<u8>,
    unimplemented: BTreeMap<u32, u64>,
    paused: bool,
    /// The content of what spaces share.
    shared: Vec<(SharedMemory, SharedImage)>,
}

impl Kernel {
    pub(super) fn take_snapshot(&mut self) -> KernelSnapshot {
        let shared = self.shared_objects();
        self.fs.remember_input(true);
        let Self {
            host: _,
            limits: _,
            placement: _,
            cpuid: _,
            identity: _,
            random,
            time,
            scheduler,
            tasks,
            processes,
            spaces,
            frames: _,
            ended_spaces: _,
            actions,
            files,
            locations,
            fs,
            futexes,
            ipc,
            active_space,
            last_number,
            next_space,
            next_object,
            first,
            crash,
            host_name,
            domain_name,
            unimplemented,
            paused,
            snapshots,
            ended_memory: _,
            events: _,
        } = self;
        let image = |memory: SharedMemory| memory.image().ok().map(|image| (memory, image));
        let kept = Kept {
            random: random.clone(),
            elapsed: time.elapsed,
            scheduler: scheduler.clone(),
            tasks: tasks.clone(),
            processes: processes.clone(),
            spaces: spaces.map_mut(Space::keep),
            actions: actions.clone(),
            files: files.clone(),
            locations: locations.clone(),
            fs: fs.keep(),
            futexes: futexes.clone(),
            ipc: ipc.clone(),
            active_space: *active_space,
            last_number: *last_number,
            next_space: *next_space,
            next_object: *next_object,
            first: *first,
            crash: *crash,
            host_name: host_name.clone(),
            domain_name: domain_name.clone(),
            unimplemented: unimplemented.clone(),
            paused: *paused,
            shared: shared.into_iter().filter_map(image).collect(),
        };
        let kept = Arc::new(kept);
        snapshots.push(kept.clone());
        KernelSnapshot(kept)
    }

    /// What spaces share, each object once, given back by all of them.
    fn shared_objects(&mut self) -> Vec<SharedMemory> {
        self.spaces.values_mut().for_each(|space| space.memory.release_shared());
        let anonymous: BTreeMap<u64, &SharedMemory> =
            self.spaces.iter().flat_map(|(_, space)| space.shared_objects()).collect();
        let segments = self.ipc.segments.iter().map(|(_, segment)| (segment.object, &segment.memory));
        let anonymous: BTreeMap<u64, &SharedMemory> = anonymous.into_iter().chain(segments).collect();
        anonymous.into_values().chain(self.fs.vfs.mapped_objects()).cloned().collect()
    }

    fn snapshot_depth(&self, snapshot: &KernelSnapshot) -> Result<usize, RestoreError> {
        let same = |kept: &Arc<Kept>| Arc::ptr_eq(kept, &snapshot.0);
        self.snapshots.iter().position(same).ok_or(RestoreError::NoSuchSnapshot)
    }

    /// Whether every space of a snapshot still has its pages: a host that restores or discards snapshots
    /// of a space itself takes them away.
    fn has_pages(&self, kept: &Kept) -> bool {
        let live: BTreeMap<SpaceId, &AddressSpace> =
            self.spaces.iter().map(|(_, space)| (space.id, &space.memory)).collect();
        kept.spaces.iter().all(|(_, space)| {
            let memory = live.get(&space.id).copied().or_else(|| self.ended_memory.get(&space.id));
            memory.is_some_and(|memory| memory.has_snapshot(space.memory))
        })
    }

    pub(super) fn go_back_to(&mut self, snapshot: &KernelSnapshot) -> Result<(), RestoreError> {
        let depth = self.snapshot_depth(snapshot)?;
        let kept = &*snapshot.0;
        if !self.has_pages(kept) {
            return Err(RestoreError::NoSuchSnapshot);
        }
        self.snapshots.truncate(depth + 1);
        self.put_spaces_back(kept);
        self.random = kept.random.clone();
        self.time.elapsed = kept.elapsed;
        self.scheduler.clone_from(&kept.scheduler);
        self.tasks.clone_from(&kept.tasks);
        self.processes.clone_from(&kept.processes);
        self.actions.clone_from(&kept.actions);
        self.files.clone_from(&kept.files);
        self.locations.clone_from(&kept.locations);
        self.fs.put_back(&kept.fs);
        self.futexes.clone_from(&kept.futexes);
        self.ipc.clone_from(&kept.ipc);
        self.active_space = kept.active_space;
        self.last_number = kept.last_number;
        self.next_object = kept.next_object;
        self.first = kept.first;
        self.crash = kept.crash;
        self.host_name.clone_from(&kept.host_name);
        self.domain_name.clone_from(&kept.domain_name);
        self.unimplemented.clone_from(&kept.unimplemented);
        self.paused = kept.paused;
        for (memory, image) in &kept.shared {
            memory.put_back(image).map_err(|_| RestoreError::OutOfMemory)?;
        }
        Ok(())
    }

    /// Puts the address spaces back: those that have ended come again, and newer ones end.
    fn put_spaces_back(&mut self, kept: &Kept) {
        let mut memories = std::mem::take(&mut self.ended_memory);
        for mut space in std::mem::take(&mut self.spaces).into_values() {
            space.memory.release_shared();
            memories.insert(space.id, space.memory);
        }
        self.spaces = kept.spaces.filter_map(|space| {
            let mut memory = memories.remove(&space.id)?;
            memory.restore(space.memory).ok()?;
            Some(space.put_back(memory))
        });
        for (id, memory) in memories {
            if id.number() < kept.next_space {
                self.end_space(id, memory);
            } else {
                self.ended_spaces.push(id);
            }
        }
    }

    /// The end of a space, whose memory a snapshot may still need.
    pub(crate) fn end_space(&mut self, id: SpaceId, mut memory: AddressSpace) {
        if memory.snapshots() == 0 {
            self.ended_spaces.push(id);
        } else {
            memory.release_shared();
            self.ended_memory.insert(id, memory);
        }
    }

    pub(super) fn forget_snapshot(&mut self, snapshot: &KernelSnapshot) -> Result<(), RestoreError> {
        let depth = self.snapshot_depth(snapshot)?;
        self.snapshots.remove(depth);
        let live = self.spaces.values_mut().map(|space| (space.id, &mut space.memory));
        let ended = self.ended_memory.iter_mut().map(|(id, memory)| (*id, memory));
        let mut memories: BTreeMap<SpaceId, &mut AddressSpace> = live.chain(ended).collect();
        for (_, space) in snapshot.0.spaces.iter() {
            if let Some(memory) = memories.get_mut(&space.id) {
                // The host may have discarded it itself.
                let _ = memory.forget(space.memory);
            }
        }
        let unused = self.ended_memory.iter().filter(|(_, memory)| memory.snapshots() == 0);
        for id in unused.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.ended_memory.remove(&id);
            self.ended_spaces.push(id);
        }
        self.fs.remember_input(!self.snapshots.is_empty());
        Ok(())
    }
}
