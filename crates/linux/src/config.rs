//! What a host decides about a machine before it starts.

use std::time::Duration;

use crate::host;
use crate::processor::{self, Cpuid};

/// The number of the only CPU, which getcpu(2) reports.
pub(crate) const PROCESSOR: u32 = 0;

/// Which time the guest sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeMode {
    /// Driven by executed instructions; sleeping advances it when nobody can run.
    Virtual {
        /// Time since 1970-01-01 00:00 UTC at the start.
        start: Duration,
        /// Nanoseconds that pass for 1,000 instructions.
        nanoseconds_per_thousand: u32,
    },
    /// The host's, through [`Config::clock`].
    Real,
}

impl Default for TimeMode {
    /// Virtual: 2000-01-01 00:00 UTC, and a thousand million instructions a second.
    fn default() -> Self {
        Self::Virtual { start: Duration::from_secs(946_684_800), nanoseconds_per_thousand: 1000 }
    }
}

/// What a machine may use. Reaching a limit gives the guest the errno that Linux gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes mapped in one address space; beyond it ENOMEM.
    pub memory: u64,
    /// Bytes of the host's memory that the whole machine takes: pages of all processes, page tables, files
    /// in memory, bytes in pipes and sockets, open files, names, tasks and whatever else the kernel keeps.
    /// Beyond it ENOMEM, ENOSPC, EAGAIN or ENFILE, and a process that needs one more page is killed. A
    /// `Machine` keeps an eighth of it for what its engines make of code. A host's snapshots are not in it.
    pub total_memory: u64,
    /// Processes alive or zombies; beyond it fork fails with EAGAIN.
    pub processes: u32,
    /// Tasks (threads of all processes); beyond it clone fails with EAGAIN.
    pub tasks: u32,
    /// Open descriptors a process, at most 1,048,576: the hard RLIMIT_NOFILE; beyond it EMFILE. The
    /// soft one is 1024 at first, as everywhere.
    pub descriptors: u32,
    /// Bytes of the stack (RLIMIT_STACK); growing beyond it is SIGSEGV.
    pub stack: u32,
    /// Bytes a file can have (RLIMIT_FSIZE); beyond it SIGXFSZ and EFBIG.
    pub file_size: u64,
    /// Bytes of files that each file system in memory can hold; beyond it ENOSPC.
    pub memory_files: u64,
    /// Files that each file system in memory can hold; beyond it ENOSPC.
    pub inodes: u64,
    /// Bytes that standard output and error take together; beyond it ENOSPC.
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 4 << 30,
            total_memory: 4 << 30,
            processes: 4096,
            tasks: 8192,
            descriptors: 1 << 17,
            stack: 8 << 20,
            file_size: u64::MAX,
            memory_files: 4 << 30,
            inodes: 1 << 18,
            output: 1 << 30,
        }
    }
}

/// How to build a [`Kernel`](crate::Kernel).
pub struct Config {
    /// Decides every choice that is left open: ASLR, AT_RANDOM, getrandom, quanta.
    pub seed: u64,
    /// Places stack, mappings and position-independent programs at random addresses.
    pub randomize_addresses: bool,
    /// Which time the guest sees.
    pub time: TimeMode,
    /// What the machine may use.
    pub limits: Limits,
    /// The range of instructions that a task runs before another may; the seed draws from it.
    pub quantum: core::ops::RangeInclusive<u64>,
    /// Standard input.
    pub input: Box<dyn host::Input>,
    /// Standard output.
    pub output: Box<dyn host::Output>,
    /// Standard error.
    pub error: Box<dyn host::Output>,
    /// The host's clock, for [`TimeMode::Real`].
    pub clock: Box<dyn host::Clock>,
    /// Random bytes from the host instead of the seed.
    pub entropy: Option<Box<dyn host::Entropy>>,
    /// The host's network, if the guest may use it.
    pub network: Option<Box<dyn host::Network>>,
    /// Who is told of system calls.
    pub trace: Option<Box<dyn host::TraceSink>>,
    /// The user and group that the first process runs as, and that files of host folders belong
    /// to. User 0 is the machine's superuser; neither means anything on the host.
    pub identity: (u32, u32),
    /// The processor that AT_HWCAP and `/proc/cpuinfo` tell of.
    pub cpuid: Cpuid,
}

impl Default for Config {
    /// Deterministic with seed 0, no input, and output that is forgotten.
    fn default() -> Self {
        Self {
            seed: 0,
            randomize_addresses: true,
            time: TimeMode::default(),
            limits: Limits::default(),
            quantum: 10_000..=100_000,
            input: Box::new(host::Bytes::default()),
            output: Box::new(host::Discard),
            error: Box::new(host::Discard),
            clock: Box::new(host::SystemClock::new()),
            entropy: None,
            network: None,
            trace: None,
            identity: (0, 0),
            cpuid: processor::plain(),
        }
    }
}
