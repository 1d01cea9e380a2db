//! Host folders for guests, beside a canary that none may see or touch.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pentimento_linux::LocalFolder;

/// A folder that holds a canary, a folder that guests may only read, and one that they may write.
/// All of it goes when this does.
#[derive(Debug)]
pub struct Cage {
    top: PathBuf,
    secret: Vec<u8>,
    read_only: Arc<LocalFolder>,
    writable: Arc<LocalFolder>,
    before: Vec<Listed>,
}

/// What there is to know of a file without changing it: its path, type and rights; its size, links,
/// and times of the last write and change; its content or target.
type Listed = (PathBuf, String, [i64; 6], Vec<u8>);

impl Cage {
    /// Makes the folders below `parent`.
    ///
    /// # Errors
    /// The host's, if it does not let files be made there.
    pub fn new(parent: &Path) -> io::Result<Self> {
        static CAGES: AtomicU32 = AtomicU32::new(0);
        let number = CAGES.fetch_add(1, Ordering::Relaxed);
        let top = parent.join(format!("pentimento-cage-{}-{number}", std::process::id()));
        let secret = b"a canary sings where no guest can hear it".to_vec();
        for folder in ["ro/dir", "rw/dir", "beside"] {
            fs::create_dir_all(top.join(folder))?;
        }
        for file in ["canary", "beside/canary"] {
            fs::write(top.join(file), &secret)?;
        }
        for folder in ["ro", "rw"] {
            let folder = top.join(folder);
            fs::write(folder.join("a"), "inside\n")?;
            fs::write(folder.join("dir/b"), "inside\n")?;
            for (name, target) in [
                ("absolute", top.join("canary")),
                ("relative", "../canary".into()),
                ("folder", top.clone()),
                ("up", "..".into()),
                ("magic", "/proc/self/root".into()),
                ("chain", "up".into()),
                ("dir/deep", "../../beside/canary".into()),
            ] {
                std::os::unix::fs::symlink(target, folder.join(name))?;
            }
        }
        let read_only = Arc::new(LocalFolder::open(top.join("ro"))?);
        let writable = Arc::new(LocalFolder::open(top.join("rw"))?);
        let mut cage = Self { top, secret, read_only, writable, before: Vec::new() };
        cage.before = cage.census()?;
        Ok(cage)
    }

    /// What the canaries hold.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// The path of the canary on the host.
    #[must_use]
    pub fn canary(&self) -> PathBuf {
        self.top.join("canary")
    }

    /// The folder that must stay as it is.
    #[must_use]
    pub fn read_only(&self) -> Arc<LocalFolder> {
        Arc::clone(&self.read_only)
    }

    /// The folder that guests may change.
    #[must_use]
    pub fn writable(&self) -> Arc<LocalFolder> {
        Arc::clone(&self.writable)
    }

    /// Everything in the cage but what guests may change.
    fn census(&self) -> io::Result<Vec<Listed>> {
        let mut entries = Vec::new();
        let mut folders = vec![self.top.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                let metadata = fs::symlink_metadata(&path)?;
                let content = match metadata.file_type() {
                    kind if kind.is_file() => fs::read(&path)?,
                    kind if kind.is_symlink() => fs::read_link(&path)?.into_os_string().into_encoded_bytes(),
                    _ => Vec::new(),
                };
                if path != self.top.join("rw") {
                    if metadata.is_dir() {
                        folders.push(path.clone());
                    }
                    let kind = format!("{:?}", (metadata.file_type(), metadata.permissions()));
                    let (modified, changed) = (metadata.mtime(), metadata.ctime());
                    let nanoseconds = (metadata.mtime_nsec(), metadata.ctime_nsec());
                    let numbers = [
                        metadata.len() as i64,
                        metadata.nlink() as i64,
                        modified,
                        nanoseconds.0,
                        changed,
                        nanoseconds.1,
                    ];
                    entries.push((path, kind, numbers, content));
                }
            }
        }
        entries.sort();
        Ok(entries)
    }

    /// What is no longer as it was when the cage was made; empty is good.
    ///
    /// # Errors
    /// The host's, if something cannot be read any more.
    pub fn changes(&self) -> io::Result<Vec<String>> {
        let now = self.census()?;
        let gone = self.before.iter().filter(|entry| !now.contains(entry));
        let new = now.iter().filter(|entry| !self.before.contains(entry));
        Ok(gone
            .map(|entry| format!("was: {:?}", entry.0))
            .chain(new.map(|entry| format!("is: {:?}", entry.0)))
            .collect())
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        // A guest may have taken rights away from its own folders; what is left is in a temporary place.
        let _ = fs::remove_dir_all(&self.top);
    }
}
