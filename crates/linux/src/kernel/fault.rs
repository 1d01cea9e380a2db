//! Processor exceptions, and what Linux makes of them.

use pentimento_memory::{Access, AddressSpace, Fault, FaultKind};
use pentimento_registers::{ControlWord, CpuState, Eflags, StatusWord};

use super::{CpuException, Kernel};
use crate::ids::TaskId;
use crate::signal::{Info, Signal, code};
use crate::space::BadAccess;

impl Kernel {
    /// Turns an exception into what Linux makes of it: a page that appears on demand, or a signal.
    /// The registers must be those of the exception, EIP included.
    pub fn fault(&mut self, task: TaskId, exception: CpuException) {
        if !self.tasks.contains_key(&task) {
            return;
        }
        if let Some(info) = self.signal_of(task, exception) {
            self.task(task).cause = exception.into();
            self.force_signal(task, info);
        }
    }

    /// The signal of an exception; `None` for a page fault that has been resolved.
    fn signal_of(&mut self, task: TaskId, exception: CpuException) -> Option<Info> {
        let CpuException { vector, error_code, address, eip } = exception;
        let cpu = &self.task(task).cpu;
        Some(match vector {
            0 => Info::fault(Signal::FPE, code::FPE_INTDIV, eip),
            1 if cpu.eflags.contains(Eflags::TF) => Info::fault(Signal::TRAP, code::TRAP_TRACE, eip),
            1 => Info::fault(Signal::TRAP, code::TRAP_BRKPT, eip),
            3 => Info::kernel(Signal::TRAP),
            6 => Info::fault(Signal::ILL, code::ILL_ILLOPN, eip),
            11 | 12 => Info::kernel(Signal::BUS),
            14 => return self.page_fault(task, error_code, address),
            16 => Info::fault(Signal::FPE, x87_code(cpu), eip),
            17 => Info::fault(Signal::BUS, code::BUS_ADRALN, address),
            19 => Info::fault(Signal::FPE, simd_code(cpu), eip),
            // #OF, #BR, #GP and everything else.
            _ => Info::kernel(Signal::SEGV),
        })
    }

    fn page_fault(&mut self, task: TaskId, error_code: u32, address: u32) -> Option<Info> {
        let access = match error_code {
            bits if bits & 0x10 != 0 => Access::Execute,
            bits if bits & 2 != 0 => Access::Write,
            _ => Access::Read,
        };
        // What the memory itself says is more precise than the error code.
        let kind = match probe(&mut self.space(task).memory, address, access) {
            Ok(()) => return None,
            Err(fault) => fault.kind,
        };
        let (signal, code) = match self.space(task).resolve(Fault { address, access, kind }) {
            Ok(()) => return None,
            Err(BadAccess::NoArea) => (Signal::SEGV, code::SEGV_MAPERR),
            Err(BadAccess::Forbidden) => (Signal::SEGV, code::SEGV_ACCERR),
            Err(BadAccess::BeyondFile) => (Signal::BUS, code::BUS_ADRERR),
            Err(BadAccess::OutOfMemory) => (Signal::KILL, code::KERNEL),
        };
        debug_assert!(kind != FaultKind::Device, "programs have no device memory");
        Some(Info::fault(signal, code, address))
    }
}

/// Tries the access that failed; a write leaves what is there.
fn probe(memory: &mut AddressSpace, address: u32, access: Access) -> Result<(), Fault> {
    memory.check(address, 1, access)?;
    let byte: u8 = memory.read(address)?;
    if access == Access::Write { memory.write(address, byte) } else { Ok(()) }
}

/// si_code of the highest-ranking exception flag that is set and not masked: invalid, zero divide,
/// overflow, underflow, precision.
fn arithmetic_code(raised: u32) -> i32 {
    const FLTINV: i32 = 7;
    const FLTDIV: i32 = 3;
    const FLTOVF: i32 = 4;
    const FLTUND: i32 = 5;
    const FLTRES: i32 = 6;
    match raised {
        bits if bits & 1 != 0 => FLTINV,
        bits if bits & 4 != 0 => FLTDIV,
        bits if bits & 8 != 0 => FLTOVF,
        // A denormal operand counts as underflow.
        bits if bits & 0x12 != 0 => FLTUND,
        bits if bits & 0x20 != 0 => FLTRES,
        _ => 0,
    }
}

fn x87_code(cpu: &CpuState) -> i32 {
    let flags = cpu.x87.status.intersection(StatusWord::EXCEPTIONS).bits();
    let masks = cpu.x87.control.intersection(ControlWord::MASKS).bits();
    arithmetic_code(u32::from(flags & !masks))
}

fn simd_code(cpu: &CpuState) -> i32 {
    let bits = cpu.mxcsr.bits();
    arithmetic_code(bits & 0x3f & !(bits >> 7))
}
