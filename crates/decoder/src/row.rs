//! What a row of the opcode tables says: one row is one encoding of the SDM's instruction pages.

use pentimento_registers::Eflags;

use crate::{OperandCode, Operation};

/// An opcode map (SDM volume 2, appendix A).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Map {
    /// One-byte opcodes.
    OneByte,
    /// Opcodes after 0Fh.
    TwoByte,
    /// Opcodes after 0Fh 38h.
    ThreeByte38,
    /// Opcodes after 0Fh 3Ah.
    ThreeByte3a,
}

impl Map {
    /// All four, in table order.
    pub const ALL: [Self; 4] = [Self::OneByte, Self::TwoByte, Self::ThreeByte38, Self::ThreeByte3a];

    /// The bytes that lead to the map, before the opcode.
    #[must_use]
    pub const fn escape(self) -> &'static [u8] {
        match self {
            Self::OneByte => &[],
            Self::TwoByte => &[0x0f],
            Self::ThreeByte38 => &[0x0f, 0x38],
            Self::ThreeByte3a => &[0x0f, 0x3a],
        }
    }
}

/// Which of 66h, F2h and F3h a row asks for.
///
/// F2h and F3h win over 66h, and the last of F2h and F3h wins over the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MandatoryPrefix {
    /// None is required; those that are there keep their ordinary meaning. A row of the same
    /// opcode that asks for a prefix takes precedence.
    Any,
    /// None of the three may be there (the SDM's NP).
    Np,
    /// Neither F2h nor F3h may be there; 66h is the operand-size prefix.
    NoRepeat,
    /// 66h as the operand-size prefix: the encoding's 16-bit form has another operation.
    OperandSize,
    /// 66h without F2h and F3h.
    P66,
    /// F3h.
    F3,
    /// F2h.
    F2,
}

/// Which ModRM bytes belong to a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Form {
    /// There is no ModRM byte.
    NoModRm,
    /// Register and memory forms; the set bits are the values of the reg field (`/digit`) that belong.
    Any(u8),
    /// Register forms (mod = 3) only, with the same mask of reg fields.
    Register(u8),
    /// Memory forms (mod below 3) only, with the same mask of reg fields.
    Memory(u8),
    /// Just this ModRM byte, with mod = 3.
    Exact(u8),
    /// Any mod, and rm is a register whatever it says: moves to and from control and debug registers.
    ModIgnored(u8),
}

/// What an instruction does to EFLAGS.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlagEffects {
    /// Flags whose old value matters.
    pub read: Eflags,
    /// Flags that receive a defined value.
    pub written: Eflags,
    /// Flags that the SDM leaves undefined afterwards.
    pub undefined: Eflags,
}

