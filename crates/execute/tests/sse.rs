//! MMX and SSE instructions through the decoder and the reference engine: alignment, the order of
//! faults, what an exception leaves behind, and the state that MMX shares with the x87.

use pentimento_execute::{Environment, Guest, Reference};
use pentimento_memory::{AddressSpace, Permissions};
use pentimento_registers::{CpuState, DescriptorTables, Eflags, Exception, F80, Gpr, Mxcsr, StatusWord};

const CODE: u32 = 0x1000;
/// A writable page, a read-only one, then nothing.
const DATA: u32 = 0x1_0000;
const READ_ONLY: u32 = DATA + 0x1000;
const UNMAPPED: u32 = DATA + 0x2000;

/// A machine with `code` at [`CODE`].
struct Machine {
    state: CpuState,
    memory: AddressSpace,
}

/// An exception as its handler sees it: which one, its error code, CR2, and EIP.
type Event = ((Exception, u32, u32), u32);

impl Machine {
    fn new(code: &[u8]) -> Self {
        let mut memory = AddressSpace::new();
        let mut map = |start, permissions| memory.map(start, 0x1000, permissions).expect("a few pages");
        map(CODE, Permissions::READ | Permissions::EXECUTE);
        map(DATA, Permissions::READ | Permissions::WRITE);
        map(READ_ONLY, Permissions::READ);
        memory.poke_bytes(CODE, code).expect("code lies in a mapped page");
        let mut state = CpuState::new();
        state.eip = CODE;
        Self { state, memory }
    }

    fn eax(mut self, value: u32) -> Self {
        self.state.set_gpr(Gpr::Eax, value);
        self
    }

    fn step(&mut self) -> Result<(), Event> {
        let Self { state, memory, .. } = self;
        let environment = &mut Environment::default();
        let guest = &mut Guest { state, memory, environment, descriptors: DescriptorTables::EMPTY };
        let stopped = Reference.step(guest);
        stopped.map_err(|exit| (exit.exception().expect("only exceptions stop these"), self.state.eip))
    }
}

fn event(exception: Exception, error_code: u32, address: u32) -> Result<(), Event> {
    Err(((exception, error_code, address), CODE))
}

const GENERAL_PROTECTION: fn() -> Result<(), Event> = || event(Exception::GeneralProtection, 0, 0);
const SIMD: fn() -> Result<(), Event> = || event(Exception::SimdFloatingPoint, 0, 0);

/// `xmm0, [eax]` or `mm0, [eax]`, and whether a misaligned operand is #GP, or only #AC where asked for.
const LOADS: &[(&[u8], &str, bool)] = &[
    (&[0x0f, 0x28, 0x00], "movaps", true),
    (&[0x66, 0x0f, 0x6f, 0x00], "movdqa", true),
    (&[0x0f, 0x58, 0x00], "addps", true),
    (&[0x66, 0x0f, 0xfc, 0x00], "paddb xmm", true),
    (&[0x66, 0x0f, 0x38, 0xdc, 0x00], "aesenc", true),
    (&[0x66, 0x0f, 0x38, 0x2a, 0x00], "movntdqa", true),
    (&[0x0f, 0x10, 0x00], "movups", false),
    (&[0xf3, 0x0f, 0x6f, 0x00], "movdqu", false),
    (&[0xf2, 0x0f, 0xf0, 0x00], "lddqu", false),
    (&[0x66, 0x0f, 0x3a, 0x63, 0x00, 0x00], "pcmpistri", false),
    (&[0x0f, 0x38, 0xc9, 0x00], "sha1msg1", false),
    (&[0x0f, 0x38, 0xcc, 0x00], "sha256msg1", false),
    (&[0x0f, 0xfc, 0x00], "paddb mm", false),
    (&[0xf2, 0x0f, 0x58, 0x00], "addsd", false),
    (&[0x66, 0x0f, 0x38, 0x20, 0x00], "pmovsxbw", false),
];

