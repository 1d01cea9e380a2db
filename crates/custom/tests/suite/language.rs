//! The effect language and the form of descriptions: what they mean, and what they refuse.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pentimento_custom::{Cause, Description, Effect, End, InstructionSet, OperandForm, Processor, Row};

/// A set whose one instruction has this effect. `a` is 100, `b` 7, `w` 2^40, `n` 200, `f` 1; `k` is -2.
fn set(effect: &str) -> Result<InstructionSet, String> {
    let text = format!(
        r#"
        name = "test"
        registers = ["a", "b", "w:64", "n:8", "sp"]
        flags = ["f", "g"]
        memory = 0x200
        at_end = "continue"
        stack = {{ entries = 4, register = "sp", width = 16 }}
        operands.k = {{ kind = "signed", bits = 8 }}
        [instructions]
        "go k" = {{ code = "01 k", effect = '''{effect}''' }}
        "#
    );
    InstructionSet::from_toml(&text).map_err(|error| error.to_string())
}

fn run(effect: &str) -> (End, Processor) {
    let set = set(effect).unwrap_or_else(|error| panic!("{effect}: {error}"));
    let mut processor = Processor::new(&set).unwrap();
    processor.load(&set.assemble("go -2").unwrap()).unwrap();
    for (name, value) in [("a", 100), ("b", 7), ("w", 1 << 40), ("n", 200), ("f", 1)] {
        assert!(processor.set(name, value));
    }
    let end = processor.run(1);
    (end, processor)
}

#[test]
fn what_effects_compute() {
    let low = u64::from(u32::MAX);
    let cases: &[(&str, &str, u64)] = &[
        ("a = a + b", "a", 107),
        ("a = b - a", "a", low - 92),
        ("a = 2 + 3 * 4 - 6 / 2", "a", 11),
        ("a = a * a * a * a * a", "a", 10_000_000_000 & low),
        ("a = (a + b) % 10", "a", 7),
        ("a = a & 6 | 1 ^ 3", "a", 4 | 2),
        ("a = ~a", "a", low - 100),
        ("a = -b", "a", low - 6),
        ("w = w >> 38 << 1", "w", 8),
        ("a = a << 30", "a", 0),
        ("a = a << w", "a", 0),
        ("f = a == 100; g = a != 100", "g", 0),
        ("g = a >= 100 && b < 7 || n > 199", "g", 1),
        ("g = !(b > 7)", "g", 1),
        ("g = b == 0 || 1 / b == 0", "g", 1),
        // The right side is not looked at: it would divide by zero.
        ("b = 0; g = b != 0 && 1 / b == 0", "g", 0),
        ("b = 0; f = b == 0 || 1 / b == 0", "f", 1),
        ("n = (a && b) as u8", "n", 1),
        ("b = 0; n = (a && b) as u8", "n", 0),
        ("a = n", "a", 200),
        ("n = a as u8", "n", 100),
        ("n = w as u8", "n", 0),
        ("a = n as i32", "a", low - 55),
        ("a = (n as u16) as i32", "a", 200),
        ("a = n as i4 as u32", "a", 8),
        ("a = k", "a", low - 1),
        ("w = k as i64", "w", u64::MAX - 1),
        ("g = signed(k < a)", "g", 1),
        ("g = k < a", "g", 0),
        ("a = signed(k / 2)", "a", low),
        ("a = signed(k >> 1)", "a", low),
        ("f = carry(n + 56); g = carry(n - 201)", "g", 1),
        ("f = carry(n + 55); g = overflow(n - 73)", "g", 1),
        ("g = overflow(n + n)", "g", 0),
        ("let x = a + b; a = 1; b = x", "b", 107),
        ("let x = a; a = 1; b = x", "b", 100),
        ("let x = 5; a = x", "a", 5),
        ("if f { a = 1 } else { a = 2 }", "a", 1),
        ("if g { a = 1 } else if f { a = 3 } else { a = 2 }", "a", 3),
        ("if g { a = 1 }\nelse { a = 2\nb = 4 }", "b", 4),
        ("if b { let x = 1; a = x }; let x = 2; b = x", "b", 2),
        ("if f { a = 1; if g { a = 2 } } b = a", "b", 1),
        ("mem[0x100] = a as u8; mem16[0x101] = 0x1234; a = mem32[0x100]", "a", 0x12_3464),
        ("mem64[0x1f8] = w; a = mem[0x1fd]", "a", 1),
        ("push(a as u16); push(0x1234); a = pop(); b = pop()", "b", 100),
        ("push(1); push(2); a = pop() - pop()", "a", 1),
        ("push(1); a = sp; pop(); b = sp", "b", 0x200),
        ("push(1); a = sp + pop()", "a", 0x1ff),
        ("push(3); mem[sp - 0x100] = pop() as u8; a = mem[0xfe]", "a", 3),
        ("a = ip", "a", 2),
        ("ip = 0x50", "ip", 0x50),
        ("if f { ip = ip + 4 }", "ip", 6),
        ("a = 'A' + 0x1_0 + 0b11", "a", 65 + 16 + 3),
    ];
    for (effect, name, expected) in cases {
        let (end, processor) = run(effect);
        assert_eq!((end, processor.get(name)), (End::Budget, Some(*expected)), "{effect}");
    }
}

