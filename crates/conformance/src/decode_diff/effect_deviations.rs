//! Where `Instruction::effects` differs from `iced-x86`'s instruction info on purpose.

use pentimento_decoder::{Feature, Operation as O};

use super::{Deviation, Difference};

impl Difference {
    /// It is about what a certain operation reads or writes.
    fn is_effect_of(&self, what: &[&str], operations: &[O]) -> bool {
        what.contains(&self.what) && self.operation().is_some_and(|operation| operations.contains(&operation))
    }
}

const REGISTERS: &[&str] = &["registers read", "registers written"];
const ALL: &[&str] = &["registers read", "registers written", "memory"];

/// All of them.
pub(super) const EFFECTS: &[Deviation] = &[
    Deviation {
        name: "effects: x87 pushes",
        reason: "the register above ST(0) receives what is pushed; the other side lists it under no name",
        explains: |d| {
            let (Some(operation), true) = (d.operation(), d.what == "registers written") else {
                return false;
            };
            let pushes = matches!(
                operation,
                O::Fld
                    | O::Fild
                    | O::Fbld
                    | O::Fld1
                    | O::Fldz
                    | O::Fldpi
                    | O::Fldl2e
                    | O::Fldln2
                    | O::Fldl2t
                    | O::Fldlg2
                    | O::Fxtract
                    | O::Fsincos
                    | O::Fptan
            );
            let without: Vec<&str> = d.ours.split(' ').filter(|word| !word.starts_with("st7")).collect();
            pushes && without.join(" ") == d.theirs
        },
    },
    Deviation {
        name: "effects: state images",
        reason: "FXSAVE, XSAVE and their kin store and load the x87 and XMM registers, which the other side \
                 leaves out; of FNSAVE and FRSTOR it names the MMX registers beside the x87 ones that they are",
        explains: |d| {
            d.is_effect_of(
                REGISTERS,
                &[
                    O::Fxsave,
                    O::Fxrstor,
                    O::Xsave,
                    O::Xsavec,
                    O::Xsaves,
                    O::Xsaveopt,
                    O::Xrstor,
                    O::Xrstors,
                    O::Fnsave,
                    O::Frstor,
                ],
            )
        },
    },
    Deviation {
        name: "effects: results that ignore their operands",
        reason: "a register compared with itself, or ANDed with its complement, gives all ones or zero \
                 whatever is in it, as XOR does",
        explains: |d| {
            d.is_effect_of(
                &["registers read"],
                &[
                    O::Pandn,
                    O::Andnps,
                    O::Andnpd,
                    O::Pcmpeqb,
                    O::Pcmpeqw,
                    O::Pcmpeqd,
                    O::Pcmpeqq,
                    O::Pcmpgtb,
                    O::Pcmpgtw,
                    O::Pcmpgtd,
                    O::Pcmpgtq,
                ],
            ) && d.ours.is_empty()
        },
    },
    Deviation {
        name: "effects: CS and SS of far transfers",
        reason: "far calls push CS, and far transfers and system calls load CS and SS",
        explains: |d| {
            let transfers =
                [O::CallFar, O::JmpFar, O::RetFar, O::Iret, O::Syscall, O::Sysenter, O::Sysexit, O::Sysret];
            let ours = d.ours.split(' ').filter(|word| !["cs:1", "ss:1"].contains(word));
            let theirs = d.theirs.split(' ').filter(|word| *word != "ss:1");
            d.is_effect_of(REGISTERS, &transfers) && ours.eq(theirs.filter(|word| !word.is_empty()))
        },
    },
    Deviation {
        name: "effects: leaves of system instructions",
        reason: "what GETSEC, ENCLS, PCONFIG and the instructions of SVM use depends on their leaf and on \
                 structures in memory; here they have the registers that are read to find these",
        explains: |d| {
            let feature = d.instruction.map(|instruction| instruction.feature());
            ALL.contains(&d.what)
                && matches!(feature, Some(Feature::Smx | Feature::Sgx | Feature::Svm | Feature::Pconfig))
        },
    },
    Deviation {
        name: "effects: masked stores",
        reason: "MASKMOVQ and MASKMOVDQU store the bytes that the mask selects, which may be none",
        explains: |d| {
            d.is_effect_of(&["memory"], &[O::Maskmovq, O::Maskmovdqu])
                && d.ours.strip_prefix("w? ") == d.theirs.strip_prefix("w ")
        },
    },
    Deviation {
        name: "effects: XLAT",
        reason: "a memory operand here has no 8-bit index: AL is among the registers, as in the operand itself",
        explains: |d| {
            d.is_effect_of(&["memory"], &[O::Xlat]) && d.theirs.replace("+al*1]", "+none*1]") == d.ours
        },
    },
    Deviation {
        name: "effects: CLZERO",
        reason: "it clears the cache line that EAX points into",
        explains: |d| d.is_effect_of(&["memory"], &[O::Clzero]) && d.theirs.is_empty(),
    },
    Deviation {
        name: "effects: INSERTQ",
        reason: "bits of the destination outside of the field stay, also where an immediate names the field",
        explains: |d| d.is_effect_of(&["registers read"], &[O::Insertq]),
    },
    Deviation {
        name: "effects: LMSW",
        reason: "only the low 16 bits of a register are read",
        explains: |d| d.is_effect_of(&["registers read"], &[O::Lmsw]),
    },
    Deviation {
        name: "effects: ENTER",
        reason: "with a 16-bit operand size it writes BP; the other side has it write EBP where frames nest",
        explains: |d| d.is_effect_of(REGISTERS, &[O::Enter]) && d.ours.replace("ebp:3", "ebp:f") == d.theirs,
    },
];
