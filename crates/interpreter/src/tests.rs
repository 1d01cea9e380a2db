//! What has a handler of its own, and what running blocks must not change.

use alloc::vec::Vec;
use std::{format, vec};

use pentimento_memory::{AddressSpace, Permissions};
use pentimento_registers::{CpuState, DescriptorTables, Gpr};

use crate::Interpreter;
use crate::arena::OpHandler;
use crate::block::Builder;
use crate::counters::Counters;
use crate::frame::slow;
use pentimento_execute::{Engine, Environment, Exit, Guest, MOST_UNHEARD, Reference, Stop, Until};

const CODE: u32 = 0x1000;
const DATA: u32 = 0x8000;

/// A state at `code`, with a page of data that EBX and ESP point into.
fn machine(code: &[u8]) -> (CpuState, AddressSpace, Environment) {
    let mut memory = AddressSpace::new();
    memory.map(CODE, 0x2000, Permissions::READ | Permissions::WRITE | Permissions::EXECUTE).unwrap();
    memory.map(DATA, 0x2000, Permissions::READ | Permissions::WRITE).unwrap();
    memory.poke_bytes(CODE, code).unwrap();
    let mut state = CpuState::new();
    state.eip = CODE;
    state.set_gpr(Gpr::Ebx, DATA);
    state.set_gpr(Gpr::Esp, DATA + 0x1000);
    (state, memory, Environment::default())
}

fn guest<'a>(
    state: &'a mut CpuState,
    memory: &'a mut AddressSpace,
    environment: &'a mut Environment,
) -> Guest<'a> {
    Guest { state, memory, environment, descriptors: DescriptorTables::EMPTY }
}

/// How many operations of the block at the start of `code` go through the reference.
fn slow_operations(code: &[u8]) -> usize {
    let (mut state, mut memory, mut environment) = machine(code);
    let (mut ops, mut steps) = (Vec::new(), Vec::new());
    let mut guest = guest(&mut state, &mut memory, &mut environment);
    Builder::new(&mut guest.context(), None, &mut Counters::default()).build(&mut ops, &mut steps).unwrap();
    ops.iter().filter(|op| core::ptr::fn_addr_eq(op.handler, slow as OpHandler)).count()
}

