//! The arithmetic against the host's own x87 unit: every pair of interesting operands and random
//! ones under all rounding and precision modes, exceptions masked and unmasked.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use pentimento_registers::{ControlWord, F80, Mxcsr};

use super::*;
use crate::x87::host::oracle;

/// A small generator: the sequence is the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Bit patterns at every boundary of the format, in both signs.
pub(crate) fn interesting() -> impl Iterator<Item = F80> {
    const EXPONENTS: &[u16] = &[
        0, 1, 2, 24, 53, 64, 0x2000, 0x3f80, 0x3fbe, 0x3fbf, 0x3fc0, 0x3ffd, 0x3ffe, 0x3fff, 0x4000, 0x400e,
        0x401e, 0x403d, 0x403e, 0x403f, 0x5ffe, 0x7ffd, 0x7ffe, 0x7fff,
    ];
    const SIGNIFICANDS: &[u64] = &[
        0,
        1,
        1 << 62,
        (1 << 62) + 1,
        (1 << 63) - 1,
        1 << 63,
        (1 << 63) + 1,
        (1 << 63) + (1 << 10),
        (1 << 63) + (1 << 39),
        (1 << 63) + (3 << 10),
        0xc000_0000_0000_0000,
        0xc123_4567_89ab_cdef,
        0xffff_ff00_0000_0000,
        0xffff_ffff_ffff_f800,
        u64::MAX,
    ];
    EXPONENTS.iter().flat_map(|&exponent| {
        SIGNIFICANDS
            .iter()
            .flat_map(move |&significand| [0, 0x8000].map(|sign| F80::new(sign | exponent, significand)))
    })
}

/// Random bits, with exponents close to each other half of the time.
fn random_pair(random: &mut Random) -> (F80, F80) {
    let (a, b, bits) = (random.next(), random.next(), random.next());
    let first = bits as u16;
    let second =
        if bits >> 63 == 0 { (bits >> 16) as u16 } else { first.wrapping_add((bits >> 20) as u16 & 0x7f) };
    let thin = |value: u64, how: u64| match how & 7 {
        0 => value & 0xffff_ff00_0000_0000 | 1 << 63,
        1 => value & 0xffff_ffff_ffff_f800 | 1 << 63,
        2 => value & 0xffff_0000_0000_0001 | 1 << 63,
        3 => value,
        _ => value | 1 << 63,
    };
    (F80::new(first, thin(a, bits >> 32)), F80::new(second, thin(b, bits >> 36)))
}

/// All precision and rounding modes, each with these exception masks.
fn controls() -> impl Iterator<Item = u16> {
    const MASKS: [u16; 8] = [0x3f, 0x37, 0x2f, 0x3d, 0x3e, 0x3b, 0x1f, 0x00];
    (0..16).flat_map(|modes| MASKS.map(|masks| modes << 8 | masks | 0x40))
}

type Answer = (F80, u16);

/// What ST(0) and the status word are after an instruction that answers `value` with `flags`.
fn architectural(st0: F80, (value, flags): (F80, Flags), control: u16) -> Answer {
    let unmasked = Flags::from_bits_truncate(!control as u8 & 0x3f);
    let stopped = flags.intersects(unmasked & Flags::BEFORE_COMPUTATION);
    let mut status = u16::from((flags & Flags::EXCEPTIONS).bits());
    if flags.contains(Flags::ROUNDED_UP) {
        status |= 1 << 9;
    }
    if flags.intersects(unmasked) {
        status |= 0x8080;
    }
    (if stopped { st0 } else { value }, status)
}

