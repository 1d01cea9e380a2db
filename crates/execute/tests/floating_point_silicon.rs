//! SSE floating point against the host's own, exceptions masked: results and MXCSR, bit for bit.
#![cfg(target_arch = "x86_64")]

#[path = "../../conformance/src/make.rs"]
#[allow(dead_code, unreachable_pub, reason = "the one table of makes, of which this asks one question")]
mod make;

use std::arch::asm;

use make::{Freedom, Make};
use pentimento_decoder::Operation;
use pentimento_execute::vector::{approximation, comparison, floating_point};
use pentimento_registers::{Eflags, Mxcsr};

/// Destination, source and MXCSR before; destination and MXCSR after.
type Silicon = unsafe fn(u128, u128, u32) -> (u128, u32);

/// One assembly line between LDMXCSR and STMXCSR, on `xmm0` and `xmm1`.
macro_rules! silicon {
    ($line:expr) => {{
        unsafe fn run(mut a: u128, b: u128, mut mxcsr: u32) -> (u128, u32) {
            let initial = Mxcsr::INITIAL.bits();
            // SAFETY: the references are to sixteen and four bytes on the stack, MXCSR is put back to what
            // Rust expects, and all exceptions are masked.
            unsafe {
                asm!(
                    "movdqu xmm0, [{a}]",
                    "movdqu xmm1, [{b}]",
                    "ldmxcsr [{mxcsr}]",
                    $line,
                    "stmxcsr [{mxcsr}]",
                    "ldmxcsr [{initial}]",
                    "movdqu [{a}], xmm0",
                    a = in(reg) &mut a,
                    b = in(reg) &b,
                    mxcsr = in(reg) &mut mxcsr,
                    initial = in(reg) &initial,
                    out("xmm0") _,
                    out("xmm1") _,
                    out("rax") _,
                );
            }
            (a, mxcsr)
        }
        run as Silicon
    }};
}

macro_rules! table {
    ($name:ident, { $($operation:ident $($line:literal)?;)* }) => {
        const $name: &[(Operation, Silicon)] = &[$((Operation::$operation, table!(@ $operation $($line)?))),*];
    };
    (@ $operation:ident $line:literal) => { silicon!($line) };
    (@ $operation:ident) => { silicon!(concat!(stringify!($operation), " xmm0, xmm1")) };
}

#[rustfmt::skip]
table!(BINARY, {
    Addps; Addpd; Addss; Addsd; Subps; Subpd; Subss; Subsd; Mulps; Mulpd; Mulss; Mulsd;
    Divps; Divpd; Divss; Divsd; Sqrtps; Sqrtpd; Sqrtss; Sqrtsd;
    Haddps; Haddpd; Hsubps; Hsubpd; Addsubps; Addsubpd;
    Minps; Minpd; Minss; Minsd; Maxps; Maxpd; Maxss; Maxsd;
    Cvtss2sd; Cvtsd2ss; Cvtps2pd; Cvtpd2ps; Cvtdq2ps; Cvtdq2pd;
    Cvtps2dq; Cvttps2dq; Cvtpd2dq; Cvttpd2dq;
    Cvtsi2ss "movd eax, xmm1\ncvtsi2ss xmm0, eax";
    Cvtsi2sd "movd eax, xmm1\ncvtsi2sd xmm0, eax";
    Cvtss2si "cvtss2si eax, xmm1\nmovd xmm0, eax";
    Cvtsd2si "cvtsd2si eax, xmm1\nmovd xmm0, eax";
    Cvttss2si "cvttss2si eax, xmm1\nmovd xmm0, eax";
    Cvttsd2si "cvttsd2si eax, xmm1\nmovd xmm0, eax";
});

// Those that are the same on every processor only in part: compared where the host has the same table.
#[rustfmt::skip]
table!(APPROXIMATIONS, { Rcpps; Rcpss; Rsqrtps; Rsqrtss; });

macro_rules! immediates {
    ($($operation:ident: $($immediate:literal)*;)*) => {
        &[$($((
            Operation::$operation,
            $immediate,
            silicon!(concat!(stringify!($operation), " xmm0, xmm1, ", stringify!($immediate))),
        )),*),*]
    };
}

#[rustfmt::skip]
const WITH_IMMEDIATE: &[(Operation, u8, Silicon)] = immediates! {
    Cmpps: 0 1 2 3 4 5 6 7; Cmppd: 0 1 2 3 4 5 6 7; Cmpss: 0 1 2 3 4 5 6 7; Cmpsd: 0 1 2 3 4 5 6 7;
    Roundps: 0 1 2 3 4 8 9 10 11 12 15; Roundpd: 0 1 2 3 4 8 9 10 11 12 15;
    Roundss: 0 1 2 3 4 8 9 10 11 12 15; Roundsd: 0 1 2 3 4 8 9 10 11 12 15;
    Dpps: 0x00 0xff 0xf1 0x7f 0x31 0x8f; Dppd: 0x00 0x33 0x31 0x13 0x22;
};

