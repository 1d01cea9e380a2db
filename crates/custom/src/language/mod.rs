//! The effect language: what an instruction does, in a line or two.
//!
//! [`parser`] makes a tree of the text, [`compiler`] checks its widths and makes flat operations of it.
//! There are no loops and no calls, so an effect always ends.

mod compiler;
mod parser;
mod tree;

pub(crate) use compiler::{Binding, Names, Template, compile};

/// Whether the language keeps `name` for itself.
pub(crate) fn is_reserved(name: &str) -> bool {
    parser::RESERVED.contains(&name)
}
