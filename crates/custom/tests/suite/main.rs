//! What the crate promises, as tests: one program, so that it is built once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod hostile;
mod language;
mod lowbyte;
mod round_trips;
mod softmachine;