/// Flags in EAX.
macro_rules! ordered {
    ($operation:literal) => {
        silicon!(concat!($operation, " xmm0, xmm1\npushfq\npop rax\nmovd xmm0, eax"))
    };
}

/// A generator of numbers (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    /// A number of a format with `fraction` fraction bits and `exponent` exponent bits: its exponent
    /// often at an edge or near the middle, its fraction often with few bits.
    fn float(&mut self, fraction: u32, exponent: u32) -> u64 {
        let top = (1 << exponent) - 1;
        let middle = top / 2;
        let random = self.next();
        let biased = match random & 15 {
            0 => 0,
            1 => 1,
            2 => 2,
            3 => top,
            4 => top - 1,
            5 | 6 => random >> 8 & top,
            7 => middle + 31,
            8 => middle / 2 + (random >> 8 & 3),
            9 => middle + middle / 2 - (random >> 8 & 3),
            _ => middle - 4 + (random >> 8 & 15),
        };
        let all = (1 << fraction) - 1;
        let bits = match random >> 4 & 7 {
            0 => 0,
            1 => all,
            2 => 1,
            3 => 1 << (fraction - 1),
            4 => (all << ((random >> 32) % u64::from(fraction))) & all,
            5 => 1 << ((random >> 32) % u64::from(fraction)),
            _ => self.next() & all,
        };
        (random >> 63) << (fraction + exponent) | biased << fraction | bits
    }

    /// Four singles, two doubles, or any bits.
    fn vector(&mut self) -> u128 {
        match self.next() % 9 {
            0 => u128::from(self.next()) << 64 | u128::from(self.next()),
            1..5 => (0..4).fold(0, |vector, _| vector << 32 | u128::from(self.float(23, 8))),
            _ => (0..2).fold(0, |vector, _| vector << 64 | u128::from(self.float(52, 11))),
        }
    }

    /// All masked; every rounding mode, DAZ and FZ, some sticky flags; half the time as a process starts.
    fn mxcsr(&mut self) -> Mxcsr {
        let random = self.next() as u32;
        let modes = Mxcsr::RC0 | Mxcsr::RC1 | Mxcsr::FZ | Mxcsr::DAZ;
        let control = if random & 1 << 20 == 0 { 0 } else { random & modes.bits() };
        let sticky = if random & 1 << 21 == 0 { 0 } else { random & Mxcsr::EXCEPTIONS.bits() };
        Mxcsr::from_bits_truncate(Mxcsr::INITIAL.bits() | control | sticky)
    }
}

const CASES: usize = 20_000;

/// Every NaN lane of a dot product as one NaN, where the host's make picks another one than the engines.
fn settled(name: &str, value: u128, make: &Make) -> u128 {
    let bits = match name {
        "dpps" => 32,
        "dppd" => 64,
        _ => return value,
    };
    if !make.may_differ(Freedom::DotProductNan, name) {
        return value;
    }
    let infinity: u128 = if bits == 32 { 0x7f80_0000 } else { 0x7ff0_0000_0000_0000 };
    let all = u128::MAX >> (128 - bits);
    let lanes = (0..128 / bits).map(|lane| (value >> (lane * bits) & all, lane * bits));
    lanes.fold(0, |vector, (lane, shift)| {
        let is_nan = lane & all >> 1 > infinity;
        vector | if is_nan { all } else { lane } << shift
    })
}

/// Checks `ours` against `silicon` on [`CASES`] operands.
fn check(name: &str, silicon: Silicon, ours: impl Fn(&mut u128, &u128, Mxcsr) -> Mxcsr) {
    let (mut numbers, make) = (Numbers(name.len() as u64), Make::host());
    let operation = name.split(' ').next().unwrap_or(name);
    for _ in 0..CASES {
        let (a, b, mxcsr) = (numbers.vector(), numbers.vector(), numbers.mxcsr());
        let mut result = a;
        let after = ours(&mut result, &b, mxcsr);
        // SAFETY: all exceptions are masked.
        let (expected, expected_mxcsr) = unsafe { silicon(a, b, mxcsr.bits()) };
        let context =
            format!("{name} {a:#034x}, {b:#034x} under {mxcsr:?}: {result:#034x} not {expected:#034x}");
        let (result, expected) = (settled(operation, result, &make), settled(operation, expected, &make));
        assert_eq!((result, after), (expected, Mxcsr::from_bits_truncate(expected_mxcsr)), "{context}");
    }
}

#[test]
fn arithmetic_agrees() {
    if is_x86_feature_detected!("sse4.1") {
        for &(operation, silicon) in BINARY {
            let ours = floating_point::binary(operation).expect("in the table");
            check(operation.mnemonic(), silicon, |a, b, mxcsr| {
                let flags = ours(a, b, mxcsr);
                floating_point::settle(mxcsr, flags).0
            });
        }
    }
}

