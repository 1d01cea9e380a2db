//! What `/proc` and `/sys` hold, as tables: a file more is a row more.

use super::process::{self, Subject};
use super::processes::Processes;
use super::sys::SYS;
use super::{areas, network, objects, setting, status, system};
use crate::errno::Errno;
use crate::objects::Files;
use crate::vfs::{LinkTarget, Setting, TextPart, View};

/// What an entry is.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// A directory of the entries whose paths continue its own.
    Directory,
    /// A text that never changes.
    Fixed(&'static str),
    /// A text about the machine.
    System(fn(&Processes<'_>) -> String),
    /// A text about the machine's files.
    Files(fn(&Files) -> String),
    /// A text about a process or thread.
    Process(fn(&Subject<'_>) -> Vec<u8>),
    /// A text about a process that may be long: a part of it, from the place in the number on (0 at first),
    /// and where the next part begins.
    Parts(fn(&Subject<'_>, u32) -> TextPart),
    /// A setting of a process: its text, and what comes of writing there.
    Setting(fn(&Subject<'_>) -> Vec<u8>, fn(&Subject<'_>, &[u8]) -> Result<Setting, Errno>),
    /// The memory of the process.
    Memory,
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

/// The table of a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    /// `/proc`, without the directories of processes.
    Proc,
    /// `/sys`.
    Sys,
}

impl Table {
    /// Its rows; the first is the top directory.
    pub(super) const fn rows(self) -> &'static [ProcEntry] {
        match self {
            Self::Proc => SYSTEM,
            Self::Sys => SYS,
        }
    }
}

pub(super) const fn entry(path: &'static str, mode: u32, content: Content) -> ProcEntry {
    ProcEntry { path, mode, content }
}

pub(super) const fn directory(path: &'static str) -> ProcEntry {
    entry(path, 0o555, Content::Directory)
}

pub(super) const fn fixed(path: &'static str, text: &'static str) -> ProcEntry {
    entry(path, 0o444, Content::Fixed(text))
}

const fn text(path: &'static str, text: fn(&Processes<'_>) -> String) -> ProcEntry {
    entry(path, 0o444, Content::System(text))
}

pub(super) const fn files(path: &'static str, text: fn(&Files) -> String) -> ProcEntry {
    entry(path, 0o444, Content::Files(text))
}

pub(super) const fn link(
    path: &'static str,
    target: fn(&View<'_>, u32) -> Result<LinkTarget, Errno>,
) -> ProcEntry {
    entry(path, 0o777, Content::Link(target))
}

/// Entries below `/proc`, beside the directories of processes.
#[rustfmt::skip]
pub(super) const SYSTEM: &[ProcEntry] = &[
    directory(""),
    directory("sys"),
    directory("sys/fs"),
    fixed("sys/fs/aio-max-nr",                         "65536\n"),
    fixed("sys/fs/file-max",                           "1048576\n"),
    files("sys/fs/file-nr",                            system::open_files),
    fixed("sys/fs/lease-break-time",                   "45\n"),
    fixed("sys/fs/leases-enable",                      "1\n"),
    fixed("sys/fs/nr_open",                            "1048576\n"),
    fixed("sys/fs/overflowgid",                        "65534\n"),
    fixed("sys/fs/overflowuid",                        "65534\n"),
    fixed("sys/fs/pipe-max-size",                      "1048576\n"),
    fixed("sys/fs/protected_hardlinks",                "0\n"),
    fixed("sys/fs/protected_symlinks",                 "0\n"),
    fixed("sys/fs/suid_dumpable",                      "0\n"),
    directory("sys/fs/epoll"),
    fixed("sys/fs/epoll/max_user_watches",             "1048576\n"),
    directory("sys/kernel"),
    fixed("sys/kernel/auto_msgmni",                    "0\n"),
    fixed("sys/kernel/cap_last_cap",                   "40\n"),
    fixed("sys/kernel/core_pattern",                   "core\n"),
    fixed("sys/kernel/core_uses_pid",                  "0\n"),
    fixed("sys/kernel/dmesg_restrict",                 "1\n"),
    fixed("sys/kernel/kptr_restrict",                  "1\n"),
    fixed("sys/kernel/msgmax",                         "8192\n"),
    fixed("sys/kernel/msgmnb",                         "16384\n"),
    fixed("sys/kernel/msgmni",                         "32000\n"),
    fixed("sys/kernel/ngroups_max",                    "65536\n"),
    fixed("sys/kernel/overflowgid",                    "65534\n"),
    fixed("sys/kernel/overflowuid",                    "65534\n"),
    fixed("sys/kernel/ostype",                         "Linux\n"),
    fixed("sys/kernel/panic",                          "0\n"),
    fixed("sys/kernel/perf_event_paranoid",            "3\n"),
    fixed("sys/kernel/pid_max",                        "32768\n"),
    fixed("sys/kernel/printk",                         "4\t4\t1\t7\n"),
    fixed("sys/kernel/randomize_va_space",             "2\n"),
    fixed("sys/kernel/sched_rr_timeslice_ms",          "100\n"),
    fixed("sys/kernel/sched_rt_period_us",             "1000000\n"),
    fixed("sys/kernel/sched_rt_runtime_us",            "950000\n"),
    fixed("sys/kernel/sem",                            "32000\t1024000000\t500\t32000\n"),
    fixed("sys/kernel/shmall",                         "4294967295\n"),
    fixed("sys/kernel/shmmax",                         "4294967295\n"),
    fixed("sys/kernel/shmmni",                         "4096\n"),
    fixed("sys/kernel/tainted",                        "0\n"),
    fixed("sys/kernel/threads-max",                    "65536\n"),
    text("sys/kernel/osrelease",                       system::release),
    text("sys/kernel/version",                         system::build),
    text("sys/kernel/hostname",                        system::host_name),
    text("sys/kernel/domainname",                      system::domain_name),
    text("sys/kernel/ns_last_pid",                     system::last_number),
    directory("sys/kernel/pty"),
    fixed("sys/kernel/pty/max",                        "4096\n"),
    directory("sys/kernel/random"),
    text("sys/kernel/random/boot_id",                  system::boot_number),
    fixed("sys/kernel/random/entropy_avail",           "256\n"),
    fixed("sys/kernel/random/poolsize",                "256\n"),
    directory("sys/net"),
    directory("sys/net/core"),
    fixed("sys/net/core/netdev_max_backlog",           "1000\n"),
    fixed("sys/net/core/rmem_default",                 "212992\n"),
    fixed("sys/net/core/rmem_max",                     "212992\n"),
    fixed("sys/net/core/somaxconn",                    "4096\n"),
    fixed("sys/net/core/wmem_default",                 "212992\n"),
    fixed("sys/net/core/wmem_max",                     "212992\n"),
    directory("sys/net/ipv4"),
    fixed("sys/net/ipv4/ip_forward",                   "0\n"),
    fixed("sys/net/ipv4/ip_local_port_range",          "32768\t60999\n"),
    fixed("sys/net/ipv4/ip_unprivileged_port_start",   "1024\n"),
    fixed("sys/net/ipv4/tcp_fin_timeout",              "60\n"),
    fixed("sys/net/ipv4/tcp_rmem",                     "4096\t131072\t6291456\n"),
    fixed("sys/net/ipv4/tcp_wmem",                     "4096\t16384\t4194304\n"),
    directory("sys/net/unix"),
    fixed("sys/net/unix/max_dgram_qlen",               "512\n"),
    directory("sys/vm"),
    fixed("sys/vm/max_map_count",                      "65530\n"),
    fixed("sys/vm/mmap_min_addr",                      "65536\n"),
    fixed("sys/vm/nr_hugepages",                       "0\n"),
    fixed("sys/vm/overcommit_memory",                  "1\n"),
    fixed("sys/vm/overcommit_ratio",                   "50\n"),
    fixed("sys/vm/swappiness",                         "60\n"),
    fixed("filesystems",                               "nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\nnodev\tdevpts\nnodev\toverlay\n"),
    fixed("cgroups",                                   "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"),
    fixed("cmdline",                                   "\n"),
    fixed("consoles",                                  "tty0                 -W- (EC  p  )    4:1\n"),
    fixed("devices",                                   "Character devices:\n  1 mem\n  5 tty\n136 pts\n\nBlock devices:\n"),
    fixed("diskstats",                                 ""),
    fixed("modules",                                   ""),
    fixed("partitions",                                "major minor  #blocks  name\n\n"),
    fixed("swaps",                                     "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    text("cpuinfo",                                    system::processors),
    text("interrupts",                                 system::interrupts),
    text("loadavg",                                    system::load),
    files("meminfo",                                   system::memory),
    text("stat",                                       system::statistics),
    directory("sysvipc"),
    text("sysvipc/msg",                                objects::queues),
    text("sysvipc/sem",                                objects::semaphores),
    text("sysvipc/shm",                                objects::segments),
    text("uptime",                                     system::uptime),
    text("version",                                    system::version),
    files("vmstat",                                    system::memory_statistics),
    link("self",                                       own_process),
    link("thread-self",                                own_thread),
    link("mounts",                                     own_mounts),
    link("net",                                        own_network),
];

/// Entries of each process. Those of the first rows, down to [`THREAD_ENTRIES`], are each thread's too.
#[rustfmt::skip]
pub(super) const PROCESS: &[ProcEntry] = &[
    entry("auxv",             0o400, Content::Process(process::auxiliary_vector)),
    entry("cgroup",           0o444, Content::Fixed("0::/\n")),
    entry("cmdline",          0o444, Content::Process(process::command_line)),
    entry("comm",             0o644, Content::Setting(process::name, setting::name)),
    entry("cpuset",           0o444, Content::Fixed("/\n")),
    entry("environ",          0o400, Content::Process(process::environment)),
    entry("gid_map",          0o444, Content::Fixed(EVERY_ID)),
    entry("io",               0o400, Content::Process(process::transfers)),
    entry("limits",           0o444, Content::Process(process::limits)),
    entry("loginuid",         0o444, Content::Fixed("4294967295")),
    entry("maps",             0o444, Content::Parts(areas::maps)),
    entry("mem",              0o600, Content::Memory),
    entry("oom_score",        0o444, Content::Process(process::oom_score)),
    entry("oom_score_adj",    0o644, Content::Setting(process::oom_adjustment, setting::oom_adjustment)),
    entry("personality",      0o400, Content::Process(process::personality)),
    entry("projid_map",       0o444, Content::Fixed(EVERY_ID)),
    entry("schedstat",        0o444, Content::Process(process::schedule)),
    entry("sessionid",        0o444, Content::Fixed("4294967295")),
    entry("setgroups",        0o444, Content::Fixed("allow\n")),
    entry("smaps",            0o444, Content::Parts(areas::detailed)),
    entry("smaps_rollup",     0o444, Content::Process(areas::summed)),
    entry("stat",             0o444, Content::Process(status::stat)),
    entry("statm",            0o444, Content::Process(status::memory_pages)),
    entry("status",           0o444, Content::Process(status::status)),
    entry("syscall",          0o400, Content::Process(process::system_call)),
    entry("uid_map",          0o444, Content::Fixed(EVERY_ID)),
    entry("wchan",            0o444, Content::Fixed("0")),
    entry("clear_refs",       0o200, Content::Setting(process::nothing, setting::references)),
    entry("coredump_filter",  0o644, Content::Setting(process::core_filter, setting::core_filter)),
    entry("timerslack_ns",    0o666, Content::Setting(process::timer_slack, setting::timer_slack)),
    link("cwd",                      working_directory),
    link("exe",                      executable),
    link("root",                     root),
    entry("mounts",           0o444, Content::Mounts { long: false }),
    entry("mountinfo",        0o444, Content::Mounts { long: true }),
    entry("fd",               0o500, Content::Descriptors),
    entry("fdinfo",           0o500, Content::DescriptorTexts),
    directory("net"),
    fixed("net/arp",                 "IP address       HW type     Flags       HW address            Mask     Device\n"),
    fixed("net/dev",                 network::DEVICES),
    fixed("net/if_inet6",            "00000000000000000000000000000001 01 80 10 80       lo\n"),
    fixed("net/igmp",                "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n"),
    fixed("net/netlink",             "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"),
    fixed("net/packet",              "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n"),
    fixed("net/raw",                 network::INTERNET),
    fixed("net/raw6",                network::INTERNET_6),
    fixed("net/route",               "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       \n"),
    files("net/sockstat",            network::counts),
    files("net/tcp",                 network::tcp),
    files("net/tcp6",                network::tcp_6),
    files("net/udp",                 network::udp),
    files("net/udp6",                network::udp_6),
    files("net/unix",                network::unix),
    entry("task",             0o555, Content::Threads),
];

/// How many rows of [`PROCESS`] are entries of each thread, too.
pub(super) const THREAD_ENTRIES: usize = 27;

/// A namespace in which all ids are what they are outside.
const EVERY_ID: &str = "         0          0 4294967295\n";

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

fn own_network(_: &View<'_>, _: u32) -> Result<LinkTarget, Errno> {
    Ok(LinkTarget::Text(b"self/net".to_vec()))
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
        for (table, rows) in [("proc", SYSTEM), ("sys", SYS), ("process", PROCESS)] {
            // A node's number has seven bits for the row of a process.
            assert!(rows.len() <= 128, "{table}");
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
        let is_text = |row: &ProcEntry| {
            matches!(
                row.content,
                Content::Process(_)
                    | Content::Parts(_)
                    | Content::Setting(..)
                    | Content::Fixed(_)
                    | Content::Memory
            )
        };
        assert!(PROCESS.iter().take(THREAD_ENTRIES).all(is_text));
        assert_eq!(PROCESS[THREAD_ENTRIES].path, "clear_refs", "the first that only processes have");
    }
}
