//! Signal frames: what the kernel puts on the stack for a handler, and takes back when it returns.
//!
//! Layout as i386 programs and unwinders expect it (the kernel's `arch/x86/include/asm/sigframe.h`
//! and `uapi/asm/sigcontext.h`): return address, arguments, `sigcontext`, and the floating-point
//! state as an FSAVE image followed by an FXSAVE image.

use pentimento_registers::{
    CpuState, Descriptor, DescriptorTables, Eflags, Gpr, Mxcsr, Segment, SegmentRegister,
};

use super::{Action, Info, SignalSet, flag};
use crate::config::PROCESSOR;
use crate::errno::Errno;
use crate::floating_point::{self, FXSAVE, LEGACY, SIZE as FLOATING_POINT};
use crate::record::Record;
use crate::user_memory::UserMemory;

/// Bytes of `sigcontext`.
const CONTEXT: u32 = 88;
/// What was interrupted, beside its registers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cause {
    /// Vector of the exception.
    pub(crate) vector: u32,
    /// Its error code.
    pub(crate) error_code: u32,
    /// CR2.
    pub(crate) address: u32,
}

/// All that a frame needs.
pub(crate) struct Delivery<'a> {
    pub(crate) info: &'a Info,
    pub(crate) action: &'a Action,
    /// The mask to come back to.
    pub(crate) mask: SignalSet,
    pub(crate) cause: Cause,
    /// `stack_t` as sigreturn restores it: start, flags, size.
    pub(crate) stack: [u32; 3],
    /// Where the frame may begin: the interrupted stack pointer, or the end of the alternate stack.
    pub(crate) top: u32,
    /// `__kernel_sigreturn` and `__kernel_rt_sigreturn`, for actions without a restorer.
    pub(crate) trampolines: [u32; 2],
}

/// Pushes the frame of a handler and points the registers at it.
///
/// # Errors
/// EFAULT if the stack cannot hold it.
pub(crate) fn push(
    cpu: &mut CpuState,
    memory: &mut UserMemory<'_>,
    delivery: &Delivery<'_>,
) -> Result<(), Errno> {
    let extended = delivery.action.flags & flag::SIGINFO != 0;
    // The FXSAVE image is aligned to 64 bytes, and the FSAVE image lies right below it.
    let state = (delivery.top.wrapping_sub(FXSAVE) & !63).wrapping_sub(LEGACY);
    let size = if extended { RT_SIZE } else { PLAIN_SIZE };
    // As the ABI has it for a function's entry: (ESP + 4) is a multiple of 16.
    let frame = (state.wrapping_sub(size).wrapping_add(4) & !15).wrapping_sub(4);
    memory.copy_out(state, floating_point::images(cpu).as_bytes())?;
    let record =
        if extended { rt_frame(cpu, delivery, frame, state) } else { plain_frame(cpu, delivery, state) };
    memory.copy_out(frame, record.as_bytes())?;

    let gprs = cpu.gprs_mut();
    gprs[Gpr::Esp as usize] = frame;
    gprs[Gpr::Eax as usize] = u32::from(delivery.info.signal.number());
    gprs[Gpr::Edx as usize] = if extended { frame + RT_INFO } else { 0 };
    gprs[Gpr::Ecx as usize] = if extended { frame + RT_CONTEXT } else { 0 };
    cpu.eip = delivery.action.handler;
    cpu.eflags.remove(Eflags::DF | Eflags::RF | Eflags::TF);
    let fresh = CpuState::new();
    for register in [SegmentRegister::Ds, SegmentRegister::Es, SegmentRegister::Ss, SegmentRegister::Cs] {
        *cpu.segment_mut(register) = *fresh.segment(register);
    }
    cpu.x87 = fresh.x87;
    cpu.mxcsr = fresh.mxcsr;
    Ok(())
}

