//! Any bytes as a description, a source or a program: answers, and never a panic, a hang or much memory.
//!
//! The first byte says what the others are. A program runs twice, in one go and step by step, with the
//! same result; text that assembles is what its disassembly assembles to.
#![no_main]

use std::ops::ControlFlow;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pentimento_custom::{InstructionSet, Processor, Program, SHIPPED};

static SETS: LazyLock<Vec<InstructionSet>> =
    LazyLock::new(|| SHIPPED.iter().map(|(_, text)| InstructionSet::from_toml(text).unwrap()).collect());

fn exercise(set: &InstructionSet, program: &Program) {
    let mut text = String::new();
    for line in set.disassemble(program).take(4096) {
        assert!(line.length > 0);
        text.push_str(&line.text);
        text.push('\n');
    }
    let _ = set.assemble(&text);
    let ends: Vec<_> = [false, true]
        .into_iter()
        .map(|stepwise| {
            let mut processor = Processor::new(set).unwrap();
            processor.load(program).map_err(|_| ()).ok()?;
            processor.limit_memory(1 << 20);
            let end = if stepwise {
                processor.run_observed(500, |_| ControlFlow::Continue(()))
            } else {
                processor.run(500)
            };
            Some((end, processor.view(), processor.instructions(), processor.take_output()))
        })
        .collect();
    assert_eq!(ends[0], ends[1]);
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(data);
    let set = &SETS[usize::from(*mode & 1)];
    match mode >> 1 & 3 {
        0 => {
            if let Ok(program) = set.program_from_bytes(data.to_vec()) {
                let lines: String = set.disassemble(&program).map(|line| line.text + "\n").collect();
                assert_eq!(set.assemble(&lines).as_ref(), Ok(&program));
                exercise(set, &program);
            }
        }
        1 => {
            if let Ok(program) = set.assemble(&text) {
                exercise(set, &program);
            }
        }
        2 => {
            let _ = set.looks_like_digits(&text);
            if let Ok(program) = set.program(&text) {
                assert_eq!(set.program(&set.digits(&program)).as_ref(), Ok(&program));
            }
        }
        // A description, and behind a line of dashes a program for it.
        _ => {
            let (description, source) = text.split_once("\n---\n").unwrap_or((&text, ""));
            if let Ok(set) = InstructionSet::from_toml(description)
                && let Ok(program) = set.assemble(source)
            {
                exercise(&set, &program);
            }
        }
    }
});
