//! Tasks, their processes and their memory by number, for what the kernel does by itself (a system
//! call has its [`Call`](super::Call)); and numbers that nothing else has.

use pentimento_registers::{DescriptorTables, Segment};

use super::Kernel;
use crate::arena::Id;
use crate::config::PROCESSOR;
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::space::{Space, SpaceId};
use crate::task::{Process, Task};
use crate::user_memory::UserMemory;

impl Kernel {
    /// The memory of `task`.
    pub(crate) fn user(&mut self, task: TaskId) -> UserMemory<'_> {
        UserMemory::new(self.space(task))
    }

    /// The address space of `task`, which becomes the one in use.
    pub(crate) fn space(&mut self, task: TaskId) -> &mut Space {
        match self.processes[&self.tasks[&task].process].space {
            Some(space) => {
                self.use_space(space);
                &mut self.spaces[space]
            }
            None => unreachable!("a task outlived its process's memory"),
        }
    }

    /// Makes a space the one in use: the shared objects that another one has accessed are given back.
    pub(super) fn use_space(&mut self, space: Id<Space>) {
        if self.active_space != Some(space) {
            self.release_shared();
            self.active_space = Some(space);
        }
    }

    /// Gives back the shared objects that the space in use has accessed, so that files can use them.
    pub(crate) fn release_shared(&mut self) {
        if let Some(active) = self.active_space.and_then(|active| self.spaces.get_mut(active)) {
            active.memory.release_shared();
        }
    }

    /// The process of `task`.
    pub(crate) fn process(&mut self, task: TaskId) -> &mut Process {
        let id = self.tasks[&task].process;
        match self.processes.get_mut(&id) {
            Some(process) => process,
            None => unreachable!("a task outlived its process"),
        }
    }

    /// A task that lives.
    pub(crate) fn task(&mut self, id: TaskId) -> &mut Task {
        match self.tasks.get_mut(&id) {
            Some(task) => task,
            None => unreachable!("{id:?} called the kernel after its end"),
        }
    }

    /// A number that nothing else gets.
    pub(crate) const fn new_object(&mut self) -> u64 {
        self.next_object += 1;
        self.next_object
    }

    /// Random bytes for the guest: the host's if it grants them, else the seed's.
    pub(crate) fn fill_random(&mut self, buffer: &mut [u8]) {
        match &mut self.host.entropy {
            Some(entropy) => entropy.fill(buffer),
            None => self.random.fill(buffer),
        }
    }

    /// A number for a new process or task, which no process, group or session has (pid_max is 32768).
    ///
    /// # Errors
    /// EAGAIN if there are too many.
    pub(crate) fn new_number(&mut self) -> Result<u32, Errno> {
        if self.tasks.len() >= self.limits.tasks as usize {
            return Err(Errno::EAGAIN);
        }
        for _ in 0..32768 {
            self.last_number = if self.last_number >= 32767 { 300 } else { self.last_number + 1 };
            let number = ProcessId(self.last_number);
            let taken = self.tasks.contains_key(&TaskId(self.last_number))
                || self.processes.contains_key(&number)
                || self
                    .processes
                    .values()
                    .any(|process| process.group == number || process.session == number);
            if !taken {
                return Ok(self.last_number);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Makes the memory of `task` the one in use, and names it.
    pub(crate) fn switch_to(&mut self, task: TaskId) -> Option<SpaceId> {
        let process = self.processes.get(&self.tasks.get(&task)?.process)?;
        let space = process.space?;
        self.use_space(space);
        self.spaces.get(space).map(|space| space.id)
    }

    /// Reloads the descriptors of `task`'s data segments after a table has changed.
    pub(crate) fn refresh_segments(&mut self, id: TaskId) {
        use pentimento_registers::SegmentRegister::{Ds, Es, Fs, Gs};
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let Some(process) = self.processes.get(&task.process) else { return };
        let Some(space) = process.space.and_then(|space| self.spaces.get(space)) else { return };
        let tables = DescriptorTables { tls: &task.tls, local: &space.local_descriptors };
        for register in [Ds, Es, Fs, Gs] {
            let segment = task.cpu.segment_mut(register);
            if segment.selector & !3 != 0 {
                *segment = Segment::new(segment.selector, tables.get(segment.selector, PROCESSOR));
            }
        }
    }
}
