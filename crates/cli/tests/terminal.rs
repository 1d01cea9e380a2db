//! An interactive shell as a person meets it: `pentimento run --root ROOT /bin/bash` on a terminal
//! of the host, driven key by key.
//!
//! The root is the one that `cargo xtask guests` fetches; without it these tests say SKIPPED.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

#[path = "../../conformance/src/skip.rs"]
mod skip;

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use skip::skip;

/// How long a person would wait at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// The prompt.
const PROMPT: &str = "P> ";

const LEFT: &str = "\x1b[D";
const RIGHT: &str = "\x1b[C";
const UP: &str = "\x1b[A";
const HOME: &str = "\x1b[H";
const END: &str = "\x1b[F";

/// The shell, and the terminal that it runs on.
struct Terminal {
    shell: Child,
    master: File,
    /// Everything that the terminal has been sent.
    received: Vec<u8>,
    /// How much of [`shown`] of it has been looked at.
    position: usize,
    /// The terminal's modes before the start.
    before: Termios,
}

impl Terminal {
    /// Starts the shell and waits for its prompt; `None` where there is no root.
    fn open() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/debian");
        if !root.join("lib/terminfo/x/xterm").exists() {
            skip("the terminal tests", "there is no guests/debian; `cargo xtask guests` fetches it");
            return None;
        }
        let mut terminal = Self::launch(
            ["run", "--cwd", "/tmp", "--env", "TERM=xterm", "--env", "PS1=P> ", "--root"]
                .map(OsStr::new)
                .into_iter()
                .chain([root.as_os_str()])
                .chain(["/bin/bash", "--norc", "--noprofile"].map(OsStr::new)),
        );
        terminal.expect(PROMPT);
        Some(terminal)
    }

    /// Starts the command on a terminal of its own.
    fn launch<'a>(arguments: impl IntoIterator<Item = &'a OsStr>) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let streams = OpenOptions::new().read(true).write(true).open(&name).unwrap();
        let before = tcgetattr(&streams).unwrap();
        let stream = || Stdio::from(streams.try_clone().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_pentimento"));
        resize(&master, 24, 80);
        let command = command.args(arguments).stdin(stream()).stdout(stream()).stderr(stream());
        let shell = command.spawn().unwrap();
        Self { shell, master: File::from(master), received: Vec::new(), position: 0, before }
    }

    /// Presses keys.
    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `text` is shown, behind what was waited for before.
    fn expect(&mut self, text: &str) {
        let found = self.shows(text, PATIENCE);
        let shown = shown(&self.received);
        assert!(found, "{text:?} does not come; since the last match: {:?}", &shown[self.position..]);
    }

    /// Whether `text` is shown within `time`.
    fn shows(&mut self, text: &str, time: Duration) -> bool {
        let start = Instant::now();
        loop {
            let shown = shown(&self.received);
            if let Some(found) = shown[self.position..].find(text) {
                self.position += found + text.len();
                return true;
            }
            if start.elapsed() > time || !self.receive(Duration::from_millis(50)) {
                return false;
            }
        }
    }

    /// Presses keys again and again until `text` is shown: while a job gets the terminal, keys may
    /// still be the shell's.
    fn press_until(&mut self, keys: &str, text: &str) {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            self.press(keys);
            if self.shows(text, Duration::from_millis(500)) {
                return;
            }
        }
        self.expect(text);
    }

    /// Types a line, and waits for its output and the next prompt.
    fn line(&mut self, line: &str, output: &str) {
        self.press(&format!("{line}\r"));
        self.expect(&format!("\n{output}{PROMPT}"));
    }

    /// Starts a script as a job, and waits until keys are its own: the shell gives the terminal to it
    /// only after it has shown the line.
    fn start(&mut self, script: &str) {
        self.press(&format!("bash -c 'echo ready; {script}'\r"));
        self.expect("\nready\n");
    }

    /// Takes what comes within `timeout`; `false` at the end.
    fn receive(&mut self, timeout: Duration) -> bool {
        let timeout = Timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() };
        let mut descriptors = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut descriptors, Some(&timeout)).unwrap() == 0 {
            return true;
        }
        let mut buffer = [0; 4096];
        // The end of the last process on a terminal is EIO here.
        let read = self.master.read(&mut buffer).unwrap_or(0);
        self.received.extend_from_slice(&buffer[..read]);
        read > 0
    }

    /// The exit code of the command, which must leave the terminal as it was.
    fn close(mut self, keys: &str) -> Option<i32> {
        self.press(keys);
        let start = Instant::now();
        loop {
            self.receive(Duration::from_millis(20));
            if let Some(status) = self.shell.try_wait().unwrap() {
                let after = tcgetattr(&self.master).unwrap();
                assert_eq!(modes(&after), modes(&self.before), "the terminal's modes");
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "the shell does not end");
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended unless the test fails.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn resize(terminal: impl rustix::fd::AsFd, rows: u16, columns: u16) {
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

fn modes(modes: &Termios) -> [u32; 4] {
    [
        modes.input_modes.bits(),
        modes.output_modes.bits(),
        modes.control_modes.bits(),
        modes.local_modes.bits(),
    ]
}

/// What is printed, without the sequences that move the cursor and choose colours (ECMA-48, 5.4),
/// and without carriage returns. A sequence whose end has not come yet ends it.
fn shown(received: &[u8]) -> String {
    let mut text = Vec::new();
    let mut bytes = received.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            0x1b => match bytes.next() {
                Some(b'[') => while bytes.next().is_some_and(|byte| !(0x40..=0x7e).contains(&byte)) {},
                Some(b'(' | b')' | b'#') => _ = bytes.next(),
                _ => {}
            },
            b'\r' => {}
            byte => text.push(byte),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn lines_are_edited_and_remembered() {
    let Some(mut terminal) = Terminal::open() else { return };
    #[rustfmt::skip]
    let cases: &[(String, &str)] = &[
        ("echo plain".into(),                              "plain\n"),
        (format!("ecXo left{}\x7fh", LEFT.repeat(6)),      "left\n"),
        (format!("cho home{HOME}e"),                       "home\n"),
        (format!("cho end{HOME}e{END} of line"),           "end of line\n"),
        ("cho a\x01e\x05 e".into(),                        "a e\n"),
        (format!("echo kept cut{}\x0b", LEFT.repeat(4)),   "kept\n"),
        (format!("echo one tow{LEFT}{LEFT}{RIGHT}\x14"),   "one two\n"),
        ("echo x word\x17\x15echo again".into(),           "again\n"),
        (UP.into(),                                        "again\n"),
        (format!("{UP}{UP}{UP}"),                          "one two\n"),
        ("\x12kept\x1b\x05 found".into(),                  "kept found\n"),
        ("ech\tcomplete".into(),                         "complete\n"),
    ];
    for (keys, output) in cases {
        terminal.line(keys, output);
    }
    assert_eq!(terminal.close("exit 3\r"), Some(3));
}

#[test]
fn keys_interrupt_stop_and_continue_jobs() {
    let Some(mut terminal) = Terminal::open() else { return };
    terminal.start("sleep 1000");
    terminal.press("\x03");
    terminal.expect("^C\nP> ");
    terminal.line("echo $?", "130\n");
    terminal.start("sleep 2000");
    terminal.press("\x1a");
    terminal.expect("Stopped                 bash -c 'echo ready; sleep 2000'\nP> ");
    terminal.press("jobs\r");
    terminal.expect("Stopped                 bash -c 'echo ready; sleep 2000'\nP> ");
    terminal.line("bg", "[1]+ bash -c 'echo ready; sleep 2000' &\n");
    terminal.press("jobs\r");
    terminal.expect("Running                 bash -c 'echo ready; sleep 2000' &\nP> ");
    terminal.press("fg\r");
    terminal.expect("\nbash -c 'echo ready; sleep 2000'\n");
    terminal.press_until("\x03", "^C\nP> ");
    terminal.line("jobs", "");
    terminal.start("exec cat");
    terminal.press("there\r");
    terminal.expect("there\nthere\n");
    terminal.press("\x1c");
    terminal.expect("^\\Quit\nP> ");
    assert_eq!(terminal.close("\x04"), Some(131));
}

#[test]
fn programs_read_edited_lines_until_the_end_key() {
    let Some(mut terminal) = Terminal::open() else { return };
    terminal.start("cat");
    terminal.press("firsx\x7ft\r");
    terminal.expect("\nfirst\n");
    terminal.press("gone\x15second\r");
    terminal.expect("\nsecond\n");
    terminal.press("\x04");
    terminal.expect(PROMPT);
    terminal.start("stty -echo; echo secret:; read secret; stty echo; echo got $secret");
    terminal.expect("secret:\n");
    terminal.press("hidden\r");
    terminal.expect("got hidden\nP> ");
    terminal.line("tty; test -t 0 && echo terminal", "/dev/console\nterminal\n");
    assert_eq!(terminal.close("exit\r"), Some(0));
}

#[test]
fn a_new_size_is_signalled() {
    let Some(mut terminal) = Terminal::open() else { return };
    terminal.line("stty size", "24 80\n");
    terminal.line("trap 'echo changed' WINCH", "");
    resize(&terminal.master, 40, 100);
    terminal.expect("changed\n");
    terminal.press("\r");
    terminal.expect(PROMPT);
    terminal.line("stty size", "40 100\n");
    terminal.line("echo $COLUMNS x $LINES", "100 x 40\n");
    terminal.press("less /etc/terminfo/README /usr/share/perl/5.36/perl5db.pl\r");
    terminal.expect("README");
    resize(&terminal.master, 10, 60);
    terminal.press("q");
    terminal.expect(PROMPT);
    terminal.line("stty size", "10 60\n");
    assert_eq!(terminal.close("exit\r"), Some(0));
}

#[test]
fn full_screen_programs_show_the_system() {
    let Some(mut terminal) = Terminal::open() else { return };
    for (command, shown) in [
        ("top", ["load average", "COMMAND", "bash", "top"]),
        ("busybox top", ["Mem:", "COMMAND", "bash", "top"]),
    ] {
        terminal.press(&format!("{command}\r"));
        for text in shown {
            terminal.expect(text);
        }
        terminal.press("q");
        terminal.expect(PROMPT);
    }
    terminal.press("seq 1000 | less\r");
    terminal.expect("\n23\n:");
    terminal.press(" ");
    terminal.expect("\n46\n:");
    terminal.press("G");
    terminal.expect("\n1000\n");
    terminal.press("?^50$\r");
    terminal.expect("\n50\n");
    terminal.press("q");
    terminal.expect(PROMPT);
    assert_eq!(terminal.close("exit\r"), Some(0));
}

#[test]
fn editors_write_what_was_typed() {
    let Some(mut terminal) = Terminal::open() else { return };
    terminal.press("vi text\r");
    terminal.expect("\"text\" [New File]");
    terminal.press("ihello vi\rbye\x1b");
    terminal.expect("bye");
    terminal.press(":%s/bye/goodbye/\rggyyp:wq\r");
    terminal.expect("written");
    terminal.expect(PROMPT);
    terminal.line("cat text", "hello vi\nhello vi\ngoodbye\n");
    terminal.press("busybox vi text\r");
    terminal.expect("1/3");
    terminal.press("ddobetween\x1b");
    terminal.expect("between");
    // An escape key that others follow at once is another key.
    std::thread::sleep(Duration::from_millis(200));
    terminal.press(":wq\r");
    terminal.expect(PROMPT);
    terminal.line("cat text", "hello vi\nbetween\ngoodbye\n");
    assert_eq!(terminal.close("exit\r"), Some(0));
}

/// A guest on a terminal learns its type, whatever the host's variables are; elsewhere there is none.
#[test]
fn a_guest_on_a_terminal_is_told_its_type() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/programs/arguments");
    let mut terminal = Terminal::launch(["run", program].map(OsStr::new));
    terminal.expect("= TERM=");
    terminal.shell.wait().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pentimento"));
    let output = command.args(["run", program]).env("TERM", "host").output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.contains("= PATH=") && !output.contains("TERM="), "{output}");
}
