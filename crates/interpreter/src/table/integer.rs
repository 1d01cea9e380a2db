//! The rows of instructions on general registers and memory: moves, arithmetic, logic, shifts, bits.

use pentimento_decoder::Instruction;

use crate::arena::Op;
use crate::drivers::straight;
use crate::handlers::arithmetic::{
    Adc, Add, And, Compare, Complement, Count, Divide, DoubleShift, Multiply, MultiplyWide, Negate, Or, Rcl,
    Rcr, Rol, Ror, Sar, Sbb, Shifted, Shl, Shr, Sub, Update, Xor,
};
use crate::handlers::bit_byte::{self as b, BitTest, BitTestFar, Bsf, Bsr, Lzcnt, Popcnt, Scanned, Tzcnt};
use crate::handlers::exchange::{CompareExchange, ExchangeAdd, ExchangeMemory};
use crate::handlers::transfer as t;
use crate::operand::{
    Absolute, Base, Based, First, Fixed, Immediate, Indexed, Memory, Scaled, Second, Selector,
};
use crate::step::Step;
use crate::table::row::{Family, HandlerRow, rows};

const MOVES: &[HandlerRow] = rows! {
    Mov           [R32, R32]         (D S)   straight::<t::Move<Fixed<D>, Fixed<S>, u32>>;
    Mov           [R32, I]           (D)     straight::<t::Move<Fixed<D>, Immediate, u32>>;
    Mov based     [R32, M32]         (D B)   straight::<t::Move<Fixed<D>, Memory<Base<B>>, u32>>;
    Mov based     [M32, R32]         (D B)   straight::<t::Move<Memory<Base<B>>, Fixed<D>, u32>>;
    Mov based     [M32, I]           (B)     straight::<t::Move<Memory<Base<B>>, Immediate, u32>>;
    Mov unbased   [R32, M32]         (N D)   straight::<t::Move<Fixed<D>, N, u32>>;
    Mov unbased   [M32, R32]         (N D)   straight::<t::Move<N, Fixed<D>, u32>>;
    Mov unbased   [M32, I]           (N)     straight::<t::Move<N, Immediate, u32>>;
    Mov           [R8|R16, R8|R16]   (H D)   straight::<t::Move<Fixed<D>, Second, H>>;
    Mov           [R8|R16, I]        (H D)   straight::<t::Move<Fixed<D>, Immediate, H>>;
    Mov           [R8|R16, M8|M16]   (H M)   straight::<t::Move<First, M, H>>;
    Mov           [M8|M16, R8|R16]   (H M)   straight::<t::Move<M, First, H>>;
    Mov           [M8|M16, I]        (H M)   straight::<t::Move<M, Immediate, H>>;
    Mov unindexed [R32, T32]         (T)     straight::<t::Move<First, T, u32>>;
    Mov unindexed [T32, R32]         (T)     straight::<t::Move<T, First, u32>>;
    Mov unindexed [T32, I]           (T)     straight::<t::Move<T, Immediate, u32>>;
    Movnti        [M32, R32]         (M)     straight::<t::Move<M, First, u32>>;
    Movbe         [R16|R32, M16|M32] (X M)   straight::<t::MoveSwapped<First, M, X>>;
    Movbe         [M16|M32, R16|R32] (X M)   straight::<t::MoveSwapped<M, First, X>>;
    Movzx         [R32, R8|R16]      (V D)   straight::<t::Extend<Fixed<D>, Second, V, false>>;
    Movzx         [R32, M8|M16]      (V M D) straight::<t::Extend<Fixed<D>, M, V, false>>;
    Movsx         [R32, R8|R16]      (V D)   straight::<t::Extend<Fixed<D>, Second, V, true>>;
    Movsx         [R32, M8|M16]      (V M D) straight::<t::Extend<Fixed<D>, M, V, true>>;
    Lea based     [R32, MX]          (D B)   straight::<t::EffectiveAddress<Fixed<D>, Base<B>>>;
    Lea indexed   [R32, MX]          (D)     straight::<t::EffectiveAddress<Fixed<D>, Indexed>>;
    Lea scaled    [R32, MX]          (D)     straight::<t::EffectiveAddress<Fixed<D>, Scaled>>;
    Lea absolute  [R32, MX]          ()      straight::<t::EffectiveAddress<First, Absolute>>;
    Bswap         [R32]              ()      straight::<t::SwapBytes>;
    Cbw           []                 ()      straight::<t::ExtendAl>;
    Cwd           []                 ()      straight::<t::SignIntoDx>;
    Cwde          []                 ()      straight::<t::ExtendEax>;
    Cdq           []                 ()      straight::<t::SignIntoEdx>;
    Xlat          [M8]               ()      straight::<t::Translate>;
    Setcc         [R8]               (C)     straight::<t::Set<First, C>>;
    Setcc         [M8]               (C M)   straight::<t::Set<M, C>>;
    Cmovcc        [R16|R32, R16|R32] (X C)   straight::<t::ConditionalMove<Second, X, C>>;
    Cmovcc        [R16|R32, M16|M32] (X C M) straight::<t::ConditionalMove<M, X, C>>;
};

