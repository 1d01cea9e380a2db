//! One instruction: which encodings have such operands, and which of these is the shortest.

use std::collections::HashMap;
use std::sync::OnceLock;

use iced_x86::{
    Code, Encoder, EncodingKind, Instruction, MemorySize, Mnemonic, OpCodeInfo, OpCodeOperandKind, OpKind,
    Register,
};

use crate::expression::Value;
use crate::operand::{Distance, Memory, Operand};
use crate::prefix::Prefixes;

/// What a line asks for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) prefixes: Prefixes,
    /// In lower case, as an entry of [`encodings`].
    pub(crate) mnemonic: String,
    /// A far transfer.
    pub(crate) far: bool,
    pub(crate) operands: Vec<Operand>,
}

/// Why no encoding was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    NoSuchMnemonic,
    NoSuchOperands,
    /// The source has to say how many bytes are accessed.
    UnknownSize,
    /// A short branch does not reach, a number does not fit...
    Impossible(String),
}

/// Every encoding of 32-bit code by its mnemonic, in the tables' order.
fn encodings() -> &'static HashMap<String, Vec<Code>> {
    static ENCODINGS: OnceLock<HashMap<String, Vec<Code>>> = OnceLock::new();
    ENCODINGS.get_or_init(|| {
        let mut encodings: HashMap<String, Vec<Code>> = HashMap::new();
        for code in Code::values() {
            let info = code.op_code();
            let usable = info.is_instruction()
                && info.mode32()
                && info.encoding() == EncodingKind::Legacy
                && !info.fwait()
                && code.mnemonic() != Mnemonic::INVALID
                // Early 80486s had CMPXCHG at other opcodes.
                && !matches!(code, Code::Cmpxchg486_rm8_r8 | Code::Cmpxchg486_rm16_r16 | Code::Cmpxchg486_rm32_r32);
            if usable {
                encodings.entry(format!("{:?}", code.mnemonic()).to_lowercase()).or_default().push(code);
            }
        }
        encodings
    })
}

/// Whether there is such a mnemonic.
pub(crate) fn is_mnemonic(name: &str) -> bool {
    encodings().contains_key(name)
}

/// The shortest encoding of `request` at `address`; branches that are `long` do not take the short form.
pub(crate) fn encode(request: &Request, address: u32, long: bool) -> Result<Vec<u8>, Refusal> {
    let codes = encodings().get(&request.mnemonic).ok_or(Refusal::NoSuchMnemonic)?;
    let mut refusal = Refusal::NoSuchOperands;
    let sizes: Vec<(&Code, Instruction)> = codes
        .iter()
        .filter(|code| is_meant(code, codes, request))
        .filter_map(|code| Some((code, instruction(*code, request, long)?)))
        .collect();
    if is_ambiguous(request, &sizes) {
        return Err(Refusal::UnknownSize);
    }
    let mut best: Option<Vec<u8>> = None;
    for (code, instruction) in sizes {
        match bytes(code.op_code(), &instruction, request, address) {
            Ok(bytes) if best.as_ref().is_none_or(|best| bytes.len() < best.len()) => best = Some(bytes),
            Ok(_) => {}
            Err(reason) => refusal = Refusal::Impossible(reason),
        }
    }
    best.ok_or(refusal)
}

/// The bytes of an instruction with its prefixes.
fn bytes(
    info: &OpCodeInfo,
    instruction: &Instruction,
    request: &Request,
    address: u32,
) -> Result<Vec<u8>, String> {
    let mut encoder = Encoder::new(32);
    let before = request.prefixes.extra(info, has_absolute(request));
    let at = address.wrapping_add(before.len() as u32);
    encoder.encode(instruction, u64::from(at)).map_err(|error| error.to_string())?;
    let mut bytes = before;
    bytes.extend(encoder.take_buffer());
    if bytes.len() > 15 { Err("the instruction is longer than 15 bytes".into()) } else { Ok(bytes) }
}

/// Whether there is an operand in memory without registers, whose offset is as wide as its address.
fn has_absolute(request: &Request) -> bool {
    let absolute = |operand: &Operand| matches!(operand, Operand::Memory(memory) if memory.is_absolute());
    request.operands.iter().any(absolute)
}

