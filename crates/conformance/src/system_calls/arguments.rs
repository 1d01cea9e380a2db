//! Half-valid arguments: mostly what a call expects, often at its edges, sometimes nonsense.

use pentimento_linux::{ArgumentKind as Kind, SystemCall, system_calls};

use crate::generate::Random;

/// Where the guest's program is.
const BASE: u32 = 0x0804_8000;
/// Bytes of the program in memory: code, then data that calls use.
const SIZE: u32 = 0x1_0000;
/// The first of its pages of data.
pub(super) const DATA: u32 = BASE + 0x1000;
/// Bytes of data.
const DATA_SIZE: u32 = SIZE - 0x1000;

/// The addresses of the pages of data.
pub(super) fn data_pages() -> impl Iterator<Item = u32> {
    (DATA..BASE + SIZE).step_by(4096)
}

/// A static ELF file with one segment that allows everything.
pub(super) fn program() -> Vec<u8> {
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut words = |words: &[u32]| file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    // ET_EXEC and EM_386, then version, entry, and where the one program header is.
    words(&[3 << 16 | 2, 1, BASE + 84, 52, 0, 0, 32 << 16 | 52, 1, 0]);
    words(&[1, 0, BASE, BASE, 100, SIZE, 7, 4096]);
    file.resize(100, 0x90);
    file
}

/// A system call to make.
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) arguments: [u32; 6],
    /// What to put where before.
    pub(super) memory: Vec<(u32, Vec<u8>)>,
}

/// Where names come from: directory and name.
const FOLDERS: [&str; 16] = [
    "",
    "",
    "/",
    "/tmp/",
    "/rw/",
    "/ro/",
    "/cow/",
    "/proc/self/fd/",
    "/proc/self/",
    "/proc/",
    "../",
    "/dev/",
    "/dev/shm/",
    "dir/",
    "/proc/self/root/",
    "/../../",
];
const NAMES: [&str; 32] = [
    "a",
    "b",
    "c",
    "d",
    "dir",
    "dir/b",
    "link",
    "..",
    ".",
    "",
    "canary",
    "0",
    "1",
    "3",
    "4",
    "7",
    "self",
    "ptmx",
    "null",
    "zero",
    "tty",
    "pts/0",
    "shm",
    "exe",
    "maps",
    "mem",
    "program",
    "script",
    "absolute",
    "relative",
    "up/canary",
    "chain/beside/canary",
];

/// Words that mean something to many calls.
pub(crate) const WORDS: [u32; 24] = [
    0,
    1,
    2,
    3,
    4,
    5,
    8,
    12,
    16,
    64,
    100,
    128,
    255,
    4095,
    4096,
    4097,
    65_536,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0xffff_f000,
    0xffff_dffc,
    1_000_000_000,
    999_999_999,
];

/// Flag words of clone(2): threads, forks, and what goes wrong.
const CLONES: [u32; 10] =
    [0x3d_0f11, 0x3d_0f11, 17, 17, 0x4111, 0x1011, 0x120_0011, 0x8011, 0x1000_0000, 0x1_0000];

const IOCTLS: [u32; 26] = [
    0x5401,
    0x5402,
    0x5403,
    0x5404,
    0x5409,
    0x540a,
    0x540b,
    0x540e,
    0x540f,
    0x5410,
    0x5411,
    0x5413,
    0x5414,
    0x541b,
    0x5420,
    0x5421,
    0x5422,
    0x5429,
    0x5441,
    0x5450,
    0x5451,
    0x5452,
    0x8004_5430,
    0x4004_5431,
    0x8004_5439,
    0x802c_542a,
];

/// Exit, and what ends the process as surely: drawn seldom, so that others are.
const ENDS: [&str; 4] = ["exit", "exit_group", "sigreturn", "rt_sigreturn"];

/// Draws calls, and remembers what earlier ones returned.
pub(super) struct Arguments {
    table: Vec<SystemCall>,
    descriptors: Vec<u32>,
    processes: Vec<u32>,
    addresses: Vec<u32>,
}

impl Default for Arguments {
    fn default() -> Self {
        let table = system_calls().collect();
        Self { table, descriptors: vec![0, 1, 2], processes: vec![1000, 1001], addresses: vec![DATA] }
    }
}

impl Arguments {
    /// Notes a result that later calls can use.
    pub(super) fn learn(&mut self, number: u32, result: u32) {
        let Some(call) = self.table.get(number as usize) else { return };
        let list = match call.name {
            "fork" | "vfork" | "clone" | "clone3" => &mut self.processes,
            "mmap" | "mmap2" | "mremap" | "shmat" => &mut self.addresses,
            _ if result < 64 => &mut self.descriptors,
            _ => return,
        };
        if result == 0 || result > 0xffff_f000 {
            return;
        }
        if list.len() >= 16 {
            list.remove(1);
        }
        list.push(result);
    }

