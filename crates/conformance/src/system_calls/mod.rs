//! Random system calls against the kernel of `pentimento-linux`, from several processes and threads
//! of one machine at a time.
//!
//! No processor takes part: the fuzzer puts numbers and arguments into the registers of whichever
//! task the kernel schedules. Arguments are half valid, by the kinds that the kernel's own table
//! gives them. A machine lives for some thousands of calls; its seed follows from the campaign's
//! and its number, so each can be run again alone. Now and then one call is made thousands of times, so that
//! what it makes piles up, and some hosts want the machine to stop in the midst of calls. What must hold: no panic, no call that takes
//! the host long, no growth of the host's memory or descriptors from machine to machine, nothing
//! changed on the host beside the one folder that the guest was given to write in, and nothing seen
//! of what lies beside it.

mod arguments;
mod cage;
mod resources;

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use cage::Cage;
use pentimento_linux::host::{Bytes, Output, StopRequest, TraceSink};
use pentimento_linux::{Config, Invocation, Kernel, Limits, Mount, Next, TaskId};
use pentimento_memory::Access;
use pentimento_registers::{Exception, Gpr};
pub use resources::Resources;

use crate::generate::Random;
pub(crate) use arguments::WORDS;
use arguments::{Arguments, Call, DATA, program};

/// Calls that one machine makes at most.
const CALLS_A_MACHINE: u64 = 20_000;

/// Times in a row that a machine may have nobody to run before it is given up.
const PATIENCE: u32 = 5;

/// What tasks raise: page faults mostly.
const EXCEPTIONS: &[Exception] = &[
    Exception::DivideError,
    Exception::Debug,
    Exception::Breakpoint,
    Exception::InvalidOpcode,
    Exception::GeneralProtection,
    Exception::PageFault,
    Exception::PageFault,
    Exception::PageFault,
    Exception::FloatingPoint,
    Exception::AlignmentCheck,
    Exception::SimdFloatingPoint,
];

/// What a campaign is to do.
#[derive(Clone, Copy, Debug)]
pub struct Campaign<'a> {
    /// Decides everything.
    pub seed: u64,
    /// Where host folders are for the machines that get some; without it all live in memory.
    pub cage: Option<&'a Cage>,
}

/// What one machine has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Life {
    /// System calls made.
    pub calls: u64,
    /// Calls that gave an error.
    pub errors: u64,
    /// A hash of every call and its result: equal for equal seeds.
    pub trace: u64,
    /// The call that took the host longest: its number in this machine, and how long.
    pub slowest: (u64, Duration),
    /// The system call of that one.
    pub slowest_number: u32,
}

impl Campaign<'_> {
    /// Runs machine `number` for at most `calls` system calls.
    ///
    /// # Panics
    /// If the kernel does, if the guest has seen what lies beside its folders, or if the machine holds more
    /// memory than it may.
    #[must_use]
    pub fn run_machine(&self, number: u64, calls: u64) -> Life {
        let mut machine = Machine::new(self, number);
        machine.run(calls.min(CALLS_A_MACHINE));
        let (held, most) = (machine.kernel.held_memory(), machine.total_memory);
        assert!(held <= most + most / 10, "the machine holds {held} bytes of {most}");
        if let Some(cage) = self.cage {
            assert!(!machine.has_seen(cage.secret()), "the guest has seen what lies beside its folders");
        }
        machine.life
    }
}

/// An output that remembers whether a secret came by.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<u8>>>);

impl Output for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(mut held) = self.0.lock() {
            // Only the end is kept: a secret is short, and what is written may be long.
            let excess = (held.len() + bytes.len()).saturating_sub(1 << 16).min(held.len());
            held.drain(..excess);
            held.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }
}

/// Has every call printed, and forgets it.
struct Printer;

impl TraceSink for Printer {
    fn system_call(&mut self, invocation: &Invocation) {
        std::hint::black_box(invocation.to_string());
    }

    fn unimplemented(&mut self, _: u32, _: &str) {}
}

/// A host that wants the machine to stop at every so many looks, and goes on at once.
struct Whim {
    looks: AtomicU64,
    every: u64,
}

