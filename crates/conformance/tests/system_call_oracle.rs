//! A part of the system-call oracle of fixed size: the kernel answers as the host's does, but where a table says
//! that it does not.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use pentimento_conformance::call_oracle::{Generator, Native, describe, judge, shrink};
use pentimento_conformance::skip;

/// The Linux that the tables of differences were made on. Which error comes first, and which flags there are,
/// changes from one to the next.
const RECORDED: &str = "6.18.";

#[test]
fn the_kernel_answers_as_the_hosts_does() {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if !release.starts_with(RECORDED) {
        return skip("the system-call oracle", &format!("its tables are of Linux {RECORDED}x"));
    }
    let mut native = match Native::start() {
        Ok(native) => native,
        Err(error) => return skip("the system-call oracle", &error.to_string()),
    };
    let generator = Generator::default();
    assert!(generator.calls() > 200, "only {} calls", generator.calls());
    let mut found = Vec::new();
    for number in 0..300 {
        let sequence = generator.sequence(1, number);
        let Some(difference) = judge(&mut native, &sequence).unwrap() else { continue };
        // What does not come again was the host's moment.
        if difference.is_open() || judge(&mut native, &sequence).unwrap().as_ref() != Some(&difference) {
            continue;
        }
        let (short, difference) = shrink(&mut native, &sequence, difference).unwrap();
        found.push(format!("{difference}; --seed 1 --sequence {number}\n{}", describe(&short)));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
