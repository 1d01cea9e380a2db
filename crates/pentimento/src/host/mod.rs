//! What a machine may know of its host.
//!
//! Each thing that comes from outside (input, output, clock, random numbers, network) is a trait, and
//! the builder takes whatever implements it; without a word a machine has none of them. What is in
//! memory is here for every host. With the feature `host`, on unix, there are also the process's own
//! streams (`HostInput`, `HostOutput`), network (`HostNetwork`) and random numbers
//! (`HostEntropy`): the host chooses which of them it grants.
//!
//! ```
//! use pentimento::host::{Bytes, Capture};
//! use pentimento::{Halt, Machine};
//!
//! let output = Capture::new();
//! let mut machine = Machine::builder().stdin(Bytes::from("hi\n")).stdout(output.clone()).build()?;
//! // read(0, 4096, 3), write(1, 4096, 3), and the end of the code.
//! let code = b"\x31\xdb\xb9\x00\x10\x00\x00\xba\x03\x00\x00\x00\xb8\x03\x00\x00\x00\xcd\x80\
//!              \x43\xb8\x04\x00\x00\x00\xcd\x80";
//! machine.load_code(0, code, 8192)?;
//! assert_eq!(machine.run(1_000_000), Halt::CodeEnd);
//! assert_eq!(output.text(), "hi\n");
//! # Ok::<(), pentimento::Error>(())
//! ```

mod capture;
#[cfg(all(feature = "host", unix))]
mod entropy;
#[cfg(all(feature = "host", unix))]
mod network;
#[cfg(all(feature = "host", unix))]
mod streams;

pub use capture::Capture;
#[cfg(all(feature = "host", unix))]
pub use entropy::HostEntropy;
#[cfg(all(feature = "host", unix))]
pub use network::HostNetwork;
pub use pentimento_linux::Invocation;
pub use pentimento_linux::host::{
    Bytes, Clock, Discard, Entropy, Input, Network, NetworkDatagrams, NetworkListener, NetworkStream, Output,
    SystemClock, TerminalSize, TraceSink,
};
#[cfg(all(feature = "host", unix))]
pub use streams::{HostInput, HostOutput};
