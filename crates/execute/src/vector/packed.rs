//! Packed integers: arithmetic, comparison, logic, shifts and conversion (SDM volume 1, sections
//! 9.4, 10.6, 11.4.2, 12.5 and 12.9 to 12.11).

use core::ops::{BitOr, Shl};

use pentimento_decoder::Operation;

use super::{
    Binary, Lane, Shift, Unary, Vector, at, build, lane, map, map_in_place, map2, mask, rebuild, set_lane,
};

/// The function of an operation whose destination is also its first operand.
#[rustfmt::skip]
#[must_use]
pub const fn binary<V: Vector>(operation: Operation) -> Option<Binary<V>> {
    use Operation as O;
    let function: Binary<V> = match operation {
        O::Paddb => |a, b| map2(a, b, u8::wrapping_add),
        O::Paddw => |a, b| map2(a, b, u16::wrapping_add),
        O::Paddd => |a, b| map2(a, b, u32::wrapping_add),
        O::Paddq => |a, b| map2(a, b, u64::wrapping_add),
        O::Paddsb => |a, b| map2(a, b, i8::saturating_add),
        O::Paddsw => |a, b| map2(a, b, i16::saturating_add),
        O::Paddusb => |a, b| map2(a, b, u8::saturating_add),
        O::Paddusw => |a, b| map2(a, b, u16::saturating_add),
        O::Psubb => |a, b| map2(a, b, u8::wrapping_sub),
        O::Psubw => |a, b| map2(a, b, u16::wrapping_sub),
        O::Psubd => |a, b| map2(a, b, u32::wrapping_sub),
        O::Psubq => |a, b| map2(a, b, u64::wrapping_sub),
        O::Psubsb => |a, b| map2(a, b, i8::saturating_sub),
        O::Psubsw => |a, b| map2(a, b, i16::saturating_sub),
        O::Psubusb => |a, b| map2(a, b, u8::saturating_sub),
        O::Psubusw => |a, b| map2(a, b, u16::saturating_sub),
        O::Pmullw => |a, b| map2(a, b, u16::wrapping_mul),
        O::Pmulld => |a, b| map2(a, b, u32::wrapping_mul),
        O::Pmulhw => |a, b| map2(a, b, |a: i16, b| ((i32::from(a) * i32::from(b)) >> 16) as i16),
        O::Pmulhuw => |a, b| map2(a, b, |a: u16, b| ((u32::from(a) * u32::from(b)) >> 16) as u16),
        O::Pmulhrsw => |a, b| map2(a, b, |a: i16, b| ((((i32::from(a) * i32::from(b)) >> 14) + 1) >> 1) as i16),
        O::Pmuludq => |a, b| map2(a, b, |a: u64, b: u64| (a & 0xffff_ffff) * (b & 0xffff_ffff)),
        O::Pmuldq => |a, b| map2(a, b, |a: i64, b| i64::from(a as i32) * i64::from(b as i32)),
        O::Pmaddwd => |a, b| map2(a, b, multiply_add_words),
        O::Pmaddubsw => |a, b| multiply_pairs(a, b, |a: [u8; 2], b: [i8; 2]| multiply_add_bytes(a, b)),
        O::Psadbw => absolute_differences,
        O::Pavgb => |a, b| map2(a, b, |a: u8, b| ((u16::from(a) + u16::from(b) + 1) >> 1) as u8),
        O::Pavgw => |a, b| map2(a, b, |a: u16, b| ((u32::from(a) + u32::from(b) + 1) >> 1) as u16),
        O::Pmaxub => |a, b| map2(a, b, u8::max),
        O::Pmaxuw => |a, b| map2(a, b, u16::max),
        O::Pmaxud => |a, b| map2(a, b, u32::max),
        O::Pmaxsb => |a, b| map2(a, b, i8::max),
        O::Pmaxsw => |a, b| map2(a, b, i16::max),
        O::Pmaxsd => |a, b| map2(a, b, i32::max),
        O::Pminub => |a, b| map2(a, b, u8::min),
        O::Pminuw => |a, b| map2(a, b, u16::min),
        O::Pminud => |a, b| map2(a, b, u32::min),
        O::Pminsb => |a, b| map2(a, b, i8::min),
        O::Pminsw => |a, b| map2(a, b, i16::min),
        O::Pminsd => |a, b| map2(a, b, i32::min),
        O::Pcmpeqb => |a, b| map2(a, b, |a: u8, b| mask(a == b)),
        O::Pcmpeqw => |a, b| map2(a, b, |a: u16, b| mask(a == b)),
        O::Pcmpeqd => |a, b| map2(a, b, |a: u32, b| mask(a == b)),
        O::Pcmpeqq => |a, b| map2(a, b, |a: u64, b| mask(a == b)),
        O::Pcmpgtb => |a, b| map2(a, b, |a: i8, b| mask(a > b)),
        O::Pcmpgtw => |a, b| map2(a, b, |a: i16, b| mask(a > b)),
        O::Pcmpgtd => |a, b| map2(a, b, |a: i32, b| mask(a > b)),
        O::Pcmpgtq => |a, b| map2(a, b, |a: i64, b| mask(a > b)),
        O::Psignb => |a, b| map2(a, b, |a: i8, b| a.wrapping_mul(b.signum())),
        O::Psignw => |a, b| map2(a, b, |a: i16, b| a.wrapping_mul(b.signum())),
        O::Psignd => |a, b| map2(a, b, |a: i32, b| a.wrapping_mul(b.signum())),
        O::Phaddw => |a, b| horizontal(a, b, u16::wrapping_add),
        O::Phaddd => |a, b| horizontal(a, b, u32::wrapping_add),
        O::Phaddsw => |a, b| horizontal(a, b, i16::saturating_add),
        O::Phsubw => |a, b| horizontal(a, b, u16::wrapping_sub),
        O::Phsubd => |a, b| horizontal(a, b, u32::wrapping_sub),
        O::Phsubsw => |a, b| horizontal(a, b, i16::saturating_sub),
        O::Pand | O::Andps | O::Andpd => |a, b| map2(a, b, |a: u64, b| a & b),
        O::Pandn | O::Andnps | O::Andnpd => |a, b| map2(a, b, |a: u64, b| !a & b),
        O::Por | O::Orps | O::Orpd => |a, b| map2(a, b, |a: u64, b| a | b),
        O::Pxor | O::Xorps | O::Xorpd => |a, b| map2(a, b, |a: u64, b| a ^ b),
        O::Packsswb => |a, b| pack(a, b, |x: i16| x.clamp(i8::MIN.into(), i8::MAX.into()) as i8),
        O::Packssdw => |a, b| pack(a, b, |x: i32| x.clamp(i16::MIN.into(), i16::MAX.into()) as i16),
        O::Packuswb => |a, b| pack(a, b, |x: i16| x.clamp(0, u8::MAX.into()) as u8),
        O::Packusdw => |a, b| pack(a, b, |x: i32| x.clamp(0, u16::MAX.into()) as u16),
        O::Punpcklbw => |a, b| interleave::<u8, u16, V>(a, b, 0),
        O::Punpcklwd => |a, b| interleave::<u16, u32, V>(a, b, 0),
        O::Punpckldq | O::Unpcklps => |a, b| interleave::<u32, u64, V>(a, b, 0),
        O::Punpcklqdq | O::Unpcklpd => |a, b| set_lane(a, 1, lane::<u64, V>(b, 0)),
        O::Punpckhbw => |a, b| interleave::<u8, u16, V>(a, b, V::BYTES / 2),
        O::Punpckhwd => |a, b| interleave::<u16, u32, V>(a, b, V::BYTES / 4),
        O::Punpckhdq | O::Unpckhps => |a, b| interleave::<u32, u64, V>(a, b, V::BYTES / 8),
        O::Punpckhqdq | O::Unpckhpd => |a, b| {
            let high = lane::<u64, V>(a, 1);
            *a = *b;
            set_lane(a, 0, high);
        },
        O::Pshufb => |a, b| {
            rebuild(a, |table, i| match at::<u8, V>(b, i) {
                index @ 0..0x80 => lane(table, index.into()),
                _ => 0u8,
            });
        },
        _ => return None,
    };
    Some(function)
}

