//! What happens without the syntax saying so: accumulators, counters, the stack, ST(0).

use pentimento_registers::{Gpr, Gpr8, SegmentRegister};

use super::{Effects, Usage};
use crate::{AddressSize, Instruction, MemoryOperand, Operand, OperandSize, Operation, Register};

const R: Usage = Usage::READ;
const W: Usage = Usage::WRITE;
const RW: Usage = Usage::UPDATE;
const MAY_R: Usage = Usage::MAY_READ;
const MAY_W: Usage = Usage::MAY_WRITE;
const MAY_RW: Usage = Usage::MAY_UPDATE;

impl Instruction {
    /// Adds what is implied.
    pub(super) fn implied_effects(&self, effects: &mut Effects) {
        self.arithmetic_effects(effects);
        self.stack_effects(effects);
        self.string_effects(effects);
        self.system_effects(effects);
        self.x87_effects(effects);
        self.vector_effects(effects);
    }

    /// A general register of the operand size.
    fn sized(&self, effects: &mut Effects, register: Gpr, usage: Usage) {
        match self.operand_size() {
            OperandSize::Word => effects.gpr16(register, usage),
            OperandSize::Dword => effects.gpr32(register, usage),
        }
    }

    /// Bytes of the first explicit operand, 0 where it has no size.
    fn first_bytes(&self) -> u16 {
        match self.operand(0) {
            Some(Operand::Register(register)) => register.bytes().into(),
            Some(Operand::Memory(memory)) => memory.size,
            _ => 0,
        }
    }

    fn arithmetic_effects(&self, effects: &mut Effects) {
        use Operation as O;
        let byte = self.first_bytes() == 1;
        match self.operation() {
            O::Mul | O::Imul if self.operand_count() == 1 => {
                if byte {
                    effects.gpr8(Gpr8::Al, R);
                    return effects.gpr16(Gpr::Eax, W);
                }
                self.sized(effects, Gpr::Eax, RW);
                self.sized(effects, Gpr::Edx, W);
            }
            O::Div | O::Idiv if byte => effects.gpr16(Gpr::Eax, RW),
            O::Div | O::Idiv => {
                self.sized(effects, Gpr::Eax, RW);
                self.sized(effects, Gpr::Edx, RW);
            }
            O::Cbw => {
                effects.gpr8(Gpr8::Al, R);
                effects.gpr8(Gpr8::Ah, W);
            }
            O::Cwde => {
                effects.gpr16(Gpr::Eax, R);
                effects.gpr32(Gpr::Eax, W);
            }
            O::Cwd | O::Cdq => {
                self.sized(effects, Gpr::Eax, R);
                self.sized(effects, Gpr::Edx, W);
            }
            O::Cmpxchg if byte => effects.gpr8(Gpr8::Al, MAY_RW),
            O::Cmpxchg => self.sized(effects, Gpr::Eax, MAY_RW),
            O::Cmpxchg8b => {
                for (register, usage) in
                    [(Gpr::Eax, MAY_RW), (Gpr::Edx, MAY_RW), (Gpr::Ecx, MAY_R), (Gpr::Ebx, MAY_R)]
                {
                    effects.gpr32(register, usage);
                }
            }
            O::Daa | O::Das => effects.gpr8(Gpr8::Al, RW),
            O::Aaa | O::Aas | O::Aad => effects.gpr16(Gpr::Eax, RW),
            O::Aam => {
                effects.gpr8(Gpr8::Al, R);
                effects.gpr16(Gpr::Eax, W);
            }
            O::Salc => effects.gpr8(Gpr8::Al, W),
            O::Xlat => effects.gpr8(Gpr8::Al, RW),
            O::Lahf => effects.gpr8(Gpr8::Ah, W),
            O::Sahf => effects.gpr8(Gpr8::Ah, R),
            O::Jecxz => effects.address_register(Gpr::Ecx, self.address_size(), R),
            O::Loop | O::Loope | O::Loopne => {
                effects.address_register(Gpr::Ecx, self.address_size(), RW);
            }
            O::Lds => effects.register(Register::Segment(SegmentRegister::Ds), W),
            O::Les => effects.register(Register::Segment(SegmentRegister::Es), W),
            O::Lfs => effects.register(Register::Segment(SegmentRegister::Fs), W),
            O::Lgs => effects.register(Register::Segment(SegmentRegister::Gs), W),
            O::Lss => effects.register(Register::Segment(SegmentRegister::Ss), W),
            O::JmpFar => effects.register(Register::Segment(SegmentRegister::Cs), W),
            _ => {}
        }
    }

