//! The source as a whole: labels, directives, sections, and passes until nothing moves.

use std::collections::HashMap;

use crate::encode::{Refusal, Request, encode};
use crate::error::{Mistake, SourceError};
use crate::expression::{Names, Reader, Value};
use crate::statement::instruction;
use crate::token::{Token, Tokens, tokens};

/// Machine code with the addresses of its labels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    origin: u32,
    bytes: Vec<u8>,
    labels: Vec<(String, u32)>,
}

impl Program {
    /// The address of the first byte: `org`, or 0.
    #[must_use]
    pub const fn origin(&self) -> u32 {
        self.origin
    }

    /// The bytes, sections one after the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The address of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<u32> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, address)| *address)
    }

    /// Every label with its address, in the order of the source.
    pub fn labels(&self) -> impl Iterator<Item = (&str, u32)> {
        self.labels.iter().map(|(name, address)| (name.as_str(), *address))
    }
}

/// A line that is not empty.
struct Line {
    /// From 1.
    number: usize,
    characters: usize,
    label: Option<String>,
    tokens: Tokens,
    /// Its branch does not fit the short form: it keeps the long one.
    long: bool,
}

/// The bytes of one section.
#[derive(Default)]
struct Section {
    name: String,
    bytes: Vec<u8>,
    /// Its address, as of the last pass.
    start: u32,
}

/// Most bytes of a program.
const MOST_BYTES: usize = 1 << 28;

/// Most times that a source is gone through.
const MOST_PASSES: usize = 1000;

/// Most lines of a source: every pass goes through them.
const MOST_LINES: usize = 1 << 20;

/// Where sections begin, other than the first.
const SECTION_ALIGNMENT: u32 = 16;

/// Assembles a source.
///
/// # Errors
/// The first mistake, with its line and column.
pub fn assemble(source: &str) -> Result<Program, SourceError> {
    let mut lines = lines(source)?;
    let mut assembly =
        Assembly { names: Names::default(), sections: Vec::new(), labels: Vec::new(), origin: 0 };
    // Every pass makes a branch long or is the last but one, and none gets shorter again; only what
    // makes room by labels can go on for ever.
    for _ in 0..lines.len().min(MOST_PASSES) + 4 {
        let before = assembly.labels.clone();
        let grown = assembly.pass(&mut lines)?;
        let settled = before == assembly.labels && !grown;
        if settled && assembly.names.complete {
            return Ok(assembly.program());
        }
        assembly.names.complete |= settled || !before.is_empty();
    }
    Err(Mistake::new(0, "the addresses of labels depend on themselves").on_line(1))
}

/// Reads lines and their labels.
fn lines(source: &str) -> Result<Vec<Line>, SourceError> {
    let mut found: Vec<Line> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (index, text) in source.lines().enumerate() {
        let number = index + 1;
        if number > MOST_LINES {
            let reason = format!("more than {MOST_LINES} lines");
            return Err(Mistake::new(0, reason).on_line(number));
        }
        let mut words = tokens(text).map_err(|mistake| mistake.on_line(number))?;
        let label = match words.as_slice() {
            [(column, Token::Name(name)), (_, Token::Sign(':')), ..]
                if crate::operand::register(name).is_none() =>
            {
                if let Some(first) = known.insert(name.clone(), number) {
                    let reason = format!("'{name}' is a label on line {first}, too");
                    return Err(Mistake::new(*column, reason).on_line(number));
                }
                Some(name.clone())
            }
            _ => None,
        };
        if label.is_some() {
            words.drain(..2);
        }
        if label.is_some() || !words.is_empty() {
            let characters = text.chars().count();
            found.push(Line { number, characters, label, tokens: words, long: false });
        }
    }
    Ok(found)
}

/// What a pass works on.
struct Assembly {
    names: Names,
    sections: Vec<Section>,
    labels: Vec<(String, u32)>,
    origin: u32,
}

