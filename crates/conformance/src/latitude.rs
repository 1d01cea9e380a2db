//! What may come out of a case otherwise than the engines have it, and which freedom allows it.
//!
//! Silicon and engines are compared to the last bit first. Only where they differ does this look at
//! what the case executed, instruction by instruction, and take over into silicon's outcome what the
//! engine made of each part that a [`Freedom`] leaves open. What differs then still is an error.

use pentimento_decoder::{
    DecodeErrorKind, Instruction, Operand, OperandSize, Operation, Prefixes, Register, decode,
};
use pentimento_registers::{ControlWord, CpuState, Eflags, F80, Gpr, SegmentRegister, StatusWord};

use crate::case::{Case, Chunk, Ending};
use crate::compare::{Mask, compare, undefined_flags};
use crate::engine::in_pages;
use crate::generate::Group;
use crate::layout;
use crate::make::Freedom;

/// An instruction of a case, as it was about to be executed.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The registers before it.
    pub(crate) state: CpuState,
    /// The instruction.
    pub(crate) instruction: Instruction,
    /// Its explicit memory operands.
    pub(crate) accesses: Vec<Access>,
    /// Whether it came to its end, on the reference engine.
    pub(crate) completed: bool,
}

/// A memory operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Access {
    /// Offset in the segment.
    pub(crate) offset: u32,
    /// The segment's base plus the offset.
    pub(crate) linear: u32,
    /// How wide it is, in bytes.
    pub(crate) size: u32,
}

impl Access {
    /// Whether it runs over the last byte of the segment or of the address space, or could.
    fn wraps(self) -> bool {
        let last = self.size.saturating_sub(1);
        self.offset.checked_add(last).is_none() || self.linear.checked_add(last).is_none()
    }
}

/// A part of memory that is open.
#[derive(Clone, Copy, Debug)]
struct OpenBytes {
    freedom: Freedom,
    start: u32,
    length: u32,
}

/// What is open after a case.
#[derive(Clone, Debug)]
pub(crate) struct Latitude<'a> {
    case: &'a Case,
    steps: &'a [Step],
    /// Flags that are undefined in the end.
    flags: Eflags,
    /// Why everything may differ: a result that is open was used.
    everything: Option<Freedom>,
    bytes: Vec<OpenBytes>,
    /// Of general registers: the freedom, the register, and which of its bits.
    registers: Vec<(Freedom, Gpr, u32)>,
    /// The physical x87 register, and the denormal in it, that the last instruction leaves as it is.
    unchanged: Option<(usize, F80)>,
    /// Where a dot product went: the XMM register and the bits of its lanes.
    dot_product: Option<(usize, u32)>,
}

/// The flags that arithmetic changes.
const STATUS: Eflags = Eflags::STATUS;

impl<'a> Latitude<'a> {
    /// What `steps`, which `case` executed on the reference engine, leave open.
    pub(crate) fn of(case: &'a Case, steps: &'a [Step]) -> Self {
        let mut latitude = Self {
            case,
            steps,
            flags: Eflags::empty(),
            everything: beyond_the_tables(&case.code),
            bytes: Vec::new(),
            registers: Vec::new(),
            unchanged: None,
            dot_product: None,
        };
        for (index, step) in steps.iter().enumerate() {
            let is_last =
                steps[index + 1..].iter().all(|step| step.instruction.operation() == Operation::Int3);
            latitude.take_in(step, is_last);
        }
        latitude
    }