/// Whether the source can mean this encoding, operands aside: far or near, and the operand size where
/// only a prefix tells it.
fn is_meant(code: &Code, codes: &[Code], request: &Request) -> bool {
    let info = code.op_code();
    let far_operand =
        matches!(info.memory_size(), MemorySize::SegPtr16 | MemorySize::SegPtr32 | MemorySize::SegPtr64)
            || matches!(info.op0_kind(), OpCodeOperandKind::farbr2_2 | OpCodeOperandKind::farbr4_2);
    let transfers = matches!(code.mnemonic(), Mnemonic::Jmp | Mnemonic::Call);
    if transfers && far_operand != request.far || !request.prefixes.allow(info) {
        return false;
    }
    if size_shows(info) {
        return true;
    }
    // Both sizes are there and no operand tells which: 66h does.
    let both = codes.iter().any(|other| {
        let other = other.op_code();
        other.operand_size() == 32 && other.op_count() == info.op_count() && !size_shows(other)
    });
    match info.operand_size() {
        16 if both => request.prefixes.data16,
        32 => !request.prefixes.data16,
        _ => true,
    }
}

/// Whether an operand tells the operand size.
fn size_shows(info: &OpCodeInfo) -> bool {
    use OpCodeOperandKind as K;
    info.op_kinds().iter().any(|kind| {
        matches!(
            kind,
            K::r16_or_mem
                | K::r32_or_mem
                | K::r16_reg
                | K::r16_rm
                | K::r16_opcode
                | K::r32_reg
                | K::r32_rm
                | K::r32_opcode
                | K::ax
                | K::eax
                | K::mem
                | K::mem_offs
                | K::seg_rSI
                | K::es_rDI
        )
    })
}

/// Whether the memory that encodings access differs in size and the source does not say which is meant.
fn is_ambiguous(request: &Request, candidates: &[(&Code, Instruction)]) -> bool {
    let unsized_memory =
        request.operands.iter().any(|operand| matches!(operand, Operand::Memory(Memory { size: None, .. })));
    // Those that mean the ordinary size, as every assembler has it.
    let ordinary = matches!(
        request.mnemonic.as_str(),
        "jmp"
            | "call"
            | "push"
            | "pop"
            | "nop"
            | "sgdt"
            | "sidt"
            | "lgdt"
            | "lidt"
            | "fldenv"
            | "fnstenv"
            | "fnsave"
            | "frstor"
            | "lea"
    );
    let mut sizes: Vec<usize> = candidates.iter().map(|(code, _)| accessed(code.op_code())).collect();
    sizes.sort_unstable();
    sizes.dedup();
    unsized_memory && !ordinary && sizes.len() > 1
}

/// Bytes of memory that an encoding accesses, 0 where it has no size.
fn accessed(info: &OpCodeInfo) -> usize {
    info.memory_size().size()
}

/// The instruction with these operands, if the encoding takes them.
fn instruction(code: Code, request: &Request, long: bool) -> Option<Instruction> {
    let info = code.op_code();
    let operands = &request.operands;
    if info.op_count() as usize != operands.len() {
        return None;
    }
    let mut instruction = Instruction::new();
    instruction.set_code(code);
    for (index, operand) in operands.iter().enumerate() {
        let kind = info.op_kind(index as u32);
        let index = index as u32;
        match operand {
            Operand::Register(register) => {
                if !takes_register(kind, *register, info) {
                    return None;
                }
                instruction.set_op_kind(index, OpKind::Register);
                instruction.set_op_register(index, widened(kind, *register));
            }
            Operand::Memory(memory) => {
                set_memory(&mut instruction, index, kind, memory, info, &request.prefixes)?;
            }
            Operand::Number(value, distance) => {
                set_number(&mut instruction, index, kind, *value, *distance, long)?;
            }
            Operand::Far { selector, offset } => set_far(&mut instruction, index, kind, *selector, *offset)?,
        }
    }
    request.prefixes.set(&mut instruction);
    Some(instruction)
}

fn takes_register(kind: OpCodeOperandKind, register: Register, info: &OpCodeInfo) -> bool {
    use OpCodeOperandKind as K;
    match kind {
        K::r8_or_mem | K::r8_reg | K::r8_opcode => register.is_gpr8(),
        K::r16_or_mem | K::r16_reg | K::r16_reg_mem | K::r16_rm | K::r16_opcode => register.is_gpr16(),
        // Where 16 bits are read, the register goes by its 16-bit name.
        K::r32_or_mem if reads_word(info) => register.is_gpr32() || register.is_gpr16(),
        K::r32_or_mem | K::r32_or_mem_mpx | K::r32_reg | K::r32_reg_mem | K::r32_rm | K::r32_opcode => {
            register.is_gpr32()
        }
        K::seg_reg => register.is_segment_register(),
        K::mm_reg | K::mm_rm | K::mm_or_mem => register.is_mm(),
        K::xmm_reg | K::xmm_rm | K::xmm_or_mem => register.is_xmm(),
        K::cr_reg => register.is_cr(),
        K::dr_reg => register.is_dr(),
        K::tr_reg => register.is_tr(),
        K::es => register == Register::ES,
        K::cs => register == Register::CS,
        K::ss => register == Register::SS,
        K::ds => register == Register::DS,
        K::fs => register == Register::FS,
        K::gs => register == Register::GS,
        K::al => register == Register::AL,
        K::cl => register == Register::CL,
        K::ax => register == Register::AX,
        K::dx => register == Register::DX,
        K::eax => register == Register::EAX,
        K::st0 => register == Register::ST0,
        K::sti_opcode => register.is_st(),
        _ => false,
    }
}

