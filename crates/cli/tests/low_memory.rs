//! Programs at address 0, which Linux runs for who has the right to map memory there, and flat
//! binaries, which have no file format and begin there, too.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

#[path = "../../conformance/src/skip.rs"]
mod skip;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use skip::skip;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The command, with the file `input` as its standard input if there is one.
fn pentimento(arguments: &[&str], input: &Path) -> Output {
    let input = File::open(input).map_or_else(|_| Stdio::null(), Stdio::from);
    Command::new(env!("CARGO_BIN_EXE_pentimento"))
        .args(arguments)
        .current_dir(top())
        .stdin(input)
        .output()
        .unwrap()
}

/// What was printed and how it ended, in the words of the golden files.
fn outcome(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text + &output
        .status
        .code()
        .map_or_else(|| output.status.to_string(), |code| format!("exit code {code}\n"))
}

/// Names of the golden files in a folder of `fixtures`, without `.out`.
fn fixtures(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(top().join("fixtures").join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".out").map(str::to_owned)).collect()
}

fn check(folder: &str, least: usize, command: &[&str]) {
    let names = fixtures(folder);
    assert!(names.len() >= least, "the fixtures of {folder} are missing");
    for name in names {
        let path = format!("fixtures/{folder}/{name}");
        let golden = std::fs::read_to_string(top().join(format!("{path}.out"))).unwrap();
        let output = pentimento(&[command, &[&path]].concat(), &top().join(&path).with_extension("in"));
        let golden = golden.replace(&format!("= {name}\n"), &format!("= {path}\n"));
        assert_eq!(outcome(&output), golden, "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn programs_at_address_zero_run_as_on_silicon() {
    check("low", 7, &["run"]);
    let output = pentimento(&["run", "fixtures/low/arguments", "one", "--two"], Path::new(""));
    assert!(outcome(&output).ends_with("argv[1] = one\nargv[2] = --two\nexit code 3\n"), "{output:?}");
}

#[test]
fn flat_binaries_run_as_on_silicon() {
    check("flat", 6, &["exec", "--memory", "1M"]);
}

#[test]
fn without_the_right_a_program_at_address_zero_is_refused() {
    let output = pentimento(&["run", "--user", "1000", "fixtures/low/hello"], Path::new(""));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(126), "{message}");
    assert!(message.contains("superuser (user 0)") && message.lines().count() == 1, "{message}");
}

/// What Linux 6.18 says with vm.mmap_min_addr at its usual 65536, to the superuser.
const SUPERUSER: &str = "\
page 0, fixed: 0
read at 0: 42
munmap: 0
page 0, fixed, if free: 0
address 1, fixed: Invalid argument
the page below the lowest, fixed: 0xf000
page 0, as a wish: a high address
address 2048, as a wish: a high address
address 4096, as a wish: the lowest address
address 4096, as a wish: a high address
mremap to page 0: 0
Hello from address 0!
the program: exit code 0
exit code 0
";

/// And to others. (That memory is out is the C library's word for what is not permitted.)
const OTHERS: &str = "\
page 0, fixed: Operation not permitted
page 0, fixed, if free: Out of memory
address 1, fixed: Invalid argument
the page below the lowest, fixed: Operation not permitted
page 0, as a wish: a high address
address 2048, as a wish: a high address
address 4096, as a wish: the lowest address
address 4096, as a wish: a high address
mremap to page 0: Operation not permitted
the program: killed by signal 11
exit code 0
";

const PROGRAM: [&str; 2] = ["fixtures/machines/low_memory", "fixtures/low/hello"];

#[test]
fn low_memory_is_the_superusers() {
    for (user, expected) in [("0", SUPERUSER), ("1000", OTHERS)] {
        let output = pentimento(&["run", "--user", user, PROGRAM[0], PROGRAM[1]], Path::new(""));
        assert_eq!(outcome(&output), expected, "user {user}");
    }
}

#[test]
fn low_memory_is_what_this_hosts_kernel_makes_of_it() {
    let lowest = std::fs::read_to_string("/proc/sys/vm/mmap_min_addr").unwrap_or_default();
    if lowest.trim() != "65536" {
        return skip(
            "low memory natively",
            &format!("this host's vm.mmap_min_addr is {lowest:?}, not 65536"),
        );
    }
    let identity = |user: &str| ["--reuid", user, "--regid", user, "--clear-groups"].map(str::to_owned);
    for (user, expected) in [("0", SUPERUSER), ("65534", OTHERS)] {
        let native = Command::new("setpriv").args(identity(user)).args(PROGRAM).current_dir(top()).output();
        match native {
            Ok(output) if output.status.success() => assert_eq!(outcome(&output), expected, "user {user}"),
            other => {
                let why = format!("this host does not run 32-bit programs as user {user}: {other:?}");
                return skip("low memory natively", &why);
            }
        }
    }
}
