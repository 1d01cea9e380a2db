//! What came of a sequence on both sides, held against each other.

use std::fmt::{self, Write};

use pentimento_linux::system_calls;

use super::sequence::{Call, DATA, Outcome, Return, Sequence};
use super::tables::{DEVIATIONS, OPEN, ResultKind, masks, result_kind};

/// Where two outcomes differ first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The number of the call.
    pub call: usize,
    /// Its name.
    pub name: &'static str,
    /// What differs: short, and the same for the same cause.
    pub what: String,
}

impl Difference {
    /// What kind of difference it is: the same for the same cause.
    #[must_use]
    pub fn kind(&self) -> String {
        format!("{}: {}", self.name, self.what)
    }

    /// Whether it is known, and waits for being mended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let kind = self.kind();
        OPEN.iter().any(|open| kind.starts_with(open))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}, {}: {}", self.call, self.name, self.what)
    }
}

/// The name of a system call.
#[must_use]
pub fn name(number: u32) -> &'static str {
    system_calls().find(|call| call.number == number).map_or("?", |call| call.name)
}

/// Where two outcomes differ first, but for what is meant.
#[must_use]
pub fn compare(sequence: &Sequence, native: &Outcome, own: &Outcome) -> Option<Difference> {
    let ids = |outcome: &Outcome| {
        let result = |number: usize| outcome.returns.get(number).map_or(0, |made| made.result);
        [result(0), result(1)]
    };
    let (natives, owns) = (ids(native), ids(own));
    let same = |native: u32, own: u32| {
        native == own || natives.iter().zip(owns).any(|(one, other)| (native, own) == (*one, other))
    };
    let both = native.returns.iter().zip(&own.returns);
    for (number, (call, (native, own))) in sequence.calls.iter().zip(both).enumerate() {
        let name = name(call.number);
        let found = |what: String| Some(Difference { call: number, name, what });
        if number < sequence.prologue {
            let failed = |made: &Return| made.result > 0xffff_f000;
            if failed(native) != failed(own) {
                return found(format!("the prologue: {} and {}", text(native.result), text(own.result)));
            }
            continue;
        }
        if is_meant(name, native.result, own.result) {
            continue;
        }
        if !results_agree(name, native.result, own.result, same) {
            return found(format!("{} natively, {} here", text(native.result), text(own.result)));
        }
        // What a call that fails has written by then is a matter of how its bytes are copied.
        if native.result == -14_i32 as u32 {
            continue;
        }
        if let Some(what) = memory(name, call, native, own, same) {
            return found(what);
        }
    }
    let done = native.returns.len().min(own.returns.len());
    if native.end != own.end || native.returns.len() != own.returns.len() {
        let name = sequence.calls.get(done).map_or("(the end)", |call| name(call.number));
        let side = |outcome: &Outcome| match outcome.returns.get(done) {
            Some(made) => text(made.result),
            None => format!("{:?}", outcome.end),
        };
        return Some(Difference {
            call: done,
            name,
            what: format!("{} natively, {} here", side(native), side(own)),
        });
    }
    None
}

/// A result in words.
fn text(result: u32) -> String {
    let value = result as i32;
    if (-4095..0).contains(&value) { format!("errno {}", -value) } else { format!("{result:#x}") }
}

fn is_meant(name: &str, native: u32, own: u32) -> bool {
    let is = |meant: Option<i32>, result: u32| meant.is_none_or(|meant| meant as u32 == result);
    let fits = |row: &super::tables::Deviation| {
        row.calls.contains(&name) && is(row.native, native) && is(row.own, own) && !row.reason.is_empty()
    };
    DEVIATIONS.iter().any(fits)
}

fn results_agree(name: &str, native: u32, own: u32, same: impl Fn(u32, u32) -> bool) -> bool {
    let succeeded = native <= 0xffff_f000 && own <= 0xffff_f000;
    match result_kind(name) {
        ResultKind::Exact => same(native, own),
        _ if !succeeded => native == own,
        ResultKind::Address => (native & 0xfff == 0) == (own & 0xfff == 0) || name == "brk",
        ResultKind::Any => true,
    }
}

/// What the size of a folder is, each file system has its own idea of, and the root has more or fewer
/// folders in it.
fn forget_folder_size(name: &str, call: &Call, image: &mut [u8]) {
    let (argument, mode, links, size) = match name {
        "stat64" | "lstat64" | "fstat64" => (1, 16, 20, 44),
        "fstatat64" => (2, 16, 20, 44),
        "stat" | "lstat" | "fstat" => (1, 8, 10, 20),
        "oldstat" | "oldlstat" | "oldfstat" => (1, 4, 6, 16),
        "statx" => (4, 28, 16, 40),
        _ => return,
    };
    let start = call.arguments[argument].wrapping_sub(DATA) as usize;
    let kind = start.checked_add(mode).and_then(|at| image.get(at..at + 2));
    if kind.is_some_and(|kind| kind[1] & 0xf0 == 0x40) {
        for (at, length) in [(links, 2), (size, 4)] {
            if let Some(bytes) = image.get_mut(start + at..start + at + length) {
                bytes.fill(0);
            }
        }
    }
}

/// What differs in memory.
fn memory(
    name: &str,
    call: &Call,
    native: &Return,
    own: &Return,
    same: impl Fn(u32, u32) -> bool,
) -> Option<String> {
    if native.image == own.image {
        return None;
    }
    let (mut left, mut right) = (native.image.clone(), own.image.clone());
    forget_folder_size(name, call, &mut left);
    forget_folder_size(name, call, &mut right);
    for (argument, offset, length) in masks(name) {
        let start = call.arguments[*argument].wrapping_sub(DATA).wrapping_add(*offset) as usize;
        let end = start.saturating_add(*length as usize).min(left.len());
        if start < end {
            left[start..end].fill(0);
            right[start..end].fill(0);
        }
    }
    let words = |bytes: &[u8]| -> Vec<u32> {
        let word = |word: &[u8]| word.iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte));
        bytes.chunks(4).map(word).collect()
    };
    let (left, right) = (words(&left), words(&right));
    let mut what = String::new();
    for (index, (native, own)) in left.iter().zip(&right).enumerate() {
        if !same(*native, *own) && what.len() < 200 {
            let address = DATA + 4 * index as u32;
            let place = call.arguments.iter().enumerate().find_map(|(number, argument)| {
                let offset = address.wrapping_sub(*argument);
                (offset < 512).then(|| format!("*{number}+{offset}"))
            });
            let place = place.unwrap_or_else(|| format!("{address:#x}"));
            // Writing to a string does not fail.
            let _ = write!(what, "{place}: {native:#x} natively, {own:#x} here; ");
        }
    }
    (!what.is_empty()).then_some(what)
}
