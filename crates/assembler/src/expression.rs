//! Numbers that a line calculates.

use std::collections::HashMap;

use crate::error::Mistake;
use crate::token::Token;

/// What names stand for while a line is assembled.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Constants (`equ`), and labels as far as their addresses are known.
    pub(crate) values: HashMap<String, Value>,
    /// The address of the line.
    pub(crate) here: u32,
    /// The address of its section's first byte.
    pub(crate) section: u32,
    /// Every label has an address: a name without one is a mistake.
    pub(crate) complete: bool,
}

/// A number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Value {
    pub(crate) number: i64,
    /// It follows from an address, and may be another one in the next pass.
    pub(crate) moves: bool,
}

impl Value {
    pub(crate) const fn constant(number: i64) -> Self {
        Self { number, moves: false }
    }
}

/// Words of a line that are being read.
pub(crate) struct Reader<'a> {
    pub(crate) tokens: &'a [(usize, Token)],
    pub(crate) at: usize,
    /// Characters of the line: where what is missing would be.
    pub(crate) end: usize,
}

/// Parentheses within each other.
const DEEPEST: usize = 64;

impl<'a> Reader<'a> {
    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    /// Characters before the next word.
    pub(crate) fn column(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |(column, _)| *column)
    }

    pub(crate) fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    /// Takes a sign if it comes next.
    pub(crate) fn take(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, sign: char) -> Result<(), Mistake> {
        if self.take(sign) { Ok(()) } else { Err(Mistake::new(self.column(), format!("'{sign}' expected"))) }
    }

    /// The next word if it is a name, in lower case.
    pub(crate) fn name(&self) -> Option<String> {
        match self.peek() {
            Some(Token::Name(name)) => Some(name.to_ascii_lowercase()),
            _ => None,
        }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Reads an expression.
    pub(crate) fn expression(&mut self, names: &Names) -> Result<Value, Mistake> {
        self.level(0, names, 0)
    }

    pub(crate) fn level(&mut self, level: usize, names: &Names, depth: usize) -> Result<Value, Mistake> {
        /// From the weakest to the strongest.
        const OPERATORS: [&[char]; 5] = [&['|', '^'], &['&'], &['<', '>'], &['+', '-'], &['*', '/', '%']];
        let Some(operators) = OPERATORS.get(level) else { return self.atom(names, depth) };
        let mut left = self.level(level + 1, names, depth)?;
        while let Some(Token::Sign(sign)) = self.peek().filter(|token| is_one_of(token, operators)) {
            let column = self.column();
            self.at += 1;
            let right = self.level(level + 1, names, depth)?;
            left = Value {
                number: apply(*sign, left.number, right.number)
                    .ok_or_else(|| Mistake::new(column, "division by zero"))?,
                // The distance of two labels is as good as a constant only once both are known.
                moves: left.moves || right.moves,
            };
        }
        Ok(left)
    }

    fn atom(&mut self, names: &Names, depth: usize) -> Result<Value, Mistake> {
        let column = self.column();
        if depth > DEEPEST {
            return Err(Mistake::new(column, "an expression that is too deep"));
        }
        match self.next() {
            Some(Token::Number(number)) => Ok(Value::constant(*number as i64)),
            Some(Token::Text(text)) if (1..=8).contains(&text.len()) => {
                let number = text.iter().rev().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
                Ok(Value::constant(number))
            }
            Some(Token::Sign('-')) => {
                let value = self.atom(names, depth + 1)?;
                Ok(Value { number: value.number.wrapping_neg(), ..value })
            }
            Some(Token::Sign('+')) => self.atom(names, depth + 1),
            Some(Token::Sign('~')) => {
                let value = self.atom(names, depth + 1)?;
                Ok(Value { number: !value.number, ..value })
            }
            Some(Token::Sign('(')) => {
                let value = self.level(0, names, depth + 1)?;
                self.expect(')')?;
                Ok(value)
            }
            Some(Token::Name(name)) => lookup(name, names)
                .ok_or_else(|| Mistake::new(column, format!("no label or constant '{name}'"))),
            _ => Err(Mistake::new(column, "a number expected")),
        }
    }
}

fn is_one_of(token: &Token, signs: &[char]) -> bool {
    matches!(token, Token::Sign(sign) if signs.contains(sign))
}

fn lookup(name: &str, names: &Names) -> Option<Value> {
    match name {
        "$" => Some(Value { number: names.here.into(), moves: true }),
        "$$" => Some(Value { number: names.section.into(), moves: true }),
        _ => match names.values.get(name) {
            Some(value) => Some(*value),
            // Its address is not known yet: what it is near to is a guess as good as any.
            None if !names.complete => Some(Value { number: names.here.into(), moves: true }),
            None => None,
        },
    }
}

fn apply(operator: char, left: i64, right: i64) -> Option<i64> {
    Some(match operator {
        '+' => left.wrapping_add(right),
        '-' => left.wrapping_sub(right),
        '*' => left.wrapping_mul(right),
        '/' => left.checked_div(right)?,
        '%' => left.checked_rem(right)?,
        '&' => left & right,
        '|' => left | right,
        '^' => left ^ right,
        '<' => left.checked_shl(right.try_into().unwrap_or(64)).unwrap_or(0),
        _ => left.checked_shr(right.try_into().unwrap_or(64)).unwrap_or(0),
    })
}
