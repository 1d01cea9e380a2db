//! Which code has run.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pentimento::decoder::decode;
use pentimento::hooks::ends_block;
use pentimento::{AddressSpace, HookId, Kernel, KernelEvent, Machine, ProcessId, TaskId};

use crate::lcov;
use crate::modules::{Module, Symbols};

/// Counts how often blocks begin, in all programs of a machine, and notes which files they are of. The
/// machine runs some ten times slower meanwhile.
///
/// ```
/// use pentimento::{Halt, Machine};
/// use pentimento_insight::Coverage;
///
/// # let hello = include_bytes!("../../../fixtures/programs/hello");
/// let mut machine = Machine::builder().program("/bin/hello", hello).build()?;
/// machine.start(&["hello"])?;
/// let coverage = Coverage::start(&mut machine);
/// assert_eq!(machine.run(1_000_000), Halt::Exited(0));
/// let covered = coverage.finish(&mut machine);
/// assert_eq!(covered.modules()[0].path, "/bin/hello");
/// assert!(covered.modules()[0].blocks.iter().all(|block| block.times == 1));
/// let mut file = Vec::new();
/// covered.write_drcov(&mut file)?;
/// assert!(file.starts_with(b"DRCOV VERSION: 2\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Coverage {
    state: Arc<Mutex<State>>,
    hooks: [HookId; 2],
}

/// A block of code that has run: from where control came to, to the first branch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Where it begins, counted from the start of its module.
    pub offset: u32,
    /// Bytes.
    pub length: u16,
    /// How often it began.
    pub times: u64,
}

/// A file's code that has run.
#[derive(Clone, Debug)]
pub struct Covered {
    /// The file, as the guest names it.
    pub path: String,
    /// Where it was in memory, and one past its end.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
    /// The blocks that have run, by offset.
    pub blocks: Vec<Block>,
    pub(crate) module: Module,
}

/// All code that has run.
#[derive(Clone, Debug, Default)]
pub struct CodeCoverage {
    modules: Vec<Covered>,
}

/// Length and count of blocks, by where they begin.
type Blocks = BTreeMap<u32, (u16, u64)>;

/// What the hooks share.
#[derive(Debug, Default)]
struct State {
    /// Address spaces by their identity, which is never used twice.
    spaces: HashMap<u64, Space>,
}

#[derive(Debug, Default)]
struct Space {
    modules: Vec<Module>,
    /// Length and count by EIP.
    blocks: HashMap<u32, (u16, u64)>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Coverage {
    /// Begins to count.
    pub fn start(machine: &mut Machine) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let tasks: Vec<TaskId> = machine.kernel().tasks().collect();
        tasks.into_iter().for_each(|task| lock(&state).look(machine.kernel(), task));
        let shared = Arc::clone(&state);
        let blocks = machine.hooks.on_block(.., move |view| {
            lock(&shared).count(view.memory, view.state.eip);
        });
        let shared = Arc::clone(&state);
        let events = machine.hooks.on_kernel_event(move |view, event| {
            if let Some(task) = remapped(view.kernel, event) {
                lock(&shared).look(view.kernel, task);
            }
        });
        Self { state, hooks: [blocks, events] }
    }

    /// Ends it; what has been counted.
    pub fn finish(self, machine: &mut Machine) -> CodeCoverage {
        self.hooks.into_iter().for_each(|id| machine.hooks.remove(id));
        CodeCoverage::of(&lock(&self.state))
    }
}

/// Whose memory has files that it had not before the event.
fn remapped(kernel: &Kernel, event: &KernelEvent) -> Option<TaskId> {
    /// mmap(2), mremap(2) and mmap2(2).
    const MAPPING: [u32; 3] = [90, 163, 192];
    let first = |process: ProcessId| kernel.tasks().find(|task| kernel.process_of(*task) == Some(process));
    match *event {
        KernelEvent::ProcessStarted { process, .. } | KernelEvent::Executed { process } => first(process),
        KernelEvent::CallEnded { task, number, .. } if MAPPING.contains(&number) => Some(task),
        _ => None,
    }
}

