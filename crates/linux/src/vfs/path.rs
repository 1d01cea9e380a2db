//! Path resolution in the guest's view (path_resolution(7)): one component after the other, with
//! symbolic links resolved against the caller's own root, which `..` never leaves.

use super::attributes::{Attributes, FileType, MAY_EXECUTE};
use super::system::Vfs;
use super::view::{Caller, Restrictions};
use super::vnode::Vnode;
use super::volume::{LinkTarget, NAME_MAX, Name};
use crate::errno::Errno;

/// Symbolic links that one resolution follows at most.
const MAX_LINKS: u32 = 40;

impl Restrictions {
    /// Whether a step from `from` to `to` is one to another mount that is forbidden.
    fn check_mount(self, from: Vnode, to: Option<Vnode>) -> Result<(), Errno> {
        match to {
            Some(to) if self.contains(Self::NO_XDEV) && to.volume != from.volume => Err(Errno::EXDEV),
            _ => Ok(()),
        }
    }

    /// Whether a link may be followed.
    fn check_link(self, target: &LinkTarget) -> Result<(), Errno> {
        let absolute = match target {
            LinkTarget::Jump(..) if self.contains(Self::NO_MAGICLINKS) => return Err(Errno::ELOOP),
            LinkTarget::Jump(..) => self.intersects(Self::BENEATH | Self::IN_ROOT),
            LinkTarget::Text(text) => self.contains(Self::BENEATH) && text.starts_with(b"/"),
        };
        match (self.contains(Self::NO_SYMLINKS), absolute) {
            (true, _) => Err(Errno::ELOOP),
            (_, true) => Err(Errno::EXDEV),
            _ => Ok(()),
        }
    }
}

/// What to do with a symbolic link in the last place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Last {
    /// Go where it leads.
    Follow,
    /// Stay at the link.
    Stay,
}

/// Where a resolution ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Walked {
    /// The directory of the last component; the file itself where the path ends in `.`, `..` or `/`
    /// alone.
    pub(crate) directory: Vnode,
    /// The last component; empty where the path has no name at its end.
    pub(crate) name: Name,
    /// The file, if it is there.
    pub(crate) found: Option<Vnode>,
    /// The path ended in a slash, so only a directory will do.
    pub(crate) wants_directory: bool,
    /// The last component was `.`.
    pub(crate) ends_in_dot: bool,
}

impl Walked {
    fn at(vnode: Vnode) -> Self {
        Self {
            directory: vnode,
            name: Name::default(),
            found: Some(vnode),
            wants_directory: false,
            ends_in_dot: false,
        }
    }

    /// A name in `directory` that nothing has yet.
    pub(crate) fn missing(directory: Vnode, name: &[u8]) -> Self {
        Self { directory, name: name.into(), found: None, wants_directory: false, ends_in_dot: false }
    }

    /// The file; ENOENT where there is none.
    pub(crate) fn file(&self) -> Result<Vnode, Errno> {
        self.found.ok_or(Errno::ENOENT)
    }
}

/// The components that are still to go, the next one last.
struct Pending(Vec<Name>);

impl Pending {
    /// Puts the components of `path` before those that remain.
    fn push(&mut self, path: &[u8]) {
        let components = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        self.0.extend(components.rev().map(Name::from));
    }
}

