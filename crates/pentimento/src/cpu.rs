//! The bare machine.

use std::collections::BTreeSet;
use std::fmt;

use pentimento_execute::observe::Position;
use pentimento_execute::{CpuModel, Engine, Environment, Exit, Guest, Stop, StopHandle, Until};
use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, DescriptorTables, LocalDescriptors, TlsDescriptors};

use crate::bounds::Left;
use crate::hooks::{Hooks, Reply};
use crate::{Bounds, EngineKind, Halt};

/// A CPU with its memory and no operating system.
///
/// ```
/// use pentimento::{Cpu, Gpr, Halt, Permissions};
///
/// let mut cpu = Cpu::new();
/// cpu.memory.map(0x1000, 0x1000, Permissions::all())?;
/// cpu.memory.poke_bytes(0x1000, &[0x01, 0xd8, 0xcd, 0x80])?; // add eax,ebx; int 80h
/// cpu.state.eip = 0x1000;
/// cpu.state.set_gpr(Gpr::Eax, 40);
/// cpu.state.set_gpr(Gpr::Ebx, 2);
/// assert_eq!(cpu.run(1000), Halt::Interrupt(0x80));
/// assert_eq!(cpu.state.gpr(Gpr::Eax), 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Cpu {
    /// The registers. EIP is where [`run`](Self::run) goes on.
    pub state: CpuState,
    /// The memory.
    pub memory: AddressSpace,
    /// CPU model, time-stamp counter, interrupt gates, and where stop requests arrive: one that is
    /// replaced takes those of [`Self::stop_handle`] with it.
    pub environment: Environment,
    /// The entries of the GDT that segment loads find beside Linux's flat ones.
    pub tls: TlsDescriptors,
    /// The LDT.
    pub local: LocalDescriptors,
    /// Where runs stop, before the instruction at each of these EIPs ([`Halt::Breakpoint`]); a run that
    /// begins at one leaves it. What runs between them is as fast as without.
    pub breakpoints: BTreeSet<u32>,
    /// What is called while it runs.
    pub hooks: Hooks,
    engine: Box<dyn Engine>,
    kind: EngineKind,
    /// Where it is among the events that hooks hear of.
    pub(crate) position: Position,
}

impl Cpu {
    /// A CPU of the fullest model with nothing mapped, on the default engine.
    #[must_use]
    pub fn new() -> Self {
        Self::with(CpuModel::default(), EngineKind::default())
    }

    /// A CPU of this model on this engine, with nothing mapped.
    #[must_use]
    pub fn with(model: CpuModel, engine: EngineKind) -> Self {
        Self {
            state: CpuState::new(),
            memory: AddressSpace::new(),
            environment: Environment::new(model),
            tls: TlsDescriptors::new(),
            local: LocalDescriptors::new(),
            breakpoints: BTreeSet::new(),
            hooks: Hooks::default(),
            engine: engine.start(),
            kind: engine,
            position: Position::default(),
        }
    }

    /// Runs within the bounds and says why it stopped; a number bounds the instructions.
    pub fn run(&mut self, bounds: impl Into<Bounds>) -> Halt {
        let bounds = bounds.into();
        let stop = self.stop_handle();
        let mut left = Left::of(&bounds, &stop);
        let halt = self.run_on(&bounds, &mut left);
        left.end(halt, &stop)
    }

    fn run_on(&mut self, bounds: &Bounds, left: &mut Left) -> Halt {
        let stops = bounds.stops(&self.breakpoints, &mut self.environment);
        let mut begun = false;
        while left.budget > 0 {
            if left.is_over() {
                return Halt::Timeout;
            }
            let mut slice = left.slice();
            while slice > 0 {
                let eip = self.state.eip;
                if stops && begun {
                    if bounds.address == Some(eip) {
                        return Halt::Reached(eip);
                    }
                    if self.breakpoints.contains(&eip) {
                        return Halt::Breakpoint(eip);
                    }
                }
                let Stop { executed, exit } = self.run_engine(Until::budget(slice));
                begun |= executed > 0;
                slice = slice.saturating_sub(executed);
                left.budget = left.budget.saturating_sub(executed);
                if let Some(halt) = self.answer(exit) {
                    return halt;
                }
            }
        }
        Halt::Budget
    }

    /// What an exit comes to when the hooks have heard of it: `None` if the run goes on.
    fn answer(&mut self, exit: Exit) -> Option<Halt> {
        let descriptors = DescriptorTables { tls: &self.tls, local: &self.local };
        let Self { state, memory, environment, hooks, .. } = self;
        let mut guest = Guest { state, memory, environment, descriptors };
        let reply = match exit {
            Exit::Budget | Exit::Breakpoint | Exit::Observer => Reply::Done,
            Exit::Interrupt(vector) => hooks.interrupt(&mut guest, vector, None),
            Exit::PageFault(fault) => hooks.fault(&mut guest, &fault, None),
            Exit::Exception { exception, error_code } => {
                hooks.exception(&mut guest, (exception, error_code), None)
            }
            _ => Reply::Pass,
        };
        let stopped = hooks.stopped.take().map(Halt::Hook);
        match reply {
            Reply::Done => stopped,
            Reply::Pass => Some(Halt::of_exit(exit)),
        }
    }

    /// Executes one instruction: [`Halt::Budget`] when it completed without anything special.
    pub fn step(&mut self) -> Halt {
        self.run(1)
    }

    /// Has the engine run as far as `until` says; tells how many instructions completed, too.
    /// Breakpoints do not count, and hooks are called for what happens within the engine only.
    pub fn run_engine(&mut self, until: Until) -> Stop {
        let descriptors = DescriptorTables { tls: &self.tls, local: &self.local };
        let Self { state, memory, environment, engine, hooks, position, .. } = self;
        let mut guest = Guest { state, memory, environment, descriptors };
        hooks.run(&mut **engine, &mut guest, until, (position, None))
    }

    /// The engine that runs it.
    #[must_use]
    pub const fn engine(&self) -> EngineKind {
        self.kind
    }

    /// A handle with which another thread can stop a run.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.environment.stop.clone()
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

/// The engine, the registers, and what is mapped.
impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cpu")
            .field("engine", &self.kind)
            .field("model", &self.environment.model.name())
            .field("state", &format_args!("\n{}\n", self.state))
            .field("memory", &self.memory)
            .field("breakpoints", &self.breakpoints)
            .finish_non_exhaustive()
    }
}