impl StopRequest for Whim {
    fn is_requested(&self) -> bool {
        self.looks.fetch_add(1, Ordering::Relaxed) % self.every == self.every - 1
    }
}

/// A call that is made over and over, so that what it makes piles up.
struct Habit {
    call: Call,
    left: u32,
}

/// A machine under fire.
struct Machine {
    kernel: Kernel,
    random: Random,
    arguments: Arguments,
    output: Recorder,
    /// Everyone who has run.
    tasks: BTreeSet<TaskId>,
    /// Where ESP of the first task was at the start.
    stack: u32,
    /// What the guest does all the time, for a while.
    habit: Option<Habit>,
    /// Bytes that the machine may take of the host's memory.
    total_memory: u64,
    life: Life,
}

impl Machine {
    fn new(campaign: &Campaign<'_>, number: u64) -> Self {
        let mut random = Random::new(campaign.seed, number);
        let output = Recorder::default();
        // Some may pile up more than others.
        let hoards = random.percent(25);
        let total_memory = if hoards { 12 << 20 } else { 64 << 20 };
        let limits = Limits {
            memory: 24 << 20,
            total_memory,
            processes: 24,
            tasks: 48,
            descriptors: if hoards { 20_000 } else { 64 },
            memory_files: 16 << 20,
            inodes: 2000,
            ..Limits::default()
        };
        let config = Config {
            seed: random.next_u64(),
            limits,
            input: Box::new(Bytes::from(&b"some input\nand more of it\n"[..])),
            output: Box::new(output.clone()),
            error: Box::new(output.clone()),
            trace: random.percent(20).then(|| Box::new(Printer) as Box<dyn TraceSink>),
            ..Config::default()
        };
        let mut kernel = Kernel::new(config);
        if random.percent(30) {
            let (looks, every) = (AtomicU64::new(0), random.pick(&[3, 50, 1000]));
            kernel.heed(Box::new(Whim { looks, every }));
        }
        if let Some(cage) = campaign.cage.filter(|_| random.percent(30)) {
            // A mount can only fail where the host does not let the folder be opened.
            let _ = kernel.mount(b"/ro", Mount::ReadOnly(cage.read_only()));
            let _ = kernel.mount(b"/rw", Mount::ReadWrite(cage.writable()));
            let _ = kernel.mount(b"/cow", Mount::CopyOnWrite(cage.read_only()));
        }
        let image = program();
        let _ = kernel.install_file(b"/program", &image, 0o755);
        let _ = kernel.install_file(b"/script", b"#!/program x\n", 0o755);
        for _ in 0..2 {
            let _ = kernel.spawn_image(b"/program", &image, &[b"program", b"argument"], &[b"A=B"]);
        }
        let arguments = Arguments::default();
        let mut machine = Self {
            kernel,
            random,
            arguments,
            output,
            tasks: BTreeSet::new(),
            stack: 0,
            habit: None,
            total_memory,
            life: Life::default(),
        };
        machine.prepare();
        machine
    }

    /// Gives the first process handlers and a clock that ticks, so that waits end.
    fn prepare(&mut self) {
        const SETITIMER: u32 = 104;
        const RT_SIGACTION: u32 = 174;
        const NODEFER: u32 = 0x4000_0000;
        let Next::Run { task, .. } = self.kernel.schedule() else { return };
        self.stack = self.kernel.parts(task).map_or(0, |parts| parts.cpu.gpr(Gpr::Esp));
        self.poke(task, DATA, &[DATA, NODEFER, 0, 0, 0]);
        for signal in [1, 2, 4, 5, 7, 8, 10, 11, 12, 13, 14, 15, 23, 26, 27, 28, 29, 34, 35, 36] {
            self.call(task, RT_SIGACTION, [signal, DATA, 0, 8, 0, 0]);
        }
        const SETRLIMIT: u32 = 75;
        const RLIMIT_NOFILE: u32 = 7;
        self.poke(task, DATA, &[20_000, 20_000]);
        self.call(task, SETRLIMIT, [RLIMIT_NOFILE, DATA, 0, 0, 0, 0]);
        self.poke(task, DATA, &[0, 5000, 0, 5000]);
        self.call(task, SETITIMER, [0, DATA, 0, 0, 0, 0]);
    }

