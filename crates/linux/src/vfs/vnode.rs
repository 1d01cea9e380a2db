//! The numbers of files: a volume, and a node in it.

/// The number of a node in its volume.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct NodeId(pub(crate) u64);

impl NodeId {
    /// The inode number that the guest sees: the lower half, so that `struct stat` and `struct dirent` of
    /// programs without large-file support hold it. A volume that packs more into its numbers sees to it
    /// that this half alone tells its files apart.
    pub(crate) const fn inode(self) -> u32 {
        self.0 as u32
    }
}

/// The number of a volume: the guest sees it as the minor device number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct VolumeId(pub(crate) u32);

impl VolumeId {
    /// Where pipes, sockets and other files without a name live; the node is the description's number.
    pub(crate) const ANONYMOUS: Self = Self(u32::MAX);
}

/// A file, wherever it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Vnode {
    pub(crate) volume: VolumeId,
    pub(crate) node: NodeId,
}

/// The top directory of every volume.
pub(crate) const ROOT: NodeId = NodeId(1);
