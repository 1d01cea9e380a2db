//! Snapshots of whole machines, on every engine: taken at random moments of programs with threads,
//! processes, pipes, signals and files; what runs from a restored one is the same run again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::path::Path;

use pentimento::host::Bytes;
use pentimento::{Capture, EngineKind, Halt, Machine, MachineSnapshot, RestoreError};

/// Far more than any fixture needs; one that runs away fails instead of hanging.
const MOST_INSTRUCTIONS: u64 = 2_000_000_000;

/// Fixtures with all that a machine can hold, and their arguments.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("interleaving", &["order"]),
    ("lost_update", &["race"]),
    ("crowd", &["20"]),
    ("calculator", &[]),
    ("malloc_stress", &[]),
    ("file_io", &[]),
    ("fork_large", &[]),
    ("written_code", &[]),
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

/// A machine with a program that has not begun, and what it prints.
fn start((name, arguments): (&str, &[&str]), engine: EngineKind) -> (Machine, Capture) {
    let output = Capture::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/programs");
    let input = std::fs::read(folder.join(name).with_extension("in")).unwrap_or_default();
    let builder = Machine::builder().seed(7).quantum(1_000..=20_000).engine(engine).trace_hash();
    let mut machine = builder.stdin(Bytes::from(input)).stdout(output.clone()).build().unwrap();
    let mut words = vec![name];
    words.extend(arguments);
    machine.load_file(folder.join(name), &words, &[]).unwrap();
    (machine, output)
}

/// How a run ends, which says what it was.
#[derive(PartialEq, Eq, Debug)]
struct End {
    halt: Halt,
    hash: Option<u64>,
    instructions: u64,
    output: String,
}

fn run(machine: &mut Machine, output: &Capture) -> End {
    let halt = machine.run(MOST_INSTRUCTIONS);
    // What this engine puts into flags that the architecture leaves open depends on what it has translated.
    let exact = machine.engine().is_exact();
    End {
        halt,
        hash: machine.trace_hash().filter(|_| exact),
        instructions: machine.statistics().instructions,
        output: output.text(),
    }
}

/// Goes back and runs to the end again: that must be `expected`, but for the output, which has what came
/// before the snapshot as it was, and then all that comes after it.
fn check_again(
    machine: &mut Machine,
    output: &Capture,
    (taken, printed): &(MachineSnapshot, usize),
    expected: &End,
) {
    machine.restore(taken).unwrap();
    assert_eq!(machine.statistics(), taken.statistics());
    let before = output.text().len();
    let mut end = run(machine, output);
    end.output = expected.output[..*printed].to_owned() + &end.output[before..];
    assert_eq!(end, *expected, "{}", machine.engine());
}

fn check(program: (&str, &[&str]), engine: EngineKind, seed: u64) {
    let (mut machine, output) = start(program, engine);
    let expected = run(&mut machine, &output);
    assert!(matches!(expected.halt, Halt::Exited(_)), "{program:?} {expected:?}");
    let mut random = Random(seed);
    let (mut machine, output) = start(program, engine);
    let mut moments: Vec<u64> = (0..4).map(|_| random.below(expected.instructions)).collect();
    moments.sort_unstable();
    let mut taken = Vec::new();
    for moment in moments {
        machine.run(moment - machine.statistics().instructions);
        taken.push((machine.snapshot(), output.text().len()));
    }
    assert_eq!(run(&mut machine, &output), expected, "snapshots do not show: {program:?} {engine}");
    check_again(&mut machine, &output, &taken[3], &expected);
    check_again(&mut machine, &output, &taken[3], &expected);
    machine.forget(&taken[2].0).unwrap();
    assert_eq!(machine.restore(&taken[2].0), Err(RestoreError::NoSuchSnapshot));
    check_again(&mut machine, &output, &taken[1], &expected);
    assert_eq!(machine.restore(&taken[3].0), Err(RestoreError::NoSuchSnapshot), "an older one was restored");
    check_again(&mut machine, &output, &taken[0], &expected);
    // A loop that never comes to the end.
    for length in 1..40 {
        machine.restore(&taken[0].0).unwrap();
        machine.run(random.below(length * 1000));
    }
    check_again(&mut machine, &output, &taken[0], &expected);
    machine.forget(&taken[0].0).unwrap();
}

#[test]
fn programs_run_again_from_any_moment_on_every_engine() {
    for (seed, program) in PROGRAMS.iter().enumerate() {
        for engine in EngineKind::ALL {
            check(*program, *engine, seed as u64);
        }
    }
}
