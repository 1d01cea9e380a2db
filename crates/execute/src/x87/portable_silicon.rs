//! The portable functions against the host's own: within one unit in the last place, special
//! operands exactly.

use std::format;
use std::string::String;
use std::vec::Vec;

use pentimento_registers::F80;

use super::transcendental::Answer;
use super::{host, portable};
use crate::float::silicon::{Random, interesting};
use crate::float::{Class, Flags, Format};

/// How many representable numbers lie between two.
fn distance(a: F80, b: F80) -> u128 {
    let rank = |value: F80| u128::from(value.exponent()) << 63 | u128::from(value.significand << 1 >> 1);
    if a.is_negative() == b.is_negative() { rank(a).abs_diff(rank(b)) } else { u128::MAX }
}

#[track_caller]
fn check(
    operands: impl Iterator<Item = (F80, F80)>,
    ours: impl Fn(F80, F80, u16) -> Answer,
    theirs: impl Fn(F80, F80, u16) -> Answer,
) {
    let mut wrong = Vec::<String>::new();
    let mut count = 0;
    for (index, (a, b)) in operands.enumerate() {
        let control = 0x37f | (index as u16 & 3) << 10;
        let (ours, theirs) = (ours(a, b, control), theirs(a, b, control));
        let numbers = theirs.value.unpack().class == Class::Finite;
        let close = |ours: F80, theirs: F80| ours == theirs || (numbers && distance(ours, theirs) <= 1);
        let same = ours.out_of_range == theirs.out_of_range
            && ours.flags & Flags::BEFORE_COMPUTATION == theirs.flags & Flags::BEFORE_COMPUTATION
            && close(ours.value, theirs.value)
            && (ours.out_of_range || close(ours.second, theirs.second));
        if !same {
            count += 1;
            if wrong.len() < 40 {
                wrong.push(format!("{a:x?} {b:x?} {control:x}: ours {ours:x?}, silicon {theirs:x?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{count} {wrong:#?}");
}

/// Interesting numbers, and random ones below 1.
fn single() -> impl Iterator<Item = (F80, F80)> {
    let mut random = Random(0x0123_4567_89ab_cdef);
    let near = (0..20_000).map(move |_| {
        let bits = random.next();
        let exponent = 0x3ffe - (bits % 40) as u16;
        F80::new(exponent | (bits >> 48) as u16 & 0x8000, random.next() | 1 << 63)
    });
    interesting().chain(near).map(|value| (value, value))
}

/// The angles that need no reduction or are beyond it: silicon reduces with 66 bits of pi, and is
/// itself far from the true value in between.
fn angles() -> impl Iterator<Item = (F80, F80)> {
    single().filter(|(angle, _)| !(0x3ffe..0x403e).contains(&angle.exponent()))
}

#[test]
fn sine() {
    check(angles(), |a, _, control| portable::sine(a, control), |a, _, control| host::sine(a, control));
}

#[test]
fn cosine() {
    check(angles(), |a, _, control| portable::cosine(a, control), |a, _, control| host::cosine(a, control));
}

#[test]
fn sine_and_cosine() {
    check(
        angles(),
        |a, _, control| portable::sine_and_cosine(a, control),
        |a, _, control| host::sine_and_cosine(a, control),
    );
}

#[test]
fn tangent() {
    check(angles(), |a, _, control| portable::tangent(a, control), |a, _, control| host::tangent(a, control));
}

/// Angle, sine, cosine and tangent, correctly rounded from 700 bits; the last four angles are
/// those closest to multiples of pi/2.
#[rustfmt::skip]
const REDUCED: &[[F80; 4]] = &[
    [F80::new(0x3fff, 0x8000000000000000), F80::new(0x3ffe, 0xd76aa47848677021), F80::new(0x3ffe, 0x8a51407da8345c92), F80::new(0x3fff, 0xc75922e5f71d2dc5)],
    [F80::new(0x4000, 0xc90fdaa22168c234), F80::new(0x3fc0, 0xc4c6628b80dc1cd1), F80::new(0xbfff, 0x8000000000000000), F80::new(0xbfc0, 0xc4c6628b80dc1cd1)],
    [F80::new(0x4000, 0xc90fdaa22168c235), F80::new(0xbfbe, 0xece675d1fc8f8cbb), F80::new(0xbfff, 0x8000000000000000), F80::new(0x3fbe, 0xece675d1fc8f8cbb)],
    [F80::new(0x3fff, 0xc90fdaa22168c235), F80::new(0x3fff, 0x8000000000000000), F80::new(0xbfbd, 0xece675d1fc8f8cbb), F80::new(0xc040, 0x8a51e04daabda35f)],
    [F80::new(0x3fff, 0xc90fdaa22168c234), F80::new(0x3fff, 0x8000000000000000), F80::new(0x3fbf, 0xc4c6628b80dc1cd1), F80::new(0x403e, 0xa686780675d73f75)],
    [F80::new(0x4001, 0x96cbe3f9990e91a8), F80::new(0xbfff, 0x8000000000000000), F80::new(0x3fc0, 0xd8d66c2ebeb5d4c6), F80::new(0xc03d, 0x971e224f6c0521c6)],
    [F80::new(0x4003, 0x9b53d14aa9c2f2c4), F80::new(0x3ffe, 0x895cd7bebb2d2a85), F80::new(0x3ffe, 0xd806d0235b2f157d), F80::new(0x3ffe, 0xa2c7b75e7039d72e)],
    [F80::new(0x400e, 0x8000000000000000), F80::new(0x3ffe, 0xed87fe1f66371dc7), F80::new(0x3ffd, 0xbef1b508ceba56b9), F80::new(0x4000, 0x9f3ad24dada22f4e)],
    [F80::new(0x401e, 0xdeadbeefcafebabe), F80::new(0x3ffe, 0xe0ed0cbdd7378631), F80::new(0xbffd, 0xf47e6a29ffc5fbce), F80::new(0xbfff, 0xeb82e34ed2ec39e2)],
    [F80::new(0x403d, 0xffffffffffffffff), F80::new(0x3ffe, 0xdf327e112abeef8f), F80::new(0x3ffd, 0xfac035ec484929c2), F80::new(0x3fff, 0xe3de9ed3992f3138)],
    [F80::new(0x403d, 0x8000000000000000), F80::new(0xbffe, 0xb3f2b9aaf80a3946), F80::new(0xbffe, 0xb6158fc106383e05), F80::new(0x3ffe, 0xfcff2df3327d3a09)],
    [F80::new(0x4030, 0x9876543210fedcba), F80::new(0x3ffe, 0xf77fa7a1612a5691), F80::new(0x3ffd, 0x82d98c6a57cb49c6), F80::new(0x4000, 0xf21bbc14b86a4130)],
    [F80::new(0x3ffe, 0xc90fdaa22168c235), F80::new(0x3ffe, 0xb504f333f9de6485), F80::new(0x3ffe, 0xb504f333f9de6484), F80::new(0x3fff, 0x8000000000000000)],
    [F80::new(0x3ffe, 0x8000000000000000), F80::new(0x3ffd, 0xf57743a2582f7f44), F80::new(0x3ffe, 0xe0a94032dbea7cee), F80::new(0x3ffe, 0x8bda7adf9a3a5219)],
    [F80::new(0x4038, 0xdc8d3f907e454e40), F80::new(0xbfff, 0x8000000000000000), F80::new(0xbfc4, 0xdb0afb1016bcfe4b), F80::new(0x4039, 0x9598a533ff060c5d)],
    [F80::new(0x4039, 0xbef695af22e28760), F80::new(0x3fc3, 0xaee22f5679b683ba), F80::new(0x3fff, 0x8000000000000000), F80::new(0x3fc3, 0xaee22f5679b683ba)],
    [F80::new(0x403a, 0xf619e5934273daf0), F80::new(0xbfff, 0x8000000000000000), F80::new(0xbfc2, 0xb0a32ee67419ea43), F80::new(0x403b, 0xb9828b7b400fbbae)],
    [F80::new(0x403b, 0xaaca983569f28f50), F80::new(0xbfff, 0x8000000000000000), F80::new(0x3fc2, 0xad212fc67f531d31), F80::new(0xc03b, 0xbd44c1937c802479)],
];

#[test]
fn reduction_is_exact() {
    for &[angle, sine, cosine, tangent] in REDUCED {
        let both = portable::sine_and_cosine(angle, 0x37f);
        assert_eq!([both.second, both.value], [sine, cosine], "{angle:x?}");
        assert_eq!(portable::sine(angle, 0x37f).value, sine, "{angle:x?}");
        assert_eq!(portable::cosine(angle, 0x37f).value, cosine, "{angle:x?}");
        assert_eq!(portable::tangent(angle, 0x37f).second, tangent, "{angle:x?}");
    }
}

#[test]
fn power() {
    check(single(), |a, _, control| portable::power(a, control), |a, _, control| host::power(a, control));
}

/// All pairs of some interesting numbers, and random pairs.
fn pairs() -> impl Iterator<Item = (F80, F80)> {
    let values: Vec<F80> = interesting().collect();
    let some: Vec<F80> = values.iter().copied().step_by(7).collect();
    let all: Vec<(F80, F80)> = values.iter().flat_map(|&a| some.iter().map(move |&b| (a, b))).collect();
    let mut random = Random(0xfedc_ba98_7654_3210);
    let near = (0..20_000).map(move |_| {
        let bits = random.next();
        let exponent = |bits: u64| 0x3fff - 40 + (bits % 80) as u16;
        let a = F80::new(exponent(bits) | (bits >> 48) as u16 & 0x8000, random.next() | 1 << 63);
        let b = F80::new(exponent(bits >> 20) | (bits >> 47) as u16 & 0x8000, random.next() | 1 << 63);
        (a, b)
    });
    all.into_iter().chain(near)
}

#[test]
fn arctangent() {
    check(pairs(), portable::arctangent, host::arctangent);
}

#[test]
fn logarithm() {
    check(pairs(), portable::logarithm, host::logarithm);
}

#[test]
fn logarithm_of_successor() {
    // Beyond 1 - sqrt(2)/2 the instruction is undefined.
    let defined = pairs().filter(|(x, _)| !(0x3ffd..0x7fff).contains(&x.exponent()));
    check(defined, portable::logarithm_of_successor, host::logarithm_of_successor);
}

#[test]
fn beyond_the_defined_range() {
    let one = F80::new(0x3fff, 1 << 63);
    let three = F80::new(0x4000, 3 << 62);
    let two = portable::logarithm_of_successor(three, one, 0x37f);
    assert_eq!(two.value, F80::new(0x4000, 1 << 63), "log2(3 + 1)");
    let minus_one = F80::new(0xbfff, 1 << 63);
    assert_eq!(portable::logarithm_of_successor(minus_one, one, 0x37f).flags, Flags::INVALID);
}
