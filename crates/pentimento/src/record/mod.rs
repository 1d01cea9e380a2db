//! Recording what a host says to a machine, and replaying the machine without that host.
//!
//! A machine is deterministic but for what comes from outside: time where it is the host's, random numbers,
//! bytes of standard input, folders of the host. These are put on a tape with the moments in which they came,
//! counted in instructions and calls, which are the same on every engine. With the tape, what the machine was
//! made of and what was started in it, the run can be repeated anywhere.

mod bytes;
mod folder;
mod setup;
mod streams;
mod tape;

use std::io::{self, Read, Write};
use std::sync::Arc;

use pentimento_linux::host::Output;
use pentimento_linux::{Config, Mount, ProcessId};

use bytes::{Bytes, Damaged};
use folder::TapedFolder;
use setup::Provided;
pub(crate) use setup::{Setup, Start};
use streams::{TapedClock, TapedEntropy, TapedInput, TapedOutput};
pub(crate) use tape::{Moment, Tape};

use crate::provided::Item;
use crate::{EngineKind, Error, Machine, MachineBuilder, Statistics};

const MAGIC: &[u8; 8] = b"PENT-RUN";
const VERSION: u64 = 2;

/// Why a recording could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file cannot be written or read.
    #[error("cannot access the recording: {0}")]
    Io(#[from] io::Error),
    /// The machine was not built to be recorded.
    #[error("this machine is not recorded")]
    NotRecorded,
    /// Something was started or changed by the host after the machine had begun to run.
    #[error("the host started a program in the midst of the run, which a recording does not have")]
    StartedLate,
    /// It is no recording.
    #[error("this is no recording of a machine")]
    NoRecording,
    /// Another version of this library wrote it.
    #[error("the recording has version {found}; this library reads version {VERSION}")]
    Version {
        /// The version in the file.
        found: u64,
    },
    /// Something in it makes no sense.
    #[error("the recording is damaged: {0}")]
    Damaged(&'static str),
    /// The machine that is to go on had a folder of its host that it is not given.
    #[error("the recorded machine had a folder at {path}, mounted in the same way: give it one")]
    MissingFolder {
        /// Where the guest had it.
        path: String,
    },
    /// The machine cannot be built here.
    #[error("cannot build the machine: {0}")]
    Machine(#[source] Box<Error>),
    /// Run from its beginning, the machine did not come to where it was: a folder's content differs, or
    /// another version of this library recorded it.
    #[error("the machine went another way than when it was recorded")]
    Diverged,
}

impl From<Damaged> for RecordingError {
    fn from(Damaged(what): Damaged) -> Self {
        Self::Damaged(what)
    }
}

/// What a machine that is recorded keeps beside its tape.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) tape: Tape,
    pub(crate) setup: Setup,
    pub(crate) starts: Vec<Start>,
    pub(crate) late: bool,
}

/// A run that can be repeated.
///
/// ```
/// use pentimento::host::Bytes;
/// use pentimento::{Capture, EngineKind, Halt, Machine, Recording};
///
/// # let hello = include_bytes!("../../../../fixtures/programs/hello");
/// let builder = Machine::builder().program("/bin/hello", hello).stdin(Bytes::from("input"));
/// let mut machine = builder.record().build()?;
/// machine.start(&["hello"])?;
/// machine.run(u64::MAX);
/// let mut file = Vec::new();
/// machine.save_recording(&mut file)?;
///
/// let recording = Recording::load(&file[..])?;
/// let (output, expected) = (Capture::new(), recording.statistics());
/// let mut again = recording.machine(EngineKind::REFERENCE, output.clone(), Capture::new())?;
/// assert_eq!(again.run_and_wait(u64::MAX), Halt::Exited(0));
/// assert_eq!((output.text().as_str(), again.statistics()), ("Hello, world!\n", expected));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Recording {
    tape: Tape,
    setup: Setup,
    starts: Vec<Start>,
    statistics: Statistics,
    /// How often the machine had waited for its host.
    waits: u64,
}

