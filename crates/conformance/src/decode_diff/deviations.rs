//! Where the decoder differs from `iced-x86` on purpose.

use super::Difference;

/// A deliberate difference.
#[derive(Debug)]
pub struct Deviation {
    /// A short name to count by.
    pub name: &'static str,
    /// Why.
    pub reason: &'static str,
    /// Whether it explains a difference.
    pub explains: fn(&Difference) -> bool,
}

/// All of them.
pub const DEVIATIONS: &[Deviation] = &[];

/// The deviation that explains `difference`.
#[must_use]
pub fn explain(difference: &Difference) -> Option<&'static Deviation> {
    DEVIATIONS.iter().find(|deviation| (deviation.explains)(difference))
}
