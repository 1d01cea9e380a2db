//! The i386 Linux ABI in a library.
#![forbid(unsafe_code)]
