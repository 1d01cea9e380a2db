//! What happens to the operands that the syntax names.

use super::{Effects, Usage};
use crate::{Instruction, Operand, OperandCode, OperandSize, Operation, Prefixes, Register};

impl Instruction {
    /// Adds what happens to explicit operands.
    pub(super) fn explicit_effects(&self, effects: &mut Effects) {
        for (index, operand) in self.operands().enumerate() {
            let usage = self.operand_usage(index);
            match operand {
                Operand::Register(register @ Register::Xmm(_)) => {
                    let (first, bytes) = self.lanes(index);
                    effects.part(register, first, bytes, usage);
                }
                Operand::Register(register) => {
                    effects.part(register, 0, self.bytes_used(index, register, usage), usage);
                }
                Operand::Memory(memory) => self.memory_operand(effects, memory, usage),
                Operand::Immediate { .. } | Operand::Relative(_) | Operand::Far { .. } => {}
            }
        }
    }

    /// Bytes of a general register that count, from the lowest on.
    fn bytes_used(&self, index: usize, register: Register, usage: Usage) -> u8 {
        use OperandCode as C;
        match self.row().operands().get(index) {
            Some(C::RvM16 | C::R32M16) if usage == Usage::READ => 2,
            Some(C::R32M8) if usage == Usage::READ && self.operation() != Operation::Crc32 => 1,
            _ => register.bytes(),
        }
    }

    fn memory_operand(&self, effects: &mut Effects, mut memory: crate::MemoryOperand, usage: Usage) {
        use Operation as O;
        match self.operation() {
            // The address itself is what it is about.
            O::Lea => {
                let bytes = if self.operand_size() == OperandSize::Word { 2 } else { 4 };
                return effects.address_part(&memory, bytes);
            }
            O::Nop | O::Ud0 | O::Ud1 => return,
            O::Prefetchnta
            | O::Prefetcht0
            | O::Prefetcht1
            | O::Prefetcht2
            | O::Prefetchw
            | O::Prefetch
            | O::Prefetchwt1
            | O::Invlpg => {
                effects.register(Register::Segment(memory.segment), Usage::READ);
                return effects.address(&memory);
            }
            // POP counts ESP before it makes the address.
            O::Pop if memory.base == Some(pentimento_registers::Gpr::Esp) => {
                memory.displacement = memory.displacement.wrapping_add(self.stack_bytes().into());
            }
            O::Xlat => effects.gpr8(pentimento_registers::Gpr8::Al, Usage::READ),
            _ => {}
        }
        let usage = if self.is_repeated() { usage | Usage::CONDITIONAL } else { usage };
        // Without a size it is XSAVE's, or depends on a count.
        let bytes = (memory.size != 0 && !self.is_repeated()).then_some(memory.size);
        effects.access(memory, bytes, usage);
    }

    /// Whether it is a string instruction with a count in ECX.
    pub(super) fn is_repeated(&self) -> bool {
        use Operation as O;
        self.prefixes().intersects(Prefixes::REP.union(Prefixes::REPNE))
            && matches!(self.operation(), O::Movs | O::Cmps | O::Scas | O::Lods | O::Stos | O::Ins | O::Outs)
    }

    /// What happens to explicit operand `index`.
    fn operand_usage(&self, index: usize) -> Usage {
        use Operation as O;
        let repeated = self.is_repeated();
        match (self.operation(), index) {
            (_, 0 | 1) if self.ignores_operands() => {
                if index == 0 {
                    Usage::WRITE
                } else {
                    Usage::empty()
                }
            }
            (O::Xchg | O::Xadd | O::Fxch, _) => Usage::UPDATE,
            (O::Cmpxchg, 1) => Usage::MAY_READ,
            (O::Ud0 | O::Ud1, _) => Usage::empty(),
            (
                O::Fcmovb
                | O::Fcmove
                | O::Fcmovbe
                | O::Fcmovu
                | O::Fcmovnb
                | O::Fcmovne
                | O::Fcmovnbe
                | O::Fcmovnu,
                1,
            ) => Usage::MAY_READ,
            // The port of INS, and what OUTS and STOS store.
            (O::Ins | O::Outs, _) if self.operand_is_register(index) => {
                if repeated {
                    Usage::MAY_READ
                } else {
                    Usage::READ
                }
            }
            (O::Lods, 0) | (O::Stos, 1) | (O::Scas, 0) if repeated => {
                let usage = if self.operation() == O::Lods { Usage::WRITE } else { Usage::READ };
                usage | Usage::CONDITIONAL
            }
            (_, 0) => self.first_usage(),
            _ => Usage::READ,
        }
    }

    fn operand_is_register(&self, index: usize) -> bool {
        matches!(self.operand(index), Some(Operand::Register(_)))
    }

    /// What happens to the first explicit operand.
    fn first_usage(&self) -> Usage {
        use Operation as O;
        let operation = self.operation();
        let to_memory = !self.operand_is_register(0);
        match operation {
            O::Imul if self.operand_count() == 3 => Usage::WRITE,
            O::Imul if self.operand_count() == 1 => Usage::READ,
            // A load into part of a register, and a store of part of one.
            O::Movss | O::Movsd | O::Movlps | O::Movlpd | O::Movhps | O::Movhpd => Usage::WRITE,
            O::Bsf | O::Bsr | O::Cmovcc | O::Lar | O::Lsl => Usage::MAY_WRITE,
            O::Cmpxchg | O::Cmpxchg8b | O::Arpl => Usage::MAY_UPDATE,
            O::Maskmovq | O::Maskmovdqu => Usage::MAY_WRITE,
            O::Fcmovb
            | O::Fcmove
            | O::Fcmovbe
            | O::Fcmovu
            | O::Fcmovnb
            | O::Fcmovne
            | O::Fcmovnbe
            | O::Fcmovnu => Usage::MAY_WRITE,
            O::Ffree | O::Ffreep | O::Nop | O::Ud0 | O::Ud1 => Usage::empty(),
            O::Movdir64b => Usage::READ,
            // With ST(0), which is then implied.
            O::Fadd | O::Fsub | O::Fsubr | O::Fmul | O::Fdiv | O::Fdivr if to_memory => Usage::READ,
            _ if to_memory && stores(operation) => Usage::WRITE,
            _ if writes(operation) => Usage::WRITE,
            _ if reads(operation) => Usage::READ,
            _ => Usage::UPDATE,
        }
    }
}

