//! What a host asks of the facade alone: this file names no other crate.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pentimento::decoder::{Listed, listing};
use pentimento::host::{Bytes, Clock, Input};
use pentimento::{
    Access, AddressSpace, Backing, Bounds, Capture, ControlWord, Cpu, CpuModel, Crash, Descriptor,
    DescriptorTables, EngineKind, Error, Exception, F80, Fault, FaultKind, Gpr, Halt, Kernel, Limits,
    Machine, MapError, MmioHandler, Mxcsr, NoSuchSnapshot, Permissions, Region, RegionKind, Segment,
    SegmentRegister, SharedError, SharedMemory, SnapshotId, StatusWord, Tag, TimeMode, TlsDescriptors,
    WatchHit, X87State,
};

const CODE: u32 = 0x1000;

/// A CPU at some code.
fn cpu(engine: EngineKind, code: &[u8]) -> Cpu {
    let mut cpu = Cpu::with(CpuModel::default(), engine);
    cpu.memory.map(CODE, 0x1000, Permissions::all()).unwrap();
    cpu.memory.poke_bytes(CODE, code).unwrap();
    cpu.state.eip = CODE;
    cpu
}

struct Port;

impl MmioHandler for Port {
    fn read(&mut self, offset: u32, size: u32) -> u64 {
        u64::from(offset + size)
    }

    fn write(&mut self, _: u32, _: u32, _: u64) {}
}

/// Everything that the methods of a CPU hand out has a name here.
#[test]
fn what_methods_hand_out_can_be_named() {
    let mut cpu = Cpu::new();
    cpu.memory = AddressSpace::with_backing(Backing::Reserved);
    let _: Backing = cpu.memory.backing();
    let unmapped: Result<(), MapError> = cpu.memory.protect(0, 4096, Permissions::READ);
    assert_eq!(unmapped, Err(MapError::NotMapped { address: 0 }));
    let device: Box<dyn MmioHandler> = Box::new(Port);
    cpu.memory.map_mmio(0x8000, 4096, Permissions::READ, device).unwrap();
    let object: Result<SharedMemory, SharedError> = SharedMemory::new(4096);
    cpu.memory.map_shared(0x9000, 4096, Permissions::READ, &object.unwrap(), 0).unwrap();
    let regions: Vec<Region> = cpu.memory.regions().collect();
    let kinds: Vec<RegionKind> = regions.iter().map(|region| region.kind).collect();
    assert_eq!(kinds, [RegionKind::Device, RegionKind::Shared]);
    assert_eq!(regions[0].to_string(), "00008000-00009000 r-- device");
    let refused: Result<u32, Fault> = cpu.memory.read(0x2000);
    let fault = Fault { address: 0x2000, access: Access::Read, kind: FaultKind::NotMapped };
    assert_eq!(refused, Err(fault));
    let snapshot: SnapshotId = cpu.memory.snapshot();
    cpu.memory.discard(snapshot).unwrap();
    assert_eq!(cpu.memory.restore(snapshot), Err(NoSuchSnapshot));
    let hits: Vec<WatchHit> = cpu.memory.take_watch_hits();
    assert!(hits.is_empty());
    let segment: Segment = *cpu.state.segment(SegmentRegister::Ds);
    let descriptor: Option<&Descriptor> = segment.descriptor();
    assert_eq!(descriptor, Some(&Descriptor::FLAT_DATA));
    let x87: &X87State = &cpu.state.x87;
    let (top, tag, control, status): (F80, Tag, ControlWord, StatusWord) =
        (x87.registers[0], x87.tag(0), x87.control, x87.status);
    assert_eq!((top, tag), (F80::ZERO, Tag::Empty));
    assert_eq!(
        (control, status, cpu.state.mxcsr),
        (ControlWord::INITIAL, StatusWord::empty(), Mxcsr::INITIAL)
    );
    let tls: &TlsDescriptors = &cpu.tls;
    let tables = DescriptorTables { tls, local: &cpu.local };
    assert!(format!("{tables:?}").contains("tls"));
    let shown = format!("{cpu:?}");
    assert!(shown.contains("eip 00000000") && shown.contains("00008000-00009000"), "{shown}");
}

#[test]
fn machines_hand_out_what_can_be_named() {
    let mut machine = Machine::builder().build().unwrap();
    let _: &mut Kernel = machine.kernel();
    let missing: Error = machine.start(&["/missing"]).unwrap_err();
    assert!(missing.is_not_found());
    let lines: Vec<Listed<'_>> = listing(&[0x90, 0xc3], 0x1000).collect();
    assert_eq!(lines[1].to_string(), "ret");
}

