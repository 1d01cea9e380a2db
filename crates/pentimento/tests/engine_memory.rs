//! What engines hold for what they made of code stays within its share of the machine's memory.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use pentimento::{EngineKind, Halt, Limits, Machine};

/// Bytes that a machine may take, and those of them that are its engines'.
const TOTAL: u64 = 64 << 20;
const SHARE: usize = 8 << 20;

/// Blocks of one instruction, each a jump to the next; then a jump back to the first.
fn long_code() -> Vec<u8> {
    const JUMPS: usize = 120_000;
    let mut code = [0xe9, 0, 0, 0, 0].repeat(JUMPS);
    code.push(0xe9);
    code.extend((-(5 * JUMPS as i32 + 5)).to_le_bytes());
    code
}

#[test]
fn code_that_never_ends_takes_no_more_than_its_share() {
    let code = long_code();
    for &engine in EngineKind::ALL {
        let limits = Limits { total_memory: TOTAL, ..Limits::default() };
        let mut machine = Machine::builder().engine(engine).limits(limits).build().unwrap();
        machine.load_code(0, &code, 1 << 20).unwrap();
        let mut most = 0;
        for _ in 0..60 {
            assert_eq!(machine.run(10_000), Halt::Budget);
            most = most.max(machine.engine_memory());
        }
        assert!(most <= SHARE, "{engine:?} held {most} bytes");
        // The reference makes nothing of code; the others must have been at the bound to have been held by it.
        assert!(engine == EngineKind::REFERENCE || most > SHARE / 2, "{engine:?} held only {most} bytes");
    }
}
