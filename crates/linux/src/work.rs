//! How much a system call does before it looks whether the host wants the machine to stop.
//!
//! Calls whose work grows with what the guest gives them count it in steps: an entry of an array, a
//! kilobyte moved, an open file closed. After [`BETWEEN_LOOKS`] of them the host is asked. If it wants the
//! machine to stop, the call ends with [`Failure::Pause`] and is run again later, with what it keeps in
//! its [`PendingCall`](crate::wait::PendingCall) or from the start; a second run may do twice the work of
//! the first before it is paused again, so that a host that stops the machine over and over does not keep
//! a call from ever ending.

use crate::host::StopRequest;
use crate::wait::Failure;

/// Steps between two looks: well below a millisecond's work.
pub(crate) const BETWEEN_LOOKS: u64 = 1024;

/// Bytes that are moved in one step.
pub(crate) const STEP_BYTES: u64 = 1024;

/// The work of the call that runs.
#[derive(Default)]
pub(crate) struct Work {
    request: Option<Box<dyn StopRequest>>,
    /// Steps of this run of the call.
    done: u64,
    /// Steps at which the host is asked next.
    next_look: u64,
}

impl Work {
    /// Whom to ask from now on.
    pub(crate) fn heed(&mut self, request: Box<dyn StopRequest>) {
        self.request = Some(request);
    }

    /// Whether the host wants the machine to stop.
    pub(crate) fn is_to_stop(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.is_requested())
    }

    /// A call begins to run that has been paused as often as `pauses` says.
    pub(crate) fn begin(&mut self, pauses: u32) {
        let granted = if pauses == 0 { 0 } else { BETWEEN_LOOKS.checked_shl(pauses).unwrap_or(u64::MAX) };
        (self.done, self.next_look) = (0, granted.max(BETWEEN_LOOKS));
    }

    /// Accounts for `steps`.
    ///
    /// # Errors
    /// [`Failure::Pause`] where the call is to be run again later; it must have changed nothing that the
    /// second run would do once more.
    pub(crate) fn spend(&mut self, steps: u64) -> Result<(), Failure> {
        self.done = self.done.saturating_add(steps);
        if self.done < self.next_look {
            return Ok(());
        }
        self.next_look = self.done.saturating_add(BETWEEN_LOOKS);
        if self.is_to_stop() { Err(Failure::Pause) } else { Ok(()) }
    }

    /// Accounts for `bytes` that are moved.
    ///
    /// # Errors
    /// As [`Self::spend`].
    pub(crate) fn spend_bytes(&mut self, bytes: u64) -> Result<(), Failure> {
        self.spend(bytes.div_ceil(STEP_BYTES))
    }
}

impl Clone for Work {
    /// A copy asks nobody until it is told whom.
    fn clone(&self) -> Self {
        Self { request: None, ..*self }
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("done", &self.done).finish_non_exhaustive()
    }
}