impl State {
    /// Notes which files a task has in its memory.
    fn look(&mut self, kernel: &mut Kernel, task: TaskId) {
        let found = Module::of(&kernel.mappings(task));
        let Some(parts) = kernel.parts(task) else { return };
        let known = &mut self.spaces.entry(parts.memory.identity()).or_default().modules;
        for module in found {
            let same = |old: &&mut Module| old.path == module.path && old.start == module.start;
            match known.iter_mut().find(same) {
                Some(old) => old.end = old.end.max(module.end),
                None => known.push(module),
            }
        }
    }

    fn count(&mut self, memory: &AddressSpace, eip: u32) {
        let space = self.spaces.entry(memory.identity()).or_default();
        space.blocks.entry(eip).or_insert_with(|| (length(memory, eip), 0)).1 += 1;
    }
}

/// Bytes from `eip` to the end of the first branch, or of the last instruction that can be decoded.
fn length(memory: &AddressSpace, eip: u32) -> u16 {
    /// No compiler writes longer blocks, and a drcov file cannot tell of them.
    const MOST: u32 = 60_000;
    let mut at = 0;
    while at < MOST {
        let mut bytes = [0; 15];
        // Less than that at the end of what is mapped.
        let there = (1..=15)
            .rev()
            .find(|length| memory.peek_bytes(eip.wrapping_add(at), &mut bytes[..*length]).is_ok());
        let Some(Ok(instruction)) = there.map(|length| decode(&bytes[..length])) else { break };
        at += u32::from(instruction.length());
        if ends_block(&instruction) {
            break;
        }
    }
    at as u16
}

impl CodeCoverage {
    fn of(state: &State) -> Self {
        let mut found: BTreeMap<(u32, Vec<u8>), (Module, Blocks)> = BTreeMap::new();
        for space in state.spaces.values() {
            for (eip, (length, times)) in &space.blocks {
                // Code that a program has made itself is no file's.
                let Some(module) = space.modules.iter().find(|module| module.holds(*eip)) else { continue };
                let key = (module.start, module.path.clone());
                let (_, blocks) = found.entry(key).or_insert_with(|| (module.clone(), Blocks::new()));
                let block = blocks.entry(eip - module.start).or_insert((*length, 0));
                block.1 += times;
            }
        }
        let covered = |(module, blocks): (Module, Blocks)| Covered {
            path: String::from_utf8_lossy(&module.path).into_owned(),
            start: module.start,
            end: module.end,
            blocks: blocks
                .into_iter()
                .map(|(offset, (length, times))| Block { offset, length, times })
                .collect(),
            module,
        };
        Self { modules: found.into_values().map(covered).collect() }
    }

    /// The files whose code has run, by address.
    #[must_use]
    pub fn modules(&self) -> &[Covered] {
        &self.modules
    }

    /// Writes a drcov file, version 2, which disassemblers and their plug-ins read.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_drcov(&self, mut out: impl Write) -> io::Result<()> {
        writeln!(out, "DRCOV VERSION: 2\nDRCOV FLAVOR: drcov")?;
        writeln!(out, "Module Table: version 2, count {}", self.modules.len())?;
        writeln!(out, "Columns: id, base, end, entry, path")?;
        for (id, module) in self.modules.iter().enumerate() {
            let Covered { start, end, path, .. } = module;
            writeln!(out, "{id:3}, {start:#010x}, {end:#010x}, 0x00000000, {path}")?;
        }
        let count: usize = self.modules.iter().map(|module| module.blocks.len()).sum();
        writeln!(out, "BB Table: {count} bbs")?;
        for (id, module) in (0_u16..).zip(&self.modules) {
            for block in &module.blocks {
                out.write_all(&block.offset.to_le_bytes())?;
                out.write_all(&block.length.to_le_bytes())?;
                out.write_all(&id.to_le_bytes())?;
            }
        }
        out.flush()
    }

    /// Writes an lcov file, of the files that have line tables: how often each line has run, those that have
    /// not included. Says how many source files it tells of.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_lcov(
        &self,
        machine: &mut Machine,
        symbols: &mut Symbols,
        out: impl Write,
    ) -> io::Result<usize> {
        lcov::write(&self.modules, machine.kernel(), symbols, out)
    }
}
