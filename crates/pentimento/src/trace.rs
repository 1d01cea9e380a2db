//! Traces: a line for each instruction that a guest executes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use pentimento_decoder::Instruction;
use pentimento_execute::observe::MemoryAccess;
use pentimento_memory::Access;
use pentimento_registers::{CpuState, Gpr};

use crate::hooks::{HookId, Hooks, Task, View};

/// A trace that is being written. Each line is an instruction that has been executed: its address, bytes
/// and text, the general registers and flags that have changed, and the accesses to memory with their
/// values:
///
/// ```text
/// 00001000 b805000000           mov eax,5                      eax=00000005
/// 00001005 a300200000           mov [2000h],eax                [00002000]4<-00000005
/// ```
///
/// On a machine the number of the task comes first.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use pentimento::{Cpu, Permissions, Trace};
///
/// let mut cpu = Cpu::new();
/// cpu.memory.map(0x1000, 0x2000, Permissions::all())?;
/// cpu.memory.poke_bytes(0x1000, &[0xb8, 5, 0, 0, 0, 0xa3, 0, 0x20, 0, 0, 0xcc])?;
/// cpu.state.eip = 0x1000;
/// let trace = Trace::start(&mut cpu.hooks, Vec::new());
/// cpu.run(100);
/// let text = String::from_utf8(trace.finish(&mut cpu.hooks)?)?;
/// assert!(text.lines().next().unwrap().ends_with("eax=00000005"));
/// assert_eq!(text.lines().count(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Trace<W> {
    writer: Arc<Mutex<Option<Writer<W>>>>,
    hooks: [HookId; 2],
}

/// What the hooks of a trace share.
#[derive(Debug)]
struct Writer<W> {
    output: W,
    /// The first error, after which nothing is written.
    error: Option<io::Error>,
    /// The instruction that each task executes.
    begun: HashMap<Option<Task>, Line>,
}

/// A line that is not complete.
#[derive(Debug)]
struct Line {
    text: String,
    registers: [u32; 8],
    flags: u32,
    accesses: String,
}

impl<W: Write + Send + 'static> Trace<W> {
    /// Writes what happens from now on to `output`, which is called for each line.
    pub fn start(hooks: &mut Hooks, output: W) -> Self {
        let writer = Writer { output, error: None, begun: HashMap::new() };
        let writer = Arc::new(Mutex::new(Some(writer)));
        let shared = Arc::clone(&writer);
        let instructions = hooks.on_instruction(.., move |view, instruction| {
            if let Some(writer) = &mut *shared.lock().unwrap_or_else(PoisonError::into_inner) {
                writer.begin(view, instruction);
            }
        });
        let shared = Arc::clone(&writer);
        let accesses = hooks.on_access(.., move |view, access| {
            if let Some(writer) = &mut *shared.lock().unwrap_or_else(PoisonError::into_inner)
                && let Some(line) = writer.begun.get_mut(&view.task)
            {
                line.access(access);
            }
        });
        Self { writer, hooks: [instructions, accesses] }
    }

    /// Ends the trace, and gives its output back. The last instruction of each task is written without the
    /// registers that it has changed.
    ///
    /// # Errors
    /// The output could not take everything.
    pub fn finish(self, hooks: &mut Hooks) -> io::Result<W> {
        self.hooks.into_iter().for_each(|id| hooks.remove(id));
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut writer = writer.ok_or_else(|| io::Error::other("the trace has ended before"))?;
        let mut left: Vec<_> = writer.begun.drain().collect();
        left.sort_by_key(|(task, _)| *task);
        for (_, line) in left {
            let (registers, flags) = (line.registers, line.flags);
            writer.write(&line, &registers, flags);
        }
        match writer.error {
            Some(error) => Err(error),
            None => writer.output.flush().map(|()| writer.output),
        }
    }
}

impl<W: Write> Writer<W> {
    /// Writes the line of the instruction before, and begins that of `instruction`.
    fn begin(&mut self, view: &View<'_>, instruction: &Instruction) {
        let (registers, flags) = (*view.state.gprs(), view.state.eflags.bits());
        if let Some(line) = self.begun.remove(&view.task) {
            self.write(&line, &registers, flags);
        }
        let text = head(view, &view.state, instruction);
        self.begun.insert(view.task, Line { text, registers, flags, accesses: String::new() });
    }

    /// Writes `line`, whose instruction has left these registers and flags.
    fn write(&mut self, line: &Line, registers: &[u32; 8], flags: u32) {
        let mut text = line.text.clone();
        for register in Gpr::ALL {
            let index = usize::from(register.number());
            if registers[index] != line.registers[index] {
                // Writing to a string does not fail.
                let _ = write!(text, " {register}={:08x}", registers[index]);
            }
        }
        if flags != line.flags {
            let _ = write!(text, " efl={flags:08x}");
        }
        text.push_str(&line.accesses);
        let written = writeln!(self.output, "{}", text.trim_end());
        if let Err(error) = written
            && self.error.is_none()
        {
            self.error = Some(error);
        }
    }
}

impl Line {
    fn access(&mut self, access: &MemoryAccess) {
        let MemoryAccess { address, length, value, .. } = access;
        let arrow = if access.access == Access::Write { "<-" } else { "->" };
        let digits = 2 * usize::from(*length);
        let _ = write!(self.accesses, " [{address:08x}]{length}{arrow}{value:0digits$x}");
    }
}

/// Address, bytes and text of the instruction at EIP.
fn head(view: &View<'_>, state: &CpuState, instruction: &Instruction) -> String {
    let mut bytes = [0; 15];
    let bytes = &mut bytes[..instruction.length().into()];
    // It has just been decoded from there.
    let _ = view.memory.peek_bytes(state.eip, bytes);
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let task = task_number(view);
    format!("{task}{:08x} {hex:<20} {:<30}", state.eip, instruction.display(state.eip).to_string())
}

#[cfg(feature = "linux")]
fn task_number(view: &View<'_>) -> String {
    view.task.map_or_else(String::new, |task| format!("{} ", task.number()))
}

#[cfg(not(feature = "linux"))]
const fn task_number(_: &View<'_>) -> String {
    String::new()
}