#[test]
fn only_some_operands_must_be_aligned() {
    for &(code, name, aligned) in LOADS {
        let run = |flags: Eflags, address| {
            let mut machine = Machine::new(code).eax(address);
            machine.state.eflags |= flags;
            machine.step()
        };
        let misaligned = if aligned { GENERAL_PROTECTION() } else { Ok(()) };
        let checked = if aligned { GENERAL_PROTECTION() } else { event(Exception::AlignmentCheck, 0, 0) };
        assert_eq!(run(Eflags::empty(), DATA), Ok(()), "{name}");
        assert_eq!(run(Eflags::empty(), DATA + 1), misaligned, "{name}");
        assert_eq!(run(Eflags::AC, DATA + 1), checked, "{name} with alignment checking");
        // Alignment comes before the page, and the page before the result.
        assert_eq!(run(Eflags::empty(), UNMAPPED), event(Exception::PageFault, 4, UNMAPPED), "{name}");
        if aligned {
            assert_eq!(run(Eflags::empty(), UNMAPPED + 1), GENERAL_PROTECTION(), "{name}");
        }
    }
}

#[test]
fn an_unmasked_exception_changes_mxcsr_alone() {
    const ONES: u128 = 0x3f80_0000_3f80_0000_3f80_0000_3f80_0000;
    const HUGE: u128 = 0x7f7f_ffff;
    // DIVPS xmm0, xmm1, or MULPS; operands; what is unmasked; what is sticky then.
    let cases = [
        (0x5e, ONES, ONES ^ 0x3f80_0000, Mxcsr::ZM, Mxcsr::ZE),
        // An invalid lane keeps the overflow of another from being found, if it is unmasked.
        (0x59, HUGE | 0x7f80_0000 << 32, HUGE, Mxcsr::IM, Mxcsr::IE),
        (0x59, HUGE | 0x7f80_0000 << 32, HUGE, Mxcsr::OM, Mxcsr::IE | Mxcsr::OE | Mxcsr::PE),
        (0x59, HUGE | 0x7f80_0000 << 32, HUGE, Mxcsr::IM | Mxcsr::OM, Mxcsr::IE),
        (0x5e, ONES, ONES | 1, Mxcsr::PM, Mxcsr::PE),
        (0x5e, ONES, 1, Mxcsr::DM, Mxcsr::DE | Mxcsr::ZE),
    ];
    for (opcode, a, b, unmasked, sticky) in cases {
        let mut machine = Machine::new(&[0x0f, opcode, 0xc1]);
        machine.state.xmm[..2].copy_from_slice(&[a, b]);
        machine.state.mxcsr.remove(unmasked);
        let mut expected = machine.state.clone();
        expected.mxcsr |= sticky;
        assert_eq!(machine.step(), SIMD(), "{opcode:#x} {unmasked:?}");
        assert_eq!(machine.state, expected, "{opcode:#x} {unmasked:?}");
    }
}

#[test]
fn a_page_fault_comes_before_a_division_by_zero() {
    let mut machine = Machine::new(&[0x0f, 0x5e, 0x00]).eax(UNMAPPED);
    machine.state.mxcsr = Mxcsr::empty();
    assert_eq!(machine.step(), event(Exception::PageFault, 4, UNMAPPED));
    assert_eq!(machine.state.mxcsr, Mxcsr::empty());
}

/// COMISD that raises #XM leaves the flags alone.
#[test]
fn an_unmasked_comparison_leaves_eflags() {
    let mut machine = Machine::new(&[0x66, 0x0f, 0x2f, 0xc1]);
    machine.state.xmm[0] = 0x7ff8 << 48;
    machine.state.mxcsr.remove(Mxcsr::IM);
    machine.state.eflags |= Eflags::STATUS;
    assert_eq!(machine.step(), SIMD());
    assert!(machine.state.eflags.contains(Eflags::STATUS));
}

#[test]
fn reserved_bits_of_mxcsr_are_refused() {
    for (value, expected) in
        [(0xffff, Ok(())), (0x1_0000, GENERAL_PROTECTION()), (0x2_1f80, GENERAL_PROTECTION())]
    {
        let mut machine = Machine::new(&[0x0f, 0xae, 0x10]).eax(DATA);
        machine.memory.write(DATA, value).expect("mapped");
        assert_eq!(machine.step(), expected, "{value:#x}");
        let after = if expected.is_ok() { value } else { Mxcsr::INITIAL.bits() };
        assert_eq!(machine.state.mxcsr.bits(), after);
    }
}

