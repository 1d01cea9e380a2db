//! Run 32-bit x86 (IA-32) code and Linux programs inside any Rust program.
//!
//! - [`Cpu`] is the bare machine: registers, memory and an engine. It runs code and says why it
//!   stopped; what an interrupt or a fault means is up to the host.
//! - [`Machine`] adds a Linux kernel of its own: ELF programs, processes, files and system calls,
//!   all inside one host thread and within what the host grants (feature `linux`, on by default).
//!
//! Both are `Send`, share nothing with each other, and repeat bit for bit. Guest code can neither
//! panic nor hang the host: whatever it does comes back as data, a [`Halt`].
//!
//! ```
//! use pentimento::{Cpu, Gpr, Halt, Permissions};
//!
//! // mov eax,40; add eax,2; int 0x80
//! let code = [0xb8, 40, 0, 0, 0, 0x83, 0xc0, 2, 0xcd, 0x80];
//! let mut cpu = Cpu::new();
//! cpu.memory.map(0x1000, 0x1000, Permissions::READ | Permissions::EXECUTE)?;
//! cpu.memory.poke_bytes(0x1000, &code)?;
//! cpu.state.eip = 0x1000;
//! assert_eq!(cpu.run(1_000_000), Halt::Interrupt(0x80));
//! assert_eq!(cpu.state.gpr(Gpr::Eax), 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A program of a file, with what it may use:
//!
//! ```no_run
//! use std::time::Duration;
//! use pentimento::{Bounds, Capture, Halt, Limits, Machine};
//!
//! let output = Capture::new();
//! let mut machine = Machine::builder()
//!     .program("/bin/tool", std::fs::read("tool").expect("there is such a file"))
//!     .file("/etc/hosts", "127.0.0.1 localhost\n")
//!     .limits(Limits { memory: 64 << 20, ..Limits::default() })
//!     .stdout(output.clone())
//!     .build()?;
//! machine.start(&["tool", "--version"])?;
//! match machine.run(Bounds::none().budget(1_000_000_000).timeout(Duration::from_secs(5))) {
//!     Halt::Exited(0) => println!("{}", output.text()),
//!     halt => println!("{halt}"), // killed by signal 11 (segmentation fault): #PF at eip ...
//! }
//! # Ok::<(), pentimento::Error>(())
//! ```
//!
//! # Features
//!
//! - `linux` (default): [`Machine`].
//! - `host`: the process's own standard streams, network and random numbers for guests (unix).
//! - `gdb`: a server for GDB.
//! - `images`: tar files and container images as roots.
//! - `assembler`: [`assembler`](https://docs.rs/pentimento-assembler), Intel-syntax text to machine code.
//! - `custom`: the crate [`custom`](https://docs.rs/pentimento-custom), instruction sets of one's own as
//!   tables.
//! - `count-slow`: counts instructions for which the interpreter has no handler; slower.
#![forbid(unsafe_code)]

mod bounds;
#[cfg(feature = "linux")]
mod builder;
mod cpu;
mod engine;
#[cfg(feature = "linux")]
mod engines;
#[cfg(feature = "linux")]
mod error;
#[cfg(feature = "gdb")]
pub mod gdb;
mod halt;
#[cfg(feature = "linux")]
mod history;
pub mod hooks;
#[cfg(feature = "linux")]
pub mod host;
#[cfg(feature = "linux")]
mod machine;
#[cfg(feature = "linux")]
mod provided;
#[cfg(feature = "linux")]
mod provisions;
#[cfg(feature = "linux")]
mod record;
mod snapshot;
#[cfg(feature = "linux")]
mod start;
#[cfg(feature = "linux")]
mod told;
mod trace;
#[cfg(feature = "linux")]
mod trace_hash;

pub use bounds::Bounds;
#[cfg(feature = "linux")]
pub use builder::MachineBuilder;
pub use cpu::Cpu;
pub use engine::EngineKind;
#[cfg(feature = "linux")]
pub use error::Error;
pub use halt::Halt;
#[cfg(feature = "linux")]
pub use history::{History, Past};
pub use hooks::{Coverage, Edge, HookId, Hooks, Reply, StateView, View};
#[cfg(feature = "linux")]
pub use hooks::{GuestCall, MachineView};
#[cfg(feature = "linux")]
pub use host::Capture;
#[cfg(feature = "linux")]
pub use machine::{Machine, Statistics};
#[cfg(feature = "assembler")]
pub use pentimento_assembler as assembler;
#[cfg(feature = "custom")]
pub use pentimento_custom as custom;
pub use pentimento_decoder as decoder;
pub use pentimento_decoder::{Instruction, Operation};
#[cfg(feature = "count-slow")]
pub use pentimento_execute::SlowCounts;
pub use pentimento_execute::observe::MemoryAccess;
pub use pentimento_execute::{
    CpuModel, Engine, Environment, Exit, FeatureSet, Gates, Guest, Stop, StopHandle, Until,
};
#[cfg(feature = "images")]
pub use pentimento_images::{Image, ImageConfig, ImageError, ImageLimits};
#[cfg(feature = "linux")]
pub use pentimento_linux as linux;
#[cfg(all(feature = "linux", unix))]
pub use pentimento_linux::LocalFolder;
#[cfg(feature = "linux")]
pub use pentimento_linux::{
    Crash, Kernel, KernelEvent, Limits, Mapping, Mount, ProcessId, RestoreError, TaskId, TimeMode,
};
pub use pentimento_memory::{
    Access, AddressSpace, Backing, BlockFault, Fault, FaultKind, MapError, MmioHandler, NoSuchSnapshot,
    PAGE_SIZE, Permissions, Region, RegionKind, SharedError, SharedMemory, SnapshotId, Value, WatchHit,
};
pub use pentimento_registers::{
    Condition, ControlWord, CpuState, Descriptor, DescriptorTables, Eflags, Exception, F80, Gpr, Gpr8,
    LocalDescriptors, Mxcsr, Segment, SegmentRegister, StatusWord, Tag, TlsDescriptors, X87State,
};
#[cfg(feature = "linux")]
pub use record::{Recording, RecordingError};
#[cfg(feature = "linux")]
pub use snapshot::MachineSnapshot;
pub use snapshot::{Snapshot, SnapshotError};
pub use trace::Trace;

/// What the documentation promises of threads holds, or this does not compile.
const fn is_send<T: Send>() {}
const _: () = is_send::<Cpu>();
#[cfg(feature = "linux")]
const _: () = is_send::<Machine>();
#[cfg(feature = "linux")]
const _: () = is_send::<MachineBuilder>();
#[cfg(feature = "linux")]
const _: () = is_send::<MachineSnapshot>();
const fn is_send_and_sync<T: Send + Sync>() {}
const _: () = is_send_and_sync::<StopHandle>();

/// The README's examples are tests.
#[cfg(all(doctest, feature = "linux"))]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// So are those of the embedding guide.
#[cfg(all(doctest, feature = "assembler", feature = "linux"))]
#[doc = include_str!("../../../docs/embedding.md")]
struct Embedding;

/// So are the guide's.
#[cfg(all(doctest, feature = "images"))]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;