/// The function of an operation that replaces its destination.
#[rustfmt::skip]
#[must_use]
pub const fn unary<V: Vector>(operation: Operation) -> Option<Unary<V>> {
    use Operation as O;
    let function: Unary<V> = match operation {
        O::Pabsb => |a, b| map(a, b, i8::wrapping_abs),
        O::Pabsw => |a, b| map(a, b, i16::wrapping_abs),
        O::Pabsd => |a, b| map(a, b, i32::wrapping_abs),
        O::Pmovsxbw => |a, b| convert(a, b, |x: i8| i16::from(x)),
        O::Pmovsxbd => |a, b| convert(a, b, |x: i8| i32::from(x)),
        O::Pmovsxbq => |a, b| convert(a, b, |x: i8| i64::from(x)),
        O::Pmovsxwd => |a, b| convert(a, b, |x: i16| i32::from(x)),
        O::Pmovsxwq => |a, b| convert(a, b, |x: i16| i64::from(x)),
        O::Pmovsxdq => |a, b| convert(a, b, |x: i32| i64::from(x)),
        O::Pmovzxbw => |a, b| convert(a, b, |x: u8| u16::from(x)),
        O::Pmovzxbd => |a, b| convert(a, b, |x: u8| u32::from(x)),
        O::Pmovzxbq => |a, b| convert(a, b, |x: u8| u64::from(x)),
        O::Pmovzxwd => |a, b| convert(a, b, |x: u16| u32::from(x)),
        O::Pmovzxwq => |a, b| convert(a, b, |x: u16| u64::from(x)),
        O::Pmovzxdq => |a, b| convert(a, b, |x: u32| u64::from(x)),
        O::Phminposuw => |a, b| *a = minimum_position(b),
        O::Movshdup => |a, b| build(a, |i| lane::<u32, V>(b, i | 1)),
        O::Movsldup => |a, b| build(a, |i| lane::<u32, V>(b, i & !1)),
        O::Movddup => |a, b| build(a, |_| lane::<u64, V>(b, 0)),
        _ => return None,
    };
    Some(function)
}

