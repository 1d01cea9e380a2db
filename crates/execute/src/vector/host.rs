//! Floating point by the host's own arithmetic, where that cannot be told from the soft path.
//!
//! Rust's `f32` and `f64` round to nearest and give the correctly rounded result, but they report
//! no exceptions and choose NaNs as they like. So the host computes only while MXCSR is as it
//! starts (round to nearest, all masked, no DAZ and FZ), and counts only where all operands are
//! normal numbers or zeros and the result is normal or an exact zero: then nothing but the
//! precision exception can have happened. If that is not sticky already, it is found with
//! error-free transformations. Everything else takes the soft path.
//!
//! Once it is sticky, and where operands are of a middling size, nothing is to be found out about
//! the result at all: see `middling`.

use core::ops::{BitAnd, BitOr, BitXor, Not};

use pentimento_registers::Mxcsr;

use super::floating_point::Arithmetic;
use super::{Lane, lane, lanes, lanes_mut, mask};
use crate::float::{Flags, Format};

/// A lane that holds a floating-point number: `u32` (single) or `u64` (double).
pub trait Real:
    Lane
    + Format
    + Ord
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
{
    /// The sign bit.
    const SIGN: Self;
    /// The exponent field.
    const EXPONENT: Self;
    /// All ones if [`Real::host_sqrt`] cannot be had without the standard library, else zero.
    const HOST_SQRT_MISSING: Self;

    /// All ones if the exponent field is not in `minimum..maximum`.
    #[must_use]
    fn exponent_outside(self, minimum: u16, from_top: u16) -> Self;
    /// `self + other` as the host rounds it.
    #[must_use]
    fn host_add(self, other: Self) -> Self;
    /// `self * other` as the host rounds it.
    #[must_use]
    fn host_mul(self, other: Self) -> Self;
    /// `self / other` as the host rounds it.
    #[must_use]
    fn host_div(self, other: Self) -> Self;
    /// The square root as the host rounds it.
    #[must_use]
    fn host_sqrt(self) -> Self;
    /// An integer as the host rounds it.
    #[must_use]
    fn host_from_integer(value: i32) -> Self;
    /// Toward zero, saturating; zero for a NaN.
    #[must_use]
    fn host_truncate(self) -> i64;
    /// Whether `a < b`; with a NaN it is not.
    #[must_use]
    fn host_less(self, other: Self) -> bool;
    /// Whether `a == b`.
    #[must_use]
    fn host_equal(self, other: Self) -> bool;
    /// Whether it is a denormal.
    #[must_use]
    fn is_denormal(self) -> bool;
    /// Whether `sum`, the rounded sum of `a` and `b`, is exact (Knuth's TwoSum; Handbook of
    /// Floating-Point Arithmetic, section 4.3.2). Nothing may be near overflow.
    #[must_use]
    fn sum_is_exact(a: Self, b: Self, sum: Self) -> bool;
    /// Whether `a * b` is exactly `product`, of which it is known that it is so within rounding:
    /// the odd parts of the significands agree. Operands are normal or zero.
    #[must_use]
    fn product_is_exact(a: Self, b: Self, product: Self) -> bool;
}

