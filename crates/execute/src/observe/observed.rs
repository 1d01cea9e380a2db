//! Where a thread is among the events, and the telling of them.

use pentimento_decoder::Instruction;
use pentimento_memory::engine::generation;

use super::{AccessLog, Answer, MemoryAccess, Observer, ends_block};
use crate::blocks::fits;
use crate::{Exit, Guest, Reference, execute};

/// How control has come to where a thread is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Arrival {
    /// From the instruction before, or the block has been told of.
    Inside,
    /// Otherwise, but by no branch.
    #[default]
    Anyhow,
    /// By the branch at this EIP.
    From(u32),
}

/// Where a thread is among its events: what has been told of, so that nothing is told of twice. It
/// belongs to the thread, from one run to the next.
#[derive(Clone, Debug, Default)]
pub struct Position {
    /// EIP when the last run ended.
    eip: u32,
    arrival: Arrival,
    /// EIP of an instruction that has been told of and not been executed.
    told: Option<u32>,
    accesses: AccessLog,
}

impl Position {
    /// Forgets everything: nobody has been told of what has happened since.
    pub fn reset(&mut self) {
        (self.arrival, self.told) = (Arrival::Anyhow, None);
    }

    /// Notes that the instruction at `eip`, with which a block ends, is being executed.
    #[inline]
    pub fn branches(&mut self, eip: u32) {
        self.arrival = Arrival::From(eip);
    }

    /// Notes that what comes next is in the block that has begun.
    #[inline]
    pub fn stays(&mut self) {
        self.arrival = Arrival::Inside;
    }

    /// Notes that what comes next begins a block.
    #[inline]
    pub fn arrives(&mut self) {
        self.arrival = Arrival::Anyhow;
    }

    /// Whether a block begins that has not been told of.
    #[inline]
    #[must_use]
    pub fn is_arriving(&self) -> bool {
        self.arrival != Arrival::Inside
    }

    /// The accesses that the instruction which is executing has made.
    #[must_use]
    pub const fn accesses(&self) -> &AccessLog {
        &self.accesses
    }
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Told {
    /// The instruction at EIP is next, and registers are as they were.
    Unchanged,
    /// The instruction at EIP is next, as it was.
    GoOn,
    /// EIP or what an engine has compiled for is no longer what it was: to go on at EIP.
    Moved,
    /// The observer has executed the instruction: it counts, and EIP is behind it.
    Done {
        /// The engine has to leave with [`Exit::Observer`].
        leave: bool,
    },
    /// The engine has to leave with [`Exit::Observer`].
    Leave,
}

/// An observer with the position of the thread that it observes, for one run.
pub struct Observed<'a> {
    /// Hears of the events.
    pub observer: &'a mut (dyn Observer + 'a),
    /// Where the thread is among them.
    pub position: &'a mut Position,
}

