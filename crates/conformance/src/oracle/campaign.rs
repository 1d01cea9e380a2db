//! Many generated cases on silicon and on every engine, compared.

use std::collections::{BTreeMap, BTreeSet};

use pentimento::EngineKind;
use pentimento_execute::Engine;
use pentimento_memory::MapError;
use pentimento_registers::{CpuState, Gpr};
use thiserror::Error;

use super::{OracleError, Silicon, Verdict};
use crate::case::{Case, Ending};
use crate::compare::{Difference, Mask};
use crate::engine::{Bench, engines};
use crate::generate::Generator;
use crate::judge::{Judgement, judge, judge_no_answer, mnemonic};
use crate::layout::RESERVED;
use crate::make::{Freedom, Make};

/// Why a campaign cannot go on.
#[derive(Debug, Error)]
pub enum CampaignError {
    /// The native side.
    #[error(transparent)]
    Oracle(#[from] OracleError),
    /// The engines' address space.
    #[error("no memory for the engines' address space: {0:?}")]
    Memory(MapError),
}

/// A case that an engine and silicon do not agree on.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The case's number; with the seed it names the case.
    pub number: u64,
    /// The engine's name.
    pub engine: &'static str,
    /// The case.
    pub case: Case,
    /// What silicon did; `None` if it killed or hung the native oracle.
    pub expected: Verdict,
    /// What the engine did.
    pub actual: Ending,
    /// Where they differ.
    pub differences: Vec<Difference>,
}

/// Counts for one operation.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Cases compared.
    pub cases: u64,
    /// Of those, how many differed.
    pub differing: u64,
}

/// What a campaign found.
#[derive(Clone, Default, Debug)]
pub struct Report {
    /// Cases compared.
    pub cases: u64,
    /// Draws that gave no case, or one that silicon cannot be given: endless, or reaching the native
    /// oracle itself.
    pub skipped: u64,
    /// Counts by mnemonic.
    pub tallies: BTreeMap<&'static str, Tally>,
    /// The first failures of each operation.
    pub failures: Vec<Failure>,
    /// Cases in which silicon used a freedom otherwise than the engines, by freedom and mnemonic.
    pub freedoms: BTreeMap<(Freedom, &'static str), u64>,
    /// Cases on which all agreed to the last bit, with what silicon did, if the campaign keeps them.
    pub agreed: Vec<(Case, Ending)>,
}

impl Report {
    /// Cases that differed.
    #[must_use]
    pub fn differing(&self) -> u64 {
        self.tallies.values().map(|tally| tally.differing).sum()
    }

    /// Adds what another campaign found, keeping `keep` failures an operation.
    pub fn merge(&mut self, other: Self, keep: u64) {
        self.cases += other.cases;
        self.skipped += other.skipped;
        let before = self.tallies.clone();
        for (name, tally) in other.tallies {
            let sum = self.tallies.entry(name).or_default();
            sum.cases += tally.cases;
            sum.differing += tally.differing;
        }
        for (key, count) in other.freedoms {
            *self.freedoms.entry(key).or_default() += count;
        }
        let full = |failure: &Failure| {
            before.get(mnemonic(&failure.case)).is_some_and(|tally| tally.differing >= keep)
        };
        self.failures.extend(other.failures.into_iter().filter(|failure| !full(failure)));
    }
}

/// A case with what each engine made of it.
struct Prepared {
    number: u64,
    outcomes: Vec<Ending>,
}

/// One stream of cases on one native oracle.
pub struct Campaign<'a> {
    generator: &'a Generator,
    silicon: Silicon,
    bench: Bench,
    engines: Vec<(EngineKind, Box<dyn Engine>)>,
    report: Report,
    /// Failures to keep of each operation.
    keep: u64,
    /// Whether to keep the cases on which all agreed.
    keep_agreed: bool,
    /// The CPU that answers, or the one that it is taken for.
    make: Make,
    /// Cases that differed and get a second hearing.
    suspects: Vec<(Case, Prepared)>,
}

impl<'a> Campaign<'a> {
    /// A campaign with its own native oracle, which keeps `keep` failures of each operation.
    ///
    /// # Errors
    /// [`CampaignError`].
    pub fn new(generator: &'a Generator, keep: u64) -> Result<Self, CampaignError> {
        let silicon = Silicon::new()?;
        let bench = Bench::new(silicon.low_pages()).map_err(CampaignError::Memory)?;
        let report = Report::default();
        Ok(Self {
            generator,
            silicon,
            bench,
            engines: engines(),
            report,
            keep,
            keep_agreed: false,
            make: Make::host(),
            suspects: Vec::new(),
        })
    }

    /// Keeps the cases on which all agree, for a recording.
    #[must_use]
    pub const fn keeping_agreed(mut self) -> Self {
        self.keep_agreed = true;
        self
    }

    /// Takes the CPU for one of `make`, and so allows it that make's freedoms.
    #[must_use]
    pub fn taken_for(mut self, make: Make) -> Self {
        self.make = make;
        self
    }

    /// Whether the host lets cases reach the pages below 64 KiB.
    #[must_use]
    pub const fn low_pages(&self) -> bool {
        self.silicon.low_pages()
    }