#[test]
fn what_effects_cannot_do() {
    let cases = [
        ("a = b / (f - 1)", Cause::DivisionByZero),
        ("a = signed(a % g as u32)", Cause::DivisionByZero),
        ("a = mem[0x200]", Cause::NoMemory { address: 0x200 }),
        ("a = mem32[0x1fd]", Cause::NoMemory { address: 0x1fd }),
        ("mem16[w] = 1", Cause::NoMemory { address: 1 << 40 }),
        ("pop()", Cause::StackEmpty),
        ("push(1);push(2);push(3);push(4);push(5)", Cause::StackFull { entries: 4 }),
        ("sp = 0x180; push(1)", Cause::StackFull { entries: 4 }),
        ("sp = 0x300; a = pop()", Cause::NoMemory { address: 0x300 }),
        ("halt(a * 3)", Cause::BadStatus { status: 300, most: 255 }),
        ("if f { fault(\"no such luck\") }", Cause::other("no such luck")),
    ];
    for (effect, cause) in cases {
        let (end, processor) = run(effect);
        assert_eq!((end, processor.ip()), (End::Fault { offset: 0, cause }, 0), "{effect}");
    }
    assert_eq!(run("out('x'); halt(a)").0, End::Halted { status: 100 });
}

/// What is no effect says where, and what would be one.
#[test]
fn what_is_no_effect() {
    let deep = format!("a = {}1{}", "(".repeat(40), ")".repeat(40));
    let long = format!("a = 1{}", "+b".repeat(200));
    let cases: &[(&str, &str)] = &[
        ("a = w", "column 5: 64 bits do not fit into 32; 'as u32' drops the others"),
        ("n = 256", "column 5: 256 does not fit into 8 bits"),
        ("a = c", "column 5: 'c' is no register, flag, operand or 'let'"),
        ("c = 1", "column 1: 'c' is no register"),
        ("k = 1", "'k' is a number and cannot be assigned to"),
        ("let x = a; x = 2", "keeps its value"),
        ("let a = 1", "'a' has a meaning already"),
        ("let x = 1; let x = 2", "'x' has a meaning already"),
        ("if f { let x = 1 } a = x", "'x' is no register"),
        ("a = 1 +", "column 8: expected a value, found the end"),
        ("a = 1 2", "expected ';' or a new line, found 2"),
        ("a == 1", "expected '='"),
        ("a = b = c", "expected ';' or a new line, found '='"),
        ("if a = 1 { }", "expected '{'"),
        ("a = 1 < 2 }", "expected a statement or the end"),
        ("a = signed(w < a)", "a sign needs equal widths, here 64 and 32 bits"),
        ("f = carry(a * b)", "take x + y or x - y"),
        ("a = signed(a)", "expected one operation"),
        ("a = a as u65", "expected a type"),
        ("a = 1 << b", "give the literal a width"),
        ("a = 1 / 0", "a division by zero"),
        ("a = -1", "a literal has no width"),
        ("push(a)", "32 bits do not fit into 16"),
        ("fault(a)", "a reason in double quotes"),
        ("a = let", "'let' has no value"),
        ("a = 'ab'", "a character looks like"),
        (&deep, "nested more than 32 deep"),
        (&long, "more than 128 operators"),
    ];
    for (effect, message) in cases {
        let error = set(effect).map(|_| ()).unwrap_err();
        assert!(error.starts_with("go k: effect, ") && error.contains(message), "{effect}: {error}");
    }
}

