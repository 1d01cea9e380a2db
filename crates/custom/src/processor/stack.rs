//! A stack outside memory, which grows with its entries only.

use crate::Cause;
use crate::set::StackShape;

/// Entries of at most 32 bits take four bytes, wider ones eight.
#[derive(Clone, Debug)]
pub(super) enum Stack {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Stack {
    pub(super) fn new(shape: Option<StackShape>) -> Self {
        match shape {
            Some(shape) if shape.width > 32 => Self::Wide(Vec::new()),
            _ => Self::Narrow(Vec::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Narrow(entries) => entries.len(),
            Self::Wide(entries) => entries.len(),
        }
    }

    /// The entry so many below the top, which is 0.
    pub(super) fn below_top(&self, depth: usize) -> Option<u64> {
        let position = self.len().checked_sub(depth)?.checked_sub(1)?;
        match self {
            Self::Narrow(entries) => entries.get(position).copied().map(u64::from),
            Self::Wide(entries) => entries.get(position).copied(),
        }
    }

    /// Pushes a value of the stack's width, if there are fewer than `most` entries.
    #[inline(always)]
    pub(super) fn push(&mut self, value: u64, most: u32) -> Result<(), Cause> {
        match self {
            Self::Narrow(entries) => push(entries, value as u32, most),
            Self::Wide(entries) => push(entries, value, most),
        }
    }

    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<u64> {
        match self {
            Self::Narrow(entries) => entries.pop().map(u64::from),
            Self::Wide(entries) => entries.pop(),
        }
    }
}

#[inline(always)]
fn push<T>(entries: &mut Vec<T>, value: T, most: u32) -> Result<(), Cause> {
    if entries.len() == entries.capacity() {
        grow(entries, most)?;
    }
    entries.push(value);
    Ok(())
}

/// Makes room, but never for more than `most` entries: the capacity is what stops a push.
#[cold]
#[inline(never)]
fn grow<T>(entries: &mut Vec<T>, most: u32) -> Result<(), Cause> {
    let most = most as usize;
    if entries.len() >= most {
        return Err(Cause::StackFull { entries: most as u32 });
    }
    let more = entries.len().max(1024).min(most - entries.len());
    entries.try_reserve_exact(more).map_err(|_| Cause::OutOfMemory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_entries_are_exact() {
        for width in [8, 64] {
            for most in [1, 1023, 1024, 1025, 3000] {
                let mut stack = Stack::new(Some(StackShape { entries: most, width, register: None }));
                for value in 0..most {
                    assert_eq!(stack.push(u64::from(value), most), Ok(()));
                }
                assert_eq!(stack.push(0, most), Err(Cause::StackFull { entries: most }));
                assert_eq!((stack.len(), stack.below_top(0)), (most as usize, Some(u64::from(most - 1))));
                assert_eq!(stack.below_top(most as usize), None);
                for value in (0..most).rev() {
                    assert_eq!(stack.pop(), Some(u64::from(value)));
                }
                assert_eq!(stack.pop(), None);
            }
        }
    }
}
