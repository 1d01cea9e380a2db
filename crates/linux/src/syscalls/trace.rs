//! System calls as strace(1) prints them.

use core::fmt;

use super::table::{self, ArgumentKind as Kind};
use super::{flags, time};
use crate::Errno;
use crate::kernel::Kernel;
use crate::signal::Signal;
use crate::task::TaskId;
use crate::wait::PendingCall;

/// A system call as a trace sink sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invocation {
    /// Who called.
    pub task: TaskId,
    /// The number.
    pub number: u32,
    /// The name.
    pub name: &'static str,
    /// The arguments as strace(1) prints them.
    pub arguments: Vec<String>,
    /// The value returned; `None` for a call that does not return, such as exit(2).
    pub result: Option<Result<u32, Errno>>,
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.arguments.join(", "))?;
        match self.result {
            None => f.write_str(" = ?"),
            Some(Err(errno)) => write!(f, " = -1 {} ({errno})", errno.name()),
            Some(Ok(value)) if value < 0x100_0000 => write!(f, " = {value}"),
            Some(Ok(value)) => write!(f, " = {value:#x}"),
        }
    }
}

/// How many bytes of a buffer are printed.
const SHOWN: u32 = 32;
/// How many elements of an array are printed.
const ELEMENTS: u32 = 32;

impl Kernel {
    /// Prints the arguments of a call that begins, while what they point to is as it was.
    pub(super) fn trace_entry(&mut self, id: TaskId) {
        let Some(call) = self.task(id).call.clone() else { return };
        let printed = match table::find(call.number) {
            Some(row) => self.print_arguments(id, row.arguments, &call.arguments),
            None => call.arguments.iter().map(|argument| format!("{argument:#x}")).collect(),
        };
        if let Some(call) = &mut self.task(id).call {
            call.printed = printed;
        }
    }

    fn print_arguments(&mut self, id: TaskId, kinds: &[Kind], arguments: &[u32; 6]) -> Vec<String> {
        let mut printed = Vec::new();
        let mut index = 0;
        for kind in kinds {
            let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
            let (value, next) = (argument(index), argument(index + 1));
            printed.push(self.print_argument(id, *kind, value, next));
            index += if *kind == Kind::Off64 { 2 } else { 1 };
        }
        printed
    }