/// Keys that are wrong, beside a row that is right.
#[test]
fn what_is_no_description() {
    let cases: &[(&str, &str)] = &[
        ("word = 17", "word: 17 hexadecimal digits; 1 to 16"),
        ("width = 0", "width: 0 bits; 1 to 64"),
        ("memory = 0", "memory: 1 to 268435456 units"),
        ("memory = 0x10000001", "memory: 1 to"),
        ("memory = -1", "line 3"),
        ("ip = 'pc'", "ip: no register 'pc'"),
        ("stack = { entries = 0 }", "stack: 1 to 16777216 entries"),
        ("stack = { entries = 1, register = 'q' }", "stack.register: no register 'q'"),
        ("stack = { entries = 1, register = 'b', width = 12 }", "stack.width: 12 bits"),
        ("stack = { entries = 0x4001, register = 'b' }", "stack.entries: more than memory"),
        ("ip = 'b'\nstack = { entries = 1, register = 'b' }", "cannot be the stack pointer"),
        ("flags = ['A']", "flags: 'A' names something else already"),
        ("flags = ['if']", "flags: 'if' is a word of the effect language"),
        ("flags = ['1']", "flags: '1' is no name"),
        ("colour = 1", "unknown field `colour`"),
        ("operands.m = { kind = 'star', bits = 72 }", "unknown variant `star`"),
        ("opcodes.r = '1'", "opcodes: 'r' is no name, or that of an operand"),
    ];
    for (keys, message) in cases {
        refuses(keys, "'x r' = { code = '1 r', effect = '' }", message);
    }
}

/// Rows that are wrong.
#[test]
fn what_is_no_row() {
    let cases: &[(&str, &str)] = &[
        ("", "instructions: 1 to 1024 rows"),
        ("'5' = { code = '01', effect = '' }", "5: syntax: starts with no mnemonic"),
        ("'x 5' = { code = '01', effect = '' }", "x 5: syntax: besides the mnemonic"),
        ("'x' = { code = '1', effect = '' }", "x: code: 4 bits are no whole bytes"),
        ("'x' = { code = 'ff', effect = '' }", "x: code: 'ff' is no operand, no opcode"),
        ("'x' = { code = '1 r', effect = '' }", "x: syntax: the operand 'r' of the code is missing"),
        ("'x r' = { code = '11', effect = '' }", "x r: syntax: the operand 'r' is not in the code"),
        ("'x r, r' = { code = '1 r', effect = '' }", "x r, r: syntax: 'r' comes twice"),
        ("'x r' = { code = 'r r', effect = '' }", "x r: code: 'r' comes twice"),
        ("'x n r' = { code = '1 r n', effect = '' }", "a number needs punctuation behind it"),
        ("'x: r' = { code = '1 r', effect = '' }", "would make it a label"),
        ("'X r' = { code = '1 r', effect = '' }", "'X' is no mnemonic"),
        (
            "'x r' = { code = '1 r', effect = '' }\n'y r' = { code = '1 r', effect = '' }",
            "y r: code: some code is also 'x r'",
        ),
        ("'x r' = { code = '1 r', effect = '' }\n'x r' = { code = '2 r', effect = '' }", "duplicate key"),
        ("'x open' = { code = '10 open', effect = '' }", "need 'bits'"),
        ("'x strange' = { code = '10 strange', effect = '' }", "operand 'strange': no register 'z'"),
        ("'x wide' = { code = '10 wide', effect = '' }", "1 to 64"),
        ("'x mixed' = { code = '10 mixed', effect = '' }", "'a' and 'v' differ in width"),
    ];
    for (rows, message) in cases {
        refuses("", rows, message);
    }
    refuses("word = 2", "'x r' = { code = '10 r', effect = '' }", "x r: code: 12 bits; a word has 8");
    refuses("word = 2", "'x open' = { code = '10 open', effect = '' }", "nothing is left of the 8 bits");
    refuses(
        "word = 4",
        "'x open, r' = { code = '1 open r 0...', effect = '' }",
        "only one part can take the rest",
    );
}

