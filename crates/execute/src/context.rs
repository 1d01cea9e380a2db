//! What a handler works on: registers, memory and the machine around the CPU.

use pentimento_decoder::{AddressSize, MemoryOperand};
use pentimento_memory::{Access, AddressSpace, Value};
use pentimento_registers::{CpuState, Descriptor, DescriptorTables, Eflags, Exception, Gpr, SegmentRegister};

use crate::observe::{AccessLog, MemoryAccess};
use crate::{Environment, Outcome, Trap};

/// A handler's view of the machine.
///
/// While a handler runs, `state.eip` already points behind the instruction; when it returns
/// a [fault](Trap::is_fault) the engine sets it back to [`Context::start`]. A handler therefore checks
/// everything that can fault before it changes anything.
pub struct Context<'a> {
    /// The registers.
    pub state: &'a mut CpuState,
    /// The address space.
    pub memory: &'a mut AddressSpace,
    /// CPU model, time-stamp counter, interrupt gates.
    pub environment: &'a mut Environment,
    /// What segment loads find.
    pub descriptors: DescriptorTables<'a>,
    /// EIP of the instruction that is executing.
    pub start: u32,
    /// Where accesses to memory are noted, if somebody wants to know.
    pub accesses: Option<&'a AccessLog>,
}

impl Context<'_> {
    /// The descriptor that `selector` names, if user code may look at it.
    #[must_use]
    pub fn descriptor(&self, selector: u16) -> Option<Descriptor> {
        self.descriptors.get(selector, self.environment.processor)
    }

    /// The offset that a memory operand names, within its segment (SDM volume 1, section 3.7.5).
    #[inline]
    #[must_use]
    pub fn effective_address(&self, operand: &MemoryOperand) -> u32 {
        let base = operand.base.map_or(0, |base| self.state.gpr(base));
        let index = operand.index.map_or(0, |index| self.state.gpr(index));
        let sum =
            base.wrapping_add(index.wrapping_mul(operand.scale.into())).wrapping_add(operand.displacement);
        // 16-bit forms use only the low halves, and nothing carries out of the low half of a sum.
        self.address_offset(sum, operand.address_size)
    }

    /// The linear address of `length` bytes at `offset` in `segment`, checked against the
    /// segment's limit and type. Pages are not looked at.
    ///
    /// # Errors
    /// #GP(0), or #SS(0) through SS.
    #[inline]
    pub fn linear_address(
        &self,
        segment: SegmentRegister,
        offset: u32,
        length: u32,
        access: Access,
    ) -> Outcome<u32> {
        let descriptor = self.state.segment(segment).descriptor();
        match descriptor {
            // Even without a limit, an access must not wrap around the end of the segment.
            Some(descriptor)
                if is_flat(descriptor, access) && offset <= u32::MAX - length.saturating_sub(1) =>
            {
                Ok(descriptor.base.wrapping_add(offset))
            }
            _ => checked_address(segment, descriptor, offset, length, access),
        }
    }

    /// The linear address of a memory operand of `length` bytes; see [`Context::linear_address`].
    ///
    /// # Errors
    /// #GP(0), or #SS(0) through SS.
    #[inline]
    pub fn locate(&self, operand: &MemoryOperand, length: u32, access: Access) -> Outcome<u32> {
        self.linear_address(operand.segment, self.effective_address(operand), length, access)
    }

    /// Raises #AC if alignment checking is on (EFLAGS.AC; Linux sets CR0.AM) and `linear` is no
    /// multiple of `alignment`, a power of two.
    ///
    /// # Errors
    /// #AC(0).
    #[inline]
    pub fn check_alignment(&self, linear: u32, alignment: u32) -> Outcome {
        if self.state.eflags.contains(Eflags::AC) && linear & alignment.wrapping_sub(1) != 0 {
            return Err(Trap::ALIGNMENT_CHECK);
        }
        Ok(())
    }

    /// Loads from `segment:offset`.
    ///
    /// # Errors
    /// #GP, #SS, #PF or #AC.
    #[inline]
    pub fn load<T: Value>(&self, segment: SegmentRegister, offset: u32) -> Outcome<T> {
        let length = size_of::<T>() as u32;
        let linear = self.linear_address(segment, offset, length, Access::Read)?;
        self.check_alignment(linear, length.min(8))?;
        self.load_linear(linear)
    }

    /// Stores to `segment:offset`: all of the value, or on an error nothing.
    ///
    /// # Errors
    /// #GP, #SS, #PF or #AC.
    #[inline]
    pub fn store<T: Value>(&mut self, segment: SegmentRegister, offset: u32, value: T) -> Outcome {
        let length = size_of::<T>() as u32;
        let linear = self.linear_address(segment, offset, length, Access::Write)?;
        self.check_alignment(linear, length.min(8))?;
        self.store_linear(linear, value)
    }

    /// Loads from a linear address. Whatever an instruction loads comes through here or
    /// [`load_bytes`](Self::load_bytes).
    #[inline(always)]
    pub(crate) fn load_linear<T: Value>(&self, address: u32) -> Outcome<T> {
        let value: T = self.memory.read(address)?;
        self.note(address, Access::Read, value);
        Ok(value)
    }

    /// Stores to a linear address: all of the value, or on an error nothing. Whatever an instruction
    /// stores goes through here or [`store_bytes`](Self::store_bytes).
    #[inline(always)]
    pub(crate) fn store_linear<T: Value>(&mut self, address: u32, value: T) -> Outcome {
        self.memory.write(address, value)?;
        self.note(address, Access::Write, value);
        Ok(())
    }

    /// Loads bytes from a linear address.
    #[inline]
    pub(crate) fn load_bytes(&self, address: u32, bytes: &mut [u8]) -> Outcome {
        self.memory.read_bytes(address, bytes)?;
        if let Some(log) = self.accesses {
            log.note_bytes(self.start, address, Access::Read, bytes);
        }
        Ok(())
    }

    /// Stores bytes to a linear address: all of them, or on an error none.
    #[inline]
    pub(crate) fn store_bytes(&mut self, address: u32, bytes: &[u8]) -> Outcome {
        self.memory.write_bytes(address, bytes)?;
        if let Some(log) = self.accesses {
            log.note_bytes(self.start, address, Access::Write, bytes);
        }
        Ok(())
    }

    #[inline(always)]
    fn note<T: Value>(&self, address: u32, access: Access, value: T) {
        if let Some(log) = self.accesses {
            let (eip, length) = (self.start, size_of::<T>() as u8);
            log.note(MemoryAccess { eip, address, length, access, value: value.into_u128() });
        }
    }

    /// Loads what a memory operand names, at the width of `T` whatever the operand's own.
    ///
    /// # Errors
    /// #GP, #SS, #PF or #AC.
    #[inline]
    pub fn load_operand<T: Value>(&self, operand: &MemoryOperand) -> Outcome<T> {
        self.load(operand.segment, self.effective_address(operand))
    }

    /// Stores to what a memory operand names, at the width of `T` whatever the operand's own.
    ///
    /// # Errors
    /// #GP, #SS, #PF or #AC.
    #[inline]
    pub fn store_operand<T: Value>(&mut self, operand: &MemoryOperand, value: T) -> Outcome {
        self.store(operand.segment, self.effective_address(operand), value)
    }

    /// Checks that `length` bytes at `segment:offset` could be stored, and gives their linear address.
    ///
    /// # Errors
    /// #GP, #SS or #PF.
    #[inline]
    pub fn probe_write(&self, segment: SegmentRegister, offset: u32, length: u32) -> Outcome<u32> {
        let linear = self.linear_address(segment, offset, length, Access::Write)?;
        self.memory.check(linear, length, Access::Write)?;
        Ok(linear)
    }

    /// Replaces the flags in `mask` by those of `flags`.
    #[inline(always)]
    pub fn set_flags(&mut self, mask: Eflags, flags: Eflags) {
        self.state.eflags = self.state.eflags.difference(mask).union(flags.intersection(mask));
    }

    /// An offset as instructions with this address size compute it.
    #[inline(always)]
    #[must_use]
    pub fn address_offset(&self, sum: u32, size: AddressSize) -> u32 {
        match size {
            AddressSize::Dword => sum,
            AddressSize::Word => sum & 0xffff,
        }
    }

    /// A counter or index register at this address size.
    #[inline]
    #[must_use]
    pub fn address_register(&self, register: Gpr, size: AddressSize) -> u32 {
        self.address_offset(self.state.gpr(register), size)
    }

    /// Writes a counter or index register at this address size.
    #[inline]
    pub fn set_address_register(&mut self, register: Gpr, size: AddressSize, value: u32) {
        match size {
            AddressSize::Dword => self.state.set_gpr(register, value),
            AddressSize::Word => self.state.set_gpr16(register, value as u16),
        }
    }
}

