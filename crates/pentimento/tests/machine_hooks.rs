//! Hooks of machines: system calls, signals, processes, and what programs do, on every engine.
#![cfg(feature = "assembler")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::{Arc, Mutex};

use pentimento::assembler::assemble;
use pentimento::{
    Capture, EngineKind, Gpr, GuestCall, Halt, KernelEvent, Machine, Permissions, Reply, linux::Termination,
};

const CODE: u32 = 0x1000;

/// A machine with raw code.
fn machine(engine: EngineKind, source: &str, output: &Capture) -> Machine {
    let builder = Machine::builder().engine(engine).stdout(output.clone());
    let mut machine = builder.file("/etc/motd", "hello\n").build().unwrap();
    let program = assemble(&format!("org {CODE}\n{source}")).unwrap();
    machine.load_code(CODE, program.bytes(), 0x4000).unwrap();
    machine
}

type Heard<T> = Arc<Mutex<Vec<T>>>;

const CAT: &str = "mov eax, 5\n mov ebx, name\n xor ecx, ecx\n int 0x80\n mov ebx, eax\n mov eax, 3\n mov ecx, 0x3000\n mov edx, 100\n int 0x80\n mov edx, eax\n mov eax, 4\n mov ebx, 1\n int 0x80\n mov eax, 1\n mov ebx, edx\n int 0x80\n name: db '/etc/motd', 0";

/// Before the kernel and after it, each once, and the numbers add up.
#[test]
fn system_calls_are_told_of_before_and_after() {
    for engine in EngineKind::ALL {
        let output = Capture::new();
        let mut machine = machine(*engine, CAT, &output);
        let (begun, ended) = (Heard::default(), Heard::default());
        let list = begun.clone();
        machine.hooks.on_system_call(move |_, call: &GuestCall| {
            list.lock().unwrap().push((call.name().unwrap(), call.arguments[1]));
            Reply::Pass
        });
        let list = ended.clone();
        machine.hooks.on_system_call_end(move |view, call, result| {
            assert_eq!(view.state.gpr(Gpr::Eax), result);
            list.lock().unwrap().push((call.name().unwrap(), result));
        });
        assert_eq!((machine.run(1000), output.text()), (Halt::Exited(6), "hello\n".into()), "{engine}");
        assert_eq!(
            *begun.lock().unwrap(),
            [("open", 0), ("read", 0x3000), ("write", 0x3000), ("exit", 0x3000)]
        );
        assert_eq!(*ended.lock().unwrap(), [("open", 3), ("read", 6), ("write", 6)], "{engine}");
    }
}

/// The program's file is the host's, and no file of the machine.
#[test]
fn a_hook_answers_in_the_kernels_place() {
    for engine in EngineKind::ALL {
        let output = Capture::new();
        let mut machine = machine(*engine, CAT, &output);
        machine.hooks.on_system_call(|view, call| match (call.name(), call.arguments) {
            (Some("open"), [path, ..]) => {
                assert_eq!(view.memory.read_c_string(path, 100).unwrap().unwrap(), b"/etc/motd");
                view.state.set_gpr(Gpr::Eax, 1000);
                Reply::Done
            }
            (Some("read"), [1000, buffer, ..]) => {
                view.memory.write_bytes(buffer, b"from the host").unwrap();
                view.state.set_gpr(Gpr::Eax, 13);
                Reply::Done
            }
            _ => Reply::Pass,
        });
        let calls = machine.hooks.on_system_call_end(|view, call, _| {
            if call.number == 4 {
                view.stop();
            }
        });
        assert_eq!(
            (machine.run(1000), output.text()),
            (Halt::Hook(calls), "from the host".into()),
            "{engine}"
        );
        assert_eq!((machine.run(1000), machine.statistics().system_calls), (Halt::Exited(13), 2), "{engine}");
    }
}

