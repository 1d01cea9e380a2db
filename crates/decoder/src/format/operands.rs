//! Operands.

use core::fmt;

use pentimento_registers::SegmentRegister;

use super::Line;
use super::mnemonic::is_string;
use crate::{
    AddressSize, Instruction, MemoryOperand, Operand, OperandCode as C, OperandSize, Operation as O,
    Prefixes, Register,
};

impl Line<'_, '_> {
    /// The operands, led by a space.
    pub(super) fn operands(&mut self) -> fmt::Result {
        let instruction = *self.instruction;
        let codes = instruction.row().operands();
        let mut separator = Separator { spaced: self.formatter.options.spaced, first: true };
        for name in implied(&instruction) {
            separator.write(self.out)?;
            self.out.write_str(name)?;
        }
        if codes.is_empty() || self.drops_stack_operands() {
            return Ok(());
        }
        if pushes_st0(&instruction) {
            separator.write(self.out)?;
            self.out.write_str("st")?;
        }
        for (index, code) in codes.iter().enumerate() {
            if self.hides(index, *code) {
                continue;
            }
            separator.write(self.out)?;
            if let Some(operand) = instruction.operand(index) {
                self.operand(operand, *code)?;
            }
        }
        if pops_st0(&instruction) {
            separator.write(self.out)?;
            self.out.write_str("st")?;
        }
        if matches!(instruction.operation(), O::Maskmovq | O::Maskmovdqu) && shows_segment(&instruction) {
            separator.write(self.out)?;
            self.out.write_str(instruction.segment().name())?;
        }
        Ok(())
    }

    /// Whether operand `index` goes without saying.
    fn hides(&self, index: usize, code: C) -> bool {
        let instruction = self.instruction;
        match instruction.operation() {
            O::Stos | O::Lods | O::Scas => matches!(code, C::Al | C::Eaxv),
            O::Maskmovq | O::Maskmovdqu => index == 0,
            O::Imul if index == 1 && self.formatter.options.pseudo_operations => {
                instruction.operand_count() == 3 && instruction.operand(0) == instruction.operand(1)
            }
            _ => code == C::Imm8 && index == 2 && self.drops_immediate(),
        }
    }

    /// Whether both operands are the default ST and ST(1).
    fn drops_stack_operands(&self) -> bool {
        let (instruction, first) = (self.instruction, Some(Operand::Register(Register::St(1))));
        self.formatter.options.pseudo_operations
            && matches!(
                instruction.operation(),
                O::Fcom
                    | O::Fcomp
                    | O::Fxch
                    | O::Fucom
                    | O::Fucomp
                    | O::Faddp
                    | O::Fmulp
                    | O::Fsubp
                    | O::Fsubrp
                    | O::Fdivp
                    | O::Fdivrp
            )
            && (instruction.operand(0) == first || instruction.operand(1) == first)
    }

    fn operand(&mut self, operand: Operand, code: C) -> fmt::Result {
        match operand {
            Operand::Register(register) => self.register(register, code),
            Operand::Memory(memory) => self.memory(&memory, code),
            Operand::Immediate { value, .. } => self.number(value),
            Operand::Relative(displacement) => self.target(displacement, code),
            Operand::Far { selector, offset } => {
                let digits = if self.instruction.operand_size() == OperandSize::Word { 4 } else { 8 };
                self.address(offset, digits)?;
                self.out.write_str(if self.formatter.options.spaced { ", " } else { "," })?;
                self.address(u32::from(selector), 4)
            }
        }
    }

