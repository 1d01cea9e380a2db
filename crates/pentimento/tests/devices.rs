//! An instruction accesses a device exactly as often as it says, on every engine: also where it faults, and
//! what is known of the fault comes from the access itself and not from another one.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::{Arc, Mutex};

use pentimento::{
    Access, Cpu, CpuModel, EngineKind, Fault, FaultKind, Gpr, Halt, MmioHandler, PAGE_SIZE, Permissions,
};

const CODE: u32 = 0x1000;
const DEVICE: u32 = 0x8000;
/// The page behind the device is not mapped, and this one cannot be written to.
const CONSTANT: u32 = 0xa000;

/// Writes down what is done to it: `r` or `w`, offset, size.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(char, u32, u32)>>>);

impl MmioHandler for Log {
    fn read(&mut self, offset: u32, size: u32) -> u64 {
        self.0.lock().unwrap().push(('r', offset, size));
        7
    }

    fn write(&mut self, offset: u32, size: u32, _: u64) {
        self.0.lock().unwrap().push(('w', offset, size));
    }
}

/// What an instruction does: its name, its bytes, the accesses to the device, and how it faults.
type Case = (&'static str, &'static [u8], &'static [(char, u32, u32)], Option<(u32, Access, FaultKind)>);

/// EBX is the device, ESI four bytes before its end, EDI and ESP the constant page.
#[rustfmt::skip]
const CASES: &[Case] = &[
    ("mov eax, [ebx+8]",     &[0x8b, 0x43, 0x08],       &[('r', 8, 4)],               None),
    ("mov [ebx+8], ax",      &[0x66, 0x89, 0x43, 0x08], &[('w', 8, 2)],               None),
    ("add [ebx], eax",       &[0x01, 0x03],             &[('r', 0, 4), ('w', 0, 4)],  None),
    ("xchg [ebx], al",       &[0x86, 0x03],             &[('r', 0, 1), ('w', 0, 1)],  None),
    ("cmp [ebx], eax",       &[0x39, 0x03],             &[('r', 0, 4)],               None),
    ("mov [edi], eax",       &[0x89, 0x07],             &[],  Some((CONSTANT, Access::Write, FaultKind::Protected))),
    ("add [edi], eax",       &[0x01, 0x07],             &[],  Some((CONSTANT, Access::Write, FaultKind::Protected))),
    ("mov [esi+2], eax",     &[0x89, 0x46, 0x02],       &[],  Some((DEVICE + PAGE_SIZE, Access::Write, FaultKind::NotMapped))),
    ("mov eax, [esi+4]",     &[0x8b, 0x46, 0x04],       &[],  Some((DEVICE + PAGE_SIZE, Access::Read, FaultKind::NotMapped))),
    ("push dword [ebx]",     &[0xff, 0x33],             &[('r', 0, 4)], Some((CONSTANT + 0x7fc, Access::Write, FaultKind::Protected))),
    ("movsd, to the constant", &[0x87, 0xf3, 0xa5],     &[('r', 0, 4)], Some((CONSTANT, Access::Write, FaultKind::Protected))),
];

#[test]
fn accesses_are_made_once() {
    for kind in EngineKind::ALL {
        for (name, code, accesses, fault) in CASES {
            let log = Log::default();
            let mut cpu = Cpu::with(CpuModel::default(), *kind);
            let readable = Permissions::READ | Permissions::WRITE;
            cpu.memory.map(CODE, PAGE_SIZE, Permissions::READ | Permissions::EXECUTE).unwrap();
            cpu.memory.map_mmio(DEVICE, PAGE_SIZE, readable, Box::new(log.clone())).unwrap();
            cpu.memory.map(CONSTANT, PAGE_SIZE, Permissions::READ).unwrap();
            cpu.memory.poke_bytes(CODE, &[code, &[0xcd, 0x80][..]].concat()).unwrap();
            cpu.state.eip = CODE;
            cpu.state.set_gpr(Gpr::Ebx, DEVICE);
            cpu.state.set_gpr(Gpr::Esi, DEVICE + PAGE_SIZE - 4);
            cpu.state.set_gpr(Gpr::Edi, CONSTANT);
            cpu.state.set_gpr(Gpr::Esp, CONSTANT + 0x800);
            let halt = cpu.run(10);
            let expected = fault.map_or(Halt::Interrupt(0x80), |(address, access, kind)| {
                Halt::PageFault(Fault { address, access, kind })
            });
            assert_eq!(halt, expected, "{name} on {kind}");
            assert_eq!(*log.0.lock().unwrap(), *accesses, "{name} on {kind}");
        }
    }
}