    fn stack_effects(&self, effects: &mut Effects) {
        use Operation as O;
        let bytes = self.stack_bytes();
        let code = Register::Segment(SegmentRegister::Cs);
        match self.operation() {
            O::Push | O::Pushf => push(effects, bytes),
            O::Pop | O::Popf => pop(effects, bytes),
            O::Call => push(effects, bytes),
            O::CallFar => {
                push(effects, 2 * bytes);
                effects.register(code, RW);
            }
            O::Ret => pop(effects, bytes),
            O::RetFar => {
                pop(effects, 2 * bytes);
                effects.register(code, W);
            }
            O::Iret => {
                pop(effects, 3 * bytes);
                effects.register(code, W);
            }
            O::Pusha => {
                push(effects, 8 * bytes);
                for register in Gpr::ALL {
                    self.sized(effects, register, R);
                }
            }
            O::Popa => {
                // What is in the place of ESP is not loaded.
                effects.stack(Gpr::Esp, 0, 3 * bytes, R);
                effects.stack(Gpr::Esp, 4 * i32::from(bytes), 4 * bytes, R);
                effects.gpr32(Gpr::Esp, W);
                for register in Gpr::ALL.into_iter().filter(|register| *register != Gpr::Esp) {
                    self.sized(effects, register, W);
                }
            }
            O::Enter => self.enter(effects, bytes),
            O::Leave => {
                effects.stack(Gpr::Ebp, 0, bytes, R);
                effects.gpr32(Gpr::Esp, W);
                self.sized(effects, Gpr::Ebp, W);
            }
            _ => {}
        }
    }

    /// ENTER saves EBP and copies frame pointers of the level above, as many as its second operand says.
    fn enter(&self, effects: &mut Effects, bytes: u16) {
        let level = match self.operand(1) {
            Some(Operand::Immediate { value, .. }) => (value & 31) as u16,
            _ => 0,
        };
        effects.gpr32(Gpr::Esp, RW);
        self.sized(effects, Gpr::Ebp, RW);
        let copied = level.saturating_sub(1) * bytes;
        if copied > 0 {
            effects.stack(Gpr::Ebp, -i32::from(copied), copied, R);
        }
        let pushed = bytes + if level > 0 { copied + bytes } else { 0 };
        effects.stack(Gpr::Esp, -i32::from(pushed), pushed, W);
    }

    fn string_effects(&self, effects: &mut Effects) {
        use Operation as O;
        let (source, destination) = match self.operation() {
            O::Movs | O::Cmps => (true, true),
            O::Lods | O::Outs => (true, false),
            O::Stos | O::Scas | O::Ins => (false, true),
            _ => return,
        };
        let usage = if self.is_repeated() { MAY_RW } else { RW };
        if self.is_repeated() {
            effects.address_register(Gpr::Ecx, self.address_size(), MAY_RW);
        }
        for (used, register) in [(source, Gpr::Esi), (destination, Gpr::Edi)] {
            if used {
                effects.address_register(register, self.address_size(), usage);
            }
        }
    }

