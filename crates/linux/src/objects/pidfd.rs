//! Processes behind descriptors (pidfd_open(2)).

use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::files::Files;
use super::object::Object;
use super::readiness::{Events, Readiness};
use crate::arena::Id;
use crate::vfs::{Caller, FileType, ProcessView};
use crate::wait::Channel;

/// An open pidfd.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessFile {
    /// The process's number, which another one may get once it has been waited for.
    pub(crate) number: u32,
    /// The one that no other process ever has.
    pub(crate) serial: u64,
}

impl Object for ProcessFile {
    fn readiness(&self, _: &mut Files, caller: &Caller<'_>, _: OpenFlags) -> Readiness {
        let ended = caller.view.processes.has_ended(self.number, self.serial);
        Readiness::on(Channel::Exit(self.number)).with(Events::READABLE, ended)
    }

    fn facts(&self, processes: &dyn ProcessView) -> String {
        let Self { number, serial } = *self;
        let lives = processes.owner(number).is_some() && !processes.has_ended(number, serial);
        let number = if lives { i64::from(number) } else { -1 };
        format!("Pid:\t{number}\nNSpid:\t{number}\n")
    }
}

impl Files {
    /// Makes a descriptor for a process (pidfd_open(2)).
    pub(crate) fn process_file(
        &mut self,
        caller: &Caller<'_>,
        process: ProcessFile,
        flags: OpenFlags,
    ) -> Id<Description> {
        let (object, kind) = (Arc::new(process), (FileType::Regular, 0o600));
        self.add_anonymous(caller, object, kind, "anon_inode:[pidfd]", flags | OpenFlags::O_RDWR)
    }
}
