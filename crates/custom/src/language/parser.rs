//! Effect text to tree.

use super::tree::{Aspect, BadEffect, Expression, Operator, OperatorKind, Statement, Target};
use crate::bounds::{DEPTH, OPERATORS};
use crate::tokens::{Kind, Token, tokens};

/// Names that the language keeps for itself.
pub(super) const RESERVED: &[&str] = &[
    "let", "if", "else", "as", "push", "pop", "out", "halt", "fault", "carry", "overflow", "signed", "mem",
    "mem8", "mem16", "mem32", "mem64",
];

/// The binary operators from the loosest to the tightest; `&&` and `||` are looser than all.
#[rustfmt::skip]
const LEVELS: &[&[(&str, OperatorKind)]] = &[
    &[("==", OperatorKind::Equal), ("!=", OperatorKind::NotEqual), ("<=", OperatorKind::LessOrEqual),
      (">=", OperatorKind::GreaterOrEqual), ("<", OperatorKind::Less), (">", OperatorKind::Greater)],
    &[("|", OperatorKind::Or)],
    &[("^", OperatorKind::Xor)],
    &[("&", OperatorKind::And)],
    &[("<<", OperatorKind::ShiftLeft), (">>", OperatorKind::ShiftRight)],
    &[("+", OperatorKind::Add), ("-", OperatorKind::Subtract)],
    &[("*", OperatorKind::Multiply), ("/", OperatorKind::Divide), ("%", OperatorKind::Remainder)],
];

/// Operators of two characters, which are never two of one.
const PAIRS: &[&str] = &["==", "!=", "<=", ">=", "<<", ">>", "&&", "||"];

type Parsed<T> = Result<T, BadEffect>;

