//! The IA-32 register file as plain data.
//!
//! [`CpuState`] holds everything that an instruction can see or change outside memory: the
//! general registers, EIP, EFLAGS, the segment registers with their cached descriptors, the x87
//! stack (which MMX aliases), the XMM registers and MXCSR. It is `Clone`, comparable and
//! printable, and knows nothing of instructions: what they do lives in `pentimento-execute`.
//! [`DescriptorTables`] are what segment loads find, [`Exception`]s what instructions raise: both
//! are here because engines and operating systems have to agree on them.
//!
//! Names are those of the Intel 64 and IA-32 Architectures Software Developer's Manual (SDM).
//!
//! ```
//! use pentimento_registers::{CpuState, Eflags, Gpr, Gpr8};
//!
//! let mut state = CpuState::new();
//! state.set_gpr(Gpr::Eax, 0x1234_5678);
//! state.set_gpr8(Gpr8::Ah, 0xff);
//! assert_eq!(state.gpr(Gpr::Eax), 0x1234_ff78);
//! assert!(!state.eflags.contains(Eflags::CF));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod descriptor_tables;
mod display;
mod eflags;
mod exception;
mod gpr;
pub mod offsets;
mod segment;
mod sse;
mod state;
mod x87;

pub use descriptor_tables::{DescriptorTables, LocalDescriptors, TlsDescriptors};
pub use eflags::{Condition, Eflags};
pub use exception::Exception;
pub use gpr::{Gpr, Gpr8};
pub use segment::{Descriptor, Segment, SegmentRegister};
pub use sse::Mxcsr;
pub use state::CpuState;
pub use x87::{ControlWord, F80, StatusWord, Tag, X87State};
