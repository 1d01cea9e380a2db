//! Loads of segment registers with the checks of SDM volume 3, sections 5.4 to 5.6, for code at
//! privilege level 3; every descriptor that it can name has DPL 3.

use pentimento_decoder::{Instruction, Operand};
use pentimento_registers::{Descriptor, DescriptorTables, Exception, Segment, SegmentRegister};

use crate::place::{at_width, operand_bytes};
use crate::{Context, Outcome, Trap, Width};

/// The privilege level of user code, as a selector's requested privilege level.
const USER_LEVEL: u16 = 3;

/// A fault whose error code is a selector without its requested privilege level.
pub(crate) const fn selector_fault(exception: Exception, selector: u16) -> Trap {
    Trap::fault(exception, (selector & !USER_LEVEL) as u32)
}

/// Whether a selector names no descriptor by being one of the four null ones.
const fn is_null(selector: u16) -> bool {
    selector & !USER_LEVEL == 0
}

/// Loads any segment register but CS.
///
/// # Errors
/// #GP, #NP or, for SS, #SS; with the selector as error code.
pub(crate) fn load_segment(context: &mut Context<'_>, register: SegmentRegister, selector: u16) -> Outcome {
    let segment = match register {
        SegmentRegister::Cs => return Err(Trap::INVALID_OPCODE),
        SegmentRegister::Ss => stack_segment(context, selector)?,
        _ => data_segment(context, selector)?,
    };
    *context.state.segment_mut(register) = segment;
    Ok(())
}

/// What SS would hold after loading `selector`: writable data at this privilege level.
fn stack_segment(context: &Context<'_>, selector: u16) -> Outcome<Segment> {
    if is_null(selector) {
        return Err(Trap::GENERAL_PROTECTION);
    }
    let violation = selector_fault(Exception::GeneralProtection, selector);
    let descriptor = context.descriptor(selector).ok_or(violation)?;
    if selector & USER_LEVEL != USER_LEVEL || descriptor.code || !descriptor.accessible {
        return Err(violation);
    }
    if !descriptor.present {
        return Err(selector_fault(Exception::StackFault, selector));
    }
    Ok(Segment::new(selector, Some(descriptor)))
}

/// What DS, ES, FS or GS would hold after loading `selector`: anything readable, or null.
fn data_segment(context: &Context<'_>, selector: u16) -> Outcome<Segment> {
    if is_null(selector) {
        return Ok(Segment::new(selector, None));
    }
    let violation = selector_fault(Exception::GeneralProtection, selector);
    let descriptor = context.descriptor(selector).ok_or(violation)?;
    if descriptor.code && !descriptor.accessible {
        return Err(violation);
    }
    if !descriptor.present {
        return Err(selector_fault(Exception::SegmentNotPresent, selector));
    }
    Ok(Segment::new(selector, Some(descriptor)))
}

/// What CS would hold after a far transfer to `selector` at the same privilege level.
///
/// # Errors
/// #GP or #NP, with the selector as error code.
pub(crate) fn code_segment(context: &Context<'_>, selector: u16) -> Outcome<Segment> {
    if is_null(selector) {
        return Err(Trap::GENERAL_PROTECTION);
    }
    let violation = selector_fault(Exception::GeneralProtection, selector);
    let descriptor = context.descriptor(selector).ok_or(violation)?;
    // Segments of 16- and 64-bit code would need another decoder.
    if !descriptor.code || !descriptor.big {
        return Err(violation);
    }
    if !descriptor.present {
        return Err(selector_fault(Exception::SegmentNotPresent, selector));
    }
    Ok(Segment::new(selector | USER_LEVEL, Some(descriptor)))
}

/// [`code_segment`] for RETF and IRET, which must not gain privilege.
///
/// # Errors
/// #GP or #NP, with the selector as error code.
pub(crate) fn return_segment(context: &Context<'_>, selector: u16) -> Outcome<Segment> {
    if !is_null(selector) && selector & USER_LEVEL != USER_LEVEL {
        return Err(selector_fault(Exception::GeneralProtection, selector));
    }
    code_segment(context, selector)
}

/// A far pointer in memory: the offset at this width, then the selector.
///
/// # Errors
/// #GP, #SS, #PF or #AC.
pub(crate) fn load_far_pointer<W: Width>(
    context: &Context<'_>,
    instruction: &Instruction,
    index: usize,
) -> Outcome<(u16, W)> {
    let Some(Operand::Memory(operand)) = instruction.operand(index) else {
        return Err(Trap::INVALID_OPCODE);
    };
    let start = context.effective_address(&operand);
    let offset = context.load(operand.segment, start)?;
    let behind = context.address_offset(start.wrapping_add(W::BYTES), operand.address_size);
    Ok((context.load(operand.segment, behind)?, offset))
}

/// LDS, LES, LFS, LGS and LSS.
fn load_pointer(context: &mut Context<'_>, instruction: &Instruction, register: SegmentRegister) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        let (selector, offset) = load_far_pointer::<W>(context, instruction, 1)?;
        load_segment(context, register, selector)?;
        context.write(instruction, 0, offset)
    })
}

pub(crate) fn lds(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    load_pointer(context, instruction, SegmentRegister::Ds)
}

pub(crate) fn les(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    load_pointer(context, instruction, SegmentRegister::Es)
}

pub(crate) fn lfs(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    load_pointer(context, instruction, SegmentRegister::Fs)
}

pub(crate) fn lgs(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    load_pointer(context, instruction, SegmentRegister::Gs)
}

pub(crate) fn lss(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    load_pointer(context, instruction, SegmentRegister::Ss)
}

/// The access rights of a descriptor as LAR reports them: bits 23:8 of its second doubleword.
/// AVL, which set_thread_area(2) calls `useable`, is not kept and reads as zero.
pub(crate) fn access_rights(selector: u16, descriptor: &Descriptor) -> u32 {
    const LONG: u32 = 1 << 21;
    const ACCESSED: u32 = 1 << 8;
    const ACCESSIBLE: u32 = 1 << 9;
    const EXPAND_DOWN: u32 = 1 << 10;
    const CODE: u32 = 1 << 11;
    const NOT_SYSTEM: u32 = 1 << 12;
    const USER: u32 = 3 << 13;
    const PRESENT: u32 = 1 << 15;
    const BIG: u32 = 1 << 22;
    const PAGES: u32 = 1 << 23;
    let bit = |bit, condition| if condition { bit } else { 0 };
    // A limit over 20 bits must count pages; Linux marks every descriptor as accessed.
    let in_pages = descriptor.limit > 0xf_ffff;
    let limit = if in_pages { descriptor.limit >> 12 } else { descriptor.limit };
    ACCESSED
        | NOT_SYSTEM
        | USER
        | limit & 0xf_0000
        | bit(LONG, selector | USER_LEVEL == DescriptorTables::LONG_CODE)
        | bit(ACCESSIBLE, descriptor.accessible)
        | bit(EXPAND_DOWN, descriptor.expand_down)
        | bit(CODE, descriptor.code)
        | bit(PRESENT, descriptor.present)
        | bit(BIG, descriptor.big)
        | bit(PAGES, in_pages)
}
