//! Pages that mix code with data which is stored to over and over. The host refuses each such store, because
//! the page is watched, and that costs a thousand times what the store does. After a number of them the
//! page's code is for the interpreter, whose stores do not ask the host, for a while: pages where a guest's
//! own translator puts code are stored to, too, and then executed for long.

use std::collections::BTreeMap;

use pentimento_memory::engine::CodeWrite;
use pentimento_memory::{AddressSpace, PAGE_SIZE};

use super::Cache;

/// Refused stores beside code, after which a page's code is for the interpreter.
const MOST_REFUSED: u32 = 512;
/// Instructions of the page that the interpreter then executes, at the first time; each time twice as many.
const REST: u64 = 1 << 22;
/// Times that it doubles.
const MOST_TIMES: u32 = 12;
/// Instructions that the interpreter executes before it is seen whether it still is on the page.
const STRETCH: u64 = 1 << 10;

/// A page that was stored to beside code.
#[derive(Clone, Copy, Default, Debug)]
struct Page {
    /// Stores that were refused, since it was last for the interpreter.
    refused: u32,
    /// Instructions for the interpreter; zero while it is not for it.
    rest: u64,
    /// How often it was.
    times: u32,
    /// Nobody watches it: stores from elsewhere were refused all the same.
    unwatched: bool,
}

/// Such pages, by number.
#[derive(Default, Debug)]
pub(crate) struct MixedPages(BTreeMap<u32, Page>);

impl MixedPages {
    /// How many instructions from `eip` on the interpreter may execute at once, if the page is for it.
    pub(crate) fn rest(&self, eip: u32) -> Option<u64> {
        if self.0.is_empty() {
            return None;
        }
        let page = self.0.get(&(eip / PAGE_SIZE))?;
        (page.rest > 0).then_some(page.rest.min(STRETCH))
    }

    /// Whether nobody watches a page.
    pub(super) fn is_unwatched(&self, number: u32) -> bool {
        self.0.get(&number).is_some_and(|page| page.unwatched)
    }

    /// Forgets all pages.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Cache {
    /// The host refused an access to `address`, which the reference has made instead.
    pub(crate) fn stored_beside(&mut self, memory: &mut AddressSpace, address: u32) {
        let number = address / PAGE_SIZE;
        let whole = CodeWrite { address: number * PAGE_SIZE, length: PAGE_SIZE };
        if !self.mixed.0.contains_key(&number) && self.kept.overlapping(whole).is_empty() {
            return;
        }
        let page = self.mixed.0.entry(number).or_default();
        page.refused += 1;
        if page.refused < MOST_REFUSED {
            return;
        }
        page.refused = 0;
        if page.rest > 0 {
            // The interpreter watches the page, too, and translated code elsewhere stores to it.
            page.unwatched = self.kept.reader.leave_unwatched(memory, whole.address);
            return;
        }
        page.rest = REST << page.times;
        page.times = (page.times + 1).min(MOST_TIMES);
        for key in self.kept.overlapping(whole) {
            self.drop_block(key);
        }
        self.kept.reader.release(memory, whole.address);
    }

    /// The interpreter has executed instructions from `eip` on, whose page is for it.
    pub(crate) fn rest_from(&mut self, memory: &mut AddressSpace, eip: u32, executed: u64) {
        let number = eip / PAGE_SIZE;
        let Some(page) = self.mixed.0.get_mut(&number) else { return };
        page.rest = page.rest.saturating_sub(executed.max(1));
        if page.rest == 0 && core::mem::take(&mut page.unwatched) {
            self.kept.reader.release(memory, number * PAGE_SIZE);
        }
    }
}
