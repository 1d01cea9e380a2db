//! Rows of the table of handlers, and how one is found.

use pentimento_decoder::{Instruction, Operation};
use pentimento_registers::Eflags;

use crate::arena::{Op, OpHandler};
use crate::step::Step;
use crate::table::kinds::{Kinds, Signature, Traits};

/// What a row's handler depends on besides the row: the row chooses among forms of one handler that
/// have registers, widths, conditions and the like in them.
pub(crate) struct Choice<'a> {
    pub(crate) op: &'a Op,
    pub(crate) signature: Signature,
    /// The flags behind the instruction that somebody sees.
    pub(crate) live: Eflags,
    /// The condition of the instruction, or of the Jcc that it is fused with.
    pub(crate) condition: u8,
}

/// Makes an operation's fields ready for a handler, the operands being there.
pub(crate) type Prepare = fn(&mut Op, &Step, &Instruction);

/// The instructions that a row is for.
pub(crate) struct Pattern {
    pub(crate) operation: Operation,
    pub(crate) kinds: [Kinds; 3],
    pub(crate) traits: Traits,
}

/// One row: what it is for, and its handler.
pub(crate) struct HandlerRow {
    pub(crate) pattern: Pattern,
    pub(crate) prepare: Prepare,
    /// `None` where the row has no handler for the condition.
    pub(crate) choose: fn(&Choice<'_>) -> Option<OpHandler>,
}

impl Pattern {
    /// Whether an instruction of the pattern's operation is one of these.
    pub(crate) fn matches(&self, signature: &Signature) -> bool {
        let kinds = self.kinds.iter().zip(&signature.kinds);
        kinds.into_iter().all(|(row, kind)| row.contains(*kind)) && self.traits.contains(signature.traits)
    }

    /// Whether some instruction could be one of these and of those.
    #[cfg(test)]
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let shared = self.traits.intersection(other.traits);
        self.operation == other.operation
            && self.kinds.iter().zip(&other.kinds).all(|(a, b)| a.intersects(*b))
            && [Traits::SIZES, Traits::MODES, Traits::REPEATS].iter().all(|kind| shared.intersects(*kind))
    }
}

/// What is missing of three operands is none.
pub(crate) const fn three(kinds: &[Kinds]) -> [Kinds; 3] {
    let mut all = [Kinds::NONE; 3];
    let mut index = 0;
    while index < kinds.len() {
        all[index] = kinds[index];
        index += 1;
    }
    all
}

/// Nothing to prepare.
pub(crate) fn ready(_: &mut Op, _: &Step, _: &Instruction) {}

const OPERATIONS: usize = Operation::ALL.len();

