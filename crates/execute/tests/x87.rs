//! x87 instructions through the decoder and the reference engine, on every host: what the manual's
//! tables and figures say, and the corners that silicon settled.

use pentimento_execute::{Environment, Guest, Reference};
use pentimento_memory::{AddressSpace, Permissions};
use pentimento_registers::{
    ControlWord, CpuState, DescriptorTables, Eflags, Exception, F80, Gpr, StatusWord, Tag,
};

const CODE: u32 = 0x1000;
/// A writable page, then nothing.
const DATA: u32 = 0x1_0000;

const INFINITY: F80 = F80::new(0x7fff, 1 << 63);
const INDEFINITE: F80 = F80::new(0xffff, 3 << 62);
const ONE: F80 = F80::new(0x3fff, 1 << 63);
const QUIET: F80 = F80::new(0x7fff, 0xc000_0000_0000_1234);
const SIGNALLING: F80 = F80::new(0x7fff, 0x8000_0000_0000_5678);
const DENORMAL: F80 = F80::new(0, 1);
const PSEUDO_DENORMAL: F80 = F80::new(0, 1 << 63);
const UNNORMAL: F80 = F80::new(0x4000, 1);

/// All exceptions masked, nearest, extended.
const DEFAULT: u16 = 0x37f;
const IE: u16 = 1;
const DE: u16 = 2;
const ZE: u16 = 4;
const OE: u16 = 8;
const UE: u16 = 16;
const PE: u16 = 32;
const SF: u16 = 64;
/// ES and B: an exception is pending.
const PENDING: u16 = 0x8080;
const C0: u16 = 1 << 8;
const C1: u16 = 1 << 9;
const C2: u16 = 1 << 10;
const C3: u16 = 1 << 14;

/// The value nearest to a double.
fn number(value: f64) -> F80 {
    let bits = value.to_bits();
    let sign = (bits >> 48) as u16 & 0x8000;
    match bits >> 52 & 0x7ff {
        0 => F80::new(sign, 0),
        exponent => F80::new(sign | (exponent as u16 + 0x3c00), bits << 11 | 1 << 63),
    }
}

struct Machine {
    state: CpuState,
    memory: AddressSpace,
}

/// An exception as its handler sees it: which one, its error code, CR2, and EIP.
type Event = ((Exception, u32, u32), u32);

impl Machine {
    /// A machine with `code`, `stack` in ST(0), ST(1)..., this control word, and EAX at the data page.
    fn new(code: &[u8], stack: &[F80], control: u16) -> Self {
        let mut memory = AddressSpace::new();
        memory.map(CODE, 0x1000, Permissions::READ | Permissions::EXECUTE).expect("a page");
        memory.map(DATA, 0x1000, Permissions::READ | Permissions::WRITE).expect("a page");
        memory.poke_bytes(CODE, code).expect("code lies in a mapped page");
        let mut state = CpuState::new();
        state.eip = CODE;
        state.set_gpr(Gpr::Eax, DATA);
        state.x87.control = ControlWord::from_bits_truncate(control);
        for &value in stack.iter().rev() {
            state.x87.top = state.x87.top.wrapping_sub(1) & 7;
            let number = state.x87.physical(0);
            state.x87.registers[number] = value;
            state.x87.in_use |= 1 << number;
        }
        Self { state, memory }
    }

    fn with_data(mut self, bytes: &[u8]) -> Self {
        self.memory.poke_bytes(DATA, bytes).expect("the data page is mapped");
        self
    }

    fn step(&mut self) -> Result<(), Event> {
        let Self { state, memory, .. } = self;
        let environment = &mut Environment::default();
        let guest = &mut Guest { state, memory, environment, descriptors: DescriptorTables::EMPTY };
        let stopped = Reference.step(guest);
        stopped.map_err(|exit| (exit.exception().expect("only exceptions stop these"), self.state.eip))
    }

    #[track_caller]
    fn stepped(mut self) -> Self {
        assert_eq!(self.step(), Ok(()));
        self
    }

    fn data<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.read_bytes(DATA, &mut bytes).expect("the data page is mapped");
        bytes
    }

    /// ST(`index`), or `None` if it is empty.
    fn st(&self, index: u8) -> Option<F80> {
        let number = self.state.x87.physical(index);
        (self.state.x87.tag(number) != Tag::Empty).then_some(self.state.x87.registers[number])
    }

    /// The status word without TOP.
    fn status(&self) -> u16 {
        self.state.x87.status.bits()
    }
}

