//! Packed integers: arithmetic, comparison, logic, shifts and conversion (SDM volume 1, sections
//! 9.4, 10.6, 11.4.2, 12.5 and 12.9 to 12.11).

use core::ops::{BitOr, Shl};

use pentimento_decoder::Operation;

use super::{
    Binary, Lane, Shift, Vector, at, build, lane, map, map_in_place, map2, mask, operations, rebuild,
    set_lane,
};

#[rustfmt::skip]
operations! {
    /// The function of an operation whose destination is also its first operand.
    binary: Binary(&mut V, &V);
    Paddb => |a, b| map2(a, b, u8::wrapping_add);
    Paddw => |a, b| map2(a, b, u16::wrapping_add);
    Paddd => |a, b| map2(a, b, u32::wrapping_add);
    Paddq => |a, b| map2(a, b, u64::wrapping_add);
    Paddsb => |a, b| map2(a, b, i8::saturating_add);
    Paddsw => |a, b| map2(a, b, i16::saturating_add);
    Paddusb => |a, b| map2(a, b, u8::saturating_add);
    Paddusw => |a, b| map2(a, b, u16::saturating_add);
    Psubb => |a, b| map2(a, b, u8::wrapping_sub);
    Psubw => |a, b| map2(a, b, u16::wrapping_sub);
    Psubd => |a, b| map2(a, b, u32::wrapping_sub);
    Psubq => |a, b| map2(a, b, u64::wrapping_sub);
    Psubsb => |a, b| map2(a, b, i8::saturating_sub);
    Psubsw => |a, b| map2(a, b, i16::saturating_sub);
    Psubusb => |a, b| map2(a, b, u8::saturating_sub);
    Psubusw => |a, b| map2(a, b, u16::saturating_sub);
    Pmullw => |a, b| map2(a, b, u16::wrapping_mul);
    Pmulld => |a, b| map2(a, b, u32::wrapping_mul);
    Pmulhw => |a, b| map2(a, b, |a: i16, b| ((i32::from(a) * i32::from(b)) >> 16) as i16);
    Pmulhuw => |a, b| map2(a, b, |a: u16, b| ((u32::from(a) * u32::from(b)) >> 16) as u16);
    Pmulhrsw => |a, b| map2(a, b, |a: i16, b| ((((i32::from(a) * i32::from(b)) >> 14) + 1) >> 1) as i16);
    Pmuludq => |a, b| map2(a, b, |a: u64, b: u64| (a & 0xffff_ffff) * (b & 0xffff_ffff));
    Pmuldq => |a, b| map2(a, b, |a: i64, b| i64::from(a as i32) * i64::from(b as i32));
    Pmaddwd => |a, b| map2(a, b, multiply_add_words);
    Pmaddubsw => |a, b| multiply_pairs(a, b, |a: [u8; 2], b: [i8; 2]| multiply_add_bytes(a, b));
    Psadbw => absolute_differences;
    Pavgb => |a, b| map2(a, b, |a: u8, b| ((u16::from(a) + u16::from(b) + 1) >> 1) as u8);
    Pavgw => |a, b| map2(a, b, |a: u16, b| ((u32::from(a) + u32::from(b) + 1) >> 1) as u16);
    Pmaxub => |a, b| map2(a, b, u8::max);
    Pmaxuw => |a, b| map2(a, b, u16::max);
    Pmaxud => |a, b| map2(a, b, u32::max);
    Pmaxsb => |a, b| map2(a, b, i8::max);
    Pmaxsw => |a, b| map2(a, b, i16::max);
    Pmaxsd => |a, b| map2(a, b, i32::max);
    Pminub => |a, b| map2(a, b, u8::min);
    Pminuw => |a, b| map2(a, b, u16::min);
    Pminud => |a, b| map2(a, b, u32::min);
    Pminsb => |a, b| map2(a, b, i8::min);
    Pminsw => |a, b| map2(a, b, i16::min);
    Pminsd => |a, b| map2(a, b, i32::min);
    Pcmpeqb => |a, b| map2(a, b, |a: u8, b| mask(a == b));
    Pcmpeqw => |a, b| map2(a, b, |a: u16, b| mask(a == b));
    Pcmpeqd => |a, b| map2(a, b, |a: u32, b| mask(a == b));
    Pcmpeqq => |a, b| map2(a, b, |a: u64, b| mask(a == b));
    Pcmpgtb => |a, b| map2(a, b, |a: i8, b| mask(a > b));
    Pcmpgtw => |a, b| map2(a, b, |a: i16, b| mask(a > b));
    Pcmpgtd => |a, b| map2(a, b, |a: i32, b| mask(a > b));
    Pcmpgtq => |a, b| map2(a, b, |a: i64, b| mask(a > b));
    Psignb => |a, b| map2(a, b, |a: i8, b| a.wrapping_mul(b.signum()));
    Psignw => |a, b| map2(a, b, |a: i16, b| a.wrapping_mul(b.signum()));
    Psignd => |a, b| map2(a, b, |a: i32, b| a.wrapping_mul(b.signum()));
    Phaddw => |a, b| horizontal(a, b, u16::wrapping_add);
    Phaddd => |a, b| horizontal(a, b, u32::wrapping_add);
    Phaddsw => |a, b| horizontal(a, b, i16::saturating_add);
    Phsubw => |a, b| horizontal(a, b, u16::wrapping_sub);
    Phsubd => |a, b| horizontal(a, b, u32::wrapping_sub);
    Phsubsw => |a, b| horizontal(a, b, i16::saturating_sub);
    Pand | Andps | Andpd => |a, b| map2(a, b, |a: u64, b| a & b);
    Pandn | Andnps | Andnpd => |a, b| map2(a, b, |a: u64, b| !a & b);
    Por | Orps | Orpd => |a, b| map2(a, b, |a: u64, b| a | b);
    Pxor | Xorps | Xorpd => |a, b| map2(a, b, |a: u64, b| a ^ b);
    Packsswb => |a, b| pack(a, b, |x: i16| x.clamp(i8::MIN.into(), i8::MAX.into()) as i8);
    Packssdw => |a, b| pack(a, b, |x: i32| x.clamp(i16::MIN.into(), i16::MAX.into()) as i16);
    Packuswb => |a, b| pack(a, b, |x: i16| x.clamp(0, u8::MAX.into()) as u8);
    Packusdw => |a, b| pack(a, b, |x: i32| x.clamp(0, u16::MAX.into()) as u16);
    Punpcklbw => |a, b| interleave::<u8, u16, V>(a, b, 0);
    Punpcklwd => |a, b| interleave::<u16, u32, V>(a, b, 0);
    Punpckldq | Unpcklps => |a, b| interleave::<u32, u64, V>(a, b, 0);
    Punpcklqdq | Unpcklpd => |a, b| set_lane(a, 1, lane::<u64, V>(b, 0));
    Punpckhbw => |a, b| interleave::<u8, u16, V>(a, b, V::BYTES / 2);
    Punpckhwd => |a, b| interleave::<u16, u32, V>(a, b, V::BYTES / 4);
    Punpckhdq | Unpckhps => |a, b| interleave::<u32, u64, V>(a, b, V::BYTES / 8);
    Punpckhqdq | Unpckhpd => |a, b| {
        let high = lane::<u64, V>(a, 1);
        *a = *b;
        set_lane(a, 0, high);
    };
    Pshufb => |a, b| {
        rebuild(a, |table, i| match at::<u8, V>(b, i) {
            index @ 0..0x80 => lane(table, index.into()),
            _ => 0u8,
        });
    };
}

