//! Cases for every row of the decoder's tables.
//!
//! Case `n` of a seed is always the same one, whatever ran before it, so a report needs to name
//! only the seed and the number.

mod contents;
mod encoding;
mod placement;
mod random;
mod sequence;
mod state;
mod values;

use pentimento_decoder::{
    AddressSize, DecodeErrorKind, Instruction, MemoryOperand, Operand, OperandCode, OperandSize, Operation,
    Row, decode, rows,
};
use pentimento_registers::{CpuState, Eflags, Gpr, SegmentRegister};

pub(crate) use self::contents::span;
pub use random::Random;
pub use state::Group;

use crate::case::{Case, Patch};
use crate::exclusion::{self, exclusion};
use crate::layout;

/// A source of cases.
pub struct Generator {
    rows: Vec<&'static Row>,
    seed: u64,
    scope: Scope,
    /// What sequences are made of, by group.
    sequence_rows: [Vec<&'static Row>; 4],
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
    /// No row: bytes that the decoder calls undefined, on which the CPU must raise #UD.
    Undefined,
    /// Sequences of a few instructions.
    Sequences,
}

impl Scope {
    fn contains(self, row: &Row) -> bool {
        match self {
            Self::All => true,
            Self::Group(group) => Group::of(row) == group,
            Self::Operation(operation) => row.operation() == operation,
            Self::Undefined | Self::Sequences => false,
        }
    }
}

impl Generator {
    /// Cases for the rows in `scope` that the oracle can run.
    #[must_use]
    pub fn new(scope: Scope, seed: u64) -> Self {
        let rows = rows().iter().filter(|row| scope.contains(row) && exclusion(row).is_none()).collect();
        let groups = [Group::Integer, Group::X87, Group::Mmx, Group::Sse];
        let sequence_rows = groups.map(sequence::rows_of);
        Self { rows, seed, scope, sequence_rows }
    }

    /// How many rows it covers; consecutive cases go through them in turn.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Case `number`, or `None` where this draw gives nothing that can be run.
    #[must_use]
    pub fn case(&self, number: u64) -> Option<Case> {
        match self.scope {
            Scope::Undefined => return self.undefined_bytes(number),
            Scope::Sequences => return self.sequence(&mut Random::new(self.seed, number)),
            _ => {}
        }
        let row = *self.rows.get((number % self.rows.len().max(1) as u64) as usize)?;
        let mut random = Random::new(self.seed, number);
        let mut encoding = encoding::encode(row, &mut random, contents::is_string(row.operation()));
        match decode(&encoding.bytes) {
            Ok(instruction) if exclusion(instruction.row()).is_some() => None,
            Ok(instruction) => self.complete(&mut encoding, &instruction, &mut random),
            // That LOCK is undefined here, the CPU must confirm.
            Err(error) if error.kind == DecodeErrorKind::LockNotAllowed && lock_is_undefined(row) => {
                Some(self.undefined(encoding.bytes, &mut random))
            }
            Err(_) => None,
        }
    }

    /// Bytes that are no instruction.
    fn undefined_bytes(&self, number: u64) -> Option<Case> {
        let mut random = Random::new(self.seed, number);
        let code = encoding::unknown(&mut random);
        let mut case = exclusion::is_undefined(&code).then(|| self.undefined(code, &mut random))?;
        // How many bytes a CPU fetches before it gives up differs: let them all be there.
        case.state.eip = layout::CODE.start + random.below(0x1000);
        Some(case)
    }

    /// A case that ends in #UD.
    fn undefined(&self, code: Vec<u8>, random: &mut Random) -> Case {
        let mut state = state::state(Operation::Ud2, Group::Integer, random);
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
        if exclusion::of_encoding(instruction).is_some() {
            return None;
        }
        encoding.bytes.truncate(length);
        let mut state = state::state(operation, group, random);
        state.eip = placement::code_address(random, length as u32);
        if matches!(operation, Operation::Ud0 | Operation::Ud1) {
            // Whether their ModRM byte is fetched before #UD differs between CPUs.
            state.eip = state.eip.min(layout::CODE.end - length as u32);
        }
        let top = placement::target(random, 32, &layout::DATA) & if random.percent(80) { !3 } else { !0 };
        state.set_gpr(Gpr::Esp, top.wrapping_sub(state.segment(SegmentRegister::Ss).base()));
        contents::adjust_registers(instruction, &mut state, random);
        aim_branch(encoding, instruction, state.eip, random);

        let mut patches = Vec::new();
        let suffix = if group == Group::X87 && operation != Operation::Fxsave {
            self::suffix(&state, random)
        } else {
            Vec::new()
        };
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
            let in_parts = group == Group::X87 && size > 8
                || matches!(operation, Operation::Maskmovq | Operation::Maskmovdqu);
            if in_parts && wraps(&state, &operand, address, size) {
                return None;
            }
            if let Some(displacement) = displacement {
                set_displacement(encoding, displacement, length);
            }
            let bytes = contents::memory(instruction, group, size, &state, random);
            patches.push(Patch { address, bytes });
        }
        let mut code = encoding.bytes.clone();
        code.extend(suffix);
        let case = Case { code, state, patches };
        (!covers_int3(&case)).then_some(case)
    }
}

/// A second instruction behind some x87 ones: FNSTENV shows the pointers and the full tag word, which
/// a signal frame does not.
fn suffix(state: &CpuState, random: &mut Random) -> Vec<u8> {
    const FNSTENV: [u8; 2] = [0xd9, 0x35];
    if state.eflags.contains(Eflags::TF) || !random.percent(40) {
        return Vec::new();
    }
    let address = (layout::DATA.start + 0x40).to_le_bytes();
    FNSTENV.into_iter().chain(address).collect()
}

/// Whether AMD's CPUs raise #UD for LOCK here as Intel's do: they use it to reach CR8, and let VERW have it.
fn lock_is_undefined(row: &Row) -> bool {
    row.operation() != Operation::Verw && !row.operands().contains(&OperandCode::Cr)
}

/// Whether an operand runs past the last offset that its address size allows: silicon wraps and
/// checks long x87 operands and masked stores in parts, whose boundaries the architecture does not tell.
fn wraps(state: &CpuState, operand: &MemoryOperand, address: u32, size: u32) -> bool {
    let offset = address.wrapping_sub(state.segment(operand.segment).base());
    let last = match operand.address_size {
        AddressSize::Word => 0xffff,
        AddressSize::Dword => u32::MAX,
    };
    offset.checked_add(size - 1).is_none_or(|end| end > last)
}

/// Whether an operand's contents replace the INT3 that has to stop the case.
fn covers_int3(case: &Case) -> bool {
    let end = case.state.eip.wrapping_add(case.code.len() as u32);
    let mut patches = case.patches.iter();
    patches.any(|patch| end.wrapping_sub(patch.address) < patch.bytes.len() as u32)
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