#[test]
fn common_instructions_have_handlers() {
    #[rustfmt::skip]
    const CASES: &[(&str, &[u8])] = &[
        ("mov eax, [ebx+4]",       &[0x8b, 0x43, 0x04]),
        ("add [ebx+ecx*4], edx",   &[0x01, 0x14, 0x8b]),
        ("sub al, 3",              &[0x2c, 0x03]),
        ("cmp word [ebx], 5",      &[0x66, 0x83, 0x3b, 0x05]),
        ("ror eax, 7",             &[0xc1, 0xc8, 0x07]),
        ("imul eax, [ebx], 9",     &[0x6b, 0x03, 0x09]),
        ("movzx eax, byte [ebx]",  &[0x0f, 0xb6, 0x03]),
        ("sete cl",                &[0x0f, 0x94, 0xc1]),
        ("cmovl eax, ecx",         &[0x0f, 0x4c, 0xc1]),
        ("push dword [ebx]",       &[0xff, 0x33]),
        ("rep movsd",              &[0xf3, 0xa5]),
        ("stosb",                  &[0xaa]),
        ("lodsd",                  &[0xad]),
        ("repe cmpsb",             &[0xf3, 0xa6]),
        ("repne scasb",            &[0xf2, 0xae]),
        ("mov eax, gs:[0]",        &[0x65, 0xa1, 0, 0, 0, 0]),
        ("mov ecx, gs:[eax]",      &[0x65, 0x8b, 0x08]),
        ("mov gs:[eax], ecx",      &[0x65, 0x89, 0x08]),
        ("sub eax, gs:[14h]",      &[0x65, 0x2b, 0x05, 0x14, 0, 0, 0]),
        ("cmp dword gs:[12], 0",   &[0x65, 0x83, 0x3d, 0x0c, 0, 0, 0, 0]),
        ("call gs:[10h]",          &[0x65, 0xff, 0x15, 0x10, 0, 0, 0]),
        ("bsf eax, ecx",           &[0x0f, 0xbc, 0xc1]),
        ("tzcnt eax, [ebx]",       &[0xf3, 0x0f, 0xbc, 0x03]),
        ("bt eax, 5",              &[0x0f, 0xba, 0xe0, 0x05]),
        ("bts [ebx], 5",           &[0x0f, 0xba, 0x2b, 0x05]),
        ("xchg [ebx], eax",        &[0x87, 0x03]),
        ("lock xadd [ebx], eax",   &[0xf0, 0x0f, 0xc1, 0x03]),
        ("lock cmpxchg [ebx], ax", &[0xf0, 0x66, 0x0f, 0xb1, 0x03]),
        ("setg [ebx]",             &[0x0f, 0x9f, 0x03]),
        ("sahf",                   &[0x9e]),
        ("cld",                    &[0xfc]),
        ("nop word [eax]",         &[0x66, 0x0f, 0x1f, 0x00]),
        ("movapd xmm0, xmm1",      &[0x66, 0x0f, 0x28, 0xc1]),
        ("movsd xmm0, [ebx]",      &[0xf2, 0x0f, 0x10, 0x03]),
        ("mulsd xmm0, [ebx]",      &[0xf2, 0x0f, 0x59, 0x03]),
        ("mulpd xmm2, xmm5",       &[0x66, 0x0f, 0x59, 0xd5]),
        ("pxor xmm0, xmm0",        &[0x66, 0x0f, 0xef, 0xc0]),
        ("unpcklpd xmm0, xmm1",    &[0x66, 0x0f, 0x14, 0xc1]),
        ("movhpd [ebx], xmm0",     &[0x66, 0x0f, 0x17, 0x03]),
        ("ucomisd xmm0, xmm1",     &[0x66, 0x0f, 0x2e, 0xc1]),
        ("cvtsi2sd xmm0, eax",     &[0xf2, 0x0f, 0x2a, 0xc0]),
        ("fld qword [ebx]",        &[0xdd, 0x03]),
        ("fld tbyte [ebx]",        &[0xdb, 0x2b]),
        ("fild word [ebx]",        &[0xdf, 0x03]),
        ("fstp dword [ebx]",       &[0xd9, 0x1b]),
        ("fistp qword [ebx]",      &[0xdf, 0x3b]),
        ("fisttp dword [ebx]",     &[0xdb, 0x0b]),
        ("fsubr qword [ebx+ecx*8]", &[0xdc, 0x2c, 0xcb]),
        ("fimul dword [ebx]",      &[0xda, 0x0b]),
        ("fdivp st(3), st",        &[0xde, 0xfb]),
        ("fsqrt",                  &[0xd9, 0xfa]),
        ("fldpi",                  &[0xd9, 0xeb]),
        ("fxch st(2)",             &[0xd9, 0xca]),
        ("fcmovbe st, st(1)",      &[0xda, 0xd1]),
        ("fucomip st, st(1)",      &[0xdf, 0xe9]),
        ("fcompp",                 &[0xde, 0xd9]),
        ("fnstsw ax",              &[0xdf, 0xe0]),
        ("sahf",                   &[0x9e]),
        ("fldcw [ebx]",            &[0xd9, 0x2b]),
        ("pmuludq mm0, mm1",       &[0x0f, 0xf4, 0xc1]),
        ("paddq mm0, [ebx]",       &[0x0f, 0xd4, 0x03]),
        ("movd mm0, [ebx]",        &[0x0f, 0x6e, 0x03]),
        ("movd [ebx], mm0",        &[0x0f, 0x7e, 0x03]),
        ("psrlq mm0, 32",          &[0x0f, 0x73, 0xd0, 0x20]),
        ("emms",                   &[0x0f, 0x77]),
        ("pshufb xmm0, xmm1",      &[0x66, 0x0f, 0x38, 0x00, 0xc1]),
        ("aesenc xmm0, [ebx]",     &[0x66, 0x0f, 0x38, 0xdc, 0x03]),
        ("pclmulqdq xmm0, xmm1, 1", &[0x66, 0x0f, 0x3a, 0x44, 0xc1, 0x01]),
        ("rcr eax, 1",             &[0xd1, 0xd8]),
        ("rcl dword [ebx], cl",    &[0xd3, 0x13]),
        ("mul bx",                 &[0x66, 0xf7, 0xe3]),
        ("div bl",                 &[0xf6, 0xf3]),
        ("pushfd",                 &[0x9c]),
        ("popfd",                  &[0x9d]),
        ("bts [ebx], eax",         &[0x0f, 0xab, 0x03]),
        ("movbe eax, [ebx]",       &[0x0f, 0x38, 0xf0, 0x03]),
        ("jecxz +0",               &[0xe3, 0x00]),
        ("loopne +0",              &[0xe0, 0x00]),
    ];
    let lacking: Vec<&str> = CASES
        .iter()
        .filter(|(_, code)| slow_operations(&[*code, &[0xeb, 0xfe]].concat()) != 0)
        .map(|(name, _)| *name)
        .collect();
    assert!(lacking.is_empty(), "{lacking:?}");
}