/// The same vector with exponents around zero, single or double.
fn moderate(vector: u128) -> u128 {
    (0..4).fold(0, |moderate, lane| {
        let bits = (vector >> (32 * lane)) as u32;
        let exponent = if bits & 1 << 27 != 0 { 0x4000_0000 } else { 0x3000_0000 };
        moderate | u128::from(bits & 0x8fff_ffff | exponent) << (32 * lane)
    })
}

/// Where the host alone answers it is right, and where it does not it changes nothing.
#[test]
fn the_host_alone_agrees() {
    let mut operations = 0;
    for &(operation, silicon) in BINARY {
        let Some(host) = floating_point::middling(operation) else { continue };
        operations += 1;
        let mut numbers = Numbers(operation as u64);
        let mut answers = 0;
        for case in 0..CASES {
            let (mut a, mut b) = (numbers.vector(), numbers.vector());
            if case % 2 == 0 {
                (a, b) = (moderate(a), moderate(b));
            }
            let mxcsr = Mxcsr::INITIAL | Mxcsr::PE | numbers.mxcsr().intersection(Mxcsr::EXCEPTIONS);
            let mut result = a;
            if !host(&mut result, &b) {
                assert_eq!(result, a);
                continue;
            }
            answers += 1;
            // SAFETY: all exceptions are masked.
            let expected = unsafe { silicon(a, b, mxcsr.bits()) };
            assert_eq!((result, mxcsr.bits()), expected, "{} {a:#034x}, {b:#034x}", operation.mnemonic());
        }
        assert!(answers > CASES / 50, "{}: {answers}", operation.mnemonic());
    }
    assert_eq!(operations, 20);
}

#[test]
fn operations_with_an_immediate_agree() {
    if is_x86_feature_detected!("sse4.1") {
        for &(operation, immediate, silicon) in WITH_IMMEDIATE {
            let ours = floating_point::with_immediate(operation).expect("in the table");
            check(&format!("{} {immediate}", operation.mnemonic()), silicon, |a, b, mxcsr| {
                let flags = ours(a, b, immediate, mxcsr);
                floating_point::settle(mxcsr, flags).0
            });
        }
    }
}

#[test]
fn ordered_comparisons_agree() {
    let single =
        |signalling| move |a: u128, b: u128, m| comparison::ordered(a as u32, b as u32, signalling, m);
    let double =
        |signalling| move |a: u128, b: u128, m| comparison::ordered(a as u64, b as u64, signalling, m);
    compare("comiss", ordered!("comiss"), single(true));
    compare("ucomiss", ordered!("ucomiss"), single(false));
    compare("comisd", ordered!("comisd"), double(true));
    compare("ucomisd", ordered!("ucomisd"), double(false));
}

/// Checks status flags, in place of a result.
fn compare(
    name: &str,
    silicon: Silicon,
    ours: impl Fn(u128, u128, Mxcsr) -> (Eflags, pentimento_execute::float::Flags),
) {
    // What the machine has besides status flags: reserved bit 1 and IF.
    check(name, silicon, |a, b, mxcsr| {
        let (eflags, flags) = ours(*a, *b, mxcsr);
        *a = (eflags | Eflags::INITIAL).bits().into();
        floating_point::settle(mxcsr, flags).0
    });
}

/// The bound of SDM volume 2 holds, and on the silicon that was measured every bit agrees.
#[test]
fn approximations_are_close() {
    for fraction in (0..1 << 23).step_by(37) {
        for exponent in [126, 127, 128] {
            let x = exponent << 23 | fraction;
            let exact = 1.0 / f64::from(f32::from_bits(x));
            for (ours, exact) in
                [(approximation::reciprocal(x), exact), (approximation::reciprocal_root(x), exact.sqrt())]
            {
                let error = (f64::from(f32::from_bits(ours)) / exact - 1.0).abs();
                assert!(error <= 1.5 / 4096.0, "{x:#x}: {error}");
            }
        }
    }
}

#[test]
fn approximations_agree_on_zen_4() {
    // SAFETY: all exceptions are masked.
    let probe = |x: u32| unsafe { APPROXIMATIONS[0].1(0, x.into(), Mxcsr::INITIAL.bits()).0 as u32 };
    let same_table =
        (0..4096).all(|i| approximation::reciprocal(0x3f80_0000 | i << 11) == probe(0x3f80_0000 | i << 11));
    if same_table {
        for &(operation, silicon) in APPROXIMATIONS {
            let ours = approximation::unary(operation).expect("in the table");
            check(operation.mnemonic(), silicon, |a, b, mxcsr| {
                ours(a, b);
                mxcsr
            });
        }
    }
}
