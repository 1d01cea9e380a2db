//! The native oracle as a child process: started, fed in batches, watched, restarted.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use thiserror::Error;

use super::protocol;
use crate::case::{Case, Ending};
use crate::layout::{self, PAGES};

/// Why the native oracle cannot be had.
#[derive(Debug, Error)]
pub enum OracleError {
    /// The host has no 32-bit mode for programs, or not this program.
    #[error("this host does not run {}: {source}", path.display())]
    NoNative {
        /// The oracle's binary.
        path: PathBuf,
        /// Why it could not be started.
        source: std::io::Error,
    },
    /// It started and gave up.
    #[error("the native oracle did not become ready; it could not build its address space")]
    NotReady,
    /// It could not map a page or install a descriptor that cases rely on.
    #[error("the native oracle could not set up {what}: errno {errno}")]
    World {
        /// The page or descriptor.
        what: String,
        /// Linux's error number.
        errno: u32,
    },
    /// The shared file.
    #[error("the file shared with the native oracle: {0}")]
    Shared(#[from] std::io::Error),
    /// It answered what the protocol does not know.
    #[error("the native oracle's answer for case {0} of a batch is malformed")]
    Malformed(usize),
}

/// A case's result: its outcome, or `None` if it killed or hung the native oracle.
pub type Verdict = Option<Ending>;

/// How long one batch may go without an answer unless [`Silicon::with_patience`] says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// The host's CPU.
pub struct Silicon {
    shared: File,
    path: PathBuf,
    child: Native,
    low_pages: bool,
    patience: Duration,
    /// Encoded cases of the running batch, each with its offset.
    input: Vec<u8>,
    offsets: Vec<usize>,
}

struct Native {
    process: Child,
    input: Option<ChildStdin>,
    answers: Receiver<()>,
}

impl Drop for Native {
    fn drop(&mut self) {
        // It exits by itself at the end of its input, unless it hangs.
        drop(self.input.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Silicon {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn binary() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/oracle/oracle")
}

/// A fresh file in memory where the host has such a place.
fn shared_file() -> std::io::Result<(File, PathBuf)> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("pentimento-oracle-{}-{number}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    file.set_len(protocol::SHARED_SIZE)?;
    Ok((file, path))
}

/// The rights to set clocks, to stop the host and to load modules, as setpriv(1) drops them.
const DROPPED: &str = "-sys_time,-sys_boot,-sys_module";

/// A command that runs `binary` without the rights to change the host: a case on which silicon goes
/// another way than the engines may execute an INT 80h that nobody drew.
///
/// # Errors
/// Where the host does not run `binary` at all.
fn confined(binary: &Path) -> std::io::Result<Command> {
    let quiet = |command: &mut Command| {
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    // Without its argument it ends at once.
    quiet(&mut Command::new(binary))?;
    let setpriv = || {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", DROPPED, "--inh-caps", DROPPED]);
        command
    };
    if !quiet(setpriv().arg("/bin/true")).is_ok_and(|status| status.success()) {
        // Without that program, or without rights that could be dropped.
        return Ok(Command::new(binary));
    }
    let mut command = setpriv();
    command.arg(binary);
    Ok(command)
}

impl Silicon {
    /// Starts the native oracle.
    ///
    /// # Errors
    /// [`OracleError`]; [`OracleError::NoNative`] on hosts that do not run 32-bit x86 code.
    pub fn new() -> Result<Self, OracleError> {
        let (shared, path) = shared_file()?;
        let result = Self::start(&shared, &path);
        if result.is_err() {
            let _ = std::fs::remove_file(&path);
        }
        let (child, low_pages) = result?;
        let patience = PATIENCE;
        Ok(Self { shared, path, child, low_pages, patience, input: Vec::new(), offsets: Vec::new() })
    }

    /// The same, but a batch that takes longer than `patience` counts as hung.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whether the pages below 64 KiB could be mapped.
    #[must_use]
    pub const fn low_pages(&self) -> bool {
        self.low_pages
    }

    fn start(shared: &File, path: &Path) -> Result<(Native, bool), OracleError> {
        shared.write_all_at(&protocol::control(), 0)?;
        shared.write_all_at(&layout::background(), protocol::BACKGROUND_OFFSET)?;
        let binary = binary();
        let mut process = confined(&binary)
            .and_then(|mut command| {
                command.arg(path).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
            })
            .map_err(|source| OracleError::NoNative { path: binary, source })?;
        let (sender, answers) = channel();
        let output = process.stdout.take();
        std::thread::spawn(move || {
            let Some(mut output) = output else { return };
            let mut word = [0; 4];
            while output.read_exact(&mut word).is_ok() && sender.send(()).is_ok() {}
        });
        let input = process.stdin.take();
        let child = Native { process, input, answers };
        if child.answers.recv_timeout(PATIENCE).is_err() {
            return Err(OracleError::NotReady);
        }
        let low_pages = Self::check_world(shared)?;
        Ok((child, low_pages))
    }

    /// Reads which parts of the layout exist; only the pages below 64 KiB may be missing.
    fn check_world(shared: &File) -> Result<bool, OracleError> {
        let mut control = vec![0; protocol::CONTROL_SIZE];
        shared.read_exact_at(&mut control, 0)?;
        if Self::word(shared, protocol::READY)? != protocol::MAGIC {
            return Err(OracleError::NotReady);
        }
        let mut low_pages = true;
        for (index, page) in PAGES.iter().enumerate() {
            match protocol::page_error(&control, index) {
                0 => {}
                _ if index < layout::LOW_PAGES => low_pages = false,
                errno => {
                    return Err(OracleError::World { what: format!("page {:#x}", page.address), errno });
                }
            }
        }
        for (index, entry) in layout::DESCRIPTORS.iter().enumerate() {
            let errno = protocol::descriptor_error(&control, index);
            if errno != 0 {
                return Err(OracleError::World { what: format!("selector {:#x}", entry.selector()), errno });
            }
        }
        Ok(low_pages)
    }

    fn word(shared: &File, offset: u64) -> std::io::Result<u32> {
        let mut bytes = [0; 4];
        shared.read_exact_at(&mut bytes, offset)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Runs `cases` and waits for them.
    ///
    /// # Errors
    /// [`OracleError`]. A case that kills or hangs the oracle is no error but a verdict.
    pub fn run(&mut self, cases: &[Case]) -> Result<Vec<Verdict>, OracleError> {
        self.submit(cases)?;
        self.collect()
    }

    /// Starts a batch; [`Silicon::collect`] waits for it.
    ///
    /// # Errors
    /// [`OracleError`].
    pub fn submit(&mut self, cases: &[Case]) -> Result<(), OracleError> {
        self.input.clear();
        self.offsets.clear();
        for case in cases {
            self.offsets.push(self.input.len());
            protocol::encode(case, &mut self.input);
        }
        self.offsets.push(self.input.len());
        self.kick(0)
    }

    /// How many cases from `first` on fit into the input region.
    fn batch_length(&self, first: usize) -> usize {
        let start = self.offsets[first];
        self.offsets[first + 1..].partition_point(|&end| end - start <= protocol::INPUT_SIZE)
    }

    /// Hands the cases from `first` on to the child, as many as fit.
    fn kick(&mut self, first: usize) -> Result<(), OracleError> {
        let count = self.batch_length(first);
        let bytes = &self.input[self.offsets[first]..self.offsets[first + count]];
        self.shared.write_all_at(bytes, protocol::INPUT_OFFSET)?;
        self.shared.write_all_at(&(count as u32).to_le_bytes(), protocol::CASE_COUNT)?;
        self.shared.write_all_at(&0u32.to_le_bytes(), protocol::CASES_DONE)?;
        self.shared.write_all_at(&0u32.to_le_bytes(), protocol::OUTPUT_BYTES)?;
        // A child that has died shows when its answer does not come.
        if let Some(input) = &mut self.child.input {
            let _ = input.write_all(&1u32.to_le_bytes());
        }
        Ok(())
    }

    /// Waits for the batch that [`Silicon::submit`] started.
    ///
    /// # Errors
    /// [`OracleError`].
    pub fn collect(&mut self) -> Result<Vec<Verdict>, OracleError> {
        let total = self.offsets.len() - 1;
        let mut verdicts = Vec::with_capacity(total);
        while verdicts.len() < total {
            let answered = match self.child.answers.recv_timeout(self.patience) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
            };
            let done = Self::word(&self.shared, protocol::CASES_DONE)? as usize;
            self.read_results(done, &mut verdicts)?;
            if !answered {
                verdicts.push(None);
                let (child, _) = Self::start(&self.shared, &self.path)?;
                self.child = child;
            }
            if verdicts.len() < total {
                self.kick(verdicts.len())?;
            }
        }
        Ok(verdicts)
    }

    fn read_results(&self, count: usize, verdicts: &mut Vec<Verdict>) -> Result<(), OracleError> {
        let size = Self::word(&self.shared, protocol::OUTPUT_BYTES)?;
        let mut bytes = vec![0; size as usize];
        self.shared.read_exact_at(&mut bytes, protocol::OUTPUT_OFFSET)?;
        let mut rest = &bytes[..];
        for _ in 0..count {
            let outcome = protocol::decode(&mut rest).ok_or(OracleError::Malformed(verdicts.len()))?;
            verdicts.push(Some(outcome));
        }
        Ok(())
    }
}
