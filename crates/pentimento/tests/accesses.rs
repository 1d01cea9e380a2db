//! Accesses to memory are told of alike on every engine, also in loops that have run hot: by engines that
//! then have ways of their own.
#![cfg(feature = "assembler")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use pentimento::assembler::assemble;
use pentimento::{Cpu, CpuModel, EngineKind, Gpr, Halt, HookId, MemoryAccess, Permissions};

const CODE: u32 = 0x1000;
const DATA: u32 = 0x8000;
const STACK: u32 = 0xb000;

const ALL: RangeInclusive<u32> = 0..=u32::MAX;

/// Rounds of a loop: enough that all that an engine prepares is prepared.
const ROUNDS: u32 = 700;

/// What a run has told of, each with EIP, registers, flags and time, and what it has left.
type Told = (Vec<(MemoryAccess, u32, [u32; 8], u32, u64)>, Halt, u32);

/// Runs `body` in a loop, and notes the accesses in `watched` of all rounds. EBX counts rounds.
fn run(engine: EngineKind, body: &str, watched: RangeInclusive<u32>) -> Told {
    let mut cpu = Cpu::with(CpuModel::default(), engine);
    let source = format!(
        "org {CODE}\n mov ebx, {ROUNDS}\n mov esi, {DATA}\n mov edi, {DATA}+0x800\n again:\n {body}\n dec ebx\n jnz again\n \
         int 3\n f: ret\n g: ret 8\n table: dd f, g"
    );
    let program = assemble(&source).unwrap();
    cpu.memory.map(CODE, 0x2000, Permissions::all()).unwrap();
    cpu.memory.map(DATA, 0x3000, Permissions::READ | Permissions::WRITE).unwrap();
    cpu.memory.poke_bytes(CODE, program.bytes()).unwrap();
    for offset in 0..0x1000_u32 {
        cpu.memory.poke_bytes(DATA + offset, &[(offset * 7 + 3) as u8]).unwrap();
    }
    cpu.state.eip = CODE;
    cpu.state.set_gpr(Gpr::Esp, STACK - 64);
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = told.clone();
    cpu.hooks.on_access(watched, move |view, access| {
        let (state, time) = (&view.state, view.environment.time_stamp);
        list.lock().unwrap().push((*access, state.eip, *state.gprs(), state.eflags.bits(), time));
    });
    let halt = cpu.run(1_000_000);
    let told = std::mem::take(&mut *told.lock().unwrap());
    (told, halt, cpu.state.gpr(Gpr::Ebx))
}

fn compare(body: &str, watched: RangeInclusive<u32>) -> Told {
    let expected = run(EngineKind::REFERENCE, body, watched.clone());
    for engine in EngineKind::ALL {
        let told = run(*engine, body, watched.clone());
        assert_eq!(told.0.len(), expected.0.len(), "{engine}: {body}");
        for (index, (told, expected)) in told.0.iter().zip(&expected.0).enumerate() {
            assert_eq!(told, expected, "{engine}: event {index} of {body}");
        }
        assert!(told == expected, "{engine}: {body}");
    }
    expected
}

/// A body for each way to access memory, in all operand sizes.
fn bodies() -> Vec<String> {
    let mut bodies: Vec<String> = Vec::new();
    for operation in ["add", "or", "adc", "sbb", "and", "sub", "xor", "cmp", "test", "mov", "xchg"] {
        for (size, register) in [("byte", "cl"), ("word", "cx"), ("dword", "ecx")] {
            bodies.push(format!("{operation} {size} [esi+5], {register}"));
            if operation != "test" && operation != "xchg" {
                bodies.push(format!("{operation} {register}, {size} [esi+ebx*2]"));
            }
            if operation != "xchg" {
                bodies.push(format!("{operation} {size} [{DATA}+9], 77"));
            }
        }
    }
    for operation in ["inc", "dec", "neg", "not", "mul", "imul", "setz", "seto"] {
        for size in ["byte", "word", "dword"] {
            if !operation.starts_with("set") || size == "byte" {
                bodies.push(format!("{operation} {size} [esi+ebx]"));
            }
        }
    }
    for line in [
        "movzx eax, byte [esi+1]",
        "movzx eax, word [esi+1]",
        "movsx ecx, byte [esi+3]",
        "movsx ecx, word [esi+3]",
        "cmovc eax, [esi]",
        "cmovnz eax, [esi+4]",
        "imul ecx, [esi], 3",
        "xor edx, edx\n mov eax, 7\n div dword [esi+8]",
        "xor edx, edx\n mov eax, 7\n idiv dword [esi+8]",
        "push eax\n pop ecx",
        "push 5\n pop dword [esi]",
        "push dword [esi+4]\n pop edx",
        "push ax\n pop cx",
        "push esp\n pop esp",
        "push ebp\n mov ebp, esp\n sub esp, 8\n leave",
        "call f",
        "mov eax, f\n call eax",
        "call [table]",
        "push eax\n push ecx\n call [table+4]",
        "mov eax, ebx\n and eax, 1\n jmp [over+eax*4]\n over: dd a, b\n a: inc ecx\n b: nop",
        "mov eax, [esp-4]\n mov [esp-8], eax",
        "mov eax, [ds:esi]\n mov [ss:esi+4], eax",
        "mov ax, ds\n mov [esi], ds",
        "lock add [esi], eax\n lock xadd [esi+4], eax\n lock cmpxchg [esi+8], ecx",
        "bt dword [esi], 3\n bts dword [esi], 4\n shl dword [esi], 1\n shr dword [esi+4], cl\n rol byte [esi], 3",
        "fld dword [esi]\n fadd dword [esi+4]\n fmul qword [esi+8]\n fstp qword [esi+16]",
        "fild dword [esi]\n fild word [esi]\n fsub dword [esi+8]\n fstp dword [esi+12]\n fistp dword [esi+16]",
        "fld tword [esi]\n fstp tword [esi+10]\n fnstcw [esi+30]\n fldcw [esi+30]",
        "movups xmm0, [esi]\n addps xmm0, [esi+16]\n movups [esi+33], xmm0\n movaps [esi+32], xmm0",
        "movd xmm1, [esi]\n movq xmm2, [esi+8]\n movq [esi+16], xmm2\n movd [esi+24], xmm1\n movss xmm3, [esi]\n movss [esi+4], xmm3",
        "movsd xmm3, [esi]\n movsd [esi+8], xmm3\n movdqa xmm4, [esi]\n movdqu [esi+1], xmm4\n addsd xmm3, [esi]",
        "movq mm0, [esi]\n paddb mm0, [esi+8]\n movq [esi+16], mm0\n movd [esi+24], mm0\n emms",
        "lea eax, [esi+4]\n mov ecx, 3\n rep movsb\n stosd\n lodsb\n sub esi, 4\n sub edi, 7",
        "mov eax, [esi+0xffe]\n mov [esi+0xffd], eax\n add word [esi+0xfff], 3",
        "push ebx\n mov ebx, esi\n xlatb\n pop ebx\n enter 8, 1\n leave\n pusha\n popa\n pushf\n popf",
    ] {
        bodies.push(line.into());
    }
    bodies
}

