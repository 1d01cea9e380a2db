//! What an instruction reads and writes, according to both sides.

use std::collections::BTreeMap;

use iced_x86::{InstructionInfoFactory, OpAccess};
use pentimento_decoder::{Effects, Instruction, MemoryEffect, Register, Usage};
use pentimento_registers::{Gpr, SegmentRegister};

/// Bytes of a register by its name: those that are read, written, and perhaps written.
type Registers = BTreeMap<String, [u16; 3]>;

/// An access to memory, comparable: everything but the displacement and the size, and then these.
type Accesses = Vec<(String, u32, u32)>;

/// What one side says, as text.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Told {
    /// Registers that are read.
    pub(super) read: String,
    /// Registers that are written, those that may keep their value with a `?`.
    pub(super) written: String,
    /// Accesses to memory.
    pub(super) memory: String,
}

impl Told {
    fn new(registers: &Registers, memory: Accesses) -> Self {
        let list = |which: &dyn Fn(&[u16; 3]) -> Option<String>| {
            let words: Vec<String> = registers
                .iter()
                .filter_map(|(name, bytes)| which(bytes).map(|bytes| format!("{name}{bytes}")))
                .collect();
            words.join(" ")
        };
        let mask = |bytes: u16| format!(":{bytes:x}");
        Self {
            read: list(&|[read, ..]| (*read != 0).then(|| mask(*read))),
            written: list(&|[_, written, perhaps]| match (*written, *perhaps & !*written) {
                (0, 0) => None,
                (written, 0) => Some(mask(written)),
                (0, perhaps) => Some(format!("{}?", mask(perhaps))),
                (written, perhaps) => Some(format!("{}{}?", mask(written), mask(perhaps))),
            }),
            memory: merged(memory),
        }
    }

    /// What the decoder says.
    pub(super) fn ours(instruction: &Instruction) -> Self {
        let effects = instruction.effects();
        let mut registers = Registers::new();
        for effect in effects.registers() {
            let (name, all, bytes) = parts(effect.register, effect.first, effect.bytes);
            let entry = registers.entry(name).or_default();
            if effect.usage.contains(Usage::READ) {
                entry[0] |= bytes;
            }
            if effect.usage.contains(Usage::WRITE) {
                let slot = if effect.usage.contains(Usage::CONDITIONAL) { 2 } else { 1 };
                entry[slot] |= bytes;
                // The other side knows whole XMM registers only: one that keeps a part is read.
                if bytes != all && matches!(effect.register, Register::Xmm(_)) {
                    entry[0] |= all;
                }
            }
        }
        for (name, bytes) in &mut registers {
            if name.starts_with("xmm") {
                *bytes = bytes.map(|mask| if mask == 0 { 0 } else { u16::MAX });
            }
        }
        Self::new(&registers, own_memory(&effects))
    }

    /// What `iced-x86` says.
    pub(super) fn theirs(factory: &mut InstructionInfoFactory, instruction: &iced_x86::Instruction) -> Self {
        let info = factory.info(instruction);
        let mut registers = Registers::new();
        for used in info.used_registers() {
            let register = used.register();
            // The low bytes of ESP to EDI, which have names in 64-bit code only.
            let low = register.is_gpr8() && register >= iced_x86::Register::SPL;
            let whole = if low { register.full_register32() } else { register };
            let Some(register) = super::compare::register(whole) else { continue };
            let (name, _, all) = parts(register, 0, if low { 1 } else { register.bytes() });
            let entry = registers.entry(name).or_default();
            let (reads, writes) = meaning(used.access());
            if reads {
                entry[0] |= all;
            }
            if let Some(conditional) = writes {
                entry[if conditional { 2 } else { 1 }] |= all;
            }
        }
        let mut memory = Accesses::new();
        for used in info.used_memory() {
            let name = |register: iced_x86::Register| format!("{register:?}").to_lowercase();
            let wide = used.address_size() == iced_x86::CodeSize::Code32;
            let displacement =
                if wide { used.displacement() as u32 } else { u32::from(used.displacement() as u16) };
            let scale = if used.index() == iced_x86::Register::None { 1 } else { used.scale() };
            let place = format!(
                "{} {}:[{}+{}*{scale}]",
                access(used.access()),
                name(used.segment()),
                name(used.base()),
                name(used.index()),
            );
            memory.push((place, displacement, used.memory_size().size() as u32));
        }
        Self::new(&registers, memory)
    }
}

