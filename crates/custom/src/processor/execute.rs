//! The loop that executes operations, and what they reach: memory, stack, output.

use std::sync::Arc;

use pentimento_memory::engine::generation;

use super::block::Block;
use super::native::Call;
use super::{KEPT_OUTPUT, Output, Processor};
use crate::context::Context;
use crate::operation::{Op, Size, Slot, mask, sign_extend};
use crate::set::{CompiledEffect, Definition, StackShape};
use crate::{Cause, Endian};

/// How a block was left.
pub(super) enum Flow {
    /// At its end; the instruction pointer says where to go on.
    Next,
    /// After the instruction of an operation, as it has overwritten code.
    Left { op: usize },
    /// By an operation that ends the run.
    Halted { op: usize, status: u8 },
    /// By an operation that failed.
    Fault { op: usize, cause: Cause },
}

/// A stack in memory, as the stack pointer has it now.
pub(super) struct MemoryStack {
    register: Slot,
    /// Bits of the stack pointer.
    width: u8,
    pub(super) pointer: u64,
    /// Units that are in use.
    pub(super) used: u64,
    /// Units of an entry.
    pub(super) units: u64,
    pub(super) size: Size,
    entries: u32,
}

/// What keeps an operation from being followed by the next one.
enum Stop {
    Halted(u8),
    Fault(Cause),
}

impl From<Cause> for Stop {
    fn from(cause: Cause) -> Self {
        Self::Fault(cause)
    }
}

impl Processor {
    #[inline(always)]
    fn slot(&self, slot: Slot) -> u64 {
        self.slots[usize::from(slot)]
    }

    #[inline(always)]
    fn set_slot(&mut self, slot: Slot, value: u64) {
        self.slots[usize::from(slot)] = value;
    }

    /// Executes the operations of a block.
    #[inline]
    pub(super) fn execute(&mut self, set: &Definition, block: &Block) -> Flow {
        let mut next = 0;
        while let Some(op) = block.ops.get(next) {
            next += 1;
            match *op {
                Op::Constant { to, value } => self.set_slot(to, value),
                Op::Copy { to, from } => self.set_slot(to, self.slot(from)),
                Op::Push { from } => {
                    if let Err(cause) = self.push(set, self.slot(from)) {
                        return Flow::Fault { op: next - 1, cause };
                    }
                }
                Op::PushConstant { value } => {
                    if let Err(cause) = self.push(set, value) {
                        return Flow::Fault { op: next - 1, cause };
                    }
                }
                Op::Pop { to } => match self.pop(set) {
                    Ok(value) => self.set_slot(to, value),
                    Err(cause) => return Flow::Fault { op: next - 1, cause },
                },
                Op::Binary { arithmetic, width, to, left, right } => {
                    match arithmetic.apply(width, self.slot(left), self.slot(right)) {
                        Some(value) => self.set_slot(to, value),
                        None => return Flow::Fault { op: next - 1, cause: Cause::DivisionByZero },
                    }
                }
                Op::BinaryConstant { arithmetic, width, to, left, value } => {
                    match arithmetic.apply(width, self.slot(left), value) {
                        Some(value) => self.set_slot(to, value),
                        None => return Flow::Fault { op: next - 1, cause: Cause::DivisionByZero },
                    }
                }
                Op::SkipUnless { condition, count } => {
                    next += if self.slot(condition) == 0 { usize::from(count) } else { 0 };
                }
                Op::Skip { count } => next += usize::from(count),
                Op::CheckCode { next: after, jumped } => {
                    if self.code_was_overwritten() {
                        if !jumped {
                            self.set_slot(set.ip, u64::from(after));
                        }
                        return Flow::Left { op: next - 1 };
                    }
                }
                other => match self.execute_rare(set, block, other) {
                    Ok(()) => {}
                    Err(Stop::Fault(cause)) => return Flow::Fault { op: next - 1, cause },
                    Err(Stop::Halted(status)) => return Flow::Halted { op: next - 1, status },
                },
            }
        }
        Flow::Next
    }

