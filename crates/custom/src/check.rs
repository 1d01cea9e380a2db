//! A description's checks, and what it is compiled to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bounds;
use crate::encoding::{Alphabet, Encoding};
use crate::language::{Binding, Names, compile};
use crate::operation::{FLAG_SLOTS, IP_SLOT, Size, Slot, mask};
use crate::set::{CompiledEffect, CompiledRow, Definition, OperandShape, Register, StackShape};
use crate::syntax::Syntax;
use crate::tokens::is_name;
use crate::{Description, Effect, InstructionSet, OperandForm, OperandKind, Row, SetError, Stack};

impl Description {
    /// Checks the description and compiles its effects.
    ///
    /// # Errors
    /// What is wrong, and in which part.
    pub fn build(&self) -> Result<InstructionSet, SetError> {
        Ok(InstructionSet { inner: Arc::new(check(self)?) })
    }
}

impl InstructionSet {
    /// The set that TOML text describes.
    ///
    /// # Errors
    /// What is wrong, with the line or the key.
    pub fn from_toml(text: &str) -> Result<Self, SetError> {
        Description::from_toml(text)?.build()
    }

    /// The set that TOML text describes after some changes, see [`Description::from_toml_with`].
    ///
    /// # Errors
    /// What is wrong with the text or with a change.
    pub fn from_toml_with(text: &str, changes: &[&str]) -> Result<Self, SetError> {
        Description::from_toml_with(text, changes)?.build()
    }
}

type Checked<T> = Result<T, SetError>;

fn refuse<T>(place: impl Into<String>, reason: impl Into<String>) -> Checked<T> {
    Err(SetError::new(place, reason))
}

/// Checks everything and compiles the effects.
fn check(description: &Description) -> Checked<Definition> {
    let (unit, word_bits) = unit(description)?;
    if description.memory == 0 || u64::from(description.memory) * u64::from(unit) > bounds::MEMORY_BYTES {
        return refuse(
            "memory",
            format!("1 to {} units of {unit} bytes", bounds::MEMORY_BYTES / u64::from(unit)),
        );
    }
    let mut registers = registers(description)?;
    let (ip, ip_width) = instruction_pointer(description, &mut registers)?;
    let stack = description
        .stack
        .as_ref()
        .map(|stack| shape(stack, description, &registers, word_bits))
        .transpose()?;
    let mut definition = Definition {
        name: description.name.clone(),
        about: description.about.clone(),
        registers,
        flags: description.flags.clone(),
        memory: description.memory,
        unit,
        word: description.word,
        endian: description.endian,
        ip,
        ip_width,
        stack,
        status_max: description.status_max,
        at_end: description.at_end,
        rows: Vec::new(),
        index: Vec::new(),
        mnemonics: BTreeMap::new(),
        reasons: Vec::new(),
    };
    names_are_distinct(description, &definition)?;
    rows(description, &mut definition)?;
    definition.index = index(description, &definition.rows)?;
    Ok(definition)
}

/// Bytes of a unit of addresses, and bits of a word where there are words.
fn unit(description: &Description) -> Checked<(u32, Option<u32>)> {
    match description.word {
        None => Ok((1, None)),
        Some(digits @ 1..=16) => {
            let bits = u32::from(digits) * 4;
            Ok((bits.next_power_of_two().max(8) / 8, Some(bits)))
        }
        Some(digits) => refuse("word", format!("{digits} hexadecimal digits; 1 to 16")),
    }
}

fn registers(description: &Description) -> Checked<Vec<Register>> {
    if !(1..=64).contains(&description.width) {
        return refuse("width", format!("{} bits; 1 to 64", description.width));
    }
    if description.registers.len() >= bounds::REGISTERS {
        return refuse("registers", format!("at most {}", bounds::REGISTERS - 1));
    }
    if description.flags.len() > bounds::FLAGS {
        return refuse("flags", format!("at most {}", bounds::FLAGS));
    }
    let parse = |(slot, text): (usize, &String)| {
        let (name, width) = match text.split_once(':') {
            None => (text.as_str(), Some(description.width)),
            Some((name, bits)) => (name, bits.trim().parse().ok().filter(|bits| (1..=64).contains(bits))),
        };
        match width {
            Some(width) => Ok(Register { name: name.trim().to_owned(), width, slot: slot as Slot }),
            None => refuse("registers", format!("'{text}': give name or name:bits with 1 to 64 bits")),
        }
    };
    description.registers.iter().enumerate().map(parse).collect()
}

