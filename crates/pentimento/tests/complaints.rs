//! What users of other emulators complain about, and what happens here: a test for each, on every engine.
#![cfg(feature = "assembler")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pentimento::assembler::assemble;
use pentimento::host::{Bytes, Invocation, TraceSink};
use pentimento::{
    Bounds, Capture, Cpu, CpuModel, Eflags, EngineKind, Exception, Gpr, Halt, Machine, PAGE_SIZE,
    Permissions, Reply, TaskId,
};
use pentimento_taint::{Options, Sink, Taint};

const CODE: u32 = 0x1000;
const DATA: u32 = 0x8000;

/// A CPU with code at [`CODE`], data at [`DATA`], and a stack behind it.
fn cpu(engine: EngineKind, source: &str) -> Cpu {
    let mut cpu = Cpu::with(CpuModel::default(), engine);
    cpu.memory.map(CODE, 0x2000, Permissions::all()).unwrap();
    cpu.memory.map(DATA, 0x2000, Permissions::READ | Permissions::WRITE).unwrap();
    let program = assemble(&format!("org {CODE}\n{source}")).unwrap();
    cpu.memory.poke_bytes(CODE, program.bytes()).unwrap();
    cpu.state.eip = CODE;
    cpu.state.set_gpr(Gpr::Esp, DATA + 0x2000);
    cpu
}

/// A machine that executes code.
fn machine(engine: EngineKind, source: &str) -> Machine {
    let mut machine = Machine::builder().engine(engine).build().unwrap();
    let program = assemble(&format!("org {CODE}\n{source}")).unwrap();
    machine.load_code(CODE, program.bytes(), 0x2000).unwrap();
    machine
}

/// Long enough for an engine that translates to have done so.
const HOT: u32 = 1_000_000;

/// Unicorn 1409, 2040, 1797: the program counter is wrong in memory hooks unless there is a code hook, too.
#[test]
fn complaint_1_the_program_counter_in_memory_hooks_and_faults_is_exact() {
    let source =
        format!("mov ecx, {HOT}\n again: inc eax\n mov [{DATA}], eax\n nop\n loop again\n mov [4], eax");
    for engine in EngineKind::ALL {
        let mut cpu = cpu(*engine, &source);
        assert_eq!(cpu.run(3 * u64::from(HOT)), Halt::Budget);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        cpu.hooks.on_write(.., move |_, access| list.lock().unwrap().push(access.eip));
        cpu.run(40);
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert!(seen.len() >= 9 && seen.iter().all(|eip| *eip == CODE + 6), "{engine}: {seen:x?}");
        cpu.hooks.clear();
        assert!(matches!(cpu.run(u64::MAX), Halt::PageFault(fault) if fault.address == 4), "{engine}");
        assert_eq!(cpu.state.eip, CODE + 14, "{engine}");
    }
}

/// Unicorn 2200, 1747, 1661, 1434, 1027.
#[test]
fn complaint_2_hooks_come_and_go_at_any_time_and_each_event_is_told_once() {
    let source = format!("mov ecx, {HOT}\n again: inc eax\n inc edx\n loop again\n mov ebx, 1\n int 3");
    for engine in EngineKind::ALL {
        let mut cpu = cpu(*engine, &source);
        // The code is hot when the first hook comes.
        assert_eq!(cpu.run(3 * u64::from(HOT) - 30), Halt::Budget);
        let counts: Arc<[AtomicU64; 2]> = Arc::default();
        let (first, second) = (Arc::clone(&counts), Arc::clone(&counts));
        let one = cpu.hooks.on_instruction(CODE + 5..=CODE + 5, move |_, _| {
            first[0].fetch_add(1, Ordering::Relaxed);
        });
        cpu.run(9);
        let alone = counts[0].load(Ordering::Relaxed);
        // Another one does not change what the first one hears.
        let stop = cpu.hooks.on_instruction(CODE + 6..=CODE + 6, move |view, _| {
            second[1].fetch_add(1, Ordering::Relaxed);
            view.stop();
        });
        for _ in 0..3 {
            assert_eq!(cpu.run(100), Halt::Hook(stop), "{engine}");
        }
        let counts = [0, 1].map(|index| counts[index].load(Ordering::Relaxed));
        assert_eq!((alone, counts), (3, [6, 3]), "{engine}");
        cpu.hooks.remove(one);
        cpu.hooks.remove(stop);
        // EIP that a hook writes counts.
        cpu.hooks.on_instruction(CODE + 6..=CODE + 6, |view, _| view.state.eip = CODE + 9);
        let halt = cpu.run(100);
        assert!(matches!(halt, Halt::Exception { exception: Exception::Breakpoint, .. }), "{engine}: {halt}");
        assert_eq!(cpu.state.gpr(Gpr::Ebx), 1, "{engine}");
    }
}

