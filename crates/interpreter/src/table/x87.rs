//! The rows of x87 instructions.

use pentimento_decoder::Instruction;
use pentimento_registers::Condition;

use crate::arena::Op;
use crate::drivers::{attempt, attempts, straight};
use crate::step::Step;
use crate::table::row::{Family, HandlerRow, rows};
use crate::x87::arithmetic::{
    self as a, CompareIntoFlags, CompareNumbers, Full, FullCompare, FullCompareIntoFlags, FullUnary, Unary,
    Unusual, Usual,
};
use crate::x87::operand::{Double, Extended, InMemory, Int, Single, Stack, ToStack};
use crate::x87::transfer::{
    self as t, Copy, LoadFloat, LoadFull, LoadUsual, MoveIf, Rotate, StoreFloat, StoreFull, StoreUsual,
};

/// The number of ST(i) goes into the immediate, its bit and ST(0)'s into the displacement. FCOMPP and
/// FUCOMPP have the right one there, too, and FLD1 to FLDZ the number of their constant.
fn stack_register(op: &mut Op, _: &Step, instruction: &Instruction) {
    op.immediate = (instruction.modrm() & 7).into();
    op.displacement = 1 | 1 << op.immediate;
}

/// Instructions of two operands: the operation, the one that pops, the one on integers, and what they
/// compute.
macro_rules! arithmetic {
    ($($name:ident $popping:ident $integer:ident $compute:ident;)*) => {
        &[
            rows! { prepare stack_register; $(
                $name    [ST0, ST] ()
                    attempts::<Usual<a::$compute, Stack>, Unusual<a::$compute, Stack>, Full<a::$compute, Stack>>;
                $name    [STI, ST0] ()
                    attempts::<Usual<a::$compute, ToStack<false>>, Unusual<a::$compute, ToStack<false>>, Full<a::$compute, ToStack<false>>>;
                $popping [ST, ST0] ()
                    attempts::<Usual<a::$compute, ToStack<true>>, Unusual<a::$compute, ToStack<true>>, Full<a::$compute, ToStack<true>>>;
            )* },
            rows! { $(
                $name    [M32] (A)
                    attempts::<Usual<a::$compute, InMemory<Single, A>>, Unusual<a::$compute, InMemory<Single, A>>, Full<a::$compute, InMemory<Single, A>>>;
                $name    [M64] (A)
                    attempts::<Usual<a::$compute, InMemory<Double, A>>, Unusual<a::$compute, InMemory<Double, A>>, Full<a::$compute, InMemory<Double, A>>>;
                $integer [M16] (A)
                    attempt::<Unusual<a::$compute, InMemory<Int<i16>, A>>, Full<a::$compute, InMemory<Int<i16>, A>>>;
                $integer [M32] (A)
                    attempt::<Unusual<a::$compute, InMemory<Int<i32>, A>>, Full<a::$compute, InMemory<Int<i32>, A>>>;
            )* },
        ]
    };
}

const ARITHMETIC: &[&[HandlerRow]] = arithmetic! {
    Fadd  Faddp  Fiadd  Add;
    Fmul  Fmulp  Fimul  Mul;
    Fsub  Fsubp  Fisub  Sub;
    Fsubr Fsubrp Fisubr SubReversed;
    Fdiv  Fdivp  Fidiv  Div;
    Fdivr Fdivrp Fidivr DivReversed;
};

/// Comparisons into the condition codes, by what they compare with and how often they pop.
macro_rules! comparisons {
    ($($name:ident [$($kind:ident),*] ($($axis:ident)?) $source:ty, $pops:literal, $signalling:literal;)*) => {
        rows! { prepare stack_register; $(
            $name [$($kind),*] ($($axis)?)
                attempt::<CompareNumbers<$source, $pops>, FullCompare<$source, $pops, $signalling>>;
        )* }
    };
}

