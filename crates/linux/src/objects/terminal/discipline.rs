//! A terminal's line discipline (termios(3)): what typed bytes become on their way to the program,
//! and printed ones on their way to the screen.

use std::collections::VecDeque;

use crate::host::TerminalSize;
use crate::record::Record;
use crate::wait::Channel;

/// Bytes of one line that is being typed (MAX_CANON).
const LINE_MAX: usize = 4096;

/// Bytes that wait on either side at most.
const BUFFER_MAX: usize = 65_536;

/// Input modes (`c_iflag`).
mod input {
    pub(crate) const ISTRIP: u32 = 0o40;
    pub(crate) const INLCR: u32 = 0o100;
    pub(crate) const IGNCR: u32 = 0o200;
    pub(crate) const ICRNL: u32 = 0o400;
    pub(crate) const IXON: u32 = 0o2000;
    pub(crate) const IXANY: u32 = 0o4000;
    pub(crate) const IUTF8: u32 = 0o40000;
}

/// Output modes (`c_oflag`).
mod output {
    pub(crate) const OPOST: u32 = 0o1;
    pub(crate) const ONLCR: u32 = 0o4;
    pub(crate) const OCRNL: u32 = 0o10;
}

/// Local modes (`c_lflag`).
mod local {
    pub(crate) const ISIG: u32 = 0o1;
    pub(crate) const ICANON: u32 = 0o2;
    pub(crate) const ECHO: u32 = 0o10;
    pub(crate) const ECHOE: u32 = 0o20;
    pub(crate) const ECHOK: u32 = 0o40;
    pub(crate) const ECHONL: u32 = 0o100;
    pub(crate) const NOFLSH: u32 = 0o200;
    pub(crate) const TOSTOP: u32 = 0o400;
    pub(crate) const ECHOCTL: u32 = 0o1000;
    pub(crate) const IEXTEN: u32 = 0o100000;
}

/// Places in `c_cc`.
mod control {
    pub(crate) const VINTR: usize = 0;
    pub(crate) const VQUIT: usize = 1;
    pub(crate) const VERASE: usize = 2;
    pub(crate) const VKILL: usize = 3;
    pub(crate) const VEOF: usize = 4;
    pub(crate) const VTIME: usize = 5;
    pub(crate) const VMIN: usize = 6;
    pub(crate) const VSTART: usize = 8;
    pub(crate) const VSTOP: usize = 9;
    pub(crate) const VSUSP: usize = 10;
    pub(crate) const VEOL: usize = 11;
    pub(crate) const VREPRINT: usize = 12;
    pub(crate) const VWERASE: usize = 14;
    pub(crate) const VLNEXT: usize = 15;
    pub(crate) const VEOL2: usize = 16;
}

/// A terminal's modes: `struct termios` of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Modes {
    pub(crate) input: u32,
    pub(crate) output: u32,
    pub(crate) control: u32,
    pub(crate) local: u32,
    pub(crate) line: u8,
    pub(crate) characters: [u8; 19],
}

impl Default for Modes {
    /// As after login: lines, echo, signals.
    fn default() -> Self {
        Self {
            input: input::ICRNL | input::IXON | input::IUTF8,
            output: output::OPOST | output::ONLCR,
            // 38400 baud, 8 bits, receiver on.
            control: 0xbf,
            // ISIG, ICANON, ECHO, ECHOE, ECHOK, ECHOCTL, ECHOKE, IEXTEN.
            local: 0x8a3b,
            line: 0,
            characters: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0],
        }
    }
}

impl Modes {
    /// Bytes of `struct termios`.
    pub(crate) const SIZE: usize = 36;

    /// The guest's structure.
    pub(crate) fn record(&self) -> Record {
        Record::new()
            .u32(self.input)
            .u32(self.output)
            .u32(self.control)
            .u32(self.local)
            .u8(self.line)
            .bytes(&self.characters)
    }

    /// The inverse of [`Modes::record`].
    pub(crate) fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut characters = [0; 19];
        characters.copy_from_slice(&bytes[17..36]);
        Self {
            input: word(0),
            output: word(4),
            control: word(8),
            local: word(12),
            line: bytes[16],
            characters,
        }
    }
}

