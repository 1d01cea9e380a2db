//! The machine that the debugger shows, and what the keys do to it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pentimento::decoder::{Operation, listing};
use pentimento::host::{Invocation, TraceSink};
use pentimento::{
    Bounds, Capture, CpuState, Eflags, Gpr, Halt, History, Machine, Past, RestoreError, TaskId,
};

use super::view::{CodeLine, Register, Room, Screen};

/// How long the machine runs between two looks at the keyboard.
const SLICE: Duration = Duration::from_millis(50);

/// Steps that 'finish' makes at most.
const FINISH_MOST: u64 = 5_000_000;

/// The system calls made, as far as the machine has come; it forgets those that were undone.
#[derive(Clone, Default)]
pub(super) struct CallLog(Arc<Log>);

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    /// Calls are repeated on the way to an earlier moment.
    deaf: AtomicBool,
}

impl CallLog {
    fn last(&self, count: usize) -> Vec<String> {
        let lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines[lines.len().saturating_sub(count)..].to_vec()
    }

    /// Hears nothing while `act` goes back, and then forgets all calls but the first.
    fn go_back<R>(&self, act: impl FnOnce() -> (R, u64)) -> R {
        self.0.deaf.store(true, Ordering::Relaxed);
        let (result, calls) = act();
        self.0.deaf.store(false, Ordering::Relaxed);
        let calls = usize::try_from(calls).unwrap_or(usize::MAX);
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).truncate(calls);
        result
    }
}

impl TraceSink for CallLog {
    fn system_call(&mut self, invocation: &Invocation) {
        if !self.0.deaf.load(Ordering::Relaxed) {
            self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).push(invocation.to_string());
        }
    }

    fn unimplemented(&mut self, _: u32, _: &str) {}
}

/// A program under the debugger.
pub(super) struct Session {
    machine: Machine,
    history: History,
    calls: CallLog,
    output: Capture,
    program: String,
    /// Registers at the last stop but one.
    before: CpuState,
    /// The first address of the code pane.
    top: u32,
    /// The first address of the memory pane; ESP's row where nobody has chosen one.
    memory: Option<u32>,
    status: String,
}

impl Session {
    /// A session with a machine whose program has not begun.
    pub(super) fn new(mut machine: Machine, calls: CallLog, output: Capture, program: String) -> Self {
        let history = History::of(&mut machine);
        let mut session = Self {
            machine,
            history,
            calls,
            output,
            program,
            before: CpuState::new(),
            top: 0,
            memory: None,
            status: "at the start".into(),
        };
        session.before = session.state();
        session
    }

    fn task(&mut self) -> Option<TaskId> {
        self.machine.task().or_else(|| self.machine.kernel().first_task())
    }

    /// The registers of the task whose turn it is; of a machine that has ended, the last ones.
    fn state(&mut self) -> CpuState {
        let task = self.task();
        let parts = task.and_then(|task| self.machine.kernel().parts(task));
        let state = parts.map(|parts| parts.cpu.clone());
        state.unwrap_or_else(|| self.machine.last_state().clone())
    }

    fn read(&mut self, address: u32, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let Some(task) = self.task() else { return Vec::new() };
        let read = self.machine.kernel().read_memory(task, address, &mut bytes);
        bytes.truncate(read);
        bytes
    }

    fn instructions(&self) -> u64 {
        self.machine.statistics().instructions
    }

    /// Executes one instruction.
    pub(super) fn step(&mut self) {
        self.before = self.state();
        let halt = self.history.run(&mut self.machine, 1);
        self.stopped(halt);
    }

    /// Executes one instruction, and where it is a call, all of what it calls.
    pub(super) fn next(&mut self, interrupted: &mut dyn FnMut() -> bool) {
        let (state, call) = (self.state(), self.call_length());
        let Some(length) = call else { return self.step() };
        self.before = state.clone();
        let (behind, stack) = (state.eip.wrapping_add(length), state.gpr(Gpr::Esp));
        let halt = self.run(Bounds::none().until(behind), interrupted, &|state| state.gpr(Gpr::Esp) >= stack);
        self.stopped(halt);
    }

    /// The bytes of the instruction at EIP if it is a call.
    fn call_length(&mut self) -> Option<u32> {
        let eip = self.state().eip;
        let bytes = self.read(eip, 15);
        let first = listing(&bytes, eip).next()?;
        let instruction = first.instruction.ok()?;
        (instruction.operation() == Operation::Call).then_some(first.bytes.len() as u32)
    }

    /// Runs until the function returns: an instruction RET that takes the stack above where it is now.
    pub(super) fn finish(&mut self, interrupted: &mut dyn FnMut() -> bool) {
        let begun = self.state();
        self.before = begun.clone();
        let mut halt = Halt::Budget;
        for step in 0..FINISH_MOST {
            let eip = self.state().eip;
            let first = self.read(eip, 2);
            halt = self.history.run(&mut self.machine, 1);
            let returned = matches!(first.as_slice(), [0xc2 | 0xc3, ..] | [0xf2 | 0xf3, 0xc3]);
            let above = self.state().gpr(Gpr::Esp) > begun.gpr(Gpr::Esp);
            let behind = self.state().eip;
            let at_breakpoint = self.machine.breakpoints.contains(&behind);
            if halt != Halt::Budget || returned && above || at_breakpoint {
                break;
            }
            if step % 4096 == 0 && interrupted() {
                halt = Halt::Stopped;
                break;
            }
        }
        self.stopped(halt);
    }