impl Recording {
    /// Reads what [`Machine::save_recording`] wrote.
    ///
    /// # Errors
    /// [`RecordingError`]. Files may be hostile.
    pub fn load(mut input: impl Read) -> Result<Self, RecordingError> {
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic).map_err(|_| RecordingError::NoRecording)?;
        if magic != *MAGIC {
            return Err(RecordingError::NoRecording);
        }
        let mut content = Vec::new();
        input.read_to_end(&mut content)?;
        let mut input = Bytes::from(content);
        let found = input.take_number()?;
        if found != VERSION {
            return Err(RecordingError::Version { found });
        }
        let statistics = Statistics {
            instructions: input.take_number()?,
            system_calls: input.take_number()?,
            exceptions: input.take_number()?,
        };
        let waits = input.take_number()?;
        let setup = Setup::read(&mut input)?;
        let count = input.take_number()?;
        let starts = (0..count).map(|_| Start::read(&mut input)).collect::<Result<_, _>>()?;
        let tape = Tape::read(&mut input)?;
        if !input.rest().is_empty() {
            return Err(RecordingError::Damaged("it goes on behind its end"));
        }
        Ok(Self { tape, setup, starts, statistics, waits })
    }

    /// What the machine had done when the recording was written: a replay does the same.
    #[must_use]
    pub const fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// The machine as it was before it ran, on any engine; it has no host but the two outputs, and needs
    /// none. Folders of the host that it read are as they were read, those that it wrote stay as they are.
    /// It keeps a [trace hash](Machine::trace_hash).
    ///
    /// # Errors
    /// The machine cannot be built here, for want of memory, or the recording is damaged.
    pub fn machine(
        self,
        engine: EngineKind,
        stdout: impl Output + 'static,
        stderr: impl Output + 'static,
    ) -> Result<Machine, Error> {
        let Self { tape, setup, starts, .. } = self;
        let surroundings = setup.surroundings.clone();
        let builder = setup.builder(&tape).engine(engine).trace_hash().stdout(stdout).stderr(stderr);
        let mut machine = builder.build_taped(tape)?;
        machine.surroundings = surroundings;
        for start in &starts {
            // What could not be started then cannot be started now.
            let _ = start.make(&mut machine);
        }
        Ok(machine)
    }

    /// The machine as it was when the recording was written, with a host again: it goes on from there.
    ///
    /// A recording has no memory and no registers in it: the machine runs once more from its beginning to
    /// where it was, on whatever engine, and hears its tape meanwhile; its host hears nothing. So the file is
    /// small, and this takes as long as the run took its processor. Of `host` are taken the engine, the
    /// streams, clock, entropy, trace, and the folders of the host, of which there must be one for each that
    /// the machine had, at the same place and mounted in the same way. They should be as they were: what the
    /// machine read is on the tape, what it has open is opened again. Time goes on from where it was. The
    /// machine is recorded on.
    ///
    /// # Errors
    /// [`RecordingError::MissingFolder`], [`RecordingError::Machine`], [`RecordingError::Diverged`].
    pub fn resume(self, host: MachineBuilder) -> Result<Machine, RecordingError> {
        let Self { tape, setup, starts, statistics, waits } = self;
        let surroundings = setup.surroundings.clone();
        let builder = setup.builder_on(host)?;
        let Statistics { instructions, system_calls, exceptions } = statistics;
        let entries = system_calls.wrapping_add(exceptions);
        tape.go_on_from(Moment { instructions, entries, waits });
        let failed = |error| RecordingError::Machine(Box::new(error));
        let mut machine = builder.build_taped(tape).map_err(failed)?;
        machine.surroundings = surroundings;
        for start in starts {
            // What could not be started then cannot be started now.
            let _ = machine.make(start);
        }
        machine.run_and_wait(instructions);
        if machine.statistics() == statistics { Ok(machine) } else { Err(RecordingError::Diverged) }
    }
}

impl Setup {
    /// A builder of the same machine on a host.
    fn builder_on(self, host: MachineBuilder) -> Result<MachineBuilder, RecordingError> {
        let (config, items) = host.into_host();
        let mut folders: Vec<(Vec<u8>, Mount)> = items
            .into_iter()
            .filter_map(|item| match item {
                Item::Mount(path, mount) => Some((path, mount)),
                Item::File { .. } => None,
            })
            .collect();
        let tape = Tape::recording();
        let entropy = self.entropy;
        let mut builder = self.builder(&tape).with_host(config, entropy);
        for item in &mut builder.provisions.items {
            let Item::Mount(path, mount) = item else { continue };
            let kind = setup::kind_of(mount);
            if kind == 0 {
                continue;
            }
            let same = |(other, mount): &(Vec<u8>, Mount)| other == path && setup::kind_of(mount) == kind;
            match folders.iter().position(same) {
                Some(index) => *mount = folders.remove(index).1,
                None => {
                    let path = String::from_utf8_lossy(path).into_owned();
                    return Err(RecordingError::MissingFolder { path });
                }
            }
        }
        Ok(builder)
    }
}

impl Setup {
    /// A builder of the same machine, whose host is the tape.
    fn builder(self, tape: &Tape) -> MachineBuilder {
        let folder = TapedFolder { host: None, tape: tape.clone(), number: 0, constant: false };
        let mut builder = Machine::builder()
            .seed(self.seed)
            .randomize_addresses(self.randomize)
            .time(self.time)
            .limits(self.limits)
            .quantum(self.quantum.0..=self.quantum.1)
            .user(self.identity.0, self.identity.1)
            .model(self.model);
        if self.entropy {
            builder = builder.entropy(TapedEntropy { host: None, tape: tape.clone() });
        }
        for item in self.items {
            builder = match item {
                Provided::File { path, content, mode } => builder.file_with_mode(path, content, mode),
                Provided::Mount { path, kind } => {
                    let folder = Arc::new(folder.clone());
                    builder.mount(
                        path,
                        match kind {
                            0 => Mount::Memory,
                            1 => Mount::ReadOnly(folder),
                            2 => Mount::ReadWrite(folder),
                            _ => Mount::CopyOnWrite(folder),
                        },
                    )
                }
            };
        }
        builder
    }
}

