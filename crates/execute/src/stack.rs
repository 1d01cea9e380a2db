//! Pushes and pops (SDM volume 1, section 6.2).

use pentimento_memory::Access;
use pentimento_registers::{Gpr, SegmentRegister};

use crate::{Context, Outcome, Width};

const SS: SegmentRegister = SegmentRegister::Ss;

impl Context<'_> {
    /// The bits of ESP and EBP that address the stack: all, or 16 if SS.B is clear.
    #[inline]
    pub(crate) fn stack_mask(&self) -> u32 {
        match self.state.segment(SS).descriptor() {
            Some(descriptor) if !descriptor.big => 0xffff,
            _ => u32::MAX,
        }
    }

    /// The stack pointer.
    #[inline]
    pub(crate) fn stack_pointer(&self) -> u32 {
        self.state.gpr(Gpr::Esp) & self.stack_mask()
    }

    /// Moves the stack pointer; a 16-bit stack keeps the high half of ESP.
    #[inline]
    pub(crate) fn set_stack_pointer(&mut self, value: u32) {
        let mask = self.stack_mask();
        let kept = self.state.gpr(Gpr::Esp) & !mask;
        self.state.set_gpr(Gpr::Esp, kept | value & mask);
    }

    /// Loads from `offset` bytes above the stack pointer.
    ///
    /// # Errors
    /// #SS, #PF or #AC.
    #[inline]
    pub(crate) fn peek<W: Width>(&self, offset: u32) -> Outcome<W> {
        self.load(SS, self.stack_pointer().wrapping_add(offset) & self.stack_mask())
    }

    /// Pushes a value.
    ///
    /// # Errors
    /// #SS, #PF or #AC; then ESP is as it was.
    #[inline]
    pub fn push<W: Width>(&mut self, value: W) -> Outcome {
        let top = self.stack_pointer().wrapping_sub(W::BYTES);
        self.store(SS, top & self.stack_mask(), value)?;
        self.set_stack_pointer(top);
        Ok(())
    }

    /// Pops a value.
    ///
    /// # Errors
    /// #SS, #PF or #AC; then ESP is as it was.
    #[inline]
    pub fn pop<W: Width>(&mut self) -> Outcome<W> {
        let value = self.peek(0)?;
        self.set_stack_pointer(self.stack_pointer().wrapping_add(W::BYTES));
        Ok(value)
    }

    /// Checks that `count` pushes of this width could be made, in their order.
    ///
    /// # Errors
    /// #SS, #PF or #AC of the first that could not.
    pub(crate) fn probe_pushes<W: Width>(&self, count: u32) -> Outcome {
        for number in 1..=count {
            self.probe_stack::<W>(self.stack_pointer().wrapping_sub(number * W::BYTES), Access::Write)?;
        }
        Ok(())
    }

    /// Checks that an access to the stack at `offset` could be made.
    ///
    /// # Errors
    /// #SS, #PF or #AC.
    pub(crate) fn probe_stack<W: Width>(&self, offset: u32, access: Access) -> Outcome {
        let linear = self.linear_address(SS, offset & self.stack_mask(), W::BYTES, access)?;
        self.check_alignment(linear, W::BYTES)?;
        Ok(self.memory.check(linear, W::BYTES, access)?)
    }
}
