//! Tree to operations, with the widths checked.
//!
//! A value has a width in bits. A literal takes the width of what stands beside it and must fit; the
//! narrower of two values is extended with zeros; an assignment never drops bits unless `as` says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::parser::{RESERVED, parse};
use super::tree::{Aspect, BadEffect, Expression, Operator, OperatorKind, Statement, Target};
use crate::bounds::{EFFECT_TEXT, OPERATIONS};
use crate::operation::{Arithmetic, OPERAND_SLOTS, Op, Size, Slot, TEMPORARY_SLOTS, mask};

/// What a name in an effect stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Binding {
    /// A register, a flag or the instruction pointer.
    Place { slot: Slot, width: u8 },
    /// An operand by its position in the row; one that is no register cannot be assigned to.
    Operand { position: u8, width: u8, register: bool },
}

/// What an effect may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) bindings: BTreeMap<String, Binding>,
    /// Bits of an entry of the stack, if there is one.
    pub(crate) stack: Option<u8>,
    /// Bits of a unit of addresses: 8, or those of a word.
    pub(crate) unit: u8,
    /// Whether addresses count words.
    pub(crate) words: bool,
}

/// A compiled effect, its operands still open.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Template {
    pub(crate) ops: Vec<Op>,
}

/// Compiles `text`; the reasons of `fault` are added to `reasons`.
pub(crate) fn compile(text: &str, names: &Names, reasons: &mut Vec<Arc<str>>) -> Result<Template, BadEffect> {
    if text.len() > EFFECT_TEXT {
        return Err(BadEffect::new(EFFECT_TEXT, format!("an effect has at most {EFFECT_TEXT} bytes")));
    }
    let statements = parse(text)?;
    let mut compiler =
        Compiler { names, reasons, locals: BTreeMap::new(), next: TEMPORARY_SLOTS, ops: Vec::new() };
    compiler.statements(&statements)?;
    if compiler.ops.len() > OPERATIONS {
        return Err(BadEffect::new(
            0,
            format!("this takes {} operations; {OPERATIONS} at most", compiler.ops.len()),
        ));
    }
    Ok(Template { ops: compiler.ops })
}

/// Where a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Slot(Slot),
    /// A literal, or what only literals went into: it has no width of its own.
    Literal(u64),
}

/// A value: where it is, and its bits; a literal's are those that it needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Value {
    source: Source,
    width: u8,
}

impl Value {
    fn literal(value: u64) -> Self {
        Self { source: Source::Literal(value), width: bits_of(value) }
    }
}

/// The bits that a number needs, at least one.
fn bits_of(value: u64) -> u8 {
    (64 - value.leading_zeros()).max(1) as u8
}

struct Compiler<'n> {
    names: &'n Names,
    reasons: &'n mut Vec<Arc<str>>,
    locals: BTreeMap<String, Value>,
    /// The first free temporary.
    next: Slot,
    ops: Vec<Op>,
}

type Compiled<T> = Result<T, BadEffect>;

