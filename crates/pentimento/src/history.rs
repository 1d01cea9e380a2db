//! Going back: by snapshots taken on the way, and by running again from one of them.

use std::collections::BTreeSet;
use std::time::Instant;

use pentimento_linux::{RestoreError, TaskId};
use pentimento_memory::{Access, WatchHit};

use crate::{Bounds, Halt, Machine, MachineSnapshot};

/// Instructions from one snapshot to the next, unless the host says otherwise.
const INTERVAL: u64 = 1 << 20;

/// Snapshots that are kept at most, unless the host says otherwise.
const MOST: usize = 48;

/// Snapshots are taken so many instructions before a moment to which a machine goes back: the next moments
/// wanted are mostly just before it.
const APPROACH: [u64; 5] = [1 << 18, 1 << 14, 1 << 10, 1 << 6, 1 << 3];

/// Turns in a row in which nobody executes anything, after which a machine is said to stand.
const BARREN: u32 = 10_000;

/// The past of a machine, in which it can go back to any instruction since the history began.
///
/// A moment is named by the instructions executed before it ([`Statistics::instructions`]), and is the one
/// in which [`Machine::run`] with that budget ends. Going back restores a snapshot and runs again from there,
/// so it takes no longer than running the distance between two snapshots. These are taken as the machine
/// runs; of many, those that are long ago get sparse.
///
/// What runs again runs as it did if the machine is deterministic: hooks see it again, and output that the
/// host has is not given to it a second time. A machine that has the host's clock or network runs again
/// with what these say then.
///
/// ```
/// use pentimento::{Gpr, History, Machine, Past};
///
/// let mut machine = Machine::builder().build()?;
/// machine.load_code(0x1000, &[0x40, 0x40, 0x40, 0xeb, 0xfb], 0x1000)?; // inc eax three times; jmp to the start
/// let mut history = History::of(&mut machine);
/// history.run(&mut machine, 1000);
/// assert_eq!(machine.state().map(|state| state.gpr(Gpr::Eax)), Some(750));
/// history.reverse_step(&mut machine)?;
/// history.reverse_step(&mut machine)?;
/// assert_eq!(machine.state().map(|state| state.gpr(Gpr::Eax)), Some(749));
/// machine.breakpoints.insert(0x1001);
/// assert_eq!(history.reverse_continue(&mut machine)?, Past::Breakpoint(0x1001));
/// assert_eq!(machine.statistics().instructions, 997);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`Statistics::instructions`]: crate::Statistics::instructions
#[derive(Debug)]
pub struct History {
    /// Oldest first; the first one is where the history begins.
    snapshots: Vec<MachineSnapshot>,
    /// Moments at which the host has changed the machine: their snapshots stay, whatever else is thinned.
    changes: BTreeSet<u64>,
    interval: u64,
    most: usize,
}

/// Where going back has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Past {
    /// At the moment that was asked for.
    Reached,
    /// Before the instruction at a breakpoint: its EIP.
    Breakpoint(u32),
    /// Before the last instruction that wrote to the address that was asked for.
    Written,
    /// Where the history begins: what was looked for is not in it.
    Beginning,
}

impl History {
    /// A history that begins now, with a snapshot every million instructions and 48 at most.
    pub fn of(machine: &mut Machine) -> Self {
        Self::with(machine, INTERVAL, MOST)
    }

    /// A history that begins now, with a snapshot every `interval` instructions (at least 1), of which
    /// `most` are kept (at least 4).
    pub fn with(machine: &mut Machine, interval: u64, most: usize) -> Self {
        machine.tell_once(true);
        let snapshots = vec![machine.snapshot()];
        Self { snapshots, changes: BTreeSet::new(), interval: interval.max(1), most: most.max(4) }
    }

    /// Ends the history, and forgets its snapshots.
    pub fn end(self, machine: &mut Machine) {
        machine.tell_once(false);
        for snapshot in self.snapshots.iter().rev() {
            // A host that restored an older one has taken it already.
            let _ = machine.forget(snapshot);
        }
    }

    /// The first moment to which the machine can go back.
    #[must_use]
    pub fn beginning(&self) -> u64 {
        self.snapshots.first().map_or(0, moment)
    }

    /// How many snapshots there are.
    #[must_use]
    pub fn snapshots(&self) -> usize {
        self.snapshots.len()
    }

    /// As [`Machine::run`], with snapshots on the way.
    pub fn run(&mut self, machine: &mut Machine, bounds: impl Into<Bounds>) -> Halt {
        let bounds = bounds.into();
        let begun = Instant::now();
        let mut left = bounds.budget;
        let mut arriving = bounds.arriving;
        while left > 0 {
            self.take_if_due(machine);
            let due = self.snapshots.last().map_or(0, moment).saturating_add(self.interval);
            let slice = left.min(due.saturating_sub(now(machine))).max(1);
            let timeout = bounds.timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
            match machine.run(Bounds { budget: slice, timeout, arriving, ..bounds }) {
                Halt::Budget => left -= slice,
                halt => return halt,
            }
            arriving = true;
        }
        Halt::Budget
    }

