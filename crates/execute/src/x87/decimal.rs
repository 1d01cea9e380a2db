//! Packed decimal integers: eighteen digits in nine bytes, and a byte with the sign in bit 7 (SDM
//! volume 1, section 4.7).

use pentimento_registers::F80;

use crate::float::{self, Flags, Format, Rules};

/// The packed BCD integer indefinite.
pub(super) const INDEFINITE: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff];

/// 10^18, the first magnitude that does not fit.
const LIMIT: u64 = 1_000_000_000_000_000_000;

/// The value of a packed decimal integer, always exact. What nibbles above 9 mean is undefined;
/// they count as ten to fifteen, as on silicon.
pub(super) fn unpack(bytes: [u8; 10]) -> F80 {
    let [digits @ .., sign] = bytes;
    let magnitude = digits.iter().rev().fold(0_u64, |value, &pair| {
        value.wrapping_mul(100).wrapping_add(u64::from(pair >> 4) * 10 + u64::from(pair & 15))
    });
    let (value, _) = float::from_integer::<F80>(magnitude as i64, &Rules::default());
    F80::new(value.sign_exponent | u16::from(sign & 0x80) << 8, value.significand)
}

/// Rounds to a packed decimal integer.
pub(super) fn pack(value: F80, rules: &Rules) -> ([u8; 10], Flags) {
    let (integer, flags) = float::to_integer::<i64>(value.unpack(), rules.rounding);
    let mut magnitude = integer.unsigned_abs();
    if magnitude >= LIMIT {
        return (INDEFINITE, Flags::INVALID);
    }
    let mut bytes = [0; 10];
    for byte in &mut bytes[..9] {
        *byte = (magnitude / 10 % 10 * 16 + magnitude % 10) as u8;
        magnitude /= 100;
    }
    bytes[9] = u8::from(value.is_negative()) << 7;
    (bytes, flags)
}
