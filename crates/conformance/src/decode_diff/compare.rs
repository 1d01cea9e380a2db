//! One encoding, decoded twice.

use std::fmt;

use iced_x86::{
    Decoder, DecoderError, DecoderOptions, Formatter as _, InstructionInfoFactory, IntelFormatter, OpKind,
    RflagsBits,
};
use pentimento_decoder::{
    AddressSize, FormatOptions, Formatter, HexStyle, Instruction, MemoryOperand, Operand, OperandSize,
    Register, decode,
};
use pentimento_registers::{Eflags, Gpr, Gpr8, SegmentRegister};

use super::effects::Told;
use super::naming::iced_mnemonic;

/// Where the instructions are taken to lie.
const EIP: u32 = 0x0804_8000;

/// Both decoders' results for one byte string.
pub struct Comparison {
    /// Both take it for an instruction.
    pub valid: bool,
    /// Bytes that mattered: its length if it is valid, else those up to the one that made it invalid.
    pub length: usize,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// One thing that differs.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The encoding, and whatever followed.
    pub bytes: [u8; 16],
    /// What: `validity`, `length`, `operation`, `operand 0`, `flags written`...
    pub what: &'static str,
    /// The `Code` that `iced-x86` found.
    pub code: iced_x86::Code,
    /// This decoder's result, if it takes the bytes for an instruction.
    pub instruction: Option<Instruction>,
    /// This decoder's word.
    pub ours: String,
    /// The other's.
    pub theirs: String,
}

impl Difference {
    /// What to count by.
    #[must_use]
    pub fn key(&self) -> String {
        let ours = self.instruction.map_or_else(|| self.ours.clone(), |i| format!("{:?}", i.operation()));
        format!("{} / {:?} / {ours}", self.what, self.code)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}: {}: ours {}, iced-x86 {}", self.bytes, self.what, self.ours, self.theirs)
    }
}

/// Decodes `bytes` twice.
#[must_use]
pub fn compare(bytes: &[u8; 16], texts: &mut Texts) -> Comparison {
    let mut decoder = Decoder::with_ip(32, bytes, u64::from(EIP), DecoderOptions::NONE);
    let theirs = decoder.decode();
    let error = decoder.last_error();
    let ours = decode(bytes);
    // More bytes than the decoder looks at take its other path.
    let mut longer = [0xcc; 32];
    longer[..16].copy_from_slice(bytes);
    let with_more = decode(&longer);
    let mut collector = Collector { bytes, code: theirs.code(), instruction: ours.ok(), found: Vec::new() };
    collector.compare("result with more bytes", with_more, ours);
    let instruction = match (ours, error) {
        (Err(ours), DecoderError::None) => {
            collector.add("validity", ours.to_string(), theirs.to_string());
            return Comparison { valid: false, length: theirs.len(), differences: collector.found };
        }
        (Err(ours), _) => {
            let length = usize::from(ours.offset) + 1;
            return Comparison { valid: false, length: length.min(16), differences: collector.found };
        }
        (Ok(ours), DecoderError::None) => ours,
        (Ok(ours), _) => {
            collector.add("validity", iced_mnemonic(&ours), format!("{error:?}"));
            return Comparison {
                valid: false,
                length: usize::from(ours.length()),
                differences: collector.found,
            };
        }
    };
    collector.compare("length", usize::from(instruction.length()), theirs.len());
    let names = (iced_mnemonic(&instruction), format!("{:?}", theirs.mnemonic()).to_lowercase());
    collector.compare("operation", names.0, names.1);
    operands(&mut collector, &instruction, &theirs);
    flags(&mut collector, &instruction, &theirs);
    effects(&mut collector, &instruction, &theirs, texts);
    texts.compare(&mut collector, &instruction, &theirs);
    Comparison { valid: true, length: theirs.len(), differences: collector.found }
}

/// The formatters of both sides, in two dialects that take turns.
pub struct Texts {
    dialects: [(FormatOptions, IntelFormatter); 2],
    ours: String,
    theirs: String,
    turn: usize,
    /// Says what instructions of the other side read and write.
    factory: InstructionInfoFactory,
}

impl Texts {
    /// Both dialects: the default, and one with every option the other way.
    #[must_use]
    pub fn new() -> Self {
        let mut options = FormatOptions::default();
        (options.hex, options.spaced, options.pseudo_operations) = (HexStyle::Prefix, true, false);
        let mut other = IntelFormatter::new();
        other.options_mut().set_hex_prefix("0x");
        other.options_mut().set_hex_suffix("");
        other.options_mut().set_uppercase_hex(false);
        other.options_mut().set_space_after_operand_separator(true);
        other.options_mut().set_use_pseudo_ops(false);
        let dialects = [(FormatOptions::default(), IntelFormatter::new()), (options, other)];
        Self {
            dialects,
            ours: String::new(),
            theirs: String::new(),
            turn: 0,
            factory: InstructionInfoFactory::new(),
        }
    }

