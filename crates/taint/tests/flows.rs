//! Known flows give exactly the labels that they should.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use pentimento::assembler::assemble;
use pentimento::{Capture, Cpu, CpuModel, EngineKind, Gpr, Halt, Machine, Permissions, host::Bytes};
use pentimento_taint::{Finding, Label, Options, Origin, Sink, Taint};

const CODE: u32 = 0x1000;
const DATA: u32 = 0x8000;

/// Runs code with sixteen labelled bytes at [`DATA`]; gives the labels of EAX and of the 16 bytes at
/// `DATA + 100h`, each as the numbers of the bytes that they come from, and the findings.
fn run(source: &str, options: &Options) -> (Vec<Vec<u32>>, Vec<Vec<u32>>, Vec<Finding>) {
    let mut outcome = None;
    for engine in EngineKind::ALL {
        let mut cpu = Cpu::with(CpuModel::default(), *engine);
        cpu.memory.map(CODE, 0x1000, Permissions::all()).unwrap();
        cpu.memory.map(DATA, 0x2000, Permissions::READ | Permissions::WRITE).unwrap();
        let program = assemble(&format!("org {CODE}\n mov ebx, {DATA}\n {source}\n int 3")).unwrap();
        cpu.memory.poke_bytes(CODE, program.bytes()).unwrap();
        cpu.memory.poke_bytes(DATA, b"abcdefghijklmnop").unwrap();
        cpu.state.eip = CODE;
        cpu.state.set_gpr(Gpr::Esp, DATA + 0x2000);
        let taint = Taint::start(&mut cpu.hooks, options.clone());
        let first = taint.label_memory(&cpu.memory, DATA, 16);
        let halt = cpu.run(10_000);
        assert!(matches!(halt, Halt::Exception { .. }), "{halt}");
        let number = |label: &Label| match taint.origin(*label) {
            Some(Origin::Memory { address }) => address - DATA,
            origin => panic!("{origin:?}"),
        };
        assert_eq!(number(&first), 0);
        let numbers = |bytes: &[Vec<Label>]| -> Vec<Vec<u32>> {
            bytes.iter().map(|labels| labels.iter().map(number).collect()).collect()
        };
        let eax = numbers(&taint.register(None, Gpr::Eax));
        let memory = numbers(&taint.memory(&cpu.memory, DATA + 0x100, 16));
        let found = (eax, memory, taint.report());
        assert_eq!(*outcome.get_or_insert_with(|| found.clone()), found, "{engine}");
    }
    outcome.unwrap()
}

/// The labels of EAX's bytes.
fn eax(source: &str) -> Vec<Vec<u32>> {
    run(source, &Options::default()).0
}

/// A list for each byte.
macro_rules! bytes {
    ($([$($label:expr),*])*) => { vec![$(Vec::<u32>::from([$($label),*])),*] };
}

