//! Floating-point conversions: among formats, to and from doublewords, and to integral values.
//!
//! A destination or source that is a general or MMX register takes part as the low end of a vector.

use pentimento_decoder::Operation;
use pentimento_registers::Mxcsr;

use super::floating_point::{FloatBinary, FloatFunction, counted, float_operations, lanewise};
use super::host::Real;
use super::{Lane, build, host, lane};
use crate::float::{self, Flags, Rounding, Rules, Unpacked};

#[rustfmt::skip]
float_operations! {
    /// All conversions but those with an immediate.
    pub(super) binary: FloatBinary as FloatFunction;
    Cvtsi2ss => |a, b, mxcsr| merge::<i32, u32, 1>(a, b, mxcsr, from_integer);
    Cvtsi2sd => |a, b, mxcsr| merge::<i32, u64, 1>(a, b, mxcsr, from_integer);
    Cvtpi2ps => |a, b, mxcsr| merge::<i32, u32, 2>(a, b, mxcsr, from_integer);
    Cvtdq2ps => |a, b, mxcsr| merge::<i32, u32, 4>(a, b, mxcsr, from_integer);
    Cvtdq2pd | Cvtpi2pd => |a, b, mxcsr| merge::<i32, u64, 2>(a, b, mxcsr, from_integer);
    Cvtss2sd => |a, b, mxcsr| merge::<u32, u64, 1>(a, b, mxcsr, widen);
    Cvtsd2ss => |a, b, mxcsr| merge::<u64, u32, 1>(a, b, mxcsr, narrow);
    Cvtps2pd => |a, b, mxcsr| merge::<u32, u64, 2>(a, b, mxcsr, widen);
    Cvtpd2ps => |a, b, mxcsr| replace::<u64, u32, 2>(a, b, mxcsr, narrow);
    Cvtss2si => |a, b, mxcsr| replace::<u32, i32, 1>(a, b, mxcsr, to_integer);
    Cvtsd2si => |a, b, mxcsr| replace::<u64, i32, 1>(a, b, mxcsr, to_integer);
    Cvtps2pi => |a, b, mxcsr| replace::<u32, i32, 2>(a, b, mxcsr, to_integer);
    Cvtps2dq => |a, b, mxcsr| replace::<u32, i32, 4>(a, b, mxcsr, to_integer);
    Cvtpd2dq | Cvtpd2pi => |a, b, mxcsr| replace::<u64, i32, 2>(a, b, mxcsr, to_integer);
    Cvttss2si => |a, b, mxcsr| replace::<u32, i32, 1>(a, b, mxcsr, truncate);
    Cvttsd2si => |a, b, mxcsr| replace::<u64, i32, 1>(a, b, mxcsr, truncate);
    Cvttps2pi => |a, b, mxcsr| replace::<u32, i32, 2>(a, b, mxcsr, truncate);
    Cvttps2dq => |a, b, mxcsr| replace::<u32, i32, 4>(a, b, mxcsr, truncate);
    Cvttpd2dq | Cvttpd2pi => |a, b, mxcsr| replace::<u64, i32, 2>(a, b, mxcsr, truncate);
}

/// Under what a lane is converted.
struct Mode {
    rules: Rules,
    /// Whether the host rounds as the guest does; see [`host`].
    host_rounds: bool,
}

impl Mode {
    #[inline(always)]
    fn new(mxcsr: Mxcsr) -> Self {
        Self { rules: Rules::from_mxcsr(mxcsr), host_rounds: host::applies(mxcsr) }
    }
}

/// [`Flags::INEXACT`] or nothing.
#[inline(always)]
fn inexact(exact: bool) -> Flags {
    if exact { Flags::empty() } else { Flags::INEXACT }
}

#[inline(always)]
fn from_integer<R: Real>(value: i32, mode: &Mode) -> (R, Flags) {
    let result = R::host_from_integer(value);
    // The way back is exact, and 64 bits do not saturate.
    let exact = result.host_truncate() == i64::from(value);
    if exact || mode.host_rounds {
        return (result, inexact(exact));
    }
    float::from_integer(value.into(), &mode.rules)
}

