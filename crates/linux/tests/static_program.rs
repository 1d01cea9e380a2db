//! A kernel without a processor: the tests play the program.

use std::io;
use std::sync::{Arc, Mutex};

use pentimento_linux::host::Output;
use pentimento_linux::{Config, Kernel, Next, TaskId, Termination};
use pentimento_registers::Gpr;

/// An output that a test can look into.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Output for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
}

/// A static ELF file: one segment of `code` at 0x0804_8000, readable and executable.
fn program(code: &[u8]) -> Vec<u8> {
    let size = 84 + code.len() as u32;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([2_u16, 3].iter().flat_map(|half| half.to_le_bytes()));
    file.extend([1_u32, 0x0804_8054, 52, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend([52_u16, 32, 1, 0, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    let header = [1, 0, 0x0804_8000, 0x0804_8000, size, size, 5, 4096_u32];
    file.extend(header.iter().flat_map(|word| word.to_le_bytes()));
    file.extend_from_slice(code);
    file
}

fn running(kernel: &mut Kernel) -> TaskId {
    match kernel.schedule() {
        Next::Run { task, .. } => task,
        other => panic!("{other:?}"),
    }
}

fn call(kernel: &mut Kernel, task: TaskId, number: u32, arguments: &[u32]) -> u32 {
    let cpu = kernel.parts(task).unwrap().cpu;
    cpu.set_gpr(Gpr::Eax, number);
    for (gpr, value) in [Gpr::Ebx, Gpr::Ecx, Gpr::Edx, Gpr::Esi, Gpr::Edi, Gpr::Ebp].iter().zip(arguments) {
        cpu.set_gpr(*gpr, *value);
    }
    kernel.system_call(task);
    kernel.parts(task).map_or(0, |parts| parts.cpu.gpr(Gpr::Eax))
}

#[test]
fn a_static_program_writes_and_exits() {
    let output = Shared::default();
    let mut kernel = Kernel::new(Config { output: Box::new(output.clone()), ..Config::default() });
    kernel.spawn_image(b"/hello", &program(b"hello, world\n"), &[b"hello"], &[]).unwrap();
    let task = running(&mut kernel);
    assert_eq!(call(&mut kernel, task, 4, &[1, 0x0804_8054, 13]), 13);
    assert_eq!(call(&mut kernel, task, 4, &[1, 4, 13]), (-14_i32) as u32);
    assert_eq!(*output.0.lock().unwrap(), b"hello, world\n");
    call(&mut kernel, task, 1, &[7]);
    assert_eq!(kernel.schedule(), Next::Finished(Termination::Exited(7)));
}

#[test]
fn the_first_stack_holds_arguments_and_environment() {
    let mut kernel = Kernel::new(Config::default());
    kernel.spawn_image(b"/args", &program(&[0xcc]), &[b"args", b"one"], &[b"K=V"]).unwrap();
    let task = running(&mut kernel);
    let parts = kernel.parts(task).unwrap();
    let stack = parts.cpu.gpr(Gpr::Esp);
    let word = |index: u32| parts.memory.read::<u32>(stack + 4 * index).unwrap();
    assert_eq!(stack % 16, 0);
    assert_eq!((word(0), word(3), word(5)), (2, 0, 0));
    for (index, text) in [(1, &b"args\0"[..]), (2, b"one\0"), (4, b"K=V\0")] {
        let mut bytes = vec![0; text.len()];
        parts.memory.read_bytes(word(index), &mut bytes).unwrap();
        assert_eq!(bytes, text);
    }
}