/// Unicorn's `count` is a hook on each instruction; 1043: entering often is slow.
#[test]
fn complaint_3_a_budget_is_exact_and_entering_is_cheap() {
    for engine in EngineKind::ALL {
        let mut cpu = cpu(*engine, "again: inc eax\n jmp again");
        for budget in [1, 2, 3, 1000, 99_999] {
            let before = cpu.environment.time_stamp;
            assert_eq!(cpu.run(budget), Halt::Budget);
            assert_eq!(cpu.environment.time_stamp - before, budget, "{engine}");
        }
        let begun = Instant::now();
        for _ in 0..10_000 {
            cpu.run(1);
        }
        // Far more than it takes, for hosts that are busy and for builds without optimisation.
        assert!(begun.elapsed() < Duration::from_secs(2), "{engine}: {:?}", begun.elapsed());
    }
}

/// Unicorn 1089, 487, 1766, AFLplusplus 955.
#[test]
fn complaint_4_there_may_be_many_regions_and_mapping_them_takes_no_longer_for_it() {
    let mut cpu = Cpu::new();
    let map = |cpu: &mut Cpu, first: u32| {
        let begun = Instant::now();
        for number in first..first + 20_000 {
            cpu.memory
                .map(number * 2 * PAGE_SIZE, PAGE_SIZE, Permissions::READ | Permissions::WRITE)
                .unwrap();
        }
        begun.elapsed()
    };
    let early = map(&mut cpu, 1);
    let late = map(&mut cpu, 100_001);
    assert_eq!(cpu.memory.regions().count(), 40_000);
    assert!(late < early * 10 + Duration::from_millis(200), "{early:?} {late:?}");
    cpu.memory.write(120_000 * 2 * PAGE_SIZE, 5_u32).unwrap();
    assert!(cpu.memory.map(0xffff_f000, 0x2000, Permissions::READ).is_err(), "an error, and no exit");
}

/// Unicorn 2319, 2320, 2043, 636, 1355.
#[test]
fn complaint_5_misuse_is_an_error_and_a_stop_comes_from_any_thread() {
    for engine in EngineKind::ALL {
        let mut cpu = cpu(*engine, "again: jmp again");
        assert!(cpu.memory.map(0xffff_f000, 0x2000, Permissions::all()).is_err());
        assert!(cpu.memory.unmap(0xffff_f000, 0x2000).is_err());
        assert!(cpu.memory.poke_bytes(0xffff_fffc, &[0; 8]).is_err());
        let snapshot = cpu.snapshot();
        let mut other = Cpu::with(CpuModel::default(), *engine);
        assert!(other.restore(&snapshot).is_err(), "it is another CPU's");
        cpu.restore(&snapshot).unwrap();
        cpu.discard(&snapshot).unwrap();
        assert!(cpu.restore(&snapshot).is_err(), "it is no more");
        let handle = cpu.stop_handle();
        let stopper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            handle.stop();
        });
        assert_eq!(cpu.run(u64::MAX), Halt::Stopped, "{engine}");
        stopper.join().unwrap();
        assert_eq!(cpu.run(10), Halt::Budget, "{engine}: the request was taken");
    }
}

