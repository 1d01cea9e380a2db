//! The host's own x87 unit behind a safe interface, on x86 and x86-64 hosts.
//!
//! Transcendental instructions are not correctly rounded, so the only way to the bits that
//! silicon gives is silicon. Each function here loads its operands with the guest's control word,
//! executes one instruction, and returns the results with the status word. Invalid, denormal,
//! zero-divide and precision exceptions are masked for the host, whatever the guest's control word
//! says: then an instruction always completes with the same stack effect, and the caller learns
//! from the flags what the guest's masks would have kept from happening. Overflow and underflow
//! follow the guest's masks, since those change results.
//!
//! Basic arithmetic does not come here: switching control words and clearing exceptions makes a
//! call cost 70 ns on Zen 4, where [`float`](crate::float) takes 5 to 10.
//!
//! The argument for the unsafe code is the same for every block and rests on three facts. (1) The
//! only memory touched is the fields of the local variable whose address is passed, each valid for
//! the access's width: an [`F80`] is `repr(C)` and starts with the ten bytes that `fld tbyte ptr` and
//! `fstp tbyte ptr` access. (2) The x87 stack is empty on entry, as the platform's calling
//! conventions guarantee at a function call and as Rust demands of assembly that declares all of
//! `st(0)` to `st(7)` clobbered, and it is empty again at the end, because the number of pushes and
//! pops is fixed or follows C2, which says whether the instruction pushed. (3) The host's control
//! word is restored, and exception flags are cleared before it is, so that no exception stays pending.

use core::arch::asm;
use core::mem::offset_of;

use pentimento_registers::{F80, StatusWord};

use super::transcendental::Answer;
use crate::float::Flags;

/// Control-word bits that are always set for the host: masks of invalid, denormal, zero-divide
/// and precision.
const HOST_MASKS: u16 = 0x27;

/// What assembly reads and writes, so that it needs one address: a 32-bit host has few registers.
#[repr(C)]
struct Exchange {
    st0: F80,
    st1: F80,
    first: F80,
    second: F80,
    control: u16,
    saved: u16,
}

impl Exchange {
    const fn new(st0: F80, st1: F80, control: u16) -> Self {
        Self { st0, st1, first: F80::ZERO, second: F80::ZERO, control, saved: 0 }
    }
}

/// Runs assembly on an [`Exchange`], with `{x}` its address and `{st0}` to `{saved}` the offsets of
/// its fields, and gives what it leaves in AX.
macro_rules! run {
    ($exchange:ident: $($line:literal),* $(,)?) => {{
        let mut status = 0_u16;
        // SAFETY: see the module's documentation; each use says how its pushes and pops match.
        unsafe {
            asm!(
                $($line,)*
                "/* {x} {st0} {st1} {first} {second} {control} {saved} */",
                x = in(reg) &raw mut $exchange,
                st0 = const offset_of!(Exchange, st0),
                st1 = const offset_of!(Exchange, st1),
                first = const offset_of!(Exchange, first),
                second = const offset_of!(Exchange, second),
                control = const offset_of!(Exchange, control),
                saved = const offset_of!(Exchange, saved),
                inout("ax") status,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                options(nostack),
            );
        }
        status
    }};
}

/// Declares functions of two operands, ST(0) and ST(1), with one result: the instruction, and what
/// then empties the stack once ST(0) is stored. Two pushes, two pops.
macro_rules! two_operands {
    ($masks:expr, $($name:ident: [$($instruction:literal),*] [$($rest:literal)?];)*) => {$(
        pub(crate) fn $name(st0: F80, st1: F80, control: u16) -> (F80, u16) {
            let mut exchange = Exchange::new(st0, st1, control | $masks);
            let status = run!(exchange:
                "fnstcw word ptr [{x} + {saved}]",
                "fnclex",
                "fldcw word ptr [{x} + {control}]",
                "fld tbyte ptr [{x} + {st1}]",
                "fld tbyte ptr [{x} + {st0}]",
                $($instruction,)*
                "fnstsw ax",
                "fnclex",
                "fldcw word ptr [{x} + {saved}]",
                "fstp tbyte ptr [{x} + {first}]",
                $($rest,)?
            );
            (exchange.first, status)
        }
    )*};
}

/// Declares functions of one operand with two results, the second of which is there unless C2 is
/// set. One push, and one more where C2 is clear, which is what the branch pops.
macro_rules! two_results {
    ($($name:ident: $instruction:literal;)*) => {$(
        fn $name(st0: F80, control: u16) -> ([F80; 2], u16) {
            let mut exchange = Exchange::new(st0, F80::ZERO, control | HOST_MASKS);
            let status = run!(exchange:
                "fnstcw word ptr [{x} + {saved}]",
                "fnclex",
                "fldcw word ptr [{x} + {control}]",
                "fld tbyte ptr [{x} + {st0}]",
                $instruction,
                "fnstsw ax",
                "fnclex",
                "fldcw word ptr [{x} + {saved}]",
                "fstp tbyte ptr [{x} + {first}]",
                "test ah, 4",
                "jnz 2f",
                "fstp tbyte ptr [{x} + {second}]",
                "2:",
            );
            ([exchange.first, exchange.second], status)
        }
    )*};
}

