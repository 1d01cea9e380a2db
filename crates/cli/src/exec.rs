//! `pentimento exec`: raw machine code as a process of its own.

use pentimento::host::{HostInput, HostOutput};
use pentimento::{CpuState, Eflags, Gpr, Halt, Machine, SegmentRegister};
use serde_json::json;

use crate::arguments::ExecOptions;
use crate::failure::Failure;
use crate::output;

/// Runs the code and shows what it left; returns its exit code.
pub(crate) fn exec(options: &ExecOptions) -> Result<u8, Failure> {
    let code = options.source.read()?;
    check(options, &code)?;
    let length = options.memory.max(code.len() as u64);
    let length = u32::try_from(length).map_err(|_| Failure::new("--memory: at most 4G minus a page"))?;
    let mut machine = Machine::builder()
        .stdin(HostInput::default())
        .stdout(HostOutput::Standard)
        .stderr(HostOutput::Error)
        .build()
        .map_err(|error| Failure::new(error.to_string()))?;
    machine.load_code(options.source.base, &code, length).map_err(|error| Failure::new(error.to_string()))?;
    let mut stack_top = 0;
    if let Some(state) = machine.state() {
        for (name, value) in &options.registers {
            set_register(state, name, *value)?;
        }
        stack_top = state.gpr(Gpr::Esp);
    }
    let halt = machine.run_and_wait(options.limit);
    let ending = Ending {
        halt,
        state: machine.last_state().clone(),
        instructions: machine.statistics().instructions,
        code: (options.source.base, code.len() as u32),
        stack_top,
    };
    ending.show(options)?;
    Ok(ending.exit_code())
}

/// Refuses what is no machine code.
fn check(options: &ExecOptions, code: &[u8]) -> Result<(), Failure> {
    let name =
        options.source.file.as_deref().map_or_else(|| "--hex".into(), |file| file.display().to_string());
    if code.is_empty() {
        return Err(Failure::new(format!("{name}: no code; give at least one byte")));
    }
    if code.starts_with(b"\x7fELF") {
        return Err(Failure::new(format!("{name}: an ELF file, not raw code; 'pentimento run' runs it")));
    }
    Ok(())
}

/// How the code ended, and what it left.
struct Ending {
    halt: Halt,
    state: CpuState,
    instructions: u64,
    /// Where the code began, and how many bytes it was long.
    code: (u32, u32),
    /// The stack pointer at the start.
    stack_top: u32,
}

impl Ending {
    /// What is printed of it: on standard output what was asked for, else on standard error what is
    /// no ordinary end.
    fn show(&self, options: &ExecOptions) -> Result<(), Failure> {
        let plural = if self.instructions == 1 { "" } else { "s" };
        let line = format!("{} after {} instruction{plural}", self.described(), self.instructions);
        if options.json {
            output::print_text(format!("{}\n", self.as_json()))?;
        } else if options.regs {
            output::print_text(format!("{}\n{line}\n", self.state))?;
        } else {
            match self.halt {
                Halt::Exited(_) => {}
                // Code that only computes has nothing to show but its registers.
                Halt::CodeEnd | Halt::Halted => {
                    output::say(format_args!("{}\npentimento: {line}", self.state));
                }
                Halt::Killed { crash: Some(_), .. } => output::say(format_args!("pentimento: {line}")),
                _ => output::say(format_args!("pentimento: {line}, at eip {:#010x}", self.state.eip)),
            }
        }
        if let Some(depth) = self.stack_in_code() {
            output::say(format_args!(
                "pentimento: hint: the stack, {depth} bytes deep, has run into the code; --memory makes room"
            ));
        }
        Ok(())
    }

    /// The address behind the code.
    fn code_end(&self) -> u32 {
        self.code.0.wrapping_add(self.code.1)
    }

    /// Whether the code ended in the middle of an instruction.
    fn is_cut_off(&self) -> bool {
        self.halt == Halt::CodeEnd && self.state.eip != self.code_end()
    }

    fn described(&self) -> String {
        if self.is_cut_off() {
            return format!("stopped at {:#010x}: the last instruction is cut off", self.state.eip);
        }
        self.halt.to_string()
    }

    fn exit_code(&self) -> u8 {
        let bad_end = matches!(self.halt, Halt::CodeEnd | Halt::Halted) && self.stack_in_code().is_some();
        if self.is_cut_off() || bad_end { crate::failure::OWN } else { exit_code(self.halt) }
    }

    /// How deep the stack is, if it has grown into the code and that did not end by itself.
    fn stack_in_code(&self) -> Option<u32> {
        /// Pushes below the code fault soon.
        const BELOW: u32 = 0x1_0000;
        let depth = self.stack_top.wrapping_sub(self.state.gpr(Gpr::Esp));
        let room = self.stack_top.wrapping_sub(self.code_end());
        let ended = matches!(self.halt, Halt::Exited(_));
        (!ended && depth > room && depth - room <= self.code.1.saturating_add(BELOW)).then_some(depth)
    }

    fn as_json(&self) -> serde_json::Value {
        let state = &self.state;
        let registers: serde_json::Map<_, _> = Gpr::ALL
            .into_iter()
            .map(|register| (register.name().to_owned(), state.gpr(register).into()))
            .collect();
        let (exit_code, signal) = match self.halt {
            Halt::Exited(status) => (Some(status), None),
            Halt::Killed { signal, .. } => (None, Some(signal)),
            _ => (None, None),
        };
        json!({
            "end": self.described(),
            "exit_code": exit_code,
            "signal": signal,
            "instructions": self.instructions,
            "registers": registers,
            "eip": state.eip,
            "eflags": state.eflags.bits(),
            "segments": SegmentRegister::ALL.map(|register| state.segment(register).selector),
        })
    }
}

/// The command's exit code for the way a machine ended.
pub(crate) fn exit_code(halt: Halt) -> u8 {
    match halt {
        Halt::Exited(status) => status,
        Halt::Killed { signal, .. } => 128_u8.saturating_add(signal),
        Halt::CodeEnd | Halt::Halted => 0,
        _ => crate::failure::OWN,
    }
}

fn set_register(state: &mut CpuState, name: &str, value: u32) -> Result<(), Failure> {
    match (name, Gpr::ALL.into_iter().find(|register| register.name() == name)) {
        (_, Some(register)) => state.set_gpr(register, value),
        ("eip", _) => state.eip = value,
        ("eflags", _) => {
            state.eflags = Eflags::from_bits_truncate(value) & Eflags::USER_WRITABLE | Eflags::INITIAL;
        }
        _ => return Err(Failure::new(format!("--reg: no register '{name}'; use eax to edi, eip or eflags"))),
    }
    Ok(())
}
