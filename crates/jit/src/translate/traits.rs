//! What a row of the decoder says that matters to translations, gathered once for each row: the host's
//! instruction has its registers in the same places, and most instructions are the host's own.

use std::sync::LazyLock;

use bitflags::bitflags;
use pentimento_decoder::{Instruction, OperandCode, Operation, Row, rows};
use pentimento_execute::x87::HAS_HOST_UNIT;
use pentimento_registers::Eflags;

bitflags! {
    /// What all instructions of a row have in common.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(super) struct Traits: u16 {
        /// The host executes the same instruction.
        const PLAIN = 1;
        /// The x87 unit's.
        const X87 = 1 << 1;
        /// An operand may be an MMX register.
        const MMX = 1 << 2;
        /// There is a ModRM byte.
        const MODRM = 1 << 3;
        /// An operand is in memory that no ModRM byte names.
        const IMPLIED_MEMORY = 1 << 4;
        /// ModRM's reg is a general register of 16 or 32 bits.
        const GENERAL_REG = 1 << 5;
        /// ModRM's rm is one, where it is no memory.
        const GENERAL_RM = 1 << 6;
        /// The low bits of the opcode are one.
        const GENERAL_OPCODE = 1 << 7;
        /// An operand may be AL to BH.
        const BYTES = 1 << 8;
        /// An operand is a segment, control or debug register.
        const SYSTEM = 1 << 9;
        /// Bytes follow ModRM and displacement.
        const IMMEDIATE = 1 << 10;
        /// The operand in memory has ten bytes.
        const TEN_BYTES = 1 << 11;
        /// An operand in memory counts as the x87 unit's last one.
        const X87_DATA = 1 << 12;
        /// All status flags may be written or left undefined.
        const FLAGS = 1 << 13;

        /// The x87 unit's registers are needed, which are MMX's, too.
        const UNIT = Self::X87.bits() | Self::MMX.bits();
        /// A general register of 16 or 32 bits is named somewhere.
        const GENERAL = Self::GENERAL_REG.bits() | Self::GENERAL_RM.bits() | Self::GENERAL_OPCODE.bits();
    }
}

impl Traits {
    /// Those of a row.
    pub(super) fn of_row(row: &Row) -> Self {
        use Operation as O;
        let (operation, flags) = (row.operation(), row.flags());
        let control = matches!(operation, O::Fldcw | O::Fnstcw | O::Fnstsw);
        let conditions = [
            (Self::PLAIN, is_plain(operation)),
            (Self::X87, is_x87(operation) || matches!(operation, O::Emms | O::Wait)),
            (Self::X87_DATA, is_x87(operation) && !control),
            (Self::MODRM, row.has_modrm()),
            (Self::FLAGS, flags.written.union(flags.undefined).contains(Eflags::STATUS)),
        ];
        let own = conditions.into_iter().filter(|(_, holds)| *holds).map(|(traits, _)| traits);
        own.chain(row.operands().iter().map(|code| Self::of_operand(*code))).collect()
    }

    /// What an operand says.
    const fn of_operand(code: OperandCode) -> Self {
        use OperandCode as C;
        match code {
            C::Mm | C::MmRm | C::MmM32 | C::MmM64 => Self::MMX,
            C::Rv | C::R16 | C::R32 => Self::GENERAL_REG,
            C::Rmv | C::Rm16 | C::Rm32 | C::RvM16 | C::R32M8 | C::R32M16 | C::RmR32 => Self::GENERAL_RM,
            C::Opv => Self::GENERAL_OPCODE,
            C::Rm8 | C::R8 | C::Op8 => Self::BYTES,
            C::Sreg | C::Cr | C::Dr | C::Es | C::Cs | C::Ss | C::Ds | C::Fs | C::Gs => Self::SYSTEM,
            C::Imm8 | C::Imm8s | C::Imm8b | C::Imm16 | C::Immz => Self::IMMEDIATE,
            C::Moffs8 | C::Moffsv | C::EsDi8 | C::EsDiv | C::SegSi8 | C::SegSiv | C::XlatM8 => {
                Self::IMPLIED_MEMORY
            }
            C::M80 => Self::TEN_BYTES,
            _ => Self::empty(),
        }
    }
}

/// The traits of every row.
#[derive(Clone, Copy)]
pub(crate) struct Table(&'static [Traits]);

impl Table {
    /// The table, made once for the process.
    pub(crate) fn new() -> Self {
        static TABLE: LazyLock<Vec<Traits>> = LazyLock::new(|| rows().iter().map(Traits::of_row).collect());
        Self(&TABLE)
    }

    /// Those of an instruction.
    pub(super) fn of(self, instruction: &Instruction) -> Traits {
        self.0.get(instruction.row_index()).copied().unwrap_or(Traits::empty())
    }
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
const fn is_x87(operation: Operation) -> bool {
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