/// The CPUID feature, or the group without a feature bit, that an encoding belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Feature {
    /// User-mode instructions that every processor from the 80486 on has.
    Base,
    /// Instructions of the system programmer, privileged or not (SDM volume 3, section 2.8).
    System,
    /// SYSENTER and SYSEXIT.
    Sep,
    /// SYSCALL and SYSRET.
    Syscall,
    /// RDTSC.
    Tsc,
    /// RDTSCP.
    Rdtscp,
    /// RDMSR and WRMSR.
    Msr,
    /// CMPXCHG8B.
    Cx8,
    /// CMOVcc, and with the FPU FCMOVcc and FCOMI.
    Cmov,
    /// 0Fh 1Fh and the other hint NOPs of the Pentium Pro.
    Nopl,
    /// RDPMC.
    Rdpmc,
    /// The x87 unit.
    Fpu,
    /// MMX.
    Mmx,
    /// AMD's additions to MMX, which SSE includes.
    MmxExt,
    /// FXSAVE and FXRSTOR.
    Fxsr,
    /// XSAVE, XRSTOR, XGETBV, XSETBV.
    Xsave,
    /// XSAVEOPT.
    Xsaveopt,
    /// XSAVEC.
    Xsavec,
    /// XSAVES and XRSTORS.
    Xsaves,
    /// SSE.
    Sse,
    /// SSE2.
    Sse2,
    /// SSE3.
    Sse3,
    /// Supplemental SSE3.
    Ssse3,
    /// SSE4.1.
    Sse41,
    /// SSE4.2.
    Sse42,
    /// AMD's SSE4a.
    Sse4a,
    /// CLFLUSH.
    Clflush,
    /// CLFLUSHOPT.
    Clflushopt,
    /// CLWB.
    Clwb,
    /// CLZERO.
    Clzero,
    /// CLDEMOTE.
    Cldemote,
    /// MONITOR and MWAIT.
    Monitor,
    /// MONITORX and MWAITX.
    Monitorx,
    /// POPCNT.
    Popcnt,
    /// LZCNT.
    Lzcnt,
    /// TZCNT.
    Bmi1,
    /// MOVBE.
    Movbe,
    /// AES.
    Aes,
    /// PCLMULQDQ.
    Pclmulqdq,
    /// SHA.
    Sha,
    /// Galois-field instructions.
    Gfni,
    /// ADCX and ADOX.
    Adx,
    /// RDRAND.
    Rdrand,
    /// RDSEED.
    Rdseed,
    /// RDPID.
    Rdpid,
    /// RDFSBASE and its kin (64-bit mode only).
    Fsgsbase,
    /// PREFETCHW and PREFETCH.
    Prefetchw,
    /// PREFETCHWT1.
    Prefetchwt1,
    /// 3DNow!.
    ThreeDNow,
    /// CLAC and STAC.
    Smap,
    /// INVPCID.
    Invpcid,
    /// WBNOINVD.
    Wbnoinvd,
    /// RDPRU.
    Rdpru,
    /// Protection keys.
    Pku,
    /// MOVDIRI.
    Movdiri,
    /// MOVDIR64B.
    Movdir64b,
    /// SERIALIZE.
    Serialize,
    /// CET: shadow stacks.
    CetSs,
    /// CET: indirect branch tracking.
    CetIbt,
    /// Transactional memory.
    Rtm,
    /// VMX.
    Vmx,
    /// SMX.
    Smx,
    /// SVM.
    Svm,
    /// SGX.
    Sgx,
    /// PCONFIG.
    Pconfig,
    /// WAITPKG.
    Waitpkg,
    /// PTWRITE.
    Ptwrite,
    /// ENQCMD.
    Enqcmd,
}

/// One encoding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Row {
    pub(crate) map: Map,
    pub(crate) prefix: MandatoryPrefix,
    pub(crate) opcode: u8,
    pub(crate) span: u8,
    pub(crate) form: Form,
    pub(crate) operation: Operation,
    pub(crate) operands: &'static [OperandCode],
    pub(crate) lock: bool,
    pub(crate) flags: FlagEffects,
    pub(crate) feature: Feature,
}

impl Row {
    /// The opcode map.
    #[must_use]
    pub const fn map(&self) -> Map {
        self.map
    }

    /// The prefix that selects the row.
    #[must_use]
    pub const fn prefix(&self) -> MandatoryPrefix {
        self.prefix
    }

    /// The opcode byte, the lowest one where the row covers several.
    #[must_use]
    pub const fn opcode(&self) -> u8 {
        self.opcode
    }

    /// How many consecutive opcodes the row covers: 8 where the low three bits are a register
    /// (the SDM's `+rd`), 16 where the low four are a condition, else 1. Rows that come later in
    /// the table take single opcodes away (90h is NOP, not XCHG EAX, EAX).
    #[must_use]
    pub const fn opcode_count(&self) -> u8 {
        self.span
    }

    /// Which ModRM bytes belong.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Whether there is a ModRM byte.
    #[must_use]
    pub const fn has_modrm(&self) -> bool {
        !matches!(self.form, Form::NoModRm)
    }

    /// The operation of all instructions with this encoding.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// Its explicit operands in Intel order.
    #[must_use]
    pub const fn operands(&self) -> &'static [OperandCode] {
        self.operands
    }

    /// Whether LOCK is allowed, given that the first operand is in memory.
    #[must_use]
    pub const fn lock_allowed(&self) -> bool {
        self.lock
    }

    /// Its effect on EFLAGS, conditions and shift counts left aside: see
    /// [`Instruction::flags_read`](crate::Instruction::flags_read) and its kin.
    #[must_use]
    pub const fn flags(&self) -> FlagEffects {
        self.flags
    }

    /// The CPUID feature that it needs.
    #[must_use]
    pub const fn feature(&self) -> Feature {
        self.feature
    }
}
