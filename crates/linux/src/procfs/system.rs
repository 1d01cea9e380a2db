//! What `/proc` says of the machine (proc(5)).

use super::processes::Processes;
use crate::processor;

/// `uptime`
pub(super) fn uptime(view: &Processes<'_>) -> String {
    format!("{}.{:02} 0.00\n", view.uptime / 1_000_000_000, view.uptime / 10_000_000 % 100)
}

/// `loadavg`
pub(super) fn load(view: &Processes<'_>) -> String {
    format!("0.00 0.00 0.00 1/{} {}\n", view.tasks.len(), view.current.number())
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

/// `meminfo`
pub(super) fn memory(_: &Processes<'_>) -> String {
    [
        "MemTotal:        4194304 kB\n",
        "MemFree:         3145728 kB\n",
        "MemAvailable:    3145728 kB\n",
        "Buffers:               0 kB\n",
        "Cached:                0 kB\n",
        "SwapTotal:             0 kB\n",
        "SwapFree:              0 kB\n",
    ]
    .concat()
}

/// `stat`
pub(super) fn statistics(view: &Processes<'_>) -> String {
    format!(
        "cpu  {0} 0 0 0 0 0 0 0 0 0\ncpu0 {0} 0 0 0 0 0 0 0 0 0\nintr 0\nctxt 0\nbtime {2}\nprocesses {1}\nprocs_running 1\nprocs_blocked 0\n",
        view.uptime / 10_000_000,
        view.processes.len(),
        view.boot,
    )
}

/// `cpuinfo`
pub(super) fn processors(view: &Processes<'_>) -> String {
    processor::text(view.cpuid)
}
