//! The rows of instructions on general registers and memory: moves, arithmetic, logic, shifts, bits.

use pentimento_decoder::Instruction;

use crate::arena::Op;
use crate::drivers::straight;
use crate::handlers::arithmetic::{
    ALL, Adc, Add, And, Compare, Complement, Count, Divide, DoubleShift, Multiply, MultiplyWide, Negate, Or,
    Rcl, Rcr, Rol, Ror, Sar, Sbb, Shifted, Shl, Shr, Sub, Update, Xor,
};
use crate::handlers::bit_byte::{self as b, BitTest, BitTestFar, Bsf, Bsr, Lzcnt, Popcnt, Scanned, Tzcnt};
use crate::handlers::exchange::{CompareExchange, ExchangeAdd, ExchangeAddRegisters, ExchangeMemory};
use crate::handlers::transfer as t;
use crate::operand::{
    Absolute, Anywhere, Base, Based, Computed, First, Fixed, Immediate, Indexed, Memory, Scaled, Second,
    Selector,
};
use crate::step::Step;
use crate::table::row::{Family, HandlerRow, rows};

const MOVES: &[HandlerRow] = rows! {
    Mov            [R32, R32]         (D S) straight::<t::Move<Fixed<D>, Fixed<S>, u32>>;
    Mov            [R32, I]           (D)   straight::<t::Move<Fixed<D>, Immediate, u32>>;
    Mov based      [R32, M32]         (D B) straight::<t::Move<Fixed<D>, Memory<Base<B>>, u32>>;
    Mov based      [M32, R32]         (D B) straight::<t::Move<Memory<Base<B>>, Fixed<D>, u32>>;
    Mov based      [M32, I]           (B)   straight::<t::Move<Memory<Base<B>>, Immediate, u32>>;
    Mov unbased    [R32, M32]         (N D) straight::<t::Move<Fixed<D>, N, u32>>;
    Mov unbased    [M32, R32]         (N D) straight::<t::Move<N, Fixed<D>, u32>>;
    Mov unbased    [M32, I]           (N)   straight::<t::Move<N, Immediate, u32>>;
    Mov            [R8, R8]           (D)   straight::<t::Move<Fixed<D>, Second, u8>>;
    Mov            [R16, R16]         ()    straight::<t::Move<First, Second, u16>>;
    Mov            [R8|R16, I]        (H)   straight::<t::Move<First, Immediate, H>>;
    Mov            [R8|R16, M8|M16]   (H M) straight::<t::Move<First, M, H>>;
    Mov            [M8|M16, R8|R16]   (H M) straight::<t::Move<M, First, H>>;
    Mov            [M8|M16, I]        (H M) straight::<t::Move<M, Immediate, H>>;
    Mov            [R32, T32]         (T)   straight::<t::Move<First, T, u32>>;
    Mov            [T32, R32]         (T)   straight::<t::Move<T, First, u32>>;
    Mov            [T32, I]           (T)   straight::<t::Move<T, Immediate, u32>>;
    Movnti         [M32, R32]         ()    straight::<t::Move<Anywhere, First, u32>>;
    Movbe          [R16|R32, M16|M32] (X)   straight::<t::MoveSwapped<First, Anywhere, X>>;
    Movbe          [M16|M32, R16|R32] (X)   straight::<t::MoveSwapped<Anywhere, First, X>>;
    Movzx          [R32, R8|R16]      (V D) straight::<t::Extend<Fixed<D>, Second, V, false>>;
    Movzx based    [R32, M8|M16]      (V D) straight::<t::Extend<Fixed<D>, Memory<Based>, V, false>>;
    Movzx indexed  [R32, M8]          (D)   straight::<t::Extend<Fixed<D>, Memory<Indexed>, u8, false>>;
    Movzx scaled   [R32, M8]          ()    straight::<t::Extend<First, Memory<Scaled>, u8, false>>;
    Movzx absolute [R32, M8]          ()    straight::<t::Extend<First, Memory<Absolute>, u8, false>>;
    Movzx unbased  [R32, M16]         (N)   straight::<t::Extend<First, N, u16, false>>;
    Movsx          [R32, R8|R16]      (V)   straight::<t::Extend<First, Second, V, true>>;
    Movsx based    [R32, M8|M16]      (V D) straight::<t::Extend<Fixed<D>, Memory<Based>, V, true>>;
    Movsx unbased  [R32, M8|M16]      (V N) straight::<t::Extend<First, N, V, true>>;
    Movzx          [R16, R8]          ()    straight::<t::ExtendToWord<Second, false>>;
    Movzx          [R16, M8]          ()    straight::<t::ExtendToWord<Anywhere, false>>;
    Movsx          [R16, R8]          ()    straight::<t::ExtendToWord<Second, true>>;
    Movsx          [R16, M8]          ()    straight::<t::ExtendToWord<Anywhere, true>>;
    Lea based      [R32, MX]          (D B) straight::<t::EffectiveAddress<Fixed<D>, Base<B>>>;
    Lea indexed    [R32, MX]          (D)   straight::<t::EffectiveAddress<Fixed<D>, Indexed>>;
    Lea scaled     [R32, MX]          (D)   straight::<t::EffectiveAddress<Fixed<D>, Scaled>>;
    Lea absolute   [R32, MX]          ()    straight::<t::EffectiveAddress<First, Absolute>>;
    Bswap          [R32]              ()    straight::<t::SwapBytes>;
    Cbw            []                 ()    straight::<t::ExtendAl>;
    Cwd            []                 ()    straight::<t::SignIntoDx>;
    Cwde           []                 ()    straight::<t::ExtendEax>;
    Cdq            []                 ()    straight::<t::SignIntoEdx>;
    Xlat           [M8]               ()    straight::<t::Translate>;
    Setcc          [R8]               (C)   straight::<t::Set<C>>;
    Cmovcc         [R32, R32]         (C)   straight::<t::ConditionalMove<Second, C>>;
    Cmovcc         [R32, M32]         (C)   straight::<t::ConditionalMove<Anywhere, C>>;
};

