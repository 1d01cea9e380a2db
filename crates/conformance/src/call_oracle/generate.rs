//! Makes up sequences: mostly what calls expect, often at its edges, sometimes nonsense.

use std::collections::BTreeMap;

use pentimento_linux::{ArgumentKind as Kind, SystemCall, system_calls};

use super::compare::name;
use super::sequence::{CONSTANT, Call, DATA, DATA_SIZE, SPACE, Sequence};
use super::tables::{FAMILIES, excluded, names_process};
use crate::generate::Random;
use crate::system_calls::WORDS;

/// Bytes of a place in the data.
const PLACE: u32 = 64;
/// Numbers of the calls at the start whose results later ones use.
const OWN_PROCESS: u32 = 0;

const DESCRIPTORS: [u32; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
const PATHS: [&str; 26] = [
    "a",
    "b",
    "c",
    "new",
    "dir",
    "dir/c",
    "dir/new",
    "link",
    "dangling",
    "fifo",
    "secret",
    "locked",
    "locked/in",
    "script",
    "loop",
    ".",
    "..",
    "",
    "/",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "a/b",
    "missing/c",
    "dir/",
    "sticky/his",
];
const IOCTLS: [u32; 12] =
    [0x5401, 0x5402, 0x5411, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451, 0x5452, 0x5460, 0, 0xffff_ffff];
const FCNTLS: [u32; 21] = [0, 1, 1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 12, 13, 36, 37, 1030, 1032, 1031, 99];

/// The calls that sequences are made of, by family.
pub struct Generator {
    families: Vec<Vec<SystemCall>>,
}

impl Default for Generator {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Generator {
    /// One for the calls with these names, or for all that there are.
    #[must_use]
    pub fn new(only: &[String]) -> Self {
        let all: BTreeMap<&str, SystemCall> = system_calls().map(|call| (call.name, call)).collect();
        let wanted = |call: &SystemCall| {
            call.is_implemented
                && excluded(call.name).is_none()
                && (only.is_empty() || only.iter().any(|name| name == call.name))
        };
        let named = FAMILIES.iter().map(|names| names.iter().filter_map(|name| all.get(name)));
        let mut families: Vec<Vec<SystemCall>> =
            named.map(|family| family.filter(|call| wanted(call)).copied().collect()).collect();
        families.push(all.values().filter(|call| wanted(call)).copied().collect());
        families.retain(|family| !family.is_empty());
        Self { families }
    }

    /// How many different calls it knows.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.families.last().map_or(0, Vec::len)
    }

    /// Sequence `number` of the campaign with this seed.
    #[must_use]
    pub fn sequence(&self, seed: u64, number: u64) -> Sequence {
        let mut random = Random::new(seed, number);
        let mut sequence = prologue();
        let length = 4 + random.below(20);
        let family = random.below(self.families.len() as u32) as usize;
        for _ in 0..length {
            // Mostly one family, so that calls meet what others have made.
            let family = if random.percent(75) { family } else { self.families.len() - 1 };
            let Some(family) = self.families.get(family) else { break };
            let call = random.pick(family);
            let made = Draw { random: &mut random, call: Call::new(call.number, &[]), so_far: &sequence };
            let made = made.draw(&call);
            sequence.calls.push(made);
        }
        sequence
    }
}

/// Calls that make the world which sequences find: files of theirs and of others, a pipe, small limits, and
/// a user without rights.
fn prologue() -> Sequence {
    const USER: u32 = 5000;
    const OTHER: u32 = 6000;
    let text = |path: &str| [path.as_bytes(), b"\0"].concat();
    let on = |number: u32, path: &str, rest: &[u32]| {
        let arguments = [&[DATA], rest].concat();
        Call::new(number, &arguments).with(DATA, &text(path))
    };
    let mut calls = vec![Call::new(20, &[]), Call::new(64, &[])];
    let mut add = |call: Call| calls.push(call);
    // Descriptors 0 to 2 are a file, whatever the process was born with.
    add(Call::new(436, &[0, u32::MAX, 0]));
    add(on(39, "/w", &[0o777]));
    add(on(15, "/w", &[0o777]));
    add(on(12, "/w", &[]));
    for (path, mode) in [("a", 0o666), ("b", 0o644), ("secret", 0o600), ("script", 0o755)] {
        add(on(5, path, &[0o102, mode]));
        add(Call::new(4, &[0, DATA, 26]).with(DATA, b"abcdefghijklmnopqrstuvwxyz"));
        add(on(15, path, &[mode]));
        add(Call::new(6, &[0]));
    }
    for (path, mode) in [("dir", 0o777), ("locked", 0o700), ("sticky", 0o1777)] {
        add(on(39, path, &[mode]));
        add(on(15, path, &[mode]));
    }
    for path in ["dir/c", "sticky/his", "locked/in"] {
        add(on(8, path, &[0o644]));
        add(Call::new(6, &[0]));
    }
    add(on(198, "sticky/his", &[OTHER, OTHER]));
    for path in ["a", "script", "dir", "dir/c"] {
        add(on(198, path, &[USER, USER]));
    }
    for (target, path) in [("a", "link"), ("nowhere", "dangling"), ("loop", "loop")] {
        let call = Call::new(83, &[DATA, DATA + PLACE]);
        add(call.with(DATA, &text(target)).with(DATA + PLACE, &text(path)));
    }
    add(on(14, "fifo", &[0o010_666, 0]));
    add(on(15, "fifo", &[0o666]));
    for _ in 0..3 {
        add(on(5, "a", &[2]));
    }
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    for (resource, limit) in [(7, 64_u32), (1, 1 << 20), (4, 0), (6, 64), (0, 5), (9, 1 << 29), (11, 64)] {
        add(Call::new(75, &[resource, DATA]).with(DATA, &words(&[limit, limit])));
    }
    add(Call::new(60, &[0o22]));
    add(Call::new(206, &[0, 0]));
    add(Call::new(210, &[USER, USER, USER]));
    add(Call::new(208, &[USER, USER, USER]));
    // Who changes its user has nothing to dump, unless it says so.
    add(Call::new(172, &[4, 1, 0, 0, 0]));
    // A pipe that does not block, descriptors 3 and 4, and a socket pair, 5 and 6.
    add(Call::new(331, &[DATA, 0o4000]));
    add(Call::new(360, &[1, 1 | 0o4000, 0, DATA]));
    Sequence { prologue: calls.len(), calls }
}

/// A call in the making.
struct Draw<'a> {
    random: &'a mut Random,
    call: Call,
    so_far: &'a Sequence,
}

