//! The kernel of `pentimento-linux` on the same sequences. No processor takes part: numbers and arguments are
//! put into the registers of the one task.

use pentimento_linux::{Config, Kernel, Limits, Next, TaskId, Termination};
use pentimento_registers::Gpr;

use super::sequence::{CONSTANT, Call, DATA, DATA_SIZE, End, FILLER, Outcome, Return, Sequence};

/// Times in a row that the kernel may have nobody to run before the call counts as one that waits.
const PATIENCE: u32 = 8;
/// Instructions that pass with a call.
const INSTRUCTIONS: u64 = 100;

/// A static ELF file with the data and the page behind it.
fn program() -> Vec<u8> {
    const PAGE: u32 = 4096;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut words = |words: &[u32]| file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    // ET_EXEC and EM_386, then version, entry, and where the two program headers are.
    words(&[3 << 16 | 2, 1, DATA, 52, 0, 0, 32 << 16 | 52, 2, 0]);
    words(&[1, 0, DATA, DATA, 116, DATA_SIZE, 6, PAGE]);
    words(&[1, PAGE, CONSTANT, CONSTANT, PAGE, PAGE, 4, PAGE]);
    file.resize(PAGE as usize, 0);
    file.resize(2 * PAGE as usize, FILLER);
    file
}

/// A machine of its own for each sequence.
struct Machine {
    kernel: Kernel,
    task: TaskId,
}

impl Machine {
    fn new() -> Option<Self> {
        let limits = Limits { total_memory: 256 << 20, ..Limits::default() };
        let config = Config { limits, identity: (0, 0), randomize_addresses: false, ..Config::default() };
        let mut kernel = Kernel::new(config);
        kernel.spawn_image(b"/program", &program(), &[b"program"], &[]).ok()?;
        match kernel.schedule() {
            Next::Run { task, .. } => Some(Self { kernel, task }),
            _ => None,
        }
    }

    /// Makes a call: its result, or how the process ended in it.
    fn call(&mut self, call: &Call, results: &[u32]) -> Result<Return, End> {
        let parts = self.kernel.parts(self.task).ok_or(End::Killed(0))?;
        if parts.memory.write_bytes(DATA, &call.image()).is_err() {
            return Err(End::Killed(11));
        }
        parts.cpu.set_gpr(Gpr::Eax, call.number);
        let order = [Gpr::Ebx, Gpr::Ecx, Gpr::Edx, Gpr::Esi, Gpr::Edi, Gpr::Ebp];
        for (index, (gpr, argument)) in order.into_iter().zip(call.arguments).enumerate() {
            let is_reference = call.references >> index & 1 != 0;
            let earlier = results.get(argument as usize).copied().unwrap_or(0);
            parts.cpu.set_gpr(gpr, if is_reference { earlier } else { argument });
        }
        self.kernel.system_call(self.task);
        self.kernel.retire(self.task, INSTRUCTIONS);
        self.come_back()?;
        let parts = self.kernel.parts(self.task).ok_or(End::Killed(0))?;
        let mut image = vec![0; DATA_SIZE as usize];
        parts.memory.peek_bytes(DATA, &mut image).map_err(|_| End::Killed(11))?;
        Ok(Return { result: parts.cpu.gpr(Gpr::Eax), image })
    }

    /// Lets the task come back from its call.
    fn come_back(&mut self) -> Result<(), End> {
        let mut idle = 0;
        loop {
            match self.kernel.schedule() {
                Next::Run { task, .. } if task == self.task => return Ok(()),
                Next::Finished(Termination::Exited(status)) => return Err(End::Exited(status)),
                Next::Finished(Termination::Killed(signal)) => return Err(End::Killed(signal)),
                Next::Idle | Next::Waiting { .. } if idle < PATIENCE => idle += 1,
                _ => return Err(End::Waits),
            }
        }
    }
}

/// What comes of `sequence` in the machine; `None` if there is no machine.
#[must_use]
pub fn run(sequence: &Sequence) -> Option<Outcome> {
    let mut machine = Machine::new()?;
    let (mut returns, mut results) = (Vec::new(), Vec::new());
    for call in &sequence.calls {
        match machine.call(call, &results) {
            Ok(made) => {
                results.push(made.result);
                returns.push(made);
            }
            Err(end) => return Some(Outcome { returns, end }),
        }
    }
    Some(Outcome { returns, end: End::Finished })
}