/// The number of the condition goes into the immediate.
fn condition(op: &mut Op, _: &Step, instruction: &Instruction) {
    op.immediate = instruction.condition().number().into();
}

const RARER_CONDITIONS: &[HandlerRow] = rows! { prepare condition;
    Setcc  [M8]       () straight::<t::SetInMemory>;
    Cmovcc [R16, R16] () straight::<t::ConditionalMoveOfWord<Second>>;
    Cmovcc [R16, M16] () straight::<t::ConditionalMoveOfWord<Anywhere>>;
};

const EXCHANGES: &[HandlerRow] = rows! {
    Xchg          [R8|R16|R32, R8|R16|R32] (W) straight::<t::Exchange<W>>;
    Xchg          [M8|M16, R8|R16]         (H) straight::<ExchangeMemory<Anywhere, H>>;
    Xchg          [M32, R32]               (E) straight::<ExchangeMemory<E, u32>>;
    Xadd          [M8|M16, R8|R16]         (H) straight::<ExchangeAdd<Anywhere, H>>;
    Xadd          [M32, R32]               (E) straight::<ExchangeAdd<E, u32>>;
    Cmpxchg       [M8|M16, R8|R16]         (H) straight::<CompareExchange<Anywhere, First, H>>;
    Cmpxchg       [M32, R32]               (E) straight::<CompareExchange<E, First, u32>>;
    Xadd    [R8|R16|R32, R8|R16|R32] (W) straight::<ExchangeAddRegisters<W>>;
    Cmpxchg [R8|R16|R32, R8|R16|R32] (W) straight::<CompareExchange<First, Second, W>>;
};

const STACK: &[HandlerRow] = rows! {
    Push dword [R32]  (D) straight::<t::Push<Fixed<D>>>;
    Push dword [I]    ()  straight::<t::Push<Immediate>>;
    Push dword [M32]  (E) straight::<t::Push<E>>;
    Push dword [T32]  (T) straight::<t::Push<T>>;
    Push dword [SREG] ()  straight::<t::Push<Selector>>;
    Pop dword  [R32]  (D) straight::<t::Pop<Fixed<D>>>;
    Pop dword  [M32]  ()  straight::<t::PopIntoMemory>;
    Leave dword []    ()  straight::<t::Leave>;
};

/// Operations of two operands that write all flags and read none, but not with two doubleword registers.
/// In memory of 8 and 16 bits their flags are always kept.
macro_rules! updates {
    ($($name:ident)*) => {
        rows! { $(
            $name         [R32, I]           (F D) straight::<Update<$name, Fixed<D>, Immediate, u32, F>>;
            $name based   [R32, M32]         (F D) straight::<Update<$name, Fixed<D>, Memory<Based>, u32, F>>;
            $name unbased [R32, M32]         (F N) straight::<Update<$name, First, N, u32, F>>;
            $name         [R8|R16, R8|R16]   (H F) straight::<Update<$name, First, Second, H, F>>;
            $name         [R8|R16, I]        (H F) straight::<Update<$name, First, Immediate, H, F>>;
            $name         [R8|R16, M8|M16]   (H E) straight::<Update<$name, First, E, H, true>>;
            $name         [M32, R32]         (F E) straight::<Update<$name, E, First, u32, F>>;
            $name         [M32, I]           (F E) straight::<Update<$name, E, Immediate, u32, F>>;
            $name         [M8|M16, R8|R16]   (H E) straight::<Update<$name, E, First, H, true>>;
            $name         [M8|M16, I]        (H E) straight::<Update<$name, E, Immediate, H, true>>;
        )* }
    };
}

