//! Hostile descriptions, sources and programs: answers, and neither panics nor hangs nor much memory.

use pentimento_custom::{InstructionSet, LOWBYTE, Processor, SHIPPED, SOFTMACHINE};

/// A generator that repeats: xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most);
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// The text with some of its bytes changed, removed, or put elsewhere.
    fn damage(&mut self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] = self.next() as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"0f\"'{}[]()=,;:.\n- <"[self.below(20) % 19]),
                _ => {
                    let from = self.below(bytes.len());
                    let piece = bytes[from..(from + self.below(12)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Runs a program for a while, in one go and step by step, which must not differ.
fn exercise(set: &InstructionSet, bytes: Vec<u8>, budget: u64) {
    let Ok(program) = set.program_from_bytes(bytes) else { return };
    for line in set.disassemble(&program).take(1000) {
        assert!(line.length > 0);
    }
    let (mut whole, mut steps) = (Processor::new(set).unwrap(), Processor::new(set).unwrap());
    if whole.load(&program).is_err() {
        return;
    }
    steps.load(&program).unwrap();
    for processor in [&mut whole, &mut steps] {
        processor.limit_memory(1 << 20);
    }
    let end = whole.run(budget);
    let stepped = steps.run_observed(budget, |_| std::ops::ControlFlow::Continue(()));
    assert_eq!(end, stepped);
    assert_eq!(whole.instructions(), steps.instructions());
    assert_eq!(whole.view(), steps.view());
    assert_eq!(whole.view().to_string(), steps.view().to_string());
}

#[test]
fn random_programs() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for (_, text) in SHIPPED {
        let set = InstructionSet::from_toml(text).unwrap();
        for _ in 0..1500 {
            let mut bytes = random.bytes(200);
            // Most programs should get somewhere.
            let unit = if set.word_digits().is_some() { 4 } else { 1 };
            bytes.truncate(bytes.len() / unit * unit);
            for byte in bytes.iter_mut().step_by(2) {
                *byte %= 10;
            }
            if unit == 4 {
                bytes.reverse();
            }
            exercise(&set, bytes, 300);
        }
    }
}

#[test]
fn damaged_descriptions() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut built, mut refused) = (0, 0);
    for round in 0..3000 {
        let text = random.damage(if round % 2 == 0 { SOFTMACHINE } else { LOWBYTE });
        match InstructionSet::from_toml(&text) {
            Ok(set) => {
                built += 1;
                if round % 8 == 0 {
                    exercise(&set, random.bytes(64), 50);
                }
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(built > 100 && refused > 100, "{built} built, {refused} refused");
}

#[test]
fn damaged_sources() {
    let mut random = Random(0xd1b5_4a32_d192_ed03);
    let sources = [
        (SOFTMACHINE, include_str!("../../../../fixtures/custom/sum.asm")),
        (LOWBYTE, include_str!("../../../../fixtures/custom/hello-loop.asm")),
    ];
    for (text, source) in sources {
        let set = InstructionSet::from_toml(text).unwrap();
        for _ in 0..2000 {
            let damaged = random.damage(source);
            match set.assemble(&damaged) {
                Ok(program) => exercise(&set, program.bytes().to_vec(), 100),
                Err(error) => assert!(error.line <= damaged.lines().count().max(1), "{error}"),
            }
            let _ = set.program(&damaged);
            let _ = set.looks_like_digits(&damaged);
        }
    }
}

/// Sizes that are meant to hurt: each is refused, or done in a moment.
#[test]
fn large_inputs() {
    let set = InstructionSet::from_toml(LOWBYTE).unwrap();
    let sources = [
        "halt;".repeat(200_000),
        "x".repeat(1 << 20),
        "(".repeat(1 << 20),
        "1+".repeat(1 << 19),
        format!("set r0, {}1", "-".repeat(1 << 20)),
        format!("set r0, {}1", "x+".repeat(1 << 18)),
        (0..100_000).map(|n| format!("a{n} = a{}\n", n - 1)).collect(),
        (1..100_000)
            .fold(String::from("a0 = 1\n"), |text, n| text + &format!("a{n} = a{} + a{}\n", n - 1, n - 1)),
        "a: ".repeat(2) + "halt",
        ".space 0xfffff\n".repeat(1000),
        "\"".repeat(1 << 20),
        "halt\n".repeat(1 << 21),
    ];
    for source in &sources {
        let _ = set.assemble(source);
        let _ = set.program(source);
    }
    let texts = [
        "[".repeat(1 << 19),
        "a.".repeat(1 << 18) + "b = 1",
        format!("name = \"{}\"", "x".repeat(1 << 21)),
        format!("name = \"x\"\nregisters = [{}]", "\"a\",".repeat(10_000)),
        format!(
            "name = \"x\"\n[instructions]\n{}",
            (0..5000).map(|n| format!("\"i{n}\" = {{ code = \"00\", effect = \"\" }}\n")).collect::<String>()
        ),
        format!(
            "name = \"x\"\n[instructions]\n\"i\" = {{ code = \"{}\", effect = \"\" }}",
            "0 ".repeat(100_000)
        ),
        format!(
            "name = \"x\"\n[instructions]\n\"i\" = {{ code = \"00\", effect = \"{}\" }}",
            "!".repeat(4000) + "1"
        ),
        format!(
            "name = \"x\"\n[instructions]\n\"i\" = {{ code = \"00\", effect = \"{}\" }}",
            "if 1 {".repeat(600)
        ),
    ];
    for text in &texts {
        assert!(InstructionSet::from_toml(text).is_err());
    }
}

/// A program that rewrites itself all the time gets no further than its budget.
#[test]
fn code_that_never_settles() {
    let set = InstructionSet::from_toml(LOWBYTE).unwrap();
    let program = set.assemble("set r1, here; here: stb [r1], r2; cmp r1, r1; jz here").unwrap();
    let mut processor = Processor::new(&set).unwrap();
    processor.load(&program).unwrap();
    // Its first store makes an unknown instruction of itself.
    assert_eq!(
        processor.run(1_000_000).to_string(),
        "fault at offset 0x4: unknown instruction 0x00".to_owned()
    );
    // With r2 holding its own opcode it changes nothing.
    processor.load(&program).unwrap();
    assert!(processor.set("r2", 6));
    assert_eq!(processor.run(300_000), pentimento_custom::End::Budget);
    assert_eq!(processor.instructions(), 300_000);
}
