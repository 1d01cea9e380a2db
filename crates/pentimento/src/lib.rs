//! Run 32-bit x86 (IA-32) code and Linux programs inside any Rust program.
#![forbid(unsafe_code)]
