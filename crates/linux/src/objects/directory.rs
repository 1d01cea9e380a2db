//! Open directories.

use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::files::{Files, IN_FLIGHT_MAX};
use super::object::{Entries, Object, Transfer, Whence};
use super::regular::seek_content;
use super::states::State;
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::{DirectoryEntry, Vnode};

/// The entries of an open directory, once they have been read.
#[derive(Clone, Default, Debug)]
struct Listing(Option<Arc<[DirectoryEntry]>>);

impl State for Listing {
    fn held_bytes(&self) -> u64 {
        let bytes = |entry: &DirectoryEntry| (size_of::<DirectoryEntry>() + entry.name.len()) as u64;
        self.0.iter().flat_map(|entries| entries.iter()).map(bytes).sum()
    }
}

/// An open directory.
#[derive(Clone, Copy, Debug)]
struct OpenDirectory {
    listing: Id<Listing>,
}

impl Files {
    /// Opens a directory that the caller may read.
    pub(crate) fn open_directory(&mut self, file: Vnode, flags: OpenFlags) -> Id<Description> {
        let listing = self.states.insert(Listing::default());
        self.add_description(Arc::new(OpenDirectory { listing }), file, flags)
    }
}

impl Object for OpenDirectory {
    fn closed(&self, files: &mut Files, _: Id<Description>, _: OpenFlags) {
        let held = files.states.release(self.listing).map_or(0, |listing| listing.held_bytes());
        files.in_flight = files.in_flight.saturating_sub(held);
    }

    fn read(&self, _: &mut Files, _: &Transfer<'_>, _: &mut [u8]) -> Result<usize, crate::wait::Failure> {
        Err(Errno::EISDIR.into())
    }

    fn check_positions(&self) -> Result<(), Errno> {
        Err(Errno::EISDIR)
    }

    fn seek(
        &self,
        files: &mut Files,
        access: &Transfer<'_>,
        offset: i64,
        whence: Whence,
    ) -> Result<u64, Errno> {
        let target = seek_content(files, access, offset, whence)?;
        if target == 0 && !matches!(whence, Whence::Data | Whence::Hole) {
            // Back at the start, the entries are read again.
            let listing = std::mem::take(&mut files.states[self.listing]);
            files.in_flight = files.in_flight.saturating_sub(listing.held_bytes());
        }
        Ok(target)
    }

    fn entries(&self, files: &mut Files, access: &Transfer<'_>) -> Result<Entries, Errno> {
        let description = files.description(access.id);
        let (vnode, offset) = (description.vnode, description.offset);
        let entries = match &files.states[self.listing].0 {
            Some(entries) => entries.clone(),
            None => {
                let entries: Arc<[DirectoryEntry]> = files.vfs.list(access.caller, vnode)?.into();
                let listing = Listing(Some(entries.clone()));
                let held = listing.held_bytes();
                if files.in_flight.saturating_add(held) > IN_FLIGHT_MAX {
                    return Err(Errno::ENOMEM);
                }
                files.in_flight += held;
                files.states[self.listing] = listing;
                entries
            }
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(entries.len());
        Ok((entries, offset))
    }

    fn check_watchable(&self) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn check_content(&self) -> Result<(), Errno> {
        Err(Errno::EISDIR)
    }

    fn check_allocation(&self) -> Result<(), Errno> {
        Err(Errno::EISDIR)
    }

    fn check_sync(&self) -> Result<(), Errno> {
        Ok(())
    }
}
