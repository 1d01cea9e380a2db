//! What a machine is made of, as a recording has it.

use std::time::Duration;

use pentimento_execute::CpuModel;
use pentimento_linux::{Config, Limits, Mount, TimeMode};

use super::bytes::{Bytes, Damaged};
use crate::provided::{Item, Surroundings};

/// All that a builder says of a machine, but its host's side.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(super) seed: u64,
    pub(super) randomize: bool,
    pub(super) time: TimeMode,
    pub(super) limits: Limits,
    pub(super) quantum: (u64, u64),
    pub(super) identity: (u32, u32),
    pub(super) model: CpuModel,
    /// Random numbers came from outside.
    pub(super) entropy: bool,
    pub(crate) surroundings: Surroundings,
    pub(super) items: Vec<Provided>,
}

/// A mount or a file.
#[derive(Debug)]
pub(super) enum Provided {
    Mount { path: Vec<u8>, kind: u64 },
    File { path: Vec<u8>, content: Vec<u8>, mode: u32 },
}

/// The kinds of mounts: memory, read-only, read-write, copy on write.
pub(super) const fn kind_of(mount: &Mount) -> u64 {
    match mount {
        Mount::Memory => 0,
        Mount::ReadOnly(_) => 1,
        Mount::ReadWrite(_) => 2,
        Mount::CopyOnWrite(_) => 3,
    }
}

impl Setup {
    /// What is about to be built.
    pub(crate) fn of(config: &Config, model: CpuModel, items: &[Item]) -> Self {
        let provided = |item: &Item| match item {
            Item::Mount(path, mount) => Provided::Mount { path: path.clone(), kind: kind_of(mount) },
            Item::File { path, content, mode } => {
                Provided::File { path: path.clone(), content: content.clone(), mode: *mode }
            }
        };
        Self {
            seed: config.seed,
            randomize: config.randomize_addresses,
            time: config.time,
            limits: config.limits,
            quantum: (*config.quantum.start(), *config.quantum.end()),
            identity: config.identity,
            model,
            entropy: config.entropy.is_some(),
            surroundings: Surroundings::default(),
            items: items.iter().map(provided).collect(),
        }
    }

    pub(super) fn write(&self, out: &mut Bytes) {
        let (time, start, rate) = match self.time {
            TimeMode::Virtual { start, nanoseconds_per_thousand } => (0, start, nanoseconds_per_thousand),
            TimeMode::Real => (1, Duration::ZERO, 0),
        };
        let Limits {
            memory,
            total_memory,
            processes,
            tasks,
            descriptors,
            stack,
            file_size,
            memory_files,
            inodes,
            output,
        } = self.limits;
        let limits = [memory, processes.into(), tasks.into(), descriptors.into(), stack.into()];
        let sizes = [file_size, memory_files, inodes, output, total_memory];
        let (user, group) = self.identity;
        let first = [self.seed, self.randomize.into(), time, start.as_secs(), start.subsec_nanos().into()];
        let rest =
            [rate.into(), self.quantum.0, self.quantum.1, user.into(), group.into(), self.entropy.into()];
        for number in first.into_iter().chain(rest).chain(limits).chain(sizes) {
            out.number(number);
        }
        out.bytes(self.model.name().as_bytes());
        let Surroundings { environment, directory, command } = &self.surroundings;
        let variables: Vec<Vec<u8>> =
            environment.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect();
        out.list(&variables);
        out.list(&directory.iter().cloned().collect::<Vec<_>>());
        out.list(command);
        out.number(self.items.len() as u64);
        for item in &self.items {
            match item {
                Provided::Mount { path, kind } => {
                    out.number(*kind);
                    out.bytes(path);
                }
                Provided::File { path, content, mode } => {
                    out.number(FILE);
                    out.bytes(path);
                    out.bytes(content);
                    out.number((*mode).into());
                }
            }
        }
    }