/// Whether a 32-bit register operand is read as 16 bits.
fn reads_word(info: &OpCodeInfo) -> bool {
    matches!(
        info.code(),
        Code::Lldt_r32m16
            | Code::Ltr_r32m16
            | Code::Verr_r32m16
            | Code::Verw_r32m16
            | Code::Lmsw_r32m16
            | Code::Mov_Sreg_r32m16
    )
}

/// The register as the encoding knows it.
fn widened(kind: OpCodeOperandKind, register: Register) -> Register {
    if kind == OpCodeOperandKind::r32_or_mem && register.is_gpr16() {
        Register::EAX + (register as u32 - Register::AX as u32)
    } else {
        register
    }
}

fn set_memory(
    instruction: &mut Instruction,
    index: u32,
    kind: OpCodeOperandKind,
    memory: &Memory,
    info: &OpCodeInfo,
    prefixes: &Prefixes,
) -> Option<()> {
    use OpCodeOperandKind as K;
    let size = accessed(info);
    if memory.size.is_some_and(|wanted| size != 0 && wanted != size) {
        return None;
    }
    let word = memory.is_word();
    let bare = memory.index == Register::None && memory.displacement == Value::constant(0);
    let pointer = |wide: Register, narrow: Register| bare && (memory.base == wide || memory.base == narrow);
    let op_kind = match kind {
        K::es_rDI => {
            let plain = matches!(memory.segment, Register::None | Register::ES);
            if !plain || !pointer(Register::EDI, Register::DI) {
                return None;
            }
            instruction.set_op_kind(index, if word { OpKind::MemoryESDI } else { OpKind::MemoryESEDI });
            return Some(());
        }
        K::seg_rSI if pointer(Register::ESI, Register::SI) => {
            if word {
                OpKind::MemorySegSI
            } else {
                OpKind::MemorySegESI
            }
        }
        K::seg_rDI if pointer(Register::EDI, Register::DI) => {
            if word {
                OpKind::MemorySegDI
            } else {
                OpKind::MemorySegEDI
            }
        }
        K::seg_rBX_al if pointer(Register::EBX, Register::BX) => OpKind::Memory,
        K::mem
        | K::mem_offs
        | K::mem_mpx
        | K::mem_mib
        | K::r8_or_mem
        | K::r16_or_mem
        | K::r32_or_mem
        | K::r32_or_mem_mpx
        | K::mm_or_mem
        | K::xmm_or_mem => OpKind::Memory,
        _ => return None,
    };
    let absolute = memory.is_absolute();
    // XRELEASE belongs to other forms of MOV.
    if kind == K::mem_offs && (!absolute || prefixes.is_hint()) {
        return None;
    }
    instruction.set_op_kind(index, op_kind);
    instruction.set_segment_prefix(memory.segment);
    if op_kind != OpKind::Memory {
        return Some(());
    }
    let word = word || absolute && (prefixes.addr16 || info.op0_kind() == K::r16_reg_mem);
    if prefixes.addr16 && !word {
        return None;
    }
    instruction.set_memory_base(memory.base);
    let al = kind == K::seg_rBX_al;
    instruction.set_memory_index(if al { Register::AL } else { memory.index });
    instruction.set_memory_index_scale(memory.scale);
    let displacement = fits(memory.displacement.number, 32)?;
    set_displacement(instruction, memory, displacement, absolute, word);
    Some(())
}

fn set_displacement(
    instruction: &mut Instruction,
    memory: &Memory,
    displacement: u32,
    absolute: bool,
    word: bool,
) {
    let constant = !memory.displacement.moves;
    let bare = constant && displacement == 0;
    let size = match (absolute, word) {
        (true, false) => 4,
        (true, true) => 2,
        (false, false) if bare && memory.base != Register::EBP => 0,
        (false, true) if bare && memory.base != Register::BP => 0,
        _ if constant && i8::try_from(displacement as i32).is_ok() => 1,
        (_, true) => 2,
        (_, false) => 4,
    };
    let value = if word { u64::from(displacement & 0xffff) } else { u64::from(displacement) };
    instruction.set_memory_displ_size(size);
    instruction.set_memory_displacement64(value);
}

