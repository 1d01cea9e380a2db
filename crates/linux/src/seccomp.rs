//! Filters of system calls (seccomp(2)): classic BPF programs over what a call is made with.

use std::sync::Arc;

use crate::errno::Errno;

/// `AUDIT_ARCH_I386`.
const ARCHITECTURE: u32 = 0x4000_0003;
/// Bytes of `struct seccomp_data`.
const DATA_BYTES: u32 = 64;
/// Words of scratch memory (BPF_MEMWORDS).
const SCRATCH: usize = 16;
/// Instructions of one program (BPF_MAXINSNS).
pub(crate) const PROGRAM_MAX: usize = 4096;
/// Instructions of all programs of a thread, each with four more for itself (MAX_INSNS_PER_PATH).
const PATH_MAX: usize = 32_768;
const OVERHEAD: usize = 4;

/// What a filter says: `SECCOMP_RET_*`, of which the lowest, as a signed number, counts.
pub(crate) mod action {
    pub(crate) const MASK: u32 = 0xffff_0000;
    pub(crate) const KILL_PROCESS: u32 = 0x8000_0000;
    pub(crate) const KILL_THREAD: u32 = 0;
    pub(crate) const TRAP: u32 = 0x3_0000;
    pub(crate) const ERRNO: u32 = 0x5_0000;
    pub(crate) const USER_NOTIFICATION: u32 = 0x7fc0_0000;
    pub(crate) const TRACE: u32 = 0x7ff0_0000;
    pub(crate) const LOG: u32 = 0x7ffc_0000;
    pub(crate) const ALLOW: u32 = 0x7fff_0000;
}

/// `struct sock_filter`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    operand: u32,
}

impl Instruction {
    /// Bytes of one in the guest's memory.
    pub(crate) const SIZE: usize = 8;

    /// Reads one.
    pub(crate) fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let [c0, c1, if_true, if_false, k0, k1, k2, k3] = bytes;
        let (code, operand) = (u16::from_le_bytes([c0, c1]), u32::from_le_bytes([k0, k1, k2, k3]));
        Self { code, if_true, if_false, operand }
    }
}

/// A program that was checked, and those that were installed before it.
#[derive(Debug)]
pub(crate) struct Filter {
    program: Vec<Instruction>,
    previous: Option<Arc<Filter>>,
    /// Instructions of it and of those before.
    path: usize,
}

/// What a call is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) arguments: [u32; 6],
    /// EIP behind the call.
    pub(crate) eip: u32,
}