fn refuses(keys: &str, rows: &str, message: &str) {
    let text = format!(
        "name = 'test'\nregisters = ['a', 'b', 'v:8']\n{keys}\n
        operands.r = {{ kind = 'register', bits = 4, from = ['a', 'b'] }}
        operands.n = {{ kind = 'number', bits = 8 }}
        operands.open = {{ kind = 'number' }}
        operands.strange = {{ kind = 'register', bits = 8, from = ['z'] }}
        operands.wide = {{ kind = 'number', bits = 72 }}
        operands.mixed = {{ kind = 'register', bits = 8, from = ['a', 'v'] }}
        [instructions]\n{rows}\n"
    );
    let error = InstructionSet::from_toml(&text).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(message), "{keys} {rows}: {error}");
}

#[test]
fn the_more_specific_row_wins() {
    let set = InstructionSet::from_toml(
        r#"
        name = "cases"
        registers = ["a", "b"]
        operands.n = { kind = "number", bits = 12 }
        operands.r = { kind = "register", bits = 4 }
        [instructions]
        "call n" = { code = "0 n",   effect = "a = n" }
        "ret"    = { code = "00EE",  effect = "a = 1" }
        "skip r" = { code = "0b00000000 r D", effect = "a = 2" }
        "#,
    )
    .unwrap();
    let program = set.program("0123 00ee 001d 01ee").unwrap();
    let lines: Vec<String> = set.disassemble(&program).map(|line| line.text).collect();
    assert_eq!(lines, ["call 0x123", "ret", "skip b", "call 0x1ee"]);
}

/// A short form and a long one: each jump takes the first that reaches.
#[test]
fn forms_are_chosen_by_reach() {
    let set = InstructionSet::from_toml(
        r#"
        name = "reach"
        endian = "big"
        operands.near = { kind = "relative", bits = 8 }
        operands.far = { kind = "relative", bits = 16 }
        [instructions]
        "jmp near" = { code = "01 near", effect = "ip = near" }
        "jmp far"  = { code = "02 far",  effect = "ip = far" }
        "stop"     = { code = "03",      effect = "halt(0)" }
        "#,
    )
    .unwrap();
    let near = set.assemble("jmp end; .space 127; end: stop").unwrap();
    assert_eq!(near.bytes()[..2], [1, 127]);
    let far = set.assemble("jmp end; .space 128; end: stop").unwrap();
    assert_eq!(far.bytes()[..3], [2, 0, 128]);
    // The first grows because the second does.
    let chain = set.assemble("jmp end; jmp later; .space 125; end: stop; .space 3; later: stop").unwrap();
    assert_eq!(chain.bytes()[..6], [2, 0, 128, 2, 0, 129]);
    let error = set.assemble("jmp 40000").unwrap_err().to_string();
    assert_eq!(error, "line 1, column 5: the distance 39997 is not within -32768 to 32767");
}

