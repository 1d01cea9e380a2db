//! What memory operands and the stack hold, and registers that have a meaning to an operation.

use pentimento_decoder::{Instruction, Operand, OperandSize, Operation, Register};
use pentimento_registers::{CpuState, Eflags, Gpr, Gpr8};

use super::placement::code_target;
use super::random::Random;
use super::state::{Group, control_word, flags, lane, mxcsr, selector, status_word};
use super::values::{extended, integer};

/// Whether `operation` reads a selector.
pub(super) const fn takes_selector(operation: Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::Lds | O::Les | O::Lfs | O::Lgs | O::Lss | O::Lar | O::Lsl | O::Verr | O::Verw | O::Arpl
    ) || matches!(operation, O::JmpFar | O::CallFar | O::RetFar | O::Iret)
}

/// Whether `operation` is a string instruction, which REP repeats.
pub(super) const fn is_string(operation: Operation) -> bool {
    use Operation as O;
    matches!(operation, O::Movs | O::Cmps | O::Scas | O::Lods | O::Stos | O::Ins | O::Outs)
}

/// Whether the first operand is a segment register that MOV loads.
fn loads_segment(instruction: &Instruction) -> bool {
    instruction.operation() == Operation::Mov
        && matches!(instruction.operand(0), Some(Operand::Register(Register::Segment(_))))
}

/// Appends `value` as an operand of the instruction's size.
fn push_value(bytes: &mut Vec<u8>, size: OperandSize, value: u32) {
    match size {
        OperandSize::Word => bytes.extend((value as u16).to_le_bytes()),
        OperandSize::Dword => bytes.extend(value.to_le_bytes()),
    }
}

/// The bytes of a memory operand of `size` bytes.
pub(super) fn memory(
    instruction: &Instruction,
    group: Group,
    size: u32,
    state: &CpuState,
    random: &mut Random,
) -> Vec<u8> {
    use Operation as O;
    let mut bytes = Vec::new();
    let operation = instruction.operation();
    match operation {
        O::Jmp | O::Call => push_value(&mut bytes, instruction.operand_size(), code_target(random)),
        O::JmpFar | O::CallFar | O::Lds | O::Les | O::Lfs | O::Lgs | O::Lss => {
            push_value(&mut bytes, instruction.operand_size(), code_target(random));
            bytes.extend(selector(random).to_le_bytes());
        }
        O::Mov if loads_segment(instruction) => bytes.extend(selector(random).to_le_bytes()),
        _ if takes_selector(operation) => bytes.extend(selector(random).to_le_bytes()),
        O::Fldcw => bytes.extend(control_word(random).bits().to_le_bytes()),
        O::Ldmxcsr => {
            let reserved = reserved_mxcsr(random);
            bytes.extend((mxcsr(random).bits() | reserved).to_le_bytes());
        }
        O::Fldenv | O::Frstor => environment(instruction, random, &mut bytes),
        O::Fxrstor => fxsave_image(random, &mut bytes),
        // Equal on both sides, so that comparisons go on.
        O::Cmps if random.percent(60) => bytes.resize(size as usize, 0x41),
        O::Scas if random.percent(60) => {
            let value = state.gpr(Gpr::Eax).to_le_bytes();
            bytes.extend(value.iter().cycle().take(size as usize));
        }
        O::Cmpxchg | O::Cmpxchg8b if random.percent(60) => {
            bytes.extend(state.gpr(Gpr::Eax).to_le_bytes());
            bytes.extend(state.gpr(Gpr::Edx).to_le_bytes());
            bytes.truncate(size as usize);
        }
        _ => bytes = lane(operation, group, size, random).fill(random, size as usize),
    }
    bytes
}

/// An FSTENV or FSAVE image in the layout of the operand size.
fn environment(instruction: &Instruction, random: &mut Random, bytes: &mut Vec<u8>) {
    let control = control_word(random);
    let status = status_word(random, control, Group::X87).bits() | (random.next_u32() as u16 & 0x3800);
    let words = [control.bits().into(), status.into(), random.next_u32()];
    for word in words {
        push_value(bytes, instruction.operand_size(), word);
    }
    for _ in 0..4 {
        push_value(bytes, instruction.operand_size(), random.next_u32());
    }
    if instruction.operation() == Operation::Frstor {
        for _ in 0..8 {
            bytes.extend(extended(random).to_le_bytes());
        }
    }
}

/// Now and then one bit of MXCSR that the manual reserves; AMD's CPUs know bit 17.
fn reserved_mxcsr(random: &mut Random) -> u32 {
    let bit = random.pick(&[16, 18, 19, 24, 31]);
    if random.percent(5) { 1 << bit } else { 0 }
}

/// An FXSAVE image (SDM volume 1, table 10-2), now and then with reserved MXCSR bits.
fn fxsave_image(random: &mut Random, bytes: &mut Vec<u8>) {
    let control = control_word(random);
    let status = status_word(random, control, Group::X87).bits() | (random.next_u32() as u16 & 0x3800);
    bytes.extend(control.bits().to_le_bytes());
    bytes.extend(status.to_le_bytes());
    bytes.extend([random.next_u32() as u8, 0]);
    bytes.extend((random.next_u32() as u16 & 0x7ff).to_le_bytes());
    for _ in 0..2 {
        bytes.extend(random.next_u32().to_le_bytes());
        bytes.extend((random.next_u32() & 0xffff).to_le_bytes());
    }
    let reserved = reserved_mxcsr(random);
    bytes.extend((mxcsr(random).bits() | reserved).to_le_bytes());
    bytes.extend(0xffffu32.to_le_bytes());
    for _ in 0..8 {
        bytes.extend(extended(random).to_le_bytes());
        bytes.extend([0; 6]);
    }
    bytes.extend((0..352).map(|_| random.next_u32() as u8));
}