    fn register(&mut self, register: Register, code: C) -> fmt::Result {
        match register {
            Register::Gpr8(register) => self.out.write_str(register.name()),
            Register::Gpr16(register) => self.out.write_str(register.name16()),
            // Where only 16 bits are read, the register is called by its 16-bit name.
            Register::Gpr32(register) if code == C::RvM16 && reads_word(self.instruction) => {
                self.out.write_str(register.name16())
            }
            Register::Gpr32(register) => self.out.write_str(register.name()),
            Register::Segment(register) => self.out.write_str(register.name()),
            Register::Control(number) => write!(self.out, "cr{number}"),
            Register::Debug(number) => write!(self.out, "dr{number}"),
            Register::St(0) if code == C::St0 => self.out.write_str("st"),
            Register::St(number) => write!(self.out, "st({number})"),
            Register::Mmx(number) => write!(self.out, "mm{number}"),
            Register::Xmm(number) => write!(self.out, "xmm{number}"),
        }
    }

    /// A branch target.
    fn target(&mut self, displacement: i32, code: C) -> fmt::Result {
        let instruction = self.instruction;
        if code == C::Rel8 && matches!(instruction.operation(), O::Jmp | O::Jcc) {
            self.out.write_str("short ")?;
        }
        let target = instruction.branch_target(self.eip, displacement);
        if self.symbol(target)? {
            return Ok(());
        }
        self.address(target, if instruction.operand_size() == OperandSize::Word { 4 } else { 8 })
    }

    fn memory(&mut self, memory: &MemoryOperand, code: C) -> fmt::Result {
        let instruction = *self.instruction;
        if let Some(size) = size(&instruction, code) {
            self.out.write_str(size)?;
            self.out.write_str(" ptr ")?;
        }
        if shows_segment(&instruction) {
            self.out.write_str(memory.segment.name())?;
            self.out.write_char(':')?;
        }
        self.out.write_char('[')?;
        let word = memory.address_size == AddressSize::Word;
        if let Some(base) = memory.base {
            self.out.write_str(if word { base.name16() } else { base.name() })?;
        }
        if let Some(index) = memory.index {
            if memory.base.is_some() {
                self.out.write_char('+')?;
            }
            self.out.write_str(if word { index.name16() } else { index.name() })?;
            if memory.base.is_none() || memory.scale > 1 {
                write!(self.out, "*{}", memory.scale)?;
            }
        }
        self.displacement(memory, word)?;
        self.out.write_char(']')
    }

    fn displacement(&mut self, memory: &MemoryOperand, word: bool) -> fmt::Result {
        let relative = memory.base.is_some() || memory.index.is_some();
        let absolute = if word { memory.displacement & 0xffff } else { memory.displacement };
        if !relative {
            return if self.symbol(absolute)? { Ok(()) } else { self.number(absolute) };
        }
        if absolute == 0 {
            return Ok(());
        }
        let negative = (memory.displacement as i32) < 0;
        self.out.write_char(if negative { '-' } else { '+' })?;
        self.number((memory.displacement as i32).unsigned_abs())
    }
}

/// What comes before an operand: a space, then commas.
struct Separator {
    spaced: bool,
    first: bool,
}

impl Separator {
    fn write(&mut self, out: &mut dyn fmt::Write) -> fmt::Result {
        let text = match (self.first, self.spaced) {
            (true, _) => " ",
            (false, true) => ", ",
            (false, false) => ",",
        };
        self.first = false;
        out.write_str(text)
    }
}

/// Registers that belong to the syntax of instructions without operands of their own.
fn implied(instruction: &Instruction) -> &'static [&'static str] {
    let word = instruction.address_size() == AddressSize::Word;
    match instruction.operation() {
        O::Vmrun | O::Vmload | O::Vmsave | O::Clzero if word => &["ax"],
        O::Vmrun | O::Vmload | O::Vmsave | O::Clzero | O::Skinit => &["eax"],
        O::Invlpga if word => &["ax", "ecx"],
        O::Invlpga => &["eax", "ecx"],
        // 66h 90h exchanges AX with itself.
        O::Nop if instruction.opcode() == 0x90 && instruction.operand_size() == OperandSize::Word => {
            &["ax", "ax"]
        }
        _ => &[],
    }
}

