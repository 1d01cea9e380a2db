//! A seconds-long part of the comparison with `iced-x86`; `cargo xtask decode-diff` runs all of it.

use pentimento_conformance::decode_diff::{Report, random, systematic};

#[test]
fn the_decoder_agrees_with_iced() {
    let mut report = Report::new();
    // A stride that no factor of the enumeration's dimensions divides.
    systematic(211, |bytes| report.check(bytes));
    random(1, 200_000, |bytes| report.check(bytes));
    assert!(report.unexplained.is_empty(), "{:#?}", report.unexplained);
    assert!(report.compared > 400_000 && report.valid > 200_000, "{} of {}", report.valid, report.compared);
}
