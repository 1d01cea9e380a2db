//! What a snapshot keeps of an address space: its memory remembers its pages itself.

use pentimento_memory::{AddressSpace, SharedMemory, SnapshotId};

use super::Space;

/// A space as it was, with what its memory remembers its pages by.
pub(crate) type KeptSpace = Space<SnapshotId>;

impl<M> Space<M> {
    /// All but the memory, beside another one.
    fn beside<N>(&self, memory: N) -> Space<N> {
        let Self {
            memory: _,
            id,
            areas,
            end,
            heap_start,
            heap_end,
            mmap_base,
            limit,
            data_limit,
            stack_limit,
            locks_new,
            read_implies_exec,
            vdso,
            objects,
            attachments,
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
            end: *end,
            heap_start: *heap_start,
            heap_end: *heap_end,
            mmap_base: *mmap_base,
            limit: *limit,
            data_limit: *data_limit,
            stack_limit: *stack_limit,
            locks_new: *locks_new,
            read_implies_exec: *read_implies_exec,
            vdso: *vdso,
            objects: objects.clone(),
            attachments: attachments.clone(),
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

impl Space {
    /// Takes a snapshot of the memory, and keeps what is beside it.
    pub(crate) fn keep(&mut self) -> KeptSpace {
        let memory = self.memory.snapshot();
        self.beside(memory)
    }

    /// The objects behind its anonymous shared areas, by number.
    pub(crate) fn shared_objects(&self) -> impl Iterator<Item = (u64, &SharedMemory)> {
        self.objects.iter().map(|(number, memory)| (*number, memory))
    }
}

impl KeptSpace {
    /// The space with `memory`, which has been put back already.
    pub(crate) fn put_back(&self, memory: AddressSpace) -> Space {
        self.beside(memory)
    }
}
