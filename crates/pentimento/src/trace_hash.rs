//! What a run is recognised by: a hash over everything that the outside and the kernel see of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pentimento_execute::Exit;
use pentimento_linux::TaskId;
use pentimento_linux::host::{Output, TerminalSize};
use pentimento_registers::CpuState;

/// The hash so far. It is one sequence with the bytes that the guest has written, which the
/// kernel hands to a [`Witnessed`] output: hence the sharing, within one machine.
#[derive(Clone, Default, Debug)]
pub(crate) struct TraceHash(Arc<AtomicU64>);

impl TraceHash {
    /// The hash of everything until now.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Goes back to a value that it had.
    pub(crate) fn put_back(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Takes a word in: a step of SplitMix64, whose every output bit depends on every input bit.
    fn fold(&self, word: u64) {
        let mut z = (self.value() ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0.store(z ^ (z >> 31), Ordering::Relaxed);
    }

    fn fold_bytes(&self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word));
        }
        self.fold(bytes.len() as u64);
    }

    fn fold_registers(&self, state: &CpuState) {
        for pair in state.gprs().chunks(2) {
            self.fold(u64::from(pair[0]) << 32 | u64::from(pair[1]));
        }
        self.fold(u64::from(state.eip) << 32 | u64::from(state.eflags.bits()));
    }

    /// A task goes on, after another one or after the kernel: its registers hold the results of its
    /// system call, or are those of a signal's handler.
    pub(crate) fn resumes(&self, task: TaskId, instructions: u64, state: &CpuState) {
        self.fold(u64::from(task.number()));
        self.fold(instructions);
        self.fold_registers(state);
    }

    /// A task's code has come to a system call, whose arguments its registers hold, or to an exception.
    pub(crate) fn stops(&self, exit: Exit, instructions: u64, state: &CpuState) {
        match exit.exception() {
            Some((exception, error_code, address)) => {
                self.fold(1 << 32 | u64::from(exception.vector()));
                self.fold(u64::from(error_code) << 32 | u64::from(address));
            }
            None => self.fold(2 << 32),
        }
        self.fold(instructions);
        self.fold_registers(state);
    }
}

/// An output whose bytes a trace hash takes in.
pub(crate) struct Witnessed {
    pub(crate) output: Box<dyn Output>,
    /// Tells standard output from standard error.
    pub(crate) descriptor: u64,
    pub(crate) hash: TraceHash,
}

impl Output for Witnessed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.hash.fold(self.descriptor);
        self.hash.fold_bytes(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn terminal_size(&self) -> Option<TerminalSize> {
        self.output.terminal_size()
    }
}