/// Runs `code` on both engines, for as many instructions, and compares everything.
fn agree(name: &str, code: &[u8], budget: u64) -> (CpuState, Exit) {
    let mut ends = Vec::new();
    for fast in [false, true] {
        let (mut state, mut memory, mut environment) = machine(code);
        pentimento_memory::engine::prepare_fast(&mut memory);
        let mut guest = guest(&mut state, &mut memory, &mut environment);
        let Stop { executed, exit } = match fast {
            false => Reference.run(&mut guest, Until::budget(budget)),
            true => Interpreter::new().run(&mut guest, Until::budget(budget)),
        };
        let mut bytes = [0; 0x2000];
        memory.read_bytes(DATA, &mut bytes).unwrap();
        let mut text = [0; 0x2000];
        memory.read_bytes(CODE, &mut text).unwrap();
        ends.push((state, executed, exit, environment.time_stamp, bytes, text));
    }
    assert!(ends[0].0 == ends[1].0, "{name}: {:#?}\n{:#?}", ends[0].0, ends[1].0);
    assert_eq!((ends[0].1, ends[0].2, ends[0].3), (ends[1].1, ends[1].2, ends[1].3), "{name}");
    assert!(ends[0].4 == ends[1].4 && ends[0].5 == ends[1].5, "{name}: memory differs");
    (ends[1].0.clone(), ends[1].2)
}

#[test]
fn prefixes_of_loops_mean_what_they_mean_to_the_reference() {
    // mov ecx, 2; xor eax, eax, or or eax, ebx: ZF, or not; then LOOPE or LOOPNE over inc edx.
    for flag in [[0x31, 0xc0], [0x09, 0xd8]] {
        for prefix in [0x90, 0xf2, 0xf3] {
            for opcode in [0xe0, 0xe1, 0xe2] {
                let start = [&[0xb9, 0x02, 0, 0, 0][..], &flag].concat();
                let code = [&start[..], &[prefix, opcode, 0x01, 0x42, 0xf4]].concat();
                agree(&format!("{code:02x?}"), &code, 10);
            }
        }
    }
}

#[test]
fn a_store_into_the_block_that_runs_takes_effect() {
    // mov byte [0x100c], 0x43; (at 0x1007) nop x5; (at 0x100c) inc eax, which becomes inc ebx.
    let code = [0xc6, 0x05, 0x0c, 0x10, 0, 0, 0x43, 0x90, 0x90, 0x90, 0x90, 0x90, 0x40, 0xcd, 0x80];
    let (state, exit) = agree("self-modifying", &code, 100);
    assert_eq!((state.gpr(Gpr::Eax), state.gpr(Gpr::Ebx), exit), (0, DATA + 1, Exit::Interrupt(0x80)));
}

#[test]
fn budgets_are_exact_to_the_instruction() {
    // A loop with memory, flags, a call and a return.
    #[rustfmt::skip]
    let code = [
        0xe8, 0x05, 0, 0, 0,    // call +5
        0xff, 0x03,             // inc dword [ebx]
        0x75, 0xf7,             // jnz back
        0xf4,                   // hlt
        0x83, 0xc1, 0x07,       // add ecx, 7
        0x11, 0x4b, 0x04,       // adc [ebx+4], ecx
        0xc3,                   // ret
    ];
    for budget in 0..300 {
        agree("loop", &code, budget);
    }
}

#[test]
fn what_a_short_budget_leaves_over_does_not_confuse_the_links() {
    // A jump to a block that is long, but left early for a short one.
    #[rustfmt::skip]
    let code = [
        0xeb, 0x00,             // jmp to the next
        0x42,                   // inc edx
        0x31, 0xc0,             // xor eax, eax
        0x74, 0x08,             // je behind the nops
        0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
        0x41,                   // inc ecx
        0xeb, 0xee,             // jmp to the top
    ];
    for short in 1..20 {
        let (mut reference, mut memory, mut environment) = machine(&code);
        let (mut state, mut its_memory, mut its_environment) = machine(&code);
        let mut interpreter = Interpreter::new();
        for budget in [short, 1000] {
            let until = Until::budget(budget);
            Reference.run(&mut guest(&mut reference, &mut memory, &mut environment), until);
            interpreter.run(&mut guest(&mut state, &mut its_memory, &mut its_environment), until);
            assert!(reference == state, "{short}, then {budget}: {reference:#?}\n{state:#?}");
        }
    }
}