    fn system_effects(&self, effects: &mut Effects) {
        use Gpr::{Eax, Ebx, Ecx, Edx};
        use Operation as O;
        let registers: &[(Gpr, Usage)] = match self.operation() {
            O::Cpuid => &[(Eax, RW), (Ecx, RW), (Edx, W), (Ebx, W)],
            O::Rdtsc => &[(Eax, W), (Edx, W)],
            O::Rdtscp => &[(Eax, W), (Edx, W), (Ecx, W)],
            O::Rdpmc | O::Rdmsr | O::Xgetbv => &[(Ecx, R), (Eax, W), (Edx, W)],
            O::Wrmsr | O::Xsetbv => &[(Ecx, R), (Eax, R), (Edx, R)],
            O::Xsave | O::Xsavec | O::Xsaves | O::Xsaveopt | O::Xrstor | O::Xrstors => &[(Eax, R), (Edx, R)],
            O::Monitor | O::Monitorx => &[(Ecx, R), (Edx, R)],
            O::Mwait => &[(Eax, R), (Ecx, R)],
            O::Mwaitx => &[(Eax, R), (Ecx, R), (Ebx, MAY_R)],
            O::Rdpkru => &[(Ecx, R), (Eax, W), (Edx, W)],
            O::Wrpkru => &[(Eax, R), (Ecx, R), (Edx, R)],
            O::Sysexit => &[(Ecx, R), (Edx, R), (Gpr::Esp, W)],
            O::Sysenter => &[(Gpr::Esp, W)],
            O::Syscall => &[(Ecx, W)],
            O::Sysret => &[(Ecx, R)],
            O::Xbegin => &[(Eax, MAY_W)],
            O::Encls | O::Enclu => &[(Eax, RW), (Ebx, MAY_RW), (Ecx, MAY_RW), (Edx, MAY_RW)],
            O::Pconfig => &[(Eax, RW), (Ebx, MAY_R), (Ecx, MAY_R), (Edx, MAY_R)],
            O::Getsec => &[(Eax, MAY_RW), (Ebx, MAY_RW), (Ecx, MAY_RW), (Edx, MAY_RW)],
            O::Vmfunc => &[(Eax, R), (Ecx, R)],
            O::Vmrun | O::Vmload | O::Vmsave | O::Skinit => &[(Eax, R)],
            O::Invlpga => &[(Eax, R), (Ecx, R)],
            _ => &[],
        };
        for (register, usage) in registers {
            effects.gpr32(*register, *usage);
        }
        match self.operation() {
            O::Syscall | O::Sysenter | O::Sysexit | O::Sysret => {
                effects.register(Register::Segment(SegmentRegister::Cs), W);
                effects.register(Register::Segment(SegmentRegister::Ss), W);
            }
            O::Clts | O::Lmsw => effects.register(Register::Control(0), RW),
            O::Smsw => effects.register(Register::Control(0), R),
            O::Monitor | O::Monitorx => {
                effects.register(Register::Segment(self.segment()), R);
                effects.address_register(Eax, self.address_size(), R);
            }
            _ => {}
        }
    }

