//! Numbers and byte strings as a recording has them: numbers in groups of seven bits, lowest first, the
//! eighth bit set in all groups but the last; strings behind their lengths.

/// Bytes that are written at the end and read from the front.
#[derive(Clone, Default, Debug)]
pub(crate) struct Bytes {
    content: Vec<u8>,
    read: usize,
}

/// What is wrong with a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Damaged(pub(crate) &'static str);

impl From<Vec<u8>> for Bytes {
    fn from(content: Vec<u8>) -> Self {
        Self { content, read: 0 }
    }
}

impl Bytes {
    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.content
    }

    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.content.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.content.push(value as u8);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.content.extend_from_slice(bytes);
    }

    pub(crate) fn list(&mut self, list: &[Vec<u8>]) {
        self.number(list.len() as u64);
        list.iter().for_each(|bytes| self.bytes(bytes));
    }

    pub(crate) fn take_number(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.content.get(self.read).ok_or(Damaged("it ends too early"))?;
            self.read += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged("a number is too long"))
    }

    /// A number of 32 bits.
    pub(crate) fn take_word(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.take_number()?).map_err(|_| Damaged("a number is too large"))
    }

    pub(crate) fn take_bytes(&mut self) -> Result<&[u8], Damaged> {
        let length = usize::try_from(self.take_number()?).unwrap_or(usize::MAX);
        let end = self.read.checked_add(length).filter(|end| *end <= self.content.len());
        let end = end.ok_or(Damaged("it ends too early"))?;
        let start = std::mem::replace(&mut self.read, end);
        Ok(&self.content[start..end])
    }

    /// All that has not been read.
    pub(crate) fn rest(&self) -> &[u8] {
        self.content.get(self.read..).unwrap_or_default()
    }

    pub(crate) fn take_list(&mut self) -> Result<Vec<Vec<u8>>, Damaged> {
        let count = self.take_number()?;
        (0..count).map(|_| self.take_bytes().map(<[u8]>::to_vec)).collect()
    }
}
