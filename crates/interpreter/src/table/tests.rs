//! Every row is for some instruction, and every instruction has one row at most.

use alloc::vec::Vec;
use std::collections::BTreeSet;
use std::{eprintln, format};

use pentimento_decoder::{Instruction, decode};
use pentimento_registers::Eflags;

use super::row::{HandlerRow, Pattern};
use super::{TABLE, fused, halves};
use crate::arena::Op;
use crate::step::Step;
use crate::table::kinds::{Signature, signature};

/// What comes before an opcode.
const PREFIXES: &[&[u8]] = &[&[], &[0x66], &[0xf2], &[0xf3], &[0x65]];

/// What comes between prefixes and the last byte of an opcode.
const MAPS: &[&[u8]] = &[&[], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a]];

/// What comes behind ModRM: a SIB byte with and without base, then immediates with and without low bits.
const TAILS: &[&[u8]] = &[
    &[0x11; 12],
    &[0x20; 12],
    &[0x8d, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0],
    &[0x0d, 0, 0x20, 0x20, 0, 0, 0, 0, 0, 0],
];

/// Calls `see` with an instruction of each opcode, ModRM byte and kind of prefix.
fn all_forms(mut see: impl FnMut(&Instruction, &Signature)) {
    for prefix in PREFIXES {
        for map in MAPS {
            for opcode in 0..=0xff_u8 {
                for modrm in 0..=0xff_u8 {
                    for tail in TAILS {
                        let bytes = [*prefix, *map, &[opcode, modrm], *tail].concat();
                        if let Ok(instruction) = decode(&bytes[..bytes.len().min(15)]) {
                            see(&instruction, &signature(&mut Op::blank(), &instruction));
                        }
                    }
                }
            }
        }
    }
}

fn described(pattern: &Pattern) -> std::string::String {
    format!("{:?} {:?} {:?}", pattern.operation, pattern.kinds, pattern.traits)
}

/// The patterns that overlap, two by two.
fn overlaps(patterns: &[&Pattern]) -> Vec<std::string::String> {
    let mut found = Vec::new();
    for (index, a) in patterns.iter().enumerate() {
        let others = patterns[index + 1..].iter().filter(|b| a.overlaps(b));
        found.extend(others.map(|b| format!("{} and {}", described(a), described(b))));
    }
    found
}

fn patterns<'r>(rows: &'r [&'static HandlerRow]) -> Vec<&'r Pattern> {
    rows.iter().map(|row| &row.pattern).collect()
}

#[test]
fn no_instruction_has_two_rows() {
    assert_eq!(overlaps(&patterns(TABLE.rows())), [""; 0]);
    assert_eq!(overlaps(&patterns(fused::TABLE.rows())), [""; 0]);
}

#[test]
fn every_row_is_for_some_instruction() {
    let mut reached = BTreeSet::new();
    let mut all: Vec<&Pattern> = patterns(TABLE.rows());
    all.extend(patterns(fused::TABLE.rows()));
    all.extend(halves::CANDIDATES.iter().map(|candidate| &candidate.pattern));
    let mut of: Vec<Vec<usize>> = Vec::new();
    for (index, pattern) in all.iter().enumerate() {
        let operation = pattern.operation as usize;
        of.resize_with(of.len().max(operation + 1), Vec::new);
        of[operation].push(index);
    }
    all_forms(|instruction, signature| {
        for &index in of.get(instruction.operation() as usize).into_iter().flatten() {
            if all[index].matches(signature) {
                reached.insert(index);
            }
        }
    });
    let unreached: Vec<_> =
        (0..all.len()).filter(|index| !reached.contains(index)).map(|index| described(all[index])).collect();
    assert_eq!(unreached, [""; 0]);
}

#[test]
fn rows_are_found_by_operation() {
    all_forms(|instruction, signature| {
        let of = TABLE.of(instruction.operation());
        assert!(of.iter().all(|row| row.pattern.operation == instruction.operation()));
        let matching = TABLE
            .rows()
            .iter()
            .filter(|row| row.pattern.operation == instruction.operation() && row.pattern.matches(signature));
        assert!(TABLE.find(instruction.operation(), signature).is_some() == (matching.count() == 1));
    });
}

#[test]
fn every_choice_of_a_row_is_made() {
    // A row's closure must not panic and must give a handler whatever the flags and the condition are.
    let mut handlers = BTreeSet::new();
    all_forms(|instruction, signature| {
        for live in [Eflags::empty(), Eflags::CF, Eflags::ZF, Eflags::STATUS] {
            let mut op = Op::blank();
            let _ = super::kinds::signature(&mut op, instruction);
            if let Some(handler) = super::handler(&mut op, &Step::stopping(), instruction, *signature, live) {
                handlers.insert(handler as usize);
            }
        }
    });
    eprintln!("{} rows choose among {} handlers", TABLE.rows().len(), handlers.len());
    assert!(handlers.len() > TABLE.rows().len());
}
