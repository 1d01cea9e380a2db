//! Jumps, calls, returns, loops, stack frames and software interrupts.

use pentimento_decoder::{Instruction, Operand, Prefixes};
use pentimento_memory::Access;
use pentimento_registers::{Eflags, Exception, Gpr, Segment, SegmentRegister};

use crate::place::{at_width, operand_bytes, operand_size_bytes};
use crate::segment::{code_segment, load_far_pointer, return_segment};
use crate::{Context, Gates, Outcome, Trap, Width};

/// Checks that `target` lies within `segment`, as every transfer does before it takes effect.
fn check_target(segment: &Segment, target: u32) -> Outcome {
    match segment.descriptor() {
        Some(descriptor) if target <= descriptor.limit => Ok(()),
        _ => Err(Trap::GENERAL_PROTECTION),
    }
}

/// Goes to `target` in the current code segment.
fn jump_near(context: &mut Context<'_>, target: u32) -> Outcome {
    check_target(context.state.segment(SegmentRegister::Cs), target)?;
    context.state.eip = target;
    Ok(())
}

/// Where a near JMP, CALL, Jcc or LOOP goes: relative to the next instruction, or what operand 0
/// holds. A 16-bit operand size clears the high half.
fn near_target(context: &Context<'_>, instruction: &Instruction) -> Outcome<u32> {
    at_width!(operand_size_bytes(instruction), W => match instruction.operand(0) {
        Some(Operand::Relative(displacement)) => {
            let target = context.state.eip.wrapping_add_signed(displacement);
            Ok(W::truncate(target).bits())
        }
        _ => Ok(context.read::<W>(instruction, 0)?.bits()),
    })
}

pub(crate) fn jmp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let target = near_target(context, instruction)?;
    jump_near(context, target)
}

pub(crate) fn jcc(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    if instruction.condition().holds(context.state.eflags) {
        return jmp(context, instruction);
    }
    Ok(())
}

pub(crate) fn call(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let target = near_target(context, instruction)?;
    check_target(context.state.segment(SegmentRegister::Cs), target)?;
    let next = context.state.eip;
    at_width!(operand_size_bytes(instruction), W => context.push(W::truncate(next)))?;
    context.state.eip = target;
    Ok(())
}

/// The bytes that RET and RETF release on top of what they pop.
fn released(context: &Context<'_>, instruction: &Instruction) -> Outcome<u32> {
    match instruction.operand(0) {
        Some(_) => Ok(context.read::<u16>(instruction, 0)?.into()),
        None => Ok(0),
    }
}

pub(crate) fn ret(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let released = released(context, instruction)?;
    at_width!(operand_size_bytes(instruction), W => {
        let target = context.peek::<W>(0)?;
        jump_near(context, target.bits())?;
        let top = context.stack_pointer().wrapping_add(W::BYTES).wrapping_add(released);
        context.set_stack_pointer(top);
        Ok(())
    })
}

/// The far pointer that operand 0 holds or points to.
fn far_target(context: &Context<'_>, instruction: &Instruction) -> Outcome<(u16, u32)> {
    if let Some(Operand::Far { selector, offset }) = instruction.operand(0) {
        return Ok((selector, offset));
    }
    at_width!(operand_size_bytes(instruction), W => {
        let (selector, offset) = load_far_pointer::<W>(context, instruction, 0)?;
        Ok((selector, offset.bits()))
    })
}

/// Goes to `target` in a code segment that [`code_segment`] or [`return_segment`] has checked.
fn jump_far(context: &mut Context<'_>, segment: Segment, target: u32) {
    *context.state.segment_mut(SegmentRegister::Cs) = segment;
    context.state.eip = target;
}

pub(crate) fn jmpfar(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let (selector, target) = far_target(context, instruction)?;
    let segment = code_segment(context, selector)?;
    check_target(&segment, target)?;
    jump_far(context, segment, target);
    Ok(())
}

pub(crate) fn callfar(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let (selector, target) = far_target(context, instruction)?;
    let segment = code_segment(context, selector)?;
    at_width!(operand_size_bytes(instruction), W => {
        context.probe_pushes::<W>(2)?;
        check_target(&segment, target)?;
        let (cs, next) = (context.state.segment(SegmentRegister::Cs).selector, context.state.eip);
        context.push(W::truncate(cs.into()))?;
        context.push(W::truncate(next))?;
    });
    jump_far(context, segment, target);
    Ok(())
}