    /// Adds what one instruction leaves open.
    fn take_in(&mut self, step: &Step, is_last: bool) {
        use Operation as O;
        let instruction = &step.instruction;
        if instruction.flags_read().intersects(self.flags) {
            self.everything = self.everything.or(Some(Freedom::UndefinedFlags));
        }
        let repeated = instruction.prefixes().intersects(Prefixes::REP | Prefixes::REPNE);
        if repeated && matches!(instruction.operation(), O::Loope | O::Loopne) {
            self.everything = self.everything.or(Some(Freedom::ReservedPrefix));
        }
        if is_long_double_shift(step) {
            self.open_destination(step, is_last);
        }
        match unchanged_denormal(step) {
            Some(unchanged) if is_last => self.unchanged = Some(unchanged),
            Some(_) => self.everything = self.everything.or(Some(Freedom::UnchangedDenormal)),
            None => {}
        }
        let lanes = match instruction.operation() {
            O::Dpps => Some(32),
            O::Dppd => Some(64),
            _ => None,
        };
        match (lanes, instruction.operand(0), is_last) {
            (Some(bits), Some(Operand::Register(Register::Xmm(index))), true) => {
                self.dot_product = Some((index.into(), bits));
            }
            (Some(_), ..) => self.everything = self.everything.or(Some(Freedom::DotProductNan)),
            _ => {}
        }
        let undefined = undefined_flags(instruction, step.state.gpr(Gpr::Ecx));
        let kept = if instruction.flags_depend_on_count() || repeated || !step.completed {
            self.flags
        } else {
            self.flags.difference(instruction.flags_written())
        };
        self.flags = kept | undefined;
        self.open_pointers(step);
        if is_stacked_selector(instruction) && instruction.operation() == Operation::Push {
            let start = stack_address(&step.state).wrapping_sub(2);
            self.bytes.push(OpenBytes { freedom: Freedom::StackedSelector, start, length: 2 });
        }
    }

    fn open_destination(&mut self, step: &Step, is_last: bool) {
        let freedom = Freedom::LongDoubleShift;
        match (is_last, step.instruction.operand(0), step.accesses.first()) {
            (true, Some(Operand::Register(Register::Gpr16(register))), _) => {
                self.registers.push((freedom, register, 0xffff));
            }
            (true, _, Some(access)) => {
                self.bytes.push(OpenBytes { freedom, start: access.linear, length: access.size });
            }
            _ => self.everything = self.everything.or(Some(freedom)),
        }
    }

    /// The parts of a stored environment that hold the last x87 instruction, its selectors included.
    fn open_pointers(&mut self, step: &Step) {
        let Some(access) = step.accesses.first() else { return };
        let is_short = step.instruction.operand_size() == OperandSize::Word;
        let ranges: &[(u32, u32)] = match step.instruction.operation() {
            Operation::Fnstenv | Operation::Fnsave if is_short => &[(8, 6)],
            Operation::Fnstenv | Operation::Fnsave => &[(16, 10)],
            Operation::Fxsave => &[(6, 16)],
            _ => return,
        };
        for &(offset, length) in ranges {
            let start = access.linear.wrapping_add(offset);
            self.bytes.push(OpenBytes { freedom: Freedom::X87Pointers, start, length });
        }
    }

    /// The freedom that can keep silicon from ever coming to an end: an open result decided where the
    /// case went.
    pub(crate) const fn may_be_endless(&self) -> Option<Freedom> {
        self.everything
    }

    /// `silicon` with everything that a freedom leaves open as `engine` has it, and the freedoms that
    /// it took.
    pub(crate) fn excuse(&self, silicon: &Ending, engine: &Ending) -> (Ending, Vec<Freedom>) {
        let outcome = silicon.clone();
        let mut excused = Excused { outcome, engine, mask: Mask::of(self.case), freedoms: Vec::new() };
        if let Some(freedom) = self.everything.or_else(|| self.ends_elsewhere(silicon, engine)) {
            excused.take(freedom, |mine, theirs| mine.clone_from(theirs));
            return (excused.outcome, excused.freedoms);
        }
        self.excuse_fault(&mut excused);
        self.excuse_flags(&mut excused);
        for &(freedom, register, bits) in &self.registers {
            excused.take(freedom, |mine, theirs| {
                let merged = mine.state.gpr(register) & !bits | theirs.state.gpr(register) & bits;
                mine.state.set_gpr(register, merged);
            });
        }
        if let Some((index, bits)) = self.dot_product {
            excused.take(Freedom::DotProductNan, |mine, theirs| {
                take_over_nans(&mut mine.state.xmm[index], theirs.state.xmm[index], bits);
            });
        }
        if let Some((register, operand)) = self.unchanged
            && silicon.state.x87.registers[register] == operand
        {
            excused.take(Freedom::UnchangedDenormal, |mine, theirs| {
                let underflow = StatusWord::UE | StatusWord::ES | StatusWord::B;
                let (mine, theirs) = (&mut mine.state.x87, &theirs.state.x87);
                mine.registers[register] = theirs.registers[register];
                mine.status = mine.status.difference(underflow) | theirs.status & underflow;
            });
        }
        excused.take(Freedom::X87Pointers, |mine, theirs| {
            let (mine, theirs) = (&mut mine.state.x87, &theirs.state.x87);
            (mine.last_opcode, mine.last_data) = (theirs.last_opcode, theirs.last_data);
        });
        for open in &self.bytes {
            excused.take(open.freedom, |mine, theirs| self.take_over_bytes(*open, mine, theirs));
        }
        (excused.outcome, excused.freedoms)
    }

