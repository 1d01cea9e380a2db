//! Folders of the host whose answers are on a tape.

use std::sync::Arc;

use pentimento_linux::{
    DeviceNumber, Errno, FileType, HostAccess, HostChange, HostEntry, HostFile, HostFolder, HostMetadata,
    Timestamp,
};

use super::bytes::{Bytes, Damaged};
use super::tape::Tape;

/// A folder, and its number among those of the machine.
#[derive(Clone, Debug)]
pub(super) struct TapedFolder {
    pub(super) host: Option<Arc<dyn HostFolder>>,
    pub(super) tape: Tape,
    pub(super) number: u8,
    /// Nobody changes it while the machine looks: a copy-on-write mount has it that way.
    pub(super) constant: bool,
}

/// An open file of such a folder.
#[derive(Debug)]
struct TapedFile {
    host: Option<Arc<dyn HostFile>>,
    folder: TapedFolder,
    path: Vec<u8>,
}

impl TapedFolder {
    /// The answer to one question.
    fn ask(&self, operation: u8, words: &[&[u8]], ask: impl FnOnce() -> Vec<u8>) -> Bytes {
        let mut question = Bytes::from(vec![b'f', self.number, operation]);
        words.iter().for_each(|word| question.bytes(word));
        let question = question.into_vec();
        let answer =
            if self.constant { self.tape.fact(&question, ask) } else { self.tape.call(&question, ask) };
        // What the recording does not know cannot be had.
        Bytes::from(answer.unwrap_or_else(|| failure(Errno::EIO)))
    }

    /// Asks for something that the host does; nothing comes back but whether it could.
    fn act(
        &self,
        operation: u8,
        words: &[&[u8]],
        act: impl FnOnce(&dyn HostFolder) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let ask = || match self.host.as_deref().map_or(Err(Errno::EIO), act) {
            Ok(()) => vec![0],
            Err(errno) => failure(errno),
        };
        let mut answer = self.ask(operation, words, ask);
        outcome(&mut answer)
    }
}

fn failure(errno: Errno) -> Vec<u8> {
    let mut answer = Bytes::default();
    answer.number(errno.number().into());
    answer.into_vec()
}

/// The errno at the front of an answer; 0 is none.
fn outcome(answer: &mut Bytes) -> Result<(), Errno> {
    match answer.take_word() {
        Ok(0) => Ok(()),
        Ok(number) => Err(Errno::from_register(number.wrapping_neg()).unwrap_or(Errno::EIO)),
        Err(_) => Err(Errno::EIO),
    }
}

impl From<Damaged> for Errno {
    fn from(_: Damaged) -> Self {
        Self::EIO
    }
}

const TYPES: [FileType; 7] = [
    FileType::Regular,
    FileType::Directory,
    FileType::Symlink,
    FileType::CharacterDevice,
    FileType::BlockDevice,
    FileType::Fifo,
    FileType::Socket,
];

fn put_metadata(out: &mut Bytes, metadata: &HostMetadata) {
    let kind = TYPES.iter().position(|kind| *kind == metadata.file_type).unwrap_or(0);
    let HostMetadata { mode, links, size, blocks, identity, owner, device, .. } = *metadata;
    let (user, group) = owner.unwrap_or_default();
    for number in [kind as u64, mode.into(), links.into(), size, blocks, identity.0, identity.1] {
        out.number(number);
    }
    for number in [u32::from(owner.is_some()), user, group, device.major, device.minor] {
        out.number(number.into());
    }
    for time in [metadata.accessed, metadata.modified, metadata.changed] {
        out.number(time.seconds as u64);
        out.number(time.nanoseconds.into());
    }
}

fn take_metadata(input: &mut Bytes) -> Result<HostMetadata, Damaged> {
    let kind = input.take_number()? as usize;
    let file_type = *TYPES.get(kind).ok_or(Damaged("no such type of file"))?;
    let (mode, links) = (input.take_word()?, input.take_word()?);
    let (size, blocks) = (input.take_number()?, input.take_number()?);
    let identity = (input.take_number()?, input.take_number()?);
    let owned = input.take_word()? != 0;
    let owner = (input.take_word()?, input.take_word()?);
    let device = DeviceNumber { major: input.take_word()?, minor: input.take_word()? };
    let mut time = || -> Result<Timestamp, Damaged> {
        Ok(Timestamp { seconds: input.take_number()? as i64, nanoseconds: input.take_word()? })
    };
    let (accessed, modified, changed) = (time()?, time()?, time()?);
    let owner = owned.then_some(owner);
    Ok(HostMetadata {
        file_type,
        mode,
        links,
        size,
        blocks,
        accessed,
        modified,
        changed,
        identity,
        owner,
        device,
    })
}

fn metadata_answer(metadata: Result<HostMetadata, Errno>) -> Vec<u8> {
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(errno) => return failure(errno),
    };
    let mut answer = Bytes::from(vec![0]);
    put_metadata(&mut answer, &metadata);
    answer.into_vec()
}

impl HostFolder for TapedFolder {
    fn metadata(&self, path: &[u8]) -> Result<HostMetadata, Errno> {
        let ask = || metadata_answer(self.host.as_ref().map_or(Err(Errno::EIO), |host| host.metadata(path)));
        let mut answer = self.ask(b'm', &[path], ask);
        outcome(&mut answer)?;
        Ok(take_metadata(&mut answer)?)
    }