two_operands! {
    HOST_MASKS,
    fsin: ["fsin"] ["fstp st(0)"];
    fcos: ["fcos"] ["fstp st(0)"];
    f2xm1: ["f2xm1"] ["fstp st(0)"];
    fpatan: ["fpatan"] [];
    fyl2x: ["fyl2x"] [];
    fyl2xp1: ["fyl2xp1"] [];
}

two_results! {
    fsincos: "fsincos";
    fptan: "fptan";
}

/// What a result and the status word say.
fn answer([value, second]: [F80; 2], status: u16) -> Answer {
    let mut flags = Flags::from_bits_truncate(status as u8) & Flags::EXCEPTIONS;
    flags.set(Flags::ROUNDED_UP, status & StatusWord::C1.bits() != 0);
    Answer { value, second, flags, out_of_range: status & StatusWord::C2.bits() != 0 }
}

/// [`answer`] for a single result of an instruction that leaves C2 alone.
fn single((value, status): (F80, u16)) -> Answer {
    Answer { out_of_range: false, ..answer([value; 2], status) }
}

/// FSIN.
pub(super) fn sine(st0: F80, control: u16) -> Answer {
    let (value, status) = fsin(st0, F80::ZERO, control);
    answer([value; 2], status)
}

/// FCOS.
pub(super) fn cosine(st0: F80, control: u16) -> Answer {
    let (value, status) = fcos(st0, F80::ZERO, control);
    answer([value; 2], status)
}

/// FSINCOS: cosine, then sine.
pub(super) fn sine_and_cosine(st0: F80, control: u16) -> Answer {
    let (values, status) = fsincos(st0, control);
    answer(values, status)
}

/// FPTAN: 1, then the tangent.
pub(super) fn tangent(st0: F80, control: u16) -> Answer {
    let (values, status) = fptan(st0, control);
    answer(values, status)
}

/// F2XM1: 2^ST(0) - 1.
pub(super) fn power(st0: F80, control: u16) -> Answer {
    single(f2xm1(st0, F80::ZERO, control))
}

/// FPATAN: the angle of the point (ST(0), ST(1)).
pub(super) fn arctangent(st0: F80, st1: F80, control: u16) -> Answer {
    single(fpatan(st0, st1, control))
}

/// FYL2X: ST(1) * log2(ST(0)).
pub(super) fn logarithm(st0: F80, st1: F80, control: u16) -> Answer {
    single(fyl2x(st0, st1, control))
}

/// FYL2XP1: ST(1) * log2(ST(0) + 1).
pub(super) fn logarithm_of_successor(st0: F80, st1: F80, control: u16) -> Answer {
    single(fyl2xp1(st0, st1, control))
}

#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) mod oracle {
    //! The host's answers to what the crate computes itself, for tests to compare with. Control
    //! words take effect as they are: no instruction here pops, so none depends on being completed.
    use super::{Exchange, F80, asm, offset_of};

    two_operands! {
        0x40,
        add: ["fadd st, st(1)"] ["fstp st(0)"];
        sub: ["fsub st, st(1)"] ["fstp st(0)"];
        mul: ["fmul st, st(1)"] ["fstp st(0)"];
        div: ["fdiv st, st(1)"] ["fstp st(0)"];
        sqrt: ["fsqrt"] ["fstp st(0)"];
        prem: ["fprem"] ["fstp st(0)"];
        prem1: ["fprem1"] ["fstp st(0)"];
        rndint: ["frndint"] ["fstp st(0)"];
        scale: ["fscale"] ["fstp st(0)"];
    }

    /// Declares SSE instructions on the low element of two registers, with MXCSR (all exceptions
    /// masked) before and after.
    macro_rules! sse {
        ($($name:ident: $instruction:literal;)*) => {$(
            pub(crate) fn $name(a: u64, b: u64, control: u32) -> (u64, u32) {
                let (mut saved, mut environment) = (0_u32, control | 0x1f80);
                let (mut result, b) = (f64::from_bits(a), f64::from_bits(b));
                // SAFETY: MXCSR is restored; memory is the two local variables.
                unsafe {
                    asm!(
                        "stmxcsr dword ptr [{saved}]",
                        "ldmxcsr dword ptr [{environment}]",
                        $instruction,
                        "stmxcsr dword ptr [{environment}]",
                        "ldmxcsr dword ptr [{saved}]",
                        saved = in(reg) &raw mut saved,
                        environment = in(reg) &raw mut environment,
                        a = inout(xmm_reg) result,
                        b = in(xmm_reg) b,
                        options(nostack),
                    );
                }
                (result.to_bits(), environment)
            }
        )*};
    }

    sse! {
        addss: "addss {a}, {b}";
        subss: "subss {a}, {b}";
        mulss: "mulss {a}, {b}";
        divss: "divss {a}, {b}";
        sqrtss: "sqrtss {a}, {b}";
        addsd: "addsd {a}, {b}";
        subsd: "subsd {a}, {b}";
        mulsd: "mulsd {a}, {b}";
        divsd: "divsd {a}, {b}";
        sqrtsd: "sqrtsd {a}, {b}";
        cvtss2sd: "cvtss2sd {a}, {b}";
        cvtsd2ss: "cvtsd2ss {a}, {b}";
    }
}