/// The slot and width of the instruction pointer, which becomes a register if it is none.
fn instruction_pointer(description: &Description, registers: &mut Vec<Register>) -> Checked<(Slot, u8)> {
    let name = description.ip.as_deref().unwrap_or("ip");
    let needed = (32 - (description.memory - 1).leading_zeros()).max(1) as u8;
    match registers.iter().find(|register| register.name == name) {
        Some(register) if register.width < needed => {
            refuse("ip", format!("{} bits do not reach all of memory, which takes {needed}", register.width))
        }
        Some(register) => Ok((register.slot, register.width)),
        None if description.ip.is_some() => refuse("ip", format!("no register '{name}'")),
        None => {
            let width = description.width.max(needed.next_power_of_two().max(8));
            registers.push(Register { name: name.to_owned(), width, slot: IP_SLOT });
            Ok((IP_SLOT, width))
        }
    }
}

fn shape(
    stack: &Stack,
    description: &Description,
    registers: &[Register],
    word_bits: Option<u32>,
) -> Checked<StackShape> {
    let width = stack.width.unwrap_or(description.width);
    if !(1..=64).contains(&width) || stack.entries == 0 || stack.entries > bounds::STACK_ENTRIES {
        return refuse("stack", format!("1 to {} entries of 1 to 64 bits", bounds::STACK_ENTRIES));
    }
    let Some(name) = &stack.register else {
        return Ok(StackShape { entries: stack.entries, width, register: None });
    };
    let Some(register) = registers.iter().find(|register| register.name == *name) else {
        return refuse("stack.register", format!("no register '{name}'"));
    };
    if description.ip.as_ref().map_or("ip", String::as_str) == name.as_str() {
        return refuse("stack.register", "the instruction pointer cannot be the stack pointer");
    }
    let units = match (word_bits, Size::of_bits(width)) {
        (Some(bits), _) if bits == u32::from(width) => 1,
        (None, Some(size)) => size.bytes(),
        _ => return refuse("stack.width", format!("{width} bits; in memory 8, 16, 32 or 64, or a word")),
    };
    if u64::from(stack.entries) * u64::from(units) > u64::from(description.memory) {
        return refuse("stack.entries", "more than memory has room for");
    }
    // The end of memory may be the stack pointer's 0, but then a full stack must not be 0 as well.
    let reach = mask(register.width);
    if u64::from(description.memory - 1) > reach || u64::from(stack.entries) * u64::from(units) > reach {
        return refuse(
            "stack.register",
            format!("{} bits of '{name}' do not reach the whole stack", register.width),
        );
    }
    Ok(StackShape { entries: stack.entries, width, register: Some(register.slot) })
}

/// Refuses names that are none, and names that two things have.
fn names_are_distinct(description: &Description, definition: &Definition) -> Checked<()> {
    let registers = definition.registers.iter().map(|register| ("registers", &register.name));
    let flags = definition.flags.iter().map(|flag| ("flags", flag));
    let operands = description.operands.keys().map(|name| ("operands", name));
    let mut seen = BTreeSet::new();
    for (place, name) in registers.chain(flags).chain(operands) {
        if !is_name(name) || name.starts_with('.') {
            return refuse(
                place,
                format!("'{name}' is no name: letters, digits and _, at most {}", bounds::NAME),
            );
        }
        if crate::language::is_reserved(name) {
            return refuse(place, format!("'{name}' is a word of the effect language"));
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return refuse(place, format!("'{name}' names something else already"));
        }
    }
    for name in description.opcodes.keys() {
        if !is_name(name) || description.operands.contains_key(name) {
            return refuse("opcodes", format!("'{name}' is no name, or that of an operand"));
        }
    }
    Ok(())
}

fn rows(description: &Description, definition: &mut Definition) -> Checked<()> {
    if description.instructions.is_empty() || description.instructions.len() > bounds::ROWS {
        return refuse("instructions", format!("1 to {} rows", bounds::ROWS));
    }
    for row in &description.instructions {
        let compiled =
            compile_row(row, description, definition).map_err(|reason| SetError::new(&row.syntax, reason))?;
        let number = definition.rows.len() as u16;
        let same = definition.mnemonics.entry(compiled.syntax.mnemonic.clone()).or_default();
        if same.len() == bounds::ROWS_OF_A_MNEMONIC {
            return refuse(
                &row.syntax,
                format!("at most {} rows with one mnemonic", bounds::ROWS_OF_A_MNEMONIC),
            );
        }
        same.push(number);
        definition.rows.push(compiled);
    }
    Ok(())
}

