//! A kernel without a processor: tests play the programs, and make their system calls.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where its own set-up fails")]

use std::io;
use std::sync::{Arc, Mutex};

use pentimento_linux::host::Output;
use pentimento_linux::{Config, Errno, Kernel, Next, TaskId};
use pentimento_registers::Gpr;

/// Where the program's segment starts.
pub(crate) const BASE: u32 = 0x0804_8000;
/// A writable page of the program, behind its code.
pub(crate) const DATA: u32 = BASE + 0x1000;

/// An output that a test can look into.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Output for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
}

/// A static ELF file: one segment of headers and `code` at [`BASE`] that allows everything and
/// goes on with zeros to the end of the page at [`DATA`].
pub(crate) fn program(code: &[u8]) -> Vec<u8> {
    let size = 84 + code.len() as u32;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([2_u16, 3].iter().flat_map(|half| half.to_le_bytes()));
    file.extend([1_u32, BASE + 84, 52, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend([52_u16, 32, 1, 0, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    let header = [1, 0, BASE, BASE, size, 0x2000, 7, 4096_u32];
    file.extend(header.iter().flat_map(|word| word.to_le_bytes()));
    file.extend_from_slice(code);
    file
}

/// A machine whose programs the test plays.
pub(crate) struct Guest {
    pub(crate) kernel: Kernel,
    pub(crate) output: Shared,
}

impl Guest {
    /// A machine with one process.
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    /// A machine with one process, configured.
    pub(crate) fn with(config: Config) -> Self {
        let output = Shared::default();
        let mut kernel = Kernel::new(Config { output: Box::new(output.clone()), ..config });
        kernel.spawn_image(b"/program", &program(b"hello\n"), &[b"program"], &[]).unwrap();
        Self { kernel, output }
    }

    /// Who runs next.
    pub(crate) fn running(&mut self) -> TaskId {
        match self.kernel.schedule() {
            Next::Run { task, .. } => task,
            other => panic!("nobody runs: {other:?}"),
        }
    }

    /// Makes a system call; its result is there when the task runs again.
    pub(crate) fn start(&mut self, task: TaskId, number: u32, arguments: &[u32]) {
        let cpu = self.kernel.parts(task).unwrap().cpu;
        cpu.set_gpr(Gpr::Eax, number);
        let order = [Gpr::Ebx, Gpr::Ecx, Gpr::Edx, Gpr::Esi, Gpr::Edi, Gpr::Ebp];
        for (index, gpr) in order.into_iter().enumerate() {
            cpu.set_gpr(gpr, arguments.get(index).copied().unwrap_or(0));
        }
        self.kernel.system_call(task);
    }

    /// What the last call of `task` returned.
    pub(crate) fn result(&mut self, task: TaskId) -> Result<u32, Errno> {
        let eax = self.register(task, Gpr::Eax);
        Errno::from_register(eax).map_or(Ok(eax), Err)
    }

    /// A register of `task`.
    pub(crate) fn register(&mut self, task: TaskId, gpr: Gpr) -> u32 {
        self.kernel.parts(task).unwrap().cpu.gpr(gpr)
    }

    /// Makes a system call that returns at once.
    pub(crate) fn call(&mut self, task: TaskId, number: u32, arguments: &[u32]) -> Result<u32, Errno> {
        self.start(task, number, arguments);
        self.result(task)
    }

    /// Runs until `task` does, others executing nothing meanwhile.
    pub(crate) fn until(&mut self, task: TaskId) {
        for _ in 0..1000 {
            let running = self.running();
            if running == task {
                return;
            }
            self.kernel.retire(running, u64::MAX / 4);
        }
        panic!("{task:?} does not run");
    }

    /// Writes into the memory of `task`.
    pub(crate) fn poke(&mut self, task: TaskId, address: u32, words: &[u32]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.kernel.parts(task).unwrap().memory.write_bytes(address, &bytes).unwrap();
    }

    /// Reads a word of the memory of `task`.
    pub(crate) fn peek(&mut self, task: TaskId, address: u32) -> u32 {
        self.kernel.parts(task).unwrap().memory.read(address).unwrap()
    }

    /// A write of `task` to where it may not.
    pub(crate) fn page_fault(&mut self, task: TaskId, address: u32) {
        let fault = self.kernel.parts(task).unwrap().memory.write(address, 0_u8).unwrap_err();
        self.kernel.page_fault(task, fault);
    }
}
