//! The guide, as a reader follows it: every command of docs/guide.md is run, in order, in one scratch
//! folder, and prints what the guide shows.
//!
//! A block of `console` holds commands behind `$ ` and what they print; `...` stands for any text in
//! a line, and alone on a line for any lines. A comment above a block says what it `needs` or `makes`;
//! what cannot be had on this host is skipped aloud.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]
#![allow(clippy::print_stderr, reason = "a test that is left out says so")]

mod guest;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use guest::Scratch;

/// What cargo has done to run this test at all.
const DONE_BY_CARGO: &str = "cargo build --release --quiet";

/// A block of commands.
struct Block {
    line: usize,
    /// `needs THING` or `makes THING`.
    condition: Option<(String, String)>,
    commands: Vec<Step>,
}

/// A command, and the lines that it prints.
struct Step {
    command: String,
    expected: Vec<String>,
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut condition, mut inside) = (Vec::<Block>::new(), None, false);
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = !inside && line == "```console";
            if inside {
                blocks.push(Block { line: number + 1, condition: condition.take(), commands: Vec::new() });
            }
        } else if let Some(comment) = line.strip_prefix("<!-- ").filter(|_| !inside) {
            let (what, thing) = comment.trim_end_matches(" -->").split_once(' ').unwrap();
            condition = Some((what.to_owned(), thing.to_owned()));
        } else if inside {
            let commands = &mut blocks.last_mut().unwrap().commands;
            match line.strip_prefix("$ ") {
                Some(command) => commands.push(Step { command: command.to_owned(), expected: Vec::new() }),
                None => commands.last_mut().expect("output before a command").expected.push(line.to_owned()),
            }
        }
    }
    blocks
}

/// Whether a line is what the guide shows.
fn line_matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn matches(patterns: &[String], lines: &[&str]) -> bool {
    match (patterns.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "..." && matches(rest, lines) => true,
        (Some((first, _)), Some((_, others))) if first == "..." => matches(patterns, others),
        (Some((first, rest)), Some((line, others))) => line_matches(first, line) && matches(rest, others),
        _ => false,
    }
}

/// Runs one command of the guide; gives what it printed on both streams.
fn run(scratch: &Scratch, command: &str) -> (String, bool) {
    let folder = Path::new(env!("CARGO_BIN_EXE_pentimento")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .env("PATH", path)
        .current_dir(scratch.path())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
}

/// The folder as a reader has it: the sources, as far as the guide uses them.
fn prepare() -> Scratch {
    let scratch = Scratch::new();
    for folder in ["fixtures/programs", "fixtures/machines", "scripts"] {
        for entry in std::fs::read_dir(top().join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.path().extension().is_none_or(|extension| extension == "sh") && entry.path().is_file() {
                let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
                scratch.program(&name, &std::fs::read(entry.path()).unwrap());
            }
        }
    }
    scratch
}

/// Makes something that takes packages from the net once, and keeps it for the next time.
fn make(scratch: &Scratch, thing: &str, command: &str) -> Result<String, String> {
    let mut name =
        format!("{command}{}", std::fs::read_to_string(top().join("scripts/debian-root.sh")).unwrap());
    name = format!(
        "{:x}-{thing}",
        name.bytes().fold(5381_u64, |hash, byte| hash.wrapping_mul(33) ^ u64::from(byte))
    );
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let said = kept.with_extension("said");
    if let Ok(said) = std::fs::read_to_string(&said) {
        std::fs::copy(&kept, scratch.path().join(thing)).unwrap();
        return Ok(said);
    }
    let (output, succeeded) = run(scratch, command);
    if !succeeded {
        return Err(output);
    }
    std::fs::copy(scratch.path().join(thing), &kept).unwrap();
    std::fs::write(said, &output).unwrap();
    Ok(output)
}

/// Whether this host has what a block needs.
fn can(need: &str) -> bool {
    match need {
        "docker" => Command::new("docker").arg("info").output().is_ok_and(|output| output.status.success()),
        other => panic!("nothing makes {other}"),
    }
}

#[test]
fn every_command_of_the_guide_prints_what_it_shows() {
    let (scratch, text) = (prepare(), std::fs::read_to_string(top().join("docs/guide.md")).unwrap());
    let (mut made, mut missing, mut commands) = (BTreeSet::new(), BTreeSet::new(), 0);
    for block in blocks(&text) {
        let making =
            block.condition.as_ref().filter(|(what, _)| what == "makes").map(|(_, thing)| thing.clone());
        if let Some((what, thing)) = &block.condition
            && what == "needs"
            && !made.contains(thing)
            && (missing.contains(thing) || !can(thing))
        {
            eprintln!("SKIPPED: docs/guide.md:{}: this host has no {thing}", block.line);
            continue;
        }
        for (index, step) in block.commands.iter().enumerate() {
            let output = match &making {
                _ if step.command == DONE_BY_CARGO => String::new(),
                Some(thing) if index == 0 => match make(&scratch, thing, &step.command) {
                    Ok(output) => output,
                    Err(reason) => {
                        eprintln!("SKIPPED: docs/guide.md:{}: no {thing}: {reason}", block.line);
                        missing.insert(thing.clone());
                        break;
                    }
                },
                _ => run(&scratch, &step.command).0,
            };
            let lines: Vec<&str> = output.lines().collect();
            assert!(
                matches(&step.expected, &lines),
                "docs/guide.md:{}: {}\nprinted:\n{output}\ninstead of:\n{}",
                block.line,
                step.command,
                step.expected.join("\n")
            );
            commands += 1;
        }
        made.extend(making.filter(|thing| !missing.contains(thing)));
    }
    assert!(commands >= 16, "only {commands} commands were run");
}

#[test]
fn the_guides_links_and_pictures_are_there() {
    let text = std::fs::read_to_string(top().join("docs/guide.md")).unwrap();
    let links: Vec<&str> = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() >= 4, "{links:?}");
    for link in links {
        assert!(top().join("docs").join(link).exists(), "{link}");
    }
}

#[test]
fn patterns_tell_lines_apart() {
    let patterns = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&patterns("a...c\n...\nz"), &["abc", "x", "y", "z"]));
    assert!(matches(&patterns("a...c\n...\nz"), &["ac", "z"]));
    assert!(
        !matches(&patterns("a...c"), &["ab"])
            && !matches(&patterns("a"), &["a", "b"])
            && !matches(&[], &["a"])
    );
}