    fn entries(&self, path: &[u8]) -> Result<Vec<HostEntry>, Errno> {
        let ask = || match self.host.as_ref().map_or(Err(Errno::EIO), |host| host.entries(path)) {
            Err(errno) => failure(errno),
            Ok(entries) => {
                let mut answer = Bytes::from(vec![0]);
                answer.number(entries.len() as u64);
                for entry in &entries {
                    answer.bytes(&entry.name);
                    put_metadata(&mut answer, &entry.metadata);
                }
                answer.into_vec()
            }
        };
        let mut answer = self.ask(b'e', &[path], ask);
        outcome(&mut answer)?;
        let count = answer.take_number()?;
        let mut entry = || -> Result<HostEntry, Damaged> {
            Ok(HostEntry { name: answer.take_bytes()?.to_vec(), metadata: take_metadata(&mut answer)? })
        };
        Ok((0..count).map(|_| entry()).collect::<Result<_, _>>()?)
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let ask = || match self.host.as_ref().map_or(Err(Errno::EIO), |host| host.read_link(path)) {
            Err(errno) => failure(errno),
            Ok(text) => [&[0][..], &text].concat(),
        };
        let mut answer = self.ask(b'l', &[path], ask);
        outcome(&mut answer)?;
        Ok(answer.rest().to_vec())
    }

    fn open(&self, path: &[u8], access: HostAccess) -> Result<Arc<dyn HostFile>, Errno> {
        let mut host = None;
        let (how, mode) = match access {
            HostAccess::Read => (0, 0),
            HostAccess::Write => (1, 0),
            HostAccess::Create(mode) => (2, mode),
        };
        self.act(b'o', &[path, &[how], &mode.to_le_bytes()], |folder| {
            host = Some(folder.open(path, access)?);
            Ok(())
        })?;
        // A file that was opened in the past of a recorded machine is opened again for what comes.
        if host.is_none() && !self.tape.is_replay() {
            let again = if how == 2 { HostAccess::Write } else { access };
            host = self.host.as_ref().and_then(|folder| folder.open(path, again).ok());
        }
        Ok(Arc::new(TapedFile { host, folder: self.clone(), path: path.to_vec() }))
    }

    fn make_folder(&self, path: &[u8], mode: u32) -> Result<(), Errno> {
        self.act(b'd', &[path], |folder| folder.make_folder(path, mode))
    }

    fn make_link(&self, path: &[u8], target: &[u8]) -> Result<(), Errno> {
        self.act(b's', &[path, target], |folder| folder.make_link(path, target))
    }

    fn link(&self, existing: &[u8], path: &[u8]) -> Result<(), Errno> {
        self.act(b'h', &[existing, path], |folder| folder.link(existing, path))
    }

    fn remove(&self, path: &[u8], folder: bool) -> Result<(), Errno> {
        self.act(b'r', &[path], |host| host.remove(path, folder))
    }

    fn rename(&self, from: &[u8], to: &[u8], exchange: bool) -> Result<(), Errno> {
        self.act(b'n', &[from, to], |folder| folder.rename(from, to, exchange))
    }

    fn change(&self, path: &[u8], change: &HostChange) -> Result<(), Errno> {
        self.act(b'c', &[path], |folder| folder.change(path, change))
    }

    fn room(&self) -> Result<(u64, u64), Errno> {
        let ask = || match self.host.as_ref().map_or(Err(Errno::EIO), |host| host.room()) {
            Err(errno) => failure(errno),
            Ok((all, free)) => {
                let mut answer = Bytes::from(vec![0]);
                answer.number(all);
                answer.number(free);
                answer.into_vec()
            }
        };
        let mut answer = self.ask(b'f', &[], ask);
        outcome(&mut answer)?;
        Ok((answer.take_number()?, answer.take_number()?))
    }
}

impl TapedFile {
    fn host(&self) -> Result<&dyn HostFile, Errno> {
        self.host.as_deref().ok_or(Errno::EIO)
    }
}

impl HostFile for TapedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let (at, length) = (offset.to_le_bytes(), (buffer.len() as u64).to_le_bytes());
        let mut read = |host: &dyn HostFile| {
            let count = host.read_at(offset, buffer)?.min(buffer.len());
            Ok([&[0][..], &buffer[..count]].concat())
        };
        let ask = || self.host().and_then(&mut read).unwrap_or_else(failure);
        let mut answer = self.folder.ask(b'R', &[&self.path, &at, &length], ask);
        outcome(&mut answer)?;
        let bytes = answer.rest();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let (at, length) = (offset.to_le_bytes(), (bytes.len() as u64).to_le_bytes());
        let ask = || match self.host().and_then(|host| host.write_at(offset, bytes)) {
            Err(errno) => failure(errno),
            Ok(written) => {
                let mut answer = Bytes::from(vec![0]);
                answer.number(written as u64);
                answer.into_vec()
            }
        };
        let mut answer = self.folder.ask(b'W', &[&self.path, &at, &length], ask);
        outcome(&mut answer)?;
        Ok(usize::try_from(answer.take_number()?).unwrap_or(usize::MAX).min(bytes.len()))
    }

    fn resize(&self, size: u64) -> Result<(), Errno> {
        self.folder.act(b'Z', &[&self.path, &size.to_le_bytes()], |_| self.host()?.resize(size))
    }

    fn metadata(&self) -> Result<HostMetadata, Errno> {
        let ask = || metadata_answer(self.host().and_then(HostFile::metadata));
        let mut answer = self.folder.ask(b'M', &[&self.path], ask);
        outcome(&mut answer)?;
        Ok(take_metadata(&mut answer)?)
    }
}