#[test]
fn a_crash_says_what_and_where() {
    // mov eax, [4]
    let code = [0x90, 0xa1, 4, 0, 0, 0];
    let fault = Fault { address: 4, access: Access::Read, kind: FaultKind::NotMapped };
    for engine in EngineKind::ALL {
        assert_eq!(cpu(*engine, &code).run(10), Halt::PageFault(fault));
        let mut machine = Machine::builder().engine(*engine).build().unwrap();
        machine.load_code(CODE, &code, 4096).unwrap();
        let Halt::Killed { signal: 11, crash: Some(crash) } = machine.run(10) else { panic!("no crash") };
        let Crash { exception, error_code, eip, fault: told, task } = crash;
        assert_eq!((exception, error_code, eip), (Exception::PageFault, fault.error_code(), CODE + 1));
        assert_eq!((told, Some(task)), (Some(fault), machine.task()));
        assert_eq!(crash.to_string(), "#PF at eip 0x00001001: Read at 0x00000004: not mapped");
    }
}

/// A signal that somebody sends has no exception behind it.
#[test]
fn a_kill_is_no_crash() {
    // mov eax, 20; int 80h; mov ebx, eax; mov ecx, 11; mov eax, 37; int 80h: kill(getpid(), SIGSEGV)
    let code = b"\xb8\x14\0\0\0\xcd\x80\x89\xc3\xb9\x0b\0\0\0\xb8\x25\0\0\0\xcd\x80\x90";
    let mut machine = Machine::builder().build().unwrap();
    machine.load_code(CODE, code, 4096).unwrap();
    assert_eq!(machine.run(1000), Halt::Killed { signal: 11, crash: None });
}

#[test]
fn runs_stop_at_breakpoints_and_addresses() {
    // inc eax; inc ebx; inc ecx; jmp to the start
    let code = [0x40, 0x43, 0x41, 0xeb, 0xfb];
    for engine in EngineKind::ALL {
        let mut cpu = cpu(*engine, &code);
        cpu.breakpoints.insert(CODE + 1);
        let mut machine = Machine::builder().engine(*engine).build().unwrap();
        machine.load_code(CODE, &code, 4096).unwrap();
        machine.breakpoints.insert(CODE + 1);
        for turn in 1..4 {
            assert_eq!(cpu.run(100), Halt::Breakpoint(CODE + 1));
            assert_eq!(machine.run(100), Halt::Breakpoint(CODE + 1));
            for state in [&cpu.state, machine.state().unwrap()] {
                assert_eq!((state.gpr(Gpr::Eax), state.gpr(Gpr::Ebx)), (turn, turn - 1), "{engine}");
            }
        }
        let until = Bounds::none().until(CODE + 2);
        assert_eq!(cpu.run(until), Halt::Reached(CODE + 2));
        assert_eq!(machine.run(until), Halt::Reached(CODE + 2));
        assert_eq!((cpu.run(2), machine.run(2)), (Halt::Budget, Halt::Budget));
        assert_eq!((cpu.state.eip, machine.state().unwrap().eip), (CODE, CODE));
        cpu.breakpoints.clear();
        machine.breakpoints.clear();
        assert_eq!((cpu.run(1000), machine.run(1000)), (Halt::Budget, Halt::Budget));
    }
}

/// Also in the midst of instructions that take long, such as these: rep stosb over 256 MiB, for ever.
#[test]
fn timeouts_end_runs() {
    // mov ecx, 10000000h; mov edi, 200000h; rep stosb; jmp to the start
    let code = b"\xb9\0\0\0\x10\xbf\0\0\x20\0\xf3\xaa\xeb\xf2";
    for engine in EngineKind::ALL {
        let mut cpu = cpu(*engine, code);
        cpu.memory.map(0x20_0000, 0x1000_0000, Permissions::all()).unwrap();
        let mut machine = Machine::builder().engine(*engine).build().unwrap();
        machine.load_code(CODE, code, 0x1100_0000).unwrap();
        let bounds = Bounds::none().timeout(Duration::from_millis(20));
        let started = Instant::now();
        assert_eq!((cpu.run(bounds), machine.run(bounds)), (Halt::Timeout, Halt::Timeout), "{engine}");
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        // The alarm is not for the next run.
        assert_eq!((cpu.run(1), machine.run(1)), (Halt::Budget, Halt::Budget), "{engine}");
        let bounds = Bounds::none().budget(1).timeout(Duration::from_secs(3600));
        assert_eq!((cpu.run(bounds), machine.run(bounds)), (Halt::Budget, Halt::Budget), "{engine}");
    }
}

/// An input that has what somebody else puts there.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<Vec<u8>>>);

