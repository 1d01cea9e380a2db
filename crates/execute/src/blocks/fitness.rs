//! The state of the CPU that blocks are compiled for.

use pentimento_registers::{CpuState, Descriptor, Eflags, SegmentRegister};

/// Flags with which blocks do not run: a trap after each instruction, and alignment checks.
pub const UNFIT: Eflags = Eflags::TF.union(Eflags::AC);

/// Whether the state is one that blocks are compiled for: flat segments, no trap after each
/// instruction, no alignment checks. Everything else is rare, and the reference executes it.
#[must_use]
#[inline]
pub fn fits(state: &CpuState) -> bool {
    let flat = |register, descriptor| state.segment(register).descriptor() == Some(&descriptor);
    flat(SegmentRegister::Cs, Descriptor::FLAT_CODE)
        && flat(SegmentRegister::Ss, Descriptor::FLAT_DATA)
        && flat(SegmentRegister::Ds, Descriptor::FLAT_DATA)
        && flat(SegmentRegister::Es, Descriptor::FLAT_DATA)
        && !state.eflags.intersects(UNFIT)
}