#[rustfmt::skip]
operations! {
    /// The function of an operation that replaces its destination.
    unary: Binary(&mut V, &V);
    Pabsb => |a, b| map(a, b, i8::wrapping_abs);
    Pabsw => |a, b| map(a, b, i16::wrapping_abs);
    Pabsd => |a, b| map(a, b, i32::wrapping_abs);
    Pmovsxbw => |a, b| convert(a, b, |x: i8| i16::from(x));
    Pmovsxbd => |a, b| convert(a, b, |x: i8| i32::from(x));
    Pmovsxbq => |a, b| convert(a, b, |x: i8| i64::from(x));
    Pmovsxwd => |a, b| convert(a, b, |x: i16| i32::from(x));
    Pmovsxwq => |a, b| convert(a, b, |x: i16| i64::from(x));
    Pmovsxdq => |a, b| convert(a, b, |x: i32| i64::from(x));
    Pmovzxbw => |a, b| convert(a, b, |x: u8| u16::from(x));
    Pmovzxbd => |a, b| convert(a, b, |x: u8| u32::from(x));
    Pmovzxbq => |a, b| convert(a, b, |x: u8| u64::from(x));
    Pmovzxwd => |a, b| convert(a, b, |x: u16| u32::from(x));
    Pmovzxwq => |a, b| convert(a, b, |x: u16| u64::from(x));
    Pmovzxdq => |a, b| convert(a, b, |x: u32| u64::from(x));
    Phminposuw => |a, b| *a = minimum_position(b);
    Movshdup => |a, b| build(a, |i| lane::<u32, V>(b, i | 1));
    Movsldup => |a, b| build(a, |i| lane::<u32, V>(b, i & !1));
    Movddup => |a, b| build(a, |_| lane::<u64, V>(b, 0));
}