fn to_integer<R: Real>(value: R, mode: &Mode) -> (i32, Flags) {
    float::to_integer(value.unpack_in(&mode.rules), mode.rules.rounding)
}

/// Toward zero, whatever MXCSR says. The host knows all about numbers of 1 and more, and about zero.
#[inline(always)]
fn truncate<R: Real>(value: R, mode: &Mode) -> (i32, Flags) {
    let integer = value.host_truncate();
    match i32::try_from(integer) {
        Ok(result) if result != 0 => (result, inexact(R::host_from_integer(result) == value)),
        Ok(result) if value & !R::SIGN == R::zeroed() => (result, Flags::empty()),
        _ => float::to_integer(value.unpack_in(&mode.rules), Rounding::Zero),
    }
}

/// To double: exact, unless it is a denormal or no number.
#[inline(always)]
fn widen(value: u32, mode: &Mode) -> (u64, Flags) {
    if host::unusual_operand(value) == 0 {
        return (f64::from(f32::from_bits(value)).to_bits(), Flags::empty());
    }
    change_format(value, mode)
}

/// To single.
#[inline(always)]
fn narrow(value: u64, mode: &Mode) -> (u32, Flags) {
    let result = f64::from_bits(value) as f32;
    let unusual = host::unusual_operand(value) != 0
        || (host::extreme(result.to_bits()) & !host::is_zero(value) as u32) != 0;
    if mode.host_rounds && !unusual {
        return (result.to_bits(), inexact(f64::from(result).to_bits() == value));
    }
    change_format(value, mode)
}

fn change_format<From: Real, To: Real>(value: From, mode: &Mode) -> (To, Flags) {
    let rules = &mode.rules;
    let unpacked = value.unpack_in(rules);
    let (result, flags) = float::convert(unpacked, rules);
    if !flags.intersects(rules.unmasked & (Flags::OVERFLOW | Flags::UNDERFLOW)) {
        return (result, flags);
    }
    // The result is dropped. Whether it would have been inexact goes by its significand alone,
    // however far its exponent is out of range.
    let (_, rounding) = float::convert::<To>(Unpacked { exponent: 0, ..unpacked }, rules);
    (result, flags.difference(Flags::INEXACT) | rounding & Flags::INEXACT)
}

/// The lowest `N` lanes of the destination become those of the source, converted; the rest stays.
#[inline(always)]
fn merge<From: Lane, To: Lane, const N: usize>(
    destination: &mut u128,
    source: &u128,
    mxcsr: Mxcsr,
    f: impl Fn(From, &Mode) -> (To, Flags),
) -> Flags {
    let mode = Mode::new(mxcsr);
    let mut raised = Flags::empty();
    for i in 0..N {
        let (value, flags) = f(lane(source, i), &mode);
        super::set_lane(destination, i, value);
        raised |= flags;
    }
    counted(raised, &mode.rules)
}

/// [`merge`] into zero.
#[inline(always)]
fn replace<From: Lane, To: Lane, const N: usize>(
    destination: &mut u128,
    source: &u128,
    mxcsr: Mxcsr,
    f: impl Fn(From, &Mode) -> (To, Flags),
) -> Flags {
    build(destination, |_| 0u64);
    merge::<From, To, N>(destination, source, mxcsr, f)
}

/// ROUNDPS to ROUNDSD. Immediate bits 1:0 are the rounding mode unless bit 2 asks for MXCSR's; bit 3
/// suppresses the precision exception. Denormal operands are not reported.
pub(super) fn round<R: Real, const N: usize>(a: &mut u128, b: &u128, immediate: u8, mxcsr: Mxcsr) -> Flags {
    let mut rules = Rules::from_mxcsr(mxcsr);
    rules.unmasked.remove(Flags::DENORMAL);
    if immediate & 4 == 0 {
        rules.rounding = Rounding::from_bits(immediate);
    }
    let reported = if immediate & 8 == 0 { Flags::INVALID | Flags::INEXACT } else { Flags::INVALID };
    lanewise::<R, N>(a, b, &rules, |_, _, b| {
        let (result, flags) = float::round_to_integral(b.unpack_in(&rules), &rules);
        (result, flags & reported)
    })
}
