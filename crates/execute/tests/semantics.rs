//! The pure functions against plain models: every 8-bit operand pair, count and carry, and chosen
//! wider operands.

use pentimento_execute::Width;
use pentimento_execute::semantics::binary_arithmetic as arithmetic;
use pentimento_execute::semantics::{bit_byte, decimal_arithmetic, logical, shift_rotate};
use pentimento_registers::Eflags;

/// Flags by name, as the models below compute them.
struct Model {
    result: i64,
    carry: bool,
    overflow: bool,
    adjust: bool,
}

impl Model {
    fn flags<W: Width>(&self) -> Eflags {
        let bits = self.result as u32 & W::MASK;
        let mut flags = Eflags::empty();
        flags.set(Eflags::CF, self.carry);
        flags.set(Eflags::OF, self.overflow);
        flags.set(Eflags::AF, self.adjust);
        flags.set(Eflags::ZF, bits == 0);
        flags.set(Eflags::SF, bits >> (W::BITS - 1) == 1);
        flags.set(Eflags::PF, (bits as u8).count_ones().is_multiple_of(2));
        flags
    }
}

fn check<W: Width>(what: &str, operands: (u32, u32, bool), actual: (W, Eflags), model: &Model) {
    let expected = (W::truncate(model.result as u32), model.flags::<W>());
    assert_eq!(actual, expected, "{what} {operands:x?}");
}

/// Addition and subtraction in 64 bits, where nothing overflows.
fn check_sums<W: Width>(a: u32, b: u32, carry: bool) {
    let (x, y) = (W::truncate(a), W::truncate(b));
    let (unsigned, signed, in_carry) = (
        (i64::from(x.bits()), i64::from(y.bits())),
        (i64::from(x.signed()), i64::from(y.signed())),
        i64::from(carry),
    );
    let limit = 1_i64 << W::BITS;
    let fits = |value: i64| (-limit / 2..limit / 2).contains(&value);
    let sum = unsigned.0 + unsigned.1 + in_carry;
    let model = Model {
        result: sum,
        carry: sum >= limit,
        overflow: !fits(signed.0 + signed.1 + in_carry),
        adjust: unsigned.0 % 16 + unsigned.1 % 16 + in_carry > 15,
    };
    check("adc", (a, b, carry), arithmetic::adc(x, y, carry), &model);
    let difference = unsigned.0 - unsigned.1 - in_carry;
    let model = Model {
        result: difference,
        carry: difference < 0,
        overflow: !fits(signed.0 - signed.1 - in_carry),
        adjust: unsigned.0 % 16 - unsigned.1 % 16 - in_carry < 0,
    };
    check("sbb", (a, b, carry), arithmetic::sbb(x, y, carry), &model);
}

