//! `pentimento exec`: raw machine code as a process of its own.

use pentimento::{CpuState, Eflags, Gpr, Halt, Machine, SegmentRegister};
use serde_json::json;

use crate::arguments::ExecOptions;
use crate::failure::Failure;
use crate::streams::{HostInput, HostOutput};

/// Runs the code and shows what it left; returns its exit code.
pub(crate) fn exec(options: &ExecOptions) -> Result<u8, Failure> {
    let code = options.source.read()?;
    let length = options.memory.max(code.len() as u64);
    let length = u32::try_from(length).map_err(|_| Failure::new("--memory: at most 4G minus a page"))?;
    let mut machine = Machine::builder()
        .stdin(HostInput::default())
        .stdout(HostOutput::Standard)
        .stderr(HostOutput::Error)
        .build()
        .map_err(|error| Failure::new(error.to_string()))?;
    machine.load_code(options.source.base, &code, length).map_err(|error| Failure::new(error.to_string()))?;
    if let Some(state) = machine.state() {
        for (name, value) in &options.registers {
            set_register(state, name, *value)?;
        }
    }
    let halt = machine.run(options.limit);
    let state = machine.last_state().clone();
    let instructions = machine.statistics().instructions;
    if options.json {
        println!("{}", as_json(&state, halt, instructions));
    } else if options.regs {
        print!("{}", as_text(&state));
        println!("{} after {instructions} instructions", describe(halt));
    } else if !matches!(halt, Halt::Exited(_)) {
        eprintln!(
            "pentimento: {} at eip {:#010x} after {instructions} instructions",
            describe(halt),
            state.eip
        );
    }
    Ok(exit_code(halt))
}

/// The command's exit code for the way a machine ended.
pub(crate) fn exit_code(halt: Halt) -> u8 {
    match halt {
        Halt::Exited(status) => status,
        Halt::Killed(signal) => 128_u8.saturating_add(signal),
        Halt::Budget | Halt::Deadlock | Halt::Stopped => crate::failure::OWN,
    }
}

/// The way a machine ended, in words.
pub(crate) fn describe(halt: Halt) -> String {
    match halt {
        Halt::Exited(status) => format!("exit code {status}"),
        Halt::Killed(signal) => format!("killed by signal {signal}"),
        Halt::Budget => "instruction limit reached".into(),
        Halt::Deadlock => "deadlock: every task waits for something that cannot happen".into(),
        Halt::Stopped => "stopped".into(),
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

fn as_text(state: &CpuState) -> String {
    let mut text = String::new();
    for (index, register) in Gpr::ALL.into_iter().enumerate() {
        let end = if index % 4 == 3 { '\n' } else { ' ' };
        text.push_str(&format!("{register} {:08x}{end}", state.gpr(register)));
    }
    text.push_str(&format!("eip {:08x} eflags {:08x}", state.eip, state.eflags.bits()));
    for (name, _) in state.eflags.intersection(Eflags::STATUS | Eflags::DF | Eflags::TF).iter_names() {
        text.push_str(&format!(" {name}"));
    }
    text.push('\n');
    for register in SegmentRegister::ALL {
        text.push_str(&format!("{} {:04x} ", register.name(), state.segment(register).selector));
    }
    text.push('\n');
    text
}

fn as_json(state: &CpuState, halt: Halt, instructions: u64) -> serde_json::Value {
    let registers: serde_json::Map<_, _> = Gpr::ALL
        .into_iter()
        .map(|register| (register.name().to_owned(), state.gpr(register).into()))
        .collect();
    let (exit_code, signal) = match halt {
        Halt::Exited(status) => (Some(status), None),
        Halt::Killed(signal) => (None, Some(signal)),
        _ => (None, None),
    };
    json!({
        "end": describe(halt),
        "exit_code": exit_code,
        "signal": signal,
        "instructions": instructions,
        "registers": registers,
        "eip": state.eip,
        "eflags": state.eflags.bits(),
        "segments": SegmentRegister::ALL.map(|register| state.segment(register).selector),
    })
}
