//! Run 32-bit x86 (IA-32) code and Linux programs inside any Rust program.
//!
//! - [`Cpu`] is the bare machine: registers, memory and an engine. It runs code and says why it
//!   stopped; what an interrupt or a fault means is up to the host.
//! - [`Machine`] adds a Linux kernel of its own: ELF programs, processes, files and system calls,
//!   all inside one host thread and within what the host grants (feature `linux`, on by default).
//!
//! Feature `custom` adds the crate [`custom`](https://docs.rs/pentimento-custom): instruction sets of one's own as tables.
//!
//! Both are `Send`, share nothing with each other, and repeat bit for bit. Guest code can neither
//! panic nor hang the host: whatever it does comes back as data.
//!
//! ```
//! use pentimento::{Cpu, Exit, Gpr, Permissions};
//!
//! // mov eax, 40; add eax, 2; int 0x80
//! let code = [0xb8, 40, 0, 0, 0, 0x83, 0xc0, 2, 0xcd, 0x80];
//! let mut cpu = Cpu::new();
//! cpu.memory.map(0x1000, 0x1000, Permissions::READ | Permissions::EXECUTE)?;
//! cpu.memory.poke_bytes(0x1000, &code)?;
//! cpu.state.eip = 0x1000;
//! assert_eq!(cpu.run(1_000_000), Exit::Interrupt(0x80));
//! assert_eq!(cpu.state.gpr(Gpr::Eax), 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "linux")]
mod builder;
mod cpu;
mod engine;
#[cfg(feature = "linux")]
mod error;
#[cfg(feature = "linux")]
mod machine;
#[cfg(feature = "linux")]
mod provisions;
#[cfg(feature = "linux")]
mod start;
#[cfg(feature = "linux")]
mod streams;
#[cfg(feature = "linux")]
mod trace_hash;

#[cfg(feature = "linux")]
pub use builder::MachineBuilder;
pub use cpu::Cpu;
pub use engine::EngineKind;
#[cfg(feature = "linux")]
pub use error::Error;
#[cfg(feature = "linux")]
pub use machine::{Halt, Machine, Statistics};
#[cfg(feature = "custom")]
pub use pentimento_custom as custom;
pub use pentimento_decoder as decoder;
pub use pentimento_execute::{CpuModel, Engine, Environment, Exit, Gates, Guest, Stop, StopHandle, Until};
#[cfg(feature = "images")]
pub use pentimento_images::{Image, ImageConfig, ImageError, ImageLimits};
#[cfg(feature = "linux")]
pub use pentimento_linux as linux;
pub use pentimento_memory::{Access, AddressSpace, Fault, FaultKind, Permissions};
pub use pentimento_registers::{
    CpuState, Descriptor, DescriptorTables, Eflags, Exception, Gpr, Gpr8, LocalDescriptors, Mxcsr,
    SegmentRegister, TlsDescriptors,
};
#[cfg(feature = "linux")]
pub use streams::Capture;

/// The README's examples are tests.
#[cfg(all(doctest, feature = "linux"))]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// So are the guide's.
#[cfg(all(doctest, feature = "images"))]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;
