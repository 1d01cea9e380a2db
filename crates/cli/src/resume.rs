//! `pentimento resume`: a recorded run goes on.

use pentimento::host::{HostEntropy, HostInput, HostOutput};
use pentimento::{Bounds, Machine};

use crate::arguments::ResumeOptions;
use crate::failure::Failure;
use crate::{output, replay, run};

/// Goes on with it; returns the exit code.
pub(crate) fn resume(options: &ResumeOptions) -> Result<u8, Failure> {
    let name = options.file.display().to_string();
    let recording = replay::read(&options.file)?;
    let current = std::env::current_dir()?;
    let host = Machine::builder()
        .engine(options.engine)
        .stdin(HostInput::default())
        .stdout(HostOutput::Standard)
        .stderr(HostOutput::Error)
        .entropy(HostEntropy);
    let host = if options.trace_hash { host.trace_hash() } else { host };
    let (host, keeping) = options.files.apply(host, &current)?;
    let machine = recording.resume(host);
    let mut machine = machine.map_err(|error| Failure::new(format!("{name}: {error}")))?;
    let halt = machine.run_and_wait(Bounds::none().budget(options.limit.unwrap_or(u64::MAX)));
    if let Some(hash) = machine.trace_hash() {
        output::say(format_args!("trace hash:   {hash:016x}"));
    }
    keeping.finish(&mut machine)?;
    if let Some(file) = &options.record {
        run::write_recording(&machine, file)?;
    }
    run::conclude(&name, halt)
}