    /// The operations that take a call anyway.
    fn execute_rare(&mut self, set: &Definition, block: &Block, op: Op) -> Result<(), Stop> {
        match op {
            Op::Load { to, address, size } => {
                let value = self.load_from(set, self.slot(address), size)?;
                self.set_slot(to, value);
            }
            Op::Store { address, from, size } => {
                self.store_to(set, self.slot(address), self.slot(from), size)?
            }
            Op::SignExtend { to, from, bits, width } => {
                self.set_slot(to, sign_extend(self.slot(from), bits) as u64 & mask(width));
            }
            Op::Out { from } => self.out(self.slot(from) as u8)?,
            Op::Halt { status } => return Err(self.halt(set, self.slot(status))),
            Op::Fault { reason } => {
                let reason = set.reasons.get(usize::from(reason)).map_or_else(|| "fault".into(), Arc::clone);
                return Err(Stop::Fault(Cause::Other { reason }));
            }
            Op::Native { call } => return self.call(set, block, call),
            _ => {}
        }
        Ok(())
    }

    fn halt(&self, set: &Definition, status: u64) -> Stop {
        match u8::try_from(status) {
            Ok(status) if status <= set.status_max => Stop::Halted(status),
            _ => Stop::Fault(Cause::BadStatus { status, most: set.status_max }),
        }
    }

    fn call(&mut self, set: &Definition, block: &Block, call: u32) -> Result<(), Stop> {
        let Some(decoded) = block.calls.get(call as usize) else { return Ok(()) };
        let Some(row) = set.rows.get(usize::from(decoded.row)) else { return Ok(()) };
        let CompiledEffect::Native(effect) = &row.effect else { return Ok(()) };
        let mut call = Call::new(self, set, row, decoded);
        effect(&mut Context::new(&mut call))?;
        let status = call.status;
        // Its stores are noticed now, as the block ends here.
        self.code_was_overwritten();
        match status {
            Some(status) => Err(self.halt(set, status)),
            None => Ok(()),
        }
    }

    /// Whether decoded code was overwritten since the last question; then none is kept any more.
    #[inline(always)]
    fn code_was_overwritten(&mut self) -> bool {
        generation(&self.memory) != self.code.generation() && self.forget_overwritten()
    }

    #[cold]
    #[inline(never)]
    fn forget_overwritten(&mut self) -> bool {
        self.code.catch_up(&mut self.memory);
        self.blocks.clear();
        self.current = false;
        true
    }

    /// The byte address of `size` at an address of the set.
    #[inline(always)]
    fn byte_address(set: &Definition, address: u64, size: Size) -> Result<u32, Cause> {
        let bytes = address
            .checked_mul(u64::from(set.unit))
            .and_then(|byte| byte.checked_add(u64::from(size.bytes())));
        match bytes {
            Some(end) if end <= u64::from(set.memory) * u64::from(set.unit) => {
                Ok((end - u64::from(size.bytes())) as u32)
            }
            _ => Err(Cause::NoMemory { address }),
        }
    }

    pub(super) fn load_from(&self, set: &Definition, address: u64, size: Size) -> Result<u64, Cause> {
        let byte = Self::byte_address(set, address, size)?;
        let big = set.endian == Endian::Big;
        let value = match size {
            Size::One => self.memory.read::<u8>(byte).map(u64::from),
            Size::Two => self
                .memory
                .read::<u16>(byte)
                .map(|value| u64::from(if big { value.swap_bytes() } else { value })),
            Size::Four => self
                .memory
                .read::<u32>(byte)
                .map(|value| u64::from(if big { value.swap_bytes() } else { value })),
            Size::Eight => {
                self.memory.read::<u64>(byte).map(|value| if big { value.swap_bytes() } else { value })
            }
        };
        value.map_err(|_| Cause::OutOfMemory)
    }

