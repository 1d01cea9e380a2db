//! Words before the mnemonic.

use iced_x86::{Code, Instruction, Mnemonic, OpCodeInfo, OpCodeOperandKind, Register};

/// The prefixes of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Prefixes {
    /// 66h where nothing else tells the operand size.
    pub(crate) data16: bool,
    /// 67h where no address tells its width.
    pub(crate) addr16: bool,
    lock: bool,
    /// F3h.
    rep: bool,
    /// F2h.
    repne: bool,
    /// `rep` and `repne` are XRELEASE and XACQUIRE, or BND.
    hint: bool,
    segment: Register,
}

impl Prefixes {
    pub(crate) const NONE: Self = Self {
        data16: false,
        addr16: false,
        lock: false,
        rep: false,
        repne: false,
        hint: false,
        segment: Register::None,
    };

    /// Takes a word in; whether it is a prefix.
    pub(crate) fn add(&mut self, word: &str) -> bool {
        match word {
            "data16" | "o16" => self.data16 = true,
            "addr16" | "a16" => self.addr16 = true,
            "lock" => self.lock = true,
            "rep" | "repe" | "repz" => self.rep = true,
            "repne" | "repnz" => self.repne = true,
            "xrelease" => (self.rep, self.hint) = (true, true),
            "xacquire" | "bnd" => (self.repne, self.hint) = (true, true),
            "hint-taken" | "notrack" => self.segment = Register::DS,
            "hint-not-taken" => self.segment = Register::CS,
            "es" => self.segment = Register::ES,
            "cs" => self.segment = Register::CS,
            "ss" => self.segment = Register::SS,
            "ds" => self.segment = Register::DS,
            "fs" => self.segment = Register::FS,
            "gs" => self.segment = Register::GS,
            _ => return false,
        }
        true
    }

    /// Takes in the segment that comes behind the operands of MASKMOVQ.
    pub(crate) const fn override_segment(&mut self, segment: Register) {
        self.segment = segment;
    }

    /// Whether an encoding can have them.
    pub(crate) fn allow(&self, info: &OpCodeInfo) -> bool {
        let repeats = info.can_use_rep_prefix() || info.can_use_repne_prefix();
        // JCXZ says it by its name, others by an operand.
        let shows = info.mnemonic() == Mnemonic::Jcxz || info.op0_kind() == OpCodeOperandKind::r16_reg_mem;
        if info.address_size() == 16 && !self.addr16 && !shows {
            return false;
        }
        let ret = matches!(info.code(), Code::Retnd | Code::Retnw);
        (!self.lock || info.can_use_lock_prefix())
            && (self.hint || !(self.rep || self.repne) || repeats || ret)
    }

    /// Those that the encoder writes.
    pub(crate) fn set(&self, instruction: &mut Instruction) {
        instruction.set_has_lock_prefix(self.lock);
        if !self.hint {
            instruction.set_has_rep_prefix(self.rep);
            instruction.set_has_repne_prefix(self.repne);
        }
        if self.segment != Register::None {
            instruction.set_segment_prefix(self.segment);
        }
    }

    /// Whether `rep` and `repne` are hints.
    pub(crate) const fn is_hint(&self) -> bool {
        self.hint
    }

    /// Bytes to be written before what the encoder writes.
    pub(crate) fn extra(&self, info: &OpCodeInfo, absolute: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.hint {
            bytes.extend(self.rep.then_some(0xf3));
            bytes.extend(self.repne.then_some(0xf2));
        }
        // Codes whose address size no operand shows have a variant each.
        if self.addr16 && info.address_size() != 16 && !absolute {
            bytes.push(0x67);
        }
        bytes
    }
}