/// Unicorn 2367.
#[test]
fn complaint_6_code_that_changes_itself_is_executed_as_it_is() {
    // Each round counts by one more: the immediate operand of the ADD is incremented.
    let source =
        "mov ecx, 2000\n again: add eax, 0x11223344\n inc dword ptr [again + 1]\n loop again\n int 3";
    let first = 0x1122_3344_u32;
    let sum = (0..2000_u32).fold(0_u32, |sum, round| sum.wrapping_add(first.wrapping_add(round)));
    for engine in EngineKind::ALL {
        let mut cpu = cpu(*engine, source);
        assert!(matches!(cpu.run(100_000), Halt::Exception { .. }));
        assert_eq!(cpu.state.gpr(Gpr::Eax), sum, "{engine}");
    }
}

/// Unicorn 313, 499, 971, icicle 78, blink 214: flags are wrong. The oracle compares all of them with
/// silicon; these are those of the complaints' kind.
#[test]
fn complaint_7_flags_are_those_of_silicon() {
    use Eflags as F;
    let (all, none) = (F::CF | F::PF | F::AF | F::ZF | F::SF | F::OF, F::empty());
    let cases: &[(&str, Eflags, Eflags)] = &[
        ("mov al, 0x7f\n inc al", all - F::CF, F::AF | F::SF | F::OF),
        ("mov al, 0\n neg al", all, F::ZF | F::PF),
        ("mov al, 0x80\n neg al", all, F::CF | F::SF | F::OF),
        ("mov al, 0x81\n shl al, 1", all - F::AF, F::CF | F::OF),
        ("mov al, 0x81\n sar al, 1", all - F::AF, F::CF | F::SF | F::PF),
        ("stc\n mov al, 0xff\n adc al, 0", all, F::CF | F::ZF | F::PF | F::AF),
        ("stc\n mov eax, 0\n sbb eax, 0", all, F::CF | F::SF | F::PF | F::AF),
        ("mov eax, 0x10000\n imul eax, eax", F::CF | F::OF, F::CF | F::OF),
        ("mov eax, 5\n mov ebx, 0\n bsf ecx, ebx", F::ZF, F::ZF),
        ("stc\n mov cl, 0\n shl al, cl", F::CF, F::CF),
        ("mov cl, 32\n stc\n rol eax, cl", F::CF, F::CF),
        ("mov eax, 0x80000000\n mov ebx, eax\n cmp eax, 1", all, F::OF | F::PF | F::AF),
        ("xor eax, eax", all - F::AF, F::ZF | F::PF),
        ("mov al, 0x9a\n xor ah, ah\n add ah, ah\n daa", F::CF | F::AF, F::CF | F::AF),
        ("mov ax, 0x1234\n test ah, 0xed", all - F::AF, F::ZF | F::PF),
        ("clc\n mov al, 1\n dec al", all - F::CF, F::ZF | F::PF),
        ("mov eax, 1\n bt eax, 33", F::CF, none),
    ];
    for engine in EngineKind::ALL {
        for (source, mask, expected) in cases {
            let mut cpu = cpu(*engine, &format!("{source}\n int 3"));
            assert!(matches!(cpu.run(100), Halt::Exception { .. }));
            assert_eq!(cpu.state.eflags & *mask, *expected, "{engine}: {source}");
        }
    }
}

/// Unicorn 1913, qiling 1201: CPUID promises what the CPU does not have.
#[test]
fn complaint_8_each_model_is_consistent() {
    // A feature's bit in EDX or ECX of leaf 1, and an instruction of it.
    let probes = [
        ("edx", 15, "cmovz eax, ebx"),
        ("edx", 23, "pxor mm0, mm1"),
        ("edx", 25, "xorps xmm0, xmm1"),
        ("edx", 26, "pxor xmm0, xmm1"),
        ("ecx", 0, "haddps xmm0, xmm1"),
        ("ecx", 9, "pshufb xmm0, xmm1"),
        ("ecx", 19, "pmulld xmm0, xmm1"),
        ("ecx", 20, "crc32 eax, bl"),
        ("ecx", 23, "popcnt eax, ebx"),
    ];
    let mut lacking = 0;
    for engine in EngineKind::ALL {
        for name in ["pentium", "pentium3", "pentium4", "x86-64-v2", "max"] {
            for (register, bit, instruction) in probes {
                let source = format!(
                    "mov eax, 1\n cpuid\n bt {register}, {bit}\n setc al\n movzx esi, al\n {instruction}\n int 3"
                );
                let mut cpu = Cpu::with(CpuModel::from_name(name).unwrap(), *engine);
                let program = assemble(&source).unwrap();
                cpu.memory.map(0, 0x1000, Permissions::all()).unwrap();
                cpu.memory.poke_bytes(0, program.bytes()).unwrap();
                let Halt::Exception { exception, .. } = cpu.run(100) else { panic!("{name}: {instruction}") };
                let promised = cpu.state.gpr(Gpr::Esi) == 1;
                let expected = if promised { Exception::Breakpoint } else { Exception::InvalidOpcode };
                assert_eq!(exception, expected, "{engine}, {name}: {instruction}");
                lacking += u32::from(!promised);
            }
        }
    }
    assert!(lacking > 20, "some models lack some");
}