/// A return to a selector of another privilege level takes SS and ESP from the stack too, and
/// silicon reads them, `offset` bytes up, before it finds that the level is wrong.
fn peek_outer_stack<W: Width>(context: &Context<'_>, selector: u16, offset: u32) -> Outcome {
    const USER_LEVEL: u16 = 3;
    if selector & USER_LEVEL != USER_LEVEL {
        context.peek::<W>(offset.wrapping_add(W::BYTES))?;
        context.peek::<W>(offset)?;
    }
    Ok(())
}

pub(crate) fn retfar(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let released = released(context, instruction)?;
    at_width!(operand_size_bytes(instruction), W => {
        let selector = context.peek::<W>(W::BYTES)?.bits() as u16;
        let target = context.peek::<W>(0)?.bits();
        peek_outer_stack::<W>(context, selector, (2 * W::BYTES).wrapping_add(released))?;
        let segment = return_segment(context, selector)?;
        check_target(&segment, target)?;
        let top = context.stack_pointer().wrapping_add(2 * W::BYTES).wrapping_add(released);
        context.set_stack_pointer(top);
        jump_far(context, segment, target);
        Ok(())
    })
}

/// A return to the same privilege level. With NT set it would be a task switch, which a 64-bit
/// kernel's CPU answers with #GP(0) (SDM volume 2, IRET).
pub(crate) fn iret(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    if context.state.eflags.contains(Eflags::NT) {
        return Err(Trap::GENERAL_PROTECTION);
    }
    at_width!(operand_size_bytes(instruction), W => {
        let flags = context.peek::<W>(2 * W::BYTES)?.bits();
        let selector = context.peek::<W>(W::BYTES)?.bits() as u16;
        let target = context.peek::<W>(0)?.bits();
        peek_outer_stack::<W>(context, selector, 3 * W::BYTES)?;
        let segment = return_segment(context, selector)?;
        check_target(&segment, target)?;
        context.set_stack_pointer(context.stack_pointer().wrapping_add(3 * W::BYTES));
        jump_far(context, segment, target);
        let mask = Eflags::USER_WRITABLE.intersection(Eflags::from_bits_truncate(W::MASK));
        context.set_flags(mask, Eflags::from_bits_truncate(flags));
        Ok(())
    })
}

pub(crate) fn jecxz(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    if context.address_register(Gpr::Ecx, instruction.address_size()) == 0 {
        return jmp(context, instruction);
    }
    Ok(())
}

/// Counts ECX down and jumps while it is not zero and `condition` holds.
fn count_down(context: &mut Context<'_>, instruction: &Instruction, condition: bool) -> Outcome {
    let size = instruction.address_size();
    let counter = context.address_register(Gpr::Ecx, size).wrapping_sub(1);
    if context.address_offset(counter, size) != 0 && condition {
        jmp(context, instruction)?;
    }
    context.set_address_register(Gpr::Ecx, size, counter);
    Ok(())
}

pub(crate) fn loop_(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    count_down(context, instruction, true)
}

/// Counts down and jumps while ZF is `equal`, or while it is what a REP prefix asks for: silicon
/// lets REPE and REPNE decide over the opcode's own bit.
fn count_down_comparing(context: &mut Context<'_>, instruction: &Instruction, equal: bool) -> Outcome {
    let prefixes = instruction.prefixes();
    let equal = (equal || prefixes.contains(Prefixes::REP)) && !prefixes.contains(Prefixes::REPNE);
    let zero = context.state.eflags.contains(Eflags::ZF);
    count_down(context, instruction, zero == equal)
}

pub(crate) fn loope(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    count_down_comparing(context, instruction, true)
}

pub(crate) fn loopne(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    count_down_comparing(context, instruction, false)
}

/// As on silicon, a fault on the way leaves ESP and EBP as they were, but what has been pushed is
/// in memory.
pub(crate) fn enter(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let allocated = context.read::<u16>(instruction, 0)?.into();
    let level = context.read::<u8>(instruction, 1)? & 31;
    let before = context.state.gpr(Gpr::Esp);
    let entered = at_width!(operand_size_bytes(instruction), W => {
        enter_frame::<W>(context, allocated, level)
    });
    if entered.is_err() {
        context.state.set_gpr(Gpr::Esp, before);
    }
    entered
}

