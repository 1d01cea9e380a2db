//! What an instruction reads and writes: registers, flags and memory, the implicit ones too.
//!
//! ```
//! use pentimento_decoder::{Register, Usage, decode};
//! use pentimento_registers::{Eflags, Gpr};
//!
//! let push = decode(&[0x50])?; // push eax
//! let effects = push.effects();
//! assert_eq!(effects.of(Register::Gpr32(Gpr::Eax)), Usage::READ);
//! assert_eq!(effects.of(Register::Gpr32(Gpr::Esp)), Usage::READ | Usage::WRITE);
//! let [stored] = effects.memory() else { unreachable!("push stores once") };
//! assert_eq!((stored.usage, stored.bytes), (Usage::WRITE, Some(4)));
//! assert_eq!(stored.address.displacement as i32, -4); // below ESP as it was before
//!
//! let sum = decode(&[0x01, 0xd8])?; // add eax,ebx
//! assert!(sum.effects().flags_written.contains(Eflags::CF));
//! # Ok::<(), pentimento_decoder::DecodeError>(())
//! ```

mod explicit;
mod implied;
mod lanes;

use bitflags::bitflags;
use pentimento_registers::{Eflags, Gpr, Gpr8, SegmentRegister};

use crate::{AddressSize, Instruction, MemoryOperand, Operand, Register};

bitflags! {
    /// How something is used.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Usage: u8 {
        /// Its value matters to what the instruction does.
        const READ = 1;
        /// It receives a value.
        const WRITE = 2;
        /// It may keep its old value, or where it is not written, may not be read: CMOVcc, a shift by CL,
        /// a repeated string instruction with a count of zero.
        const CONDITIONAL = 4;
    }
}

impl Usage {
    const UPDATE: Self = Self::READ.union(Self::WRITE);
    const MAY_WRITE: Self = Self::WRITE.union(Self::CONDITIONAL);
    const MAY_READ: Self = Self::READ.union(Self::CONDITIONAL);
    /// Certainly read, perhaps written.
    const MAY_UPDATE: Self = Self::UPDATE.union(Self::CONDITIONAL);

    /// Both uses of one thing.
    const fn and(self, other: Self) -> Self {
        let both = self.union(other);
        if self.contains(Self::CONDITIONAL) && other.contains(Self::CONDITIONAL) {
            return both;
        }
        let writes_surely = self.contains(Self::WRITE) && !self.contains(Self::CONDITIONAL)
            || other.contains(Self::WRITE) && !other.contains(Self::CONDITIONAL);
        if both.contains(Self::WRITE) && !writes_surely {
            both.union(Self::CONDITIONAL)
        } else {
            both.difference(Self::CONDITIONAL)
        }
    }
}

/// A register, or part of one, and what happens to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RegisterEffect {
    /// The register, as wide as it is used; ST(i) as it is numbered before the instruction.
    pub register: Register,
    /// The first byte that is used: 0 but in the high halves of XMM registers.
    pub first: u8,
    /// How many bytes are used: fewer than the register has in XMM registers, and in general ones of
    /// which the low part is read (`pinsrw mm0,eax,1`).
    pub bytes: u8,
    /// What happens to them.
    pub usage: Usage,
}

/// A memory location and what happens to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemoryEffect {
    /// Where its first byte is, in terms of registers as they are before the instruction. Its `size`
    /// means nothing here.
    pub address: MemoryOperand,
    /// How many bytes; `None` where that depends on registers: a repeated string instruction, XSAVE.
    pub bytes: Option<u16>,
    /// What happens to them.
    pub usage: Usage,
}

/// What an instruction reads and writes, if it completes: [`Instruction::effects`].
#[derive(Clone, Copy, Debug)]
pub struct Effects {
    registers: [RegisterEffect; Self::MOST_REGISTERS],
    register_count: u8,
    memory: [MemoryEffect; Self::MOST_MEMORY],
    memory_count: u8,
    /// Flags whose old value matters.
    pub flags_read: Eflags,
    /// Flags that receive a defined value ([`Instruction::flags_written`]).
    pub flags_written: Eflags,
    /// Flags that the SDM leaves undefined afterwards.
    pub flags_undefined: Eflags,
}