/// The low bits of a number that fits in so many, with or without a sign.
fn fits(number: i64, bits: u32) -> Option<u32> {
    let (least, most) = (-(1_i64 << (bits - 1)), (1_i64 << bits) - 1);
    (least..=most).contains(&number).then_some(number as u32)
}

fn set_number(
    instruction: &mut Instruction,
    index: u32,
    kind: OpCodeOperandKind,
    value: Value,
    distance: Distance,
    long: bool,
) -> Option<()> {
    use OpCodeOperandKind as K;
    let number = value.number;
    if !matches!(kind, K::br16_1 | K::br32_1 | K::br16_2 | K::br32_4 | K::xbegin_2 | K::xbegin_4)
        && distance != Distance::Any
    {
        return None;
    }
    let near = |instruction: &mut Instruction, kind: OpKind| {
        instruction.set_op_kind(index, kind);
        if kind == OpKind::NearBranch16 {
            instruction.set_near_branch16(fits(number, 32)? as u16);
        } else {
            instruction.set_near_branch32(fits(number, 32)?);
        }
        Some(())
    };
    let immediate = |instruction: &mut Instruction, kind: OpKind, value: u32| {
        instruction.set_op_kind(index, kind);
        instruction.try_set_immediate_u32(index, value).ok()
    };
    match kind {
        K::br16_1 | K::br32_1 => {
            if distance == Distance::Near || long && has_long_form(instruction.mnemonic()) {
                return None;
            }
            near(instruction, if kind == K::br16_1 { OpKind::NearBranch16 } else { OpKind::NearBranch32 })
        }
        K::br16_2 | K::br32_4 | K::xbegin_2 | K::xbegin_4 => {
            if distance == Distance::Short {
                return None;
            }
            near(instruction, if kind == K::br16_2 { OpKind::NearBranch16 } else { OpKind::NearBranch32 })
        }
        K::imm8 => {
            let value = fits(number, 8)? & 0xff;
            let second = instruction.op_count() > 1 && index > 0 && has_two_immediates(instruction, index);
            immediate(instruction, if second { OpKind::Immediate8_2nd } else { OpKind::Immediate8 }, value)
        }
        K::imm8_const_1 => (number == 1).then(|| immediate(instruction, OpKind::Immediate8, 1))?,
        K::imm8sex16 | K::imm8sex32 => {
            let (bits, op_kind) = if kind == K::imm8sex16 {
                (16, OpKind::Immediate8to16)
            } else {
                (32, OpKind::Immediate8to32)
            };
            let low = fits(number, bits)?;
            let extended = if bits == 16 { i32::from(low as u16 as i16) } else { low as i32 };
            // What may still move keeps the width that has room for it.
            if value.moves || i8::try_from(extended).is_err() {
                return None;
            }
            instruction.set_op_kind(index, op_kind);
            instruction.try_set_immediate_i32(index, extended).ok()
        }
        K::imm16 => immediate(instruction, OpKind::Immediate16, fits(number, 16)? & 0xffff),
        K::imm32 => immediate(instruction, OpKind::Immediate32, fits(number, 32)?),
        _ => None,
    }
}

/// Whether a branch can be near as well as short.
fn has_long_form(mnemonic: Mnemonic) -> bool {
    format!("{mnemonic:?}").starts_with('J') && !matches!(mnemonic, Mnemonic::Jcxz | Mnemonic::Jecxz)
}

/// Whether the operand before `index` is an immediate, too.
fn has_two_immediates(instruction: &Instruction, index: u32) -> bool {
    matches!(instruction.op_kind(index - 1), OpKind::Immediate8 | OpKind::Immediate16)
}

fn set_far(
    instruction: &mut Instruction,
    index: u32,
    kind: OpCodeOperandKind,
    selector: Value,
    offset: Value,
) -> Option<()> {
    match kind {
        OpCodeOperandKind::farbr4_2 => {
            instruction.set_op_kind(index, OpKind::FarBranch32);
            instruction.set_far_branch32(fits(offset.number, 32)?);
        }
        OpCodeOperandKind::farbr2_2 => {
            instruction.set_op_kind(index, OpKind::FarBranch16);
            instruction.set_far_branch16(fits(offset.number, 16)? as u16);
        }
        _ => return None,
    }
    instruction.set_far_branch_selector(fits(selector.number, 16)? as u16);
    Some(())
}
