//! Sources and what they become: bytes, labels, or a mistake with its place.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use pentimento_assembler::assemble;
use proptest::prelude::*;

fn bytes(source: &str) -> Vec<u8> {
    assemble(source).unwrap_or_else(|error| panic!("{source}: {error}")).bytes().to_vec()
}

fn mistake(source: &str) -> String {
    assemble(source).unwrap_err().to_string()
}

#[test]
#[rustfmt::skip]
fn instructions() {
    let cases: &[(&str, &[u8])] = &[
        ("nop",                                   &[0x90]),
        ("mov eax, 1",                            &[0xb8, 1, 0, 0, 0]),
        ("mov eax, -1",                           &[0xb8, 0xff, 0xff, 0xff, 0xff]),
        ("MOV EAX, EBX",                          &[0x89, 0xd8]),
        ("add eax, 5",                            &[0x83, 0xc0, 5]),
        ("add eax, 0ffffffffh",                   &[0x83, 0xc0, 0xff]),
        ("add bx, 0xffff",                        &[0x66, 0x83, 0xc3, 0xff]),
        ("add byte [eax], 5",                     &[0x80, 0, 5]),
        ("mov eax, [ebp-4]",                      &[0x8b, 0x45, 0xfc]),
        ("mov eax, [ebp]",                        &[0x8b, 0x45, 0]),
        ("mov eax, [4*ecx + ebx + 0x12345678]",   &[0x8b, 0x84, 0x8b, 0x78, 0x56, 0x34, 0x12]),
        ("mov eax, [ecx + esp]",                  &[0x8b, 0x04, 0x0c]),
        ("mov al, [bx + si]",                     &[0x67, 0x8a, 0x00]),
        ("mov al, [si + bx]",                     &[0x67, 0x8a, 0x00]),
        ("mov gs:[0], eax",                       &[0x65, 0xa3, 0, 0, 0, 0]),
        ("mov [gs:0], eax",                       &[0x65, 0xa3, 0, 0, 0, 0]),
        ("lock inc dword ptr [eax]",              &[0xf0, 0xff, 0]),
        ("rep movsd",                             &[0xf3, 0xa5]),
        ("repne scasb",                           &[0xf2, 0xae]),
        ("movsd xmm0, [eax]",                     &[0xf2, 0x0f, 0x10, 0]),
        ("push 5",                                &[0x6a, 5]),
        ("push dword 1000",                       &[0x68, 0xe8, 3, 0, 0]),
        ("push dword [eax]",                      &[0xff, 0x30]),
        ("jmp [eax]",                             &[0xff, 0x20]),
        ("pushad",                                &[0x60]),
        ("ret 4",                                 &[0xc2, 4, 0]),
        ("int 80h",                               &[0xcd, 0x80]),
        ("int3",                                  &[0xcc]),
        ("imul eax, 5",                           &[0x6b, 0xc0, 5]),
        ("shl eax, 1",                            &[0xd1, 0xe0]),
        ("sal eax, cl",                           &[0xd3, 0xe0]),
        ("faddp",                                 &[0xde, 0xc1]),
        ("fld st(1)",                             &[0xd9, 0xc1]),
        ("fld dword [eax]",                       &[0xd9, 0]),
        ("cmpltps xmm1, xmm2",                    &[0x0f, 0xc2, 0xca, 1]),
        ("enter 8, 0",                            &[0xc8, 8, 0, 0]),
        ("jmp far 0x23:0x1000",                   &[0xea, 0, 0x10, 0, 0, 0x23, 0]),
        ("mov eax, 'abcd'",                       &[0xb8, b'a', b'b', b'c', b'd']),
        ("setnz al",                              &[0x0f, 0x95, 0xc0]),
        ("mov eax, (1 << 4 | 2) * 3 - 10 % 4",    &[0xb8, 52, 0, 0, 0]),
    ];
    for (source, expected) in cases {
        assert_eq!(bytes(source), *expected, "{source}");
    }
}

