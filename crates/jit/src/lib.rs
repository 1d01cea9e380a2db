//! The engine for x86-64 Linux hosts: IA-32 translated to the host's own code.
//!
//! The guest's registers are the host's, its flags are the host's flags, and its memory is a reservation
//! of 4 GiB in which guest address plus base is the host's address: so most instructions become one
//! instruction, with other registers and two prefixes. What has no translation is executed by the
//! reference, one instruction at a time; what raises an exception of the host's CPU likewise, which then
//! either raises the guest's or does what was special about the access.
//!
//! A guest begins in the interpreter, and moves here when it has run hot. Where the host gives no
//! reservation, no memory for code, no GS base or no signal handlers, it stays there.
//!
//! The first translator that runs hot puts handlers of SIGSEGV, SIGBUS and SIGFPE in place, for the whole
//! process and for good. They see to exceptions in translated code and hand everything else to the handlers
//! that were there before; whoever installs handlers later has to hand on to these in the same way.
//! Translated code has a stack of its own, one for each thread of the host that runs any.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![deny(unsafe_code)]

mod cache;
mod counting;
mod dump;
mod emit;
mod engine;
mod frame;
#[allow(unsafe_code, reason = "here is all that runs code and maps memory for it")]
mod host;
mod host_features;
mod storm;
mod stubs;
mod translate;
mod x87;

pub use engine::Translator;
