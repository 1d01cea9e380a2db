//! System calls as strace(1) prints them.

use std::net::SocketAddr;

use super::table::ArgumentKind as Kind;
use super::{flags, table, time};
use crate::errno::Errno;
use crate::host::Invocation;
use crate::kernel::Call;
use crate::objects::{OpenFlags, SocketAddress};
use crate::signal::Signal;
use crate::wait::PendingCall;

/// How many bytes of a buffer are printed.
const SHOWN: u32 = 32;
/// How many elements of an array are printed.
const ELEMENTS: u32 = 32;

impl Call<'_> {
    /// Prints the arguments of a call that begins, while what they point to is as it was.
    pub(super) fn trace_entry(&mut self) {
        let Some(pending) = self.task().call.clone() else { return };
        let printed = match table::find(pending.number) {
            Some(row) => self.print_arguments(row.arguments, &pending.arguments),
            None => pending.arguments.iter().map(|argument| format!("{argument:#x}")).collect(),
        };
        if let Some(pending) = &mut self.task().call {
            pending.printed = printed;
        }
    }

    fn print_arguments(&mut self, kinds: &[Kind], arguments: &[u32; 6]) -> Vec<String> {
        let mut printed = Vec::new();
        let mut index = 0;
        for kind in kinds {
            let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
            let (value, next) = (argument(index), argument(index + 1));
            let before = index.checked_sub(1).map_or(0, argument);
            match kind {
                // Only what creates a file takes a mode.
                Kind::Mode if kinds.contains(&Kind::Open) && !makes_file(before) => break,
                Kind::FcntlArgument if matches!(before, F_GETFD | F_GETFL) => break,
                Kind::FcntlArgument => printed.push(fcntl_argument(before, value)),
                Kind::Protocol if matches!(argument(0), AF_INET | AF_INET6) => {
                    printed.push(flags::value(flags::PROTOCOL, value));
                }
                kind => printed.push(self.print_argument(*kind, value, next)),
            }
            index += if matches!(kind, Kind::Off64 | Kind::Seek64) { 2 } else { 1 };
        }
        printed
    }

    fn print_argument(&mut self, kind: Kind, value: u32, next: u32) -> String {
        match kind {
            Kind::Int | Kind::Fd | Kind::Protocol => (value as i32).to_string(),
            Kind::Uint | Kind::Size => value.to_string(),
            Kind::Hex | Kind::FcntlArgument if value == 0 => "0".to_owned(),
            Kind::Hex | Kind::FcntlArgument => format!("{value:#x}"),
            Kind::Page if value == 0 => "0".to_owned(),
            Kind::Page => format!("{:#x}", u64::from(value) << 12),
            Kind::Seek64 => ((u64::from(value) << 32 | u64::from(next)) as i64).to_string(),
            Kind::Family => flags::value(flags::FAMILY, value),
            Kind::SocketType => socket_type(value),
            Kind::Address => self.print_address(value, next),
            Kind::StatxMask => flags::bits(flags::STATX, value, "0"),
            Kind::StatxFlags => flags::bits(flags::AT, value, "AT_STATX_SYNC_AS_STAT"),
            Kind::Addr | Kind::Envp | Kind::OutBuf | Kind::OutVec | Kind::OutWide | Kind::Entries => {
                pointer(value)
            }
            Kind::At if value as i32 == -100 => "AT_FDCWD".to_owned(),
            Kind::At => (value as i32).to_string(),
            Kind::AtFlags => flags::bits(flags::AT, value, "0"),
            Kind::Path | Kind::Str => match self.user().path(value) {
                Ok(text) => quote(&text, false),
                Err(_) => pointer(value),
            },
            Kind::Argv => self.print_strings(value),
            Kind::InBuf => self.print_buffer(value, next),
            Kind::InVec => self.print_vector(value, next, u32::MAX),
            Kind::Off64 => (u64::from(next) << 32 | u64::from(value)).to_string(),
            Kind::Mode => format!("{:0>3}", format!("0{value:o}")),
            Kind::Open => open_flags(value),
            Kind::Access => flags::bits(flags::ACCESS, value, "F_OK"),
            Kind::Whence => flags::value(flags::WHENCE, value),
            Kind::Ioctl => flags::value(flags::IOCTL, value),
            Kind::Fcntl => flags::value(flags::FCNTL, value),
            Kind::Prot => flags::bits(flags::PROTECTION, value, "PROT_NONE"),
            Kind::Map => flags::bits(flags::MAP, value, "0"),
            Kind::Sig => Signal::new(value).map_or_else(|| value.to_string(), Signal::name),
            Kind::SigHow => flags::value(flags::SIGNAL_HOW, value),
            Kind::SigSet => self.print_set(value),
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
            Kind::Timespec => self.print_time(value, time::Layout::Short),
            Kind::Timespec64 => self.print_time(value, time::Layout::Long),
        }
    }

    /// Prints what a call that succeeded has written; `length` is its result.
    fn print_results(&mut self, kinds: &[Kind], pending: &PendingCall, length: u32, printed: &mut [String]) {
        let mut index = 0;
        for (kind, text) in kinds.iter().zip(printed) {
            let address = pending.arguments.get(index).copied().unwrap_or(0);
            match kind {
                Kind::OutBuf => *text = self.print_buffer(address, length),
                Kind::OutVec => {
                    let count = pending.arguments.get(index + 1).copied().unwrap_or(0);
                    *text = self.print_vector(address, count, length);
                }
                Kind::OutWide => {
                    if let Ok(value) = self.user().read::<u64>(address) {
                        *text = format!("[{value}]");
                    }
                }
                Kind::Entries => {
                    let wide = pending.number == GETDENTS64;
                    text.push_str(&format!(" /* {} entries */", self.count_entries(address, length, wide)));
                }
                _ => {}
            }
            index += if matches!(kind, Kind::Off64 | Kind::Seek64) { 2 } else { 1 };
        }
    }

    /// How many directory entries are in `length` bytes.
    fn count_entries(&mut self, address: u32, length: u32, wide: bool) -> u32 {
        let (mut count, mut at) = (0, 0);
        while at < length {
            let place = address.wrapping_add(at).wrapping_add(if wide { 16 } else { 8 });
            match self.user().read::<u16>(place) {
                Ok(size) if size > 0 => at = at.saturating_add(size.into()),
                _ => break,
            }
            count += 1;
        }
        count
    }

    fn print_address(&mut self, address: u32, length: u32) -> String {
        let bytes = match self.user().bytes(address, length.min(128)) {
            Ok(bytes) if bytes.len() >= 2 && address != 0 => bytes,
            _ => return pointer(address),
        };
        let family = u16::from_le_bytes([bytes[0], bytes[1]]);
        let name = flags::value(flags::FAMILY, family.into());
        let body = match SocketAddress::decode(&bytes, family) {
            Ok(Some(SocketAddress::Path(path))) => format!(", sun_path={}", quote(&path, false)),
            Ok(Some(SocketAddress::Abstract(path))) => format!(", sun_path=@{}", quote(&path, false)),
            Ok(Some(SocketAddress::Internet(SocketAddr::V4(at)))) => {
                format!(", sin_port=htons({}), sin_addr=inet_addr(\"{}\")", at.port(), at.ip())
            }
            Ok(Some(SocketAddress::Internet(SocketAddr::V6(at)))) => format!(
                ", sin6_port=htons({}), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, \"{}\", &sin6_addr), sin6_scope_id=0",
                at.port(),
                at.ip()
            ),
            _ => String::new(),
        };
        format!("{{sa_family={name}{body}}}")
    }

    fn print_buffer(&mut self, address: u32, length: u32) -> String {
        match self.user().bytes(address, length.min(SHOWN)) {
            Ok(bytes) => quote(&bytes, length > SHOWN),
            Err(_) => pointer(address),
        }
    }

    /// An array of buffers, with `left` bytes of them.
    fn print_vector(&mut self, address: u32, count: u32, mut left: u32) -> String {
        let mut parts = Vec::new();
        for index in 0..count.min(ELEMENTS) {
            let Ok([base, length]) = self.user().words(address.wrapping_add(8 * index)) else {
                return pointer(address);
            };
            let held = length.min(left);
            left -= held;
            let bytes = if base == 0 { pointer(0) } else { self.print_buffer(base, held) };
            parts.push(format!("{{iov_base={bytes}, iov_len={length}}}"));
        }
        format!("[{}]", parts.join(", "))
    }

    fn print_strings(&mut self, array: u32) -> String {
        let mut parts = Vec::new();
        for index in 0..ELEMENTS {
            match self.user().read::<u32>(array.wrapping_add(4 * index)) {
                Ok(0) => break,
                Ok(text) => match self.user().path(text) {
                    Ok(text) => parts.push(quote(&text, false)),
                    Err(_) => parts.push(pointer(text)),
                },
                Err(_) => return pointer(array),
            }
        }
        format!("[{}]", parts.join(", "))
    }

    fn print_set(&mut self, address: u32) -> String {
        match self.user().read::<u64>(address) {
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

    fn print_time(&mut self, address: u32, layout: time::Layout) -> String {
        match time::read_timespec(self, address, layout) {
            Ok(time) => format!("{{tv_sec={}, tv_nsec={}}}", time / 1_000_000_000, time % 1_000_000_000),
            Err(_) => pointer(address),
        }
    }

    /// Tells the sink of a call that has ended.
    pub(super) fn trace_result(&mut self, pending: &PendingCall, value: Option<u32>) {
        if self.kernel.host.trace.is_none() {
            return;
        }
        let row = table::find(pending.number);
        // A program that replaced itself has returned 0 to its new self.
        let replaced = row.is_some_and(|row| row.name.starts_with("execve")).then_some(0);
        let result = value.or(replaced).map(|value| Errno::from_register(value).map_or(Ok(value), Err));
        let mut arguments = pending.printed.clone();
        if let (Some(row), Some(Ok(length))) = (row, result)
            && self.lives()
        {
            self.print_results(row.arguments, pending, length, &mut arguments);
        }
        let invocation = Invocation {
            task: self.task_id,
            number: pending.number,
            name: row.map_or("unknown", |row| row.name),
            arguments,
            result,
        };
        if let Some(trace) = &mut self.kernel.host.trace {
            trace.system_call(&invocation);
        }
    }
}

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const GETDENTS64: u32 = 220;
const F_GETFD: u32 = 1;
const F_SETFD: u32 = 2;
const F_GETFL: u32 = 3;
const F_SETFL: u32 = 4;

/// Whether O_* flags make a file where there is none.
fn makes_file(flags: u32) -> bool {
    let flags = OpenFlags::from_bits_retain(flags);
    flags.contains(OpenFlags::O_CREAT) || flags.contains(OpenFlags::O_TMPFILE)
}

/// O_* flags with the access mode first.
fn open_flags(value: u32) -> String {
    let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][(value & 3) as usize];
    match value & !3 {
        0 => access.to_owned(),
        rest => format!("{access}|{}", flags::bits(flags::OPEN, rest, "")),
    }
}

/// The third argument of fcntl(2).
fn fcntl_argument(command: u32, value: u32) -> String {
    match command {
        F_SETFD => flags::bits(&[(1, "FD_CLOEXEC")], value, "0"),
        F_SETFL => open_flags(value),
        // F_DUPFD and its kin, F_SETOWN.
        0 | 8 | 1030 => value.to_string(),
        _ => format!("{value:#x}"),
    }
}

/// The second argument of socket(2).
fn socket_type(value: u32) -> String {
    let kind = flags::value(flags::SOCKET_TYPE, value & 0xf);
    match value & !0xf {
        0 => kind,
        rest => format!("{kind}|{}", flags::bits(flags::SOCKET_FLAGS, rest, "")),
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