/// A machine in the middle of x87 work: TOP 5, two registers in use.
fn with_x87(code: &[u8]) -> Machine {
    let mut machine = Machine::new(code).eax(DATA);
    machine.state.x87.top = 5;
    machine.state.x87.in_use = 0b0110_0000;
    machine.state.x87.registers[1] = F80::new(0x3fff, 1 << 63);
    machine
}

const MMX_STATE: (u8, u8) = (0, 0xff);
const X87_STATE: (u8, u8) = (5, 0b0110_0000);

/// TOP and the registers in use after an instruction, and what it ends with.
#[test]
fn mmx_instructions_take_the_x87_stack_over() {
    #[rustfmt::skip]
    let cases: &[(&[u8], &str, (u8, u8))] = &[
        (&[0x0f, 0xfc, 0xc1], "paddb mm0, mm1", MMX_STATE),
        (&[0x0f, 0x6f, 0x00], "movq mm0, [eax]", MMX_STATE),
        (&[0x0f, 0x7f, 0x00], "movq [eax], mm0", MMX_STATE),
        (&[0x0f, 0x7e, 0xc0], "movd eax, mm0", MMX_STATE),
        (&[0x0f, 0xd7, 0xc0], "pmovmskb eax, mm0", MMX_STATE),
        (&[0x0f, 0xc5, 0xc1, 0x00], "pextrw eax, mm1, 0", MMX_STATE),
        (&[0xf3, 0x0f, 0xd6, 0xc0], "movq2dq xmm0, mm0", MMX_STATE),
        (&[0xf2, 0x0f, 0xd6, 0xc0], "movdq2q mm0, xmm0", MMX_STATE),
        (&[0x0f, 0x2d, 0xc1], "cvtps2pi mm0, xmm1", MMX_STATE),
        (&[0x66, 0x0f, 0x2a, 0xc0], "cvtpi2pd xmm0, mm0", MMX_STATE),
        (&[0x66, 0x0f, 0x2a, 0x00], "cvtpi2pd xmm0, [eax]", X87_STATE),
        (&[0x66, 0x0f, 0xfc, 0xc1], "paddb xmm0, xmm1", X87_STATE),
        (&[0x0f, 0x77], "emms", (0, 0)),
    ];
    for &(code, name, expected) in cases {
        let mut machine = with_x87(code);
        assert_eq!(machine.step(), Ok(()), "{name}");
        assert_eq!((machine.state.x87.top, machine.state.x87.in_use), expected, "{name}");
    }
}

#[test]
fn a_written_mmx_register_is_a_nan_to_the_x87() {
    let mut machine = with_x87(&[0x0f, 0x6f, 0xc1]);
    assert_eq!(machine.step(), Ok(()));
    assert_eq!(machine.state.x87.registers[0], F80::new(0xffff, 1 << 63));
    assert_eq!(machine.state.x87.registers[1], F80::new(0x3fff, 1 << 63), "one that is only read stays");
}

#[test]
fn a_pending_x87_exception_comes_first() {
    for code in [&[0x0f, 0xfc, 0x00][..], &[0x0f, 0x77], &[0x0f, 0x2d, 0x00], &[0x0f, 0xf7, 0xc1]] {
        let mut machine = with_x87(code).eax(UNMAPPED);
        machine.state.x87.status |= StatusWord::ES | StatusWord::IE;
        assert_eq!(machine.step(), event(Exception::FloatingPoint, 0, 0), "{code:x?}");
        assert_eq!((machine.state.x87.top, machine.state.x87.in_use), X87_STATE, "{code:x?}");
    }
}

