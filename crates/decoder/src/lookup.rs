//! From opcode bytes to rows: tables computed from the rows at compile time.

use crate::operand_code::{Immediate, OperandCode};
use crate::row::{Form, MandatoryPrefix, Map, Row};
use crate::rows::{COUNT, ROWS, joined};

/// A slot that no row claims.
pub(crate) const UNDEFINED: u16 = 0x7fff;
/// Set in slots where ModRM decides: the other bits number a group.
pub(crate) const GROUP: u16 = 0x8000;
/// Combinations of 66h (bit 0) with none (0), F3h (2) or F2h (4).
pub(crate) const CLASSES: usize = 6;
/// The eight reg fields of memory forms, then the 64 register forms.
const GROUP_CELLS: usize = 72;

/// What decoding needs of a row, packed.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// There is a ModRM byte.
    pub(crate) modrm: bool,
    /// ModRM names a register whatever mod says.
    pub(crate) mod_ignored: bool,
    /// LOCK is allowed on a memory destination.
    pub(crate) lock: bool,
    /// 66h, F2h and F3h that the row consumes: the bits of `Prefixes` to clear.
    pub(crate) consumed: u8,
    /// What follows.
    pub(crate) immediate: Immediate,
}

/// The shapes of [`ROWS`].
pub(crate) static SHAPES: [Shape; COUNT] = shapes();

const fn shapes() -> [Shape; COUNT] {
    const ROWS: &[Row] = &joined();
    let mut shapes = [shape(&ROWS[0]); COUNT];
    let mut i = 0;
    while i < COUNT {
        shapes[i] = shape(&ROWS[i]);
        i += 1;
    }
    shapes
}

const fn shape(row: &Row) -> Shape {
    let mut immediate = Immediate::None;
    let mut i = 0;
    while i < row.operands.len() {
        immediate = match (immediate, row.operands[i]) {
            (Immediate::Word, OperandCode::Imm8b) => Immediate::WordByte,
            (Immediate::Byte, OperandCode::Imm8b) => Immediate::ByteByte,
            (Immediate::None, code) => code.immediate(),
            (known, _) => known,
        };
        i += 1;
    }
    Shape {
        modrm: row.has_modrm(),
        mod_ignored: matches!(row.form, Form::ModIgnored(_)),
        lock: row.lock,
        consumed: match row.prefix {
            MandatoryPrefix::P66 => 8,
            MandatoryPrefix::F3 => 2 | 4,
            MandatoryPrefix::F2 => 2 | 4,
            _ => 0,
        },
        immediate,
    }
}

/// The tables.
pub(crate) struct Lookup<const GROUPS: usize> {
    /// By map, prefix class and opcode: a row, [`UNDEFINED`], or a group.
    pub(crate) slots: [[[u16; 256]; CLASSES]; 4],
    /// By group and ModRM: a row or [`UNDEFINED`].
    pub(crate) groups: [[u16; GROUP_CELLS]; GROUPS],
}

/// The position of `modrm` in a group.
#[inline(always)]
pub(crate) const fn cell(modrm: u8) -> usize {
    if modrm >= 0xc0 { modrm as usize - 0xc0 + 8 } else { (modrm >> 3 & 7) as usize }
}

/// Whether `row` may be selected under prefix class `class`.
const fn admits(prefix: MandatoryPrefix, class: usize) -> bool {
    match prefix {
        MandatoryPrefix::Any => true,
        MandatoryPrefix::Np => class == 0,
        MandatoryPrefix::NoRepeat => class < 2,
        MandatoryPrefix::OperandSize => class & 1 == 1,
        MandatoryPrefix::P66 => class == 1,
        MandatoryPrefix::F3 => class & 6 == 2,
        MandatoryPrefix::F2 => class & 6 == 4,
    }
}

/// How specific a row is: later ranks replace earlier ones.
const fn rank(row: &Row) -> usize {
    let prefix = if matches!(row.prefix, MandatoryPrefix::Any) { 0 } else { 3 };
    prefix
        + match row.form {
            Form::Exact(_) => 2,
            Form::NoModRm | Form::Any(0xff) => 0,
            _ => 1,
        }
}

