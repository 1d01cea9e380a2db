//! The opcode tables, one file a map; they read like appendix A of the SDM's volume 2.
//!
//! A row gives, left to right: the prefixes that select it, the opcode, how many opcodes it spans,
//! the ModRM bytes that belong, the operation, the explicit operands, whether LOCK is allowed on a
//! memory destination, the effect on EFLAGS, and the CPUID feature. Of several rows that claim
//! the same bytes the more specific prefix wins, then the more specific ModRM, then the later row.

mod flags;
mod one_byte;
mod three_byte_38;
mod three_byte_3a;
mod two_byte;
mod two_byte_vector;
mod x87;

use crate::row::{Feature, FlagEffects, Form, MandatoryPrefix, Map, Row};
use crate::{OperandCode, Operation};

/// Every value of the reg field.
const ALL: u8 = 0xff;
/// LOCK is allowed where the destination is in memory.
const LOCK: bool = true;
/// LOCK is not allowed.
const NO: bool = false;

/// `/number`: one value of the reg field.
const fn digit(number: u8) -> u8 {
    1 << number
}

/// A row; its map is filled in when the tables are joined.
#[expect(clippy::too_many_arguments, reason = "the columns of the tables")]
const fn row(
    prefix: MandatoryPrefix,
    opcode: u8,
    span: u8,
    form: Form,
    operation: Operation,
    operands: &'static [OperandCode],
    lock: bool,
    flags: FlagEffects,
    feature: Feature,
) -> Row {
    Row { map: Map::OneByte, prefix, opcode, span, form, operation, operands, lock, flags, feature }
}

/// The tables and the maps that they belong to.
const TABLES: &[(Map, &[Row])] = &[
    (Map::OneByte, one_byte::ROWS),
    (Map::OneByte, x87::ROWS),
    (Map::TwoByte, two_byte::ROWS),
    (Map::TwoByte, two_byte_vector::ROWS),
    (Map::ThreeByte38, three_byte_38::ROWS),
    (Map::ThreeByte3a, three_byte_3a::ROWS),
];

/// How many rows there are.
pub(crate) const COUNT: usize = {
    let mut count = 0;
    let mut table = 0;
    while table < TABLES.len() {
        count += TABLES[table].1.len();
        table += 1;
    }
    count
};

/// All rows; an instruction refers to its row by the position here.
pub(crate) static ROWS: [Row; COUNT] = joined();

/// [`ROWS`] for constant evaluation.
pub(crate) const fn joined() -> [Row; COUNT] {
    let mut rows = [one_byte::ROWS[0]; COUNT];
    let mut next = 0;
    let mut table = 0;
    while table < TABLES.len() {
        let (map, source) = TABLES[table];
        let mut i = 0;
        while i < source.len() {
            rows[next] = source[i];
            rows[next].map = map;
            next += 1;
            i += 1;
        }
        table += 1;
    }
    rows
}
