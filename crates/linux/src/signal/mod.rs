//! Signals (signal(7)): numbers, sets, what is pending, and what processes do with them.
//!
//! `kernel::delivery` decides who gets a signal and when; [`frame`] puts handlers on the stack and takes
//! them off again.

pub(crate) mod frame;

use std::collections::{BTreeMap, VecDeque};

/// A signal's number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Signal(u8);

/// What a signal does to a process that has no handler for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DefaultAction {
    Terminate,
    Ignore,
    Stop,
    Continue,
}

/// Names of the signals 1 to 31 on i386.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

impl Signal {
    pub(crate) const HUP: Self = Self(1);
    pub(crate) const INT: Self = Self(2);
    pub(crate) const QUIT: Self = Self(3);
    pub(crate) const ILL: Self = Self(4);
    pub(crate) const TRAP: Self = Self(5);
    pub(crate) const BUS: Self = Self(7);
    pub(crate) const FPE: Self = Self(8);
    pub(crate) const KILL: Self = Self(9);
    pub(crate) const SEGV: Self = Self(11);
    pub(crate) const PIPE: Self = Self(13);
    pub(crate) const ALRM: Self = Self(14);
    pub(crate) const CHLD: Self = Self(17);
    pub(crate) const CONT: Self = Self(18);
    pub(crate) const STOP: Self = Self(19);
    pub(crate) const TSTP: Self = Self(20);
    pub(crate) const TTIN: Self = Self(21);
    pub(crate) const TTOU: Self = Self(22);
    pub(crate) const XCPU: Self = Self(24);
    pub(crate) const XFSZ: Self = Self(25);
    pub(crate) const VTALRM: Self = Self(26);
    pub(crate) const PROF: Self = Self(27);
    pub(crate) const SYS: Self = Self(31);
    /// The first real-time signal.
    pub(crate) const REAL_TIME: Self = Self(32);

    /// The signal with `number`, if there is one.
    pub(crate) fn new(number: u32) -> Option<Self> {
        (1..=64).contains(&number).then_some(Self(number as u8))
    }

    /// Its number on i386, 1 to 64.
    pub(crate) const fn number(self) -> u8 {
        self.0
    }

    /// Its name as signal(7) and strace(1) have it.
    pub(crate) fn name(self) -> String {
        match NAMES.get(usize::from(self.0) - 1) {
            Some(name) => (*name).to_owned(),
            None if self.0 == 32 => "SIGRTMIN".to_owned(),
            None => format!("SIGRT_{}", self.0 - 32),
        }
    }

    /// Whether instances of it queue up instead of merging into one.
    pub(crate) fn queues(self) -> bool {
        self >= Self::REAL_TIME
    }

    /// What happens without a handler (signal(7), "Standard signals").
    pub(crate) fn default_action(self) -> DefaultAction {
        match self {
            Self::CHLD | Self(23) | Self(28) => DefaultAction::Ignore,
            Self::CONT => DefaultAction::Continue,
            Self::STOP | Self::TSTP | Self::TTIN | Self::TTOU => DefaultAction::Stop,
            _ => DefaultAction::Terminate,
        }
    }
}

/// A set of signals, as the guest's 64-bit `sigset_t`: bit n-1 for signal n.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SignalSet(pub(crate) u64);

impl SignalSet {
    /// SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE and SIGSYS, which are delivered first.
    const SYNCHRONOUS: Self = Self(1 << 10 | 1 << 6 | 1 << 3 | 1 << 4 | 1 << 7 | 1 << 30);
    /// SIGKILL and SIGSTOP, which cannot be blocked, caught or ignored.
    pub(crate) const UNBLOCKABLE: Self = Self(1 << 8 | 1 << 18);
    /// The signals whose default is to stop.
    pub(crate) const STOPPING: Self = Self(1 << 18 | 1 << 19 | 1 << 20 | 1 << 21);

    /// The set of one signal.
    pub(crate) const fn of(signal: Signal) -> Self {
        Self(1 << (signal.0 - 1))
    }