/// A signal that a typed character stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Typed {
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGTSTP.
    Suspend,
}

/// A terminal.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    /// The number under `/dev/pts`; `None` for the machine's own.
    pub(crate) number: Option<u32>,
    pub(crate) modes: Modes,
    pub(crate) size: TerminalSize,
    /// What can be read; in line mode only whole lines.
    ready: VecDeque<u8>,
    /// Lengths of the lines in `ready`; an end of input is a line of no bytes.
    lines: VecDeque<usize>,
    /// The line that is being typed.
    edit: Vec<u8>,
    /// What has been printed and not yet fetched.
    printed: VecDeque<u8>,
    /// The next character is taken as it is.
    literal: bool,
    /// Output was stopped with Ctrl-S.
    pub(crate) stopped: bool,
    /// The foreground process group; 0 for none.
    pub(crate) foreground: u32,
    /// The session whose controlling terminal it is; 0 for none.
    pub(crate) session: u32,
    /// Open descriptions of the side of programs.
    pub(crate) slaves: u32,
    /// Open descriptions of the other side.
    pub(crate) masters: u32,
    /// The side of programs has been open before.
    pub(crate) was_opened: bool,
    /// The side of programs cannot be opened yet (TIOCSPTLCK).
    pub(crate) locked: bool,
    /// When a read that waits for a limited time began to wait.
    waiting_since: Option<u64>,
    pub(crate) channel: Channel,
}

/// What reading gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TerminalRead {
    /// So many bytes; none is the end of input.
    Bytes(usize),
    /// The reader waits, until this monotonic time if any.
    Wait(Option<u64>),
}

impl Terminal {
    /// A terminal that nobody has opened.
    pub(crate) fn new(number: Option<u32>, size: TerminalSize, channel: Channel) -> Self {
        Self {
            number,
            modes: Modes::default(),
            size,
            ready: VecDeque::new(),
            lines: VecDeque::new(),
            edit: Vec::new(),
            printed: VecDeque::new(),
            literal: false,
            stopped: false,
            foreground: 0,
            session: 0,
            slaves: 0,
            masters: 0,
            was_opened: false,
            locked: number.is_some(),
            waiting_since: None,
            channel,
        }
    }

    fn has(&self, mode: u32) -> bool {
        self.modes.local & mode != 0
    }

    fn is(&self, byte: u8, which: usize) -> bool {
        // 0 is _POSIX_VDISABLE: no character.
        byte != 0 && self.modes.characters[which] == byte
    }

    /// Whether background output stops its writer (TOSTOP).
    pub(crate) fn stops_background_output(&self) -> bool {
        self.has(local::TOSTOP)
    }

    /// Changes the modes. Leaving line mode makes what was typed so far readable.
    pub(crate) fn set_modes(&mut self, modes: Modes, discard_input: bool) {
        if discard_input {
            self.discard_input();
        }
        if self.has(local::ICANON) && modes.local & local::ICANON == 0 {
            self.ready.extend(self.edit.drain(..));
            self.lines.clear();
        } else if !self.has(local::ICANON) && modes.local & local::ICANON != 0 && !self.ready.is_empty() {
            self.lines.push_back(self.ready.len());
        }
        self.modes = modes;
    }

    /// Forgets what was typed (TCIFLUSH).
    pub(crate) fn discard_input(&mut self) {
        self.ready.clear();
        self.lines.clear();
        self.edit.clear();
    }

    /// Forgets what was printed (TCOFLUSH).
    pub(crate) fn discard_output(&mut self) {
        self.printed.clear();
    }

    /// Bytes that a read would give.
    pub(crate) fn readable(&self) -> usize {
        if self.has(local::ICANON) { self.lines.iter().sum() } else { self.ready.len() }
    }

