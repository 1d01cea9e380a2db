//! PCMPESTRI, PCMPESTRM, PCMPISTRI and PCMPISTRM (SDM volume 1, section 12.11.2, and volume 2,
//! section 4.1).

use pentimento_registers::Eflags;

use super::{Lane, lane};

/// What a string comparison found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// IntRes2: one bit an element, lowest first.
    pub bits: u16,
    /// Elements a string can have: 16 bytes or 8 words.
    pub elements: u32,
    /// CF, ZF, SF and OF as the instruction sets them; AF and PF are cleared.
    pub flags: Eflags,
    immediate: u8,
}

impl Comparison {
    /// What PCMPxSTRI puts into ECX: the index of the lowest or highest match, or the number of
    /// elements where there is none.
    #[must_use]
    pub fn index(&self) -> u32 {
        match self.bits {
            0 => self.elements,
            bits if self.immediate & 0x40 != 0 => bits.ilog2(),
            bits => bits.trailing_zeros(),
        }
    }

    /// What PCMPxSTRM puts into XMM0: a bit mask, or with bit 6 of the immediate a mask of whole elements.
    #[must_use]
    pub fn mask(&self) -> u128 {
        if self.immediate & 0x40 == 0 {
            return self.bits.into();
        }
        let width = 128 / self.elements;
        let element = u128::MAX >> (128 - width);
        (0..self.elements)
            .filter(|i| self.bits >> i & 1 != 0)
            .fold(0, |mask, i| mask | element << (i * width))
    }
}

/// Compares strings whose lengths are given, as PCMPESTRx does: of EAX and EDX the absolute value
/// counts, up to what a register holds. `a` is the first operand; both are in guest byte order.
#[must_use]
pub fn explicit(a: &u128, length_a: i32, b: &u128, length_b: i32, immediate: u8) -> Comparison {
    let clamp = |length: i32| length.unsigned_abs().min(elements(immediate));
    compare(a, clamp(length_a), b, clamp(length_b), immediate)
}

/// Compares strings that end at the first zero, as PCMPISTRx does.
#[must_use]
pub fn implicit(a: &u128, b: &u128, immediate: u8) -> Comparison {
    let length = |string: &u128| {
        let zero = |&i: &u32| element(string, i, immediate) == 0;
        (0..elements(immediate)).find(zero).unwrap_or(elements(immediate))
    };
    compare(a, length(a), b, length(b), immediate)
}

fn elements(immediate: u8) -> u32 {
    if immediate & 1 == 0 { 16 } else { 8 }
}

/// Element `index` as immediate bits 1:0 say: unsigned or signed, bytes or words.
fn element(string: &u128, index: u32, immediate: u8) -> i32 {
    fn get<L: Lane + Into<i32>>(string: &u128, index: u32) -> i32 {
        lane::<L, u128>(string, index as usize).into()
    }
    match immediate & 3 {
        0 => get::<u8>(string, index),
        1 => get::<u16>(string, index),
        2 => get::<i8>(string, index),
        _ => get::<i16>(string, index),
    }
}

fn compare(a: &u128, length_a: u32, b: &u128, length_b: u32, immediate: u8) -> Comparison {
    let elements = elements(immediate);
    let raw = aggregate(a, length_a, b, length_b, immediate);
    let all = u16::MAX >> (16 - elements);
    let bits = match immediate >> 4 & 3 {
        1 => !raw & all,
        3 => raw ^ (valid(length_b) & all),
        _ => raw,
    };
    let mut flags = Eflags::empty();
    flags.set(Eflags::CF, bits != 0);
    flags.set(Eflags::ZF, length_b < elements);
    flags.set(Eflags::SF, length_a < elements);
    flags.set(Eflags::OF, bits & 1 != 0);
    Comparison { bits, elements, flags, immediate }
}

/// A bit for each element before `length`, which is at most 16.
fn valid(length: u32) -> u16 {
    ((1u32 << length) - 1) as u16
}

/// IntRes1: the comparisons of all pairs, those behind a string's end overridden (SDM volume 2,
/// table 4-7), combined as immediate bits 3:2 say.
fn aggregate(a: &u128, length_a: u32, b: &u128, length_b: u32, immediate: u8) -> u16 {
    let elements = elements(immediate);
    let at_a = |i: u32| element(a, i, immediate);
    let at_b = |j: u32| element(b, j, immediate);
    let holds = |j: u32| match immediate >> 2 & 3 {
        // Equal any: b[j] occurs in a.
        0 => j < length_b && (0..length_a).any(|i| at_a(i) == at_b(j)),
        // Ranges: b[j] lies between a[i] and a[i + 1] for an even i.
        1 => {
            j < length_b
                && (0..length_a / 2).any(|pair| (at_a(2 * pair)..=at_a(2 * pair + 1)).contains(&at_b(j)))
        }
        // Equal each: a[j] equals b[j]; behind both ends it does, behind one it does not.
        2 => match (j < length_a, j < length_b) {
            (true, true) => at_a(j) == at_b(j),
            (in_a, in_b) => in_a == in_b,
        },
        // Equal ordered: a begins at b[j], as far as the register shows.
        _ => (0..length_a.min(elements - j)).all(|i| i + j < length_b && at_a(i) == at_b(i + j)),
    };
    (0..elements).filter(|&j| holds(j)).fold(0, |bits, j| bits | 1 << j)
}
