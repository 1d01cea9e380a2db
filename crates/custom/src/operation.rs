//! What effects compile to: flat operations over slots, without pointers or closures.
//!
//! A processor has 256 slots of 64 bits: registers, flags, the instruction pointer, what operands stand for,
//! and temporaries. A slot's number is a byte, so that no access needs a check. Every value is below
//! two to the power of its width, whatever wrote it.

/// The number of a slot.
pub(crate) type Slot = u8;

/// Where flags start; registers are at 0.
pub(crate) const FLAG_SLOTS: Slot = 64;
/// The instruction pointer of a set that has no register for it.
pub(crate) const IP_SLOT: Slot = 96;
/// Where operands start.
pub(crate) const OPERAND_SLOTS: Slot = 104;
/// Where temporaries start.
pub(crate) const TEMPORARY_SLOTS: Slot = 112;

/// Bytes of a load or store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    One,
    Two,
    Four,
    Eight,
}

impl Size {
    /// The size of an access of `bits` bits; 8, 16, 32 and 64 have one.
    pub(crate) fn of_bits(bits: u8) -> Option<Self> {
        match bits {
            8 => Some(Self::One),
            16 => Some(Self::Two),
            32 => Some(Self::Four),
            64 => Some(Self::Eight),
            _ => None,
        }
    }

    pub(crate) fn bytes(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }
}

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// `to = value`
    Constant { to: Slot, value: u64 },
    /// `to = from`
    Copy { to: Slot, from: Slot },
    /// `to = left arithmetic right`, in `width` bits
    Binary { arithmetic: Arithmetic, width: u8, to: Slot, left: Slot, right: Slot },
    /// `to = left arithmetic value`
    BinaryConstant { arithmetic: Arithmetic, width: u8, to: Slot, left: Slot, value: u64 },
    /// `to` = the `bits` low bits of `from` with their sign, in `width` bits
    SignExtend { to: Slot, from: Slot, bits: u8, width: u8 },
    /// `to = mem[address]`
    Load { to: Slot, address: Slot, size: Size },
    /// `mem[address] = from`
    Store { address: Slot, from: Slot, size: Size },
    /// Onto the stack.
    Push { from: Slot },
    /// A constant onto the stack.
    PushConstant { value: u64 },
    /// From the stack.
    Pop { to: Slot },
    /// Skips operations if a slot is zero.
    SkipUnless { condition: Slot, count: u16 },
    /// Skips operations.
    Skip { count: u16 },
    /// Writes a character.
    Out { from: Slot },
    /// Ends the run with a status.
    Halt { status: Slot },
    /// Ends the run as a fault; the number of the reason within the set.
    Fault { reason: u16 },
    /// Calls Rust code; the number of the call within the block.
    Native { call: u32 },
    /// The end of an instruction that stores: leaves the block if code was overwritten. The next
    /// instruction is at `next`, unless a jump has said where it is.
    CheckCode { next: u32, jumped: bool },
}

/// What an operation computes of two values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    SignedDivide,
    SignedRemainder,
    SignedShiftRight,
    SignedLess,
    SignedLessOrEqual,
    CarryOfAdd,
    CarryOfSubtract,
    OverflowOfAdd,
    OverflowOfSubtract,
}

/// All ones in `width` bits, 1 to 64.
#[inline(always)]
pub(crate) fn mask(width: u8) -> u64 {
    u64::MAX >> (64 - u32::from(width)).min(63)
}

/// The value of `width` bits with its sign.
#[inline(always)]
pub(crate) fn sign_extend(value: u64, width: u8) -> i64 {
    let shift = (64 - u32::from(width)).min(63);
    ((value << shift) as i64) >> shift
}

