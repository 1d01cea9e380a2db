//! Debian's i386 packages, fetched and unpacked without root.
//!
//! apt runs on a state folder of its own that knows only the i386 architecture and no installed
//! package, so neither the host's package database nor its architecture matters.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::process::{command, output, run, top};

/// A private package archive below `guests/`, which git ignores.
pub(crate) struct Archive {
    state: PathBuf,
}

impl Archive {
    /// Opens the archive, fetching the package lists if there are none yet.
    ///
    /// # Errors
    /// Says what the host lacks, for a skip aloud.
    pub(crate) fn open() -> Result<Self, Failure> {
        for program in ["apt-get", "dpkg-deb"] {
            output(command(program).arg("--version")).map_err(|_| format!("the host has no {program}"))?;
        }
        let state = top().join("guests/apt");
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            let folder = state.join(folder);
            std::fs::create_dir_all(&folder)
                .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        }
        let archive = Self { state };
        let lists = archive.state.join("state/fetched");
        if !lists.exists() {
            std::fs::write(archive.state.join("status"), "").map_err(|error| error.to_string())?;
            // Some mirrors carry stale side suites: what matters is whether packages can be had.
            let _ = output(archive.apt().arg("update"));
            output(archive.apt().args(["install", "--print-uris", "-y", "busybox-static"]))
                .map_err(|failure| format!("no Debian i386 package lists can be had: {failure}"))?;
            std::fs::write(lists, "").map_err(|error| error.to_string())?;
        }
        Ok(archive)
    }

    fn apt(&self) -> Command {
        let folder = |name: &str| self.state.join(name).display().to_string();
        let mut apt = command("apt-get");
        apt.args(["-o", "APT::Architecture=i386", "-o", "APT::Architectures::=i386"])
            .args(["-o", &format!("Dir::State={}", folder("state"))])
            .args(["-o", &format!("Dir::State::status={}", folder("status"))])
            .args(["-o", &format!("Dir::Cache={}", folder("cache"))])
            .args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none"])
            .args(["-o", "APT::Install-Recommends=false", "-qq"]);
        apt
    }

    /// Unpacks `packages` and all that they depend on into `folder`, as a Debian system would have them.
    pub(crate) fn unpack_closure(&self, packages: &[&str], folder: &Path) -> Result<(), Failure> {
        let archives = self.state.join("cache/archives");
        // What lies in the folder of archives already is not listed: an empty one has nothing.
        let empty = self.state.join("nothing");
        std::fs::create_dir_all(empty.join("partial")).map_err(|error| error.to_string())?;
        let nowhere = format!("Dir::Cache::archives={}", empty.display());
        let listing =
            output(self.apt().args(["-o", &nowhere, "install", "--print-uris", "-y"]).args(packages))?;
        output(self.apt().args(["install", "--download-only", "-y"]).args(packages))?;
        // A merged /usr, as every Debian since bookworm has it.
        for name in ["bin", "sbin", "lib"] {
            let real = folder.join("usr").join(name);
            std::fs::create_dir_all(&real).map_err(|error| error.to_string())?;
            let link = folder.join(name);
            if !link.is_symlink() {
                std::os::unix::fs::symlink(format!("usr/{name}"), &link)
                    .map_err(|error| error.to_string())?;
            }
        }
        for file in listing.lines().filter_map(|line| line.split_whitespace().nth(1)) {
            unpack(&archives.join(file), folder)?;
        }
        Ok(())
    }

    /// Downloads one package and unpacks it alone into `folder`; returns its version.
    pub(crate) fn unpack_one(&self, package: &str, folder: &Path) -> Result<(), Failure> {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let listing = output(self.apt().args(["download", "--print-uris", package]))?;
        let Some(file) = listing.split_whitespace().nth(1) else {
            return Err(format!("apt-get knows no download for {package}"));
        };
        run(self.apt().arg("download").arg(package).current_dir(folder))?;
        let file = folder.join(file);
        unpack(&file, folder)?;
        std::fs::remove_file(&file).map_err(|error| format!("cannot remove {}: {error}", file.display()))
    }
}

/// Unpacks through tar, so that a symbolic link to a folder (the merged /usr) is followed, not replaced.
fn unpack(package: &Path, folder: &Path) -> Result<(), Failure> {
    let mut archive = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start dpkg-deb: {error}"))?;
    let Some(stream) = archive.stdout.take() else { return Err("dpkg-deb gave no output".into()) };
    run(Command::new("tar")
        .args(["-x", "--keep-directory-symlink", "--no-same-owner", "-C"])
        .arg(folder)
        .stdin(stream))?;
    let status = archive.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("cannot unpack {}", package.display())) }
}
