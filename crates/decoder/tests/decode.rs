//! What single encodings decode to.

use pentimento_decoder::{
    DecodeErrorKind, Instruction, MemoryOperand, Operand, Operation, Prefixes, Register, decode, rows,
};
use pentimento_registers::{Gpr, Gpr8, SegmentRegister};

fn instruction(bytes: &[u8]) -> Instruction {
    let instruction = decode(bytes).expect("a valid encoding");
    assert_eq!(usize::from(instruction.length()), bytes.len(), "length of {bytes:02x?}");
    instruction
}

fn gpr32(register: Gpr) -> Operand {
    Operand::Register(Register::Gpr32(register))
}

fn memory(base: Option<Gpr>, displacement: u32, size: u16) -> MemoryOperand {
    MemoryOperand {
        segment: SegmentRegister::Ds,
        base,
        index: None,
        scale: 1,
        displacement,
        address_size: pentimento_decoder::AddressSize::Dword,
        size,
    }
}

#[test]
fn operations_and_operands() {
    let immediate = |value, size| Operand::Immediate { value, size };
    let stack = MemoryOperand { segment: SegmentRegister::Ss, ..memory(Some(Gpr::Esp), 8, 4) };
    let string = |segment, base| Operand::Memory(MemoryOperand { segment, ..memory(Some(base), 0, 4) });
    let cases: &[(&[u8], Operation, &[Operand])] = &[
        (&[0x90], Operation::Nop, &[]),
        (&[0xf3, 0x90], Operation::Pause, &[]),
        (&[0x66, 0x98], Operation::Cbw, &[]),
        (&[0x91], Operation::Xchg, &[gpr32(Gpr::Ecx), gpr32(Gpr::Eax)]),
        (&[0x8b, 0x44, 0x24, 0x08], Operation::Mov, &[gpr32(Gpr::Eax), Operand::Memory(stack)]),
        (&[0x83, 0xc0, 0xff], Operation::Add, &[gpr32(Gpr::Eax), immediate(u32::MAX, 4)]),
        (&[0xb4, 0xff], Operation::Mov, &[Operand::Register(Register::Gpr8(Gpr8::Ah)), immediate(255, 1)]),
        (&[0x74, 0xfe], Operation::Jcc, &[Operand::Relative(-2)]),
        (
            &[0x65, 0xa1, 0x14, 0, 0, 0],
            Operation::Mov,
            &[
                gpr32(Gpr::Eax),
                Operand::Memory(MemoryOperand { segment: SegmentRegister::Gs, ..memory(None, 0x14, 4) }),
            ],
        ),
        (
            &[0xf3, 0x64, 0xa5],
            Operation::Movs,
            &[string(SegmentRegister::Es, Gpr::Edi), string(SegmentRegister::Fs, Gpr::Esi)],
        ),
        (
            &[0x9a, 1, 2, 3, 4, 5, 6],
            Operation::CallFar,
            &[Operand::Far { selector: 0x605, offset: 0x0403_0201 }],
        ),
        (&[0xd1, 0xf0], Operation::Shl, &[gpr32(Gpr::Eax), immediate(1, 1)]),
    ];
    for (bytes, operation, operands) in cases {
        let instruction = instruction(bytes);
        assert_eq!(instruction.operation(), *operation, "{bytes:02x?}");
        assert_eq!(instruction.operands().collect::<Vec<_>>(), *operands, "{bytes:02x?}");
    }
}

#[test]
fn errors() {
    use DecodeErrorKind as K;
    let cases: &[(&[u8], K)] = &[
        (&[], K::Truncated),
        (&[0x66], K::Truncated),
        (&[0x8b], K::Truncated),
        (&[0x8b, 0x80, 0, 0, 0], K::Truncated),
        (&[0x66; 15], K::TooLong),
        (&[0x66; 64], K::TooLong),
        (&[0xf0, 0x01, 0xc0], K::LockNotAllowed),
        (&[0xf0, 0x8b, 0x00], K::LockNotAllowed),
        (&[0xf0, 0x90], K::LockNotAllowed),
        (&[0xc4, 0xe2, 0x78, 0xf2, 0xc0], K::Vex),
        (&[0xc5, 0xf8, 0x77], K::Vex),
        (&[0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0], K::Evex),
        (&[0x8f, 0xe8, 0x78, 0xa2, 0xc0], K::Xop),
        (&[0x8f, 0xc8], K::Xop),
        (&[0x8d, 0xc0], K::Undefined),
        (&[0x8e, 0xc8], K::Undefined),
        (&[0x0f, 0x04], K::Undefined),
        (&[0x0f, 0x0f, 0xc0, 0x9e], K::Undefined),
        (&[0xfe, 0xd0], K::Undefined),
    ];
    for (bytes, kind) in cases {
        assert_eq!(decode(bytes).map_err(|error| error.kind), Err(*kind), "{bytes:02x?}");
    }
}

#[test]
fn fifteen_bytes_are_the_limit() {
    let mut bytes = [0x2e; 16];
    bytes[14] = 0x90;
    assert_eq!(decode(&bytes).map(|instruction| instruction.length()), Ok(15));
    bytes[14] = 0x2e;
    bytes[15] = 0x90;
    assert_eq!(decode(&bytes).map_err(|error| error.kind), Err(DecodeErrorKind::TooLong));
}

#[test]
fn the_last_prefix_of_a_group_wins() {
    let instruction = decode(&[0xf3, 0x64, 0xf2, 0x65, 0xa6]).expect("REPNE CMPSB");
    assert_eq!(instruction.prefixes(), Prefixes::REPNE | Prefixes::SEGMENT);
    assert_eq!(instruction.segment(), SegmentRegister::Gs);
}

#[test]
fn instructions_are_small() {
    assert!(size_of::<Instruction>() <= 24);
}

#[test]
fn rows_cover_no_more_than_their_opcodes() {
    for row in rows() {
        assert!(usize::from(row.opcode()) + usize::from(row.opcode_count()) <= 256, "{row:?}");
        assert!(row.operands().len() <= 4, "{row:?}");
    }
}
