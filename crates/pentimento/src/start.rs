//! Starting programs as a shell would: by name, with the environment that the builder described.

use pentimento_linux::{Errno, ProcessId};

use crate::record::Start;
use crate::{Error, Machine};

/// Where programs are looked for in an environment without PATH, as execvp(3) does.
const PATH_WITHOUT_PATH: &[u8] = b"/bin:/usr/bin";

impl Machine {
    /// Starts a program of the guest with the environment and in the working directory of the
    /// builder. `argv[0]` is a path, or, without a slash, a name that is looked for in the
    /// environment's `PATH`. Without any words it is the program that the image names.
    ///
    /// ```
    /// use pentimento::{Error, Machine};
    ///
    /// let mut machine = Machine::builder().program("/bin/word", "#!/nowhere\n").build()?;
    /// // There is such a file, but its interpreter is missing.
    /// assert!(!machine.start(&["word"]).is_err_and(|error| error.is_not_found()));
    /// assert!(machine.start(&["sentence"]).is_err_and(|error| error.is_not_found()));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// It cannot be found, read or loaded, or there is no such working directory.
    pub fn start(&mut self, argv: &[impl AsRef<[u8]>]) -> Result<ProcessId, Error> {
        if argv.is_empty() && !self.surroundings.command.is_empty() {
            return self.start(&self.surroundings.command.clone());
        }
        let name = argv.first().map(|name| name.as_ref().to_vec()).ok_or(Error::NoProgram)?;
        if name.contains(&b'/') {
            return self.start_program(&name, argv);
        }
        let path = self.surroundings.variable(b"PATH").unwrap_or(PATH_WITHOUT_PATH).to_vec();
        let mut denied = None;
        for folder in path.split(|byte| *byte == b':') {
            // An empty entry is the working directory.
            let folder = if folder.is_empty() { &b"."[..] } else { folder };
            match self.start_program(&[folder, b"/", &name].concat(), argv) {
                Err(Error::Linux(pentimento_linux::Error::Open { errno, path })) => match errno {
                    Errno::ENOENT | Errno::ENOTDIR => {}
                    Errno::EACCES => denied = Some(pentimento_linux::Error::Open { errno, path }),
                    _ => return Err(pentimento_linux::Error::Open { errno, path }.into()),
                },
                other => return other,
            }
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Err(denied.map_or_else(|| Error::NotInPath { program: text(&name), path: text(&path) }, Error::from))
    }

    /// Starts the program at a path of the guest, with the environment and in the working directory
    /// of the builder. A relative path begins at that directory.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_program(&mut self, path: &[u8], argv: &[impl AsRef<[u8]>]) -> Result<ProcessId, Error> {
        let surroundings = self.surroundings.clone();
        let environment: Vec<Vec<u8>> =
            surroundings.environment.iter().map(|(key, value)| [key, &b"="[..], value].concat()).collect();
        let argv: Vec<Vec<u8>> = argv.iter().map(|argument| argument.as_ref().to_vec()).collect();
        let absolute = match &surroundings.directory {
            Some(directory) if !path.starts_with(b"/") => [directory, &b"/"[..], path].concat(),
            _ => path.to_vec(),
        };
        let process = self.spawn_bytes(&absolute, &argv, &environment)?;
        if let Some(directory) = &surroundings.directory {
            let start = Start::Directory { path: directory.clone() };
            self.make(start).map_err(|source| Error::Directory {
                path: String::from_utf8_lossy(directory).into_owned(),
                source,
            })?;
        }
        Ok(process)
    }
}