const EXCHANGES: &[HandlerRow] = rows! {
    Xchg    [R8|R16|R32, R8|R16|R32] (W)   straight::<t::Exchange<W>>;
    Xchg    [M8|M16|M32, R8|R16|R32] (W M) straight::<ExchangeMemory<M, W>>;
    Xadd    [M8|M16|M32, R8|R16|R32] (W M) straight::<ExchangeAdd<M, W>>;
    Cmpxchg [M8|M16|M32, R8|R16|R32] (W M) straight::<CompareExchange<M, W>>;
};

const STACK: &[HandlerRow] = rows! {
    Push dword [R32]  (D) straight::<t::Push<Fixed<D>>>;
    Push dword [I]    ()  straight::<t::Push<Immediate>>;
    Push dword [M32]  (M) straight::<t::Push<M>>;
    Push dword [T32]  (T) straight::<t::Push<T>>;
    Push dword [SREG] ()  straight::<t::Push<Selector>>;
    Pop dword  [R32]  (D) straight::<t::Pop<Fixed<D>>>;
    Leave dword []    ()  straight::<t::Leave>;
};

/// Operations of two operands that write all flags and read none.
macro_rules! updates {
    ($($name:ident)*) => {
        rows! { $(
            $name         [R32, R32]               (F D S) straight::<Update<$name, Fixed<D>, Fixed<S>, u32, F>>;
            $name         [R32, I]                 (F D)   straight::<Update<$name, Fixed<D>, Immediate, u32, F>>;
            $name based   [R32, M32]               (F D)   straight::<Update<$name, Fixed<D>, Memory<Based>, u32, F>>;
            $name unbased [R32, M32]               (F N)   straight::<Update<$name, First, N, u32, F>>;
            $name         [R8|R16, R8|R16]         (H F)   straight::<Update<$name, First, Second, H, F>>;
            $name         [R8|R16, I]              (H F)   straight::<Update<$name, First, Immediate, H, F>>;
            $name         [R8|R16, M8|M16]         (H F M) straight::<Update<$name, First, M, H, F>>;
            $name         [M8|M16|M32, R8|R16|R32] (W F M) straight::<Update<$name, M, First, W, F>>;
            $name         [M8|M16|M32, I]          (W F M) straight::<Update<$name, M, Immediate, W, F>>;
        )* }
    };
}

const UPDATES: &[HandlerRow] = updates!(Add Sub And Or Xor);

