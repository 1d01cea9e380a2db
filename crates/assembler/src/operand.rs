//! Operands as the source writes them.

use std::collections::HashMap;
use std::sync::OnceLock;

use iced_x86::Register;

use crate::error::Mistake;
use crate::expression::{Names, Reader, Value};
use crate::token::Token;

/// One operand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Operand {
    Register(Register),
    Memory(Memory),
    /// A number, or the target of a branch, and how far the source says it is.
    Number(Value, Distance),
    /// `selector:offset`.
    Far {
        selector: Value,
        offset: Value,
    },
}

/// How a branch is to be encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Distance {
    Any,
    Short,
    Near,
}

/// A memory operand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Memory {
    /// Bytes, if the source says.
    pub(crate) size: Option<usize>,
    pub(crate) segment: Register,
    pub(crate) base: Register,
    pub(crate) index: Register,
    pub(crate) scale: u32,
    pub(crate) displacement: Value,
}

impl Memory {
    /// Without an override and without registers.
    pub(crate) const NOWHERE: Self = Self {
        size: None,
        segment: Register::None,
        base: Register::None,
        index: Register::None,
        scale: 1,
        displacement: Value::constant(0),
    };

    /// Whether it has no registers.
    pub(crate) fn is_absolute(&self) -> bool {
        self.base == Register::None && self.index == Register::None
    }

    /// Whether its registers are 16 bits wide.
    pub(crate) fn is_word(&self) -> bool {
        self.base.is_gpr16() || self.index.is_gpr16()
    }
}

/// Words for sizes, in bytes.
const SIZES: &[(&str, usize)] = &[
    ("byte", 1),
    ("word", 2),
    ("dword", 4),
    ("fword", 6),
    ("qword", 8),
    ("tbyte", 10),
    ("tword", 10),
    ("oword", 16),
    ("xmmword", 16),
    ("fpuenv14", 14),
    ("fpuenv28", 28),
    ("fpustate94", 94),
    ("fpustate108", 108),
];

/// The register of that name.
pub(crate) fn register(name: &str) -> Option<Register> {
    static REGISTERS: OnceLock<HashMap<String, Register>> = OnceLock::new();
    let registers = REGISTERS.get_or_init(|| {
        let named = all_registers().map(|register| (format!("{register:?}").to_lowercase(), register));
        named.chain([("st".to_owned(), Register::ST0)]).collect()
    });
    registers.get(name.to_ascii_lowercase().as_str()).copied()
}

/// The registers of 32-bit code.
fn all_registers() -> impl Iterator<Item = Register> {
    Register::values().filter(|register| {
        register.is_gpr8() && *register <= Register::BH
            || register.is_gpr16() && *register <= Register::DI
            || register.is_gpr32() && *register <= Register::EDI
            || register.is_segment_register()
            || register.is_st()
            || register.is_mm()
            || register.is_xmm() && *register <= Register::XMM7
            || register.is_cr() && *register <= Register::CR7
            || register.is_dr() && *register <= Register::DR7
            || register.is_tr()
    })
}