macro_rules! reals {
    ($($bits:ident $float:ident fraction $fraction:literal wide $wide:ident;)*) => {$(
        impl Real for $bits {
            const SIGN: Self = 1 << ($bits::BITS - 1);
            const EXPONENT: Self = $float::INFINITY.to_bits();
            const HOST_SQRT_MISSING: Self = if cfg!(feature = "std") { 0 } else { !0 };

            #[inline(always)]
            fn exponent_outside(self, minimum: u16, from_top: u16) -> Self {
                let unit: Self = 1 << $fraction;
                let minimum = unit * Self::from(minimum);
                let span = Self::EXPONENT + unit - minimum - unit * Self::from(from_top);
                mask((self & Self::EXPONENT).wrapping_sub(minimum) >= span)
            }
            #[inline(always)]
            fn host_add(self, other: Self) -> Self {
                ($float::from_bits(self) + $float::from_bits(other)).to_bits()
            }
            #[inline(always)]
            fn host_mul(self, other: Self) -> Self {
                ($float::from_bits(self) * $float::from_bits(other)).to_bits()
            }
            #[inline(always)]
            fn host_div(self, other: Self) -> Self {
                ($float::from_bits(self) / $float::from_bits(other)).to_bits()
            }
            #[cfg(feature = "std")]
            #[inline(always)]
            fn host_sqrt(self) -> Self {
                $float::from_bits(self).sqrt().to_bits()
            }
            #[cfg(not(feature = "std"))]
            #[inline(always)]
            fn host_sqrt(self) -> Self {
                self
            }
            #[inline(always)]
            fn host_from_integer(value: i32) -> Self {
                (value as $float).to_bits()
            }
            #[inline(always)]
            fn host_truncate(self) -> i64 {
                $float::from_bits(self) as i64
            }
            #[inline(always)]
            fn host_less(self, other: Self) -> bool {
                $float::from_bits(self) < $float::from_bits(other)
            }
            #[inline(always)]
            fn host_equal(self, other: Self) -> bool {
                $float::from_bits(self) == $float::from_bits(other)
            }
            #[inline(always)]
            fn is_denormal(self) -> bool {
                // Shifting out the sign and subtracting puts zero last.
                (self << 1).wrapping_sub(1) < (1 << ($fraction + 1)) - 1
            }
            #[inline(always)]
            fn sum_is_exact(a: Self, b: Self, sum: Self) -> bool {
                let [a, b, sum] = [a, b, sum].map($float::from_bits);
                let b_virtual = sum - a;
                let a_virtual = sum - b_virtual;
                a - a_virtual == 0.0 && b - b_virtual == 0.0
            }
            #[inline(always)]
            fn product_is_exact(a: Self, b: Self, product: Self) -> bool {
                let significand = |x: Self| $wide::from(x & ((1 << $fraction) - 1) | 1 << $fraction);
                let zero = |x: Self| x << 1 == 0;
                if zero(a) || zero(b) {
                    return zero(product);
                }
                let odd = |x: $wide| x >> x.trailing_zeros();
                odd(significand(a) * significand(b)) == odd(significand(product))
            }
        }
    )*};
}

reals! {
    u32 f32 fraction 23 wide u64;
    u64 f64 fraction 52 wide u128;
}

/// All ones if the operand is neither normal nor zero.
#[inline(always)]
pub(super) fn unusual_operand<R: Real>(x: R) -> R {
    x.exponent_outside(1, 1) & !is_zero(x)
}

/// All ones if the result is infinite or a NaN.
#[inline(always)]
pub(super) fn not_finite<R: Real>(x: R) -> R {
    x.exponent_outside(0, 1)
}

/// All ones if the result is not finite, or so small that rounding may have hidden underflow.
#[inline(always)]
pub(super) fn extreme<R: Real>(x: R) -> R {
    x.exponent_outside(2, 1)
}

/// All ones for a zero of either sign.
#[inline(always)]
pub(super) fn is_zero<R: Real>(x: R) -> R {
    mask(x & !R::SIGN == R::zeroed())
}

/// Whether the host's arithmetic is the guest's: the flags do not count.
#[inline(always)]
pub(super) fn applies(mxcsr: Mxcsr) -> bool {
    mxcsr.difference(Mxcsr::EXCEPTIONS).bits() == Mxcsr::INITIAL.bits()
}