impl Arithmetic {
    /// The result in `width` bits; comparisons and the like give 0 or 1. Shifts by the width or more
    /// shift everything out. `None` for a division by zero.
    #[inline(always)]
    pub(crate) fn apply(self, width: u8, left: u64, right: u64) -> Option<u64> {
        let signed = |value| sign_extend(value, width);
        let sign = |value: u64| value >> (u32::from(width) - 1) & 1;
        Some(match self {
            Self::Add => left.wrapping_add(right) & mask(width),
            Self::Subtract => left.wrapping_sub(right) & mask(width),
            Self::Multiply => left.wrapping_mul(right) & mask(width),
            Self::Divide => left.checked_div(right)?,
            Self::Remainder => left.checked_rem(right)?,
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
            Self::ShiftLeft => shift_left(left, right) & mask(width),
            Self::ShiftRight => {
                u32::try_from(right).ok().and_then(|count| left.checked_shr(count)).unwrap_or(0)
            }
            Self::Equal => u64::from(left == right),
            Self::NotEqual => u64::from(left != right),
            Self::Less => u64::from(left < right),
            Self::LessOrEqual => u64::from(left <= right),
            Self::SignedDivide if right == 0 => return None,
            Self::SignedDivide => signed(left).wrapping_div(signed(right)) as u64 & mask(width),
            Self::SignedRemainder if right == 0 => return None,
            Self::SignedRemainder => signed(left).wrapping_rem(signed(right)) as u64 & mask(width),
            Self::SignedShiftRight => (signed(left) >> right.min(63)) as u64 & mask(width),
            Self::SignedLess => u64::from(signed(left) < signed(right)),
            Self::SignedLessOrEqual => u64::from(signed(left) <= signed(right)),
            Self::CarryOfAdd => u64::from(right > mask(width) - left),
            Self::CarryOfSubtract => u64::from(left < right),
            Self::OverflowOfAdd => sign(!(left ^ right) & (left ^ left.wrapping_add(right))),
            Self::OverflowOfSubtract => sign((left ^ right) & (left ^ left.wrapping_sub(right))),
        })
    }
}

#[inline(always)]
fn shift_left(value: u64, count: u64) -> u64 {
    u32::try_from(count).ok().and_then(|count| value.checked_shl(count)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation on every pair of 5-bit numbers, beside what wide integers say.
    #[test]
    fn five_bits_beside_wide_integers() {
        let signed = |value: u64| if value < 16 { value as i128 } else { value as i128 - 32 };
        let wrap = |value: i128| (value & 31) as u64;
        for (left, right) in (0..32_u64).flat_map(|left| (0..32_u64).map(move |right| (left, right))) {
            let (l, r, sl, sr) = (left as i128, right as i128, signed(left), signed(right));
            let wide = [
                (Arithmetic::Add, Some(wrap(l + r))),
                (Arithmetic::Subtract, Some(wrap(l - r))),
                (Arithmetic::Multiply, Some(wrap(l * r))),
                (Arithmetic::Divide, (r != 0).then(|| wrap(l / r))),
                (Arithmetic::Remainder, (r != 0).then(|| wrap(l % r))),
                (Arithmetic::ShiftLeft, Some(wrap(l << r))),
                (Arithmetic::ShiftRight, Some(wrap(l >> r))),
                (Arithmetic::SignedDivide, (r != 0).then(|| wrap(sl / sr))),
                (Arithmetic::SignedRemainder, (r != 0).then(|| wrap(sl % sr))),
                (Arithmetic::SignedShiftRight, Some(wrap(sl >> r))),
                (Arithmetic::SignedLess, Some(u64::from(sl < sr))),
                (Arithmetic::SignedLessOrEqual, Some(u64::from(sl <= sr))),
                (Arithmetic::CarryOfAdd, Some(u64::from(l + r > 31))),
                (Arithmetic::CarryOfSubtract, Some(u64::from(l < r))),
                (Arithmetic::OverflowOfAdd, Some(u64::from(!(-16..16).contains(&(sl + sr))))),
                (Arithmetic::OverflowOfSubtract, Some(u64::from(!(-16..16).contains(&(sl - sr))))),
            ];
            for (arithmetic, expected) in wide {
                assert_eq!(arithmetic.apply(5, left, right), expected, "{left} {arithmetic:?} {right}");
            }
        }
    }

    #[test]
    fn the_edges_of_64_bits() {
        let most = u64::MAX;
        let cases = [
            (Arithmetic::Add, most, 1, Some(0)),
            (Arithmetic::CarryOfAdd, most, 1, Some(1)),
            (Arithmetic::ShiftLeft, 1, 64, Some(0)),
            (Arithmetic::ShiftRight, most, most, Some(0)),
            (Arithmetic::SignedShiftRight, most, most, Some(most)),
            (Arithmetic::SignedDivide, 1 << 63, most, Some(1 << 63)),
            (Arithmetic::SignedRemainder, 1 << 63, most, Some(0)),
            (Arithmetic::OverflowOfAdd, most >> 1, 1, Some(1)),
        ];
        for (arithmetic, left, right, expected) in cases {
            assert_eq!(arithmetic.apply(64, left, right), expected, "{arithmetic:?}");
        }
        assert_eq!(size_of::<Op>(), 16);
    }
}
