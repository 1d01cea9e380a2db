//! Text into tokens, for effects, for the syntax of rows and for assembly alike.
//!
//! A comment starts with `//`, or with `#` before a blank, and ends with the line: `lda #5` has none.

/// One token, and where it starts in the text, in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
}

/// What a token is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A letter, `_` or `.`, then those and digits.
    Word(String),
    /// Decimal, `0x`, `0b`, `0o`, or a character in single quotes.
    Number(u64),
    /// What stands between double quotes, its escapes resolved.
    Text(Vec<u8>),
    /// Any other visible character.
    Punctuation(char),
    /// The end of a line.
    Newline,
}

/// A text that has no tokens: where, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BadToken {
    pub(crate) at: usize,
    pub(crate) reason: String,
}

/// Whether a word may start with `character`.
fn starts_word(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_' || character == '.'
}

fn continues_word(character: char) -> bool {
    starts_word(character) || character.is_ascii_digit()
}

/// Whether `name` is one word of at most [`NAME`](crate::bounds::NAME) characters.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= crate::bounds::NAME && name.starts_with(starts_word) && name.chars().all(continues_word)
}

/// All tokens of `text`.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, BadToken> {
    let mut reader = Reader { text, at: 0 };
    let mut found = Vec::new();
    while let Some(token) = reader.next()? {
        found.push(token);
    }
    Ok(found)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, accept: fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|character| !accept(character)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn skip_blanks(&mut self) {
        self.take(|character| character.is_whitespace() && character != '\n');
        let rest = self.rest();
        let hash = rest
            .strip_prefix('#')
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n', '#']));
        if hash || rest.starts_with("//") {
            self.take(|character| character != '\n');
        }
    }

    fn next(&mut self) -> Result<Option<Token>, BadToken> {
        self.skip_blanks();
        let at = self.at;
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let kind = if first == '\n' {
            self.at += 1;
            Kind::Newline
        } else if starts_word(first) {
            Kind::Word(self.take(continues_word).to_owned())
        } else if first.is_ascii_digit() {
            let digits = self.take(|character| character.is_ascii_alphanumeric() || character == '_');
            Kind::Number(number(digits).map_err(|reason| BadToken { at, reason })?)
        } else if first == '\'' {
            Kind::Number(self.character()?)
        } else if first == '"' {
            Kind::Text(self.string()?)
        } else {
            self.at += first.len_utf8();
            Kind::Punctuation(first)
        };
        Ok(Some(Token { kind, at }))
    }

    fn character(&mut self) -> Result<u64, BadToken> {
        let at = self.at;
        let bad = || BadToken { at, reason: "a character looks like 'A', '\\n' or '\\x1b'".to_owned() };
        self.at += 1;
        let value = match self.rest().chars().next() {
            Some('\'' | '\n') | None => return Err(bad()),
            Some('\\') => u64::from(self.escape()?),
            Some(character) => {
                self.at += character.len_utf8();
                u64::from(u32::from(character))
            }
        };
        if !self.rest().starts_with('\'') {
            return Err(bad());
        }
        self.at += 1;
        Ok(value)
    }

    fn string(&mut self) -> Result<Vec<u8>, BadToken> {
        let at = self.at;
        let mut bytes = Vec::new();
        self.at += 1;
        loop {
            match self.rest().chars().next() {
                Some('"') => break,
                Some('\\') => bytes.push(self.escape()?),
                Some('\n') | None => {
                    return Err(BadToken { at, reason: "this string has no end on its line".to_owned() });
                }
                Some(character) => {
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    self.at += character.len_utf8();
                }
            }
        }
        self.at += 1;
        Ok(bytes)
    }

    /// The byte behind a backslash.
    fn escape(&mut self) -> Result<u8, BadToken> {
        let at = self.at;
        let rest = self.rest();
        let (value, length) = match rest.as_bytes().get(1) {
            Some(b'n') => (b'\n', 2),
            Some(b't') => (b'\t', 2),
            Some(b'r') => (b'\r', 2),
            Some(b'0') => (0, 2),
            Some(b'\\') => (b'\\', 2),
            Some(b'\'') => (b'\'', 2),
            Some(b'"') => (b'"', 2),
            Some(b'x') => {
                let digits = rest.get(2..4).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let reason = "\\x takes two hexadecimal digits".to_owned();
                (digits.ok_or(BadToken { at, reason })?, 4)
            }
            _ => {
                let reason = "the escapes are \\n \\t \\r \\0 \\\\ \\' \\\" and \\xNN".to_owned();
                return Err(BadToken { at, reason });
            }
        };
        self.at += length;
        Ok(value)
    }
}

/// The value of a number as the tokens write it; the text has no sign.
pub(crate) fn number(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase().replace('_', "");
    let (digits, radix) = match lower.get(..2) {
        Some("0x") => (&lower[2..], 16),
        Some("0b") => (&lower[2..], 2),
        Some("0o") => (&lower[2..], 8),
        _ => (lower.as_str(), 10),
    };
    // from_str_radix takes a sign, which is another token here.
    if !digits.starts_with(|character: char| character.is_ascii_alphanumeric()) {
        return Err(format!("'{text}' is no number"));
    }
    u64::from_str_radix(digits, radix).map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow => format!("{text} does not fit into 64 bits"),
        _ => format!("'{text}' is no number"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn words_numbers_characters_strings_and_comments() {
        let word = |text: &str| Kind::Word(text.to_owned());
        assert_eq!(
            kinds("lda #0x1F # comment\n.byte 'A', \"\\x41\\n\" // more"),
            [
                word("lda"),
                Kind::Punctuation('#'),
                Kind::Number(31),
                Kind::Newline,
                word(".byte"),
                Kind::Number(65),
                Kind::Punctuation(','),
                Kind::Text(b"A\n".to_vec()),
            ]
        );
        assert_eq!(kinds("0b1_01 0o17 '\\''"), [Kind::Number(5), Kind::Number(15), Kind::Number(39)]);
    }

    #[test]
    fn what_is_no_token_says_where() {
        for (text, at) in [
            ("a 0xg", 2),
            (" 99999999999999999999", 1),
            ("'ab'", 0),
            ("\"x\n\"", 0),
            ("\"\\q\"", 1),
            ("'\\xé'", 1),
            ("0x", 0),
            ("'", 0),
        ] {
            assert_eq!(tokens(text).unwrap_err().at, at, "{text}");
        }
    }
}