impl Observed<'_> {
    /// The same, for a part of the run.
    pub fn reborrow(&mut self) -> Observed<'_> {
        Observed { observer: self.observer, position: self.position }
    }

    /// To be called where a run begins, at `eip`.
    pub fn begin(&mut self, eip: u32) {
        if self.position.eip != eip {
            self.position.arrival = Arrival::Anyhow;
            self.position.told = None;
        }
    }

    /// To be called where a run ends, at `eip`.
    pub fn end(&mut self, eip: u32) {
        self.position.eip = eip;
        self.position.told = self.position.told.filter(|told| *told == eip);
        let interests = self.observer.interests();
        if interests.blocks.is_empty() && interests.counts.is_empty() {
            // Nobody has kept count of branches.
            self.position.arrival = Arrival::Anyhow;
        }
    }

    /// Tells of the block that begins at EIP, if one does, and of `instruction`, which is there, if it is
    /// `wanted`.
    #[inline]
    pub fn announce(&mut self, guest: &mut Guest<'_>, instruction: &Instruction, wanted: bool) -> Told {
        if self.position.arrival != Arrival::Inside || self.position.told.is_some() {
            return self.announce_both(guest, instruction, wanted);
        }
        if wanted { self.announce_inside(guest, instruction) } else { Told::Unchanged }
    }

    /// [`Self::announce`] of an instruction that is wanted, where no block can begin and no run has begun.
    #[inline]
    pub fn announce_inside(&mut self, guest: &mut Guest<'_>, instruction: &Instruction) -> Told {
        self.announce_instruction(guest, instruction, Told::Unchanged)
    }

    /// [`Self::announce`] where a block may begin, or the instruction may have been told of.
    fn announce_both(&mut self, guest: &mut Guest<'_>, instruction: &Instruction, wanted: bool) -> Told {
        let eip = guest.state.eip;
        let was_told = self.position.told.take() == Some(eip);
        let version = generation(guest.memory);
        let mut told = Told::Unchanged;
        let from = match core::mem::replace(&mut self.position.arrival, Arrival::Inside) {
            Arrival::Inside => None,
            Arrival::Anyhow => Some(None),
            Arrival::From(branch) => Some(Some(branch)),
        };
        if let Some(from) = from
            && self.observer.interests().blocks.contains(eip)
        {
            let answer = self.observer.block(guest, from);
            told = self.after(guest, answer, eip, version);
            if !matches!(told, Told::Unchanged | Told::GoOn) {
                return told;
            }
        }
        if was_told || !wanted { told } else { self.announce_instruction(guest, instruction, told) }
    }

    /// Tells of `instruction` at EIP, behind something that came to `told`.
    #[inline]
    fn announce_instruction(&mut self, guest: &mut Guest<'_>, instruction: &Instruction, told: Told) -> Told {
        let (eip, version) = (guest.state.eip, generation(guest.memory));
        let answer = self.observer.instruction(guest, instruction);
        if answer == Answer::Unchanged && generation(guest.memory) == version {
            return told;
        }
        self.listened(guest, instruction, (eip, version), (answer, told))
    }

    /// What the `answer` to an instruction at EIP comes to, behind something that came to `told`.
    fn listened(
        &mut self,
        guest: &mut Guest<'_>,
        instruction: &Instruction,
        (eip, version): (u32, u64),
        (answer, told): (Answer, Told),
    ) -> Told {
        let after = match (answer, self.after(guest, answer, eip, version)) {
            (Answer::Done { leave }, _) => Told::Done { leave },
            (_, Told::Unchanged) => return told,
            (_, after) => after,
        };
        match after {
            Told::Done { .. } => {
                if ends_block(instruction) && !self.position.is_arriving() {
                    self.position.branches(eip);
                }
                if guest.state.eip == eip {
                    guest.state.eip = eip.wrapping_add(instruction.length().into());
                }
            }
            Told::Moved | Told::Leave if guest.state.eip == eip => self.position.told = Some(eip),
            _ => {}
        }
        after
    }

    /// What the answer to an event at `eip` comes to.
    #[inline]
    fn after(&mut self, guest: &Guest<'_>, answer: Answer, eip: u32, version: u64) -> Told {
        if answer == Answer::Unchanged && generation(guest.memory) == version {
            return Told::Unchanged;
        }
        self.after_change(guest, answer, eip, version)
    }

    fn after_change(&mut self, guest: &Guest<'_>, answer: Answer, eip: u32, version: u64) -> Told {
        let moved = guest.state.eip != eip;
        if moved {
            self.position.arrival = Arrival::Anyhow;
        }
        if answer.leaves() {
            Told::Leave
        } else if moved || generation(guest.memory) != version || !fits(guest.state) {
            Told::Moved
        } else {
            Told::GoOn
        }
    }

    /// Notes how `instruction` at `eip` ended: completed, or with a fault.
    pub fn executed(&mut self, eip: u32, instruction: &Instruction, completed: bool) {
        if !completed {
            if self.position.arrival == Arrival::From(eip) {
                self.position.arrival = Arrival::Inside;
            }
            if self.observer.interests().has_instruction(eip, instruction) {
                self.position.told = Some(eip);
            }
        } else if ends_block(instruction) {
            self.position.branches(eip);
        }
    }

    /// Tells of the accesses that `instruction` has made, which has completed or not. Never [`Told::Done`].
    pub fn deliver(&mut self, guest: &mut Guest<'_>, instruction: &Instruction, completed: bool) -> Told {
        if self.position.accesses.is_empty() {
            return Told::Unchanged;
        }
        if !completed {
            self.position.accesses.drop_unfinished(guest.state, instruction);
        }
        let accesses = self.position.accesses.take();
        if accesses.is_empty() {
            return Told::Unchanged;
        }
        let told = self.tell_accesses(guest, &accesses);
        self.position.accesses.give_back(accesses);
        told
    }

    /// Tells of accesses that an instruction has made which has completed, and has left the guest as it is:
    /// for engines that do not note them as they are made. Never [`Told::Done`].
    #[inline]
    pub fn tell_accesses(&mut self, guest: &mut Guest<'_>, accesses: &[MemoryAccess]) -> Told {
        let (eip, version) = (guest.state.eip, generation(guest.memory));
        let answer = self.observer.accesses(guest, accesses);
        self.after(guest, answer, eip, version)
    }

    /// Executes one instruction as [`Reference::step`] does, and tells of its events. Adds to `executed`
    /// whether it counts as executed: if the observer has moved EIP or written to the code there, that
    /// comes with the next call.
    ///
    /// # Errors
    /// Why execution cannot simply go on; never [`Exit::Budget`].
    pub fn step(&mut self, guest: &mut Guest<'_>, executed: &mut u64) -> Result<(), Exit> {
        let mut instruction = Reference::find(guest)?;
        let (eip, interests) = (guest.state.eip, self.observer.interests());
        let (wanted, counts) = (interests.has_instruction(eip, &instruction), interests.counts.contains(eip));
        let arrives = self.position.is_arriving();
        let tells = wanted || arrives && interests.blocks.contains(eip);
        if counts && arrives {
            self.observer.counted(eip, 1);
        }
        match self.announce(guest, &instruction, wanted) {
            // The observer may have written to the code.
            Told::Unchanged | Told::GoOn if tells => instruction = Reference::find(guest)?,
            Told::Unchanged | Told::GoOn => {}
            Told::Moved => return Ok(()),
            Told::Done { leave } => {
                guest.environment.time_stamp = guest.environment.time_stamp.wrapping_add(1);
                *executed += 1;
                return if leave { Err(Exit::Observer) } else { Ok(()) };
            }
            Told::Leave => return Err(Exit::Observer),
        }
        let eip = guest.state.eip;
        let logs = !self.observer.interests().memory.is_empty();
        let mut context = guest.context();
        context.accesses = logs.then_some(&self.position.accesses);
        let result = execute(&mut context, &instruction);
        let completed = result.map_or_else(|exit| exit.completes_instruction(), |()| true);
        *executed += u64::from(completed);
        self.executed(eip, &instruction, completed);
        match self.deliver(guest, &instruction, completed) {
            Told::Leave if result.is_ok() => Err(Exit::Observer),
            _ => result,
        }
    }
}
