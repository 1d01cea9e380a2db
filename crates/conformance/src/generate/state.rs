//! Registers for a case.

use pentimento_decoder::{Feature, Operation, Row};
use pentimento_registers::{ControlWord, CpuState, Eflags, F80, Mxcsr, SegmentRegister, StatusWord};

use super::random::Random;
use super::values::{Lane, extended, integer};
use crate::layout::{self, EXPAND_DOWN, FS, GS, LOCAL_CODE, LOCAL_READ_ONLY};

/// The instructions that a run of the oracle covers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Group {
    /// Everything on general registers, flags, segments and memory.
    Integer,
    /// x87 and FXSAVE.
    X87,
    /// MMX.
    Mmx,
    /// SSE to SSE4.2, AES, PCLMULQDQ, SHA.
    Sse,
}

impl Group {
    /// The group of a row.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        use Feature as F;
        match row.feature() {
            F::Fpu | F::Fxsr => Self::X87,
            // FCMOVcc and FCOMI belong to CMOV's feature.
            F::Cmov if row.operation() != Operation::Cmovcc => Self::X87,
            F::Mmx | F::MmxExt => Self::Mmx,
            F::Sse | F::Sse2 | F::Sse3 | F::Ssse3 | F::Sse41 | F::Sse42 => Self::Sse,
            F::Sse4a | F::Aes | F::Pclmulqdq | F::Sha | F::Gfni => Self::Sse,
            _ => Self::Integer,
        }
    }
}

/// Selectors worth loading. Those of 64-bit code and of the per-CPU segment (GDT entries 6 and
/// 15), which exist only because the host's kernel is a 64-bit one, are left out.
const SELECTORS: &[u16] = &[
    CpuState::USER_DS,
    CpuState::USER_DS,
    CpuState::USER_CS,
    CpuState::USER_CS,
    GS,
    FS,
    EXPAND_DOWN,
    LOCAL_CODE,
    LOCAL_READ_ONLY,
    layout::LOCAL_ABSENT,
    0,
    1,
    3,
    4,
    CpuState::USER_DS & !3,
    CpuState::USER_CS & !3,
    CpuState::USER_DS & !3 | 1,
    0x08,
    0x10,
    0x18,
    0x1f,
    0x40,
    0x50,
    0x87,
    0xffff,
];

/// A selector: usually a valid one.
pub(super) fn selector(random: &mut Random) -> u16 {
    random.pick(SELECTORS)
}

/// The lanes that an operation's vector or floating-point operands are made of.
pub(super) fn lane(operation: Operation, group: Group, size: u32, random: &mut Random) -> Lane {
    const ANY: [Lane; 8] = [
        Lane::Byte,
        Lane::Word,
        Lane::Dword,
        Lane::Qword,
        Lane::Single,
        Lane::Double,
        Lane::Extended,
        Lane::Bcd,
    ];
    let integers = random.pick(&Lane::INTEGERS);
    if random.percent(8) {
        return random.pick(&ANY);
    }
    let name = operation.mnemonic();
    match group {
        Group::Integer | Group::Mmx => integers,
        Group::X87 => match size {
            10 if operation == Operation::Fbld => Lane::Bcd,
            _ if name.starts_with("fi") => integers,
            4 => Lane::Single,
            8 => Lane::Double,
            10 => Lane::Extended,
            _ => integers,
        },
        Group::Sse => {
            let source = name.strip_prefix("cvtt").or_else(|| name.strip_prefix("cvt"));
            let kind = source.map_or_else(|| &name[name.len().saturating_sub(2)..], |rest| &rest[..2]);
            match kind {
                "ps" | "ss" => Lane::Single,
                "pd" | "sd" => Lane::Double,
                _ => integers,
            }
        }
    }
}

/// Random registers that suit `operation`; EIP, ESP and address registers are still arbitrary.
pub(super) fn state(operation: Operation, group: Group, random: &mut Random) -> CpuState {
    let mut state = layout::initial_state();
    general_registers(&mut state, random);
    state.eflags |= flags(random);
    segments(&mut state, random);
    if group != Group::Integer || random.percent(3) {
        x87(&mut state, operation, group, random);
        vectors(&mut state, operation, group, random);
    }
    state
}

fn general_registers(state: &mut CpuState, random: &mut Random) {
    // With few different values, operands are often equal.
    let variety = random.pick(&[1, 2, 3, 8, 8, 8, 8, 8]);
    let mut values = [0; 8];
    for value in &mut values {
        let width = random.pick(&[8, 16, 32, 32, 32]);
        let low = integer(random, width) as u32;
        *value = if random.percent(30) { low | random.next_u32() << (width - 1) } else { low };
    }
    for register in state.gprs_mut() {
        *register = values[random.below(variety) as usize];
    }
}

/// Flags besides the two that are always set.
pub(super) fn flags(random: &mut Random) -> Eflags {
    let mut flags = Eflags::from_bits_retain(random.next_u32()) & Eflags::STATUS;
    for (flag, percent) in
        [(Eflags::DF, 20), (Eflags::TF, 50), (Eflags::NT, 3), (Eflags::ID, 5), (Eflags::AC, 2)]
    {
        if random.percent(percent) {
            flags |= flag;
        }
    }
    flags
}

