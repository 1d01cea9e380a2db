//! Container images: the OCI image layout (a folder, or a tar file of one) and what `docker save`
//! has written since before there was such a layout.
//!
//! An OCI index names manifests, one for each platform; a manifest names a configuration and layers
//! by the digests of their files. Docker's `manifest.json` names a configuration and layers by path;
//! the configuration has the digests of the layers, decompressed.

use std::collections::BTreeSet;
use std::sync::Arc;

use pentimento_linux::{Errno, HostAccess, HostFile, HostFolder};
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};

use crate::archive::Entries;
use crate::compression::decompressed;
use crate::error::ImageError;
use crate::source::{Budget, read_fully};
use crate::tree::Tree;

/// Bytes of an index, manifest or configuration.
const JSON_MAX: u64 = 4 << 20;

/// Layers of an image.
const LAYERS_MAX: usize = 1024;

/// Indexes in one another.
const INDEX_DEPTH: usize = 4;

/// Manifests and indexes that are looked at.
const MANIFESTS_MAX: usize = 256;

/// The architecture that the machine runs.
const ARCHITECTURE: &str = "386";

/// What an image says of how it is to be run; empty for a tar file of a root.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageConfig {
    /// The processor that its programs are for, in Go's words: `386` for ours.
    pub architecture: Option<String>,
    /// Variables and their values.
    pub environment: Vec<(String, String)>,
    /// The program and its arguments: `Entrypoint` and `Cmd`, one after the other.
    pub command: Vec<String>,
    /// Where programs start.
    pub working_directory: Option<String>,
    /// `USER[:GROUP]`, each a name or a number.
    pub user: Option<String>,
}

/// The folder that holds an image's files.
pub(crate) struct Layout<'a> {
    folder: &'a dyn HostFolder,
}

/// A manifest that an index names.
struct Candidate {
    digest: String,
    /// The processor that the index gives for it.
    architecture: Option<String>,
    /// The image's name, for messages.
    name: String,
}

