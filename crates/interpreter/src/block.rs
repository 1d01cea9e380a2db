//! Decodes a basic block into operations.

use alloc::vec::Vec;

use pentimento_decoder::{Feature, Operand, Operation};
use pentimento_execute::blocks::{CodeWindow, Flow, Found, find};
use pentimento_execute::observe::{Interests, ends_block};
use pentimento_execute::{Context, handler_on};

use crate::accesses;
use crate::arena::Op;
use crate::counters::Counters;
use crate::drivers::{Always, branch};
use crate::handlers::indirect::{CASES, case, lookup};
use crate::observed::{Before, stay};
use crate::select::select;
use crate::step::{MOST, MOST_BRANCHES, Step};

/// Compiles one block.
pub(crate) struct Builder<'c, 'm> {
    context: &'c mut Context<'m>,
    /// What an observer wants to hear of, if the block is for one.
    interests: Option<&'c Interests>,
    counters: &'c mut Counters,
    /// A block of the observer's may begin at the next instruction.
    starts: bool,
    /// The x87 unit may have been used since the last instruction that the observer is told of.
    unit: bool,
    window: CodeWindow,
    /// EIP of the next instruction.
    eip: u32,
    count: u16,
    branches: u16,
}

impl<'c, 'm> Builder<'c, 'm> {
    /// A block that starts at the context's EIP.
    pub(crate) fn new(
        context: &'c mut Context<'m>,
        interests: Option<&'c Interests>,
        counters: &'c mut Counters,
    ) -> Self {
        let eip = context.start;
        Self {
            context,
            interests,
            counters,
            starts: true,
            unit: true,
            window: CodeWindow::new(),
            eip,
            count: 0,
            branches: 0,
        }
    }

    /// Puts the operations of the block into `ops` and `steps`, which are empty, and says how many
    /// instructions and bytes it has; `None` if there is not even one.
    pub(crate) fn build(mut self, ops: &mut Vec<Op>, steps: &mut Vec<Step>) -> Option<(u16, u32)> {
        let start = self.eip;
        loop {
            let flow = self.append(ops, steps);
            // A block does not wrap around the end of the address space.
            let wrapped = self.eip < start;
            match flow {
                Some(Flow::Jump) => {
                    self.append_cases(ops, steps);
                    break;
                }
                Some(Flow::Recheck) => break,
                Some(_) if self.count < MOST && self.branches < MOST_BRANCHES && !wrapped => {}
                None if self.count == 0 => return None,
                _ => {
                    let (op, step) = connector(self.eip, self.count);
                    let stays = self.interests.is_some_and(|it| !it.notes_branches()) && !self.starts;
                    ops.push(if stays { Op { handler: stay, ..op } } else { op });
                    steps.push(step);
                    break;
                }
            }
        }
        select(ops, steps);
        Some((self.count, self.eip.wrapping_sub(start)))
    }

    /// Appends what the last instruction, which is a branch, wants behind it.
    fn append_cases(&self, ops: &mut Vec<Op>, steps: &mut Vec<Step>) {
        let Some(instruction) = steps.last().and_then(|step| step.instruction) else { return };
        let mut push = |handler, eip| {
            let (op, step) = connector(eip, self.count);
            ops.push(Op { handler, immediate: eip, ..op });
            steps.push(Step { is_case: true, ..step });
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
    fn append(&mut self, ops: &mut Vec<Op>, steps: &mut Vec<Step>) -> Option<Flow> {
        let found = find(&mut self.window, self.context.memory, self.context.environment, self.eip)?;
        let before = self
            .interests
            .map(|interests| Before::of(&found, interests, (self.starts, self.count == 0, self.unit)));
        self.unit &= before.as_ref().is_none_or(|before| !before.wanted);
        // All that uses the unit has a feature of its own.
        self.unit |= found.instruction.feature() != Feature::Base;
        if let Some(before) = &before {
            for (op, step) in before.operations(self.eip, self.count, self.counters) {
                ops.push(op);
                steps.push(step);
            }
        }
        let looks = before.as_ref().is_some_and(|before| before.access.is_some());
        let told = if looks { accesses::behind(&found, self.count + 1) } else { None };
        let Found { instruction, next, target, flow, lacking } = found;
        let handler = handler_on(self.context.environment.model, &instruction);
        self.starts = ends_block(&instruction);
        steps.push(Step {
            instruction: Some(instruction),
            handler,
            eip: self.eip,
            next,
            target,
            before: self.count,
            flow,
            is_case: false,
            lacking,
            notes_accesses: before.as_ref().is_some_and(|before| before.accesses),
            looks,
            sees_flags: true,
        });
        self.count += 1;
        self.branches += u16::from(flow == Flow::Branch);
        ops.push(Op { count: self.count, ..Op::blank() });
        if let Some((op, step)) = told {
            ops.push(op);
            steps.push(step);
        }
        self.eip = next;
        Some(flow)
    }
}

/// A branch to `eip` that is no instruction, behind `count` of them.
pub(crate) fn connector(eip: u32, count: u16) -> (Op, Step) {
    (Op { handler: branch::<Always>, count, ..Op::blank() }, Step::joining(eip, count))
}
