//! What a debugger shows: registers, flags, stack, and the current instruction among its neighbours.

use std::fmt;

use crate::disassembler::Line;
use crate::operation::mask;
use crate::processor::Processor;

/// Entries of the stack that a view shows.
const STACK_SHOWN: u64 = 8;
/// Instructions before the current one, and behind it.
const BEFORE: usize = 3;
const BEHIND: usize = 4;

/// The state of a processor at one moment, to print or to pick from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// The registers in their order, the instruction pointer last if it has no number.
    pub registers: Vec<RegisterView>,
    /// All flags as one number, the first flag its lowest bit.
    pub flags: u32,
    /// The names of the flags that are set.
    pub flags_set: Vec<String>,
    /// The topmost entries of the stack, the top first; at most eight.
    pub stack: Vec<u64>,
    /// The entries of the whole stack; `None` where there is none.
    pub stack_len: Option<u64>,
    /// Bits of an entry.
    stack_width: u8,
    /// Instructions around the current one.
    pub code: Vec<Line>,
    /// The address of the current instruction, which need not be among them.
    pub ip: u64,
}

/// A register in a view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisterView {
    /// The name that the set gives it.
    pub name: String,
    /// Bits, 1 to 64.
    pub width: u8,
    /// The value, in the low bits.
    pub value: u64,
}

impl Processor {
    /// What a debugger would show now.
    #[must_use]
    pub fn view(&self) -> View {
        let set = &self.instruction_set().inner;
        let value = |name: &str| self.get(name).unwrap_or(0);
        let registers = set.registers.iter().map(|register| RegisterView {
            name: register.name.clone(),
            width: register.width,
            value: value(&register.name),
        });
        let flags_set = set.flags.iter().filter(|flag| value(flag) != 0).cloned();
        View {
            registers: registers.collect(),
            flags: self.flags(),
            flags_set: flags_set.collect(),
            stack: (0..STACK_SHOWN).map_while(|depth| self.stack_entry(depth)).collect(),
            stack_len: set.stack.map(|_| self.stack_len()),
            stack_width: set.stack.map_or(64, |stack| stack.width),
            code: self.context(),
            ip: self.ip(),
        }
    }

    /// The instruction at an address, as text; `None` outside what can be code.
    #[must_use]
    pub fn line_at(&self, address: u64) -> Option<Line> {
        let mut bytes = [0; crate::bounds::INSTRUCTION_BYTES];
        let bytes =
            self.code_bytes(&self.instruction_set().inner, u32::try_from(address).ok()?, &mut bytes)?;
        Some(self.instruction_set().line(address, bytes))
    }

    /// Some instructions before the current one, it, and some behind it.
    fn context(&self) -> Vec<Line> {
        let mut lines = self.lines_before();
        let mut address = self.ip();
        // Behind the program there is only what nobody wrote.
        let end = u64::from(self.program_end()).max(address.saturating_add(1));
        while lines.len() <= BEFORE + BEHIND
            && address < end
            && let Some(line) = self.line_at(address)
        {
            address += u64::from(line.length);
            lines.push(line);
        }
        lines
    }

    /// The instructions that end where the current one starts. In code of bytes there can be several ways to
    /// read what lies before; it is the one from furthest back that meets the current instruction.
    fn lines_before(&self) -> Vec<Line> {
        let reach = crate::bounds::INSTRUCTION_BYTES as u64 * BEFORE as u64;
        let ip = self.ip();
        for start in ip.saturating_sub(reach)..ip {
            let mut lines = Vec::new();
            let mut address = start;
            while address < ip
                && let Some(line) = self.line_at(address)
            {
                address += u64::from(line.length);
                lines.push(line);
            }
            if address == ip {
                return lines.split_off(lines.len().saturating_sub(BEFORE));
            }
        }
        Vec::new()
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for register in &self.registers {
            let digits = usize::from(register.width.div_ceil(4));
            writeln!(
                f,
                "{:<4} 0x{:0digits$x} {}",
                register.name,
                register.value & mask(register.width),
                register.value
            )?;
        }
        write!(f, "flags {}", self.flags)?;
        for flag in &self.flags_set {
            write!(f, " {flag}")?;
        }
        writeln!(f)?;
        if let Some(length) = self.stack_len {
            write!(f, "stack {length}")?;
            let digits = usize::from(self.stack_width.div_ceil(4));
            for (depth, entry) in self.stack.iter().enumerate() {
                write!(f, "{} 0x{entry:0digits$x}", if depth == 0 { ":" } else { "" })?;
            }
            writeln!(f, "{}", if self.stack.len() as u64 == length { "" } else { " ..." })?;
        }
        for line in &self.code {
            let mark = if line.address == self.ip { "=>" } else { "  " };
            writeln!(f, "{mark} {:08x}  {:<24} {}", line.address, line.code, line.text)?;
        }
        Ok(())
    }
}
