//! Waking tasks that wait for futexes.

use super::Kernel;
use crate::futex::Key;

impl Kernel {
    /// Wakes up to `count` tasks that wait for `key` with one of `bits`; says how many.
    pub(crate) fn futex_wake(&mut self, key: Key, count: u32, bits: u32) -> u32 {
        let mut woken = 0;
        while woken < count
            && let Some(task) = self.futexes.take(key, bits)
        {
            if let Some(call) = self.tasks.get_mut(&task).and_then(|task| task.call.as_mut()) {
                call.granted = true;
            }
            self.make_runnable(task);
            woken += 1;
        }
        woken
    }
}