    fn poke(&mut self, task: TaskId, address: u32, words: &[u32]) {
        if let Some(parts) = self.kernel.parts(task) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            // Where the guest has unmapped its data there is nothing to prepare.
            let _ = parts.memory.write_bytes(address, &bytes);
        }
    }

    fn call(&mut self, task: TaskId, number: u32, arguments: [u32; 6]) {
        let Some(parts) = self.kernel.parts(task) else { return };
        let order = [Gpr::Ebx, Gpr::Ecx, Gpr::Edx, Gpr::Esi, Gpr::Edi, Gpr::Ebp];
        parts.cpu.set_gpr(Gpr::Eax, number);
        for (gpr, argument) in order.into_iter().zip(arguments) {
            parts.cpu.set_gpr(gpr, argument);
        }
        let start = Instant::now();
        self.kernel.system_call(task);
        let taken = start.elapsed();
        self.life.calls += 1;
        if taken > self.life.slowest.1 {
            self.life.slowest = (self.life.calls, taken);
            self.life.slowest_number = number;
        }
        let result = self.kernel.parts(task).map_or(0, |parts| parts.cpu.gpr(Gpr::Eax));
        self.life.errors += u64::from(result > 0xffff_f000);
        for word in [number, arguments[0], result] {
            self.life.trace = (self.life.trace ^ u64::from(word)).wrapping_mul(0x100_0000_01b3);
        }
        self.arguments.learn(number, result);
    }

    fn run(&mut self, calls: u64) {
        let mut idle = 0;
        while self.life.calls < calls {
            match self.kernel.schedule() {
                Next::Run { task, .. } => {
                    idle = 0;
                    self.tasks.insert(task);
                    self.step(task);
                }
                Next::Idle | Next::Waiting { .. } if idle < PATIENCE => idle += 1,
                _ => return,
            }
        }
    }

    /// One call or exception of `task`, and some time for it.
    fn step(&mut self, task: TaskId) {
        if self.random.below(1500) == 0 {
            match self.random.pick(EXCEPTIONS) {
                Exception::PageFault => {
                    let address = self.arguments.pointer(&mut self.random);
                    let access = self.random.pick(&[Access::Read, Access::Write, Access::Execute]);
                    let accessed =
                        self.kernel.parts(task).map(|parts| parts.memory.check(address, 1, access));
                    if let Some(Err(fault)) = accessed {
                        self.kernel.page_fault(task, fault);
                    }
                }
                exception => {
                    let error_code = self.random.below(32);
                    self.kernel.exception(task, exception, error_code);
                }
            }
        } else {
            if self.random.percent(60)
                && let Some(parts) = self.kernel.parts(task)
            {
                parts.cpu.set_gpr(Gpr::Esp, self.stack);
            }
            let Habit { call, left } = match self.habit.take() {
                Some(habit) => habit,
                None => {
                    let left = if self.random.below(200) == 0 { self.random.below(3000) } else { 0 };
                    Habit { call: self.arguments.draw(&mut self.random, task.number()), left }
                }
            };
            if let Some(parts) = self.kernel.parts(task) {
                for (address, bytes) in &call.memory {
                    let _ = parts.memory.write_bytes(*address, bytes);
                }
            }
            self.call(task, call.number, call.arguments);
            self.habit = left.checked_sub(1).map(|left| Habit { call, left });
        }
        let executed = self.random.pick(&[0, 10, 1000, 50_000, 200_000]);
        self.kernel.retire(task, executed);
    }

    /// Whether `secret` is in anybody's data or has been written to the standard streams.
    fn has_seen(&mut self, secret: &[u8]) -> bool {
        let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        if self.output.0.lock().is_ok_and(|written| holds(&written)) {
            return true;
        }
        let tasks: Vec<TaskId> = self.tasks.iter().copied().collect();
        tasks.into_iter().any(|task| {
            let Some(parts) = self.kernel.parts(task) else { return false };
            arguments::data_pages().any(|page| {
                let mut bytes = [0; 4096];
                parts.memory.peek_bytes(page, &mut bytes).is_ok() && holds(&bytes)
            })
        })
    }
}
