//! Status flags that are worked out when somebody asks.

use pentimento_execute::Width;
use pentimento_execute::semantics::{binary_arithmetic, logical, shift_rotate};
use pentimento_registers::{Condition, CpuState, Eflags};

use crate::outcome::{Done, Miss};

/// What wrote the status flags last, and so how to compute them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Lazy {
    /// They are in EFLAGS.
    Settled,
    /// `a + b`.
    Add,
    /// `a + b + 1`.
    AddCarry,
    /// `a - b`.
    Sub,
    /// `a - b - 1`.
    SubBorrow,
    /// AND, OR, XOR or TEST with the result `a`.
    Logic,
    /// `a + 1`, and CF is in EFLAGS.
    Inc,
    /// `a - 1`, and CF is in EFLAGS.
    Dec,
    /// `a << b`; counts of shifts are not zero.
    Shl,
    /// `a >> b`, unsigned.
    Shr,
    /// `a >> b`, signed.
    Sar,
    /// What `under` says, but CF and OF are in `over`.
    Over,
}

/// The instruction that wrote the status flags last.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct PendingFlags {
    pub(crate) a: u32,
    pub(crate) b: u32,
    pub(crate) lazy: Lazy,
    /// Its operand size.
    pub(crate) bytes: u8,
    /// With [`Lazy::Over`]: the instruction that wrote the other flags last.
    under: Lazy,
    /// With [`Lazy::Over`]: CF in bit 0, OF in bit 1.
    over: u8,
}

impl PendingFlags {
    /// The flags are in EFLAGS.
    pub(crate) const SETTLED: Self =
        Self { a: 0, b: 0, lazy: Lazy::Settled, bytes: 4, under: Lazy::Settled, over: 0 };

    /// Remembers an instruction.
    #[inline(always)]
    pub(crate) fn record<W: Width>(&mut self, lazy: Lazy, a: u32, b: u32) {
        *self = Self { a, b, lazy, bytes: W::BYTES as u8, ..Self::SETTLED };
    }

    /// Remembers CF and OF of an instruction that leaves the other flags alone.
    #[inline(always)]
    pub(crate) fn record_over(&mut self, cpu: &mut CpuState, flags: Eflags) {
        const OVER: Eflags = Eflags::CF.union(Eflags::OF);
        if self.lazy == Lazy::Settled {
            cpu.eflags = cpu.eflags.difference(OVER).union(flags.intersection(OVER));
            return;
        }
        if self.lazy != Lazy::Over {
            self.under = self.lazy;
            self.lazy = Lazy::Over;
        }
        self.over = u8::from(flags.contains(Eflags::CF)) | u8::from(flags.contains(Eflags::OF)) << 1;
    }

    /// Computes the flags that are pending, if any are.
    #[inline(always)]
    pub(crate) fn settle_quickly(&mut self, cpu: &mut CpuState) {
        if self.lazy != Lazy::Settled {
            self.settle(cpu);
        }
    }

    /// Computes the flags that are pending.
    #[inline(never)]
    pub(crate) fn settle(&mut self, cpu: &mut CpuState) {
        let over = (self.lazy == Lazy::Over).then_some(self.over);
        if over.is_some() {
            self.lazy = self.under;
        }
        if self.lazy != Lazy::Settled {
            let (mask, flags) = match self.bytes {
                1 => self.flags::<u8>(),
                2 => self.flags::<u16>(),
                _ => self.flags::<u32>(),
            };
            cpu.eflags = cpu.eflags.difference(mask).union(flags.intersection(mask));
        }
        if let Some(over) = over {
            cpu.eflags.set(Eflags::CF, over & 1 != 0);
            cpu.eflags.set(Eflags::OF, over & 2 != 0);
        }
        *self = Self::SETTLED;
    }

    /// CF, if it can be told quickly.
    #[inline(always)]
    pub(crate) fn carry(&self, cpu: &CpuState) -> Done<bool> {
        match (self.lazy, self.bytes) {
            (Lazy::Settled | Lazy::Inc | Lazy::Dec, _) => Ok(cpu.eflags.contains(Eflags::CF)),
            (Lazy::Add, 4) => Ok(self.a.checked_add(self.b).is_none()),
            (Lazy::AddCarry, 4) => Ok(u64::from(self.a) + u64::from(self.b) >= u64::from(u32::MAX)),
            (Lazy::Sub, _) => Ok(self.a < self.b),
            (Lazy::SubBorrow, 4) => Ok(self.a <= self.b),
            (Lazy::Logic, _) => Ok(false),
            (Lazy::Over, _) => Ok(self.over & 1 != 0),
            _ => Err(Miss::Flags),
        }
    }

    /// Whether condition number `CONDITION` holds, if that can be told quickly. Where the handler
    /// has just recorded the flags, the compiler knows which arm it is.
    #[inline(always)]
    pub(crate) fn holds<const CONDITION: u8>(&self, cpu: &CpuState) -> Done<bool> {
        self.holds_of(cpu, CONDITION)
    }