#[test]
fn faults_leave_flags_and_registers_as_they_were() {
    #[rustfmt::skip]
    let code = [
        0xb8, 0xff, 0xff, 0xff, 0xff,   // mov eax, -1
        0x83, 0xc0, 0x01,               // add eax, 1: all flags
        0x8d, 0x54, 0x24, 0x04,         // lea edx, [esp+4]
        0x8b, 0x0d, 0, 0, 0, 0,         // mov ecx, [0]: faults
        0x31, 0xc0,                     // xor eax, eax: would hide the flags
    ];
    let (state, exit) = agree("fault", &code, 100);
    assert!(matches!(exit, Exit::PageFault(_)) && state.eip == CODE + 12);
}

#[test]
fn repeated_moves_stop_exactly_at_a_fault() {
    // mov esi, DATA; mov edi, DATA + 0x1f00; mov ecx, 0x100; rep movsd
    let code = [0xbe, 0, 0x80, 0, 0, 0xbf, 0, 0x9f, 0, 0, 0xb9, 0, 1, 0, 0, 0xf3, 0xa5];
    let (state, exit) = agree("rep movsd", &code, 100);
    assert_eq!((state.gpr(Gpr::Ecx), state.gpr(Gpr::Edi)), (0x100 - 0x40, DATA + 0x2000));
    assert!(matches!(exit, Exit::PageFault(fault) if fault.address == DATA + 0x2000));
}

/// A source of bits, the same on every run (Knuth's MMIX generator).
struct Bits(u64);

impl Bits {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }

    fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.next() as usize % choice.len()]
    }
}

/// A random x87 instruction, often one that fills the stack; now and then one that looks at flags.
fn random_x87(bits: &mut Bits) -> Vec<u8> {
    const CONTROL_WORDS: &[u16] = &[0x37f, 0x37f, 0x27f, 0xf7f, 0x77f, 0x07f, 0x35f, 0x37e];
    let memory = |bits: &mut Bits, opcode: u8, digit: u8| {
        vec![opcode, 0x43 | digit << 3, bits.of(&[0, 8, 16, 24, 32, 40, 48, 56])]
    };
    match bits.next() % 24 {
        0..6 => {
            let (opcode, digit) =
                bits.of(&[(0xd9, 0), (0xdd, 0), (0xdd, 0), (0xdb, 5), (0xdb, 0), (0xdf, 0)]);
            memory(bits, opcode, digit)
        }
        // Environments and states are wider than the data.
        6..12 => match bits.of(&[0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf]) {
            0xd9 => memory(bits, 0xd9, bits.0 as u8 % 4),
            0xdd => memory(bits, 0xdd, bits.0 as u8 % 4),
            opcode => memory(bits, opcode, bits.0 as u8 % 8),
        },
        12..20 => vec![bits.of(&[0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf]), 0xc0 | bits.next() as u8],
        20 => vec![0xd9, bits.of(&[0xe8, 0xeb, 0xee, 0xe0, 0xe1, 0xfa, 0xfc, 0xe4])],
        21 => bits.of(&[[0xdf, 0xe0], [0x9e, 0x9f], [0x00, 0xc8], [0xd9, 0xd0]]).to_vec(),
        22 => {
            let [low, high] = bits.of(CONTROL_WORDS).to_le_bytes();
            // mov word [ebx+60h], control word; fldcw [ebx+60h]
            vec![0x66, 0xc7, 0x43, 0x60, low, high, 0xd9, 0x6b, 0x60]
        }
        // fnstenv [ebx+64h]
        _ => vec![0xd9, 0x73, 0x64],
    }
}