#[test]
fn data_and_directives() {
    assert_eq!(
        bytes("db 1, 'ab', \"c\", -1\ndw 0x1234, 'a'\ndd 1\ndq 2"),
        [1, b'a', b'b', b'c', 0xff, 0x34, 0x12, b'a', 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(bytes("size equ 3\ntimes size db 7\nalign 4\nresb 2\ndb size"), [7, 7, 7, 0, 0, 0, 3]);
    assert_eq!(bytes("bits 32\nglobal _start\n_start: ret ; the end\n"), [0xc3]);
    let program = assemble("org 0x400000\nstart: nop\nend: dd end - start, $, $$").unwrap();
    assert_eq!(program.origin(), 0x40_0000);
    assert_eq!(program.bytes(), [0x90, 1, 0, 0, 0, 1, 0, 0x40, 0, 0, 0, 0x40, 0]);
    assert_eq!(program.labels().collect::<Vec<_>>(), [("start", 0x40_0000), ("end", 0x40_0001)]);
}

#[test]
fn sections_lie_behind_each_other() {
    let source = "section .text\nmov eax, [value]\nsection .data\nvalue: dd 7\nsection .text\nret";
    let program = assemble(source).unwrap();
    assert_eq!(program.label("value"), Some(16));
    assert_eq!(program.bytes()[..6], [0xa1, 16, 0, 0, 0, 0xc3]);
    assert_eq!(program.bytes()[16..], [7, 0, 0, 0]);
}

#[test]
fn branches_are_as_short_as_they_can_be() {
    let forward = |distance: usize| bytes(&format!("jmp there\nresb {distance}\nthere: ret"));
    assert_eq!(forward(127)[..2], [0xeb, 127]);
    assert_eq!(forward(128)[..5], [0xe9, 128, 0, 0, 0]);
    let backward = |distance: usize| bytes(&format!("there: resb {distance}\njz there"));
    assert_eq!(backward(126)[126..], [0x74, 0x80]);
    assert_eq!(backward(127)[127..], [0x0f, 0x84, 0x7b, 0xff, 0xff, 0xff]);
    assert_eq!(bytes("jmp near there\nthere:"), [0xe9, 0, 0, 0, 0]);
    assert!(mistake("jmp short there\nresb 200\nthere:").starts_with("line 1, column 1: 'jmp' cannot"));
    // One branch that grows makes another one grow.
    let chain = bytes("jmp b\na: resb 120\njmp c\nb: resb 125\nc: ret");
    assert_eq!((chain[0], chain[1]), (0xeb, 122));
}

#[test]
#[rustfmt::skip]
fn mistakes_have_a_place() {
    for (source, expected) in [
        ("nop\n  frobnicate eax",    "line 2, column 3: no instruction or directive 'frobnicate'"),
        ("mov eax",                  "line 1, column 1: 'mov' does not take such operands"),
        ("inc [eax]",                "line 1, column 1: how many bytes? say byte, word, dword... before the memory operand"),
        ("mov eax, [eax",            "line 1, column 14: '+', '-' or ']' expected"),
        ("mov eax, there",           "line 1, column 10: no label or constant 'there'"),
        ("a: nop\na: nop",           "line 2, column 1: 'a' is a label on line 1, too"),
        ("db 256",                   "line 1, column 4: 256 does not fit in 8 bits"),
        ("mov eax, 1 / 0",           "line 1, column 12: division by zero"),
        ("db \"open",                "line 1, column 4: a text without its closing quote"),
        ("mov eax, 12x",             "line 1, column 10: '12x' is no number"),
        ("mov eax, [esp*2]",         "line 1, column 16: esp cannot be an index"),
        ("nop\norg 5",               "line 2, column 5: org belongs before the first byte"),
        ("mov eax, €",               "line 1, column 10: '€' has no meaning here"),
        ("a: resb b - a + 1\nb:",    "line 1, column 1: the addresses of labels depend on themselves"),
        ("resb 99999999999",         "line 1, column 6: no number of bytes that there is room for"),
    ] {
        assert_eq!(mistake(source), expected, "{source}");
    }
}

proptest! {
    /// Whatever the text, there are bytes or a mistake that lies within it.
    #[test]
    fn no_text_panics(source in "([a-z0-9\\[\\]+*,:.;'\" $-]{0,12}(mov|eax|db|equ|times|[(]|0x|section|jmp|a:)?){0,8}\n?.{0,20}") {
        if let Err(error) = assemble(&source) {
            prop_assert!(error.line >= 1 && error.line <= source.lines().count().max(1));
        }
    }
}
