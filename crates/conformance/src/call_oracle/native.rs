//! The host's kernel as the judge: `fixtures/machines/system_calls` as a child process.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use thiserror::Error;

use super::sequence::{Outcome, Sequence, decode, encode};

/// Why the host's kernel cannot be asked.
#[derive(Debug, Error)]
pub enum NativeError {
    /// The host runs no 32-bit programs, or not as root with namespaces of their own.
    #[error("this host cannot give the native side a world of its own: {0}")]
    NoWorld(String),
    /// It went away in the midst of a campaign.
    #[error("the native side ended: {0}")]
    Ended(#[from] std::io::Error),
    /// It answered what cannot be.
    #[error("the native side's answer is malformed")]
    Malformed,
}

/// The native side.
pub struct Native {
    process: Child,
    input: ChildStdin,
    output: ChildStdout,
    folder: PathBuf,
}

impl Native {
    /// Starts it.
    ///
    /// # Errors
    /// [`NativeError::NoWorld`].
    pub fn start() -> Result<Self, NativeError> {
        let no_world = |what: &str| NativeError::NoWorld(what.to_owned());
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/machines/system_calls");
        let folder = std::env::temp_dir().join(format!("pentimento-calls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| no_world(&error.to_string()))?;
        let started = Command::new(program)
            .arg(&folder)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = started.map_err(|error| no_world(&error.to_string()))?;
        let (Some(input), Some(mut output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(no_world("no pipes"));
        };
        let mut ready = [0; 6];
        if output.read_exact(&mut ready).is_err() || ready != *b"ready\n" {
            let mut said = String::new();
            if let Some(mut error) = process.stderr.take() {
                // Without its words there is still its end.
                let _ = error.read_to_string(&mut said);
            }
            let _ = process.wait();
            return Err(no_world(said.trim()));
        }
        Ok(Self { process, input, output, folder })
    }

    /// What comes of `sequence` on the host.
    ///
    /// # Errors
    /// Where the native side ends or talks nonsense.
    pub fn run(&mut self, sequence: &Sequence) -> Result<Outcome, NativeError> {
        self.input.write_all(&encode(sequence))?;
        let mut length = [0; 4];
        self.output.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_le_bytes(length) as usize];
        self.output.read_exact(&mut answer)?;
        decode(sequence, &answer).ok_or(NativeError::Malformed)
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir(&self.folder);
    }
}
