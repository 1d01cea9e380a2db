//! Integer instructions through the decoder and the reference engine.

use pentimento_execute::{Environment, Exit, Reference};
use pentimento_memory::{AddressSpace, Permissions};
use pentimento_registers::{CpuState, Gpr};

#[test]
fn runs_to_a_system_call() {
    let mut state = CpuState::new();
    let mut memory = AddressSpace::new();
    memory.map(0x1000, 4096, Permissions::all()).expect("memory");
    memory.poke_bytes(0x1000, &[0xb8, 5, 0, 0, 0, 0x01, 0xc0, 0xcd, 0x80]).expect("mapped");
    state.eip = 0x1000;
    let stopped = Reference.run(&mut state, &mut memory, &mut Environment::default(), 100);
    assert_eq!(stopped, (3, Exit::Interrupt(0x80)));
    assert_eq!(state.gpr(Gpr::Eax), 10);
}
