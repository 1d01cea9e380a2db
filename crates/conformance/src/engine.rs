//! The engines under test, and the bench that runs a case on one of them.

use pentimento::EngineKind;
use pentimento_decoder::{Instruction, Operand};
use pentimento_execute::{Context, Engine, Environment, Exit, Gates, Guest, Reference, Until, fetch};
use pentimento_memory::{AddressSpace, MapError, PAGE_SIZE, Permissions};
use pentimento_registers::CpuState;

use crate::case::{Case, Chunk, Ending};
use crate::generate;
use crate::latitude::{Access, Step};
use crate::layout::{self, PAGE, PAGES};

/// One of every engine of this build: every vector runs on each. A new engine is one line in
/// [`EngineKind::ALL`].
#[must_use]
pub fn engines() -> Vec<(EngineKind, Box<dyn Engine>)> {
    EngineKind::ALL.iter().map(|kind| (*kind, kind.start())).collect()
}

/// Instructions that a case may take before it counts as endless.
const BUDGET: u64 = 20_000;

/// Instructions of a case that a trace shows: all that an engine executes.
const LONGEST_TRACE: usize = BUDGET as usize;

/// An address space with the layout in it, in which case after case runs.
pub struct Bench {
    memory: AddressSpace,
    environment: Environment,
    background: Vec<u8>,
    /// The arena as the running case found it.
    expected: Vec<u8>,
    buffer: Vec<u8>,
    low_pages: bool,
}

impl Bench {
    /// Maps the layout; without its pages below 64 KiB unless `low_pages`.
    ///
    /// # Errors
    /// Where the host has no memory for it.
    pub fn new(low_pages: bool) -> Result<Self, MapError> {
        let mut memory = AddressSpace::new();
        let background = layout::background();
        for (page, bytes) in
            Self::pages(low_pages).zip(background.chunks(PAGE).skip(Self::skipped(low_pages)))
        {
            memory.map(page.address, PAGE_SIZE, page.permissions)?;
            let poked = memory.poke_bytes(page.address, bytes);
            debug_assert!(poked.is_ok(), "the page has just been mapped");
        }
        let environment = Environment { gates: Gates::Linux, ..Environment::default() };
        let expected = background.clone();
        Ok(Self { memory, environment, background, expected, buffer: vec![0; PAGE], low_pages })
    }

    const fn skipped(low_pages: bool) -> usize {
        if low_pages { 0 } else { layout::LOW_PAGES }
    }

    fn pages(low_pages: bool) -> impl Iterator<Item = &'static layout::Page> {
        PAGES.iter().skip(Self::skipped(low_pages))
    }

    /// Runs one case.
    pub fn run(&mut self, engine: &mut dyn Engine, case: &Case) -> Ending {
        self.write(case, false);
        let mut state = case.state.clone();
        let mut guest = Guest {
            state: &mut state,
            memory: &mut self.memory,
            environment: &mut self.environment,
            descriptors: layout::descriptor_tables(),
        };
        let exit = engine.run(&mut guest, Until::budget(BUDGET)).exit;
        let mut outcome = ending(state, exit);
        self.collect(&mut outcome.chunks);
        self.write(case, true);
        outcome
    }

    /// The instructions that `case` executes on the reference engine, the last of which may fault;
    /// at most [`LONGEST_TRACE`] of them.
    pub(crate) fn trace(&mut self, case: &Case) -> Vec<Step> {
        self.write(case, false);
        let mut state = case.state.clone();
        let mut steps = Vec::new();
        while steps.len() < LONGEST_TRACE {
            let before = state.eip;
            let mut guest = Guest {
                state: &mut state,
                memory: &mut self.memory,
                environment: &mut self.environment,
                descriptors: layout::descriptor_tables(),
            };
            let context = guest.context();
            if let Ok(instruction) = fetch(&context) {
                let (accesses, state) = (accesses(&context, &instruction), context.state.clone());
                steps.push(Step { state, instruction, accesses, completed: true });
            }
            match Reference.step(&mut guest) {
                Ok(()) => {}
                Err(exit) if exit.exception().is_some() && state.eip == before => {
                    steps.iter_mut().last().into_iter().for_each(|step| step.completed = false);
                    break;
                }
                Err(_) => break,
            }
        }
        self.collect(&mut Vec::new());
        self.write(case, true);
        steps
    }

    /// Writes the case's code and patches, or puts the background back over them.
    fn write(&mut self, case: &Case, undo: bool) {
        for (address, bytes) in case.memory() {
            self.write_patch(address, bytes, undo);
        }
    }

    fn write_patch(&mut self, address: u32, bytes: &[u8], undo: bool) {
        for (at, bytes) in in_pages(address, bytes) {
            let Some(offset) = layout::arena_offset(at) else { continue };
            let range = offset as usize..offset as usize + bytes.len();
            let bytes = if undo { &self.background[range.clone()] } else { bytes };
            // Pages that this bench does not map stay out.
            if self.memory.poke_bytes(at, bytes).is_ok() {
                self.expected[range].copy_from_slice(bytes);
            }
        }
    }

    /// Finds what the case changed, and puts it back.
    fn collect(&mut self, chunks: &mut Vec<Chunk>) {
        let skipped = Self::skipped(self.low_pages);
        for (index, page) in PAGES.iter().enumerate().skip(skipped) {
            if !page.permissions.contains(Permissions::WRITE) {
                continue;
            }
            let expected = &self.expected[index * PAGE..][..PAGE];
            if self.memory.read_bytes(page.address, &mut self.buffer).is_err() || self.buffer == expected {
                continue;
            }
            for (number, (now, before)) in
                self.buffer.chunks_exact(16).zip(expected.chunks_exact(16)).enumerate()
            {
                if now == before {
                    continue;
                }
                let address = page.address + number as u32 * 16;
                let mut bytes = [0; 16];
                bytes.copy_from_slice(now);
                chunks.push(Chunk { address, bytes });
                let restored = self.memory.poke_bytes(address, before);
                debug_assert!(restored.is_ok(), "the page has just been read");
            }
        }
    }
}

/// The explicit memory operands of an instruction that is about to be executed.
fn accesses(context: &Context<'_>, instruction: &Instruction) -> Vec<Access> {
    let locate = |operand| match operand {
        Operand::Memory(memory) => {
            let offset = context.effective_address(&memory);
            let linear = context.state.segment(memory.segment).base().wrapping_add(offset);
            let size = if memory.size == 0 { generate::span(instruction) } else { memory.size.into() };
            Some(Access { offset, linear, size })
        }
        _ => None,
    };
    instruction.operands().filter_map(locate).collect()
}

/// Splits bytes at an address into pieces that lie in one page each.
pub(crate) fn in_pages(address: u32, bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut at = address;
    let mut rest = bytes;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let room = (PAGE_SIZE - at % PAGE_SIZE) as usize;
        let (piece, behind) = rest.split_at(rest.len().min(room));
        let start = at;
        at = at.wrapping_add(piece.len() as u32);
        rest = behind;
        Some((start, piece))
    })
}

/// What a Linux process would see of this exit.
fn ending(state: CpuState, exit: Exit) -> Ending {
    let (vector, error_code, address) = match exit.exception() {
        Some((exception, error_code, address)) => (exception.vector().into(), error_code, address),
        None if matches!(exit, Exit::Budget | Exit::CodeEnd) => (Ending::BUDGET, 0, 0),
        None => (Ending::LEFT, 0, 0),
    };
    Ending { vector, error_code, address, state, chunks: Vec::new() }
}
