//! Criterion benches of the decoder and the engines, and some that print a table; each is a target of its own.

use std::sync::LazyLock;
use std::time::Instant;

/// Nanoseconds that this thread has had a CPU; where the host does not say, nanoseconds since the first call.
#[must_use]
pub fn thread_time() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // The kernel then brings its account up to date.
    std::thread::yield_now();
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ran = account.split(' ').next().and_then(|number| number.parse().ok());
    ran.unwrap_or_else(|| START.elapsed().as_nanos() as f64)
}