fn segments(state: &mut CpuState, random: &mut Random) {
    use SegmentRegister as S;
    const DATA: &[u16] = &[GS, FS, EXPAND_DOWN, LOCAL_READ_ONLY, LOCAL_CODE, CpuState::USER_CS, 0];
    const STACK: &[u16] = &[GS, GS, FS, EXPAND_DOWN];
    const EXTRA: &[u16] = &[CpuState::USER_DS, GS, FS, EXPAND_DOWN, LOCAL_READ_ONLY, 0];
    let choices: [(S, u32, &[u16]); 6] = [
        (S::Es, 5, DATA),
        (S::Ds, 5, DATA),
        (S::Ss, 4, STACK),
        (S::Cs, 2, &[LOCAL_CODE]),
        (S::Fs, 20, EXTRA),
        (S::Gs, 20, EXTRA),
    ];
    for (register, percent, selectors) in choices {
        if random.percent(percent) {
            *state.segment_mut(register) = layout::segment(random.pick(selectors));
        }
    }
}

fn x87(state: &mut CpuState, operation: Operation, group: Group, random: &mut Random) {
    let x87 = &mut state.x87;
    x87.control = control_word(random);
    x87.status = status_word(random, x87.control, group);
    x87.top = if random.percent(20) { 0 } else { random.below(8) as u8 };
    x87.in_use = match random.below(10) {
        0..=5 => 0xff,
        6 => 0,
        _ => random.next_u32() as u8,
    };
    if random.percent(50) {
        x87.last_opcode = random.next_u32() as u16 & 0x7ff;
        x87.last_instruction = random.next_u32();
        x87.last_data = random.next_u32();
    }
    let variety = random.pick(&[1, 2, 8, 8, 8, 8]);
    let lane = lane(operation, group, 8, random);
    let mut values = [F80::ZERO; 8];
    for value in &mut values {
        *value = extended(random);
        if group == Group::Mmx || group == Group::Sse {
            let bytes = lane.fill(random, 8);
            let mut significand = [0; 8];
            significand.copy_from_slice(&bytes);
            value.significand = u64::from_le_bytes(significand);
        }
    }
    for register in &mut x87.registers {
        *register = values[random.below(variety) as usize];
    }
}

/// A control word: every rounding and precision mode, masks usually all set.
pub(super) fn control_word(random: &mut Random) -> ControlWord {
    let wild = random.next_u32() as u16;
    let modes = ControlWord::RC0 | ControlWord::RC1 | ControlWord::PC0 | ControlWord::PC1;
    let mut word = ControlWord::from_bits_truncate(wild) & modes | ControlWord::ALWAYS_SET;
    if random.percent(50) {
        word |= ControlWord::PC0 | ControlWord::PC1;
    }
    word | match random.below(10) {
        0..=6 => ControlWord::MASKS,
        _ => ControlWord::from_bits_truncate(random.next_u32() as u16) & ControlWord::MASKS,
    }
}

/// A status word that the unit could hold under `control`: summary bits follow from the flags.
pub(super) fn status_word(random: &mut Random, control: ControlWord, group: Group) -> StatusWord {
    let codes = StatusWord::C0 | StatusWord::C1 | StatusWord::C2 | StatusWord::C3;
    let word = StatusWord::from_bits_truncate(random.next_u32() as u16);
    let mut status = word & codes;
    if random.percent(25) {
        status |= word & (StatusWord::EXCEPTIONS | StatusWord::SF);
    }
    let unmasked = !control.bits() & status.bits() & StatusWord::EXCEPTIONS.bits();
    if unmasked != 0 {
        // A pending exception stops nearly everything; most cases go without.
        if group != Group::X87 || random.percent(70) {
            return word & codes;
        }
        status |= StatusWord::ES | StatusWord::B;
    }
    status
}

fn vectors(state: &mut CpuState, operation: Operation, group: Group, random: &mut Random) {
    state.mxcsr = mxcsr(random);
    let variety = random.pick(&[1, 2, 8, 8, 8, 8]);
    let lane = lane(operation, group, 16, random);
    let mut values = [0; 8];
    for value in &mut values {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&lane.fill(random, 16));
        *value = u128::from_le_bytes(bytes);
    }
    for register in &mut state.xmm {
        *register = values[random.below(variety) as usize];
    }
}

/// An MXCSR without reserved bits: every mode, masks usually all set.
pub(super) fn mxcsr(random: &mut Random) -> Mxcsr {
    let wild = Mxcsr::from_bits_truncate(random.next_u32());
    let modes = Mxcsr::RC0 | Mxcsr::RC1;
    let mut word = wild & modes;
    for (flags, percent) in [(Mxcsr::DAZ, 15), (Mxcsr::FZ, 15), (wild & Mxcsr::EXCEPTIONS, 40)] {
        if random.percent(percent) {
            word |= flags;
        }
    }
    word | if random.percent(65) { Mxcsr::INITIAL } else { wild & Mxcsr::INITIAL }
}
