//! Files that programs map shared (mmap(2), MAP_SHARED): while anybody maps one, its content is a
//! memory object, which read(2) and write(2) use too, and which goes back into the file at the end.

use std::sync::Arc;

use pentimento_memory::{PAGE_SIZE, SharedError, SharedMemory};

use super::content::Content;
use super::folder::HostFile;
use super::system::Vfs;
use super::view::{Caller, View};
use super::vnode::Vnode;
use crate::errno::Errno;

/// Bytes that are compared and written back at once.
const CHUNK: usize = 1 << 16;

/// Bytes of pages that are gone through between two looks at the host's wish to stop.
const WRITTEN_AT_ONCE: usize = 1 << 19;

/// A file that is mapped shared.
#[derive(Clone, Debug)]
pub(crate) struct MappedFile {
    memory: SharedMemory,
    /// Somebody mapped it through a descriptor that writes. Where nobody did, nothing goes back: neither a
    /// guest without the right to write nor what the host wrote meanwhile may be overwritten.
    writes: bool,
    /// Address spaces that map it.
    holders: u32,
}

/// Where the pages of a private mapping come from when they are first accessed. What the guest does
/// to the file meanwhile does not show: mmap(2) leaves that open.
#[derive(Clone, Debug)]
pub(crate) enum PageSource {
    /// A file of the host.
    Host(Arc<dyn HostFile>),
    /// The content of a file in memory as it was when it was mapped.
    Memory(Content),
}

impl PageSource {
    /// What it keeps of the host's memory, and a number that other sources which keep the same have, too.
    pub(crate) fn held(&self) -> Option<(u64, u64)> {
        match self {
            Self::Host(_) => None,
            Self::Memory(content) => Some((content.address(), content.used())),
        }
    }

    /// Fills `buffer` from `offset` on, and says how many bytes there were before the end.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let file = match self {
            Self::Host(file) => file,
            Self::Memory(content) => return Ok(content.read(offset, buffer)),
        };
        let mut done = 0;
        while done < buffer.len() {
            match file.read_at(offset + done as u64, &mut buffer[done..])? {
                0 => break,
                read => done += read,
            }
        }
        Ok(done)
    }
}

impl PartialEq for PageSource {
    /// The same open file of the host, or the same content.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Host(own), Self::Host(other)) => Arc::ptr_eq(own, other),
            (Self::Memory(own), Self::Memory(other)) => own.address() == other.address(),
            _ => false,
        }
    }
}

impl Eq for PageSource {}

impl From<SharedError> for Errno {
    fn from(error: SharedError) -> Self {
        match error {
            SharedError::OutOfRange => Self::EFBIG,
            // OutOfMemory, Busy, and what memory may add.
            _ => Self::ENOMEM,
        }
    }
}

impl Vfs {
    /// The content of a file for an address space that maps it shared, through a descriptor that
    /// `writes` or does not; ends with [`Self::unmap_shared`].
    ///
    /// # Errors
    /// ENODEV for what has no content, ENOMEM, EFBIG.
    pub(crate) fn map_shared(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        writes: bool,
    ) -> Result<SharedMemory, Errno> {
        if let Some(mapped) = self.mapped.get_mut(&file) {
            mapped.holders += 1;
            return Ok(mapped.memory.clone());
        }
        let size = self.attributes(caller, file)?.size;
        let memory = SharedMemory::new_from(self.account.frames(), size)?;
        let mut chunk = vec![0; CHUNK];
        let mut offset = 0;
        while offset < size {
            let read = self.read(&caller.view, file, offset, &mut chunk)?;
            if read == 0 {
                break;
            }
            let length = read.min((size - offset) as usize);
            // What is zero anyway takes no page.
            if chunk[..length].iter().any(|byte| *byte != 0) {
                memory.write(offset, &chunk[..length])?;
            }
            offset += length as u64;
            // Where the file has a hole, and where it knows of them, there is nothing to read.
            let volume = &mut self.mounts.get_mut(file.volume)?.volume;
            if offset < size
                && let Some(data) = volume.seek(file.node, offset, true)
            {
                offset = data.max(offset) / CHUNK as u64 * CHUNK as u64;
            }
        }
        self.retain(file);
        self.mapped.insert(file, MappedFile { memory: memory.clone(), writes, holders: 1 });
        Ok(memory)
    }

    /// A file is mapped shared by somebody who may write to it.
    pub(crate) fn expect_writes(&mut self, file: Vnode) {
        if let Some(mapped) = self.mapped.get_mut(&file) {
            mapped.writes = true;
        }
    }

    /// The objects that stand for files which are mapped shared.
    pub(crate) fn mapped_objects(&self) -> impl Iterator<Item = &SharedMemory> {
        self.mapped.values().map(|mapped| &mapped.memory)
    }