const STACK: &[&[HandlerRow]] = &[
    comparisons! {
        Fcom    [ST0, ST] () Stack, 0, true;
        Fcomp   [ST0, ST] () Stack, 1, true;
        Fcompp  []        () Stack, 2, true;
        Fucom   [ST0, ST] () Stack, 0, false;
        Fucomp  [ST0, ST] () Stack, 1, false;
        Fucompp []        () Stack, 2, false;
    },
    rows! { prepare stack_register;
        Fcomi    [ST0, ST] () attempt::<CompareIntoFlags<0>, FullCompareIntoFlags<0, true>>;
        Fcomip   [ST0, ST] () attempt::<CompareIntoFlags<1>, FullCompareIntoFlags<1, true>>;
        Fucomi   [ST0, ST] () attempt::<CompareIntoFlags<0>, FullCompareIntoFlags<0, false>>;
        Fucomip  [ST0, ST] () attempt::<CompareIntoFlags<1>, FullCompareIntoFlags<1, false>>;
        Ftst     []        () straight::<a::Test>;
        Fabs     []        () straight::<Unary<a::AbsoluteValue>>;
        Fchs     []        () straight::<Unary<a::ChangeSign>>;
        Fsqrt    []        () attempt::<Unary<a::SquareRoot>, FullUnary<a::SquareRoot>>;
        Frndint  []        () attempt::<Unary<a::RoundToInteger>, FullUnary<a::RoundToInteger>>;
        Fld      [ST]      () straight::<LoadFloat<Stack>>;
        Fld1     []        () straight::<t::LoadConstant>;
        Fldl2t   []        () straight::<t::LoadConstant>;
        Fldl2e   []        () straight::<t::LoadConstant>;
        Fldpi    []        () straight::<t::LoadConstant>;
        Fldlg2   []        () straight::<t::LoadConstant>;
        Fldln2   []        () straight::<t::LoadConstant>;
        Fldz     []        () straight::<t::LoadConstant>;
        Fst      [ST]      () straight::<Copy<false>>;
        Fstp     [ST]      () straight::<Copy<true>>;
        Fxch     [ST0, ST] () straight::<t::Exchange>;
        Fnop     []        () straight::<Rotate<0>>;
        Fincstp  []        () straight::<Rotate<1>>;
        Fdecstp  []        () straight::<Rotate<7>>;
        Ffree    [ST]      () straight::<t::Free<false>>;
        Ffreep   [ST]      () straight::<t::Free<true>>;
        Fcmovb   [ST0, ST] () straight::<MoveIf<{ Condition::B as u8 }>>;
        Fcmovnb  [ST0, ST] () straight::<MoveIf<{ Condition::Ae as u8 }>>;
        Fcmove   [ST0, ST] () straight::<MoveIf<{ Condition::E as u8 }>>;
        Fcmovne  [ST0, ST] () straight::<MoveIf<{ Condition::Ne as u8 }>>;
        Fcmovbe  [ST0, ST] () straight::<MoveIf<{ Condition::Be as u8 }>>;
        Fcmovnbe [ST0, ST] () straight::<MoveIf<{ Condition::A as u8 }>>;
        Fcmovu   [ST0, ST] () straight::<MoveIf<{ Condition::P as u8 }>>;
        Fcmovnu  [ST0, ST] () straight::<MoveIf<{ Condition::Np as u8 }>>;
    },
    rows! {
        Fnclex [] () straight::<t::ClearExceptions>;
        Wait   [] () straight::<t::Wait>;
    },
];