impl Assembly {
    /// Goes through all lines once; whether a branch had to become long.
    fn pass(&mut self, lines: &mut [Line]) -> Result<bool, SourceError> {
        let starts: Vec<(String, u32)> =
            self.sections.iter().map(|section| (section.name.clone(), section.start)).collect();
        self.sections = vec![Section { name: ".text".into(), bytes: Vec::new(), start: self.origin }];
        self.labels.clear();
        let mut constants: HashMap<String, usize> = HashMap::new();
        let mut current = 0;
        let mut grown = false;
        for line in lines {
            let here = self.here(current);
            self.names.here = here;
            self.names.section = self.sections[current].start;
            if let Some(label) = &line.label {
                self.names.values.insert(label.clone(), Value { number: here.into(), moves: true });
                self.labels.push((label.clone(), here));
            }
            let mut reader = Reader { tokens: &line.tokens, at: 0, end: line.characters };
            let number = line.number;
            let outcome = match directive(&mut reader) {
                Some(Directive::Section) => {
                    self.section(&mut reader, &starts).map(|section| current = section)
                }
                Some(Directive::Constant(name)) => self.constant(&mut reader, name, &mut constants, number),
                Some(Directive::Other(word)) => self.directive(&mut reader, &word, current),
                None if reader.is_at_end() => Ok(()),
                None => self.instruction(&mut reader, current, &mut line.long).map(|long| grown |= long),
            };
            // What depends on labels without an address is a mistake only once they have one.
            if let (Err(mistake), true) = (outcome, self.names.complete) {
                return Err(mistake.on_line(number));
            }
            if self.sections.iter().map(|section| section.bytes.len()).sum::<usize>() > MOST_BYTES {
                return Err(Mistake::new(0, "the program is too large").on_line(number));
            }
        }
        self.place_sections();
        Ok(grown)
    }

    /// The address of the next byte of a section.
    fn here(&self, section: usize) -> u32 {
        self.sections[section].start.wrapping_add(self.sections[section].bytes.len() as u32)
    }

    /// Puts sections behind each other.
    fn place_sections(&mut self) {
        let mut at = self.origin;
        for section in &mut self.sections {
            if at != self.origin {
                at = at.next_multiple_of(SECTION_ALIGNMENT);
            }
            section.start = at;
            at = at.wrapping_add(section.bytes.len() as u32);
        }
    }

    fn program(self) -> Program {
        let mut bytes = Vec::new();
        for section in self.sections.iter().filter(|section| !section.bytes.is_empty()) {
            bytes.resize(section.start.wrapping_sub(self.origin) as usize, 0);
            bytes.extend(&section.bytes);
        }
        Program { origin: self.origin, bytes, labels: self.labels }
    }

    /// `section NAME`: goes on where that section has been left.
    fn section(&mut self, reader: &mut Reader<'_>, starts: &[(String, u32)]) -> Result<usize, Mistake> {
        let column = reader.column();
        let Some(Token::Name(name)) = reader.next() else {
            return Err(Mistake::new(column, "a section's name expected"));
        };
        if !reader.is_at_end() {
            return Err(Mistake::new(reader.column(), "nothing more expected"));
        }
        if let Some(found) = self.sections.iter().position(|section| section.name == *name) {
            return Ok(found);
        }
        let start = starts.iter().find(|(known, _)| known == name).map_or(self.origin, |(_, start)| *start);
        self.sections.push(Section { name: name.clone(), bytes: Vec::new(), start });
        Ok(self.sections.len() - 1)
    }

    /// `NAME equ EXPRESSION`.
    fn constant(
        &mut self,
        reader: &mut Reader<'_>,
        name: String,
        constants: &mut HashMap<String, usize>,
        line: usize,
    ) -> Result<(), Mistake> {
        let taken = constants.insert(name.clone(), line).map(|first| format!("on line {first}"));
        let label = self.labels.iter().any(|(label, _)| *label == name).then(|| "as a label".to_owned());
        if let Some(place) = taken.or(label) {
            return Err(Mistake::new(0, format!("'{name}' is defined {place}, too")));
        }
        let value = reader.expression(&self.names)?;
        self.names.values.insert(name, value);
        if reader.is_at_end() { Ok(()) } else { Err(Mistake::new(reader.column(), "nothing more expected")) }
    }