/// Operations of two operands and CF.
macro_rules! updates_with_carry {
    ($($name:ident)*) => {
        rows! { $(
            $name [R8|R16|R32, R8|R16|R32] (W F)   straight::<Update<$name, First, Second, W, F>>;
            $name [R8|R16|R32, I]          (W F)   straight::<Update<$name, First, Immediate, W, F>>;
            $name [R8|R16|R32, M8|M16|M32] (W F M) straight::<Update<$name, First, M, W, F>>;
            $name [M8|M16|M32, R8|R16|R32] (W F M) straight::<Update<$name, M, First, W, F>>;
            $name [M8|M16|M32, I]          (W F M) straight::<Update<$name, M, Immediate, W, F>>;
        )* }
    };
}

const WITH_CARRY: &[HandlerRow] = updates_with_carry!(Adc Sbb);

/// Operations that compute only flags: the instruction, and what it computes.
macro_rules! comparisons {
    ($($name:ident $operation:ident;)*) => {
        rows! { $(
            $name [R8|R16|R32, R8|R16|R32] (W D) straight::<Compare<$operation, Fixed<D>, Second, W>>;
            $name [R8|R16|R32, I]          (W D) straight::<Compare<$operation, Fixed<D>, Immediate, W>>;
            $name [M8|M16|M32, R8|R16|R32] (W M) straight::<Compare<$operation, M, First, W>>;
            $name [M8|M16|M32, I]          (W M) straight::<Compare<$operation, M, Immediate, W>>;
        )* }
    };
}

const COMPARISONS: &[HandlerRow] = comparisons! {
    Cmp  Sub;
    Test And;
};

const COMPARISONS_WITH_MEMORY: &[HandlerRow] = rows! {
    Cmp [R8|R16|R32, M8|M16|M32] (W M) straight::<Compare<Sub, First, M, W>>;
};

const THREAD_LOCAL: &[HandlerRow] = rows! {
    Add unindexed [R32, T32] (T) straight::<Update<Add, First, T, u32, true>>;
    Add unindexed [T32, R32] (T) straight::<Update<Add, T, First, u32, true>>;
    Add unindexed [T32, I]   (T) straight::<Update<Add, T, Immediate, u32, true>>;
    Sub unindexed [R32, T32] (T) straight::<Update<Sub, First, T, u32, true>>;
    Sub unindexed [T32, R32] (T) straight::<Update<Sub, T, First, u32, true>>;
    Sub unindexed [T32, I]   (T) straight::<Update<Sub, T, Immediate, u32, true>>;
    Xor unindexed [R32, T32] (T) straight::<Update<Xor, First, T, u32, true>>;
    Xor unindexed [T32, R32] (T) straight::<Update<Xor, T, First, u32, true>>;
    Xor unindexed [T32, I]   (T) straight::<Update<Xor, T, Immediate, u32, true>>;
    Cmp unindexed [R32, T32] (T) straight::<Compare<Sub, First, T, u32>>;
    Cmp unindexed [T32, R32] (T) straight::<Compare<Sub, T, First, u32>>;
    Cmp unindexed [T32, I]   (T) straight::<Compare<Sub, T, Immediate, u32>>;
};

const UNARY: &[HandlerRow] = rows! {
    Inc [R8|R16|R32] (W L D) straight::<Count<Fixed<D>, W, false, L>>;
    Inc [M8|M16|M32] (W M)   straight::<Count<M, W, false, { crate::handlers::arithmetic::ALL }>>;
    Dec [R8|R16|R32] (W L D) straight::<Count<Fixed<D>, W, true, L>>;
    Dec [M8|M16|M32] (W M)   straight::<Count<M, W, true, { crate::handlers::arithmetic::ALL }>>;
    Neg [R8|R16|R32] (W F)   straight::<Negate<First, W, F>>;
    Neg [M8|M16|M32] (W M)   straight::<Negate<M, W, true>>;
    Not [R8|R16|R32] (W)     straight::<Complement<First, W>>;
    Not [M8|M16|M32] (W M)   straight::<Complement<M, W>>;
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
            $name [M8|M16|M32, COUNT]  (W M) straight::<Shifted<$name, M, W, false, true>>;
            $name [R8|R16|R32, R8]     (W F) straight::<Shifted<$name, First, W, true, F>>;
            $name [M8|M16|M32, R8]     (W M) straight::<Shifted<$name, M, W, true, true>>;
            $name [R8|R16|R32, ZERO]   ()    straight::<t::Nothing>;
        )* }
    };
}

