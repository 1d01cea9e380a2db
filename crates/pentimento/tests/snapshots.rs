//! Snapshots of a bare CPU, on every engine: nested, repeated, and through a file.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use pentimento::{
    Backing, Cpu, CpuModel, Descriptor, EngineKind, F80, Gpr, Halt, MmioHandler, NoSuchSnapshot, Permissions,
    SnapshotError, TlsDescriptors,
};

const CODE: u32 = 0x1000;
const DATA: u32 = 0x10_0000;

/// A CPU that counts in EAX and, through EBX, in memory: 50 pages of it, for ever.
fn counting(engine: EngineKind) -> Cpu {
    let mut cpu = Cpu::with(CpuModel::default(), engine);
    cpu.memory.map(CODE, 0x1000, Permissions::READ | Permissions::EXECUTE).unwrap();
    cpu.memory.map(DATA, 64 * 4096, Permissions::READ | Permissions::WRITE).unwrap();
    // start: mov ebx, DATA; mov ecx, 50; next: inc dword [ebx]; add ebx, 1000h; inc eax; loop next; int 80h
    // jmp start
    let code = b"\xbb\0\0\x10\0\xb9\x32\0\0\0\xff\x03\x81\xc3\0\x10\0\0\x40\xe2\xf5\xcd\x80\xeb\xe7";
    cpu.memory.poke_bytes(CODE, code).unwrap();
    cpu.state.eip = CODE;
    cpu
}

fn counts(cpu: &Cpu) -> (u32, u32, u32) {
    let last = DATA + 49 * 4096;
    (cpu.state.gpr(Gpr::Eax), cpu.memory.read(DATA).unwrap(), cpu.memory.read(last).unwrap())
}

#[test]
fn snapshots_nest_and_come_back() {
    for engine in EngineKind::ALL {
        let mut cpu = counting(*engine);
        let outer = cpu.snapshot();
        assert_eq!(cpu.run(1000), Halt::Interrupt(0x80));
        let inner = cpu.snapshot();
        let time = cpu.environment.time_stamp;
        for _ in 0..10 {
            assert_eq!(cpu.run(1000), Halt::Interrupt(0x80));
            assert_eq!(counts(&cpu), (100, 2, 2), "{engine}");
            cpu.restore(&inner).unwrap();
            assert_eq!((counts(&cpu), cpu.environment.time_stamp), ((50, 1, 1), time), "{engine}");
        }
        cpu.restore(&outer).unwrap();
        assert_eq!(counts(&cpu), (0, 0, 0), "{engine}");
        // The inner one went with it, and an outer one is of one CPU only.
        assert_eq!(cpu.restore(&inner), Err(NoSuchSnapshot));
        assert_eq!(counting(*engine).restore(&outer), Err(NoSuchSnapshot));
        cpu.discard(&outer).unwrap();
        assert_eq!(cpu.restore(&outer), Err(NoSuchSnapshot));
        assert_eq!((cpu.run(1000), counts(&cpu)), (Halt::Interrupt(0x80), (50, 1, 1)));
    }
}

/// A request to stop is between threads, not part of what is put back.
#[test]
fn a_stop_handle_outlives_a_restore() {
    let mut cpu = counting(EngineKind::default());
    let start = cpu.snapshot();
    let handle = cpu.stop_handle();
    cpu.restore(&start).unwrap();
    handle.stop();
    assert_eq!(cpu.run(1000), Halt::Stopped);
}

/// Registers alone are plain data.
#[test]
fn a_context_is_a_clone() {
    let mut cpu = counting(EngineKind::default());
    let before = cpu.state.clone();
    assert_eq!(cpu.run(1000), Halt::Interrupt(0x80));
    cpu.state.clone_from(&before);
    assert_eq!((cpu.run(1000), counts(&cpu)), (Halt::Interrupt(0x80), (50, 2, 2)));
}

#[test]
fn a_file_goes_from_engine_to_engine() {
    for first in EngineKind::ALL {
        for second in EngineKind::ALL {
            let mut cpu = counting(*first);
            cpu.memory.reserve();
            cpu.state.x87.registers[3] = F80::new(0x4000, 3 << 62);
            cpu.state.x87.in_use = 8;
            cpu.state.xmm[7] = 7 << 100;
            cpu.tls.set(TlsDescriptors::FIRST, Some(Descriptor { base: 0x5000, ..Descriptor::FLAT_DATA }));
            cpu.local.set(3, Some(Descriptor::FLAT_CODE));
            cpu.memory.map(0xffff_f000, 4096, Permissions::empty()).unwrap();
            assert_eq!(cpu.run(77), Halt::Budget);
            let mut file = Vec::new();
            cpu.save(&mut file).unwrap();
            // Pages of zeros take no room.
            assert!(file.len() < 24 * 4096, "{}", file.len());
            let mut copy = Cpu::load(&file[..], *second).unwrap();
            assert_eq!((copy.memory.backing(), copy.engine()), (Backing::Paged, *second));
            for _ in 0..3 {
                assert_eq!(cpu.run(1000), copy.run(1000));
                assert!(cpu.state == copy.state && counts(&cpu) == counts(&copy), "{first}, {second}");
            }
            assert_eq!(cpu.environment.time_stamp, copy.environment.time_stamp);
            assert_eq!((cpu.tls, &cpu.local), (copy.tls, &copy.local));
            assert!(cpu.memory.regions().eq(copy.memory.regions()));
        }
    }
}

struct Nothing;

impl MmioHandler for Nothing {
    fn read(&mut self, _: u32, _: u32) -> u64 {
        0
    }

    fn write(&mut self, _: u32, _: u32, _: u64) {}
}

#[test]
fn what_is_no_snapshot_is_an_error() {
    let mut cpu = counting(EngineKind::default());
    let mut file = Vec::new();
    cpu.save(&mut file).unwrap();
    let load = |bytes: &[u8]| Cpu::load(bytes, EngineKind::default()).map(|_| ()).unwrap_err();
    assert!(matches!(load(b"something else"), SnapshotError::NoSnapshot));
    let mut other = file.clone();
    other[8] = 9;
    assert_eq!(load(&other).to_string(), "the snapshot has version 9; this library reads version 1");
    for length in (0..file.len()).step_by(13) {
        assert!(matches!(load(&file[..length]), SnapshotError::Io(_)), "{length}");
    }
    // Damage is an error or another CPU, never worse.
    for at in 0..file.len().min(1200) {
        let mut damaged = file.clone();
        damaged[at] ^= 0xff;
        let _ = Cpu::load(&damaged[..], EngineKind::default());
    }
    cpu.memory.map_mmio(0x8000, 4096, Permissions::READ, Box::new(Nothing)).unwrap();
    assert!(matches!(cpu.save(Vec::new()), Err(SnapshotError::Device { address: 0x8000 })));
}
