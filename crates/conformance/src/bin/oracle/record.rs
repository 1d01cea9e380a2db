//! `oracle --record`: samples for `cargo test` on every host.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pentimento_conformance::Make;
use pentimento_conformance::generate::{Generator, Group, Scope};
use pentimento_conformance::oracle::{Campaign, CampaignError};
use pentimento_conformance::recording::Writer;

/// Cases drawn for each row.
const PER_ROW: u64 = 12;

/// Sequences drawn.
const SEQUENCES: u64 = 4000;

/// What is sampled, and the files that hold it.
const FILES: [(Scope, &str); 5] = [
    (Scope::Group(Group::Integer), "integer.bin"),
    (Scope::Group(Group::X87), "x87.bin"),
    (Scope::Group(Group::Mmx), "mmx.bin"),
    (Scope::Group(Group::Sse), "sse.bin"),
    (Scope::Sequences, "sequences.bin"),
];

pub(super) fn main(seed: u64) -> ExitCode {
    for (scope, name) in FILES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/vectors").join(name);
        match record(scope, seed, &path) {
            Ok((count, size)) => println!("{name}: {count} cases, {size} bytes"),
            Err(failure) => {
                eprintln!("oracle: {name}: {failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Records one file; cases on which silicon and an engine differ have no place in it.
fn record(scope: Scope, seed: u64, path: &PathBuf) -> Result<(usize, usize), String> {
    let make = Make::host();
    if !make.is_followed() {
        return Err(format!("recordings are of the CPU that the engines follow, and this is {make}"));
    }
    let generator = Generator::new(scope, seed);
    let campaign = Campaign::new(&generator, 0).map_err(|error: CampaignError| error.to_string())?;
    if !campaign.low_pages() {
        return Err("recording needs pages below 64 KiB: run as root, or lower vm.mmap_min_addr".to_owned());
    }
    let count = if scope == Scope::Sequences { SEQUENCES } else { PER_ROW * generator.row_count() as u64 };
    let report =
        campaign.keeping_agreed().run(0..count, |_| {}).map_err(|error: CampaignError| error.to_string())?;
    if report.differing() > 0 {
        println!("{} cases differ and are left out", report.differing());
    }
    let mut writer = Writer::default();
    for (case, outcome) in &report.agreed {
        writer.push(case, outcome);
    }
    let bytes = writer.finish();
    std::fs::write(path, &bytes).map_err(|error| error.to_string())?;
    Ok((report.agreed.len(), bytes.len()))
}
