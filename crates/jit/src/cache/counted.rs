//! Blocks that count how often they begin.

use pentimento_execute::observe::Interests;

use super::{Cache, Key, Start};
use crate::counting::Counting;

impl Cache {
    /// Has blocks count what `interests` want counted.
    pub(crate) fn count(&mut self, interests: &Interests) {
        if !self.counting.as_ref().is_some_and(|counting| counting.is_for(interests)) {
            self.clear();
            self.counting = Some(Counting::of(interests));
        }
    }

    /// Where the block of a key goes on inside of one that was counted.
    pub(crate) fn inside(&self, key: Key) -> Option<Start> {
        self.block(key).map(|block| Start::of_block(block.inside.0))
    }
}