impl Effects {
    const MOST_REGISTERS: usize = 32;
    const MOST_MEMORY: usize = 4;

    /// An instruction that does nothing.
    const NONE: Self = {
        let register =
            RegisterEffect { register: Register::Gpr32(Gpr::Eax), first: 0, bytes: 0, usage: Usage::empty() };
        let address = MemoryOperand {
            segment: SegmentRegister::Ds,
            base: None,
            index: None,
            scale: 1,
            displacement: 0,
            address_size: AddressSize::Dword,
            size: 0,
        };
        let memory = MemoryEffect { address, bytes: None, usage: Usage::empty() };
        Self {
            registers: [register; Self::MOST_REGISTERS],
            register_count: 0,
            memory: [memory; Self::MOST_MEMORY],
            memory_count: 0,
            flags_read: Eflags::empty(),
            flags_written: Eflags::empty(),
            flags_undefined: Eflags::empty(),
        }
    };

    /// The registers: operands, those that addresses are made of (segments too), and those that the
    /// opcode implies. Each is there once in each width in which it is used, so AL and EAX may both
    /// be. EIP, and the control, status and tag words of x87 and MXCSR are not among them.
    #[must_use]
    pub fn registers(&self) -> &[RegisterEffect] {
        &self.registers[..usize::from(self.register_count)]
    }

    /// The memory: operands, the stack, and what the opcode implies; what is only addressed (LEA,
    /// prefetches) is not.
    #[must_use]
    pub fn memory(&self) -> &[MemoryEffect] {
        &self.memory[..usize::from(self.memory_count)]
    }

    /// What happens to a register in just this width; empty if nothing does.
    #[must_use]
    pub fn of(&self, register: Register) -> Usage {
        let found = self.registers().iter().find(|effect| effect.register == register);
        found.map_or(Usage::empty(), |effect| effect.usage)
    }

    /// Adds a use of all of a register.
    fn register(&mut self, register: Register, usage: Usage) {
        self.part(register, 0, register.bytes(), usage);
    }

    /// Adds a use of part of a register.
    fn part(&mut self, register: Register, first: u8, bytes: u8, usage: Usage) {
        if usage.is_empty() {
            return;
        }
        let count = usize::from(self.register_count);
        let same = |effect: &&mut RegisterEffect| {
            (effect.register, effect.first, effect.bytes) == (register, first, bytes)
        };
        if let Some(effect) = self.registers[..count].iter_mut().find(same) {
            effect.usage = effect.usage.and(usage);
        } else if let Some(slot) = self.registers.get_mut(count) {
            *slot = RegisterEffect { register, first, bytes, usage };
            self.register_count += 1;
        } else {
            debug_assert!(false, "more registers than any instruction uses");
        }
    }

    fn gpr8(&mut self, register: Gpr8, usage: Usage) {
        self.register(Register::Gpr8(register), usage);
    }

    fn gpr16(&mut self, register: Gpr, usage: Usage) {
        self.register(Register::Gpr16(register), usage);
    }

    fn gpr32(&mut self, register: Gpr, usage: Usage) {
        self.register(Register::Gpr32(register), usage);
    }

    /// A general register as wide as addresses are.
    fn address_register(&mut self, register: Gpr, size: AddressSize, usage: Usage) {
        match size {
            AddressSize::Word => self.gpr16(register, usage),
            AddressSize::Dword => self.gpr32(register, usage),
        }
    }

    /// Adds the registers that an address is made of.
    fn address(&mut self, address: &MemoryOperand) {
        self.address_part(address, 4);
    }