    /// Whether a read would not wait.
    pub(crate) fn is_readable(&self) -> bool {
        if self.has(local::ICANON) {
            return !self.lines.is_empty();
        }
        let least = usize::from(self.modes.characters[control::VMIN]);
        let timed = self.modes.characters[control::VTIME] != 0;
        self.ready.len() >= if timed { 1 } else { least.max(1) }
    }

    /// Bytes that have been printed and not fetched.
    pub(crate) fn printed(&self) -> usize {
        self.printed.len()
    }

    /// Bytes that wait on either side, and of the line that is being typed.
    pub(crate) fn buffered(&self) -> usize {
        self.ready.len() + self.edit.len() + self.printed.len()
    }

    /// Bytes that can be printed now.
    pub(crate) fn room(&self) -> usize {
        if self.stopped { 0 } else { BUFFER_MAX.saturating_sub(self.printed.len()) }
    }

    /// Takes a typed byte; the signal that it stands for, if it does.
    pub(crate) fn type_byte(&mut self, byte: u8) -> Option<Typed> {
        let mut byte = if self.modes.input & input::ISTRIP != 0 { byte & 0x7f } else { byte };
        if std::mem::take(&mut self.literal) {
            self.accept(byte);
            return None;
        }
        if self.modes.input & input::IXON != 0 {
            if self.is(byte, control::VSTOP) {
                self.stopped = true;
                return None;
            }
            let any = self.stopped && self.modes.input & input::IXANY != 0;
            if self.is(byte, control::VSTART) || any {
                self.stopped = false;
                if !any {
                    return None;
                }
            }
        }
        if self.has(local::ISIG)
            && let Some(typed) = self.signal_of(byte)
        {
            if !self.has(local::NOFLSH) {
                self.discard_input();
                self.discard_output();
            }
            self.echo(byte);
            return Some(typed);
        }
        match byte {
            b'\r' if self.modes.input & input::IGNCR != 0 => return None,
            b'\r' if self.modes.input & input::ICRNL != 0 => byte = b'\n',
            b'\n' if self.modes.input & input::INLCR != 0 => byte = b'\r',
            _ => {}
        }
        if self.has(local::ICANON) {
            self.edit_line(byte)
        } else {
            self.accept(byte)
        }
        None
    }

    fn signal_of(&self, byte: u8) -> Option<Typed> {
        if self.is(byte, control::VINTR) {
            Some(Typed::Interrupt)
        } else if self.is(byte, control::VQUIT) {
            Some(Typed::Quit)
        } else if self.is(byte, control::VSUSP) {
            Some(Typed::Suspend)
        } else {
            None
        }
    }

    /// Takes a byte without any meaning of its own.
    fn accept(&mut self, byte: u8) {
        if self.has(local::ICANON) {
            if self.edit.len() < LINE_MAX - 1 {
                self.edit.push(byte);
                self.echo(byte);
            }
        } else if self.ready.len() < BUFFER_MAX {
            self.ready.push_back(byte);
            self.echo(byte);
        }
    }

    /// Line mode: editing characters, ends of lines, and everything else.
    fn edit_line(&mut self, byte: u8) {
        let extended = self.has(local::IEXTEN);
        if self.is(byte, control::VERASE) {
            self.erase(1);
        } else if self.is(byte, control::VKILL) {
            self.erase(usize::MAX);
            if self.has(local::ECHOK) && !self.has(local::ECHOE) {
                self.print(b"\n");
            }
        } else if extended && self.is(byte, control::VWERASE) {
            let blanks = self.edit.iter().rev().take_while(|byte| **byte == b' ').count();
            let word = self.edit.iter().rev().skip(blanks).take_while(|byte| **byte != b' ').count();
            self.erase(blanks + word);
        } else if extended && self.is(byte, control::VLNEXT) {
            self.literal = true;
        } else if extended && self.is(byte, control::VREPRINT) {
            let line = self.edit.clone();
            self.echo(byte);
            self.print(b"\n");
            self.print(&line);
        } else if self.is(byte, control::VEOF) {
            self.finish_line();
        } else if byte == b'\n' || self.is(byte, control::VEOL) || self.is(byte, control::VEOL2) {
            self.edit.push(byte);
            if self.has(local::ECHO) || byte == b'\n' && self.has(local::ECHONL) {
                self.print(&[byte]);
            }
            self.finish_line();
        } else {
            self.accept(byte);
        }
    }

