//! Hand-written vectors: one instruction each, as text.
//!
//! ```text
//! add eax,ebx                 # carries out of the top
//!   code 01 d8
//!   in   eax=ffffffff ebx=1
//!   out  eax=0 CF=1 PF=1 AF=1 ZF=1
//! ```
//!
//! A vector begins with the instruction's text at the start of a line; indented lines follow. All
//! numbers are hexadecimal. `in` and `out` set general registers and `eip`, flags by name
//! (`CF=1`), segment selectors, `st0` to `st7` (`3fff:8000000000000000`), `mm0` to `mm7`, `xmm0` to
//! `xmm7`, `fcw`, `fsw`, `ftw` (the abridged tag word), `mxcsr`, and memory (`[40000010]=0102ff`).
//! What `out` does not name must not change, except EIP, which goes behind the instruction. A flag
//! that may have any value is `AF=?`. `raises` names the exception that ends the instruction, with
//! the error code and for #PF the address: `raises #PF 6 40003000`. The world is that of
//! [`layout`].

use pentimento_decoder::decode;
use pentimento_registers::{ControlWord, CpuState, Eflags, F80, Gpr, Mxcsr, SegmentRegister};
use thiserror::Error;

use crate::case::{Case, Chunk, Ending, Patch};
use crate::compare::{Mask, undefined_flags};
use crate::engine::in_pages;
use crate::layout;

/// A vector.
#[derive(Clone, Debug)]
pub struct Vector {
    /// The line that it begins on, from 1.
    pub line: usize,
    /// The instruction as the file writes it.
    pub text: String,
    /// What goes in.
    pub case: Case,
    /// What must come out.
    pub outcome: Ending,
    /// What may come out otherwise.
    pub mask: Mask,
}

/// A line that is not understood.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line}: {reason}")]
pub struct VectorError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

const EXCEPTIONS: &[(&str, u32)] = &[
    ("#DE", 0),
    ("#DB", 1),
    ("#BP", 3),
    ("#OF", 4),
    ("#BR", 5),
    ("#UD", 6),
    ("#NP", 11),
    ("#SS", 12),
    ("#GP", 13),
    ("#PF", 14),
    ("#MF", 16),
    ("#AC", 17),
    ("#XM", 19),
];

/// Reads a file of vectors.
///
/// # Errors
/// The first line that is not understood.
pub fn parse(text: &str) -> Result<Vec<Vector>, VectorError> {
    let mut vectors = Vec::new();
    let mut draft: Option<Draft> = None;
    for (index, line) in text.lines().enumerate() {
        let content = line.split(" #").next().unwrap_or_default().trim_end();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let number = index + 1;
        let error = |reason| VectorError { line: number, reason };
        if content.starts_with(char::is_whitespace) {
            let Some(draft) = &mut draft else {
                return Err(error("an indented line before the first instruction".to_owned()));
            };
            draft.line(content.trim_start(), line).map_err(error)?;
        } else {
            vectors.extend(draft.take().map(Draft::finish));
            draft = Some(Draft::new(number, content));
        }
    }
    vectors.extend(draft.map(Draft::finish));
    Ok(vectors)
}

struct Draft {
    line: usize,
    text: String,
    code: Vec<u8>,
    before: CpuState,
    after: CpuState,
    eip: Option<u32>,
    patches: Vec<Patch>,
    stores: Vec<Patch>,
    any: Eflags,
    raises: Option<[u32; 3]>,
}

impl Draft {
    fn new(line: usize, text: &str) -> Self {
        let mut state = layout::initial_state();
        state.eip = layout::CODE.start + 0x100;
        state.set_gpr(Gpr::Esp, layout::DATA.start + 0x800);
        Self {
            line,
            text: text.to_owned(),
            code: Vec::new(),
            after: state.clone(),
            before: state,
            eip: None,
            patches: Vec::new(),
            stores: Vec::new(),
            any: Eflags::RF,
            raises: None,
        }
    }

