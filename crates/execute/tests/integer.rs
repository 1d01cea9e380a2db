//! Integer instructions through the decoder and the reference engine: what faults, what a fault
//! leaves behind, and the corners that one instruction on silicon at a time does not show.

mod machine;

use machine::{CODE, DATA, Ended, Machine, READ_ONLY, STACK, UNMAPPED, event};
use pentimento_execute::{CpuModel, Exit, REPEAT_CHUNK};
use pentimento_memory::{Access, Fault, FaultKind, Permissions};
use pentimento_registers::{CpuState, Descriptor, Eflags, Exception, Gpr, SegmentRegister};

fn page_fault(error_code: u32, address: u32) -> Result<(), Ended> {
    event(Exception::PageFault, error_code, address, CODE)
}

const USER: u32 = 4;
const WRITE: u32 = 2;
const PRESENT: u32 = 1;
const FETCH: u32 = 16;

#[test]
fn runs_to_a_system_call() {
    let mut machine = Machine::new(&[0xb8, 5, 0, 0, 0, 0x01, 0xc0, 0xcd, 0x80]);
    assert_eq!(machine.run(100), (3, Exit::Interrupt(0x80)));
    assert_eq!((machine.state.gpr(Gpr::Eax), machine.state.eip), (10, CODE + 9));
    let mut machine = Machine::new(&[0xeb, 0xfe]);
    assert_eq!(machine.run(1000), (1000, Exit::Budget));
    assert_eq!(machine.environment.time_stamp, 1000);
}

#[test]
fn memory_faults_leave_the_state_as_it_was() {
    #[rustfmt::skip]
    let cases: &[(&[u8], u32, u32, u32)] = &[
        // mov eax, [ecx]; mov [ecx], eax; add [ecx], eax; xchg, cmpxchg, push [ecx], pop [ecx].
        (&[0x8b, 0x01],       UNMAPPED,      USER,                   UNMAPPED),
        (&[0x89, 0x01],       UNMAPPED,      USER | WRITE,           UNMAPPED),
        (&[0x89, 0x01],       READ_ONLY,     USER | WRITE | PRESENT, READ_ONLY),
        // A read-modify-write is a write, also where the read would do.
        (&[0x01, 0x01],       READ_ONLY,     USER | WRITE | PRESENT, READ_ONLY),
        (&[0x87, 0x01],       UNMAPPED,      USER | WRITE,           UNMAPPED),
        (&[0x0f, 0xb1, 0x01], READ_ONLY,     USER | WRITE | PRESENT, READ_ONLY),
        (&[0xd3, 0x21],       READ_ONLY,     USER | WRITE | PRESENT, READ_ONLY),
        (&[0xff, 0x31],       UNMAPPED,      USER,                   UNMAPPED),
        (&[0x8f, 0x01],       READ_ONLY,     USER | WRITE | PRESENT, READ_ONLY),
        // Across a page, the first byte that cannot be accessed is reported.
        (&[0x89, 0x01],       READ_ONLY - 2, USER | WRITE | PRESENT, READ_ONLY),
        (&[0x8b, 0x01],       UNMAPPED - 1,  USER,                   UNMAPPED),
        // CMOV loads even where its condition fails (ZF is clear).
        (&[0x0f, 0x44, 0x01], UNMAPPED,      USER,                   UNMAPPED),
    ];
    for &(code, ecx, error_code, address) in cases {
        let mut machine = Machine::new(code).with(Gpr::Ecx, ecx).with(Gpr::Eax, 0x1234_5678);
        let before = (machine.state.clone(), machine.dword(READ_ONLY - 4));
        assert_eq!(machine.step(), page_fault(error_code, address), "{code:x?} at {ecx:#x}");
        assert_eq!((machine.state.clone(), machine.dword(READ_ONLY - 4)), before, "{code:x?} at {ecx:#x}");
    }
}

#[test]
fn a_page_without_permissions_is_not_present() {
    let mut machine = Machine::new(&[0x8b, 0x01]).with(Gpr::Ecx, READ_ONLY);
    machine.memory.protect(READ_ONLY, 0x1000, Permissions::empty()).expect("a mapped page");
    assert_eq!(machine.step(), page_fault(USER, READ_ONLY));
}

