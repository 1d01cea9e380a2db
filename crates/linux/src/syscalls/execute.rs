//! Running programs: execve(2) and execveat(2).

use super::file::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, find_at};
use crate::errno::Errno;
use crate::ids::Termination;
use crate::kernel::{Arguments, Call, read_executable};
use crate::loader;
use crate::loader::Program;
use crate::signal::Signal;
use crate::vfs::FileType;
use crate::wait::{CallResult, Failure};

/// The strings of a null-terminated array of pointers; a null array is empty.
fn strings(call: &mut Call<'_>, array: u32, room: &mut usize) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    if array == 0 {
        return Ok(strings);
    }
    let mut at = array;
    loop {
        let pointer: u32 = call.user().read(at)?;
        if pointer == 0 {
            return Ok(strings);
        }
        let text = call.user().string(pointer, loader::MAX_STRING).map_err(|errno| match errno {
            Errno::ENAMETOOLONG => Errno::E2BIG,
            errno => errno,
        })?;
        *room = room.checked_sub(text.len() + 5).ok_or(Errno::E2BIG)?;
        strings.push(text);
        at = at.checked_add(4).ok_or(Errno::EFAULT)?;
    }
}

/// execve(2).
pub(super) fn execve(call: &mut Call<'_>, [path, argv, envp, ..]: Arguments) -> CallResult {
    let path = call.user().path(path)?;
    if path.is_empty() {
        return Err(Errno::ENOENT.into());
    }
    let found = call.kernel.read_program(Some(call.task_id), &path)?;
    run_program(call, path, found, argv, envp)
}

/// execveat(2).
pub(super) fn execveat(
    call: &mut Call<'_>,
    [directory, path, argv, envp, flags, _]: Arguments,
) -> CallResult {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let text = call.user().path(path)?;
    let file = find_at(call, directory, path, flags)?;
    let bytes = call.with_files(|files, caller| {
        if files.vfs.attributes(caller, file)?.file_type == FileType::Symlink {
            return Err(Errno::ELOOP);
        }
        read_executable(files, caller, file)
    })?;
    let root = call.location().root;
    let executable = call.kernel.fs.vfs.name_of(root, file);
    // What the program is told that it is called: the path, or where the descriptor can be found.
    let name = match (text.first(), directory) {
        (Some(b'/'), _) | (Some(_), AT_FDCWD) => text,
        (Some(_), fd) => [format!("/dev/fd/{fd}/").as_bytes(), &text].concat(),
        (None, fd) => format!("/dev/fd/{fd}").into_bytes(),
    };
    run_program(call, name, (executable, bytes), argv, envp)
}

/// Replaces the caller's program by one that has been found: its own path, and its file.
fn run_program(
    call: &mut Call<'_>,
    path: Vec<u8>,
    (executable, file): (Vec<u8>, loader::File),
    argv: u32,
    envp: u32,
) -> CallResult {
    // What execve(2) allows at most, whatever the stack limit.
    let mut room = 6 << 20;
    let mut argv = strings(call, argv, &mut room)?;
    let envp = strings(call, envp, &mut room)?;
    if argv.is_empty() {
        argv.push(Vec::new());
    }
    let program = Program { path, file, executable, interpreter: None };
    let arguments = loader::Arguments { argv, envp };
    let (program, arguments) =
        call.kernel.resolve_program(Some(call.task_id), program, arguments).map_err(|error| error.errno())?;
    match call.kernel.load(Some(call.task_id), &program, &arguments) {
        Ok((space, cpu)) => call.kernel.execute(call.task_id, space, cpu, &program),
        Err(error) if error.is_fatal() => {
            call.kernel.end_process(call.process_id, Termination::Killed(Signal::SEGV.number()));
        }
        Err(error) => return Err(error.errno().into()),
    }
    Err(Failure::NoReturn)
}