fn exception(exception: Exception) -> Result<(), Event> {
    Err(((exception, 0, 0), CODE))
}

#[test]
fn fxam_classes() {
    const CASES: &[(F80, u16)] = &[
        (F80::ZERO, C3),
        (F80::new(0x8000, 0), C3 | C1),
        (ONE, C2),
        (F80::new(0xbfff, 1 << 63), C2 | C1),
        (DENORMAL, C3 | C2),
        (PSEUDO_DENORMAL, C3 | C2),
        (INFINITY, C2 | C0),
        (QUIET, C0),
        (SIGNALLING, C0),
        (INDEFINITE, C0 | C1),
        (UNNORMAL, 0),
        (F80::new(0x7fff, 0), 0),
        (F80::new(0x7fff, 1), 0),
    ];
    for &(value, expected) in CASES {
        assert_eq!(Machine::new(&[0xd9, 0xe5], &[value], DEFAULT).stepped().status(), expected, "{value:x?}");
    }
    assert_eq!(Machine::new(&[0xd9, 0xe5], &[], DEFAULT).stepped().status(), C3 | C0, "empty");
}

#[test]
fn constants_follow_rounding_control() {
    /// Second opcode byte, exponent, and significand rounded to nearest, down and up.
    const CASES: &[(u8, u16, [u64; 3])] = &[
        (0xe8, 0x3fff, [0x8000_0000_0000_0000; 3]),
        (0xe9, 0x4000, [0xd49a_784b_cd1b_8afe, 0xd49a_784b_cd1b_8afe, 0xd49a_784b_cd1b_8aff]),
        (0xea, 0x3fff, [0xb8aa_3b29_5c17_f0bc, 0xb8aa_3b29_5c17_f0bb, 0xb8aa_3b29_5c17_f0bc]),
        (0xeb, 0x4000, [0xc90f_daa2_2168_c235, 0xc90f_daa2_2168_c234, 0xc90f_daa2_2168_c235]),
        (0xec, 0x3ffd, [0x9a20_9a84_fbcf_f799, 0x9a20_9a84_fbcf_f798, 0x9a20_9a84_fbcf_f799]),
        (0xed, 0x3ffe, [0xb172_17f7_d1cf_79ac, 0xb172_17f7_d1cf_79ab, 0xb172_17f7_d1cf_79ac]),
        (0xee, 0, [0; 3]),
    ];
    for &(opcode, exponent, [nearest, down, up]) in CASES {
        for (rounding, expected) in [(0, nearest), (1, down), (2, up), (3, down)] {
            // Precision control has no say.
            let control = 0x07f | rounding << 10;
            let machine = Machine::new(&[0xd9, opcode], &[], control).stepped();
            assert_eq!(machine.st(0), Some(F80::new(exponent, expected)), "d9 {opcode:x} RC {rounding}");
            assert_eq!(machine.status(), 0, "d9 {opcode:x} RC {rounding}");
        }
    }
}

