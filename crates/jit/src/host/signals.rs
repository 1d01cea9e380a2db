//! The signal handlers: exceptions of the host's CPU in translated code become exits of it. Every
//! other signal goes to the handler that was there before.

use core::mem::MaybeUninit;
use core::ptr;
use std::sync::OnceLock;

use libc::{c_int, c_void, sigaction, siginfo_t, ucontext_t};

use super::run::RUNNING;

/// The signals that the host's CPU can raise in translated code: #PF and #GP; #PF on a page of a file
/// that is not there; #DE, #MF and #XM; #AC.
const SIGNALS: [c_int; 3] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE];

/// What was there before, in the order of [`SIGNALS`]; `None` if the host refused.
static PREVIOUS: OnceLock<Option<[sigaction; 3]>> = OnceLock::new();

/// Puts the handlers in place, once for the process; false if the host refuses.
pub(super) fn install() -> bool {
    PREVIOUS
        .get_or_init(|| {
            let mut previous = [empty(); 3];
            for (signal, previous) in SIGNALS.into_iter().zip(&mut previous) {
                let mut action = empty();
                action.sa_sigaction = handler as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                // SAFETY: both structures are valid, and the handler has the signature that
                // SA_SIGINFO asks for.
                if unsafe { sigaction(signal, &raw const action, &raw mut *previous) } != 0 {
                    return None;
                }
            }
            Some(previous)
        })
        .is_some()
}

/// An action without handler, flags or mask.
fn empty() -> sigaction {
    // SAFETY: the structure is integers and a set of bits, and zeros mean the default action.
    unsafe { MaybeUninit::<sigaction>::zeroed().assume_init() }
}

/// Called by the kernel. It allocates nothing, takes no lock, and touches only the running frame.
unsafe extern "C" fn handler(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    const RIP: usize = libc::REG_RIP as usize;
    let running = RUNNING.get();
    let context = context.cast::<ucontext_t>();
    // What somebody has sent has nothing to do with the instruction that it interrupts.
    // SAFETY: the kernel gives a valid structure, if any.
    let raised = !info.is_null() && unsafe { (*info).si_code } > 0;
    if raised && !running.is_null() && !context.is_null() {
        // SAFETY: while it is not null it points to a value on this thread's stack below us, and the
        // kernel gives the context of what was interrupted on this thread.
        let (running, registers) = unsafe { (&*running, &mut (*context).uc_mcontext.gregs) };
        let rip = registers[RIP] as u64;
        if running.blocks.contains(&rip) {
            // SAFETY: the frame is borrowed for the run by translated code, which stands still.
            unsafe {
                (*running.frame).fault = (rip - running.code) as u32;
                (*running.frame).address = (*info).si_addr() as u64;
            }
            registers[RIP] = running.fault as i64;
            return;
        }
    }
    // SAFETY: the arguments are those that the kernel gave.
    unsafe { pass_on(signal, info, context.cast()) }
}

/// Does what would have happened without us.
unsafe fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let previous = PREVIOUS.get().copied().flatten();
    let position = SIGNALS.iter().position(|known| *known == signal);
    let (Some(previous), Some(position)) = (previous, position) else { return };
    let previous = previous[position];
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // The instruction is executed again, and its exception has its default effect; so does a
            // signal that was sent, when it is sent again.
            // SAFETY: both pointers are valid; a failure would leave us in a loop, and there is
            // none for a signal that exists.
            unsafe {
                sigaction(signal, &raw const previous, ptr::null_mut());
                if !info.is_null() && (*info).si_code <= 0 {
                    libc::raise(signal);
                }
            }
        }
        address if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: whoever installed it with this flag gave a function of this type.
            unsafe {
                let function: unsafe extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                    core::mem::transmute(ptr::with_exposed_provenance::<()>(address));
                function(signal, info, context);
            }
        }
        address => {
            // SAFETY: whoever installed it without the flag gave a function of this type.
            unsafe {
                let function: unsafe extern "C" fn(c_int) =
                    core::mem::transmute(ptr::with_exposed_provenance::<()>(address));
                function(signal);
            }
        }
    }
}