/// Whoever serves a page fault gets what the memory said, not only what the error code has of it.
#[test]
fn a_page_fault_carries_the_fault_of_the_memory() {
    let cases: [(&[u8], u32, Permissions, Fault); 4] = [
        (
            &[0x8b, 0x01],
            READ_ONLY,
            Permissions::empty(),
            Fault { address: READ_ONLY, access: Access::Read, kind: FaultKind::Hidden },
        ),
        (
            &[0x89, 0x01],
            READ_ONLY,
            Permissions::READ,
            Fault { address: READ_ONLY, access: Access::Write, kind: FaultKind::Protected },
        ),
        (
            &[0x01, 0x01],
            READ_ONLY - 2,
            Permissions::READ,
            Fault { address: READ_ONLY, access: Access::Write, kind: FaultKind::Protected },
        ),
        (
            &[0xff, 0xe1],
            UNMAPPED,
            Permissions::READ,
            Fault { address: UNMAPPED, access: Access::Execute, kind: FaultKind::NotMapped },
        ),
    ];
    for (code, ecx, permissions, fault) in cases {
        let mut machine = Machine::new(code).with(Gpr::Ecx, ecx);
        machine.memory.protect(READ_ONLY, 0x1000, permissions).expect("a mapped page");
        assert_eq!(machine.run(2).1, Exit::PageFault(fault), "{code:x?}");
    }
}

#[test]
fn fetch_faults() {
    const END: u32 = CODE + 0x2000;
    let fault = |eip, address| event(Exception::PageFault, USER | FETCH, address, eip);
    #[rustfmt::skip]
    let cases: &[(&[u8], u32, Result<(), Ended>)] = &[
        // mov eax, imm32 with two bytes missing.
        (&[0xb8, 1, 2],            END - 3, fault(END - 3, END)),
        (&[0x90],                  END - 1, Ok(())),
        (&[0x66],                  END - 1, fault(END - 1, END)),
        // Fifteen prefixes: too long, whatever would follow.
        (&[0x66; 15],              CODE,    event(Exception::GeneralProtection, 0, 0, CODE)),
        (&[0x0f, 0x0b],            CODE,    event(Exception::InvalidOpcode, 0, 0, CODE)),
        (&[0xc5, 0xf8, 0x77],      CODE,    event(Exception::InvalidOpcode, 0, 0, CODE)),
        // lock mov [eax], eax
        (&[0xf0, 0x89, 0x00],      CODE,    event(Exception::InvalidOpcode, 0, 0, CODE)),
    ];
    for (code, address, expected) in cases {
        let mut machine = Machine::new(&[]);
        machine.code_at(*address, code);
        assert_eq!(machine.step(), *expected, "{code:x?}");
    }
    let mut machine = Machine::new(&[]);
    machine.state.eip = DATA;
    assert_eq!(machine.step(), event(Exception::PageFault, USER | FETCH | PRESENT, DATA, DATA));
}

#[test]
fn exceptions_by_instruction() {
    use Exception as E;
    #[rustfmt::skip]
    let cases: &[(&[u8], E, u32, u32)] = &[
        // Faults stay at the instruction, traps go behind it.
        (&[0xf7, 0xf1],             E::DivideError,       0, 0),
        (&[0xd4, 0],                E::DivideError,       0, 0),
        (&[0xcc],                   E::Breakpoint,        0, 1),
        (&[0xcd, 3],                E::Breakpoint,        0, 2),
        (&[0xf1],                   E::Debug,             0, 1),
        (&[0xce],                   E::Overflow,          0, 1),
        (&[0xf4],                   E::GeneralProtection, 0, 0),
        (&[0xfa],                   E::GeneralProtection, 0, 0),
        (&[0xe4, 0x10],             E::GeneralProtection, 0, 0),
        (&[0xf3, 0x6c],             E::GeneralProtection, 0, 0),
        (&[0x0f, 0x20, 0xc0],       E::GeneralProtection, 0, 0),
        (&[0x0f, 0x01, 0xca],       E::InvalidOpcode,     0, 0),
        (&[0x8e, 0xc8],             E::InvalidOpcode,     0, 0),
        // mov ds, 8 and jmp 0:0: selectors are error codes.
        (&[0x8e, 0xd8],             E::GeneralProtection, 8, 0),
        (&[0xea, 0, 0, 0, 0, 0, 0], E::GeneralProtection, 0, 0),
    ];
    for &(code, exception, error_code, behind) in cases {
        let mut machine = Machine::new(code).with(Gpr::Eax, 8);
        machine.state.eflags.insert(Eflags::OF);
        assert_eq!(machine.step(), event(exception, error_code, 0, CODE + behind), "{code:x?}");
        assert_eq!(machine.state.eip, CODE + behind, "{code:x?}");
    }
}

