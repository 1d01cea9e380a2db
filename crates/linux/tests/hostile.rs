//! Files and system calls from somebody who means harm: nothing panics, nothing hangs, and nothing
//! is allocated for sizes that are only claimed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use guest::{BASE, DATA, Guest, program};
use pentimento_linux::{Config, Error, Kernel, Limits, LoadError, Next};
use pentimento_memory::{Access, Fault, FaultKind};
use pentimento_registers::{Exception, Gpr};
use proptest::prelude::*;

fn spawn(file: &[u8]) -> Result<(), Error> {
    Kernel::new(Config::default()).spawn_image(b"/x", file, &[b"x"], &[]).map(|_| ())
}

/// The program with a 32-bit field replaced.
fn patched(offset: usize, value: u32) -> Vec<u8> {
    let mut file = program(b"code");
    file[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    file
}

#[test]
fn bad_files_give_one_clear_error() {
    let halves = |offset: usize, value: u16| {
        let mut file = program(b"code");
        file[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
        file
    };
    #[rustfmt::skip]
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("empty",                   vec![],                        "not an ELF file or script"),
        ("text",                    b"hello".to_vec(),             "not an ELF file or script"),
        ("only the magic",          b"\x7fELF".to_vec(),           "not an ELF file or script"),
        ("half a header",           program(b"")[..40].to_vec(),   "not an ELF file or script"),
        ("64-bit class",            { let mut f = program(b""); f[4] = 2; f }, "only those for 32-bit x86"),
        ("big-endian",              { let mut f = program(b""); f[5] = 2; f }, "only those for 32-bit x86"),
        ("ARM",                     halves(18, 40),                "only those for 32-bit x86"),
        ("relocatable object",      halves(16, 1),                 "ELF type 1"),
        ("core dump",               halves(16, 4),                 "ELF type 4"),
        ("no program headers",      halves(44, 0),                 "number of program headers"),
        ("too many program headers", halves(44, 0xffff),           "number of program headers"),
        ("odd header size",         halves(42, 31),                "size or number of program headers"),
        ("headers outside",         patched(28, 0xffff_fff0),      "program headers lie outside"),
        ("segment outside",         patched(52 + 16, 0x7fff_ffff), "larger in the file than in memory"),
        ("offset outside",          patched(52 + 4, 0x7fff_f000),  "lies outside the file"),
        ("no segment",              patched(52, 6),                "no loadable segment"),
        ("beyond user memory",      patched(52 + 8, 0xffff_e000),  "outside user memory"),
        ("wraps around",            patched(52 + 20, 0xffff_ffff), "outside user memory"),
        ("misaligned",              patched(52 + 8, BASE + 1),     "differ within their pages"),
        ("script without a name",   b"#!   \n".to_vec(),           "not an ELF file or script"),
        ("script of nothing",       b"#!/nowhere -x\n".to_vec(),   "/nowhere"),
    ];
    for (name, file, expected) in cases {
        let error = spawn(file).map(|()| "it runs").unwrap_err();
        let Error::Load { source, .. } = &error else { panic!("{name}: {error}") };
        assert!(source.to_string().contains(expected), "{name}: {source}");
    }
}

#[test]
fn the_null_page_is_the_superusers() {
    let file = patched(52 + 8, 0);
    spawn(&file).unwrap();
    let mut kernel = Kernel::new(Config { identity: (1000, 1000), ..Config::default() });
    let error = kernel.spawn_image(b"/x", &file, &[b"x"], &[]).unwrap_err();
    assert!(matches!(error, Error::Load { source: LoadError::Privilege(0), .. }), "{error}");
}

#[test]
fn an_interpreter_has_to_exist_and_to_be_named_properly() {
    // A second program header: PT_INTERP, its path right behind it.
    let with_interpreter = |path: &[u8]| {
        let mut file = program(b"");
        file[44] = 2;
        let size = 116 + path.len() as u32;
        file[52 + 16..52 + 20].copy_from_slice(&size.to_le_bytes());
        let length = path.len() as u32;
        file.extend([3, 116, 0, 0, length, length, 4, 1_u32].iter().flat_map(|word| word.to_le_bytes()));
        file.extend_from_slice(path);
        file
    };
    let error = spawn(&with_interpreter(b"/lib/ld-missing.so\0")).unwrap_err();
    assert!(matches!(error, Error::Load { source: LoadError::Interpreter { .. }, .. }), "{error}");
    for path in [&b"/no/end"[..], b"", b"\0"] {
        let error = spawn(&with_interpreter(path)).unwrap_err();
        assert!(matches!(error, Error::Load { source: LoadError::Malformed(_), .. }), "{error}");
    }
}

#[test]
fn claimed_sizes_count_against_the_memory_limit() {
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    let mut kernel = Kernel::new(Config { limits, ..Config::default() });
    let error = kernel.spawn_image(b"/x", &patched(52 + 20, 0x7000_0000), &[b"x"], &[]).unwrap_err();
    assert!(matches!(error, Error::Load { source: LoadError::Memory, .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((0_usize..88, any::<u8>()), 1..8), cut in 0_usize..100) {
        let mut file = program(b"code");
        for (at, byte) in changes {
            file[at] = byte;
        }
        file.truncate(file.len().saturating_sub(cut.saturating_sub(90)));
        let _ = spawn(&file);
    }
}

/// Values that system calls stumble over, and pointers good and bad.
fn argument() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        Just(1),
        0_u32..16,
        Just(u32::MAX),
        Just(u32::MAX - 99),
        Just(0x8000_0000),
        Just(0x7fff_ffff),
        Just(4096),
        DATA..DATA + 0x1000,
        Just(DATA + 0xffc),
        Just(BASE),
        Just(0xffff_dffc),
        Just(0xffff_e000),
        any::<u32>(),
    ]
}

/// Numbers whose random calls end the process, which is not what the test is about.
const ENDS: [u32; 2] = [1, 252];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn wild_arguments_never_panic(arguments in prop::collection::vec(prop::array::uniform6(argument()), 464)) {
        let mut guest = Guest::new();
        for (number, arguments) in arguments.iter().enumerate() {
            let number = number as u32;
            if ENDS.contains(&number) {
                continue;
            }
            let mut task = guest.kernel.schedule();
            // A call may have killed, stopped or blocked everybody: then start afresh.
            if !matches!(task, Next::Run { .. }) {
                guest = Guest::new();
                task = guest.kernel.schedule();
            }
            let Next::Run { task, .. } = task else { panic!("a fresh machine does not run") };
            let words: Vec<u32> = arguments.iter().flat_map(|word| [*word, word.wrapping_mul(3)]).collect();
            if let Some(parts) = guest.kernel.parts(task) {
                for (index, word) in words.iter().enumerate() {
                    let _ = parts.memory.write(DATA + 4 * index as u32, *word);
                }
            }
            guest.start(task, number, arguments);
            guest.kernel.retire(task, 10_000);
        }
    }

    #[test]
    fn wild_registers_and_exceptions_never_panic(
        exception in prop::sample::select(Exception::ALL),
        address in argument(),
        stack in argument(),
        handler in argument(),
        flags in any::<u32>(),
    ) {
        let mut guest = Guest::new();
        let task = guest.running();
        guest.poke(task, DATA, &[handler, flags, handler, 0, 0]);
        for signal in [4, 5, 7, 8, 11] {
            let _ = guest.call(task, 174, &[signal, DATA, 0, 8]);
        }
        guest.kernel.parts(task).unwrap().cpu.set_gpr(Gpr::Esp, stack);
        let accesses = [Access::Read, Access::Write, Access::Execute];
        let kinds = [
            FaultKind::NotMapped,
            FaultKind::Protected,
            FaultKind::Hidden,
            FaultKind::OutOfMemory,
            FaultKind::BeyondEnd,
            FaultKind::Busy,
            FaultKind::Device,
        ];
        let (access, kind) = (accesses[flags as usize % accesses.len()], kinds[flags as usize % kinds.len()]);
        match exception {
            Exception::PageFault => guest.kernel.page_fault(task, Fault { address, access, kind }),
            _ => guest.kernel.exception(task, exception, flags & 31),
        }
        if let Next::Run { task, .. } = guest.kernel.schedule() {
            // Whatever is on the stack now, returning from it is safe too.
            guest.kernel.parts(task).unwrap().cpu.set_gpr(Gpr::Esp, address);
            guest.start(task, 173, &[]);
            let _ = guest.kernel.schedule();
        }
    }
}