    fn directive(&mut self, reader: &mut Reader<'_>, word: &str, current: usize) -> Result<(), Mistake> {
        match word {
            "db" => self.data(reader, current, 1),
            "dw" => self.data(reader, current, 2),
            "dd" => self.data(reader, current, 4),
            "dq" => self.data(reader, current, 8),
            "org" => {
                let column = reader.column();
                let value = reader.expression(&self.names)?;
                let address = u32::try_from(value.number)
                    .map_err(|_| Mistake::new(column, "an address has 32 bits"))?;
                if self.sections.iter().any(|section| !section.bytes.is_empty()) {
                    return Err(Mistake::new(column, "org belongs before the first byte"));
                }
                self.origin = address;
                self.sections[current].start = address;
                for (_, label) in &mut self.labels {
                    *label = address;
                }
                Ok(())
            }
            "align" => {
                let column = reader.column();
                let value = reader.expression(&self.names)?.number;
                let alignment = u32::try_from(value).ok().filter(|value| value.is_power_of_two());
                let alignment =
                    alignment.ok_or_else(|| Mistake::new(column, "an alignment is a power of two"))?;
                let padding = self.here(current).wrapping_neg() & (alignment - 1);
                self.fill(current, padding.into(), column)
            }
            "resb" | "resw" | "resd" | "times" => self.repeated(reader, word, current),
            // 32-bit code is what there is, and every label can be seen.
            "bits" | "use32" | "global" => {
                let column = reader.column();
                if word == "bits" && reader.expression(&self.names)?.number != 32 {
                    return Err(Mistake::new(column, "only 32-bit code"));
                }
                reader.at = reader.tokens.len();
                Ok(())
            }
            _ => Err(Mistake::new(0, format!("no directive '{word}'"))),
        }?;
        if reader.is_at_end() { Ok(()) } else { Err(Mistake::new(reader.column(), "nothing more expected")) }
    }

    /// Zeros.
    fn fill(&mut self, current: usize, count: i64, column: usize) -> Result<(), Mistake> {
        let bytes = &mut self.sections[current].bytes;
        let length = usize::try_from(count).ok().and_then(|count| bytes.len().checked_add(count));
        let length = length.filter(|length| *length <= MOST_BYTES);
        bytes.resize(
            length.ok_or_else(|| Mistake::new(column, "no number of bytes that there is room for"))?,
            0,
        );
        Ok(())
    }

    /// `resb`, `resw`, `resd`: room; `times N db ...`: data over and over.
    fn repeated(&mut self, reader: &mut Reader<'_>, word: &str, current: usize) -> Result<(), Mistake> {
        let column = reader.column();
        let count = reader.expression(&self.names)?.number;
        let unit = match word {
            "resb" => 1,
            "resw" => 2,
            "resd" => 4,
            _ => {
                let start = self.sections[current].bytes.len();
                let size = match reader.name().as_deref() {
                    Some("db") => 1,
                    Some("dw") => 2,
                    Some("dd") => 4,
                    Some("dq") => 8,
                    _ => return Err(Mistake::new(reader.column(), "times repeats db, dw, dd and dq")),
                };
                reader.at += 1;
                self.data(reader, current, size)?;
                let data = self.sections[current].bytes.split_off(start);
                let total = usize::try_from(count).ok().and_then(|count| count.checked_mul(data.len()));
                let total = total.filter(|total| *total <= MOST_BYTES);
                let total =
                    total.ok_or_else(|| Mistake::new(column, "no number of times that there is room for"))?;
                self.sections[current].bytes.extend(data.iter().copied().cycle().take(total));
                return Ok(());
            }
        };
        self.fill(current, count.saturating_mul(unit), column)
    }

    /// Numbers and texts.
    fn data(&mut self, reader: &mut Reader<'_>, current: usize, size: usize) -> Result<(), Mistake> {
        loop {
            let column = reader.column();
            if let Some(Token::Text(text)) = reader.peek()
                && matches!(reader.tokens.get(reader.at + 1), None | Some((_, Token::Sign(','))))
            {
                reader.at += 1;
                let bytes = &mut self.sections[current].bytes;
                bytes.extend(text);
                bytes.resize(bytes.len() + text.len().next_multiple_of(size) - text.len(), 0);
            } else {
                let number = reader.expression(&self.names)?.number;
                let bits = 8 * size as u32;
                if bits < 64 && !(-(1_i64 << (bits - 1))..1_i64 << bits).contains(&number) {
                    return Err(Mistake::new(column, format!("{number} does not fit in {bits} bits")));
                }
                self.sections[current].bytes.extend(&number.to_le_bytes()[..size]);
            }
            if reader.is_at_end() {
                return Ok(());
            }
            reader.expect(',')?;
        }
    }