    /// Adds the registers that an address is made of, of which so many bytes count.
    fn address_part(&mut self, address: &MemoryOperand, bytes: u8) {
        for register in [address.base, address.index].into_iter().flatten() {
            match address.address_size {
                AddressSize::Word => self.gpr16(register, Usage::READ),
                AddressSize::Dword => self.part(Register::Gpr32(register), 0, bytes, Usage::READ),
            }
        }
    }

    /// Adds an access to memory, with the registers of its address.
    fn access(&mut self, address: MemoryOperand, bytes: Option<u16>, usage: Usage) {
        self.register(Register::Segment(address.segment), Usage::READ);
        self.address(&address);
        let count = usize::from(self.memory_count);
        if let Some(slot) = self.memory.get_mut(count) {
            *slot = MemoryEffect { address, bytes, usage };
            self.memory_count += 1;
        } else {
            debug_assert!(false, "more memory than any instruction accesses");
        }
    }

    /// Adds an access to `bytes` at `[ESP + displacement]`, or with EBP.
    fn stack(&mut self, base: Gpr, displacement: i32, bytes: u16, usage: Usage) {
        let address = MemoryOperand {
            segment: SegmentRegister::Ss,
            base: Some(base),
            index: None,
            scale: 1,
            displacement: displacement as u32,
            address_size: AddressSize::Dword,
            size: bytes,
        };
        self.access(address, Some(bytes), usage);
    }
}

impl Register {
    /// How wide it is: 1, 2 or 4 for general, 2 for segment, 4 for control and debug, 10 for x87, 8 for
    /// MMX and 16 for XMM registers.
    #[must_use]
    pub const fn bytes(self) -> u8 {
        match self {
            Self::Gpr8(_) => 1,
            Self::Gpr16(_) | Self::Segment(_) => 2,
            Self::Gpr32(_) | Self::Control(_) | Self::Debug(_) => 4,
            Self::St(_) => 10,
            Self::Mmx(_) => 8,
            Self::Xmm(_) => 16,
        }
    }
}

impl Instruction {
    /// What the instruction reads and writes if it completes. Nothing is allocated.
    ///
    /// `xor eax,eax` and its like, whose result does not depend on the operands, write and do not read.
    /// An address is in terms of registers before the instruction, except that of `pop [esp+n]`, which
    /// is what the instruction pops to: its displacement has the operand's size added.
    #[must_use]
    pub fn effects(&self) -> Effects {
        let mut effects = Effects {
            flags_read: self.flags_read(),
            flags_written: self.flags_written(),
            flags_undefined: self.flags_undefined(),
            ..Effects::NONE
        };
        self.explicit_effects(&mut effects);
        self.implied_effects(&mut effects);
        effects
    }

    /// Bytes of what operations on the stack push and pop: 2 or 4.
    fn stack_bytes(&self) -> u16 {
        match self.operand_size() {
            crate::OperandSize::Word => 2,
            crate::OperandSize::Dword => 4,
        }
    }

    /// Whether the result is the same whatever the two operands are, because they are one register.
    fn ignores_operands(&self) -> bool {
        use crate::Operation as O;
        let clears = matches!(
            self.operation(),
            O::Xor
                | O::Sub
                | O::Pxor
                | O::Xorps
                | O::Xorpd
                | O::Pandn
                | O::Andnps
                | O::Andnpd
                | O::Psubb
                | O::Psubw
                | O::Psubd
                | O::Psubq
                | O::Psubsb
                | O::Psubsw
                | O::Psubusb
                | O::Psubusw
                | O::Pcmpeqb
                | O::Pcmpeqw
                | O::Pcmpeqd
                | O::Pcmpeqq
                | O::Pcmpgtb
                | O::Pcmpgtw
                | O::Pcmpgtd
                | O::Pcmpgtq
        );
        clears
            && matches!(
                (self.operand(0), self.operand(1)),
                (Some(Operand::Register(first)), Some(Operand::Register(second))) if first == second
            )
    }
}