/// Rows by operation.
pub(crate) struct Table<const N: usize> {
    rows: [&'static HandlerRow; N],
    /// Where the rows of each operation begin; those of the next one begin where they end.
    starts: [u16; OPERATIONS + 1],
}

/// Lists of rows, in groups.
pub(crate) type Family = &'static [&'static [&'static [HandlerRow]]];

/// Row number `wanted` of `families`, or how many rows there are if that is not one.
const fn nth(families: &'static [Family], wanted: usize) -> Result<&'static HandlerRow, usize> {
    let (mut before, mut family) = (0, 0);
    while family < families.len() {
        let mut group = 0;
        while group < families[family].len() {
            let mut list = 0;
            while list < families[family][group].len() {
                let rows = families[family][group][list];
                if wanted - before < rows.len() {
                    return Ok(&rows[wanted - before]);
                }
                before += rows.len();
                list += 1;
            }
            group += 1;
        }
        family += 1;
    }
    Err(before)
}

/// How many rows there are in `families`.
pub(crate) const fn count(families: &'static [Family]) -> usize {
    match nth(families, usize::MAX) {
        Ok(_) => usize::MAX,
        Err(count) => count,
    }
}

impl<const N: usize> Table<N> {
    /// The table of all rows of `families`, of which there are `N`. Their order is of no account.
    pub(crate) const fn new(families: &'static [Family]) -> Self {
        let mut rows = [&families[0][0][0][0]; N];
        let mut starts = [0; OPERATIONS + 1];
        // How many rows each operation has, then where they begin, then each in its place.
        let mut index = 0;
        while let Ok(row) = nth(families, index) {
            starts[row.pattern.operation as usize + 1] += 1;
            index += 1;
        }
        let mut operation = 0;
        while operation < OPERATIONS {
            starts[operation + 1] += starts[operation];
            operation += 1;
        }
        let mut next = starts;
        index = 0;
        while let Ok(row) = nth(families, index) {
            let place = &mut next[row.pattern.operation as usize];
            rows[*place as usize] = row;
            *place += 1;
            index += 1;
        }
        Self { rows, starts }
    }

    /// The rows of an operation.
    pub(crate) fn of(&self, operation: Operation) -> &[&'static HandlerRow] {
        let [start, end] = [0, 1].map(|next| usize::from(self.starts[operation as usize + next]));
        &self.rows[start..end]
    }

    /// The row that an instruction belongs to, if there is one.
    pub(crate) fn find(&self, operation: Operation, signature: &Signature) -> Option<&'static HandlerRow> {
        self.of(operation).iter().find(|row| row.pattern.matches(signature)).copied()
    }

    /// All rows.
    #[cfg(test)]
    pub(crate) const fn rows(&self) -> &[&'static HandlerRow; N] {
        &self.rows
    }
}

/// What a row is for: operation, what it asks besides kinds of operands, and those.
macro_rules! pattern {
    ($operation:ident $($trait:ident)? [$($($kind:ident)|+),*]) => {
        $crate::table::row::Pattern {
            operation: pentimento_decoder::Operation::$operation,
            kinds: $crate::table::row::three(&[$(
                $crate::table::kinds::Kinds::empty()$(.union($crate::table::kinds::Kinds::$kind))+
            ),*]),
            traits: $crate::table::row::traits!($($trait)?),
        }
    };
}
pub(crate) use pattern;

/// Rows: operation, what they ask besides kinds of operands, the operands' kinds, what their handler
/// has in it, the handler. [`choose`] says what the letters mean.
macro_rules! rows {
    (prepare $prepare:path; $($operation:ident $($trait:ident)? [$($($kind:ident)|+),*] ($($axis:ident)*) $handler:expr;)*) => {
        &[$($crate::table::row::HandlerRow {
            pattern: $crate::table::row::pattern!($operation $($trait)? [$($($kind)|+),*]),
            prepare: $prepare,
            choose: |choice| {
                let _: &$crate::table::row::Choice<'_> = choice;
                $crate::table::row::choose!(choice [$($axis)*] $handler)
            },
        },)*]
    };
    ($($rest:tt)*) => { $crate::table::row::rows!(prepare $crate::table::row::ready; $($rest)*) };
}
pub(crate) use rows;

/// What a row may ask besides kinds of operands, by its name in the table.
macro_rules! traits {
    () => { $crate::table::kinds::Traits::all() };
    (dword) => { $crate::table::row::traits!(only DWORD of SIZES) };
    (plain) => {
        $crate::table::row::traits!(only DWORD of SIZES)
            .intersection($crate::table::row::traits!(only ONCE of REPEATS))
    };
    (based) => { $crate::table::row::traits!(only BASED of MODES) };
    (indexed) => { $crate::table::row::traits!(only INDEXED of MODES) };
    (scaled) => { $crate::table::row::traits!(only SCALED of MODES) };
    (absolute) => { $crate::table::row::traits!(only ABSOLUTE of MODES) };
    (unbased) => { $crate::table::kinds::Traits::all().difference($crate::table::kinds::Traits::BASED) };
    (once) => { $crate::table::row::traits!(only ONCE of REPEATS) };
    (repeated) => { $crate::table::kinds::Traits::all().difference($crate::table::kinds::Traits::ONCE) };
    (while_equal) => { $crate::table::row::traits!(only REP of REPEATS) };
    (until_equal) => { $crate::table::row::traits!(only REPNE of REPEATS) };
    (only $one:ident of $all:ident) => {
        $crate::table::kinds::Traits::all()
            .difference($crate::table::kinds::Traits::$all)
            .union($crate::table::kinds::Traits::$one)
    };
}
pub(crate) use traits;

/// The handler with in it what the letters say:
///
/// - `D`, `S`, `B`: a constant, the number of the register in `Op::first` (`D`) or `Op::second`.
/// - `A`: a type, the addressing form. `M`: memory at it. `N`: memory at it, where it is not `Based`.
///   `G`: `Based`, or `Computed` for all other forms. `E`: memory at it. `T`: thread-local memory at it.
/// - `W`: a type, the width of the first operand; `H`, if that is 8 or 16 bits; `X`, 16 or 32. `V`: the
///   width of the second.
/// - `F`: a constant, whether somebody sees one of the flags. `P`: whether somebody sees CF or OF. `L`:
///   what is wanted of the flags of INC and DEC.
/// - `C`: a constant, the condition's number. `Q`, `Z`, `U`, `Y`, `K`: one of those that the flags of a
///   comparison (`Q`), of a logic operation (`Z`), an addition (`U`), INC (`Y`) or DEC (`K`) answer at
///   once; for others there is no handler.
macro_rules! choose {
    ($choice:ident [] $handler:expr) => { Some($handler as $crate::arena::OpHandler) };
    ($choice:ident [D $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@constant ($choice.op.first as u8) D u8 $choice [$($rest)*] $handler; 0 1 2 3 4 5 6, 7)
    };
    ($choice:ident [S $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@constant ($choice.op.second as u8) S u8 $choice [$($rest)*] $handler; 0 1 2 3 4 5 6, 7)
    };
    ($choice:ident [B $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@constant ($choice.op.second as u8) B u8 $choice [$($rest)*] $handler; 0 1 2 3 4 5 6, 7)
    };
    ($choice:ident [C $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@constant ($choice.condition & 15) C u8 $choice [$($rest)*] $handler;
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14, 15)
    };
    ($choice:ident [Q $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@answered Q $choice [$($rest)*] $handler; 2 3 4 5 6 7 8 9 12 13 14 15)
    };
    ($choice:ident [Z $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@answered Z $choice [$($rest)*] $handler; 4 5 8 9 12 13 14 15)
    };
    ($choice:ident [U $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@answered U $choice [$($rest)*] $handler; 2 3 4 5 8 9)
    };
    ($choice:ident [Y $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@answered Y $choice [$($rest)*] $handler; 4 5 8 9)
    };
    ($choice:ident [K $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@answered K $choice [$($rest)*] $handler; 4 5 8 9 14 15)
    };
    ($choice:ident [F $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@constant (!$choice.live.is_empty()) F bool $choice [$($rest)*] $handler; true, false)
    };
    ($choice:ident [P $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@constant ($choice.live.intersects($crate::table::row::PRODUCT)) P bool $choice [$($rest)*] $handler; true, false)
    };
    ($choice:ident [L $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@constant ($crate::table::row::counted($choice.live)) L u8 $choice [$($rest)*] $handler; 0 1, 2)
    };
    ($choice:ident [A $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@address A $choice [$($rest)*] $handler;
            BASED $crate::operand::Based, INDEXED $crate::operand::Indexed, SCALED $crate::operand::Scaled; $crate::operand::Absolute)
    };
    ($choice:ident [M $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@address M $choice [$($rest)*] $handler;
            BASED $crate::operand::Memory<$crate::operand::Based>, INDEXED $crate::operand::Memory<$crate::operand::Indexed>, SCALED $crate::operand::Memory<$crate::operand::Scaled>; $crate::operand::Memory<$crate::operand::Absolute>)
    };
    ($choice:ident [N $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@address N $choice [$($rest)*] $handler;
            INDEXED $crate::operand::Memory<$crate::operand::Indexed>, SCALED $crate::operand::Memory<$crate::operand::Scaled>; $crate::operand::Memory<$crate::operand::Absolute>)
    };
    ($choice:ident [G $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@address G $choice [$($rest)*] $handler;
            BASED $crate::operand::Based; $crate::operand::Computed)
    };
    ($choice:ident [E $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@address E $choice [$($rest)*] $handler;
            BASED $crate::operand::Memory<$crate::operand::Based>; $crate::operand::Memory<$crate::operand::Computed>)
    };
    ($choice:ident [T $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@address T $choice [$($rest)*] $handler;
            BASED $crate::handlers::thread_local::ThreadLocal<$crate::operand::Based>; $crate::handlers::thread_local::ThreadLocal<$crate::operand::Computed>)
    };
    ($choice:ident [W $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@width 0 W $choice [$($rest)*] $handler; 1 u8, 2 u16, u32)
    };
    ($choice:ident [H $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@width 0 H $choice [$($rest)*] $handler; 1 u8, u16)
    };
    ($choice:ident [X $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@width 0 X $choice [$($rest)*] $handler; 2 u16, u32)
    };
    ($choice:ident [V $($rest:ident)*] $handler:expr) => {
        $crate::table::row::choose!(@width 1 V $choice [$($rest)*] $handler; 1 u8, 2 u16, u32)
    };
    (@address $name:ident $choice:ident $rest:tt $handler:expr; $($mode:ident $each:ty),*; $last:ty) => {
        match $choice.signature.mode() {
            $($crate::table::kinds::Traits::$mode => {
                type $name = $each;
                $crate::table::row::choose!($choice $rest $handler)
            })*
            _ => {
                type $name = $last;
                $crate::table::row::choose!($choice $rest $handler)
            }
        }
    };
    (@answered $name:ident $choice:ident $rest:tt $handler:expr; $($each:literal)*) => {
        match $choice.condition & 15 {
            $($each => { const $name: u8 = $each; $crate::table::row::choose!($choice $rest $handler) })*
            _ => None,
        }
    };
    (@constant ($value:expr) $name:ident $type:ident $choice:ident $rest:tt $handler:expr; $($each:literal)*, $last:literal) => {
        match $value {
            $($each => { const $name: $type = $each; $crate::table::row::choose!($choice $rest $handler) })*
            _ => { const $name: $type = $last; $crate::table::row::choose!($choice $rest $handler) }
        }
    };
    (@width $operand:literal $name:ident $choice:ident $rest:tt $handler:expr; $($bytes:literal $each:ty,)* $last:ty) => {
        match $choice.signature.bytes($operand) {
            $($bytes => { type $name = $each; $crate::table::row::choose!($choice $rest $handler) })*
            _ => { type $name = $last; $crate::table::row::choose!($choice $rest $handler) }
        }
    };
}
pub(crate) use choose;

/// The flags that products and rotates write.
pub(crate) const PRODUCT: Eflags = Eflags::CF.union(Eflags::OF);

/// What is wanted of the flags of INC and DEC.
pub(crate) fn counted(live: Eflags) -> u8 {
    use crate::handlers::arithmetic::{ALL, NONE, WITHOUT_CARRY};
    match (live.contains(Eflags::CF), live.difference(Eflags::CF).is_empty()) {
        (_, true) => NONE,
        (false, false) => WITHOUT_CARRY,
        (true, false) => ALL,
    }
}