    fn finish_line(&mut self) {
        if self.ready.len() + self.edit.len() > BUFFER_MAX {
            self.edit.clear();
            return;
        }
        self.lines.push_back(self.edit.len());
        self.ready.extend(self.edit.drain(..));
    }

    /// Takes back up to `count` characters of the line that is being typed.
    fn erase(&mut self, count: usize) {
        for _ in 0..count.min(self.edit.len()) {
            let Some(mut byte) = self.edit.pop() else { return };
            if self.modes.input & input::IUTF8 != 0 {
                // Bytes 10xxxxxx continue a character.
                while byte & 0xc0 == 0x80
                    && let Some(before) = self.edit.pop()
                {
                    byte = before;
                }
            }
            if self.has(local::ECHO) && self.has(local::ECHOE) {
                let columns = if byte < 0x20 && byte != b'\t' { 2 } else { 1 };
                for _ in 0..columns {
                    self.print(b"\x08 \x08");
                }
            } else {
                self.echo(self.modes.characters[control::VERASE]);
            }
        }
    }

    fn echo(&mut self, byte: u8) {
        if !self.has(local::ECHO) {
            return;
        }
        let shown_as_is = !matches!(byte, 0..0x20 | 0x7f) || matches!(byte, b'\n' | b'\t');
        if shown_as_is || !self.has(local::ECHOCTL) {
            self.print(&[byte]);
        } else {
            self.print(&[b'^', byte ^ 0x40]);
        }
    }

    /// Prints, with what output modes make of it, as far as there is room; says how many bytes of
    /// `bytes` that was.
    pub(crate) fn print(&mut self, bytes: &[u8]) -> usize {
        let processed = self.modes.output & output::OPOST != 0;
        for (done, byte) in bytes.iter().copied().enumerate() {
            if self.printed.len() + 2 > BUFFER_MAX {
                return done;
            }
            match byte {
                b'\n' if processed && self.modes.output & output::ONLCR != 0 => {
                    self.printed.extend(b"\r\n");
                }
                b'\r' if processed && self.modes.output & output::OCRNL != 0 => {
                    self.printed.push_back(b'\n');
                }
                byte => self.printed.push_back(byte),
            }
        }
        bytes.len()
    }

    /// Fetches what was printed: the side of the screen.
    pub(crate) fn fetch(&mut self, buffer: &mut [u8]) -> usize {
        let length = buffer.len().min(self.printed.len());
        for (target, byte) in buffer.iter_mut().zip(self.printed.drain(..length)) {
            *target = byte;
        }
        length
    }

    /// Reads what was typed: the side of programs.
    pub(crate) fn read(&mut self, buffer: &mut [u8], now: u64) -> TerminalRead {
        if buffer.is_empty() {
            return TerminalRead::Bytes(0);
        }
        if self.has(local::ICANON) {
            let Some(line) = self.lines.front_mut() else { return TerminalRead::Wait(None) };
            let length = buffer.len().min(*line);
            *line -= length;
            if *line == 0 {
                self.lines.pop_front();
            }
            return TerminalRead::Bytes(self.take(&mut buffer[..length]));
        }
        let [time, least] =
            [control::VTIME, control::VMIN].map(|which| usize::from(self.modes.characters[which]));
        if self.ready.len() >= least.min(buffer.len()) && (least > 0 || time == 0 || !self.ready.is_empty()) {
            self.waiting_since = None;
            return TerminalRead::Bytes(self.take(buffer));
        }
        if time == 0 || least > 0 && self.ready.is_empty() {
            return TerminalRead::Wait(None);
        }
        let since = *self.waiting_since.get_or_insert(now);
        let deadline = since + time as u64 * 100_000_000;
        if now >= deadline {
            self.waiting_since = None;
            return TerminalRead::Bytes(self.take(buffer));
        }
        TerminalRead::Wait(Some(deadline))
    }

    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let length = buffer.len().min(self.ready.len());
        for (target, byte) in buffer.iter_mut().zip(self.ready.drain(..length)) {
            *target = byte;
        }
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal() -> Terminal {
        Terminal::new(Some(0), TerminalSize { rows: 24, columns: 80 }, Channel::Console)
    }