impl Reader<'_> {
    /// Reads an operand, up to a comma or the end of the line.
    pub(crate) fn operand(&mut self, names: &Names) -> Result<Operand, Mistake> {
        let mut size = None;
        let mut distance = Distance::Any;
        while let Some(word) = self.name() {
            if let Some((_, bytes)) = SIZES.iter().find(|(name, _)| *name == word) {
                size = Some(*bytes);
            } else if word == "short" {
                distance = Distance::Short;
            } else if word == "near" {
                distance = Distance::Near;
            } else if word != "ptr" {
                break;
            }
            self.at += 1;
        }
        if self.peek() == Some(&Token::Sign('[')) {
            return self.memory(size, Register::None, names).map(Operand::Memory);
        }
        let column = self.column();
        if let Some(name) = self.name()
            && let Some(found) = register(&name)
        {
            self.at += 1;
            if found.is_segment_register() && self.take(':') {
                return self.memory(size, found, names).map(Operand::Memory);
            }
            if found == Register::ST0 && self.take('(') {
                let number = self.expression(names)?;
                self.expect(')')?;
                return register(&format!("st{}", number.number))
                    .map(Operand::Register)
                    .ok_or_else(|| Mistake::new(column, "the x87 registers are st(0) to st(7)"));
            }
            return Ok(Operand::Register(found));
        }
        let value = self.expression(names)?;
        if self.take(':') {
            let offset = self.expression(names)?;
            return Ok(Operand::Far { selector: value, offset });
        }
        Ok(Operand::Number(value, distance))
    }

    /// Reads `[...]`.
    fn memory(&mut self, size: Option<usize>, segment: Register, names: &Names) -> Result<Memory, Mistake> {
        self.expect('[')?;
        let mut memory = Memory { size, segment, ..Memory::NOWHERE };
        if let Some(found) = self.name().and_then(|name| register(&name))
            && found.is_segment_register()
        {
            self.at += 1;
            self.expect(':')?;
            memory.segment = found;
        }
        let mut negative = self.take('-');
        loop {
            self.term(&mut memory, negative, names)?;
            let column = self.column();
            match self.next() {
                Some(Token::Sign(']')) => break,
                Some(Token::Sign(sign @ ('+' | '-'))) => negative = *sign == '-',
                _ => return Err(Mistake::new(column, "'+', '-' or ']' expected")),
            }
        }
        self.settle(&mut memory)?;
        Ok(memory)
    }

    /// Reads a register, a scaled one, or a product of numbers.
    fn term(&mut self, memory: &mut Memory, negative: bool, names: &Names) -> Result<(), Mistake> {
        let column = self.column();
        let here = |reader: &Self, at: usize| match reader.tokens.get(at) {
            Some((_, Token::Name(name))) => {
                register(&name.to_ascii_lowercase()).filter(|found| found.is_gpr16() || found.is_gpr32())
            }
            _ => None,
        };
        // `4*ecx`
        if let (Some(Token::Number(scale)), Some((_, Token::Sign('*'))), Some(index)) =
            (self.peek(), self.tokens.get(self.at + 1), here(self, self.at + 2))
        {
            self.at += 3;
            return scaled(memory, index, *scale, column);
        }
        let Some(found) = here(self, self.at) else {
            let mut value = self.product(names)?;
            if negative {
                value.number = value.number.wrapping_neg();
            }
            memory.displacement.number = memory.displacement.number.wrapping_add(value.number);
            memory.displacement.moves |= value.moves;
            return Ok(());
        };
        self.at += 1;
        if negative {
            return Err(Mistake::new(column, "a register cannot be subtracted"));
        }
        if self.take('*') {
            let scale = self.product(names)?;
            return scaled(memory, found, scale.number as u64, column);
        }
        if memory.base == Register::None {
            memory.base = found;
            return Ok(());
        }
        scaled(memory, found, 1, column)
    }

    /// Reads numbers with `*`, `/` and `%` between them, or what is in parentheses.
    fn product(&mut self, names: &Names) -> Result<Value, Mistake> {
        self.level(4, names, 0)
    }

    /// Puts base and index where they can be encoded.
    fn settle(&self, memory: &mut Memory) -> Result<(), Mistake> {
        let refuse = |reason: &str| Err(Mistake::new(self.column().saturating_sub(1), reason));
        if memory.index == Register::ESP {
            if memory.scale != 1 || memory.base == Register::ESP {
                return refuse("esp cannot be an index");
            }
            (memory.base, memory.index) = (memory.index, memory.base);
        }
        // The 16-bit forms have BX or BP as the base, SI or DI as the index.
        if matches!(memory.index, Register::BX | Register::BP) && memory.scale == 1 {
            (memory.base, memory.index) = (memory.index, memory.base);
        }
        let (base, index) = (memory.base, memory.index);
        if base == Register::None || index == Register::None || base.is_gpr16() == index.is_gpr16() {
            return Ok(());
        }
        refuse("base and index are not of one width")
    }
}

/// Makes `index * scale` a part of an address.
fn scaled(memory: &mut Memory, index: Register, scale: u64, column: usize) -> Result<(), Mistake> {
    if !matches!(scale, 1 | 2 | 4 | 8) {
        return Err(Mistake::new(column, format!("a scale is 1, 2, 4 or 8, not {scale}")));
    }
    if memory.index != Register::None {
        return Err(Mistake::new(column, "an address has at most a base and an index"));
    }
    memory.index = index;
    memory.scale = scale as u32;
    Ok(())
}