    /// The same for a condition that the handler does not have in it.
    #[inline(never)]
    pub(crate) fn holds_numbered(&self, cpu: &CpuState, condition: u8) -> Done<bool> {
        self.holds_of(cpu, condition)
    }

    #[inline(always)]
    fn holds_of(&self, cpu: &CpuState, condition: u8) -> Done<bool> {
        if self.lazy == Lazy::Settled {
            return Ok(Condition::from_number(condition).holds(cpu.eflags));
        }
        let base = match self.bytes {
            4 => self.holds_at::<u32>(condition >> 1)?,
            1 => self.holds_at::<u8>(condition >> 1)?,
            _ => self.holds_at::<u16>(condition >> 1)?,
        };
        Ok(base != (condition & 1 == 1))
    }

    /// [`PendingFlags::holds`] for the condition without its negation.
    #[inline(always)]
    fn holds_at<W: Width>(&self, base: u8) -> Done<bool> {
        const BELOW: u8 = Condition::B as u8 >> 1;
        const EQUAL: u8 = Condition::E as u8 >> 1;
        const BELOW_OR_EQUAL: u8 = Condition::Be as u8 >> 1;
        const SIGN: u8 = Condition::S as u8 >> 1;
        const LESS: u8 = Condition::L as u8 >> 1;
        const LESS_OR_EQUAL: u8 = Condition::Le as u8 >> 1;
        let (a, b) = (W::truncate(self.a), W::truncate(self.b));
        let negative = |value: u32| value & W::SIGN != 0;
        let zero = |value: u32| value & W::MASK == 0;
        match (self.lazy, base) {
            (Lazy::Sub, BELOW) => Ok(a.bits() < b.bits()),
            (Lazy::Sub, EQUAL) => Ok(a == b),
            (Lazy::Sub, BELOW_OR_EQUAL) => Ok(a.bits() <= b.bits()),
            (Lazy::Sub, SIGN) => Ok(negative(self.a.wrapping_sub(self.b))),
            (Lazy::Sub, LESS) => Ok(a.signed() < b.signed()),
            (Lazy::Sub, LESS_OR_EQUAL) => Ok(a.signed() <= b.signed()),
            (Lazy::Logic, BELOW) => Ok(false),
            (Lazy::Logic, EQUAL | BELOW_OR_EQUAL) => Ok(zero(self.a)),
            (Lazy::Logic, SIGN | LESS) => Ok(negative(self.a)),
            (Lazy::Logic, LESS_OR_EQUAL) => Ok(a.signed() <= 0),
            (Lazy::Add, EQUAL) => Ok(zero(self.a.wrapping_add(self.b))),
            (Lazy::Add, SIGN) => Ok(negative(self.a.wrapping_add(self.b))),
            (Lazy::Add, BELOW) => Ok(W::truncate(self.a.wrapping_add(self.b)).bits() < a.bits()),
            (Lazy::Inc, EQUAL) => Ok(zero(self.a.wrapping_add(1))),
            (Lazy::Inc, SIGN) => Ok(negative(self.a.wrapping_add(1))),
            (Lazy::Dec, EQUAL) => Ok(zero(self.a.wrapping_sub(1))),
            (Lazy::Dec, SIGN) => Ok(negative(self.a.wrapping_sub(1))),
            (Lazy::Dec, LESS_OR_EQUAL) => Ok(a.signed() <= 1),
            _ => Err(Miss::Flags),
        }
    }

    /// The flags that were written, and their values.
    fn flags<W: Width>(&self) -> (Eflags, Eflags) {
        let (a, b) = (W::truncate(self.a), W::truncate(self.b));
        let count = self.b as u8;
        let none = Eflags::empty();
        match self.lazy {
            Lazy::Settled | Lazy::Over => (none, none),
            Lazy::Add => (Eflags::STATUS, binary_arithmetic::add(a, b).1),
            Lazy::AddCarry => (Eflags::STATUS, binary_arithmetic::adc(a, b, true).1),
            Lazy::Sub => (Eflags::STATUS, binary_arithmetic::sub(a, b).1),
            Lazy::SubBorrow => (Eflags::STATUS, binary_arithmetic::sbb(a, b, true).1),
            Lazy::Logic => (Eflags::STATUS, logical::or(a, a).1),
            Lazy::Inc => (Eflags::STATUS.difference(Eflags::CF), binary_arithmetic::inc(a).1),
            Lazy::Dec => (Eflags::STATUS.difference(Eflags::CF), binary_arithmetic::dec(a).1),
            Lazy::Shl => (Eflags::STATUS, shift_rotate::shl(a, count, none).1),
            Lazy::Shr => (Eflags::STATUS, shift_rotate::shr(a, count, none).1),
            Lazy::Sar => (Eflags::STATUS, shift_rotate::sar(a, count, none).1),
        }
    }
}
