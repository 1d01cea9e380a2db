//! Loading programs: ELF files, their interpreters and first stacks, and `#!` scripts.

mod elf;
mod image;
mod stack;

pub use elf::LoadError;
pub(crate) use image::{Program, Surroundings, load};
pub(crate) use stack::{Arguments, MAX_STRING};