    pub(crate) const fn contains(self, signal: Signal) -> bool {
        self.0 & Self::of(signal).0 != 0
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// A mask that a program may have: never with SIGKILL or SIGSTOP.
    pub(crate) const fn as_mask(self) -> Self {
        self.without(Self::UNBLOCKABLE)
    }

    /// The signal that is delivered first.
    fn first(self) -> Option<Signal> {
        let urgent = self.intersection(Self::SYNCHRONOUS);
        let from = if urgent.is_empty() { self } else { urgent };
        (!from.is_empty()).then(|| Signal(from.0.trailing_zeros() as u8 + 1))
    }
}

/// Codes of `siginfo_t.si_code` (sigaction(2)).
pub(crate) mod code {
    pub(crate) const USER: i32 = 0;
    pub(crate) const SYS_SECCOMP: i32 = 1;
    pub(crate) const KERNEL: i32 = 0x80;
    pub(crate) const TIMER: i32 = -2;
    pub(crate) const TKILL: i32 = -6;
    pub(crate) const ILL_ILLOPN: i32 = 2;
    pub(crate) const FPE_INTDIV: i32 = 1;
    pub(crate) const TRAP_BRKPT: i32 = 1;
    pub(crate) const TRAP_TRACE: i32 = 2;
    pub(crate) const SEGV_MAPERR: i32 = 1;
    pub(crate) const SEGV_ACCERR: i32 = 2;
    pub(crate) const BUS_ADRALN: i32 = 1;
    pub(crate) const BUS_ADRERR: i32 = 2;
    pub(crate) const CLD_EXITED: i32 = 1;
    pub(crate) const CLD_KILLED: i32 = 2;
    pub(crate) const CLD_TRAPPED: i32 = 4;
    pub(crate) const CLD_STOPPED: i32 = 5;
    pub(crate) const CLD_CONTINUED: i32 = 6;
}

/// A signal with what is known of its origin: `siginfo_t` without padding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Info {
    pub(crate) signal: Signal,
    /// si_errno: what a filter of calls says beside its action, else 0.
    pub(crate) errno: u32,
    /// si_code.
    pub(crate) code: i32,
    /// The words from offset 12 on: pid, uid, value; or address; or pid, uid, status, times.
    pub(crate) fields: [u32; 5],
}

impl Info {
    /// Bytes of a guest `siginfo_t`.
    pub(crate) const SIZE: u32 = 128;

    /// A signal from the kernel itself.
    pub(crate) const fn kernel(signal: Signal) -> Self {
        Self { signal, errno: 0, code: code::KERNEL, fields: [0; 5] }
    }

    /// A fault at `address`.
    pub(crate) const fn fault(signal: Signal, code: i32, address: u32) -> Self {
        Self { signal, errno: 0, code, fields: [address, 0, 0, 0, 0] }
    }

    /// From a process that called kill(2) or the like.
    pub(crate) const fn sent(signal: Signal, code: i32, process: u32, user: u32) -> Self {
        Self { signal, errno: 0, code, fields: [process, user, 0, 0, 0] }
    }

    /// A call, by its number and the EIP behind it, that a filter has refused.
    pub(crate) const fn refused_call(eip: u32, number: u32) -> Self {
        const AUDIT_ARCH_I386: u32 = 0x4000_0003;
        let fields = [eip, number, AUDIT_ARCH_I386, 0, 0];
        Self { signal: Signal::SYS, errno: 0, code: code::SYS_SECCOMP, fields }
    }

    /// The guest's `siginfo_t`.
    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE as usize] {
        let mut bytes = [0; Self::SIZE as usize];
        let words = [u32::from(self.signal.0), self.errno, self.code as u32].into_iter().chain(self.fields);
        for (slot, word) in bytes.chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// What rt_sigqueueinfo(2) was given, sent as `signal`.
    pub(crate) fn from_bytes(signal: Signal, bytes: &[u8; Self::SIZE as usize]) -> Self {
        let word = |index: usize| {
            u32::from_le_bytes([
                bytes[4 * index],
                bytes[4 * index + 1],
                bytes[4 * index + 2],
                bytes[4 * index + 3],
            ])
        };
        Self {
            signal,
            errno: word(1),
            code: word(2) as i32,
            fields: core::array::from_fn(|index| word(3 + index)),
        }
    }
}

/// Signals that wait for delivery.
#[derive(Clone, Default, Debug)]
pub(crate) struct PendingSignals {
    /// The instances of each that is pending, oldest first.
    queues: BTreeMap<Signal, VecDeque<Info>>,
    /// Which have one.
    set: SignalSet,
    length: usize,
}

impl PendingSignals {
    /// Which are pending.
    pub(crate) const fn set(&self) -> SignalSet {
        self.set
    }