#[test]
fn repeated_strings_stop_at_exactly_the_failing_iteration() {
    // rep movsd, out of the writable pages.
    let mut machine =
        Machine::new(&[0xf3, 0xa5]).with(Gpr::Esi, DATA).with(Gpr::Edi, READ_ONLY - 12).with(Gpr::Ecx, 10);
    assert_eq!(machine.step(), page_fault(USER | WRITE | PRESENT, READ_ONLY));
    let left = [Gpr::Ecx, Gpr::Esi, Gpr::Edi].map(|register| machine.state.gpr(register));
    assert_eq!(left, [7, DATA + 12, READ_ONLY]);
    // std; rep stosb, downwards out of the first page.
    let mut machine = Machine::new(&[0xf3, 0xaa]).with(Gpr::Edi, DATA + 2).with(Gpr::Ecx, 10);
    machine.state.eflags.insert(Eflags::DF);
    machine.memory.unmap(DATA - 0x1000, 0x1000).expect("an empty range");
    assert_eq!(machine.step(), page_fault(USER | WRITE, DATA - 1));
    assert_eq!((machine.state.gpr(Gpr::Ecx), machine.state.gpr(Gpr::Edi)), (7, DATA - 1));
}

#[test]
fn long_repetitions_count_in_chunks() {
    // rep stosb
    let mut machine = Machine::new(&[0xf3, 0xaa]).with(Gpr::Ecx, 2 * REPEAT_CHUNK + 5);
    machine.memory.map(0x10_0000, 3 * REPEAT_CHUNK, Permissions::READ | Permissions::WRITE).expect("memory");
    machine.state.set_gpr(Gpr::Edi, 0x10_0000);
    for left in [2 * REPEAT_CHUNK, REPEAT_CHUNK] {
        assert_eq!(machine.step(), Ok(()));
        assert_eq!((machine.state.gpr(Gpr::Ecx), machine.state.eip), (left, CODE));
    }
    assert_eq!(machine.step(), Ok(()));
    assert_eq!((machine.state.gpr(Gpr::Ecx), machine.state.eip), (0, CODE + 2));
}

#[test]
fn single_step_traps_after_each_instruction() {
    // pushf; or dword [esp], 100h; popf; nop; nop
    let code = [0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90, 0x90];
    let mut machine = Machine::new(&code);
    // POPF sets TF, and the trap follows the instruction behind it.
    let trap = Exit::Exception { exception: Exception::Debug, error_code: 0 };
    assert_eq!((machine.run(100), machine.state.eip), ((4, trap), CODE + 10));
    assert_eq!(machine.step(), event(Exception::Debug, 0, 0, CODE + 11));
    // A load of SS holds the trap back until after the next instruction.
    let mut machine = Machine::new(&[0x8e, 0xd0, 0x89, 0xdc]).with(Gpr::Eax, CpuState::USER_DS.into());
    machine.state.eflags.insert(Eflags::TF);
    assert_eq!(machine.step(), Ok(()));
    assert_eq!(machine.step(), event(Exception::Debug, 0, 0, CODE + 4));
    // A repeated string instruction traps after each iteration.
    let mut machine = Machine::new(&[0xf3, 0xaa]).with(Gpr::Edi, DATA).with(Gpr::Ecx, 2);
    machine.state.eflags.insert(Eflags::TF);
    assert_eq!(machine.step(), event(Exception::Debug, 0, 0, CODE));
    assert_eq!(machine.step(), event(Exception::Debug, 0, 0, CODE + 2));
}

#[test]
fn bit_strings_extend_both_ways() {
    // bts [ecx], eax with a bit far below and far above the operand.
    for (index, address, bit) in [(-1_i32, -4, 31), (-33, -8, 31), (32, 4, 0), (31, 0, 31), (-32, -4, 0)] {
        let mut machine =
            Machine::new(&[0x0f, 0xab, 0x01]).with(Gpr::Ecx, DATA + 64).with(Gpr::Eax, index as u32);
        assert_eq!(machine.step(), Ok(()));
        assert_eq!(machine.dword((DATA + 64).wrapping_add_signed(address)), 1 << bit, "bit {index}");
    }
    // With an immediate the index stays within the operand: bts dword [ecx], 33.
    let mut machine = Machine::new(&[0x0f, 0xba, 0x29, 33]).with(Gpr::Ecx, DATA + 64);
    assert_eq!(machine.step(), Ok(()));
    assert_eq!(machine.dword(DATA + 64), 2);
}

