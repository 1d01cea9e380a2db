//! The system-call oracle: sequences of system calls with half-valid arguments, made by a native 32-bit process
//! and by the kernel of `pentimento-linux`, whose results, errors and writes to memory are compared.
//!
//! The native process is nobody in an empty world of its own (`fixtures/machines/system_calls.c`); what could
//! reach its host is not tried (`tables`, which also has what is meant to differ, and why). A sequence follows
//! from the campaign's seed and its number, and one that shows a difference shrinks to the calls that it takes.

mod compare;
mod generate;
mod native;
mod own;
mod sequence;
mod tables;

use std::fmt::Write;

pub use compare::{Difference, compare, name};
pub use generate::Generator;
pub use native::{Native, NativeError};
pub use own::run;
pub use sequence::{Call, End, Outcome, Return, Sequence};
pub use tables::excluded;

/// Both sides on one sequence.
///
/// # Errors
/// As [`Native::run`].
pub fn judge(native: &mut Native, sequence: &Sequence) -> Result<Option<Difference>, NativeError> {
    let theirs = native.run(sequence)?;
    let Some(ours) = run(sequence) else { return Err(NativeError::Malformed) };
    Ok(compare(sequence, &theirs, &ours))
}

/// The shortest sequence found that shows a difference in the same call, and the difference.
///
/// # Errors
/// As [`Native::run`].
pub fn shrink(
    native: &mut Native,
    sequence: &Sequence,
    difference: Difference,
) -> Result<(Sequence, Difference), NativeError> {
    let (mut best, mut found) = (sequence.clone(), difference);
    best.calls.truncate(found.call + 1);
    let mut at = best.calls.len().saturating_sub(1);
    while at > best.prologue {
        at -= 1;
        let mut shorter = best.clone();
        shorter.calls.remove(at);
        // What the calls behind it refer to has moved.
        for call in shorter.calls.iter_mut().skip(at) {
            for index in 0..6 {
                let argument = &mut call.arguments[index];
                if call.references >> index & 1 != 0 && *argument as usize > at {
                    *argument -= 1;
                }
            }
        }
        if let Some(again) = judge(native, &shorter)?
            && again.name == found.name
            && again.what == found.what
        {
            (best, found) = (shorter, again);
            best.calls.truncate(found.call + 1);
            at = at.min(best.calls.len().saturating_sub(1));
        }
    }
    Ok((best, found))
}

/// The calls behind the prologue, one a line.
#[must_use]
pub fn describe(sequence: &Sequence) -> String {
    let mut text = String::new();
    for call in sequence.calls.iter().skip(sequence.prologue) {
        let argument = |index: usize| {
            let value = call.arguments[index];
            if call.references >> index & 1 != 0 { format!("[{value}]") } else { format!("{value:#x}") }
        };
        let arguments: Vec<String> = (0..6).map(argument).collect();
        // Writing to a string does not fail.
        let _ = write!(text, "  {}({})", name(call.number), arguments.join(", "));
        for (address, bytes) in &call.memory {
            let is_text = bytes.len() > 1 && bytes[..bytes.len() - 1].iter().all(u8::is_ascii_graphic);
            let _ = match is_text {
                true => write!(text, " {address:#x}={:?}", String::from_utf8_lossy(bytes)),
                false => write!(text, " {address:#x}={bytes:02x?}"),
            };
        }
        text.push('\n');
    }
    text
}
