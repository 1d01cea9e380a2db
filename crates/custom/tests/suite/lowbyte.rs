//! `lowbyte`: programs from text, flags, and code that changes itself.

use std::ops::ControlFlow;

use pentimento_custom::{Cause, End, InstructionSet, LOWBYTE, Processor};

fn load(source: &str) -> Processor {
    let set = InstructionSet::from_toml(LOWBYTE).unwrap();
    let mut processor = Processor::new(&set).unwrap();
    processor.load(&set.assemble(source).unwrap()).unwrap();
    processor
}

fn run(source: &str) -> (End, Processor) {
    let mut processor = load(source);
    (processor.run(10_000_000), processor)
}

#[test]
fn hello_world_straight_and_in_a_loop() {
    let sources = [
        (include_str!("../../../../fixtures/custom/hello.asm"), 24),
        (include_str!("../../../../fixtures/custom/hello-loop.asm"), 91),
    ];
    for (source, instructions) in sources {
        let (end, mut processor) = run(source);
        assert_eq!(end, End::Halted { status: 0 });
        assert_eq!(processor.take_output(), b"Hello World\n");
        assert_eq!(processor.instructions(), instructions);
    }
}

#[test]
fn registers_and_memory_at_the_start() {
    let processor = load("halt");
    assert_eq!(
        (processor.get("sp"), processor.get("ip"), processor.get("r0")),
        (Some(0x10_0000), Some(0), Some(0))
    );
    assert_eq!(processor.get("r8"), None);
    // Numbers of two bytes stand low byte first, distances count from the end of the jump.
    let set = InstructionSet::from_toml(LOWBYTE).unwrap();
    let program = set.assemble("set r1, 0x1234; here: jz here; set sp, 7").unwrap();
    assert_eq!(program.bytes(), [4, 0x10, 0x34, 0x12, 7, 0xfd, 0xff, 4, 0x90, 7, 0]);
}

#[test]
fn flags_of_add_and_cmp() {
    let cases: [(u64, u64, u64, u64, &[&str]); 7] = [
        (1, 2, 0b000, 0b010, &["cf"]),
        (0xffff_ffff, 1, 0b110, 0b000, &[]),
        (0x7fff_ffff, 1, 0b001, 0b000, &[]),
        (0x8000_0000, 0x8000_0000, 0b111, 0b100, &["zf"]),
        (0x8000_0000, 1, 0b000, 0b001, &["of"]),
        (0, 0, 0b100, 0b100, &["zf"]),
        (0x7fff_ffff, 0xffff_ffff, 0b010, 0b011, &["of", "cf"]),
    ];
    for (left, right, added, compared, names) in cases {
        for (source, expected) in [("add r1, r2", added), ("cmp r1, r2", compared)] {
            let mut processor = load(source);
            assert!(processor.set("r1", left) && processor.set("R2", right));
            processor.run(1);
            assert_eq!(u64::from(processor.flags()), expected, "{source}: {left:#x}, {right:#x}");
            if source.starts_with("cmp") {
                assert_eq!(processor.view().flags_set, names);
            }
        }
    }
}

#[test]
fn failures_say_where() {
    let cases = [
        (".byte 0", 0, Cause::UnknownInstruction { code: 0, digits: 2 }),
        ("set r0, 1; .byte 0xff", 4, Cause::UnknownInstruction { code: 0xff, digits: 2 }),
        (".byte 3, 0xa0", 0, Cause::NoSuchRegister { number: 10 }),
        // The first of two registers is looked at first.
        ("out r0; .byte 3, 0xcb", 2, Cause::NoSuchRegister { number: 12 }),
        ("ldb r0, [sp]", 0, Cause::NoMemory { address: 0x10_0000 }),
        ("mov r1, sp; add r1, r1; stb [r1], r0", 4, Cause::NoMemory { address: 0x20_0000 }),
        ("mov ip, sp", 0x10_0000, Cause::OutsideProgram),
        ("set r0, 1", 4, Cause::UnknownInstruction { code: 0, digits: 2 }),
    ];
    for (source, offset, cause) in cases {
        assert_eq!(run(source).0, End::Fault { offset, cause }, "{source}");
    }
}

/// The instruction that a loop overwrites executes as it is then, in the same block and in later ones.
#[test]
fn code_that_changes_itself() {
    let ahead = "set r0, 9; set r1, here; stb [r1], r0; here: .byte 0; set r0, 1";
    let (end, processor) = run(ahead);
    assert_eq!((end, processor.ip()), (End::Halted { status: 0 }, 10));

    // Counts in the number of a 'set', which is two bytes behind its label.
    let counts = "
        set r6, 2; set r4, 1; set r5, 5
        set r0, number; add r0, r6
        next: number: set r2, 0
        add r2, r4
        stb [r0], r2
        cmp r2, r5
        jz done
        cmp r5, r5
        jz next
        done: halt";
    let (end, processor) = run(counts);
    assert_eq!((end, processor.get("r2")), (End::Halted { status: 0 }, Some(5)));
    assert_eq!(processor.instructions(), 5 + 4 * 7 + 5 + 1);
}

#[test]
fn observers_see_every_instruction_and_can_stop() {
    let source = include_str!("../../../../fixtures/custom/hello-loop.asm");
    let (end, plain) = run(source);
    let mut watched = load(source);
    let mut seen = Vec::new();
    let result = watched.run_observed(1_000_000, |processor| {
        seen.push(processor.ip());
        ControlFlow::Continue(())
    });
    assert_eq!((result, watched.instructions()), (end, plain.instructions()));
    assert_eq!((seen.len() as u64, seen[..4].to_vec()), (plain.instructions(), vec![0, 4, 8, 12]));
    assert_eq!(watched.take_output(), b"Hello World\n");

    let mut stopped = load(source);
    let stop = |processor: &Processor| {
        if processor.ip() == 12 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert_eq!(stopped.run_observed(100, stop), End::Stopped);
    assert_eq!((stopped.ip(), stopped.instructions()), (12, 3));
    assert_eq!(stopped.run(5), End::Budget);
    assert_eq!(stopped.run(u64::MAX), End::Halted { status: 0 });
}

#[test]
fn a_view_for_debuggers() {
    let mut processor = load(include_str!("../../../../fixtures/custom/hello-loop.asm"));
    processor.run(5);
    let view = processor.view();
    assert_eq!((view.ip, view.flags, view.stack_len), (16, 0, Some(0)));
    assert_eq!(view.registers[3].value, u64::from(b'H'));
    let shown = view.to_string();
    let expected = concat!(
        "   00000008  04 20 00 00              set r2, 0\n",
        "   0000000c  05 30                    ldb r3, [r0]\n",
        "   0000000e  02 32                    cmp r3, r2\n",
        "=> 00000010  07 09 00                 jz 0x1c\n",
        "   00000013  08 30                    out r3\n",
    );
    assert!(shown.contains(expected), "{shown}");
    assert!(shown.contains("r3   0x00000048 72\n") && shown.contains("stack 0\n"), "{shown}");
}

#[test]
fn output_without_a_reader_is_bounded() {
    let (end, mut processor) = run("cmp r0, r0; again: out r0; jz again");
    assert!(matches!(end, End::Fault { offset: 2, cause: Cause::Output { .. } }), "{end}");
    assert_eq!(processor.take_output().len(), 1 << 20);
}
