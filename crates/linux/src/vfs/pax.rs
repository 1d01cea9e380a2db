//! PAX records, in which tar files say what has no room in a header (POSIX, pax, "pax Header Block").

use super::attributes::Timestamp;

/// The records of a header of type `x` or `g`, each a key and a value: `LENGTH KEY=VALUE\n`, the length
/// counting all of it. They end with the bytes or before a zero; `None` if one cannot be read.
#[must_use]
pub fn pax_records(mut bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while bytes.first().is_some_and(|byte| *byte != 0) {
        let space = bytes.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
        bytes = &bytes[length..];
        let equals = record.iter().position(|byte| *byte == b'=')?;
        records.push((&record[..equals], &record[equals + 1..]));
    }
    Some(records)
}

/// The time that a record's value says: seconds since 1970, with as many decimals as somebody liked.
#[must_use]
pub fn pax_time(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Some(Timestamp { seconds: seconds.parse().ok()?, nanoseconds: digits.parse().ok()? })
}