/// A register's name as a whole, all bytes that this part of it has there, and the used ones.
fn parts(register: Register, first: u8, count: u8) -> (String, u16, u16) {
    let gpr = |register: Gpr, bytes: u16| (register.name().to_owned(), bytes, bytes);
    match register {
        Register::Gpr8(register) => gpr(register.parent(), 1 << (register.shift() / 8)),
        Register::Gpr16(register) => gpr(register, 3),
        Register::Gpr32(register) => (register.name().to_owned(), 15, (1 << count) - 1),
        Register::Segment(register) => (register.name().to_owned(), 1, 1),
        Register::Control(number) => (format!("cr{number}"), 1, 1),
        Register::Debug(number) => (format!("dr{number}"), 1, 1),
        Register::St(number) => (format!("st{number}"), 1, 1),
        Register::Mmx(number) => (format!("mm{number}"), 1, 1),
        Register::Xmm(number) => {
            let bytes = ((1_u32 << count) - 1) << first;
            (format!("xmm{number}"), u16::MAX, bytes as u16)
        }
    }
}

/// Whether an access reads, and whether it writes and perhaps does not.
fn meaning(access: OpAccess) -> (bool, Option<bool>) {
    match access {
        OpAccess::Read | OpAccess::CondRead => (true, None),
        OpAccess::Write => (false, Some(false)),
        OpAccess::CondWrite => (false, Some(true)),
        OpAccess::ReadWrite => (true, Some(false)),
        OpAccess::ReadCondWrite => (true, Some(true)),
        _ => (false, None),
    }
}

/// An access in a word.
fn access(access: OpAccess) -> &'static str {
    match access {
        OpAccess::Read => "r",
        OpAccess::CondRead => "r?",
        OpAccess::Write => "w",
        OpAccess::CondWrite => "w?",
        OpAccess::ReadWrite => "rw",
        OpAccess::ReadCondWrite => "rw?",
        _ => "none",
    }
}

fn own_memory(effects: &Effects) -> Accesses {
    let word = |usage: Usage| {
        let conditional = if usage.contains(Usage::CONDITIONAL) { "?" } else { "" };
        let (read, write) = (usage.contains(Usage::READ), usage.contains(Usage::WRITE));
        format!("{}{}{conditional}", if read { "r" } else { "" }, if write { "w" } else { "" })
    };
    effects.memory().iter().map(|effect| own_access(effect, &word(effect.usage))).collect()
}

fn own_access(effect: &MemoryEffect, usage: &str) -> (String, u32, u32) {
    let address = &effect.address;
    let word = address.address_size == pentimento_decoder::AddressSize::Word;
    let name = |register: Option<Gpr>| match register {
        Some(register) if word => register.name16(),
        Some(register) => register.name(),
        None => "none",
    };
    let segment = SegmentRegister::name(address.segment);
    let place =
        format!("{usage} {segment}:[{}+{}*{}]", name(address.base), name(address.index), address.scale);
    let displacement = if word { address.displacement & 0xffff } else { address.displacement };
    (place, displacement, effect.bytes.unwrap_or(0).into())
}

/// Accesses with those that touch made one, since the order of single ones means nothing.
fn merged(mut accesses: Accesses) -> String {
    accesses.sort_by_key(|(place, displacement, _)| (place.clone(), *displacement as i32));
    let mut words: Vec<(String, u32, u32)> = Vec::new();
    for (place, displacement, bytes) in accesses {
        match words.last_mut() {
            Some(last) if bytes != 0 && last.0 == place && last.1.wrapping_add(last.2) == displacement => {
                last.2 += bytes;
            }
            _ => words.push((place, displacement, bytes)),
        }
    }
    let words: Vec<String> = words
        .iter()
        .map(|(place, displacement, bytes)| format!("{place}{displacement:+x} {bytes}"))
        .collect();
    words.join(", ")
}
