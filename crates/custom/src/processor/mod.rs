//! A processor of an instruction set: state, memory, and what runs programs.
//!
//! [`block`] decodes code once into operations, [`execute`] runs them. With a step observer, and at the
//! end of a budget, blocks of one instruction run through the very same code.

mod block;
mod execute;
mod native;
mod stack;

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use pentimento_memory::engine::CodeReader;
use pentimento_memory::{AddressSpace, Backing, PAGE_SIZE, Permissions};

use crate::operation::{FLAG_SLOTS, Slot, mask};
use crate::set::{Decoded, Definition};
use crate::{AtEnd, Cause, InstructionSet, Program};
use block::Block;
use execute::Flow;
use stack::Stack;

/// Blocks kept at a time, by the low bits of their addresses.
const BLOCKS: usize = 1024;
/// Bytes of output that a processor keeps for its host.
const KEPT_OUTPUT: usize = 1 << 20;

/// Why [`Processor::run`] returned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// The program ended itself.
    Halted {
        /// Its exit status.
        status: u8,
    },
    /// The instruction pointer is at the end of the program, where the set says that this ends it.
    ProgramEnd,
    /// The budget is used up; another run goes on.
    Budget,
    /// The observer wants no more; another run goes on.
    Stopped,
    /// An instruction could not be executed. What it did before stays done.
    Fault {
        /// Where it is, in words where there are words, else in bytes.
        offset: u64,
        /// What went wrong.
        cause: Cause,
    },
}

impl End {
    /// The exit status of a program that ended by itself: 0 if it ran to its end.
    #[must_use]
    pub fn status(&self) -> Option<u8> {
        match self {
            Self::Halted { status } => Some(*status),
            Self::ProgramEnd => Some(0),
            Self::Budget | Self::Stopped | Self::Fault { .. } => None,
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Halted { status } => write!(f, "halted with status {status}"),
            Self::ProgramEnd => f.write_str("end of the program"),
            Self::Budget => f.write_str("budget used up"),
            Self::Stopped => f.write_str("stopped"),
            Self::Fault { offset, cause } => write!(f, "fault at offset {offset:#x}: {cause}"),
        }
    }
}

/// Where output goes.
enum Output {
    Kept(Vec<u8>),
    Written(Box<dyn Write + Send>),
}

/// A processor with its memory and stack.
///
/// ```
/// use pentimento_custom::{End, InstructionSet, Processor, SOFTMACHINE};
///
/// let set = InstructionSet::from_toml(SOFTMACHINE)?;
/// let mut processor = Processor::new(&set)?;
/// processor.load(&set.program("0x30001000;0x01100000;0x41000100")?)?;
/// assert_eq!(processor.run(1_000_000), End::ProgramEnd);
/// assert_eq!((processor.get("a"), processor.get("b")), (Some(4096), Some(3840)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Processor {
    set: InstructionSet,
    slots: Box<[u64; 256]>,
    memory: AddressSpace,
    stack: Stack,
    /// Pages of memory, and entries of the stack, that there may be by the host's will.
    page_limit: Option<u32>,
    stack_limit: u32,
    blocks: Vec<Option<Box<Block>>>,
    /// What knows of writes to decoded code.
    code: CodeReader,
    /// Whether the block that executes may be kept: nothing has overwritten code meanwhile.
    current: bool,
    /// The address behind the program.
    program_end: u32,
    ended: Option<End>,
    instructions: u64,
    output: Output,
}

impl Processor {
    /// A processor with empty memory.
    ///
    /// # Errors
    /// [`Cause::OutOfMemory`] where the host has none for the page table.
    pub fn new(set: &InstructionSet) -> Result<Self, Cause> {
        let mut processor = Self {
            set: set.clone(),
            slots: Box::new([0; 256]),
            memory: Self::empty_memory(&set.inner)?,
            stack: Stack::new(set.inner.stack),
            page_limit: None,
            stack_limit: u32::MAX,
            blocks: Vec::new(),
            code: CodeReader::new(),
            current: false,
            program_end: 0,
            ended: None,
            instructions: 0,
            output: Output::Kept(Vec::new()),
        };
        processor.code.catch_up(&mut processor.memory);
        processor.reset_slots();
        Ok(processor)
    }

