//! The call into translated code.

use core::cell::Cell;
use core::ops::Range;
use core::ptr;

use super::{CodeMemory, signals};
use crate::frame::Frame;

/// What the signal handler has to know of the translated code that this thread runs.
pub(super) struct Running {
    /// Where its blocks are.
    pub(super) blocks: Range<u64>,
    /// Where it goes on after an exception.
    pub(super) fault: u64,
    /// Start of the code memory.
    pub(super) code: u64,
    pub(super) frame: *mut Frame,
}

thread_local! {
    /// Null while the thread runs no translated code. It needs no set-up and no clean-up, so that a
    /// signal handler may read it.
    pub(super) static RUNNING: Cell<*const Running> = const { Cell::new(ptr::null()) };
}

/// Whether the host has GS bases that programs may set.
pub(crate) fn has_gs_base() -> bool {
    /// FSGSBASE in AT_HWCAP2 (Linux, `arch/x86/include/uapi/asm/hwcap2.h`).
    const HWCAP2_FSGSBASE: libc::c_ulong = 2;
    // SAFETY: the call only reads what the kernel has told the process at its start.
    let hwcap2 = unsafe { libc::getauxval(libc::AT_HWCAP2) };
    hwcap2 & HWCAP2_FSGSBASE != 0
}

/// The way into the translated code of one code memory. To have one means that the signal handlers
/// are in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    enter: u32,
    fault: u32,
    blocks: u32,
}

impl Entry {
    /// The entry whose function is at offset `enter`, with the continuation after exceptions at
    /// `fault`, for blocks from offset `blocks` on. `None` if the host refuses signal handlers.
    pub(crate) fn new(enter: u32, fault: u32, blocks: u32) -> Option<Self> {
        signals::install().then_some(Self { enter, fault, blocks })
    }

    /// Runs translated code of `code` as `frame` says, until it leaves.
    ///
    /// # Safety
    /// The offsets of this value are those of the pieces in `code`, which `frame` names, too; all
    /// that blocks in `code` do is within the guest's memory, the frame and the registers that `frame.state`
    /// points to, which nobody else uses meanwhile, and counters, which are atomics; `frame.base` is a reservation that this thread
    /// may access; `frame.table` is a jump table for `code`; `frame.target` is the start of a block.
    pub(crate) unsafe fn run(self, code: &mut CodeMemory, frame: &mut Frame) {
        let start = code.address();
        let running = Running {
            blocks: start + u64::from(self.blocks)..start + code.length() as u64,
            fault: start + u64::from(self.fault),
            code: start,
            frame,
        };
        RUNNING.set(&raw const running);
        // SAFETY: by the caller's word the offset is that of a function of this type.
        let enter = unsafe {
            core::mem::transmute::<*const u8, extern "sysv64" fn(*mut Frame)>(ptr::with_exposed_provenance(
                (start + u64::from(self.enter)) as usize,
            ))
        };
        enter(running.frame);
        RUNNING.set(ptr::null());
    }
}
