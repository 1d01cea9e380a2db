//! Who called whom.

use std::fmt;

use pentimento::{Machine, TaskId};

use crate::modules::{Modules, Place, Symbols};
use crate::unwind;

/// A function that has not returned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// EIP: of the innermost frame where it is, of the others where the call returns to.
    pub eip: u32,
    /// The instruction there; of outer frames the call.
    pub place: Place,
}

/// The functions that a thread is in, the innermost first.
///
/// ```
/// use pentimento::{Halt, Machine};
/// use pentimento_insight::{Backtrace, Symbols};
///
/// # let crash = include_bytes!("../../../fixtures/machines/crash");
/// let mut machine = Machine::builder().program("/bin/crash", crash).build()?;
/// machine.start(&["crash", "now"])?;
/// machine.stop_at_exceptions = true;
/// let Halt::Raised { crash, .. } = machine.run(1_000_000) else { panic!("it crashes") };
/// let backtrace = Backtrace::of(&mut machine, crash.task, &mut Symbols::new());
/// let text = backtrace.to_string();
/// assert!(text.starts_with("#0  0x08048") && text.contains(" in store+0x"), "{text}");
/// # Ok::<(), pentimento::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Backtrace {
    frames: Vec<Frame>,
}

impl Backtrace {
    /// The functions that `task` is in; none where it has ended. The guest does not notice, and runs on as
    /// it would have.
    pub fn of(machine: &mut Machine, task: TaskId, symbols: &mut Symbols) -> Self {
        let modules = Modules::of(machine.kernel(), task, symbols);
        let Some(parts) = machine.kernel().parts(task) else { return Self::default() };
        let frames = unwind::frames(parts.cpu, parts.memory, &modules).into_iter();
        let frame = |(eip, returns): (u32, bool)| Frame {
            eip,
            place: modules.place(eip.wrapping_sub(returns.into())),
        };
        Self { frames: frames.map(frame).collect() }
    }

    /// The functions, the innermost first.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }
}

/// A line for each frame: `#1  0x08048123 in main+0x1c at main.c:12 (/bin/main)`.
impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, frame) in self.frames.iter().enumerate() {
            let label = format!("#{number}");
            writeln!(f, "{label:<3} {:#010x} in {}", frame.eip, frame.place)?;
        }
        Ok(())
    }
}
