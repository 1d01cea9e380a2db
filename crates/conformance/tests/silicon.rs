//! The native oracle's own machinery, on instructions whose results are known by heart.
#![cfg(target_os = "linux")]

use std::time::Duration;

use pentimento_conformance::layout::{self, CODE, DATA};
use pentimento_conformance::oracle::{OracleError, Silicon};
use pentimento_conformance::{Case, Ending, Patch, skip};
use pentimento_registers::{Eflags, F80, Gpr};

const PATIENCE: Duration = Duration::from_secs(1);

fn case(code: &[u8]) -> Case {
    let mut state = layout::initial_state();
    state.eip = CODE.start + 0x100;
    state.set_gpr(Gpr::Esp, DATA.start + 0x800);
    Case { code: code.to_vec(), state, patches: Vec::new() }
}

fn stepping(mut case: Case) -> Case {
    case.state.eflags |= Eflags::TF;
    case
}

/// Runs cases natively; `None` where the host has no 32-bit mode.
fn run(cases: &[Case]) -> Option<Vec<Option<Ending>>> {
    let silicon = match Silicon::new() {
        Err(error @ OracleError::NoNative { .. }) => {
            skip("the native oracle", &error.to_string());
            return None;
        }
        started => started.expect("the oracle starts"),
    };
    Some(silicon.with_patience(PATIENCE).run(cases).expect("the oracle answers"))
}

fn outcome(case: Case) -> Option<Ending> {
    run(&[case]).map(|mut verdicts| verdicts.remove(0).expect("the case survives"))
}

#[test]
fn add_ends_at_the_int3_behind_it() {
    let mut case = case(&[0x01, 0xd8]);
    case.state.set_gpr(Gpr::Eax, 0xffff_ffff);
    case.state.set_gpr(Gpr::Ebx, 1);
    let Some(outcome) = outcome(case) else { return };
    assert_eq!((outcome.vector, outcome.state.eip), (3, CODE.start + 0x103));
    assert_eq!(outcome.state.gpr(Gpr::Eax), 0);
    assert_eq!(
        outcome.state.eflags.intersection(Eflags::STATUS),
        Eflags::CF | Eflags::ZF | Eflags::PF | Eflags::AF
    );
    assert!(outcome.chunks.is_empty());
}

#[test]
fn single_step_stops_a_repeated_string_instruction_after_one_iteration() {
    let mut case = stepping(case(&[0xf3, 0xaa]));
    case.state.set_gpr(Gpr::Ecx, 3);
    case.state.set_gpr(Gpr::Edi, DATA.start);
    case.patches.push(Patch { address: DATA.start, bytes: vec![1; 16] });
    let Some(outcome) = outcome(case) else { return };
    assert_eq!((outcome.vector, outcome.state.eip), (1, CODE.start + 0x100));
    assert_eq!((outcome.state.gpr(Gpr::Ecx), outcome.state.gpr(Gpr::Edi)), (2, DATA.start + 1));
    assert_eq!(outcome.chunks.len(), 1);
    assert_eq!(outcome.chunks[0].bytes[..2], [0, 1]);
}

#[test]
fn faults_carry_address_and_error_code() {
    let mut case = case(&[0x89, 0x03]);
    case.state.set_gpr(Gpr::Ebx, DATA.end - 2);
    let Some(outcome) = outcome(case) else { return };
    assert_eq!((outcome.vector, outcome.error_code, outcome.address), (14, 7, DATA.end - 2));
    assert_eq!(outcome.state.eip, CODE.start + 0x100);
}

#[test]
fn floating_point_state_goes_in_and_out() {
    let mut fld = case(&[0xd9, 0xe8]); // FLD1
    fld.state.x87.top = 3;
    fld.state.x87.in_use = 0b0001_1000;
    fld.state.x87.registers[3] = F80::new(0x4001, 0xc000_0000_0000_0001);
    fld.state.x87.registers[7] = F80::new(0x1234, 0x5678_9abc_def0_1122);
    fld.state.xmm[5] = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;
    let Some(outcome) = outcome(fld.clone()) else { return };
    let (before, after) = (&fld.state.x87, &outcome.state.x87);
    assert_eq!((after.top, after.in_use), (2, 0b0001_1100));
    assert_eq!(after.registers[2], F80::new(0x3fff, 1 << 63));
    assert_eq!((after.registers[3], after.registers[7]), (before.registers[3], before.registers[7]));
    assert_eq!(outcome.state.xmm, fld.state.xmm);
    println!("{after:x?}");
}

#[test]
fn a_case_that_kills_the_oracle_is_reported_and_the_rest_still_runs() {
    // An endless loop with single step off.
    let cases = [case(&[0x40]), case(&[0xeb, 0xfe]), case(&[0x41])];
    let Some(verdicts) = run(&cases) else { return };
    let alive: Vec<bool> = verdicts.iter().map(Option::is_some).collect();
    assert_eq!(alive, [true, false, true]);
}