/// A random SSE instruction that reads or writes MXCSR, or is wanted for its operands.
fn random_sse(bits: &mut Bits) -> Vec<u8> {
    const MXCSR: &[u32] = &[0x1f80, 0x1fa0, 0x1fbf, 0x3fa0, 0x9fa0, 0x1fe0, 0x1f20, 0x0fa0];
    const ESCAPES: &[&[u8]] = &[&[0xf2, 0x0f], &[0xf2, 0x0f], &[0xf3, 0x0f], &[0x66, 0x0f], &[0x0f]];
    // Root, sum, product, conversions, difference, minimum, quotient, maximum.
    const OPCODES: &[u8] = &[0x51, 0x58, 0x58, 0x59, 0x59, 0x5a, 0x5c, 0x5d, 0x5e, 0x5f, 0x2e, 0x2f];
    let escape = bits.of(ESCAPES);
    // [ebx+disp8], or a register.
    let modrm = match bits.next() % 3 {
        0 => vec![0x43 | (bits.0 as u8 & 7) << 3, bits.of(&[0, 16, 32, 48])],
        _ => vec![0xc0 | bits.0 as u8 & 0x3f],
    };
    match bits.next() % 16 {
        // mov dword [ebx+60h], MXCSR; ldmxcsr [ebx+60h]
        0 => [&[0xc7, 0x43, 0x60], &bits.of(MXCSR).to_le_bytes()[..], &[0x0f, 0xae, 0x53, 0x60]].concat(),
        // stmxcsr [ebx+64h]
        1 => vec![0x0f, 0xae, 0x5b, 0x64],
        // Loads that fill the register, or its lower part.
        2..6 => {
            [bits.of(&[&[0xf2, 0x0f, 0x10], &[0xf3, 0x0f, 0x10], &[0x66, 0x0f, 0x28]]), &modrm[..]].concat()
        }
        _ => {
            let opcode = bits.of(OPCODES);
            // Comparisons have no prefix or 66h.
            let escape = if opcode < 0x30 { bits.of(&[&[0x66, 0x0f][..], &[0x0f]]) } else { escape };
            [escape, &[opcode], &modrm].concat()
        }
    }
}

/// A random MMX instruction on registers or on what EBX points to; now and then one that ends MMX, or
/// an x87 instruction, which sees what MMX left.
fn random_mmx(bits: &mut Bits) -> Vec<u8> {
    // Packing, unpacking and comparison, moves, shifts, sums, products and logic.
    const OPCODES: &[u8] = &[
        0x60, 0x61, 0x62, 0x63, 0x66, 0x67, 0x68, 0x6a, 0x6b, 0x6e, 0x6f, 0x6f, 0x74, 0x76, 0x7e, 0x7f, 0xd1,
        0xd3, 0xd4, 0xd5, 0xd8, 0xdb, 0xdc, 0xdf, 0xe1, 0xe4, 0xe5, 0xeb, 0xed, 0xef, 0xf2, 0xf4, 0xf5, 0xf6,
        0xfb, 0xfd, 0xfe,
    ];
    match bits.next() % 12 {
        0 | 1 => random_x87(bits),
        2 => vec![0x0f, 0x77],
        3 => vec![0x0f, bits.of(&[0x71, 0x72, 0x73]), 0xd0 | bits.next() as u8 & 7, bits.next() as u8 & 63],
        _ => {
            let (opcode, register) = (bits.of(OPCODES), (bits.next() as u8 & 7) << 3);
            match bits.next() % 3 {
                0 => vec![0x0f, opcode, 0x43 | register, bits.of(&[0, 8, 16, 24, 32, 40])],
                // MOVD between the files would change EBX and ESP.
                _ if opcode == 0x7e => vec![0x0f, opcode, 0xc0 | register | bits.next() as u8 & 1],
                _ => vec![0x0f, opcode, 0xc0 | register | bits.next() as u8 & 7],
            }
        }
    }
}

/// Runs random sequences on doubles at EBX, and compares the engines after some instructions.
fn sequences_agree(random: fn(&mut Bits) -> Vec<u8>) {
    const NUMBERS: &[f64] = &[0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 0.1, -2.7, 1e10, 1e-10, 12345.678, 1e300];
    let mut bits = Bits(1);
    for round in 0..4000 {
        let mut code = Vec::new();
        for _ in 0..8 {
            // mov dword [ebx+disp8], imm32: half of a double, or a single.
            let number = match bits.next() % 8 {
                0 => bits.next() << 40 ^ bits.next(),
                1 => f64::from(bits.next() as i32 >> (bits.next() % 32)).to_bits(),
                2 => u64::from((bits.of(NUMBERS) as f32).to_bits()) << 32 | 0x3f80_0000,
                _ => bits.of(NUMBERS).to_bits(),
            };
            for half in 0..2 {
                code.extend([0xc7, 0x43, (bits.0 as u8 & 7) * 8 + half * 4]);
                code.extend(((number >> (32 * half)) as u32).to_le_bytes());
            }
        }
        for _ in 0..40 {
            code.extend(random(&mut bits));
        }
        code.push(0xf4);
        agree(&format!("{round}: {code:02x?}"), &code, bits.next() % 60);
    }
}

