//! `pentimento replay`: a recorded run once more.

use std::io::BufReader;
use std::path::Path;

use pentimento::host::HostOutput;
use pentimento::{Halt, Recording};

use crate::arguments::ReplayOptions;
use crate::failure::{Failure, unreadable};
use crate::{output, run};

/// Runs it; returns the exit code that it had.
pub(crate) fn replay(options: &ReplayOptions) -> Result<u8, Failure> {
    let name = options.file.display().to_string();
    let recording = read(&options.file)?;
    let expected = recording.statistics();
    let machine = recording.machine(options.engine, HostOutput::Standard, HostOutput::Error);
    let mut machine = machine.map_err(|error| Failure::new(format!("{name}: {error}")))?;
    let halt = match &options.gdb {
        Some(address) => run::debug(&mut machine, address)?,
        None => None,
    };
    let ruled = halt.is_some();
    let halt = halt.unwrap_or_else(|| {
        let left = expected.instructions.saturating_sub(machine.statistics().instructions);
        machine.run_and_wait(left)
    });
    if let (true, Some(hash)) = (options.trace_hash, machine.trace_hash()) {
        output::say(format_args!("trace hash:   {hash:016x}"));
    }
    let found = machine.statistics();
    if !ruled && found != expected {
        return Err(Failure::new(format!(
            "{name}: the replay went another way: {} instructions instead of {}",
            found.instructions, expected.instructions
        )));
    }
    // The end is found by whoever would go on; a run that was stopped at a limit has none.
    let halt = if halt == Halt::Budget { machine.run_and_wait(1) } else { halt };
    run::conclude(&name, halt)
}

/// Reads a recording.
pub(crate) fn read(path: &Path) -> Result<Recording, Failure> {
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    Recording::load(BufReader::new(file))
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}
