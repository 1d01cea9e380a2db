//! The host's random numbers.

use pentimento_linux::host::Entropy;
use rustix::rand::{GetRandomFlags, getrandom};

/// The random numbers of the host's kernel. A machine with them is no longer deterministic.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostEntropy;

impl HostEntropy {
    /// A seed that nobody can foretell.
    #[must_use]
    pub fn seed() -> u64 {
        let mut seed = [0; 8];
        Self.fill(&mut seed);
        u64::from_le_bytes(seed)
    }
}

impl Entropy for HostEntropy {
    fn fill(&mut self, mut buffer: &mut [u8]) {
        while !buffer.is_empty() {
            match getrandom(&mut *buffer, GetRandomFlags::empty()) {
                Ok(count) => buffer = &mut buffer[count..],
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}
