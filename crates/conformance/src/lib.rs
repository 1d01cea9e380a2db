//! One corpus, every engine.
