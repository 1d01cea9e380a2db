//! Cases for every row of the decoder's tables.
//!
//! Case `n` of a seed is always the same one, whatever ran before it, so a report needs to name
//! only the seed and the number.

mod contents;
mod encoding;
mod placement;
mod random;
mod state;
mod values;

use pentimento_decoder::{
    DecodeErrorKind, Instruction, Operand, OperandCode, OperandSize, Operation, Row, decode, rows,
};
use pentimento_execute::DescriptorTables;
use pentimento_registers::{Gpr, SegmentRegister};

pub use random::Random;
pub use state::Group;

use crate::case::{Case, Patch};
use crate::exclusion::exclusion;
use crate::layout;

/// A source of cases.
pub struct Generator {
    rows: Vec<&'static Row>,
    tables: DescriptorTables,
    seed: u64,
}

/// What a generator covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Every row.
    All,
    /// The rows of a group.
    Group(Group),
    /// The rows of one operation.
    Operation(Operation),
}

impl Scope {
    fn contains(self, row: &Row) -> bool {
        match self {
            Self::All => true,
            Self::Group(group) => Group::of(row) == group,
            Self::Operation(operation) => row.operation() == operation,
        }
    }
}

impl Generator {
    /// Cases for the rows in `scope` that the oracle can run.
    #[must_use]
    pub fn new(scope: Scope, seed: u64) -> Self {
        let rows = rows().iter().filter(|row| scope.contains(row) && exclusion(row).is_none()).collect();
        Self { rows, tables: layout::descriptor_tables(), seed }
    }

    /// How many rows it covers; consecutive cases go through them in turn.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Case `number`, or `None` where this draw gives nothing that can be run.
    #[must_use]
    pub fn case(&self, number: u64) -> Option<Case> {
        let row = *self.rows.get((number % self.rows.len().max(1) as u64) as usize)?;
        let mut random = Random::new(self.seed, number);
        let mut encoding = encoding::encode(row, &mut random, contents::is_string(row.operation()));
        match decode(&encoding.bytes) {
            Ok(instruction) if exclusion(instruction.row()).is_some() => None,
            Ok(instruction) => self.complete(&mut encoding, &instruction, &mut random),
            // That LOCK is undefined here, the CPU must confirm.
            Err(error) if error.kind == DecodeErrorKind::LockNotAllowed => {
                Some(self.undefined(encoding.bytes, &mut random))
            }
            Err(_) => None,
        }
    }

    /// A case that ends in #UD.
    fn undefined(&self, code: Vec<u8>, random: &mut Random) -> Case {
        let mut state = state::state(&self.tables, Operation::Ud2, Group::Integer, random);
        state.eip = placement::code_address(random, code.len() as u32);
        Case { code, state, patches: Vec::new() }
    }

    fn complete(
        &self,
        encoding: &mut encoding::Encoding,
        instruction: &Instruction,
        random: &mut Random,
    ) -> Option<Case> {
        let length = usize::from(instruction.length());
        let operation = instruction.operation();
        let group = Group::of(instruction.row());
        encoding.bytes.truncate(length);
        let mut state = state::state(&self.tables, operation, group, random);
        state.eip = placement::code_address(random, length as u32);
        let top = placement::target(random, 32, &layout::DATA) & if random.percent(80) { !3 } else { !0 };
        state.set_gpr(Gpr::Esp, top.wrapping_sub(state.segment(SegmentRegister::Ss).base()));
        contents::adjust_registers(instruction, &mut state, random);
        aim_branch(encoding, instruction, state.eip, random);

        let mut patches = Vec::new();
        if let Some(bytes) = contents::stack(instruction, random) {
            patches.push(Patch { address: top, bytes });
        }
        for index in 0..instruction.operand_count() {
            let Some(Operand::Memory(operand)) = instruction.operand(index) else { continue };
            let size = match operand.size {
                0 => contents::span(instruction),
                size => size.into(),
            };
            let size = if contents::is_string(operation) { size * 16 } else { size };
            let (address, displacement) = placement::place(&mut state, &operand, size, random);
            if let Some(displacement) = displacement {
                set_displacement(encoding, displacement, length);
            }
            let bytes = contents::memory(instruction, group, size, &state, random);
            patches.push(Patch { address, bytes });
        }
        Some(Case { code: encoding.bytes.clone(), state, patches })
    }
}

/// Overwrites the displacement, or the address of a MOV with `moffs`, which ends the instruction.
fn set_displacement(encoding: &mut encoding::Encoding, displacement: u32, length: usize) {
    let short = encoding
        .bytes
        .iter()
        .take_while(|byte| ![0xa0, 0xa1, 0xa2, 0xa3].contains(*byte))
        .any(|&byte| byte == 0x67);
    let (offset, size) = match encoding.displacement {
        (_, 0) if short => (length.saturating_sub(2), 2),
        (_, 0) => (length.saturating_sub(4), 4),
        found => found,
    };
    if let Some(bytes) = encoding.bytes.get_mut(offset..offset + size) {
        bytes.copy_from_slice(&displacement.to_le_bytes()[..size]);
    }
}

/// Makes most near branches, which end with their displacement, and far pointers go to code pages.
fn aim_branch(encoding: &mut encoding::Encoding, instruction: &Instruction, eip: u32, random: &mut Random) {
    let length = encoding.bytes.len();
    match instruction.operand(0) {
        Some(Operand::Relative(_)) if random.percent(80) => {
            let size = match (instruction.row().operands().first(), instruction.operand_size()) {
                (Some(OperandCode::Rel8), _) => 1,
                (_, OperandSize::Word) => 2,
                (_, OperandSize::Dword) => 4,
            };
            let next = eip.wrapping_add(length as u32);
            let displacement = placement::code_target(random).wrapping_sub(next);
            encoding.bytes[length - size..].copy_from_slice(&displacement.to_le_bytes()[..size]);
        }
        Some(Operand::Far { .. }) => {
            let at = length - 2;
            encoding.bytes[at..].copy_from_slice(&state::selector(random).to_le_bytes());
            let size = if instruction.operand_size() == OperandSize::Word { 2 } else { 4 };
            let offset = placement::code_target(random);
            encoding.bytes[at - size..at].copy_from_slice(&offset.to_le_bytes()[..size]);
        }
        _ => {}
    }
}
