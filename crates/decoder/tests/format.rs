//! Intel-syntax text.

use pentimento_decoder::{FormatOptions, Formatter, HexStyle, Symbol, decode};

const EIP: u32 = 0x0804_8000;

fn check(cases: &[(&[u8], &str)], formatter: Formatter<'_>) {
    for (bytes, expected) in cases {
        let instruction = decode(bytes).expect("a valid encoding");
        assert_eq!(formatter.display(&instruction, EIP).to_string(), *expected, "{bytes:02x?}");
    }
}

#[test]
fn default_dialect() {
    check(
        &[
            (&[0x90], "nop"),
            (&[0x8b, 0x45, 0xfc], "mov eax,[ebp-4]"),
            (&[0x83, 0x00, 0x0a], "add dword ptr [eax],0Ah"),
            (&[0x65, 0xa1, 0x14, 0, 0, 0], "mov eax,gs:[14h]"),
            (&[0x8b, 0x04, 0x8d, 0, 0, 0, 0], "mov eax,[ecx*4]"),
            (&[0xf3, 0xa5], "rep movsd [edi],[esi]"),
            (&[0xf0, 0x0f, 0xc7, 0x08], "lock cmpxchg8b [eax]"),
            (&[0x74, 0xfe], "je short 08048000h"),
            (&[0xdc, 0xc1], "fadd st(1),st"),
            (&[0xde, 0xc1], "faddp"),
            (&[0x0f, 0xc2, 0xc1, 0x01], "cmpltps xmm0,xmm1"),
            (&[0x69, 0xc0, 0xff, 0xff, 0xff, 0xff], "imul eax,0FFFFFFFFh"),
        ],
        Formatter::default(),
    );
}

#[test]
fn every_option_the_other_way() {
    let mut options = FormatOptions::default();
    options.hex = HexStyle::Prefix;
    options.spaced = true;
    options.pseudo_operations = false;
    check(
        &[
            (&[0x83, 0x00, 0x0a], "add dword ptr [eax], 0xa"),
            (&[0xde, 0xc1], "faddp st(1), st"),
            (&[0x0f, 0xc2, 0xc1, 0x01], "cmpps xmm0, xmm1, 1"),
            (&[0xe8, 0, 0, 0, 0], "call 0x08048005"),
        ],
        Formatter::new(options),
    );
}

#[test]
fn symbols_name_targets_and_absolute_addresses() {
    let name = |address| match address {
        0x0804_8005 => Some(Symbol { name: "start", offset: 0 }),
        0x0900_0010 => Some(Symbol { name: "table", offset: 16 }),
        _ => None,
    };
    check(
        &[
            (&[0xe8, 0, 0, 0, 0], "call start"),
            (&[0xe8, 1, 0, 0, 0], "call 08048006h"),
            (&[0xa1, 0x10, 0, 0, 9], "mov eax,[table+10h]"),
            (&[0x8b, 0x80, 0x10, 0, 0, 9], "mov eax,[eax+9000010h]"),
        ],
        Formatter::default().with_symbols(&name),
    );
}
