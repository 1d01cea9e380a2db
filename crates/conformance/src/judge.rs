//! Silicon against an engine: what differs, and what a freedom of the host's make excuses.

use pentimento_decoder::{Operation, decode};

use crate::case::{Case, Ending};
use crate::compare::{Difference, Mask, compare};
use crate::engine::Bench;
use crate::latitude::Latitude;
use crate::make::{Freedom, Make};

/// What came of comparing one case.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Judgement {
    /// What must not differ and does.
    pub differences: Vec<Difference>,
    /// What this make of CPU may decide otherwise than the engines, and did.
    pub freedoms: Vec<Freedom>,
}

impl Judgement {
    /// Whether nothing differs that must not.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Compares what `silicon`, a CPU of `make`, did in `case` with what an engine did.
pub fn judge(
    bench: &mut Bench,
    case: &Case,
    silicon: &Ending,
    engine: &Ending,
    mask: Mask,
    make: &Make,
) -> Judgement {
    let differences = compare(silicon, engine, mask);
    if differences.is_empty() || make.is_followed() {
        return Judgement { differences, freedoms: Vec::new() };
    }
    let steps = bench.trace(case);
    let (excused, freedoms) = Latitude::of(case, &steps).excuse(silicon, engine);
    let name = mnemonic(case);
    if freedoms.iter().all(|&freedom| make.may_differ(freedom, name)) {
        Judgement { differences: compare(&excused, engine, mask), freedoms }
    } else {
        Judgement { differences, freedoms: Vec::new() }
    }
}

/// Judges a case that killed or hung the native oracle: differing flags may have led it into a loop.
pub(crate) fn judge_no_answer(bench: &mut Bench, case: &Case, make: &Make) -> Judgement {
    let steps = bench.trace(case);
    match Latitude::of(case, &steps).may_be_endless() {
        Some(freedom) if make.may_differ(freedom, mnemonic(case)) => {
            Judgement { differences: Vec::new(), freedoms: vec![freedom] }
        }
        _ => Judgement { differences: vec![Difference::no_answer()], freedoms: Vec::new() },
    }
}

/// The mnemonic of a case's instruction.
pub(crate) fn mnemonic(case: &Case) -> &'static str {
    decode(&case.code).map_or("(undefined)", |instruction| Operation::mnemonic(instruction.operation()))
}
