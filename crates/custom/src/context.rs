//! What an effect in Rust sees of the processor. This file knows no processor: whoever runs effects
//! implements [`Reach`].

use crate::Cause;

/// What runs an effect: the names of its row, memory, stack and output.
pub(crate) trait Reach {
    fn get(&self, name: &str) -> Result<u64, Cause>;
    fn set(&mut self, name: &str, value: u64) -> Result<(), Cause>;
    fn load(&self, address: u64, bytes: u8) -> Result<u64, Cause>;
    fn store(&mut self, address: u64, value: u64, bytes: u8) -> Result<(), Cause>;
    fn push(&mut self, value: u64) -> Result<(), Cause>;
    fn pop(&mut self) -> Result<u64, Cause>;
    fn out(&mut self, character: u8) -> Result<(), Cause>;
    fn halt(&mut self, status: u64);
}

/// The processor, as an effect in Rust sees it while its instruction executes.
pub struct Context<'p> {
    reach: &'p mut dyn Reach,
}

impl<'p> Context<'p> {
    pub(crate) fn new(reach: &'p mut dyn Reach) -> Self {
        Self { reach }
    }

    /// A register, a flag or an operand of the row, by its name.
    ///
    /// # Errors
    /// A name that means nothing here.
    pub fn get(&self, name: &str) -> Result<u64, Cause> {
        self.reach.get(name)
    }

    /// Changes a register, a flag or a register operand to the bits of `value` that it has. To change
    /// `ip`, which is the end of the instruction now, is to jump.
    ///
    /// # Errors
    /// A name that means nothing here, or a number.
    pub fn set(&mut self, name: &str, value: u64) -> Result<(), Cause> {
        self.reach.set(name, value)
    }

    /// Reads `bytes` bytes of memory, 1, 2, 4 or 8; a word takes as many as hold it.
    ///
    /// # Errors
    /// No memory there, or another number of bytes.
    pub fn load(&self, address: u64, bytes: u8) -> Result<u64, Cause> {
        self.reach.load(address, bytes)
    }

    /// Writes the low `bytes` bytes of a value to memory, 1, 2, 4 or 8; a word takes as many as hold it.
    ///
    /// # Errors
    /// No memory there, or another number of bytes.
    pub fn store(&mut self, address: u64, value: u64, bytes: u8) -> Result<(), Cause> {
        self.reach.store(address, value, bytes)
    }

    /// Pushes the bits of a value that an entry has.
    ///
    /// # Errors
    /// A full stack, or none.
    pub fn push(&mut self, value: u64) -> Result<(), Cause> {
        self.reach.push(value)
    }

    /// Pops.
    ///
    /// # Errors
    /// An empty stack, or none.
    pub fn pop(&mut self) -> Result<u64, Cause> {
        self.reach.pop()
    }

    /// Writes a character.
    ///
    /// # Errors
    /// [`Cause::Output`].
    pub fn out(&mut self, character: u8) -> Result<(), Cause> {
        self.reach.out(character)
    }

    /// Ends the run with this instruction; a status above the set's highest is a fault.
    pub fn halt(&mut self, status: u64) {
        self.reach.halt(status);
    }
}