/// Whether every offset allows `access`.
#[inline(always)]
fn is_flat(descriptor: &Descriptor, access: Access) -> bool {
    descriptor.limit == u32::MAX
        && descriptor.accessible
        && !descriptor.expand_down
        && !(descriptor.code && matches!(access, Access::Write))
}

/// [`Context::linear_address`] for segments that are null, bounded, or of a type that forbids the access.
#[cold]
fn checked_address(
    segment: SegmentRegister,
    descriptor: Option<&Descriptor>,
    offset: u32,
    length: u32,
    access: Access,
) -> Outcome<u32> {
    let violation = match segment {
        SegmentRegister::Ss => Trap::fault(Exception::StackFault, 0),
        _ => Trap::GENERAL_PROTECTION,
    };
    let Some(descriptor) = descriptor else { return Err(violation) };
    let allowed = match access {
        Access::Read => !descriptor.code || descriptor.accessible,
        Access::Write => !descriptor.code && descriptor.accessible,
        Access::Execute => descriptor.code,
    };
    if !allowed {
        return Err(Trap::GENERAL_PROTECTION);
    }
    let last = u64::from(offset) + u64::from(length.max(1)) - 1;
    let inside = if descriptor.expand_down {
        let top = if descriptor.big { u32::MAX } else { 0xffff };
        offset > descriptor.limit && last <= u64::from(top)
    } else {
        last <= u64::from(descriptor.limit)
    };
    if inside { Ok(descriptor.base.wrapping_add(offset)) } else { Err(violation) }
}
