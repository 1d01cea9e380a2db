//! Completions and the manual come from the same definitions as `--help`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

#[path = "../../conformance/src/skip.rs"]
mod skip;

use std::io::Write;
use std::process::{Command, Stdio};

use skip::skip;

fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pentimento")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The long options of a command, by its help.
fn options(command: &str) -> Vec<String> {
    let help = printed(&[command, "--help"]);
    let words = help.split(|c: char| !c.is_ascii_lowercase() && c != '-');
    let mut options: Vec<String> =
        words.filter(|word| word.starts_with("--") && word.len() > 4).map(str::to_owned).collect();
    options.sort();
    options.dedup();
    options
}

#[test]
fn completions_know_every_option() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        for command in ["run", "exec", "disasm"] {
            for option in options(command) {
                let name = option.trim_start_matches('-');
                assert!(script.contains(name), "{shell}: {command} {option}");
            }
        }
    }
}

#[test]
fn shells_accept_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let check = Command::new(shell).arg("-n").stdin(Stdio::piped()).spawn();
        let Ok(mut check) = check else {
            skip("completions", &format!("this host has no {shell}"));
            continue;
        };
        check.stdin.take().unwrap().write_all(printed(&["completions", shell]).as_bytes()).unwrap();
        assert!(check.wait().unwrap().success(), "{shell}");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let page = printed(&["man"]);
    assert!(page.contains(".TH") && page.contains("pentimento\\-run(1)"), "{page}");
    assert!(page.contains("Exit codes"), "{page}");
    for command in ["run", "exec", "disasm", "completions", "man"] {
        let page = printed(&["man", command]);
        assert!(page.contains(&format!("pentimento\\-{command}")), "{page}");
        for option in options(command) {
            assert!(page.contains(&option.replace('-', "\\-")), "{command}: {option}");
        }
    }
    let output = Command::new(env!("CARGO_BIN_EXE_pentimento")).args(["man", "walk"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("exec, disasm") && message.lines().count() == 1, "{message}");
    assert_eq!(output.status.code(), Some(125));
}