#[test]
fn every_way_is_told_of_alike() {
    for body in bodies() {
        let (told, halt, _) = compare(&body, ALL);
        assert!(!told.is_empty() && matches!(halt, Halt::Exception { .. }), "{body}: {halt}");
    }
}

/// Where a hook wants few of the accesses it hears of these, and of no others.
#[test]
fn ranges_are_kept_to() {
    for body in ["mov eax, [esi+ebx]", "add [esi+ebx*4], eax\n push eax\n pop edx", "movups xmm0, [esi+ebx]"]
    {
        let (all, ..) = compare(body, ALL);
        for watched in [DATA + 100..=DATA + 101, 0..=DATA + 40, DATA + 500..=u32::MAX] {
            let (told, ..) = compare(body, watched.clone());
            let touched = |access: &MemoryAccess| {
                (0..access.length).any(|byte| watched.contains(&(access.address + u32::from(byte))))
            };
            let expected: Vec<_> = all.iter().filter(|(access, ..)| touched(access)).collect();
            assert!(!expected.is_empty() && told.iter().eq(expected), "{body}");
        }
    }
}

/// A loop that runs off what is mapped, and into what may not be written: the last access has not happened.
#[test]
fn faults_are_no_accesses() {
    for body in ["mov eax, [esi]\n add esi, 18", "add [esi], eax\n add esi, 18", "push eax\n sub esp, 14"] {
        let (told, halt, left) = compare(body, ALL);
        assert!(halt != Halt::Budget && left > 0, "{body}: {halt}");
        assert!(told.len() > 600, "{body}: {}", told.len());
    }
}

/// What a hook does in the middle of a hot loop counts: registers, EIP, memory, a stop, another hook.
#[test]
fn what_hooks_do_counts() {
    for engine in EngineKind::ALL {
        for body in ["add [esi], eax", "call f", "mov ecx, [esi]", "jmp [over]\n over: dd a\n a:"] {
            let mut cpu = Cpu::with(CpuModel::default(), *engine);
            let source = format!("org {CODE}\n again: {body}\n inc edx\n jmp again\n f: ret\n out: int 3");
            cpu.memory.map(CODE, 0x2000, Permissions::all()).unwrap();
            cpu.memory.map(DATA, 0x3000, Permissions::READ | Permissions::WRITE).unwrap();
            cpu.memory.poke_bytes(CODE, assemble(&source).unwrap().bytes()).unwrap();
            cpu.state.eip = CODE;
            cpu.state.set_gpr(Gpr::Esp, STACK - 64);
            cpu.state.set_gpr(Gpr::Esi, DATA);
            let counted = Arc::new(Mutex::new((0, None::<HookId>)));
            let own = counted.clone();
            let id = cpu.hooks.on_access(.., move |view, _| {
                let (count, id) = &mut *own.lock().unwrap();
                *count += 1;
                match *count {
                    1000 => view.state.set_gpr(Gpr::Edx, 0x1000_0000),
                    2000 => view.stop(),
                    3000 => view.hooks.remove(id.unwrap()),
                    _ => {}
                }
            });
            counted.lock().unwrap().1 = Some(id);
            assert_eq!(cpu.run(1_000_000), Halt::Hook(id), "{engine}: {body}");
            assert_eq!(counted.lock().unwrap().0, 2000, "{engine}: {body}");
            assert_eq!(cpu.run(100_000), Halt::Budget, "{engine}: {body}");
            assert_eq!(counted.lock().unwrap().0, 3000, "{engine}: {body}");
            assert!(cpu.state.gpr(Gpr::Edx) > 0x1000_0000, "{engine}: {body}");
        }
    }
}
