//! Where [`CpuState`](crate::CpuState) holds what, in bytes from its start: for code that an engine
//! generates. The numbers are the same on every host; a test compares them with the fields.

/// The general registers: four bytes each, in encoding order.
pub const GPR: usize = 0;
/// EIP, four bytes.
pub const EIP: usize = 32;
/// EFLAGS, four bytes.
pub const EFLAGS: usize = 36;
/// MXCSR, four bytes.
pub const MXCSR: usize = 40;
/// The segment registers, [`SEGMENT_SIZE`] bytes each, in encoding order.
pub const SEGMENTS: usize = 44;
/// Bytes a segment register.
pub const SEGMENT_SIZE: usize = 20;
/// The base in a segment register, four bytes; zero for a null segment.
pub const SEGMENT_BASE: usize = 0;
/// The limit in a segment register, four bytes.
pub const SEGMENT_LIMIT: usize = 4;
/// The selector in a segment register, two bytes.
pub const SEGMENT_SELECTOR: usize = 16;
/// Physical x87 registers R0 to R7, which MMX aliases: [`X87_REGISTER_SIZE`] bytes each, the
/// significand first, then two bytes of sign and exponent.
pub const X87_REGISTERS: usize = 168;
/// Bytes from one x87 register to the next.
pub const X87_REGISTER_SIZE: usize = 16;
/// The x87 control word, two bytes.
pub const X87_CONTROL: usize = 296;
/// The x87 status word without TOP, two bytes.
pub const X87_STATUS: usize = 298;
/// The physical number of ST(0), a byte.
pub const X87_TOP: usize = 300;
/// Which physical x87 registers are in use, a byte.
pub const X87_IN_USE: usize = 301;
/// XMM0 to XMM7, sixteen bytes each and aligned to as many.
pub const XMM: usize = 320;
/// Bits 255:128 of YMM0 to YMM7, sixteen bytes each and aligned to as many.
pub const YMM_HIGH: usize = 448;
/// XCR0, eight bytes.
pub const XCR0: usize = 576;
/// Bytes of the whole.
pub const SIZE: usize = 592;

#[cfg(test)]
mod tests {
    use core::mem::{align_of, offset_of, size_of};

    use super::*;
    use crate::{CpuState, Descriptor, F80, Segment, X87State};

    #[test]
    fn the_offsets_are_those_of_the_fields() {
        let x87 = offset_of!(CpuState, x87);
        #[rustfmt::skip]
        let fields = [
            ("gpr",           GPR,               offset_of!(CpuState, gpr)),
            ("eip",           EIP,               offset_of!(CpuState, eip)),
            ("eflags",        EFLAGS,            offset_of!(CpuState, eflags)),
            ("mxcsr",         MXCSR,             offset_of!(CpuState, mxcsr)),
            ("segments",      SEGMENTS,          offset_of!(CpuState, segments)),
            ("segment size",  SEGMENT_SIZE,      size_of::<Segment>()),
            ("base",          SEGMENT_BASE,      offset_of!(Segment, descriptor) + offset_of!(Descriptor, base)),
            ("limit",         SEGMENT_LIMIT,     offset_of!(Segment, descriptor) + offset_of!(Descriptor, limit)),
            ("selector",      SEGMENT_SELECTOR,  offset_of!(Segment, selector)),
            ("x87 registers", X87_REGISTERS,     x87 + offset_of!(X87State, registers)),
            ("x87 register",  X87_REGISTER_SIZE, size_of::<F80>()),
            ("significand",   0,                 offset_of!(F80, significand)),
            ("exponent",      8,                 offset_of!(F80, sign_exponent)),
            ("control",       X87_CONTROL,       x87 + offset_of!(X87State, control)),
            ("status",        X87_STATUS,        x87 + offset_of!(X87State, status)),
            ("top",           X87_TOP,           x87 + offset_of!(X87State, top)),
            ("in use",        X87_IN_USE,        x87 + offset_of!(X87State, in_use)),
            ("xmm",           XMM,               offset_of!(CpuState, xmm)),
            ("ymm high",      YMM_HIGH,          offset_of!(CpuState, ymm_high)),
            ("xcr0",          XCR0,              offset_of!(CpuState, xcr0)),
            ("whole",         SIZE,              size_of::<CpuState>()),
            ("alignment",     16,                align_of::<CpuState>()),
        ];
        for (name, exported, held) in fields {
            assert_eq!(exported, held, "{name}");
        }
    }

    #[test]
    fn null_segments_are_equal_and_have_no_base() {
        assert_eq!(Segment::new(3, None), Segment { selector: 3, ..Segment::NULL });
        assert_eq!((Segment::NULL.base(), Segment::NULL.descriptor()), (0, None));
        assert_eq!(Segment::new(3, Some(Descriptor::FLAT_DATA)).descriptor(), Some(&Descriptor::FLAT_DATA));
    }
}
