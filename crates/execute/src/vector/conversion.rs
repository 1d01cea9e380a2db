//! Floating-point conversions: among formats, to and from doublewords, and to integral values.
//!
//! A destination or source that is a general or MMX register takes part as the low end of a vector.

use pentimento_decoder::Operation;
use pentimento_registers::Mxcsr;

use super::floating_point::{FloatBinary, counted, lanewise};
use super::host::Real;
use super::{Lane, build, lane};
use crate::float::{self, Environment, Flags, Rounding, Unpacked};

/// All conversions but those with an immediate.
#[rustfmt::skip]
pub(super) fn binary(operation: Operation) -> Option<FloatBinary> {
    use Operation as O;
    let function: FloatBinary = match operation {
        O::Cvtsi2ss => |a, b, mxcsr| merge::<i32, u32, 1>(a, b, mxcsr, from_integer),
        O::Cvtsi2sd => |a, b, mxcsr| merge::<i32, u64, 1>(a, b, mxcsr, from_integer),
        O::Cvtpi2ps => |a, b, mxcsr| merge::<i32, u32, 2>(a, b, mxcsr, from_integer),
        O::Cvtdq2ps => |a, b, mxcsr| merge::<i32, u32, 4>(a, b, mxcsr, from_integer),
        O::Cvtdq2pd | O::Cvtpi2pd => |a, b, mxcsr| merge::<i32, u64, 2>(a, b, mxcsr, from_integer),
        O::Cvtss2sd => |a, b, mxcsr| merge::<u32, u64, 1>(a, b, mxcsr, change_format),
        O::Cvtsd2ss => |a, b, mxcsr| merge::<u64, u32, 1>(a, b, mxcsr, change_format),
        O::Cvtps2pd => |a, b, mxcsr| merge::<u32, u64, 2>(a, b, mxcsr, change_format),
        O::Cvtpd2ps => |a, b, mxcsr| replace::<u64, u32, 2>(a, b, mxcsr, change_format),
        O::Cvtss2si => |a, b, mxcsr| replace::<u32, i32, 1>(a, b, mxcsr, to_integer),
        O::Cvtsd2si => |a, b, mxcsr| replace::<u64, i32, 1>(a, b, mxcsr, to_integer),
        O::Cvtps2pi => |a, b, mxcsr| replace::<u32, i32, 2>(a, b, mxcsr, to_integer),
        O::Cvtps2dq => |a, b, mxcsr| replace::<u32, i32, 4>(a, b, mxcsr, to_integer),
        O::Cvtpd2dq | O::Cvtpd2pi => |a, b, mxcsr| replace::<u64, i32, 2>(a, b, mxcsr, to_integer),
        O::Cvttss2si => |a, b, mxcsr| replace::<u32, i32, 1>(a, b, mxcsr, truncate),
        O::Cvttsd2si => |a, b, mxcsr| replace::<u64, i32, 1>(a, b, mxcsr, truncate),
        O::Cvttps2pi => |a, b, mxcsr| replace::<u32, i32, 2>(a, b, mxcsr, truncate),
        O::Cvttps2dq => |a, b, mxcsr| replace::<u32, i32, 4>(a, b, mxcsr, truncate),
        O::Cvttpd2dq | O::Cvttpd2pi => |a, b, mxcsr| replace::<u64, i32, 2>(a, b, mxcsr, truncate),
        _ => return None,
    };
    Some(function)
}

fn from_integer<R: Real>(value: i32, environment: &Environment) -> (R, Flags) {
    float::from_integer(value.into(), environment)
}

fn to_integer<R: Real>(value: R, environment: &Environment) -> (i32, Flags) {
    float::to_integer(value.unpack_in(environment), environment.rounding)
}

fn truncate<R: Real>(value: R, environment: &Environment) -> (i32, Flags) {
    float::to_integer(value.unpack_in(environment), Rounding::Zero)
}

fn change_format<From: Real, To: Real>(value: From, environment: &Environment) -> (To, Flags) {
    let unpacked = value.unpack_in(environment);
    let (result, flags) = float::convert(unpacked, environment);
    if !flags.intersects(environment.unmasked & (Flags::OVERFLOW | Flags::UNDERFLOW)) {
        return (result, flags);
    }
    // The result is dropped. Whether it would have been inexact goes by its significand alone,
    // however far its exponent is out of range.
    let (_, rounding) = float::convert::<To>(Unpacked { exponent: 0, ..unpacked }, environment);
    (result, flags.difference(Flags::INEXACT) | rounding & Flags::INEXACT)
}

/// The lowest `N` lanes of the destination become those of the source, converted; the rest stays.
#[inline(always)]
fn merge<From: Lane, To: Lane, const N: usize>(
    destination: &mut u128,
    source: &u128,
    mxcsr: Mxcsr,
    f: impl Fn(From, &Environment) -> (To, Flags),
) -> Flags {
    let environment = Environment::from_mxcsr(mxcsr);
    let mut raised = Flags::empty();
    for i in 0..N {
        let (value, flags) = f(lane(source, i), &environment);
        super::set_lane(destination, i, value);
        raised |= flags;
    }
    counted(raised, &environment)
}

/// [`merge`] into zero.
#[inline(always)]
fn replace<From: Lane, To: Lane, const N: usize>(
    destination: &mut u128,
    source: &u128,
    mxcsr: Mxcsr,
    f: impl Fn(From, &Environment) -> (To, Flags),
) -> Flags {
    build(destination, |_| 0u64);
    merge::<From, To, N>(destination, source, mxcsr, f)
}

/// ROUNDPS to ROUNDSD. Immediate bits 1:0 are the rounding mode unless bit 2 asks for MXCSR's; bit 3
/// suppresses the precision exception. Denormal operands are not reported.
pub(super) fn round<R: Real, const N: usize>(a: &mut u128, b: &u128, immediate: u8, mxcsr: Mxcsr) -> Flags {
    let mut environment = Environment::from_mxcsr(mxcsr);
    environment.unmasked.remove(Flags::DENORMAL);
    if immediate & 4 == 0 {
        environment.rounding = Rounding::from_bits(immediate);
    }
    let reported = if immediate & 8 == 0 { Flags::INVALID | Flags::INEXACT } else { Flags::INVALID };
    lanewise::<R, N>(a, b, &environment, |_, _, b| {
        let (result, flags) = float::round_to_integral(b.unpack_in(&environment), &environment);
        (result, flags & reported)
    })
}
