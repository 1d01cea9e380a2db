//! Operand values that instructions treat specially, and their neighbours.

use pentimento_registers::F80;

use super::random::Random;

/// What a vector register or a block of memory is filled with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    Byte,
    Word,
    Dword,
    Qword,
    Single,
    Double,
    Extended,
    Bcd,
}

impl Lane {
    pub(super) const INTEGERS: [Self; 4] = [Self::Byte, Self::Word, Self::Dword, Self::Qword];

    /// Appends one value.
    pub(super) fn append(self, random: &mut Random, bytes: &mut Vec<u8>) {
        match self {
            Self::Byte => bytes.push(integer(random, 8) as u8),
            Self::Word => bytes.extend((integer(random, 16) as u16).to_le_bytes()),
            Self::Dword => bytes.extend((integer(random, 32) as u32).to_le_bytes()),
            Self::Qword => bytes.extend(integer(random, 64).to_le_bytes()),
            Self::Single => bytes.extend(single(random).to_le_bytes()),
            Self::Double => bytes.extend(double(random).to_le_bytes()),
            Self::Extended => bytes.extend(extended(random).to_le_bytes()),
            Self::Bcd => bytes.extend(bcd(random)),
        }
    }

    /// `length` bytes of such values.
    pub(super) fn fill(self, random: &mut Random, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 16);
        while bytes.len() < length {
            self.append(random, &mut bytes);
        }
        bytes.truncate(length);
        bytes
    }
}

/// An integer of `bits` bits: boundaries, powers of two and their neighbours, small ones, random ones.
pub(super) fn integer(random: &mut Random, bits: u32) -> u64 {
    let mask = u64::MAX >> (64 - bits);
    let near = u64::from(random.below(3)).wrapping_sub(1);
    let value = match random.below(10) {
        0 => 0,
        1 => u64::MAX,
        2 | 3 => (1u64 << random.below(bits)).wrapping_add(near),
        4 => (1u64 << (bits - 1)).wrapping_add(near),
        5 => u64::from(random.below(40)),
        6 => u64::from(random.below(40)).wrapping_neg(),
        // Boundaries of the narrower widths inside this one.
        7 => random.pick(&[0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x8000_0000, 0xffff_ffff]),
        _ => random.next_u64(),
    };
    value & mask
}

/// A significand of `bits` bits below the integer bit: zeros, ones, single bits, rounding ties, random ones.
fn fraction(random: &mut Random, bits: u32) -> u64 {
    let mask = u64::MAX >> (64 - bits);
    let value = match random.below(9) {
        0 | 1 => 0,
        2 => u64::MAX,
        3 => 1,
        4 => 1 << random.below(bits),
        5 => !(1 << random.below(bits)),
        6 => u64::MAX << random.below(bits),
        7 => random.next_u64() << random.below(bits),
        _ => random.next_u64(),
    };
    value & mask
}

/// A biased exponent of a format with `bits` exponent bits.
fn exponent(random: &mut Random, bits: u32) -> u64 {
    let top = (1u64 << bits) - 1;
    let bias = top >> 1;
    let near = i64::from(random.below(5)) - 2;
    let value = match random.below(12) {
        0 => 0,
        1 => 1 + u64::from(random.below(3)),
        2 => top,
        3 => top - 1 - u64::from(random.below(3)),
        4 | 5 => bias.wrapping_add_signed(near),
        // Where conversions to integers and narrower formats overflow, underflow or lose bits.
        6 => {
            let edge = random.pick(&[8i64, 15, 16, 23, 24, 31, 32, 52, 53, 63, 64, 127, 128, 1023, 1024]);
            bias.wrapping_add_signed(edge + near)
        }
        7 => {
            let edge = random.pick(&[-1i64, -24, -53, -64, -126, -149, -1022, -1074]);
            bias.wrapping_add_signed(edge + near)
        }
        8 | 9 => bias.wrapping_add_signed(i64::from(random.below(140)) - 70),
        _ => random.next_u64(),
    };
    value & top
}

/// An IEEE value of `exponent_bits` and `fraction_bits`, in its own layout.
fn ieee(random: &mut Random, exponent_bits: u32, fraction_bits: u32) -> u64 {
    let sign = random.next_u64() & 1;
    let exponent = exponent(random, exponent_bits);
    (sign << exponent_bits | exponent) << fraction_bits | fraction(random, fraction_bits)
}

/// A single-precision value.
pub(super) fn single(random: &mut Random) -> u32 {
    if random.percent(10) {
        return (random.below(2000) as f32 / 4.0 - 250.0).to_bits();
    }
    ieee(random, 8, 23) as u32
}

/// A double-precision value.
pub(super) fn double(random: &mut Random) -> u64 {
    if random.percent(10) {
        return (f64::from(random.below(20000)) / 4.0 - 1000.0).to_bits();
    }
    ieee(random, 11, 52)
}

/// An 80-bit value; one in sixteen breaks the rule for the integer bit.
pub(super) fn extended(random: &mut Random) -> F80 {
    let sign = (random.next_u32() as u16) << 15;
    let exponent = exponent(random, 15) as u16;
    let fraction = match random.below(4) {
        // Ties and near-ties of single and double precision.
        0 => fraction(random, 24) << 39 | random.pick(&[0, 1, 1 << 38, (1 << 38) + 1, (1 << 38) - 1]),
        1 => fraction(random, 53) << 10 | random.pick(&[0, 1, 1 << 9, (1 << 9) + 1, (1 << 9) - 1]),
        _ => fraction(random, 63),
    };
    let integer_bit = u64::from((exponent != 0) != (random.below(16) == 0)) << 63;
    F80::new(sign | exponent, integer_bit | fraction & (u64::MAX >> 1))
}

/// A packed-BCD value as FBLD reads it, now and then with digits above nine.
fn bcd(random: &mut Random) -> [u8; 10] {
    let mut bytes = [0; 10];
    let wild = random.percent(20);
    let digits = random.below(10);
    for (index, byte) in bytes.iter_mut().enumerate() {
        if (index as u32) < digits {
            *byte =
                if wild { random.next_u32() as u8 } else { (random.below(10) << 4 | random.below(10)) as u8 };
        }
    }
    bytes[9] = if wild { random.next_u32() as u8 } else { (random.below(2) << 7) as u8 };
    bytes
}
