//! What `/proc` says of the machine (proc(5)).

use super::processes::Processes;
use crate::ids::FIRST_NUMBER;
use crate::objects::Files;
use crate::processor;
use crate::random::Random;
use crate::task::{Task, TaskState};

/// Nanoseconds of a clock tick (AT_CLKTCK is 100).
const TICK: u64 = 10_000_000;

/// `uptime`: since the start, and idle, in seconds.
pub(super) fn uptime(view: &Processes<'_>) -> String {
    let seconds = |time: u64| format!("{}.{:02}", time / 1_000_000_000, time / TICK % 100);
    format!("{} {}\n", seconds(view.uptime), seconds(view.uptime.saturating_sub(busy(view))))
}

/// Nanoseconds in which somebody ran.
fn busy(view: &Processes<'_>) -> u64 {
    view.time.busy().min(view.uptime)
}

/// Tasks that run or could, and tasks that wait.
fn running(view: &Processes<'_>) -> (usize, usize) {
    let waits = |task: &&Task| matches!(task.state, TaskState::Blocked(_));
    let waiting = view.tasks.values().filter(waits).count();
    (view.tasks.len() - waiting, waiting)
}

/// `loadavg`: averages over one, five and fifteen minutes, tasks, and the last process.
pub(super) fn load(view: &Processes<'_>) -> String {
    let (running, _) = running(view);
    let averages = view.time.load().map(|hundredths| format!("{}.{:02}", hundredths / 100, hundredths % 100));
    format!("{} {running}/{} {}\n", averages.join(" "), view.tasks.len(), view.last_number)
}

/// `sys/kernel/ns_last_pid`
pub(super) fn last_number(view: &Processes<'_>) -> String {
    format!("{}\n", view.last_number)
}

/// `sys/kernel/random/boot_id`: a UUID that says which run this is; the same for the same time of start.
pub(super) fn boot_number(view: &Processes<'_>) -> String {
    let mut random = Random::new(view.boot as u64);
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    // A random one (RFC 4122, version 4).
    (bytes[6], bytes[8]) = (bytes[6] & 0x0f | 0x40, bytes[8] & 0x3f | 0x80);
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    for dash in [20, 16, 12, 8] {
        text.insert(dash, '-');
    }
    text + "\n"
}

/// `interrupts`: the timer's, one each hundredth of a second.
pub(super) fn interrupts(view: &Processes<'_>) -> String {
    let ticks = view.uptime / TICK;
    format!(
        "           CPU0       \n  0: {ticks:10}   IO-APIC   2-edge      timer\nNMI:          0   Non-maskable interrupts\nLOC: {ticks:10}   Local timer interrupts\nERR:          0\nMIS:          0\n"
    )
}

/// `version`
pub(super) fn version(_: &Processes<'_>) -> String {
    "Linux version 6.1.0 (pentimento) #1 SMP\n".into()
}

/// `sys/kernel/osrelease`
pub(super) fn release(_: &Processes<'_>) -> String {
    "6.1.0\n".into()
}

/// `sys/kernel/version`
pub(super) fn build(_: &Processes<'_>) -> String {
    "#1 SMP\n".into()
}

/// `sys/kernel/hostname`
pub(super) fn host_name(view: &Processes<'_>) -> String {
    String::from_utf8_lossy(view.names[0]).into_owned() + "\n"
}

/// `sys/kernel/domainname`
pub(super) fn domain_name(view: &Processes<'_>) -> String {
    String::from_utf8_lossy(view.names[1]).into_owned() + "\n"
}

/// KiB that the machine may hold, and those that are free.
fn room(files: &Files) -> (u64, u64) {
    let account = &files.vfs.account;
    (account.limit() / 1024, account.limit().saturating_sub(account.taken()) / 1024)
}

/// `meminfo`: what the machine may hold of its host's memory.
pub(super) fn memory(files: &Files) -> String {
    let (total, free) = room(files);
    memory_lines("", total, free)
}

/// `/sys/devices/system/node/node0/meminfo`
pub(super) fn node_memory(files: &Files) -> String {
    let (total, free) = room(files);
    memory_lines("Node 0 ", total, free)
}

fn memory_lines(prefix: &str, total: u64, free: u64) -> String {
    let used = total - free;
    let rows = [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", used),
        ("Inactive", 0),
        ("Active(anon)", used),
        ("Inactive(anon)", 0),
        ("Active(file)", 0),
        ("Inactive(file)", 0),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", used),
        ("Mapped", 0),
        ("Shmem", 0),
        ("KReclaimable", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", 0),
        ("PageTables", 0),
        ("CommitLimit", total),
        ("Committed_AS", used),
        ("VmallocTotal", 0),
        ("VmallocUsed", 0),
    ];
    let line = |(name, size): &(&str, u64)| format!("{prefix}{:<15} {size:8} kB\n", format!("{name}:"));
    let pages = "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\nHugepagesize:       2048 kB\n";
    rows.iter().map(line).collect::<String>() + if prefix.is_empty() { pages } else { "" }
}

/// `vmstat`: pages free and in use; nothing goes to a disk or comes from one.
pub(super) fn memory_statistics(files: &Files) -> String {
    let (total, free) = room(files);
    format!(
        "nr_free_pages {}\nnr_active_anon {}\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\noom_kill 0\n",
        free / 4,
        (total - free) / 4
    )
}

/// `sys/fs/file-nr`: open files, free handles, and how many there may be.
pub(super) fn open_files(files: &Files) -> String {
    format!("{}\t0\t1048576\n", files.descriptions.len())
}

/// `stat`: time in hundredths of seconds as user and idle, and what else there is to count.
pub(super) fn statistics(view: &Processes<'_>) -> String {
    let (running, _) = running(view);
    let user = busy(view) / TICK;
    let idle = (view.uptime / TICK).saturating_sub(user);
    let times = format!("{user} 0 0 {idle} 0 0 0 0 0 0");
    format!(
        "cpu  {times}\ncpu0 {times}\nintr {ticks}\nctxt 0\nbtime {}\nprocesses {}\nprocs_running {running}\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
        view.boot,
        view.last_number.saturating_sub(FIRST_NUMBER),
        ticks = view.uptime / TICK,
    )
}

/// `cpuinfo`
pub(super) fn processors(view: &Processes<'_>) -> String {
    processor::text(view.cpuid)
}
