//! Sequences of system calls, and what came of them: in memory, and as the native side reads and writes them.

/// Where the memory begins that calls are given.
pub(super) const DATA: u32 = 0x2000_0000;
/// Bytes of it, all zero before each call but for what the call says.
pub(super) const DATA_SIZE: u32 = 0x4000;
/// A page behind it that can only be read, and is full of [`FILLER`].
pub(super) const CONSTANT: u32 = DATA + DATA_SIZE;
/// What the page is full of.
pub(super) const FILLER: u8 = 0x55;
/// Where calls that map memory may do so.
pub(super) const SPACE: u32 = 0x2800_0000;

/// A system call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Its number, below 512.
    pub number: u32,
    /// EBX, ECX, EDX, ESI, EDI and EBP.
    pub arguments: [u32; 6],
    /// Bit n is set where argument n is the number of an earlier call, whose result it stands for.
    pub references: u8,
    /// What lies in the data before it: addresses and bytes.
    pub memory: Vec<(u32, Vec<u8>)>,
}

impl Call {
    /// One whose arguments are plain numbers.
    #[must_use]
    pub fn new(number: u32, arguments: &[u32]) -> Self {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        Self { number, arguments: all, references: 0, memory: Vec::new() }
    }

    /// The same with `bytes` at `address`.
    #[must_use]
    pub fn with(mut self, address: u32, bytes: &[u8]) -> Self {
        self.memory.push((address, bytes.to_vec()));
        self
    }

    /// The data before the call.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        let mut image = vec![0; DATA_SIZE as usize];
        for (address, bytes) in &self.memory {
            write(&mut image, *address, bytes);
        }
        image
    }
}

fn write(image: &mut [u8], address: u32, bytes: &[u8]) {
    let start = address.wrapping_sub(DATA) as usize;
    if let Some(place) = start.checked_add(bytes.len()).and_then(|end| image.get_mut(start..end)) {
        place.copy_from_slice(bytes);
    }
}

/// Calls that one process makes, one after the other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sequence {
    /// How many of the calls prepare the world: their results are not compared.
    pub prologue: usize,
    /// All calls.
    pub calls: Vec<Call>,
}

/// How a sequence ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// All calls came back.
    Finished,
    /// The process exited with this status.
    Exited(u8),
    /// This signal killed it.
    Killed(u8),
    /// The call behind the last one that came back waits.
    Waits,
}

/// What came of one call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Return {
    /// EAX.
    pub result: u32,
    /// The data behind the call.
    pub image: Vec<u8>,
}

/// What came of a sequence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What came of the calls that came back.
    pub returns: Vec<Return>,
    /// How it ended.
    pub end: End,
}

/// The sequence as the native side reads it: its length and its words.
#[must_use]
pub(super) fn encode(sequence: &Sequence) -> Vec<u8> {
    let mut words = vec![0, sequence.prologue as u32, sequence.calls.len() as u32];
    for call in &sequence.calls {
        words.push(call.number | u32::from(call.references) << 16);
        words.extend(call.arguments);
        words.push(call.memory.len() as u32);
        for (address, bytes) in &call.memory {
            words.extend([*address, bytes.len() as u32]);
            words.extend(bytes.chunks(4).map(word));
        }
    }
    words[0] = 4 * (words.len() as u32 - 1);
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Up to four bytes as a word.
fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// What the native side says of `sequence`, behind the length; `None` where that cannot be.
#[must_use]
pub(super) fn decode(sequence: &Sequence, answer: &[u8]) -> Option<Outcome> {
    let mut words = answer.chunks_exact(4).map(word);
    let (done, how) = (words.next()?, words.next()?);
    let code = (how >> 8) as u8;
    let end = match how & 0xff {
        0 => End::Finished,
        1 => End::Exited(code),
        2 => End::Killed(code),
        3 => End::Waits,
        _ => return None,
    };
    let mut returns = Vec::new();
    for call in sequence.calls.iter().take(done as usize) {
        let (result, pieces) = (words.next()?, words.next()?);
        let mut image = call.image();
        for _ in 0..pieces {
            let (address, length) = (words.next()?, words.next()?);
            let bytes: Vec<u8> =
                words.by_ref().take(length as usize / 4).flat_map(u32::to_le_bytes).collect();
            write(&mut image, address, &bytes);
        }
        returns.push(Return { result, image });
    }
    Some(Outcome { returns, end })
}