#[test]
fn sequences_of_x87_instructions_agree_with_the_reference() {
    sequences_agree(random_x87);
}

#[test]
fn sequences_of_mmx_and_x87_instructions_agree_with_the_reference() {
    sequences_agree(random_mmx);
}

#[test]
fn sequences_of_sse_instructions_agree_with_the_reference() {
    sequences_agree(random_sse);
}

#[test]
fn long_runs_need_no_stack() {
    // Blocks with a load, a store, a call, a return and branches, five million instructions long,
    // on a stack that a nested call a handler would overflow thousands of times.
    let code = [0xe8, 0x05, 0, 0, 0, 0xff, 0x03, 0x75, 0xf7, 0xf4, 0x83, 0xc1, 0x07, 0x11, 0x4b, 0x04, 0xc3];
    let run = move || {
        let (mut state, mut memory, mut environment) = machine(&code);
        Interpreter::new()
            .run(&mut guest(&mut state, &mut memory, &mut environment), Until::budget(5_000_000))
    };
    let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(run).unwrap();
    assert_eq!(thread.join().unwrap(), Stop { executed: 5_000_000, exit: Exit::Budget });
}

#[test]
fn pairs_do_what_their_halves_do() {
    // One of each kind that pairs are made of, in blocks that are long enough for them.
    #[rustfmt::skip]
    const CODE: &[&[u8]] = &[
        &[0x89, 0xc8],                          // mov eax, ecx
        &[0xb9, 0x78, 0x56, 0x34, 0x92],        // mov ecx, 0x92345678
        &[0x8b, 0x43, 0x04],                    // mov eax, [ebx+4]
        &[0x8b, 0x44, 0xb3, 0x08],              // mov eax, [ebx+esi*4+8]
        &[0x0f, 0xb6, 0x53, 0x05],              // movzx edx, byte [ebx+5]
        &[0x89, 0x53, 0x0c],                    // mov [ebx+12], edx
        &[0xc7, 0x43, 0x08, 0xef, 0xbe, 0, 0],  // mov dword [ebx+8], 0xbeef
        &[0x8d, 0x51, 0x07],                    // lea edx, [ecx+7]
        &[0x8d, 0x54, 0x81, 0x03],              // lea edx, [ecx+eax*4+3]
        &[0x50],                                // push eax
        &[0x59],                                // pop ecx
        &[0x01, 0xc2],                          // add edx, eax
        &[0x83, 0xc1, 0x97],                    // add ecx, -0x69
        &[0x03, 0x53, 0x08],                    // add edx, [ebx+8]
        &[0x29, 0xca],                          // sub edx, ecx
        &[0x83, 0xea, 0x05],                    // sub edx, 5
        &[0x21, 0xd1],                          // and ecx, edx
        &[0x83, 0xe2, 0x7f],                    // and edx, 0x7f
        &[0x09, 0xd0],                          // or eax, edx
        &[0x31, 0xc8],                          // xor eax, ecx
        &[0xc1, 0xe0, 0x03],                    // shl eax, 3
        &[0xc1, 0xea, 0x02],                    // shr edx, 2
        &[0xc1, 0xc1, 0x05],                    // rol ecx, 5
        &[0xc1, 0xc8, 0x07],                    // ror eax, 7
    ];
    for (index, first) in CODE.iter().enumerate() {
        let mut code = Vec::new();
        for second in CODE {
            code.extend_from_slice(first);
            code.extend_from_slice(second);
        }
        // Twice, so that a block is full, and once more, the other way round.
        let once = code.clone();
        code.extend_from_slice(&once);
        code.extend_from_slice(first);
        code.extend_from_slice(&once);
        code.extend_from_slice(&once);
        code.extend([0xcd, 0x80]);
        for budget in [20, 33, 64, 1000] {
            agree(&alloc::format!("pairs with {index}, {budget} instructions"), &code, budget);
        }
    }
}

