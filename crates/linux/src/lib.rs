//! The i386 Linux ABI in a library: a kernel, not a pass-through.
//!
//! [`Kernel`] holds processes, threads, address spaces, signals, futexes, timers and files of one
//! machine, all inside one host thread. It knows neither instructions nor engines: a host runs a
//! task's [`CpuState`](pentimento_registers::CpuState) in its
//! [`AddressSpace`](pentimento_memory::AddressSpace) for as long as [`Kernel::schedule`] says, and
//! brings back what happened ([`Kernel::system_call`], [`Kernel::exception`],
//! [`Kernel::page_fault`], [`Kernel::retire`]).
//!
//! Everything outside the machine (console, clock, random numbers, trace output) comes through
//! the traits in [`host`], each of which a host can replace; host files come through the mounts
//! that [`Config`] grants. The same seed and the same input give the same run, bit for bit.
//!
//! ```
//! use pentimento_linux::{Config, Kernel, Next, Termination};
//! use pentimento_registers::Gpr;
//!
//! let mut kernel = Kernel::new(Config { seed: 7, ..Config::default() });
//! kernel.spawn_code(0x1000, &[0xcd, 0x80], 4096)?; // int 80h
//! let Next::Run { task, .. } = kernel.schedule() else { unreachable!("there is one task") };
//! // An engine would run the code as far as its system call, which here is exit(3).
//! if let Some(parts) = kernel.parts(task) {
//!     parts.cpu.set_gpr(Gpr::Eax, 1);
//!     parts.cpu.set_gpr(Gpr::Ebx, 3);
//! }
//! kernel.retire(task, 1);
//! kernel.system_call(task);
//! assert_eq!(kernel.schedule(), Next::Finished(Termination::Exited(3)));
//! # Ok::<(), pentimento_linux::Error>(())
//! ```
#![forbid(unsafe_code)]

mod account;
mod arena;
mod boot;
mod config;
mod errno;
mod error;
mod event;
mod floating_point;
mod futex;
pub mod host;
mod ids;
mod ipc;
mod kernel;
mod loader;
mod numbered;
mod objects;
mod processor;
mod procfs;
mod ptrace;
mod random;
mod record;
mod resource;
mod scheduler;
mod seccomp;
mod signal;
mod space;
mod syscalls;
mod task;
mod time;
mod timer;
mod user_memory;
mod vdso;
mod vfs;
mod wait;
mod work;

#[cfg(all(test, unix))]
mod tests;

pub use config::{Config, Limits, TimeMode};
pub use errno::Errno;
pub use error::Error;
pub use event::KernelEvent;
pub use host::Invocation;
pub use ids::{Crash, ProcessId, TaskId, Termination};
pub use kernel::{Kernel, KernelSnapshot, Mapping, Next, Parts, RestoreError};
pub use loader::LoadError;
pub use processor::Cpuid;
pub use space::SpaceId;
pub use syscalls::{ArgumentKind, SystemCall, system_calls};
#[cfg(unix)]
pub use vfs::LocalFolder;
pub use vfs::{
    ArchiveError, DeviceNumber, FileType, HostAccess, HostChange, HostEntry, HostFile, HostFolder,
    HostMetadata, Mount, TAR_BLOCK, TarAmendments, TarEntry, Timestamp,
};