const UPDATES: &[HandlerRow] = updates!(Add Sub And Or Xor);

/// The most frequent of them between doubleword registers have both in the handler.
const UPDATES_OF_REGISTERS: &[HandlerRow] = rows! {
    Add [R32, R32] (F D S) straight::<Update<Add, Fixed<D>, Fixed<S>, u32, F>>;
    And [R32, R32] (F D S) straight::<Update<And, Fixed<D>, Fixed<S>, u32, F>>;
    Xor [R32, R32] (F D S) straight::<Update<Xor, Fixed<D>, Fixed<S>, u32, F>>;
    Sub [R32, R32] (F D)   straight::<Update<Sub, Fixed<D>, Second, u32, F>>;
    Or  [R32, R32] (F D)   straight::<Update<Or, Fixed<D>, Second, u32, F>>;
};

/// Operations of two operands and CF, which are there for the next one's.
macro_rules! updates_with_carry {
    ($($name:ident)*) => {
        rows! { $(
            $name [R32, R32]         (F) straight::<Update<$name, First, Second, u32, F>>;
            $name [R32, I]           (F) straight::<Update<$name, First, Immediate, u32, F>>;
            $name [R32, M32]         (M) straight::<Update<$name, First, M, u32, true>>;
            $name [M32, R32]         (E) straight::<Update<$name, E, First, u32, true>>;
            $name [M32, I]           (E) straight::<Update<$name, E, Immediate, u32, true>>;
            $name [R8|R16, R8|R16]   (H) straight::<Update<$name, First, Second, H, true>>;
            $name [R8|R16, I]        (H) straight::<Update<$name, First, Immediate, H, true>>;
            $name [R8|R16, M8|M16]   (H) straight::<Update<$name, First, Anywhere, H, true>>;
            $name [M8|M16, R8|R16]   (H) straight::<Update<$name, Anywhere, First, H, true>>;
            $name [M8|M16, I]        (H) straight::<Update<$name, Anywhere, Immediate, H, true>>;
        )* }
    };
}

const WITH_CARRY: &[HandlerRow] = updates_with_carry!(Adc Sbb);

/// Operations that compute only flags, for others than the Jcc behind them: the instruction, and what
/// it computes.
macro_rules! comparisons {
    ($($name:ident $operation:ident;)*) => {
        rows! { $(
            $name [R8|R16|R32, R8|R16|R32] (W)   straight::<Compare<$operation, First, Second, W>>;
            $name [R8|R16|R32, I]          (W)   straight::<Compare<$operation, First, Immediate, W>>;
            $name [M8|M16|M32, R8|R16|R32] (W E) straight::<Compare<$operation, E, First, W>>;
            $name [M8|M16|M32, I]          (W E) straight::<Compare<$operation, E, Immediate, W>>;
        )* }
    };
}

const COMPARISONS: &[HandlerRow] = comparisons! {
    Cmp  Sub;
    Test And;
};

const COMPARISONS_WITH_MEMORY: &[HandlerRow] = rows! {
    Cmp [R8|R16|R32, M8|M16|M32] (W E) straight::<Compare<Sub, First, E, W>>;
};

const THREAD_LOCAL: &[HandlerRow] = rows! {
    Add [R32, T32] (T) straight::<Update<Add, First, T, u32, true>>;
    Add [T32, R32] (T) straight::<Update<Add, T, First, u32, true>>;
    Add [T32, I]   (T) straight::<Update<Add, T, Immediate, u32, true>>;
    Sub [R32, T32] (T) straight::<Update<Sub, First, T, u32, true>>;
    Sub [T32, R32] (T) straight::<Update<Sub, T, First, u32, true>>;
    Sub [T32, I]   (T) straight::<Update<Sub, T, Immediate, u32, true>>;
    Xor [R32, T32] (T) straight::<Update<Xor, First, T, u32, true>>;
    Xor [T32, R32] (T) straight::<Update<Xor, T, First, u32, true>>;
    Xor [T32, I]   (T) straight::<Update<Xor, T, Immediate, u32, true>>;
    Cmp [R32, T32] (T) straight::<Compare<Sub, First, T, u32>>;
    Cmp [T32, R32] (T) straight::<Compare<Sub, T, First, u32>>;
    Cmp [T32, I]   (T) straight::<Compare<Sub, T, Immediate, u32>>;
    Cmp [T8, I]    (T) straight::<Compare<Sub, T, Immediate, u8>>;
    Adc [R32, T32] (T) straight::<Update<Adc, First, T, u32, true>>;
    Sbb [R32, T32] (T) straight::<Update<Sbb, First, T, u32, true>>;
};