const SHIFTS: &[HandlerRow] = shifts!(Shl Shr Sar Rol Ror Rcl Rcr);

const DOUBLE_SHIFTS: &[HandlerRow] = rows! { prepare modulo;
    Shld [R16|R32, R16|R32, COUNT] (X F) straight::<DoubleShift<First, Second, X, false, false, F>>;
    Shld [R16|R32, R16|R32, R8]    (X F) straight::<DoubleShift<First, Second, X, false, true, F>>;
    Shld [M16|M32, R16|R32, COUNT] (X M) straight::<DoubleShift<M, First, X, false, false, true>>;
    Shld [M16|M32, R16|R32, R8]    (X M) straight::<DoubleShift<M, First, X, false, true, true>>;
    Shrd [R16|R32, R16|R32, COUNT] (X F) straight::<DoubleShift<First, Second, X, true, false, F>>;
    Shrd [R16|R32, R16|R32, R8]    (X F) straight::<DoubleShift<First, Second, X, true, true, F>>;
    Shrd [M16|M32, R16|R32, COUNT] (X M) straight::<DoubleShift<M, First, X, true, false, true>>;
    Shrd [M16|M32, R16|R32, R8]    (X M) straight::<DoubleShift<M, First, X, true, true, true>>;
};

const PRODUCTS: &[HandlerRow] = rows! {
    Imul [R16|R32, R16|R32]    (X P)   straight::<Multiply<First, Second, X, P>>;
    Imul [R16|R32, M16|M32]    (X P M) straight::<Multiply<First, M, X, P>>;
    Imul [R16|R32, R16|R32, I] (X P)   straight::<Multiply<Second, Immediate, X, P>>;
    Imul [R16|R32, M16|M32, I] (X P M) straight::<Multiply<M, Immediate, X, P>>;
    Imul [R8|R16|R32]          (W P)   straight::<MultiplyWide<First, W, true, P>>;
    Imul [M8|M16|M32]          (W P M) straight::<MultiplyWide<M, W, true, P>>;
    Mul  [R8|R16|R32]          (W P)   straight::<MultiplyWide<First, W, false, P>>;
    Mul  [M8|M16|M32]          (W P M) straight::<MultiplyWide<M, W, false, P>>;
    Div  [R8|R16|R32]          (W F)   straight::<Divide<First, W, false, F>>;
    Div  [M8|M16|M32]          (W F M) straight::<Divide<M, W, false, F>>;
    Idiv [R8|R16|R32]          (W F)   straight::<Divide<First, W, true, F>>;
    Idiv [M8|M16|M32]          (W F M) straight::<Divide<M, W, true, F>>;
};

/// Bit scans and counts: `first = name(second)`.
macro_rules! scans {
    ($($name:ident)*) => {
        rows! { $(
            $name [R32, R32] ()  straight::<Scanned<$name, Second>>;
            $name [R32, M32] (M) straight::<Scanned<$name, M>>;
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
            $name [M32, I]   (M) straight::<BitTest<M, Immediate, { b::$change }>>;
            $name [M32, R32] (A) straight::<BitTestFar<A, { b::$change }>>;
        )* }
    };
}

const BIT_TESTS: &[HandlerRow] = bit_tests! {
    Bt  KEEP;
    Bts SET;
    Btr RESET;
    Btc COMPLEMENT;
};

/// All of them.
pub(super) const ROWS: Family = &[
    &[
        MOVES,
        EXCHANGES,
        STACK,
        UPDATES,
        WITH_CARRY,
        COMPARISONS,
        COMPARISONS_WITH_MEMORY,
        THREAD_LOCAL,
        UNARY,
    ],
    &[SHIFTS, DOUBLE_SHIFTS, PRODUCTS, SCANS, BIT_TESTS],
];