/// Operations whose operand in memory is a result, and in a register would be none.
const fn stores(operation: Operation) -> bool {
    use Operation as O;
    matches!(operation, O::Movs | O::Stos | O::Ins | O::Fnsave | O::Fnstenv | O::Fxsave)
}

/// Operations that write their first operand without reading it.
#[rustfmt::skip]
const fn writes(operation: Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::Mov | O::Movzx | O::Movsx | O::Lea | O::Pop | O::Setcc | O::Movbe | O::Movnti | O::Movdiri | O::In | O::Lods
            | O::Lds | O::Les | O::Lfs | O::Lgs | O::Lss | O::Popcnt | O::Tzcnt | O::Lzcnt
            | O::Rdpid | O::Rdrand | O::Rdseed | O::Rdfsbase | O::Rdgsbase
            | O::Sgdt | O::Sidt | O::Sldt | O::Str | O::Smsw | O::Vmptrst | O::Vmread
            | O::Fst | O::Fstp | O::Fist | O::Fistp | O::Fisttp | O::Fbstp | O::Fnstcw | O::Fnstenv | O::Fnsave
            | O::Fnstsw | O::Fxsave | O::Xsavec | O::Xsaves | O::Stmxcsr
            | O::Movd | O::Movq | O::Movntq | O::Movntdq | O::Movntdqa | O::Movq2dq | O::Movdq2q | O::Movdqa | O::Movdqu
            | O::Lddqu | O::Movaps | O::Movups | O::Movapd | O::Movupd | O::Movntps | O::Movntpd | O::Movntss
            | O::Movntsd | O::Movhlps | O::Movlhps | O::Movshdup | O::Movsldup | O::Movddup | O::Movmskps | O::Movmskpd
            | O::Pmovmskb | O::Pextrb | O::Pextrw | O::Pextrd | O::Extractps
            | O::Pabsb | O::Pabsw | O::Pabsd | O::Pshufw | O::Pshufd | O::Pshufhw | O::Pshuflw | O::Phminposuw
            | O::Sqrtps | O::Sqrtpd | O::Sqrtss | O::Sqrtsd | O::Rcpps | O::Rcpss | O::Rsqrtps | O::Rsqrtss
            | O::Roundps | O::Roundpd | O::Roundss | O::Roundsd
            | O::Cvtpi2ps | O::Cvtpi2pd | O::Cvtsi2ss | O::Cvtsi2sd | O::Cvtps2pi | O::Cvtpd2pi | O::Cvttps2pi
            | O::Cvttpd2pi | O::Cvtss2si | O::Cvtsd2si | O::Cvttss2si | O::Cvttsd2si | O::Cvtps2pd | O::Cvtpd2ps
            | O::Cvtss2sd | O::Cvtsd2ss | O::Cvtdq2ps | O::Cvtdq2pd | O::Cvtps2dq | O::Cvttps2dq | O::Cvtpd2dq
            | O::Cvttpd2dq
            | O::Pmovsxbw | O::Pmovsxbd | O::Pmovsxbq | O::Pmovsxwd | O::Pmovsxwq | O::Pmovsxdq
            | O::Pmovzxbw | O::Pmovzxbd | O::Pmovzxbq | O::Pmovzxwd | O::Pmovzxwq | O::Pmovzxdq
            | O::Aesimc | O::Aeskeygenassist
    )
}

/// Operations that read their first operand and leave it as it is.
#[rustfmt::skip]
const fn reads(operation: Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::Cmp | O::Test | O::Bt | O::Push | O::Jmp | O::JmpFar | O::Call | O::CallFar | O::Out | O::Outs | O::Cmps
            | O::Scas | O::Mul | O::Div | O::Idiv | O::Bound | O::Xlat
            | O::Lgdt | O::Lidt | O::Lldt | O::Ltr | O::Lmsw | O::Verr | O::Verw | O::Invpcid | O::Invept | O::Invvpid
            | O::Vmptrld | O::Vmclear | O::Vmxon | O::Vmwrite | O::Wrfsbase | O::Wrgsbase | O::Monitor | O::Monitorx
            | O::Clzero | O::Clflush | O::Clflushopt | O::Clwb
            | O::Fld | O::Fild | O::Fbld | O::Fiadd | O::Fisub | O::Fisubr | O::Fimul | O::Fidiv | O::Fidivr
            | O::Fcom | O::Fcomp | O::Fucom | O::Fucomp | O::Ficom | O::Ficomp | O::Fcomi | O::Fcomip | O::Fucomi
            | O::Fucomip | O::Fldcw | O::Fldenv | O::Frstor | O::Fxrstor | O::Xrstor | O::Xrstors | O::Ldmxcsr
            | O::Comiss | O::Comisd | O::Ucomiss | O::Ucomisd | O::Ptest
            | O::Pcmpestri | O::Pcmpestrm | O::Pcmpistri | O::Pcmpistrm
    )
}