impl Vfs {
    /// Resolves `path`, from the root if it is absolute, else from `start`.
    pub(crate) fn walk(
        &mut self,
        caller: &Caller<'_>,
        start: Vnode,
        path: &[u8],
        last: Last,
    ) -> Result<Walked, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let restrictions = caller.restrictions;
        if path[0] == b'/' && restrictions.contains(Restrictions::BENEATH) {
            return Err(Errno::EXDEV);
        }
        let mut current = if path[0] == b'/' { caller.location.root } else { start };
        let mut pending = Pending(Vec::new());
        pending.push(path);
        let mut wants_directory = path.ends_with(b"/");
        let mut links = 0;
        let mut walked = Walked::at(current);
        while let Some(name) = pending.0.pop() {
            self.check_search(caller, current)?;
            walked = match &*name {
                b"." => Walked { ends_in_dot: true, ..Walked::at(current) },
                b".." if current == start && restrictions.contains(Restrictions::BENEATH) => {
                    return Err(Errno::EXDEV);
                }
                b".." => Walked::at(self.parent_of(caller.location.root, current)?),
                _ => {
                    let found = self.lookup(caller, current, &name)?;
                    Walked { directory: current, name, found, wants_directory: false, ends_in_dot: false }
                }
            };
            restrictions.check_mount(current, walked.found)?;
            let is_last = pending.0.is_empty();
            let Some(file) = walked.found else {
                return if is_last { Ok(Walked { wants_directory, ..walked }) } else { Err(Errno::ENOENT) };
            };
            let follows = !is_last || last == Last::Follow || wants_directory;
            if follows && let Some(target) = self.link_at(caller, file)? {
                links += 1;
                restrictions.check_link(&target)?;
                if links > MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                match target {
                    LinkTarget::Jump(vnode, _) => {
                        restrictions.check_mount(current, Some(vnode))?;
                        walked = Walked::at(vnode);
                    }
                    LinkTarget::Text(text) => {
                        if text.is_empty() {
                            return Err(Errno::ENOENT);
                        }
                        wants_directory |= is_last && text.ends_with(b"/");
                        let from = if text[0] == b'/' { caller.location.root } else { current };
                        pending.push(&text);
                        walked = Walked::at(from);
                    }
                }
            }
            current = walked.found.ok_or(Errno::ENOENT)?;
        }
        if wants_directory && !self.attributes(caller, current)?.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        Ok(Walked { wants_directory, ..walked })
    }

    /// Resolves `path` to a file that is there.
    pub(crate) fn find(
        &mut self,
        caller: &Caller<'_>,
        start: Vnode,
        path: &[u8],
        last: Last,
    ) -> Result<Vnode, Errno> {
        self.walk(caller, start, path, last)?.file()
    }

    fn check_search(&mut self, caller: &Caller<'_>, directory: Vnode) -> Result<(), Errno> {
        let attributes = self.attributes(caller, directory)?;
        if !attributes.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        caller.credentials.check(&attributes, MAY_EXECUTE)
    }

    /// The file that `name` names in `directory`, with what is mounted there.
    fn lookup(&mut self, caller: &Caller<'_>, directory: Vnode, name: &[u8]) -> Result<Option<Vnode>, Errno> {
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let volume = &mut self.mounts.get_mut(directory.volume)?.volume;
        match volume.lookup(&caller.view, directory.node, name) {
            Ok(node) => Ok(Some(self.mounts.uncover(Vnode { node, ..directory }))),
            Err(Errno::ENOENT) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Where `file` leads, if it is a symbolic link.
    fn link_at(&mut self, caller: &Caller<'_>, file: Vnode) -> Result<Option<LinkTarget>, Errno> {
        if self.attributes(caller, file)?.file_type != FileType::Symlink {
            return Ok(None);
        }
        self.link_target(caller, file).map(Some)
    }

    /// Where a symbolic link leads; EINVAL for any other file.
    pub(crate) fn link_target(&mut self, caller: &Caller<'_>, file: Vnode) -> Result<LinkTarget, Errno> {
        let mounted = self.mounts.get_mut(file.volume).map_err(|_| Errno::EINVAL)?;
        match mounted.volume.link_target(&caller.view, file.node)? {
            LinkTarget::Jump(vnode, text) if text.is_empty() => {
                let text = self.name_of(caller.location.root, vnode);
                Ok(LinkTarget::Jump(vnode, text))
            }
            target => Ok(target),
        }
    }

    /// The text of a symbolic link (readlink(2)).
    pub(crate) fn read_link(&mut self, caller: &Caller<'_>, file: Vnode) -> Result<Vec<u8>, Errno> {
        match self.link_target(caller, file)? {
            LinkTarget::Text(text) | LinkTarget::Jump(_, text) => Ok(text),
        }
    }

    /// What `stat` tells of a file.
    pub(crate) fn attributes(&mut self, caller: &Caller<'_>, file: Vnode) -> Result<Attributes, Errno> {
        match self.mounts.get_mut(file.volume) {
            Ok(mounted) => mounted.volume.attributes(&caller.view, file.node),
            Err(_) => self.anonymous_attributes(caller, file),
        }
    }

    /// The directory above `directory`, which is the directory itself at the root.
    pub(crate) fn parent_of(&self, root: Vnode, directory: Vnode) -> Result<Vnode, Errno> {
        let mut at = directory;
        loop {
            if at == root {
                return Ok(at);
            }
            let mounted = self.mounts.get(at.volume)?;
            if mounted.volume.root() == at.node {
                match mounted.covers {
                    Some(covered) => at = covered,
                    None => return Ok(at),
                }
            } else {
                let (node, _) = mounted.volume.place(at.node).ok_or(Errno::ENOENT)?;
                return Ok(Vnode { node, ..at });
            }
        }
    }

    /// The absolute path of a file as seen from `root`; `None` where it has none any more or is
    /// outside.
    pub(crate) fn path_of(&self, root: Vnode, file: Vnode) -> Option<Vec<u8>> {
        let mut names: Vec<Name> = Vec::new();
        let mut at = file;
        while at != root {
            let mounted = self.mounts.get(at.volume).ok()?;
            if mounted.volume.root() == at.node {
                at = mounted.covers?;
            } else {
                let (node, name) = mounted.volume.place(at.node)?;
                names.push(name);
                at = Vnode { node, ..at };
            }
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Some(path)
    }
}
