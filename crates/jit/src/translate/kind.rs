//! Which instructions have a translation. All others are for the reference, one at a time.

use pentimento_decoder::{Instruction, MemoryOperand, Operand, Operation, Prefixes, Register};
use pentimento_execute::blocks::Found;
use pentimento_registers::{Gpr, SegmentRegister};

use super::traits::{Table, Traits};
use crate::host_features::HostFeatures;

/// How an instruction is translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The host executes the same instruction.
    Plain,
    /// There is nothing to execute.
    Nothing,
    /// LEA: the same, but what looks like an access is none.
    Address,
    /// INC or DEC of a register in its short form, which are prefixes to the host.
    Step,
    Push,
    Pop,
    Leave,
    Xlat,
    /// A string instruction, once.
    String,
    /// REP MOVS or STOS.
    Repeated,
    /// REP CMPS or SCAS.
    Scan,
    /// CLD or STD.
    Direction,
    /// Jcc.
    Branch,
    /// JECXZ and LOOP with its kin.
    CounterBranch,
    Jump,
    Call,
    Return,
}

/// What decides, beside the instruction, whether it has a translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Surroundings {
    pub(crate) features: HostFeatures,
    /// FS and GS are flat data segments, but for their bases.
    pub(crate) fs: bool,
    pub(crate) gs: bool,
    /// What the architecture leaves open has to be as the reference has it, not the host.
    pub(crate) exact: bool,
}

/// Behind it no access of an instruction is sure to end in the segment.
const LAST_PAGE: u32 = 0xffff_f000;

/// An instruction with what its translation asks of it more than once.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(super) found: Found,
    /// How it is translated.
    pub(super) kind: Kind,
    pub(super) traits: Traits,
    /// What it accesses, or looks as if it did; of the two operands of MOVS and CMPS one. The size is 10
    /// for an operand of ten bytes.
    pub(super) memory: Option<MemoryOperand>,
    /// AH to BH are named.
    pub(super) high_byte: bool,
    /// ESP is an operand, and not only part of an address.
    pub(super) names_stack: bool,
}

impl Item {
    /// What `found` is to its translation; `None` for the reference. `based` becomes true if that hangs on
    /// what FS and GS are.
    #[inline]
    pub(super) fn of(
        found: Found,
        surroundings: &Surroundings,
        traits: &Table,
        based: &mut bool,
    ) -> Option<Self> {
        let instruction = &found.instruction;
        let traits = traits.of(instruction);
        let memory = accessed(instruction, traits);
        *based |= memory.is_some_and(|memory| is_based(memory.segment));
        if found.lacking || !surroundings.features.has(instruction.feature()) {
            return None;
        }
        let kind = by_operation(instruction, traits, memory.is_some())?;
        if surroundings.exact && is_open(instruction) {
            return None;
        }
        let short = instruction.prefixes().contains(Prefixes::ADDRESS_SIZE);
        let counts =
            matches!(kind, Kind::CounterBranch | Kind::String | Kind::Repeated | Kind::Scan | Kind::Xlat);
        if counts && short {
            return None;
        }
        let high_byte = traits.contains(Traits::BYTES) && names_high_byte(instruction);
        let names_stack = traits.intersects(Traits::GENERAL) && names_stack_pointer(instruction, traits);
        if let Some(memory) = memory
            && kind != Kind::Nothing
            && (short || !is_reachable(&memory, kind, traits, surroundings))
        {
            return None;
        }
        // Beside AH to BH no register can be named that takes a REX prefix.
        let extended = |memory: MemoryOperand| memory.base == Some(Gpr::Esp) || is_based(memory.segment);
        if high_byte && (names_stack || memory.is_some_and(extended)) {
            return None;
        }
        Some(Self { found, kind, traits, memory, high_byte, names_stack })
    }

    /// Whether the instruction needs the x87 unit's registers, which are MMX's, too.
    pub(super) const fn uses_x87(&self) -> bool {
        self.traits.intersects(Traits::UNIT)
    }
}

/// The memory operand, if there is one: the first that an override of the segment changes.
fn accessed(instruction: &Instruction, traits: Traits) -> Option<MemoryOperand> {
    if traits.contains(Traits::MODRM) {
        let size = if traits.contains(Traits::TEN_BYTES) { 10 } else { 0 };
        return instruction.modrm_address().map(|memory| MemoryOperand { size, ..memory });
    }
    if !traits.contains(Traits::IMPLIED_MEMORY) {
        return None;
    }
    let memories = instruction.operands().filter_map(|operand| match operand {
        Operand::Memory(memory) => Some(memory),
        _ => None,
    });
    memories.reduce(|first, second| if first.segment == SegmentRegister::Es { second } else { first })
}

