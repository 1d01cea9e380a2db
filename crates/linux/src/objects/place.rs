//! O_PATH: only the place of a file in the tree.

use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::files::Files;
use super::object::Object;
use crate::arena::Id;
use crate::vfs::Vnode;

/// A file that is not open: its description has no operations, and says so by its O_PATH flag.
#[derive(Clone, Copy, Debug)]
struct OnlyPlace;

impl Object for OnlyPlace {}

impl Files {
    /// Holds a file by its place (O_PATH).
    pub(crate) fn open_place(&mut self, file: Vnode, flags: OpenFlags) -> Id<Description> {
        self.add_description(Arc::new(OnlyPlace), file, flags)
    }
}
