//! The rows of x87 instructions.

use pentimento_decoder::Instruction;
use pentimento_registers::Condition;

use crate::arena::Op;
use crate::drivers::{attempt, attempts, straight};
use crate::operand::Computed;
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
                $name    [M32] (G)
                    attempts::<Usual<a::$compute, InMemory<Single, G>>, Unusual<a::$compute, InMemory<Single, Computed>>, Full<a::$compute, InMemory<Single, Computed>>>;
                $name    [M64] (G)
                    attempts::<Usual<a::$compute, InMemory<Double, G>>, Unusual<a::$compute, InMemory<Double, Computed>>, Full<a::$compute, InMemory<Double, Computed>>>;
                $integer [M16] ()
                    attempt::<Unusual<a::$compute, InMemory<Int<i16>, Computed>>, Full<a::$compute, InMemory<Int<i16>, Computed>>>;
                $integer [M32] ()
                    attempt::<Unusual<a::$compute, InMemory<Int<i32>, Computed>>, Full<a::$compute, InMemory<Int<i32>, Computed>>>;
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
        Fxam     []        () straight::<a::Examine>;
        Fprem    []        () straight::<a::PartialRemainder<false>>;
        Fprem1   []        () straight::<a::PartialRemainder<true>>;
        Fscale   []        () straight::<a::Scale>;
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
    Fcom   [M32] ()  attempt::<CompareNumbers<InMemory<Single, Computed>, 0>, FullCompare<InMemory<Single, Computed>, 0, true>>;
    Fcom   [M64] ()  attempt::<CompareNumbers<InMemory<Double, Computed>, 0>, FullCompare<InMemory<Double, Computed>, 0, true>>;
    Fcomp  [M32] ()  attempt::<CompareNumbers<InMemory<Single, Computed>, 1>, FullCompare<InMemory<Single, Computed>, 1, true>>;
    Fcomp  [M64] ()  attempt::<CompareNumbers<InMemory<Double, Computed>, 1>, FullCompare<InMemory<Double, Computed>, 1, true>>;
    Ficom  [M16] ()  straight::<CompareNumbers<InMemory<Int<i16>, Computed>, 0>>;
    Ficom  [M32] ()  straight::<CompareNumbers<InMemory<Int<i32>, Computed>, 0>>;
    Ficomp [M16] ()  straight::<CompareNumbers<InMemory<Int<i16>, Computed>, 1>>;
    Ficomp [M32] ()  straight::<CompareNumbers<InMemory<Int<i32>, Computed>, 1>>;
    Fld    [M32] (A) attempts::<LoadUsual<Single, A>, LoadFloat<InMemory<Single, Computed>>, LoadFull<Single, Computed>>;
    Fld    [M64] (A) attempts::<LoadUsual<Double, A>, LoadFloat<InMemory<Double, Computed>>, LoadFull<Double, Computed>>;
    Fld    [M80] (G) straight::<LoadFloat<InMemory<Extended, G>>>;
    Fild   [M16] (G) straight::<LoadFloat<InMemory<Int<i16>, G>>>;
    Fild   [M32] (G) straight::<LoadFloat<InMemory<Int<i32>, G>>>;
    Fild   [M64] (G) straight::<LoadFloat<InMemory<Int<i64>, G>>>;
    Fst    [M32] (G)
        attempts::<StoreUsual<t::Single, G, false>, StoreFloat<t::Single, Computed, false>, StoreFull<t::Single, Computed, false>>;
    Fst    [M64] (G)
        attempts::<StoreUsual<t::Double, G, false>, StoreFloat<t::Double, Computed, false>, StoreFull<t::Double, Computed, false>>;
    Fstp   [M32] (G)
        attempts::<StoreUsual<t::Single, G, true>, StoreFloat<t::Single, Computed, true>, StoreFull<t::Single, Computed, true>>;
    Fstp   [M64] (G)
        attempts::<StoreUsual<t::Double, G, true>, StoreFloat<t::Double, Computed, true>, StoreFull<t::Double, Computed, true>>;
    Fstp   [M80] (G) straight::<t::StoreExtended<G>>;
    Fist   [M16] ()  attempt::<StoreFloat<t::Int<i16, false>, Computed, false>, StoreFull<t::Int<i16, false>, Computed, false>>;
    Fist   [M32] ()  attempt::<StoreFloat<t::Int<i32, false>, Computed, false>, StoreFull<t::Int<i32, false>, Computed, false>>;
    Fistp  [M16] ()  attempt::<StoreFloat<t::Int<i16, false>, Computed, true>, StoreFull<t::Int<i16, false>, Computed, true>>;
    Fistp  [M32] ()  attempt::<StoreFloat<t::Int<i32, false>, Computed, true>, StoreFull<t::Int<i32, false>, Computed, true>>;
    Fistp  [M64] ()  attempt::<StoreFloat<t::Int<i64, false>, Computed, true>, StoreFull<t::Int<i64, false>, Computed, true>>;
    Fisttp [M16] ()  attempt::<StoreFloat<t::Int<i16, true>, Computed, true>, StoreFull<t::Int<i16, true>, Computed, true>>;
    Fisttp [M32] ()  attempt::<StoreFloat<t::Int<i32, true>, Computed, true>, StoreFull<t::Int<i32, true>, Computed, true>>;
    Fisttp [M64] ()  attempt::<StoreFloat<t::Int<i64, true>, Computed, true>, StoreFull<t::Int<i64, true>, Computed, true>>;
    Fldcw  [M16] ()  straight::<t::LoadControl<Computed>>;
    Fnstcw [M16] ()  straight::<t::StoreControl<Computed>>;
    Fnstsw [M16] ()  straight::<t::StoreStatus<Computed>>;
    Fnstsw [R16] ()  straight::<t::StatusIntoAx>;
};

/// The rows of x87 instructions.
pub(super) const ROWS: Family = &[ARITHMETIC, STACK, &[MEMORY]];