    fn line(&mut self, content: &str, whole: &str) -> Result<(), String> {
        // `raises #PF` is the one place where `#` begins no comment.
        if let Some(rest) = whole.trim().strip_prefix("raises ") {
            return self.raises(rest);
        }
        let (key, rest) = content.split_once(' ').unwrap_or((content, ""));
        match key {
            "code" => {
                let bytes = rest.split_whitespace().map(|byte| u8::from_str_radix(byte, 16));
                self.code = bytes.collect::<Result<_, _>>().map_err(|_| format!("no bytes: {rest}"))?;
                Ok(())
            }
            "in" => {
                for item in rest.split_whitespace() {
                    self.item(item, true)?;
                }
                self.after = self.before.clone();
                Ok(())
            }
            "out" => rest.split_whitespace().try_for_each(|item| self.item(item, false)),
            _ => Err(format!("neither code, in, out nor raises: {key}")),
        }
    }

    fn raises(&mut self, rest: &str) -> Result<(), String> {
        let mut words = rest.split_whitespace();
        let name = words.next().unwrap_or_default();
        let vector = EXCEPTIONS.iter().find(|(known, _)| *known == name);
        let (_, vector) = vector.ok_or_else(|| format!("no exception: {name}"))?;
        let mut numbers = [*vector, 0, 0];
        for (slot, word) in numbers[1..].iter_mut().zip(words) {
            *slot = number(word)? as u32;
        }
        self.raises = Some(numbers);
        Ok(())
    }

    fn item(&mut self, item: &str, input: bool) -> Result<(), String> {
        let (name, value) = item.split_once('=').ok_or_else(|| format!("no `=`: {item}"))?;
        if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            let patch = Patch { address: number(address)? as u32, bytes: bytes(value)? };
            if input {
                self.patches.push(patch)
            } else {
                self.stores.push(patch)
            }
            return Ok(());
        }
        if let Some(flag) = Eflags::from_name(name) {
            if value == "?" {
                self.any |= flag;
            } else {
                let set = number(value)? != 0;
                let state = if input { &mut self.before } else { &mut self.after };
                state.eflags.set(flag, set);
            }
            return Ok(());
        }
        if name == "eip" && !input {
            self.eip = Some(number(value)? as u32);
        }
        let state = if input { &mut self.before } else { &mut self.after };
        set_register(state, name, value)
    }

    fn finish(self) -> Vector {
        let case = Case { code: self.code, state: self.before, patches: self.patches };
        let length = case.code.len() as u32;
        let mut state = self.after;
        let [vector, error_code, address] = self.raises.unwrap_or([3, 0, 0]);
        state.eip = match (self.eip, self.raises) {
            // Behind the INT3 that waits there.
            (Some(target), None) => target.wrapping_add(1),
            (None, None) => case.state.eip.wrapping_add(length + 1),
            (Some(eip), Some(_)) => eip,
            (None, Some(_)) => case.state.eip,
        };
        let chunks = changes(&case, &self.stores);
        let outcome = Ending { vector, error_code, address, state, chunks };
        let known = Mask::of(&case);
        let ecx = case.state.gpr(Gpr::Ecx);
        // What the architecture leaves undefined, whoever wrote the vector need not mention.
        let undefined =
            decode(&case.code).map_or(Eflags::empty(), |instruction| undefined_flags(&instruction, ecx));
        let mask = Mask { flags: known.flags | undefined | self.any, ..known };
        Vector { line: self.line, text: self.text, case, outcome, mask }
    }
}

fn number(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| format!("no hexadecimal number: {text}"))
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err(format!("no whole bytes: {text}"));
    }
    (0..text.len()).step_by(2).map(|at| number(&text[at..at + 2]).map(|byte| byte as u8)).collect()
}

