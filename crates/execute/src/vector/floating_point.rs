//! Packed and scalar floating point: the arithmetic of SSE to SSE4.1 (SDM volume 1, sections 10.4,
//! 11.4.1, 12.3 and 12.8).
//!
//! Functions take MXCSR and return the exceptions that they raised, all lanes' together. If one of
//! those is unmasked what they left in the destination means nothing, and the caller keeps the
//! old value and raises #XM; see [`settle`]. An exception that is masked and sticky in MXCSR
//! already may be left out, which is what makes the common case fast: see [`host`].

use pentimento_decoder::Operation;
use pentimento_registers::Mxcsr;

use super::host::{Middle, Real};
use super::packed::lane_of_two;
use super::{build, host, lane, lanes, lanes_mut, rebuild};
use crate::float::{self, Flags, Rules, Unpacked};

/// `destination = f(destination, source)` under MXCSR.
pub trait FloatBinary {
    /// Changes the destination, and says which exceptions that raised.
    fn apply(destination: &mut u128, source: &u128, mxcsr: Mxcsr) -> Flags;
}

/// Addition to square root, which the host can do while all exceptions are masked, rounding is to
/// nearest, DAZ and FZ are clear, and the precision exception is sticky.
pub trait FloatMiddling: FloatBinary {
    /// Changes the destination and answers `true` where MXCSR stays as it is and the host's result is
    /// silicon's; else changes nothing.
    fn middling(destination: &mut u128, source: &u128) -> bool;
}

/// `destination = f(destination, source, imm8)` under MXCSR.
pub trait FloatWithImmediate {
    /// Changes the destination, and says which exceptions that raised.
    fn apply(destination: &mut u128, source: &u128, immediate: u8, mxcsr: Mxcsr) -> Flags;
}

/// A function of [`FloatBinary`].
pub type FloatFunction = fn(&mut u128, &u128, Mxcsr) -> Flags;
/// A function of [`FloatMiddling`].
pub type MiddlingFunction = fn(&mut u128, &u128) -> bool;
/// A function of [`FloatWithImmediate`].
pub type FloatImmediateFunction = fn(&mut u128, &u128, u8, Mxcsr) -> Flags;

