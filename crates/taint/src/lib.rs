//! Which bytes of a guest depend on which input.
//!
//! Each byte of registers and memory has a set of labels, which says what it was made of; every instruction
//! carries them on, by what it reads and writes
//! ([`Instruction::effects`](pentimento::Instruction::effects)): copies byte by byte, sums from each byte
//! upwards, all else from everything to everything. Labels come from what programs read and from wherever a
//! host puts them; the report says which have reached branches and system calls.
//!
//! ```
//! use pentimento::{Cpu, Gpr, Permissions, assembler::assemble};
//! use pentimento_taint::{Options, Sink, Taint};
//!
//! let mut cpu = Cpu::new();
//! cpu.memory.map(0, 0x10000, Permissions::all())?;
//! cpu.memory.poke_bytes(0, assemble("mov al, [0x2001]\n xor ebx, ebx\n cmp al, 'x'\n je 0\n int 3")?.bytes())?;
//! let taint = Taint::start(&mut cpu.hooks, Options::default());
//! let first = taint.label_memory(&cpu.memory, 0x2000, 4); // a label for each of four bytes
//! cpu.run(100);
//! assert_eq!(taint.register(None, Gpr::Eax)[0], [first.next()]);
//! let report = taint.report();
//! let [finding] = &report[..] else { panic!("one branch depends on them") };
//! assert_eq!((finding.sink, &finding.labels[..]), (Sink::Branch, &[first.next()][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is not followed: what is decided by a branch, time, and memory that the kernel writes other than by
//! read(2) and pread(2), whose labels stay what they were. A forked process begins without labels. There
//! are 65,534 sets; what would need more has [`Finding::is_exact`] false, and no labels.
#![forbid(unsafe_code)]

mod flow;
mod labels;
mod shadow;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pentimento::{AddressSpace, Gpr, GuestCall, HookId, Hooks, Instruction, Reply, TaskId, View};

use flow::Flow;
use labels::{Set, Sets};
use shadow::{Memory, Registers};

/// A name for an input.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Label(u32);

impl Label {
    /// The label that was given out after this one: where bytes are labelled in a row, the next byte's.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// Where a label comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Origin {
    /// The host gave it to this byte of memory.
    Memory {
        /// The linear address.
        address: u32,
    },
    /// The host gave it to a register.
    Register(Gpr),
    /// A program read it.
    Read {
        /// The descriptor that it was read from.
        descriptor: u32,
        /// How many bytes were read from descriptors of that number before.
        index: u64,
    },
    /// The result of a system call.
    Call {
        /// The call's number.
        number: u32,
    },
}

/// What labels come from and go through.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every byte that a program reads by read(2) or pread(2) gets a label of its own.
    pub reads: bool,
    /// What is loaded depends on the registers that its address is made of, too: a table's entry on the
    /// index.
    pub addresses: bool,
    /// The numbers of system calls whose results get labels.
    pub calls: Vec<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { reads: true, addresses: false, calls: Vec::new() }
    }
}

/// What labels have reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Sink {
    /// They decide whether a branch is taken.
    Branch,
    /// They decide where a jump, a call or a return goes.
    Target,
    /// They are in an argument of a system call.
    Argument {
        /// The call's number.
        call: u32,
        /// The argument, counted from 0.
        index: u8,
    },
}

/// Labels that have reached a sink.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// EIP of the instruction; behind it for a system call.
    pub eip: u32,
    /// What they have reached.
    pub sink: Sink,
    /// The labels, over all times, in ascending order.
    pub labels: Vec<Label>,
    /// How often it was reached.
    pub times: u64,
    /// Whether those are the labels: otherwise there were no numbers left for more sets.
    pub is_exact: bool,
}

/// Labels, and the hooks that carry them. Clones are the same.
#[derive(Clone, Debug)]
pub struct Taint {
    state: Arc<Mutex<State>>,
    hooks: Vec<HookId>,
}

#[derive(Debug)]
struct State {
    options: Options,
    sets: Sets,
    origins: Vec<Origin>,
    registers: HashMap<Option<TaskId>, Registers>,
    memories: HashMap<u64, Memory>,
    findings: BTreeMap<(u32, Sink), (Set, u64)>,
    /// Bytes read so far, by descriptor.
    read: HashMap<u32, u64>,
}

impl Taint {
    /// Begins to carry labels. The guest runs some hundred times slower until [`stop`](Self::stop).
    pub fn start(hooks: &mut Hooks, options: Options) -> Self {
        let state = Arc::new(Mutex::new(State {
            options,
            sets: Sets::new(),
            origins: Vec::new(),
            registers: HashMap::new(),
            memories: HashMap::new(),
            findings: BTreeMap::new(),
            read: HashMap::new(),
        }));
        let [on_instruction, on_call, on_end] = [&state, &state, &state].map(Arc::clone);
        let hooks = vec![
            hooks.on_instruction(.., move |view, instruction| lock(&on_instruction).step(view, instruction)),
            hooks.on_system_call(move |view, call| {
                lock(&on_call).call(view, call);
                Reply::Pass
            }),
            hooks.on_system_call_end(move |view, call, result| lock(&on_end).call_end(view, call, result)),
        ];
        Self { state, hooks }
    }