    /// A pointer: into the data more often than not.
    pub(super) fn pointer(&self, random: &mut Random) -> u32 {
        match random.below(20) {
            0 => 0,
            1 => random.next_u32(),
            2 => {
                random.pick(&[0xffff_dffc, 0xffff_e000, 0xffff_ffff, BASE - 4, BASE + SIZE - 4, BASE + SIZE])
            }
            3 => random.pick(&self.addresses),
            4 => DATA + random.below(DATA_SIZE),
            _ => DATA + random.below(DATA_SIZE / 64) * 64,
        }
    }

    /// A word of a structure that nothing is known of.
    fn word(&self, random: &mut Random) -> u32 {
        match random.below(8) {
            0 => self.pointer(random),
            1 => random.next_u32(),
            2 => random.pick(&self.descriptors),
            3 => 1 << random.below(32),
            4 => random.below(256),
            _ => random.pick(&WORDS),
        }
    }

    /// A call with its arguments, for task `own`.
    pub(super) fn draw(&mut self, random: &mut Random, own: u32) -> Call {
        let mut call = loop {
            let call = self.table[random.below(self.table.len() as u32) as usize];
            let wanted = if call.is_implemented { 100 } else { 3 };
            let wanted = if ENDS.contains(&call.name) { 5 } else { wanted };
            if random.percent(wanted) {
                break call;
            }
        };
        let mut memory = Vec::new();
        let mut arguments = [0; 6];
        if random.percent(1) {
            arguments.fill_with(|| self.word(random));
            return Call { number: random.below(600), arguments, memory };
        }
        if random.percent(5) {
            // Any call with the arguments of another one.
            call.arguments = self.table[random.below(self.table.len() as u32) as usize].arguments;
        }
        let mut index = 0;
        for kind in call.arguments {
            if let Some(argument) = arguments.get_mut(index) {
                *argument = self.argument(random, *kind, own, &mut memory);
            }
            index += if matches!(kind, Kind::Off64 | Kind::Seek64) { 2 } else { 1 };
        }
        self.shape(random, call.name, &arguments, &mut memory);
        Call { number: call.number, arguments, memory }
    }

