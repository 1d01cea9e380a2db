//! Decoded code: runs of instructions as operations with their operands filled in.

use crate::bounds::OPERANDS;
use crate::operation::{Op, Slot};
use crate::set::{CompiledEffect, CompiledRow, Decoded, Definition, OperandShape, operand_position};
use crate::{AtEnd, Cause, OperandKind};

/// Operations after which a block ends.
const OPS: usize = 256;

/// Instructions one after the other, of which only the last may jump.
#[derive(Default)]
pub(super) struct Block {
    /// The address of the first instruction.
    pub(super) start: u32,
    /// The address behind the last one.
    pub(super) end: u32,
    pub(super) ops: Vec<Op>,
    /// The first operation and the address of each instruction.
    pub(super) instructions: Vec<(u32, u32)>,
    pub(super) calls: Vec<Decoded>,
}

impl Block {
    /// Decodes at most `most` instructions from `start`, reading code through `fetch`.
    pub(super) fn decode(
        set: &Definition,
        start: u32,
        limit: u32,
        most: u64,
        fetch: impl Fn(u32) -> Result<Decoded, Cause>,
    ) -> Result<Self, Cause> {
        let mut block = Self { start, end: start, ..Self::default() };
        let limit = if set.at_end == AtEnd::Halt { limit } else { set.memory };
        while (block.instructions.len() as u64) < most && block.ops.len() < OPS && block.end < limit {
            let decoded = match fetch(block.end) {
                Ok(decoded) => decoded,
                // Whoever gets there finds out.
                Err(_) if !block.instructions.is_empty() => break,
                Err(cause) => return Err(cause),
            };
            if block.push(set, decoded) {
                return Ok(block);
            }
        }
        if block.instructions.is_empty() {
            return Err(Cause::OutsideProgram);
        }
        block.ops.push(Op::Constant { to: set.ip, value: u64::from(block.end) });
        Ok(block)
    }

    /// The position of the instruction that an operation belongs to.
    pub(super) fn instruction_of(&self, op: usize) -> usize {
        self.instructions.partition_point(|(first, _)| *first as usize <= op).saturating_sub(1)
    }

    /// Adds an instruction, and says whether the block ends with it.
    fn push(&mut self, set: &Definition, decoded: Decoded) -> bool {
        let Some(row) = set.rows.get(usize::from(decoded.row)) else { return true };
        let next = self.end + decoded.length;
        self.instructions.push((self.ops.len() as u32, self.end));
        self.end = next;
        let set_ip = Op::Constant { to: set.ip, value: u64::from(next) };
        let template = match &row.effect {
            CompiledEffect::Ops(template) => template.ops.as_slice(),
            CompiledEffect::Native(_) => {
                let call = self.calls.len() as u32;
                self.calls.push(decoded);
                self.ops.extend([set_ip, Op::Native { call }]);
                return true;
            }
        };
        let operands = Operands::new(set, row, &decoded, u64::from(next));
        let ip = operands.use_of(template, set.ip);
        if ip.read || ip.written && template.len() > 1 {
            self.ops.push(set_ip);
        }
        operands.fill_in(template, &mut self.ops);
        // The stack may lie in memory, too.
        let stores = |op: &Op| match op {
            Op::Store { .. } => true,
            Op::Push { .. } | Op::PushConstant { .. } => {
                set.stack.is_some_and(|stack| stack.register.is_some())
            }
            _ => false,
        };
        if template.iter().any(stores) {
            self.ops.push(Op::CheckCode { next, jumped: ip.written });
        }
        ip.written
    }
}

/// What the operands of one instruction stand for.
struct Operands<'d> {
    shapes: &'d [OperandShape],
    /// A register's slot, or the number.
    values: [u64; OPERANDS],
}

/// Whether an instruction reads or writes a slot.
#[derive(Clone, Copy, Default)]
struct Use {
    read: bool,
    written: bool,
}

/// The slots of an operation: what it reads, and what it writes.
fn slots(op: &Op) -> ([Option<Slot>; 2], Option<Slot>) {
    match *op {
        Op::Constant { to, .. } | Op::Pop { to } => ([None, None], Some(to)),
        Op::Copy { to, from } | Op::SignExtend { to, from, .. } => ([Some(from), None], Some(to)),
        Op::Binary { to, left, right, .. } => ([Some(left), Some(right)], Some(to)),
        Op::BinaryConstant { to, left, .. } => ([Some(left), None], Some(to)),
        Op::Load { to, address, .. } => ([Some(address), None], Some(to)),
        Op::Store { address, from, .. } => ([Some(address), Some(from)], None),
        Op::Push { from } | Op::Out { from } => ([Some(from), None], None),
        Op::SkipUnless { condition, .. } => ([Some(condition), None], None),
        Op::Halt { status } => ([Some(status), None], None),
        Op::PushConstant { .. }
        | Op::Skip { .. }
        | Op::Fault { .. }
        | Op::Native { .. }
        | Op::CheckCode { .. } => ([None, None], None),
    }
}

