//! Where there is room between many areas: what is free in each stretch of the address space, so that a search
//! looks at a thousand stretches at most, and into one.

use std::collections::BTreeMap;

use super::Area;

/// Bytes of a stretch, as a power of two.
const STRETCH_BITS: u32 = 22;
const STRETCH: u32 = 1 << STRETCH_BITS;
/// Stretches in the address space.
const COUNT: usize = 1 << (32 - STRETCH_BITS);

/// What is free in a stretch, in bytes.
#[derive(Clone, Copy, Debug)]
struct Free {
    /// From its first byte on.
    low: u32,
    /// The longest run.
    longest: u32,
    /// To its last byte.
    high: u32,
}

/// What is known of the stretches; `None` where areas have changed since it was found out.
#[derive(Clone, Default, Debug)]
pub(super) struct Gaps {
    /// Empty before the first search.
    stretches: Vec<Option<Free>>,
}

impl Gaps {
    /// Areas from `start` to before `end` have come or gone.
    pub(super) fn forget(&mut self, start: u32, end: u32) {
        if !self.stretches.is_empty() && start < end {
            let (first, last) = (start >> STRETCH_BITS, (end - 1) >> STRETCH_BITS);
            self.stretches[first as usize..=last as usize].fill(None);
        }
    }

    /// An address at or below `high`, below which is the highest run of `length` free bytes with no more than a stretch
    /// of areas in between.
    pub(super) fn highest(&mut self, areas: &BTreeMap<u32, Area>, high: u32, length: u32) -> Option<u32> {
        if self.stretches.is_empty() {
            self.stretches.resize(COUNT, None);
        }
        // Free bytes from the start of the stretch above on, below `high`.
        let mut above = 0_u64;
        for index in (0..=high.saturating_sub(1) >> STRETCH_BITS).rev() {
            let base = index << STRETCH_BITS;
            let top = u64::from(base) + u64::from(STRETCH);
            let cut = u64::from(high) < top;
            let free = match self.stretches[index as usize].filter(|_| !cut) {
                Some(free) => free,
                None => {
                    let free = survey(areas, base, top.min(u64::from(high)));
                    self.stretches[index as usize] = Some(free).filter(|_| !cut);
                    free
                }
            };
            let run = u64::from(free.high) + above;
            if run >= u64::from(length) || free.longest >= length {
                return Some(u32::try_from(top + above).unwrap_or(u32::MAX).min(high));
            }
            let all = u64::from(free.low) == top.min(u64::from(high)) - u64::from(base);
            above = if all { run } else { u64::from(free.low) };
        }
        None
    }
}

/// What is free from `base` to before `top`.
fn survey(areas: &BTreeMap<u32, Area>, base: u32, top: u64) -> Free {
    let before = areas.range(..base).next_back().map_or(base, |(_, area)| area.end.max(base));
    let (mut at, mut free) = (u64::from(before), Free { low: 0, longest: 0, high: 0 });
    let mut low = None;
    for (start, area) in areas.range(base..).take_while(|(start, _)| u64::from(**start) < top) {
        let run = u64::from(*start).saturating_sub(at) as u32;
        low.get_or_insert(if at == u64::from(base) { run } else { 0 });
        free.longest = free.longest.max(run);
        at = u64::from(area.end);
    }
    let last = top.saturating_sub(at) as u32;
    let whole = if at == u64::from(base) { last } else { 0 };
    Free { low: low.unwrap_or(whole), longest: free.longest.max(last), high: last }
}

#[cfg(test)]
mod tests {
    use pentimento_memory::Permissions;

    use super::super::{AreaSource, Areas};
    use super::*;

    /// The plain search.
    fn plain(areas: &Areas, low: u32, high: u32, length: u32) -> Option<u32> {
        let mut ceiling = high;
        for (start, area) in areas.iter().collect::<Vec<_>>().into_iter().rev() {
            if start < high && ceiling.saturating_sub(area.end) < length {
                ceiling = ceiling.min(start);
            } else if start < high {
                break;
            }
        }
        ceiling.checked_sub(length).filter(|start| *start >= low)
    }

    #[test]
    fn room_is_found_where_a_plain_search_finds_it() {
        let (mut areas, mut random) = (Areas::default(), 7_u32);
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) % below
        };
        let ends = [0x40_0000, 0x123_4000, 0x800_0000];
        for step in 0..6000 {
            let start = next(0x8000) << 12;
            let pages = if next(50) == 0 { next(3000) } else { next(8) } + 1;
            let end = start + (pages << 12);
            if next(3) == 0 {
                areas.remove(start, end);
            } else {
                // Areas that differ are not joined.
                let protection = if step % 2 == 0 { Permissions::READ } else { Permissions::WRITE };
                areas.insert(start, end, Area::private(protection, AreaSource::Anonymous));
            }
            let high = ends[next(3) as usize];
            for length in [1, 2, 5, 40, 600, 2000].map(|pages| pages << 12) {
                let found = areas.highest_gap(0x1000, high, length);
                assert_eq!(found, plain(&areas, 0x1000, high, length), "{step} {high:#x} {length:#x}");
            }
        }
        let bytes: u64 = areas.iter().map(|(start, area)| u64::from(area.end - start)).sum();
        assert_eq!(areas.mapped(), bytes);
        let data = areas.iter().filter(|(_, area)| area.is_data());
        let data: u64 = data.map(|(start, area)| u64::from(area.end - start)).sum();
        assert_eq!(areas.data_outside(0, 0), data);
    }
}
