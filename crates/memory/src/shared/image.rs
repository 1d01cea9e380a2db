//! The content of a shared object at one moment: snapshots of address spaces leave it out, because other
//! spaces see it too. Who takes snapshots of all spaces at once takes these along.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::{SharedError, SharedMemory};
use crate::PAGE_SIZE;

/// The bytes of a page.
type Page = [u8; PAGE_SIZE as usize];

/// No page was ever stored to.
const ZEROS: Page = [0; PAGE_SIZE as usize];

/// What a [`SharedMemory`] held: [`SharedMemory::image`] takes one. Clones share the bytes.
#[derive(Clone, Debug)]
pub struct SharedImage {
    length: u64,
    /// The pages that are not zeros, by number; those of the last page behind the length are zero.
    pages: Arc<BTreeMap<u32, Box<Page>>>,
}

impl SharedImage {
    /// The object's size in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The pages that are not zeros: their numbers, and their bytes.
    pub fn pages(&self) -> impl Iterator<Item = (u32, &[u8; PAGE_SIZE as usize])> {
        self.pages.iter().map(|(index, page)| (*index, &**page))
    }
}

impl SharedMemory {
    /// A copy of the content. It costs as much as the object has pages that were accessed.
    ///
    /// # Errors
    /// [`SharedError::Busy`].
    pub fn image(&self) -> Result<SharedImage, SharedError> {
        let mut pages = BTreeMap::new();
        let (length, accessed) = self.accessed()?;
        for index in accessed {
            let mut page = Box::new(ZEROS);
            self.read_page(length, index, &mut page)?;
            if *page != ZEROS {
                pages.insert(index, page);
            }
        }
        Ok(SharedImage { length, pages: Arc::new(pages) })
    }

    /// Makes the content that of `image` again. Pages that have it already are read and not written.
    ///
    /// # Errors
    /// [`SharedError`]; for want of memory a part may have been written.
    pub fn put_back(&self, image: &SharedImage) -> Result<(), SharedError> {
        if self.len().ok_or(SharedError::Busy)? != image.length {
            self.resize(image.length)?;
        }
        let (length, accessed) = self.accessed()?;
        let others = accessed.into_iter().filter(|index| !image.pages.contains_key(index));
        let wanted = image.pages.iter().map(|(index, page)| (*index, &**page));
        let mut current = ZEROS;
        for (index, page) in others.map(|index| (index, &ZEROS)).chain(wanted) {
            let bytes = self.read_page(length, index, &mut current)?;
            if current[..bytes] != page[..bytes] {
                self.write(u64::from(index) * u64::from(PAGE_SIZE), &page[..bytes])?;
            }
        }
        Ok(())
    }

    /// The size, and the numbers of the pages that were ever accessed.
    fn accessed(&self) -> Result<(u64, alloc::vec::Vec<u32>), SharedError> {
        let mut held = self.hold()?;
        let state = held.state();
        let frames = state.frames.iter().enumerate();
        let accessed = frames.filter(|(_, frame)| frame.is_some()).map(|(index, _)| index as u32);
        Ok((state.length, accessed.collect()))
    }

    /// Reads what page `index` has below `length`, and says how many bytes those are.
    fn read_page(&self, length: u64, index: u32, page: &mut Page) -> Result<usize, SharedError> {
        let offset = u64::from(index) * u64::from(PAGE_SIZE);
        let bytes = length.saturating_sub(offset).min(u64::from(PAGE_SIZE)) as usize;
        self.read(offset, &mut page[..bytes])?;
        Ok(bytes)
    }
}
