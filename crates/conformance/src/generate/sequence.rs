//! A few instructions in a row: what engines that look at more than one instruction at a time
//! (lazy flags, fused pairs, registers kept elsewhere) can get wrong and single ones cannot show.

use pentimento_decoder::{Instruction, MemoryOperand, Operand, Operation, Prefixes, Register, Row, decode};
use pentimento_registers::{Eflags, Gpr, SegmentRegister};

use super::random::Random;
use super::state::Group;
use super::{Generator, contents, encoding, placement, set_displacement, state};
use crate::case::{Case, Patch};
use crate::exclusion::{self, exclusion};
use crate::layout;

/// Instructions at most.
const LONGEST: u32 = 8;

/// The rows of `group` that sequences are made of: those that go on behind themselves.
pub(super) fn rows_of(group: Group) -> Vec<&'static Row> {
    let plain = |row: &&Row| match group {
        Group::Integer => is_plain(row.operation()),
        _ => !is_masked(row.operation()),
    };
    let rows = pentimento_decoder::rows().iter();
    rows.filter(|row| Group::of(row) == group && exclusion(row).is_none()).filter(plain).collect()
}

/// Whether a floating-point or vector operation has results that a mask covers, or loads state
/// that a case has to prepare.
fn is_masked(operation: Operation) -> bool {
    use Operation as O;
    matches!(operation, O::Maskmovq | O::Maskmovdqu | O::Fxsave | O::Fxrstor | O::Ldmxcsr)
}

/// Whether an integer operation neither leaves the sequence nor needs special operands.
fn is_plain(operation: Operation) -> bool {
    use Operation as O;
    let data = matches!(operation, O::Mov | O::Movzx | O::Movsx | O::Xchg | O::Xadd | O::Cmpxchg | O::Bswap)
        || matches!(operation, O::Push | O::Pop | O::Pushf | O::Lahf | O::Sahf | O::Cmovcc | O::Lea)
        || matches!(operation, O::Movbe | O::Cbw | O::Cwde | O::Cwd | O::Cdq | O::Salc);
    let arithmetic =
        matches!(operation, O::Add | O::Adc | O::Sub | O::Sbb | O::Cmp | O::Inc | O::Dec | O::Neg)
            || matches!(operation, O::Mul | O::Imul | O::Div | O::Idiv | O::Adcx | O::Adox | O::Daa | O::Das)
            || matches!(
                operation,
                O::Aaa | O::Aas | O::Aam | O::Aad | O::And | O::Or | O::Xor | O::Not | O::Test
            );
    let bits = matches!(operation, O::Rol | O::Ror | O::Rcl | O::Rcr | O::Shl | O::Shr | O::Sar)
        || matches!(operation, O::Shld | O::Shrd | O::Bt | O::Bts | O::Btr | O::Btc | O::Bsf | O::Bsr)
        || matches!(operation, O::Setcc | O::Popcnt | O::Tzcnt | O::Lzcnt | O::Crc32);
    let rest = matches!(operation, O::Jcc | O::Stc | O::Clc | O::Cmc | O::Cld | O::Nop | O::Lods | O::Stos);
    data || arithmetic || bits || rest
}

/// A sequence under construction.
struct Sequence {
    code: Vec<u8>,
    patches: Vec<Patch>,
    /// Where the displacement of a conditional jump waits for the length of what follows it.
    jump: Option<usize>,
}

impl Generator {
    /// A case of two to [`LONGEST`] instructions.
    pub(super) fn sequence(&self, random: &mut Random) -> Option<Case> {
        let groups = [Group::Integer, Group::Integer, Group::Integer, Group::X87, Group::Mmx, Group::Sse];
        let group = random.pick(&groups);
        let rows = &self.sequence_rows[group as usize];
        let mut state = state::state(Operation::Nop, group, random);
        for register in [SegmentRegister::Ds, SegmentRegister::Es, SegmentRegister::Ss] {
            *state.segment_mut(register) = layout::initial_state().segments[usize::from(register.number())];
        }
        if random.percent(90) {
            state.eflags.remove(Eflags::TF);
        }
        state.eflags.remove(Eflags::AC);
        state.eip = layout::CODE.start + 0x100 + random.below(0x1d00);
        state.set_gpr(Gpr::Esp, layout::DATA.start + 0x800 + random.below(0x100) * 4);
        let mut sequence = Sequence { code: Vec::new(), patches: Vec::new(), jump: None };
        for _ in 0..2 + random.below(LONGEST - 1) {
            // Most draws with a base register name wild addresses and are thrown away.
            let drawn = (0..20).find_map(|_| draw(random.pick(rows), group, random));
            let (bytes, patches) = drawn?;
            sequence.push(&bytes, random);
            sequence.patches.extend(patches);
        }
        if random.percent(40) {
            sequence.repeat(random);
            state.set_gpr(Gpr::Ecx, 1 + random.below(6));
        }
        Some(Case { code: sequence.code, state, patches: sequence.patches })
    }
}

