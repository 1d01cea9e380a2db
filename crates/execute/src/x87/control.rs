//! Control instructions (SDM volume 1, section 8.3.9): words, environment, state, register stack.

use pentimento_decoder::{Instruction, OperandSize};
use pentimento_memory::Access;
use pentimento_registers::{ControlWord, Gpr, StatusWord, X87State};

use super::environment::{self, LENGTH_16, LENGTH_32};
use super::unit::{Data, Unit, check_pending, data, is_memory, st_number, update_summary};
use crate::{Context, Outcome};

/// Bytes that the eight registers take behind an environment.
const REGISTERS: usize = 80;

/// FNOP.
pub(crate) fn fnop(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    Unit::enter(context, instruction, None);
    Ok(())
}

/// FNENI, FNDISI and FNSETPM: instructions of the 8087 and 80287 that do nothing any more.
pub(crate) fn ignore(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Ok(())
}

/// FNINIT.
pub(crate) fn fninit(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    initialise(&mut context.state.x87);
    Ok(())
}

/// What FNINIT and FNSAVE do; contents of the registers stay.
const fn initialise(x87: &mut X87State) {
    *x87 = X87State { registers: x87.registers, ..X87State::new() };
}

/// FNCLEX.
pub(crate) fn fnclex(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    clear_exceptions(&mut context.state.x87);
    Ok(())
}

/// What FNCLEX does.
#[inline]
pub const fn clear_exceptions(x87: &mut X87State) {
    const CLEARED: StatusWord =
        StatusWord::EXCEPTIONS.union(StatusWord::SF).union(StatusWord::ES).union(StatusWord::B);
    x87.status = x87.status.difference(CLEARED);
}

/// FNSTCW.
pub(crate) fn fnstcw(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let Data { segment, offset } = data(context, instruction)?;
    let word = context.state.x87.control.bits();
    context.store(segment, offset, word)
}

/// FLDCW.
pub(crate) fn fldcw(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let Data { segment, offset } = data(context, instruction)?;
    let word = context.load::<u16>(segment, offset)?;
    load_control(&mut context.state.x87, word);
    Ok(())
}

/// What FLDCW does.
#[inline]
pub const fn load_control(x87: &mut X87State, word: u16) {
    x87.control = environment::control_word(word);
    update_summary(x87);
}

/// FNSTSW: m16 (DDh) or AX (DFh).
pub(crate) fn fnstsw(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let word = context.state.x87.status_word();
    if is_memory(instruction) {
        let Data { segment, offset } = data(context, instruction)?;
        return context.store(segment, offset, word);
    }
    context.state.set_gpr16(Gpr::Eax, word);
    Ok(())
}

/// Bytes of the environment at this operand size.
const fn environment_length(size: OperandSize) -> usize {
    match size {
        OperandSize::Word => LENGTH_16,
        OperandSize::Dword => LENGTH_32,
    }
}

/// Where an image of `length` bytes lies, checked in silicon's order: alignment to the words that
/// it is made of, the first of these, then the last byte, which a page fault reports if the image
/// lies in two pages and the second faults.
fn locate(context: &Context<'_>, instruction: &Instruction, length: usize, access: Access) -> Outcome<u32> {
    let data = data(context, instruction)?;
    let length = length as u32;
    let word = match instruction.operand_size() {
        OperandSize::Word => 2,
        OperandSize::Dword => 4,
    };
    let linear = context.linear_address(data.segment, data.offset, length, access)?;
    context.check_alignment(linear, word)?;
    context.memory.check(linear, word, access)?;
    context.memory.check(linear.wrapping_add(length - 1), 1, access)?;
    Ok(linear)
}

/// Writes an image.
fn write_image(context: &mut Context<'_>, instruction: &Instruction, image: &[u8]) -> Outcome {
    let linear = locate(context, instruction, image.len(), Access::Write)?;
    context.store_bytes(linear, image)
}

/// Reads an image, as many bytes as it has.
fn read_image(context: &Context<'_>, instruction: &Instruction, image: &mut [u8]) -> Outcome {
    let linear = locate(context, instruction, image.len(), Access::Read)?;
    context.load_bytes(linear, image)
}

/// FNSTENV: afterwards all exceptions are masked.
pub(crate) fn fnstenv(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let size = instruction.operand_size();
    let image = environment::image(&context.state.x87, size);
    write_image(context, instruction, &image[..environment_length(size)])?;
    let x87 = &mut context.state.x87;
    x87.control.insert(ControlWord::MASKS);
    update_summary(x87);
    Ok(())
}

/// FLDENV.
pub(crate) fn fldenv(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let size = instruction.operand_size();
    let mut image = [0; LENGTH_32];
    read_image(context, instruction, &mut image[..environment_length(size)])?;
    environment::load(&mut context.state.x87, &image, size);
    Ok(())
}

/// FNSAVE: environment and registers from ST(0) on; afterwards the unit is initialised.
pub(crate) fn fnsave(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let size = instruction.operand_size();
    let start = environment_length(size);
    let x87 = &context.state.x87;
    let mut image = [0; LENGTH_32 + REGISTERS];
    image[..LENGTH_32].copy_from_slice(&environment::image(x87, size));
    for (index, bytes) in (0..).zip(image[start..start + REGISTERS].chunks_exact_mut(10)) {
        bytes.copy_from_slice(&x87.registers[x87.physical(index)].to_le_bytes());
    }
    write_image(context, instruction, &image[..start + REGISTERS])?;
    initialise(&mut context.state.x87);
    Ok(())
}

/// FRSTOR.
pub(crate) fn frstor(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let size = instruction.operand_size();
    let start = environment_length(size);
    let mut image = [0; LENGTH_32 + REGISTERS];
    read_image(context, instruction, &mut image[..start + REGISTERS])?;
    let x87 = &mut context.state.x87;
    let mut head = [0; LENGTH_32];
    head.copy_from_slice(&image[..LENGTH_32]);
    environment::load(x87, &head, size);
    for (index, bytes) in (0..).zip(image[start..start + REGISTERS].chunks_exact(10)) {
        let number = x87.physical(index);
        x87.registers[number] = environment::register(bytes);
    }
    Ok(())
}

/// FINCSTP.
pub(crate) fn fincstp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    rotate(context, instruction, 1)
}

/// FDECSTP.
pub(crate) fn fdecstp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    rotate(context, instruction, 7)
}

fn rotate(context: &mut Context<'_>, instruction: &Instruction, step: u8) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    unit.rotate(step);
    unit.clear_c1();
    Ok(())
}

/// FFREE.
pub(crate) fn ffree(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    unit.free(st_number(instruction));
    unit.clear_c1();
    Ok(())
}

/// FFREEP: FFREE and a pop.
pub(crate) fn ffreep(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    unit.free(st_number(instruction));
    unit.pop();
    unit.clear_c1();
    Ok(())
}