/// `A` on the lowest `N` lanes by the host, or `None` and no change where the soft path must decide.
#[inline(always)]
pub(super) fn arithmetic<A: Arithmetic, R: Real, const N: usize>(
    destination: &mut u128,
    source: &u128,
    mxcsr: Mxcsr,
) -> Option<Flags> {
    if !applies(mxcsr) {
        return None;
    }
    let mut operands = [[R::zeroed(); 2]; N];
    let mut results = [R::zeroed(); N];
    let mut unusual = R::zeroed();
    for i in 0..N {
        let (a, b) = (lanes::<R, _>(destination)[i].guest_order(), lanes::<R, _>(source)[i].guest_order());
        results[i] = A::host(a, b);
        unusual = unusual | A::unusual(a, b, results[i]);
        operands[i] = [a, b];
    }
    if unusual != R::zeroed() {
        return None;
    }
    let exact = mxcsr.contains(Mxcsr::PE)
        || operands.iter().zip(&results).all(|(&[a, b], &result)| A::exact(a, b, result));
    for (lane, result) in lanes_mut::<R, _>(destination).iter_mut().zip(results) {
        *lane = result.guest_order();
    }
    Some(if exact { Flags::empty() } else { Flags::INEXACT })
}

/// Magnitudes of operands for which an operation neither overflows nor underflows, told by two
/// operations on the upper word: adding `shift` clears all bits of `mask` for these and no others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Middle {
    shift: u32,
    mask: u32,
}

impl Middle {
    /// From 2^-511 to 2^513 (double) or 2^-63 to 2^65 (single), for sums and differences.
    pub(super) const WIDE: Self = Self { shift: 0x6000_0000, mask: 0x4000_0000 };
    /// From 2^-255 to 2^257 (double) or 2^-31 to 2^33 (single), for products and quotients.
    pub(super) const NARROW: Self = Self { shift: 0x5000_0000, mask: 0x6000_0000 };
    /// As [`Self::WIDE`], and positive, for roots.
    pub(super) const POSITIVE: Self = Self { shift: 0xe000_0000, mask: 0xc000_0000 };
}

/// Whether nothing is left to find out about operations on `Middle` operands: MXCSR is as it starts,
/// with the precision exception sticky and whatever others.
#[inline]
#[must_use]
pub fn is_silent(mxcsr: Mxcsr) -> bool {
    applies(mxcsr) && mxcsr.contains(Mxcsr::PE)
}

/// `A` on the lowest `N` lanes by the host where MXCSR [is silent](is_silent), if all operands are
/// of a middling size; else says so and changes nothing.
#[inline(always)]
pub(super) fn middling<A: Arithmetic, R: Real, const N: usize>(
    destination: &mut u128,
    source: &u128,
) -> bool {
    let words = size_of::<R>() / 4;
    let mut results = [R::zeroed(); N];
    let mut bits = 0;
    let pairs = lanes::<R, _>(destination).iter().zip(lanes::<R, _>(source));
    for (i, (result, (a, b))) in results.iter_mut().zip(pairs).enumerate() {
        let upper = |vector| lane::<u32, _>(vector, i * words + words - 1);
        bits |= A::middle_bits(upper(destination), upper(source), A::MIDDLE.shift);
        *result = A::host(a.guest_order(), b.guest_order());
    }
    if bits & A::MIDDLE.mask != 0 {
        return false;
    }
    for (lane, result) in lanes_mut::<R, _>(destination).iter_mut().zip(results) {
        *lane = result.guest_order();
    }
    true
}

#[cfg(test)]
mod tests {
    use std::vec;

    use proptest::prelude::*;

    use super::super::floating_point::{Add, Div, Mul, Sqrt, Sub, settle, soft_arithmetic};
    use super::*;

    /// Numbers of which many are exact sums, products and quotients, and some are no numbers.
    fn double() -> impl Strategy<Value = u64> {
        let small = (-1000i32..1000).prop_map(|x| (f64::from(x) / 8.0).to_bits());
        let edge =
            (prop::sample::select(vec![0u64, 1, 2, 0x3fe, 0x3ff, 0x5ff, 0x7fd, 0x7fe, 0x7ff]), any::<u64>())
                .prop_map(|(exponent, bits)| bits & !(0x7ff << 52) | exponent << 52);
        let sparse = (any::<u64>(), 0..52u32).prop_map(|(bits, zeros)| bits >> zeros << zeros);
        prop_oneof![small, edge, sparse, any::<u64>()]
    }