    fn empty_memory(set: &Definition) -> Result<AddressSpace, Cause> {
        let mut memory = AddressSpace::try_new(Backing::Paged).map_err(|_| Cause::OutOfMemory)?;
        let pages = (set.memory * set.unit).div_ceil(PAGE_SIZE);
        memory
            .map(0, pages * PAGE_SIZE, Permissions::READ | Permissions::WRITE)
            .map_err(|_| Cause::OutOfMemory)?;
        Ok(memory)
    }

    fn reset_slots(&mut self) {
        self.slots.fill(0);
        if let Some(register) = self.set.inner.stack.and_then(|stack| stack.register) {
            let width = self.width_of(register);
            self.slots[usize::from(register)] = u64::from(self.set.inner.memory) & mask(width);
        }
    }

    fn width_of(&self, slot: Slot) -> u8 {
        self.set
            .inner
            .registers
            .iter()
            .find(|register| register.slot == slot)
            .map_or(1, |register| register.width)
    }

    /// The instruction set.
    #[must_use]
    pub fn instruction_set(&self) -> &InstructionSet {
        &self.set
    }

    /// Puts a program at address 0 of empty memory and starts anew: registers, flags and stack are
    /// empty, a stack pointer is at the end of memory. Output stays.
    ///
    /// # Errors
    /// A program that does not fit into memory, or [`Cause::OutOfMemory`].
    pub fn load(&mut self, program: &Program) -> Result<(), Cause> {
        let set = Arc::clone(&self.set.inner);
        let most = u64::from(set.memory) * u64::from(set.unit);
        if program.bytes().len() as u64 > most {
            let length = program.bytes().len();
            return Err(Cause::other(format!(
                "a program of {length} bytes does not fit into {most} bytes of memory"
            )));
        }
        self.memory = Self::empty_memory(&set)?;
        self.memory.set_resident_limit(self.page_limit);
        self.memory.write_bytes(0, program.bytes()).map_err(|_| Cause::OutOfMemory)?;
        self.stack = Stack::new(set.stack);
        self.blocks.clear();
        self.code.catch_up(&mut self.memory);
        self.program_end = (program.bytes().len() as u32).div_ceil(set.unit);
        self.ended = None;
        self.instructions = 0;
        self.reset_slots();
        Ok(())
    }

    /// Limits the host memory that the program can take: `bytes` of memory pages, and as many of a
    /// stack outside memory. What would need more faults with [`Cause::OutOfMemory`].
    pub fn limit_memory(&mut self, bytes: u64) {
        let pages = bytes / u64::from(PAGE_SIZE);
        self.page_limit = Some(u32::try_from(pages).unwrap_or(u32::MAX));
        self.memory.set_resident_limit(self.page_limit);
        let entry = if matches!(self.stack, Stack::Wide(_)) { 8 } else { 4 };
        self.stack_limit = u32::try_from(bytes / entry).unwrap_or(u32::MAX);
    }

    /// Where output goes from now on. Without it up to 1 MiB is kept for [`Self::take_output`].
    pub fn set_output(&mut self, writer: impl Write + Send + 'static) {
        self.output = Output::Written(Box::new(writer));
    }

