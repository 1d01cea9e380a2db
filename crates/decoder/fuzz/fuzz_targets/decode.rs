//! Any bytes as code: an error that points into them, or an instruction of at most 15 of them
//! that prints, and that more bytes after it do not change.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pentimento_decoder::{DecodeErrorKind, decode};

fuzz_target!(|bytes: &[u8]| {
    match decode(bytes) {
        Ok(instruction) => {
            let length = usize::from(instruction.length());
            assert!((1..=15).contains(&length) && length <= bytes.len());
            assert_eq!(decode(&bytes[..length]), Ok(instruction));
            assert!(!instruction.display(0xffff_fff0).to_string().is_empty());
            let _ = (instruction.flags_read(), instruction.flags_written(), instruction.flags_undefined());
            assert_eq!(instruction.operands().count(), instruction.operand_count());
            let cut = decode(&bytes[..length - 1]).map_err(|error| error.kind);
            assert_eq!(cut, Err(DecodeErrorKind::Truncated));
        }
        Err(error) => assert!(usize::from(error.offset) <= bytes.len().min(15)),
    }
});