/// Whether a translation of this kind reaches the operand.
fn is_reachable(memory: &MemoryOperand, kind: Kind, traits: Traits, surroundings: &Surroundings) -> bool {
    if kind == Kind::Address {
        return true;
    }
    let reachable = match memory.segment {
        SegmentRegister::Cs => false,
        SegmentRegister::Fs => surroundings.fs,
        SegmentRegister::Gs => surroundings.gs,
        _ => return true,
    };
    // Whether an access over the end of a segment with a base is a fault is left open.
    let may_wrap = memory.base.is_some() || memory.index.is_some() || memory.displacement > LAST_PAGE;
    let simple = matches!(kind, Kind::Plain | Kind::Push | Kind::Jump | Kind::Call);
    reachable && !(surroundings.exact && may_wrap) && simple && !traits.intersects(Traits::UNIT)
}

/// Whether a segment has a base to be added.
pub(super) const fn is_based(segment: SegmentRegister) -> bool {
    matches!(segment, SegmentRegister::Fs | SegmentRegister::Gs)
}

/// Whether AH to BH are named.
fn names_high_byte(instruction: &Instruction) -> bool {
    instruction.operands().any(
        |operand| matches!(operand, Operand::Register(Register::Gpr8(register)) if register.shift() == 8),
    )
}

/// Whether ESP or SP is named as a register.
fn names_stack_pointer(instruction: &Instruction, traits: Traits) -> bool {
    const NUMBER: u8 = Gpr::Esp as u8;
    let modrm = instruction.modrm();
    traits.contains(Traits::GENERAL_REG) && modrm >> 3 & 7 == NUMBER
        || traits.contains(Traits::GENERAL_RM) && modrm >= 0xc0 && modrm & 7 == NUMBER
        || traits.contains(Traits::GENERAL_OPCODE) && instruction.opcode() & 7 == NUMBER
}

/// Whether the host may do otherwise than the reference: flags that are undefined, stores of the x87
/// unit that raise an exception and would fault, and operands that it leaves tiny without saying so.
fn is_open(instruction: &Instruction) -> bool {
    use Operation as O;
    match instruction.operation() {
        O::And | O::Or | O::Xor | O::Test => false,
        O::Fst | O::Fstp | O::Fist | O::Fistp | O::Fisttp => instruction.memory().is_some(),
        O::Fprem | O::Fprem1 | O::Fscale => true,
        _ => !instruction.flags_undefined().is_empty() || instruction.flags_depend_on_count(),
    }
}

fn by_operation(instruction: &Instruction, traits: Traits, in_memory: bool) -> Option<Kind> {
    use Operation as O;
    let operation = instruction.operation();
    let word = instruction.prefixes().contains(Prefixes::OPERAND_SIZE);
    let repeated = instruction.prefixes().intersects(Prefixes::REP | Prefixes::REPNE);
    let opcode = instruction.opcode();
    Some(match operation {
        O::Nop | O::Pause | O::Endbr32 | O::Endbr64 => Kind::Nothing,
        O::Cld | O::Std => Kind::Direction,
        O::Prefetchnta | O::Prefetcht0 | O::Prefetcht1 | O::Prefetcht2 | O::Prefetchw | O::Prefetch => {
            Kind::Nothing
        }
        O::Lea => Kind::Address,
        O::Inc | O::Dec if !instruction.row().has_modrm() => Kind::Step,
        O::Push | O::Pop if word || traits.contains(Traits::SYSTEM) => return None,
        O::Push => Kind::Push,
        O::Pop => Kind::Pop,
        O::Leave if !word => Kind::Leave,
        O::Xlat => Kind::Xlat,
        O::Movs | O::Stos if repeated => Kind::Repeated,
        O::Cmps | O::Scas if repeated => Kind::Scan,
        O::Movs | O::Stos | O::Lods | O::Scas | O::Cmps if !repeated => Kind::String,
        O::Jcc if !word => Kind::Branch,
        O::Jecxz | O::Loop | O::Loope | O::Loopne if !word && !repeated => Kind::CounterBranch,
        O::Jmp if !word => Kind::Jump,
        O::Call if !word => Kind::Call,
        O::Ret if !word => Kind::Return,
        O::Mov if traits.contains(Traits::SYSTEM) => return None,
        // With the index in a register they reach beyond the operand.
        O::Bt | O::Bts | O::Btr | O::Btc if in_memory && !traits.contains(Traits::IMMEDIATE) => return None,
        // What more than 16 bits are shifted in is up to the maker.
        O::Shld | O::Shrd if word && !(opcode & 1 == 0 && instruction.immediate() & 31 <= 16) => return None,
        O::Bswap | O::Crc32 if word => return None,
        _ if traits.contains(Traits::PLAIN) => Kind::Plain,
        _ => return None,
    })
}
