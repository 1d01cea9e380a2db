//! A line in words.

use crate::error::Mistake;

/// A word of the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Token {
    /// A name: a mnemonic, register, directive, size or label.
    Name(String),
    /// A number, or a text of one to eight characters in single quotes.
    Number(u64),
    /// A text in double or single quotes, whatever its length.
    Text(Vec<u8>),
    /// Anything else: one character, or `<<` and `>>` as `<` and `>`.
    Sign(char),
}

/// Words with the number of characters before each.
pub(crate) type Tokens = Vec<(usize, Token)>;

/// Takes a line apart; a comment begins with `;` or `#`.
///
/// # Errors
/// A character that belongs to nothing, a number that is none, a text without an end.
pub(crate) fn tokens(line: &str) -> Result<Tokens, Mistake> {
    let characters: Vec<char> = line.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&first) = characters.get(at) {
        let start = at;
        let token = match first {
            ';' | '#' => break,
            _ if first.is_whitespace() => {
                at += 1;
                continue;
            }
            '"' | '\'' => {
                let length = characters[at + 1..].iter().position(|c| *c == first);
                let length = length.ok_or_else(|| Mistake::new(start, "a text without its closing quote"))?;
                let text: String = characters[at + 1..at + 1 + length].iter().collect();
                at += length + 2;
                Token::Text(text.into_bytes())
            }
            _ if first.is_ascii_digit() => {
                let word = word(&characters[at..]);
                at += word.chars().count();
                number(&word)
                    .map(Token::Number)
                    .ok_or_else(|| Mistake::new(start, format!("'{word}' is no number")))?
            }
            _ if is_name(first) => {
                let word = word(&characters[at..]);
                at += word.chars().count();
                Token::Name(word)
            }
            '<' | '>' if characters.get(at + 1) == Some(&first) => {
                at += 2;
                Token::Sign(first)
            }
            '[' | ']' | '(' | ')' | ',' | ':' | '+' | '-' | '*' | '/' | '%' | '&' | '|' | '^' | '~' | '=' => {
                at += 1;
                Token::Sign(first)
            }
            _ => return Err(Mistake::new(start, format!("'{first}' has no meaning here"))),
        };
        found.push((start, token));
    }
    Ok(found)
}

const fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '$' | '@' | '?')
}

/// The letters and digits at the start.
fn word(characters: &[char]) -> String {
    characters.iter().take_while(|character| is_name(**character)).collect()
}

/// `10`, `0x1f`, `1fh`, `0b101`, `101b`, with `_` between digits.
fn number(word: &str) -> Option<u64> {
    let word = word.to_ascii_lowercase().replace('_', "");
    let (digits, radix) = if let Some(digits) = word.strip_prefix("0x") {
        (digits, 16)
    } else if let Some(digits) = word.strip_suffix('h') {
        (digits, 16)
    } else if let Some(digits) = word.strip_prefix("0b") {
        (digits, 2)
    } else if let Some(digits) = word.strip_prefix("0o") {
        (digits, 8)
    } else if let Some(digits) = word.strip_suffix('b') {
        (digits, 2)
    } else {
        (word.as_str(), 10)
    };
    // A sign is none of the digits.
    if digits.starts_with(['+', '-']) { None } else { u64::from_str_radix(digits, radix).ok() }
}
