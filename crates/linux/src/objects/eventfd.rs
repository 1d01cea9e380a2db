//! Event counters behind descriptors (eventfd(2)).

use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::files::Files;
use super::object::{Object, Transfer};
use super::readiness::{Events, Readiness};
use super::states::State;
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::{Caller, FileType};
use crate::wait::{Channel, Failure, Wait};

/// The counter of an eventfd.
#[derive(Clone, Debug)]
struct Counter {
    value: u64,
    /// Each read takes one (EFD_SEMAPHORE), not all.
    semaphore: bool,
    channel: Channel,
}

impl State for Counter {
    fn held_bytes(&self) -> u64 {
        0
    }
}

impl Counter {
    /// What a read gives, or `None` where it has to wait.
    fn read(&mut self) -> Option<u64> {
        match (self.value, self.semaphore) {
            (0, _) => None,
            (_, true) => {
                self.value -= 1;
                Some(1)
            }
            (_, false) => Some(std::mem::take(&mut self.value)),
        }
    }

    /// Adds `more`; `None` where a writer has to wait, EINVAL for the one value that never fits.
    fn write(&mut self, more: u64) -> Result<Option<()>, Errno> {
        if more == u64::MAX {
            return Err(Errno::EINVAL);
        }
        match self.value.checked_add(more) {
            Some(value) if value < u64::MAX => {
                self.value = value;
                Ok(Some(()))
            }
            _ => Ok(None),
        }
    }
}

/// An open eventfd.
#[derive(Clone, Copy, Debug)]
struct EventFile(Id<Counter>);

impl Object for EventFile {
    fn closed(&self, files: &mut Files, _: Id<Description>, _: OpenFlags) {
        if let Some(counter) = files.states.release(self.0) {
            files.forget_channel(counter.channel);
        }
    }

    fn read(&self, files: &mut Files, access: &Transfer<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
        let target: &mut [u8; 8] = buffer.first_chunk_mut().ok_or(Errno::EINVAL)?;
        let counter = &mut files.states[self.0];
        let channel = counter.channel;
        let Some(count) = counter.read() else { return access.block(Wait::on(channel)) };
        files.wake(channel);
        *target = count.to_le_bytes();
        Ok(target.len())
    }

    fn write(&self, files: &mut Files, access: &Transfer<'_>, bytes: &[u8]) -> Result<usize, Failure> {
        let more = u64::from_le_bytes(*bytes.first_chunk().ok_or(Errno::EINVAL)?);
        let counter = &mut files.states[self.0];
        let channel = counter.channel;
        let Some(()) = counter.write(more)? else { return access.block(Wait::on(channel)) };
        files.wake(channel);
        Ok(8)
    }

    fn readiness(&self, files: &mut Files, _: &Caller<'_>, _: OpenFlags) -> Readiness {
        let counter = &files.states[self.0];
        Readiness::on(counter.channel)
            .with(Events::READABLE, counter.value > 0)
            .with(Events::WRITABLE, counter.value < u64::MAX - 1)
    }
}

impl Files {
    /// Makes an event counter (eventfd(2)).
    pub(crate) fn event_counter(
        &mut self,
        caller: &Caller<'_>,
        value: u64,
        semaphore: bool,
        flags: OpenFlags,
    ) -> Id<Description> {
        let channel = self.new_channel();
        let counter = self.states.insert(Counter { value, semaphore, channel });
        let object = Arc::new(EventFile(counter));
        let kind = (FileType::Regular, 0o600);
        self.add_anonymous(caller, object, kind, "anon_inode:[eventfd]", flags | OpenFlags::O_RDWR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_taken_whole_or_one_by_one() {
        let channel = Channel::Console;
        let mut counter = Counter { value: 3, semaphore: false, channel };
        assert_eq!((counter.read(), counter.read()), (Some(3), None));
        let mut semaphore = Counter { value: 2, semaphore: true, channel };
        assert_eq!([semaphore.read(), semaphore.read(), semaphore.read()], [Some(1), Some(1), None]);
        assert_eq!(semaphore.write(u64::MAX), Err(Errno::EINVAL));
        assert_eq!(semaphore.write(u64::MAX - 1), Ok(Some(())));
        assert_eq!(semaphore.write(1), Ok(None), "full");
    }
}
