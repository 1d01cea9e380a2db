//! Random code with random registers: the CPU must come back with an exit, and every engine with
//! the same one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pentimento::{Cpu, CpuModel, Eflags, EngineKind, Exit, Gpr, Permissions, Stop, Until};
use pentimento_memory::SharedMemory;

const CODE: u32 = 0x1000;
const DATA: u32 = 0x8000;
/// Where the code is a second time, in half of the cases.
const ALIAS: u32 = DATA + 0x2000;
/// Enough for loops to loop, little enough for thousands of runs a second.
const BUDGET: u64 = 2_000;

fn machine(engine: EngineKind, registers: &[u8; 40], code: &[u8]) -> Option<Cpu> {
    let mut cpu = Cpu::with(CpuModel::default(), engine);
    cpu.memory.map(DATA, 0x2000, Permissions::READ | Permissions::WRITE).ok()?;
    if registers[0] & 1 == 0 {
        cpu.memory.map(CODE, 0x2000, Permissions::all()).ok()?;
        cpu.memory.map(ALIAS, 0x1000, Permissions::READ).ok()?;
    } else {
        // Stores to the second mapping, where a third of all pointers lead, change the code.
        let object = SharedMemory::new(0x2000).ok()?;
        cpu.memory.map_shared(CODE, 0x2000, Permissions::all(), &object, 0).ok()?;
        cpu.memory.map_shared(ALIAS, 0x1000, Permissions::all(), &object, 0).ok()?;
    }
    cpu.memory.poke_bytes(CODE, code).ok()?;
    let mut words = registers.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    for register in Gpr::ALL {
        let value = words.next()?;
        // Half of the values point into the mapped pages.
        cpu.state.set_gpr(register, if value & 1 == 0 { value } else { DATA + value % 0x3000 });
    }
    cpu.state.eflags = Eflags::from_bits_truncate(words.next()?) & Eflags::USER_WRITABLE | Eflags::INITIAL;
    cpu.state.mxcsr = pentimento::Mxcsr::from_bits_truncate(words.next()?);
    cpu.state.eip = CODE;
    Some(cpu)
}

fn outcome(cpu: &mut Cpu) -> (u64, Exit, Vec<u8>) {
    let Stop { executed, exit } = cpu.run_engine(Until::budget(BUDGET));
    let mut memory = vec![0; 0x3000];
    let _ = cpu.memory.peek_bytes(DATA, &mut memory);
    (executed, exit, memory)
}

fuzz_target!(|input: &[u8]| {
    let Some((registers, code)) = input.split_first_chunk::<40>() else { return };
    if code.is_empty() || code.len() > 0x2000 {
        return;
    }
    let mut first: Option<(pentimento::CpuState, (u64, Exit, Vec<u8>))> = None;
    for engine in EngineKind::ALL {
        let Some(mut cpu) = machine(*engine, registers, code) else { return };
        let outcome = outcome(&mut cpu);
        match &first {
            None => first = Some((cpu.state, outcome)),
            Some((state, expected)) => {
                assert_eq!(*expected, outcome, "{engine:?} differs");
                assert_eq!(*state, cpu.state, "{engine:?} leaves other registers");
            }
        }
    }
});
