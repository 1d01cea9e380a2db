//! What `/proc` holds, as two tables: a file more is a row more.

use super::process::{self, Subject};
use super::processes::Processes;
use super::system;
use crate::errno::Errno;
use crate::vfs::{LinkTarget, View};

/// What an entry is.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// A directory of the entries whose paths continue its own.
    Directory,
    /// A text that never changes.
    Fixed(&'static str),
    /// A text about the machine.
    System(fn(&Processes<'_>) -> String),
    /// A text about a process or thread.
    Process(fn(&Subject<'_>) -> Vec<u8>),
    /// A setting of a process: its text, and what sets it.
    Setting(fn(&Subject<'_>) -> Vec<u8>, fn(&Subject<'_>, &[u8]) -> Result<(), Errno>),
    /// A link, for the process whose number is given; 0 outside of processes' directories.
    Link(fn(&View<'_>, u32) -> Result<LinkTarget, Errno>),
    /// The mounts of the process, in the words of `mountinfo` or of mount(8).
    Mounts {
        /// As `mountinfo` has them.
        long: bool,
    },
    /// A link for each descriptor of the process.
    Descriptors,
    /// A text about each descriptor of the process.
    DescriptorTexts,
    /// A directory for each thread of the process.
    Threads,
}

/// A row: where, with which permission bits, and what.
pub(super) struct ProcEntry {
    /// Path below `/proc`, or below the process's directory.
    pub(super) path: &'static str,
    pub(super) mode: u32,
    pub(super) content: Content,
}

const fn entry(path: &'static str, mode: u32, content: Content) -> ProcEntry {
    ProcEntry { path, mode, content }
}

const fn directory(path: &'static str) -> ProcEntry {
    entry(path, 0o555, Content::Directory)
}

const fn fixed(path: &'static str, text: &'static str) -> ProcEntry {
    entry(path, 0o444, Content::Fixed(text))
}

const fn text(path: &'static str, text: fn(&Processes<'_>) -> String) -> ProcEntry {
    entry(path, 0o444, Content::System(text))
}

const fn link(path: &'static str, target: fn(&View<'_>, u32) -> Result<LinkTarget, Errno>) -> ProcEntry {
    entry(path, 0o777, Content::Link(target))
}

/// Entries below `/proc`, beside the directories of processes.
#[rustfmt::skip]
pub(super) const SYSTEM: &[ProcEntry] = &[
    directory("sys"),
    directory("sys/fs"),
    fixed("sys/fs/file-max",                 "1048576\n"),
    fixed("sys/fs/nr_open",                  "1048576\n"),
    fixed("sys/fs/pipe-max-size",            "1048576\n"),
    directory("sys/kernel"),
    fixed("sys/kernel/cap_last_cap",         "40\n"),
    fixed("sys/kernel/ngroups_max",          "65536\n"),
    fixed("sys/kernel/overflowgid",          "65534\n"),
    fixed("sys/kernel/overflowuid",          "65534\n"),
    fixed("sys/kernel/ostype",               "Linux\n"),
    fixed("sys/kernel/pid_max",              "4194304\n"),
    fixed("sys/kernel/randomize_va_space",   "2\n"),
    fixed("sys/kernel/threads-max",          "65536\n"),
    directory("sys/net"),
    directory("sys/net/core"),
    fixed("sys/net/core/somaxconn",          "4096\n"),
    directory("sys/vm"),
    fixed("sys/vm/max_map_count",            "65530\n"),
    fixed("sys/vm/mmap_min_addr",            "65536\n"),
    fixed("sys/vm/overcommit_memory",        "1\n"),
    fixed("filesystems",                     "nodev\tproc\nnodev\ttmpfs\nnodev\tdevpts\nnodev\toverlay\n"),
    fixed("cmdline",                         "\n"),
    fixed("devices",                         "Character devices:\n  1 mem\n  5 tty\n136 pts\n\nBlock devices:\n"),
    fixed("swaps",                           "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    directory("net"),
    fixed("net/dev",                         "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n"),
    text("cpuinfo",                          system::processors),
    text("loadavg",                          system::load),
    text("meminfo",                          system::memory),
    text("stat",                             system::statistics),
    text("uptime",                           system::uptime),
    text("version",                          system::version),
    text("sys/kernel/osrelease",             system::release),
    text("sys/kernel/version",               system::build),
    text("sys/kernel/hostname",              system::host_name),
    text("sys/kernel/domainname",            system::domain_name),
    link("self",                             own_process),
    link("thread-self",                      own_thread),
    link("mounts",                           own_mounts),
];

/// Entries of each process. Those of the first rows, down to [`THREAD_ENTRIES`], are each thread's too.
#[rustfmt::skip]
pub(super) const PROCESS: &[ProcEntry] = &[
    entry("auxv",            0o400, Content::Process(process::auxiliary_vector)),
    entry("cmdline",         0o444, Content::Process(process::command_line)),
    entry("comm",            0o644, Content::Process(process::name)),
    entry("environ",         0o400, Content::Process(process::environment)),
    entry("limits",          0o444, Content::Process(process::limits)),
    entry("maps",            0o444, Content::Process(process::maps)),
    entry("oom_score",       0o444, Content::Process(process::oom_score)),
    entry("oom_score_adj",   0o644, Content::Setting(process::oom_adjustment, process::set_oom_adjustment)),
    entry("stat",            0o444, Content::Process(process::stat)),
    entry("statm",           0o444, Content::Process(process::memory_pages)),
    entry("status",          0o444, Content::Process(process::status)),
    link("cwd",                     working_directory),
    link("exe",                     executable),
    link("root",                    root),
    entry("mounts",          0o444, Content::Mounts { long: false }),
    entry("mountinfo",       0o444, Content::Mounts { long: true }),
    entry("fd",              0o500, Content::Descriptors),
    entry("fdinfo",          0o500, Content::DescriptorTexts),
    entry("task",            0o555, Content::Threads),
];

/// How many rows of [`PROCESS`] are entries of each thread, too.
pub(super) const THREAD_ENTRIES: usize = 11;

fn own_process(view: &View<'_>, _: u32) -> Result<LinkTarget, Errno> {
    Ok(LinkTarget::Text(view.processes.current().to_string().into_bytes()))
}

fn own_thread(view: &View<'_>, _: u32) -> Result<LinkTarget, Errno> {
    let (process, thread) = (view.processes.current(), view.processes.current_thread());
    Ok(LinkTarget::Text(format!("{process}/task/{thread}").into_bytes()))
}

fn own_mounts(_: &View<'_>, _: u32) -> Result<LinkTarget, Errno> {
    Ok(LinkTarget::Text(b"self/mounts".to_vec()))
}

fn executable(view: &View<'_>, process: u32) -> Result<LinkTarget, Errno> {
    view.processes.executable(process).map(LinkTarget::Text).ok_or(Errno::ENOENT)
}

fn working_directory(view: &View<'_>, process: u32) -> Result<LinkTarget, Errno> {
    let location = view.processes.location(process).ok_or(Errno::ENOENT)?;
    Ok(LinkTarget::Jump(location.working_directory, Vec::new()))
}

fn root(view: &View<'_>, process: u32) -> Result<LinkTarget, Errno> {
    let location = view.processes.location(process).ok_or(Errno::ENOENT)?;
    Ok(LinkTarget::Jump(location.root, Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_its_directory_and_threads_have_texts_alone() {
        for (table, rows) in [("system", SYSTEM), ("process", PROCESS)] {
            // A node's number has eight bits for the row.
            assert!(rows.len() <= 256, "{table}");
            for (index, row) in rows.iter().enumerate() {
                assert!(rows[..index].iter().all(|other| other.path != row.path), "{} twice", row.path);
                if let Some((above, _)) = row.path.rsplit_once('/') {
                    let directory = rows.iter().find(|other| other.path == above);
                    assert!(
                        directory.is_some_and(|row| matches!(row.content, Content::Directory)),
                        "{}",
                        row.path
                    );
                }
            }
        }
        let is_text = |row: &ProcEntry| matches!(row.content, Content::Process(_) | Content::Setting(..));
        assert!(PROCESS.iter().take(THREAD_ENTRIES).all(is_text));
        assert!(!PROCESS.iter().skip(THREAD_ENTRIES).any(is_text));
    }
}
