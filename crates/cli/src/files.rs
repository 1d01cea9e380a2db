//! The files that a guest is given, and what becomes of those that it changes.

use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use pentimento::linux::{LocalFolder, Mount};
use pentimento::{Image, ImageError, ImageLimits, Machine, MachineBuilder};

use crate::arguments::{MountAccess, MountOption, mount};
use crate::failure::Failure;
use crate::numbers::count;
use crate::output;

/// Options of `pentimento run` about files.
#[derive(Args, Debug)]
pub(crate) struct FileOptions {
    /// Give the guest this as /, all of it, copied on write: a folder, a tar file (plain, gzip, xz
    /// or zstd), an OCI image (folder or tar file), or what `docker save` or `podman save` wrote.
    #[arg(long, value_name = "DIR|TAR|IMAGE")]
    pub(crate) root: Option<PathBuf>,
    /// Take no tar file or image that decompresses to more than this many bytes (suffixes k, M, G).
    #[arg(long, value_name = "N", default_value = "2G", value_parser = count)]
    pub(crate) image_limit: u64,
    /// Give the guest a host folder; may be repeated.
    #[arg(long, value_name = "HOST:GUEST:ro|rw|cow", value_parser = mount)]
    pub(crate) mount: Vec<MountOption>,
    /// Give the guest an empty file system in memory at PATH; may be repeated.
    #[arg(long, value_name = "PATH", value_parser = absolute)]
    pub(crate) tmpfs: Vec<String>,
    /// Really write the current folder, or with --root that folder, instead of a copy.
    #[arg(long, conflicts_with = "save")]
    pub(crate) rw: bool,
    /// Save what the guest changed in the folders that are copied on write, as a tar file whose
    /// names are the guest's and in which NAME that is gone is called .wh.NAME.
    #[arg(long, value_name = "FILE.tar")]
    pub(crate) save: Option<PathBuf>,
}

/// What is left to do when a guest has ended.
pub(crate) struct Keeping {
    /// The current folder, if it is copied on write.
    copied: Option<PathBuf>,
    /// Where the changes go, opened early: a run may be long.
    save: Option<(PathBuf, File)>,
}

impl FileOptions {
    /// Tells the builder, and opens what will be written at the end.
    ///
    /// # Errors
    /// A folder or file cannot be opened.
    pub(crate) fn apply(
        &self,
        mut builder: MachineBuilder,
        current: &Path,
    ) -> Result<(MachineBuilder, Keeping), Failure> {
        let access = if self.rw { MountAccess::ReadWrite } else { MountAccess::CopyOnWrite };
        builder = match &self.root {
            Some(root) if is_image(root) => self.image(builder, root)?,
            Some(root) => builder.root(host_folder(root, access)?),
            None => builder.mount(current.as_os_str().as_bytes(), host_folder(current, access)?),
        };
        for option in &self.mount {
            builder = builder.mount(option.guest.as_str(), host_folder(&option.host, option.access)?);
        }
        for path in &self.tmpfs {
            builder = builder.tmpfs(path.as_str());
        }
        let save = self.save.as_ref().map(|path| {
            // Not truncated yet: the guest may read an older one.
            let file = File::options().write(true).create(true).truncate(false).open(path);
            file.map(|file| (path.clone(), file)).map_err(|error| cannot_save(path, &error))
        });
        let copied = (self.root.is_none() && !self.rw).then(|| current.to_owned());
        Ok((builder, Keeping { copied, save: save.transpose()? }))
    }

    fn image(&self, builder: MachineBuilder, path: &Path) -> Result<MachineBuilder, Failure> {
        let refuse = |reason: &str| Failure::new(format!("--root {}: {reason}", path.display()));
        if self.rw {
            return Err(refuse("--rw can write folders only; --save FILE.tar keeps the changes"));
        }
        let limits = ImageLimits { memory: self.image_limit, ..ImageLimits::default() };
        Image::open(path, limits).map(|image| builder.image(image)).map_err(|error| match error {
            ImageError::TooLarge { .. } => refuse(&format!("{error}, with --image-limit")),
            error => refuse(&error.to_string()),
        })
    }
}

impl Keeping {
    /// Saves what the guest changed, or says that it is gone.
    ///
    /// # Errors
    /// It cannot be saved.
    pub(crate) fn finish(self, machine: &mut Machine) -> Result<(), Failure> {
        if let Some((path, mut file)) = self.save {
            let archive =
                machine.kernel().save_overlays().map_err(|error| Failure::new(format!("--save: {error}")))?;
            let written = file.set_len(0).and_then(|()| file.write_all(&archive));
            return written.map_err(|error| cannot_save(&path, &error));
        }
        let Some(folder) = self.copied else { return Ok(()) };
        // Where something else was mounted over the folder, nothing was copied.
        let count = machine.kernel().count_changes(folder.as_os_str().as_bytes()).unwrap_or(0);
        if count > 0 {
            let files = if count == 1 { "1 file that is".into() } else { format!("{count} files that are") };
            output::say(format_args!(
                "pentimento: the guest changed {files} gone now: {} was copied on write; \
                 --rw changes the folder itself, --save FILE.tar keeps the changes",
                folder.display()
            ));
        }
        Ok(())
    }
}

/// Whether a root is to be read as an archive or image, and not as a folder of the guest's files.
fn is_image(root: &Path) -> bool {
    root.is_file() || LocalFolder::open(root).is_ok_and(|folder| Image::is_layout(&folder))
}

fn cannot_save(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("--save: cannot write {}: {error}", path.display()))
}

fn absolute(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("the guest's path must be absolute".into()) }
}

fn host_folder(host: &Path, access: MountAccess) -> Result<Mount, Failure> {
    let folder = LocalFolder::open(host)
        .map_err(|error| Failure::new(format!("cannot open the folder {}: {error}", host.display())))?;
    let folder = Arc::new(folder);
    Ok(match access {
        MountAccess::ReadOnly => Mount::ReadOnly(folder),
        MountAccess::ReadWrite => Mount::ReadWrite(folder),
        MountAccess::CopyOnWrite => Mount::CopyOnWrite(folder),
    })
}
