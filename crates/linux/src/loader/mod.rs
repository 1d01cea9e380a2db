//! Loading programs: ELF files, their interpreters and first stacks, and `#!` scripts.

mod elf;
mod file;
mod image;
mod stack;

pub use elf::LoadError;
pub(crate) use file::File;
pub(crate) use image::{MachineFacts, Program, load};
pub(crate) use stack::{Arguments, MAX_STRING};