    /// Goes to a moment: `moment` instructions executed. Forward, too, if the machine gets there.
    ///
    /// # Errors
    /// [`RestoreError`]: a snapshot of an earlier moment than the history's own was restored.
    pub fn go_to(&mut self, machine: &mut Machine, wanted: u64) -> Result<Past, RestoreError> {
        let wanted = wanted.max(self.beginning());
        if wanted < now(machine) {
            let before = self.snapshots.partition_point(|snapshot| moment(snapshot) <= wanted).max(1);
            self.cut(before);
            self.restore_newest(machine)?;
        }
        for distance in APPROACH {
            let stop = wanted.saturating_sub(distance);
            if stop > now(machine) + distance {
                run_to(machine, stop);
                self.take(machine);
            }
        }
        run_to(machine, wanted);
        Ok(Past::Reached)
    }

    /// The host has changed registers or memory: later moments are those of the changed machine, earlier
    /// ones stay as they were.
    pub fn note_change(&mut self, machine: &mut Machine) {
        let moment_of_change = now(machine);
        while self.snapshots.len() > 1
            && let Some(same) = self.snapshots.pop_if(|newest| moment(newest) >= moment_of_change)
        {
            let _ = machine.forget(&same);
        }
        self.changes.insert(moment_of_change);
        self.snapshots.push(machine.snapshot());
        self.thin(machine);
    }

    /// Goes back by one instruction.
    ///
    /// # Errors
    /// As for [`go_to`](Self::go_to).
    pub fn reverse_step(&mut self, machine: &mut Machine) -> Result<Past, RestoreError> {
        match now(machine).checked_sub(1) {
            Some(wanted) if wanted >= self.beginning() => self.go_to(machine, wanted),
            _ => self.go_to_beginning(machine),
        }
    }

    /// Goes back to the last time that the machine was about to execute an instruction at one of its
    /// [breakpoints](Machine::breakpoints), or to the beginning.
    ///
    /// # Errors
    /// As for [`go_to`](Self::go_to).
    pub fn reverse_continue(&mut self, machine: &mut Machine) -> Result<Past, RestoreError> {
        let mut end = now(machine);
        loop {
            self.restore_newest(machine)?;
            let start = now(machine);
            if let Some((wanted, eip)) = last_breakpoint(machine, end) {
                self.go_to(machine, wanted)?;
                return Ok(Past::Breakpoint(eip));
            }
            end = start;
            if self.snapshots.len() == 1 {
                return self.go_to_beginning(machine);
            }
            self.cut(self.snapshots.len() - 1);
        }
    }

    /// Goes back to before the last instruction that wrote to any of `length` bytes at `address` of the
    /// task that ran last, or to the beginning. What system calls wrote counts as theirs.
    ///
    /// # Errors
    /// As for [`go_to`](Self::go_to).
    pub fn reverse_to_write(
        &mut self,
        machine: &mut Machine,
        address: u32,
        length: u32,
    ) -> Result<Past, RestoreError> {
        let Some(task) = machine.task() else { return self.go_to_beginning(machine) };
        let watched = Watched { task, address, length };
        let outcome = self.find_write(machine, &watched);
        watched.end(machine);
        outcome
    }

    fn find_write(&mut self, machine: &mut Machine, watched: &Watched) -> Result<Past, RestoreError> {
        let mut end = now(machine);
        loop {
            self.restore_newest(machine)?;
            let start = now(machine);
            if watched.is_written_until(machine, end) {
                break;
            }
            end = start;
            if self.snapshots.len() == 1 {
                return self.go_to_beginning(machine);
            }
            self.cut(self.snapshots.len() - 1);
        }
        // The last write is behind the newest snapshot, and at the end or before.
        loop {
            self.restore_newest(machine)?;
            let start = now(machine);
            if end - start <= 1 {
                return Ok(Past::Written);
            }
            run_to(machine, start + (end - start) / 2);
            let middle = now(machine);
            let snapshot = machine.snapshot();
            if watched.is_written_until(machine, end) {
                self.snapshots.push(snapshot);
                self.thin(machine);
            } else {
                end = middle;
            }
        }
    }

    fn go_to_beginning(&mut self, machine: &mut Machine) -> Result<Past, RestoreError> {
        self.cut(1);
        self.restore_newest(machine)?;
        Ok(Past::Beginning)
    }

    /// Drops all snapshots but the first `left`, which is about to be restored; with them go the host's
    /// changes, which are undone.
    fn cut(&mut self, left: usize) {
        self.snapshots.truncate(left);
        let newest = self.snapshots.last().map_or(0, moment);
        self.changes.split_off(&(newest + 1));
    }

    fn restore_newest(&self, machine: &mut Machine) -> Result<(), RestoreError> {
        machine.restore(self.snapshots.last().ok_or(RestoreError::NoSuchSnapshot)?)
    }