#[test]
fn enter_copies_the_display() {
    // enter 16, 3 in a frame whose display holds two pointers.
    let mut machine = Machine::new(&[0xc8, 16, 0, 3]).with(Gpr::Ebp, DATA + 0x100);
    machine.memory.write(DATA + 0xfc, 0xaaaa_aaaa_u32).expect("mapped");
    machine.memory.write(DATA + 0xf8, 0xbbbb_bbbb_u32).expect("mapped");
    assert_eq!(machine.step(), Ok(()));
    let pushed = [4, 8, 12, 16].map(|offset| machine.dword(STACK - offset));
    assert_eq!(pushed, [DATA + 0x100, 0xaaaa_aaaa, 0xbbbb_bbbb, STACK - 4]);
    assert_eq!((machine.state.gpr(Gpr::Ebp), machine.state.gpr(Gpr::Esp)), (STACK - 4, STACK - 32));
    // leave takes the frame down again.
    machine.code_at(CODE, &[0xc9]);
    assert_eq!(machine.step(), Ok(()));
    assert_eq!((machine.state.gpr(Gpr::Ebp), machine.state.gpr(Gpr::Esp)), (DATA + 0x100, STACK));
}

#[test]
fn segments_add_their_base_and_check_their_limit() {
    // mov gs, ax; mov eax, gs:[ecx]
    let mut machine = Machine::new(&[0x8e, 0xe8, 0x65, 0x8b, 0x01]).with(Gpr::Eax, 0x63);
    let descriptor = Descriptor { base: DATA, limit: 0xff, ..Descriptor::FLAT_DATA };
    assert!(machine.tls.set(12, Some(descriptor)));
    machine.memory.write(DATA + 0xfc, 0x0123_4567_u32).expect("mapped");
    assert_eq!(machine.step(), Ok(()));
    assert_eq!(machine.state.segment(SegmentRegister::Gs).base(), DATA);
    machine.state.set_gpr(Gpr::Ecx, 0xfc);
    assert_eq!(machine.step(), Ok(()));
    assert_eq!(machine.state.gpr(Gpr::Eax), 0x0123_4567);
    machine.state.set_gpr(Gpr::Ecx, 0xfd);
    machine.state.eip = CODE + 2;
    assert_eq!(machine.step(), event(Exception::GeneralProtection, 0, 0, CODE + 2));
    // Without a descriptor behind it the selector does not load, and GS is as before.
    machine.tls.set(12, None);
    machine.state.set_gpr(Gpr::Eax, 0x63);
    machine.state.eip = CODE;
    assert_eq!(machine.step(), event(Exception::GeneralProtection, 0x60, 0, CODE));
    assert_eq!(machine.state.segment(SegmentRegister::Gs).base(), DATA);
}

/// Measured on Linux 6.18: what a program sees of system registers and of Linux's descriptors.
#[test]
fn system_registers_are_as_linux_shows_them() {
    #[rustfmt::skip]
    let cases: &[(&[u8], u32, u32)] = &[
        // smsw eax; smsw ax; sldt eax; str eax; str ax
        (&[0x0f, 0x01, 0xe0],       0x1111_2222, 0x8005_0033),
        (&[0x66, 0x0f, 0x01, 0xe0], 0x1111_2222, 0x1111_0033),
        (&[0x0f, 0x00, 0xc0],       0x1111_2222, 0),
        (&[0x0f, 0x00, 0xc8],       0x1111_2222, 0x40),
        (&[0x66, 0x0f, 0x00, 0xc8], 0x1111_2222, 0x1111_0040),
        // lar eax, eax; lsl eax, eax
        (&[0x0f, 0x02, 0xc0],       0x23,        0x00cf_fb00),
        (&[0x0f, 0x02, 0xc0],       0x2b,        0x00cf_f300),
        (&[0x0f, 0x02, 0xc0],       0x33,        0x00af_fb00),
        (&[0x0f, 0x02, 0xc0],       0x7b,        0x0040_f500),
        (&[0x0f, 0x02, 0xc0],       0x13,        0x13),
        (&[0x0f, 0x03, 0xc0],       0x2b,        u32::MAX),
        (&[0x0f, 0x03, 0xc0],       0x7b,        7),
    ];
    for &(code, eax, expected) in cases {
        let mut machine = Machine::new(code).with(Gpr::Eax, eax);
        machine.environment.processor = 7;
        assert_eq!(machine.step(), Ok(()), "{code:x?}");
        assert_eq!(machine.state.gpr(Gpr::Eax), expected, "{code:x?} of {eax:#x}");
    }
    // sgdt [ecx]
    let mut machine = Machine::new(&[0x0f, 0x01, 0x01]).with(Gpr::Ecx, DATA);
    assert_eq!(machine.step(), Ok(()));
    assert_eq!((machine.dword(DATA), machine.dword(DATA + 4)), (0, 0xfffe));
}