const UNARY: &[HandlerRow] = rows! {
    Inc [R32]        (L D) straight::<Count<Fixed<D>, u32, false, L>>;
    Inc [R8|R16]     (H L) straight::<Count<First, H, false, L>>;
    Inc [M32]        (M)   straight::<Count<M, u32, false, { ALL }>>;
    Inc [M8|M16]     (H)   straight::<Count<Anywhere, H, false, { ALL }>>;
    Dec [R32]        (L D) straight::<Count<Fixed<D>, u32, true, L>>;
    Dec [R8|R16]     (H L) straight::<Count<First, H, true, L>>;
    Dec [M32]        (M)   straight::<Count<M, u32, true, { ALL }>>;
    Dec [M8|M16]     (H)   straight::<Count<Anywhere, H, true, { ALL }>>;
    Neg [R32]        (F)   straight::<Negate<First, u32, F>>;
    Neg [R8|R16]     (H)   straight::<Negate<First, H, true>>;
    Neg [M8|M16|M32] (W)   straight::<Negate<Anywhere, W, true>>;
    Not [R8|R16|R32] (W)   straight::<Complement<First, W>>;
    Not [M8|M16|M32] (W)   straight::<Complement<Anywhere, W>>;
};

/// Counts of shifts go modulo 32.
fn modulo(op: &mut Op, _: &Step, _: &Instruction) {
    op.immediate &= 31;
}

/// Shifts and rotates; by zero, of a register, they do nothing.
macro_rules! shifts {
    ($($name:ident)*) => {
        rows! { prepare modulo; $(
            $name [R32, COUNT]         (F D) straight::<Shifted<$name, Fixed<D>, u32, false, F>>;
            $name [R8|R16, COUNT]      (H F) straight::<Shifted<$name, First, H, false, F>>;
            $name [M32, COUNT]         (E)   straight::<Shifted<$name, E, u32, false, true>>;
            $name [M8|M16, COUNT]      (H)   straight::<Shifted<$name, Anywhere, H, false, true>>;
            $name [R32, R8]            (F)   straight::<Shifted<$name, First, u32, true, F>>;
            $name [R8|R16, R8]         (H)   straight::<Shifted<$name, First, H, true, true>>;
            $name [M8|M16|M32, R8]     (W)   straight::<Shifted<$name, Anywhere, W, true, true>>;
            $name [R8|R16|R32, ZERO]   ()    straight::<t::Nothing>;
        )* }
    };
}

const SHIFTS: &[HandlerRow] = shifts!(Shl Shr Sar Rol Ror);

/// Rotates through CF.
macro_rules! rotates {
    ($($name:ident)*) => {
        rows! { prepare modulo; $(
            $name [R8|R16|R32, COUNT]  (W) straight::<Shifted<$name, First, W, false, true>>;
            $name [M8|M16|M32, COUNT]  (W) straight::<Shifted<$name, Anywhere, W, false, true>>;
            $name [R8|R16|R32, R8]     (W) straight::<Shifted<$name, First, W, true, true>>;
            $name [M8|M16|M32, R8]     (W) straight::<Shifted<$name, Anywhere, W, true, true>>;
            $name [R8|R16|R32, ZERO]   ()  straight::<t::Nothing>;
        )* }
    };
}

const ROTATES: &[HandlerRow] = rotates!(Rcl Rcr);