    fn compare(&mut self, collector: &mut Collector<'_>, ours: &Instruction, theirs: &iced_x86::Instruction) {
        self.turn ^= 1;
        let (options, formatter) = &mut self.dialects[self.turn];
        self.ours.clear();
        self.theirs.clear();
        formatter.format(theirs, &mut self.theirs);
        let written = Formatter::new(*options).write(ours, EIP, &mut self.ours);
        if written.is_err() || self.ours != self.theirs {
            collector.add("text", self.ours.clone(), self.theirs.clone());
        }
    }
}

impl Default for Texts {
    fn default() -> Self {
        Self::new()
    }
}

struct Collector<'a> {
    bytes: &'a [u8; 16],
    code: iced_x86::Code,
    instruction: Option<Instruction>,
    found: Vec<Difference>,
}

impl Collector<'_> {
    fn add(&mut self, what: &'static str, ours: String, theirs: String) {
        let (bytes, code, instruction) = (*self.bytes, self.code, self.instruction);
        self.found.push(Difference { bytes, what, code, instruction, ours, theirs });
    }

    fn compare<T: PartialEq + fmt::Debug>(&mut self, what: &'static str, ours: T, theirs: T) {
        if ours != theirs {
            self.add(what, format!("{ours:?}"), format!("{theirs:?}"));
        }
    }
}

const OPERANDS: [&str; 5] = ["operand 0", "operand 1", "operand 2", "operand 3", "operand 4"];

fn operands(collector: &mut Collector<'_>, ours: &Instruction, theirs: &iced_x86::Instruction) {
    collector.compare("operand count", ours.operand_count(), theirs.op_count() as usize);
    let count = ours.operand_count().min(theirs.op_count() as usize);
    for (index, what) in OPERANDS.iter().enumerate().take(count) {
        let mine = ours.operand(index).map(|operand| comparable(ours, operand));
        collector.compare(what, mine, operand(theirs, index as u32));
    }
}

/// `operand` with a branch's displacement replaced by its target.
fn comparable(instruction: &Instruction, operand: Operand) -> Operand {
    let Operand::Relative(displacement) = operand else { return operand };
    let target = EIP.wrapping_add(u32::from(instruction.length())).wrapping_add_signed(displacement);
    let mask = if instruction.operand_size() == OperandSize::Word { 0xffff } else { u32::MAX };
    Operand::Relative((target & mask) as i32)
}

/// Operand `index` in this project's words.
fn operand(instruction: &iced_x86::Instruction, index: u32) -> Option<Operand> {
    let immediate =
        |size| Operand::Immediate { value: instruction.immediate(index) as u32 & mask(size), size };
    Some(match instruction.op_kind(index) {
        OpKind::Register => Operand::Register(register(instruction.op_register(index))?),
        OpKind::NearBranch16 | OpKind::NearBranch32 => {
            Operand::Relative(instruction.near_branch_target() as u32 as i32)
        }
        OpKind::FarBranch16 => Operand::Far {
            selector: instruction.far_branch_selector(),
            offset: u32::from(instruction.far_branch16()),
        },
        OpKind::FarBranch32 => {
            Operand::Far { selector: instruction.far_branch_selector(), offset: instruction.far_branch32() }
        }
        OpKind::Immediate8 | OpKind::Immediate8_2nd => immediate(1),
        OpKind::Immediate16 | OpKind::Immediate8to16 => immediate(2),
        OpKind::Immediate32 | OpKind::Immediate8to32 => immediate(4),
        OpKind::Memory => Operand::Memory(memory(instruction)?),
        kind => Operand::Memory(implied_memory(instruction, kind)?),
    })
}

fn mask(size: u8) -> u32 {
    u32::MAX >> (32 - 8 * u32::from(size))
}

fn memory(instruction: &iced_x86::Instruction) -> Option<MemoryOperand> {
    let optional = |register| match register {
        iced_x86::Register::None => Some(None),
        // The index of XLAT, which the operand leaves implied.
        iced_x86::Register::AL => Some(None),
        register => general(register).map(Some),
    };
    let (base, index) = (instruction.memory_base(), instruction.memory_index());
    let word = base.is_gpr16() || index.is_gpr16() || instruction.memory_displ_size() == 2;
    let displacement = instruction.memory_displacement32();
    let index = optional(index)?;
    Some(MemoryOperand {
        segment: segment(instruction.memory_segment())?,
        base: optional(base)?,
        index,
        // The scale of no index means nothing.
        scale: if index.is_some() { instruction.memory_index_scale() as u8 } else { 1 },
        displacement: if word { displacement as u16 as i16 as u32 } else { displacement },
        address_size: if word { AddressSize::Word } else { AddressSize::Dword },
        size: instruction.memory_size().size() as u16,
    })
}

