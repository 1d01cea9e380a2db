//! Where everything lies, and the bytes of the program.
//!
//! How long an instruction is can depend on values that depend on how long instructions are. Each one
//! starts as the first row that is written like it, and takes the next one when its values do not fit;
//! nothing goes back, so this ends.

use super::expression::{Expression, Symbols};
use super::place::{Misplaced, SourcePlace, tokens_of};
use super::statement::{Choice, Item, ItemKind};
use crate::operation::{mask, sign_extend};
use crate::set::{CompiledRow, OperandShape};
use crate::{InstructionSet, OperandKind, Program};

/// Rounds after which sources that grow by one instruction a round are refused.
const ROUNDS: usize = 64;

impl InstructionSet {
    /// Gives every item its address and encodes it.
    pub(super) fn lay_out(
        &self,
        lines: &[&str],
        mut items: Vec<Item>,
        mut symbols: Symbols,
    ) -> Result<Program, Misplaced> {
        for _ in 0..ROUNDS {
            let addresses = self.addresses(&items)?;
            let mut settled = true;
            for (item, here) in items.iter_mut().zip(&addresses) {
                let ItemKind::Instruction(choice) = &mut item.kind else { continue };
                if let Err(error) = self.encode(choice, *here, &symbols, &addresses) {
                    self.next_choice(lines, item.place, choice, &mut symbols).ok_or(error)?;
                    settled = false;
                }
            }
            if settled {
                return self.emit(&items, &symbols, &addresses);
            }
        }
        let place = SourcePlace { line: 0, at: 0 };
        Err(place.error(format!("the sizes of instructions do not settle in {ROUNDS} rounds")))
    }

    /// The address of each item, and the one behind the last.
    fn addresses(&self, items: &[Item]) -> Result<Vec<u64>, Misplaced> {
        let mut addresses = Vec::with_capacity(items.len() + 1);
        let mut address = 0;
        for item in items {
            addresses.push(address);
            address += self.length(item);
            if address > u64::from(self.inner.memory) {
                return Err(item
                    .place
                    .error(format!("the program does not fit into memory, {:#x}", self.inner.memory)));
            }
        }
        addresses.push(address);
        Ok(addresses)
    }

    /// Units that an item takes.
    fn length(&self, item: &Item) -> u64 {
        match &item.kind {
            ItemKind::Instruction(_) if self.inner.word.is_some() => 1,
            ItemKind::Instruction(choice) => {
                self.row(choice).map_or(0, |row| u64::from(row.encoding.bits / 8))
            }
            ItemKind::Data { bytes, values, .. } => u64::from(*bytes / self.inner.unit) * values.len() as u64,
            ItemKind::Text(bytes) => bytes.len() as u64,
            ItemKind::Space(count) => *count,
        }
    }

    fn row(&self, choice: &Choice) -> Option<&CompiledRow> {
        self.inner.rows.get(usize::from(choice.row))
    }

    /// Takes the next row that the statement may be, if there is one.
    fn next_choice(
        &self,
        lines: &[&str],
        place: SourcePlace,
        choice: &mut Choice,
        symbols: &mut Symbols,
    ) -> Option<()> {
        let (first, text) = (place.at as usize, lines.get(place.line as usize)?);
        let tokens = tokens_of(text.get(first..choice.end)?, place.line, first).ok()?;
        (choice.position, choice.row, choice.values) =
            self.choose(&tokens, place, choice.position + 1, symbols)?;
        Some(())
    }

    /// The code of an instruction at an address.
    fn encode(
        &self,
        choice: &Choice,
        here: u64,
        symbols: &Symbols,
        addresses: &[u64],
    ) -> Result<Vec<u8>, Misplaced> {
        let Some(row) = self.row(choice) else { return Ok(Vec::new()) };
        let end = here + if self.inner.word.is_some() { 1 } else { u64::from(row.encoding.bits / 8) };
        let mut fields = Vec::with_capacity(choice.values.len());
        for (expression, operand) in choice.values.iter().zip(&row.operands) {
            let value = expression.value(symbols, Some(here), |item| addresses.get(item).copied())?;
            fields.push(self.field(expression, operand, value, end)?);
        }
        let code = row.encoding.insert(&fields);
        Ok(match self.inner.word {
            Some(_) => self.inner.number_bytes(code as u64, self.inner.unit as usize),
            None => code.to_be_bytes()[16 - row.encoding.bits as usize / 8..].to_vec(),
        })
    }

    /// The bits of an operand's field for a value.
    fn field(
        &self,
        expression: &Expression,
        operand: &OperandShape,
        value: i128,
        end: u64,
    ) -> Result<u64, Misplaced> {
        let ones = i128::from(mask(operand.bits));
        let half = ones / 2;
        let (low, high, what) = match operand.kind {
            OperandKind::Register => return Ok(value as u64),
            OperandKind::Number => (0, ones, "value"),
            OperandKind::Signed => (-half - 1, half, "value"),
            OperandKind::Relative => {
                // Addresses wrap, so the distance is the shorter way.
                let width = self.inner.ip_width;
                let Some(target) = u64::try_from(value).ok().filter(|target| *target <= mask(width)) else {
                    return Err(expression.place.error(format!("{value:#x} is no address")));
                };
                let distance = i128::from(sign_extend(target.wrapping_sub(end) & mask(width), width));
                return in_range(expression, distance, -half - 1, half, "distance").map(|value| value as u64);
            }
        };
        in_range(expression, value, low, high, what).map(|value| value as u64)
    }

    /// The bytes of everything.
    fn emit(&self, items: &[Item], symbols: &Symbols, addresses: &[u64]) -> Result<Program, Misplaced> {
        let unit = self.inner.unit as usize;
        let size = addresses.last().map_or(0, |end| *end as usize * unit);
        let mut program = Vec::with_capacity(size);
        for (item, here) in items.iter().zip(addresses) {
            match &item.kind {
                ItemKind::Instruction(choice) => {
                    program.extend(self.encode(choice, *here, symbols, addresses)?)
                }
                ItemKind::Text(bytes) => {
                    program.extend(
                        bytes.iter().flat_map(|byte| self.inner.number_bytes(u64::from(*byte), unit)),
                    );
                }
                ItemKind::Space(count) => program.resize(program.len() + *count as usize * unit, 0),
                ItemKind::Data { bytes, bits, values } => {
                    let ones = i128::from(mask(*bits));
                    for expression in values {
                        let value =
                            expression.value(symbols, Some(*here), |item| addresses.get(item).copied())?;
                        let value = in_range(expression, value, -(ones / 2) - 1, ones, "value")?;
                        program.extend(self.inner.number_bytes(value as u64 & mask(*bits), *bytes as usize));
                    }
                }
            }
        }
        Ok(Program::new(program))
    }
}

/// Refuses a value that does not fit into its field.
fn in_range(
    expression: &Expression,
    value: i128,
    low: i128,
    high: i128,
    what: &str,
) -> Result<i128, Misplaced> {
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(expression.place.error(format!("the {what} {value} is not within {low} to {high}")))
}