/// Compares on all pairs of interesting values under two control words each, and on random pairs.
#[track_caller]
fn check_pairs(
    compared_status: u16,
    soft: impl Fn(Unpacked, Unpacked, &Rules) -> (F80, Flags),
    host: impl Fn(F80, F80, u16) -> Answer,
) {
    let controls: Vec<u16> = controls().collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut wrong = Vec::<String>::new();
    let mut check = |a: F80, b: F80, control: u16| {
        let rules = Rules::from_control_word(ControlWord::from_bits_truncate(control));
        let ours = architectural(a, soft(a.unpack(), b.unpack(), &rules), control);
        let theirs = host(a, b, control);
        let status = (ours.1 & compared_status, theirs.1 & compared_status);
        if (ours.0, status.0) != (theirs.0, status.1) && wrong.len() < 20 {
            wrong.push(format!(
                "{a:x?} {b:x?} control {control:x}: ours {:x?} {:x}, silicon {:x?} {:x}",
                ours.0, status.0, theirs.0, status.1
            ));
        }
    };
    let values: Vec<F80> = interesting().collect();
    for (index, &a) in values.iter().enumerate() {
        // Every fifth of the others, each time another fifth.
        for &b in values.iter().skip(index % 5).step_by(5) {
            check(a, b, 0x37f);
            check(a, b, controls[random.next() as usize % controls.len()]);
        }
    }
    for _ in 0..100_000 {
        let (a, b) = random_pair(&mut random);
        check(a, b, controls[random.next() as usize % controls.len()]);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Exceptions, stack fault, summary, C1 and busy.
const WITH_C1: u16 = 0x82ff;
/// The same without C1.
const WITHOUT_C1: u16 = 0x80ff;

#[test]
fn addition() {
    check_pairs(WITH_C1, add, oracle::add);
}

#[test]
fn subtraction() {
    check_pairs(WITH_C1, sub, oracle::sub);
}

#[test]
fn multiplication() {
    check_pairs(WITH_C1, mul, oracle::mul);
}

#[test]
fn division() {
    check_pairs(WITH_C1, div, oracle::div);
}

#[test]
fn square_root() {
    check_pairs(WITH_C1, |a, _, rules| sqrt(a, rules), oracle::sqrt);
}

#[test]
fn rounding_to_integral() {
    check_pairs(WITH_C1, |a, _, rules| round_to_integral(a, rules), oracle::rndint);
}

#[test]
fn scaling() {
    check_pairs(WITH_C1, |a, b, rules| scale(a, b, &rules.with_extended_precision()), oracle::scale);
}

#[test]
fn partial_remainder() {
    for (quotient, host) in [
        (Quotient::Truncated, oracle::prem as fn(F80, F80, u16) -> Answer),
        (Quotient::Nearest, oracle::prem1),
    ] {
        check_pairs(
            WITHOUT_C1,
            |a, b, rules| {
                let result = remainder(a, b, quotient, rules);
                (result.value, result.flags)
            },
            host,
        );
    }
}

/// Bit patterns at every boundary of a format of 32 or 64 bits with `fraction` bits.
fn interesting_bits(width: u32, fraction: u32) -> Vec<u64> {
    let ones = (1_u64 << (width - 1 - fraction)) - 1;
    let bias = ones >> 1;
    let all = (1 << fraction) - 1;
    let middle = u64::from(fraction);
    let exponents = [
        0,
        1,
        2,
        middle,
        bias / 2,
        bias - middle - 1,
        bias - middle,
        bias - 1,
        bias,
        bias + 1,
        bias + middle,
        bias + 31,
        bias + 32,
        bias + 62,
        bias + 63,
        ones - 2,
        ones - 1,
        ones,
    ];
    let fractions = [
        0,
        1,
        2,
        all / 3,
        all / 2,
        all / 2 + 1,
        all / 2 + 2,
        all - 1,
        all,
        1 << (fraction / 2),
        all >> 29 << 29,
    ];
    let mut values = vec![];
    for exponent in exponents {
        for low in fractions {
            let magnitude = exponent << fraction | low;
            values.extend([magnitude, magnitude | 1 << (width - 1)]);
        }
    }
    values
}

/// Compares scalar SSE operations with silicon under all rounding modes, DAZ and FZ.
#[track_caller]
fn check_sse(
    name: &str,
    values: &[u64],
    soft: impl Fn(u64, u64, &Rules) -> (u64, Flags),
    host: impl Fn(u64, u64, u32) -> (u64, u32),
) {
    let mut random = Random(0x1234_5678_9abc_def1);
    for &a in values {
        for &b in values {
            let bits = random.next();
            let (a, b) = if bits & 3 == 0 { (a ^ (bits >> 40), b ^ (bits >> 50)) } else { (a, b) };
            let control = ((bits >> 8) as u32 & 3) << 13 | ((bits >> 10) as u32 & 0x8040) | 0x1f80;
            let rules = Rules::from_mxcsr(Mxcsr::from_bits_truncate(control));
            let (ours, flags) = soft(a, b, &rules);
            let (theirs, after) = host(a, b, control);
            let flags = u32::from((flags & Flags::EXCEPTIONS).bits());
            assert_eq!((ours, flags), (theirs, after & 0x3f), "{name} {a:#x} {b:#x} MXCSR {control:#x}");
        }
    }
}

#[test]
fn sse_arithmetic() {
    type Soft<F> = fn(Unpacked, Unpacked, &Rules) -> (F, Flags);
    type Host = fn(u64, u64, u32) -> (u64, u32);
    fn root<F: Format>(_: Unpacked, b: Unpacked, rules: &Rules) -> (F, Flags) {
        sqrt(b, rules)
    }
    let single: [(&str, Soft<u32>, Host); 5] = [
        ("addss", add, oracle::addss),
        ("subss", sub, oracle::subss),
        ("mulss", mul, oracle::mulss),
        ("divss", div, oracle::divss),
        ("sqrtss", root, oracle::sqrtss),
    ];
    for (name, soft, host) in single {
        let soft = |a: u64, b: u64, rules: &Rules| {
            let (value, flags) = soft((a as u32).unpack_in(rules), (b as u32).unpack_in(rules), rules);
            (a >> 32 << 32 | u64::from(value), flags)
        };
        check_sse(name, &interesting_bits(32, 23), soft, host);
    }
    let double: [(&str, Soft<u64>, Host); 5] = [
        ("addsd", add, oracle::addsd),
        ("subsd", sub, oracle::subsd),
        ("mulsd", mul, oracle::mulsd),
        ("divsd", div, oracle::divsd),
        ("sqrtsd", root, oracle::sqrtsd),
    ];
    for (name, soft, host) in double {
        let soft = |a: u64, b: u64, rules: &Rules| soft(a.unpack_in(rules), b.unpack_in(rules), rules);
        check_sse(name, &interesting_bits(64, 52), soft, host);
    }
}

#[test]
fn sse_conversions() {
    let widen = |_: u64, b: u64, rules: &Rules| convert((b as u32).unpack_in(rules), rules);
    check_sse("cvtss2sd", &interesting_bits(32, 23), widen, oracle::cvtss2sd);
    let narrow = |a: u64, b: u64, rules: &Rules| {
        let (value, flags) = convert::<u32>(b.unpack_in(rules), rules);
        (a >> 32 << 32 | u64::from(value), flags)
    };
    check_sse("cvtsd2ss", &interesting_bits(64, 52), narrow, oracle::cvtsd2ss);
}
