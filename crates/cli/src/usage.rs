//! What the command itself has used of the host.

/// CPU time that this process has used, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID);
    time.map_or(f64::NAN, |time| std::time::Duration::from(time).as_secs_f64())
}

/// The most memory that this process has held, KiB, where the host tells (proc(5), VmHWM).
pub(crate) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
