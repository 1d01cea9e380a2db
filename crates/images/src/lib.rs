//! Tar files and container images as root folders of a guest.
//!
//! [`Image::open`] takes
//! - a tar file of a root, as `docker export` and distributions make it: plain, or compressed with
//!   gzip, xz or zstd,
//! - an OCI image layout: a folder, or a tar file of one (`podman save --format oci-archive`),
//! - what `docker save` and `podman save` write, in either of Docker's forms.
//!
//! Nothing is unpacked on the host: what is compressed is decompressed into memory within
//! [`ImageLimits`], everything else is indexed and read where it is. The layers of an image are put
//! over each other with their whiteouts, and the digests of its parts are checked.
//!
//! ```no_run
//! use pentimento_images::{Image, ImageLimits};
//! use pentimento_linux::{Config, Kernel, Mount};
//!
//! let image = Image::open("debian.tar", ImageLimits::default())?;
//! let mut kernel = Kernel::new(Config::default());
//! kernel.mount(b"/", Mount::CopyOnWrite(image.folder()))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod archive;
mod compression;
mod error;
mod image;
mod manifest;
mod source;
mod tree;

pub use error::ImageError;
pub use image::Image;
pub use manifest::ImageConfig;
pub use source::ImageLimits;