/// What silicon does, whatever the manuals say of faults: MASKMOVQ, and conversions that raise
/// #XM, have taken the x87 stack over already.
#[test]
fn some_faults_come_after_the_x87_stack_was_taken_over() {
    let mut load = with_x87(&[0x0f, 0xfc, 0x00]).eax(UNMAPPED);
    assert_eq!(load.step(), event(Exception::PageFault, 4, UNMAPPED));
    assert_eq!((load.state.x87.top, load.state.x87.in_use), X87_STATE);

    let mut masked = with_x87(&[0x0f, 0xf7, 0xc1]);
    masked.state.set_gpr(Gpr::Edi, UNMAPPED);
    assert_eq!(masked.step(), event(Exception::PageFault, 6, UNMAPPED), "with an empty mask, too");
    assert_eq!((masked.state.x87.top, masked.state.x87.in_use), MMX_STATE);

    let mut converted = with_x87(&[0x0f, 0x2d, 0xc1]);
    converted.state.xmm[1] = 0x7fc0_0000;
    converted.state.mxcsr.remove(Mxcsr::IM);
    assert_eq!(converted.step(), SIMD());
    assert_eq!((converted.state.x87.top, converted.state.x87.in_use), MMX_STATE);
    assert_eq!(converted.state.x87.registers[0], F80::ZERO);
}

#[test]
fn masked_stores_write_the_chosen_bytes() {
    let store = |address: u32| {
        let mut machine = Machine::new(&[0x66, 0x0f, 0xf7, 0xc1]);
        machine.state.xmm[0] = u128::from_le_bytes(*b"ABCDEFGHIJKLMNOP");
        machine.state.xmm[1] = 0x80 | 0xff << 8 | 0x7f << 16 | 0x80 << 120;
        machine.state.set_gpr(Gpr::Edi, address);
        let result = machine.step();
        let mut bytes = [0; 16];
        machine.memory.read_bytes(address & !0xf, &mut bytes).expect("mapped");
        (result, bytes)
    };
    assert_eq!(store(DATA), (Ok(()), *b"AB\0\0\0\0\0\0\0\0\0\0\0\0\0P"));
    let second_half = event(Exception::PageFault, 7, READ_ONLY);
    assert_eq!(store(READ_ONLY - 8).0, second_half, "nothing is written unless everything can be");
    assert_eq!(store(READ_ONLY - 8).1, [0; 16]);
}

#[test]
fn hints_never_fault() {
    for code in [&[0x0f, 0x18, 0x00][..], &[0x0f, 0x18, 0x18], &[0x0f, 0x0d, 0x08], &[0x0f, 0xae, 0xf0]] {
        assert_eq!(Machine::new(code).eax(UNMAPPED).step(), Ok(()), "{code:x?}");
    }
}

/// PSHUFB, PUNPCKLBW and the like on eight bytes, which differ from the low half of sixteen.
#[test]
fn horizontal_operations_know_the_width_of_mmx() {
    const A: u64 = 0x0706_0504_0302_0100;
    const B: u64 = 0x8f1e_1d1c_1b0a_0918;
    #[rustfmt::skip]
    let cases: &[(&[u8], &str, u64)] = &[
        (&[0x0f, 0x60, 0xc1], "punpcklbw", 0x1b03_0a02_0901_1800),
        (&[0x0f, 0x6a, 0xc1], "punpckhdq", 0x8f1e_1d1c_0706_0504),
        (&[0x0f, 0x67, 0xc1], "packuswb", 0x00ff_ffff_ffff_ffff),
        (&[0x0f, 0x38, 0x00, 0xc1], "pshufb", 0x0006_0504_0302_0100),
        (&[0x0f, 0x38, 0x02, 0xc1], "phaddd", 0xaa28_2634_0a08_0604),
        (&[0x0f, 0x3a, 0x0f, 0xc1, 0x03], "palignr 3", 0x0201_008f_1e1d_1c1b),
        (&[0x0f, 0x70, 0xc1, 0x1b], "pshufw 1b", 0x0918_1b0a_1d1c_8f1e),
    ];
    for &(code, name, expected) in cases {
        let mut machine = Machine::new(code);
        machine.state.x87.set_mmx(0, A);
        machine.state.x87.set_mmx(1, B);
        assert_eq!(machine.step(), Ok(()), "{name}");
        assert_eq!(machine.state.x87.mmx(0), expected, "{name}: {:#x}", machine.state.x87.mmx(0));
    }
}