/// Unicorn 2114, 634, 474, 925 (GPL), 1444, 1632 (C and CMake), 1777 (lifetimes and `Rc`).
#[test]
fn complaint_9_permissive_and_send_without_lifetimes() {
    const fn goes_to_other_threads<T: Send + 'static>() {}
    const { goes_to_other_threads::<Cpu>() }
    const { goes_to_other_threads::<Machine>() }
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manifest = std::fs::read_to_string(top.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("license = \"MIT OR Apache-2.0\""));
    let packages = std::fs::read_to_string(top.join("Cargo.lock")).unwrap();
    assert!(!packages.contains("name = \"cmake\""));
    let mut cpu = cpu(EngineKind::default(), "inc eax\n int 3");
    let cpu = std::thread::spawn(move || {
        cpu.run(10);
        cpu
    });
    assert_eq!(cpu.join().unwrap().state.gpr(Gpr::Eax), 1);
}

/// Notes the calls that are said not to be there.
struct Missing(Arc<Mutex<Vec<u32>>>);

impl TraceSink for Missing {
    fn system_call(&mut self, _: &Invocation) {}

    fn unimplemented(&mut self, number: u32, _: &str) {
        self.0.lock().unwrap().push(number);
    }

    fn signal(&mut self, _: TaskId, _: &str) {}
}

/// Qiling 165, 488, 1176: missing system calls hang or crash silently.
#[test]
fn complaint_10_a_missing_system_call_is_enosys_counted_and_said_once() {
    const NUMBER: u32 = 17; // break(2), which Linux does not have either
    let program = assemble(&format!(
        "org {CODE}\n mov esi, 3\n again: mov eax, {NUMBER}\n int 80h\n dec esi\n jnz again\n mov ebx, eax\n neg ebx\n mov eax, 1\n int 80h"
    ));
    for engine in EngineKind::ALL {
        let said = Arc::new(Mutex::new(Vec::new()));
        let builder = Machine::builder().engine(*engine).trace(Missing(Arc::clone(&said)));
        let mut machine = builder.build().unwrap();
        machine.load_code(CODE, program.as_ref().unwrap().bytes(), 0x1000).unwrap();
        assert_eq!(machine.run(1000), Halt::Exited(38), "ENOSYS");
        assert_eq!(machine.kernel().unimplemented_calls().get(&NUMBER), Some(&3));
        assert_eq!(*said.lock().unwrap(), [NUMBER], "{engine}");
    }
}

/// LibAFL 1716, 3465, icicle 56: no snapshots in user mode.
#[test]
fn complaint_11_snapshots_of_programs_nest_and_cost_what_was_written() {
    let parser = include_bytes!("../../../fixtures/programs/parser");
    let picture = include_bytes!("../../../fixtures/programs/parser.in");
    for engine in EngineKind::ALL {
        let output = Capture::new();
        let builder = Machine::builder().engine(*engine).program("/parser", parser);
        let builder = builder.stdin(Bytes::from(&picture[..])).stdout(output.clone()).trace_hash();
        let mut machine = builder.build().unwrap();
        machine.start(&["/parser"]).unwrap();
        let outer = machine.snapshot();
        assert_eq!(machine.run(500), Halt::Budget);
        let inner = machine.snapshot();
        let mut hashes = Vec::new();
        for snapshot in [&inner, &inner, &outer] {
            assert_eq!(machine.run(10_000_000), Halt::Exited(0), "{engine}");
            hashes.push(machine.trace_hash());
            machine.restore(snapshot).unwrap();
        }
        assert!(machine.restore(&inner).is_err(), "one before it was restored");
        assert_eq!(machine.run(10_000_000), Halt::Exited(0), "{engine}");
        hashes.push(machine.trace_hash());
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{engine}: {hashes:?}");
    }
}

