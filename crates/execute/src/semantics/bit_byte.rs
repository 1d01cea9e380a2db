//! Bit tests, bit scans and bit counts, and the CRC-32C step.

use pentimento_registers::Eflags;

use super::{flag, parity};
use crate::Width;

/// What BT and its relatives do with the bit that they have copied to CF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BitChange {
    /// BT: leave it.
    Keep,
    /// BTS.
    Set,
    /// BTR.
    Reset,
    /// BTC.
    Complement,
}

/// BT, BTS, BTR and BTC: the changed value, and the bit that was there (CF; the other flags stay).
/// `index` is taken modulo the width.
#[inline(always)]
#[must_use]
pub fn bit_test<W: Width>(value: W, index: u32, change: BitChange) -> (W, bool) {
    let bits = value.bits();
    let mask = 1 << (index & (W::BITS - 1));
    let changed = match change {
        BitChange::Keep => bits,
        BitChange::Set => bits | mask,
        BitChange::Reset => bits & !mask,
        BitChange::Complement => bits ^ mask,
    };
    (W::truncate(changed), bits & mask != 0)
}

/// BSF: the index of the lowest set bit, or `None` for zero (the destination then stays), and all
/// six status flags.
#[inline]
#[must_use]
pub fn bsf<W: Width>(source: W) -> (Option<W>, Eflags) {
    scan(source, source.bits().trailing_zeros())
}

/// BSR: the index of the highest set bit, or `None` for zero (the destination then stays), and all
/// six status flags.
#[inline]
#[must_use]
pub fn bsr<W: Width>(source: W) -> (Option<W>, Eflags) {
    scan(source, 31 - source.bits().leading_zeros().min(31))
}

/// All flags but ZF are undefined by the SDM: PF follows the index, and the others are clear.
#[inline(always)]
fn scan<W: Width>(source: W, index: u32) -> (Option<W>, Eflags) {
    if source.bits() == 0 {
        return (None, Eflags::ZF.union(Eflags::PF));
    }
    (Some(W::truncate(index)), parity(index))
}

/// TZCNT: the count of trailing zeros, the width itself for zero, and all six status flags.
#[inline]
#[must_use]
pub fn tzcnt<W: Width>(source: W, before: Eflags) -> (W, Eflags) {
    count(source.bits().trailing_zeros().min(W::BITS), source, before)
}

/// LZCNT: the count of leading zeros, the width itself for zero, and all six status flags.
#[inline]
#[must_use]
pub fn lzcnt<W: Width>(source: W, before: Eflags) -> (W, Eflags) {
    count(source.bits().leading_zeros() + W::BITS - 32, source, before)
}

/// CF: the source was zero; ZF: the count is. The others are undefined by the SDM: OF stays.
#[inline(always)]
fn count<W: Width>(count: u32, source: W, before: Eflags) -> (W, Eflags) {
    let flags = before
        .intersection(Eflags::OF)
        .union(flag(Eflags::CF, source.bits() == 0))
        .union(flag(Eflags::ZF, count == 0));
    (W::truncate(count), flags)
}

/// POPCNT: the count of set bits, and all six status flags (only ZF can be set).
#[inline]
#[must_use]
pub fn popcnt<W: Width>(source: W) -> (W, Eflags) {
    (W::truncate(source.bits().count_ones()), flag(Eflags::ZF, source.bits() == 0))
}

/// CRC32: `crc` carried on over the bytes of `data`, lowest first (CRC-32C, reflected polynomial 82F63B78h).
#[inline]
#[must_use]
pub fn crc32<W: Width>(crc: u32, data: W) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = crc ^ data.bits();
    // Bits above the width are not touched by the data: shifting W::BITS times consumes exactly them.
    for _ in 0..W::BITS {
        crc = crc >> 1 ^ POLYNOMIAL & 0_u32.wrapping_sub(crc & 1);
    }
    crc
}