#[test]
fn products_and_rotates_keep_the_flags_that_they_do_not_write() {
    // Each behind one that leaves its flags for later, and each behind each other.
    #[rustfmt::skip]
    const WRITERS: &[&[u8]] = &[
        &[0x83, 0xc0, 0x7f],            // add eax, 0x7f
        &[0x48],                        // dec eax
        &[0xd1, 0xe0],                  // shl eax, 1
        &[0xa8, 0x35],                  // test al, 0x35
    ];
    #[rustfmt::skip]
    const OVER: &[&[u8]] = &[
        &[0x0f, 0xaf, 0xc2],            // imul eax, edx
        &[0xf7, 0xe2],                  // mul edx
        &[0xc1, 0xc0, 0x05],            // rol eax, 5
        &[0xc0, 0xc8, 0x03],            // ror al, 3
    ];
    // adc ecx, ecx; seta cl; mov [ebx], ecx; lahf; pushf; int 0x80
    const READERS: &[&[u8]] =
        &[&[0x11, 0xc9], &[0x0f, 0x97, 0xc1], &[0x89, 0x0b], &[0x9f], &[0x9c], &[0xcd, 0x80]];
    for writer in WRITERS {
        for first in OVER {
            for second in OVER {
                for reader in READERS {
                    let start: &[u8] = &[0xb8, 0xff, 0xff, 0xff, 0x7f, 0xba, 0x03, 0x00, 0x00, 0x81];
                    let code = [start, writer, first, second, reader, &[0xcd, 0x80]].concat();
                    for budget in 3..8 {
                        agree(&alloc::format!("{code:02x?}, {budget}"), &code, budget);
                    }
                }
            }
        }
    }
}

/// Instructions that a chain still executes when a request to stop comes just after the engine has
/// looked: as many as a chain may have, but only a few where each takes long.
#[test]
fn a_request_to_stop_is_seen_soon() {
    #[rustfmt::skip]
    const LOOPS: &[(&str, core::ops::RangeInclusive<u64>, &[u8])] = &[
        // inc eax; jmp
        ("plain",              1000..=MOST_UNHEARD, &[0x40, 0xeb, 0xfd]),
        // inc eax; call next; next: add esp, 4; jmp
        ("calls",              1000..=MOST_UNHEARD, &[0x40, 0xe8, 0, 0, 0, 0, 0x83, 0xc4, 4, 0xeb, 0xf5]),
        // mov edi, DATA; mov ecx, 800h; rep stosd; jmp
        ("rep stosd",          0..=8, &[0xbf, 0, 0x80, 0, 0, 0xb9, 0, 8, 0, 0, 0xf3, 0xab, 0xeb, 0xf2]),
        // The same with ECX 300h, which is less than a chunk.
        ("short rep stosd",    0..=8, &[0xbf, 0, 0x80, 0, 0, 0xb9, 0, 3, 0, 0, 0xf3, 0xab, 0xeb, 0xf2]),
        // std; mov edi, DATA + 1ffch; mov ecx, 800h; rep stosd; jmp
        ("backward rep stosd", 0..=8, &[0xfd, 0xbf, 0xfc, 0x9f, 0, 0, 0xb9, 0, 8, 0, 0, 0xf3, 0xab, 0xeb, 0xf1]),
        // mov edi, DATA; mov ecx, 1000h; rep stosb with 16-bit addresses; jmp
        ("16-bit rep stosb",   0..=8, &[0xbf, 0, 0x80, 0, 0, 0xb9, 0, 0x10, 0, 0, 0x67, 0xf3, 0xaa, 0xeb, 0xf1]),
        // mov edi, DATA; mov ecx, 800h; xor eax, eax; repe scasd; jmp
        ("repe scasd",         0..=8, &[0xbf, 0, 0x80, 0, 0, 0xb9, 0, 8, 0, 0, 0x31, 0xc0, 0xf3, 0xaf, 0xeb, 0xf0]),
        // cpuid; jmp
        ("slow instructions",  0..=8, &[0x0f, 0xa2, 0xeb, 0xfc]),
    ];
    for (name, bound, code) in LOOPS {
        let (mut state, mut memory, mut environment) = machine(code);
        let mut guest = guest(&mut state, &mut memory, &mut environment);
        let mut interpreter = Interpreter::new();
        interpreter.run(&mut guest, Until::budget(100_000));
        guest.environment.stop.stop();
        let block = interpreter.code.enter(&mut guest.context()).unwrap();
        let mut left = u64::MAX / 2;
        interpreter.chain(block, &mut guest, &mut left, u64::MAX, None);
        let late = u64::MAX / 2 - left;
        assert!(bound.contains(&late), "{name}: {late} instructions");
        assert!(guest.environment.stop.take());
    }
}

