//! Decodes a basic block into operations.

use alloc::vec::Vec;

use pentimento_decoder::{Instruction, Operand, Operation, Register, decode};
use pentimento_registers::Gpr;

use crate::branch::{Always, branch};
use crate::cursor::{Link, Op};
use crate::frame::{End, MOST, MOST_BRANCHES, Step, slow};
use crate::indirect::{CASES, case, lookup};
use crate::select::select;
use pentimento_execute::Context;
use pentimento_execute::handler_on;

/// Compiles one block.
pub(crate) struct Builder<'c, 'm> {
    context: &'c mut Context<'m>,
    /// EIP of the next instruction.
    eip: u32,
    count: u16,
    branches: u16,
}

impl<'c, 'm> Builder<'c, 'm> {
    /// A block that starts at the context's EIP.
    pub(crate) fn new(context: &'c mut Context<'m>) -> Self {
        let eip = context.start;
        Self { context, eip, count: 0, branches: 0 }
    }

    /// Appends the operations of the block, and says how many instructions and bytes it has; `None`
    /// if there is not even one.
    pub(crate) fn build(mut self, ops: &mut Vec<Op>, steps: &mut Vec<Step>) -> Option<(u16, u32)> {
        let start = self.eip;
        let first = ops.len();
        loop {
            let end = self.append(ops, steps);
            // A block does not wrap around the end of the address space.
            let wrapped = self.eip < start;
            match end {
                Some(End::Jump) => {
                    self.append_cases(ops, steps);
                    break;
                }
                Some(End::Recheck | End::Case) => break,
                Some(_) if self.count < MOST && self.branches < MOST_BRANCHES && !wrapped => {}
                None if self.count == 0 => return None,
                _ => {
                    let (op, step) = connector(self.eip, self.count);
                    ops.push(op);
                    steps.push(step);
                    break;
                }
            }
        }
        select(&mut ops[first..], &steps[first..]);
        Some((self.count, self.eip.wrapping_sub(start)))
    }

    /// Appends what the last instruction, which is a branch, wants behind it.
    fn append_cases(&self, ops: &mut Vec<Op>, steps: &mut Vec<Step>) {
        let Some(instruction) = steps.last().and_then(|step| step.instruction) else { return };
        let mut push = |handler, eip| {
            let (op, step) = connector(eip, self.count);
            ops.push(Op { handler, immediate: eip, ..op });
            steps.push(Step { end: End::Case, ..step });
        };
        let direct = matches!(instruction.operand(0), Some(Operand::Relative(_)));
        if instruction.operation() == Operation::Call {
            push(case, self.eip);
        }
        if !direct {
            let cases = if instruction.operation() == Operation::Ret { 0 } else { CASES };
            (0..cases).for_each(|_| push(case, 0));
            push(lookup, 0);
        }
    }

    /// Appends the next instruction, if there is one.
    fn append(&mut self, ops: &mut Vec<Op>, steps: &mut Vec<Step>) -> Option<End> {
        let mut bytes = [0; 15];
        let available = self.context.memory.fetch(self.eip, &mut bytes);
        let instruction = decode(&bytes[..available]).ok()?;
        let next = self.eip.checked_add(instruction.length().into())?;
        if self.context.environment.is_code_end(self.eip, instruction.length().into()) {
            return None;
        }
        let end = end_of(&instruction);
        let target = match instruction.operand(0) {
            Some(Operand::Relative(displacement)) => instruction.branch_target(self.eip, displacement),
            _ => next,
        };
        let model = self.context.environment.model;
        let handler = handler_on(model, &instruction);
        let lacking = !model.has(instruction.feature());
        steps.push(Step {
            instruction: Some(instruction),
            handler,
            eip: self.eip,
            next,
            target,
            before: self.count,
            end,
            lacking,
        });
        self.count += 1;
        self.branches += u16::from(end == End::Branch);
        ops.push(Op { count: self.count, ..blank() });
        self.eip = next;
        Some(end)
    }
}

/// An operation that has only its fields' neutral values and runs through the reference.
pub(crate) fn blank() -> Op {
    Op {
        handler: slow,
        first: Gpr::Eax,
        second: Gpr::Eax,
        index: Gpr::Eax,
        scale: 0,
        count: 0,
        first_byte: 0,
        second_byte: 0,
        immediate: 0,
        displacement: 0,
        taken: Link::default(),
        joins_next: false,
        keeps_flags: true,
    }
}

/// A branch to `eip` that is no instruction, behind `count` of them.
pub(crate) fn connector(eip: u32, count: u16) -> (Op, Step) {
    let op = Op { handler: branch::<Always>, count, ..blank() };
    let step = Step {
        instruction: None,
        handler: pentimento_execute::handler(Operation::Nop),
        eip,
        next: eip,
        target: eip,
        before: count,
        end: End::Jump,
        lacking: false,
    };
    (op, step)
}

/// What is behind an instruction.
fn end_of(instruction: &Instruction) -> End {
    use Operation as O;
    match instruction.operation() {
        O::Jcc | O::Loop | O::Loope | O::Loopne | O::Jecxz => End::Branch,
        O::Jmp | O::Call | O::Ret => End::Jump,
        O::JmpFar | O::CallFar | O::RetFar | O::Iret | O::Int | O::Int3 | O::Into | O::Int1 => End::Recheck,
        O::Sysenter | O::Syscall | O::Hlt | O::Popf => End::Recheck,
        O::Lds | O::Les | O::Lfs | O::Lgs | O::Lss => End::Recheck,
        O::Mov | O::Pop
            if matches!(instruction.operand(0), Some(Operand::Register(Register::Segment(_)))) =>
        {
            End::Recheck
        }
        _ => End::Next,
    }
}
