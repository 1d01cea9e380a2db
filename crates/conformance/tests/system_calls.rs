//! Random system calls: a short campaign, the same on every run. What longer ones find becomes a
//! test of the kernel itself, because their numbers mean other calls as soon as the table changes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use pentimento_conformance::system_calls::{Cage, Campaign, Resources};

/// Calls of the short campaign: some seconds.
const CALLS: u64 = 600_000;

#[test]
fn random_calls_neither_break_nor_leave_the_machine() {
    let cage = Cage::new(&std::env::temp_dir()).unwrap();
    let campaign = Campaign { seed: 0x0070_656e_7469, cage: Some(&cage) };
    let (mut calls, mut number, mut warm) = (0, 0, Resources::default());
    while calls < CALLS {
        calls += campaign.run_machine(number, CALLS - calls).calls;
        number += 1;
        if number == 5 {
            warm = Resources::now();
        }
    }
    assert_eq!(cage.changes().unwrap(), Vec::<String>::new(), "on the host");
    // Other tests of this process may hold a descriptor at the moment.
    let now = Resources::now();
    assert!(now.descriptors <= warm.descriptors + 8, "{warm:?} has become {now:?}");
}

#[test]
fn a_machine_repeats_by_its_number() {
    let campaign = Campaign { seed: 3, cage: None };
    for number in 0..10 {
        let lives = [(); 2].map(|()| campaign.run_machine(number, 3000));
        assert_eq!(lives[0].trace, lives[1].trace, "machine {number}");
        assert_eq!(lives[0].calls, lives[1].calls, "machine {number}");
    }
}