#[test]
fn integer_flows_are_exact() {
    let cases: &[(&str, Vec<Vec<u32>>)] = &[
        // Copies, through registers, the stack and memory.
        ("mov eax, [ebx+2]", bytes!([2][3][4][5])),
        ("mov ecx, [ebx]\n push ecx\n pop eax", bytes!([0][1][2][3])),
        ("push dword [ebx+4]\n mov eax, [esp]", bytes!([4][5][6][7])),
        ("mov ecx, [ebx]\n mov [ebx+0x200], ecx\n mov eax, [ebx+0x201]", bytes!([1][2][3][])),
        // Sub-registers.
        ("mov eax, [ebx]\n mov ah, [ebx+9]", bytes!([0][9][2][3])),
        ("mov eax, [ebx]\n mov ax, 5", bytes!([][][2][3])),
        ("movzx eax, byte [ebx+1]", bytes!([1][][][])),
        ("movsx eax, word [ebx]", bytes!([0][1][1][1])),
        ("mov eax, [ebx]\n xchg al, ah", bytes!([1][0][2][3])),
        ("mov eax, [ebx]\n bswap eax", bytes!([3][2][1][0])),
        // Arithmetic: carries go up.
        ("mov eax, 1\n add al, [ebx]", bytes!([0][][][])),
        (
            "mov eax, [ebx]\n add eax, [ebx+8]",
            bytes!([0, 8][0, 1, 8, 9][0, 1, 2, 8, 9, 10][0, 1, 2, 3, 8, 9, 10, 11]),
        ),
        ("movzx eax, byte [ebx]\n lea eax, [eax*4+1]", bytes!([0][0][0][0])),
        ("movzx eax, byte [ebx]\n imul eax, eax, 7", bytes!([0][0][0][0])),
        // Bits stay where they are; what clears, clears.
        ("mov eax, [ebx]\n or eax, [ebx+4]", bytes!([0, 4][1, 5][2, 6][3, 7])),
        ("mov eax, [ebx]\n and eax, 0xff00", bytes!([][1][][])),
        ("mov eax, [ebx]\n or eax, 0xff0000ff", bytes!([][1][2][])),
        ("mov eax, [ebx]\n xor eax, eax", bytes!([][][][])),
        ("mov eax, [ebx]\n sub eax, eax", bytes!([][][][])),
        // Flags.
        ("xor eax, eax\n cmp byte [ebx+3], 'z'\n setb al", bytes!([3][][][])),
        ("mov ecx, [ebx]\n xor eax, eax\n add ecx, 1\n adc al, 0", bytes!([0, 1, 2, 3][][][])),
        // Tables: what is found there, not where.
        ("movzx ecx, byte [ebx]\n mov eax, [ebx+ecx+0x300]", bytes!([][][][])),
        // Calls and frames.
        (
            "mov eax, [ebx]\n push ebp\n mov ebp, esp\n call f\n leave\n jmp end\n f: inc al\n ret\n end:",
            bytes!([0][1][2][3]),
        ),
        ("mov eax, [ebx]\n pushad\n xor eax, eax\n popad", bytes!([0][1][2][3])),
        ("mov eax, [ebx]\n pusha\n xor eax, eax\n popa", bytes!([0][1][][])),
    ];
    for (source, expected) in cases {
        assert_eq!(eax(source), *expected, "{source}");
    }
}

#[test]
fn addresses_count_where_they_are_asked_for() {
    let options = Options { addresses: true, ..Options::default() };
    let table = "movzx ecx, byte [ebx+6]\n movzx eax, byte [ebx+ecx+0x300]";
    assert_eq!(run(table, &options).0, bytes!([6][6][6][6]));
}

#[test]
fn strings_carry_each_byte() {
    let copy = "mov esi, ebx\n lea edi, [ebx+0x100]\n mov ecx, 3\n rep movsd\n lodsb\n stosb";
    let expected = bytes!([0][1][2][3][4][5][6][7][8][9][10][11][12][][][]);
    assert_eq!(run(copy, &Options::default()).1, expected);
    let backwards = "std\n lea esi, [ebx+3]\n lea edi, [ebx+0x103]\n mov ecx, 4\n rep movsb\n cld";
    assert_eq!(run(backwards, &Options::default()).1[..5], bytes!([0][1][2][3][]));
    // The comparison ends at the third byte, so the flags are those of that one.
    let compare = "mov esi, ebx\n lea edi, [ebx+0x300]\n mov word [edi], 0x6261\n mov ecx, 9\n xor eax, eax\n repe cmpsb\n setb al";
    assert_eq!(eax(compare), bytes!([2][][][]));
}