    /// One instruction; whether its branch had to become long.
    fn instruction(
        &mut self,
        reader: &mut Reader<'_>,
        current: usize,
        long: &mut bool,
    ) -> Result<bool, Mistake> {
        let column = reader.column();
        let requests = instruction(reader, &self.names)?;
        let address = self.here(current);
        let attempt = |long: bool| {
            let mut refusal = Refusal::NoSuchOperands;
            for request in &requests {
                match encode(request, address, long) {
                    Ok(bytes) => return Ok(bytes),
                    Err(Refusal::NoSuchOperands) => {}
                    Err(other) => refusal = other,
                }
            }
            Err(refusal)
        };
        let mut bytes = attempt(*long);
        let mut grown = false;
        if !*long
            && let Err(Refusal::Impossible(_)) = bytes
            && let Ok(long_form) = attempt(true)
        {
            bytes = Ok(long_form);
            grown = true;
            *long = true;
        }
        // A short form that fits is the shortest; one that once did not fit stays long, or passes
        // could go on for ever.
        if !*long
            && let Ok(short) = &bytes
            && is_long_branch(&requests, short)
        {
            *long = true;
            grown = true;
        }
        let bytes = bytes.map_err(|refusal| Mistake::new(column, refused(&refusal, &requests)))?;
        self.sections[current].bytes.extend(bytes);
        Ok(grown)
    }
}

/// Whether a branch that has a short form got the long one.
fn is_long_branch(requests: &[Request], bytes: &[u8]) -> bool {
    let branches = requests.iter().any(|request| {
        request.mnemonic == "jmp" || request.mnemonic.starts_with('j') && !request.mnemonic.ends_with("cxz")
    });
    let near = match bytes.iter().position(|byte| !matches!(byte, 0x66 | 0x67 | 0x2e | 0x3e | 0xf2)) {
        Some(at) => bytes[at] == 0xe9 || bytes[at] == 0x0f,
        None => false,
    };
    branches && near
}

/// What to tell about an instruction that has no encoding.
fn refused(refusal: &Refusal, requests: &[Request]) -> String {
    let mnemonic = requests.first().map(|request| request.mnemonic.clone()).unwrap_or_default();
    match refusal {
        Refusal::NoSuchMnemonic => format!("no instruction '{mnemonic}'"),
        Refusal::NoSuchOperands => format!("'{mnemonic}' does not take such operands"),
        Refusal::UnknownSize => {
            "how many bytes? say byte, word, dword... before the memory operand".to_owned()
        }
        Refusal::Impossible(reason) => format!("'{mnemonic}' cannot be encoded: {}", reason.to_lowercase()),
    }
}

/// What a line begins with that is no instruction.
enum Directive {
    Section,
    /// `NAME equ`.
    Constant(String),
    Other(String),
}

/// Takes the words of a directive.
fn directive(reader: &mut Reader<'_>) -> Option<Directive> {
    const OTHERS: [&str; 13] =
        ["db", "dw", "dd", "dq", "org", "align", "resb", "resw", "resd", "times", "bits", "use32", "global"];
    let name = reader.name()?;
    let Some(Token::Name(written)) = reader.peek() else { return None };
    if let Some((_, Token::Name(second))) = reader.tokens.get(reader.at + 1)
        && second.eq_ignore_ascii_case("equ")
    {
        reader.at += 2;
        return Some(Directive::Constant(written.clone()));
    }
    let found = match name.as_str() {
        "section" | "segment" => Directive::Section,
        word if OTHERS.contains(&word) => Directive::Other(word.to_owned()),
        _ => return None,
    };
    reader.at += 1;
    Some(found)
}
