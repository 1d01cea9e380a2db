//! An archive or image of any of the forms, as one root.

use std::sync::Arc;

use pentimento_linux::{HostAccess, HostFile, HostFolder};

use crate::archive::Entries;
use crate::compression::decompressed;
use crate::error::ImageError;
use crate::manifest::{ImageConfig, Layout};
use crate::source::{Budget, ImageLimits, read_fully};
use crate::tree::Tree;

/// Bytes of `/etc/passwd` and `/etc/group` that are read.
const ACCOUNTS_MAX: usize = 1 << 20;

/// A root folder that was read from an archive or image.
#[derive(Clone, Debug)]
pub struct Image {
    tree: Arc<Tree>,
    config: ImageConfig,
}

impl Image {
    /// Reads the file or folder of this host at `path`.
    ///
    /// # Errors
    /// [`ImageError`], one line that says what is wrong and where.
    #[cfg(unix)]
    pub fn open(path: impl AsRef<std::path::Path>, limits: ImageLimits) -> Result<Self, ImageError> {
        use std::os::unix::ffi::OsStrExt;

        use pentimento_linux::LocalFolder;

        let path = path.as_ref();
        let refuse = |error: std::io::Error| ImageError::Read {
            name: path.display().to_string(),
            reason: error.to_string(),
        };
        let real = std::fs::canonicalize(path).map_err(refuse)?;
        if real.is_dir() {
            return Self::from_folder(&LocalFolder::open(&real).map_err(refuse)?, limits);
        }
        let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(ImageError::Format("it is neither a file nor a folder"));
        };
        let folder = LocalFolder::open(folder).map_err(refuse)?;
        let file = folder.open(name.as_bytes(), HostAccess::Read);
        Self::from_file(file.map_err(|errno| ImageError::read(path.display().to_string(), errno))?, limits)
    }

    /// Whether a folder holds an OCI image layout, and not a root.
    #[must_use]
    pub fn is_layout(folder: &dyn HostFolder) -> bool {
        folder.metadata(b"oci-layout").is_ok() && folder.metadata(b"index.json").is_ok()
    }

    /// Reads an OCI image layout in a folder.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn from_folder(folder: &dyn HostFolder, limits: ImageLimits) -> Result<Self, ImageError> {
        match Layout::find(folder) {
            Some(layout) => Self::of_layout(&layout, &mut Budget::new(limits)),
            None => Err(ImageError::Format("the folder has no oci-layout and index.json")),
        }
    }

    /// Reads a tar file of a root or of an image.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn from_file(file: Arc<dyn HostFile>, limits: ImageLimits) -> Result<Self, ImageError> {
        let mut budget = Budget::new(limits);
        let file = source_of(file, &mut budget)?;
        let mut tree = Tree::new();
        tree.add(Entries::new(file, true)?, false, &mut budget)?;
        if let Some(layout) = Layout::find(&tree) {
            return Self::of_layout(&layout, &mut budget);
        }
        Ok(Self { tree: Arc::new(tree), config: ImageConfig::default() })
    }

    fn of_layout(layout: &Layout<'_>, budget: &mut Budget) -> Result<Self, ImageError> {
        let (tree, config) = layout.image(budget)?;
        Ok(Self { tree: Arc::new(tree), config })
    }

    /// Its files, to be mounted.
    #[must_use]
    pub fn folder(&self) -> Arc<dyn HostFolder> {
        self.tree.clone()
    }

    /// How it is to be run.
    #[must_use]
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// The user and group that [`ImageConfig::user`] means, names looked up in the image's
    /// `/etc/passwd` and `/etc/group`; `None` where it says nothing.
    ///
    /// # Errors
    /// [`ImageError::Manifest`] where the image has no such user or group.
    pub fn user(&self) -> Result<Option<(u32, u32)>, ImageError> {
        let Some(text) = &self.config.user else { return Ok(None) };
        let (user, group) =
            text.split_once(':').map_or((text.as_str(), None), |(user, group)| (user, Some(group)));
        let unknown =
            |what: &str| ImageError::Manifest(format!("it has no {what} '{}'", text.escape_debug()));
        let account = self.account(b"etc/passwd", user);
        let uid = user.parse().ok().or_else(|| account.as_ref()?.get(2)?.parse().ok());
        let gid = match group {
            Some(group) => {
                let found = self.account(b"etc/group", group);
                group.parse().ok().or_else(|| found?.get(2)?.parse().ok()).ok_or_else(|| unknown("group"))?
            }
            None => account.as_ref().and_then(|fields| fields.get(3)?.parse().ok()).unwrap_or(0),
        };
        Ok(Some((uid.ok_or_else(|| unknown("user"))?, gid)))
    }

    /// The fields of the line of `/etc/passwd` or `/etc/group` with this name or number.
    fn account(&self, path: &[u8], wanted: &str) -> Option<Vec<String>> {
        let file = self.tree.open(path, HostAccess::Read).ok()?;
        let mut bytes = vec![0; (file.metadata().ok()?.size as usize).min(ACCOUNTS_MAX)];
        let read = read_fully(&*file, 0, &mut bytes).ok()?;
        let lines = String::from_utf8_lossy(&bytes[..read]).into_owned();
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let is_wanted = |fields: &Vec<String>| {
            fields.first().is_some_and(|name| name == wanted) || fields.get(2).is_some_and(|id| id == wanted)
        };
        lines.lines().map(fields).find(is_wanted)
    }
}

/// The tar file that a file is, or is after decompression.
fn source_of(file: Arc<dyn HostFile>, budget: &mut Budget) -> Result<Arc<dyn HostFile>, ImageError> {
    let file = decompressed(file, budget)?;
    if Entries::is_tar(&*file) {
        return Ok(file);
    }
    Err(ImageError::Format("its first block is no tar header"))
}