impl<'d> Operands<'d> {
    fn new(set: &Definition, row: &'d CompiledRow, decoded: &Decoded, next: u64) -> Self {
        let mut values = decoded.values;
        for (value, shape) in values.iter_mut().zip(&row.operands) {
            if shape.kind == OperandKind::Relative {
                *value = set.target(*value, next);
            }
        }
        Self { shapes: &row.operands, values }
    }

    /// The slot that one of the template really is.
    fn slot(&self, slot: Slot) -> Slot {
        let position = operand_position(slot);
        let shape = position.and_then(|position| self.shapes.get(position));
        match (position, shape) {
            (Some(position), Some(shape)) if shape.kind == OperandKind::Register => {
                self.values[position] as Slot
            }
            _ => slot,
        }
    }

    /// The number that a slot of the template stands for.
    fn number(&self, slot: Slot) -> Option<u64> {
        let position = operand_position(slot)?;
        let shape = self.shapes.get(position)?;
        (shape.kind != OperandKind::Register).then_some(self.values[position])
    }

    fn use_of(&self, template: &[Op], wanted: Slot) -> Use {
        let mut found = Use::default();
        for op in template {
            let (reads, writes) = slots(op);
            found.read |= reads.into_iter().flatten().any(|slot| self.slot(slot) == wanted);
            found.written |= writes.is_some_and(|slot| self.slot(slot) == wanted);
        }
        found
    }

    /// Appends the template's operations with the operands filled in.
    fn fill_in(&self, template: &[Op], ops: &mut Vec<Op>) {
        // Numbers become constants of operations where these take one; for the others they are put
        // into their slots first. Skips count operations, so nothing may come between those.
        let mut prepared = [false; OPERANDS];
        let start = ops.len();
        for op in template {
            let op = self.folded(op);
            for slot in slots(&op).0.into_iter().flatten() {
                let (Some(value), Some(position)) = (self.number(slot), operand_position(slot)) else {
                    continue;
                };
                if !std::mem::replace(&mut prepared[position], true) {
                    ops.insert(start, Op::Constant { to: slot, value });
                }
            }
            ops.push(self.mapped(op));
        }
    }

    /// The operation with a constant in place of a number, where there is such a form.
    fn folded(&self, op: &Op) -> Op {
        let folded = match *op {
            Op::Copy { to, from } => self.number(from).map(|value| Op::Constant { to, value }),
            Op::Push { from } => self.number(from).map(|value| Op::PushConstant { value }),
            Op::Binary { arithmetic, width, to, left, right } => {
                self.number(right).map(|value| Op::BinaryConstant { arithmetic, width, to, left, value })
            }
            _ => None,
        };
        folded.unwrap_or(*op)
    }

    /// The operation with registers in place of operands.
    fn mapped(&self, op: Op) -> Op {
        let at = |slot| self.slot(slot);
        match op {
            Op::Constant { to, value } => Op::Constant { to: at(to), value },
            Op::Copy { to, from } => Op::Copy { to: at(to), from: at(from) },
            Op::Binary { arithmetic, width, to, left, right } => {
                Op::Binary { arithmetic, width, to: at(to), left: at(left), right: at(right) }
            }
            Op::BinaryConstant { arithmetic, width, to, left, value } => {
                Op::BinaryConstant { arithmetic, width, to: at(to), left: at(left), value }
            }
            Op::SignExtend { to, from, bits, width } => {
                Op::SignExtend { to: at(to), from: at(from), bits, width }
            }
            Op::Load { to, address, size } => Op::Load { to: at(to), address: at(address), size },
            Op::Store { address, from, size } => Op::Store { address: at(address), from: at(from), size },
            Op::Push { from } => Op::Push { from: at(from) },
            Op::Pop { to } => Op::Pop { to: at(to) },
            Op::SkipUnless { condition, count } => Op::SkipUnless { condition: at(condition), count },
            Op::Out { from } => Op::Out { from: at(from) },
            Op::Halt { status } => Op::Halt { status: at(status) },
            Op::PushConstant { .. }
            | Op::Skip { .. }
            | Op::Fault { .. }
            | Op::Native { .. }
            | Op::CheckCode { .. } => op,
        }
    }
}