/// Offset in `struct sigframe` of the mask's high half: behind return address, number, context, and
/// the place where the floating-point state once was.
const PLAIN_MASK: u32 = 8 + CONTEXT + FLOATING_POINT;
/// Bytes of `struct sigframe`.
const PLAIN_SIZE: u32 = PLAIN_MASK + 4 + 8;
/// Bytes of `struct rt_sigframe`.
const RT_SIZE: u32 = RT_CONTEXT + UCONTEXT + 8;
/// Offset of its `siginfo_t`.
const RT_INFO: u32 = 16;
/// Offset of its `ucontext`.
const RT_CONTEXT: u32 = RT_INFO + Info::SIZE;
/// Bytes of `ucontext`: flags, link, stack, context, mask.
const UCONTEXT: u32 = 8 + 12 + CONTEXT + 8;

/// Instructions of the return stub that old unwinders look for behind the frame; never executed.
const PLAIN_CODE: [u8; 8] = [0x58, 0xb8, 119, 0, 0, 0, 0xcd, 0x80];
const RT_CODE: [u8; 8] = [0xb8, 173, 0, 0, 0, 0xcd, 0x80, 0];

fn plain_frame(cpu: &CpuState, delivery: &Delivery<'_>, state: u32) -> Record {
    let record = Record::new().u32(return_address(delivery, 0)).u32(u32::from(delivery.info.signal.number()));
    context(record, cpu, delivery, state)
        .pad_to(PLAIN_MASK as usize)
        .u32((delivery.mask.0 >> 32) as u32)
        .bytes(&PLAIN_CODE)
}

fn rt_frame(cpu: &CpuState, delivery: &Delivery<'_>, frame: u32, state: u32) -> Record {
    let [start, flags, size] = delivery.stack;
    let record = Record::new()
        .u32(return_address(delivery, 1))
        .u32(u32::from(delivery.info.signal.number()))
        .u32(frame + RT_INFO)
        .u32(frame + RT_CONTEXT)
        .bytes(&delivery.info.to_bytes())
        .u32(0)
        .u32(0)
        .u32(start)
        .u32(flags)
        .u32(size);
    context(record, cpu, delivery, state).u64(delivery.mask.0).bytes(&RT_CODE)
}

fn return_address(delivery: &Delivery<'_>, which: usize) -> u32 {
    if delivery.action.flags & flag::RESTORER != 0 {
        delivery.action.restorer
    } else {
        delivery.trampolines[which]
    }
}

/// Appends `struct sigcontext`.
fn context(record: Record, cpu: &CpuState, delivery: &Delivery<'_>, state: u32) -> Record {
    let selector = |register| u32::from(cpu.segment(register).selector);
    let gpr = |register| cpu.gpr(register);
    let cause = delivery.cause;
    record
        .u32(selector(SegmentRegister::Gs))
        .u32(selector(SegmentRegister::Fs))
        .u32(selector(SegmentRegister::Es))
        .u32(selector(SegmentRegister::Ds))
        .u32(gpr(Gpr::Edi))
        .u32(gpr(Gpr::Esi))
        .u32(gpr(Gpr::Ebp))
        .u32(gpr(Gpr::Esp))
        .u32(gpr(Gpr::Ebx))
        .u32(gpr(Gpr::Edx))
        .u32(gpr(Gpr::Ecx))
        .u32(gpr(Gpr::Eax))
        .u32(cause.vector)
        .u32(cause.error_code)
        .u32(cpu.eip)
        .u32(selector(SegmentRegister::Cs))
        .u32(cpu.eflags.bits())
        .u32(gpr(Gpr::Esp))
        .u32(selector(SegmentRegister::Ss))
        .u32(state)
        .u32(delivery.mask.0 as u32)
        .u32(cause.address)
}

/// What a return from a handler restores beside the registers.
pub(crate) struct Restored {
    pub(crate) mask: SignalSet,
    /// `stack_t`: start, flags, size; only rt frames have it.
    pub(crate) stack: Option<[u32; 3]>,
}

