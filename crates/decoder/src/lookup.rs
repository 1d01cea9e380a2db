//! From opcode bytes to rows: tables computed from the rows at compile time.

use core::hint::select_unpredictable;

use pentimento_registers::SegmentRegister;

use crate::Operation;
use crate::extraction::Extraction;
use crate::instruction::Prefixes;
use crate::operand_code::{Immediate, OperandCode};
use crate::row::{Form, MandatoryPrefix, Map, Row};
use crate::rows::{COUNT, ROWS, joined};

/// Combinations of 66h (bit 0) with none (0), F3h (2) or F2h (4); the last two stay unused.
const CLASSES: usize = 8;
/// The eight reg fields of memory forms, then the 64 register forms.
const GROUP_CELLS: usize = 72;
/// Rows that an [`OpcodeEntry`] can number.
const ROW_LIMIT: usize = 1 << 11;

/// What an opcode leads to, packed so that decoding loads it once.
///
/// Bits 10:0 are a row or a group. For a row: bit 11 says that something more unusual than one
/// immediate follows; bits 14:12 are the 66h, F2h and F3h that it consumes, in their places of
/// [`Prefixes`] times 2048; bit 15 is set if there is a ModRM byte, 17 if LOCK is
/// allowed, 18 and 19 if ModRM cannot name memory; bits 22:20 say which immediate follows (a
/// [`ImmediateWidth`](crate::operand_code::ImmediateWidth)). Bits 31:24 are zero for a row and a bit each for what
/// is not: [`Self::UNDEFINED`], [`Self::GROUP`], [`Self::PREFIX`], [`Self::ESCAPE`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpcodeEntry(u32);

impl OpcodeEntry {
    /// A slot that no row claims.
    const UNDEFINED: Self = Self(1 << 24);
    /// ModRM decides; bits 10:0 number the group, and bits 15, 18 and 19 are as for a row.
    const GROUP: u32 = 1 << 25;
    /// A prefix: bits 5:0 are set in [`Prefixes`], bits 13:8 cleared, bits 18:16 are the segment.
    const PREFIX: u32 = 1 << 26;
    /// Bits 1:0 are the map.
    const ESCAPE: u32 = 1 << 27;

    /// The entry for row number `index`.
    const fn of_row(row: &Row, index: usize) -> Self {
        let consumed = match row.prefix {
            MandatoryPrefix::P66 => Prefixes::OPERAND_SIZE,
            MandatoryPrefix::F3 | MandatoryPrefix::F2 => Prefixes::REP.union(Prefixes::REPNE),
            _ => Prefixes::empty(),
        };
        let memory = row.has_modrm() && !matches!(row.form, Form::ModIgnored(_));
        let (width, unusual) = following(row).width();
        Self(
            index as u32
                | (unusual as u32) << 11
                | (consumed.bits() as u32) << 11
                | (row.has_modrm() as u32) << 15
                | if memory { 0 } else { 3 << 18 }
                | (row.lock as u32) << 17
                | (width as u32) << 20,
        )
    }

    /// The entry for prefix `byte`.
    const fn of_prefix(byte: u8) -> Self {
        let (set, clear) = match byte {
            0x66 => (Prefixes::OPERAND_SIZE, Prefixes::empty()),
            0x67 => (Prefixes::ADDRESS_SIZE, Prefixes::empty()),
            0xf0 => (Prefixes::LOCK, Prefixes::empty()),
            // The last of F2h and F3h wins.
            0xf2 => (Prefixes::REPNE, Prefixes::REP),
            0xf3 => (Prefixes::REP, Prefixes::REPNE),
            _ => (Prefixes::SEGMENT, Prefixes::empty()),
        };
        let segment = match byte {
            0x26 => SegmentRegister::Es,
            0x2e => SegmentRegister::Cs,
            0x36 => SegmentRegister::Ss,
            0x64 => SegmentRegister::Fs,
            0x65 => SegmentRegister::Gs,
            _ => SegmentRegister::Ds,
        };
        Self(Self::PREFIX | (segment as u32) << 16 | (clear.bits() as u32) << 8 | set.bits() as u32)
    }

    /// Whether it is neither a row nor a group.
    #[inline(always)]
    pub(crate) const fn is_special(self) -> bool {
        self.0 & (Self::UNDEFINED.0 | Self::PREFIX | Self::ESCAPE) != 0
    }

    /// Whether it is a row whose instruction ends with at most one immediate.
    #[inline(always)]
    pub(crate) const fn is_plain(self) -> bool {
        !self.is_special() && !self.is_unusual()
    }

    /// Whether the byte is a prefix.
    #[inline(always)]
    pub(crate) const fn is_prefix(self) -> bool {
        self.0 & Self::PREFIX != 0
    }

    /// What `before` becomes by this prefix.
    #[inline(always)]
    pub(crate) const fn prefixed(self, before: Prefixes) -> Prefixes {
        let (set, clear) = (self.0 as u8, (self.0 >> 8) as u8);
        Prefixes::from_bits_retain(before.bits() & !clear | set)
    }