fn unusable<T>(reason: impl Into<String>) -> Result<T, ImageError> {
    Err(ImageError::Manifest(reason.into()))
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn strings(value: &Value, key: &str) -> Vec<String> {
    list(value, key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl<'a> Layout<'a> {
    /// The image in `folder`, if there is one.
    pub(crate) fn find(folder: &'a dyn HostFolder) -> Option<Self> {
        let layout = Self { folder };
        (layout.is_oci() || layout.is_docker()).then_some(layout)
    }

    fn is_oci(&self) -> bool {
        ["oci-layout", "index.json"].iter().all(|name| self.folder.metadata(name.as_bytes()).is_ok())
    }

    /// Whether there is a `manifest.json` that is Docker's: a root may hold another one.
    fn is_docker(&self) -> bool {
        let is_image = |image: &Value| text(image, "Config").is_some() && image.get("Layers").is_some();
        self.json("manifest.json", None).is_ok_and(|manifest| {
            manifest.as_array().is_some_and(|images| !images.is_empty() && images.iter().all(is_image))
        })
    }

    /// Puts the image together.
    ///
    /// # Errors
    /// There is none for this machine, several, or one that is damaged.
    pub(crate) fn image(&self, budget: &mut Budget) -> Result<(Tree, ImageConfig), ImageError> {
        if self.is_oci() { self.oci_image(budget) } else { self.docker_image(budget) }
    }

    /// Opens a file of the image; links within it are followed, as old layers of Docker's are links.
    fn open(&self, path: &str) -> Result<Arc<dyn HostFile>, ImageError> {
        let mut at: Vec<Vec<u8>> = path.split('/').map(|name| name.as_bytes().to_vec()).collect();
        for _ in 0..8 {
            let joined = at.join(&b'/');
            match self.folder.read_link(&joined) {
                Ok(target) if !target.starts_with(b"/") => {
                    at.pop();
                    for name in target.split(|byte| *byte == b'/') {
                        match name {
                            b"" | b"." => {}
                            b".." => drop(at.pop()),
                            name => at.push(name.to_vec()),
                        }
                    }
                }
                _ => {
                    let file = self.folder.open(&joined, HostAccess::Read);
                    return file.map_err(|errno| ImageError::read(path, errno));
                }
            }
        }
        Err(ImageError::read(path, Errno::ELOOP))
    }

    fn json(&self, path: &str, digest: Option<&str>) -> Result<Value, ImageError> {
        let file = self.open(path)?;
        let size = file.metadata().map_err(|errno| ImageError::read(path, errno))?.size;
        if size > JSON_MAX {
            return unusable(format!("{path} has more than {JSON_MAX} bytes"));
        }
        if let Some(digest) = digest {
            check_digest(&*file, path, digest)?;
        }
        let mut bytes = vec![0; size as usize];
        let read = read_fully(&*file, 0, &mut bytes).map_err(|errno| ImageError::read(path, errno))?;
        serde_json::from_slice(&bytes[..read]).or_else(|error| unusable(format!("{path}: {error}")))
    }

    /// A file that is named by its digest.
    fn blob(&self, digest: &str) -> Result<(String, Arc<dyn HostFile>), ImageError> {
        let path = blob_path(digest)?;
        let file = self.open(&path)?;
        check_digest(&*file, &path, digest)?;
        Ok((path, file))
    }

    /// Lists the manifests that an index names, those of the indexes in it included; looks at `left`
    /// at most.
    fn candidates(
        &self,
        index: &Value,
        depth: usize,
        left: &mut usize,
        found: &mut Vec<Candidate>,
    ) -> Result<(), ImageError> {
        for descriptor in list(index, "manifests") {
            let Some(digest) = text(descriptor, "digest") else {
                return unusable("a manifest without a digest");
            };
            if *left == 0 || depth > INDEX_DEPTH {
                return unusable("too many manifests");
            }
            *left -= 1;
            // An image may have been saved without the files of other platforms.
            let path = blob_path(digest)?;
            if self.folder.metadata(path.as_bytes()).is_err() {
                continue;
            }
            let kind = text(descriptor, "mediaType").unwrap_or_default();
            if kind.ends_with("index.v1+json") || kind.ends_with("manifest.list.v2+json") {
                self.candidates(&self.json(&path, Some(digest))?, depth + 1, left, found)?;
                continue;
            }
            let platform = descriptor.get("platform").unwrap_or(&Value::Null);
            if text(platform, "os").is_some_and(|os| os != "linux") {
                continue;
            }
            let annotations = descriptor.get("annotations").unwrap_or(&Value::Null);
            let name = text(annotations, "io.containerd.image.name")
                .or_else(|| text(annotations, "org.opencontainers.image.ref.name"));
            found.push(Candidate {
                digest: digest.to_owned(),
                architecture: text(platform, "architecture").map(str::to_owned),
                name: name.unwrap_or(digest).to_owned(),
            });
        }
        Ok(())
    }

    fn oci_image(&self, budget: &mut Budget) -> Result<(Tree, ImageConfig), ImageError> {
        let (mut found, mut left) = (Vec::new(), MANIFESTS_MAX);
        self.candidates(&self.json("index.json", None)?, 0, &mut left, &mut found)?;
        let matches = |wanted: &dyn Fn(&Candidate) -> bool| found.iter().any(wanted);
        let ours = |candidate: &Candidate| candidate.architecture.as_deref() == Some(ARCHITECTURE);
        let unsaid = |candidate: &Candidate| candidate.architecture.is_none();
        if matches(&ours) {
            found.retain(ours);
        } else if matches(&unsaid) {
            found.retain(unsaid);
        }
        let digests: BTreeSet<&str> = found.iter().map(|candidate| candidate.digest.as_str()).collect();
        let Some(chosen) = found.first() else {
            return unusable("it holds no image for Linux; a 32-bit one is `--platform linux/386`");
        };
        if digests.len() > 1 {
            return unusable(format!(
                "it holds {}; save only one",
                names(found.iter().map(|one| &*one.name))
            ));
        }
        let manifest = self.json(&blob_path(&chosen.digest)?, Some(&chosen.digest))?;
        let Some(digest) = manifest.get("config").and_then(|config| text(config, "digest")) else {
            return unusable("its manifest names no configuration");
        };
        let config = self.json(&blob_path(digest)?, Some(digest))?;
        let layers = list(&manifest, "layers");
        if layers.len() > LAYERS_MAX {
            return unusable("too many layers");
        }
        let mut tree = Tree::new();
        for layer in layers {
            let Some(digest) = text(layer, "digest") else { return unusable("a layer without a digest") };
            let (path, file) = self.blob(digest)?;
            add_layer(&mut tree, &path, file, None, budget)?;
        }
        Ok((tree, read_config(&config)))
    }

    /// The one image that Docker's `manifest.json` names.
    fn docker_manifest(&self) -> Result<Value, ImageError> {
        let manifest = self.json("manifest.json", None)?;
        match manifest.as_array().map_or(&[][..], Vec::as_slice) {
            [image] => Ok(image.clone()),
            images => {
                let tags = images.iter().flat_map(|image| list(image, "RepoTags")).filter_map(Value::as_str);
                unusable(format!("it holds {}; save only one", names(tags)))
            }
        }
    }

    fn docker_image(&self, budget: &mut Budget) -> Result<(Tree, ImageConfig), ImageError> {
        let manifest = self.docker_manifest()?;
        let config = self.json(text(&manifest, "Config").unwrap_or_default(), None)?;
        let layers = strings(&manifest, "Layers");
        let digests = config.get("rootfs").map(|rootfs| strings(rootfs, "diff_ids")).unwrap_or_default();
        if layers.len() > LAYERS_MAX {
            return unusable("too many layers");
        }
        let mut tree = Tree::new();
        for (index, path) in layers.iter().enumerate() {
            let digest = digests.get(index).map(String::as_str);
            add_layer(&mut tree, path, self.open(path)?, digest, budget)?;
        }
        Ok((tree, read_config(&config)))
    }
}

/// Adds a layer, whose bytes have the `digest` once they are decompressed.
fn add_layer(
    tree: &mut Tree,
    path: &str,
    file: Arc<dyn HostFile>,
    digest: Option<&str>,
    budget: &mut Budget,
) -> Result<(), ImageError> {
    let file = decompressed(file, budget)?;
    if let Some(digest) = digest {
        check_digest(&*file, path, digest)?;
    }
    tree.add(Entries::new(file, false)?, true, budget)
}

fn names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.take(5).collect();
    format!("several images ({})", names.join(", ").escape_debug())
}

/// Where a file with this digest is: `blobs/ALGORITHM/HEX`.
fn blob_path(digest: &str) -> Result<String, ImageError> {
    match digest.split_once(':') {
        Some((algorithm @ ("sha256" | "sha512"), hex)) if is_hex(hex) => {
            Ok(format!("blobs/{algorithm}/{hex}"))
        }
        _ => unusable(format!("'{}' is no sha256 or sha512 digest", digest.escape_debug())),
    }
}

fn is_hex(text: &str) -> bool {
    matches!(text.len(), 64 | 128) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Compares a file's content with its digest.
fn check_digest(file: &dyn HostFile, name: &str, expected: &str) -> Result<(), ImageError> {
    fn hash<D: Digest>(file: &dyn HostFile) -> Result<String, Errno> {
        let (mut hash, mut offset, mut buffer) = (D::new(), 0, vec![0; 1 << 16]);
        loop {
            match read_fully(file, offset, &mut buffer)? {
                0 => break,
                read => {
                    hash.update(&buffer[..read]);
                    offset += read as u64;
                }
            }
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
    let found = match expected.split_once(':') {
        Some(("sha256", _)) => hash::<Sha256>(file).map(|hex| format!("sha256:{hex}")),
        Some(("sha512", _)) => hash::<Sha512>(file).map(|hex| format!("sha512:{hex}")),
        _ => return unusable(format!("'{}' is no sha256 or sha512 digest", expected.escape_debug())),
    };
    if found.map_err(|errno| ImageError::read(name, errno))?.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(ImageError::Digest { name: name.to_owned(), expected: expected.to_owned() })
}

/// What of an image's configuration a machine can follow.
fn read_config(config: &Value) -> ImageConfig {
    let own = config.get("config").unwrap_or(&Value::Null);
    let variable = |text: String| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ImageConfig {
        architecture: text(config, "architecture").and_then(filled),
        environment: strings(own, "Env").into_iter().filter_map(variable).collect(),
        command: [strings(own, "Entrypoint"), strings(own, "Cmd")].concat(),
        working_directory: text(own, "WorkingDir").and_then(filled),
        user: text(own, "User").and_then(filled),
    }
}