/// Whether the opcode alone does not decide the row.
const fn grouped(form: Form) -> bool {
    !matches!(form, Form::NoModRm | Form::Any(0xff) | Form::ModIgnored(0xff))
}

/// Whether ModRM cell `cell` belongs to `form`.
const fn claims(form: Form, cell: usize) -> bool {
    let register = cell >= 8;
    let reg = if register { (cell - 8) >> 3 } else { cell };
    match form {
        Form::NoModRm => true,
        Form::Any(digits) | Form::ModIgnored(digits) => digits >> reg & 1 == 1,
        Form::Register(digits) => register && digits >> reg & 1 == 1,
        Form::Memory(digits) => !register && digits >> reg & 1 == 1,
        Form::Exact(modrm) => register && cell - 8 == modrm as usize - 0xc0,
    }
}

/// The slots that need a group, numbered; and how many there are.
const fn number_groups(rows: &[Row]) -> ([[[u16; 256]; CLASSES]; 4], usize) {
    let mut slots = [[[UNDEFINED; 256]; CLASSES]; 4];
    let mut groups = 0;
    let mut i = 0;
    while i < rows.len() {
        let row = &rows[i];
        i += 1;
        if !grouped(row.form) {
            continue;
        }
        let mut class = 0;
        while class < CLASSES {
            let mut opcode = row.opcode as usize;
            while opcode < row.opcode as usize + row.span as usize {
                let slot = &mut slots[row.map as usize][class][opcode];
                if admits(row.prefix, class) && *slot == UNDEFINED {
                    *slot = GROUP | groups as u16;
                    groups += 1;
                }
                opcode += 1;
            }
            class += 1;
        }
    }
    (slots, groups)
}

const GROUPS: usize = number_groups(&joined()).1;

/// The tables for [`ROWS`].
pub(crate) static LOOKUP: Lookup<GROUPS> = build();

const fn build() -> Lookup<GROUPS> {
    const ROWS: &[Row] = &joined();
    let mut lookup = Lookup { slots: number_groups(ROWS).0, groups: [[UNDEFINED; GROUP_CELLS]; GROUPS] };
    let mut current = 0;
    while current < 6 {
        let mut i = 0;
        while i < ROWS.len() {
            if rank(&ROWS[i]) == current {
                place(&mut lookup, &ROWS[i], i as u16);
            }
            i += 1;
        }
        current += 1;
    }
    lookup
}

/// Enters row number `index` wherever it belongs.
const fn place(lookup: &mut Lookup<GROUPS>, row: &Row, index: u16) {
    let mut class = 0;
    while class < CLASSES {
        let mut opcode = row.opcode as usize;
        while admits(row.prefix, class) && opcode < row.opcode as usize + row.span as usize {
            let slot = &mut lookup.slots[row.map as usize][class][opcode];
            if *slot & GROUP == 0 {
                *slot = index;
            } else {
                let group = &mut lookup.groups[(*slot & !GROUP) as usize];
                let mut cell = 0;
                while cell < GROUP_CELLS {
                    if claims(row.form, cell) {
                        group[cell] = index;
                    }
                    cell += 1;
                }
            }
            opcode += 1;
        }
        class += 1;
    }
}

/// The row for an opcode whose slot is `slot`; `modrm` counts only in groups.
#[inline(always)]
pub(crate) fn resolve(slot: u16, modrm: u8) -> u16 {
    if slot & GROUP == 0 {
        return slot;
    }
    match LOOKUP.groups.get((slot & !GROUP) as usize) {
        Some(group) => group[cell(modrm)],
        None => UNDEFINED,
    }
}

/// The slot of `opcode` in `map`, under the 66h, F3h and F2h that were seen.
#[inline(always)]
pub(crate) fn slot(map: Map, class: usize, opcode: u8) -> u16 {
    LOOKUP.slots[map as usize][class][opcode as usize]
}

/// Row number `index`.
#[inline(always)]
pub(crate) fn row(index: u16) -> &'static Row {
    &ROWS[index as usize]
}