#[test]
fn cpu_models_execute_what_they_report() {
    use CpuModel as M;
    let undefined = event(Exception::InvalidOpcode, 0, 0, CODE);
    #[rustfmt::skip]
    let cases: &[(&[u8], &[CpuModel])] = &[
        // cmovne eax, ecx; nop [eax]; rdtscp; popcnt; movbe; rdrand eax
        (&[0x0f, 0x45, 0xc1],             &[M::Pentium3, M::Pentium4, M::X86_64V2, M::Max]),
        (&[0x0f, 0x1f, 0x00],             &[M::Pentium3, M::Pentium4, M::X86_64V2, M::Max]),
        (&[0x0f, 0x01, 0xf9],             &[M::X86_64V2, M::Max]),
        (&[0xf3, 0x0f, 0xb8, 0xc1],       &[M::X86_64V2, M::Max]),
        (&[0x0f, 0x38, 0xf0, 0x05, 0, 0, 1, 0], &[M::Max]),
        (&[0x0f, 0xc7, 0xf0],             &[M::Max]),
        (&[0x0f, 0xc8],                   &CpuModel::ALL),
    ];
    for (code, models) in cases {
        for model in CpuModel::ALL {
            let mut machine = Machine::new(code);
            machine.environment.model = model;
            let expected = if models.contains(&model) { Ok(()) } else { undefined };
            assert_eq!(machine.step(), expected, "{code:x?} on {model:?}");
        }
    }
    // tzcnt eax, ecx is bsf on a CPU that does not know it: zero leaves the destination.
    let mut machine = Machine::new(&[0xf3, 0x0f, 0xbc, 0xc1]).with(Gpr::Eax, 77);
    machine.environment.model = M::X86_64V2;
    assert_eq!((machine.step(), machine.state.gpr(Gpr::Eax)), (Ok(()), 77));
}

#[test]
fn cpuid_is_consistent() {
    for model in CpuModel::ALL {
        let [highest, b, c, d] = model.cpuid(0, 0);
        let vendor: Vec<u8> = [b, d, c].into_iter().flat_map(u32::to_le_bytes).collect();
        assert!(vendor == b"GenuineIntel" || vendor == b"AuthenticAMD", "{model:?}: {vendor:?}");
        let [_, _, features_c, features_d] = model.cpuid(1, 0);
        // Each level implies those before it: SSE2, SSE, FXSR, MMX, CMOV, CMPXCHG8B.
        let levels = [26, 25, 24, 23, 15, 8].map(|bit| features_d >> bit & 1);
        assert!(levels.is_sorted(), "{model:?}: {levels:?}");
        let levels = [20, 19, 9, 0].map(|bit| features_c >> bit & 1);
        assert!(levels.is_sorted(), "{model:?}: {levels:?}");
        // No AVX, no XSAVE, no 64-bit mode.
        assert_eq!(features_c & (1 << 28 | 1 << 27 | 1 << 26), 0, "{model:?}");
        assert_eq!(model.cpuid(0x8000_0001, 0)[3] >> 29 & 1, 0, "{model:?}");
        assert!((1..=7).contains(&highest), "{model:?}");
        assert_eq!(CpuModel::from_name(model.name()), Some(model));
    }
    assert_eq!(CpuModel::Pentium.cpuid(1, 0)[3], 0x0000_01bf);
}

/// Random bytes as code on random registers: any exit will do, a panic will not, and the flags
/// that user code cannot change stay.
#[test]
fn random_code_only_exits() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut machine = Machine::new(&[]);
    for _ in 0..100_000 {
        let bytes: [u8; 16] = core::array::from_fn(|_| next() as u8);
        machine.code_at(CODE + (next() % 0x1ff0) as u32, &bytes);
        for register in Gpr::ALL {
            let wild = next() as u32;
            let near = DATA.wrapping_add((wild % 0x4000).wrapping_sub(0x400));
            machine.state.set_gpr(register, if wild >> 31 == 0 { near } else { wild });
        }
        let _ = machine.run(5);
        let fixed = Eflags::all().difference(Eflags::USER_WRITABLE);
        assert_eq!(machine.state.eflags.intersection(fixed), Eflags::INITIAL);
        // Segments that no longer work would make most of what follows fault.
        machine.state.segments = CpuState::new().segments;
        machine.state.eflags = Eflags::INITIAL;
    }
}