#[test]
fn packed_decimal_integers() {
    const CASES: &[(f64, [u8; 10])] = &[
        (0.0, [0; 10]),
        (-0.0, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]),
        (42.0, [0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (-1_234_567_890.0, [0x90, 0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0, 0x80]),
        (999_999_999_999_999_872.0, [0x72, 0x98, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0]),
    ];
    for &(value, expected) in CASES {
        let stored = Machine::new(&[0xdf, 0x30], &[number(value)], DEFAULT).stepped();
        assert_eq!(stored.data(), expected, "FBSTP {value}");
        assert_eq!((stored.st(0), stored.status()), (None, 0), "FBSTP {value}");
        let loaded = Machine::new(&[0xdf, 0x20], &[], DEFAULT).with_data(&expected).stepped();
        assert_eq!(loaded.st(0), Some(number(value)), "FBLD {value}");
    }
    let rounded = Machine::new(&[0xdf, 0x30], &[number(2.5)], DEFAULT).stepped();
    assert_eq!((rounded.data::<1>(), rounded.status()), ([2], PE), "to even");
    for value in [number(1e18), INFINITY, QUIET, UNNORMAL] {
        let stored = Machine::new(&[0xdf, 0x30], &[value], DEFAULT).stepped();
        assert_eq!(stored.data(), [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff], "{value:x?}");
        assert_eq!(stored.status(), IE, "{value:x?}");
    }
}

/// The state whose images the next tests look at.
fn distinctive(code: &[u8]) -> Machine {
    let mut machine = Machine::new(code, &[ONE, F80::ZERO, INFINITY], 0x0b7f);
    let x87 = &mut machine.state.x87;
    x87.status = StatusWord::C3 | StatusWord::PE;
    x87.last_instruction = 0x1122_3344;
    x87.last_instruction_selector = 0x23;
    x87.last_opcode = 0x5ab;
    x87.last_data = 0x5566_7788;
    x87.last_data_selector = 0x2b;
    machine
}

#[test]
fn environment_images() {
    let long = distinctive(&[0xd9, 0x30]).stepped();
    #[rustfmt::skip]
    assert_eq!(long.data(), [
        0x7f, 0x0b, 0xff, 0xff,  0x20, 0x68, 0xff, 0xff,  0xff, 0x93, 0xff, 0xff,
        0x44, 0x33, 0x22, 0x11,  0x23, 0x00, 0xab, 0x05,  0x88, 0x77, 0x66, 0x55,  0x2b, 0x00, 0xff, 0xff,
    ]);
    let short = distinctive(&[0x66, 0xd9, 0x30]).stepped();
    #[rustfmt::skip]
    assert_eq!(short.data(), [
        0x7f, 0x0b,  0x20, 0x68,  0xff, 0x93,  0x44, 0x33,  0x23, 0x00,  0x88, 0x77,  0x2b, 0x00,  0x00, 0x00,
    ]);
    for (code, image, opcode, pointer) in [
        (&[0xd9, 0x20][..], long.data::<28>(), 0x5ab, 0x1122_3344),
        (&[0x66, 0xd9, 0x20], short.data::<28>(), 0, 0x3344),
    ] {
        let loaded = Machine::new(code, &[], DEFAULT).with_data(&image).stepped().state.x87;
        assert_eq!((loaded.control.bits(), loaded.status_word()), (0x0b7f, 0x6820));
        assert_eq!((loaded.in_use, loaded.top), (0b1110_0000, 5));
        assert_eq!((loaded.last_opcode, loaded.last_instruction), (opcode, pointer));
    }
}

#[test]
fn saved_state_comes_back() {
    for (save, restore, length) in
        [(&[0xdd, 0x30][..], &[0xdd, 0x20][..], 28), (&[0x66, 0xdd, 0x30], &[0x66, 0xdd, 0x20], 14)]
    {
        let before = distinctive(save);
        let saved = distinctive(save).stepped();
        assert_eq!(saved.state.x87.control.bits(), DEFAULT, "FNSAVE initialises");
        assert_eq!((saved.state.x87.in_use, saved.state.x87.top), (0, 0), "FNSAVE initialises");
        let image = saved.data::<108>();
        assert_eq!(image[length..length + 10], ONE.to_le_bytes(), "ST(0) comes first");
        let restored = Machine::new(restore, &[], DEFAULT).with_data(&image).stepped();
        assert_eq!(restored.state.x87.registers, before.state.x87.registers);
        assert_eq!(restored.state.x87.status_word(), before.state.x87.status_word());
    }
}

#[test]
fn fxsave_areas() {
    let saved = distinctive(&[0x0f, 0xae, 0x00]).with_data(&[0xa5; 512]).stepped().data::<512>();
    assert_eq!(saved[..6], [0x7f, 0x0b, 0x20, 0x68, 0b1110_0000, 0]);
    assert_eq!(saved[6..24], [0; 18], "pointers are saved only while an exception is pending");
    assert_eq!(saved[24..32], [0x80, 0x1f, 0, 0, 0xff, 0xff, 0, 0]);
    assert_eq!(saved[32..48], [&ONE.to_le_bytes()[..], &[0; 6]].concat());
    assert_eq!(saved[288..], [0xa5; 224], "behind XMM7 nothing is written");
    let mut pending = distinctive(&[0x0f, 0xae, 0x00]);
    pending.state.x87.status |= StatusWord::ES | StatusWord::B;
    let saved = pending.stepped().data::<24>();
    assert_eq!(saved[6..16], [0xab, 0x05, 0x44, 0x33, 0x22, 0x11, 0x23, 0, 0, 0]);
    for code in [[0x0f, 0xae, 0x40, 0x08], [0x0f, 0xae, 0x48, 0x08]] {
        let mut misaligned = Machine::new(&code, &[], DEFAULT);
        assert_eq!(misaligned.step(), exception(Exception::GeneralProtection));
    }
    let mut image = [0; 512];
    image[26] = 1;
    let mut reserved = Machine::new(&[0x0f, 0xae, 0x08], &[], DEFAULT).with_data(&image);
    assert_eq!(reserved.step(), exception(Exception::GeneralProtection), "a reserved bit of MXCSR");
}

#[test]
fn stack_faults() {
    let full = [ONE; 8];
    // Code, stack, and then: ST(0), C1.
    let cases: &[(&[u8], &[F80], u16)] = &[
        (&[0xd9, 0xe8], &full, C1),
        (&[0xd9, 0xc0], &full, C1),
        (&[0xdb, 0x00], &full, C1),
        (&[0xd9, 0xc1], &[ONE], 0),
        (&[0xd8, 0xc1], &[ONE], 0),
        (&[0xd9, 0xe0], &[], 0),
        (&[0xd9, 0xfe], &[], 0),
        (&[0xd9, 0xc9], &[ONE], 0),
    ];
    for &(code, stack, c1) in cases {
        let masked = Machine::new(code, stack, DEFAULT).stepped();
        assert_eq!((masked.st(0), masked.status()), (Some(INDEFINITE), IE | SF | c1), "{code:x?} masked");
        let before = Machine::new(code, stack, DEFAULT & !IE);
        let unmasked = Machine::new(code, stack, DEFAULT & !IE).stepped();
        assert_eq!(unmasked.status(), IE | SF | c1 | PENDING, "{code:x?} unmasked");
        assert_eq!(unmasked.state.x87.registers, before.state.x87.registers, "{code:x?} unmasked");
        assert_eq!(unmasked.state.x87.top, before.state.x87.top, "{code:x?} unmasked");
    }
}

#[test]
fn a_pending_exception_is_raised_by_the_next_waiting_instruction() {
    const WAITING: &[&[u8]] = &[
        &[0x9b],
        &[0xd9, 0xe8],
        &[0xd8, 0xc1],
        &[0xd9, 0x28],
        &[0xd9, 0x20],
        &[0xdd, 0x20],
        &[0xd9, 0xd0],
        &[0xd9, 0xf7],
        &[0xdd, 0xc0],
        &[0xdd, 0x18],
        &[0x0f, 0x77],
    ];
    const NOT_WAITING: &[&[u8]] = &[
        &[0xdb, 0xe2],
        &[0xdb, 0xe3],
        &[0xd9, 0x38],
        &[0xdf, 0xe0],
        &[0xdd, 0x38],
        &[0xd9, 0x30],
        &[0xdd, 0x30],
        &[0x0f, 0xae, 0x00],
    ];
    let pending = |code: &[u8]| {
        let mut machine = Machine::new(code, &[ONE, ONE], DEFAULT & !ZE);
        machine.state.x87.status = StatusWord::ZE | StatusWord::ES | StatusWord::B;
        machine
    };
    for code in WAITING {
        assert_eq!(pending(code).step(), exception(Exception::FloatingPoint), "{code:x?}");
    }
    for code in NOT_WAITING {
        assert_eq!(pending(code).step(), Ok(()), "{code:x?}");
    }
    let mut unmasking = Machine::new(&[0xd9, 0x28, 0x9b], &[], DEFAULT).with_data(&[0x7b, 0x03]);
    unmasking.state.x87.status = StatusWord::ZE;
    assert_eq!(unmasking.stepped().status(), ZE | PENDING, "FLDCW that unmasks a flag makes it pending");
}

#[test]
fn unmasked_exceptions() {
    let huge = F80::new(0x7ffe, 3 << 62);
    let tiny = F80::new(1, 3 << 62);
    // 1.5 squared is 1.125 times two.
    let product = 0x9000_0000_0000_0000;
    // Code, ST(0), ST(1), exception, result.
    let cases: &[(&[u8], F80, F80, u16, F80)] = &[
        // Found before computing: nothing happens.
        (&[0xd8, 0xf1], ONE, F80::ZERO, ZE, ONE),
        (&[0xd8, 0xc1], SIGNALLING, ONE, IE, SIGNALLING),
        (&[0xd8, 0xc1], DENORMAL, ONE, DE, DENORMAL),
        (&[0xd9, 0xfa], F80::new(0xbfff, 1 << 63), ONE, IE, F80::new(0xbfff, 1 << 63)),
        // Found after: the exponent wraps by 24576.
        (&[0xd8, 0xc9], huge, huge, OE, F80::new(0x5ffe, product)),
        (&[0xd8, 0xc9], tiny, tiny, UE, F80::new(0x2004, product)),
    ];
    for &(code, st0, st1, flag, expected) in cases {
        let machine = Machine::new(code, &[st0, st1], DEFAULT & !flag).stepped();
        assert_eq!((machine.st(0), machine.status()), (Some(expected), flag | PENDING), "{code:x?}");
    }
    let stored = Machine::new(&[0xd9, 0x18], &[huge], DEFAULT & !OE).with_data(&[0xa5; 4]).stepped();
    assert_eq!((stored.data(), stored.st(0), stored.status()), ([0xa5; 4], Some(huge), OE | PENDING));
}

#[test]
fn nans_that_survive() {
    let quieted = |value: F80| F80::new(value.sign_exponent, value.significand | 1 << 62);
    let larger = F80::new(0xffff, 0xf000_0000_0000_0000);
    let negative = F80::new(0xffff, QUIET.significand);
    // SDM volume 1, table 4-7: two operands, the result, IE.
    let cases: &[(F80, F80, F80, u16)] = &[
        (SIGNALLING, ONE, quieted(SIGNALLING), IE),
        (ONE, SIGNALLING, quieted(SIGNALLING), IE),
        (SIGNALLING, QUIET, QUIET, IE),
        (QUIET, SIGNALLING, QUIET, IE),
        (SIGNALLING, F80::new(0x7fff, 0xa000_0000_0000_0000), F80::new(0x7fff, 0xe000_0000_0000_0000), IE),
        (QUIET, larger, larger, 0),
        (larger, QUIET, larger, 0),
        (negative, QUIET, QUIET, 0),
        (QUIET, ONE, QUIET, 0),
        (UNNORMAL, QUIET, INDEFINITE, IE),
    ];
    for &(st0, st1, expected, flags) in cases {
        for opcode in [0xc1, 0xc9, 0xe1, 0xe9, 0xf1, 0xf9] {
            let machine = Machine::new(&[0xd8, opcode], &[st0, st1], DEFAULT).stepped();
            let found = (machine.st(0), machine.status());
            assert_eq!(found, (Some(expected), flags), "d8 {opcode:x} {st0:x?} {st1:x?}");
        }
    }
}

#[test]
fn comparisons() {
    const EFLAGS: Eflags = Eflags::ZF.union(Eflags::PF).union(Eflags::CF);
    let two = number(2.0);
    // Operands; C3, C2 and C0; the exceptions of FCOM and of FUCOM.
    let cases: &[(F80, F80, u16, u16, u16)] = &[
        (two, ONE, 0, 0, 0),
        (ONE, two, C0, 0, 0),
        (ONE, ONE, C3, 0, 0),
        (F80::ZERO, F80::new(0x8000, 0), C3, 0, 0),
        (F80::new(0xffff, 1 << 63), ONE, C0, 0, 0),
        (DENORMAL, F80::ZERO, 0, DE, DE),
        (QUIET, ONE, C3 | C2 | C0, IE, 0),
        (ONE, SIGNALLING, C3 | C2 | C0, IE, IE),
        (UNNORMAL, ONE, C3 | C2 | C0, IE, IE),
    ];
    for &(st0, st1, conditions, ordered, unordered) in cases {
        for (code, exceptions) in [([0xd8, 0xd1], ordered), ([0xdd, 0xe1], unordered)] {
            let machine = Machine::new(&code, &[st0, st1], DEFAULT).stepped();
            assert_eq!(machine.status(), conditions | exceptions, "{code:x?} {st0:x?} {st1:x?}");
        }
        let mut expected = Eflags::empty();
        expected.set(Eflags::ZF, conditions & C3 != 0);
        expected.set(Eflags::PF, conditions & C2 != 0);
        expected.set(Eflags::CF, conditions & C0 != 0);
        for (code, exceptions) in [([0xdb, 0xf1], ordered), ([0xdb, 0xe9], unordered)] {
            let machine = Machine::new(&code, &[st0, st1], DEFAULT).stepped();
            let found = (machine.state.eflags & EFLAGS, machine.status());
            assert_eq!(found, (expected, exceptions), "{code:x?} {st0:x?} {st1:x?}");
        }
    }
    let popped = Machine::new(&[0xde, 0xd9], &[ONE, ONE, two], DEFAULT).stepped();
    assert_eq!((popped.st(0), popped.st(1)), (Some(two), None), "FCOMPP");
}

#[test]
fn integers_are_stored_rounded() {
    const HALVES: &[(f64, [i32; 4])] = &[
        (2.5, [2, 2, 3, 2]),
        (3.5, [4, 3, 4, 3]),
        (-2.5, [-2, -3, -2, -2]),
        (0.25, [0, 0, 1, 0]),
        (-0.75, [-1, -1, 0, 0]),
    ];
    for &(value, expected) in HALVES {
        for (rounding, expected) in expected.into_iter().enumerate() {
            let control = DEFAULT | (rounding as u16) << 10;
            let stored = Machine::new(&[0xdb, 0x18], &[number(value)], control).stepped();
            assert_eq!(i32::from_le_bytes(stored.data()), expected, "FISTP {value} RC {rounding}");
            let truncated = Machine::new(&[0xdb, 0x08], &[number(value)], control).stepped();
            assert_eq!(i32::from_le_bytes(truncated.data()), value as i32, "FISTTP {value} RC {rounding}");
            assert_eq!((stored.status() & !C1, stored.st(0)), (PE, None));
        }
    }
    for (code, value, width) in [(0xdf, 32768.0, 2), (0xdb, 2_147_483_648.0, 4), (0xdd, 9.3e18, 8)] {
        let modrm = if code == 0xdd { 0x08 } else { 0x18 };
        let stored = Machine::new(&[code, modrm], &[number(value)], DEFAULT).stepped();
        let mut indefinite = [0; 8];
        indefinite[width - 1] = 0x80;
        assert_eq!((stored.data::<8>(), stored.status()), (indefinite, IE), "{code:x}");
    }
}

#[test]
fn precision_control_rounds_arithmetic_only() {
    let third = |control| Machine::new(&[0xd8, 0xf1], &[ONE, number(3.0)], control).stepped().st(0);
    assert_eq!(third(0x37f), Some(F80::new(0x3ffd, 0xaaaa_aaaa_aaaa_aaab)));
    assert_eq!(third(0x27f), Some(F80::new(0x3ffd, 0xaaaa_aaaa_aaaa_a800)));
    assert_eq!(third(0x07f), Some(F80::new(0x3ffd, 0xaaaa_ab00_0000_0000)));
    let wide = F80::new(0x3fff, u64::MAX);
    for code in [[0xd9, 0xe1], [0xd9, 0xc0], [0xdd, 0xd9]] {
        let machine = Machine::new(&code, &[wide, wide], 0x07f).stepped();
        assert_eq!(machine.st(0), Some(wide), "{code:x?}");
    }
}

#[test]
fn remainders_report_quotient_bits() {
    /// A remainder and its quotient.
    type Rest = (f64, u8);
    /// Dividend, divisor, FPREM's answer, FPREM1's.
    const CASES: &[(f64, f64, Rest, Rest)] = &[
        (17.0, 5.0, (2.0, 3), (2.0, 3)),
        (18.0, 5.0, (3.0, 3), (-2.0, 4)),
        (-18.0, 5.0, (-3.0, 3), (2.0, 4)),
        (7.5, 5.0, (2.5, 1), (-2.5, 2)),
        (12.5, 5.0, (2.5, 2), (2.5, 2)),
        (1.0, 5.0, (1.0, 0), (1.0, 0)),
        (35.0, 5.0, (0.0, 7), (0.0, 7)),
    ];
    for &(dividend, divisor, truncated, nearest) in CASES {
        for (opcode, (rest, quotient)) in [(0xf8, truncated), (0xf5, nearest)] {
            let machine =
                Machine::new(&[0xd9, opcode], &[number(dividend), number(divisor)], DEFAULT).stepped();
            let bit = |mask: u8, condition| if quotient & mask != 0 { condition } else { 0 };
            let conditions = bit(4, C0) | bit(2, C3) | bit(1, C1);
            let found = (machine.st(0), machine.status());
            assert_eq!(found, (Some(number(rest)), conditions), "{opcode:x} {dividend} {divisor}");
        }
    }
    let partial = Machine::new(&[0xd9, 0xf8], &[number(1e300), number(3.0)], DEFAULT).stepped();
    assert_eq!(partial.status() & C2, C2, "an exponent difference of 64 and more takes several steps");
}

#[test]
fn transcendental_special_cases() {
    let minus_zero = F80::new(0x8000, 0);
    let negative = |value: F80| F80::new(value.sign_exponent | 0x8000, value.significand);
    let pi = F80::new(0x4000, 0xc90f_daa2_2168_c235);
    let half_pi = F80::new(0x3fff, 0xc90f_daa2_2168_c235);
    let quarter_pi = F80::new(0x3ffe, 0xc90f_daa2_2168_c235);
    // Second opcode byte, ST(0), ST(1), result, and exceptions apart from precision.
    let cases: &[(u8, F80, F80, F80, u16)] = &[
        (0xfe, minus_zero, ONE, minus_zero, 0),
        (0xfe, INFINITY, ONE, INDEFINITE, IE),
        (0xff, minus_zero, ONE, ONE, 0),
        (0xf0, minus_zero, ONE, minus_zero, 0),
        (0xf0, ONE, ONE, ONE, 0),
        (0xf0, negative(INFINITY), ONE, number(-1.0), 0),
        (0xf3, INFINITY, INFINITY, quarter_pi, 0),
        (0xf3, F80::ZERO, ONE, half_pi, 0),
        (0xf3, minus_zero, F80::ZERO, pi, 0),
        (0xf3, negative(INFINITY), minus_zero, negative(pi), 0),
        (0xf3, ONE, ONE, quarter_pi, 0),
        (0xf1, F80::ZERO, ONE, negative(INFINITY), ZE),
        (0xf1, F80::ZERO, F80::ZERO, INDEFINITE, IE),
        (0xf1, ONE, INFINITY, INDEFINITE, IE),
        (0xf1, number(-1.0), ONE, INDEFINITE, IE),
        (0xf1, number(8.0), number(0.5), number(1.5), 0),
        (0xf1, number(0.25), ONE, number(-2.0), 0),
        (0xf9, minus_zero, number(3.0), minus_zero, 0),
        (0xf9, F80::ZERO, INFINITY, INDEFINITE, IE),
    ];
    for &(opcode, st0, st1, expected, exceptions) in cases {
        let machine = Machine::new(&[0xd9, opcode], &[st0, st1], DEFAULT).stepped();
        let found = (machine.st(0), machine.status() & !(PE | C1));
        assert_eq!(found, (Some(expected), exceptions), "d9 {opcode:x} {st0:x?} {st1:x?}");
    }
    for opcode in [0xfe, 0xff, 0xfb, 0xf2] {
        let far = F80::new(0x403e, 1 << 63);
        let machine = Machine::new(&[0xd9, opcode], &[far], DEFAULT).stepped();
        assert_eq!((machine.st(0), machine.st(1), machine.status()), (Some(far), None, C2), "d9 {opcode:x}");
    }
    let tangent = Machine::new(&[0xd9, 0xf2], &[minus_zero], DEFAULT).stepped();
    assert_eq!((tangent.st(0), tangent.st(1)), (Some(ONE), Some(minus_zero)));
}

#[test]
fn the_last_instruction_is_remembered() {
    let arithmetic = Machine::new(&[0xdc, 0x40, 0x08], &[ONE], DEFAULT).stepped().state;
    assert_eq!((arithmetic.x87.last_opcode, arithmetic.x87.last_instruction), (0x440, CODE));
    assert_eq!((arithmetic.x87.last_data, arithmetic.x87.last_data_selector), (DATA + 8, CpuState::USER_DS));
    assert_eq!(arithmetic.x87.last_instruction_selector, CpuState::USER_CS);
    for control in [&[0xd9, 0x28][..], &[0xdb, 0xe2], &[0xd9, 0x38], &[0xdf, 0xe0], &[0x0f, 0x77]] {
        let x87 = distinctive(control).stepped().state.x87;
        assert_eq!((x87.last_opcode, x87.last_instruction), (0x5ab, 0x1122_3344), "{control:x?}");
    }
}
