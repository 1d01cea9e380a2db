//! One statement to an item: labels, constants, directives, and the rows that an instruction may be.

use super::expression::{Expression, Symbol, Symbols};
use super::place::{Misplaced, SourcePlace, Statement};
use crate::set::{CompiledRow, OperandShape};
use crate::syntax::PartKind;
use crate::tokens::{Kind, Token};
use crate::{InstructionSet, OperandKind};

/// What takes up memory.
pub(super) struct Item {
    pub(super) place: SourcePlace,
    pub(super) kind: ItemKind,
}

/// What an item is.
pub(super) enum ItemKind {
    Instruction(Choice),
    /// Numbers of so many bytes each.
    Data {
        bytes: u32,
        bits: u8,
        values: Vec<Expression>,
    },
    /// Characters, one a unit.
    Text(Vec<u8>),
    /// Zeros, so many units.
    Space(u64),
}

/// The row that an instruction is for now.
pub(super) struct Choice {
    /// The row, and its position among those of the mnemonic.
    pub(super) row: u16,
    pub(super) position: usize,
    /// The value of each field.
    pub(super) values: Box<[Expression]>,
    /// Where the statement ends in its line; the item's place says where it starts.
    pub(super) end: usize,
}

/// Directives for numbers, and their bits in a set of bytes.
const NUMBERS: &[(&str, u8)] = &[(".byte", 8), (".half", 16), (".word", 32), (".quad", 64)];

impl InstructionSet {
    /// Reads one statement.
    pub(super) fn statement(
        &self,
        statement: &Statement<'_>,
        symbols: &mut Symbols,
        items: &mut Vec<Item>,
    ) -> Result<(), Misplaced> {
        let mut tokens = statement.tokens;
        while let [
            Token { kind: Kind::Word(name), at },
            Token { kind: Kind::Punctuation(':'), .. },
            rest @ ..,
        ] = tokens
        {
            self.define(name, statement.place(*at), Symbol::Label(items.len()), symbols)?;
            tokens = rest;
        }
        let Some(first) = tokens.first() else { return Ok(()) };
        let place = statement.place(first.at);
        let Kind::Word(word) = &first.kind else {
            return Err(place.error("expected a label, a directive or an instruction"));
        };
        if let [_, Token { kind: Kind::Punctuation('='), .. }, value @ ..] = tokens {
            let value = self.one_value(value, place, symbols)?.value(symbols, None, |_| None)?;
            return self.define(word, place, Symbol::Constant(value), symbols);
        }
        let kind = match word.strip_prefix('.') {
            Some(_) => self.directive(word, &tokens[1..], place, symbols)?,
            None => ItemKind::Instruction(self.instruction(tokens, place, statement.end, symbols)?),
        };
        items.push(Item { place, kind });
        Ok(())
    }

    fn define(
        &self,
        name: &str,
        place: SourcePlace,
        symbol: Symbol,
        symbols: &mut Symbols,
    ) -> Result<(), Misplaced> {
        if !self.is_symbol(name) || name == "." {
            return Err(place.error(format!("'{name}' is a register or '.', and cannot be defined")));
        }
        if !symbols.define(name, symbol) {
            return Err(place.error(format!("'{name}' is defined already")));
        }
        Ok(())
    }

    /// Whether a word can be a label or a constant: registers cannot.
    fn is_symbol(&self, word: &str) -> bool {
        !self.inner.registers.iter().any(|register| register.name.eq_ignore_ascii_case(word))
    }

    /// An expression that takes all of `tokens`.
    fn one_value(
        &self,
        tokens: &[Token],
        place: SourcePlace,
        symbols: &mut Symbols,
    ) -> Result<Expression, Misplaced> {
        let place = tokens.first().map_or(place, |token| place.beside(token));
        match Expression::parse(tokens, place, symbols, |word| self.is_symbol(word)) {
            Some((value, taken)) if taken == tokens.len() => Ok(value),
            _ => Err(place.error("expected one value: numbers, labels and constants with + and -")),
        }
    }

    fn directive(
        &self,
        name: &str,
        tokens: &[Token],
        place: SourcePlace,
        symbols: &mut Symbols,
    ) -> Result<ItemKind, Misplaced> {
        let unit = self.inner.unit_bits();
        let words = self.inner.word.is_some();
        let number = NUMBERS.iter().find(|(directive, _)| *directive == name && (!words || name == ".word"));
        if let Some((_, bits)) = number {
            let (bits, bytes) = if words { (unit, self.inner.unit) } else { (*bits, u32::from(*bits / 8)) };
            let values = tokens.split(|token| token.kind == Kind::Punctuation(','));
            let values =
                values.map(|value| self.one_value(value, place, symbols)).collect::<Result<_, _>>()?;
            return Ok(ItemKind::Data { bytes, bits, values });
        }
        match (name, tokens) {
            (".ascii" | ".asciz", [Token { kind: Kind::Text(text), .. }]) if unit >= 8 => {
                let end = (name == ".asciz").then_some(0);
                Ok(ItemKind::Text(text.iter().copied().chain(end).collect()))
            }
            (".ascii" | ".asciz", _) => {
                Err(place.error(format!("{name} takes one string, and a memory of at least 8 bits a word")))
            }
            (".space", tokens) => {
                let count = self.one_value(tokens, place, symbols)?.value(symbols, None, |_| None)?;
                let fits = u64::try_from(count).ok().filter(|count| *count <= u64::from(self.inner.memory));
                fits.map(ItemKind::Space)
                    .ok_or_else(|| place.error(format!("memory has no room for {count}")))
            }
            _ => {
                let known = if words {
                    ".word, .ascii, .asciz, .space"
                } else {
                    ".byte, .half, .word, .quad, .ascii, .asciz, .space"
                };
                Err(place.error(format!("no directive '{name}'; there are {known}")))
            }
        }
    }

