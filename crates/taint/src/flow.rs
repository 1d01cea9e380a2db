//! How labels go through an instruction.

use pentimento::decoder::{
    AddressSize, Effects, Instruction, MemoryEffect, MemoryOperand, Operand, OperandSize, Operation,
    Prefixes, Register, Usage,
};
use pentimento::{AddressSpace, CpuState, Eflags, Gpr};

use crate::labels::{Set, Sets};
use crate::shadow::{Memory, Registers};

/// What an instruction works on, as it is before it.
pub(crate) struct Flow<'a> {
    pub(crate) sets: &'a mut Sets,
    pub(crate) registers: &'a mut Registers,
    pub(crate) memory: &'a mut Memory,
    pub(crate) state: &'a CpuState,
    pub(crate) space: &'a AddressSpace,
    /// What is loaded depends on the registers of its address, too.
    pub(crate) addresses: bool,
}

/// How the bytes of a result depend on those of the operands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Each on the one in its place; where there is none, on nothing.
    Copy,
    /// As copies; above its end it depends on the last byte.
    Extend,
    /// Each on those in its place.
    Bitwise,
    /// Each on those in its place and below.
    Carry,
    /// Each on all.
    Mix,
}

/// Somewhere bytes are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Register { register: Register, first: u8, bytes: u8 },
    Memory { address: u32, bytes: u32 },
}

/// The linear address of a memory operand.
pub(crate) fn linear(state: &CpuState, operand: &MemoryOperand) -> u32 {
    let base = operand.base.map_or(0, |base| state.gpr(base));
    let index = operand.index.map_or(0, |index| state.gpr(index));
    let sum = base.wrapping_add(index.wrapping_mul(operand.scale.into())).wrapping_add(operand.displacement);
    let offset = if operand.address_size == AddressSize::Word { sum & 0xffff } else { sum };
    state.segment(operand.segment).base().wrapping_add(offset)
}

fn kind(instruction: &Instruction) -> Kind {
    use Operation as O;
    match instruction.operation() {
        O::Mov | O::Movzx | O::Push | O::Pop | O::Movd | O::Movq | O::Movss | O::Movsd | O::Movaps => {
            Kind::Copy
        }
        O::Movups | O::Movapd | O::Movupd | O::Movdqa | O::Movdqu | O::Lddqu | O::Movntq => Kind::Copy,
        O::Movntdq | O::Movntps | O::Movntpd | O::Movnti => Kind::Copy,
        O::Movsx => Kind::Extend,
        O::And | O::Or | O::Xor | O::Not | O::Test => Kind::Bitwise,
        O::Pand | O::Pandn | O::Por | O::Pxor | O::Andps | O::Andnps | O::Orps | O::Xorps => Kind::Bitwise,
        O::Andpd | O::Andnpd | O::Orpd | O::Xorpd => Kind::Bitwise,
        O::Add | O::Adc | O::Sub | O::Sbb | O::Inc | O::Dec | O::Neg | O::Lea => Kind::Carry,
        _ => Kind::Mix,
    }
}

