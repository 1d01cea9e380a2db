//! What a guest finds when it starts: files, environment, working directory.

use pentimento_linux::{Kernel, Mount};

use crate::provided::{Item, Surroundings, Variable};
use crate::{Error, MachineBuilder};

/// Where programs are looked for unless the host says otherwise, as Debian's root has it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes of `/etc/passwd` that are read.
const PASSWD_MAX: usize = 1 << 20;

/// What a [`MachineBuilder`] has been told about files and environment.
#[derive(Default)]
pub(crate) struct Provisions {
    pub(crate) items: Vec<Item>,
    /// Variables beside or instead of the default ones.
    environment: Vec<Variable>,
    /// No variables but those.
    bare: bool,
    directory: Option<Vec<u8>>,
    /// The host has said who programs run as.
    pub(crate) user_given: bool,
    /// The image that is the root.
    #[cfg(feature = "images")]
    image: Option<pentimento_images::Image>,
}

impl Provisions {
    /// Puts the files in their places.
    pub(crate) fn place(&mut self, kernel: &mut Kernel) -> Result<(), Error> {
        let is_root = |item: &Item| matches!(item, Item::Mount(path, _) if path == b"/");
        // A root hides what was put below the one before it.
        let (roots, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.items).into_iter().partition(is_root);
        for item in roots.into_iter().chain(others) {
            match item {
                Item::Mount(path, mount) => kernel.mount(&path, mount)?,
                Item::File { path, content, mode } => kernel.install_file(&path, &content, mode)?,
            }
        }
        Ok(())
    }

    /// Who programs run as, where the image says so and the host does not.
    pub(crate) fn user(&self) -> Result<Option<(u32, u32)>, Error> {
        if self.user_given {
            return Ok(None);
        }
        #[cfg(feature = "images")]
        if let Some(image) = &self.image {
            return Ok(image.user()?);
        }
        Ok(None)
    }

    /// The environment and working directory of programs; `user` is who they run as, and
    /// `terminal` whether standard output is one.
    pub(crate) fn surroundings(self, kernel: &mut Kernel, user: u32, terminal: bool) -> Surroundings {
        let mut environment = Vec::new();
        if !self.bare {
            set(&mut environment, b"PATH", PATH.as_bytes());
            set(&mut environment, b"HOME", &home(kernel, user));
            set(&mut environment, b"LANG", b"C.UTF-8");
            if terminal {
                set(&mut environment, b"TERM", b"xterm");
            }
        }
        let of_image = self.of_image();
        for (key, value) in of_image.environment.iter().filter(|_| !self.bare) {
            set(&mut environment, key, value);
        }
        for (key, value) in &self.environment {
            set(&mut environment, key, value);
        }
        Surroundings { environment, directory: self.directory.or(of_image.directory), ..of_image }
    }

    /// What the image says.
    fn of_image(&self) -> Surroundings {
        #[cfg(feature = "images")]
        if let Some(config) = self.image.as_ref().map(pentimento_images::Image::config) {
            let bytes = |text: &String| text.clone().into_bytes();
            return Surroundings {
                environment: config
                    .environment
                    .iter()
                    .map(|(key, value)| (bytes(key), bytes(value)))
                    .collect(),
                directory: config.working_directory.as_ref().map(bytes),
                command: config.command.iter().map(bytes).collect(),
            };
        }
        Surroundings::default()
    }
}

fn set(environment: &mut Vec<Variable>, key: &[u8], value: &[u8]) {
    match environment.iter_mut().find(|(known, _)| known == key) {
        Some((_, old)) => *old = value.to_vec(),
        None => environment.push((key.to_vec(), value.to_vec())),
    }
}

/// The home directory of a user: what the guest's `/etc/passwd` says, else `/root` or `/`.
fn home(kernel: &mut Kernel, user: u32) -> Vec<u8> {
    let accounts = kernel.read_file(b"/etc/passwd", PASSWD_MAX).unwrap_or_default();
    let of_user = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b':');
        let number = fields.nth(2)?;
        (number == user.to_string().as_bytes()).then(|| fields.nth(2).map(<[u8]>::to_vec))?
    };
    let found = accounts.split(|byte| *byte == b'\n').find_map(of_user).filter(|home| !home.is_empty());
    found.unwrap_or_else(|| if user == 0 { b"/root".to_vec() } else { b"/".to_vec() })
}

