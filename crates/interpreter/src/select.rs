//! Gives a block's operations their operands and handlers.

use pentimento_decoder::{OperandSize, Operation};
use pentimento_execute::blocks::{Flow, Liveness};

use crate::arena::Op;
use crate::step::{MOST, Step};
use crate::table::halves::{self, Half};
use crate::table::kinds::signature;
use crate::table::{self, fused};

/// Gives the operations of a block their handlers and operands.
pub(crate) fn select(ops: &mut [Op], steps: &[Step]) {
    let mut liveness = Liveness::at_end();
    let mut halves = [None; MOST as usize];
    for index in (0..ops.len().min(steps.len())).rev() {
        let Some(instruction) = steps[index].instruction else {
            // The block ends there, or an observer is told, who sees everything.
            if steps[index].sees_flags {
                liveness = Liveness::at_end();
            }
            continue;
        };
        let step = &steps[index];
        let by_reference = step.lacking || step.notes_accesses && !step.looks;
        let live = liveness.step(&instruction, by_reference);
        ops[index].keeps_flags = liveness.is_all();
        if by_reference {
            continue;
        }
        let op = &mut ops[index];
        let signature = signature(op, &instruction);
        if let Some(half) = halves.get_mut(index) {
            *half = halves::half(&instruction, &signature, live);
        }
        if let Some(handler) = table::handler(op, &steps[index], &instruction, signature, live) {
            op.handler = handler;
        }
        if let Some(jcc) = steps.get(index + 1).and_then(|step| step.instruction)
            && jcc.operation() == Operation::Jcc
            && jcc.operand_size() == OperandSize::Dword
            && let Some(handler) = fused::handler(&ops[index], &instruction, signature, &jcc)
        {
            ops[index].handler = handler;
            ops[index].joins_next = true;
        }
    }
    if is_long_stretch(steps) {
        join_pairs(ops, &halves);
    }
}

/// Whether a block is as long as blocks can be and has no branch: so it is one of many in a row, as
/// the unrolled rounds of ciphers and hashes are. In loops that the host's predictor remembers, pairs
/// only cost what they look up.
fn is_long_stretch(steps: &[Step]) -> bool {
    steps.len() > MOST.into() && steps[..MOST.into()].iter().all(|step| step.flow == Flow::Next)
}

/// Joins neighbours that there is a handler of both for.
fn join_pairs(ops: &mut [Op], halves: &[Option<Half>]) {
    let mut index = 0;
    while let (Some(&[first, second]), Some([op, next])) = (
        halves.get(index..index + 2).and_then(<[_]>::first_chunk),
        ops.get_mut(index..).and_then(<[_]>::first_chunk_mut),
    ) {
        index += 1;
        if let (Some(first), Some(second)) = (first, second)
            && !op.joins_next
            && !next.joins_next
        {
            op.handler = halves::handler(first, second);
            op.joins_next = true;
            index += 1;
        }
    }
}
