//! What vector instructions compute: pure functions over the lanes of an MMX register (`u64`) or an
//! XMM register (`u128`), one source for both.
//!
//! A function changes its destination in place, `fn(&mut V, &V)`, as the instruction does. That is
//! also what makes it fast: lanes are read from and written to memory that is laid out as the
//! register is, so that the compiler turns a loop over lanes into the host's own vector
//! instruction (`paddusb` is one load, one `PADDUSB` and one store on x86-64). By value the same
//! loop becomes shifts and masks of a 128-bit integer.
//!
//! Each operation is a type with the operation's own name, such as [`packed::Paddb`], that implements
//! one of the traits here: whoever dispatches on an [`Operation`](pentimento_decoder::Operation) names
//! the type, and one that has no function does not compile. For tests and tools, which go through
//! all of them, [`packed::binary`], [`packed::shift`], [`shuffle::with_immediate`] and their kin find
//! functions by operation. Operands, faults, x87 aliasing and exceptions are the business of the
//! handlers in `mmx` and `sse`.
//!
//! Vectors are in guest byte order. On a big-endian host the caller swaps with [`Vector::guest_order`],
//! there and back; elsewhere that is no code at all.

pub mod aes;
pub mod approximation;
mod approximation_table;
pub mod comparison;
pub mod conversion;
pub mod floating_point;
pub mod galois;
pub mod host;
pub mod packed;
pub mod sha;
pub mod shuffle;
pub mod string_compare;

use core::ops::{BitAnd, BitOr, BitXor, Not};
use core::slice;

use bytemuck::Pod;
use pentimento_memory::Value;

/// `destination = f(destination, source)`, or `f(source)` alone.
pub trait Binary {
    /// Changes the destination.
    fn apply<V: Vector>(destination: &mut V, source: &V);
}

/// `destination = f(destination, source, imm8)`.
pub trait WithImmediate {
    /// Changes the destination.
    fn apply<V: Vector>(destination: &mut V, source: &V, immediate: u8);
}

/// `destination = f(destination, count)`.
pub trait Shift {
    /// Changes the destination.
    fn apply<V: Vector>(destination: &mut V, count: u64);
}

/// `destination = f(destination, source, mask)`, the mask being XMM0.
pub trait WithMask {
    /// Changes the destination.
    fn apply<V: Vector>(destination: &mut V, source: &V, mask: &V);
}