/// Whether ST goes before the operand: x87 instructions that load or compute with memory.
fn pushes_st0(instruction: &Instruction) -> bool {
    use O::{
        Fadd, Fbld, Fcom, Fcomp, Fdiv, Fdivr, Fiadd, Ficom, Ficomp, Fidiv, Fidivr, Fild, Fimul, Fisub,
        Fisubr, Fld, Fmul, Fsub, Fsubr,
    };
    instruction.operand_count() == 1
        && matches!(
            instruction.operation(),
            Fadd | Fbld
                | Fcom
                | Fcomp
                | Fdiv
                | Fdivr
                | Fiadd
                | Ficom
                | Ficomp
                | Fidiv
                | Fidivr
                | Fild
                | Fimul
                | Fisub
                | Fisubr
                | Fld
                | Fmul
                | Fsub
                | Fsubr
        )
}

/// Whether ST goes after the operand: x87 stores.
fn pops_st0(instruction: &Instruction) -> bool {
    matches!(instruction.operation(), O::Fst | O::Fstp | O::Fist | O::Fistp | O::Fisttp | O::Fbstp)
}

/// Whether a 32-bit register operand is read as 16 bits.
fn reads_word(instruction: &Instruction) -> bool {
    match instruction.operation() {
        O::Lldt | O::Ltr | O::Verr | O::Verw | O::Lmsw => true,
        O::Mov => instruction.opcode() == 0x8e,
        _ => false,
    }
}

/// Whether memory operands name their segment: an override that changes something.
fn shows_segment(instruction: &Instruction) -> bool {
    if !instruction.prefixes().contains(Prefixes::SEGMENT) || instruction.operation() == O::Lea {
        return false;
    }
    let default = match instruction.memory() {
        Some(memory) if !is_string(instruction.operation()) => memory.default_segment(),
        _ => SegmentRegister::Ds,
    };
    instruction.segment() != default
}

/// The size of a memory operand, where no register operand tells it.
fn size(instruction: &Instruction, code: C) -> Option<&'static str> {
    let word = instruction.operand_size() == OperandSize::Word;
    let wide = if word { "word" } else { "dword" };
    let told = instruction
        .row()
        .operands()
        .iter()
        .any(|code| matches!(code, C::R8 | C::Rv | C::R16 | C::R32 | C::Mm | C::Xmm));
    match (instruction.operation(), code) {
        (O::Movzx | O::Movsx | O::Crc32, C::Rm8) => Some("byte"),
        (O::Movzx | O::Movsx, C::Rm16) => Some("word"),
        (O::Crc32, C::Rmv) => Some(wide),
        (O::Cvtsi2ss | O::Cvtsi2sd, _) => Some("dword"),
        (O::Bound, _) => Some(if word { "dword" } else { "qword" }),
        (O::JmpFar | O::CallFar, _) => Some(if word { "dword" } else { "fword" }),
        (O::Nop | O::Setcc, _) => None,
        (O::Fldenv | O::Fnstenv, _) => word.then_some("fpuenv14"),
        (O::Frstor | O::Fnsave, _) => word.then_some("fpustate94"),
        (O::Fldcw | O::Fnstcw | O::Fnstsw | O::Ldmxcsr | O::Stmxcsr, _) => None,
        (_, C::Rm8) if !told => Some("byte"),
        (_, C::Rmv) if !told => Some(wide),
        (_, C::M80) => Some("tbyte"),
        (operation, C::M16 | C::M32 | C::M64) if is_x87(operation) => Some(match code {
            C::M16 => "word",
            C::M32 => "dword",
            _ => "qword",
        }),
        _ => None,
    }
}

/// Whether it is an x87 instruction with an operand in memory.
fn is_x87(operation: O) -> bool {
    (O::Fld..=O::Fdivrp).contains(&operation) || (O::Fidivr..=O::Ficomp).contains(&operation)
}