    fn single() -> impl Strategy<Value = u32> {
        let narrowed = double().prop_map(|x| (f64::from_bits(x) as f32).to_bits());
        prop_oneof![narrowed, any::<u32>()]
    }

    /// Where the host answers, MXCSR and result are those of the soft path.
    fn check<A: Arithmetic, R: Real, const N: usize>(a: u128, b: u128) {
        for sticky in [Mxcsr::empty(), Mxcsr::PE, Mxcsr::EXCEPTIONS] {
            let mxcsr = Mxcsr::INITIAL | sticky;
            let (mut ours, mut soft) = (a, a);
            if let Some(flags) = arithmetic::<A, R, N>(&mut ours, &b, mxcsr) {
                let expected = soft_arithmetic::<A, R, N>(&mut soft, &b, mxcsr);
                assert_eq!((ours, settle(mxcsr, flags)), (soft, settle(mxcsr, expected)), "{a:#x}, {b:#x}");
            } else {
                assert_eq!(ours, a);
            }
            let (mut ours, mut soft) = (a, a);
            if is_silent(mxcsr) && middling::<A, R, N>(&mut ours, &b) {
                let raised = soft_arithmetic::<A, R, N>(&mut soft, &b, mxcsr);
                assert_eq!((ours, (mxcsr, false)), (soft, settle(mxcsr, raised)), "{a:#x}, {b:#x}");
            }
        }
    }

    fn check_all<R: Real, const N: usize>(a: u128, b: u128) {
        check::<Add, R, N>(a, b);
        check::<Sub, R, N>(a, b);
        check::<Mul, R, N>(a, b);
        check::<Div, R, N>(a, b);
        check::<Sqrt, R, N>(a, b);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_host_agrees_with_the_soft_path_on_doubles(a in double(), b in double(), c in double()) {
            check_all::<u64, 1>(a.into(), b.into());
            check_all::<u64, 2>(u128::from(a) << 64 | u128::from(b), u128::from(b) << 64 | u128::from(c));
            // A quotient and a root that are exact.
            let product = (f64::from_bits(a) * f64::from_bits(b)).to_bits();
            check::<Div, u64, 1>(product.into(), b.into());
            let square = (f64::from_bits(a) * f64::from_bits(a)).to_bits();
            check::<Sqrt, u64, 1>(0, square.into());
        }

        #[test]
        fn the_host_agrees_with_the_soft_path_on_singles(x in prop::array::uniform4(single()), y in prop::array::uniform4(single())) {
            let vector = |lanes: [u32; 4]| lanes.iter().fold(0, |vector, &lane| vector << 32 | u128::from(lane));
            check_all::<u32, 1>(x[0].into(), y[0].into());
            check_all::<u32, 4>(vector(x), vector(y));
        }
    }

    /// The fast path would be no path at all if ordinary numbers did not take it.
    #[test]
    fn ordinary_numbers_take_the_host_s_path() {
        let [a, b] = [1.5f64, -0.1].map(|x| u128::from(x.to_bits()));
        let mut result = a;
        assert_eq!(arithmetic::<Add, u64, 1>(&mut result, &b, Mxcsr::INITIAL), Some(Flags::INEXACT));
        assert_eq!(arithmetic::<Add, u64, 1>(&mut result, &b, Mxcsr::INITIAL | Mxcsr::FZ), None);
        assert_eq!(arithmetic::<Sub, u64, 1>(&mut { a }, &a, Mxcsr::INITIAL), Some(Flags::empty()));
        assert_eq!(arithmetic::<Div, u64, 1>(&mut { a }, &0, Mxcsr::INITIAL), None);
        assert!(middling::<Add, u64, 1>(&mut { a }, &b) && middling::<Mul, u64, 1>(&mut { a }, &b));
        assert!(middling::<Sqrt, u64, 1>(&mut { a }, &a) && !middling::<Sqrt, u64, 1>(&mut { a }, &b));
        assert!(!is_silent(Mxcsr::INITIAL) && is_silent(Mxcsr::INITIAL | Mxcsr::PE));
    }
}
