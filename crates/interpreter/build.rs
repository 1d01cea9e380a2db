//! Says whether the interpreter's handlers may end by calling the next one.
//!
//! LLVM turns such a call into a jump when it optimises for these targets; the test
//! `long_runs_need_no_stack`, which CI runs in the release build, proves it. Everywhere else a loop
//! calls the handlers.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(tail_calls)");
    let variable = |name| env::var(name).unwrap_or_default();
    let optimised = matches!(variable("OPT_LEVEL").as_str(), "2" | "3");
    let known = matches!(variable("CARGO_CFG_TARGET_ARCH").as_str(), "x86_64" | "aarch64" | "riscv64");
    // A slice is one argument more than a pointer: with it LLVM leaves some of the calls as they are.
    let asked_for_loop = ["CARGO_FEATURE_DISPATCH_LOOP", "CARGO_FEATURE_SAFE_DISPATCH"]
        .into_iter()
        .any(|feature| env::var_os(feature).is_some());
    if optimised && known && !asked_for_loop && env::var_os("CARGO_CFG_DEBUG_ASSERTIONS").is_none() {
        println!("cargo::rustc-cfg=tail_calls");
    }
}