/// The statements of an effect.
pub(super) fn parse(text: &str) -> Parsed<Vec<Statement>> {
    let tokens = tokens(text).map_err(|bad| BadEffect::new(bad.at, bad.reason))?;
    let mut parser = Parser { tokens, next: 0, depth: 0, operators: 0, end: text.len() };
    let statements = parser.statements()?;
    match parser.peek() {
        None => Ok(statements),
        Some(_) => Err(parser.expected("a statement or the end")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    operators: usize,
    end: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |token| token.at)
    }

    fn expected(&self, what: &str) -> BadEffect {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(Kind::Newline) => "a new line".to_owned(),
            Some(Kind::Word(word)) => format!("'{word}'"),
            Some(Kind::Number(number)) => format!("{number}"),
            Some(Kind::Text(_)) => "a string".to_owned(),
            Some(Kind::Punctuation(character)) => format!("'{character}'"),
        };
        BadEffect::new(self.at(), format!("expected {what}, found {found}"))
    }

    /// Whether the operator `text` comes next, and not one that it begins.
    fn sees(&self, text: &str) -> bool {
        let punctuation = |offset: usize| match self.tokens.get(self.next + offset) {
            Some(Token { kind: Kind::Punctuation(character), at }) => Some((*character, *at)),
            _ => None,
        };
        let Some((first, at)) = punctuation(0) else { return false };
        let pair = punctuation(1).filter(|(_, second)| *second == at + 1).map(|(second, _)| [first, second]);
        let pair = pair.map(String::from_iter).filter(|pair| PAIRS.contains(&pair.as_str()));
        match pair {
            Some(pair) => pair == text,
            None => text.chars().eq([first]),
        }
    }

    fn eat(&mut self, text: &str) -> bool {
        let seen = self.sees(text);
        if seen {
            self.next += text.len();
        }
        seen
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let seen = matches!(self.peek(), Some(Kind::Word(found)) if found == word);
        self.next += usize::from(seen);
        seen
    }

    fn expect(&mut self, text: &str) -> Parsed<()> {
        if self.eat(text) { Ok(()) } else { Err(self.expected(&format!("'{text}'"))) }
    }

    fn word(&mut self) -> Parsed<String> {
        match self.peek() {
            Some(Kind::Word(word)) => {
                let word = word.clone();
                self.next += 1;
                Ok(word)
            }
            _ => Err(self.expected("a name")),
        }
    }

    /// Runs `parse` one level deeper.
    fn deeper<T>(&mut self, parse: fn(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == DEPTH {
            return Err(BadEffect::new(self.at(), format!("nested more than {DEPTH} deep")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn skip_separators(&mut self) -> bool {
        let before = self.next;
        while matches!(self.peek(), Some(Kind::Newline | Kind::Punctuation(';'))) {
            self.next += 1;
        }
        self.next > before
    }

    /// Statements up to the end or a closing brace.
    fn statements(&mut self) -> Parsed<Vec<Statement>> {
        let mut statements = Vec::new();
        self.skip_separators();
        while self.peek().is_some() && !self.sees("}") {
            let statement = self.statement()?;
            // A block ends its statement as a line does.
            let block = matches!(statement, Statement::If { .. });
            statements.push(statement);
            if !self.skip_separators() && !block && self.peek().is_some() && !self.sees("}") {
                return Err(self.expected("';' or a new line"));
            }
        }
        Ok(statements)
    }

    fn statement(&mut self) -> Parsed<Statement> {
        let at = self.at();
        let word = self.word()?;
        match word.as_str() {
            "let" => {
                let name = self.word()?;
                self.expect("=")?;
                Ok(Statement::Let { at, name, value: self.expression()? })
            }
            "if" => self.conditional(),
            "push" => Ok(Statement::Push { at, value: self.argument()? }),
            "out" => Ok(Statement::Out { value: self.argument()? }),
            "halt" => Ok(Statement::Halt { value: self.argument()? }),
            "pop" => {
                self.expect("(")?;
                self.expect(")")?;
                Ok(Statement::Drop { at })
            }
            "fault" => self.fault(at),
            _ => {
                let target = match memory_bits(&word) {
                    Some(bits) => Target::Memory { bits, address: self.index()? },
                    None => Target::Name(word),
                };
                self.expect("=")?;
                Ok(Statement::Assign { at, target, value: self.expression()? })
            }
        }
    }

    fn fault(&mut self, at: usize) -> Parsed<Statement> {
        self.expect("(")?;
        let reason = match self.peek() {
            Some(Kind::Text(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => return Err(self.expected("a reason in double quotes")),
        };
        self.next += 1;
        self.expect(")")?;
        Ok(Statement::Fault { at, reason })
    }

    fn conditional(&mut self) -> Parsed<Statement> {
        let condition = self.expression()?;
        let then = self.block()?;
        let before = self.next;
        self.skip_separators();
        if !self.eat_word("else") {
            self.next = before;
            return Ok(Statement::If { condition, then, otherwise: Vec::new() });
        }
        let otherwise =
            if self.eat_word("if") { vec![self.deeper(Self::conditional)?] } else { self.block()? };
        Ok(Statement::If { condition, then, otherwise })
    }

    fn block(&mut self) -> Parsed<Vec<Statement>> {
        self.expect("{")?;
        let statements = self.deeper(Self::statements)?;
        self.expect("}")?;
        Ok(statements)
    }

    /// `(expression)`
    fn argument(&mut self) -> Parsed<Expression> {
        self.expect("(")?;
        let value = self.expression()?;
        self.expect(")")?;
        Ok(value)
    }

    /// `[expression]`
    fn index(&mut self) -> Parsed<Expression> {
        self.expect("[")?;
        let value = self.expression()?;
        self.expect("]")?;
        Ok(value)
    }

    fn expression(&mut self) -> Parsed<Expression> {
        self.deeper(Self::either)
    }

    fn either(&mut self) -> Parsed<Expression> {
        let mut left = self.both()?;
        while self.eat("||") {
            let (at, right) = (left.at(), Box::new(self.both()?));
            left = Expression::Both { at, or: true, left: Box::new(left), right };
            self.count_operator()?;
        }
        Ok(left)
    }

    fn both(&mut self) -> Parsed<Expression> {
        let mut left = self.binary(0)?;
        while self.eat("&&") {
            let (at, right) = (left.at(), Box::new(self.binary(0)?));
            left = Expression::Both { at, or: false, left: Box::new(left), right };
            self.count_operator()?;
        }
        Ok(left)
    }

    /// A chain of operators is a tree as deep as it is long, which others walk down.
    fn count_operator(&mut self) -> Parsed<()> {
        self.operators += 1;
        if self.operators > OPERATORS {
            return Err(BadEffect::new(self.at(), format!("more than {OPERATORS} operators in one effect")));
        }
        Ok(())
    }

    fn binary(&mut self, level: usize) -> Parsed<Expression> {
        let Some(operators) = LEVELS.get(level) else { return self.cast() };
        let mut left = self.binary(level + 1)?;
        while let Some((text, kind)) = operators.iter().find(|(text, _)| self.sees(text)) {
            self.eat(text);
            let operator = Operator { kind: *kind, aspect: Aspect::Plain };
            let (at, right) = (left.at(), Box::new(self.binary(level + 1)?));
            left = Expression::Binary { at, operator, left: Box::new(left), right };
            self.count_operator()?;
        }
        Ok(left)
    }

    fn cast(&mut self) -> Parsed<Expression> {
        let mut value = self.unary()?;
        while self.eat_word("as") {
            let at = self.at();
            let word = self.word()?;
            let bits =
                word.get(1..).and_then(|bits| bits.parse().ok()).filter(|bits| (1..=64).contains(bits));
            let (Some(bits), true) = (bits, word.starts_with(['u', 'i'])) else {
                return Err(BadEffect::new(at, "expected a type from u1 to u64 or i1 to i64"));
            };
            let signed = word.starts_with('i');
            value = Expression::Cast { at: value.at(), value: Box::new(value), signed, bits };
            self.count_operator()?;
        }
        Ok(value)
    }

    fn unary(&mut self) -> Parsed<Expression> {
        let at = self.at();
        for sign in ["-", "~", "!"] {
            if self.eat(sign) {
                let value = Box::new(self.deeper(Self::unary)?);
                return Ok(match sign {
                    "-" => Expression::Negate { at, value },
                    "~" => Expression::Complement { at, value },
                    _ => Expression::Not { at, value },
                });
            }
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed<Expression> {
        let at = self.at();
        if self.sees("(") {
            return self.argument();
        }
        if let Some(Kind::Number(value)) = self.peek() {
            let value = *value;
            self.next += 1;
            return Ok(Expression::Number { at, value });
        }
        let word = self.word().map_err(|_| self.expected("a value"))?;
        if let Some(bits) = memory_bits(&word) {
            return Ok(Expression::Memory { at, bits, address: Box::new(self.index()?) });
        }
        match word.as_str() {
            "pop" => {
                self.expect("(")?;
                self.expect(")")?;
                Ok(Expression::Pop { at })
            }
            "carry" => self.aspect(at, Aspect::Carry),
            "overflow" => self.aspect(at, Aspect::Overflow),
            "signed" => self.aspect(at, Aspect::Signed),
            word if RESERVED.contains(&word) => Err(BadEffect::new(at, format!("'{word}' has no value"))),
            _ => Ok(Expression::Name { at, name: word }),
        }
    }

    /// The operation behind `carry`, `overflow` or `signed`.
    fn aspect(&mut self, at: usize, aspect: Aspect) -> Parsed<Expression> {
        match self.argument()? {
            Expression::Binary { operator, left, right, .. } if operator.aspect == Aspect::Plain => {
                Ok(Expression::Binary { at, operator: Operator { aspect, ..operator }, left, right })
            }
            other => Err(BadEffect::new(other.at(), "expected one operation, such as carry(x + y)")),
        }
    }
}

/// The width of the access that a word names: `None` inside for a unit of addresses.
fn memory_bits(word: &str) -> Option<Option<u8>> {
    match word {
        "mem" => Some(None),
        "mem8" => Some(Some(8)),
        "mem16" => Some(Some(16)),
        "mem32" => Some(Some(32)),
        "mem64" => Some(Some(64)),
        _ => None,
    }
}
