//! Registers as text: what a debugger or a report of a crash shows.

use core::fmt;

use crate::{CpuState, Eflags, F80, Gpr, SegmentRegister, X87State};

/// The general registers, EIP, EFLAGS with the names of the flags that are set, and the selectors,
/// in four lines; with `{:#}` the x87 stack, the XMM registers and MXCSR too.
///
/// ```
/// use pentimento_registers::{CpuState, Gpr};
///
/// let mut state = CpuState::new();
/// state.set_gpr(Gpr::Ecx, 7);
/// assert!(state.to_string().starts_with("eax 00000000 ecx 00000007 edx 00000000 ebx 00000000\n"));
/// assert!(format!("{state:#}").ends_with("mxcsr 00001f80"));
/// ```
impl fmt::Display for CpuState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, register) in Gpr::ALL.into_iter().enumerate() {
            let end = if index % 4 == 3 { '\n' } else { ' ' };
            write!(f, "{register} {:08x}{end}", self.gpr(register))?;
        }
        write!(f, "eip {:08x} eflags {:08x}", self.eip, self.eflags.bits())?;
        for (name, _) in self.eflags.intersection(Eflags::STATUS | Eflags::DF | Eflags::TF).iter_names() {
            write!(f, " {name}")?;
        }
        f.write_str("\n")?;
        for register in SegmentRegister::ALL {
            let space = if register == SegmentRegister::Es { "" } else { " " };
            write!(f, "{space}{register} {:04x}", self.segment(register).selector)?;
        }
        if f.alternate() {
            write!(f, "\n{}", self.x87)?;
            for (number, value) in self.xmm.iter().enumerate() {
                write!(f, "\nxmm{number} {value:032x}")?;
            }
            write!(f, "\nmxcsr {:08x}", self.mxcsr.bits())?;
        }
        Ok(())
    }
}

/// The control, status and tag words in one line, and below it a line for each register in use, ST(0)
/// first: all 80 bits, and the number that they mean.
impl fmt::Display for X87State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (control, status, tags) = (self.control.bits(), self.status_word(), self.tag_word());
        write!(f, "fcw {control:04x} fsw {status:04x} ftw {tags:04x}")?;
        for index in 0..8 {
            let physical = self.physical(index);
            if self.in_use & (1 << physical) != 0 {
                let F80 { sign_exponent, significand } = self.registers[physical];
                let value = self.registers[physical];
                write!(f, "\nst({index}) {sign_exponent:04x}:{significand:016x} {value}")?;
            }
        }
        Ok(())
    }
}

/// The number in decimal, rounded to the 53 bits of an `f64`; where an `f64` has no such exponent,
/// exactly, as an integer and a power of two in hexadecimal: `0xc000000000000000p+4937`. Patterns
/// that mean no number are `nan`.
///
/// ```
/// use pentimento_registers::F80;
///
/// assert_eq!(F80::new(0xc000, 0xc000_0000_0000_0000).to_string(), "-3");
/// assert_eq!(F80::new(0x7fff, 0x8000_0000_0000_0000).to_string(), "inf");
/// assert_eq!(F80::new(0x7ffe, 1 << 63).to_string(), "0x8000000000000000p+16320");
/// ```
impl fmt::Display for F80 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The biased exponent of an `F80` and of an `f64` for the same power of two differ by this.
        const BIAS: i32 = 16383 - 1023;
        const INTEGER: u64 = 1 << 63;
        let exponent = i32::from(self.exponent());
        let is_number = exponent == 0 || self.significand & INTEGER != 0;
        let sign = if self.is_negative() { "-" } else { "" };
        match (exponent, self.significand) {
            (0, 0) => write!(f, "{sign}0"),
            (0x7fff, INTEGER) => write!(f, "{sign}inf"),
            (0x7fff, _) => f.write_str("nan"),
            _ if !is_number => f.write_str("nan"),
            // An exponent that rounding up cannot push out of the range.
            _ if (1..2046).contains(&(exponent - BIAS)) => {
                let power = f64::from_bits(((exponent - BIAS) as u64) << 52);
                let fraction = self.significand as f64 / INTEGER as f64;
                let value = power * fraction;
                write!(f, "{}", if self.is_negative() { -value } else { value })
            }
            _ => {
                let power = exponent.max(1) - 16383 - 63;
                write!(f, "{sign}{:#x}p{power:+}", self.significand)
            }
        }
    }
}

impl fmt::Display for SegmentRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
