//! What a snapshot keeps of an address space: its memory remembers its pages itself.

use std::collections::BTreeMap;

use pentimento_memory::{AddressSpace, SharedMemory, SnapshotId};
use pentimento_registers::LocalDescriptors;

use super::{Areas, FileMapping, Space, SpaceId};
use crate::vfs::Vnode;

/// A space as it was; its fields are those of [`Space`].
pub(crate) struct KeptSpace {
    /// What its memory remembers its pages by.
    pub(crate) memory: SnapshotId,
    pub(crate) id: SpaceId,
    areas: Areas,
    heap_start: u32,
    heap_end: u32,
    mmap_base: u32,
    limit: u64,
    data_limit: u64,
    stack_limit: u32,
    read_implies_exec: bool,
    vdso: u32,
    objects: BTreeMap<u64, SharedMemory>,
    files: BTreeMap<Vnode, FileMapping>,
    program: Vec<u8>,
    interpreter: Vec<u8>,
    arguments: (u32, u32),
    environment: (u32, u32),
    auxiliary: Vec<u8>,
    local_descriptors: LocalDescriptors,
}

impl Space {
    /// Takes a snapshot of the memory, and keeps what is beside it.
    pub(crate) fn keep(&mut self) -> KeptSpace {
        let memory = self.memory.snapshot();
        let Self {
            memory: _,
            id,
            areas,
            heap_start,
            heap_end,
            mmap_base,
            limit,
            data_limit,
            stack_limit,
            read_implies_exec,
            vdso,
            objects,
            files,
            program,
            interpreter,
            arguments,
            environment,
            auxiliary,
            local_descriptors,
        } = self;
        KeptSpace {
            memory,
            id: *id,
            areas: areas.clone(),
            heap_start: *heap_start,
            heap_end: *heap_end,
            mmap_base: *mmap_base,
            limit: *limit,
            data_limit: *data_limit,
            stack_limit: *stack_limit,
            read_implies_exec: *read_implies_exec,
            vdso: *vdso,
            objects: objects.clone(),
            files: files.clone(),
            program: program.clone(),
            interpreter: interpreter.clone(),
            arguments: *arguments,
            environment: *environment,
            auxiliary: auxiliary.clone(),
            local_descriptors: local_descriptors.clone(),
        }
    }

    /// The objects behind its anonymous shared areas, by number.
    pub(crate) fn shared_objects(&self) -> impl Iterator<Item = (u64, &SharedMemory)> {
        self.objects.iter().map(|(number, memory)| (*number, memory))
    }
}

impl KeptSpace {
    /// The space with `memory`, which has been put back already.
    pub(crate) fn put_back(&self, memory: AddressSpace) -> Space {
        let Self {
            memory: _,
            id,
            areas,
            heap_start,
            heap_end,
            mmap_base,
            limit,
            data_limit,
            stack_limit,
            read_implies_exec,
            vdso,
            objects,
            files,
            program,
            interpreter,
            arguments,
            environment,
            auxiliary,
            local_descriptors,
        } = self;
        Space {
            memory,
            id: *id,
            areas: areas.clone(),
            heap_start: *heap_start,
            heap_end: *heap_end,
            mmap_base: *mmap_base,
            limit: *limit,
            data_limit: *data_limit,
            stack_limit: *stack_limit,
            read_implies_exec: *read_implies_exec,
            vdso: *vdso,
            objects: objects.clone(),
            files: files.clone(),
            program: program.clone(),
            interpreter: interpreter.clone(),
            arguments: *arguments,
            environment: *environment,
            auxiliary: auxiliary.clone(),
            local_descriptors: local_descriptors.clone(),
        }
    }
}
