//! Which instructions have a translation. All others are for the reference, one at a time.

use pentimento_decoder::{Instruction, Operand, OperandCode, Operation, Prefixes, Register};
use pentimento_execute::blocks::Found;
use pentimento_execute::x87::HAS_HOST_UNIT;
use pentimento_registers::{Gpr, SegmentRegister};

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

/// How `found` is translated; `None` for the reference.
pub(crate) fn kind(found: &Found, surroundings: &Surroundings) -> Option<Kind> {
    let instruction = &found.instruction;
    if found.lacking || !surroundings.features.has(instruction.feature()) {
        return None;
    }
    let kind = by_operation(instruction)?;
    if surroundings.exact && is_open(instruction) {
        return None;
    }
    let short = instruction.prefixes().contains(Prefixes::ADDRESS_SIZE);
    let counts =
        matches!(kind, Kind::CounterBranch | Kind::String | Kind::Repeated | Kind::Scan | Kind::Xlat);
    if counts && short {
        return None;
    }
    if kind == Kind::Nothing {
        return Some(kind);
    }
    for operand in instruction.operands() {
        let Operand::Memory(memory) = operand else { continue };
        if short {
            return None;
        }
        let reachable = match memory.segment {
            _ if kind == Kind::Address => true,
            SegmentRegister::Cs => false,
            SegmentRegister::Fs => surroundings.fs,
            SegmentRegister::Gs => surroundings.gs,
            _ => true,
        };
        let based = is_based(memory.segment) && kind != Kind::Address;
        // Whether an access over the end of a segment with a base is a fault is left open.
        let may_wrap = memory.base.is_some() || memory.index.is_some() || memory.displacement > LAST_PAGE;
        if based && surroundings.exact && may_wrap {
            return None;
        }
        let simple = matches!(kind, Kind::Plain | Kind::Push | Kind::Jump | Kind::Call);
        if !reachable || based && (!simple || uses_x87(instruction)) {
            return None;
        }
    }
    (!names_unreachable_byte(instruction)).then_some(kind)
}

/// Whether a segment has a base to be added.
pub(super) const fn is_based(segment: SegmentRegister) -> bool {
    matches!(segment, SegmentRegister::Fs | SegmentRegister::Gs)
}

/// Whether the instruction needs the x87 unit's registers, which are MMX's, too.
pub(super) fn uses_x87(instruction: &Instruction) -> bool {
    let operation = instruction.operation();
    is_x87(operation) || matches!(operation, Operation::Emms | Operation::Wait) || is_mmx(instruction)
}

/// Whether the instruction has an operand that may be an MMX register.
pub(super) fn is_mmx(instruction: &Instruction) -> bool {
    use OperandCode as C;
    let operands = instruction.row().operands();
    operands.iter().any(|code| matches!(code, C::Mm | C::MmRm | C::MmM32 | C::MmM64))
}

/// Whether AH to BH are named.
pub(super) fn names_high_byte(instruction: &Instruction) -> bool {
    instruction.operands().any(
        |operand| matches!(operand, Operand::Register(Register::Gpr8(register)) if register.shift() == 8),
    )
}

/// Whether AH to BH are named beside a register that takes a REX prefix, with which they cannot be.
fn names_unreachable_byte(instruction: &Instruction) -> bool {
    let extended = |operand| match operand {
        Operand::Register(Register::Gpr16(Gpr::Esp) | Register::Gpr32(Gpr::Esp)) => true,
        Operand::Memory(memory) => memory.base == Some(Gpr::Esp) || is_based(memory.segment),
        _ => false,
    };
    names_high_byte(instruction) && instruction.operands().any(extended)
}

/// Whether the host may do otherwise than the reference: flags that are undefined, and stores of the
/// x87 unit that raise an exception and would fault.
fn is_open(instruction: &Instruction) -> bool {
    use Operation as O;
    match instruction.operation() {
        O::And | O::Or | O::Xor | O::Test => false,
        O::Fst | O::Fstp | O::Fist | O::Fistp | O::Fisttp => instruction.memory().is_some(),
        _ => !instruction.flags_undefined().is_empty() || instruction.flags_depend_on_count(),
    }
}

