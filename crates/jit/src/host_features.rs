//! Which of the guest's instructions the host's CPU has, too.

use std::arch::is_x86_feature_detected as has;

use pentimento_decoder::Feature;

/// A set of [`Feature`]s that the host can execute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HostFeatures(u128);

impl HostFeatures {
    /// The host's.
    pub(crate) fn detect() -> Self {
        use Feature as F;
        // What every x86-64 CPU has, and what is checked before there is a translator at all.
        let mut set = 0;
        let mut add = |feature: Feature, present: bool| set |= u128::from(present) << feature as u8;
        for feature in [F::Base, F::Cx8, F::Cmov, F::Nopl, F::Fpu, F::Mmx, F::MmxExt, F::Sse, F::Sse2] {
            add(feature, true);
        }
        // Hints, which are left out.
        for feature in [F::CetIbt, F::Prefetchw, F::Prefetchwt1, F::ThreeDNow] {
            add(feature, true);
        }
        add(F::Sse3, has!("sse3"));
        add(F::Ssse3, has!("ssse3"));
        add(F::Sse41, has!("sse4.1"));
        add(F::Sse42, has!("sse4.2"));
        add(F::Popcnt, has!("popcnt"));
        add(F::Lzcnt, has!("lzcnt"));
        add(F::Bmi1, has!("bmi1"));
        add(F::Movbe, has!("movbe"));
        add(F::Aes, has!("aes"));
        add(F::Pclmulqdq, has!("pclmulqdq"));
        add(F::Sha, has!("sha"));
        add(F::Gfni, has!("gfni"));
        add(F::Adx, has!("adx"));
        Self(set)
    }

    /// Whether the host can execute instructions of `feature`.
    pub(crate) const fn has(self, feature: Feature) -> bool {
        self.0 >> feature as u8 & 1 != 0
    }
}

/// Whether the host's CPU has what every block needs: LAHF, and shifts that leave flags alone.
pub(crate) fn suffices() -> bool {
    has!("bmi2") && has!("bmi1")
}