/// Takes the frame of sigreturn(2) off the stack, whose handler has already popped the return
/// address and (through the stub) the signal number.
pub(crate) fn pop_plain(
    cpu: &mut CpuState,
    memory: &mut UserMemory<'_>,
    descriptors: DescriptorTables<'_>,
) -> Result<Restored, Errno> {
    let frame = cpu.gpr(Gpr::Esp).wrapping_sub(8);
    let high: u32 = memory.read(frame.wrapping_add(PLAIN_MASK))?;
    let low = restore_context(cpu, memory, descriptors, frame.wrapping_add(8))?;
    Ok(Restored { mask: SignalSet(u64::from(high) << 32 | u64::from(low)), stack: None })
}

/// Takes the frame of rt_sigreturn(2) off the stack, whose handler has popped the return address.
pub(crate) fn pop_rt(
    cpu: &mut CpuState,
    memory: &mut UserMemory<'_>,
    descriptors: DescriptorTables<'_>,
) -> Result<Restored, Errno> {
    let context = cpu.gpr(Gpr::Esp).wrapping_sub(4).wrapping_add(RT_CONTEXT);
    let stack = memory.words::<3>(context.wrapping_add(8))?;
    let mask = memory.read(context.wrapping_add(20 + CONTEXT))?;
    restore_context(cpu, memory, descriptors, context.wrapping_add(20))?;
    Ok(Restored { mask: SignalSet(mask), stack: Some(stack) })
}

/// Restores the registers from a `sigcontext`, and gives the low half of its mask.
fn restore_context(
    cpu: &mut CpuState,
    memory: &mut UserMemory<'_>,
    descriptors: DescriptorTables<'_>,
    address: u32,
) -> Result<u32, Errno> {
    let words = memory.words::<22>(address)?;
    if words[19] != 0 {
        restore_floating_point(cpu, memory, words[19])?;
    } else {
        cpu.x87 = CpuState::new().x87;
        cpu.mxcsr = Mxcsr::INITIAL;
    }
    use SegmentRegister::{Cs, Ds, Es, Fs, Gs, Ss};
    for (register, word) in [(Gs, 0), (Fs, 1), (Es, 2), (Ds, 3), (Cs, 15), (Ss, 18)] {
        let selector = words[word] as u16;
        // A program can put anything here; what cannot be loaded becomes null for data, and the
        // flat segments for code and stack, where the kernel would send SIGSEGV.
        let runs = |code: &Descriptor| register != Cs || code.code && code.big;
        let segment = match descriptors.get(selector | 3, PROCESSOR).filter(runs) {
            Some(descriptor) if selector & !3 != 0 => Segment::new(selector | 3, Some(descriptor)),
            _ if matches!(register, Cs | Ss) => *CpuState::new().segment(register),
            _ => Segment::NULL,
        };
        *cpu.segment_mut(register) = segment;
    }
    use Gpr::{Eax, Ebp, Ebx, Ecx, Edi, Edx, Esi, Esp};
    for (register, word) in [(Edi, 4), (Esi, 5), (Ebp, 6), (Esp, 7), (Ebx, 8), (Edx, 9), (Ecx, 10), (Eax, 11)]
    {
        cpu.set_gpr(register, words[word]);
    }
    cpu.eip = words[14];
    let writable = Eflags::USER_WRITABLE.difference(Eflags::NT | Eflags::ID).union(Eflags::RF);
    let flags = Eflags::from_bits_truncate(words[16]);
    cpu.eflags = cpu.eflags.difference(writable).union(flags.intersection(writable));
    Ok(words[20])
}

/// Restores the floating-point state from the two images; the FXSAVE one holds everything.
fn restore_floating_point(
    cpu: &mut CpuState,
    memory: &mut UserMemory<'_>,
    address: u32,
) -> Result<(), Errno> {
    let legacy: [u8; LEGACY as usize] = memory.array(address)?;
    let image: [u8; FXSAVE as usize] = memory.array(address.wrapping_add(LEGACY))?;
    floating_point::restore(cpu, &legacy, &image);
    Ok(())
}
