//! The syntax of a row: what its text looks like, read when assembling and written when disassembling.

use crate::OperandKind;
use crate::encoding::Field;
use crate::tokens::{Kind, is_name, tokens};

/// How an instruction is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Syntax {
    /// Its first word, in small letters.
    pub(crate) mnemonic: String,
    /// What follows.
    pub(crate) parts: Vec<Part>,
}

/// A part of the syntax behind the mnemonic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub(crate) kind: PartKind,
    /// Whether a blank stands before it.
    pub(crate) spaced: bool,
}

/// What a part is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PartKind {
    /// A word or a character that is always the same.
    Word(String),
    Punctuation(char),
    /// An operand, by its position in the code.
    Operand(usize),
}

impl Syntax {
    /// Reads the syntax of a row whose code has `fields`; `kind` says what an operand is.
    pub(crate) fn parse(
        text: &str,
        fields: &[Field],
        kind: impl Fn(&str) -> Option<OperandKind>,
    ) -> Result<Self, String> {
        let tokens = tokens(text).map_err(|bad| bad.reason)?;
        let mut tokens = tokens.into_iter();
        let Some(Kind::Word(mnemonic)) = tokens.next().map(|token| token.kind) else {
            return Err("syntax: starts with no mnemonic".into());
        };
        if !is_name(&mnemonic)
            || mnemonic.starts_with('.')
            || mnemonic.chars().any(|c| c.is_ascii_uppercase())
        {
            return Err(format!(
                "syntax: '{mnemonic}' is no mnemonic: a word in small letters, without a point before it"
            ));
        }
        let mut parts = Vec::new();
        for token in tokens {
            let spaced = text[..token.at].ends_with(char::is_whitespace);
            let kind = match token.kind {
                Kind::Word(word) => match fields.iter().position(|field| field.name == word) {
                    Some(position) => PartKind::Operand(position),
                    None if kind(&word).is_some() => {
                        return Err(format!("syntax: the operand '{word}' is not in the code"));
                    }
                    None => PartKind::Word(word.to_ascii_lowercase()),
                },
                Kind::Punctuation(character) if !matches!(character, ';' | '\'' | '"') => {
                    PartKind::Punctuation(character)
                }
                _ => return Err("syntax: besides the mnemonic only operands, words and punctuation".into()),
            };
            parts.push(Part { kind, spaced });
        }
        let syntax = Self { mnemonic, parts };
        syntax.check(fields, kind)?;
        Ok(syntax)
    }

    /// Refuses what could be read in more than one way.
    fn check(&self, fields: &[Field], kind: impl Fn(&str) -> Option<OperandKind>) -> Result<(), String> {
        if let Some(Part { kind: PartKind::Punctuation(':' | '='), .. }) = self.parts.first() {
            return Err("syntax: ':' and '=' behind the mnemonic would make it a label or a constant".into());
        }
        for (position, field) in fields.iter().enumerate() {
            match self.parts.iter().filter(|part| part.kind == PartKind::Operand(position)).count() {
                1 => {}
                0 => return Err(format!("syntax: the operand '{}' of the code is missing", field.name)),
                _ => return Err(format!("syntax: '{}' comes twice", field.name)),
            }
        }
        for pair in self.parts.windows(2) {
            let number = matches!(&pair[0].kind, PartKind::Operand(position)
                if fields.get(*position).and_then(|field| kind(&field.name)) != Some(OperandKind::Register));
            let runs_on =
                !matches!(pair[1].kind, PartKind::Punctuation(character) if !matches!(character, '+' | '-'));
            if number && runs_on {
                return Err("syntax: a number needs punctuation behind it, other than + and -".into());
            }
        }
        Ok(())
    }
}