    /// The freedom by which one side faults where the other goes on.
    fn ends_elsewhere(&self, silicon: &Ending, engine: &Ending) -> Option<Freedom> {
        let at = |outcome: &Ending| self.steps.iter().rev().find(|step| step.state.eip == outcome.state.eip);
        let has = |step: &Step, wanted: fn(&Access) -> bool| step.accesses.iter().any(wanted);
        if let Some(step) = at(silicon) {
            let sha = is_sha(step.instruction.operation()) && has(step, |access| access.linear % 16 != 0);
            if sha && silicon.vector == GENERAL_PROTECTION {
                return Some(Freedom::UnalignedSha);
            }
            if silicon.vector == ALIGNMENT_CHECK && has(step, |access| access.size == 16) {
                return Some(Freedom::AlignmentCheck);
            }
        }
        let step = at(engine).filter(|_| is_fault(engine))?;
        if engine.vector == ALIGNMENT_CHECK && has(step, |access| access.size == 16) {
            return Some(Freedom::AlignmentCheck);
        }
        if is_stacked_selector(&step.instruction) {
            return Some(Freedom::StackedSelector);
        }
        let raised = silicon.state.x87.status.difference(engine.state.x87.status);
        let masked = step.state.x87.control.bits();
        let unmasked = raised.intersection(StatusWord::EXCEPTIONS).bits() & !masked;
        (is_x87_store(step.instruction.operation()) && unmasked != 0).then_some(Freedom::RaisingStore)
    }

    /// What may differ where both raise an exception at the same instruction.
    fn excuse_fault(&self, excused: &mut Excused<'_>) {
        let (silicon, engine) = (excused.outcome.clone(), excused.engine);
        let same_place = silicon.state.eip == engine.state.eip && is_fault(&silicon) && is_fault(engine);
        let Some(step) = self.steps.last().filter(|step| same_place && step.state.eip == engine.state.eip)
        else {
            return;
        };
        let exception = |mine: &mut Ending, theirs: &Ending| {
            (mine.vector, mine.error_code, mine.address) = (theirs.vector, theirs.error_code, theirs.address);
        };
        let operation = step.instruction.operation();
        let wraps = step.accesses.iter().any(|access| access.wraps()) || stack_wraps(step);
        if wraps || faults_at_the_end(&silicon, engine) {
            excused.take(Freedom::AddressWrap, exception);
        } else if has_several_checks(operation) {
            excused.take(Freedom::FaultOrder, exception);
        }
        if stores_mmx(step) {
            excused.take(Freedom::HalfDone, |mine, theirs| {
                let (mine, theirs) = (&mut mine.state.x87, &theirs.state.x87);
                (mine.top, mine.in_use) = (theirs.top, theirs.in_use);
            });
        }
        if operation == Operation::Popa {
            excused.take(Freedom::HalfDone, |mine, theirs| {
                Gpr::ALL
                    .into_iter()
                    .for_each(|register| mine.state.set_gpr(register, theirs.state.gpr(register)));
            });
        }
        let x87_parts = is_x87(step) && step.accesses.iter().any(|access| access.size > 8);
        if x87_parts || matches!(operation, Operation::Enter | Operation::Pusha) {
            excused.take(Freedom::HalfDone, |mine, theirs| mine.chunks.clone_from(&theirs.chunks));
        }
    }

    fn excuse_flags(&self, excused: &mut Excused<'_>) {
        let take_over = |flags: Eflags| {
            move |mine: &mut Ending, theirs: &Ending| {
                let other = theirs.state.eflags & flags;
                mine.state.eflags = mine.state.eflags.difference(flags) | other;
            }
        };
        let unfinished = self.steps.last().is_some_and(|step| {
            let compares = matches!(step.instruction.operation(), Operation::Cmps | Operation::Scas);
            let repeated = step.instruction.prefixes().intersects(Prefixes::REP | Prefixes::REPNE);
            compares && repeated && excused.outcome.state.eip == step.state.eip
        });
        if unfinished && excused.engine.state.eip == excused.outcome.state.eip {
            excused.take(Freedom::RepeatedFlags, take_over(STATUS));
        }
        let shifted = self.steps.iter().any(is_long_double_shift);
        if shifted {
            excused.take(Freedom::LongDoubleShift, take_over(STATUS));
        }
        excused.take(Freedom::UndefinedFlags, take_over(self.flags));
    }

