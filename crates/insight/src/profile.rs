//! What a machine's instructions are spent on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use pentimento::{Bounds, Halt, Machine};

use crate::modules::{Modules, Place, Symbols};
use crate::{flame, unwind};

/// A profile: at every so many instructions, the functions that the thread whose turn it is was in. Between
/// samples the machine runs as fast as without, and as it would have without; the same run has the same
/// profile.
#[derive(Debug)]
pub struct Profile {
    period: u64,
    /// Instructions since the last sample.
    since: u64,
    /// How often each stack was seen, the outermost function first.
    stacks: BTreeMap<Vec<String>, u64>,
    symbols: Symbols,
}

impl Profile {
    /// A profile with a sample every `period` instructions, at least 1.
    #[must_use]
    pub fn every(period: u64) -> Self {
        Self { period: period.max(1), since: 0, stacks: BTreeMap::new(), symbols: Symbols::new() }
    }

    /// Where names come from, to [provide](Symbols::provide) files.
    pub const fn symbols(&mut self) -> &mut Symbols {
        &mut self.symbols
    }

    /// Runs the machine as [`Machine::run_and_wait`] does, and takes samples.
    pub fn run(&mut self, machine: &mut Machine, bounds: impl Into<Bounds>) -> Halt {
        let bounds: Bounds = bounds.into();
        let end = bounds.time().map(|time| Instant::now() + time);
        let mut left = bounds.instructions();
        let mut next = bounds;
        while left > 0 {
            let slice = left.min(self.period - self.since);
            next = next.budget(slice);
            if let Some(end) = end {
                next = next.deadline(end);
            }
            let before = machine.statistics().instructions;
            let halt = machine.run_and_wait(next);
            let executed = machine.statistics().instructions - before;
            if halt != Halt::Budget {
                self.since = (self.since + executed).min(self.period - 1);
                return halt;
            }
            left -= slice;
            self.since += slice;
            if self.since == self.period {
                self.since = 0;
                // Where nobody ran there is nothing to see.
                if executed > 0 {
                    self.sample(machine);
                }
            }
            next = next.arriving();
        }
        Halt::Budget
    }

    /// Counts the functions that the thread that ran last is in.
    pub fn sample(&mut self, machine: &mut Machine) {
        let Some(task) = machine.task() else { return };
        let modules = Modules::of(machine.kernel(), task, &mut self.symbols);
        let Some(parts) = machine.kernel().parts(task) else { return };
        let program = base_name(&String::from_utf8_lossy(parts.program)).to_owned();
        let frames = unwind::frames(parts.cpu, parts.memory, &modules);
        let mut stack = vec![program];
        for (eip, returns) in frames.into_iter().rev() {
            stack.push(name(modules.place(eip.wrapping_sub(returns.into()))));
        }
        *self.stacks.entry(stack).or_default() += 1;
    }

    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.stacks.values().sum()
    }

    /// A line for each stack: program and functions with semicolons between them, and how many samples.
    #[must_use]
    pub fn folded(&self) -> String {
        let mut text = String::new();
        for (stack, count) in &self.stacks {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{} {count}", stack.join(";"));
        }
        text
    }

    /// A flame graph: a picture in SVG on which each function is as wide as it has samples, upon its caller.
    #[must_use]
    pub fn flame_graph(&self, title: &str) -> String {
        flame::draw(title, &self.stacks)
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What a frame is called: its function; in brackets its file, or nothing known.
fn name(place: Place) -> String {
    let name = match (place.function, place.module) {
        (Some((name, _)), _) => name,
        (None, Some((path, _))) => format!("[{}]", base_name(&path)),
        (None, None) => "[unknown]".to_owned(),
    };
    // Of a line's parts.
    name.replace([';', ' ', '\n'], "_")
}
