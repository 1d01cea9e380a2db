//! Native runs that cannot change the host: in name spaces of their own, without the capabilities
//! that reach beyond them.
//!
//! Command lines of the guest suites are written for a machine that may be broken, and some set
//! clocks, names and routes or signal everybody. Natively they must not get that far, even where
//! the person who runs them is root.

use crate::process::{command, output};

/// What no native run may do, whoever starts it.
const DROPPED: &str =
    "-sys_time,-sys_boot,-sys_module,-sys_rawio,-wake_alarm,-syslog,-mac_admin,-mac_override";

/// Options of unshare(1) without which there is no native run, and what makes root harmless in it.
const NEEDED: &[&str] = &["--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"];

/// Options that a host may lack: then what they separate is shared, without the right to change it.
const WANTED: &[&str] = &["--ipc", "--net", "--uts", "--cgroup"];

/// The words before a command that make its native run harmless.
///
/// # Errors
/// Says what the host lacks; then nothing is to be run natively.
pub(crate) fn confinement() -> Result<Vec<String>, String> {
    let works = |words: &[&str]| {
        let (program, arguments) = words.split_first().unwrap_or((&"false", &[]));
        output(command(program).args(arguments).arg("true")).is_ok()
    };
    let drop_capabilities = ["setpriv", "--bounding-set", DROPPED, "--inh-caps", DROPPED];
    let mut words = vec!["unshare"];
    words.extend(NEEDED);
    if !works(&words) {
        return Err("the host has no user name spaces (unshare --user --mount --pid)".to_owned());
    }
    for option in WANTED {
        words.push(option);
        if !works(&words) {
            words.pop();
        }
    }
    words.extend(drop_capabilities);
    if !works(&words) {
        return Err("the host has no setpriv, which drops capabilities".to_owned());
    }
    Ok(words.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Capabilities by number, as capabilities(7) has them.
    const FORBIDDEN: &[u32] = &[16, 17, 22, 25, 32, 33, 34, 35];

    #[test]
    fn a_confined_root_has_no_right_over_the_host() {
        let Ok(words) = confinement() else {
            println!("SKIPPED: native confinement: this host has no user name spaces or no setpriv");
            return;
        };
        let mut probe = command(&words[0]);
        let script =
            "grep CapEff /proc/self/status; date --set 2001-01-01 >/dev/null 2>&1 && echo clock set; true";
        let text = output(probe.args(&words[1..]).args(["sh", "-c", script])).expect("sh runs confined");
        let effective = text.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("a status line");
        let effective = u64::from_str_radix(effective.trim(), 16).expect("a hexadecimal number");
        for &number in FORBIDDEN {
            assert_eq!(effective >> number & 1, 0, "capability {number}");
        }
        assert!(!text.contains("clock set"), "{text}");
    }
}
