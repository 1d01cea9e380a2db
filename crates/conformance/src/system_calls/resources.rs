//! What this process holds of the host.

use std::fs;

/// Memory and descriptors in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Resources {
    /// Resident memory, in KiB; 0 where the host does not tell.
    pub kilobytes: u64,
    /// Open descriptors; 0 where the host does not tell.
    pub descriptors: u64,
}

impl Resources {
    /// As it is now.
    #[must_use]
    pub fn now() -> Self {
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: u64 = statm.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let descriptors = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        Self { kilobytes: pages * 4, descriptors }
    }

    /// The greater of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            kilobytes: self.kilobytes.max(other.kilobytes),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}
