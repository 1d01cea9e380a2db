//! What tests of files need: folders that go away, and guests small enough to write down.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the guests' files are loaded.
const BASE: u32 = 0x0804_8000;

/// A folder of the host that goes away with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pentimento-cli-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it, as text.
    pub(crate) fn at(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Writes a program.
    pub(crate) fn program(&self, name: &str, content: &[u8]) {
        use std::os::unix::fs::PermissionsExt;
        self.write(name, content);
        std::fs::set_permissions(self.0.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// `pentimento` in this folder.
    pub(crate) fn pentimento(&self, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_pentimento"))
            .args(arguments)
            .current_dir(&self.0)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        Said::of(&output)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a command printed and returned.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { stdout: text(&output.stdout), stderr: text(&output.stderr), code: output.status.code() }
    }

    /// Checks that it is a failure of the command's own: one line that holds `reason`.
    pub(crate) fn refuses(&self, reason: &str) {
        assert_eq!(self.code, Some(125), "{self:?}");
        assert!(
            self.stderr.starts_with("pentimento: ") && self.stderr.contains(reason),
            "{reason}: {self:?}"
        );
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
    }
}

/// An ELF program of one segment: `code`, then `data`; with an interpreter's path it is a dynamic one.
fn elf(code: &[u8], data: &[u8], interpreter: Option<&str>) -> Vec<u8> {
    let headers = if interpreter.is_some() { 2 } else { 1 };
    let start = 52 + 32 * headers;
    let path = interpreter.map(|path| [path.as_bytes(), b"\0"].concat()).unwrap_or_default();
    let length = (start + code.len() + data.len() + path.len()) as u32;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0\x01\0\0\0".to_vec();
    for word in [BASE + start as u32, 52, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for half in [52_u16, 32, headers as u16, 40, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let mut header = |words: [u32; 8]| file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    if interpreter.is_some() {
        let at = (start + code.len() + data.len()) as u32;
        header([3, at, BASE + at, BASE + at, path.len() as u32, path.len() as u32, 4, 1]);
    }
    header([1, 0, BASE, BASE, length, length, 7, 0x1000]);
    [&file, code, data, &path].concat()
}

/// The program that does these things, their data behind all code.
fn program(steps: &[Step<'_>]) -> Vec<u8> {
    let length: usize = steps.iter().map(|step| step.code(0).len()).sum();
    let (mut code, mut data) = (Vec::new(), Vec::new());
    for step in steps {
        let address = BASE + (52 + 32 + length + data.len()) as u32;
        code.extend(step.code(address));
        data.extend(step.data());
    }
    elf(&code, &data, None)
}

/// One thing that a guest does; it exits with status 1 where a system call fails.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    /// Prints text.
    Print(&'a str),
    /// Makes a file with this content, or replaces it.
    Write(&'a str, &'a str),
    /// Removes a file.
    Remove(&'a str),
    /// Ends with a status.
    Exit(u8),
}

impl Step<'_> {
    fn data(&self) -> Vec<u8> {
        match self {
            Self::Print(text) => text.as_bytes().to_vec(),
            Self::Write(path, text) => [path.as_bytes(), b"\0", text.as_bytes()].concat(),
            Self::Remove(path) => [path.as_bytes(), b"\0"].concat(),
            Self::Exit(_) => Vec::new(),
        }
    }

    fn code(&self, data: u32) -> Vec<u8> {
        // test eax, eax; jns over; mov eax, 1; mov ebx, eax; int 0x80
        const CHECK: &[u8] = &[0x85, 0xc0, 0x79, 9, 0xb8, 1, 0, 0, 0, 0x89, 0xc3, 0xcd, 0x80];
        let load = |register: u8, value: u32| [&[0xb8 + register][..], &value.to_le_bytes()].concat();
        let (eax, ecx, edx, ebx) = (0, 1, 2, 3);
        let call: &[u8] = &[0xcd, 0x80];
        match self {
            Self::Print(text) => {
                let length = text.len() as u32;
                [
                    load(eax, 4),
                    load(ebx, 1),
                    load(ecx, data),
                    load(edx, length),
                    call.to_vec(),
                    CHECK.to_vec(),
                ]
                .concat()
            }
            Self::Write(path, text) => {
                // O_WRONLY, O_CREAT, O_TRUNC
                let open =
                    [load(eax, 5), load(ebx, data), load(ecx, 0o1101), load(edx, 0o644), call.to_vec()];
                let text_at = data.wrapping_add(path.len() as u32 + 1);
                let write =
                    [vec![0x89, 0xc3], load(eax, 4), load(ecx, text_at), load(edx, text.len() as u32)];
                [open.concat(), CHECK.to_vec(), write.concat(), call.to_vec(), CHECK.to_vec()].concat()
            }
            Self::Remove(_) => [load(eax, 10), load(ebx, data), call.to_vec(), CHECK.to_vec()].concat(),
            Self::Exit(status) => [load(eax, 1), load(ebx, (*status).into()), call.to_vec()].concat(),
        }
    }
}

/// A program that does these things, and ends with status 0.
pub(crate) fn doing(steps: &[Step<'_>]) -> Vec<u8> {
    program(&[steps, &[Step::Exit(0)]].concat())
}

/// A program that prints a line.
pub(crate) fn saying(line: &str) -> Vec<u8> {
    doing(&[Step::Print(line), Step::Print("\n")])
}

/// A program that wants this interpreter, as every dynamically linked one does.
pub(crate) fn dynamic(interpreter: &str) -> Vec<u8> {
    elf(&[0xcc], b"", Some(interpreter))
}

/// The program of the sources that prints its arguments and environment.
pub(crate) fn arguments() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/programs/arguments")).unwrap()
}
