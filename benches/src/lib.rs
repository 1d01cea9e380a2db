//! Criterion benches of the decoder and the engines; each bench is a target of its own.
