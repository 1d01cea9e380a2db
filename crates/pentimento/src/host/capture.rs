//! An output that the host keeps.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use pentimento_linux::host::Output;

/// An output that is kept for the host to read; clones share one buffer.
///
/// ```
/// use pentimento::host::{Capture, Output};
///
/// let capture = Capture::new();
/// capture.clone().write(b"42\n")?;
/// assert_eq!(capture.text(), "42\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct Capture(Arc<Mutex<Vec<u8>>>);

impl Capture {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was written so far, as text; bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

impl Output for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
}