/// Declares operations as types that implement a trait of functions on vectors, and the function that
/// finds them: one row an operation, or several that do the same.
macro_rules! operations {
    ($(#[$doc:meta])* $find:ident: $trait:ident($($parameter:ty),*);
        $($($name:ident)|+ => $function:expr;)*) => {
        $($(
            #[doc = concat!("`", stringify!($name), "`.")]
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl $trait for $name {
                operations!(@$trait $function);
            }
        )+)*

        $(#[$doc])*
        #[must_use]
        pub const fn $find<V: Vector>(operation: Operation) -> Option<fn($($parameter),*)> {
            Some(match operation {
                $($(Operation::$name => <$name as $trait>::apply::<V>,)+)*
                _ => return None,
            })
        }
    };
    (@Binary $function:expr) => {
        #[inline(always)]
        fn apply<V: Vector>(destination: &mut V, source: &V) {
            let function: fn(&mut V, &V) = $function;
            function(destination, source);
        }
    };
    (@WithImmediate $function:expr) => {
        #[inline(always)]
        fn apply<V: Vector>(destination: &mut V, source: &V, immediate: u8) {
            let function: fn(&mut V, &V, u8) = $function;
            function(destination, source, immediate);
        }
    };
    (@Shift $function:expr) => {
        #[inline(always)]
        fn apply<V: Vector>(destination: &mut V, count: u64) {
            let function: fn(&mut V, u64) = $function;
            function(destination, count);
        }
    };
    (@WithMask $function:expr) => {
        #[inline(always)]
        fn apply<V: Vector>(destination: &mut V, source: &V, mask: &V) {
            let function: fn(&mut V, &V, &V) = $function;
            function(destination, source, mask);
        }
    };
}
use operations;

mod sealed {
    pub trait Sealed: bytemuck::Pod {}
}

/// An element of a vector: an integer of 8 to 64 bits.
pub trait Lane: sealed::Sealed {
    /// Width in bits.
    const BITS: u32;
    /// All ones.
    const ONES: Self;
    /// Swaps between the host's and the guest's byte order.
    #[must_use]
    fn guest_order(self) -> Self;
}

macro_rules! lanes {
    ($($lane:ty)*) => {$(
        impl sealed::Sealed for $lane {}
        impl Lane for $lane {
            const BITS: u32 = <$lane>::BITS;
            const ONES: Self = !0;
            #[inline(always)]
            fn guest_order(self) -> Self {
                self.to_le()
            }
        }
    )*};
}

lanes!(u8 u16 u32 u64 i8 i16 i32 i64);

/// A vector register's contents: `u64` (MMX) or `u128` (XMM).
pub trait Vector:
    Pod + Value + Eq + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
    /// Width in bytes: 8 or 16.
    const BYTES: usize = size_of::<Self>();
    /// Swaps between the host's byte order and the guest's, which lanes are read in.
    #[must_use]
    fn guest_order(self) -> Self;
}

macro_rules! vectors {
    ($($vector:ty)*) => {$(
        impl Vector for $vector {
            #[inline(always)]
            fn guest_order(self) -> Self {
                self.to_le()
            }
        }
    )*};
}

vectors!(u64 u128);

/// The lanes of `vector`, lowest first, each in guest byte order.
#[inline(always)]
fn lanes<L: Lane, V: Vector>(vector: &V) -> &[L] {
    bytemuck::cast_slice(slice::from_ref(vector))
}

/// The lanes of `vector`, lowest first, to change.
#[inline(always)]
fn lanes_mut<L: Lane, V: Vector>(vector: &mut V) -> &mut [L] {
    bytemuck::cast_slice_mut(slice::from_mut(vector))
}

/// Lane `index`, counted from the low end and modulo the number of lanes.
#[inline(always)]
#[must_use]
pub fn lane<L: Lane, V: Vector>(vector: &V, index: usize) -> L {
    let lanes = lanes::<L, V>(vector);
    lanes[index % lanes.len()].guest_order()
}

/// Lane `index`, which must exist. Without [`lane`]'s modulo a loop over lanes stays one that the
/// compiler knows how to turn into vector instructions.
#[inline(always)]
fn at<L: Lane, V: Vector>(vector: &V, index: usize) -> L {
    lanes::<L, V>(vector)[index].guest_order()
}

/// Replaces lane `index`, counted from the low end and modulo the number of lanes.
#[inline(always)]
pub fn set_lane<L: Lane, V: Vector>(vector: &mut V, index: usize, value: L) {
    let lanes = lanes_mut::<L, V>(vector);
    lanes[index % lanes.len()] = value.guest_order();
}

/// Each lane becomes `f` of its number.
#[inline(always)]
pub fn build<L: Lane, V: Vector>(destination: &mut V, f: impl Fn(usize) -> L) {
    for (index, lane) in lanes_mut::<L, V>(destination).iter_mut().enumerate() {
        *lane = f(index).guest_order();
    }
}

/// Each lane becomes `f` of what the vector was before, and of the lane's number.
#[inline(always)]
pub fn rebuild<L: Lane, V: Vector>(destination: &mut V, f: impl Fn(&V, usize) -> L) {
    // The old value is read where it is: a copy of it would travel through integer registers.
    let mut results = [L::zeroed(); 16];
    for (index, lane) in results.iter_mut().enumerate().take(V::BYTES / size_of::<L>()) {
        *lane = f(destination, index);
    }
    for (lane, result) in lanes_mut::<L, V>(destination).iter_mut().zip(results) {
        *lane = result.guest_order();
    }
}

/// Each lane of `destination` becomes `f` of that of `source`.
#[inline(always)]
pub fn map<L: Lane, V: Vector>(destination: &mut V, source: &V, f: impl Fn(L) -> L) {
    for (lane, source) in lanes_mut::<L, V>(destination).iter_mut().zip(lanes::<L, V>(source)) {
        *lane = f(source.guest_order()).guest_order();
    }
}

/// Each lane becomes `f` of itself.
#[inline(always)]
pub fn map_in_place<L: Lane, V: Vector>(vector: &mut V, f: impl Fn(L) -> L) {
    for lane in lanes_mut::<L, V>(vector) {
        *lane = f(lane.guest_order()).guest_order();
    }
}

/// Each lane of `destination` becomes `f` of itself and its counterpart in `source`.
#[inline(always)]
pub fn map2<L: Lane, V: Vector>(destination: &mut V, source: &V, f: impl Fn(L, L) -> L) {
    for (lane, source) in lanes_mut::<L, V>(destination).iter_mut().zip(lanes::<L, V>(source)) {
        *lane = f(lane.guest_order(), source.guest_order()).guest_order();
    }
}

/// All ones where `condition` holds, else zero: what comparisons leave in a lane.
#[inline(always)]
fn mask<L: Lane>(condition: bool) -> L {
    if condition { L::ONES } else { L::zeroed() }
}

/// One bit a lane, lowest first: its sign (PMOVMSKB, MOVMSKPS, MOVMSKPD).
#[inline(always)]
#[must_use]
pub fn sign_bits<L: Lane + PartialOrd, V: Vector>(vector: &V) -> u32 {
    let signs = lanes::<L, V>(vector).iter().enumerate();
    signs.fold(0, |bits, (index, lane)| bits | u32::from(lane.guest_order() < L::zeroed()) << index)
}
