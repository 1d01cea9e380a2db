//! `softmachine` as its description promises: results, and every way to fail with its offset.

use pentimento_custom::{Cause, End, InstructionSet, Processor, SOFTMACHINE};

fn processor(set: &InstructionSet, digits: &str) -> Processor {
    let mut processor = Processor::new(set).unwrap();
    processor.load(&set.program(digits).unwrap()).unwrap();
    processor
}

fn run_with(changes: &[&str], digits: &str) -> (End, Processor) {
    let set = InstructionSet::from_toml_with(SOFTMACHINE, changes).unwrap();
    let mut processor = processor(&set, digits);
    (processor.run(1_000_000), processor)
}

fn run(digits: &str) -> (End, Processor) {
    run_with(&[], digits)
}

fn registers(processor: &Processor) -> [u64; 4] {
    ["a", "b", "c", "d"].map(|name| processor.get(name).unwrap())
}

#[test]
fn three_words() {
    let (end, processor) = run("0x30001000;0x01100000;0x41000100");
    assert_eq!(end, End::ProgramEnd);
    assert_eq!((end.status(), processor.instructions()), (Some(0), 3));
    assert_eq!((registers(&processor), processor.flags()), ([4096, 3840, 0, 0], 0));
    assert_eq!(processor.stack_len(), 0);
}

#[test]
fn every_failure_says_where() {
    let status = |status| Cause::BadStatus { status, most: 232 };
    let cases = [
        ("0x20000000", 0, Cause::StackEmpty),
        ("0x00000001 0x10000005 0x20000000 0x22000000", 3, Cause::StackEmpty),
        ("0x00000001 0x90000000", 1, Cause::UnknownInstruction { code: 0x9000_0000, digits: 8 }),
        ("0xf0000000", 0, Cause::UnknownInstruction { code: 0xf000_0000, digits: 8 }),
        ("0x00200000", 0, Cause::UnknownInstruction { code: 0x0020_0000, digits: 8 }),
        ("0x00000001 0x04000001", 1, Cause::NoSuchRegister { number: 4 }),
        ("0x00000001 0x00000002 0x00100004", 2, Cause::NoSuchRegister { number: 4 }),
        ("0x2f000000", 0, Cause::NoSuchRegister { number: 15 }),
        ("0x000000e9 0x80000000", 1, status(233)),
        ("0x40000001 0x80000000", 1, status(0xffff_ffff)),
        ("0x70000005", 5, Cause::OutsideProgram),
        ("0x600fffff", 0xfffff, Cause::OutsideProgram),
    ];
    for (digits, offset, cause) in cases {
        let (end, processor) = run(digits);
        assert_eq!(end, End::Fault { offset, cause }, "{digits}");
        assert_eq!((processor.ip(), end.status()), (offset, None), "{digits}");
    }
}

#[test]
fn a_full_stack() {
    let (end, processor) = run_with(&["stack.entries = 3"], "10000001 10000002 10000003 10000004");
    assert_eq!(end, End::Fault { offset: 3, cause: Cause::StackFull { entries: 3 } });
    assert_eq!(end.to_string(), "fault at offset 0x3: push on a full stack, which holds 3 entries");
    assert_eq!(
        (processor.stack_len(), processor.stack_entry(0), processor.stack_entry(2)),
        (3, Some(3), Some(1))
    );
    assert_eq!(processor.stack_entry(3), None);
}

#[test]
fn the_stack_holds_0xffffff_entries() {
    let set = InstructionSet::from_toml(SOFTMACHINE).unwrap();
    assert_eq!(set.stack_entries(), Some(0xff_ffff));
    let mut processor = Processor::new(&set).unwrap();
    processor.load(&set.assemble("again: push a; jmp again").unwrap()).unwrap();
    let full = Cause::StackFull { entries: 0xff_ffff };
    assert_eq!(processor.run(u64::MAX), End::Fault { offset: 0, cause: full });
    assert_eq!(processor.stack_len(), 0xff_ffff);
    assert_eq!(processor.instructions(), 2 * 0xff_ffff);
}