/// What happens to processes and signals is told of in its order, on every engine the same.
#[test]
fn processes_and_signals_are_told_of() {
    // Catches SIGUSR1 that its child sends, waits for the child, which exits with 3.
    let source = "mov eax, 48\n mov ebx, 10\n mov ecx, caught\n int 0x80\n mov eax, 2\n int 0x80\n test eax, eax\n jz child\n mov ebx, eax\n again: mov eax, 7\n xor ecx, ecx\n xor edx, edx\n int 0x80\n cmp eax, -4\n je again\n mov eax, 1\n mov ebx, [count]\n int 0x80\n child: mov eax, 64\n int 0x80\n mov ebx, eax\n mov ecx, 10\n mov eax, 37\n int 0x80\n mov eax, 1\n mov ebx, 3\n int 0x80\n caught: inc dword [count]\n pop eax\n pop eax\n mov eax, 119\n int 0x80\n count: dd 0";
    let mut expected = None;
    for engine in EngineKind::ALL {
        let mut machine = machine(*engine, source, &Capture::new());
        let (heard, instructions) = (Heard::default(), Arc::new(Mutex::new(0_u64)));
        let list = heard.clone();
        machine.hooks.on_kernel_event(move |view, event| {
            assert!(view.kernel.tasks().count() <= 2);
            list.lock().unwrap().push(*event);
        });
        let signals = Heard::default();
        let list = signals.clone();
        machine.hooks.on_signal(move |_, task, signal| list.lock().unwrap().push((task.number(), signal)));
        let count = instructions.clone();
        machine.hooks.on_instruction(.., move |view, _| {
            assert!(view.task().is_some());
            *count.lock().unwrap() += 1;
        });
        assert_eq!(machine.run(100_000), Halt::Exited(1), "{engine}");
        assert_eq!(*instructions.lock().unwrap(), machine.statistics().instructions, "{engine}");
        assert_eq!(*signals.lock().unwrap(), [(1000, 10)], "{engine}");
        let heard = heard.lock().unwrap().clone();
        let of = |wanted: fn(&KernelEvent) -> bool| heard.iter().filter(|event| wanted(event)).count();
        assert_eq!(of(|event| matches!(event, KernelEvent::ProcessStarted { parent: Some(_), .. })), 1);
        assert_eq!(of(|event| matches!(event, KernelEvent::ThreadEnded { .. })), 2, "{engine}");
        let ended: Vec<_> = heard
            .iter()
            .filter_map(|event| match event {
                KernelEvent::ProcessEnded { process, how } => Some((process.number(), *how)),
                _ => None,
            })
            .collect();
        assert_eq!(ended, [(1001, Termination::Exited(3)), (1000, Termination::Exited(1))], "{engine}");
        assert_eq!(*expected.get_or_insert_with(|| heard.clone()), heard, "{engine}");
    }
}

/// A hook hears of the accesses that the kernel has no page for, and of no others.
#[test]
fn only_wild_accesses_are_faults() {
    for engine in EngineKind::ALL {
        // The stack comes in on demand; nothing is at 7000000h.
        let source = "mov eax, [0x7000004]\n mov ebx, eax\n mov eax, 1\n int 0x80";
        let mut machine = machine(*engine, source, &Capture::new());
        let heard = Heard::default();
        let list = heard.clone();
        machine.hooks.on_fault(.., move |view, fault| {
            list.lock().unwrap().push(fault.address);
            view.memory.map(fault.address, 4, Permissions::READ | Permissions::WRITE).unwrap();
            view.memory.write(fault.address, 9_u32).unwrap();
            Reply::Done
        });
        assert_eq!(machine.run(1000), Halt::Exited(9), "{engine}");
        assert_eq!(*heard.lock().unwrap(), [0x700_0004], "{engine}");
        assert_eq!(machine.statistics().instructions, 4, "{engine}");
    }
}

/// A real program runs the same with hooks as without, and a hook that looks hears as many instructions as
/// there are.
#[test]
fn programs_run_as_without_hooks() {
    for engine in EngineKind::ALL {
        let run = |hooked: bool| {
            let output = Capture::new();
            let builder = Machine::builder().engine(*engine).stdout(output.clone()).trace_hash();
            let mut machine = builder.build().unwrap();
            let program =
                concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/programs/float_checks.i486-O0");
            machine.load_file(program, &["float_checks"], &[]).unwrap();
            let count = Arc::new(Mutex::new((0_u64, 0_u64, 0_u64)));
            let faults = Heard::<u32>::default();
            if hooked {
                let counts = count.clone();
                machine.hooks.on_instruction(.., move |_, _| counts.lock().unwrap().0 += 1);
                let counts = count.clone();
                machine.hooks.on_block(.., move |_| counts.lock().unwrap().1 += 1);
                let counts = count.clone();
                machine.hooks.on_access(.., move |_, _| counts.lock().unwrap().2 += 1);
                let list = faults.clone();
                machine.hooks.on_fault(.., move |_, fault| {
                    list.lock().unwrap().push(fault.address);
                    Reply::Pass
                });
            }
            assert_eq!(machine.run(100_000_000), Halt::Exited(0), "{engine}");
            let counts = *count.lock().unwrap();
            assert_eq!(faults.lock().unwrap().first(), None, "{engine}");
            (output.text(), machine.trace_hash(), machine.statistics(), counts)
        };
        let (plain, hooked) = (run(false), run(true));
        assert_eq!((&plain.0, plain.1, plain.2), (&hooked.0, hooked.1, hooked.2), "{engine}");
        assert_eq!(hooked.3.0, hooked.2.instructions, "{engine}");
        assert!(hooked.3.1 > 0 && hooked.3.2 > 0, "{engine}");
    }
}
