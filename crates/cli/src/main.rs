//! The `pentimento` command.
fn main() {}