/// What the guest finds: files, environment, working directory.
///
/// A machine begins with an empty root in memory, a minimal `/dev`, `/proc`, and an empty `/tmp` in
/// memory, which gives way to the `/tmp` of a root that has one.
impl MachineBuilder {
    /// Gives the guest its `/`: all of it, except that `/dev` and `/proc` are the machine's own. No
    /// program of the guest can change a folder that is mounted as [`Mount::CopyOnWrite`].
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use pentimento::linux::{LocalFolder, Mount};
    /// use pentimento::{Capture, Halt, Machine};
    ///
    /// let debian = LocalFolder::open("debian-root")?;
    /// let output = Capture::new();
    /// let mut machine =
    ///     Machine::builder().root(Mount::CopyOnWrite(Arc::new(debian))).stdout(output.clone()).build()?;
    /// machine.start(&["ls", "-l", "/"])?;
    /// assert_eq!(machine.run(u64::MAX), Halt::Exited(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn root(self, mount: Mount) -> Self {
        self.mount("/", mount)
    }

    /// Gives the guest an image or tar file as its `/`, copied on write. What the image says of
    /// environment, working directory, user and program holds where the host says nothing.
    ///
    /// ```no_run
    /// use pentimento::{Halt, Image, ImageLimits, Machine};
    ///
    /// let image = Image::open("debian.tar.gz", ImageLimits::default())?;
    /// let mut machine = Machine::builder().image(image).build()?;
    /// machine.start(&["ls", "-l", "/"])?;
    /// assert_eq!(machine.run(u64::MAX), Halt::Exited(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "images")]
    #[must_use]
    pub fn image(mut self, image: pentimento_images::Image) -> Self {
        let folder = image.folder();
        self.provisions.image = Some(image);
        self.root(Mount::CopyOnWrite(folder))
    }

    /// Mounts something at an absolute path, which is made if it is missing. Later mounts hide
    /// earlier ones, but a root never does.
    #[must_use]
    pub fn mount(mut self, path: impl Into<Vec<u8>>, mount: Mount) -> Self {
        self.provisions.items.push(Item::Mount(path.into(), mount));
        self
    }

    /// Mounts an empty file system in memory at an absolute path.
    #[must_use]
    pub fn tmpfs(self, path: impl Into<Vec<u8>>) -> Self {
        self.mount(path, Mount::Memory)
    }

    /// Puts a file at an absolute path, which everybody may read and its owner write (mode 644);
    /// directories above it are made.
    #[must_use]
    pub fn file(self, path: impl Into<Vec<u8>>, content: impl Into<Vec<u8>>) -> Self {
        self.file_with_mode(path, content, 0o644)
    }

    /// Puts a program at an absolute path, as [`file`](Self::file) does, which everybody may execute
    /// (mode 755).
    #[must_use]
    pub fn program(self, path: impl Into<Vec<u8>>, content: impl Into<Vec<u8>>) -> Self {
        self.file_with_mode(path, content, 0o755)
    }

    /// As [`file`](Self::file), with these permission bits.
    #[must_use]
    pub fn file_with_mode(
        mut self,
        path: impl Into<Vec<u8>>,
        content: impl Into<Vec<u8>>,
        mode: u32,
    ) -> Self {
        let (path, content) = (path.into(), content.into());
        self.provisions.items.push(Item::File { path, content, mode });
        self
    }

    /// Sets a variable of the environment that [`Machine::start`](crate::Machine::start) gives.
    /// Without further words it holds `PATH`, `HOME` (as the guest's `/etc/passwd` says), `LANG`
    /// (`C.UTF-8`) and, where standard output is a terminal, `TERM` (`xterm`).
    #[must_use]
    pub fn environment(mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.provisions.environment.push((key.into(), value.into()));
        self
    }

    /// Leaves all variables out that [`environment`](Self::environment) has not set.
    #[must_use]
    pub fn clear_environment(mut self) -> Self {
        self.provisions.bare = true;
        self
    }

    /// The working directory that [`Machine::start`](crate::Machine::start) gives; `/` without one.
    #[must_use]
    pub fn working_directory(mut self, path: impl Into<Vec<u8>>) -> Self {
        self.provisions.directory = Some(path.into());
        self
    }
}
