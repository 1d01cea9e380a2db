//! Output that the host hears once, however often a machine goes back and comes again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pentimento_linux::host::{Output, TerminalSize};

/// How much of one stream a guest has written, and how much of that the host has heard. It is shared with
/// the [`Telling`] output, within one machine.
#[derive(Clone, Default, Debug)]
pub(crate) struct Told(Arc<Progress>);

#[derive(Default, Debug)]
struct Progress {
    /// Bytes that the guest has written; less again when it goes back.
    written: AtomicU64,
    /// Bytes that the host has heard.
    heard: AtomicU64,
    /// Whether what the host has heard is not said again.
    once: AtomicBool,
}

impl Told {
    /// Bytes that the guest has written.
    pub(crate) fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// The guest went back to where it had written so many bytes.
    pub(crate) fn go_back(&self, written: u64) {
        self.0.written.store(written, Ordering::Relaxed);
        if !self.0.once.load(Ordering::Relaxed) {
            self.0.heard.store(written, Ordering::Relaxed);
        }
    }

    /// From here on, what the host has heard is not said again, or is.
    pub(crate) fn tell_once(&self, once: bool) {
        self.0.once.store(once, Ordering::Relaxed);
    }
}

/// An output that passes on what the host has not heard.
pub(crate) struct Telling {
    pub(crate) output: Box<dyn Output>,
    pub(crate) told: Told,
}

impl Output for Telling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let progress = &*self.told.0;
        let (before, heard) = (self.told.written(), progress.heard.load(Ordering::Relaxed));
        let known = usize::try_from(heard.saturating_sub(before)).unwrap_or(usize::MAX).min(bytes.len());
        let written = if known > 0 { known } else { self.output.write(bytes)?.min(bytes.len()) };
        let after = before + written as u64;
        progress.written.store(after, Ordering::Relaxed);
        progress.heard.fetch_max(after, Ordering::Relaxed);
        Ok(written)
    }

    fn terminal_size(&self) -> Option<TerminalSize> {
        self.output.terminal_size()
    }
}
