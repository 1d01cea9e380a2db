//! Standard streams, clock and random numbers of a machine that is recorded or replayed. Each has the host's
//! side if there is one.

use std::io;
use std::time::Duration;

use pentimento_linux::host::{Clock, Entropy, Input, Output, TerminalSize};

use super::tape::Tape;

/// What a stream's answers begin with: all went well, or which error.
const DONE: u8 = 0;
const BROKEN_PIPE: u8 = 1;
const FAILED: u8 = 2;

fn encode_size(size: Option<TerminalSize>) -> Vec<u8> {
    let bytes = |size: TerminalSize| [size.rows.to_le_bytes(), size.columns.to_le_bytes()].concat();
    size.map_or_else(Vec::new, bytes)
}

fn decode_size(answer: &[u8]) -> Option<TerminalSize> {
    let [a, b, c, d] = *answer else { return None };
    Some(TerminalSize { rows: u16::from_le_bytes([a, b]), columns: u16::from_le_bytes([c, d]) })
}

/// Standard input.
pub(super) struct TapedInput {
    pub(super) host: Option<Box<dyn Input>>,
    pub(super) tape: Tape,
}

impl Input for TapedInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ask = || {
            let read = self.host.as_mut().map(|host| host.read(buffer));
            match read? {
                Ok(read) => Some([&[DONE], &buffer[..read.min(buffer.len())]].concat()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                Err(_) => Some(vec![FAILED]),
            }
        };
        let answer = self.tape.news(b"input", &mut ask);
        match answer.as_deref() {
            Some([DONE, bytes @ ..]) => {
                let length = bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&bytes[..length]);
                Ok(length)
            }
            Some(_) => Err(io::ErrorKind::Other.into()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        if self.tape.is_past() {
            let asks = timeout == Some(Duration::ZERO);
            // Who would sleep need not: what comes next is known.
            return Ok(!asks || self.tape.has_news(b"ready") || self.tape.has_news(b"input"));
        }
        let ready = self.host.as_mut().map_or(Ok(true), |host| host.wait(timeout))?;
        if ready && timeout == Some(Duration::ZERO) && !self.tape.has_news(b"ready") {
            self.tape.news(b"ready", || Some(Vec::new()));
        }
        Ok(ready)
    }

    fn terminal_size(&self) -> Option<TerminalSize> {
        let ask = || encode_size(self.host.as_ref().and_then(|host| host.terminal_size()));
        decode_size(&self.tape.fact(b"input size", ask).unwrap_or_default())
    }

    fn take_control(&mut self) -> bool {
        let host = &mut self.host;
        let ask = || vec![u8::from(host.as_mut().is_some_and(|host| host.take_control()))];
        self.tape.call(b"control", ask) == Some(vec![1])
    }

    fn rewinds(&self) -> bool {
        true
    }
}

/// Standard output or error. A replayed machine has one to write to, too; what it took then it takes again.
pub(super) struct TapedOutput {
    pub(super) host: Box<dyn Output>,
    pub(super) tape: Tape,
    /// The stream's number, 1 or 2.
    pub(super) stream: u8,
}

impl Output for TapedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let question = [b'o', self.stream];
        let heard = self.tape.is_heard();
        let past = self.tape.is_past() && !heard;
        let host = &mut self.host;
        // Only what is out of the ordinary is news.
        let mut ask = || match if heard { Ok(bytes.len()) } else { host.write(bytes) } {
            Ok(written) if written >= bytes.len() => None,
            Ok(written) => Some([&[DONE][..], &(written as u64).to_le_bytes()].concat()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Some(vec![BROKEN_PIPE]),
            Err(_) => Some(vec![FAILED]),
        };
        let answer = self.tape.news(&question, &mut ask);
        let taken = match answer.as_deref() {
            None => bytes.len(),
            Some([DONE, count @ ..]) => {
                let count = count.try_into().map_or(0, u64::from_le_bytes);
                usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len())
            }
            Some([BROKEN_PIPE, ..]) => return Err(io::ErrorKind::BrokenPipe.into()),
            Some(_) => return Err(io::ErrorKind::Other.into()),
        };
        if past {
            let mut rest = &bytes[..taken];
            while !rest.is_empty()
                && let Ok(written @ 1..) = self.host.write(rest)
            {
                rest = rest.get(written..).unwrap_or_default();
            }
        }
        Ok(taken)
    }

    fn terminal_size(&self) -> Option<TerminalSize> {
        let ask = || encode_size(self.host.terminal_size());
        decode_size(&self.tape.fact(&[b's', self.stream], ask).unwrap_or_default())
    }
}

/// The clock.
pub(super) struct TapedClock {
    host: Option<Box<dyn Clock>>,
    tape: Tape,
    /// What the monotonic clock of a machine from a file is ahead of this host's.
    ahead: Duration,
}

impl TapedClock {
    /// The clock of a machine whose monotonic time goes on from the end of its tape.
    pub(super) fn new(mut host: Option<Box<dyn Clock>>, tape: Tape) -> Self {
        let last = tape.last(b"monotonic").as_deref().map_or(Duration::ZERO, decode_time);
        let now = host.as_mut().map(|host| host.monotonic()).unwrap_or_default();
        Self { host, ahead: last.saturating_sub(now), tape }
    }

    fn read(&mut self, question: &[u8], ask: impl Fn(&mut dyn Clock) -> Duration) -> Duration {
        let host = &mut self.host;
        let ask = || {
            let time = host.as_mut().map(|host| ask(host.as_mut())).unwrap_or_default();
            (time.as_nanos() as u64).to_le_bytes().to_vec()
        };
        let answer = self.tape.standing(question, ask);
        decode_time(&answer)
    }
}

fn decode_time(answer: &[u8]) -> Duration {
    Duration::from_nanos(answer.try_into().map_or(0, u64::from_le_bytes))
}

impl Clock for TapedClock {
    fn monotonic(&mut self) -> Duration {
        let ahead = self.ahead;
        self.read(b"monotonic", |clock| clock.monotonic().saturating_add(ahead))
    }

    fn realtime(&mut self) -> Duration {
        self.read(b"realtime", |clock| clock.realtime())
    }

    fn sleep(&mut self, duration: Duration) {
        if let Some(host) = self.host.as_mut().filter(|_| !self.tape.is_past()) {
            host.sleep(duration);
        }
    }
}

/// Random numbers from outside.
pub(super) struct TapedEntropy {
    pub(super) host: Option<Box<dyn Entropy>>,
    pub(super) tape: Tape,
}

impl Entropy for TapedEntropy {
    fn fill(&mut self, buffer: &mut [u8]) {
        let host = &mut self.host;
        let length = buffer.len();
        let ask = || {
            let mut bytes = vec![0; length];
            host.iter_mut().for_each(|host| host.fill(&mut bytes));
            bytes
        };
        let answer = self.tape.call(b"entropy", ask).unwrap_or_default();
        for (byte, value) in buffer.iter_mut().zip(answer) {
            *byte = value;
        }
    }
}
