//! Instructions as Intel-syntax text.
//!
//! The dialect is that of Intel's own tools: `mov eax,[ebp-4]`, a size (`dword ptr`) only where no
//! register tells it, numbers in hexadecimal. [`FormatOptions`] chooses how numbers look, what
//! separates operands, and whether pseudo-operations are used; [`Formatter::with_symbols`] adds names.

mod mnemonic;
mod operands;

use core::fmt::{self, Write};

use crate::Instruction;

/// How hexadecimal numbers look; numbers below ten are plain in both.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum HexStyle {
    /// `0FFh`.
    #[default]
    Suffix,
    /// `0xff`.
    Prefix,
}

/// What text looks like.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct FormatOptions {
    /// How hexadecimal numbers look.
    pub hex: HexStyle,
    /// A space after the comma between operands.
    pub spaced: bool,
    /// Shorter forms where the SDM or assemblers have them: `cmpltps xmm0,xmm1` for
    /// `cmpps xmm0,xmm1,1`, `imul eax,5` for `imul eax,eax,5`, `faddp` for `faddp st(1),st`.
    pub pseudo_operations: bool,
}

impl Default for FormatOptions {
    fn default() -> Self {
        Self { hex: HexStyle::Suffix, spaced: false, pseudo_operations: true }
    }
}

/// A name for an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Symbol<'a> {
    /// What stands in the place of the address.
    pub name: &'a str,
    /// How far beyond the symbol's own address the address lies, in bytes.
    pub offset: u32,
}

/// The callback that names addresses.
type Symbols<'a> = &'a dyn Fn(u32) -> Option<Symbol<'a>>;

/// Writes instructions as text.
///
/// ```
/// use pentimento_decoder::{FormatOptions, Formatter, HexStyle, Symbol, decode};
///
/// let call = decode(&[0xe8, 0xfb, 0x0f, 0, 0])?;
/// assert_eq!(call.display(0x1000).to_string(), "call 00002000h");
///
/// let mut options = FormatOptions::default();
/// options.hex = HexStyle::Prefix;
/// let name = |address| (address == 0x2000).then_some(Symbol { name: "memcpy", offset: 0 });
/// let formatter = Formatter::new(options).with_symbols(&name);
/// assert_eq!(formatter.display(&call, 0x1000).to_string(), "call memcpy");
/// # Ok::<(), pentimento_decoder::DecodeError>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct Formatter<'a> {
    options: FormatOptions,
    symbols: Option<Symbols<'a>>,
}

impl<'a> Formatter<'a> {
    /// A formatter without symbols.
    #[must_use]
    pub const fn new(options: FormatOptions) -> Self {
        Self { options, symbols: None }
    }

    /// Names branch targets and absolute addresses by `symbols`.
    #[must_use]
    pub const fn with_symbols(self, symbols: Symbols<'a>) -> Self {
        Self { symbols: Some(symbols), ..self }
    }

    /// `instruction`, which lies at `eip`, as something that prints.
    #[must_use]
    pub const fn display(self, instruction: &Instruction, eip: u32) -> Text<'a> {
        Text { formatter: self, instruction: *instruction, eip }
    }

    /// Writes `instruction`, which lies at `eip`, to `out`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, instruction: &Instruction, eip: u32, out: &mut dyn Write) -> fmt::Result {
        let mut line = Line { formatter: self, instruction, eip, out };
        line.prefixes()?;
        line.mnemonic()?;
        line.operands()
    }

    /// Writes a byte that is no instruction: `db 0FFh`.
    pub(crate) fn write_data(&self, byte: u8, out: &mut dyn Write) -> fmt::Result {
        match self.options.hex {
            HexStyle::Suffix if byte >= 0xa0 => write!(out, "db 0{byte:X}h"),
            HexStyle::Suffix => write!(out, "db {byte:02X}h"),
            HexStyle::Prefix => write!(out, "db {byte:#04x}"),
        }
    }
}

impl fmt::Debug for Formatter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Formatter").field("options", &self.options).finish_non_exhaustive()
    }
}

/// An instruction that prints as Intel-syntax text.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    formatter: Formatter<'a>,
    instruction: Instruction,
    eip: u32,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.formatter.write(&self.instruction, self.eip, f)
    }
}

impl Instruction {
    /// The instruction as text with the default options, taken to lie at `eip`.
    ///
    /// ```
    /// let jump = pentimento_decoder::decode(&[0xeb, 0xfe])?;
    /// assert_eq!(jump.display(0x1000).to_string(), "jmp short 00001000h");
    /// assert_eq!(jump.to_string(), "jmp short 0");
    /// # Ok::<(), pentimento_decoder::DecodeError>(())
    /// ```
    #[must_use]
    pub const fn display(&self, eip: u32) -> Text<'static> {
        const DEFAULT: FormatOptions =
            FormatOptions { hex: HexStyle::Suffix, spaced: false, pseudo_operations: true };
        Formatter::new(DEFAULT).display(self, eip)
    }
}

/// The text of [`Instruction::display`] at address 0: branch targets are distances from its start.
impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.display(0), f)
    }
}

/// One instruction being written.
struct Line<'l, 'a> {
    formatter: &'l Formatter<'a>,
    instruction: &'l Instruction,
    eip: u32,
    out: &'l mut dyn Write,
}

impl Line<'_, '_> {
    /// A number with no more digits than it needs.
    fn number(&mut self, value: u32) -> fmt::Result {
        match self.formatter.options.hex {
            _ if value < 10 => write!(self.out, "{value}"),
            HexStyle::Suffix => self.suffixed(value, 1),
            HexStyle::Prefix => write!(self.out, "0x{value:x}"),
        }
    }

    /// An address with `digits` digits.
    fn address(&mut self, value: u32, digits: usize) -> fmt::Result {
        match self.formatter.options.hex {
            _ if value < 10 => write!(self.out, "{value}"),
            HexStyle::Suffix => self.suffixed(value, digits),
            HexStyle::Prefix => write!(self.out, "0x{value:0digits$x}"),
        }
    }

    /// `value` with at least `digits` digits and an `h`, and a zero before a leading letter.
    fn suffixed(&mut self, value: u32, digits: usize) -> fmt::Result {
        let significant = (8 - value.leading_zeros() as usize / 4).max(digits);
        if value >> (4 * (significant - 1)) > 9 {
            self.out.write_char('0')?;
        }
        write!(self.out, "{value:0digits$X}h")
    }

    /// The name of `address` if it has one; whether it was written.
    fn symbol(&mut self, address: u32) -> Result<bool, fmt::Error> {
        let Some(symbol) = self.formatter.symbols.and_then(|symbols| symbols(address)) else {
            return Ok(false);
        };
        self.out.write_str(symbol.name)?;
        if symbol.offset != 0 {
            self.out.write_char('+')?;
            self.number(symbol.offset)?;
        }
        Ok(true)
    }
}
