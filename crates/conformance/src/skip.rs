//! What a check leaves out on this host is said aloud, in one form, and counted.
//!
//! `SKIPPED: what: why` goes to standard output, and to the file that `PENTIMENTO_SKIPS` names
//! (`.cargo/config.toml` sets it), because `cargo test` shows no output of tests that pass.
//! `cargo xtask ci` lists the file at its end. The crates that need this include the file.

#![allow(unreachable_pub, reason = "public in the one crate, private in those that include the file")]

use std::io::Write;

/// Says that `what` is not checked on this host, and why.
pub fn skip(what: &str, why: &str) {
    let line = format!("SKIPPED: {what}: {}\n", why.trim().replace('\n', " "));
    let _ = std::io::stdout().write_all(line.as_bytes());
    let Some(path) = std::env::var_os("PENTIMENTO_SKIPS") else { return };
    // One write of one line: tests run beside each other.
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    if let Ok(mut file) = file {
        let _ = file.write_all(line.as_bytes());
    }
}
