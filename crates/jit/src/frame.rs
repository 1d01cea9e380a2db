//! What translated code and the engine share while translated code runs, and the registers that hold
//! what it always needs.
//!
//! | host | guest |
//! |---|---|
//! | EAX ECX EDX EBX EBP ESI EDI | the same |
//! | R15 | ESP |
//! | XMM0 to XMM7, the x87 stack | the same, the latter while [`Frame::x87_loaded`] says so |
//! | RFLAGS | the six status flags; the others are as the host wants them |
//! | R8, R9 | scratch; R8 is the guest's address where a jump goes to |
//! | R10 | the host's address of guest address zero, which GS has, too |
//! | R11 | the [jump table](crate::host::JumpTable) |
//! | R12 | the start of the code memory |
//! | R13 | the [`Frame`], and [`BIAS`] bytes more |
//! | R14 | instructions that may still be executed |
//!
//! The high halves of the guest's registers are zero.

use core::mem::offset_of;
use core::sync::atomic::AtomicBool;

use pentimento_registers::CpuState;

use crate::emit::{Mem, Reg};

pub(crate) const TABLE: Reg = 11;
pub(crate) const CODE: Reg = 12;
pub(crate) const FRAME: Reg = 13;
pub(crate) const LEFT: Reg = 14;

/// Makes the low six bits of R13 the number 63: a shift by it gives a sign and changes no flag.
pub(crate) const BIAS: i32 = 63;
pub(crate) const ESP: Reg = 15;

/// Bytes of the image that FNSAVE writes.
pub(crate) const X87_IMAGE: usize = 108;

/// Why translated code was left: [`Frame::reason`].
pub(crate) mod reason {
    /// A jump to code that has no translation: [`Frame::eip`](super::Frame::eip).
    pub(crate) const LOOKUP: u32 = 0;
    /// The instruction at EIP is for the reference.
    pub(crate) const REFERENCE: u32 = 1;
    /// The instructions are used up, or there is a request to stop.
    pub(crate) const BUDGET: u32 = 2;
    /// The host's CPU raised an exception: [`Frame::fault`](super::Frame::fault).
    pub(crate) const FAULT: u32 = 3;
    /// A direct jump to code that had no translation: EIP. Once there is one it leads there.
    pub(crate) const UNLINKED: u32 = 4;
    /// The same, and what is there goes on inside of the block that was counted last.
    pub(crate) const INSIDE: u32 = 5;
}

/// The state of a run of translated code, in memory.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Frame {
    /// Where the guest's registers come from and go to.
    pub(crate) state: *mut CpuState,
    /// The host's address at which to begin.
    pub(crate) target: u64,
    /// Instructions until translated code asks for more, which come out of `rest`.
    pub(crate) left: i64,
    /// Instructions beyond `left`.
    pub(crate) rest: u64,
    /// The request to stop.
    pub(crate) stop: *const AtomicBool,
    /// The host's address of guest address zero.
    pub(crate) base: u64,
    /// The jump table's address.
    pub(crate) table: u64,
    /// The code memory's address.
    pub(crate) code: u64,
    /// RSP on entry.
    pub(crate) host_stack: u64,
    /// Where the [stack](crate::host::stack_top) of translated code begins.
    pub(crate) stack: u64,
    /// The host's GS base.
    pub(crate) host_gs: u64,
    /// RAX and the flags while a block gets more instructions.
    pub(crate) spilled: u64,
    pub(crate) spilled_flags: u64,
    /// The guest's EIP on exit.
    pub(crate) eip: u32,
    /// Why translated code was left.
    pub(crate) reason: u32,
    /// Bases of FS and GS.
    pub(crate) fs_base: u32,
    pub(crate) gs_base: u32,
    /// The guest's status flags: in the low byte OF, in the high one the others as LAHF has them.
    pub(crate) flags: u32,
    pub(crate) mxcsr: u32,
    pub(crate) host_mxcsr: u32,
    /// Whether the guest's x87 state is in the host's unit; 0 or 1.
    pub(crate) x87_loaded: u32,
    /// At the end of the budget: instructions executed in the block that were not counted yet.
    pub(crate) uncounted: u32,
    /// Offset in the code memory of what raised an exception.
    pub(crate) fault: u32,
    /// Of an access that the host refused, its address there.
    pub(crate) address: u64,
    /// At the end of the budget: the flags are lost, and the next instruction sets all of them.
    pub(crate) flags_lost: u32,
    /// The low half of minus `base`.
    pub(crate) minus_base: u32,
    /// The guest's DF, 0 or 1: string instructions go backwards.
    pub(crate) backwards: u32,
    /// ECX before a repeated CMPS or SCAS, and what of it is for later.
    pub(crate) counter: u32,
    pub(crate) behind: u32,
    /// In the low half, the x87 status word before an MMX instruction.
    pub(crate) x87_status: u32,
    /// Offset of the last memory operand of an x87 instruction, or all ones if it is the state's.
    pub(crate) x87_data: u64,
    /// The x87 state as FNSAVE writes it in 32-bit mode.
    pub(crate) x87: [u8; X87_IMAGE],
}

macro_rules! fields {
    ($($name:ident)*) => {
        impl Frame {
            $(
                #[doc = concat!("The field `", stringify!($name), "`.")]
                pub(crate) const fn $name() -> Mem {
                    Mem::host(FRAME, offset_of!(Frame, $name) as i32 - BIAS)
                }
            )*
        }
    };
}

fields! {
    state target left rest stop base table code host_stack stack host_gs spilled spilled_flags eip reason fs_base gs_base flags mxcsr
    host_mxcsr x87_loaded uncounted flags_lost minus_base backwards counter behind x87_status x87_data x87
}

impl Frame {
    /// A frame of nobody's.
    pub(crate) const fn new() -> Self {
        Self {
            state: core::ptr::null_mut(),
            target: 0,
            left: 0,
            rest: 0,
            stop: core::ptr::null(),
            base: 0,
            table: 0,
            code: 0,
            host_stack: 0,
            stack: 0,
            host_gs: 0,
            spilled: 0,
            spilled_flags: 0,
            eip: 0,
            reason: 0,
            fs_base: 0,
            gs_base: 0,
            flags: 0,
            mxcsr: 0,
            host_mxcsr: 0,
            x87_loaded: 0,
            uncounted: 0,
            flags_lost: 0,
            fault: 0,
            address: 0,
            minus_base: 0,
            backwards: 0,
            counter: 0,
            behind: 0,
            x87_status: 0,
            x87_data: u64::MAX,
            x87: [0; X87_IMAGE],
        }
    }
}