    pub(super) fn read(input: &mut Bytes) -> Result<Self, Damaged> {
        let (seed, randomize) = (input.take_number()?, input.take_number()? != 0);
        let (real, seconds, nanoseconds) =
            (input.take_number()? != 0, input.take_number()?, input.take_word()?);
        let rate = input.take_word()?;
        if nanoseconds >= 1_000_000_000 {
            return Err(Damaged("no such time"));
        }
        let start = Duration::new(seconds, nanoseconds);
        let virtual_time = TimeMode::Virtual { start, nanoseconds_per_thousand: rate };
        let quantum = (input.take_number()?, input.take_number()?);
        let identity = (input.take_word()?, input.take_word()?);
        let entropy = input.take_number()? != 0;
        let limits = Limits {
            memory: input.take_number()?,
            processes: input.take_word()?,
            tasks: input.take_word()?,
            descriptors: input.take_word()?,
            stack: input.take_word()?,
            file_size: input.take_number()?,
            memory_files: input.take_number()?,
            inodes: input.take_number()?,
            output: input.take_number()?,
            total_memory: input.take_number()?,
        };
        let name = input.take_bytes()?;
        let model = std::str::from_utf8(name).ok().and_then(CpuModel::from_name);
        let model = model.ok_or(Damaged("no such CPU model"))?;
        let variables = input.take_list()?;
        let environment = variables.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let directory = input.take_list()?.pop();
        let surroundings = Surroundings { environment, directory, command: input.take_list()? };
        let count = input.take_number()?;
        let items = (0..count).map(|_| read_item(input)).collect::<Result<_, _>>()?;
        let time = if real { TimeMode::Real } else { virtual_time };
        Ok(Self { seed, randomize, time, limits, quantum, identity, model, entropy, surroundings, items })
    }
}

/// The number of a file among the kinds of mounts.
const FILE: u64 = 4;

fn read_item(input: &mut Bytes) -> Result<Provided, Damaged> {
    let kind = input.take_number()?;
    let path = input.take_bytes()?.to_vec();
    match kind {
        0..FILE => Ok(Provided::Mount { path, kind }),
        FILE => Ok(Provided::File { path, content: input.take_bytes()?.to_vec(), mode: input.take_word()? }),
        _ => Err(Damaged("no such mount")),
    }
}

/// Something that the host did to a machine before it ran.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// A program of the guest's file system.
    Program { path: Vec<u8>, argv: Vec<Vec<u8>>, envp: Vec<Vec<u8>> },
    /// A program of the host's.
    Image { path: Vec<u8>, file: Vec<u8>, argv: Vec<Vec<u8>>, envp: Vec<Vec<u8>> },
    /// Raw code.
    Code { base: u32, code: Vec<u8>, length: u32 },
    /// The working directory of the process that was made last.
    Directory { path: Vec<u8> },
    /// A file.
    File { path: Vec<u8>, content: Vec<u8>, mode: u32 },
}

impl Start {
    pub(super) fn write(&self, out: &mut Bytes) {
        match self {
            Self::Program { path, argv, envp } => {
                out.number(0);
                out.bytes(path);
                out.list(argv);
                out.list(envp);
            }
            Self::Image { path, file, argv, envp } => {
                out.number(1);
                out.bytes(path);
                out.bytes(file);
                out.list(argv);
                out.list(envp);
            }
            Self::Code { base, code, length } => {
                out.number(2);
                out.number((*base).into());
                out.bytes(code);
                out.number((*length).into());
            }
            Self::Directory { path } => {
                out.number(3);
                out.bytes(path);
            }
            Self::File { path, content, mode } => {
                out.number(4);
                out.bytes(path);
                out.bytes(content);
                out.number((*mode).into());
            }
        }
    }

    pub(super) fn read(input: &mut Bytes) -> Result<Self, Damaged> {
        Ok(match input.take_number()? {
            0 => Self::Program {
                path: input.take_bytes()?.to_vec(),
                argv: input.take_list()?,
                envp: input.take_list()?,
            },
            1 => Self::Image {
                path: input.take_bytes()?.to_vec(),
                file: input.take_bytes()?.to_vec(),
                argv: input.take_list()?,
                envp: input.take_list()?,
            },
            2 => Self::Code {
                base: input.take_word()?,
                code: input.take_bytes()?.to_vec(),
                length: input.take_word()?,
            },
            3 => Self::Directory { path: input.take_bytes()?.to_vec() },
            4 => Self::File {
                path: input.take_bytes()?.to_vec(),
                content: input.take_bytes()?.to_vec(),
                mode: input.take_word()?,
            },
            _ => return Err(Damaged("no such start")),
        })
    }
}