impl Compiler<'_> {
    fn statements(&mut self, statements: &[Statement]) -> Compiled<()> {
        for statement in statements {
            let free = self.next;
            self.statement(statement)?;
            // A `let` keeps its temporary; whatever else the statement used is free again.
            if !matches!(statement, Statement::Let { .. }) {
                self.next = free;
            }
        }
        Ok(())
    }

    fn statement(&mut self, statement: &Statement) -> Compiled<()> {
        match statement {
            Statement::Let { at, name, value } => self.bind(*at, name, value),
            Statement::Assign { at, target, value } => self.assign(*at, target, value),
            Statement::If { condition, then, otherwise } => self.conditional(condition, then, otherwise),
            Statement::Push { at, value } => {
                let width = self.stack(*at)?;
                let value = self.value_of(value, width)?;
                self.emit(match value.source {
                    Source::Slot(from) => Op::Push { from },
                    Source::Literal(value) => Op::PushConstant { value },
                })
            }
            Statement::Drop { at } => {
                self.stack(*at)?;
                let to = self.temporary(*at)?;
                self.emit(Op::Pop { to })
            }
            Statement::Out { value } => {
                let from = self.in_slot(value)?;
                self.emit(Op::Out { from })
            }
            Statement::Halt { value } => {
                let status = self.in_slot(value)?;
                self.emit(Op::Halt { status })
            }
            Statement::Fault { at, reason } => {
                let number = u16::try_from(self.reasons.len());
                let number = number.map_err(|_| BadEffect::new(*at, "too many faults in one set"))?;
                self.reasons.push(reason.as_str().into());
                self.emit(Op::Fault { reason: number })
            }
        }
    }

    fn emit(&mut self, op: Op) -> Compiled<()> {
        self.ops.push(op);
        Ok(())
    }

    fn temporary(&mut self, at: usize) -> Compiled<Slot> {
        let slot = self.next;
        self.next = slot.checked_add(1).ok_or_else(|| BadEffect::new(at, "too many values at a time"))?;
        Ok(slot)
    }

    fn stack(&self, at: usize) -> Compiled<u8> {
        self.names.stack.ok_or_else(|| BadEffect::new(at, "this set has no stack; give it one with 'stack'"))
    }

    fn bind(&mut self, at: usize, name: &str, value: &Expression) -> Compiled<()> {
        if RESERVED.contains(&name)
            || self.names.bindings.contains_key(name)
            || self.locals.contains_key(name)
        {
            return Err(BadEffect::new(at, format!("'{name}' has a meaning already")));
        }
        let to = self.temporary(at)?;
        let before = self.ops.len();
        let mut value = self.value(value)?;
        // A name is for the value as it is now, so a register is copied; a literal stays one.
        if let Source::Slot(from) = value.source {
            self.settle(from, before, to)?;
            value.source = Source::Slot(to);
        }
        self.locals.insert(name.to_owned(), value);
        Ok(())
    }

    fn assign(&mut self, at: usize, target: &Target, value: &Expression) -> Compiled<()> {
        match target {
            Target::Name(name) => {
                let (slot, width) = self.place(at, name)?;
                let before = self.ops.len();
                match self.value_of(value, width)?.source {
                    Source::Literal(value) => self.emit(Op::Constant { to: slot, value }),
                    Source::Slot(from) => self.settle(from, before, slot),
                }
            }
            Target::Memory { bits, address } => {
                let (size, width) = self.access(at, *bits)?;
                let address_value = self.value(address)?;
                let address = self.keep(address_value, value, address.at())?;
                let address = self.slot_of(address, at)?;
                let value_at = value.at();
                let value = self.value_of(value, width)?;
                let from = self.slot_of(value, value_at)?;
                self.emit(Op::Store { address, from, size })
            }
        }
    }

    /// The slot and width of something that can be assigned to.
    fn place(&self, at: usize, name: &str) -> Compiled<(Slot, u8)> {
        match self.names.bindings.get(name) {
            Some(Binding::Place { slot, width }) => Ok((*slot, *width)),
            Some(Binding::Operand { position, width, register: true }) => {
                Ok((OPERAND_SLOTS + position, *width))
            }
            Some(Binding::Operand { .. }) => {
                Err(BadEffect::new(at, format!("the operand '{name}' is a number and cannot be assigned to")))
            }
            None if self.locals.contains_key(name) => {
                Err(BadEffect::new(at, format!("'{name}' comes from 'let' and keeps its value")))
            }
            None => Err(unknown(at, name)),
        }
    }

    /// The size and width of an access to memory of so many bits, or of a unit of addresses.
    fn access(&self, at: usize, bits: Option<u8>) -> Compiled<(Size, u8)> {
        let width = bits.unwrap_or(self.names.unit);
        if self.names.words && bits.is_some() {
            return Err(BadEffect::new(at, "memory of words is accessed word by word: mem[...]"));
        }
        let storage = if self.names.words { width.next_power_of_two().max(8) } else { width };
        match Size::of_bits(storage) {
            Some(size) => Ok((size, width)),
            None => Err(BadEffect::new(at, format!("no access has {width} bits"))),
        }
    }

    fn conditional(
        &mut self,
        condition: &Expression,
        then: &[Statement],
        otherwise: &[Statement],
    ) -> Compiled<()> {
        let at = condition.at();
        let condition = self.in_slot(condition)?;
        let branch = self.ops.len();
        self.emit(Op::SkipUnless { condition, count: 0 })?;
        self.scope(then)?;
        if !otherwise.is_empty() {
            let over = self.ops.len();
            self.emit(Op::Skip { count: 0 })?;
            self.patch(branch, at)?;
            self.scope(otherwise)?;
            return self.patch(over, at);
        }
        self.patch(branch, at)
    }

    /// Statements whose names end with them.
    fn scope(&mut self, statements: &[Statement]) -> Compiled<()> {
        let (locals, next) = (self.locals.clone(), self.next);
        self.statements(statements)?;
        (self.locals, self.next) = (locals, next);
        Ok(())
    }

    /// Lets the skip at `branch` end here.
    fn patch(&mut self, branch: usize, at: usize) -> Compiled<()> {
        let distance = u16::try_from(self.ops.len() - branch - 1);
        let distance = distance.map_err(|_| BadEffect::new(at, "this block is too long"))?;
        match self.ops.get_mut(branch) {
            Some(Op::SkipUnless { count, .. } | Op::Skip { count }) => *count = distance,
            _ => return Err(BadEffect::new(at, "no branch to patch")),
        }
        Ok(())
    }

    /// A value that fits into `width` bits.
    fn value_of(&mut self, expression: &Expression, width: u8) -> Compiled<Value> {
        let value = self.value(expression)?;
        fits(expression.at(), value, width)?;
        Ok(value)
    }

    fn in_slot(&mut self, expression: &Expression) -> Compiled<Slot> {
        let value = self.value(expression)?;
        self.slot_of(value, expression.at())
    }

    fn slot_of(&mut self, value: Value, at: usize) -> Compiled<Slot> {
        match value.source {
            Source::Slot(slot) => Ok(slot),
            Source::Literal(value) => {
                let to = self.temporary(at)?;
                self.emit(Op::Constant { to, value })?;
                Ok(to)
            }
        }
    }

    /// The value as it is now, even if evaluating `later` changes registers.
    fn keep(&mut self, value: Value, later: &Expression, at: usize) -> Compiled<Value> {
        match value.source {
            Source::Slot(from) if from < TEMPORARY_SLOTS && later.pops() => {
                let to = self.temporary(at)?;
                self.emit(Op::Copy { to, from })?;
                Ok(Value { source: Source::Slot(to), ..value })
            }
            _ => Ok(value),
        }
    }

    /// Puts the value in `from`, which the operations since `before` computed, into `to`.
    fn settle(&mut self, from: Slot, before: usize, to: Slot) -> Compiled<()> {
        let made = self.ops.get_mut(before..).unwrap_or_default();
        // The operation that made a temporary may as well write where it goes, unless there are two.
        let branches = made.iter().any(|op| matches!(op, Op::SkipUnless { .. }));
        let last = made.last_mut().and_then(result_of);
        match last.filter(|slot| **slot == from && from >= TEMPORARY_SLOTS && !branches) {
            Some(slot) => *slot = to,
            None if from == to => {}
            None => self.emit(Op::Copy { to, from })?,
        }
        Ok(())
    }

    fn value(&mut self, expression: &Expression) -> Compiled<Value> {
        match expression {
            Expression::Number { value, .. } => Ok(Value::literal(*value)),
            Expression::Name { at, name } => self.name(*at, name),
            Expression::Negate { at, value } => {
                let value = self.value(value)?;
                match value.source {
                    Source::Literal(_) => Err(BadEffect::new(
                        *at,
                        "a literal has no width to be negative in; write 0 - x as u8, or the bits",
                    )),
                    Source::Slot(right) => {
                        let left = self.slot_of(Value::literal(0), *at)?;
                        self.binary(
                            *at,
                            Arithmetic::Subtract,
                            value.width,
                            left,
                            Source::Slot(right),
                            value.width,
                        )
                    }
                }
            }
            Expression::Complement { at, value } => {
                let value = self.value(value)?;
                match value.source {
                    Source::Literal(_) => {
                        Err(BadEffect::new(*at, "a literal has no width to be inverted in; write the bits"))
                    }
                    Source::Slot(left) => {
                        let ones = Source::Literal(mask(value.width));
                        self.binary(*at, Arithmetic::Xor, value.width, left, ones, value.width)
                    }
                }
            }
            Expression::Not { at, value } => {
                let value = self.value(value)?;
                let left = self.slot_of(value, *at)?;
                self.binary(*at, Arithmetic::Equal, value.width, left, Source::Literal(0), 1)
            }
            Expression::Binary { at, operator, left, right } => self.operation(*at, *operator, left, right),
            Expression::Both { at, or, left, right } => self.both(*at, *or, left, right),
            Expression::Cast { at, value, signed, bits } => {
                let value = self.value(value)?;
                self.cast(*at, value, *signed, *bits)
            }
            Expression::Pop { at } => {
                let width = self.stack(*at)?;
                let to = self.temporary(*at)?;
                self.emit(Op::Pop { to })?;
                Ok(Value { source: Source::Slot(to), width })
            }
            Expression::Memory { at, bits, address } => {
                let (size, width) = self.access(*at, *bits)?;
                let address = self.in_slot(address)?;
                let to = self.temporary(*at)?;
                self.emit(Op::Load { to, address, size })?;
                Ok(Value { source: Source::Slot(to), width })
            }
        }
    }

    fn name(&self, at: usize, name: &str) -> Compiled<Value> {
        let of = |slot, width| Value { source: Source::Slot(slot), width };
        match self.names.bindings.get(name) {
            Some(Binding::Place { slot, width }) => Ok(of(*slot, *width)),
            Some(Binding::Operand { position, width, .. }) => Ok(of(OPERAND_SLOTS + position, *width)),
            None => self.locals.get(name).copied().ok_or_else(|| unknown(at, name)),
        }
    }

    fn operation(
        &mut self,
        at: usize,
        operator: Operator,
        left: &Expression,
        right: &Expression,
    ) -> Compiled<Value> {
        let (arithmetic, swap) = arithmetic(at, operator)?;
        let first = self.value(left)?;
        let first = self.keep(first, right, at)?;
        let second = self.value(right)?;
        let shift = matches!(operator.kind, OperatorKind::ShiftLeft | OperatorKind::ShiftRight);
        let is_literal = |value: Value| matches!(value.source, Source::Literal(_));
        let width = match (is_literal(first), is_literal(second)) {
            (true, true) => 64,
            (true, false) if shift => {
                return Err(BadEffect::new(at, "give the literal a width: (1 as u32) << n"));
            }
            (true, false) => fits(left.at(), first, second.width).map(|()| second.width)?,
            (false, true) if shift => first.width,
            (false, true) => fits(right.at(), second, first.width).map(|()| first.width)?,
            (false, false) if shift => first.width,
            (false, false) if operator.aspect == Aspect::Signed && first.width != second.width => {
                let (first, second) = (first.width, second.width);
                return Err(BadEffect::new(
                    at,
                    format!(
                        "a sign needs equal widths, here {first} and {second} bits; widen one with 'as i{}'",
                        first.max(second)
                    ),
                ));
            }
            (false, false) => first.width.max(second.width),
        };
        if let (Source::Literal(first), Source::Literal(second)) = (first.source, second.source) {
            let (first, second) = if swap { (second, first) } else { (first, second) };
            let value = arithmetic.apply(64, first, second);
            return value.map(Value::literal).ok_or_else(|| BadEffect::new(at, "a division by zero"));
        }
        let result = if is_test(arithmetic) { 1 } else { width };
        let (first, second) = if swap { (second, first) } else { (first, second) };
        let first = self.slot_of(first, at)?;
        self.binary(at, arithmetic, width, first, second.source, result)
    }

    fn binary(
        &mut self,
        at: usize,
        arithmetic: Arithmetic,
        width: u8,
        left: Slot,
        right: Source,
        result: u8,
    ) -> Compiled<Value> {
        let to = self.temporary(at)?;
        self.emit(match right {
            Source::Slot(right) => Op::Binary { arithmetic, width, to, left, right },
            Source::Literal(value) => Op::BinaryConstant { arithmetic, width, to, left, value },
        })?;
        Ok(Value { source: Source::Slot(to), width: result })
    }

    /// `&&` and `||`, which leave the right side alone where the left one decides.
    fn both(&mut self, at: usize, or: bool, left: &Expression, right: &Expression) -> Compiled<Value> {
        let to = self.temporary(at)?;
        self.truth_into(left, to)?;
        // Whether the left side leaves it open: for `||`, if it is not so.
        let condition = if or {
            let open = self.temporary(at)?;
            let arithmetic = Arithmetic::Equal;
            self.emit(Op::BinaryConstant { arithmetic, width: 1, to: open, left: to, value: 0 })?;
            open
        } else {
            to
        };
        let branch = self.ops.len();
        self.emit(Op::SkipUnless { condition, count: 0 })?;
        self.truth_into(right, to)?;
        self.patch(branch, at)?;
        Ok(Value { source: Source::Slot(to), width: 1 })
    }

    /// Puts 1 into a slot if the expression is not zero, else 0.
    fn truth_into(&mut self, expression: &Expression, to: Slot) -> Compiled<()> {
        let value = self.value(expression)?;
        let left = self.slot_of(value, expression.at())?;
        let arithmetic = Arithmetic::NotEqual;
        self.emit(Op::BinaryConstant { arithmetic, width: value.width, to, left, value: 0 })
    }

    fn cast(&mut self, at: usize, value: Value, signed: bool, bits: u8) -> Compiled<Value> {
        match value.source {
            Source::Literal(number) => {
                fits(at, value, bits)?;
                let to = self.temporary(at)?;
                self.emit(Op::Constant { to, value: number })?;
                Ok(Value { source: Source::Slot(to), width: bits })
            }
            Source::Slot(from) if signed && bits > value.width => {
                let to = self.temporary(at)?;
                self.emit(Op::SignExtend { to, from, bits: value.width, width: bits })?;
                Ok(Value { source: Source::Slot(to), width: bits })
            }
            Source::Slot(left) if bits < value.width => {
                self.binary(at, Arithmetic::And, bits, left, Source::Literal(mask(bits)), bits)
            }
            Source::Slot(_) => Ok(Value { width: bits, ..value }),
        }
    }
}

