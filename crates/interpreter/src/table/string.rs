//! The rows of string instructions.

use crate::drivers::straight;
use crate::handlers::string::{
    COUNTED, Cmps, Lods, Movs, One, Scas, Stos, WHILE_EQUAL, WHILE_UNEQUAL, repeated,
};
use crate::table::row::{Family, HandlerRow, rows};

const STRINGS: &[HandlerRow] = rows! {
    Movs once         [M8|M16|M32, M8|M16|M32] (W) straight::<One<Movs, W>>;
    Stos once         [M8|M16|M32, R8|R16|R32] (W) straight::<One<Stos, W>>;
    Lods once         [R8|R16|R32, M8|M16|M32] (W) straight::<One<Lods, W>>;
    Cmps once         [M8|M16|M32, M8|M16|M32] (W) straight::<One<Cmps, W>>;
    Scas once         [R8|R16|R32, M8|M16|M32] (W) straight::<One<Scas, W>>;
    Movs repeated     [M8|M16|M32, M8|M16|M32] (W) repeated::<Movs, W, COUNTED>;
    Stos repeated     [M8|M16|M32, R8|R16|R32] (W) repeated::<Stos, W, COUNTED>;
    Lods repeated     [R8|R16|R32, M8|M16|M32] (W) repeated::<Lods, W, COUNTED>;
    Cmps while_equal  [M8|M16|M32, M8|M16|M32] (W) repeated::<Cmps, W, WHILE_EQUAL>;
    Scas while_equal  [R8|R16|R32, M8|M16|M32] (W) repeated::<Scas, W, WHILE_EQUAL>;
    Cmps until_equal  [M8|M16|M32, M8|M16|M32] (W) repeated::<Cmps, W, WHILE_UNEQUAL>;
    Scas until_equal  [R8|R16|R32, M8|M16|M32] (W) repeated::<Scas, W, WHILE_UNEQUAL>;
};

/// The rows of string instructions.
pub(super) const ROWS: Family = &[&[STRINGS]];