#[test]
fn floats_and_vectors_carry_labels() {
    let converts = "fild dword [ebx+4]\n fstp dword [ebx+0x100]\n mov eax, [ebx+0x100]";
    let all = vec![vec![4, 5, 6, 7]; 4];
    assert_eq!(eax(converts), all);
    assert_eq!(
        eax(
            "fld dword [ebx]\n fld dword [ebx+4]\n fxch st(1)\n fstp st(0)\n fistp dword [ebx+0x100]\n mov eax, [ebx+0x100]"
        ),
        all
    );
    assert_eq!(eax("cvtsi2sd xmm1, [ebx+4]\n cvttsd2si eax, xmm1"), all);
    let vectors = "movups xmm0, [ebx]\n pxor xmm1, xmm1\n por xmm0, xmm1\n movups [ebx+0x100], xmm0";
    let each: Vec<Vec<u32>> = (0..16).map(|label| vec![label]).collect();
    assert_eq!(run(vectors, &Options::default()).1, each);
    assert_eq!(eax("movups xmm0, [ebx]\n pxor xmm0, xmm0\n movd eax, xmm0"), bytes!([][][][]));
}

#[test]
fn branches_and_targets_are_found() {
    let (_, _, findings) = run(
        "mov al, [ebx+5]\n cmp al, 'f'\n jne 0\n mov ecx, [ebx+0x100]\n jecxz on\n on: push on2\n mov cl, [ebx+8]\n ret\n on2:",
        &Options::default(),
    );
    let sinks: Vec<(Sink, usize, u64)> =
        findings.iter().map(|finding| (finding.sink, finding.labels.len(), finding.times)).collect();
    assert_eq!(sinks, [(Sink::Branch, 1, 1)]);
    let (_, _, findings) = run(
        "mov ecx, [ebx]\n and ecx, 0\n xor ecx, [ebx]\n xor ecx, 0x64636261\n add ecx, on\n jmp ecx\n on:",
        &Options::default(),
    );
    assert_eq!(findings.iter().map(|finding| finding.sink).collect::<Vec<_>>(), [Sink::Target]);
}

/// A password is followed from read(2) to the branch that decides.
#[test]
fn a_password_is_traced_to_the_deciding_branch() {
    let source = format!(
        "org {CODE}\n mov eax, 3\n xor ebx, ebx\n mov ecx, line\n mov edx, 64\n int 0x80\n mov esi, line\n mov edi, secret\n \
         again: mov al, [esi]\n cmp al, [edi]\n decides: jne wrong\n inc esi\n inc edi\n cmp byte [edi], 0\n jne again\n \
         mov eax, 1\n xor ebx, ebx\n int 0x80\n wrong: mov eax, 1\n movzx ebx, byte [esi]\n int 0x80\n \
         secret: db 'open', 0\n line: resb 64"
    );
    for engine in EngineKind::ALL {
        let program = assemble(&source).unwrap();
        let builder = Machine::builder().engine(*engine).stdin(Bytes::from("opal\n")).stdout(Capture::new());
        let mut machine = builder.build().unwrap();
        machine.load_code(CODE, program.bytes(), 0x1000).unwrap();
        let taint = Taint::start(&mut machine.hooks, Options::default());
        assert_eq!(machine.run(10_000), Halt::Exited(b'a'), "{engine}");
        let report = taint.report();
        let origins = |finding: &Finding| -> Vec<u64> {
            let index = |label: &Label| match taint.origin(*label) {
                Some(Origin::Read { descriptor: 0, index }) => index,
                origin => panic!("{origin:?}"),
            };
            finding.labels.iter().map(index).collect()
        };
        let branch = report.iter().find(|finding| finding.sink == Sink::Branch).unwrap();
        assert_eq!(branch.eip, program.label("decides").unwrap(), "{engine}");
        // The first two letters are right, the third one is not, and nobody has looked at the others.
        assert_eq!((origins(branch), branch.times), (vec![0, 1, 2], 3), "{engine}");
        let exit = report.iter().find(|finding| matches!(finding.sink, Sink::Argument { call: 1, index: 0 }));
        assert_eq!(origins(exit.unwrap()), [2], "{engine}");
        assert_eq!(report.len(), 2, "{engine}: {report:?}");
    }
}
