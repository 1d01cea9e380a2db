//! Message queues (msgop(2)).

use std::collections::VecDeque;

use super::permissions::{IpcObject, IpcPermissions};
use crate::wait::Channel;

/// A message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    /// Greater than 0.
    pub(crate) kind: i32,
    pub(crate) bytes: Vec<u8>,
}

/// Which messages msgrcv(2) takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// The first.
    Any,
    /// The first of a kind.
    Kind(i32),
    /// The first of another kind (MSG_EXCEPT).
    Other(i32),
    /// The first of the lowest kind up to this.
    UpTo(i32),
}

/// A queue.
#[derive(Clone, Debug)]
pub(crate) struct MessageQueue {
    pub(crate) permissions: IpcPermissions,
    pub(crate) messages: VecDeque<Message>,
    /// Bytes in them.
    pub(crate) held: u32,
    /// Bytes that they may have together, and as many messages.
    pub(crate) most: u32,
    /// Seconds since 1970 of the last sending, receiving and change.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) changed: u64,
    /// Processes that sent and received last.
    pub(crate) last_sender: u32,
    pub(crate) last_receiver: u32,
    pub(crate) channel: Channel,
}

impl MessageQueue {
    /// Whether a message of `length` bytes fits.
    pub(crate) fn has_room(&self, length: u32) -> bool {
        u64::from(self.held) + u64::from(length) <= u64::from(self.most)
            && self.messages.len() < self.most as usize
    }

    pub(crate) fn push(&mut self, message: Message) {
        self.held += message.bytes.len() as u32;
        self.messages.push_back(message);
    }

    /// The place of the message that is wanted.
    pub(crate) fn find(&self, wanted: Wanted) -> Option<usize> {
        let position =
            |is_it: &dyn Fn(i32) -> bool| self.messages.iter().position(|message| is_it(message.kind));
        match wanted {
            Wanted::Any => position(&|_| true),
            Wanted::Kind(kind) => position(&|other| other == kind),
            Wanted::Other(kind) => position(&|other| other != kind),
            Wanted::UpTo(most) => {
                let lowest =
                    self.messages.iter().map(|message| message.kind).filter(|kind| *kind <= most).min()?;
                position(&|other| other == lowest)
            }
        }
    }

    /// Takes the message at a place.
    pub(crate) fn take(&mut self, place: usize) -> Option<Message> {
        let message = self.messages.remove(place)?;
        self.held -= message.bytes.len() as u32;
        Some(message)
    }
}

impl IpcObject for MessageQueue {
    fn permissions(&self) -> &IpcPermissions {
        &self.permissions
    }

    fn permissions_mut(&mut self) -> &mut IpcPermissions {
        &mut self.permissions
    }

    fn held_bytes(&self) -> u64 {
        (size_of::<Self>() + self.messages.len() * size_of::<Message>()) as u64 + u64::from(self.held)
    }
}