    /// The segment that this prefix names, if it is a segment override.
    #[inline(always)]
    pub(crate) const fn overriding(self) -> Option<u8> {
        if self.0 & Prefixes::SEGMENT.bits() as u32 == 0 { None } else { Some((self.0 >> 16) as u8 & 7) }
    }

    /// The opcode map that the byte leads to.
    #[inline(always)]
    pub(crate) const fn escape(self) -> Option<Map> {
        if self.0 & Self::ESCAPE == 0 { None } else { Some(Map::ALL[(self.0 & 3) as usize]) }
    }

    /// Whether ModRM decides.
    #[inline(always)]
    pub(crate) const fn is_group(self) -> bool {
        self.0 & Self::GROUP != 0
    }

    /// The number of the group in which ModRM decides, or 0 for what is no group.
    #[inline(always)]
    const fn group(self) -> usize {
        // GROUPS is a power of two.
        if self.is_group() { self.0 as usize & (GROUPS - 1) } else { 0 }
    }

    /// The number of the row, below [`ROW_LIMIT`].
    #[inline(always)]
    pub(crate) const fn row(self) -> u16 {
        (self.0 & (ROW_LIMIT as u32 - 1)) as u16
    }

    /// Whether more or something else than one immediate follows.
    #[inline(always)]
    pub(crate) const fn is_unusual(self) -> bool {
        self.0 >> 11 & 1 != 0
    }

    /// The prefixes that the row consumes.
    #[inline(always)]
    pub(crate) const fn consumed(self) -> Prefixes {
        Prefixes::from_bits_retain((self.0 >> 11) as u8 & 14)
    }

    /// 1 if there is a ModRM byte, else 0.
    #[inline(always)]
    pub(crate) const fn modrm_length(self) -> usize {
        (self.0 >> 15 & 1) as usize
    }

    /// All ones if there is a ModRM byte, else 0.
    #[inline(always)]
    pub(crate) const fn modrm_mask(self) -> u8 {
        0_u8.wrapping_sub(self.modrm_length() as u8)
    }

    /// C0h, a mod of 3, if ModRM cannot name memory; else 0.
    #[inline(always)]
    pub(crate) const fn no_memory(self) -> u8 {
        (self.0 >> 12) as u8 & 0xc0
    }

    #[inline(always)]
    pub(crate) const fn allows_lock(self) -> bool {
        self.0 >> 17 & 1 != 0
    }

    /// The number of the [`ImmediateWidth`](crate::operand_code::ImmediateWidth) of the immediate.
    #[inline(always)]
    pub(crate) const fn immediate(self) -> usize {
        (self.0 >> 20 & 7) as usize
    }
}

/// What follows the ModRM byte and displacement of `row`.
const fn following(row: &Row) -> Immediate {
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
    immediate
}

/// What instructions look up of their row, packed.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// The operation.
    pub(crate) operation: Operation,
    /// What follows ModRM and displacement.
    pub(crate) immediate: Immediate,
    /// How many operands there are.
    pub(crate) count: u8,
    /// Their codes; beyond the last, anything.
    pub(crate) operands: [OperandCode; 4],
    /// Their [`OperandClass`](crate::extraction::OperandClass)es, four bits each, with a memory form of ModRM and with any other.
    classes: [u16; 2],
}

impl Shape {
    /// The number of the [`OperandClass`](crate::extraction::OperandClass) that operand `index` has with `modrm`: here rather than in the
    /// [`Extraction`], because what is branched on should come early.
    #[inline(always)]
    pub(crate) const fn class(&self, index: usize, modrm: u8) -> u8 {
        (self.classes[(modrm >= 0xc0) as usize] >> (4 * (index & 3))) as u8 & 15
    }
}

/// The shape of row number `index`.
#[inline(always)]
pub(crate) const fn shape(index: u16) -> &'static Shape {
    &SHAPES[index as usize & (ROW_LIMIT - 1)]
}

/// The shapes of [`ROWS`], as many as [`OpcodeEntry::row`] can number.
static SHAPES: [Shape; ROW_LIMIT] = shapes();

const fn shapes() -> [Shape; ROW_LIMIT] {
    const ROWS: &[Row] = &joined();
    let none = Shape {
        operation: Operation::Nop,
        immediate: Immediate::None,
        count: 0,
        operands: [OperandCode::Al; 4],
        classes: [0; 2],
    };
    let mut shapes = [none; ROW_LIMIT];
    let mut i = 0;
    while i < COUNT {
        let operands = ROWS[i].operands;
        shapes[i].operation = ROWS[i].operation;
        shapes[i].immediate = following(&ROWS[i]);
        shapes[i].count = operands.len() as u8;
        let mut operand = 0;
        while operand < operands.len() {
            shapes[i].operands[operand] = operands[operand];
            let [memory, register] = Extraction::classes(operands[operand]);
            shapes[i].classes[0] |= (memory as u16) << (4 * operand);
            shapes[i].classes[1] |= (register as u16) << (4 * operand);
            operand += 1;
        }
        i += 1;
    }
    shapes
}

