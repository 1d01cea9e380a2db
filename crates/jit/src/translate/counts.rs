//! Adding to the counters of blocks, where translated code counts any. No flag changes.

use pentimento_execute::blocks::Flow;

use super::block::{Cold, Writer};
use crate::emit::{JMP_SHORT, Mem, R8, R9};

/// Bytes from the way out before the entry to what is still near enough.
const NEAR: u32 = 96;

impl Writer<'_> {
    /// Whether somebody counts the block at `eip`.
    fn is_counted(&self, eip: u32) -> bool {
        self.counting.as_ref().is_some_and(|counting| counting.counts(eip))
    }

    /// Counts the block at `eip`, if somebody does. Takes R8 and R9.
    pub(super) fn count_block(&mut self, eip: u32) {
        let Some(counting) = &mut self.counting else { return };
        for address in counting.addresses(eip) {
            self.emit.immediate_wide(R9, address);
            self.emit.load_wide(R8, Mem::host(R9, 0));
            self.emit.lea_wide(R8, Mem::host(R8, 1));
            self.emit.store_wide(Mem::host(R9, 0), R8);
        }
    }

    /// Writes the entries of the translation of the block at `eip`: behind the count of the block are those for
    /// who goes on inside of it.
    pub(super) fn enter(&mut self, eip: u32) {
        let counted = self.is_counted(eip);
        let around = match (counted, self.draft.uses_x87) {
            (true, true) => {
                let entry = self.require_x87();
                Some((entry, self.emit.jmp()))
            }
            _ => None,
        };
        if self.draft.uses_x87 {
            self.draft.entry = self.require_x87();
            self.draft.loaded_entry = self.emit.offset();
        }
        self.count_block(eip);
        let here = self.emit.offset();
        self.draft.inside = match counted {
            true => (here, here),
            false => (self.draft.entry, self.draft.loaded_entry),
        };
        if let Some((entry, site)) = around {
            self.emit.bind_here(site);
            self.draft.inside.0 = entry;
        }
        self.keep_way_out_near();
    }

    /// Writes the jump that lies before the entry once more where short jumps from here on would not reach it.
    fn keep_way_out_near(&mut self) {
        if self.emit.offset() - self.way_out.0 > NEAR {
            let over = self.emit.short(JMP_SHORT);
            self.way_out = self.emit.jmp();
            self.emit.bind_short(over);
        }
    }

    /// Counts the block that begins with the segment at place `at`, of which control may also come from the
    /// instruction before: then who comes there by a jump makes a detour.
    pub(super) fn count_segment(&mut self, at: usize) {
        let items = self.items;
        let eip = items[at].found.eip();
        let is_behind_branch = items[at - 1].found.flow == Flow::Branch;
        let counted = self.is_counted(eip);
        let detours = counted && !is_behind_branch;
        let back = self.emit.offset();
        for (site, _) in self.draft.joins.extract_if(.., |(_, target)| *target == at) {
            match detours {
                true => self.draft.cold.push(Cold::Count { site, eip, back }),
                false => self.emit.bind_here(site),
            }
        }
        if counted && is_behind_branch {
            self.count_block(eip);
        }
    }
}