    fn print_argument(&mut self, id: TaskId, kind: Kind, value: u32, next: u32) -> String {
        match kind {
            Kind::Int | Kind::Fd => (value as i32).to_string(),
            Kind::Uint | Kind::Size => value.to_string(),
            Kind::Hex => format!("{value:#x}"),
            Kind::Addr | Kind::Envp | Kind::OutBuf => pointer(value),
            Kind::At if value as i32 == -100 => "AT_FDCWD".to_owned(),
            Kind::At => (value as i32).to_string(),
            Kind::AtFlags => flags::bits(flags::AT, value, "0"),
            Kind::Path | Kind::Str => match self.user(id).path(value) {
                Ok(text) => quote(&text, false),
                Err(_) => pointer(value),
            },
            Kind::Argv => self.print_strings(id, value),
            Kind::InBuf => self.print_buffer(id, value, next),
            Kind::InVec => self.print_vector(id, value, next),
            Kind::Off64 => (u64::from(next) << 32 | u64::from(value)).to_string(),
            Kind::Mode => format!("{value:#05o}"),
            Kind::Open => {
                let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][(value & 3) as usize];
                match value & !3 {
                    0 => access.to_owned(),
                    rest => format!("{access}|{}", flags::bits(flags::OPEN, rest, "")),
                }
            }
            Kind::Access => flags::bits(flags::ACCESS, value, "F_OK"),
            Kind::Whence => flags::value(flags::WHENCE, value),
            Kind::Ioctl => flags::value(flags::IOCTL, value),
            Kind::Fcntl => flags::value(flags::FCNTL, value),
            Kind::Prot => flags::bits(flags::PROTECTION, value, "PROT_NONE"),
            Kind::Map => flags::bits(flags::MAP, value, "0"),
            Kind::Sig => Signal::new(value).map_or_else(|| value.to_string(), Signal::name),
            Kind::SigHow => flags::value(flags::SIGNAL_HOW, value),
            Kind::SigSet => self.print_set(id, value),
            Kind::CloneBits => {
                let signal = Signal::new(value & 0xff).map_or_else(|| "0".to_owned(), Signal::name);
                format!("{}|{signal}", flags::bits(flags::CLONE, value & !0xff, "0"))
            }
            Kind::Wait => flags::bits(flags::WAIT, value, "0"),
            Kind::Clock => flags::value(flags::CLOCK, value),
            Kind::Futex => {
                let private = if value & 0x80 != 0 { "_PRIVATE" } else { "" };
                let realtime = if value & 0x100 != 0 { "|FUTEX_CLOCK_REALTIME" } else { "" };
                format!("{}{private}{realtime}", flags::value(flags::FUTEX, value & !0x180))
            }
            Kind::Resource => flags::value(flags::RESOURCE, value),
            Kind::Timespec => self.print_time(id, value, time::Layout::Short),
            Kind::Timespec64 => self.print_time(id, value, time::Layout::Long),
        }
    }

    fn print_buffer(&mut self, id: TaskId, address: u32, length: u32) -> String {
        match self.user(id).bytes(address, length.min(SHOWN)) {
            Ok(bytes) => quote(&bytes, length > SHOWN),
            Err(_) => pointer(address),
        }
    }

    fn print_vector(&mut self, id: TaskId, address: u32, count: u32) -> String {
        let mut parts = Vec::new();
        for index in 0..count.min(ELEMENTS) {
            let Ok([base, length]) = self.user(id).words(address.wrapping_add(8 * index)) else {
                return pointer(address);
            };
            parts.push(format!("{{iov_base={}, iov_len={length}}}", self.print_buffer(id, base, length)));
        }
        format!("[{}]", parts.join(", "))
    }

    fn print_strings(&mut self, id: TaskId, array: u32) -> String {
        let mut parts = Vec::new();
        for index in 0..ELEMENTS {
            match self.user(id).read::<u32>(array.wrapping_add(4 * index)) {
                Ok(0) => break,
                Ok(text) => match self.user(id).path(text) {
                    Ok(text) => parts.push(quote(&text, false)),
                    Err(_) => parts.push(pointer(text)),
                },
                Err(_) => return pointer(array),
            }
        }
        format!("[{}]", parts.join(", "))
    }

    fn print_set(&mut self, id: TaskId, address: u32) -> String {
        match self.user(id).read::<u64>(address) {
            Ok(set) => {
                // A set of most signals reads better as what it lacks.
                let (set, not) = if set.count_ones() > 32 { (!set, "~") } else { (set, "") };
                let names = (1..=64).filter(|number| set >> (number - 1) & 1 != 0);
                let names: Vec<String> = names
                    .filter_map(|number| {
                        Some(Signal::new(number)?.name().trim_start_matches("SIG").to_owned())
                    })
                    .collect();
                format!("{not}[{}]", names.join(" "))
            }
            Err(_) => pointer(address),
        }
    }

    fn print_time(&mut self, id: TaskId, address: u32, layout: time::Layout) -> String {
        match time::read_timespec(self, id, address, layout) {
            Ok(time) => format!("{{tv_sec={}, tv_nsec={}}}", time / 1_000_000_000, time % 1_000_000_000),
            Err(_) => pointer(address),
        }
    }

    /// Tells the sink of a call that has ended.
    pub(super) fn trace_result(&mut self, id: TaskId, call: &PendingCall, value: Option<u32>) {
        if self.host.trace.is_none() {
            return;
        }
        let row = table::find(call.number);
        // A program that replaced itself has returned 0 to its new self.
        let replaced = row.is_some_and(|row| row.name.starts_with("execve")).then_some(0);
        let result = value.or(replaced).map(|value| Errno::from_register(value).map_or(Ok(value), Err));
        let mut arguments = call.printed.clone();
        if let (Some(row), Some(Ok(length))) = (row, result)
            && let Some(index) = row.arguments.iter().position(|kind| *kind == Kind::OutBuf)
            && self.tasks.contains_key(&id)
            && let Some(printed) = arguments.get_mut(index)
        {
            *printed = self.print_buffer(id, call.arguments[index], length);
        }
        let invocation = Invocation {
            task: id,
            number: call.number,
            name: row.map_or("unknown", |row| row.name),
            arguments,
            result,
        };
        if let Some(trace) = &mut self.host.trace {
            trace.system_call(&invocation);
        }
    }
}

fn pointer(value: u32) -> String {
    if value == 0 { "NULL".to_owned() } else { format!("{value:#x}") }
}

/// A string in quotes, unprintable bytes in octal, with dots if it goes on.
fn quote(bytes: &[u8], goes_on: bool) -> String {
    let mut text = String::from("\"");
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\r' => text.push_str("\\r"),
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            // Three digits where a digit follows, so that it does not join the number.
            _ if bytes.get(index + 1).is_some_and(u8::is_ascii_digit) => {
                text.push_str(&format!("\\{byte:03o}"));
            }
            _ => text.push_str(&format!("\\{byte:o}")),
        }
    }
    text.push('"');
    if goes_on {
        text.push_str("...");
    }
    text
}