/// What the top of the stack holds for an instruction that pops; `None` for the others.
pub(super) fn stack(instruction: &Instruction, random: &mut Random) -> Option<Vec<u8>> {
    use Operation as O;
    let mut bytes = Vec::new();
    let size = instruction.operand_size();
    match instruction.operation() {
        O::Ret => push_value(&mut bytes, size, code_target(random)),
        O::RetFar | O::Iret => {
            push_value(&mut bytes, size, code_target(random));
            push_value(&mut bytes, size, u32::from(selector(random)) | (random.next_u32() << 16));
            push_value(&mut bytes, size, stored_flags(random));
        }
        O::Popf => push_value(&mut bytes, size, stored_flags(random)),
        O::Pop => match instruction.operand(0) {
            Some(Operand::Register(Register::Segment(_))) => {
                push_value(&mut bytes, size, u32::from(selector(random)) | (random.next_u32() << 16));
            }
            _ => bytes.extend((integer(random, 32) as u32).to_le_bytes()),
        },
        O::Popa | O::Leave => {
            for _ in 0..8 {
                bytes.extend((integer(random, 32) as u32).to_le_bytes());
            }
        }
        _ => return None,
    }
    Some(bytes)
}

/// Flags to pop: any bits at all, reserved ones too.
fn stored_flags(random: &mut Random) -> u32 {
    let wild = if random.percent(30) { random.next_u32() } else { 0 };
    // Alignment checking would make most of what follows fault.
    flags(random).bits() | wild & !Eflags::AC.bits()
}

/// Gives registers that `instruction` uses in a special way values that reach all of its paths.
pub(super) fn adjust_registers(instruction: &Instruction, state: &mut CpuState, random: &mut Random) {
    use Operation as O;
    let operation = instruction.operation();
    match operation {
        _ if is_string(operation) => {
            let count = match random.below(10) {
                0 => integer(random, 16) as u32,
                1 => 0,
                2 => random.below(0x400),
                _ => random.below(24),
            };
            state.set_gpr(Gpr::Ecx, count | if random.percent(10) { 0x1_0000 } else { 0 });
        }
        O::Rol | O::Ror | O::Rcl | O::Rcr | O::Shl | O::Shr | O::Sar | O::Shld | O::Shrd
            if random.percent(70) =>
        {
            state.set_gpr8(Gpr8::Cl, random.below(40) as u8);
        }
        // A dividend that is not much wider than the divisor.
        O::Div | O::Idiv if random.percent(70) => {
            let sign = if random.percent(50) { 0 } else { u32::MAX };
            let small = random.below(16);
            state.set_gpr(Gpr::Edx, random.pick(&[0, sign, small]));
        }
        O::Bt | O::Bts | O::Btr | O::Btc if random.percent(80) => {
            for register in state.gprs_mut() {
                *register = random.below(1024).wrapping_sub(512);
            }
        }
        O::Enter => state.set_gpr(Gpr::Ebp, state.gpr(Gpr::Esp).wrapping_add(random.below(256)) & !3),
        O::Leave => state.set_gpr(Gpr::Ebp, state.gpr(Gpr::Esp)),
        O::Jecxz | O::Loop | O::Loope | O::Loopne if random.percent(50) => {
            let counts = [0, 1, 2, 0x1_0000, 0x1_0001, 0xffff];
            state.set_gpr(Gpr::Ecx, random.pick(&counts));
        }
        O::Pcmpestri | O::Pcmpestrm => {
            for register in [Gpr::Eax, Gpr::Edx] {
                state.set_gpr(register, random.below(40).wrapping_sub(20));
            }
        }
        _ => {}
    }
    register_contents(instruction, state, random);
}

/// Jump targets and selectors that come from registers.
fn register_contents(instruction: &Instruction, state: &mut CpuState, random: &mut Random) {
    use Operation as O;
    let operation = instruction.operation();
    for index in 0..2 {
        let Some(Operand::Register(register)) = instruction.operand(index) else { continue };
        let (Register::Gpr32(gpr) | Register::Gpr16(gpr)) = register else { continue };
        if matches!(operation, O::Jmp | O::Call) {
            state.set_gpr(gpr, code_target(random));
        } else if takes_selector(operation) || loads_segment(instruction) {
            state.set_gpr16(gpr, selector(random));
        }
    }
}

/// How many bytes of memory an operand without a fixed size spans.
pub(crate) const fn span(instruction: &Instruction) -> u32 {
    use Operation as O;
    match instruction.operation() {
        O::Fxsave | O::Fxrstor => 512,
        O::Fnsave | O::Frstor => 108,
        O::Fnstenv | O::Fldenv => 28,
        _ => 16,
    }
}