const MEMORY: &[HandlerRow] = rows! {
    Fcom   [M32] (A) attempt::<CompareNumbers<InMemory<Single, A>, 0>, FullCompare<InMemory<Single, A>, 0, true>>;
    Fcom   [M64] (A) attempt::<CompareNumbers<InMemory<Double, A>, 0>, FullCompare<InMemory<Double, A>, 0, true>>;
    Fcomp  [M32] (A) attempt::<CompareNumbers<InMemory<Single, A>, 1>, FullCompare<InMemory<Single, A>, 1, true>>;
    Fcomp  [M64] (A) attempt::<CompareNumbers<InMemory<Double, A>, 1>, FullCompare<InMemory<Double, A>, 1, true>>;
    Ficom  [M16] (A) straight::<CompareNumbers<InMemory<Int<i16>, A>, 0>>;
    Ficom  [M32] (A) straight::<CompareNumbers<InMemory<Int<i32>, A>, 0>>;
    Ficomp [M16] (A) straight::<CompareNumbers<InMemory<Int<i16>, A>, 1>>;
    Ficomp [M32] (A) straight::<CompareNumbers<InMemory<Int<i32>, A>, 1>>;
    Fld    [M32] (A) attempts::<LoadUsual<Single, A>, LoadFloat<InMemory<Single, A>>, LoadFull<Single, A>>;
    Fld    [M64] (A) attempts::<LoadUsual<Double, A>, LoadFloat<InMemory<Double, A>>, LoadFull<Double, A>>;
    Fld    [M80] (A) straight::<LoadFloat<InMemory<Extended, A>>>;
    Fild   [M16] (A) straight::<LoadFloat<InMemory<Int<i16>, A>>>;
    Fild   [M32] (A) straight::<LoadFloat<InMemory<Int<i32>, A>>>;
    Fild   [M64] (A) straight::<LoadFloat<InMemory<Int<i64>, A>>>;
    Fst    [M32] (A)
        attempts::<StoreUsual<t::Single, A, false>, StoreFloat<t::Single, A, false>, StoreFull<t::Single, A, false>>;
    Fst    [M64] (A)
        attempts::<StoreUsual<t::Double, A, false>, StoreFloat<t::Double, A, false>, StoreFull<t::Double, A, false>>;
    Fstp   [M32] (A)
        attempts::<StoreUsual<t::Single, A, true>, StoreFloat<t::Single, A, true>, StoreFull<t::Single, A, true>>;
    Fstp   [M64] (A)
        attempts::<StoreUsual<t::Double, A, true>, StoreFloat<t::Double, A, true>, StoreFull<t::Double, A, true>>;
    Fstp   [M80] (A) straight::<t::StoreExtended<A>>;
    Fist   [M16] (A) attempt::<StoreFloat<t::Int<i16, false>, A, false>, StoreFull<t::Int<i16, false>, A, false>>;
    Fist   [M32] (A) attempt::<StoreFloat<t::Int<i32, false>, A, false>, StoreFull<t::Int<i32, false>, A, false>>;
    Fistp  [M16] (A) attempt::<StoreFloat<t::Int<i16, false>, A, true>, StoreFull<t::Int<i16, false>, A, true>>;
    Fistp  [M32] (A) attempt::<StoreFloat<t::Int<i32, false>, A, true>, StoreFull<t::Int<i32, false>, A, true>>;
    Fistp  [M64] (A) attempt::<StoreFloat<t::Int<i64, false>, A, true>, StoreFull<t::Int<i64, false>, A, true>>;
    Fisttp [M16] (A) attempt::<StoreFloat<t::Int<i16, true>, A, true>, StoreFull<t::Int<i16, true>, A, true>>;
    Fisttp [M32] (A) attempt::<StoreFloat<t::Int<i32, true>, A, true>, StoreFull<t::Int<i32, true>, A, true>>;
    Fisttp [M64] (A) attempt::<StoreFloat<t::Int<i64, true>, A, true>, StoreFull<t::Int<i64, true>, A, true>>;
    Fldcw  [M16] (A) straight::<t::LoadControl<A>>;
    Fnstcw [M16] (A) straight::<t::StoreControl<A>>;
    Fnstsw [M16] (A) straight::<t::StoreStatus<A>>;
    Fnstsw [R16] ()  straight::<t::StatusIntoAx>;
};

/// All of them.
pub(super) const ROWS: Family = &[ARITHMETIC, STACK, &[MEMORY]];
