//! The whole register file.

use crate::{Descriptor, Eflags, Gpr, Gpr8, Mxcsr, Segment, SegmentRegister, X87State};

/// Everything that an instruction can see or change outside memory.
///
/// Fields are public where every value is valid; the general registers have accessors so that
/// their 8-, 16- and 32-bit views stay in one place.
///
/// Its layout is the same on every host, and [`offsets`](crate::offsets) names it: code that an engine
/// generates reaches into it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[repr(C, align(16))]
pub struct CpuState {
    pub(crate) gpr: [u32; 8],
    /// Offset of the next instruction in the code segment.
    pub eip: u32,
    /// The whole register: status, control and system flags.
    pub eflags: Eflags,
    /// The SSE control and status register.
    pub mxcsr: Mxcsr,
    /// The segment registers, indexed by [`SegmentRegister::number`].
    pub segments: [Segment; 6],
    /// The x87 unit, which the MMX registers alias.
    pub x87: X87State,
    /// XMM0 to XMM7.
    pub xmm: [u128; 8],
    /// Bits 255:128 of YMM0 to YMM7, which no CPU model has yet: zero.
    pub ymm_high: [u128; 8],
    /// Which states XSAVE manages (SDM volume 1, section 13.3): as after reset, x87 alone.
    pub xcr0: u64,
}

impl CpuState {
    /// Linux's user code selector on i386 under a 64-bit kernel.
    pub const USER_CS: u16 = 0x23;
    /// Linux's user data selector under a 64-bit kernel.
    pub const USER_DS: u16 = 0x2b;

    /// A Linux process's registers before its program is loaded: all zero, flat segments, FS and GS null.
    #[must_use]
    pub const fn new() -> Self {
        let data = Segment::new(Self::USER_DS, Some(Descriptor::FLAT_DATA));
        let code = Segment::new(Self::USER_CS, Some(Descriptor::FLAT_CODE));
        Self {
            gpr: [0; 8],
            eip: 0,
            eflags: Eflags::INITIAL,
            mxcsr: Mxcsr::INITIAL,
            segments: [data, code, data, data, Segment::NULL, Segment::NULL],
            x87: X87State::new(),
            xmm: [0; 8],
            ymm_high: [0; 8],
            xcr0: 1,
        }
    }

    /// A general register, 32 bits.
    #[inline(always)]
    #[must_use]
    pub const fn gpr(&self, register: Gpr) -> u32 {
        self.gpr[register as usize]
    }

    /// Writes a general register, 32 bits.
    #[inline(always)]
    pub const fn set_gpr(&mut self, register: Gpr, value: u32) {
        self.gpr[register as usize] = value;
    }

    /// The low 16 bits of a general register.
    #[inline(always)]
    #[must_use]
    pub const fn gpr16(&self, register: Gpr) -> u16 {
        self.gpr[register as usize] as u16
    }

    /// Writes the low 16 bits of a general register; the high 16 stay.
    #[inline(always)]
    pub const fn set_gpr16(&mut self, register: Gpr, value: u16) {
        let slot = &mut self.gpr[register as usize];
        *slot = *slot & 0xffff_0000 | value as u32;
    }

    /// A byte register.
    #[inline(always)]
    #[must_use]
    pub const fn gpr8(&self, register: Gpr8) -> u8 {
        (self.gpr[register.parent() as usize] >> register.shift()) as u8
    }

    /// Writes a byte register; the other 24 bits of its parent stay.
    #[inline(always)]
    pub const fn set_gpr8(&mut self, register: Gpr8, value: u8) {
        let slot = &mut self.gpr[register.parent() as usize];
        *slot = *slot & !(0xff << register.shift()) | (value as u32) << register.shift();
    }

    /// All general registers in encoding order.
    #[inline(always)]
    #[must_use]
    pub const fn gprs(&self) -> &[u32; 8] {
        &self.gpr
    }

    /// All general registers in encoding order, to change.
    #[inline(always)]
    pub const fn gprs_mut(&mut self) -> &mut [u32; 8] {
        &mut self.gpr
    }

    /// A segment register.
    #[inline(always)]
    #[must_use]
    pub const fn segment(&self, register: SegmentRegister) -> &Segment {
        &self.segments[register as usize]
    }

    /// A segment register, to change.
    #[inline(always)]
    pub const fn segment_mut(&mut self, register: SegmentRegister) -> &mut Segment {
        &mut self.segments[register as usize]
    }
}

impl Default for CpuState {
    fn default() -> Self {
        Self::new()
    }
}
