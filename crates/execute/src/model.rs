//! The CPU that a machine pretends to be.

use pentimento_decoder::Feature;

/// A CPU model: what CPUID reports and which instructions exist. Each is consistent in itself:
/// what CPUID reports executes, and an instruction of a feature that the model lacks raises #UD.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum CpuModel {
    /// Intel Pentium (P54C, 1994): no CMOV, no MMX.
    Pentium,
    /// Intel Pentium III (Coppermine, 1999): MMX and SSE.
    Pentium3,
    /// Intel Pentium 4 (Northwood, 2002): SSE2.
    Pentium4,
    /// An Intel Core i7 of 2008 (Nehalem), the level x86-64-v2: SSE4.2 and POPCNT.
    X86_64V2,
    /// Everything that is implemented, under AMD's name, whose choices we follow where the
    /// architecture leaves some.
    #[default]
    Max,
}

/// A set of [`Feature`]s.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FeatureSet(u128);

impl FeatureSet {
    /// The set of `features`.
    #[must_use]
    pub const fn new(features: &[Feature]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < features.len() {
            bits |= 1 << features[index] as u8;
            index += 1;
        }
        Self(bits)
    }

    /// This set and `features`.
    #[must_use]
    pub const fn with(self, features: &[Feature]) -> Self {
        Self(self.0 | Self::new(features).0)
    }

    /// Whether `feature` is in the set.
    #[inline(always)]
    #[must_use]
    pub const fn contains(self, feature: Feature) -> bool {
        self.0 >> feature as u8 & 1 != 0
    }
}

use Feature as F;

const PENTIUM: FeatureSet = FeatureSet::new(&[F::Base, F::System, F::Fpu, F::Tsc, F::Msr, F::Cx8]);

const PENTIUM3: FeatureSet = PENTIUM.with(&[
    F::Cmov,
    F::Nopl,
    // ENDBR is one of the hint NOPs to a CPU without CET.
    F::CetIbt,
    F::Rdpmc,
    F::Sep,
    F::Mmx,
    F::MmxExt,
    F::Fxsr,
    F::Sse,
]);

const PENTIUM4: FeatureSet = PENTIUM3.with(&[F::Sse2, F::Clflush]);

const X86_64V2: FeatureSet = PENTIUM4.with(&[F::Sse3, F::Ssse3, F::Sse41, F::Sse42, F::Popcnt, F::Rdtscp]);

const MAX: FeatureSet = X86_64V2.with(&[
    F::Syscall,
    F::Sse4a,
    F::Clflushopt,
    F::Clwb,
    F::Clzero,
    F::Lzcnt,
    F::Bmi1,
    F::Movbe,
    F::Aes,
    F::Pclmulqdq,
    F::Sha,
    F::Gfni,
    F::Adx,
    F::Rdrand,
    F::Rdseed,
    F::Rdpid,
    F::Prefetchw,
    // AMD executes every 0Fh 0Dh as a prefetch.
    F::Prefetchwt1,
    F::Invpcid,
    F::Wbnoinvd,
]);

impl CpuModel {
    /// Every model, from the oldest to the fullest.
    pub const ALL: [Self; 5] = [Self::Pentium, Self::Pentium3, Self::Pentium4, Self::X86_64V2, Self::Max];

    /// The name in lower case, as command lines spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pentium => "pentium",
            Self::Pentium3 => "pentium3",
            Self::Pentium4 => "pentium4",
            Self::X86_64V2 => "x86-64-v2",
            Self::Max => "max",
        }
    }

    /// The model with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// What it can execute.
    #[must_use]
    pub const fn features(self) -> FeatureSet {
        match self {
            Self::Pentium => PENTIUM,
            Self::Pentium3 => PENTIUM3,
            Self::Pentium4 => PENTIUM4,
            Self::X86_64V2 => X86_64V2,
            Self::Max => MAX,
        }
    }

    /// Whether it can execute the instructions of `feature`.
    #[inline]
    #[must_use]
    pub const fn has(self, feature: Feature) -> bool {
        self.features().contains(feature)
    }
}