/// FEX 3670, 1585, dosbox-x 119: x87 is slow or approximated.
#[test]
fn complaint_12_x87_has_all_eighty_bits() {
    let cases: [(&str, [u8; 10]); 5] = [
        ("fldpi", [0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0x00, 0x40]),
        (
            "fld1\n fld1\n fadd st, st\n fld1\n faddp\n fdivp",
            [0xab, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xfd, 0x3f],
        ),
        ("fld1\n fadd st, st\n fsqrt", [0x84, 0x64, 0xde, 0xf9, 0x33, 0xf3, 0x04, 0xb5, 0xff, 0x3f]),
        ("fldl2e", [0xbc, 0xf0, 0x17, 0x5c, 0x29, 0x3b, 0xaa, 0xb8, 0xff, 0x3f]),
        ("fldz\n fchs", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]),
    ];
    for engine in EngineKind::ALL {
        for (source, expected) in &cases {
            let mut cpu = cpu(*engine, &format!("fninit\n {source}\n fstp tbyte ptr [{DATA}]\n int 3"));
            assert!(matches!(cpu.run(100), Halt::Exception { exception: Exception::Breakpoint, .. }));
            let mut bytes = [0; 10];
            cpu.memory.peek_bytes(DATA, &mut bytes).unwrap();
            assert_eq!(bytes, *expected, "{engine}: {source}");
        }
    }
}

/// Triton 683, 908: taint cannot be had without symbolic execution.
#[test]
fn complaint_13_taint_needs_no_solver() {
    for engine in EngineKind::ALL {
        let mut cpu =
            cpu(*engine, &format!("mov al, [{DATA} + 2]\n add al, 5\n cmp al, 9\n jne end\n end: int 3"));
        let taint = Taint::start(&mut cpu.hooks, Options::default());
        let first = taint.label_memory(&cpu.memory, DATA, 4);
        assert!(matches!(cpu.run(100), Halt::Exception { .. }));
        let report = taint.report();
        assert_eq!((report.len(), report[0].sink), (1, Sink::Branch), "{engine}");
        assert_eq!(report[0].labels, [first.next().next()], "{engine}");
    }
}

/// gVisor's users (gitpod 7358, sysbox 350, distroless 352) and box32's (box64 2495): no 32-bit programs.
#[test]
fn complaint_14_a_32_bit_program_needs_nothing_of_the_host() {
    let program = include_bytes!("../../../fixtures/programs/float_kernels.nehalem-O2");
    let expected = include_str!("../../../fixtures/programs/float_kernels.nehalem-O2.out");
    for engine in EngineKind::ALL {
        let output = Capture::new();
        let builder = Machine::builder().engine(*engine).program("/program", program).stdout(output.clone());
        let mut machine = builder.build().unwrap();
        machine.start(&["/program"]).unwrap();
        let halt = machine.run(Bounds::none().budget(2_000_000_000));
        assert_eq!(halt, Halt::Exited(0), "{engine}");
        assert_eq!(format!("{}exit code 0\n", output.text()), expected, "{engine}");
    }
}

/// A hook answers what no kernel has, and the program does not notice: 10 once more, for hosts that know
/// better.
#[test]
fn complaint_10_a_host_may_answer_for_the_kernel() {
    for engine in EngineKind::ALL {
        let mut machine = machine(*engine, "mov eax, 17\n int 80h\n mov ebx, eax\n mov eax, 1\n int 80h");
        machine.hooks.on_system_call(|view, call| {
            if call.number != 17 {
                return Reply::Pass;
            }
            view.state.set_gpr(Gpr::Eax, 55);
            Reply::Done
        });
        assert_eq!(machine.run(100), Halt::Exited(55), "{engine}");
    }
}
