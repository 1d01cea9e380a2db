//! Snapshots of a whole machine.

use std::collections::HashMap;

use pentimento_execute::Environment;
use pentimento_linux::{KernelSnapshot, RestoreError, SpaceId, TaskId};
use pentimento_registers::CpuState;

use crate::hooks::Positions;
use crate::told::Told;
use crate::trace_hash::TraceHash;
use crate::{Machine, Statistics};

/// A machine as it was: [`Machine::snapshot`] takes one. It belongs to that machine, whose memory keeps the
/// pages that have changed since. Clones are of the same snapshot.
#[derive(Clone, Debug)]
pub struct MachineSnapshot {
    kernel: KernelSnapshot,
    environment: Environment,
    current: Option<TaskId>,
    last_state: CpuState,
    statistics: Statistics,
    trace_hash: Option<u64>,
    waits: u64,
    /// Bytes that had been written to standard output and error.
    written: [u64; 2],
    code_ends: HashMap<SpaceId, Option<u32>>,
    halted: bool,
    interrupted: Option<TaskId>,
    /// What hooks had heard of.
    positions: Positions,
}

impl MachineSnapshot {
    /// What the machine had done when it was taken.
    #[must_use]
    pub const fn statistics(&self) -> Statistics {
        self.statistics
    }
}

impl Machine {
    /// Remembers all of the machine: registers and memory of every task, files, pipes, sockets, signals,
    /// timers, random numbers and the virtual clock. Snapshots nest. One costs as much as there are tasks,
    /// open files and pages written since the one before.
    ///
    /// What belongs to the host is not in it. Output that has been written stays written. Standard input
    /// that is read after a snapshot is remembered, to be read again after [`restore`](Self::restore).
    /// Connections to the host's network go on if they are still there, and are reset if not. Folders
    /// that are mounted [read-write](crate::Mount::ReadWrite) keep what was written to them, and the host's
    /// clock goes on. Breakpoints, hooks and other wishes of the host are no part of the machine.
    ///
    /// ```
    /// use pentimento::{Gpr, Halt, Machine};
    ///
    /// let mut machine = Machine::builder().build()?;
    /// machine.load_code(0x1_0000, &[0xff, 0x05, 0, 0x08, 1, 0, 0xa1, 0, 0x08, 1, 0], 0x1000)?; // inc [10800h]; mov eax,[10800h]
    /// let start = machine.snapshot();
    /// for _ in 0..100 {
    ///     assert_eq!(machine.run(1000), Halt::CodeEnd);
    ///     assert_eq!(machine.state().map(|state| state.gpr(Gpr::Eax)), Some(1));
    ///     machine.restore(&start)?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&mut self) -> MachineSnapshot {
        MachineSnapshot {
            kernel: self.kernel.snapshot(),
            environment: self.environment.clone(),
            current: self.current,
            last_state: self.last_state.clone(),
            statistics: self.statistics,
            trace_hash: self.trace_hash.as_ref().map(TraceHash::value),
            waits: self.waits,
            written: self.told.each_ref().map(Told::written),
            code_ends: self.code_ends.clone(),
            halted: self.halted,
            interrupted: self.interrupted,
            positions: self.positions.clone(),
        }
    }

    /// Puts everything back as it was at `snapshot`, which stays, to be restored again; snapshots taken
    /// after it are gone. It costs as much as pages were written since, beside a copy of what is small. Stop
    /// handles stay those of the machine.
    ///
    /// # Errors
    /// [`RestoreError::NoSuchSnapshot`]: it was forgotten, one before it was restored, or it is another
    /// machine's; nothing has changed then. [`RestoreError::OutOfMemory`].
    pub fn restore(&mut self, snapshot: &MachineSnapshot) -> Result<(), RestoreError> {
        self.kernel.restore(&snapshot.kernel)?;
        let stop = self.environment.stop.clone();
        self.environment.clone_from(&snapshot.environment);
        self.environment.stop = stop;
        self.current = snapshot.current;
        self.last_state.clone_from(&snapshot.last_state);
        self.statistics = snapshot.statistics;
        if let (Some(hash), Some(value)) = (&self.trace_hash, snapshot.trace_hash) {
            hash.put_back(value);
        }
        self.waits = snapshot.waits;
        if let Some(recorder) = &self.recorder {
            recorder.tape.go_back_to(self.moment());
        }
        for (told, written) in self.told.iter().zip(snapshot.written) {
            told.go_back(written);
        }
        self.code_ends.clone_from(&snapshot.code_ends);
        self.halted = snapshot.halted;
        self.interrupted = snapshot.interrupted;
        self.positions.clone_from(&snapshot.positions);
        self.forget_ended_spaces();
        Ok(())
    }

    /// Forgets `snapshot` alone: the machine stays as it is, and snapshots before and after it can still be
    /// restored.
    ///
    /// # Errors
    /// [`RestoreError::NoSuchSnapshot`], as for [`restore`](Self::restore).
    pub fn forget(&mut self, snapshot: &MachineSnapshot) -> Result<(), RestoreError> {
        self.kernel.forget(&snapshot.kernel)?;
        self.forget_ended_spaces();
        Ok(())
    }
}
