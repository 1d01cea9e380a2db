//! What holds for any bytes.

use pentimento_decoder::{DecodeErrorKind, decode};
use proptest::prelude::*;

/// Bytes in which prefixes, escapes and ModRM bytes with SIB come up often.
fn code() -> impl Strategy<Value = Vec<u8>> {
    let frequent =
        prop::sample::select(&[0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x65, 0x0f, 0x38, 0x3a, 0x84, 0x04][..]);
    prop::collection::vec(prop_oneof![frequent, any::<u8>()], 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_instruction_is_its_own_bytes_and_no_others(bytes in code()) {
        match decode(&bytes) {
            Ok(instruction) => {
                let length = usize::from(instruction.length());
                prop_assert!((1..=15).contains(&length) && length <= bytes.len());
                prop_assert_eq!(decode(&bytes[..length]), Ok(instruction));
                for end in 0..length {
                    let cut = decode(&bytes[..end]).map_err(|error| error.kind);
                    prop_assert_eq!(cut, Err(DecodeErrorKind::Truncated));
                }
            }
            Err(error) => prop_assert!(usize::from(error.offset) <= bytes.len().min(15)),
        }
    }

    #[test]
    fn everything_about_an_instruction_can_be_told(bytes in code()) {
        if let Ok(instruction) = decode(&bytes) {
            prop_assert!(!instruction.display(0xffff_fff0).to_string().is_empty());
            prop_assert_eq!(instruction.operands().count(), instruction.operand_count());
            prop_assert_eq!(instruction.operation(), instruction.row().operation());
            let defined = instruction.flags_written();
            prop_assert!(!defined.intersects(instruction.flags_undefined()));
        }
    }
}