    /// Types bytes; what can then be read, line by line, and what is on the screen.
    fn typed(terminal: &mut Terminal, bytes: &[u8]) -> (Vec<String>, String) {
        for byte in bytes {
            terminal.type_byte(*byte);
        }
        let (mut lines, mut buffer) = (Vec::new(), [0; 4096]);
        while let TerminalRead::Bytes(length) = terminal.read(&mut buffer, 0) {
            lines.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        let length = terminal.fetch(&mut buffer);
        (lines, String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    #[test]
    fn lines_are_edited_before_they_are_read() {
        #[rustfmt::skip]
        let cases: [(&str, &[u8], &[&str], &str); 9] = [
            ("a line",        b"ls\r",            &["ls\n"],       "ls\r\n"),
            ("nothing yet",   b"ls",              &[],             "ls"),
            ("erase",         b"lx\x7fs\r",       &["ls\n"],       "lx\x08 \x08s\r\n"),
            ("erase nothing", b"\x7fa\r",         &["a\n"],        "a\r\n"),
            ("kill",          b"ab\x15c\r",       &["c\n"],        "ab\x08 \x08\x08 \x08c\r\n"),
            ("erase a word",  b"a bc \x17d\r",    &["a d\n"],      "a bc \x08 \x08\x08 \x08\x08 \x08d\r\n"),
            ("end of input",  b"a\x04\x04",       &["a", ""],      "a"),
            ("literal",       b"\x16\x03\r",      &["\x03\n"],     "^C\r\n"),
            ("two lines",     b"a\rb\r",          &["a\n", "b\n"], "a\r\nb\r\n"),
        ];
        for (what, bytes, lines, screen) in cases {
            let (read, shown) = typed(&mut terminal(), bytes);
            assert_eq!(
                (read, shown.as_str()),
                (lines.iter().map(ToString::to_string).collect(), screen),
                "{what}"
            );
        }
    }

    #[test]
    fn utf_8_is_erased_by_character() {
        let (read, _) = typed(&mut terminal(), "aé\x7fb\r".as_bytes());
        assert_eq!(read, ["ab\n"]);
    }

    #[test]
    fn control_characters_are_signals() {
        let mut terminal = terminal();
        terminal.type_byte(b'x');
        assert_eq!(terminal.type_byte(3), Some(Typed::Interrupt));
        assert_eq!(terminal.type_byte(28), Some(Typed::Quit));
        assert_eq!(terminal.type_byte(26), Some(Typed::Suspend));
        assert_eq!(typed(&mut terminal, b"\r").0, ["\n"], "the line before is gone");
        let raw = Modes { local: 0, ..Modes::default() };
        terminal.set_modes(raw, false);
        assert_eq!(terminal.type_byte(3), None);
    }

    #[test]
    fn raw_mode_gives_bytes_as_they_come() {
        let mut terminal = terminal();
        terminal.set_modes(Modes { local: 0, input: 0, ..Modes::default() }, false);
        let mut buffer = [0; 8];
        assert_eq!(terminal.read(&mut buffer, 0), TerminalRead::Wait(None));
        terminal.type_byte(b'\r');
        assert_eq!(terminal.read(&mut buffer, 0), TerminalRead::Bytes(1));
        assert_eq!((buffer[0], terminal.printed()), (b'\r', 0));
        let mut characters = Modes::default().characters;
        (characters[control::VMIN], characters[control::VTIME]) = (0, 2);
        terminal.set_modes(Modes { characters, ..terminal.modes }, false);
        assert_eq!(terminal.read(&mut buffer, 1000), TerminalRead::Wait(Some(200_001_000)));
        assert_eq!(terminal.read(&mut buffer, 200_001_000), TerminalRead::Bytes(0));
    }
}