    /// Runs the cases with these numbers; calls `progress` with how many more are done.
    ///
    /// # Errors
    /// [`CampaignError`].
    pub fn run(
        mut self,
        numbers: impl Iterator<Item = u64>,
        mut progress: impl FnMut(u64),
    ) -> Result<Report, CampaignError> {
        const BATCH: usize = 1000;
        let mut numbers = numbers.peekable();
        let mut running: Option<(Vec<Case>, Vec<Prepared>)> = None;
        while numbers.peek().is_some() || running.is_some() {
            // The engines run this batch while silicon runs the one before it.
            let drawn: Vec<u64> = numbers.by_ref().take(BATCH).collect();
            let batch = self.prepare(&drawn);
            let verdicts = if running.is_some() { self.silicon.collect()? } else { Vec::new() };
            if !batch.0.is_empty() {
                self.silicon.submit(&batch.0)?;
            }
            if let Some((cases, prepared)) = running.take() {
                self.judge(cases, prepared, verdicts, Hearing::First);
            }
            progress(drawn.len() as u64);
            if !batch.0.is_empty() {
                running = Some(batch);
            }
        }
        self.hear_again()?;
        Ok(self.report)
    }

    /// Runs what differed once more. A context switch inside a case makes AMD's CPUs forget the
    /// x87 pointers, as XSAVE stores zeros for them unless an exception is pending; that happens
    /// to a case once, not twice.
    fn hear_again(&mut self) -> Result<(), CampaignError> {
        let (cases, prepared): (Vec<Case>, Vec<Prepared>) = self.suspects.drain(..).unzip();
        if cases.is_empty() {
            return Ok(());
        }
        let verdicts = self.silicon.run(&cases)?;
        self.judge(cases, prepared, verdicts, Hearing::Last);
        Ok(())
    }

    fn prepare(&mut self, numbers: &[u64]) -> (Vec<Case>, Vec<Prepared>) {
        let mut cases = Vec::with_capacity(numbers.len());
        let mut prepared = Vec::with_capacity(numbers.len());
        for &number in numbers {
            let Some(case) = self.generator.case(number) else {
                self.report.skipped += 1;
                continue;
            };
            let outcomes: Vec<Ending> =
                self.engines.iter_mut().map(|(_, engine)| self.bench.run(engine.as_mut(), &case)).collect();
            if outcomes.iter().any(|outcome| cannot_run(&case, outcome)) {
                self.report.skipped += 1;
                continue;
            }
            cases.push(case);
            prepared.push(Prepared { number, outcomes });
        }
        (cases, prepared)
    }

    fn judge(&mut self, cases: Vec<Case>, prepared: Vec<Prepared>, verdicts: Vec<Verdict>, hearing: Hearing) {
        for ((case, prepared), expected) in cases.into_iter().zip(prepared).zip(verdicts) {
            let judgements: Vec<Judgement> =
                prepared.outcomes.iter().map(|actual| self.hear(&case, &expected, actual)).collect();
            let agreed = judgements.iter().all(Judgement::agrees);
            if !agreed && hearing == Hearing::First {
                self.suspects.push((case, prepared));
                continue;
            }
            let name = mnemonic(&case);
            self.report.cases += 1;
            self.report.tallies.entry(name).or_default().cases += 1;
            let freedoms: BTreeSet<Freedom> =
                judgements.iter().flat_map(|judgement| &judgement.freedoms).copied().collect();
            for &freedom in &freedoms {
                *self.report.freedoms.entry((freedom, name)).or_default() += 1;
            }
            if !agreed {
                self.fail(&case, prepared, &expected, judgements);
            } else if let (true, true, Some(expected)) = (self.keep_agreed, freedoms.is_empty(), expected) {
                self.report.agreed.push((case, expected));
            }
        }
    }

    fn hear(&mut self, case: &Case, expected: &Verdict, actual: &Ending) -> Judgement {
        match expected {
            Some(expected) => judge(&mut self.bench, case, expected, actual, Mask::of(case), &self.make),
            None => judge_no_answer(&mut self.bench, case, &self.make),
        }
    }

    fn fail(&mut self, case: &Case, prepared: Prepared, expected: &Verdict, judgements: Vec<Judgement>) {
        let tally = self.report.tallies.entry(mnemonic(case)).or_default();
        tally.differing += 1;
        if tally.differing > self.keep {
            return;
        }
        for (((kind, _), actual), judgement) in self.engines.iter().zip(prepared.outcomes).zip(judgements) {
            if judgement.agrees() {
                continue;
            }
            self.report.failures.push(Failure {
                number: prepared.number,
                engine: kind.name(),
                case: case.clone(),
                expected: expected.clone(),
                actual,
                differences: judgement.differences,
            });
        }
    }
}

/// Whether a difference is to be believed yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hearing {
    /// It may be chance.
    First,
    /// It happened twice.
    Last,
}

/// Whether a case would touch the native oracle's own memory, enter the host's kernel, or never end.
///
/// The kernel takes an ESP inside the native oracle for one that is on its signal stack already.
fn cannot_run(case: &Case, outcome: &Ending) -> bool {
    let reserved = |state: &CpuState| RESERVED.contains(&state.gpr(Gpr::Esp));
    reserved(&case.state)
        || reserved(&outcome.state)
        || matches!(outcome.vector, Ending::LEFT | Ending::BUDGET)
        || RESERVED.contains(&outcome.address)
        || RESERVED.contains(&outcome.state.eip)
}