fn unknown(at: usize, name: &str) -> BadEffect {
    BadEffect::new(at, format!("'{name}' is no register, flag, operand or 'let'"))
}

/// Refuses a value that is wider than what it goes into.
fn fits(at: usize, value: Value, width: u8) -> Compiled<()> {
    if value.width <= width {
        return Ok(());
    }
    Err(BadEffect::new(
        at,
        match value.source {
            Source::Literal(number) => format!("{number} does not fit into {width} bits"),
            Source::Slot(_) => {
                format!("{} bits do not fit into {width}; 'as u{width}' drops the others", value.width)
            }
        },
    ))
}

/// The slot that an operation writes.
pub(crate) fn result_of(op: &mut Op) -> Option<&mut Slot> {
    match op {
        Op::Constant { to, .. }
        | Op::Copy { to, .. }
        | Op::Binary { to, .. }
        | Op::BinaryConstant { to, .. }
        | Op::SignExtend { to, .. }
        | Op::Load { to, .. }
        | Op::Pop { to } => Some(to),
        _ => None,
    }
}

/// Whether the result is one bit.
fn is_test(arithmetic: Arithmetic) -> bool {
    use Arithmetic as A;
    matches!(
        arithmetic,
        A::Equal
            | A::NotEqual
            | A::Less
            | A::LessOrEqual
            | A::SignedLess
            | A::SignedLessOrEqual
            | A::CarryOfAdd
            | A::CarryOfSubtract
            | A::OverflowOfAdd
            | A::OverflowOfSubtract
    )
}

