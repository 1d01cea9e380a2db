//! Whole machines in lockstep.

use std::path::Path;

use pentimento::{EngineKind, Error, Halt, Machine};

use super::{Divergence, MemoryComparison, differs, state_differences};

/// Two machines that run the same program, and have agreed so far.
pub struct Programs {
    reference: Machine,
    tested: Machine,
    memory: MemoryComparison,
}

impl Programs {
    /// Two machines that `prepare` gives the same program: one on `engine`, one on the reference.
    ///
    /// # Errors
    /// What `prepare` says.
    pub fn new(
        engine: EngineKind,
        prepare: impl Fn(&mut Machine) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let machine = |engine| {
            let mut machine = Machine::builder().engine(engine).build()?;
            prepare(&mut machine)?;
            Ok::<_, Error>(machine)
        };
        let (reference, tested) = (machine(EngineKind::REFERENCE)?, machine(engine)?);
        Ok(Self { reference, tested, memory: MemoryComparison::new() })
    }

    /// Two machines with the program in a host file.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub fn of_file(engine: EngineKind, path: &Path, arguments: &[&str]) -> Result<Self, Error> {
        Self::new(engine, |machine| machine.load_file(path, arguments, &[]).map(|_| ()))
    }

    /// Runs to the end of the program, or until `most` instructions are executed; compares at each
    /// end of a block behind `least` instructions. Returns how it ended, if it did.
    ///
    /// # Errors
    /// Where the engines parted.
    pub fn run(&mut self, least: u64, most: u64) -> Result<Option<Halt>, Box<Divergence>> {
        while self.reference.statistics().instructions < most {
            if let Some(halt) = self.advance(least)? {
                return Ok(Some(halt));
            }
        }
        Ok(None)
    }

    /// Instructions that both have executed.
    #[must_use]
    pub fn executed(&self) -> u64 {
        self.reference.statistics().instructions
    }

    fn advance(&mut self, least: u64) -> Result<Option<Halt>, Box<Divergence>> {
        let from = self.reference.state().map_or(0, |state| state.eip);
        let before = self.tested.statistics();
        let fast = self.tested.run_to_block_end(least, u64::MAX);
        let after = self.tested.statistics();
        let slow = self.follow(after.instructions - before.instructions);
        let mut differences: Vec<String> =
            [differs("halt", &slow, &fast), differs("statistics", &self.reference.statistics(), &after)]
                .into_iter()
                .flatten()
                .collect();
        match (self.reference.state(), self.tested.state()) {
            (Some(reference), Some(interpreter)) => {
                differences.extend(state_differences(reference, interpreter));
            }
            (reference, interpreter) => {
                differences.extend(differs("task", &reference.is_some(), &interpreter.is_some()));
            }
        }
        if let (Some(reference), Some(interpreter)) = (self.reference.memory(), self.tested.memory()) {
            differences.extend(self.memory.differences(reference, interpreter));
        }
        if differences.is_empty() {
            return Ok(fast);
        }
        let instructions = after.instructions - before.instructions;
        Err(Box::new(Divergence { executed: before.instructions, instructions, from, differences }))
    }

    /// Lets the reference execute as many instructions, and then have the exception that the
    /// interpreter had; neither is an instruction of its own.
    fn follow(&mut self, instructions: u64) -> Option<Halt> {
        let end = self.reference.statistics().instructions + instructions;
        let mut halt = None;
        while halt.is_none() && self.reference.statistics().instructions < end {
            let left = end - self.reference.statistics().instructions;
            let before = self.reference.statistics();
            halt = self.reference.run_to_block_end(left, left);
            if self.reference.statistics() == before {
                break;
            }
        }
        let count = |machine: &Machine| machine.statistics().exceptions;
        if halt.is_none() && (instructions == 0 || count(&self.reference) < count(&self.tested)) {
            halt = self.reference.run_to_block_end(1, 1);
        }
        halt
    }
}
