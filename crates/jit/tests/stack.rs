//! Calls that never return take none of the stack of the thread that runs them.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use pentimento_execute::{Engine, Exit};
use pentimento_jit::Translator;
use pentimento_registers::Gpr;

use self::machine::{DATA, DATA_BYTES, Machine};

mod machine;

/// `again: times 16 (call over; nop; over:); lea esp, [esp + 64]; dec ecx; jnz again; hlt`
fn abandoned_calls() -> Vec<u8> {
    let calls = [0xe8, 1, 0, 0, 0, 0x90].repeat(16);
    [&calls[..], &[0x8d, 0x64, 0x24, 64, 0x49, 0x75, 0x99, 0xf4]].concat()
}

/// Bytes of a stack on which there is room for the engine, and not for the return addresses of a slice.
const SMALL: usize = 48 << 10;

#[test]
fn a_thread_with_a_small_stack_executes_each_call_once() {
    if !Translator::is_supported() {
        eprintln!("skipped: this host runs no translated code");
        return;
    }
    let run = || {
        let mut engine = Translator::eager();
        let mut machine = Machine::new(&abandoned_calls(), &[(Gpr::Ecx, 10_000)]);
        // The host's first store to a page would be an exception.
        machine.memory.write(DATA + DATA_BYTES - 4, 1u32).unwrap();
        let stop = machine.run(&mut engine, 1 << 40);
        assert!(matches!(stop.exit, Exit::Exception { .. }), "{:?}", stop.exit);
        assert_eq!((stop.executed, machine.state.gpr(Gpr::Ecx)), (190_000, 0));
        engine.counts()
    };
    let thread = std::thread::Builder::new().stack_size(SMALL).spawn(run).unwrap();
    let counts = thread.join().unwrap();
    let faults = counts.iter().find(|(name, _)| name == "exceptions of the host");
    assert_eq!(faults.map(|(_, count)| *count), Some(0));
}