fn compile_row(
    row: &Row,
    description: &Description,
    definition: &mut Definition,
) -> Result<CompiledRow, String> {
    let alphabet = Alphabet {
        opcodes: &description.opcodes,
        operands: &description.operands,
        word_bits: description.word.map(|digits| u32::from(digits) * 4),
        endian: description.endian,
    };
    let encoding = Encoding::parse(&row.code, &alphabet)?;
    let kind = |name: &str| description.operands.get(name).map(|form| form.kind);
    let syntax = Syntax::parse(&row.syntax, &encoding.fields, kind)?;
    let mut names = names(definition);
    let mut operands = Vec::new();
    for (position, field) in encoding.fields.iter().enumerate() {
        let Some(form) = description.operands.get(&field.name) else { continue };
        let operand = operand(form, field.bits, description, definition)
            .map_err(|reason| format!("operand '{}': {reason}", field.name))?;
        let binding = Binding::Operand {
            position: position as u8,
            width: operand.width,
            register: operand.kind == OperandKind::Register,
        };
        names.bindings.insert(field.name.clone(), binding);
        operands.push(operand);
    }
    let effect = match &row.effect {
        Effect::Native(effect) => CompiledEffect::Native(Arc::clone(effect)),
        Effect::Text(text) => {
            let template = compile(text, &names, &mut definition.reasons);
            CompiledEffect::Ops(
                template.map_err(|bad| format!("effect, {}: {}", position(text, bad.at), bad.reason))?,
            )
        }
    };
    Ok(CompiledRow { syntax, encoding, operands, effect })
}

/// Line and column of a byte in a text, for people.
fn position(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    if text.trim_end().contains('\n') {
        format!("line {line}, column {column}")
    } else {
        format!("column {column}")
    }
}

fn operand(
    form: &OperandForm,
    bits: u8,
    description: &Description,
    definition: &Definition,
) -> Result<OperandShape, String> {
    let shape = |width, registers| OperandShape { kind: form.kind, bits, width, registers };
    match form.kind {
        OperandKind::Number | OperandKind::Signed => Ok(shape(bits.max(description.width), Vec::new())),
        OperandKind::Relative => Ok(shape(definition.ip_width, Vec::new())),
        OperandKind::Register => {
            let chosen: Vec<&Register> = if form.from.is_empty() {
                definition.registers.iter().filter(|register| register.slot != IP_SLOT).collect()
            } else {
                let find = |name: &String| {
                    definition
                        .registers
                        .iter()
                        .find(|register| register.name == *name)
                        .ok_or(format!("no register '{name}'"))
                };
                form.from.iter().take(bounds::REGISTERS + 1).map(find).collect::<Result<_, _>>()?
            };
            let Some(first) = chosen.first() else { return Err("no registers to choose from".into()) };
            if chosen.len() > bounds::REGISTERS {
                return Err(format!("at most {} registers", bounds::REGISTERS));
            }
            if let Some(other) = chosen.iter().find(|register| register.width != first.width) {
                let (first, other) = (&first.name, &other.name);
                return Err(format!(
                    "'{first}' and '{other}' differ in width; name registers of one width with 'from'"
                ));
            }
            Ok(shape(first.width, chosen.iter().map(|register| register.slot).collect()))
        }
    }
}

/// What every effect of the set may name.
fn names(definition: &Definition) -> Names {
    let mut bindings = BTreeMap::new();
    for register in &definition.registers {
        bindings.insert(register.name.clone(), Binding::Place { slot: register.slot, width: register.width });
    }
    // `ip` is the instruction pointer whatever its register is called.
    bindings.entry("ip".into()).or_insert(Binding::Place { slot: definition.ip, width: definition.ip_width });
    for (position, flag) in definition.flags.iter().enumerate() {
        bindings.insert(flag.clone(), Binding::Place { slot: FLAG_SLOTS + position as Slot, width: 1 });
    }
    Names {
        bindings,
        stack: definition.stack.map(|stack| stack.width),
        unit: definition.unit_bits(),
        words: definition.word.is_some(),
    }
}

/// The rows that may match, the most specific first, for each value of the first eight bits.
fn index(description: &Description, rows: &[CompiledRow]) -> Checked<Vec<Vec<u16>>> {
    let fixed: Vec<(u128, u128)> = rows.iter().map(|row| row.encoding.aligned()).collect();
    let syntax = |number: usize| description.instructions.get(number).map_or("", |row| row.syntax.as_str());
    for (number, (mask, value)) in fixed.iter().enumerate() {
        for (other, (other_mask, other_value)) in fixed.iter().enumerate().take(number) {
            let both = mask & other_mask;
            let one_is_a_case = mask != other_mask && (both == *mask || both == *other_mask);
            if (value ^ other_value) & both == 0 && !one_is_a_case {
                return refuse(syntax(number), format!("code: some code is also '{}'", syntax(other)));
            }
        }
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order
        .sort_by_key(|number| std::cmp::Reverse(fixed.get(*number).map_or(0, |(mask, _)| mask.count_ones())));
    let rows_of = |first: u128| {
        let fits = |number: &usize| {
            fixed
                .get(*number)
                .is_some_and(|(mask, value)| ((first << 120) ^ value) & mask & (0xff << 120) == 0)
        };
        order.iter().copied().filter(fits).map(|number| number as u16).collect()
    };
    Ok((0..256).map(rows_of).collect())
}
