//! The tree of an effect. Each node that can be wrong knows where in the text it starts.

/// Text that is no effect: where in it, in bytes, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BadEffect {
    pub(crate) at: usize,
    pub(crate) reason: String,
}

impl BadEffect {
    pub(super) fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }
}

/// A statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Statement {
    /// `let name = value`
    Let { at: usize, name: String, value: Expression },
    /// `target = value`
    Assign { at: usize, target: Target, value: Expression },
    /// `if condition { then } else { otherwise }`
    If { condition: Expression, then: Vec<Statement>, otherwise: Vec<Statement> },
    /// `push(value)`
    Push { at: usize, value: Expression },
    /// `pop()` whose value nobody wants
    Drop { at: usize },
    /// `out(value)`
    Out { value: Expression },
    /// `halt(value)`
    Halt { value: Expression },
    /// `fault("reason")`
    Fault { at: usize, reason: String },
}

/// What can be assigned to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// A register, a flag, a register operand or `ip`.
    Name(String),
    /// Memory: bits of the access, or none for one unit of addresses.
    Memory { bits: Option<u8>, address: Expression },
}

/// An expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Expression {
    /// A literal, as wide as what stands beside it.
    Number { at: usize, value: u64 },
    /// A register, a flag, an operand, `ip` or a `let`.
    Name { at: usize, name: String },
    /// `-x`, `~x`, `!x`
    Negate { at: usize, value: Box<Expression> },
    /// `~x`
    Complement { at: usize, value: Box<Expression> },
    /// `!x`: whether it is zero
    Not { at: usize, value: Box<Expression> },
    /// `x + y` and the like
    Binary { at: usize, operator: Operator, left: Box<Expression>, right: Box<Expression> },
    /// `x && y`, `x || y`
    Both { at: usize, or: bool, left: Box<Expression>, right: Box<Expression> },
    /// `x as u8`, `x as i32`
    Cast { at: usize, value: Box<Expression>, signed: bool, bits: u8 },
    /// `pop()`
    Pop { at: usize },
    /// `mem[x]`, `mem16[x]`
    Memory { at: usize, bits: Option<u8>, address: Box<Expression> },
}

/// A binary operator, and how to look at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Operator {
    pub(super) kind: OperatorKind,
    pub(super) aspect: Aspect,
}

/// The operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OperatorKind {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What of an operation is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Aspect {
    /// Its result on numbers without signs.
    Plain,
    /// `signed(...)`: its result on numbers with signs.
    Signed,
    /// `carry(...)`: whether it carries or borrows.
    Carry,
    /// `overflow(...)`: whether its result with signs does not fit.
    Overflow,
}

impl Expression {
    /// Where it starts.
    pub(super) fn at(&self) -> usize {
        match self {
            Self::Number { at, .. }
            | Self::Name { at, .. }
            | Self::Negate { at, .. }
            | Self::Complement { at, .. }
            | Self::Not { at, .. }
            | Self::Binary { at, .. }
            | Self::Both { at, .. }
            | Self::Cast { at, .. }
            | Self::Pop { at }
            | Self::Memory { at, .. } => *at,
        }
    }

    /// Whether evaluating it can change a register: a `pop()` moves the stack pointer.
    pub(super) fn pops(&self) -> bool {
        match self {
            Self::Number { .. } | Self::Name { .. } => false,
            Self::Pop { .. } => true,
            Self::Negate { value, .. }
            | Self::Complement { value, .. }
            | Self::Not { value, .. }
            | Self::Cast { value, .. }
            | Self::Memory { address: value, .. } => value.pops(),
            Self::Binary { left, right, .. } | Self::Both { left, right, .. } => left.pops() || right.pops(),
        }
    }
}