    /// Runs to a breakpoint or the end.
    pub(super) fn go_on(&mut self, interrupted: &mut dyn FnMut() -> bool) {
        self.before = self.state();
        let halt = self.run(Bounds::none(), interrupted, &|_| true);
        self.stopped(halt);
    }

    /// Runs until something stops the machine or the user presses a key; [`Halt::Reached`] counts where
    /// `arrived` says so.
    fn run(
        &mut self,
        bounds: Bounds,
        interrupted: &mut dyn FnMut() -> bool,
        arrived: &dyn Fn(&CpuState) -> bool,
    ) -> Halt {
        loop {
            match self.history.run(&mut self.machine, bounds.timeout(SLICE)) {
                Halt::Timeout | Halt::Budget => {}
                Halt::Waiting { .. } => {
                    self.machine.wait(SLICE);
                }
                Halt::Reached(_) if !arrived(&self.state()) => {}
                halt => return halt,
            }
            if interrupted() {
                return Halt::Stopped;
            }
        }
    }

    /// Goes back by one instruction.
    pub(super) fn back(&mut self) {
        self.go_back(|history, machine| history.reverse_step(machine));
    }

    /// Goes back to a breakpoint or the start.
    pub(super) fn reverse(&mut self) {
        self.go_back(|history, machine| history.reverse_continue(machine));
    }

    fn go_back(&mut self, act: impl FnOnce(&mut History, &mut Machine) -> Result<Past, RestoreError>) {
        self.before = self.state();
        let Self { machine, history, calls, .. } = self;
        let past = calls.go_back(|| {
            let past = act(history, machine);
            (past, machine.statistics().system_calls)
        });
        self.status = match past {
            Ok(Past::Breakpoint(eip)) => format!("back at the breakpoint {eip:#010x}"),
            Ok(Past::Beginning) => "at the start".into(),
            Ok(_) => "back".into(),
            Err(error) => error.to_string(),
        };
    }

    fn stopped(&mut self, halt: Halt) {
        self.status = match halt {
            Halt::Budget => "stepped".into(),
            halt => halt.to_string(),
        };
    }

    /// Sets or takes away a breakpoint: at EIP if no address is given.
    pub(super) fn toggle_breakpoint(&mut self, address: Option<u32>) {
        let address = address.unwrap_or(self.state().eip);
        let set = !self.machine.breakpoints.remove(&address) && self.machine.breakpoints.insert(address);
        self.status = format!("breakpoint {address:#010x} {}", if set { "set" } else { "taken away" });
    }

    /// Chooses what the memory pane shows.
    pub(super) fn show_memory(&mut self, address: u32) {
        self.memory = Some(address & !15);
    }

    /// Moves the memory pane by rows of 16 bytes.
    pub(super) fn scroll_memory(&mut self, rows: i32) {
        let first = self.memory.unwrap_or(self.state().gpr(Gpr::Esp) & !15);
        self.memory = Some(first.wrapping_add_signed(rows * 16));
    }

    /// Says something on the status line.
    pub(super) fn say(&mut self, text: String) {
        self.status = text;
    }

    /// What there is to see.
    pub(super) fn screen(&mut self, room: &Room) -> Screen {
        let state = self.state();
        let (esp, first) = (state.gpr(Gpr::Esp), self.memory.unwrap_or(state.gpr(Gpr::Esp) & !15));
        let words = self.read(esp, room.stack * 4);
        let words = words.chunks_exact(4).zip((esp..).step_by(4));
        let stack = words.map(|(word, address)| {
            (address, word.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
        });
        let stack = stack.collect();
        let rows = (0..room.memory as u32).map(|row| first.wrapping_add(row * 16));
        let memory = rows.map(|address| (address, self.read(address, 16))).collect();
        let before = &self.before;
        let mut registers: Vec<Register> = Gpr::ALL
            .iter()
            .map(|gpr| {
                let value = state.gpr(*gpr);
                Register { name: gpr.name(), value, changed: value != before.gpr(*gpr) }
            })
            .collect();
        registers.push(Register { name: "eip", value: state.eip, changed: state.eip != before.eip });
        let text = self.output.text();
        let lines: VecDeque<&str> = text.lines().collect();
        let skipped = lines.len().saturating_sub(room.log);
        Screen {
            title: format!("{}, {} instructions", self.program, self.instructions()),
            registers,
            flags: state.eflags,
            changed_flags: Eflags::from_bits_retain(state.eflags.bits() ^ before.eflags.bits()),
            stack,
            memory,
            calls: self.calls.last(room.log),
            output: lines.into_iter().skip(skipped).map(str::to_owned).collect(),
            status: self.status.clone(),
            code: self.code(state.eip, room.code),
        }
    }

    /// The lines of code: from where they began last time, as long as EIP is among them.
    fn code(&mut self, eip: u32, rows: usize) -> Vec<CodeLine> {
        for top in [self.top, eip] {
            let bytes = self.read(top, rows * 15);
            let lines: Vec<CodeLine> = listing(&bytes, top)
                .take(rows)
                .map(|listed| CodeLine {
                    address: listed.address,
                    bytes: listed.bytes.to_vec(),
                    text: listed.to_string(),
                    is_next: listed.address == eip,
                    has_breakpoint: self.machine.breakpoints.contains(&listed.address),
                })
                .collect();
            if lines.iter().rev().skip(2).any(|line| line.is_next) || top == eip {
                self.top = top;
                return lines;
            }
        }
        Vec::new()
    }
}