    fn take_if_due(&mut self, machine: &mut Machine) {
        let newest = self.snapshots.last().map_or(0, moment);
        if now(machine) >= newest.saturating_add(self.interval) {
            self.take(machine);
        }
    }

    fn take(&mut self, machine: &mut Machine) {
        if self.snapshots.last().is_none_or(|newest| moment(newest) < now(machine)) {
            self.snapshots.push(machine.snapshot());
            self.thin(machine);
        }
    }

    /// Forgets one snapshot where there are too many: the one without which the gap is the smallest for
    /// its age. So gaps grow with age, as a geometric series does. The first and the last stay.
    fn thin(&mut self, machine: &mut Machine) {
        if self.snapshots.len() <= self.most {
            return;
        }
        let now = now(machine);
        let worth = |index: usize| {
            let gap = moment(&self.snapshots[index + 1]) - moment(&self.snapshots[index - 1]);
            let age = now.saturating_sub(moment(&self.snapshots[index])) + 1;
            // Parts of 2^20 of its age.
            (u128::from(gap) << 20) / u128::from(age)
        };
        let free = |index: &usize| !self.changes.contains(&moment(&self.snapshots[*index]));
        if let Some(least) = (1..self.snapshots.len() - 1).filter(free).min_by_key(|index| worth(*index)) {
            let snapshot = self.snapshots.remove(least);
            let _ = machine.forget(&snapshot);
        }
    }
}

/// The moment of a snapshot.
const fn moment(snapshot: &MachineSnapshot) -> u64 {
    snapshot.statistics().instructions
}

fn now(machine: &Machine) -> u64 {
    machine.statistics().instructions
}

/// Runs to a moment, whatever else would stop the machine on the way, unless it ends before or is stopped.
fn run_to(machine: &mut Machine, wanted: u64) {
    let breakpoints = std::mem::take(&mut machine.breakpoints);
    let stops = std::mem::replace(&mut machine.stop_at_exceptions, false);
    let mut barren = 0;
    while now(machine) < wanted && barren < BARREN {
        let before = now(machine);
        match machine.run(wanted - before) {
            Halt::Budget => {}
            // What it waited for then it has now: input that was read is remembered.
            Halt::Waiting { .. } => {}
            _ => break,
        }
        barren = if now(machine) == before { barren + 1 } else { 0 };
    }
    machine.breakpoints = breakpoints;
    machine.stop_at_exceptions = stops;
}

/// Runs to the moment `end`, and says when the last of the breakpoints on the way was reached, and which.
fn last_breakpoint(machine: &mut Machine, end: u64) -> Option<(u64, u32)> {
    let stops = std::mem::replace(&mut machine.stop_at_exceptions, false);
    let (mut found, mut barren, mut arriving) = (None, 0, true);
    while now(machine) < end && barren < BARREN {
        let before = now(machine);
        match machine.run(Bounds { arriving, ..Bounds::none().budget(end - before) }) {
            Halt::Breakpoint(eip) => {
                found = Some((now(machine), eip)).filter(|(moment, _)| *moment < end).or(found);
                arriving = false;
                continue;
            }
            Halt::Budget | Halt::Waiting { .. } => {}
            _ => break,
        }
        arriving = true;
        barren = if now(machine) == before { barren + 1 } else { 0 };
    }
    machine.stop_at_exceptions = stops;
    found
}

/// Bytes whose last change is looked for.
struct Watched {
    task: TaskId,
    address: u32,
    length: u32,
}

impl Watched {
    /// Instructions whose accesses to a page are always kept: no instruction makes more than 34.
    const CHUNK: u64 = 30;

    /// Runs to the moment `end`, or to where any of the bytes has been written on the way: then it says so.
    fn is_written_until(&self, machine: &mut Machine, end: u64) -> bool {
        let Some(parts) = machine.kernel.parts(self.task) else {
            run_to(machine, end);
            return false;
        };
        // Nothing there yet is no reason to stop looking: it may be mapped on the way.
        let _ = parts.memory.watch(self.address, self.length);
        let _ = parts.memory.take_watch_hits();
        while now(machine) < end {
            let before = now(machine);
            run_to(machine, end.min(before + Self::CHUNK));
            let Some(parts) = machine.kernel.parts(self.task) else { break };
            if parts.memory.take_watch_hits().iter().any(|hit| self.is_written_by(hit)) {
                return true;
            }
            if now(machine) == before {
                break;
            }
        }
        run_to(machine, end);
        false
    }

    fn is_written_by(&self, hit: &WatchHit) -> bool {
        let last = |address: u32, length: u32| address.saturating_add(length.saturating_sub(1));
        hit.access == Access::Write
            && hit.address <= last(self.address, self.length)
            && self.address <= last(hit.address, hit.length)
    }

    fn end(&self, machine: &mut Machine) {
        if let Some(parts) = machine.kernel.parts(self.task) {
            let _ = parts.memory.unwatch(self.address, self.length);
            let _ = parts.memory.take_watch_hits();
        }
    }
}