    fn take_over_bytes(&self, open: OpenBytes, mine: &mut Ending, theirs: &Ending) {
        let before = original(self.case);
        let (mut ours, other) = (apply(&before, &mine.chunks), apply(&before, &theirs.chunks));
        for address in (0..open.length).map(|offset| open.start.wrapping_add(offset)) {
            if let Some(offset) = layout::arena_offset(address) {
                ours[offset as usize] = other[offset as usize];
            }
        }
        mine.chunks = changes(&before, &ours);
    }
}

/// Silicon's outcome, as far as it has become the engine's.
struct Excused<'a> {
    outcome: Ending,
    engine: &'a Ending,
    mask: Mask,
    freedoms: Vec<Freedom>,
}

impl Excused<'_> {
    /// Changes the outcome, and notes the freedom if that explains anything.
    fn take(&mut self, freedom: Freedom, change: impl FnOnce(&mut Ending, &Ending)) {
        let before = compare(&self.outcome, self.engine, self.mask);
        change(&mut self.outcome, self.engine);
        let explains = compare(&self.outcome, self.engine, self.mask) != before;
        if explains && !self.freedoms.contains(&freedom) {
            self.freedoms.push(freedom);
        }
    }
}

const GENERAL_PROTECTION: u32 = 13;
const ALIGNMENT_CHECK: u32 = 17;

/// Whether a case ended in something other than the traps that end every case.
fn is_fault(outcome: &Ending) -> bool {
    const DEBUG: u32 = 1;
    const BREAKPOINT: u32 = 3;
    !matches!(outcome.vector, DEBUG | BREAKPOINT)
}

/// Whether an instruction is one of the x87 unit, or saves its state.
fn is_x87(step: &Step) -> bool {
    Group::of(step.instruction.row()) == Group::X87
}

/// Takes over each lane of `theirs` that is a NaN on both sides.
fn take_over_nans(mine: &mut u128, theirs: u128, bits: u32) {
    let infinity: u128 = if bits == 32 { 0x7f80_0000 } else { 0x7ff0_0000_0000_0000 };
    let (all, sign) = (u128::MAX >> (128 - bits), 1 << (bits - 1));
    let is_nan = |lane: u128| lane & all & !sign > infinity;
    for shift in (0..128).step_by(bits as usize) {
        if is_nan(*mine >> shift) && is_nan(theirs >> shift) {
            *mine = *mine & !(all << shift) | theirs & all << shift;
        }
    }
}

/// The freedom to execute bytes that are no instruction here.
fn beyond_the_tables(code: &[u8]) -> Option<Freedom> {
    let undefined = decode(code).is_err_and(|error| error.kind == DecodeErrorKind::Undefined);
    let opcode = code.iter().position(|byte| *byte == 0x0f).unwrap_or(0);
    let repeated = code[..opcode].contains(&0xf3);
    undefined.then_some(match code.get(opcode..opcode + 3) {
        Some(&[0x0f, 0x0d, 0xc0..=0xff] | &[0x0f, 0x38, 0xf8]) => Freedom::MakersOwn,
        Some(&[0x0f, 0xae, modrm]) if repeated && modrm >> 3 & 7 == 4 => Freedom::MakersOwn,
        _ => Freedom::NewerExtension,
    })
}

fn is_long_double_shift(step: &Step) -> bool {
    let instruction = &step.instruction;
    let count = match instruction.operand(2) {
        Some(Operand::Immediate { value, .. }) => value,
        _ => step.state.gpr(Gpr::Ecx),
    };
    matches!(instruction.operation(), Operation::Shld | Operation::Shrd)
        && instruction.operand_size() == OperandSize::Word
        && count & 31 > 16
}

