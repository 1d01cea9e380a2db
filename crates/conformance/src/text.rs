//! Cases as text.

use pentimento_decoder::decode;
use pentimento_registers::{CpuState, Gpr, SegmentRegister};

use crate::case::Case;
use crate::layout;

/// A case in full: bytes, instruction, and what differs from a fresh state.
#[must_use]
pub fn describe(case: &Case) -> String {
    let bytes: Vec<String> = case.code.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut lines = vec![format!("   {}  {}", bytes.join(" "), instruction(&case.code, case.state.eip))];
    let state = &case.state;
    let registers: Vec<String> =
        Gpr::ALL.iter().map(|&register| format!("{register}={:08x}", state.gpr(register))).collect();
    lines.push(format!("   {}", registers.join(" ")));
    lines.push(format!("   eip={:08x} eflags={:?}", state.eip, state.eflags));
    let fresh = layout::initial_state();
    let segments: Vec<String> = SegmentRegister::ALL
        .iter()
        .filter(|&&register| state.segment(register) != fresh.segment(register))
        .map(|&register| format!("{}={:#x}", register.name(), state.segment(register).selector))
        .collect();
    if !segments.is_empty() {
        lines.push(format!("   {}", segments.join(" ")));
    }
    lines.extend(floating_point(state, &fresh));
    for patch in &case.patches {
        let bytes: String = patch.bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
        lines.push(format!("   [{:08x}] {bytes}", patch.address));
    }
    lines.join("\n")
}

/// The instruction that `code` holds.
fn instruction(code: &[u8], eip: u32) -> String {
    match decode(code) {
        Ok(instruction) => instruction.display(eip).to_string(),
        Err(error) => format!("({error})"),
    }
}

fn floating_point(state: &CpuState, fresh: &CpuState) -> Vec<String> {
    let mut lines = Vec::new();
    let x87 = &state.x87;
    if *x87 != fresh.x87 {
        lines.push(format!(
            "   x87 {:?} {:?} top={} in use={:08b} fop={:03x} fip={:08x} fdp={:08x}",
            x87.control,
            x87.status,
            x87.top,
            x87.in_use,
            x87.last_opcode,
            x87.last_instruction,
            x87.last_data
        ));
        let registers: Vec<String> = (0..8)
            .map(|i| x87.registers[x87.physical(i)])
            .map(|value| format!("{:04x}:{:016x}", value.sign_exponent, value.significand))
            .collect();
        lines.push(format!("   st(0..) {}", registers.join(" ")));
    }
    if state.mxcsr != fresh.mxcsr {
        lines.push(format!("   mxcsr={:?}", state.mxcsr));
    }
    for (index, value) in state.xmm.iter().enumerate().filter(|(_, value)| **value != 0) {
        lines.push(format!("   xmm{index}={value:032x}"));
    }
    lines
}
