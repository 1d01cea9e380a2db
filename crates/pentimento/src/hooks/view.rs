//! What a hook sees of the guest.

use std::ops::{Deref, DerefMut};

use pentimento_execute::Environment;
use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Gpr};

use super::{Hooks, Task};

/// The registers of a [`View`]. Whether a hook has written to any, engines see by how it has used this.
#[derive(Debug)]
pub struct StateView<'a> {
    state: &'a mut CpuState,
    pub(super) is_touched: bool,
}

impl<'a> StateView<'a> {
    pub(super) const fn new(state: &'a mut CpuState) -> Self {
        Self { state, is_touched: false }
    }

    /// [`CpuState::set_gpr`], whose value may be made of these registers.
    #[inline]
    pub fn set_gpr(&mut self, register: Gpr, value: u32) {
        self.is_touched = true;
        self.state.set_gpr(register, value);
    }
}

impl Deref for StateView<'_> {
    type Target = CpuState;

    #[inline]
    fn deref(&self) -> &CpuState {
        self.state
    }
}

impl DerefMut for StateView<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut CpuState {
        self.is_touched = true;
        self.state
    }
}

/// The guest, as a hook sees it: the thread whose event it is. What the hook writes counts.
pub struct View<'a> {
    /// The registers. Before an instruction EIP is its own, and writing another one there goes to it.
    pub state: StateView<'a>,
    /// The memory.
    pub memory: &'a mut AddressSpace,
    // Here, so that no compiler copies two neighbours of a `Guest` at once: the host's CPU waits long for a
    // load of what two stores have just written.
    /// The hooks, to add and remove some: from the next event on.
    pub hooks: &'a mut Hooks,
    /// CPU model, time-stamp counter (which counts instructions), random numbers.
    pub environment: &'a mut Environment,
    pub(crate) task: Option<Task>,
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