/// The register and value of ST(0) where an instruction has it for its result, a denormal, and underflow
/// is unmasked.
fn unchanged_denormal(step: &Step) -> Option<(usize, F80)> {
    let x87 = &step.state.x87;
    let value = |index| x87.registers[x87.physical(index)];
    let (first, second) = (value(0), value(1));
    let magnitude = (second.exponent(), second.significand);
    let keeps = match step.instruction.operation() {
        Operation::Fprem | Operation::Fprem1 => magnitude == (0x7fff, 1 << 63),
        Operation::Fscale => magnitude == (0, 0),
        _ => false,
    };
    let denormal = first.exponent() == 0 && first.significand != 0;
    let unmasked = !x87.control.contains(ControlWord::UM);
    (keeps && denormal && unmasked).then_some((x87.physical(0), first))
}

fn is_stacked_selector(instruction: &Instruction) -> bool {
    let segment = matches!(instruction.operand(0), Some(Operand::Register(Register::Segment(_))));
    let stacks = matches!(instruction.operation(), Operation::Push | Operation::Pop);
    segment && stacks && instruction.operand_size() == OperandSize::Dword
}

fn is_sha(operation: Operation) -> bool {
    operation.mnemonic().starts_with("sha1") || operation.mnemonic().starts_with("sha256")
}

fn is_x87_store(operation: Operation) -> bool {
    use Operation as O;
    matches!(operation, O::Fst | O::Fstp | O::Fist | O::Fistp | O::Fisttp | O::Fbstp)
}

/// Whether an operation makes several accesses, or checks several things that can be wrong at once.
fn has_several_checks(operation: Operation) -> bool {
    use Operation as O;
    matches!(operation, O::Cmps | O::Movs | O::Bound | O::Maskmovq | O::Maskmovdqu)
        || matches!(operation, O::Push | O::Pop | O::Call | O::CallFar | O::JmpFar | O::Enter | O::Leave)
        || matches!(operation, O::Ret | O::RetFar | O::Iret | O::Pusha | O::Popa)
}

/// Whether an MMX register goes to memory.
fn stores_mmx(step: &Step) -> bool {
    use Operation as O;
    matches!(step.instruction.operation(), O::Movd | O::Movq | O::Movntq)
        && matches!(step.instruction.operand(0), Some(Operand::Memory(_)))
}

fn stack_address(state: &CpuState) -> u32 {
    state.segment(SegmentRegister::Ss).base().wrapping_add(state.gpr(Gpr::Esp))
}

/// Whether silicon's fault is in the last bytes of the address space, where the engine checks a limit.
fn faults_at_the_end(silicon: &Ending, engine: &Ending) -> bool {
    const STACK_SEGMENT: u32 = 12;
    const PAGE_FAULT: u32 = 14;
    const LAST_BYTES: u32 = 0xffff_fff0;
    silicon.vector == PAGE_FAULT
        && silicon.address >= LAST_BYTES
        && matches!(engine.vector, STACK_SEGMENT | GENERAL_PROTECTION)
}

/// Whether the stack lies about the end of the address space.
fn stack_wraps(step: &Step) -> bool {
    const REACH: u32 = 64;
    let uses_stack = has_several_checks(step.instruction.operation()) && step.accesses.is_empty();
    uses_stack
        && [stack_address(&step.state), step.state.gpr(Gpr::Esp)]
            .iter()
            .any(|at| at.wrapping_add(REACH) < 2 * REACH)
}

/// The arena as the case finds it.
fn original(case: &Case) -> Vec<u8> {
    let mut arena = layout::background();
    for (address, bytes) in case.memory() {
        for (at, piece) in in_pages(address, bytes) {
            if let Some(offset) = layout::arena_offset(at) {
                arena[offset as usize..][..piece.len()].copy_from_slice(piece);
            }
        }
    }
    arena
}

fn apply(before: &[u8], chunks: &[Chunk]) -> Vec<u8> {
    let mut arena = before.to_vec();
    for chunk in chunks {
        if let Some(offset) = layout::arena_offset(chunk.address) {
            arena[offset as usize..][..16].copy_from_slice(&chunk.bytes);
        }
    }
    arena
}

fn changes(before: &[u8], after: &[u8]) -> Vec<Chunk> {
    let pairs = before.chunks_exact(16).zip(after.chunks_exact(16)).enumerate();
    pairs
        .filter(|(_, (before, after))| before != after)
        .map(|(index, (_, after))| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(after);
            Chunk { address: layout::arena_address(index as u32 * 16), bytes }
        })
        .collect()
}
