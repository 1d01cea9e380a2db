//! Intel-syntax assembly text to IA-32 machine code.
//!
//! [`assemble`] takes a source and gives a [`Program`]: bytes, the address of the first one, and labels.
//! The dialect is that of Pentimento's disassembler, so what that prints can be assembled again; the
//! encoder of `iced-x86` makes the bytes, and of several encodings the shortest is taken.
//!
//! ```
//! let program = pentimento_assembler::assemble("
//!     start:  mov ecx, 3
//!     again:  dec ecx
//!             jnz again
//!             ret
//! ")?;
//! assert_eq!(program.bytes(), [0xb9, 3, 0, 0, 0, 0x49, 0x75, 0xfd, 0xc3]);
//! let error = pentimento_assembler::assemble("inc eax\n  mov eax, [ecx*3]").unwrap_err();
//! assert_eq!(error.to_string(), "line 2, column 13: a scale is 1, 2, 4 or 8, not 3");
//! # Ok::<(), pentimento_assembler::SourceError>(())
//! ```
//!
//! # A line
//!
//! `label: prefixes mnemonic operands ; comment`, every part of which may be missing.
//!
//! - Numbers: `10`, `0x1f`, `1fh`, `0b101`, `101b`, `'text'`; between them `+ - * / % & | ^ ~ << >>` and
//!   parentheses. `$` is the address of the line, `$$` that of its section.
//! - Memory: `dword ptr fs:[eax + ecx*4 + table]`, where `ptr` may be missing, and the size where another
//!   operand tells it.
//! - Branches are short where they reach; `short` and `near` say so themselves.
//! - Directives: `db`, `dw`, `dd`, `dq` with numbers and texts, `resb`, `resw`, `resd`, `times N db ...`,
//!   `NAME equ NUMBER`, `org ADDRESS`, `align N`, `section NAME`. Sections lie behind each other in the order
//!   of their first appearance, from addresses that are multiples of 16. `bits 32` and `global` change nothing.
//! - Prefixes: `lock`, `rep`, `repe`, `repne`, segment names, `data16` and `addr16`.
//!
//! `pusha`, `popa`, `pushf`, `popf` and `iret` are the 16-bit ones, as in the SDM; with a `d` behind them
//! the 32-bit ones.
#![forbid(unsafe_code)]

mod encode;
mod error;
mod expression;
mod operand;
mod prefix;
mod program;
mod statement;
mod token;

pub use error::SourceError;
pub use program::{Program, assemble};
