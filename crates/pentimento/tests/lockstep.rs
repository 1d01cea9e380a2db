//! The interpreter beside the reference: the same programs on both, stopped again and again after
//! the same number of instructions, with all registers and all written memory equal each time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::path::Path;

use pentimento::{EngineKind, Halt, Machine};

/// Sizes of the runs between two comparisons, in turn: blocks end early, late and never.
const STRIDES: &[u64] = &[1, 2, 3, 5, 8, 13, 34, 89, 233, 610, 1597, 4181];

/// Instructions that each program is followed for.
const MOST_INSTRUCTIONS: u64 = 3_000_000;

fn machine(engine: EngineKind, path: &Path, arguments: &[&str]) -> Machine {
    let mut machine = Machine::builder().engine(engine).build().unwrap();
    machine.load_file(path, arguments, &[]).unwrap();
    machine
}

/// The numbers and contents of the pages written since the last call.
fn written(machine: &mut Machine) -> Vec<(u32, Vec<u8>)> {
    let Some(memory) = machine.memory() else { return Vec::new() };
    let mut pages = memory.dirty_pages().to_vec();
    pages.sort_unstable();
    let contents = |page: &u32| {
        let mut bytes = vec![0; 4096];
        memory.peek_bytes(page << 12, &mut bytes).ok()?;
        Some((*page, bytes))
    };
    let contents = pages.iter().filter_map(contents).collect();
    memory.clear_dirty();
    contents
}

fn check(name: &str, path: &Path, arguments: &[&str]) {
    let mut reference = machine(EngineKind::REFERENCE, path, arguments);
    let mut interpreter = machine(EngineKind::INTERPRETER, path, arguments);
    let mut executed = 0;
    for stride in STRIDES.iter().cycle() {
        let before = reference.state().map(|state| state.eip);
        let halts = [reference.run(*stride), interpreter.run(*stride)];
        let context = || format!("{name}: {stride} instructions after {executed}, from {before:08x?}");
        assert_eq!(halts[0], halts[1], "{}", context());
        assert_eq!(reference.statistics(), interpreter.statistics(), "{}", context());
        assert_eq!(reference.state(), interpreter.state(), "{}", context());
        assert!(written(&mut reference) == written(&mut interpreter), "memory differs, {}", context());
        executed += stride;
        if halts[0] != Halt::Budget || executed > MOST_INSTRUCTIONS {
            return;
        }
    }
}

fn check_folder(folder: &str, arguments: &[&str], wanted: impl Fn(&str) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(folder);
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(program) = name.strip_suffix(".out") else { continue };
        if !wanted(program) {
            continue;
        }
        let mut words = vec![program];
        words.extend(arguments);
        check(program, &path.with_file_name(program), &words);
        checked += 1;
    }
    assert!(checked > 5, "the fixtures are missing");
}

#[test]
fn programs_agree() {
    check_folder("programs", &[], |_| true);
}

#[test]
fn kernels_agree() {
    check_folder("kernels", &["1"], |_| true);
}
