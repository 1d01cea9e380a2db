//! Assembly text to programs.
//!
//! One statement a line, or several with `;` between them: `label:`, `name = value`, a directive, or an
//! instruction as the set's rows write it. `docs/custom.md` lists the directives.

mod expression;
mod layout;
mod place;
mod statement;

use crate::bounds::SOURCE_TEXT;
use crate::tokens::Kind;
use crate::{AssemblyError, InstructionSet, Program};
use expression::Symbols;
use place::{Misplaced, Statement, tokens_of};
use statement::Item;

impl InstructionSet {
    /// Assembles a program.
    ///
    /// # Errors
    /// The first line that does not assemble.
    pub fn assemble(&self, source: &str) -> Result<Program, AssemblyError> {
        if source.len() > SOURCE_TEXT {
            return Err(AssemblyError::new(1, 1, format!("a source has at most {SOURCE_TEXT} bytes")));
        }
        let lines: Vec<&str> = source.lines().collect();
        self.assemble_lines(&lines).map_err(|misplaced| misplaced.locate(&lines))
    }

    fn assemble_lines(&self, lines: &[&str]) -> Result<Program, Misplaced> {
        let mut symbols = Symbols::default();
        let mut items: Vec<Item> = Vec::new();
        for (number, text) in lines.iter().enumerate() {
            let line = number as u32;
            let all = tokens_of(text, line, 0)?;
            let mut next = 0;
            for tokens in all.split(|token| token.kind == Kind::Punctuation(';')) {
                next += tokens.len();
                let end = all.get(next).map_or(text.len(), |separator| separator.at);
                next += 1;
                self.statement(&Statement { line, tokens, end }, &mut symbols, &mut items)?;
            }
        }
        self.lay_out(lines, items, symbols)
    }
}