fn set_register(state: &mut CpuState, name: &str, value: &str) -> Result<(), String> {
    let indexed = |prefix: &str| {
        name.strip_prefix(prefix).and_then(|index| index.parse::<u8>().ok()).filter(|index| *index < 8)
    };
    if let Some(register) = Gpr::ALL.into_iter().find(|register| register.name() == name) {
        state.set_gpr(register, number(value)? as u32);
    } else if let Some(register) = SegmentRegister::ALL.into_iter().find(|register| register.name() == name) {
        *state.segment_mut(register) = layout::segment(number(value)? as u16);
    } else if let Some(index) = indexed("st") {
        let (high, low) = value.split_once(':').ok_or_else(|| format!("no exponent:significand: {value}"))?;
        let physical = state.x87.physical(index);
        state.x87.registers[physical] = F80::new(number(high)? as u16, number(low)?);
    } else if let Some(index) = indexed("mm") {
        state.x87.set_mmx(index, number(value)?);
    } else if let Some(index) = indexed("xmm") {
        let value = u128::from_str_radix(value, 16).map_err(|_| format!("no hexadecimal number: {value}"))?;
        state.xmm[usize::from(index)] = value;
    } else {
        return set_control(state, name, number(value)?);
    }
    Ok(())
}

fn set_control(state: &mut CpuState, name: &str, value: u64) -> Result<(), String> {
    match name {
        "eip" => state.eip = value as u32,
        "fcw" => state.x87.control = ControlWord::from_bits_retain(value as u16),
        "fsw" => state.x87.set_status_word(value as u16),
        "ftw" => state.x87.in_use = value as u8,
        "mxcsr" => state.mxcsr = Mxcsr::from_bits_retain(value as u32),
        _ => return Err(format!("no register, flag or memory: {name}")),
    }
    Ok(())
}

/// The chunks that differ once `stores` are made, in arena order.
fn changes(case: &Case, stores: &[Patch]) -> Vec<Chunk> {
    let mut before = layout::background();
    case.memory().for_each(|(address, bytes)| write(&mut before, address, bytes));
    let mut after = before.clone();
    stores.iter().for_each(|store| write(&mut after, store.address, &store.bytes));
    let changed = before.chunks(16).zip(after.chunks(16)).enumerate().filter(|(_, (a, b))| a != b);
    changed
        .map(|(index, (_, bytes))| {
            let mut contents = [0; 16];
            contents.copy_from_slice(bytes);
            Chunk { address: layout::arena_address(index as u32 * 16), bytes: contents }
        })
        .collect()
}

fn write(arena: &mut [u8], address: u32, bytes: &[u8]) {
    for (at, piece) in in_pages(address, bytes) {
        if let Some(offset) = layout::arena_offset(at) {
            arena[offset as usize..][..piece.len()].copy_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_line_and_the_cause() {
        for (text, line, part) in [
            ("  code 90", 1, "before the first instruction"),
            ("nop\n  code 9x", 2, "no bytes"),
            ("nop\n\n  in eax", 3, "no `=`"),
            ("nop\n  in eaz=1", 2, "eaz"),
            ("nop\n  out [40000000]=123", 2, "no whole bytes"),
            ("nop\n  raises #XX", 2, "no exception"),
            ("nop\n  gives eax=1", 2, "neither code"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.line, line, "{text}");
            assert!(error.reason.contains(part), "{text}: {}", error.reason);
        }
    }

    #[test]
    fn what_out_does_not_name_stays() {
        let text = "inc eax  # a comment\n  code 40\n  in eax=7f CF=1\n  out eax=80 AF=1 OF=?";
        let vectors = parse(text).expect("a vector");
        let vector = &vectors[0];
        assert_eq!((vector.text.as_str(), vectors.len()), ("inc eax", 1));
        assert_eq!(vector.outcome.state.gpr(Gpr::Eax), 0x80);
        assert!(vector.outcome.state.eflags.contains(Eflags::CF | Eflags::AF));
        assert_eq!(vector.outcome.state.eip, vector.case.state.eip + 2);
        assert!(vector.mask.flags.contains(Eflags::OF));
    }
}
