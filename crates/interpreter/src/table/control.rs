//! The rows of instructions that transfer control, change flags, or do nothing.

use pentimento_decoder::Instruction;

use crate::arena::Op;
use crate::drivers::{Always, branch, straight};
use crate::handlers::flag_control::{Clc, Cmc, Direction, Lahf, OnEflags, PopFlags, PushFlags, Sahf, Stc};
use crate::handlers::indirect::{CallIndirect, JumpIndirect, call, indirect, ret};
use crate::handlers::transfer as t;
use crate::operand::First;
use crate::step::Step;
use crate::table::row::{Family, HandlerRow, rows};

/// The immediate becomes the address that CALL returns to.
fn return_address(op: &mut Op, step: &Step, _: &Instruction) {
    op.immediate = step.next;
}

/// On some makes of CPU a REP prefix decides over what LOOPE and LOOPNE want: that is for the reference.
const BRANCHES: &[HandlerRow] = rows! {
    Jcc dword    [REL] (C) branch::<t::JumpIf<C>>;
    Jecxz dword  [REL] ()  branch::<t::JumpIfNoCount>;
    Loop dword   [REL] ()  branch::<t::CountDown<{ t::NOTHING }>>;
    Loope plain  [REL] ()  branch::<t::CountDown<{ t::ZERO }>>;
    Loopne plain [REL] ()  branch::<t::CountDown<{ t::NOT_ZERO }>>;
    Jmp dword    [REL] ()  branch::<Always>;
    Jmp dword    [R32] ()  indirect::<JumpIndirect<First>>;
    Jmp dword    [M32] (M) indirect::<JumpIndirect<M>>;
    Jmp dword    [T32] (T) indirect::<JumpIndirect<T>>;
    Ret dword    []    ()  ret;
    Ret dword    [I]   ()  ret;
};

const CALLS: &[HandlerRow] = rows! { prepare return_address;
    Call dword [REL] ()  call;
    Call dword [R32] ()  indirect::<CallIndirect<First>>;
    Call dword [M32] (E) indirect::<CallIndirect<E>>;
    Call dword [T32] (T) indirect::<CallIndirect<T>>;
};

const FLAGS: &[HandlerRow] = rows! {
    Cld   []       () straight::<Direction<false>>;
    Std   []       () straight::<Direction<true>>;
    Stc   []       () straight::<OnEflags<Stc>>;
    Clc   []       () straight::<OnEflags<Clc>>;
    Cmc   []       () straight::<OnEflags<Cmc>>;
    Lahf  []       () straight::<OnEflags<Lahf>>;
    Sahf  []       () straight::<OnEflags<Sahf>>;
    Pushf dword [] () straight::<PushFlags>;
    Popf dword  [] () straight::<PopFlags>;
};

const NOTHING: &[HandlerRow] = rows! {
    Nop         []                    () straight::<t::Nothing>;
    Nop         [R16|R32|M16|M32|T32|OTHER] () straight::<t::Nothing>;
    Pause       []                    () straight::<t::Nothing>;
    Endbr32     []                    () straight::<t::Nothing>;
    Endbr64     []                    () straight::<t::Nothing>;
    Lfence      []                    () straight::<t::Nothing>;
    Mfence      []                    () straight::<t::Nothing>;
    Sfence      []                    () straight::<t::Nothing>;
    Prefetchnta [M8|T8|OTHER]         () straight::<t::Nothing>;
    Prefetcht0  [M8|T8|OTHER]         () straight::<t::Nothing>;
    Prefetcht1  [M8|T8|OTHER]         () straight::<t::Nothing>;
    Prefetcht2  [M8|T8|OTHER]         () straight::<t::Nothing>;
    Prefetchw   [M8|T8|OTHER]         () straight::<t::Nothing>;
    Prefetch    [M8|T8|OTHER]         () straight::<t::Nothing>;
};

/// The rows of this file.
pub(super) const ROWS: Family = &[&[BRANCHES, CALLS, FLAGS, NOTHING]];
