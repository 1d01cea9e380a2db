//! The constants (SDM volume 1, section 8.3.4).

use pentimento_decoder::Instruction;
use pentimento_registers::F80;

use super::unit::{Unit, check_pending};
use crate::float::round_pack;
use crate::{Context, Outcome};

/// A positive constant: its unbiased exponent, and 128 bits of its binary expansion, the top one set.
struct Constant {
    exponent: i32,
    bits: u128,
}

const ONE: Constant = Constant { exponent: 0, bits: 1 << 127 };
/// log2(10).
const L2T: Constant = Constant { exponent: 1, bits: 0xd49a_784b_cd1b_8afe_492b_f6ff_4daf_db4c };
/// log2(e).
const L2E: Constant = Constant { exponent: 0, bits: 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e88 };
/// Pi.
const PI: Constant = Constant { exponent: 1, bits: 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1 };
/// log10(2).
const LG2: Constant = Constant { exponent: -2, bits: 0x9a20_9a84_fbcf_f798_8f89_59ac_0b7c_9178 };
/// ln(2).
const LN2: Constant = Constant { exponent: -1, bits: 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af };

/// FLD1 to FLDZ, by the low three bits of their ModRM bytes, rounded to nearest.
pub const NEAREST: [F80; 8] = {
    const fn nearest(constant: &Constant) -> F80 {
        // None has just a half behind its upper 64 bits, or ones only in them.
        let significand = (constant.bits >> 64) as u64 + (constant.bits as u64 >> 63);
        F80::new((constant.exponent + 0x3fff) as u16, significand)
    }
    [
        nearest(&ONE),
        nearest(&L2T),
        nearest(&L2E),
        nearest(&PI),
        nearest(&LG2),
        nearest(&LN2),
        F80::ZERO,
        F80::ZERO,
    ]
};

/// Pushes a constant, rounded to extended precision as rounding control says; that it is inexact
/// is not reported.
fn load(context: &mut Context<'_>, instruction: &Instruction, constant: &Constant) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    let rules = unit.rules().with_extended_precision();
    let (high, low) = ((constant.bits >> 64) as u64, constant.bits as u64);
    let (value, _) = round_pack::<F80>(false, constant.exponent, high, low, &rules);
    unit.push_checked(value);
    Ok(())
}

/// FLD1.
pub(crate) fn fld1(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    load(context, instruction, &ONE)
}

/// FLDL2T.
pub(crate) fn fldl2t(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    load(context, instruction, &L2T)
}

/// FLDL2E.
pub(crate) fn fldl2e(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    load(context, instruction, &L2E)
}

/// FLDPI.
pub(crate) fn fldpi(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    load(context, instruction, &PI)
}

/// FLDLG2.
pub(crate) fn fldlg2(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    load(context, instruction, &LG2)
}

/// FLDLN2.
pub(crate) fn fldln2(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    load(context, instruction, &LN2)
}

/// FLDZ.
pub(crate) fn fldz(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    Unit::enter(context, instruction, None).push_checked(F80::ZERO);
    Ok(())
}