    pub(super) fn store_to(
        &mut self,
        set: &Definition,
        address: u64,
        value: u64,
        size: Size,
    ) -> Result<(), Cause> {
        let byte = Self::byte_address(set, address, size)?;
        let big = set.endian == Endian::Big;
        let done = match size {
            Size::One => self.memory.write(byte, value as u8),
            Size::Two => {
                self.memory.write(byte, if big { (value as u16).swap_bytes() } else { value as u16 })
            }
            Size::Four => {
                self.memory.write(byte, if big { (value as u32).swap_bytes() } else { value as u32 })
            }
            Size::Eight => self.memory.write(byte, if big { value.swap_bytes() } else { value }),
        };
        done.map_err(|_| Cause::OutOfMemory)
    }

    /// The stack, if it lies in memory.
    pub(super) fn memory_stack(&self, set: &Definition) -> Option<MemoryStack> {
        let StackShape { entries, width: bits, register } = set.stack?;
        let register = register?;
        let size = if set.word.is_some() { Size::of_bits(set.unit as u8 * 8)? } else { Size::of_bits(bits)? };
        let width = self.width_of(register);
        let pointer = self.slot(register);
        let used = u64::from(set.memory).wrapping_sub(pointer) & mask(width);
        Some(MemoryStack {
            register,
            width,
            pointer,
            used,
            units: u64::from(size.bytes() / set.unit),
            size,
            entries,
        })
    }

    #[inline(always)]
    pub(super) fn push(&mut self, set: &Definition, value: u64) -> Result<(), Cause> {
        match set.stack {
            Some(StackShape { register: None, entries, .. }) => {
                self.stack.push(value, entries.min(self.stack_limit)).map_err(|cause| match cause {
                    Cause::StackFull { .. } if self.stack_limit < entries => Cause::OutOfMemory,
                    cause => cause,
                })
            }
            _ => self.push_to_memory(set, value),
        }
    }

    #[inline(always)]
    pub(super) fn pop(&mut self, set: &Definition) -> Result<u64, Cause> {
        match set.stack {
            Some(StackShape { register: None, .. }) => self.stack.pop().ok_or(Cause::StackEmpty),
            _ => self.pop_from_memory(set),
        }
    }

    fn push_to_memory(&mut self, set: &Definition, value: u64) -> Result<(), Cause> {
        let Some(stack) = self.memory_stack(set) else { return Err(Cause::StackEmpty) };
        if stack.used.saturating_add(stack.units) > u64::from(stack.entries) * stack.units {
            return Err(Cause::StackFull { entries: stack.entries });
        }
        let pointer = stack.pointer.wrapping_sub(stack.units) & mask(stack.width);
        self.store_to(set, pointer, value, stack.size)?;
        self.set_slot(stack.register, pointer);
        Ok(())
    }

    fn pop_from_memory(&mut self, set: &Definition) -> Result<u64, Cause> {
        let stack = self.memory_stack(set).filter(|stack| stack.used > 0).ok_or(Cause::StackEmpty)?;
        let value = self.load_from(set, stack.pointer, stack.size)?;
        self.set_slot(stack.register, stack.pointer.wrapping_add(stack.units) & mask(stack.width));
        Ok(value)
    }

    pub(super) fn out(&mut self, byte: u8) -> Result<(), Cause> {
        match &mut self.output {
            Output::Written(writer) => writer
                .write_all(&[byte])
                .map_err(|error| Cause::Output { kind: error.kind(), reason: error.to_string().into() }),
            Output::Kept(bytes) if bytes.len() < KEPT_OUTPUT => {
                bytes.push(byte);
                Ok(())
            }
            Output::Kept(_) => Err(Cause::Output {
                kind: std::io::ErrorKind::StorageFull,
                reason: "the host keeps at most 1 MiB".into(),
            }),
        }
    }
}