impl Flow<'_> {
    /// Carries the labels through `instruction`, which is about to be executed. Says what decides where
    /// control goes, if it is a branch.
    pub(crate) fn step(&mut self, instruction: &Instruction) -> Option<Set> {
        use Operation as O;
        match instruction.operation() {
            O::Movs | O::Stos | O::Lods | O::Cmps | O::Scas => self.string(instruction),
            O::Xchg | O::Fxch => self.exchange(instruction),
            O::Bswap => self.reverse(instruction),
            O::Call | O::Jmp | O::Ret => return self.jump(instruction),
            O::Jcc => return Some(self.registers.flags(instruction.flags_read().bits(), self.sets)),
            O::Jecxz | O::Loop | O::Loope | O::Loopne => {
                let counter = *self.registers.general(Gpr::Ecx);
                let flags = self.registers.flags(instruction.flags_read().bits(), self.sets);
                return Some(self.all(&counter, flags));
            }
            O::Leave => {
                let frame = *self.registers.general(Gpr::Ebp);
                let saved = self.state.gpr(Gpr::Ebp);
                *self.registers.general(Gpr::Esp) = frame;
                *self.registers.general(Gpr::Ebp) =
                    [0, 1, 2, 3].map(|byte| self.memory.get(saved.wrapping_add(byte)));
            }
            O::Pusha | O::Popa => self.all_general(instruction),
            _ => self.general(instruction),
        }
        None
    }

    /// All labels of `bytes`, and `set`.
    fn all(&mut self, bytes: &[Set], set: Set) -> Set {
        bytes.iter().fold(set, |union, byte| self.sets.union(union, *byte))
    }

    fn read(&mut self, place: Place) -> Vec<Set> {
        match place {
            Place::Register { register, first, bytes } => {
                let top = self.state.x87.top;
                let all = self.registers.bytes(register, top).map_or(&[][..], |bytes| bytes);
                all.iter().skip(first.into()).take(bytes.into()).copied().collect()
            }
            Place::Memory { address, bytes } => {
                (0..bytes).map(|offset| self.memory.get(address.wrapping_add(offset))).collect()
            }
        }
    }

    /// Gives the bytes at `place` their labels, or where they may keep what they are, adds them.
    fn write(&mut self, place: Place, sets: &[Set], adds: bool) {
        let old = if adds { self.read(place) } else { Vec::new() };
        let new: Vec<Set> = match adds {
            true => old.iter().zip(sets).map(|(old, new)| self.sets.union(*old, *new)).collect(),
            false => sets.to_vec(),
        };
        match place {
            Place::Register { register, first, .. } => {
                let top = self.state.x87.top;
                let bytes = self.registers.bytes(register, top).map_or(&mut [][..], |bytes| bytes);
                bytes.iter_mut().skip(first.into()).zip(new).for_each(|(byte, set)| *byte = set);
            }
            Place::Memory { address, .. } => {
                for (offset, set) in (0..).zip(new) {
                    self.memory.set(address.wrapping_add(offset), set);
                }
            }
        }
    }

    /// An instruction without anything special: what it reads goes to all that it writes.
    fn general(&mut self, instruction: &Instruction) {
        let effects = instruction.effects();
        let kind = kind(instruction);
        let sources = self.sources(instruction, &effects);
        let bytes: Vec<Vec<Set>> = sources.iter().map(|place| self.read(*place)).collect();
        let mut common = self.registers.flags(effects.flags_read.bits(), self.sets);
        if self.addresses {
            for register in effects.memory().iter().flat_map(address_registers) {
                let address = *self.registers.general(register);
                common = self.all(&address, common);
            }
        }
        let every = bytes.iter().fold(common, |union, bytes| self.all(bytes, union));
        let fixed = if kind == Kind::Bitwise { fixed_bytes(instruction) } else { 0 };
        for (place, length, adds) in self.destinations(instruction, &effects) {
            let result: Vec<Set> = (0..length)
                .map(|index| match kind {
                    _ if fixed >> index & 1 != 0 => Set::EMPTY,
                    Kind::Mix => every,
                    _ => self.result_byte(kind, &bytes, index, common),
                })
                .collect();
            self.write(place, &result, adds);
        }
        let flags = effects.flags_written.union(effects.flags_undefined);
        let adds = instruction.flags_depend_on_count();
        self.registers.set_flags(flags.bits(), every, adds, self.sets);
    }

    /// The labels of byte `index` of a result.
    fn result_byte(&mut self, kind: Kind, operands: &[Vec<Set>], index: usize, common: Set) -> Set {
        let mut union = common;
        for bytes in operands {
            let parts = match kind {
                Kind::Carry => bytes.get(..=index).unwrap_or(bytes),
                Kind::Extend if index >= bytes.len() => bytes.last().map_or(&[][..], std::slice::from_ref),
                _ => bytes.get(index).map_or(&[][..], std::slice::from_ref),
            };
            union = self.all(parts, union);
        }
        union
    }

    /// What the result is made of.
    fn sources(&self, instruction: &Instruction, effects: &Effects) -> Vec<Place> {
        let mut places = Vec::new();
        for effect in effects.registers().iter().filter(|effect| effect.usage.contains(Usage::READ)) {
            if !self.is_address_only(instruction, effects, effect.register) {
                let (register, first, bytes) = (effect.register, effect.first, effect.bytes);
                places.push(Place::Register { register, first, bytes });
            }
        }
        for effect in effects.memory().iter().filter(|effect| effect.usage.contains(Usage::READ)) {
            places.push(self.memory_place(effect));
        }
        places
    }

    /// Where results go, how long they are, and whether what was there may stay.
    fn destinations(&self, instruction: &Instruction, effects: &Effects) -> Vec<(Place, usize, bool)> {
        let mut places = Vec::new();
        for effect in effects.registers().iter().filter(|effect| effect.usage.contains(Usage::WRITE)) {
            if !self.is_address_only(instruction, effects, effect.register) {
                let (register, first, bytes) = (effect.register, effect.first, effect.bytes);
                let adds = effect.usage.contains(Usage::CONDITIONAL);
                places.push((Place::Register { register, first, bytes }, bytes.into(), adds));
            }
        }
        for effect in effects.memory().iter().filter(|effect| effect.usage.contains(Usage::WRITE)) {
            let length = effect.bytes.unwrap_or(0).into();
            places.push((self.memory_place(effect), length, effect.usage.contains(Usage::CONDITIONAL)));
        }
        places
    }

    fn memory_place(&self, effect: &MemoryEffect) -> Place {
        let address = linear(self.state, &effect.address);
        Place::Memory { address, bytes: effect.bytes.unwrap_or(0).into() }
    }

    /// Whether a register is there only to say where in memory something is: it is part of an address, and no
    /// operand. ESP stays what it is when it is moved by constants.
    fn is_address_only(&self, instruction: &Instruction, effects: &Effects, register: Register) -> bool {
        let is_operand = |index| instruction.operand(index) == Some(Operand::Register(register));
        let general = match register {
            Register::Gpr8(_) if instruction.operation() == Operation::Xlat => {
                return !effects.of(register).contains(Usage::WRITE);
            }
            Register::Gpr16(general) | Register::Gpr32(general) => general,
            Register::Segment(_) => return true,
            _ => return false,
        };
        let is_part = effects.memory().iter().flat_map(address_registers).any(|part| part == general);
        is_part && !(0..4).any(is_operand)
    }

    /// CALL, JMP and RET: what decides where they go, if it is not in the instruction.
    fn jump(&mut self, instruction: &Instruction) -> Option<Set> {
        let effects = instruction.effects();
        let sources = match instruction.operand(0) {
            Some(Operand::Relative(_)) => Vec::new(),
            _ => self.sources(instruction, &effects),
        };
        let target = sources.iter().fold(Set::EMPTY, |union, place| {
            let bytes = self.read(*place);
            self.all(&bytes, union)
        });
        for (place, length, _) in self.destinations(instruction, &effects) {
            self.write(place, &vec![Set::EMPTY; length], false);
        }
        (!sources.is_empty()).then_some(target)
    }

    fn exchange(&mut self, instruction: &Instruction) {
        let effects = instruction.effects();
        let places: Vec<Place> =
            self.destinations(instruction, &effects).into_iter().map(|(place, ..)| place).collect();
        if let [first, second] = places[..] {
            let (one, other) = (self.read(first), self.read(second));
            self.write(first, &other, false);
            self.write(second, &one, false);
        }
    }

    fn reverse(&mut self, instruction: &Instruction) {
        if let Some(Operand::Register(Register::Gpr32(register))) = instruction.operand(0) {
            self.registers.general(register).reverse();
        }
    }

    /// PUSHA and POPA.
    fn all_general(&mut self, instruction: &Instruction) {
        const ORDER: [Gpr; 8] =
            [Gpr::Edi, Gpr::Esi, Gpr::Ebp, Gpr::Esp, Gpr::Ebx, Gpr::Edx, Gpr::Ecx, Gpr::Eax];
        let pushes = instruction.operation() == Operation::Pusha;
        let bytes = if instruction.operand_size() == OperandSize::Word { 2 } else { 4 };
        let stack = self.state.gpr(Gpr::Esp);
        let start = if pushes { stack.wrapping_sub(8 * bytes) } else { stack };
        for (index, register) in (0..).zip(ORDER) {
            for byte in 0..bytes {
                let address = start.wrapping_add(index * bytes + byte);
                if pushes {
                    let set = self.registers.general(register)[byte as usize];
                    self.memory.set(address, set);
                } else if register != Gpr::Esp {
                    self.registers.general(register)[byte as usize] = self.memory.get(address);
                }
            }
        }
    }

    /// String instructions, element by element, to where they end.
    fn string(&mut self, instruction: &Instruction) {
        /// Iterations after which one counts as executed, and is heard of again.
        const CHUNK: u32 = 1 << 10;
        let effects = instruction.effects();
        let Some(bytes) = (0..2).find_map(|index| match instruction.operand(index) {
            Some(Operand::Memory(memory)) => Some(u32::from(memory.size)),
            _ => None,
        }) else {
            return;
        };
        let prefixes = instruction.prefixes();
        let counter = self.state.gpr(Gpr::Ecx);
        let repeats = prefixes.intersects(Prefixes::REP | Prefixes::REPNE);
        let count = match (repeats, counter) {
            (false, _) => 1,
            (true, 0) => 0,
            (true, counter) => (counter - 1) % CHUNK + 1,
        };
        let step = if self.state.eflags.contains(Eflags::DF) { bytes.wrapping_neg() } else { bytes };
        let segment = self.state.segment(instruction.segment()).base();
        let mut from = segment.wrapping_add(self.state.gpr(Gpr::Esi));
        let mut to = self.state.gpr(Gpr::Edi);
        let accumulator = *self.registers.general(Gpr::Eax);
        let mut compared = Set::EMPTY;
        for _ in 0..count {
            compared = self.element(instruction, (from, to, bytes), &accumulator[..bytes as usize]);
            let ends = match instruction.operation() {
                Operation::Cmps | Operation::Scas if repeats => {
                    self.is_equal(instruction, from, to, bytes) != prefixes.contains(Prefixes::REP)
                }
                _ => false,
            };
            if ends {
                break;
            }
            (from, to) = (from.wrapping_add(step), to.wrapping_add(step));
        }
        if count > 0 {
            self.registers.set_flags(effects.flags_written.bits(), compared, false, self.sets);
        }
    }

    /// One element; the labels of what it compares.
    fn element(&mut self, instruction: &Instruction, place: (u32, u32, u32), accumulator: &[Set]) -> Set {
        let (from, to, bytes) = place;
        let [source, destination] = [from, to].map(|address| Place::Memory { address, bytes });
        match instruction.operation() {
            Operation::Movs => {
                let sets = self.read(source);
                self.write(destination, &sets, false);
            }
            Operation::Stos => self.write(destination, accumulator, false),
            Operation::Lods => {
                let sets = self.read(source);
                self.registers.general(Gpr::Eax)[..bytes as usize].copy_from_slice(&sets);
            }
            Operation::Cmps => {
                let (first, second) = (self.read(source), self.read(destination));
                let union = self.all(&first, Set::EMPTY);
                return self.all(&second, union);
            }
            _ => {
                let second = self.read(destination);
                let union = self.all(accumulator, Set::EMPTY);
                return self.all(&second, union);
            }
        }
        Set::EMPTY
    }

    /// Whether the elements that CMPS or SCAS compares are equal.
    fn is_equal(&self, instruction: &Instruction, from: u32, to: u32, bytes: u32) -> bool {
        let bytes = bytes as usize;
        let (mut first, mut second) = ([0; 4], [0; 4]);
        // What cannot be read faults, and is not executed.
        let _ = self.space.peek_bytes(to, &mut second[..bytes]);
        if instruction.operation() == Operation::Cmps {
            let _ = self.space.peek_bytes(from, &mut first[..bytes]);
        } else {
            first[..bytes].copy_from_slice(&self.state.gpr(Gpr::Eax).to_le_bytes()[..bytes]);
        }
        first == second
    }
}

/// The registers of an address.
fn address_registers(effect: &MemoryEffect) -> impl Iterator<Item = Gpr> + use<> {
    [effect.address.base, effect.address.index].into_iter().flatten()
}

/// Bytes of a result that an immediate operand makes the same whatever the other one is: a bit each.
fn fixed_bytes(instruction: &Instruction) -> u32 {
    let decides = match instruction.operation() {
        Operation::And => 0,
        Operation::Or => 0xff,
        _ => return 0,
    };
    let Some(Operand::Immediate { value, .. }) = instruction.operand(1) else { return 0 };
    (0..4).filter(|byte| value >> (8 * byte) & 0xff == decides).fold(0, |bits, byte| bits | 1 << byte)
}