impl Input for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.0.lock().unwrap();
        if bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        bytes.drain(..length);
        Ok(length)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let ready = !self.0.lock().unwrap().is_empty();
        assert!(ready || timeout == Some(Duration::ZERO), "the library sleeps without being asked to");
        Ok(ready)
    }
}

/// read(0, 1900h, 4), then exit with the first byte.
const READS: &[u8] = b"\x31\xdb\xb9\x00\x19\x00\x00\xba\x04\x00\x00\x00\xb8\x03\x00\x00\x00\xcd\x80\
                       \x0f\xb6\x19\xb8\x01\x00\x00\x00\xcd\x80";

#[test]
fn a_machine_that_waits_for_input_says_so() {
    for time in [TimeMode::default(), TimeMode::Real] {
        let line = Line::default();
        let mut machine = Machine::builder().time(time).stdin(line.clone()).build().unwrap();
        machine.load_code(CODE, READS, 4096).unwrap();
        assert_eq!(machine.run(1000), Halt::Waiting { until: None });
        assert_eq!(machine.run(1000), Halt::Waiting { until: None });
        line.0.lock().unwrap().extend(b"*\n");
        assert!(machine.wait(Duration::from_secs(1)));
        assert_eq!(machine.run(1000), Halt::Exited(b'*'));
    }
}

/// A clock that the host moves, and that refuses to sleep.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Clock for Hand {
    fn monotonic(&mut self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn realtime(&mut self) -> Duration {
        self.monotonic()
    }

    fn sleep(&mut self, _: Duration) {
        panic!("the library sleeps without being asked to");
    }
}

/// nanosleep of 2 seconds, then exit(7).
const SLEEPS: &[u8] = b"\xc7\x05\x00\x19\x00\x00\x02\x00\x00\x00\xbb\x00\x19\x00\x00\x31\xc9\
                        \xb8\xa2\x00\x00\x00\xcd\x80\xbb\x07\x00\x00\x00\xb8\x01\x00\x00\x00\xcd\x80";

#[test]
fn a_machine_that_waits_for_time_says_until_when() {
    let hand = Hand::default();
    hand.0.store(500, Ordering::Relaxed);
    let mut machine = Machine::builder().time(TimeMode::Real).clock(hand.clone()).build().unwrap();
    machine.load_code(CODE, SLEEPS, 4096).unwrap();
    let until = Some(Duration::from_millis(2500));
    assert_eq!(machine.run(1000), Halt::Waiting { until });
    assert_eq!(machine.now(), Duration::from_millis(500));
    hand.0.store(2499, Ordering::Relaxed);
    assert_eq!(machine.run(1000), Halt::Waiting { until });
    hand.0.store(2500, Ordering::Relaxed);
    assert_eq!(machine.run(1000), Halt::Exited(7));
}

#[test]
fn whoever_asks_for_it_gets_a_sleep() {
    let mut machine = Machine::builder().time(TimeMode::Real).build().unwrap();
    machine.load_code(CODE, SLEEPS, 4096).unwrap();
    let started = Instant::now();
    let bounds = Bounds::none().timeout(Duration::from_millis(100));
    assert_eq!(machine.run_and_wait(bounds), Halt::Timeout);
    assert_eq!(machine.run_and_wait(1000), Halt::Exited(7));
    assert!(started.elapsed() >= Duration::from_secs(2));
}

/// In virtual time a sleep takes none.
#[test]
fn virtual_time_passes_at_once() {
    let mut machine = Machine::builder().build().unwrap();
    machine.load_code(CODE, SLEEPS, 4096).unwrap();
    assert_eq!(machine.run(1000), Halt::Exited(7));
    assert!(machine.now() >= Duration::from_secs(2));
}

/// Whatever the order, everything that the builder was told holds.
#[test]
fn the_builder_forgets_nothing() {
    let output = Capture::new();
    let limits = Limits { output: 1, ..Limits::default() };
    let builders = [
        Machine::builder().stdin(Bytes::from("*")).stdout(output.clone()).seed(1).limits(limits),
        Machine::builder().limits(limits).seed(1).stdout(output.clone()).stdin(Bytes::from("*")),
    ];
    for builder in builders {
        let builder = builder.time(TimeMode::default()).quantum(10..=20).file("/etc/a", "b").user(5, 6);
        let mut machine = builder.randomize_addresses(false).environment("A", "B").build().unwrap();
        assert_eq!(machine.kernel().read_file(b"/etc/a", 10).unwrap(), b"b");
        machine.load_code(CODE, READS, 4096).unwrap();
        assert_eq!(machine.run(1000), Halt::Exited(b'*'));
    }
}
