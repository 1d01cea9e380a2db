//! What areas are called.

use std::borrow::Cow;

use super::{Area, AreaSource, Space};

impl Space {
    /// What `/proc/PID/maps` calls an area: the path of its file, a name in brackets, or nothing.
    pub(crate) fn name_of(&self, area: &Area) -> Cow<'_, [u8]> {
        let name: &[u8] = match area.backing {
            AreaSource::Heap => b"[heap]",
            AreaSource::Stack => b"[stack]",
            AreaSource::Vdso => b"[vdso]",
            AreaSource::Shared { object, .. } => match self.attachment_of(object) {
                Some(attachment) => {
                    return Cow::Owned(format!("/SYSV{:08x} (deleted)", attachment.key).into_bytes());
                }
                None => b"/dev/zero (deleted)",
            },
            AreaSource::File { node, .. } => self.files.get(&node).map_or(b"", |file| &file.name),
            AreaSource::Program { interpreter: false, .. } => &self.program,
            AreaSource::Program { interpreter: true, .. } => &self.interpreter,
            AreaSource::Anonymous => b"",
        };
        Cow::Borrowed(name)
    }
}
