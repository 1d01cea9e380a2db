//! Recorded samples: cases with what silicon did, in a compact binary form.
//!
//! A recording is the magic number and then one record after the other. Register files are 280
//! bytes each, of which few differ from what is known already: the input is written as its
//! difference from a fresh state, the result as its difference from the input, both as runs of
//! zeros and runs of literal bytes. Numbers are LEB128.

use thiserror::Error;

use crate::case::{Case, Chunk, Ending, Patch};
use crate::{layout, machine};

const MAGIC: &[u8; 8] = b"PENTVEC1";

/// A recording that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RecordingError {
    /// The magic number is missing.
    #[error("this is no recording, or one of another version")]
    Magic,
    /// A record breaks off or contradicts itself.
    #[error("record {0} is damaged")]
    Damaged(usize),
}

/// A recording in the making.
#[derive(Clone, Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Self {
        Self { bytes: MAGIC.to_vec() }
    }
}

impl Writer {
    /// Appends a case and its outcome.
    pub fn push(&mut self, case: &Case, outcome: &Ending) {
        let bytes = &mut self.bytes;
        let fresh = registers(&fresh_state());
        let before = registers(&case.state);
        write_sparse(bytes, &before, &fresh);
        write_bytes(bytes, &case.code);
        write_number(bytes, case.patches.len() as u64);
        for patch in &case.patches {
            bytes.extend(patch.address.to_le_bytes());
            write_bytes(bytes, &patch.bytes);
        }
        write_number(bytes, outcome.vector.into());
        write_number(bytes, outcome.error_code.into());
        write_number(bytes, outcome.address.into());
        write_sparse(bytes, &registers(&outcome.state), &before);
        write_number(bytes, outcome.chunks.len() as u64);
        for chunk in &outcome.chunks {
            bytes.extend(chunk.address.to_le_bytes());
            bytes.extend(chunk.bytes);
        }
    }

    /// The recording.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

fn fresh_state() -> pentimento_registers::CpuState {
    layout::initial_state()
}

fn registers(state: &pentimento_registers::CpuState) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(machine::SIZE);
    machine::encode(state, &mut bytes);
    bytes
}

fn write_number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn write_bytes(bytes: &mut Vec<u8>, written: &[u8]) {
    write_number(bytes, written.len() as u64);
    bytes.extend(written);
}

/// Writes the difference of two byte strings of one length.
fn write_sparse(bytes: &mut Vec<u8>, value: &[u8], known: &[u8]) {
    let difference: Vec<u8> = value.iter().zip(known).map(|(a, b)| a ^ b).collect();
    let mut rest = &difference[..];
    while !rest.is_empty() {
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        rest = &rest[zeros..];
        // A single zero inside literals is cheaper than a new pair of runs.
        let literals = rest.windows(2).take_while(|pair| **pair != [0, 0]).count();
        let literals = if literals + 1 >= rest.len() { rest.len() } else { literals };
        write_number(bytes, zeros as u64);
        write_bytes(bytes, &rest[..literals]);
        rest = &rest[literals..];
    }
}

/// Reads a recording.
///
/// # Errors
/// [`RecordingError`].
pub fn read(bytes: &[u8]) -> Result<Vec<(Case, Ending)>, RecordingError> {
    let mut reader = Reader { rest: bytes.strip_prefix(MAGIC).ok_or(RecordingError::Magic)? };
    let mut records = Vec::new();
    while !reader.rest.is_empty() {
        let record = reader.record().ok_or(RecordingError::Damaged(records.len()))?;
        records.push(record);
    }
    Ok(records)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn record(&mut self) -> Option<(Case, Ending)> {
        let before = self.sparse(&registers(&fresh_state()))?;
        let mut state = machine::decode(&before);
        for segment in &mut state.segments {
            *segment = layout::segment(segment.selector);
        }
        let code = self.bytes()?.to_vec();
        let patches = (0..self.number()?).map(|_| self.patch()).collect::<Option<_>>()?;
        let vector = self.number()? as u32;
        let error_code = self.number()? as u32;
        let address = self.number()? as u32;
        let after = machine::decode(&self.sparse(&before)?);
        let chunks = (0..self.number()?).map(|_| self.chunk()).collect::<Option<_>>()?;
        let outcome = Ending { vector, error_code, address, state: after, chunks };
        Some((Case { code, state, patches }, outcome))
    }

    fn patch(&mut self) -> Option<Patch> {
        Some(Patch { address: self.word()?, bytes: self.bytes()?.to_vec() })
    }

    fn chunk(&mut self) -> Option<Chunk> {
        let address = self.word()?;
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(Chunk { address, bytes: *bytes })
    }

    fn word(&mut self) -> Option<u32> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    /// Reads what [`write_sparse`] wrote over `known`.
    fn sparse(&mut self, known: &[u8]) -> Option<Vec<u8>> {
        let mut value = known.to_vec();
        let mut at = 0usize;
        while at < value.len() {
            at = at.checked_add(usize::try_from(self.number()?).ok()?)?;
            for byte in self.bytes()? {
                *value.get_mut(at)? ^= byte;
                at += 1;
            }
        }
        (at == value.len()).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Generator, Scope};

    #[test]
    fn what_is_written_is_read_back() {
        let generator = Generator::new(Scope::All, 7);
        let mut writer = Writer::default();
        let mut cases = Vec::new();
        for case in (0..500).filter_map(|number| generator.case(number)) {
            let chunks = vec![Chunk { address: 0x4000_0010, bytes: [5; 16] }];
            let state =
                cases.last().map_or_else(fresh_state, |(case, _): &(Case, Ending)| case.state.clone());
            let outcome = Ending { vector: 14, error_code: 6, address: 0xffff_fff0, state, chunks };
            writer.push(&case, &outcome);
            cases.push((case, outcome));
        }
        let read = read(&writer.finish()).expect("readable");
        assert_eq!(read.len(), cases.len());
        for ((case, outcome), (expected_case, expected_outcome)) in read.iter().zip(&cases) {
            assert_eq!(case, expected_case);
            assert_eq!(registers(&outcome.state), registers(&expected_outcome.state));
            assert_eq!(outcome.chunks, expected_outcome.chunks);
        }
    }

    #[test]
    fn damage_is_reported() {
        let generator = Generator::new(Scope::All, 7);
        let case = (0..).find_map(|number| generator.case(number)).expect("a case");
        let outcome =
            Ending { vector: 3, error_code: 0, address: 0, state: case.state.clone(), chunks: vec![] };
        let mut writer = Writer::default();
        writer.push(&case, &outcome);
        let bytes = writer.finish();
        assert_eq!(read(b"something"), Err(RecordingError::Magic));
        for length in MAGIC.len() + 1..bytes.len() {
            assert_eq!(read(&bytes[..length]), Err(RecordingError::Damaged(0)), "cut to {length} bytes");
        }
    }
}