/// ENTER with ESP moved on even where it fails.
fn enter_frame<W: Width>(context: &mut Context<'_>, allocated: u32, level: u8) -> Outcome {
    let mut outer = context.state.gpr(Gpr::Ebp);
    context.push(W::truncate(outer))?;
    let frame = context.stack_pointer();
    for _ in 1..level {
        outer = outer.wrapping_sub(W::BYTES);
        let pointer = context.load::<W>(SegmentRegister::Ss, outer & context.stack_mask())?;
        context.push(pointer)?;
    }
    if level > 0 {
        context.push(W::truncate(frame))?;
    }
    let top = context.stack_pointer().wrapping_sub(allocated);
    // The new top of the stack must be writable too (SDM volume 2, ENTER).
    context.probe_stack::<W>(top, Access::Write)?;
    context.set_stack_pointer(top);
    W::set_register(context.state, Gpr::Ebp.number(), W::truncate(frame));
    Ok(())
}

pub(crate) fn leave(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let frame = context.state.gpr(Gpr::Ebp);
    at_width!(operand_size_bytes(instruction), W => {
        let outer = context.load::<W>(SegmentRegister::Ss, frame & context.stack_mask())?;
        context.set_stack_pointer(frame.wrapping_add(W::BYTES));
        W::set_register(context.state, Gpr::Ebp.number(), outer);
        Ok(())
    })
}

/// #BR is a fault: EIP stays at BOUND.
pub(crate) fn bound(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let Some(Operand::Memory(operand)) = instruction.operand(1) else { return Err(Trap::INVALID_OPCODE) };
    at_width!(operand_bytes(instruction, 0), W => {
        let index = context.read::<W>(instruction, 0)?.signed();
        let start = context.effective_address(&operand);
        let behind = context.address_offset(start.wrapping_add(W::BYTES), operand.address_size);
        let lower = context.load::<W>(operand.segment, start)?.signed();
        let upper = context.load::<W>(operand.segment, behind)?.signed();
        if index < lower || index > upper {
            return Err(Trap::fault(Exception::BoundRange, 0));
        }
        Ok(())
    })
}

/// Linux's gate for system calls, on i386.
const SYSTEM_CALL: u8 = 0x80;
/// The bit of an error code that says that its selector is an interrupt vector (SDM volume 3, section 6.13).
const IDT: u32 = 2;

pub(crate) fn into(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    if context.state.eflags.contains(Eflags::OF) {
        return Err(Trap::After(Exception::Overflow));
    }
    Ok(())
}

/// INT 3 and INT 4 in two bytes raise what INT3 and INTO raise; what the other vectors mean is for
/// the kernel to say, as far as its gates are open.
pub(crate) fn int(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    match context.read::<u8>(instruction, 0)? {
        3 => Err(Trap::After(Exception::Breakpoint)),
        4 => Err(Trap::After(Exception::Overflow)),
        SYSTEM_CALL => Err(Trap::Interrupt(SYSTEM_CALL)),
        vector => match context.environment.gates {
            Gates::All => Err(Trap::Interrupt(vector)),
            Gates::Linux => Err(Trap::fault(Exception::GeneralProtection, u32::from(vector) << 3 | IDT)),
        },
    }
}

pub(crate) fn int3(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::After(Exception::Breakpoint))
}

pub(crate) fn int1(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::After(Exception::Debug))
}

pub(crate) fn sysenter(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    fast_system_call(context, Trap::Sysenter)
}

pub(crate) fn syscall(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    fast_system_call(context, Trap::Syscall)
}

fn fast_system_call(context: &Context<'_>, leave: Trap) -> Outcome {
    match context.environment.gates {
        Gates::All => Err(leave),
        Gates::Linux => Err(Trap::INVALID_OPCODE),
    }
}

/// #GP(0) outside privilege level 0.
pub(crate) fn sysexit(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::GENERAL_PROTECTION)
}

/// #GP(0) outside privilege level 0.
pub(crate) fn sysret(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::GENERAL_PROTECTION)
}
