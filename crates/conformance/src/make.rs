//! The makes of CPU that the oracle has met, and the freedoms that each uses otherwise than the engines.
//!
//! The architecture leaves some results open, and makers decide them differently. The engines follow
//! AMD's Zen 4. This is the one table that says where another family does otherwise: there only what
//! the architecture promises is compared, and the rest is counted and told. A family that is not in
//! the table has every freedom, so that what passes on one x86 host passes on all of them.

use core::fmt;
use core::ops::RangeInclusive;

/// A result that the architecture leaves open, or that makers are known to disagree about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Freedom {
    /// Flags that the SDM calls undefined after an instruction.
    UndefinedFlags,
    /// SHLD and SHRD of 16 bits by more than 16: result and flags are undefined (SDM volume 2).
    LongDoubleShift,
    /// Flags between two iterations of a repeated CMPS or SCAS: Intel's CPUs write them at the end.
    RepeatedFlags,
    /// Which of several faults of one instruction is raised, and what it found out before.
    FaultOrder,
    /// An access from below the last byte of the address space to the first one: the CPU may check
    /// the limit or wrap (SDM volume 3, 6.3, "Limit Checking").
    AddressWrap,
    /// What an instruction that makes several accesses leaves behind if a later one faults, and what
    /// is restarted with it.
    HalfDone,
    /// FIP, FDP and FOP, and the selectors beside them: when they are written, and to whom they show.
    X87Pointers,
    /// PUSH and POP of a segment register with 32 bits: a doubleword or a word (SDM volume 2).
    StackedSelector,
    /// REP and REPNE before LOOP and its kin, which is reserved: AMD's CPUs look at it.
    ReservedPrefix,
    /// SHA instructions with a memory operand that is not aligned: the SDM has #GP, AMD reads it.
    UnalignedSha,
    /// An x87 store that raises an unmasked exception, to a destination that cannot be written: AMD's
    /// CPUs find the fault first, Intel's the exception, which keeps them from storing.
    RaisingStore,
    /// FPREM and FPREM1 by an infinity and FSCALE by zero, of a denormal, with underflow unmasked: the
    /// result is tiny, which raises #U, but Intel's CPUs leave the operand and look no further.
    UnchangedDenormal,
    /// #AC for sixteen bytes: "may or may not be generated" (SDM volume 2, MOVUPS and its kin).
    AlignmentCheck,
    /// Which of several NaNs is the sum of DPPS and DPPD: on Intel's CPUs lanes differ in it.
    DotProductNan,
    /// Encodings that AMD's CPUs call undefined and Intel's do not: PREFETCHW with a register (a NOP),
    /// PTWRITE, ENQCMD with more prefixes than it needs.
    MakersOwn,
    /// Bytes that no CPU model here knows as an instruction, and a later extension does.
    NewerExtension,
    /// The last bits of FSIN and its kin, which the engines take from the host's x87 unit.
    Transcendental,
}

impl Freedom {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::UndefinedFlags,
        Self::LongDoubleShift,
        Self::RepeatedFlags,
        Self::FaultOrder,
        Self::AddressWrap,
        Self::HalfDone,
        Self::X87Pointers,
        Self::StackedSelector,
        Self::ReservedPrefix,
        Self::UnalignedSha,
        Self::RaisingStore,
        Self::UnchangedDenormal,
        Self::AlignmentCheck,
        Self::DotProductNan,
        Self::MakersOwn,
        Self::NewerExtension,
        Self::Transcendental,
    ];
}

/// What of a freedom's uses a record is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Use {
    /// The freedom.
    pub freedom: Freedom,
    /// The mnemonic of the one operation that it is about; `None` for all.
    pub operation: Option<&'static str>,
}

const fn all(freedom: Freedom) -> Use {
    Use { freedom, operation: None }
}

const fn only(freedom: Freedom, operation: &'static str) -> Use {
    Use { freedom, operation: Some(operation) }
}

/// A recorded family.
struct Record {
    vendor: &'static str,
    families: RangeInclusive<u32>,
    /// Where it does otherwise than the engines, or where the engines cannot know.
    otherwise: &'static [Use],
}

