//! The CPU that a machine pretends to be.

/// A CPU model: what CPUID reports and which instructions exist. Each is consistent in itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum CpuModel {
    /// Everything that is implemented.
    #[default]
    Max,
}
