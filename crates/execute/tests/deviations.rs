//! What docs/deviations.md lists as different from silicon, pinned: whoever changes one of these
//! changes the list too.

mod machine;

use machine::{CODE, DATA, Ended, Machine, event};
use pentimento_execute::{CpuModel, Exit, Gates};
use pentimento_registers::{
    CpuState, Descriptor, Eflags, Exception, Gpr, Segment, SegmentRegister, TlsDescriptors,
};

const INVALID_OPCODE: fn() -> Result<(), Ended> = || event(Exception::InvalidOpcode, 0, 0, CODE);

#[test]
fn sysenter_and_syscall_leave_the_cpu_unless_their_gates_are_shut() {
    for (code, exit) in [([0x0f, 0x34], Exit::Sysenter), ([0x0f, 0x05], Exit::Syscall)] {
        let mut machine = Machine::new(&code);
        assert_eq!(machine.step(), Err(Ended::Left(exit)));
        assert_eq!(machine.state.eip, CODE + 2);
        let mut machine = Machine::new(&code);
        machine.environment.gates = Gates::Linux;
        assert_eq!(machine.step(), INVALID_OPCODE());
    }
}

#[test]
fn other_gates_of_linux_are_shut() {
    // A prefix, so that the instruction's start is not two bytes before its end.
    let mut machine = Machine::new(&[0x2e, 0xcd, 0x81]);
    machine.environment.gates = Gates::Linux;
    assert_eq!(machine.step(), event(Exception::GeneralProtection, 0x81 << 3 | 2, 0, CODE));
    assert_eq!(Machine::new(&[0xcd, 0x81]).step(), Err(Ended::Left(Exit::Interrupt(0x81))));
}

#[test]
fn code_segments_of_other_widths_cannot_be_entered() {
    let sixteen_bit = Descriptor { big: false, ..Descriptor::FLAT_CODE };
    let local = 7;
    for (selector, descriptor) in [(0x33, None), (local, Some(sixteen_bit))] {
        let [low, high] = u16::to_le_bytes(selector);
        let mut machine = Machine::new(&[0xea, 0x00, 0x10, 0x00, 0x00, low, high]);
        machine.local.set(0, descriptor);
        let error_code = u32::from(selector) & !3;
        assert_eq!(machine.step(), event(Exception::GeneralProtection, error_code, 0, CODE), "{selector:#x}");
    }
}

#[test]
fn lar_reports_no_available_bit() {
    const AVL: u32 = 1 << 20;
    // lar eax, ebx on each kind of descriptor that user code can name.
    let tls = TlsDescriptors::selector(TlsDescriptors::FIRST);
    for selector in [CpuState::USER_CS, CpuState::USER_DS, tls] {
        let mut machine = Machine::new(&[0x0f, 0x02, 0xc3]).with(Gpr::Ebx, selector.into());
        machine.tls.set(TlsDescriptors::FIRST, Some(Descriptor::FLAT_DATA));
        assert_eq!(machine.step(), Ok(()));
        assert!(machine.state.eflags.contains(Eflags::ZF), "{selector:#x}");
        assert_eq!(machine.state.gpr(Gpr::Eax) & AVL, 0, "{selector:#x}");
    }
}

#[test]
fn faults_leave_the_resume_flag_alone() {
    let mut machine = Machine::new(&[0x0f, 0x0b]);
    assert_eq!(machine.step(), INVALID_OPCODE());
    assert!(!machine.state.eflags.contains(Eflags::RF));
}

#[test]
fn extended_state_and_protection_keys_do_not_exist() {
    const OSXSAVE_AND_XSAVE: u32 = 3 << 26;
    const PROTECTION_KEYS: u32 = 3 << 3;
    let codes: &[&[u8]] = &[
        &[0x0f, 0x01, 0xd0], // xgetbv
        &[0x0f, 0xae, 0x20], // xsave [eax]
        &[0x0f, 0x01, 0xee], // rdpkru
        &[0x0f, 0x01, 0xef], // wrpkru
        &[0x0f, 0x01, 0xfd], // rdpru
        &[0x0f, 0x01, 0xfa], // monitorx
        &[0x0f, 0x01, 0xfb], // mwaitx
    ];
    for code in codes {
        assert_eq!(Machine::new(code).with(Gpr::Eax, DATA).step(), INVALID_OPCODE(), "{code:02x?}");
    }
    for model in CpuModel::ALL {
        assert_eq!(model.cpuid(1, 0)[2] & OSXSAVE_AND_XSAVE, 0, "{model:?}");
        assert_eq!(model.cpuid(7, 0)[2] & PROTECTION_KEYS, 0, "{model:?}");
    }
}

#[test]
fn mxcsr_has_no_misaligned_mode() {
    const MISALIGNED: u32 = 1 << 17;
    // fxsave [eax]; fxrstor [eax]
    let mut machine = Machine::new(&[0x0f, 0xae, 0x00, 0x0f, 0xae, 0x08]).with(Gpr::Eax, DATA);
    assert_eq!(machine.step(), Ok(()));
    assert_eq!(machine.dword(DATA + 28), 0xffff, "MXCSR_MASK");
    let image = machine.dword(DATA + 24);
    machine.memory.write(DATA + 24, image | MISALIGNED).expect("a mapped dword");
    assert_eq!(machine.step(), event(Exception::GeneralProtection, 0, 0, CODE + 3));
}

#[test]
fn masked_stores_wrap_within_a_16_bit_segment_offset() {
    const BASE: u32 = DATA - 0xfffe;
    // maskmovq mm0, mm1 with a 16-bit address: DI = FFFEh, so bytes 2 to 7 are at offsets 0 to 5.
    let mut machine = Machine::new(&[0x67, 0x0f, 0xf7, 0xc1]).with(Gpr::Edi, 0xfffe);
    let segment = machine.state.segment_mut(SegmentRegister::Ds);
    *segment = Segment::new(segment.selector, Some(Descriptor { base: BASE, ..Descriptor::FLAT_DATA }));
    machine.state.x87.set_mmx(0, 0x8877_6655_4433_2211);
    machine.state.x87.set_mmx(1, u64::MAX);
    // Offset 0 is below the mapped pages: the fault is there, not 64 KiB higher.
    assert_eq!(machine.step(), event(Exception::PageFault, 6, BASE, CODE));
}

#[test]
fn mmx_leaves_the_last_x87_instruction_alone() {
    let mut machine = Machine::new(&[0x0f, 0xfc, 0xc1]); // paddb mm0, mm1
    machine.state.x87.last_instruction = 0x1234;
    machine.state.x87.last_opcode = 0x123;
    assert_eq!(machine.step(), Ok(()));
    assert_eq!((machine.state.x87.last_instruction, machine.state.x87.last_opcode), (0x1234, 0x123));
}

#[test]
fn lock_verw_executes_though_the_decoder_knows_no_such_instruction() {
    // lock verw [eax]
    const CODE_BYTES: [u8; 4] = [0xf0, 0x0f, 0x00, 0x28];
    assert!(pentimento_decoder::decode(&CODE_BYTES).is_err());
    assert_eq!(Machine::new(&CODE_BYTES).with(Gpr::Eax, DATA).step(), Ok(()));
}