impl Attempt {
    /// The word at a byte offset of `struct seccomp_data`: number, architecture, the two halves of EIP, and
    /// those of each argument.
    fn word(&self, offset: u32) -> u32 {
        match offset / 4 {
            0 => self.number,
            1 => ARCHITECTURE,
            2 => self.eip,
            index @ 4.. if index % 2 == 0 => {
                self.arguments.get((index as usize - 4) / 2).copied().unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// The parts of an instruction's code.
mod code {
    pub(super) const CLASS: u16 = 0x07;
    pub(super) const LD: u16 = 0;
    pub(super) const LDX: u16 = 1;
    pub(super) const ST: u16 = 2;
    pub(super) const STX: u16 = 3;
    pub(super) const ALU: u16 = 4;
    pub(super) const JMP: u16 = 5;
    pub(super) const RET: u16 = 6;
    pub(super) const MISC: u16 = 7;
    /// Of loads.
    pub(super) const ABSOLUTE: u16 = 0x20;
    pub(super) const IMMEDIATE: u16 = 0x00;
    pub(super) const LENGTH: u16 = 0x80;
    pub(super) const SCRATCH: u16 = 0x60;
    /// Of arithmetic and jumps: the operand is X.
    pub(super) const X: u16 = 0x08;
    /// Of returns: the value is A.
    pub(super) const A: u16 = 0x10;
    pub(super) const TXA: u16 = 0x80;
}

impl Drop for Filter {
    /// Those before, which nobody else has, one after the other: there may be thousands.
    fn drop(&mut self) {
        let mut next = self.previous.take();
        while let Some(mut filter) = next.and_then(Arc::into_inner) {
            next = filter.previous.take();
        }
    }
}

/// What a thread may call.
#[derive(Clone, Default, Debug)]
pub(crate) enum Seccomp {
    /// Everything.
    #[default]
    Off,
    /// read(2), write(2), exit(2) and sigreturn(2).
    Strict,
    /// What the filters let through.
    Filtered(Arc<Filter>),
}

impl Seccomp {
    /// `SECCOMP_MODE_*`.
    pub(crate) const fn mode(&self) -> u32 {
        match self {
            Self::Off => 0,
            Self::Strict => 1,
            Self::Filtered(_) => 2,
        }
    }

    /// Its filters, if it has any.
    pub(crate) const fn filter(&self) -> Option<&Arc<Filter>> {
        match self {
            Self::Filtered(filter) => Some(filter),
            _ => None,
        }
    }
}

impl Filter {
    /// Checks a program, to be installed on top of `previous`.
    ///
    /// # Errors
    /// EINVAL for what is no program that ends; ENOMEM for too many instructions in all.
    pub(crate) fn new(program: Vec<Instruction>, previous: Option<Arc<Self>>) -> Result<Arc<Self>, Errno> {
        check(&program).ok_or(Errno::EINVAL)?;
        let before = previous.as_ref().map_or(0, |previous| previous.path + OVERHEAD);
        let path = before + program.len();
        if path > PATH_MAX {
            return Err(Errno::ENOMEM);
        }
        Ok(Arc::new(Self { program, previous, path }))
    }

    /// What all filters say of a call: the strictest action, and of equal ones the newest filter's.
    pub(crate) fn judge(&self, attempt: &Attempt) -> u32 {
        let (mut verdict, mut filter) = (action::ALLOW, Some(self));
        while let Some(this) = filter {
            let said = this.run(attempt);
            if ((said & action::MASK) as i32) < (verdict & action::MASK) as i32 {
                verdict = said;
            }
            filter = this.previous.as_deref();
        }
        verdict
    }

    /// Whether `other` is this filter or one that this one was installed on.
    pub(crate) fn descends_from(&self, other: &Self) -> bool {
        let mut filter = Some(self);
        while let Some(this) = filter {
            if std::ptr::eq(this, other) {
                return true;
            }
            filter = this.previous.as_deref();
        }
        false
    }

    /// How many there are, with those before.
    pub(crate) fn count(&self) -> usize {
        std::iter::successors(Some(self), |filter| filter.previous.as_deref()).count()
    }

    /// Bytes that the filters take, each divided among those who share it.
    pub(crate) fn held_bytes(filter: &Arc<Self>) -> u64 {
        let filters = std::iter::successors(Some(filter), |filter| filter.previous.as_ref());
        let share = |filter: &Arc<Self>| {
            (filter.program.len() * Instruction::SIZE + size_of::<Self>()) / Arc::strong_count(filter)
        };
        filters.map(|filter| share(filter) as u64).sum()
    }

    /// Runs the program; it has been checked, so every jump goes forwards and it comes to a return.
    fn run(&self, attempt: &Attempt) -> u32 {
        let (mut a, mut x, mut scratch) = (0_u32, 0_u32, [0_u32; SCRATCH]);
        let mut at = 0;
        while let Some(instruction) = self.program.get(at) {
            let Instruction { code, if_true, if_false, operand: k } = *instruction;
            at += 1;
            let operand = if code & code::X != 0 { x } else { k };
            let slot = k as usize % SCRATCH;
            match code & code::CLASS {
                code::LD | code::LDX => {
                    let value = match code & 0xe0 {
                        code::ABSOLUTE => attempt.word(k),
                        code::SCRATCH => scratch[slot],
                        code::LENGTH => DATA_BYTES,
                        _ => k,
                    };
                    *(if code & code::CLASS == code::LD { &mut a } else { &mut x }) = value;
                }
                code::ST => scratch[slot] = a,
                code::STX => scratch[slot] = x,
                code::ALU => match compute(code, a, operand) {
                    Some(value) => a = value,
                    // Division by zero ends the program with zero.
                    None => return 0,
                },
                code::JMP => {
                    let (condition, unconditional) = (jumps(code, a, operand), code & 0xf0 == 0);
                    at += match (unconditional, condition) {
                        (true, _) => k as usize,
                        (false, true) => if_true.into(),
                        (false, false) => if_false.into(),
                    };
                }
                code::RET => return if code & 0x18 == code::A { a } else { k },
                _ if code & 0xf8 == code::TXA => a = x,
                _ => x = a,
            }
        }
        action::KILL_THREAD
    }
}

/// The result of an arithmetic instruction; `None` for division by zero.
fn compute(code: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match code & 0xf0 {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        0x30 => a.checked_div(operand)?,
        0x40 => a | operand,
        0x50 => a & operand,
        0x60 => a.wrapping_shl(operand),
        0x70 => a.wrapping_shr(operand),
        0x80 => a.wrapping_neg(),
        _ => a ^ operand,
    })
}

/// Whether a conditional jump's condition holds.
fn jumps(code: u16, a: u32, operand: u32) -> bool {
    match code & 0xf0 {
        0x10 => a == operand,
        0x20 => a > operand,
        0x30 => a >= operand,
        _ => a & operand != 0,
    }
}

/// Whether a program has instructions that filters may have, and each way through it comes to a return
/// (seccomp_check_filter() and bpf_check_classic() of Linux accept the same).
fn check(program: &[Instruction]) -> Option<()> {
    if program.is_empty() || program.len() > PROGRAM_MAX {
        return None;
    }
    // Scratch memory that every way to an instruction has written, as far as jumps to it were seen.
    let mut known = vec![u16::MAX; program.len()];
    let mut written = 0_u16;
    for (at, instruction) in program.iter().enumerate() {
        let Instruction { code, if_true, if_false, operand: k } = *instruction;
        written &= known[at];
        let mut reach = |distance: usize, written: u16| {
            let target = at.checked_add(1)?.checked_add(distance)?;
            *known.get_mut(target)? &= written;
            Some(())
        };
        match code & code::CLASS {
            code::LD | code::LDX => check_load(code, k, written)?,
            class @ (code::ST | code::STX) if code == class && (k as usize) < SCRATCH => written |= 1 << k,
            code::ALU => check_arithmetic(code, k)?,
            code::JMP if code == code::JMP => {
                reach(k as usize, written)?;
                written = u16::MAX;
            }
            code::JMP if (0x10..=0x40).contains(&(code & 0xf0)) && code & !0xff == 0 => {
                reach(if_true.into(), written)?;
                reach(if_false.into(), written)?;
                written = u16::MAX;
            }
            code::RET if matches!(code, 0x06 | 0x16) => written = u16::MAX,
            code::MISC if matches!(code, 0x07 | 0x87) => {}
            _ => return None,
        }
    }
    program.last().filter(|last| last.code & code::CLASS == code::RET).map(|_| ())
}

/// Loads are of words of the call's data, of constants, of its length, and of scratch memory that was written.
fn check_load(code: u16, k: u32, written: u16) -> Option<()> {
    let from = code & 0xe0;
    let is_load = code & code::CLASS == code::LD;
    let is_word = code & !0xe7 == 0;
    let allowed = match from {
        code::IMMEDIATE | code::LENGTH => true,
        code::ABSOLUTE => is_load && k < DATA_BYTES && k.is_multiple_of(4),
        code::SCRATCH => (k as usize) < SCRATCH && written & 1 << k != 0,
        _ => false,
    };
    (is_word && allowed).then_some(())
}

/// Arithmetic does not divide by a constant zero, nor shift by more than a word has.
fn check_arithmetic(code: u16, k: u32) -> Option<()> {
    let is_constant = code & code::X == 0;
    let known = code & !0xff == 0 && code & 0xf0 <= 0xa0 && code & 0xf0 != 0x90;
    let refused = match code & 0xf0 {
        0x30 => is_constant && k == 0,
        0x60 | 0x70 => is_constant && k >= 32,
        0x80 => !is_constant,
        _ => false,
    };
    (known && !refused).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An instruction: code, jumps, operand.
    type Short = (u16, u8, u8, u32);

    fn program(instructions: &[Short]) -> Vec<Instruction> {
        let one = |&(code, if_true, if_false, operand)| Instruction { code, if_true, if_false, operand };
        instructions.iter().map(one).collect()
    }

    const CALL: Attempt = Attempt { number: 20, arguments: [7, 8, 9, 10, 11, 12], eip: 0x1234 };

    #[test]
    fn programs_compute_what_bpf_says() {
        #[rustfmt::skip]
        let cases: &[(&[Short], u32)] = &[
            (&[(0x06, 0, 0, 5)], 5),
            (&[(0x20, 0, 0, 0), (0x16, 0, 0, 0)], 20),
            (&[(0x20, 0, 0, 4), (0x16, 0, 0, 0)], 0x4000_0003),
            (&[(0x20, 0, 0, 8), (0x16, 0, 0, 0)], 0x1234),
            (&[(0x20, 0, 0, 56), (0x16, 0, 0, 0)], 12),
            (&[(0x20, 0, 0, 60), (0x16, 0, 0, 0)], 0),
            (&[(0x80, 0, 0, 0), (0x16, 0, 0, 0)], 64),
            (&[(0x00, 0, 0, 6), (0x24, 0, 0, 7), (0x16, 0, 0, 0)], 42),
            (&[(0x00, 0, 0, 6), (0x07, 0, 0, 0), (0x0c, 0, 0, 0), (0x16, 0, 0, 0)], 12),
            (&[(0x00, 0, 0, 6), (0x3c, 0, 0, 0), (0x06, 0, 0, 1)], 0),
            (&[(0x00, 0, 0, 6), (0x02, 0, 0, 3), (0x61, 0, 0, 3), (0x87, 0, 0, 0), (0x16, 0, 0, 0)], 6),
            (&[(0x20, 0, 0, 0), (0x15, 0, 1, 20), (0x06, 0, 0, 1), (0x06, 0, 0, 2)], 1),
            (&[(0x20, 0, 0, 0), (0x25, 0, 1, 20), (0x06, 0, 0, 1), (0x06, 0, 0, 2)], 2),
            (&[(0x05, 0, 0, 1), (0x06, 0, 0, 1), (0x06, 0, 0, 2)], 2),
            (&[(0x00, 0, 0, 1), (0x84, 0, 0, 0), (0x74, 0, 0, 28), (0x16, 0, 0, 0)], 15),
        ];
        for (instructions, expected) in cases {
            let filter = Filter::new(program(instructions), None)
                .unwrap_or_else(|_| unreachable!("{instructions:x?}"));
            assert_eq!(filter.run(&CALL), *expected, "{instructions:x?}");
        }
    }

    #[test]
    fn what_is_no_program_is_refused() {
        #[rustfmt::skip]
        let cases: &[&[Short]] = &[
            &[],
            &[(0x00, 0, 0, 1)],
            &[(0x20, 0, 0, 64), (0x06, 0, 0, 0)],
            &[(0x20, 0, 0, 2), (0x06, 0, 0, 0)],
            &[(0x30, 0, 0, 0), (0x06, 0, 0, 0)],
            &[(0x05, 0, 0, 1), (0x06, 0, 0, 0)],
            &[(0x05, 0, 0, u32::MAX), (0x06, 0, 0, 0)],
            &[(0x15, 0, 9, 0), (0x06, 0, 0, 0)],
            &[(0x34, 0, 0, 0), (0x06, 0, 0, 0)],
            &[(0x64, 0, 0, 32), (0x06, 0, 0, 0)],
            &[(0x94, 0, 0, 1), (0x06, 0, 0, 0)],
            &[(0x02, 0, 0, 16), (0x06, 0, 0, 0)],
            &[(0x60, 0, 0, 3), (0x06, 0, 0, 0)],
            // One of two ways has not written what is read.
            &[(0x15, 0, 1, 0), (0x02, 0, 0, 3), (0x60, 0, 0, 3), (0x06, 0, 0, 0)],
            &[(0x0e, 0, 0, 0)],
            &[(0x106, 0, 0, 0)],
        ];
        for instructions in cases {
            assert_eq!(
                Filter::new(program(instructions), None).err(),
                Some(Errno::EINVAL),
                "{instructions:x?}"
            );
        }
    }

    #[test]
    fn the_strictest_filter_counts_and_paths_are_bounded() {
        let says = |action, previous| Filter::new(program(&[(0x06, 0, 0, action)]), previous).ok();
        let errno = says(action::ERRNO | 3, says(action::ALLOW, None));
        assert_eq!(errno.as_ref().map(|filter| filter.judge(&CALL)), Some(action::ERRNO | 3));
        let same = says(action::ERRNO | 4, errno.clone());
        assert_eq!(same.map(|filter| filter.judge(&CALL)), Some(action::ERRNO | 4));
        let killed = says(action::LOG, says(action::KILL_PROCESS, errno));
        assert_eq!(
            killed.map(|filter| (filter.judge(&CALL), filter.count())),
            Some((action::KILL_PROCESS, 4))
        );
        let long = vec![(0x06, 0, 0, action::ALLOW); PROGRAM_MAX];
        let mut filter = None;
        let mut count = 0;
        while let Ok(next) = Filter::new(program(&long), filter.clone()) {
            (filter, count) = (Some(next), count + 1);
        }
        assert_eq!(count, 7);
    }
}