    /// Where private mappings of `file` can take pages from as they are first accessed: the host's file, or
    /// the content of a large one in memory. `None` where a copy is made at once.
    pub(crate) fn page_source(&mut self, file: Vnode) -> Option<PageSource> {
        if self.mapped.contains_key(&file) {
            return None;
        }
        let volume = &mut self.mounts.get_mut(file.volume).ok()?.volume;
        let content = || volume.large_content(file.node).map(PageSource::Memory);
        content().or_else(|| volume.host_file(file.node).map(PageSource::Host))
    }

    /// An address space that shares the mapping of another one (fork).
    pub(crate) fn hold_shared(&mut self, file: Vnode) {
        if let Some(mapped) = self.mapped.get_mut(&file) {
            mapped.holders += 1;
        }
    }

    /// An address space no longer maps a file shared; with the last one the content goes back.
    pub(crate) fn unmap_shared(&mut self, view: &View<'_>, file: Vnode) {
        let Some(mapped) = self.mapped.get_mut(&file) else { return };
        mapped.holders = mapped.holders.saturating_sub(1);
        if mapped.holders == 0 {
            // Nobody is left to tell of an error: close(2) does not report it either.
            let _ = self.write_back(view, file);
            self.mapped.remove(&file);
            self.release(file);
        }
    }

    /// Writes what has changed back into a file that is mapped shared (msync(2)).
    ///
    /// # Errors
    /// What writing the file gives, such as ENOSPC.
    pub(crate) fn write_back(&mut self, view: &View<'_>, file: Vnode) -> Result<(), Errno> {
        let mut offset = 0;
        while let Some(next) = self.write_back_some(view, file, offset)? {
            offset = next;
        }
        Ok(())
    }

    /// Writes back what has changed from `offset` (a multiple of a page) on, up to [`WRITTEN_AT_ONCE`]
    /// bytes of pages. Says from where on to continue, unless that was all.
    ///
    /// # Errors
    /// As [`Self::write_back`].
    pub(crate) fn write_back_some(
        &mut self,
        view: &View<'_>,
        file: Vnode,
        mut offset: u64,
    ) -> Result<Option<u64>, Errno> {
        let Some(mapped) = self.mapped.get(&file).filter(|mapped| mapped.writes) else { return Ok(None) };
        let volume = &mut self.mounts.get_mut(file.volume)?.volume;
        let size = mapped.memory.len().ok_or(Errno::EBUSY)?;
        let (mut new, mut old) = (vec![0; CHUNK], vec![0; CHUNK]);
        let mut done = 0;
        // Pages that nobody has are as zero as they were.
        while let Some(page) = mapped.memory.next_page(offset).filter(|page| *page < size) {
            offset = page;
            let mut length = PAGE_SIZE as usize;
            while length < CHUNK
                && mapped.memory.next_page(page + length as u64) == Some(page + length as u64)
            {
                length += PAGE_SIZE as usize;
            }
            let length = length.min((size - offset) as usize);
            mapped.memory.read(offset, &mut new[..length])?;
            let read = volume.read(view, file.node, offset, &mut old[..length])?;
            old[read..length].fill(0);
            if new[..length] != old[..length] {
                volume.write(view, file.node, offset, &new[..length])?;
            }
            offset = (page + length as u64).next_multiple_of(u64::from(PAGE_SIZE));
            done += length;
            if done >= WRITTEN_AT_ONCE {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }

    /// Reads a file's content, from the mapping if there is one.
    pub(crate) fn read(
        &mut self,
        view: &View<'_>,
        file: Vnode,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        let Some(mapped) = self.mapped.get(&file) else {
            let volume = &mut self.mounts.get_mut(file.volume).map_err(|_| Errno::ENODEV)?.volume;
            return volume.read(view, file.node, offset, buffer);
        };
        let size = mapped.memory.len().ok_or(Errno::EBUSY)?;
        let length = size.saturating_sub(offset).min(buffer.len() as u64) as usize;
        mapped.memory.read(offset, &mut buffer[..length])?;
        Ok(length)
    }

    /// Writes a file's content, and the mapping if there is one.
    pub(crate) fn write(
        &mut self,
        view: &View<'_>,
        file: Vnode,
        offset: u64,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        // Whole pages, and what finds them.
        let pages = (bytes.len() as u64).next_multiple_of(u64::from(PAGE_SIZE)) + u64::from(PAGE_SIZE);
        self.account.charge(pages + pages / 32).map_err(|_| Errno::ENOSPC)?;
        let volume = &mut self.mounts.get_mut(file.volume)?.volume;
        let written = volume.write(view, file.node, offset, bytes)?;
        if let Some(mapped) = self.mapped.get(&file) {
            let end = offset + written as u64;
            if mapped.memory.len().is_some_and(|size| size < end) {
                mapped.memory.resize(end)?;
            }
            mapped.memory.write(offset, &bytes[..written])?;
        }
        Ok(written)
    }

    /// Follows a change of a file's size in its mapping.
    pub(crate) fn resize_mapping(&mut self, file: Vnode, size: u64) -> Result<(), Errno> {
        match self.mapped.get(&file) {
            Some(mapped) => Ok(mapped.memory.resize(size)?),
            None => Ok(()),
        }
    }
}
