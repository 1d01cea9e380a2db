//! Where the decoder differs from `iced-x86` on purpose.
//!
//! `iced-x86` decodes for every processor at once; here a byte string means what it means to a
//! processor of the x86-64 era that runs 32-bit code. What silicon does was tried on an AMD Zen 4
//! in user mode, where an undefined opcode raises SIGILL and a privileged one SIGSEGV.

use pentimento_decoder::Operation;

use super::Difference;
use super::effect_deviations::EFFECTS;

/// A deliberate difference.
#[derive(Debug)]
pub struct Deviation {
    /// A short name to count by.
    pub name: &'static str,
    /// Why ours is right, for the report.
    pub reason: &'static str,
    /// Whether it explains a difference.
    pub explains: fn(&Difference) -> bool,
}

impl Difference {
    /// `iced-x86`'s name of the encoding starts with one of `prefixes`.
    fn code_starts(&self, prefixes: &[&str]) -> bool {
        let name = format!("{:?}", self.code);
        prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    /// Only `iced-x86` takes it for an instruction.
    fn theirs_only(&self) -> bool {
        self.what == "validity" && self.instruction.is_none()
    }

    pub(super) fn operation(&self) -> Option<Operation> {
        self.instruction.map(|instruction| instruction.operation())
    }
}

/// Where the decoders may differ.
const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "VEX, EVEX, XOP",
        reason: "recognised and reported as such, not decoded",
        explains: |d| d.theirs_only() && d.code_starts(&["VEX_", "EVEX_", "XOP_"]),
    },
    Deviation {
        name: "3DNow!",
        reason: "0Fh 0Fh has been undefined since AMD dropped 3DNow!; silicon: #UD",
        explains: |d| d.theirs_only() && d.code_starts(&["D3NOW_"]),
    },
    Deviation {
        name: "VIA",
        reason: "PadLock opcodes exist on VIA processors only; silicon: #UD",
        explains: |d| {
            d.theirs_only() && d.code_starts(&["Xstore", "Xcrypt", "Xsha", "Montmul", "Ccs_", "Via_"])
        },
    },
    Deviation {
        name: "beyond the tables",
        reason: "Key Locker, CET shadow stacks, WAITPKG, PTWRITE, ENQCMD, RAO-INT, HRESET, RDPRU, MCOMMIT, \
                 SERIALIZE and their like: no CPU model has them; undefined without their CPUID bit",
        explains: |d| d.theirs_only() && d.code_starts(BEYOND),
    },
    Deviation {
        name: "0F 0D register",
        reason: "PREFETCH with a register operand; silicon: #UD",
        explains: |d| {
            d.theirs_only() && d.code_starts(&["Reservednop_rm16_r16_0F0D", "Reservednop_rm32_r32_0F0D"])
        },
    },
    Deviation {
        name: "hint NOP",
        reason: "0Fh 18h to 1Fh that no extension took is NOP r/m to silicon, whatever the reg field says",
        explains: |d| {
            d.operation() == Some(Operation::Nop)
                && d.code_starts(&["Reservednop_", "Cldemote", "Prefetchit", "Rdssp"])
        },
    },
    Deviation {
        name: "0F 0D /3 to /7",
        reason: "reserved prefetch hints behave as PREFETCH (AMD manual, volume 3)",
        explains: |d| d.operation() == Some(Operation::Prefetch) && d.code_starts(&["Prefetchreserved"]),
    },
    Deviation {
        name: "SAL",
        reason: "/6 of the shift groups does what SHL does and shares its name (SDM volume 2: SAL and SHL are the same)",
        explains: |d| matches!(d.what, "operation" | "text") && d.code_starts(&["Sal_"]),
    },
    Deviation {
        name: "FSTPNCE",
        reason: "D9h /3 with a register is an alias of FSTP ST(i)",
        explains: |d| matches!(d.what, "operation" | "text") && d.code_starts(&["Fstpnce"]),
    },
    Deviation {
        name: "ARPL",
        reason: "operands are 16 bits in the SDM's syntax and on silicon whatever the operand size",
        explains: |d| d.operation() == Some(Operation::Arpl) && d.what != "length" && d.what != "validity",
    },
    Deviation {
        name: "PREFETCH",
        reason: "0Fh 0Dh /0 is called PREFETCH in AMD's manual",
        explains: |d| d.what == "text" && d.code_starts(&["Prefetch_m8"]),
    },
    Deviation {
        name: "VMGEXIT",
        reason: "VMMCALL with a repeat prefix is VMGEXIT only to a guest with encrypted state",
        explains: |d| matches!(d.what, "operation" | "text") && d.code_starts(&["Vmgexit"]),
    },
    Deviation {
        name: "RCL and RCR",
        reason: "a count that is a multiple of 9 or 17 leaves the operand alone, yet silicon still writes OF",
        explains: |d| {
            matches!(d.operation(), Some(Operation::Rcl | Operation::Rcr)) && d.what.starts_with("flags")
        },
    },
    Deviation {
        name: "XBEGIN rel16",
        reason: "16-bit operand size cuts EIP to 16 bits (SDM volume 2, XBEGIN), as it does for every branch",
        explains: |d| {
            d.operation() == Some(Operation::Xbegin) && d.code_starts(&["Xbegin_rel16"]) && d.what != "length"
        },
    },
];

/// Extensions without rows.
const BEYOND: &[&str] = &[
    "Aadd_",
    "Aand_",
    "Aor_",
    "Axor_",
    "Aesdec128kl",
    "Aesdec256kl",
    "Aesdecwide",
    "Aesenc128kl",
    "Aesenc256kl",
    "Aesencwide",
    "Encodekey",
    "Loadiwkey",
    "Clrssbsy",
    "Incssp",
    "Rdssp",
    "Rstorssp",
    "Saveprevssp",
    "Setssbsy",
    "Wrss",
    "Wruss",
    "Tpause",
    "Umwait",
    "Umonitor",
    "Ptwrite",
    "Enqcmd",
    "Hreset",
    "Rdpru",
    "Mcommit",
    "Serialize",
    "Xsusldtrk",
    "Xresldtrk",
    "Enclv",
    "Invlpgb",
    "Tlbsync",
    "Psmash",
    "Pvalidate",
    "Rmp",
    "Tdcall",
    "Seam",
    "Clui",
    "Pbndkb",
    "Wrmsrns",
];

/// Every deviation: of decoding, and of what instructions read and write.
pub fn deviations() -> impl Iterator<Item = &'static Deviation> {
    DEVIATIONS.iter().chain(EFFECTS)
}

/// The deviation that explains `difference`.
#[must_use]
pub fn explain(difference: &Difference) -> Option<&'static Deviation> {
    deviations().find(|deviation| (deviation.explains)(difference))
}