/// Declares operations as types that implement a trait of floating-point functions, and the function
/// that finds them.
macro_rules! float_operations {
    ($(#[$doc:meta])* $visibility:vis $find:ident: $trait:ident as $type:ty;
        $($($name:ident)|+ => $function:expr;)*) => {
        $($(
            #[doc = concat!("`", stringify!($name), "`.")]
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl $trait for $name {
                float_operations!(@$trait $function);
            }
        )+)*

        $(#[$doc])*
        #[must_use]
        $visibility const fn $find(operation: Operation) -> Option<$type> {
            Some(match operation {
                $($(Operation::$name => <$name as $trait>::apply,)+)*
                _ => return None,
            })
        }
    };
    (@FloatBinary $function:expr) => {
        #[inline(always)]
        fn apply(destination: &mut u128, source: &u128, mxcsr: Mxcsr) -> Flags {
            let function: fn(&mut u128, &u128, Mxcsr) -> Flags = $function;
            function(destination, source, mxcsr)
        }
    };
    (@FloatWithImmediate $function:expr) => {
        #[inline(always)]
        fn apply(destination: &mut u128, source: &u128, immediate: u8, mxcsr: Mxcsr) -> Flags {
            let function: fn(&mut u128, &u128, u8, Mxcsr) -> Flags = $function;
            function(destination, source, immediate, mxcsr)
        }
    };
}
pub(super) use float_operations;

/// Declares operations on the lowest lanes that the host may do.
macro_rules! arithmetic_operations {
    ($(#[$doc:meta])* $find:ident; $($name:ident: $operation:ident, $lane:ty, $lanes:literal;)*) => {
        $(impl FloatMiddling for $name {
            #[inline(always)]
            fn middling(destination: &mut u128, source: &u128) -> bool {
                host::middling::<$operation, $lane, $lanes>(destination, source)
            }
        })*

        $(#[$doc])*
        #[must_use]
        pub const fn $find(operation: Operation) -> Option<MiddlingFunction> {
            Some(match operation {
                $(Operation::$name => $name::middling,)*
                _ => return None,
            })
        }

        float_operations! {
            /// The function of an arithmetic operation.
            arithmetic_function: FloatBinary as FloatFunction;
            $($name => arithmetic::<$operation, $lane, $lanes>;)*
            Haddps => horizontal::<Add, u32, 4>;
            Haddpd => horizontal::<Add, u64, 2>;
            Hsubps => horizontal::<Sub, u32, 4>;
            Hsubpd => horizontal::<Sub, u64, 2>;
            Addsubps => add_subtract::<u32, 4>;
            Addsubpd => add_subtract::<u64, 2>;
        }
    };
}

/// MXCSR after an instruction that raised `flags`, and whether one of them is unmasked, so that
/// nothing else may be written and #XM follows.
#[inline]
#[must_use]
pub fn settle(mxcsr: Mxcsr, flags: Flags) -> (Mxcsr, bool) {
    let unmasked = flags.intersects(Rules::from_mxcsr(mxcsr).unmasked);
    let sticky = Mxcsr::from_bits_truncate((flags & Flags::EXCEPTIONS).bits().into());
    (mxcsr | sticky, unmasked)
}

/// What counts of the exceptions that all lanes raised: an unmasked one that is found before
/// computing keeps those of computing from being found, in any lane (SDM volume 1, section 11.5.3).
#[inline(always)]
pub(super) fn counted(flags: Flags, rules: &Rules) -> Flags {
    if (flags & rules.unmasked).intersects(Flags::BEFORE_COMPUTATION) {
        flags & Flags::BEFORE_COMPUTATION
    } else {
        flags
    }
}

/// An arithmetic operation on lanes.
pub(super) trait Arithmetic {
    /// In software, whatever the operands and the rules.
    fn soft<R: Real>(a: Unpacked, b: Unpacked, rules: &Rules) -> (R, Flags);
    /// By the host, which rounds to nearest.
    fn host<R: Real>(a: R, b: R) -> R;
    /// All ones unless the host's result is right and could raise nothing but the precision
    /// exception; else zero.
    fn unusual<R: Real>(a: R, b: R, result: R) -> R;
    /// Whether a result that is not unusual is exact.
    fn exact<R: Real>(a: R, b: R, result: R) -> bool;
    /// The operands with which nothing can happen but the precision exception.
    const MIDDLE: Middle;
    /// The operands' upper words as [`Middle`] wants to see them.
    #[inline(always)]
    fn middle_bits(a: u32, b: u32, shift: u32) -> u32 {
        a.wrapping_add(shift) | b.wrapping_add(shift)
    }
}

pub(super) struct Add;
pub(super) struct Sub;
pub(super) struct Mul;
pub(super) struct Div;
pub(super) struct Sqrt;

impl Arithmetic for Add {
    const MIDDLE: Middle = Middle::WIDE;
    fn soft<R: Real>(a: Unpacked, b: Unpacked, rules: &Rules) -> (R, Flags) {
        float::add(a, b, rules)
    }
    #[inline(always)]
    fn host<R: Real>(a: R, b: R) -> R {
        a.host_add(b)
    }
    // A tiny sum is exact, so that only overflow is to be feared.
    #[inline(always)]
    fn unusual<R: Real>(a: R, b: R, result: R) -> R {
        host::unusual_operand(a) | host::unusual_operand(b) | host::not_finite(result)
    }
    fn exact<R: Real>(a: R, b: R, result: R) -> bool {
        R::sum_is_exact(a, b, result)
    }
}

impl Arithmetic for Sub {
    const MIDDLE: Middle = Middle::WIDE;
    fn soft<R: Real>(a: Unpacked, b: Unpacked, rules: &Rules) -> (R, Flags) {
        float::sub(a, b, rules)
    }
    #[inline(always)]
    fn host<R: Real>(a: R, b: R) -> R {
        a.host_add(b ^ R::SIGN)
    }
    #[inline(always)]
    fn unusual<R: Real>(a: R, b: R, result: R) -> R {
        Add::unusual(a, b, result)
    }
    fn exact<R: Real>(a: R, b: R, result: R) -> bool {
        R::sum_is_exact(a, b ^ R::SIGN, result)
    }
}

impl Arithmetic for Mul {
    const MIDDLE: Middle = Middle::NARROW;
    fn soft<R: Real>(a: Unpacked, b: Unpacked, rules: &Rules) -> (R, Flags) {
        float::mul(a, b, rules)
    }
    #[inline(always)]
    fn host<R: Real>(a: R, b: R) -> R {
        a.host_mul(b)
    }
    #[inline(always)]
    fn unusual<R: Real>(a: R, b: R, result: R) -> R {
        let operands = host::unusual_operand(a) | host::unusual_operand(b);
        operands | host::extreme(result) & !(host::is_zero(a) | host::is_zero(b))
    }
    fn exact<R: Real>(a: R, b: R, result: R) -> bool {
        R::product_is_exact(a, b, result)
    }
}

impl Arithmetic for Div {
    const MIDDLE: Middle = Middle::NARROW;
    fn soft<R: Real>(a: Unpacked, b: Unpacked, rules: &Rules) -> (R, Flags) {
        float::div(a, b, rules)
    }
    #[inline(always)]
    fn host<R: Real>(a: R, b: R) -> R {
        a.host_div(b)
    }
    #[inline(always)]
    fn unusual<R: Real>(a: R, b: R, result: R) -> R {
        let operands = host::unusual_operand(a) | host::unusual_operand(b) | host::is_zero(b);
        operands | host::extreme(result) & !host::is_zero(a)
    }
    fn exact<R: Real>(a: R, b: R, result: R) -> bool {
        R::product_is_exact(result, b, a)
    }
}

/// Of the second operand; the first does not count.
impl Arithmetic for Sqrt {
    const MIDDLE: Middle = Middle::POSITIVE;
    #[inline(always)]
    fn middle_bits(_: u32, b: u32, shift: u32) -> u32 {
        // The host's root is in the standard library.
        if cfg!(feature = "std") { b.wrapping_add(shift) } else { !0 }
    }
    fn soft<R: Real>(_: Unpacked, b: Unpacked, rules: &Rules) -> (R, Flags) {
        float::sqrt(b, rules)
    }
    #[inline(always)]
    fn host<R: Real>(_: R, b: R) -> R {
        b.host_sqrt()
    }
    // A root is never extreme, unless the operand is negative.
    #[inline(always)]
    fn unusual<R: Real>(_: R, b: R, result: R) -> R {
        R::HOST_SQRT_MISSING | host::unusual_operand(b) | host::not_finite(result)
    }
    fn exact<R: Real>(_: R, b: R, result: R) -> bool {
        R::product_is_exact(result, result, b)
    }
}

/// The function of an operation whose destination is also its first operand, or that ignores it.
#[must_use]
pub const fn binary(operation: Operation) -> Option<FloatFunction> {
    if let Some(function) = arithmetic_function(operation) {
        return Some(function);
    }
    match super::comparison::binary(operation) {
        None => super::conversion::binary(operation),
        found => found,
    }
}

#[rustfmt::skip]
arithmetic_operations! {
    /// The host's function of an operation that it can do; see [`FloatMiddling`].
    middling;
    Addps:   Add,   u32, 4;
    Addpd:   Add,   u64, 2;
    Addss:   Add,   u32, 1;
    Addsd:   Add,   u64, 1;
    Subps:   Sub,   u32, 4;
    Subpd:   Sub,   u64, 2;
    Subss:   Sub,   u32, 1;
    Subsd:   Sub,   u64, 1;
    Mulps:   Mul,   u32, 4;
    Mulpd:   Mul,   u64, 2;
    Mulss:   Mul,   u32, 1;
    Mulsd:   Mul,   u64, 1;
    Divps:   Div,   u32, 4;
    Divpd:   Div,   u64, 2;
    Divss:   Div,   u32, 1;
    Divsd:   Div,   u64, 1;
    Sqrtps:  Sqrt,  u32, 4;
    Sqrtpd:  Sqrt,  u64, 2;
    Sqrtss:  Sqrt,  u32, 1;
    Sqrtsd:  Sqrt,  u64, 1;
}

float_operations! {
    /// The function of an operation with an immediate.
    pub with_immediate: FloatWithImmediate as FloatImmediateFunction;
    Cmpps => super::comparison::select::<u32, 4>;
    Cmppd => super::comparison::select::<u64, 2>;
    Cmpss => super::comparison::select::<u32, 1>;
    Cmpsd => super::comparison::select::<u64, 1>;
    Roundps => super::conversion::round::<u32, 4>;
    Roundpd => super::conversion::round::<u64, 2>;
    Roundss => super::conversion::round::<u32, 1>;
    Roundsd => super::conversion::round::<u64, 1>;
    Dpps => dot_product::<u32>;
    Dppd => dot_product::<u64>;
}

/// The lowest `N` lanes of `destination` become `f` of themselves and those of `source`.
#[inline(always)]
pub(super) fn lanewise<R: Real, const N: usize>(
    destination: &mut u128,
    source: &u128,
    rules: &Rules,
    f: impl Fn(usize, R, R) -> (R, Flags),
) -> Flags {
    let mut raised = Flags::empty();
    let pairs = lanes_mut::<R, _>(destination).iter_mut().zip(lanes::<R, _>(source));
    for (index, (a, b)) in pairs.take(N).enumerate() {
        let (result, flags) = f(index, a.guest_order(), b.guest_order());
        *a = result.guest_order();
        raised |= flags;
    }
    counted(raised, rules)
}

/// `A` on the lowest `N` lanes: by the host where that is exact about everything, else in software.
#[inline(always)]
fn arithmetic<A: Arithmetic, R: Real, const N: usize>(
    destination: &mut u128,
    source: &u128,
    mxcsr: Mxcsr,
) -> Flags {
    match host::arithmetic::<A, R, N>(destination, source, mxcsr) {
        Some(flags) => flags,
        None => soft_arithmetic::<A, R, N>(destination, source, mxcsr),
    }
}

/// [`arithmetic`] without the host's help.
#[cold]
#[inline(never)]
pub(super) fn soft_arithmetic<A: Arithmetic, R: Real, const N: usize>(
    destination: &mut u128,
    source: &u128,
    mxcsr: Mxcsr,
) -> Flags {
    let rules = Rules::from_mxcsr(mxcsr);
    lanewise::<R, N>(destination, source, &rules, |_, a, b| soft_lane::<A, R>(a, b, &rules))
}

#[inline(always)]
fn soft_lane<A: Arithmetic, R: Real>(a: R, b: R, rules: &Rules) -> (R, Flags) {
    A::soft(a.unpack_in(rules), b.unpack_in(rules), rules)
}

/// HADDPS and the like: each pair of neighbours, those of the destination first.
fn horizontal<A: Arithmetic, R: Real, const N: usize>(
    destination: &mut u128,
    source: &u128,
    mxcsr: Mxcsr,
) -> Flags {
    let mut odd = 0;
    build(&mut odd, |i| lane_of_two::<R, u128>(destination, source, 2 * i + 1));
    rebuild(destination, |destination, i| lane_of_two::<R, u128>(destination, source, 2 * i));
    arithmetic::<A, R, N>(destination, &odd, mxcsr)
}

/// ADDSUBPS and ADDSUBPD: even lanes are subtracted, odd ones added.
fn add_subtract<R: Real, const N: usize>(destination: &mut u128, source: &u128, mxcsr: Mxcsr) -> Flags {
    let rules = Rules::from_mxcsr(mxcsr);
    lanewise::<R, N>(destination, source, &rules, |index, a, b| match index % 2 {
        0 => soft_lane::<Sub, R>(a, b, &rules),
        _ => soft_lane::<Add, R>(a, b, &rules),
    })
}

/// DPPS and DPPD: the products that immediate bits 7:4 choose, added pairwise, go to the lanes
/// that bits 3:0 choose; the others become zero. An exception that is unmasked stops it at the
/// stage that raised it; those of earlier stages are sticky by then.
fn dot_product<R: Real>(destination: &mut u128, source: &u128, immediate: u8, mxcsr: Mxcsr) -> Flags {
    let rules = Rules::from_mxcsr(mxcsr);
    let mut width = 16 / size_of::<R>();
    let mut terms = [R::zeroed(); 4];
    let mut raised = Flags::empty();
    for (i, term) in terms.iter_mut().enumerate().take(width) {
        if immediate >> (4 + i) & 1 != 0 {
            let (product, flags) = soft_lane::<Mul, R>(lane(destination, i), lane(source, i), &rules);
            *term = product;
            raised |= flags;
        }
    }
    raised = counted(raised, &rules);
    while width > 1 && !raised.intersects(rules.unmasked) {
        width /= 2;
        let mut stage = Flags::empty();
        for i in 0..width {
            let (sum, flags) = soft_lane::<Add, R>(terms[2 * i], terms[2 * i + 1], &rules);
            terms[i] = sum;
            stage |= flags;
        }
        raised |= counted(stage, &rules);
    }
    build(destination, |i| if immediate >> i & 1 != 0 { terms[0] } else { R::zeroed() });
    raised
}
