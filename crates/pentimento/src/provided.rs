//! What a host provides for a guest before it starts, as data.

use pentimento_linux::Mount;

/// A variable and its value.
pub(crate) type Variable = (Vec<u8>, Vec<u8>);

/// Something to put into the guest's file system.
pub(crate) enum Item {
    Mount(Vec<u8>, Mount),
    File { path: Vec<u8>, content: Vec<u8>, mode: u32 },
}

/// What [`Machine::start`](crate::Machine::start) gives a program beside its arguments.
#[derive(Clone, Default, Debug)]
pub(crate) struct Surroundings {
    pub(crate) environment: Vec<Variable>,
    pub(crate) directory: Option<Vec<u8>>,
    /// The program and arguments that an image names.
    pub(crate) command: Vec<Vec<u8>>,
}

impl Surroundings {
    /// The value of a variable.
    pub(crate) fn variable(&self, wanted: &[u8]) -> Option<&[u8]> {
        self.environment.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_slice())
    }
}