fn slices(list: &[Vec<u8>]) -> Vec<&[u8]> {
    list.iter().map(Vec::as_slice).collect()
}

impl Start {
    /// Does it; the process that it is about.
    fn make(&self, machine: &mut Machine) -> Result<ProcessId, pentimento_linux::Error> {
        let kernel = &mut machine.kernel;
        match self {
            Self::Program { path, argv, envp } => kernel.spawn(path, &slices(argv), &slices(envp)),
            Self::Image { path, file, argv, envp } => {
                kernel.spawn_image(path, file, &slices(argv), &slices(envp))
            }
            Self::Code { base, code, length } => machine.place_code(*base, code, *length),
            Self::Directory { path } => {
                let newest = machine.kernel.newest_process();
                machine.kernel.change_directory(newest, path).map(|()| newest)
            }
            Self::File { path, content, mode } => {
                kernel.install_file(path, content, *mode).map(|()| kernel.newest_process())
            }
        }
    }
}

/// The host's side of a machine goes through the tape.
pub(crate) fn put_between(config: &mut Config, items: &mut [Item], tape: &Tape) {
    let is_replay = tape.is_replay();
    let host = |present: bool| present && !is_replay;
    let streams = [(1, &mut config.output), (2, &mut config.error)];
    for (stream, output) in streams {
        let host = std::mem::replace(output, Box::new(pentimento_linux::host::Discard));
        *output = Box::new(TapedOutput { host, tape: tape.clone(), stream });
    }
    let input = std::mem::replace(&mut config.input, Box::new(pentimento_linux::host::Bytes::default()));
    config.input = Box::new(TapedInput { host: host(true).then_some(input), tape: tape.clone() });
    let clock = std::mem::replace(&mut config.clock, Box::new(pentimento_linux::host::SystemClock::new()));
    config.clock = Box::new(TapedClock::new(host(true).then_some(clock), tape.clone()));
    if let Some(entropy) = config.entropy.take() {
        let host = host(true).then_some(entropy);
        config.entropy = Some(Box::new(TapedEntropy { host, tape: tape.clone() }));
    }
    let mut number = 0;
    for item in items {
        let Item::Mount(_, mount) = item else { continue };
        let constant = matches!(mount, Mount::CopyOnWrite(_));
        if let Mount::ReadOnly(folder) | Mount::ReadWrite(folder) | Mount::CopyOnWrite(folder) = mount {
            let host = host(true).then(|| folder.clone());
            *folder = Arc::new(TapedFolder { host, tape: tape.clone(), number, constant });
            number = number.wrapping_add(1);
        }
    }
}

/// A machine that is recorded.
impl MachineBuilder {
    /// Has the machine keep all that its host says to it, for [`Machine::save_recording`]. A machine with
    /// the host's [network](Self::network) cannot be recorded.
    #[must_use]
    pub fn record(mut self) -> Self {
        self.record = true;
        self
    }
}

impl Machine {
    /// Writes what this machine was made of, what was started in it, and all that its host has said to it
    /// until now; [`Recording::load`] reads it.
    ///
    /// # Errors
    /// [`RecordingError`]: the file cannot be written, or the run cannot be repeated.
    pub fn save_recording(&self, mut out: impl Write) -> Result<(), RecordingError> {
        let recorder = self.recorder.as_ref().ok_or(RecordingError::NotRecorded)?;
        if recorder.late {
            return Err(RecordingError::StartedLate);
        }
        let mut file = Bytes::from(MAGIC.to_vec());
        let Statistics { instructions, system_calls, exceptions } = self.statistics();
        let numbers = [VERSION, instructions, system_calls, exceptions, self.waits];
        numbers.into_iter().for_each(|number| file.number(number));
        recorder.setup.write(&mut file);
        file.number(recorder.starts.len() as u64);
        recorder.starts.iter().for_each(|start| start.write(&mut file));
        recorder.tape.write(&mut file);
        Ok(out.write_all(&file.into_vec())?)
    }

    /// Starts something, and remembers that.
    pub(crate) fn make(&mut self, start: Start) -> Result<ProcessId, pentimento_linux::Error> {
        let made = start.make(self);
        if let Some(recorder) = &mut self.recorder {
            recorder.late |= self.statistics.instructions > 0;
            recorder.starts.push(start);
        }
        made
    }
}