const DOUBLE_SHIFTS: &[HandlerRow] = rows! { prepare modulo;
    Shld [R32, R32, COUNT]         (F) straight::<DoubleShift<First, Second, u32, false, false, F>>;
    Shld [R32, R32, R8]            (F) straight::<DoubleShift<First, Second, u32, false, true, F>>;
    Shld [R16, R16, COUNT]         ()  straight::<DoubleShift<First, Second, u16, false, false, true>>;
    Shld [R16, R16, R8]            ()  straight::<DoubleShift<First, Second, u16, false, true, true>>;
    Shld [M16|M32, R16|R32, COUNT] (X) straight::<DoubleShift<Anywhere, First, X, false, false, true>>;
    Shld [M16|M32, R16|R32, R8]    (X) straight::<DoubleShift<Anywhere, First, X, false, true, true>>;
    Shrd [R32, R32, COUNT]         (F) straight::<DoubleShift<First, Second, u32, true, false, F>>;
    Shrd [R32, R32, R8]            (F) straight::<DoubleShift<First, Second, u32, true, true, F>>;
    Shrd [R16, R16, COUNT]         ()  straight::<DoubleShift<First, Second, u16, true, false, true>>;
    Shrd [R16, R16, R8]            ()  straight::<DoubleShift<First, Second, u16, true, true, true>>;
    Shrd [M16|M32, R16|R32, COUNT] (X) straight::<DoubleShift<Anywhere, First, X, true, false, true>>;
    Shrd [M16|M32, R16|R32, R8]    (X) straight::<DoubleShift<Anywhere, First, X, true, true, true>>;
};

const PRODUCTS: &[HandlerRow] = rows! {
    Imul [R32, R32]     (P)   straight::<Multiply<First, Second, u32, P>>;
    Imul [R32, M32]     (P M) straight::<Multiply<First, M, u32, P>>;
    Imul [R32, R32, I]  (P)   straight::<Multiply<Second, Immediate, u32, P>>;
    Imul [R32, M32, I]  (P E) straight::<Multiply<E, Immediate, u32, P>>;
    Imul [R16, R16]     ()    straight::<Multiply<First, Second, u16, true>>;
    Imul [R16, M16]     ()    straight::<Multiply<First, Anywhere, u16, true>>;
    Imul [R16, R16, I]  ()    straight::<Multiply<Second, Immediate, u16, true>>;
    Imul [R16, M16, I]  ()    straight::<Multiply<Anywhere, Immediate, u16, true>>;
};

/// Products of twice the width, and quotients: the instruction, what does it, and whether it is signed.
macro_rules! wide {
    ($($name:ident $does:ident $signed:literal $flags:ident;)*) => {
        rows! { $(
            $name [R32]         ($flags)   straight::<$does<First, u32, $signed, $flags>>;
            $name [M32]         ($flags E) straight::<$does<E, u32, $signed, $flags>>;
            $name [R8|R16]      (H)        straight::<$does<First, H, $signed, true>>;
            $name [M8|M16]      (H)        straight::<$does<Anywhere, H, $signed, true>>;
        )* }
    };
}

const WIDE: &[HandlerRow] = wide! {
    Imul MultiplyWide true  P;
    Mul  MultiplyWide false P;
    Idiv Divide       true  F;
    Div  Divide       false F;
};

/// Bit scans and counts: `first = name(second)`.
macro_rules! scans {
    ($($name:ident)*) => {
        rows! { $(
            $name [R32, R32] ()  straight::<Scanned<$name, Second>>;
            $name [R32, M32] ()  straight::<Scanned<$name, Anywhere>>;
        )* }
    };
}

const SCANS: &[HandlerRow] = scans!(Bsf Bsr Tzcnt Lzcnt Popcnt);

/// Bit tests, and what they do to the bit.
macro_rules! bit_tests {
    ($($name:ident $change:ident;)*) => {
        rows! { $(
            $name [R32, R32] ()  straight::<BitTest<First, Second, { b::$change }>>;
            $name [R32, I]   ()  straight::<BitTest<First, Immediate, { b::$change }>>;
            $name [M32, I]   ()  straight::<BitTest<Anywhere, Immediate, { b::$change }>>;
            $name [M32, R32] ()  straight::<BitTestFar<Computed, { b::$change }>>;
        )* }
    };
}

const BIT_TESTS: &[HandlerRow] = bit_tests! {
    Bt  KEEP;
    Bts SET;
    Btr RESET;
    Btc COMPLEMENT;
};

/// The rows of this file.
pub(super) const ROWS: Family = &[
    &[
        MOVES,
        RARER_CONDITIONS,
        EXCHANGES,
        STACK,
        UPDATES,
        UPDATES_OF_REGISTERS,
        WITH_CARRY,
        COMPARISONS,
        COMPARISONS_WITH_MEMORY,
        THREAD_LOCAL,
        UNARY,
    ],
    &[SHIFTS, ROTATES, DOUBLE_SHIFTS, PRODUCTS, WIDE, SCANS, BIT_TESTS],
];
