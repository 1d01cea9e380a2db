//! Snapshots of a bare CPU and of a machine: in memory, nested, as cheap as what was written since; and of
//! a CPU in a file.

mod file;
#[cfg(feature = "linux")]
mod machine;

use pentimento_execute::Environment;
use pentimento_execute::observe::Position;
use pentimento_memory::{NoSuchSnapshot, SnapshotId};
use pentimento_registers::{CpuState, LocalDescriptors, TlsDescriptors};

pub use file::SnapshotError;
#[cfg(feature = "linux")]
pub use machine::MachineSnapshot;

use crate::Cpu;

/// A CPU as it was: registers, memory, environment and descriptor tables. It belongs to the CPU that it
/// was taken of, whose memory keeps the pages that have changed since.
#[derive(Clone, Debug)]
pub struct Snapshot {
    state: CpuState,
    environment: Environment,
    tls: TlsDescriptors,
    local: LocalDescriptors,
    /// The address space that `memory` is a snapshot of.
    space: u64,
    memory: SnapshotId,
    /// What hooks had heard of.
    position: Position,
}

impl Snapshot {
    /// The registers as they were.
    #[must_use]
    pub const fn state(&self) -> &CpuState {
        &self.state
    }
}

/// Registers alone need no snapshot: [`Cpu::state`] is plain data, to be cloned and put back.
impl Cpu {
    /// Remembers registers, memory, time-stamp counter and descriptor tables. Snapshots nest; each costs
    /// as much as pages were written since the one before. Not covered, as in
    /// [`AddressSpace::snapshot`](crate::AddressSpace::snapshot): devices' own state and the content of
    /// shared objects; breakpoints and hooks.
    ///
    /// ```
    /// use pentimento::{Cpu, Gpr, Halt, Permissions};
    ///
    /// let mut cpu = Cpu::new();
    /// cpu.memory.map(0x1000, 0x1000, Permissions::all())?;
    /// cpu.memory.poke_bytes(0x1000, &[0xff, 0x05, 0, 0x18, 0, 0, 0x40, 0xcd, 0x80])?; // inc [1800h]; inc eax; int 80h
    /// cpu.state.eip = 0x1000;
    /// let start = cpu.snapshot();
    /// for _ in 0..100 {
    ///     assert_eq!(cpu.run(1000), Halt::Interrupt(0x80));
    ///     assert_eq!((cpu.state.gpr(Gpr::Eax), cpu.memory.read::<u32>(0x1800)?), (1, 1));
    ///     cpu.restore(&start)?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&mut self) -> Snapshot {
        Snapshot {
            state: self.state.clone(),
            environment: self.environment.clone(),
            tls: self.tls,
            local: self.local.clone(),
            space: self.memory.identity(),
            memory: self.memory.snapshot(),
            position: self.position.clone(),
        }
    }

    /// Puts everything back as it was at `snapshot`, which stays, to be restored again; snapshots taken
    /// after it are gone. It costs as much as pages were written since. Stop handles stay those of the CPU.
    ///
    /// # Errors
    /// [`NoSuchSnapshot`]: it was discarded, an outer one was restored, or it is of another memory.
    /// Nothing has changed then.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), NoSuchSnapshot> {
        self.owns(snapshot)?;
        self.memory.restore(snapshot.memory)?;
        self.state.clone_from(&snapshot.state);
        let stop = self.environment.stop.clone();
        self.environment.clone_from(&snapshot.environment);
        self.environment.stop = stop;
        self.tls = snapshot.tls;
        self.local.clone_from(&snapshot.local);
        self.position.clone_from(&snapshot.position);
        Ok(())
    }

    /// Forgets `snapshot` and those taken after it; the CPU stays as it is.
    ///
    /// # Errors
    /// [`NoSuchSnapshot`], as for [`restore`](Self::restore).
    pub fn discard(&mut self, snapshot: &Snapshot) -> Result<(), NoSuchSnapshot> {
        self.owns(snapshot)?;
        self.memory.discard(snapshot.memory)
    }

    fn owns(&self, snapshot: &Snapshot) -> Result<(), NoSuchSnapshot> {
        if snapshot.space == self.memory.identity() { Ok(()) } else { Err(NoSuchSnapshot) }
    }
}
