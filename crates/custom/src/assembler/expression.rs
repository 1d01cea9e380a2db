//! Values in assembly: sums of numbers, constants, labels and `.`, the address of the statement.

use std::collections::HashMap;

use super::place::{Misplaced, SourcePlace};
use crate::tokens::{Kind, Token};

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Symbol {
    /// Nothing yet.
    Open,
    Constant(i128),
    /// The address of an item, by its number.
    Label(usize),
}

/// All names of a source.
#[derive(Default)]
pub(super) struct Symbols {
    numbers: HashMap<String, u32>,
    names: Vec<(String, Symbol)>,
}

impl Symbols {
    /// The number of a name.
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.numbers.insert(name.to_owned(), number);
        self.names.push((name.to_owned(), Symbol::Open));
        number
    }

    /// Gives a name its meaning; whether it had none.
    pub(super) fn define(&mut self, name: &str, symbol: Symbol) -> bool {
        let number = self.number(name);
        match self.names.get_mut(number as usize) {
            Some((_, open @ Symbol::Open)) => {
                *open = symbol;
                true
            }
            _ => false,
        }
    }

    fn get(&self, number: u32) -> (&str, Symbol) {
        self.names.get(number as usize).map_or(("?", Symbol::Open), |(name, symbol)| (name.as_str(), *symbol))
    }
}

/// A sum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Expression {
    pub(super) place: SourcePlace,
    constant: i128,
    /// Names, and whether each is subtracted.
    terms: Vec<(u32, bool)>,
    /// How often `.` is in the sum.
    here: i64,
}

impl Expression {
    /// A sum of one number.
    pub(super) fn constant(place: SourcePlace, constant: i128) -> Self {
        Self { place, constant, terms: Vec::new(), here: 0 }
    }

    /// Reads the longest sum at the start of `tokens` and says how many it takes; nothing if there is
    /// none. A word for which `is_name` is false ends it.
    pub(super) fn parse(
        tokens: &[Token],
        place: SourcePlace,
        symbols: &mut Symbols,
        is_name: impl Fn(&str) -> bool,
    ) -> Option<(Self, usize)> {
        let mut sum = Self::constant(place, 0);
        let mut taken = 0;
        loop {
            let mut minus = false;
            let mut at = taken;
            while let Some(Kind::Punctuation(sign @ ('-' | '+'))) = tokens.get(at).map(|token| &token.kind) {
                minus ^= *sign == '-';
                at += 1;
            }
            // Behind the first term comes another one only after a sign.
            if taken > 0 && at == taken {
                return Some((sum, taken));
            }
            match tokens.get(at).map(|token| &token.kind) {
                Some(Kind::Number(value)) => {
                    sum.constant += if minus { -i128::from(*value) } else { i128::from(*value) }
                }
                Some(Kind::Word(word)) if word == "." => sum.here += if minus { -1 } else { 1 },
                Some(Kind::Word(word)) if is_name(word) => sum.terms.push((symbols.number(word), minus)),
                _ => return None,
            }
            taken = at + 1;
        }
    }

    /// The value, with `addresses` for labels by their items and `here` for `.`.
    pub(super) fn value(
        &self,
        symbols: &Symbols,
        here: Option<u64>,
        address: impl Fn(usize) -> Option<u64>,
    ) -> Result<i128, Misplaced> {
        let mut value = self.constant;
        if self.here != 0 {
            let here = here.ok_or_else(|| self.place.error("'.' has no meaning here"))?;
            value += i128::from(self.here) * i128::from(here);
        }
        for (number, minus) in &self.terms {
            let (name, symbol) = symbols.get(*number);
            let term = match symbol {
                Symbol::Open => return Err(self.place.error(format!("'{name}' is not defined"))),
                Symbol::Constant(value) => value,
                Symbol::Label(item) => address(item).map(i128::from).ok_or_else(|| {
                    self.place.error(format!(
                        "the label '{name}' has no address yet; a constant is known before it"
                    ))
                })?,
            };
            let term = if *minus { term.checked_neg() } else { Some(term) };
            let sum = term.and_then(|term| value.checked_add(term));
            value = sum.ok_or_else(|| self.place.error("this value is too large"))?;
        }
        Ok(value)
    }
}