#[rustfmt::skip]
operations! {
    /// The function of a shift whose count is an immediate or the low 64 bits of a vector. A count of
    /// the lane's width or more clears the lane, or fills it with its sign.
    shift: Shift(&mut V, u64);
    Psllw => |a, count| shift_lanes(a, count, |x: u16, count| x << count);
    Pslld => |a, count| shift_lanes(a, count, |x: u32, count| x << count);
    Psllq => |a, count| shift_lanes(a, count, |x: u64, count| x << count);
    Psrlw => |a, count| shift_lanes(a, count, |x: u16, count| x >> count);
    Psrld => |a, count| shift_lanes(a, count, |x: u32, count| x >> count);
    Psrlq => |a, count| shift_lanes(a, count, |x: u64, count| x >> count);
    Psraw => |a, count| shift_lanes(a, count.min(15), |x: i16, count| x >> count);
    Psrad => |a, count| shift_lanes(a, count.min(31), |x: i32, count| x >> count);
    Pslldq => |a, count| {
        let bits = count.min(V::BYTES as u64) as u32 * 8;
        *a = V::from_u128(a.guest_order().into_u128().checked_shl(bits).unwrap_or(0)).guest_order();
    };
    Psrldq => |a, count| {
        let bits = count.min(V::BYTES as u64) as u32 * 8;
        *a = V::from_u128(a.guest_order().into_u128().checked_shr(bits).unwrap_or(0)).guest_order();
    };
}

#[inline(always)]
fn shift_lanes<L: Lane, V: Vector>(a: &mut V, count: u64, f: impl Fn(L, u32) -> L) {
    if count >= u64::from(L::BITS) {
        *a = V::zeroed();
    } else {
        let count = count as u32 % L::BITS;
        map_in_place(a, |x| f(x, count));
    }
}

/// Lane `index` of the vector twice as long that holds `low` and above it `high`.
#[inline(always)]
pub(super) fn lane_of_two<L: Lane, V: Vector>(low: &V, high: &V, index: usize) -> L {
    let count = V::BYTES / size_of::<L>();
    if index < count { at(low, index) } else { at(high, index - count) }
}

/// Neighbours are combined: the low half comes from `a`, the high half from `b`.
#[inline(always)]
pub(super) fn horizontal<L: Lane, V: Vector>(a: &mut V, b: &V, f: impl Fn(L, L) -> L) {
    rebuild(a, |a, i| f(lane_of_two(a, b, 2 * i), lane_of_two(a, b, 2 * i + 1)));
}

/// Narrows the lanes of `a`, then those of `b`.
#[inline(always)]
fn pack<From: Lane, To: Lane, V: Vector>(a: &mut V, b: &V, f: impl Fn(From) -> To) {
    rebuild(a, |a, i| f(lane_of_two(a, b, i)));
}

/// Alternates lanes of `a` and `b`, beginning with lane `start` of each; a pair is a `Wide`.
#[inline(always)]
fn interleave<L: Lane, Wide, V: Vector>(a: &mut V, b: &V, start: usize)
where
    Wide: Lane + From<L> + Shl<u32, Output = Wide> + BitOr<Output = Wide>,
{
    let wide = |vector: &V, i: usize| Wide::from(at::<L, V>(vector, start + i));
    rebuild(a, |a, i| wide(a, i) | wide(b, i) << L::BITS);
}

/// Converts the lowest lanes of `source` to another width, as many as fit.
#[inline(always)]
fn convert<From: Lane, To: Lane, V: Vector>(destination: &mut V, source: &V, f: impl Fn(From) -> To) {
    build(destination, |i| f(at(source, i)));
}

/// Each wide lane becomes `f` of the pair of narrow ones that occupy its place in `a` and in `b`.
#[inline(always)]
fn multiply_pairs<A: Lane, B: Lane, Wide: Lane, V: Vector>(
    a: &mut V,
    b: &V,
    f: impl Fn([A; 2], [B; 2]) -> Wide,
) {
    rebuild(a, |a, i| f([at(a, 2 * i), at(a, 2 * i + 1)], [at(b, 2 * i), at(b, 2 * i + 1)]));
}

/// PMADDWD, a pair of words in a doubleword. Only 8000h in all four places overflows, and wraps to 80000000h.
#[inline(always)]
fn multiply_add_words(a: i32, b: i32) -> i32 {
    let low = i32::from(a as i16) * i32::from(b as i16);
    low.wrapping_add((a >> 16) * (b >> 16))
}

/// PMADDUBSW: unsigned times signed, summed with saturation.
#[inline(always)]
fn multiply_add_bytes(a: [u8; 2], b: [i8; 2]) -> i16 {
    let [low, high] = [0, 1].map(|k| i16::from(a[k]) * i16::from(b[k]));
    low.saturating_add(high)
}

/// PSADBW: in each 64 bits, the sum of the bytes' absolute differences.
fn absolute_differences<V: Vector>(a: &mut V, b: &V) {
    let first = *a;
    build(a, |quad| {
        (8 * quad..8 * quad + 8).map(|i| u64::from(at::<u8, V>(&first, i).abs_diff(at(b, i)))).sum::<u64>()
    });
}

/// PHMINPOSUW: the smallest word, and above it the index of its first occurrence.
fn minimum_position<V: Vector>(source: &V) -> V {
    let smallest = (0..V::BYTES / 2).map(|i| (lane::<u16, V>(source, i), i)).min().unwrap_or_default();
    V::from_u128(u128::from(smallest.0) | (smallest.1 as u128) << 16).guest_order()
}
