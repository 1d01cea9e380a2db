//! Signals behind descriptors (signalfd(2)). Taking them is the kernel's: see [`Object::signals`].

use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::files::Files;
use super::object::Object;
use super::readiness::{Events, Readiness};
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::{Caller, FileType};
use crate::wait::Channel;

/// An open signalfd, with the set of signals that it takes.
#[derive(Clone, Copy, Debug)]
struct SignalFile(u64);

impl Object for SignalFile {
    fn readiness(&self, _: &mut Files, caller: &Caller<'_>, _: OpenFlags) -> Readiness {
        let pending = caller.view.processes.pending_signals() & self.0 != 0;
        Readiness::on(Channel::Signal).with(Events::READABLE, pending)
    }

    fn signals(&self) -> Option<u64> {
        Some(self.0)
    }
}

impl Files {
    /// Makes a descriptor for signals (signalfd(2)).
    pub(crate) fn signal_file(
        &mut self,
        caller: &Caller<'_>,
        mask: u64,
        flags: OpenFlags,
    ) -> Id<Description> {
        let (object, kind) = (Arc::new(SignalFile(mask)), (FileType::Regular, 0o600));
        self.add_anonymous(caller, object, kind, "anon_inode:[signalfd]", flags | OpenFlags::O_RDWR)
    }

    /// Gives a signalfd another set.
    ///
    /// # Errors
    /// EINVAL for what is none.
    pub(crate) fn set_signals(&mut self, id: Id<Description>, mask: u64) -> Result<(), Errno> {
        let description = self.description_mut(id);
        description.as_kind::<SignalFile>().ok_or(Errno::EINVAL)?;
        description.object = Arc::new(SignalFile(mask));
        Ok(())
    }
}
