//! Two outcomes, field by field.

use pentimento_decoder::{Instruction, Operation, decode};
use pentimento_registers::{Eflags, Gpr, SegmentRegister, StatusWord};

use crate::case::{Case, Chunk, Ending};

/// One field that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Its name, as reports have it.
    pub field: String,
    /// What was expected.
    pub expected: String,
    /// What the engine gave.
    pub actual: String,
}

impl Difference {
    /// The case killed or hung the native oracle.
    #[must_use]
    pub fn no_answer() -> Self {
        Self {
            field: "silicon".to_owned(),
            expected: "no answer".to_owned(),
            actual: "an outcome".to_owned(),
        }
    }
}

/// What to leave out of a comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mask {
    /// Flags that may have any value.
    pub flags: Eflags,
    /// Whether MXCSR_MASK, in an FXSAVE image, may have any value.
    pub mxcsr_mask: bool,
}

impl Mask {
    /// What no engine can know, whatever the CPU.
    #[must_use]
    pub fn of(case: &Case) -> Self {
        let saves = decode(&case.code).is_ok_and(|instruction| instruction.operation() == Operation::Fxsave);
        // Which exceptions set RF in the saved flags is the host kernel's view, not the instruction's.
        Self { flags: Eflags::RF, mxcsr_mask: saves }
    }
}

/// The flags that `instruction` leaves undefined, given the count in `ecx` if it shifts by CL.
pub(crate) fn undefined_flags(instruction: &Instruction, ecx: u32) -> Eflags {
    use Operation as O;
    let undefined = instruction.flags_undefined();
    if !instruction.flags_depend_on_count() {
        return undefined;
    }
    match ecx & 31 {
        0 => Eflags::empty(),
        1 => undefined,
        count => {
            let width = 8 * instruction.operand(0).map_or(4, |operand| operand_bytes(&operand));
            let beyond =
                matches!(instruction.operation(), O::Shl | O::Shr | O::Shld | O::Shrd) && count >= width;
            undefined | Eflags::OF | if beyond { Eflags::CF } else { Eflags::empty() }
        }
    }
}

fn operand_bytes(operand: &pentimento_decoder::Operand) -> u32 {
    use pentimento_decoder::{Operand, Register};
    match operand {
        Operand::Register(Register::Gpr8(_)) => 1,
        Operand::Register(Register::Gpr16(_)) => 2,
        Operand::Memory(memory) => memory.size.into(),
        _ => 4,
    }
}

/// Collects differences.
struct Comparison(Vec<Difference>);

impl Comparison {
    fn hex(&mut self, field: &str, expected: impl Into<u128>, actual: impl Into<u128>) {
        let (expected, actual) = (expected.into(), actual.into());
        if expected != actual {
            self.note(field, format!("{expected:#x}"), format!("{actual:#x}"));
        }
    }

    fn note(&mut self, field: &str, expected: String, actual: String) {
        self.0.push(Difference { field: field.to_owned(), expected, actual });
    }
}

/// Every field in which `actual` differs from `expected`, `mask` aside.
#[must_use]
pub fn compare(expected: &Ending, actual: &Ending, mask: Mask) -> Vec<Difference> {
    let mut found = Comparison(Vec::new());
    found.hex("vector", expected.vector, actual.vector);
    found.hex("error code", expected.error_code, actual.error_code);
    found.hex("fault address", expected.address, actual.address);
    compare_general(&mut found, expected, actual, mask);
    compare_x87(&mut found, expected, actual);
    let (e, a) = (&expected.state, &actual.state);
    for index in 0..8 {
        found.hex(&format!("xmm{index}"), e.xmm[index], a.xmm[index]);
    }
    if e.mxcsr != a.mxcsr {
        found.note("mxcsr", format!("{:?}", e.mxcsr), format!("{:?}", a.mxcsr));
    }
    compare_memory(&mut found, expected, actual, mask);
    found.0
}

fn compare_general(found: &mut Comparison, expected: &Ending, actual: &Ending, mask: Mask) {
    let (e, a) = (&expected.state, &actual.state);
    for register in Gpr::ALL {
        found.hex(register.name(), e.gpr(register), a.gpr(register));
    }
    found.hex("eip", e.eip, a.eip);
    let (e_flags, a_flags) = (e.eflags.difference(mask.flags), a.eflags.difference(mask.flags));
    if e_flags != a_flags {
        found.note("eflags", format!("{e_flags:?}"), format!("{a_flags:?}"));
    }
    for register in SegmentRegister::ALL {
        found.hex(register.name(), e.segment(register).selector, a.segment(register).selector);
    }
}

fn compare_x87(found: &mut Comparison, expected: &Ending, actual: &Ending) {
    let (e, a) = (&expected.state.x87, &actual.state.x87);
    if e.control != a.control {
        found.note("x87 control", format!("{:?}", e.control), format!("{:?}", a.control));
    }
    if e.status != a.status {
        found.note("x87 status", format!("{:?}", e.status), format!("{:?}", a.status));
    }
    found.hex("x87 top", e.top, a.top);
    if e.in_use != a.in_use {
        found.note("x87 in use", format!("{:08b}", e.in_use), format!("{:08b}", a.in_use));
    }
    for number in 0..8 {
        let (x, y) = (e.registers[number], a.registers[number]);
        if x != y {
            let show =
                |v: pentimento_registers::F80| format!("{:04x}:{:016x}", v.sign_exponent, v.significand);
            found.note(&format!("x87 R{number}"), show(x), show(y));
        }
    }
    // AMD's CPUs show these pointers outside FSTENV and FSAVE only while an exception is pending.
    if !e.status.contains(StatusWord::ES) {
        return;
    }
    found.hex("x87 last opcode", e.last_opcode, a.last_opcode);
    found.hex("x87 last instruction", e.last_instruction, a.last_instruction);
    found.hex("x87 last data", e.last_data, a.last_data);
}

fn compare_memory(found: &mut Comparison, expected: &Ending, actual: &Ending, mask: Mask) {
    let contents = |outcome: &Ending, address: u32| {
        outcome.chunks.iter().find(|chunk| chunk.address == address).map_or_else(
            || "unchanged".to_owned(),
            |chunk| chunk.bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        )
    };
    if expected.chunks == actual.chunks {
        return;
    }
    if mask.mxcsr_mask && without_mxcsr_mask(expected) == without_mxcsr_mask(actual) {
        return;
    }
    let mut addresses: Vec<u32> =
        expected.chunks.iter().chain(&actual.chunks).map(|chunk| chunk.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    for address in addresses {
        let (e, a) = (contents(expected, address), contents(actual, address));
        if e != a {
            found.note(&format!("memory {address:#x}"), e, a);
        }
    }
}

/// The changed memory of an FXSAVE with MXCSR_MASK cleared: bytes 28 to 31, and so the end of the
/// second chunk.
fn without_mxcsr_mask(outcome: &Ending) -> Vec<Chunk> {
    let mut chunks = outcome.chunks.clone();
    if let Some(chunk) = chunks.get_mut(1) {
        chunk.bytes[12..].fill(0);
    }
    chunks
}
