//! Processor exceptions, and what Linux makes of them.

use std::ops::Range;

use pentimento_memory::{AddressSpace, Fault, FaultKind, PAGE_SIZE};
use pentimento_registers::{ControlWord, CpuState, Eflags, Exception, StatusWord};

use super::Kernel;
use crate::ids::{Crash, TaskId};
use crate::signal::frame::Cause;
use crate::signal::{Info, Signal, code};
use crate::space::BadAccess;

impl Kernel {
    /// [`Self::exception`].
    pub(super) fn take_exception(&mut self, task: TaskId, exception: Exception, error_code: u32) {
        if !self.tasks.contains_key(&task) {
            return;
        }
        let eip = self.task(task).cpu.eip;
        let info = signal_of(exception, &self.task(task).cpu);
        self.raise(Crash { task, exception, error_code, eip, fault: None }, info);
    }

    /// [`Self::page_fault`].
    pub(super) fn serve_fault(&mut self, task: TaskId, fault: Fault) {
        if !self.tasks.contains_key(&task) {
            return;
        }
        let mut resolved = self.space(task).resolve(fault);
        if resolved == Err(BadAccess::OutOfMemory) && self.audit() {
            // There is more room than the account knew of.
            resolved = Ok(());
        }
        let (signal, code) = match resolved {
            Ok(()) => return,
            Err(BadAccess::NoArea) => (Signal::SEGV, code::SEGV_MAPERR),
            Err(BadAccess::Forbidden) => (Signal::SEGV, code::SEGV_ACCERR),
            Err(BadAccess::BeyondFile) => (Signal::BUS, code::BUS_ADRERR),
            Err(BadAccess::OutOfMemory) => (Signal::KILL, code::KERNEL),
        };
        let eip = self.task(task).cpu.eip;
        let crash = Crash {
            task,
            exception: Exception::PageFault,
            error_code: fault.error_code(),
            eip,
            fault: Some(fault),
        };
        self.raise(crash, Info::fault(signal, code, fault.address));
    }

    /// Reads the memory of a task as a debugger does, whatever its permissions; pages of files come in as
    /// they would for the task. Says how many bytes there are before the first that cannot be had.
    pub fn read_memory(&mut self, task: TaskId, address: u32, buffer: &mut [u8]) -> usize {
        self.by_pages(task, address, buffer.len(), |memory, at, range| {
            memory.peek_bytes(at, &mut buffer[range])
        })
    }

    /// Writes the memory of a task as [`read_memory`](Self::read_memory) reads it.
    pub fn write_memory(&mut self, task: TaskId, address: u32, bytes: &[u8]) -> usize {
        self.by_pages(task, address, bytes.len(), |memory, at, range| memory.poke_bytes(at, &bytes[range]))
    }

    /// Goes through `length` bytes page by page, bringing in those of files.
    fn by_pages(
        &mut self,
        task: TaskId,
        address: u32,
        length: usize,
        mut access: impl FnMut(&mut AddressSpace, u32, Range<usize>) -> Result<(), Fault>,
    ) -> usize {
        if self.parts(task).is_none() {
            return 0;
        }
        let mut done = 0;
        while done < length {
            let at = address.wrapping_add(done as u32);
            let left = (PAGE_SIZE - at % PAGE_SIZE) as usize;
            let range = done..length.min(done + left);
            let space = self.space(task);
            let accessed = match access(&mut space.memory, at, range.clone()) {
                Err(fault) if fault.kind == FaultKind::BeyondEnd && space.resolve(fault).is_ok() => {
                    access(&mut space.memory, at, range.clone())
                }
                other => other,
            };
            // The address space ends, too.
            if accessed.is_err() || at < address {
                break;
            }
            done = range.end;
        }
        done
    }

    /// Sends the signal of an exception.
    fn raise(&mut self, crash: Crash, info: Info) {
        let task = self.task(crash.task);
        if let Some(tracing) = &mut task.tracing {
            tracing.original = u32::MAX;
            if core::mem::take(&mut tracing.stepping) {
                task.cpu.eflags.remove(Eflags::TF);
            }
        }
        task.cause = Cause {
            vector: crash.exception.vector().into(),
            error_code: crash.error_code,
            address: crash.fault.map_or(0, |fault| fault.address),
        };
        task.crash = Some((info.signal, crash));
        self.force_signal(crash.task, info);
    }
}

/// The signal of an exception other than #PF.
fn signal_of(exception: Exception, cpu: &CpuState) -> Info {
    use Exception as E;
    match exception {
        E::DivideError => Info::fault(Signal::FPE, code::FPE_INTDIV, cpu.eip),
        E::Debug if cpu.eflags.contains(Eflags::TF) => Info::fault(Signal::TRAP, code::TRAP_TRACE, cpu.eip),
        E::Debug => Info::fault(Signal::TRAP, code::TRAP_BRKPT, cpu.eip),
        E::Breakpoint => Info::kernel(Signal::TRAP),
        E::InvalidOpcode => Info::fault(Signal::ILL, code::ILL_ILLOPN, cpu.eip),
        E::SegmentNotPresent | E::StackFault => Info::kernel(Signal::BUS),
        E::FloatingPoint => Info::fault(Signal::FPE, x87_code(cpu), cpu.eip),
        E::AlignmentCheck => Info::fault(Signal::BUS, code::BUS_ADRALN, 0),
        E::SimdFloatingPoint => Info::fault(Signal::FPE, simd_code(cpu), cpu.eip),
        // #OF, #BR, #GP and everything else.
        _ => Info::kernel(Signal::SEGV),
    }
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