    /// An argument, with what it points to in `memory`.
    fn argument(&self, random: &mut Random, kind: Kind, own: u32, memory: &mut Vec<(u32, Vec<u8>)>) -> u32 {
        if random.percent(3) {
            return self.word(random);
        }
        match kind {
            Kind::Fd => self.descriptor(random),
            Kind::At if random.percent(60) => -100_i32 as u32,
            Kind::At => self.descriptor(random),
            Kind::Path | Kind::Str => {
                let text = format!("{}{}\0", random.pick(&FOLDERS), random.pick(&NAMES));
                let address = self.pointer(random);
                memory.push((address, text.into_bytes()));
                address
            }
            Kind::Size => {
                random.pick(&[0, 1, 2, 4, 8, 12, 16, 24, 32, 64, 128, 256, 4096, 8192, 65_536, 1 << 20])
            }
            Kind::Int => match random.below(6) {
                0 => own,
                1 => random.pick(&self.processes),
                2 => self.word(random),
                _ => random.below(12),
            },
            Kind::Uint => random.below(16),
            Kind::Sig if random.percent(97) => {
                random.pick(&[0, 1, 2, 10, 12, 13, 14, 17, 18, 23, 28, 34, 35])
            }
            Kind::Sig => random.below(70),
            Kind::Open => {
                let bits =
                    [0o100, 0o200, 0o1000, 0o2000, 0o4000, 0o200_000, 0o400_000, 0o2_000_000, 0o20_200_000];
                let flags = random.pick(&bits) | if random.percent(40) { 0o100 } else { 0 };
                random.below(3) | if random.percent(70) { flags } else { 0 }
            }
            Kind::CloneBits => random.pick(&CLONES),
            Kind::Ioctl => random.pick(&IOCTLS),
            Kind::Fcntl => {
                random.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 36, 37, 1030, 1031, 1032, 1033, 1034])
            }
            Kind::Prot => random.below(8),
            Kind::Map => random.pick(&[0x22, 0x22, 0x21, 2, 1, 0x32, 0x31, 0x10_0022, 0x122]),
            Kind::Wait => random.pick(&[0, 1, 1, 1, 3, 4, 5, 0x4000_0001, 0x0100_0005]),
            Kind::Clock => random.below(12),
            Kind::Futex => random.below(14) | random.pick(&[0, 0x80, 0x180]),
            Kind::Resource => random.below(17),
            Kind::Mode => {
                random.below(0o10000) | random.pick(&[0, 0, 0o100_000, 0o010_000, 0o020_000, 0o140_000])
            }
            Kind::Whence | Kind::SigHow | Kind::Access => random.below(6),
            Kind::Off64 => random.below(10_000),
            Kind::Hex | Kind::FcntlArgument | Kind::StatxMask => self.word(random),
            Kind::Page | Kind::Seek64 => random.below(100),
            Kind::Protocol => random.pick(&[0, 0, 6, 17]),
            Kind::Family => random.pick(&[1, 1, 2, 10, 16]),
            Kind::SocketType => random.pick(&[1, 1, 2, 5]) | random.pick(&[0, 0o4000, 0o2_000_000]),
            Kind::AtFlags | Kind::StatxFlags => random.pick(&[0, 0, 0x100, 0x200, 0x400, 0x1000]),
            // Everything else is a pointer to something.
            _ => {
                let address = self.pointer(random);
                let words = 2 + random.below(14);
                let bytes = (0..words).flat_map(|_| self.word(random).to_le_bytes()).collect();
                memory.push((address, bytes));
                address
            }
        }
    }

    fn descriptor(&self, random: &mut Random) -> u32 {
        if random.percent(50) { random.pick(&self.descriptors) } else { random.below(24) }
    }

    /// Gives the structures of some calls a shape that gets them further.
    fn shape(&self, random: &mut Random, name: &str, arguments: &[u32; 6], memory: &mut Vec<(u32, Vec<u8>)>) {
        let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let inside = |random: &mut Random| DATA + random.below(DATA_SIZE / 64) * 64;
        match name {
            "bind" | "connect" => memory.push((arguments[1], address(random))),
            "sendto" => memory.push((arguments[4], address(random))),
            "sendmsg" | "recvmsg" | "sendmmsg" | "recvmmsg" => {
                let (control, vector, buffer) = (inside(random), inside(random), inside(random));
                let rights = random.below(4);
                let mut message = vec![12 + 4 * rights, 1, 1];
                message.extend((0..rights).map(|_| self.descriptor(random)));
                let length = 4 * message.len() as u32;
                memory.push((control, bytes(&message)));
                memory.push((vector, bytes(&[buffer, random.below(200)])));
                memory.push((arguments[1], bytes(&[0, 0, vector, 1, control, length, 0])));
            }
            "readv" | "writev" | "preadv" | "pwritev" | "process_vm_readv" | "process_vm_writev" => {
                let words: Vec<u32> =
                    (0..8).map(|i| if i % 2 == 0 { inside(random) } else { random.below(5000) }).collect();
                memory.push((arguments[1], bytes(&words)));
                memory.push((arguments[3], bytes(&words)));
            }
            "poll" | "ppoll" => {
                let words: Vec<u32> = (0..16)
                    .map(|i| if i % 2 == 0 { self.descriptor(random) } else { random.below(64) })
                    .collect();
                memory.push((arguments[0], bytes(&words)));
            }
            "nanosleep" | "clock_nanosleep" | "setitimer" | "timerfd_settime" | "timer_settime" | "futex" => {
                let times: Vec<u32> = (0..4).map(|_| random.pick(&[0, 0, 1, 1000, 999_999])).collect();
                for argument in &arguments[..4] {
                    if (DATA..BASE + SIZE).contains(argument) {
                        memory.push((*argument, bytes(&times)));
                    }
                }
            }
            "clone3" => {
                let flags = random.pick(&CLONES) & !0xff;
                memory.push((arguments[0], bytes(&[flags, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0])));
            }
            "execve" | "execveat" => {
                let text = inside(random);
                memory.push((text, b"argument\0".to_vec()));
                for argument in &arguments[1..4] {
                    memory.push((*argument, bytes(&[text, 0])));
                }
            }
            _ => {}
        }
    }
}

/// A `struct sockaddr`.
fn address(random: &mut Random) -> Vec<u8> {
    let port = [0x9c, 0x40 + random.below(4) as u8];
    let mut bytes = match random.below(5) {
        0 => b"\x01\0/tmp/socket\0".to_vec(),
        1 => b"\x01\0\0abstract".to_vec(),
        2 => [&[2, 0][..], &port, &[127, 0, 0, 1], &[0; 8]].concat(),
        3 => [&[10, 0][..], &port, &[0; 19], &[1, 0, 0, 0, 0]].concat(),
        _ => [&[2, 0][..], &port, &[8, 8, 8, 8], &[0; 8]].concat(),
    };
    bytes.resize(32, 0);
    bytes
}
