//! Going back, on every engine: to states that were recorded on the way, to breakpoints, and to writes.
#![cfg(feature = "assembler")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::path::Path;

use pentimento::assembler::assemble;
use pentimento::{Capture, EngineKind, Gpr, Halt, History, Machine, Past};

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

/// What a machine is recognised by at one moment: task, registers, and all that it has done.
fn state(machine: &mut Machine) -> (u64, String, Option<u64>) {
    // What this engine puts into flags that the architecture leaves open depends on what it has translated.
    let exact = machine.engine().is_exact();
    let task = machine.task();
    let hash = machine.trace_hash().filter(|_| exact);
    let registers = machine.state().map(|state| {
        if exact {
            format!("{task:?} {state}")
        } else {
            format!("{task:?} {:x} {:x?}", state.eip, state.gprs())
        }
    });
    (machine.statistics().instructions, registers.unwrap_or_default(), hash)
}

fn program(name: &str, arguments: &[&str], engine: EngineKind, output: &Capture) -> Machine {
    let builder = Machine::builder().seed(5).quantum(1_000..=5_000).engine(engine).trace_hash();
    let mut machine = builder.stdout(output.clone()).build().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/programs").join(name);
    let mut words = vec![name];
    words.extend(arguments);
    machine.load_file(path, &words, &[]).unwrap();
    machine
}

#[test]
fn a_thousand_steps_back_return_to_states_recorded_on_the_way() {
    for engine in EngineKind::ALL {
        let output = Capture::new();
        let mut machine = program("interleaving", &["order"], *engine, &output);
        let mut history = History::with(&mut machine, 50_000, 12);
        assert_eq!(history.run(&mut machine, 100_000), Halt::Budget);
        let first = machine.statistics().instructions;
        let mut recorded = vec![state(&mut machine)];
        for _ in 0..20_000 {
            assert_eq!(history.run(&mut machine, 1), Halt::Budget);
            recorded.push(state(&mut machine));
        }
        let printed = output.text();
        let mut random = Random(1);
        let mut position = recorded.len() - 1;
        for _ in 0..1000 {
            // Mostly steps, from somewhere else now and then.
            if random.below(20) == 0 || position == 0 {
                position = 1 + random.below(recorded.len() as u64 - 1) as usize;
                assert_eq!(history.go_to(&mut machine, first + position as u64), Ok(Past::Reached));
                assert_eq!(state(&mut machine), recorded[position], "{engine}");
            }
            assert_eq!(history.reverse_step(&mut machine), Ok(Past::Reached));
            position -= 1;
            assert_eq!(state(&mut machine), recorded[position], "{engine}");
            assert!(history.snapshots() <= 12);
        }
        assert_eq!(output.text(), printed, "the host hears nothing twice");
        assert_eq!(history.run(&mut machine, u64::MAX), Halt::Exited(0));
        let whole = Capture::new();
        assert_eq!(program("interleaving", &["order"], *engine, &whole).run(u64::MAX), Halt::Exited(0));
        assert_eq!(output.text(), whole.text(), "{engine}");
        assert_eq!(history.go_to(&mut machine, 0), Ok(Past::Reached));
        assert_eq!(history.reverse_step(&mut machine), Ok(Past::Beginning));
        history.end(&mut machine);
    }
}

/// Counts in memory, 1,000 times; every hundredth time it stores a second number.
const COUNTING: &str = "
        org 10000h
        mov ecx, 1000
again:  inc dword ptr [counter]
        mov eax, ecx
        xor edx, edx
        mov ebx, 100
        div ebx
        test edx, edx
        jnz next
store:  mov [number], ecx
next:   loop again
        hlt
counter: dd 0
number: dd 0
";

#[test]
fn going_back_ends_at_breakpoints_and_before_writes() {
    let code = assemble(COUNTING).unwrap();
    let label = |name| code.label(name).unwrap();
    for engine in EngineKind::ALL {
        let mut machine = Machine::builder().engine(*engine).build().unwrap();
        machine.load_code(0x1_0000, code.bytes(), 4096).unwrap();
        let mut history = History::with(&mut machine, 500, 8);
        assert_eq!(history.run(&mut machine, 7000), Halt::Budget);
        let ecx = |machine: &mut Machine| machine.state().unwrap().gpr(Gpr::Ecx);
        let eip = |machine: &mut Machine| machine.state().unwrap().eip;
        let read = |machine: &mut Machine, name| machine.memory().unwrap().read::<u32>(label(name)).unwrap();
        assert!((100..200).contains(&ecx(&mut machine)), "seven instructions and a half a round");
        machine.breakpoints.insert(label("store"));
        for wanted in [200, 300, 400] {
            assert_eq!(history.reverse_continue(&mut machine), Ok(Past::Breakpoint(label("store"))));
            assert_eq!((ecx(&mut machine), eip(&mut machine)), (wanted, label("store")), "{engine}");
        }
        machine.breakpoints.clear();
        for wanted in [500, 600] {
            assert_eq!(history.reverse_to_write(&mut machine, label("number"), 4), Ok(Past::Written));
            assert_eq!((ecx(&mut machine), eip(&mut machine)), (wanted, label("store")), "{engine}");
            assert_eq!(read(&mut machine, "number"), wanted + 100);
        }
        assert_eq!(history.reverse_to_write(&mut machine, label("counter") + 3, 1), Ok(Past::Written));
        assert_eq!((eip(&mut machine), read(&mut machine, "counter")), (label("again"), 400));
        machine.breakpoints.insert(label("next") + 100);
        assert_eq!(history.reverse_continue(&mut machine), Ok(Past::Beginning));
        assert_eq!((machine.statistics().instructions, read(&mut machine, "counter")), (0, 0));
        machine.breakpoints = [label("again")].into();
        for _ in 0..3 {
            assert_eq!(history.run(&mut machine, 10_000), Halt::Breakpoint(label("again")));
        }
        assert_eq!(ecx(&mut machine), 998);
        machine.breakpoints.clear();
        assert_eq!(history.run(&mut machine, u64::MAX), Halt::Halted);
        assert_eq!(history.reverse_step(&mut machine), Ok(Past::Reached));
        assert_eq!(read(&mut machine, "counter"), 1000, "an ended machine goes back, too");
    }
}

#[test]
fn snapshots_of_a_long_past_get_sparse() {
    let mut machine = Machine::builder().build().unwrap();
    machine.load_code(0x1_0000, &[0x40, 0xeb, 0xfd], 4096).unwrap();
    let mut history = History::with(&mut machine, 1000, 10);
    assert_eq!(history.run(&mut machine, 2_000_000), Halt::Budget);
    assert_eq!(history.snapshots(), 10);
    for moment in [1_999_999, 1_000_001, 12_345, 1] {
        assert_eq!(history.go_to(&mut machine, moment), Ok(Past::Reached));
        let eax = machine.state().unwrap().gpr(Gpr::Eax);
        assert_eq!(u64::from(eax), moment.div_ceil(2));
    }
}