#[test]
fn calls_return_through_the_stack() {
    let set = InstructionSet::from_toml(SOFTMACHINE).unwrap();
    let source = include_str!("../../../../fixtures/custom/sum.asm");
    let program = set.assemble(source).unwrap();
    let mut processor = Processor::new(&set).unwrap();
    processor.load(&program).unwrap();
    assert_eq!(processor.run(1000), End::Halted { status: 55 });
    assert_eq!((registers(&processor), processor.flags()), ([55, 0, 0, 2], 1));
    // Whoever asks again gets the same answer.
    assert_eq!(processor.run(1000), End::Halted { status: 55 });
    // Called by address, in digits.
    let (end, called) = run("60000002 80000000 2d000000 0000002a 70100003");
    assert_eq!(end, End::Fault { offset: 2, cause: Cause::NoSuchRegister { number: 13 } });
    assert_eq!(called.stack_entry(0), Some(1));
    assert_eq!(run("60000002 80000000 23000000 0000002a 70100003").0, End::Halted { status: 42 });
}

#[test]
fn the_highest_status() {
    assert_eq!(run("000000e8 80000000").0, End::Halted { status: 232 });
    assert_eq!(run("80000000").0, End::Halted { status: 0 });
}

/// Opcodes, digits of a word and the size of the stack are values of the description.
#[test]
fn everything_is_configuration() {
    let changes = ["word = 6", "opcodes.mov = \"C\"", "opcodes.add = \"A\"", "stack.entries = 1"];
    let set = InstructionSet::from_toml_with(SOFTMACHINE, &changes).unwrap();
    let program = set.assemble("mov b, 0xfff; add a, b; push a; push a").unwrap();
    assert_eq!(set.digits(&program), "0xc10fff 0xa01001 0x101000 0x101000\n");
    let mut processor = Processor::new(&set).unwrap();
    processor.load(&program).unwrap();
    assert_eq!(processor.run(10), End::Fault { offset: 3, cause: Cause::StackFull { entries: 1 } });
    assert_eq!(registers(&processor), [0xfff, 0xfff, 0, 0]);
    // A word of five digits does not fill its four bytes.
    let set = InstructionSet::from_toml_with(SOFTMACHINE, &["word = 5"]).unwrap();
    assert!(set.program("0x123456").unwrap_err().to_string().contains("5 digits"));
    assert!(set.program_from_bytes(vec![0xff; 4]).is_err());
    assert!(set.program_from_bytes(vec![0; 5]).unwrap_err().to_string().contains("4 bytes"));
    // Sixteen digits leave thirteen for numbers.
    let set = InstructionSet::from_toml_with(SOFTMACHINE, &["word = 16", "width = 64"]).unwrap();
    let program = set.assemble("mov a, 0xfffffffffffff; add a, a").unwrap();
    let mut processor = Processor::new(&set).unwrap();
    processor.load(&program).unwrap();
    assert_eq!((processor.run(10), processor.get("a")), (End::ProgramEnd, Some(0x1f_ffff_ffff_fffe)));
}

#[test]
fn budgets_end_runs_exactly_and_runs_go_on() {
    let set = InstructionSet::from_toml(SOFTMACHINE).unwrap();
    let source = include_str!("../../../../fixtures/custom/sum.asm");
    let program = set.assemble(source).unwrap();
    let mut whole = Processor::new(&set).unwrap();
    whole.load(&program).unwrap();
    whole.run(u64::MAX);
    for step in 1..60 {
        let mut parts = Processor::new(&set).unwrap();
        parts.load(&program).unwrap();
        let mut left = whole.instructions();
        while left > step {
            assert_eq!(parts.run(step), End::Budget, "steps of {step}");
            left -= step;
        }
        assert_eq!(parts.instructions() + left, whole.instructions());
        assert_eq!(parts.run(left), End::Halted { status: 55 });
        assert_eq!(registers(&parts), registers(&whole));
    }
}

#[test]
fn host_memory_is_limited() {
    let set = InstructionSet::from_toml(SOFTMACHINE).unwrap();
    let mut processor = Processor::new(&set).unwrap();
    processor.load(&set.assemble("again: push a; jmp again").unwrap()).unwrap();
    processor.limit_memory(4000);
    assert_eq!(processor.run(u64::MAX), End::Fault { offset: 0, cause: Cause::OutOfMemory });
    assert_eq!(processor.stack_len(), 1000);
}
