//! Sets of semaphores (semop(2)).

use std::collections::BTreeMap;

use super::permissions::{IpcObject, IpcPermissions};
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::wait::Channel;

/// The highest value of a semaphore, and the largest adjustment (SEMVMX, SEMAEM).
pub(crate) const VALUE_MAX: i32 = 32767;

/// A semaphore: its value, and who changed it last.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Semaphore {
    pub(crate) value: u16,
    pub(crate) process: u32,
}

/// `struct sembuf`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) number: u16,
    pub(crate) change: i16,
    pub(crate) flags: u16,
}

impl Operation {
    pub(crate) const NOWAIT: u16 = 0o4000;
    pub(crate) const UNDO: u16 = 0x1000;
}

/// What came of operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attempt {
    Done,
    /// This one has to wait.
    Waits(usize),
}

/// A set.
#[derive(Clone, Debug)]
pub(crate) struct SemaphoreSet {
    pub(crate) permissions: IpcPermissions,
    pub(crate) semaphores: Vec<Semaphore>,
    /// What is to be added when a process ends.
    pub(crate) undo: BTreeMap<ProcessId, Vec<i16>>,
    /// Who waits for which semaphore, and whether for zero.
    pub(crate) waiters: BTreeMap<TaskId, (u16, bool)>,
    /// Seconds since 1970 of the last operation and change.
    pub(crate) operated: u64,
    pub(crate) changed: u64,
    pub(crate) channel: Channel,
}

impl SemaphoreSet {
    /// Does all operations or none.
    ///
    /// # Errors
    /// EFBIG for a semaphore that the set does not have, ERANGE where a value or an adjustment would be too
    /// large, EAGAIN where one would wait that must not.
    pub(crate) fn operate(&mut self, process: ProcessId, operations: &[Operation]) -> Result<Attempt, Errno> {
        let count = self.semaphores.len();
        if operations.iter().any(|operation| usize::from(operation.number) >= count) {
            return Err(Errno::EFBIG);
        }
        let mut values: BTreeMap<u16, i32> = BTreeMap::new();
        let mut adjustments: BTreeMap<u16, i32> = BTreeMap::new();
        let held = self.undo.get(&process);
        for (index, operation) in operations.iter().enumerate() {
            let Operation { number, change, flags } = *operation;
            let at = usize::from(number);
            let value = values.entry(number).or_insert_with(|| self.semaphores[at].value.into());
            let new = *value + i32::from(change);
            if change == 0 && *value != 0 || new < 0 {
                let waits = flags & Operation::NOWAIT == 0;
                return if waits { Ok(Attempt::Waits(index)) } else { Err(Errno::EAGAIN) };
            }
            if new > VALUE_MAX {
                return Err(Errno::ERANGE);
            }
            *value = new;
            if flags & Operation::UNDO != 0 {
                let held = held.and_then(|held| held.get(at)).copied().unwrap_or(0);
                let adjustment = adjustments.entry(number).or_insert_with(|| held.into());
                *adjustment -= i32::from(change);
                if !(-VALUE_MAX - 1..=VALUE_MAX).contains(adjustment) {
                    return Err(Errno::ERANGE);
                }
            }
        }
        for (number, value) in values {
            self.semaphores[usize::from(number)] =
                Semaphore { value: value as u16, process: process.number() };
        }
        if !adjustments.is_empty() {
            let undo = self.undo.entry(process).or_insert_with(|| vec![0; count]);
            for (number, adjustment) in adjustments {
                undo[usize::from(number)] = adjustment as i16;
            }
        }
        Ok(Attempt::Done)
    }

    /// A process ends: what it did with SEM_UNDO is undone. Says whether that changed anything.
    pub(crate) fn undo(&mut self, process: ProcessId) -> bool {
        let Some(undo) = self.undo.remove(&process) else { return false };
        for (semaphore, adjustment) in self.semaphores.iter_mut().zip(undo) {
            if adjustment != 0 {
                let value = i32::from(semaphore.value) + i32::from(adjustment);
                *semaphore = Semaphore { value: value.clamp(0, VALUE_MAX) as u16, process: process.number() };
            }
        }
        true
    }

    /// Sets a value (SETVAL, SETALL), which nobody undoes any more.
    pub(crate) fn set(&mut self, number: usize, value: u16, process: u32) {
        if let Some(semaphore) = self.semaphores.get_mut(number) {
            *semaphore = Semaphore { value, process };
        }
        for undo in self.undo.values_mut() {
            if let Some(adjustment) = undo.get_mut(number) {
                *adjustment = 0;
            }
        }
    }
}

impl IpcObject for SemaphoreSet {
    fn permissions(&self) -> &IpcPermissions {
        &self.permissions
    }

    fn permissions_mut(&mut self) -> &mut IpcPermissions {
        &mut self.permissions
    }

    fn held_bytes(&self) -> u64 {
        let each = size_of::<Semaphore>() + 2 * self.undo.len();
        (size_of::<Self>() + self.semaphores.len() * each + 64 * self.waiters.len()) as u64
    }
}