/// How many operations lie between the branch at `site` and the block that it leads to.
fn connectors_behind(interpreter: &Interpreter, site: usize, eip: u32) -> usize {
    let ops = interpreter.code.arena.ops();
    let block = interpreter.code.block_at(eip).unwrap();
    let places = core::iter::successors(Some(site), |place| Some(ops[*place].taken.place() as usize));
    places.skip(1).take(100_000).position(|place| place == block).unwrap()
}

#[test]
fn a_branch_to_code_that_is_made_again_and_again_takes_no_more_steps() {
    const CALLED: u32 = CODE + 0x1000;
    // call CALLED; then what no engine goes on behind
    let callers: [&[u8]; 2] = [&[0xe8, 0xfb, 0x0f, 0, 0, 0xf4], &[0xe8, 0xdb, 0x0f, 0, 0, 0xf4]];
    let (mut state, mut memory, mut environment) = machine(callers[0]);
    memory.poke_bytes(CODE + 0x20, callers[1]).unwrap();
    let mut interpreter = Interpreter::new();
    for round in 0..2000_u32 {
        // inc edx or inc ecx; ret
        memory.poke_bytes(CALLED, &[0x41 + (round % 2) as u8, 0xc3]).unwrap();
        // The second caller joins later, and is there only now and then.
        let both = round > 700 && round % 3 == 0;
        for start in [Some(CODE), both.then_some(CODE + 0x20)].into_iter().flatten() {
            state.eip = start;
            state.set_gpr(Gpr::Esp, DATA + 0x1000);
            let mut guest = guest(&mut state, &mut memory, &mut environment);
            interpreter.run(&mut guest, Until::budget(1000));
        }
    }
    assert_eq!(state.gpr(Gpr::Ecx) + state.gpr(Gpr::Edx), 2000 + 433);
    for caller in [CODE, CODE + 0x20] {
        let site = interpreter.code.block_at(caller).unwrap();
        let steps = connectors_behind(&interpreter, site, CALLED);
        assert!(steps <= 3, "{steps} from {caller:#x}");
    }
}

/// A device that panics when it is read first.
struct Broken(bool);

impl pentimento_memory::MmioHandler for Broken {
    fn read(&mut self, _: u32, _: u32) -> u64 {
        if core::mem::take(&mut self.0) {
            std::panic::resume_unwind(std::boxed::Box::new("broken"));
        }
        0
    }

    fn write(&mut self, _: u32, _: u32, _: u64) {}
}

#[test]
fn a_device_that_panics_leaves_the_blocks_as_they_were() {
    #[rustfmt::skip]
    let code = [
        0xbb, 0, 0, 0x01, 0,    // mov ebx, 0x10000
        0x8b, 0x03,             // mov eax, [ebx]
        0x41, 0x41, 0x41, 0x41, // inc ecx, four times
        0xf4,                   // hlt
    ];
    let (mut state, mut memory, mut environment) = machine(&code);
    memory.map_mmio(0x1_0000, 0x1000, Permissions::READ, std::boxed::Box::new(Broken(true))).unwrap();
    let mut interpreter = Interpreter::new();
    let mut run = |interpreter: &mut Interpreter, state: &mut CpuState, memory: &mut AddressSpace, budget| {
        state.eip = CODE;
        interpreter.run(&mut guest(state, memory, &mut environment), Until::budget(budget))
    };
    // Too small a budget for the whole block: an operation in its midst is changed meanwhile.
    let broken = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
        run(&mut interpreter, &mut state, &mut memory, 4);
    }));
    assert!(broken.is_err());
    state.set_gpr(Gpr::Ecx, 0);
    let stop = run(&mut interpreter, &mut state, &mut memory, 1000);
    assert_eq!((stop.executed, state.gpr(Gpr::Ecx)), (6, 4), "{:?}", stop.exit);
    // An operation that was left changed would end the block.
    let inside = (CODE + 5..CODE + 12).find(|eip| interpreter.code.block_at(*eip).is_some());
    assert_eq!(inside, None);
}
