//! Hooks on every engine: the same events in the same order with the same registers, each once, and
//! what hooks change counts.
#![cfg(feature = "assembler")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::{Arc, Mutex};

use pentimento::assembler::assemble;
use pentimento::{
    Access, Cpu, CpuModel, Edge, EngineKind, Gpr, Halt, HookId, MemoryAccess, Operation, Permissions, Reply,
};

const CODE: u32 = 0x1000;
const DATA: u32 = 0x8000;
const STACK: u32 = 0xa000;

/// A CPU with a program at [`CODE`], a page of data, and a stack.
fn cpu(engine: EngineKind, source: &str) -> Cpu {
    let mut cpu = Cpu::with(CpuModel::default(), engine);
    let program = assemble(&format!("org {CODE}\n{source}")).unwrap();
    cpu.memory.map(CODE, 0x2000, Permissions::all()).unwrap();
    cpu.memory.map(DATA, 0x2000, Permissions::READ | Permissions::WRITE).unwrap();
    cpu.memory.poke_bytes(CODE, program.bytes()).unwrap();
    cpu.state.eip = CODE;
    cpu.state.set_gpr(Gpr::Esp, STACK);
    cpu
}

/// What hooks have heard, in order.
struct Heard<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Heard<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Heard<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Heard<T> {
    fn note(&self, event: T) {
        self.0.lock().unwrap().push(event);
    }

    fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Every event there is, with what the registers were.
#[derive(Clone, PartialEq, Debug)]
enum Event {
    Instruction(u32, Operation, [u32; 8], u32, u64),
    Block(u32, u64),
    Edge(Edge),
    Access(MemoryAccess, u32, [u32; 8], u32),
    Fetch(MemoryAccess),
}

fn hear_all(cpu: &mut Cpu, heard: &Heard<Event>) {
    let list = heard.clone();
    cpu.hooks.on_instruction(.., move |view, instruction| {
        let (state, time) = (&view.state, view.environment.time_stamp);
        let flags = state.eflags.bits();
        list.note(Event::Instruction(state.eip, instruction.operation(), *state.gprs(), flags, time));
    });
    let list = heard.clone();
    cpu.hooks.on_block(.., move |view| {
        list.note(Event::Block(view.state.eip, view.environment.time_stamp));
    });
    let list = heard.clone();
    cpu.hooks.on_edge(.., move |_, edge| list.note(Event::Edge(edge)));
    let list = heard.clone();
    cpu.hooks.on_access(.., move |view, access| {
        let state = &view.state;
        list.note(Event::Access(*access, state.eip, *state.gprs(), state.eflags.bits()));
    });
    let list = heard.clone();
    cpu.hooks.on_fetch(.., move |_, access| list.note(Event::Fetch(*access)));
}

/// Programs with all that makes events: loops, calls, strings in both directions, flags that nobody in
/// the program reads, x87 and SSE, code that changes itself, blocks longer than an engine's.
fn programs() -> Vec<String> {
    let long = "add eax, ecx\n inc dword [ebx]\n".repeat(100);
    vec![
        format!("mov ecx, 30\n again: push ecx\n call f\n pop ecx\n dec ecx\n jnz again\n int 3\n f: add eax, [esp+4]\n mov [{DATA}], eax\n ret"),
        format!("mov esi, {DATA}\n mov edi, {DATA}+0x800\n mov ecx, 1500\n rep movsb\n mov ecx, 5\n mov edi, {DATA}\n mov al, 1\n repne scasb\n std\n mov edi, {DATA}+0x100\n mov ecx, 3\n rep stosd\n cld\n cmpsb\n lodsw\n int 3"),
        format!("mov ebx, {DATA}\n {long} jmp there\n nop\n there: {long} test eax, eax\n js end\n {long} end: int 3"),
        format!("fld1\n fldpi\n fmulp st(1), st\n fstp qword [{DATA}]\n movups xmm0, [{DATA}]\n addps xmm0, xmm0\n movups [{DATA}+21], xmm0\n fnsave [{DATA}+64]\n xlatb\n pusha\n popa\n enter 16, 2\n leave\n cmpxchg8b [{DATA}]\n xchg [{DATA}+3], eax\n int 3"),
        "mov ecx, 3\n again: inc eax\n mov byte [again], 0x48\n loop again\n cmp eax, 5\n je over\n stc\n over: setc al\n int 3".into(),
        format!("mov ecx, 70\n again: mov eax, [{DATA}+ecx*4]\n imul eax, ecx\n xor edx, edx\n div ecx\n call [table]\n mov [{DATA}+ecx*4], eax\n loop again\n int 3\n table: dd f\n f: bt eax, 3\n adc eax, 0\n ret 0"),
    ]
}

#[test]
fn every_engine_tells_the_same() {
    for program in programs() {
        let mut expected = None;
        for engine in EngineKind::ALL {
            let heard = Heard::default();
            let mut cpu = cpu(*engine, &program);
            cpu.memory.poke_bytes(DATA, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
            cpu.state.set_gpr(Gpr::Ebx, DATA);
            cpu.state.set_gpr(Gpr::Ebp, STACK - 64);
            hear_all(&mut cpu, &heard);
            let halt = cpu.run(100_000);
            let events = heard.take();
            assert!(matches!(halt, Halt::Exception { .. }), "{engine}: {halt} at {:#x}", cpu.state.eip);
            let instructions =
                events.iter().filter(|event| matches!(event, Event::Instruction(..))).count() as u64;
            assert_eq!(instructions, cpu.environment.time_stamp, "{engine}: one each");
            let outcome = (events, cpu.state.clone());
            let expected = expected.get_or_insert_with(|| outcome.clone());
            for (index, (event, reference)) in outcome.0.iter().zip(&expected.0).enumerate() {
                assert_eq!(event, reference, "{engine}: event {index} of {program:.100}");
            }
            assert!(outcome == *expected, "{engine}: {program:.100}");
        }
    }
}

/// However a run is cut, nothing is told twice or left out.
#[test]
fn pauses_make_no_difference() {
    for program in programs() {
        for engine in EngineKind::ALL {
            let run = |slice: u64| {
                let heard = Heard::default();
                let mut cpu = cpu(*engine, &program);
                cpu.state.set_gpr(Gpr::Ebx, DATA);
                cpu.state.set_gpr(Gpr::Ebp, STACK - 64);
                hear_all(&mut cpu, &heard);
                while cpu.run(slice) == Halt::Budget {}
                heard.take()
            };
            let whole = run(u64::MAX);
            for slice in [1, 2, 3, 7, 100] {
                assert!(run(slice) == whole, "{engine}: {slice} at a time: {program:.100}");
            }
        }
    }
}

/// Complaint 1: the accessing instruction is named exactly, with no other hook about.
#[test]
fn an_access_names_its_instruction() {
    for engine in EngineKind::ALL {
        let heard = Heard::default();
        let mut cpu =
            cpu(*engine, &format!("inc eax\n mov [{DATA}+6], eax\n nop\n add cl, [{DATA}+6]\n int 3"));
        let list = heard.clone();
        cpu.hooks.on_access(DATA + 7..=DATA + 7, move |view, access| list.note((*access, view.state.eip)));
        let reads = Heard::default();
        let count = reads.clone();
        cpu.hooks.on_read(DATA..DATA + 16, move |_, access| count.note(access.value));
        cpu.run(100);
        let write =
            MemoryAccess { eip: CODE + 1, address: DATA + 6, length: 4, access: Access::Write, value: 1 };
        assert_eq!(heard.take(), [(write, CODE + 6)], "{engine}");
        assert_eq!(reads.take(), [1], "{engine}");
    }
}

/// Complaint 2: hooks that come when the code is hot fire, and one does not change what another hears.
#[test]
fn hooks_come_and_go_at_any_time() {
    for engine in EngineKind::ALL {
        let mut cpu = cpu(*engine, "again: inc eax\n add ebx, eax\n jmp again");
        assert_eq!(cpu.run(3_000_000), Halt::Budget);
        let heard = Heard::default();
        let list = heard.clone();
        let first = cpu.hooks.on_instruction(CODE..=CODE, move |view, _| list.note(view.state.gpr(Gpr::Eax)));
        assert_eq!(cpu.run(9), Halt::Budget);
        let alone = heard.take();
        assert_eq!(alone, [1_000_000, 1_000_001, 1_000_002], "{engine}");
        let blocks = Heard::default();
        let list = blocks.clone();
        cpu.hooks.on_block(.., move |view| list.note(view.state.eip));
        assert_eq!(cpu.run(9), Halt::Budget);
        assert_eq!((heard.take().len(), blocks.take()), (3, vec![CODE; 3]), "{engine}");
        cpu.hooks.remove(first);
        assert_eq!(cpu.run(9), Halt::Budget);
        assert_eq!((heard.take().len(), blocks.take().len()), (0, 3), "{engine}");
        cpu.hooks.clear();
        assert_eq!(cpu.run(3_000_000), Halt::Budget);
        assert_eq!((blocks.take().len(), cpu.state.gpr(Gpr::Eax)), (0, 2_000_009), "{engine}");
    }
}

/// The same in hooks: what one adds begins with the next event, what one removes is not called again.
#[test]
fn hooks_change_hooks() {
    for engine in EngineKind::ALL {
        let mut cpu = cpu(*engine, &format!("again: inc eax\n mov [{DATA}], eax\n loop again\n int 3"));
        cpu.state.set_gpr(Gpr::Ecx, 10);
        let heard = Heard::default();
        let (list, own) = (heard.clone(), Arc::new(Mutex::new(None::<HookId>)));
        let id = own.clone();
        let first = cpu.hooks.on_instruction(CODE..=CODE, move |view, _| {
            list.note((1, view.state.gpr(Gpr::Eax)));
            if view.state.gpr(Gpr::Eax) == 4 {
                let list = list.clone();
                view.hooks.on_write(.., move |_, access| list.note((2, access.value as u32)));
                view.hooks.remove(id.lock().unwrap().unwrap());
            }
        });
        *own.lock().unwrap() = Some(first);
        assert!(matches!(cpu.run(1000), Halt::Exception { .. }));
        let expected: Vec<_> = (0..5).map(|eax| (1, eax)).chain((5..=10).map(|eax| (2, eax))).collect();
        assert_eq!(heard.take(), expected, "{engine}");
    }
}

/// The instruction hook fires once at a stop, and the run goes on behind it.
#[test]
fn a_stop_is_told_of_once() {
    for engine in EngineKind::ALL {
        let mut cpu = cpu(*engine, &format!("again: inc eax\n mov [{DATA}], eax\n jmp again"));
        let heard = Heard::default();
        let list = heard.clone();
        let stops = cpu.hooks.on_instruction(CODE + 1..=CODE + 1, move |view, _| {
            list.note(view.state.eip);
            view.stop();
        });
        for round in 1..=20 {
            assert_eq!((cpu.run(1000), cpu.state.eip), (Halt::Hook(stops), CODE + 1), "{engine}");
            assert_eq!((heard.take(), cpu.state.gpr(Gpr::Eax)), (vec![CODE + 1], round), "{engine}");
        }
        let accesses = cpu.hooks.on_write(DATA..DATA + 4, |view, _| view.stop());
        assert_eq!((cpu.run(1000), cpu.state.eip), (Halt::Hook(accesses), CODE + 6), "{engine}");
        cpu.hooks.remove(accesses);
        let blocks = cpu.hooks.on_block(.., |view| view.stop());
        // It hears at once of where it is, then of each block.
        assert_eq!((cpu.run(1000), cpu.state.eip), (Halt::Hook(blocks), CODE + 6), "{engine}");
        assert_eq!((cpu.run(1000), cpu.state.eip), (Halt::Hook(blocks), CODE), "{engine}");
        assert_eq!((cpu.run(1000), cpu.state.eip), (Halt::Hook(stops), CODE + 1), "{engine}");
        assert_eq!(cpu.environment.time_stamp, 1 + 19 * 3 + 1 + 1 + 1, "{engine}");
    }
}

/// EIP, registers, flags, memory and code that hooks write are the guest's.
#[test]
fn what_hooks_write_counts() {
    for engine in EngineKind::ALL {
        let source = format!(
            "again: add eax, 1\n cmp eax, 50\n jne again\n mov ebx, [{DATA}]\n mov esi, 7\n nop\n int 3\n skipped: hlt"
        );
        let labels = assemble(&format!("org {CODE}\n{source}")).unwrap();
        let skipped = labels.label("skipped").unwrap();
        let mut cpu = cpu(*engine, &source);
        // EAX jumps from 5 to 48; a flag is turned around so that the loop ends.
        cpu.hooks.on_instruction(CODE + 3..CODE + 4, |view, _| {
            if view.state.gpr(Gpr::Eax) == 5 {
                view.state.set_gpr(Gpr::Eax, 48);
            }
        });
        cpu.hooks.on_instruction(CODE + 6..CODE + 7, |view, _| {
            if view.state.gpr(Gpr::Eax) == 49 {
                view.state.eflags.insert(pentimento::Eflags::ZF);
            }
        });
        cpu.hooks.on_instruction(CODE + 8..CODE + 9, |view, _| view.memory.write(DATA, 99_u32).unwrap());
        // The immediate of the next instruction, which is compiled already.
        cpu.hooks.on_read(DATA..DATA + 4, |view, access| {
            view.memory.poke_bytes(access.eip + 7, &[8]).unwrap();
            view.state.set_gpr(Gpr::Ebx, 98);
        });
        cpu.hooks.on_instruction(CODE + 19..CODE + 20, move |view, _| view.state.eip = skipped);
        let halt = cpu.run(1000);
        assert_eq!(cpu.state.eip, skipped, "{engine}: {halt}");
        let registers = [Gpr::Eax, Gpr::Ebx, Gpr::Esi].map(|register| cpu.state.gpr(register));
        assert_eq!(registers, [49, 98, 8], "{engine}");
    }
}

/// Complaint 3: a budget is exact with hooks as without, whatever it is.
#[test]
fn budgets_are_exact() {
    for engine in EngineKind::ALL {
        for budget in [1, 2, 3, 50, 63, 64, 65, 1000, 12_345] {
            let heard = Heard::default();
            let mut cpu = cpu(*engine, &programs()[0]);
            let list = heard.clone();
            cpu.hooks.on_instruction(.., move |_, _| list.note(()));
            let halt = cpu.run(budget);
            assert_eq!(heard.take().len() as u64, cpu.environment.time_stamp, "{engine}");
            assert!(halt != Halt::Budget || cpu.environment.time_stamp == budget, "{engine}");
        }
    }
}

/// A page that is missing is mapped by a hook, and the instruction is told of once.
#[test]
fn pages_come_on_demand() {
    for engine in EngineKind::ALL {
        let mut cpu = cpu(
            *engine,
            "mov esi, 0x20ffe\n mov edi, 0x31000\n mov ecx, 8\n rep movsb\n push dword [0x41000]\n int 3",
        );
        let (heard, accesses) = (Heard::default(), Heard::default());
        let list = heard.clone();
        cpu.hooks.on_instruction(.., move |view, _| list.note(view.state.eip));
        let list = accesses.clone();
        cpu.hooks.on_access(.., move |_, access| list.note((access.address, access.access)));
        let faults = Heard::default();
        let list = faults.clone();
        cpu.hooks.on_fault(0x20000.., move |view, fault| {
            list.note(fault.address);
            view.memory.map(fault.address, 1, Permissions::READ | Permissions::WRITE).unwrap();
            Reply::Done
        });
        assert!(matches!(cpu.run(100), Halt::Exception { .. }), "{engine}");
        assert_eq!(heard.take(), [0, 5, 10, 15, 17, 23].map(|offset| CODE + offset), "{engine}");
        assert_eq!(faults.take(), [0x20ffe, 0x31000, 0x21000, 0x41000], "{engine}");
        let mut expected: Vec<_> = (0..8)
            .flat_map(|index| [(0x20ffe + index, Access::Read), (0x31000 + index, Access::Write)])
            .collect();
        expected.extend([(0x41000, Access::Read), (STACK - 4, Access::Write)]);
        assert_eq!(accesses.take(), expected, "{engine}");
    }
}

/// Interrupts, exceptions, CPUID, RDTSC and ports are the host's where it says so.
#[test]
fn hooks_answer_in_the_cpus_place() {
    for engine in EngineKind::ALL {
        let source = "mov ecx, 3\n again: int 0x80\n mov edx, 7\n in al, dx\n mov bl, al\n cpuid\n rdtsc\n ud2\n loop again\n int 0x21";
        let mut cpu = cpu(*engine, source);
        cpu.hooks.on_interrupt(|view, vector| {
            view.state.set_gpr(Gpr::Eax, u32::from(vector));
            if vector == 0x80 { Reply::Done } else { Reply::Pass }
        });
        cpu.hooks.on_port(|view, instruction| {
            assert_eq!(instruction.operation(), Operation::In);
            view.state.set_gpr(Gpr::Eax, view.state.gpr(Gpr::Edx) + 1);
            Reply::Done
        });
        cpu.hooks.on_cpuid(|view, _| {
            view.state.set_gpr(Gpr::Esi, view.state.gpr(Gpr::Esi) + 1);
            Reply::Done
        });
        cpu.hooks.on_time_stamp(|view, _| {
            view.state.set_gpr(Gpr::Edi, view.environment.time_stamp as u32);
            Reply::Done
        });
        cpu.hooks.on_exception(|view, exception, _| {
            assert_eq!(exception, pentimento::Exception::InvalidOpcode);
            view.state.eip += 2;
            Reply::Done
        });
        assert_eq!(cpu.run(100), Halt::Interrupt(0x21), "{engine}");
        let registers = [Gpr::Eax, Gpr::Ebx, Gpr::Esi, Gpr::Edi].map(|register| cpu.state.gpr(register));
        assert_eq!(registers, [0x21, 8, 3, 1 + 2 * 7 + 5], "{engine}");
    }
}

/// Breakpoints that come when the code is hot stop it, each time that it comes there, in the middle of
/// blocks and between them, and go again; with hooks as without.
#[test]
fn breakpoints_come_and_go_at_any_time() {
    let source = "again: inc eax\n add ebx, eax\n cmp eax, edx\n jne again\n jmp again";
    for engine in EngineKind::ALL {
        for hooked in [false, true] {
            let mut cpu = cpu(*engine, source);
            assert_eq!(cpu.run(3_000_000), Halt::Budget);
            if hooked {
                cpu.hooks.on_block(.., |_| ());
            }
            for (address, eax) in [(CODE + 3, 750_001), (CODE, 750_001), (CODE + 5, 750_002)] {
                cpu.breakpoints.insert(address);
                assert_eq!(cpu.run(100), Halt::Breakpoint(address), "{engine}");
                assert_eq!(cpu.state.gpr(Gpr::Eax), eax, "{engine}: {address:#x}");
                cpu.breakpoints.clear();
                assert_eq!(cpu.run(0), Halt::Budget, "{engine}");
            }
            cpu.breakpoints.extend([CODE + 1, CODE + 5]);
            let before = cpu.environment.time_stamp;
            for _ in 0..1000 {
                assert_eq!(cpu.run(100), Halt::Breakpoint(CODE + 1), "{engine}");
                assert_eq!(cpu.run(100), Halt::Breakpoint(CODE + 5), "{engine}");
            }
            // inc, add, cmp, jne: one round each time, the first one already begun.
            assert_eq!(cpu.environment.time_stamp - before, 4 * 1000, "{engine}");
            let until = pentimento::Bounds::none().until(CODE + 3);
            assert_eq!(cpu.run(until), Halt::Breakpoint(CODE + 1), "{engine}");
            assert_eq!(cpu.run(until), Halt::Reached(CODE + 3), "{engine}");
            cpu.breakpoints.clear();
            assert_eq!(cpu.run(3_000_001), Halt::Budget, "{engine}");
        }
    }
}

/// Blocks that are counted are those that are told of, with other hooks about and without.
#[test]
fn counts_are_those_of_block_hooks() {
    for program in programs() {
        for engine in EngineKind::ALL {
            let run = |others: u32, slice: u64| {
                let mut cpu = cpu(*engine, &program);
                cpu.state.set_gpr(Gpr::Ebx, DATA);
                cpu.state.set_gpr(Gpr::Ebp, STACK - 64);
                let (_, coverage) = cpu.hooks.count_blocks(..);
                let told = Arc::new(Mutex::new(std::collections::BTreeMap::<u32, u64>::new()));
                let list = told.clone();
                match others {
                    1 => drop(cpu.hooks.on_instruction(.., |_, _| ())),
                    2 => drop(cpu.hooks.on_access(.., |_, _| ())),
                    3 => drop(cpu.hooks.on_block(.., move |view| {
                        *list.lock().unwrap().entry(view.state.eip).or_default() += 1;
                    })),
                    _ => {}
                }
                while cpu.run(slice) == Halt::Budget {}
                let told: Vec<(u32, u64)> = told.lock().unwrap().clone().into_iter().collect();
                (coverage.counts(), told)
            };
            let (counts, told) = run(3, u64::MAX);
            assert_eq!(counts, told, "{engine}: {program:.100}");
            for (others, slice) in [(0, u64::MAX), (0, 1), (0, 7), (0, 70), (1, u64::MAX), (1, 7), (2, 70)] {
                assert_eq!(run(others, slice).0, counts, "{engine}: {others}, {slice}: {program:.100}");
            }
        }
    }
}