    /// How many are queued.
    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// All of them, those of lower signals first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Info> {
        self.queues.values().flatten()
    }

    /// Adds one. A second instance of a signal that does not queue is lost, and beyond `room` one
    /// of any signal is (RLIMIT_SIGPENDING). A POSIX timer's is never lost: each has one at a time.
    pub(crate) fn push(&mut self, info: Info, room: u64) {
        let queues = info.signal.queues() && (self.length as u64) < room;
        if queues || info.code == code::TIMER || !self.set.contains(info.signal) {
            self.queues.entry(info.signal).or_default().push_back(info);
            self.set = self.set.union(SignalSet::of(info.signal));
            self.length += 1;
        }
    }

    /// Takes the first of `wanted`.
    pub(crate) fn take(&mut self, wanted: SignalSet) -> Option<Info> {
        let signal = self.set.intersection(wanted).first()?;
        let queue = self.queues.get_mut(&signal)?;
        let info = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&signal);
            self.set = self.set.without(SignalSet::of(signal));
        }
        self.length -= 1;
        Some(info)
    }

    /// Forgets those of `set`.
    pub(crate) fn discard(&mut self, set: SignalSet) {
        if !self.set.intersection(set).is_empty() {
            self.queues.retain(|signal, _| !set.contains(*signal));
            self.set = self.set.without(set);
            self.length = self.queues.values().map(VecDeque::len).sum();
        }
    }
}

/// Flags of `sigaction` (sigaction(2)).
pub(crate) mod flag {
    pub(crate) const NOCLDSTOP: u32 = 1;
    pub(crate) const NOCLDWAIT: u32 = 2;
    pub(crate) const SIGINFO: u32 = 4;
    pub(crate) const RESTORER: u32 = 0x0400_0000;
    pub(crate) const ONSTACK: u32 = 0x0800_0000;
    pub(crate) const RESTART: u32 = 0x1000_0000;
    pub(crate) const NODEFER: u32 = 0x4000_0000;
    pub(crate) const RESETHAND: u32 = 0x8000_0000;
}

/// What a process does on a signal: `struct sigaction`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Action {
    /// SIG_DFL, SIG_IGN or the handler's address.
    pub(crate) handler: u32,
    pub(crate) flags: u32,
    pub(crate) restorer: u32,
    pub(crate) mask: SignalSet,
}

impl Action {
    /// SIG_DFL.
    pub(crate) const DEFAULT: u32 = 0;
    /// SIG_IGN.
    pub(crate) const IGNORE: u32 = 1;
}

/// The actions of a process for all signals (shared by CLONE_SIGHAND).
#[derive(Clone, Debug)]
pub(crate) struct Actions([Action; 64]);

impl Default for Actions {
    fn default() -> Self {
        Self([Action::default(); 64])
    }
}

impl Actions {
    /// The action on `signal`.
    pub(crate) fn get(&self, signal: Signal) -> Action {
        self.0[usize::from(signal.0 - 1)]
    }

    /// Installs an action.
    pub(crate) fn set(&mut self, signal: Signal, action: Action) {
        self.0[usize::from(signal.0 - 1)] = action;
    }

    /// Whether `signal` would be thrown away.
    pub(crate) fn ignores(&self, signal: Signal) -> bool {
        match self.get(signal).handler {
            Action::IGNORE => true,
            Action::DEFAULT => signal.default_action() == DefaultAction::Ignore,
            _ => false,
        }
    }

    /// Handlers become defaults; what is ignored stays so (execve(2)).
    pub(crate) fn reset_for_exec(&mut self) {
        for action in &mut self.0 {
            let handler = if action.handler == Action::IGNORE { Action::IGNORE } else { Action::DEFAULT };
            *action = Action { handler, ..Action::default() };
        }
    }
}

/// `stack_t.ss_flags` (sigaltstack(2)).
pub(crate) const SS_ONSTACK: u32 = 1;
pub(crate) const SS_DISABLE: u32 = 2;
pub(crate) const SS_AUTODISARM: u32 = 1 << 31;

/// An alternate signal stack (sigaltstack(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct AlternateStack {
    pub(crate) start: u32,
    /// 0 while disabled.
    pub(crate) size: u32,
    /// SS_AUTODISARM.
    pub(crate) disarm: bool,
}

impl AlternateStack {
    /// Whether `pointer` is on it.
    pub(crate) const fn holds(&self, pointer: u32) -> bool {
        !self.disarm && pointer > self.start && pointer - self.start <= self.size
    }
}
