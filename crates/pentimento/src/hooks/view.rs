//! What a hook sees of the guest.

use pentimento_execute::Environment;
use pentimento_memory::AddressSpace;
use pentimento_registers::CpuState;

use super::{Hooks, Task};

/// The guest, as a hook sees it: the thread whose event it is. What the hook writes counts.
pub struct View<'a> {
    /// The registers. Before an instruction EIP is its own, and writing another one there goes to it.
    pub state: &'a mut CpuState,
    /// The memory.
    pub memory: &'a mut AddressSpace,
    /// CPU model, time-stamp counter (which counts instructions), random numbers.
    pub environment: &'a mut Environment,
    /// The hooks, to add and remove some: from the next event on.
    pub hooks: &'a mut Hooks,
    pub(super) task: Option<Task>,
    pub(super) stops: bool,
}

impl View<'_> {
    /// Stops the run when all hooks have heard of the event: [`Halt::Hook`](crate::Halt::Hook). The next run
    /// goes on behind it.
    pub fn stop(&mut self) {
        self.stops = true;
    }

    /// The task whose event it is, on a machine that has tasks.
    #[cfg(feature = "linux")]
    #[must_use]
    pub const fn task(&self) -> Option<Task> {
        self.task
    }
}