impl Sequence {
    fn push(&mut self, bytes: &[u8], random: &mut Random) {
        if let Some(at) = self.jump.take() {
            self.code[at] = if random.percent(60) { bytes.len() as u8 } else { 0 };
        }
        self.code.extend(bytes);
        // 70h to 7Fh, alone or behind prefixes: a short conditional jump.
        let is_jump = decode(bytes).is_ok_and(|instruction| instruction.operation() == Operation::Jcc);
        if is_jump {
            let last = self.code.len() - 1;
            self.code[last] = 0;
            self.jump = Some(last);
        }
    }
}

impl Sequence {
    /// Ends the sequence with a jump back to its beginning while ECX lasts. Where the sequence
    /// changes ECX, that may be long; endless cases are left out when they run.
    fn repeat(&mut self, random: &mut Random) {
        const LOOP: &[u8] = &[0xe2];
        const DEC_ECX_JNZ: &[u8] = &[0x49, 0x75];
        const SUB_ECX_JNE: &[u8] = &[0x83, 0xe9, 0x01, 0x75];
        self.code.extend(random.pick(&[LOOP, DEC_ECX_JNZ, SUB_ECX_JNE]));
        if let Ok(back) = i8::try_from(-(self.code.len() as i32) - 1) {
            self.code.push(back as u8);
        }
    }
}

/// One instruction, if its memory operands can be aimed without a register.
fn draw(row: &Row, group: Group, random: &mut Random) -> Option<(Vec<u8>, Vec<Patch>)> {
    let mut encoding = encoding::encode(row, random, false);
    let instruction = decode(&encoding.bytes).ok()?;
    let length = usize::from(instruction.length());
    encoding.bytes.truncate(length);
    let unusable = exclusion(instruction.row()).is_some()
        || exclusion::of_encoding(&instruction).is_some()
        || instruction.prefixes().intersects(Prefixes::REP | Prefixes::REPNE | Prefixes::ADDRESS_SIZE)
        || (instruction.operation() == Operation::Jcc && !is_short_jump(&instruction))
        || changes_segments(&instruction);
    if unusable {
        return None;
    }
    let mut patches = Vec::new();
    for index in 0..instruction.operand_count() {
        let Some(Operand::Memory(operand)) = instruction.operand(index) else { continue };
        if operand.base == Some(Gpr::Esp) && operand.index.is_none() && operand.displacement < 0x400 {
            continue;
        }
        let address = aim(&operand, &instruction, random)?;
        set_displacement(&mut encoding, address, length);
        let size = if operand.size == 0 { contents::span(&instruction) } else { operand.size.into() };
        let bytes = state::lane(instruction.operation(), group, size, random).fill(random, size as usize);
        patches.push(Patch { address, bytes });
    }
    Some((encoding.bytes, patches))
}

/// An address for an operand that is a displacement and nothing else.
fn aim(operand: &MemoryOperand, instruction: &Instruction, random: &mut Random) -> Option<u32> {
    let flat = matches!(operand.segment, SegmentRegister::Ds | SegmentRegister::Ss | SegmentRegister::Es);
    let plain = operand.base.is_none() && operand.index.is_none() && flat;
    let span = contents::span(instruction).max(operand.size.into());
    let address = placement::target(random, span, &layout::DATA);
    (plain && address.checked_add(span).is_some()).then_some(address)
}

fn is_short_jump(instruction: &Instruction) -> bool {
    instruction.opcode() & 0xf0 == 0x70 && !instruction.prefixes().contains(Prefixes::OPERAND_SIZE)
}

fn changes_segments(instruction: &Instruction) -> bool {
    let system = |operand| {
        matches!(operand, Operand::Register(Register::Segment(_) | Register::Control(_) | Register::Debug(_)))
    };
    (0..instruction.operand_count()).filter_map(|index| instruction.operand(index)).any(system)
}