/// Every family on which the oracle has run at length.
#[rustfmt::skip]
const RECORDS: &[Record] = &[
    // Zen 3 and Zen 4 (measured: Zen 4), which the engines follow.
    Record { vendor: "AuthenticAMD", families: 25..=25, otherwise: &[] },
    // Zen 5: of two operands of CMPS that fault, the other one is reported.
    Record { vendor: "AuthenticAMD", families: 26..=26, otherwise: &[only(Freedom::FaultOrder, "cmps")] },
    // Measured on a Xeon with AMX.
    Record { vendor: "GenuineIntel", families: 6..=6,   otherwise: INTEL },
];

const INTEL: &[Use] = &[
    all(Freedom::UndefinedFlags),
    all(Freedom::LongDoubleShift),
    all(Freedom::RepeatedFlags),
    all(Freedom::FaultOrder),
    all(Freedom::AddressWrap),
    all(Freedom::HalfDone),
    all(Freedom::X87Pointers),
    all(Freedom::StackedSelector),
    all(Freedom::ReservedPrefix),
    all(Freedom::UnalignedSha),
    all(Freedom::RaisingStore),
    only(Freedom::UnchangedDenormal, "fprem"),
    only(Freedom::UnchangedDenormal, "fprem1"),
    only(Freedom::UnchangedDenormal, "fscale"),
    all(Freedom::AlignmentCheck),
    all(Freedom::DotProductNan),
    all(Freedom::MakersOwn),
    all(Freedom::Transcendental),
];

/// Who made a CPU, and of which family it is: what decides how it uses its freedoms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Make {
    /// CPUID's vendor, such as `GenuineIntel`.
    pub vendor: String,
    /// CPUID's display family, such as 25 for Zen 4.
    pub family: u32,
}

impl Make {
    /// The host's, as `/proc/cpuinfo` has it; an empty vendor where it does not say.
    #[must_use]
    pub fn host() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
    }

    fn parse(cpuinfo: &str) -> Self {
        let field = |name: &str| {
            let line =
                cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
            line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
        };
        Self { vendor: field("vendor_id").to_owned(), family: field("cpu family").parse().unwrap_or(0) }
    }

    fn record(&self) -> Option<&'static Record> {
        RECORDS.iter().find(|record| record.vendor == self.vendor && record.families.contains(&self.family))
    }

    /// Whether the oracle has run on this family, and the table says what it does.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.record().is_some()
    }

    /// Whether the engines do all that this family does: the one that they follow.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.record().is_some_and(|record| record.otherwise.is_empty())
    }

    /// Whether this make may differ from the engines in `freedom` when it executes `mnemonic`.
    #[must_use]
    pub fn may_differ(&self, freedom: Freedom, mnemonic: &str) -> bool {
        self.record().is_none_or(|record| {
            record.otherwise.iter().any(|used| {
                used.freedom == freedom && used.operation.is_none_or(|operation| operation == mnemonic)
            })
        })
    }

    /// A make that nobody has recorded: only what the architecture promises counts.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { vendor: String::new(), family: 0 }
    }
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vendor = if self.vendor.is_empty() { "unknown" } else { &self.vendor };
        let recorded = if self.is_recorded() { "" } else { ", not recorded" };
        write!(f, "{vendor} family {}{recorded}", self.family)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(vendor: &str, family: u32) -> Make {
        Make { vendor: vendor.to_owned(), family }
    }

    #[test]
    fn cpuinfo_names_the_make() {
        let text = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n";
        assert_eq!(Make::parse(text), make("AuthenticAMD", 26));
        assert_eq!(Make::parse("Processor : ARMv8"), Make::unknown());
    }

    #[test]
    fn the_followed_family_has_no_freedom_and_an_unknown_one_has_all() {
        let (zen_4, zen_5, unknown) = (make("AuthenticAMD", 25), make("AuthenticAMD", 26), make("Other", 25));
        assert!(zen_4.is_followed() && !zen_5.is_followed() && !unknown.is_followed());
        for &freedom in Freedom::ALL {
            assert!(!zen_4.may_differ(freedom, "cmps"), "{freedom:?}");
            assert!(unknown.may_differ(freedom, "cmps"), "{freedom:?}");
            assert_eq!(zen_5.may_differ(freedom, "cmps"), freedom == Freedom::FaultOrder);
            assert!(!zen_5.may_differ(freedom, "movs"), "{freedom:?}");
        }
    }
}
