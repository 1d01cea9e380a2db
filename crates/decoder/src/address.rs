//! The memory forms of ModRM and SIB (SDM volume 2, tables 2-1 to 2-3), looked up rather than computed.

use pentimento_registers::{Gpr, SegmentRegister};

use crate::operand_code::ImmediateWidth;

/// Stands for no base or no index.
const NONE: u32 = 8;

const DISP8: u32 = ImmediateWidth::SIGNED_BYTE;
const DISP32: u32 = ImmediateWidth::SIGNED_SIZED;
const DISP16: u32 = ImmediateWidth::SIGNED_SIZED + 8;

/// What ModRM and SIB say about an address, packed.
///
/// Bits 7:0 are the base (8 for none), 15:8 the index (8 for none), 17:16 the binary logarithm of
/// the scale, 26:24 the segment. While decoding there are also the length of the displacement
/// (bits 22:20), the number of its [`ImmediateWidth`] (bits 30:27) and whether a SIB byte follows (bit 31).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct AddressForm(u32);

impl AddressForm {
    /// No memory operand by ModRM; the segment is DS.
    pub(crate) const ABSENT: Self = Self::new(NONE, NONE, 0, ImmediateWidth::ABSENT);

    const fn new(base: u32, index: u32, scale: u32, width: u32) -> Self {
        let segment = if base == 4 || base == 5 { SegmentRegister::Ss } else { SegmentRegister::Ds };
        Self(
            base | index << 8
                | scale << 16
                | (segment as u32) << 24
                | width << 27
                | ImmediateWidth::ALL[width as usize].length << 20,
        )
    }

    #[inline(always)]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    #[inline(always)]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(crate) const fn base(self) -> Option<Gpr> {
        register(self.0 as u8)
    }

    #[inline(always)]
    pub(crate) const fn index(self) -> Option<Gpr> {
        register((self.0 >> 8) as u8)
    }

    /// 1, 2, 4 or 8.
    #[inline(always)]
    pub(crate) const fn scale(self) -> u8 {
        1 << (self.0 >> 16 & 3)
    }

    #[inline(always)]
    pub(crate) const fn segment(self) -> SegmentRegister {
        match self.0 >> 24 & 7 {
            0 => SegmentRegister::Es,
            1 => SegmentRegister::Cs,
            2 => SegmentRegister::Ss,
            3 => SegmentRegister::Ds,
            4 => SegmentRegister::Fs,
            _ => SegmentRegister::Gs,
        }
    }

    /// With another segment.
    #[inline(always)]
    pub(crate) const fn with_segment(self, number: u8) -> Self {
        Self(self.0 & !(7 << 24) | (number as u32) << 24)
    }

    /// Without what only decoding needs.
    #[inline(always)]
    pub(crate) const fn finished(self) -> Self {
        Self(self.0 & 0x070f_ffff)
    }

    /// How to read the displacement.
    #[inline(always)]
    pub(crate) const fn displacement(self) -> ImmediateWidth {
        ImmediateWidth::ALL[(self.0 >> 27 & 15) as usize]
    }

    /// Bytes of displacement.
    #[inline(always)]
    pub(crate) const fn displacement_length(self) -> usize {
        (self.0 >> 20 & 7) as usize
    }

    /// Whether a SIB byte follows ModRM.
    #[inline(always)]
    pub(crate) const fn has_sib(self) -> bool {
        self.0 >> 31 != 0
    }
}

/// The register with number `number`, or none for 8.
#[inline(always)]
const fn register(number: u8) -> Option<Gpr> {
    match number {
        0 => Some(Gpr::Eax),
        1 => Some(Gpr::Ecx),
        2 => Some(Gpr::Edx),
        3 => Some(Gpr::Ebx),
        4 => Some(Gpr::Esp),
        5 => Some(Gpr::Ebp),
        6 => Some(Gpr::Esi),
        7 => Some(Gpr::Edi),
        _ => None,
    }
}

/// The forms of 32-bit addressing by ModRM; register forms are absent.
pub(crate) static FORMS32: [AddressForm; 256] = {
    let mut forms = [AddressForm::ABSENT; 256];
    let mut modrm = 0;
    while modrm < 0xc0 {
        let (mode, rm) = (modrm >> 6, (modrm & 7) as u32);
        forms[modrm] = match (mode, rm) {
            (_, 4) => AddressForm(1 << 31),
            (0, 5) => AddressForm::new(NONE, NONE, 0, DISP32),
            _ => AddressForm::new(rm, NONE, 0, [ImmediateWidth::ABSENT, DISP8, DISP32][mode]),
        };
        modrm += 1;
    }
    forms
};

/// The forms with a SIB byte, by mod (0 to 2) and SIB.
pub(crate) static FORMS_SIB: [[AddressForm; 256]; 4] = {
    let mut forms = [[AddressForm::ABSENT; 256]; 4];
    let mut mode = 0;
    while mode < 3 {
        let mut sib = 0;
        while sib < 256 {
            let (scale, index, base) = (sib as u32 >> 6, sib as u32 >> 3 & 7, sib as u32 & 7);
            let (index, scale) = if index == 4 { (NONE, 0) } else { (index, scale) };
            forms[mode][sib] = if mode == 0 && base == 5 {
                AddressForm::new(NONE, index, scale, DISP32)
            } else {
                AddressForm::new(base, index, scale, [ImmediateWidth::ABSENT, DISP8, DISP32][mode])
            };
            sib += 1;
        }
        mode += 1;
    }
    forms
};

/// The forms of 16-bit addressing by ModRM.
pub(crate) static FORMS16: [AddressForm; 256] = {
    const BX: u32 = 3;
    const BP: u32 = 5;
    const SI: u32 = 6;
    const DI: u32 = 7;
    const REGISTERS: [(u32, u32); 8] =
        [(BX, SI), (BX, DI), (BP, SI), (BP, DI), (SI, NONE), (DI, NONE), (BP, NONE), (BX, NONE)];
    let mut forms = [AddressForm::ABSENT; 256];
    let mut modrm = 0;
    while modrm < 0xc0 {
        let (mode, rm) = (modrm >> 6, modrm & 7);
        let (base, index) = REGISTERS[rm];
        forms[modrm] = if mode == 0 && rm == 6 {
            AddressForm::new(NONE, NONE, 0, DISP16)
        } else {
            AddressForm::new(base, index, 0, [ImmediateWidth::ABSENT, DISP8, DISP16][mode])
        };
        modrm += 1;
    }
    forms
};