/// The function of a shift whose count is an immediate or the low 64 bits of a vector. A count of
/// the lane's width or more clears the lane, or fills it with its sign.
#[rustfmt::skip]
#[must_use]
pub const fn shift<V: Vector>(operation: Operation) -> Option<Shift<V>> {
    use Operation as O;
    let function: Shift<V> = match operation {
        O::Psllw => |a, count| shift_lanes(a, count, |x: u16, count| x << count),
        O::Pslld => |a, count| shift_lanes(a, count, |x: u32, count| x << count),
        O::Psllq => |a, count| shift_lanes(a, count, |x: u64, count| x << count),
        O::Psrlw => |a, count| shift_lanes(a, count, |x: u16, count| x >> count),
        O::Psrld => |a, count| shift_lanes(a, count, |x: u32, count| x >> count),
        O::Psrlq => |a, count| shift_lanes(a, count, |x: u64, count| x >> count),
        O::Psraw => |a, count| shift_lanes(a, count.min(15), |x: i16, count| x >> count),
        O::Psrad => |a, count| shift_lanes(a, count.min(31), |x: i32, count| x >> count),
        O::Pslldq => |a, count| {
            let bits = count.min(V::BYTES as u64) as u32 * 8;
            *a = V::from_u128(a.guest_order().into_u128().checked_shl(bits).unwrap_or(0)).guest_order();
        },
        O::Psrldq => |a, count| {
            let bits = count.min(V::BYTES as u64) as u32 * 8;
            *a = V::from_u128(a.guest_order().into_u128().checked_shr(bits).unwrap_or(0)).guest_order();
        },
        _ => return None,
    };
    Some(function)
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