/// The memory operands of string instructions.
fn implied_memory(instruction: &iced_x86::Instruction, kind: OpKind) -> Option<MemoryOperand> {
    let overridden = segment(instruction.memory_segment())?;
    let (segment, base, address_size) = match kind {
        OpKind::MemorySegSI => (overridden, Gpr::Esi, AddressSize::Word),
        OpKind::MemorySegESI => (overridden, Gpr::Esi, AddressSize::Dword),
        OpKind::MemorySegDI => (overridden, Gpr::Edi, AddressSize::Word),
        OpKind::MemorySegEDI => (overridden, Gpr::Edi, AddressSize::Dword),
        OpKind::MemoryESDI => (SegmentRegister::Es, Gpr::Edi, AddressSize::Word),
        OpKind::MemoryESEDI => (SegmentRegister::Es, Gpr::Edi, AddressSize::Dword),
        _ => return None,
    };
    let size = instruction.memory_size().size() as u16;
    Some(MemoryOperand {
        segment,
        base: Some(base),
        index: None,
        scale: 1,
        displacement: 0,
        address_size,
        size,
    })
}

/// A 16- or 32-bit general register by number.
fn general(register: iced_x86::Register) -> Option<Gpr> {
    (register.is_gpr16() || register.is_gpr32()).then(|| Gpr::from_number(register.number() as u8))
}

fn segment(register: iced_x86::Register) -> Option<SegmentRegister> {
    if register.is_segment_register() { SegmentRegister::from_number(register.number() as u8) } else { None }
}

pub(super) fn register(register: iced_x86::Register) -> Option<Register> {
    let number = register.number() as u8;
    Some(if register.is_gpr8() {
        Register::Gpr8(Gpr8::from_number(number))
    } else if register.is_gpr16() {
        Register::Gpr16(general(register)?)
    } else if register.is_gpr32() {
        Register::Gpr32(general(register)?)
    } else if register.is_segment_register() {
        Register::Segment(segment(register)?)
    } else if register.is_cr() {
        Register::Control(number)
    } else if register.is_dr() {
        Register::Debug(number)
    } else if register.is_st() {
        Register::St(number)
    } else if register.is_mm() {
        Register::Mmx(number)
    } else if register.is_xmm() {
        Register::Xmm(number)
    } else {
        return None;
    })
}

/// The bits of EFLAGS that `iced-x86` names with `bits`.
fn eflags(bits: u32) -> Eflags {
    [
        (RflagsBits::OF, Eflags::OF),
        (RflagsBits::SF, Eflags::SF),
        (RflagsBits::ZF, Eflags::ZF),
        (RflagsBits::AF, Eflags::AF),
        (RflagsBits::CF, Eflags::CF),
        (RflagsBits::PF, Eflags::PF),
        (RflagsBits::DF, Eflags::DF),
        (RflagsBits::IF, Eflags::IF),
        (RflagsBits::AC, Eflags::AC),
    ]
    .into_iter()
    .filter(|(bit, _)| bits & bit != 0)
    .map(|(_, flag)| flag)
    .collect()
}

fn flags(collector: &mut Collector<'_>, ours: &Instruction, theirs: &iced_x86::Instruction) {
    let written = theirs.rflags_written() | theirs.rflags_cleared() | theirs.rflags_set();
    collector.compare("flags read", ours.flags_read(), eflags(theirs.rflags_read()));
    collector.compare("flags written", ours.flags_written(), eflags(written));
    collector.compare("flags undefined", ours.flags_undefined(), eflags(theirs.rflags_undefined()));
}

fn effects(
    collector: &mut Collector<'_>,
    ours: &Instruction,
    theirs: &iced_x86::Instruction,
    texts: &mut Texts,
) {
    let (ours, theirs) = (Told::ours(ours), Told::theirs(&mut texts.factory, theirs));
    for (what, ours, theirs) in [
        ("registers read", ours.read, theirs.read),
        ("registers written", ours.written, theirs.written),
        ("memory", ours.memory, theirs.memory),
    ] {
        if ours != theirs {
            collector.add(what, ours, theirs);
        }
    }
}
