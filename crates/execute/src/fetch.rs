//! Instruction fetch: bytes from the code segment to an [`Instruction`], or the fault that silicon raises.

use pentimento_decoder::{DecodeError, DecodeErrorKind, Instruction, decode};
use pentimento_memory::Access;
use pentimento_registers::SegmentRegister;

use crate::{Context, Outcome, Trap};

/// Bytes that an instruction can have at most.
const LONGEST: usize = 15;

/// Fetches and decodes the instruction at `context.start`.
///
/// # Errors
/// #UD, #GP or #PF.
pub fn fetch(context: &Context<'_>) -> Outcome<Instruction> {
    let cs = SegmentRegister::Cs;
    let mut bytes = [0; LONGEST];
    let linear = context.linear_address(cs, context.start, 1, Access::Execute)?;
    let mut available = context.memory.fetch(linear, &mut bytes);
    // A bounded code segment may end before the page does.
    let mut bounded = false;
    while available > 1
        && context.linear_address(cs, context.start, available as u32, Access::Execute).is_err()
    {
        available -= 1;
        bounded = true;
    }
    let bytes = &mut bytes[..available];
    decode(bytes).or_else(|error| match silicon(bytes, error) {
        Verdict::Executes(instruction) => Ok(instruction),
        Verdict::Undefined => Err(Trap::INVALID_OPCODE),
        Verdict::Faults => Err(Trap::GENERAL_PROTECTION),
        Verdict::Truncated if bounded || available == LONGEST => Err(Trap::GENERAL_PROTECTION),
        Verdict::Truncated => Err(fetch_fault(context, linear.wrapping_add(available as u32))),
    })
}

/// #PF on fetching the byte at `address`.
#[cold]
fn fetch_fault(context: &Context<'_>, address: u32) -> Trap {
    // A byte that is there was cut off by the segment's limit.
    context.memory.check_fetch(address).map_or_else(Trap::from, |()| Trap::GENERAL_PROTECTION)
}

/// What becomes of bytes that do not decode.
enum Verdict {
    /// They are an instruction after all.
    Executes(Instruction),
    /// #UD.
    Undefined,
    /// #GP(0).
    Faults,
    /// More bytes are needed.
    Truncated,
}

/// What silicon (AMD's) makes of bytes that do not decode: mostly what the error says, but
/// - UD0 and UD1 have no ModRM byte that could be missing;
/// - LOCK MOV CR0 names CR8, which is privileged (AMD's manual, volume 3, MOV CRn);
/// - VERW of memory ignores LOCK;
/// - an extended prefix is not looked into before its opcode is there;
/// - an undefined `/digit` of C6h and C7h is found out only once its immediate has been fetched.
#[cold]
fn silicon(bytes: &mut [u8], error: DecodeError) -> Verdict {
    const LOCK: u8 = 0xf0;
    const OPERAND_SIZE: u8 = 0x66;
    const DIGIT: u8 = 0x38;
    let start = bytes.iter().position(|byte| !is_prefix(*byte)).unwrap_or(bytes.len());
    let locked = bytes[..start].contains(&LOCK);
    match (&bytes[start..], error.kind) {
        ([0x0f, 0xff | 0xb9, ..], _) => Verdict::Undefined,
        ([0x0f, 0x20 | 0x22, modrm, ..], _) if locked && modrm & DIGIT == 0 => Verdict::Faults,
        ([0x0f, 0x00, modrm @ ..0xc0, ..], _) if locked && modrm & DIGIT == 5 << 3 => {
            // Any prefix without a meaning here may stand for the LOCK.
            bytes[..start].iter_mut().filter(|byte| **byte == LOCK).for_each(|byte| *byte = OPERAND_SIZE);
            decode(bytes).map_or(Verdict::Truncated, Verdict::Executes)
        }
        ([0xc6 | 0xc7, _, ..], DecodeErrorKind::Undefined) => {
            bytes[start + 1] &= !DIGIT;
            match decode(bytes) {
                Err(DecodeError { kind: DecodeErrorKind::Truncated, .. }) => Verdict::Truncated,
                _ => Verdict::Undefined,
            }
        }
        (code, kind) if code.len() < shortest(kind) => Verdict::Truncated,
        (_, DecodeErrorKind::TooLong) => Verdict::Faults,
        (_, DecodeErrorKind::Truncated) => Verdict::Truncated,
        _ => Verdict::Undefined,
    }
}

/// The bytes without prefixes that an encoding takes at least before silicon looks into it.
const fn shortest(kind: DecodeErrorKind) -> usize {
    match kind {
        // Their prefix, an opcode, and ModRM but for VZEROUPPER.
        DecodeErrorKind::Vex => 3,
        DecodeErrorKind::Xop => 5,
        DecodeErrorKind::Evex => 6,
        _ => 0,
    }
}

const fn is_prefix(byte: u8) -> bool {
    matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x66 | 0x67 | 0xf0 | 0xf2 | 0xf3)
}
