//! Advisory locks of open files and processes: flock(2) on whole files, fcntl(2) on ranges.

use super::files::Files;
use crate::errno::Errno;
use crate::vfs::{Lock, LockFamily, LockOwner, Vnode};
use crate::wait::{Failure, Wait};

/// What a lock takes of the host's memory.
const LOCK: u64 = 96;

impl Files {
    /// Takes a lock, or waits for it if `waits`; EAGAIN otherwise.
    pub(crate) fn lock(&mut self, file: Vnode, wanted: Lock, waits: bool) -> Result<(), Failure> {
        if self.locks.conflict(file, &wanted).is_some() {
            let wait = Wait::on(self.locks.channel());
            return Err(if waits { Failure::Block(wait) } else { Errno::EAGAIN.into() });
        }
        self.vfs.account.charge(LOCK).map_err(|_| Errno::ENOLCK)?;
        if self.locks.take(file, wanted)? {
            // A lock that becomes weaker may let others in.
            self.wake(self.locks.channel());
        }
        Ok(())
    }

    /// Gives up what `range`'s owner holds in the range.
    pub(crate) fn unlock(&mut self, file: Vnode, range: &Lock) {
        if self.locks.clear(file, range) {
            self.wake(self.locks.channel());
        }
    }

    /// Who keeps `wanted` from being taken (F_GETLK).
    pub(crate) fn lock_conflict(&self, file: Vnode, wanted: &Lock) -> Option<Lock> {
        self.locks.conflict(file, wanted)
    }

    /// Gives up all locks of an owner, on one file or everywhere.
    pub(crate) fn unlock_all(&mut self, owner: LockOwner, file: Option<Vnode>) {
        let files: Vec<Vnode> = match file {
            Some(file) => vec![file],
            None => self.locks.files_of(owner),
        };
        for file in files {
            for family in LockFamily::ALL {
                self.unlock(file, &Lock { family, owner, exclusive: true, start: 0, end: u64::MAX });
            }
        }
    }
}
