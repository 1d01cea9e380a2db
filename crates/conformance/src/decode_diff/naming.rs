//! The mnemonics that `iced-x86` gives to what the tables call one operation.

use pentimento_decoder::{AddressSize, Instruction, OperandSize, Operation as O};

/// What `iced-x86` calls the mnemonic of `instruction`, in lower case.
pub(super) fn iced_mnemonic(instruction: &Instruction) -> String {
    let stem = instruction.operation().mnemonic();
    let dword = instruction.operand_size() == OperandSize::Dword;
    let d = if dword { "d" } else { "" };
    match instruction.operation() {
        O::Jcc | O::Setcc | O::Cmovcc => format!("{stem}{}", instruction.condition().suffix()),
        O::Movs | O::Cmps | O::Stos | O::Lods | O::Scas | O::Ins | O::Outs => {
            let suffix = if instruction.opcode() & 1 == 0 {
                "b"
            } else if dword {
                "d"
            } else {
                "w"
            };
            format!("{stem}{suffix}")
        }
        O::Pusha | O::Popa | O::Pushf | O::Popf | O::Iret => format!("{stem}{d}"),
        O::JmpFar => "jmp".into(),
        O::CallFar => "call".into(),
        O::Jecxz if instruction.address_size() == AddressSize::Word => "jcxz".into(),
        O::Sysexit | O::Sysret => stem.into(),
        _ => stem.into(),
    }
}
