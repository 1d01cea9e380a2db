//! An instruction whose effect is Rust code: what its names mean, and what it reaches.

use super::Processor;
use crate::context::Reach;
use crate::operation::{Size, Slot, mask};
use crate::set::{CompiledRow, Decoded, Definition};
use crate::{Cause, OperandKind};

/// An instruction of a row in Rust while it executes.
pub(super) struct Call<'p> {
    processor: &'p mut Processor,
    set: &'p Definition,
    row: &'p CompiledRow,
    decoded: &'p Decoded,
    /// The address behind the instruction.
    end: u64,
    /// The status that it ended the run with.
    pub(super) status: Option<u64>,
}

/// What a name means to an instruction.
enum Meaning {
    Place { slot: Slot, width: u8 },
    Number(u64),
}

impl<'p> Call<'p> {
    pub(super) fn new(
        processor: &'p mut Processor,
        set: &'p Definition,
        row: &'p CompiledRow,
        decoded: &'p Decoded,
    ) -> Self {
        let end = processor.ip();
        Self { processor, set, row, decoded, end, status: None }
    }

    fn meaning(&self, name: &str) -> Result<Meaning, Cause> {
        let mut operands = self.row.encoding.fields.iter().zip(&self.row.operands).zip(&self.decoded.values);
        if let Some(((_, shape), value)) = operands.find(|((field, _), _)| field.name == name) {
            return Ok(match shape.kind {
                OperandKind::Register => Meaning::Place { slot: *value as Slot, width: shape.width },
                OperandKind::Relative => Meaning::Number(self.set.target(*value, self.end)),
                OperandKind::Number | OperandKind::Signed => Meaning::Number(*value),
            });
        }
        match self.set.place(name) {
            Some((slot, width)) => Ok(Meaning::Place { slot, width }),
            None if name == "ip" => Ok(Meaning::Place { slot: self.set.ip, width: self.set.ip_width }),
            None => Err(Cause::other(format!("an effect in Rust asks for '{name}', which is nothing here"))),
        }
    }

    /// The size of an access of so many bytes; memory of words is accessed word by word.
    fn size(&self, bytes: u8) -> Result<Size, Cause> {
        let size = Size::of_bits(bytes.saturating_mul(8))
            .filter(|_| self.set.word.is_none() || u32::from(bytes) == self.set.unit);
        size.ok_or_else(|| Cause::other(format!("no access has {bytes} bytes here")))
    }
}

impl Reach for Call<'_> {
    fn get(&self, name: &str) -> Result<u64, Cause> {
        Ok(match self.meaning(name)? {
            Meaning::Place { slot, .. } => self.processor.slots[usize::from(slot)],
            Meaning::Number(value) => value,
        })
    }

    fn set(&mut self, name: &str, value: u64) -> Result<(), Cause> {
        match self.meaning(name)? {
            Meaning::Place { slot, width } => {
                self.processor.slots[usize::from(slot)] = value & mask(width);
                Ok(())
            }
            Meaning::Number(_) => {
                Err(Cause::other(format!("an effect in Rust assigns to '{name}', a number")))
            }
        }
    }

    fn load(&self, address: u64, bytes: u8) -> Result<u64, Cause> {
        self.processor.load_from(self.set, address, self.size(bytes)?)
    }

    fn store(&mut self, address: u64, value: u64, bytes: u8) -> Result<(), Cause> {
        let value = if self.set.word.is_some() { value & mask(self.set.unit_bits()) } else { value };
        self.processor.store_to(self.set, address, value, self.size(bytes)?)
    }

    fn push(&mut self, value: u64) -> Result<(), Cause> {
        let shape = self.set.stack.ok_or_else(no_stack)?;
        self.processor.push(self.set, value & mask(shape.width))
    }

    fn pop(&mut self) -> Result<u64, Cause> {
        self.set.stack.ok_or_else(no_stack)?;
        self.processor.pop(self.set)
    }

    fn out(&mut self, character: u8) -> Result<(), Cause> {
        self.processor.out(character)
    }

    fn halt(&mut self, status: u64) {
        self.status = Some(status);
    }
}

fn no_stack() -> Cause {
    Cause::other("this set has no stack")
}
