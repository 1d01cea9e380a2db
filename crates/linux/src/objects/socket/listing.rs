//! Which sockets are open, for `/proc/net`.

use super::state::Socket;
use super::transfer::SocketFile;
use crate::objects::files::Files;

/// An open socket.
pub(crate) struct OpenSocket<'a> {
    /// The inode number that fstat(2) tells of it.
    pub(crate) inode: u32,
    pub(crate) socket: &'a Socket,
}

impl Files {
    /// All sockets that are open somewhere, in the order of their descriptions.
    pub(crate) fn open_sockets(&self) -> Vec<OpenSocket<'_>> {
        let sockets = self.descriptions.iter().filter_map(|(_, description)| {
            let file: &SocketFile = description.object.as_kind()?;
            Some(OpenSocket { inode: description.vnode.node.inode(), socket: &self.states[file.0] })
        });
        sockets.collect()
    }
}