    /// ST(0) and what is behind it, where the operands do not name them.
    fn x87_effects(&self, effects: &mut Effects) {
        use Operation as O;
        let st = |effects: &mut Effects, number, usage| effects.register(Register::St(number), usage);
        match self.operation() {
            O::Fadd | O::Fsub | O::Fsubr | O::Fmul | O::Fdiv | O::Fdivr if self.operand_count() == 1 => {
                st(effects, 0, RW);
            }
            O::Fiadd | O::Fisub | O::Fisubr | O::Fimul | O::Fidiv | O::Fidivr => st(effects, 0, RW),
            O::Fabs | O::Fchs | O::Frndint | O::Fsqrt | O::F2xm1 => st(effects, 0, RW),
            // Out of range they leave it as it is.
            O::Fsin | O::Fcos => st(effects, 0, MAY_RW),
            O::Fcom | O::Fcomp if self.operand_count() == 1 => st(effects, 0, R),
            O::Ficom | O::Ficomp | O::Ftst | O::Fxam => st(effects, 0, R),
            O::Fst | O::Fstp | O::Fist | O::Fistp | O::Fisttp | O::Fbstp => st(effects, 0, R),
            O::Fcompp | O::Fucompp => {
                st(effects, 0, R);
                st(effects, 1, R);
            }
            O::Fucom | O::Fucomp if self.operand_count() == 1 => st(effects, 0, R),
            O::Fscale | O::Fprem | O::Fprem1 => {
                st(effects, 0, RW);
                st(effects, 1, R);
            }
            O::Fpatan | O::Fyl2x | O::Fyl2xp1 => {
                st(effects, 0, R);
                st(effects, 1, RW);
            }
            // The old ST(0), and the register above it, which becomes the new one.
            O::Fxtract => {
                st(effects, 0, RW);
                st(effects, 7, W);
            }
            O::Fsincos | O::Fptan => {
                st(effects, 0, MAY_RW);
                st(effects, 7, MAY_W);
            }
            O::Fld | O::Fild | O::Fbld => st(effects, 7, W),
            O::Fld1 | O::Fldz | O::Fldpi | O::Fldl2e | O::Fldln2 | O::Fldl2t | O::Fldlg2 => {
                st(effects, 7, W);
            }
            O::Fnsave | O::Fxsave => (0..8).for_each(|number| st(effects, number, R)),
            O::Frstor | O::Fxrstor => (0..8).for_each(|number| st(effects, number, W)),
            O::Xsave | O::Xsavec | O::Xsaves | O::Xsaveopt => {
                (0..8).for_each(|number| st(effects, number, MAY_R));
            }
            O::Xrstor | O::Xrstors => (0..8).for_each(|number| st(effects, number, MAY_W)),
            _ => {}
        }
    }

    fn vector_effects(&self, effects: &mut Effects) {
        use Operation as O;
        let all = |effects: &mut Effects, usage| {
            (0..8).for_each(|number| effects.register(Register::Xmm(number), usage));
        };
        match self.operation() {
            O::Blendvps | O::Blendvpd | O::Pblendvb | O::Sha256rnds2 => effects.register(Register::Xmm(0), R),
            O::Pcmpestri | O::Pcmpestrm => {
                effects.gpr32(Gpr::Eax, R);
                effects.gpr32(Gpr::Edx, R);
            }
            _ => {}
        }
        match self.operation() {
            O::Pcmpestri | O::Pcmpistri => effects.gpr32(Gpr::Ecx, W),
            O::Pcmpestrm | O::Pcmpistrm => effects.register(Register::Xmm(0), W),
            O::Fxsave => all(effects, R),
            O::Fxrstor => all(effects, W),
            O::Xsave | O::Xsavec | O::Xsaves | O::Xsaveopt => all(effects, MAY_R),
            O::Xrstor | O::Xrstors => all(effects, MAY_W),
            O::Movdir64b => {
                if let Some(Operand::Register(Register::Gpr32(base) | Register::Gpr16(base))) =
                    self.operand(0)
                {
                    let address = MemoryOperand {
                        segment: SegmentRegister::Es,
                        base: Some(base),
                        index: None,
                        scale: 1,
                        displacement: 0,
                        address_size: self.address_size(),
                        size: 64,
                    };
                    effects.access(address, Some(64), W);
                }
            }
            O::Clzero => {
                let address = MemoryOperand {
                    segment: self.segment(),
                    base: Some(Gpr::Eax),
                    index: None,
                    scale: 1,
                    displacement: 0,
                    address_size: AddressSize::Dword,
                    size: 64,
                };
                effects.access(MemoryOperand { address_size: self.address_size(), ..address }, None, W);
            }
            _ => {}
        }
    }
}

/// `bytes` go onto the stack.
fn push(effects: &mut Effects, bytes: u16) {
    effects.gpr32(Gpr::Esp, RW);
    effects.stack(Gpr::Esp, -i32::from(bytes), bytes, W);
}

/// `bytes` come off the stack.
fn pop(effects: &mut Effects, bytes: u16) {
    effects.gpr32(Gpr::Esp, RW);
    effects.stack(Gpr::Esp, 0, bytes, R);
}