#[test]
fn sums_and_differences() {
    for a in 0..=255 {
        for b in 0..=255 {
            for carry in [false, true] {
                check_sums::<u8>(a, b, carry);
            }
        }
    }
    let edges = [0, 1, 15, 16, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    for a in edges {
        for b in edges {
            for carry in [false, true] {
                check_sums::<u16>(a, b, carry);
                check_sums::<u32>(a, b, carry);
            }
        }
    }
}

#[test]
fn increments_are_additions_that_keep_carry() {
    for a in 0..=255_u8 {
        let without_carry = |(value, flags): (u8, Eflags)| (value, flags.difference(Eflags::CF));
        assert_eq!(arithmetic::inc(a), without_carry(arithmetic::add(a, 1)));
        assert_eq!(arithmetic::dec(a), without_carry(arithmetic::sub(a, 1)));
        assert_eq!(arithmetic::neg(a), arithmetic::sub(0, a));
    }
}

#[test]
fn logic_clears_carry_and_overflow() {
    for a in 0..=255_u8 {
        for b in 0..=255_u8 {
            let model =
                |result: u8| Model { result: result.into(), carry: false, overflow: false, adjust: false };
            check("and", (a.into(), b.into(), false), logical::and(a, b), &model(a & b));
            check("or", (a.into(), b.into(), false), logical::or(a, b), &model(a | b));
            check("xor", (a.into(), b.into(), false), logical::xor(a, b), &model(a ^ b));
        }
    }
}

#[test]
fn products() {
    let wide = Eflags::CF.union(Eflags::OF);
    for a in 0..=255_u8 {
        for b in 0..=255_u8 {
            let product = u16::from(a) * u16::from(b);
            let [low, high] = product.to_le_bytes();
            let flags = if product > 0xff { wide } else { Eflags::empty() };
            assert_eq!(arithmetic::mul(a, b), (low, high, flags), "mul {a} {b}");
            let product = i16::from(a as i8) * i16::from(b as i8);
            let [low, high] = product.to_le_bytes();
            let flags = if i8::try_from(product).is_err() { wide } else { Eflags::empty() };
            assert_eq!(arithmetic::imul(a, b), (low, high, flags), "imul {a} {b}");
        }
    }
    assert_eq!(arithmetic::imul(u32::MAX, 2), (u32::MAX - 1, u32::MAX, Eflags::empty()));
    assert_eq!(arithmetic::imul(0x8000_0000_u32, 0x8000_0000), (0, 0x4000_0000, wide));
    assert_eq!(arithmetic::mul(u32::MAX, u32::MAX), (1, u32::MAX - 1, wide));
}

#[test]
fn quotients() {
    for dividend in (0..=u16::MAX).step_by(7) {
        let [low, high] = dividend.to_le_bytes();
        for divisor in 0..=255_u8 {
            let quotient = dividend.checked_div(divisor.into()).and_then(|q| u8::try_from(q).ok());
            let expected = quotient.map(|q| (q, (dividend % u16::from(divisor)) as u8));
            assert_eq!(arithmetic::div(high, low, divisor), expected, "div {dividend:#x} {divisor:#x}");
            let (signed, by) = (i32::from(dividend as i16), i32::from(divisor as i8));
            let quotient = signed.checked_div(by).and_then(|q| i8::try_from(q).ok());
            let expected = quotient.map(|q| (q as u8, (signed % by) as u8));
            assert_eq!(arithmetic::idiv(high, low, divisor), expected, "idiv {signed} {by}");
        }
    }
    // The most negative dividend of all by -1, and the most negative quotient that fits.
    assert_eq!(arithmetic::idiv::<u32>(0x8000_0000, 0, u32::MAX), None);
    assert_eq!(arithmetic::idiv::<u32>(0, 0x8000_0000, u32::MAX), Some((0x8000_0000, 0)));
    assert_eq!(arithmetic::idiv::<u32>(u32::MAX, 0x8000_0000, 1), Some((0x8000_0000, 0)));
    assert_eq!(arithmetic::idiv::<u32>(0, 0x8000_0000, 1), None);
}

/// A shift or rotate of one place: from the bits and CF to the bits and CF.
type OnePlace = fn(u64, u64, u32) -> (u64, u64);

/// Shifts and rotates one place at a time: the way that the SDM describes them.
fn check_shift<W: Width>(
    name: &str,
    function: fn(W, u8, Eflags) -> (W, Eflags),
    place: OnePlace,
    modulo: u32,
    value: u32,
) {
    let rotates = modulo != 0;
    for count in 0..=255_u8 {
        for before in [Eflags::empty(), Eflags::STATUS] {
            let mut bits = u64::from(value & W::MASK);
            let mut carry = u64::from(before.contains(Eflags::CF));
            let masked = u32::from(count) & 31;
            let places = if rotates && modulo > W::BITS { masked % modulo } else { masked };
            for _ in 0..places {
                (bits, carry) = place(bits, carry, W::BITS);
            }
            let (result, flags) = function(W::truncate(value), count, before);
            let what = format!("{name}{} {value:#x} by {count}, flags {before:?}", W::BITS);
            assert_eq!(u64::from(result.bits()), bits, "{what}");
            if masked == 0 {
                assert_eq!(flags, before, "{what}");
                continue;
            }
            assert_eq!(flags.contains(Eflags::CF), carry == 1, "{what}");
            if masked == 1 {
                let changed = (bits ^ u64::from(value)) >> (W::BITS - 1) & 1 == 1;
                assert_eq!(flags.contains(Eflags::OF), changed && name != "sar", "{what}");
            }
            let others = Eflags::SF.union(Eflags::ZF).union(Eflags::PF);
            let model = Model { result: bits as i64, carry: false, overflow: false, adjust: false };
            let expected = if rotates { before } else { model.flags::<W>() };
            assert_eq!(flags.intersection(others), expected.intersection(others), "{what}");
        }
    }
}

fn check_shifts<W: Width>(value: u32) {
    let shl: OnePlace = |bits, _, width| (bits << 1 & ((1 << width) - 1), bits >> (width - 1) & 1);
    let shr: OnePlace = |bits, _, _| (bits >> 1, bits & 1);
    let sar: OnePlace = |bits, _, width| (bits >> 1 | bits & 1 << (width - 1), bits & 1);
    let rol: OnePlace = |bits, _, width| {
        let out = bits >> (width - 1) & 1;
        (bits << 1 & ((1 << width) - 1) | out, out)
    };
    let ror: OnePlace = |bits, _, width| (bits >> 1 | (bits & 1) << (width - 1), bits & 1);
    let rcl: OnePlace =
        |bits, carry, width| (bits << 1 & ((1 << width) - 1) | carry, bits >> (width - 1) & 1);
    let rcr: OnePlace = |bits, carry, width| (bits >> 1 | carry << (width - 1), bits & 1);
    check_shift::<W>("shl", shift_rotate::shl, shl, 0, value);
    check_shift::<W>("shr", shift_rotate::shr, shr, 0, value);
    check_shift::<W>("sar", shift_rotate::sar, sar, 0, value);
    check_shift::<W>("rol", shift_rotate::rol, rol, W::BITS, value);
    check_shift::<W>("ror", shift_rotate::ror, ror, W::BITS, value);
    check_shift::<W>("rcl", shift_rotate::rcl, rcl, W::BITS + 1, value);
    check_shift::<W>("rcr", shift_rotate::rcr, rcr, W::BITS + 1, value);
}

#[test]
fn shifts_and_rotates_are_repeated_single_places() {
    for value in 0..=255 {
        check_shifts::<u8>(value);
    }
    for value in [0, 1, 0x1234, 0x7fff, 0x8000, 0xabcd, 0xffff] {
        check_shifts::<u16>(value);
    }
    for value in [0, 1, 0x1234_5678, 0x7fff_ffff, 0x8000_0000, 0xdead_beef, u32::MAX] {
        check_shifts::<u32>(value);
    }
}

#[test]
fn double_shifts_take_bits_from_the_source() {
    for (value, source) in [(0x1234_5678_u32, 0x9abc_def0_u32), (0, u32::MAX), (0x8000_0001, 1)] {
        for count in 1..32_u8 {
            let pair = u64::from(value) << 32 | u64::from(source);
            let (result, flags) = shift_rotate::shld(value, source, count, Eflags::empty());
            assert_eq!(result, (pair << count >> 32) as u32, "shld by {count}");
            assert_eq!(flags.contains(Eflags::CF), value >> (32 - count) & 1 == 1, "shld by {count}");
            let pair = u64::from(source) << 32 | u64::from(value);
            let (result, flags) = shift_rotate::shrd(value, source, count, Eflags::empty());
            assert_eq!(result, (pair >> count) as u32, "shrd by {count}");
            assert_eq!(flags.contains(Eflags::CF), value >> (count - 1) & 1 == 1, "shrd by {count}");
        }
        assert_eq!(shift_rotate::shld(value, source, 32, Eflags::STATUS), (value, Eflags::STATUS));
    }
    // 16-bit operands by more than 16, as Zen 4 has it: the source follows itself.
    assert_eq!(shift_rotate::shld(0x8001_u16, 0x1234, 20, Eflags::empty()).0, 0x2341);
    assert_eq!(shift_rotate::shrd(0x8001_u16, 0x1234, 20, Eflags::empty()).0, 0x4123);
}

#[test]
fn packed_decimals_add_and_subtract() {
    let number = |bcd: u8| u32::from(bcd >> 4) * 10 + u32::from(bcd & 15);
    let bcd = |number: u32| (number / 10 * 16 + number % 10) as u8;
    for a in 0..100 {
        for b in 0..100 {
            let (sum, flags) = arithmetic::add(bcd(a), bcd(b));
            let (adjusted, flags) = decimal_arithmetic::daa(sum, flags);
            assert_eq!(
                (number(adjusted), flags.contains(Eflags::CF)),
                ((a + b) % 100, a + b > 99),
                "{a} + {b}"
            );
            let (difference, flags) = arithmetic::sub(bcd(a), bcd(b));
            let (adjusted, flags) = decimal_arithmetic::das(difference, flags);
            let expected = ((100 + a - b) % 100, a < b);
            assert_eq!((number(adjusted), flags.contains(Eflags::CF)), expected, "{a} - {b}");
        }
    }
}

#[test]
fn unpacked_decimals_add_and_subtract() {
    for a in 0..10_u8 {
        for b in 0..10_u8 {
            let (sum, flags) = arithmetic::add(a, b);
            let (ax, flags) = decimal_arithmetic::aaa(sum.into(), flags);
            let [al, ah] = ax.to_le_bytes();
            assert_eq!((al, ah), ((a + b) % 10, (a + b) / 10), "{a} + {b}");
            assert_eq!(flags.contains(Eflags::CF), a + b > 9);
            let (difference, flags) = arithmetic::sub(a, b);
            let (ax, flags) = decimal_arithmetic::aas(0x0500 | u16::from(difference), flags);
            let [al, ah] = ax.to_le_bytes();
            assert_eq!((al, ah), ((10 + a - b) % 10, if a < b { 4 } else { 5 }), "{a} - {b}");
            assert_eq!(flags.contains(Eflags::CF), a < b);
        }
    }
    assert_eq!(decimal_arithmetic::aam(123, 10).map(|(ax, _)| ax), Some(0x0c03));
    assert_eq!(decimal_arithmetic::aam(123, 0), None);
    assert_eq!(decimal_arithmetic::aad(0x0c03, 10).0, 123);
}

#[test]
fn bit_scans_and_counts() {
    for source in 0..=u16::MAX {
        let lowest = (0..16).find(|bit| source >> bit & 1 == 1);
        let highest = (0..16).rev().find(|bit| source >> bit & 1 == 1);
        let (index, flags) = bit_byte::bsf(source);
        assert_eq!((index, flags.contains(Eflags::ZF)), (lowest, source == 0));
        let (index, flags) = bit_byte::bsr(source);
        assert_eq!((index, flags.contains(Eflags::ZF)), (highest, source == 0));
        assert_eq!(bit_byte::tzcnt(source, Eflags::empty()).0, lowest.unwrap_or(16));
        assert_eq!(bit_byte::lzcnt(source, Eflags::empty()).0, highest.map_or(16, |bit| 15 - bit));
        let ones = (0..16).filter(|bit| source >> bit & 1 == 1).count() as u16;
        assert_eq!(bit_byte::popcnt(source).0, ones);
    }
}

#[test]
fn crc32c_of_the_check_string() {
    let bytes = b"123456789";
    let by_bytes = bytes.iter().fold(u32::MAX, |crc, byte| bit_byte::crc32(crc, *byte));
    assert_eq!(!by_bytes, 0xe306_9283);
    let crc = bit_byte::crc32(u32::MAX, u32::from_le_bytes(*b"1234"));
    let crc = bit_byte::crc32(crc, u16::from_le_bytes(*b"56"));
    let crc = bit_byte::crc32(crc, u16::from_le_bytes(*b"78"));
    assert_eq!(bit_byte::crc32(crc, b'9'), by_bytes);
}