#[test]
fn assembly_that_is_refused_says_where() {
    let set = InstructionSet::from_toml(pentimento_custom::LOWBYTE).unwrap();
    let cases = [
        ("  mvo r1, r2", "line 1, column 3: no instruction 'mvo'; there are add, cmp"),
        ("halt\nmov r1, 5", "line 2, column 1: 'mov' is written 'mov r, s'"),
        ("halt; set r1, 0x10000", "line 1, column 15: the value 65536 is not within 0 to 65535"),
        ("set r1, -1", "line 1, column 9: the value -1 is not within"),
        ("set r1, nowhere", "line 1, column 9: 'nowhere' is not defined"),
        ("x: halt\nx: halt", "line 2, column 1: 'x' is defined already"),
        ("r1: halt", "'r1' is a register"),
        ("x = y", "line 1, column 5: 'y' is not defined"),
        ("y: halt; x = y", "the label 'y' has no address yet"),
        (".byte 256", "line 1, column 7: the value 256 is not within -128 to 255"),
        (".byte", "expected one value"),
        (".bite 1", "no directive '.bite'; there are .byte, .half"),
        (".ascii 5", ".ascii takes one string"),
        (".ascii \"x", "line 1, column 8: this string has no end"),
        (".space 0x100001", "memory has no room"),
        (".space 0x100000\nhalt", "line 2, column 1: the program does not fit into memory"),
        ("jz 0x9000", "the distance 36861 is not within"),
        ("é 5", "line 1, column 1: expected a label"),
        ("set r1, 1 2", "'set' is written 'set r, n'"),
        ("42", "expected a label"),
    ];
    for (source, message) in cases {
        let error = set.assemble(source).unwrap_err().to_string();
        assert!(error.contains(message), "{source}: {error}");
    }
    let fine = "size = end - start; start: .byte 'a', -1, size\n.half start, 0x102; .word .; .quad 1\nend: .asciz \"z\"";
    let bytes = [97, 255, 19, 0, 0, 2, 1, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'z', 0];
    assert_eq!(
        set.assemble(fine).map(|program| program.bytes().to_vec()).map_err(|error| error.to_string()),
        Err("line 1, column 8: 'end' is not defined".to_owned())
    );
    let fine = fine.replace("size = end - start; ", "").replace("size", "end - start");
    assert_eq!(set.assemble(&fine).unwrap().bytes(), bytes);
}

#[test]
fn effects_in_rust() {
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let set = Description::new("native")
        .registers(["x", "y"])
        .operand("r", OperandForm::register().bits(8))
        .operand("n", OperandForm::signed().bits(8))
        .operand("to", OperandForm::relative().bits(8))
        .row(Row::new(
            "load r, n",
            "01 r n",
            Effect::native(move |context| {
                counter.fetch_add(1, Ordering::Relaxed);
                let value = context.get("n")?;
                context.set("r", value)
            }),
        ))
        .row(Row::new(
            "loop r, to",
            "02 r to",
            Effect::native(|context| {
                let left = context.get("r")? - 1;
                context.set("r", left)?;
                if left > 0 { context.set("ip", context.get("to")?) } else { Ok(()) }
            }),
        ))
        .row(Row::new(
            "poke n, r",
            "03 n r",
            Effect::native(|context| {
                context.store(context.get("n")?, context.get("r")?, 1)?;
                context.out(context.load(context.get("n")?, 1)? as u8)
            }),
        ))
        .row(Row::new(
            "quit",
            "04",
            Effect::native(|context| {
                context.halt(context.get("y")?);
                Ok(())
            }),
        ))
        .row(Row::new("bad", "05", Effect::native(|context| context.get("z").map(|_| ()))))
        .build()
        .unwrap();
    let mut processor = Processor::new(&set).unwrap();
    processor
        .load(&set.assemble("load x, 5; again: loop x, again; load y, 'q'; poke 100, y; quit").unwrap())
        .unwrap();
    assert_eq!(processor.run(100), End::Halted { status: b'q' });
    assert_eq!((processor.take_output(), processor.instructions()), (b"q".to_vec(), 9));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    // An effect in Rust may overwrite code, too: the second byte of the instruction behind it.
    processor.load(&set.assemble("load y, 1; poke 7, y; load x, 5; quit").unwrap()).unwrap();
    assert_eq!(processor.run(100), End::Halted { status: 5 });
    processor.load(&set.assemble("bad").unwrap()).unwrap();
    let cause = Cause::other("an effect in Rust asks for 'z', which is nothing here");
    assert_eq!(processor.run(1), End::Fault { offset: 0, cause });
}

/// Processors can move to other threads, and sets can be shared.
#[test]
fn processors_are_send() {
    fn send<T: Send>() {}
    fn share<T: Send + Sync>() {}
    send::<Processor>();
    share::<InstructionSet>();
}