impl Draw<'_> {
    fn draw(mut self, row: &SystemCall) -> Call {
        let mut index = 0;
        for kind in row.arguments {
            if index < 6 {
                self.argument(index, *kind);
            }
            index += if matches!(kind, Kind::Off64 | Kind::Seek64) { 2 } else { 1 };
        }
        self.shape(row.name);
        self.call
    }

    /// A place in the data.
    fn place(&mut self) -> u32 {
        DATA + self.random.below(DATA_SIZE / PLACE) * PLACE
    }

    /// A pointer that a call may write or read through, or not.
    fn pointer(&mut self) -> u32 {
        match self.random.below(24) {
            0 => 0,
            1 => self.random.pick(&[CONSTANT + 4096, 0xffff_e000, u32::MAX, 0xc000_0000, SPACE - 4096]),
            2 => self.random.pick(&[CONSTANT, CONSTANT - 4, CONSTANT - 1]),
            3 => self.random.pick(&[CONSTANT + 4092, CONSTANT + 4095]),
            _ => self.place(),
        }
    }

    /// A pointer to bytes that the call reads.
    fn bytes(&mut self, bytes: &[u8]) -> u32 {
        let address = self.pointer();
        if (DATA..=CONSTANT - bytes.len() as u32).contains(&address) {
            self.call.memory.push((address, bytes.to_vec()));
        }
        address
    }

    fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.bytes(&bytes)
    }

    fn word(&mut self) -> u32 {
        match self.random.below(6) {
            0 => self.random.next_u32(),
            1 => 1 << self.random.below(32),
            2 => self.random.below(256),
            _ => self.random.pick(&WORDS),
        }
    }

    fn descriptor(&mut self) -> u32 {
        match self.random.below(20) {
            0 => self.random.pick(&[u32::MAX, 63, 64, 1000, 0x7fff_ffff, -100_i32 as u32]),
            _ => self.random.pick(&DESCRIPTORS),
        }
    }

    fn path(&mut self) -> u32 {
        let path = self.random.pick(&PATHS);
        let text = match self.random.below(40) {
            0 => "n".repeat(256),
            1 => format!("/w/{path}"),
            2 => format!("dir/../{path}"),
            3 => format!("{path}/"),
            _ => path.to_owned(),
        };
        self.bytes(&[text.as_bytes(), b"\0"].concat())
    }

    /// A time, short where something may wait for it.
    fn time(&mut self) -> [u32; 2] {
        let nanoseconds = self.random.pick(&[0, 0, 1, 1000, 999_999, 1_000_000, 1_000_000_000, u32::MAX]);
        [if self.random.percent(90) { 0 } else { u32::MAX }, nanoseconds]
    }

    /// Has argument `index` be the result of call `number`.
    fn refer(&mut self, index: usize, number: u32) {
        self.call.arguments[index] = number;
        self.call.references |= 1 << index;
    }

    /// A process for argument `index`: the caller mostly, and never one that another machine has not.
    fn process(&mut self, index: usize) -> u32 {
        if self.random.percent(60) {
            self.refer(index, OWN_PROCESS);
            return OWN_PROCESS;
        }
        self.random.pick(&[0, 0, 0x3fff_ffff, u32::MAX, 0x8000_0000])
    }

    /// The number of the last call that mapped memory, if there is one.
    fn mapping(&self) -> Option<u32> {
        let maps = |call: &Call| matches!(call.number, 90 | 192 | 163);
        self.so_far.calls.iter().rposition(maps).map(|number| number as u32)
    }

    fn argument(&mut self, index: usize, kind: Kind) {
        let is_process = names_process(name(self.call.number), index);
        if self.random.percent(3) && !is_process {
            self.call.arguments[index] = self.word();
            return;
        }
        if kind == Kind::Addr
            && self.random.percent(40)
            && matches!(self.call.number, 91 | 125 | 144 | 150 | 151 | 163 | 218 | 219 | 376)
            && let Some(number) = self.mapping()
        {
            return self.refer(index, number);
        }
        self.call.arguments[index] = self.value(index, kind);
    }

    #[rustfmt::skip]
    fn value(&mut self, index: usize, kind: Kind) -> u32 {
        let random = &mut *self.random;
        match kind {
            Kind::Fd => self.descriptor(),
            Kind::At if random.percent(70) => -100_i32 as u32,
            Kind::At => self.descriptor(),
            Kind::Path | Kind::Str => self.path(),
            Kind::Size => random.pick(&[0, 1, 2, 4, 8, 12, 16, 24, 32, 36, 48, 64, 100, 128, 256, 4096, 8192, u32::MAX, 0x8000_0000]),
            Kind::Int if names_process(name(self.call.number), index) => self.process(index),
            Kind::Int => if random.percent(70) { random.below(8) } else { self.word() },
            Kind::Uint => random.below(16),
            Kind::Sig => random.pick(&[0, 1, 2, 10, 12, 13, 14, 17, 18, 20, 21, 23, 28, 32, 33, 34, 35, 64, 65, 9, 19, u32::MAX]),
            Kind::Open => {
                let bits = random.pick(&[0o100, 0o300, 0o1000, 0o2000, 0o4000, 0o200_000, 0o400_000, 0o2_000_000, 0o10_000_000, 0o20_200_000]);
                let more = if random.percent(30) { random.pick(&[0o100, 0o1000, 0o4000, 0o2_000_000]) } else { 0 };
                random.below(4) | if random.percent(80) { bits | more } else { 0 } | 0o4000
            }
            Kind::Ioctl => random.pick(&IOCTLS),
            Kind::Fcntl => random.pick(&FCNTLS),
            Kind::Prot => random.pick(&[0, 1, 2, 3, 4, 5, 7, 8, 0x10, 0x0100_0003]),
            Kind::Map => random.pick(&[0x22, 0x22, 0x21, 0x32, 0x31, 2, 1, 0x12, 0x11, 0x10_0022, 0x122, 0, 3, 0x23, 0x4022, 0x8022]),
            Kind::Wait => random.pick(&[1, 1, 3, 5, 0x4000_0001, 0x0100_0005, 0]) | 1,
            Kind::Clock => random.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, u32::MAX, -6_i32 as u32]),
            Kind::Futex => random.below(14) | random.pick(&[0, 0x80, 0x180]),
            Kind::Resource => random.below(18),
            Kind::Mode => random.below(0o10000) | random.pick(&[0, 0, 0o100_000, 0o010_000, 0o140_000]),
            Kind::Whence | Kind::SigHow => random.below(6),
            Kind::Access => random.below(9),
            Kind::Off64 => random.pick(&[0, 1, 10, 26, 100, 4096, 5000, u32::MAX]),
            Kind::Seek64 | Kind::Page => random.below(3),
            Kind::Protocol => random.pick(&[0, 0, 6, 17, 1]),
            Kind::Family => random.pick(&[1, 1, 2, 10, 99]),
            Kind::SocketType => random.pick(&[1, 1, 2, 3, 5, 9]) | 0o4000 | random.pick(&[0, 0o2_000_000]),
            Kind::AtFlags | Kind::StatxFlags => random.pick(&[0, 0, 0x100, 0x200, 0x400, 0x1000, 0x2000, 0x4000, 0x8000]),
            Kind::StatxMask => random.pick(&[0x7ff, 0xfff, 0, 1, 0x8000_0000]),
            Kind::SigSet => { let words = [1 << random.below(32), 0]; self.words(&words) }
            Kind::Timespec => { let time = self.time(); self.words(&time) }
            Kind::Timespec64 => { let [seconds, nanoseconds] = self.time(); let high = if seconds == 0 { 0 } else { u32::MAX }; self.words(&[seconds, high, nanoseconds, 0]) }
            Kind::Hex | Kind::FcntlArgument => self.word(),
            Kind::InBuf | Kind::InVec | Kind::OutVec | Kind::Address | Kind::Argv | Kind::Envp => { let words: Vec<u32> = (0..8).map(|_| self.word()).collect(); self.words(&words) }
            _ => if self.random.percent(50) { let words: Vec<u32> = (0..8).map(|_| self.word()).collect(); self.words(&words) } else { self.pointer() },
        }
    }

    /// Puts bytes where argument `index` points to, if that is in the data.
    fn put(&mut self, index: usize, words: &[u32]) {
        let address = self.call.arguments[index];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        if self.call.references >> index & 1 == 0 && (DATA..=CONSTANT - bytes.len() as u32).contains(&address)
        {
            self.call.memory.push((address, bytes));
        }
    }

    /// Gives the structures of some calls a shape that gets them further, and lengths that fit.
    fn shape(&mut self, name: &str) {
        match name {
            "write" | "pwrite64" | "send" | "sendto" if self.call.arguments[2] > 4096 => {
                self.call.arguments[1] = CONSTANT;
            }
            "readv" | "writev" | "preadv" | "pwritev" | "preadv2" | "pwritev2" | "vmsplice" => {
                let words: Vec<u32> = (0..4)
                    .flat_map(|_| [self.pointer(), self.random.pick(&[0, 1, 5, 26, 64, 100])])
                    .collect();
                self.put(1, &words);
                self.call.arguments[2] = self.random.pick(&[0, 1, 2, 3, 4, 4, u32::MAX, 1025]);
            }
            "poll" | "ppoll" | "ppoll_time64" => {
                let words: Vec<u32> =
                    (0..3).flat_map(|_| [self.descriptor(), self.random.below(64) | 1]).collect();
                self.put(0, &words);
                self.call.arguments[1] = self.random.below(4);
                if name == "poll" {
                    self.call.arguments[2] = self.random.pick(&[0, 0, 1]);
                }
            }
            "select" | "_newselect" | "pselect6" | "pselect6_time64" => {
                self.call.arguments[0] = self.random.pick(&[0, 3, 8, 32, u32::MAX]);
                for index in 1..4 {
                    let set = [self.random.below(256), 0];
                    self.put(index, &set);
                }
                if self.call.arguments[4] == 0 {
                    self.call.arguments[4] = self.place();
                }
                self.put(4, &[0, 0, 0, 0]);
            }
            "rt_sigaction" => {
                let handler = self.random.pick(&[0, 1, 1]);
                let flags = self.random.pick(&[0, 0x1000_0000, 0x0400_0000, 0x8000_0000, 1, 2]);
                let mask = 1 << self.random.below(32);
                self.put(1, &[handler, flags, 0, mask, 0]);
                self.call.arguments[3] = 8;
            }
            "sigaction" => {
                let handler = self.random.below(2);
                self.put(1, &[handler, 0, 0, 0]);
            }
            "signal" => self.call.arguments[1] = self.random.below(2),
            "rt_sigprocmask"
            | "rt_sigpending"
            | "rt_sigtimedwait"
            | "rt_sigtimedwait_time64"
            | "rt_sigsuspend"
            | "signalfd"
            | "signalfd4"
                if self.random.percent(85) =>
            {
                let size = match name {
                    "rt_sigpending" | "rt_sigsuspend" => 1,
                    "signalfd" | "signalfd4" => 2,
                    _ => 3,
                };
                self.call.arguments[size] = 8;
            }
            "clock_nanosleep" | "clock_nanosleep_time64" => {
                self.call.arguments[0] = self.random.pick(&[0, 1, 3, 4, 5, 6, 7, 11, 12]);
            }
            "setitimer" | "timer_settime" | "timerfd_settime" => {
                let index = if name == "setitimer" { 1 } else { 2 };
                let interval = self.time();
                self.put(index, &[interval[0], interval[1], 1000, 0]);
            }
            "fcntl" | "fcntl64" => self.lock(),
            "epoll_ctl" => {
                self.call.arguments[1] = self.random.below(5);
                self.call.arguments[2] = self.descriptor();
                let events = self.random.pick(&[1, 4, 5, 0x8000_0001, 0x4000_0001, 0x1000_0001, 0x2000]);
                self.put(3, &[events, 7, 8]);
            }
            "epoll_wait" | "epoll_pwait" => {
                self.call.arguments[2] = self.random.pick(&[1, 2, 8, 0, u32::MAX]);
                self.call.arguments[3] = 0;
                self.call.arguments[4] = 0;
            }
            "bind" | "connect" | "sendto" => self.address(if name == "sendto" { 4 } else { 1 }),
            "mmap2" => {
                self.call.arguments[0] =
                    self.random.pick(&[0, 0, SPACE, SPACE + 4096, SPACE + 8192, SPACE + 1]);
                self.call.arguments[1] = self.random.pick(&[4096, 8192, 1, 4097, 0, 65_536, u32::MAX]);
                self.call.arguments[5] = self.random.pick(&[0, 0, 1, 2]);
            }
            "munmap" | "mprotect" | "msync" | "mlock" | "munlock" | "mlock2" | "mincore" | "madvise"
            | "pkey_mprotect" | "mremap" => {
                if self.call.references & 1 == 0 {
                    self.call.arguments[0] =
                        self.random.pick(&[SPACE, SPACE + 4096, SPACE + 8192, SPACE + 1, 0, 0xffff_f000]);
                }
                self.call.arguments[1] = self.random.pick(&[4096, 8192, 1, 0, 12_288, u32::MAX]);
                if name == "mremap" {
                    self.call.arguments[2] = self.random.pick(&[4096, 8192, 1, 0, 16_384]);
                    self.call.arguments[3] = self.random.pick(&[0, 1, 1, 3, 2, 5, 8]);
                    self.call.arguments[4] = SPACE + 0x10_0000;
                }
                if name == "madvise" && self.call.arguments[0] == 0 {
                    // The native process has things of its own there.
                    self.call.arguments[1] = 0;
                }
                if name == "madvise" {
                    self.call.arguments[2] =
                        self.random.pick(&[0, 1, 2, 3, 4, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 9, 99]);
                }
            }
            "old_mmap" | "mmap" => {
                let flags = self.random.pick(&[0x22, 0x21, 2, 1, 0x32]);
                let length = self.random.pick(&[4096, 8192, 1, 0]);
                let offset = self.random.pick(&[0, 4096, 1]);
                self.put(0, &[SPACE, length, 3, flags, 3, offset]);
            }
            "prctl" => {
                self.call.arguments[0] = self.random.pick(&[
                    1, 2, 3, 4, 7, 8, 13, 14, 15, 16, 21, 23, 25, 27, 28, 29, 30, 36, 37, 38, 39, 41, 42, 47,
                    99,
                ]);
            }
            "setrlimit" | "prlimit64" => {
                // The limits that the prologue sets are the host's safety.
                let limit = [self.random.below(64), self.random.below(64)];
                let words = if name == "setrlimit" {
                    vec![limit[0], limit[1]]
                } else {
                    vec![limit[0], 0, limit[1], 0]
                };
                let index = if name == "setrlimit" { 1 } else { 2 };
                self.put(index, &words);
                let resource = if name == "setrlimit" { 0 } else { 1 };
                self.call.arguments[resource] = self.random.pick(&[4, 7, 8, 10, 12, 13, 14, 16, 99]);
            }
            "kill" | "tkill" | "tgkill" | "rt_sigqueueinfo" | "rt_tgsigqueueinfo" => self.target(name),
            _ => {}
        }
    }

    /// Whom a signal is for: mostly the process itself.
    fn target(&mut self, name: &str) {
        let count = if matches!(name, "tgkill" | "rt_tgsigqueueinfo") { 2 } else { 1 };
        for index in 0..count {
            if self.random.percent(80) {
                self.refer(index, OWN_PROCESS);
            } else {
                self.call.references &= !(1 << index);
                self.call.arguments[index] = self.random.pick(&[0x3fff_ffff, 0, u32::MAX, 0x8000_0000]);
            }
        }
        if name.contains("queueinfo") {
            let code = self.random.pick(&[u32::MAX, 0, -6_i32 as u32, 1]);
            self.put(count + 1, &[0, 0, code, 5, 6, 7]);
        }
    }

    /// A lock for fcntl(2), or what else its command takes.
    fn lock(&mut self) {
        let command = self.call.arguments[1];
        match command {
            5..=7 | 12..=14 | 36..=38 => {
                let address = self.place();
                self.call.arguments[2] = address;
                let kind = self.random.below(4) | self.random.below(4) << 16;
                let (start, length) = (self.random.below(20), self.random.below(10));
                let wide = command > 8;
                let words =
                    if wide { vec![kind, start, 0, length, 0, 0] } else { vec![kind, start, length, 0] };
                self.put(2, &words);
            }
            0 | 1030 => self.call.arguments[2] = self.random.pick(&[0, 5, 10, 63, 64, u32::MAX]),
            1031 => self.call.arguments[2] = self.random.pick(&[0, 4096, 8192, 65_536, 1 << 20, u32::MAX]),
            8 => self.call.arguments[2] = self.process(2),
            _ => {}
        }
    }

    /// A socket's address in argument `index`, and its length behind it.
    fn address(&mut self, index: usize) {
        let words: &[u32] = match self.random.below(4) {
            0 => &[0x6b73_0001, 0],
            1 => &[0x7878_0001 & 0xff00_ffff, 0x6162_6300],
            2 => &[0x9040_0002, 0x0100_007f, 0, 0],
            _ => &[0, 0, 0, 0],
        };
        self.put(index, words);
        self.call.arguments[index + 1] = self.random.pick(&[2, 6, 8, 16, 110, 0, 111, 28]);
    }
}