/// The tables.
pub(crate) struct Lookup {
    /// By map, prefix class and opcode.
    pub(crate) slots: [[[OpcodeEntry; 256]; CLASSES]; 4],
    /// By group and ModRM.
    pub(crate) groups: [[OpcodeEntry; GROUP_CELLS]; GROUPS],
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
const fn grouped(row: &Row) -> bool {
    !matches!(row.form, Form::NoModRm | Form::Any(0xff) | Form::ModIgnored(0xff))
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

/// Bytes of the one-byte map that are prefixes.
const PREFIX_BYTES: [u8; 11] = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3];

/// Slots of the one- and two-byte maps that lead to other maps.
const ESCAPES: [(Map, u8, Map); 3] = [
    (Map::OneByte, 0x0f, Map::TwoByte),
    (Map::TwoByte, 0x38, Map::ThreeByte38),
    (Map::TwoByte, 0x3a, Map::ThreeByte3a),
];

type Slots = [[[OpcodeEntry; 256]; CLASSES]; 4];

/// The slots with prefixes, escapes and groups in place, and how many groups there are.
const fn number_groups(rows: &[Row]) -> (Slots, usize) {
    let mut slots = [[[OpcodeEntry::UNDEFINED; 256]; CLASSES]; 4];
    let mut groups = 0;
    let mut i = 0;
    while i < rows.len() {
        let row = &rows[i];
        i += 1;
        if !grouped(row) {
            continue;
        }
        let mut class = 0;
        while class < CLASSES {
            let slot = &mut slots[row.map as usize][class][row.opcode as usize];
            let ignored = if matches!(row.form, Form::ModIgnored(_)) { 3 } else { 0 };
            if admits(row.prefix, class) && !slot.is_group() {
                *slot = OpcodeEntry(OpcodeEntry::GROUP | ignored << 18 | 1 << 15 | groups as u32);
                groups += 1;
            }
            class += 1;
        }
    }
    let mut class = 0;
    while class < CLASSES {
        let mut i = 0;
        while i < PREFIX_BYTES.len() {
            slots[0][class][PREFIX_BYTES[i] as usize] = OpcodeEntry::of_prefix(PREFIX_BYTES[i]);
            i += 1;
        }
        i = 0;
        while i < ESCAPES.len() {
            let (from, byte, to) = ESCAPES[i];
            slots[from as usize][class][byte as usize] = OpcodeEntry(OpcodeEntry::ESCAPE | to as u32);
            i += 1;
        }
        class += 1;
    }
    (slots, groups)
}

const GROUPS: usize = number_groups(&joined()).1.next_power_of_two();

/// The tables for [`ROWS`].
pub(crate) static LOOKUP: Lookup = build();

const fn build() -> Lookup {
    const ROWS: &[Row] = &joined();
    let mut lookup =
        Lookup { slots: number_groups(ROWS).0, groups: [[OpcodeEntry::UNDEFINED; GROUP_CELLS]; GROUPS] };
    let mut current = 0;
    while current < 6 {
        let mut i = 0;
        while i < ROWS.len() {
            if rank(&ROWS[i]) == current {
                place(&mut lookup, &ROWS[i], OpcodeEntry::of_row(&ROWS[i], i));
            }
            i += 1;
        }
        current += 1;
    }
    lookup
}

/// Enters `entry` wherever `row` belongs.
const fn place(lookup: &mut Lookup, row: &Row, entry: OpcodeEntry) {
    let mut class = 0;
    while class < CLASSES {
        let mut opcode = row.opcode as usize;
        while admits(row.prefix, class) && opcode < row.opcode as usize + row.span as usize {
            let slot = &mut lookup.slots[row.map as usize][class][opcode];
            if slot.is_group() {
                let mut cell = 0;
                while cell < GROUP_CELLS {
                    if claims(row.form, cell) {
                        lookup.groups[slot.group()][cell] = entry;
                    }
                    cell += 1;
                }
            } else {
                *slot = entry;
            }
            opcode += 1;
        }
        class += 1;
    }
}

/// The entry of `opcode` in `map`, under the 66h, F3h and F2h that were seen.
#[inline(always)]
pub(crate) fn entry(map: Map, class: usize, opcode: u8) -> OpcodeEntry {
    LOOKUP.slots[map as usize][class & (CLASSES - 1)][opcode as usize]
}

/// What `slot` leads to with `modrm`, looked up whether it is a group or not: a branch would be
/// hard to predict.
#[inline(always)]
pub(crate) fn select(slot: OpcodeEntry, modrm: u8) -> OpcodeEntry {
    let member = LOOKUP.groups[slot.group()][cell(modrm)];
    select_unpredictable(slot.is_group(), member, slot)
}

/// Row number `index`.
#[inline(always)]
pub(crate) fn row(index: u16) -> &'static Row {
    &ROWS[index as usize]
}
