//! Assembling and disassembling are each other's inverse.

use pentimento_custom::{InstructionSet, LOWBYTE, Program, SOFTMACHINE};
use proptest::prelude::*;

fn set(text: &str) -> InstructionSet {
    InstructionSet::from_toml(text).unwrap()
}

/// Bytes, the text of their disassembly, and that text's bytes again.
fn there_and_back(set: &InstructionSet, program: &Program) {
    let text: String = set.disassemble(program).map(|line| line.text + "\n").collect();
    assert_eq!(set.assemble(&text).as_ref(), Ok(program), "{text}");
    assert_eq!(set.program(&set.digits(program)).as_ref(), Ok(program));
    // The text of a program is in its final form.
    let again: String = set.disassemble(program).map(|line| line.text + "\n").collect();
    assert_eq!(text, again);
}

/// Words of softmachine, most of them instructions.
fn words() -> impl Strategy<Value = Vec<u32>> {
    let valid = (0..9_u32, 0..5_u32, 0..3_u32, prop_oneof![0..4_u32, 0..0x10_0000_u32])
        .prop_map(|(opcode, register, form, rest)| opcode << 28 | register << 24 | form << 20 | rest);
    prop::collection::vec(prop_oneof![9 => valid, 1 => any::<u32>()], 0..64)
}

/// Bytes of lowbyte: opcodes, register pairs, numbers, and now and then anything.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let register = || 0..10_u8;
    let pair = (prop_oneof![Just(1), Just(2), Just(3), Just(5), Just(6)], register(), register())
        .prop_map(|(opcode, first, second)| vec![opcode, first << 4 | second]);
    let number = (register(), any::<u16>())
        .prop_map(|(register, number)| vec![4, register << 4, number as u8, (number >> 8) as u8]);
    let jump = any::<u16>().prop_map(|distance| vec![7, distance as u8, (distance >> 8) as u8]);
    let one = prop_oneof![register().prop_map(|register| vec![8, register << 4]), Just(vec![9])];
    let noise = prop::collection::vec(any::<u8>(), 1..4);
    let piece = prop_oneof![4 => pair, 3 => number, 2 => jump, 2 => one, 1 => noise];
    prop::collection::vec(piece, 0..64).prop_map(|pieces| pieces.concat())
}

/// Instructions of softmachine as people write them, and labels to jump to.
fn source() -> impl Strategy<Value = String> {
    let register = || prop_oneof![Just("a"), Just("b"), Just("C"), Just("d")];
    let target = || (0..4_u32).prop_map(|label| format!("l{label}"));
    let value = || {
        let number = prop_oneof![0..16_u32, 0..0xf_ffff_u32].prop_map(|number| format!("{number:#x}"));
        prop_oneof![number, register().prop_map(str::to_owned), target()]
    };
    let two = prop_oneof![Just("mov"), Just("ADD"), Just("sub"), Just("cmp")];
    let two =
        (two, register(), value()).prop_map(|(name, register, value)| format!("{name} {register} , {value}"));
    let jump = prop_oneof![Just("jmp"), Just("jz"), Just("jnz"), Just("call"), Just("push")];
    let jump = (jump, value()).prop_map(|(name, value)| format!("{name} {value}"));
    let other =
        prop_oneof![register().prop_map(|register| format!("pop {register}")), Just("exit".to_owned())];
    prop::collection::vec(prop_oneof![3 => two, 2 => jump, 1 => other], 4..40).prop_map(|lines| {
        let labelled = lines.iter().enumerate().map(|(number, line)| match number {
            0..4 => format!("l{number}: {line}\n"),
            _ => format!("\t{line} # {number}\n"),
        });
        labelled.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn softmachine_words(words in words()) {
        let set = set(SOFTMACHINE);
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        there_and_back(&set, &set.program_from_bytes(bytes).unwrap());
    }

    #[test]
    fn lowbyte_bytes(bytes in bytes()) {
        let set = set(LOWBYTE);
        there_and_back(&set, &set.program_from_bytes(bytes).unwrap());
    }

    #[test]
    fn softmachine_text(source in source()) {
        let set = set(SOFTMACHINE);
        let program = set.assemble(&source).unwrap();
        assert!(set.disassemble(&program).all(|line| !line.text.starts_with('.')), "{source}");
        there_and_back(&set, &program);
    }
}

/// Every word of a small set, so that no corner is left to chance.
#[test]
fn every_word_of_four_digits() {
    let set = InstructionSet::from_toml_with(SOFTMACHINE, &["word = 4"]).unwrap();
    for first in 0..16_u32 {
        let bytes = (0..0x1000_u32).flat_map(|rest| ((first << 12 | rest) as u16).to_le_bytes()).collect();
        there_and_back(&set, &set.program_from_bytes(bytes).unwrap());
    }
}