fn by_operation(instruction: &Instruction) -> Option<Kind> {
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
        O::Push | O::Pop if word || is_segment(instruction) => return None,
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
        O::Mov if is_segment(instruction) || is_system_move(instruction) => return None,
        O::Bt | O::Bts | O::Btr | O::Btc if reaches_far(instruction) => return None,
        // What more than 16 bits are shifted in is up to the maker.
        O::Shld | O::Shrd if word && !(opcode & 1 == 0 && instruction.immediate() & 31 <= 16) => return None,
        O::Bswap | O::Crc32 if word => return None,
        _ if is_plain(operation) => Kind::Plain,
        _ => return None,
    })
}

fn is_segment(instruction: &Instruction) -> bool {
    instruction.operands().any(|operand| matches!(operand, Operand::Register(Register::Segment(_))))
}

fn is_system_move(instruction: &Instruction) -> bool {
    let system = |operand| matches!(operand, Operand::Register(Register::Control(_) | Register::Debug(_)));
    instruction.operands().any(system)
}

/// A bit test whose index in a register reaches beyond the operand in memory.
fn reaches_far(instruction: &Instruction) -> bool {
    matches!(instruction.operand(0), Some(Operand::Memory(_)))
        && matches!(instruction.operand(1), Some(Operand::Register(_)))
}

#[rustfmt::skip]
const fn is_plain(operation: Operation) -> bool {
    use Operation as O;
    match operation {
        O::Mov | O::Movzx | O::Movsx | O::Xchg | O::Xadd | O::Cmpxchg | O::Cmpxchg8b | O::Bswap | O::Lahf
        | O::Sahf | O::Cmovcc | O::Movbe | O::Cbw | O::Cwde | O::Cwd | O::Cdq | O::Movnti => true,
        O::Add | O::Adc | O::Sub | O::Sbb | O::Cmp | O::Inc | O::Dec | O::Neg | O::Mul | O::Imul | O::Div
        | O::Idiv | O::Adcx | O::Adox => true,
        O::And | O::Or | O::Xor | O::Not | O::Test => true,
        O::Rol | O::Ror | O::Rcl | O::Rcr | O::Shl | O::Shr | O::Sar | O::Shld | O::Shrd => true,
        O::Bt | O::Bts | O::Btr | O::Btc | O::Bsf | O::Bsr | O::Setcc | O::Popcnt | O::Tzcnt | O::Lzcnt
        | O::Crc32 => true,
        O::Stc | O::Clc | O::Cmc => true,
        O::Wait | O::Emms => true,
        O::Sfence | O::Lfence | O::Mfence | O::Ldmxcsr | O::Stmxcsr => true,
        // Approximations and the makers' own choice of a NaN are the reference's on every host.
        O::Rcpps | O::Rcpss | O::Rsqrtps | O::Rsqrtss | O::Dpps | O::Dppd => false,
        // They have their operand in EDI without saying so.
        O::Maskmovq | O::Maskmovdqu => false,
        O::Extrq | O::Insertq | O::Movntss | O::Movntsd => false,
        _ => is_x87(operation) || is_vector(operation),
    }
}

/// x87 instructions but those that load and store the whole state or environment.
pub(super) const fn is_x87(operation: Operation) -> bool {
    use Operation as O;
    if is_transcendental(operation) && !HAS_HOST_UNIT {
        return false;
    }
    let number = operation as u16;
    let from = O::Fld as u16;
    let to = O::Fnop as u16;
    from <= number
        && number <= to
        && !matches!(operation, O::Fnstenv | O::Fldenv | O::Fnsave | O::Frstor)
        // It clears the addresses of the last instruction and operand, too, which the host knows not.
        && !matches!(operation, O::Fninit)
        // The reference has ways of its own where silicon differs by maker.
        && !matches!(operation, O::Fbld | O::Fbstp)
}

/// Instructions of which every make has bits of its own.
const fn is_transcendental(operation: Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::Fsin | O::Fcos | O::Fsincos | O::Fptan | O::Fpatan | O::F2xm1 | O::Fyl2x | O::Fyl2xp1
    )
}

const fn is_vector(operation: Operation) -> bool {
    let number = operation as u16;
    Operation::Movd as u16 <= number && number <= Operation::Gf2p8mulb as u16
}
