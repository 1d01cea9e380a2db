//! When a fork copies pages, and when it shares them.

/// What a space remembers between forks, to choose between two ways to do the next one: its pages are shared
/// until one of the two writes to them, or copied at once. A copy takes a twentieth of what a first store to
/// a shared page takes, and a hundredth where the host maps the page in place and has to be told. So pages
/// that are going to be written anyway are copied: those that were written since the last fork.
#[derive(Default)]
pub(crate) struct Forks {
    /// Pages that became fast to store to since the last fork that shared all pages.
    pub(crate) written: u32,
    /// Forks since then; `None` before the first.
    since: Option<u32>,
}

impl Forks {
    /// Pages that are copied at once at most: paged, and where they are mapped in place.
    const MOST: [u32; 2] = [64, 1024];
    /// Forks after which one shares all pages, so as to see which of them are still written to.
    const LOOK: u32 = 16;

    /// Whether the fork that is about to be made copies the pages that were written since the last one.
    pub(crate) fn copies_at_once(&mut self, in_place: bool) -> bool {
        let few = self.written <= Self::MOST[usize::from(in_place)];
        let known = self.since.map_or(in_place, |since| since < Self::LOOK);
        let copies = few && known;
        if copies {
            self.since = Some(self.since.map_or(1, |since| since + 1));
        } else {
            *self = Self { written: 0, since: Some(0) };
        }
        copies
    }
}
