//! Any bytes as a program: one clear error or a process, never a panic and never much memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pentimento_linux::{Config, Kernel};

fuzz_target!(|file: &[u8]| {
    let mut kernel = Kernel::new(Config::default());
    if kernel.spawn_image(b"/program", file, &[b"program", b"argument"], &[b"A=1"]).is_ok() {
        let _ = kernel.schedule();
    }
});