    /// The output since the last call, unless [`Self::set_output`] gave it a place.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        match &mut self.output {
            Output::Kept(bytes) => std::mem::take(bytes),
            Output::Written(_) => Vec::new(),
        }
    }

    /// Instructions executed since the program was loaded; one that faulted does not count.
    #[must_use]
    pub fn instructions(&self) -> u64 {
        self.instructions
    }

    /// The address of the next instruction.
    #[must_use]
    pub fn ip(&self) -> u64 {
        self.slots[usize::from(self.set.inner.ip)]
    }

    /// A register or flag by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.set.inner.place(name).map(|(slot, _)| self.slots[usize::from(slot)])
    }

    /// Changes a register or flag to the bits of `value` that it has; whether there is one of that name.
    pub fn set(&mut self, name: &str, value: u64) -> bool {
        let place = self.set.inner.place(name);
        if let Some((slot, width)) = place {
            self.slots[usize::from(slot)] = value & mask(width);
        }
        place.is_some()
    }

    /// All flags as one number, the first flag its lowest bit.
    #[must_use]
    pub fn flags(&self) -> u32 {
        let flag = |position: usize| (self.slots[usize::from(FLAG_SLOTS) + position] as u32 & 1) << position;
        (0..self.set.inner.flags.len()).map(flag).sum()
    }

    /// The number of entries on the stack.
    #[must_use]
    pub fn stack_len(&self) -> u64 {
        match self.set.inner.stack {
            Some(shape) if shape.register.is_some() => {
                self.memory_stack(&self.set.inner).map_or(0, |stack| stack.used / stack.units)
            }
            _ => self.stack.len() as u64,
        }
    }

    /// The entry so many below the top of the stack, which is 0.
    #[must_use]
    pub fn stack_entry(&self, depth: u64) -> Option<u64> {
        match self.memory_stack(&self.set.inner) {
            None => self.stack.below_top(usize::try_from(depth).ok()?),
            Some(stack) if depth < stack.used / stack.units => self
                .load_from(&self.set.inner, stack.pointer.checked_add(depth * stack.units)?, stack.size)
                .ok(),
            Some(_) => None,
        }
    }

    /// Reads `buffer.len()` bytes of memory at a byte address; whether they are all there.
    pub fn read_memory(&self, address: u32, buffer: &mut [u8]) -> bool {
        let end = u64::from(address) + buffer.len() as u64;
        let size = u64::from(self.set.inner.memory) * u64::from(self.set.inner.unit);
        end <= size && self.memory.read_bytes(address, buffer).is_ok()
    }

    /// Runs at most `budget` instructions.
    ///
    /// After [`End::Halted`] and [`End::ProgramEnd`] every run returns the same; after any other end it
    /// goes on.
    pub fn run(&mut self, budget: u64) -> End {
        let set = Arc::clone(&self.set.inner);
        let mut left = budget;
        loop {
            if let Some(end) = self.at_end(&set) {
                return end;
            }
            if left == 0 {
                return End::Budget;
            }
            let (executed, end) = self.run_block(&set, left);
            left -= executed;
            self.instructions = self.instructions.wrapping_add(executed);
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Runs at most `budget` instructions and calls `observer` before each of them. A `Break` from it
    /// ends the run before that instruction.
    pub fn run_observed(&mut self, budget: u64, mut observer: impl FnMut(&Self) -> ControlFlow<()>) -> End {
        let set = Arc::clone(&self.set.inner);
        for _ in 0..budget {
            if let Some(end) = self.at_end(&set) {
                return end;
            }
            if observer(self).is_break() {
                return End::Stopped;
            }
            match self.run(1) {
                End::Budget => {}
                end => return end,
            }
        }
        self.run(0)
    }

    /// How the run has ended, if it has.
    fn at_end(&mut self, set: &Definition) -> Option<End> {
        if self.ended.is_none() && set.at_end == AtEnd::Halt && self.ip() == u64::from(self.program_end) {
            self.ended = Some(End::ProgramEnd);
        }
        self.ended.clone()
    }

    /// Runs the block at the instruction pointer, or as much of it as the budget allows. Returns how
    /// many instructions that were, and the end if it came to one.
    fn run_block(&mut self, set: &Definition, budget: u64) -> (u64, Option<End>) {
        let start = self.ip();
        let block = match self.take_block(set, start, budget) {
            Ok(block) => block,
            Err(cause) => return (0, Some(End::Fault { offset: start, cause })),
        };
        let count = block.instructions.len() as u64;
        let result = match self.execute(set, &block) {
            Flow::Next => (count, None),
            Flow::Left { op } => (block.instruction_of(op) as u64 + 1, None),
            Flow::Halted { op, status } => {
                let position = block.instruction_of(op);
                self.set_ip(set, &block, position);
                let end = End::Halted { status };
                self.ended = Some(end.clone());
                (position as u64 + 1, Some(end))
            }
            Flow::Fault { op, cause } => {
                let position = block.instruction_of(op);
                let offset = self.set_ip(set, &block, position);
                (position as u64, Some(End::Fault { offset, cause }))
            }
        };
        self.keep_block(block, count, budget);
        result
    }

    /// Lets the instruction pointer show an instruction of a block.
    fn set_ip(&mut self, set: &Definition, block: &Block, position: usize) -> u64 {
        let address = block
            .instructions
            .get(position)
            .map_or(u64::from(block.start), |(_, address)| u64::from(*address));
        self.slots[usize::from(set.ip)] = address;
        address
    }

    /// The block at an address, with at most `budget` instructions.
    #[inline]
    fn take_block(&mut self, set: &Definition, start: u64, budget: u64) -> Result<Box<Block>, Cause> {
        let start = u32::try_from(start).map_err(|_| Cause::OutsideProgram)?;
        let kept = self.blocks.get_mut(start as usize % BLOCKS).and_then(|entry| {
            entry.take_if(|block| block.start == start && block.instructions.len() as u64 <= budget)
        });
        match kept {
            Some(block) => {
                self.current = true;
                Ok(block)
            }
            None => self.decode_block(set, start, budget),
        }
    }

    #[cold]
    #[inline(never)]
    fn decode_block(&mut self, set: &Definition, start: u32, budget: u64) -> Result<Box<Block>, Cause> {
        let block = Block::decode(set, start, self.program_end, budget, |address| self.decode(set, address))?;
        let (first, length) = (block.start * set.unit, (block.end - block.start) * set.unit);
        self.current = self.code.watch(&mut self.memory, first, length);
        Ok(Box::new(block))
    }

    /// Keeps a block for the next time, unless code was overwritten or the budget cut it short.
    #[inline]
    fn keep_block(&mut self, block: Box<Block>, count: u64, budget: u64) {
        if !self.current || count >= budget {
            return;
        }
        if self.blocks.is_empty() {
            self.blocks.resize_with(BLOCKS, || None);
        }
        let position = block.start as usize % BLOCKS;
        if let Some(entry) = self.blocks.get_mut(position) {
            *entry = Some(block);
        }
    }

    /// Decodes the instruction at an address.
    pub(crate) fn decode(&self, set: &Definition, address: u32) -> Result<Decoded, Cause> {
        let mut bytes = [0; crate::bounds::INSTRUCTION_BYTES];
        let code = self.code_bytes(set, address, &mut bytes).ok_or(Cause::OutsideProgram)?;
        set.decode(code)
    }

    /// The bytes of memory at an instruction, as many as one can have and as there are.
    pub(crate) fn code_bytes<'b>(
        &self,
        set: &Definition,
        address: u32,
        buffer: &'b mut [u8; 16],
    ) -> Option<&'b [u8]> {
        let end = if set.at_end == AtEnd::Halt { self.program_end } else { set.memory };
        let left = end.checked_sub(address).filter(|left| *left > 0)?;
        let length = set.longest().min(left.saturating_mul(set.unit) as usize);
        let buffer = buffer.get_mut(..length)?;
        self.memory.read_bytes(address * set.unit, buffer).ok()?;
        Some(buffer)
    }

    /// The address behind the program.
    pub(crate) fn program_end(&self) -> u32 {
        self.program_end
    }
}
