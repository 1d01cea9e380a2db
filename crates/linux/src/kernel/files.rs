//! In whose name a system call uses files, and what a host does with them.

use super::{Call, Kernel};
use crate::errno::Errno;
use crate::ids::TaskId;
use crate::loader::File;
use crate::objects::Files;
use crate::vfs::{
    Caller, FileCredentials, FileType, Last, Location, MAY_EXECUTE, NoProcesses, Restrictions, Timestamp,
    View, Vnode,
};

/// Bytes of a program that may be loaded into the host's memory at once.
const PROGRAM_MAX: u64 = 1 << 31;

impl Kernel {
    /// A program that `task`, or without one the host, wants to run: its own absolute path, and its file.
    ///
    /// # Errors
    /// What execve(2) says: ENOENT, EACCES...
    pub(crate) fn read_program(
        &mut self,
        task: Option<TaskId>,
        path: &[u8],
    ) -> Result<(Vec<u8>, File), Errno> {
        if let Some(task) = task {
            let mut call = Call::of(self, task).ok_or(Errno::ESRCH)?;
            return call.with_files(|files, caller| {
                let absolute = path.first() == Some(&b'/');
                let Location { root, working_directory, .. } = *caller.location;
                read_program(files, caller, if absolute { root } else { working_directory }, path)
            });
        }
        let location = Location::default();
        let view = View { now: self.file_time(), monotonic: 0, file_size: u64::MAX, processes: &NoProcesses };
        let caller = Caller {
            view,
            location: &location,
            credentials: FileCredentials::default(),
            restrictions: Restrictions::empty(),
        };
        read_program(&mut self.fs, &caller, location.root, path)
    }

    /// The time that files get.
    pub(crate) fn file_time(&mut self) -> Timestamp {
        let now = self.time.realtime();
        Timestamp { seconds: (now / 1_000_000_000) as i64, nanoseconds: (now % 1_000_000_000) as u32 }
    }
}

/// A program's own absolute path and its file, if the caller may execute it.
///
/// # Errors
/// What execve(2) says: EACCES where it is no regular file or not executable.
fn read_program(
    files: &mut Files,
    caller: &Caller<'_>,
    start: Vnode,
    path: &[u8],
) -> Result<(Vec<u8>, File), Errno> {
    let file = files.vfs.find(caller, start, path, Last::Follow)?;
    let bytes = read_executable(files, caller, file)?;
    Ok((files.vfs.name_of(caller.location.root, file), bytes))
}

/// The file of a program that has been found.
///
/// # Errors
/// As [`read_program`].
pub(crate) fn read_executable(files: &mut Files, caller: &Caller<'_>, file: Vnode) -> Result<File, Errno> {
    let attributes = files.vfs.attributes(caller, file)?;
    if attributes.file_type != FileType::Regular {
        return Err(Errno::EACCES);
    }
    caller.credentials.check(&attributes, MAY_EXECUTE)?;
    if attributes.size > PROGRAM_MAX {
        return Err(Errno::ENOMEM);
    }
    if let Some(source) = files.vfs.page_source(file) {
        return File::of(source, attributes.size);
    }
    let mut bytes = vec![0; attributes.size as usize];
    let length = files.vfs.read(&caller.view, file, 0, &mut bytes)?;
    bytes.truncate(length);
    Ok(File::from(bytes))
}
