//! The registers of a traced thread as `struct user_regs_struct` has them (the kernel's `user_32.h`).

use pentimento_registers::{CpuState, DescriptorTables, Eflags, Gpr, Segment, SegmentRegister};

use crate::config::PROCESSOR;
use crate::errno::Errno;

/// How many words there are: ebx, ecx, edx, esi, edi, ebp, eax, ds, es, fs, gs, orig_eax, eip, cs, eflags,
/// esp, ss.
pub(crate) const REGISTERS: usize = 17;

const GENERAL: [(usize, Gpr); 8] = [
    (0, Gpr::Ebx),
    (1, Gpr::Ecx),
    (2, Gpr::Edx),
    (3, Gpr::Esi),
    (4, Gpr::Edi),
    (5, Gpr::Ebp),
    (6, Gpr::Eax),
    (15, Gpr::Esp),
];

const SEGMENTS: [(usize, SegmentRegister); 6] = [
    (7, SegmentRegister::Ds),
    (8, SegmentRegister::Es),
    (9, SegmentRegister::Fs),
    (10, SegmentRegister::Gs),
    (13, SegmentRegister::Cs),
    (16, SegmentRegister::Ss),
];

const ORIGINAL: usize = 11;
const EIP: usize = 12;
const EFLAGS: usize = 14;

/// All of them; `original` is orig_eax.
pub(crate) fn registers(cpu: &CpuState, original: u32) -> [u32; REGISTERS] {
    let mut words = [0; REGISTERS];
    for (index, register) in GENERAL {
        words[index] = cpu.gpr(register);
    }
    for (index, register) in SEGMENTS {
        words[index] = cpu.segment(register).selector.into();
    }
    (words[ORIGINAL], words[EIP], words[EFLAGS]) = (original, cpu.eip, cpu.eflags.bits());
    words
}

/// Sets one of them.
///
/// # Errors
/// EIO for a selector that a program could not load.
pub(crate) fn set_register(
    cpu: &mut CpuState,
    original: &mut u32,
    descriptors: DescriptorTables<'_>,
    index: usize,
    value: u32,
) -> Result<(), Errno> {
    match index {
        ORIGINAL => *original = value,
        EIP => cpu.eip = value,
        EFLAGS => {
            let writable = Eflags::USER_WRITABLE.difference(Eflags::ID).union(Eflags::RF);
            let flags = Eflags::from_bits_truncate(value).intersection(writable);
            cpu.eflags = cpu.eflags.difference(writable).union(flags);
        }
        _ => {
            if let Some((_, register)) = GENERAL.iter().find(|(at, _)| *at == index) {
                cpu.set_gpr(*register, value);
            } else if let Some((_, register)) = SEGMENTS.iter().find(|(at, _)| *at == index) {
                set_segment(cpu, descriptors, *register, value as u16)?;
            }
        }
    }
    Ok(())
}

fn set_segment(
    cpu: &mut CpuState,
    descriptors: DescriptorTables<'_>,
    register: SegmentRegister,
    selector: u16,
) -> Result<(), Errno> {
    use SegmentRegister::{Cs, Ss};
    // What is there already may be what the tables do not have any more.
    if cpu.segment(register).selector == selector {
        return Ok(());
    }
    let is_null = selector & !3 == 0;
    if selector & 3 != 3 && !is_null || is_null && matches!(register, Cs | Ss) {
        return Err(Errno::EIO);
    }
    let found =
        descriptors.get(selector, PROCESSOR).filter(|found| register != Cs || found.code && found.big);
    *cpu.segment_mut(register) = match found {
        Some(descriptor) if !is_null => Segment::new(selector, Some(descriptor)),
        _ if matches!(register, Cs | Ss) => return Err(Errno::EIO),
        _ => Segment::new(selector, None),
    };
    Ok(())
}

/// Sets all of them, or as many as `words` has, from the first on.
///
/// # Errors
/// As [`set_register`], with those before it set.
pub(crate) fn set_registers(
    cpu: &mut CpuState,
    original: &mut u32,
    descriptors: DescriptorTables<'_>,
    words: &[u32],
) -> Result<(), Errno> {
    for (index, word) in words.iter().enumerate().take(REGISTERS) {
        set_register(cpu, original, descriptors, index, *word)?;
    }
    Ok(())
}