/// The arithmetic of an operator, and whether its sides change places.
fn arithmetic(at: usize, operator: Operator) -> Compiled<(Arithmetic, bool)> {
    use {Arithmetic as A, Aspect as As, OperatorKind as K};
    Ok(match (operator.aspect, operator.kind) {
        (As::Plain | As::Signed, K::Add) => (A::Add, false),
        (As::Plain | As::Signed, K::Subtract) => (A::Subtract, false),
        (As::Plain | As::Signed, K::Multiply) => (A::Multiply, false),
        (As::Plain, K::Divide) => (A::Divide, false),
        (As::Plain, K::Remainder) => (A::Remainder, false),
        (As::Plain, K::And) => (A::And, false),
        (As::Plain, K::Or) => (A::Or, false),
        (As::Plain, K::Xor) => (A::Xor, false),
        (As::Plain, K::ShiftLeft) => (A::ShiftLeft, false),
        (As::Plain, K::ShiftRight) => (A::ShiftRight, false),
        (As::Plain, K::Equal) => (A::Equal, false),
        (As::Plain, K::NotEqual) => (A::NotEqual, false),
        (As::Plain, K::Less) => (A::Less, false),
        (As::Plain, K::LessOrEqual) => (A::LessOrEqual, false),
        (As::Plain, K::Greater) => (A::Less, true),
        (As::Plain, K::GreaterOrEqual) => (A::LessOrEqual, true),
        (As::Signed, K::Divide) => (A::SignedDivide, false),
        (As::Signed, K::Remainder) => (A::SignedRemainder, false),
        (As::Signed, K::ShiftRight) => (A::SignedShiftRight, false),
        (As::Signed, K::Less) => (A::SignedLess, false),
        (As::Signed, K::LessOrEqual) => (A::SignedLessOrEqual, false),
        (As::Signed, K::Greater) => (A::SignedLess, true),
        (As::Signed, K::GreaterOrEqual) => (A::SignedLessOrEqual, true),
        (As::Carry, K::Add) => (A::CarryOfAdd, false),
        (As::Carry, K::Subtract) => (A::CarryOfSubtract, false),
        (As::Overflow, K::Add) => (A::OverflowOfAdd, false),
        (As::Overflow, K::Subtract) => (A::OverflowOfSubtract, false),
        (As::Signed, _) => {
            return Err(BadEffect::new(at, "signed(...) takes * / % >> or a comparison of order"));
        }
        (As::Carry | As::Overflow, _) => {
            return Err(BadEffect::new(at, "carry(...) and overflow(...) take x + y or x - y"));
        }
    })
}
