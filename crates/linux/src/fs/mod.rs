//! Files: mounts, open files and descriptors.

use crate::Errno;

/// A table of descriptors (shared by CLONE_FILES).
#[derive(Clone, Default, Debug)]
pub(crate) struct Descriptors;

/// Root, working directory and umask (shared by CLONE_FS).
#[derive(Clone, Default, Debug)]
pub(crate) struct Location;

/// All mounts and open files of a machine.
///
/// What the rest of the kernel asks of it, beside its own system calls: reading programs
/// ([`read_program`](Self::read_program)), and copying and dropping descriptor tables on fork, exec and exit.
#[derive(Default)]
pub(crate) struct FileSystem {
    programs: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
}

impl FileSystem {
    /// Provides a program under a path.
    pub(crate) fn insert_program(&mut self, path: &[u8], bytes: &[u8]) {
        self.programs.insert(path.to_vec(), bytes.to_vec());
    }

    /// A program's bytes, by path from `location`; its own absolute path with it.
    ///
    /// # Errors
    /// What open(2) says for it, EACCES if it may not be executed or is no regular file.
    pub(crate) fn read_program(
        &self,
        _location: &Location,
        path: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let bytes = self.programs.get(path).ok_or(Errno::ENOENT)?;
        Ok((path.to_vec(), bytes.clone()))
    }

    /// A copy of the table whose entries hold the same open files (fork).
    pub(crate) fn copy(&mut self, descriptors: &Descriptors) -> Descriptors {
        descriptors.clone()
    }

    /// Drops a table and the open files that it holds (exit).
    pub(crate) fn release(&mut self, descriptors: Descriptors) {
        let _ = descriptors;
    }

    /// Closes the entries with FD_CLOEXEC (execve).
    pub(crate) fn close_on_exec(&mut self, descriptors: &mut Descriptors) {
        let _ = descriptors;
    }
}
