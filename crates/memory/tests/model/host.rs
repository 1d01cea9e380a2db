//! What the host has mapped in a reservation, as the host's kernel tells it. On hosts that do not, nothing
//! is known, and nothing checked.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, read_to_string};
use std::os::unix::fs::FileExt;

use pentimento_memory::{PAGE_SIZE, Permissions};

pub(crate) struct Host {
    base: u64,
    pages: BTreeMap<u32, Permissions>,
    /// All memory of this process, whatever its protection.
    memory: Option<File>,
}

impl Host {
    /// What lies in the 4 GiB from `base` on.
    pub(crate) fn new(base: u64) -> Self {
        let maps = read_to_string("/proc/self/maps").unwrap_or_default();
        let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem").ok();
        let mut pages = BTreeMap::new();
        for line in maps.lines().filter(|_| memory.is_some()) {
            let mut words = line.split([' ', '-']);
            let mut bound = || u64::from_str_radix(words.next()?, 16).ok();
            let (Some(start), Some(end)) = (bound(), bound()) else { continue };
            let access = words.next().unwrap_or_default();
            let inside = |at: u64| at.saturating_sub(base).min(1 << 32) / u64::from(PAGE_SIZE);
            let mut permissions = Permissions::empty();
            permissions.set(Permissions::READ, access.contains('r'));
            permissions.set(Permissions::WRITE, access.contains('w'));
            permissions.set(Permissions::EXECUTE, access.contains('x'));
            if !permissions.is_empty() {
                pages.extend((inside(start)..inside(end)).map(|page| (page as u32, permissions)));
            }
        }
        Self { base, pages, memory }
    }

    /// What the host allows for a page; `None` for nothing.
    pub(crate) fn access(&self, page: u32) -> Option<Permissions> {
        self.pages.get(&page).copied()
    }

    /// The pages for which it allows anything.
    pub(crate) fn pages(&self) -> impl Iterator<Item = u32> + '_ {
        self.pages.keys().copied()
    }

    pub(crate) fn read(&self, page: u32) -> Vec<u8> {
        let mut bytes = vec![0; PAGE_SIZE as usize];
        let offset = self.base + u64::from(page) * u64::from(PAGE_SIZE);
        if let Some(memory) = &self.memory {
            memory.read_exact_at(&mut bytes, offset).expect("the page is mapped");
        }
        bytes
    }

    pub(crate) fn write(&self, address: u32, value: u8) {
        if let Some(memory) = &self.memory {
            memory.write_all_at(&[value], self.base + u64::from(address)).expect("the page is mapped");
        }
    }
}