    fn instruction(
        &self,
        tokens: &[Token],
        place: SourcePlace,
        end: usize,
        symbols: &mut Symbols,
    ) -> Result<Choice, Misplaced> {
        let Some(Kind::Word(word)) = tokens.first().map(|token| &token.kind) else {
            return Err(place.error("expected an instruction"));
        };
        let mnemonic = word.to_ascii_lowercase();
        let Some(rows) = self.inner.mnemonics.get(&mnemonic) else {
            let known: Vec<&str> = self.mnemonics();
            return Err(place.error(format!("no instruction '{word}'; there are {}", known.join(", "))));
        };
        match self.choose(tokens, place, 0, symbols) {
            Some((position, row, values)) => Ok(Choice { row, position, values, end }),
            None => {
                let forms = rows.iter().filter_map(|row| self.inner.rows.get(usize::from(*row)));
                let forms: Vec<String> = forms.map(CompiledRow::form).collect();
                Err(place.error(format!("'{mnemonic}' is written {}", forms.join(" or "))))
            }
        }
    }

    /// The first row of the statement's mnemonic from a position on that is written like it: its
    /// position, its number, and the value of each field.
    pub(super) fn choose(
        &self,
        tokens: &[Token],
        place: SourcePlace,
        from: usize,
        symbols: &mut Symbols,
    ) -> Option<(usize, u16, Box<[Expression]>)> {
        let Some((Token { kind: Kind::Word(word), .. }, tokens)) = tokens.split_first() else { return None };
        let rows = self.inner.mnemonics.get(&word.to_ascii_lowercase())?;
        rows.iter().enumerate().skip(from).find_map(|(position, number)| {
            let row = self.inner.rows.get(usize::from(*number))?;
            Some((position, *number, self.match_row(row, tokens, place, symbols)?))
        })
    }

    /// The value of each field, if the tokens are written as the row is.
    fn match_row(
        &self,
        row: &CompiledRow,
        mut tokens: &[Token],
        place: SourcePlace,
        symbols: &mut Symbols,
    ) -> Option<Box<[Expression]>> {
        let mut values: Vec<Option<Expression>> = vec![None; row.operands.len()];
        for part in &row.syntax.parts {
            let first = tokens.first()?;
            let taken = match &part.kind {
                PartKind::Punctuation(character) => {
                    (first.kind == Kind::Punctuation(*character)).then_some(1)
                }
                PartKind::Word(word) => {
                    matches!(&first.kind, Kind::Word(found) if found.eq_ignore_ascii_case(word)).then_some(1)
                }
                PartKind::Operand(position) => {
                    let place = place.beside(first);
                    let (value, taken) = match row.operands.get(*position)? {
                        operand if operand.kind == OperandKind::Register => {
                            (self.register(operand, first, place)?, 1)
                        }
                        _ => Expression::parse(tokens, place, symbols, |word| self.is_symbol(word))?,
                    };
                    *values.get_mut(*position)? = Some(value);
                    Some(taken)
                }
            }?;
            tokens = tokens.get(taken..)?;
        }
        if tokens.is_empty() { values.into_iter().collect() } else { None }
    }

    /// The number of the register that a token names.
    fn register(&self, operand: &OperandShape, token: &Token, place: SourcePlace) -> Option<Expression> {
        let Kind::Word(word) = &token.kind else { return None };
        let number = operand
            .registers
            .iter()
            .position(|slot| self.inner.slot_name(*slot).eq_ignore_ascii_case(word))?;
        Some(Expression::constant(place, number as i128))
    }
}

impl CompiledRow {
    /// How the row is written, for people.
    fn form(&self) -> String {
        let mut text = self.syntax.mnemonic.clone();
        for part in &self.syntax.parts {
            if part.spaced {
                text.push(' ');
            }
            match &part.kind {
                PartKind::Word(word) => text.push_str(word),
                PartKind::Punctuation(character) => text.push(*character),
                PartKind::Operand(position) => {
                    text.push_str(
                        self.encoding.fields.get(*position).map_or("?", |field| field.name.as_str()),
                    );
                }
            }
        }
        format!("'{text}'")
    }
}
