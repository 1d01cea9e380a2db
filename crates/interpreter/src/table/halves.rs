//! Two operations in one handler.
//!
//! Long stretches of code that runs but once a loop are beyond what the host's predictor of indirect
//! jumps can remember: there, half as many jumps are worth more than registers within handlers.

use pentimento_decoder::Instruction;
use pentimento_registers::Eflags;

use crate::arena::OpHandler;
use crate::drivers::{Straight, pair};
use crate::handlers::arithmetic::{Add, And, Or, Rol, Ror, Shifted, Shr, Update, Xor};
use crate::handlers::transfer::{EffectiveAddress, Move};
use crate::operand::{Based, First, Indexed, Memory, Second};
use crate::table::kinds::Signature;
use crate::table::row::{Pattern, pattern};

/// Whether somebody sees the flags of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FlagUse {
    Any,
    Dead,
    Seen,
}

impl FlagUse {
    fn allow(self, live: Eflags) -> bool {
        match self {
            Self::Any => true,
            Self::Dead => live.is_empty(),
            Self::Seen => !live.is_empty(),
        }
    }
}

/// An instruction that may be half of a pair.
pub(super) struct Candidate {
    pub(super) pattern: Pattern,
    flags: FlagUse,
    half: Half,
}

/// What a row says of flags.
macro_rules! flags {
    (any) => {
        FlagUse::Any
    };
    (dead) => {
        FlagUse::Dead
    };
    (seen) => {
        FlagUse::Seen
    };
}

/// Declares the operations that there are pairs of, and the choice between them: a name, what it is
/// for, whether somebody sees its flags, and what it does.
macro_rules! halves {
    ($($half:ident: $operation:ident $($trait:ident)? [$($kind:ident),*] $flags:ident $type:ty;)*) => {
        /// An operation that may be one of a pair.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Half {
            $($half,)*
        }

        /// Their rows.
        pub(super) static CANDIDATES: &[Candidate] = &[$(Candidate {
            pattern: pattern!($operation $($trait)? [$($kind),*]),
            flags: flags!($flags),
            half: Half::$half,
        },)*];

        /// The handler of `first` and `second`.
        pub(crate) fn handler(first: Half, second: Half) -> OpHandler {
            match first {
                $(Half::$half => before::<$type>(second),)*
            }
        }

        fn before<A: Straight>(second: Half) -> OpHandler {
            match second {
                $(Half::$half => pair::<A, $type>,)*
            }
        }
    };
}

#[rustfmt::skip]
halves! {
    Move:       Mov         [R32, R32]   any  Move<First, Second, u32>;
    Load:       Mov based   [R32, M32]   any  Move<First, Memory<Based>, u32>;
    Store:      Mov based   [M32, R32]   any  Move<Memory<Based>, First, u32>;
    Lea:        Lea indexed [R32, MX]    any  EffectiveAddress<First, Indexed>;
    Add:        Add         [R32, R32]   dead Update<Add, First, Second, u32, false>;
    AddKeeping: Add         [R32, R32]   seen Update<Add, First, Second, u32, true>;
    And:        And         [R32, R32]   dead Update<And, First, Second, u32, false>;
    Or:         Or          [R32, R32]   dead Update<Or, First, Second, u32, false>;
    Xor:        Xor         [R32, R32]   dead Update<Xor, First, Second, u32, false>;
    XorKeeping: Xor         [R32, R32]   seen Update<Xor, First, Second, u32, true>;
    Shr:        Shr         [R32, COUNT] any  Shifted<Shr, First, u32, false, true>;
    Rol:        Rol         [R32, COUNT] dead Shifted<Rol, First, u32, false, false>;
    Ror:        Ror         [R32, COUNT] dead Shifted<Ror, First, u32, false, false>;
}

/// What an instruction of this `signature` is in a pair, if somebody sees those flags of it that are `live`.
pub(crate) fn half(instruction: &Instruction, signature: &Signature, live: Eflags) -> Option<Half> {
    let fits = |candidate: &&Candidate| {
        candidate.pattern.operation == instruction.operation()
            && candidate.pattern.matches(signature)
            && candidate.flags.allow(live)
    };
    CANDIDATES.iter().find(fits).map(|candidate| candidate.half)
}