    /// Ends it: labels stay where they are.
    pub fn stop(&self, hooks: &mut Hooks) {
        self.hooks.iter().for_each(|id| hooks.remove(*id));
    }

    /// Gives each of `length` bytes a new label. Returns the first; the others follow it.
    pub fn label_memory(&self, memory: &AddressSpace, address: u32, length: u32) -> Label {
        let mut state = lock(&self.state);
        let first = Label(state.origins.len() as u32);
        for offset in 0..length {
            let address = address.wrapping_add(offset);
            let set = state.label(Origin::Memory { address });
            state.memories.entry(memory.identity()).or_default().set(address, set);
        }
        first
    }

    /// Gives all of a register a new label; `task` is `None` on a CPU.
    pub fn label_register(&self, task: Option<TaskId>, register: Gpr) -> Label {
        let mut state = lock(&self.state);
        let label = Label(state.origins.len() as u32);
        let set = state.label(Origin::Register(register));
        *state.registers.entry(task).or_default().general(register) = [set; 4];
        label
    }

    /// The labels of each of `length` bytes.
    #[must_use]
    pub fn memory(&self, memory: &AddressSpace, address: u32, length: u32) -> Vec<Vec<Label>> {
        let state = lock(&self.state);
        let shadow = state.memories.get(&memory.identity());
        let set = |address| shadow.map_or(Set::EMPTY, |shadow| shadow.get(address));
        (0..length).map(|offset| state.sets.labels(set(address.wrapping_add(offset))).to_vec()).collect()
    }

    /// The labels of a register's bytes, the lowest first; `task` is `None` on a CPU.
    #[must_use]
    pub fn register(&self, task: Option<TaskId>, register: Gpr) -> [Vec<Label>; 4] {
        let mut state = lock(&self.state);
        let sets = *state.registers.entry(task).or_default().general(register);
        sets.map(|set| state.sets.labels(set).to_vec())
    }

    /// Where a label comes from.
    #[must_use]
    pub fn origin(&self, label: Label) -> Option<Origin> {
        lock(&self.state).origins.get(label.0 as usize).copied()
    }

    /// The branches and system calls that labels have reached, by EIP.
    #[must_use]
    pub fn report(&self) -> Vec<Finding> {
        let state = lock(&self.state);
        let finding = |((eip, sink), (set, times)): (&(u32, Sink), &(Set, u64))| Finding {
            eip: *eip,
            sink: *sink,
            labels: state.sets.labels(*set).to_vec(),
            times: *times,
            is_exact: *set != Set::ANY,
        };
        state.findings.iter().map(finding).collect()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The set of a new label.
    fn label(&mut self, origin: Origin) -> Set {
        let label = Label(self.origins.len() as u32);
        self.origins.push(origin);
        self.sets.of(label)
    }

    fn find(&mut self, eip: u32, sink: Sink, set: Set) {
        if set.is_empty() {
            return;
        }
        let (labels, times) = self.findings.entry((eip, sink)).or_default();
        *labels = self.sets.union(*labels, set);
        *times += 1;
    }

    fn step(&mut self, view: &View<'_>, instruction: &Instruction) {
        use pentimento::Operation as O;
        let mut flow = Flow {
            sets: &mut self.sets,
            registers: self.registers.entry(view.task()).or_default(),
            memory: self.memories.entry(view.memory.identity()).or_default(),
            state: &view.state,
            space: view.memory,
            addresses: self.options.addresses,
        };
        if let Some(set) = flow.step(instruction) {
            let target = matches!(instruction.operation(), O::Call | O::Jmp | O::Ret);
            self.find(view.state.eip, if target { Sink::Target } else { Sink::Branch }, set);
        }
    }

    /// A system call is about to be served.
    fn call(&mut self, view: &View<'_>, call: &GuestCall) {
        const ARGUMENTS: [Gpr; 6] = [Gpr::Ebx, Gpr::Ecx, Gpr::Edx, Gpr::Esi, Gpr::Edi, Gpr::Ebp];
        let registers = self.registers.entry(view.task()).or_default();
        let arguments = ARGUMENTS.map(|register| *registers.general(register));
        for (index, bytes) in (0..).zip(arguments) {
            let set = bytes.iter().fold(Set::EMPTY, |union, byte| self.sets.union(union, *byte));
            self.find(view.state.eip, Sink::Argument { call: call.number, index }, set);
        }
    }

    /// A system call has been served.
    fn call_end(&mut self, view: &View<'_>, call: &GuestCall, result: u32) {
        const READ: u32 = 3;
        const PREAD64: u32 = 180;
        let set = if self.options.calls.contains(&call.number) {
            self.label(Origin::Call { number: call.number })
        } else {
            Set::EMPTY
        };
        *self.registers.entry(view.task()).or_default().general(Gpr::Eax) = [set; 4];
        let [descriptor, buffer, length, ..] = call.arguments;
        if !matches!(call.number, READ | PREAD64) || result > length {
            return;
        }
        for offset in 0..result {
            let set = if self.options.reads {
                let index = self.read.entry(descriptor).or_default();
                let origin = Origin::Read { descriptor, index: *index };
                *index += 1;
                self.label(origin)
            } else {
                Set::EMPTY
            };
            let memory = self.memories.entry(view.memory.identity()).or_default();
            memory.set(buffer.wrapping_add(offset), set);
        }
    }
}
