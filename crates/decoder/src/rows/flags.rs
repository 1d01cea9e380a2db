//! The effects on EFLAGS that rows name (SDM volume 1, appendix A).

use pentimento_registers::Eflags;

use crate::row::FlagEffects;

const CF: Eflags = Eflags::CF;
const PF: Eflags = Eflags::PF;
const AF: Eflags = Eflags::AF;
const ZF: Eflags = Eflags::ZF;
const SF: Eflags = Eflags::SF;
const OF: Eflags = Eflags::OF;
const DF: Eflags = Eflags::DF;
const IF: Eflags = Eflags::IF;
const AC: Eflags = Eflags::AC;

/// The union of `flags`.
const fn all(flags: &[Eflags]) -> Eflags {
    let mut union = Eflags::empty();
    let mut i = 0;
    while i < flags.len() {
        union = union.union(flags[i]);
        i += 1;
    }
    union
}

/// The effect with these flags read, written and undefined.
const fn effect(read: &[Eflags], written: &[Eflags], undefined: &[Eflags]) -> FlagEffects {
    FlagEffects { read: all(read), written: all(written), undefined: all(undefined) }
}

/// Everything that PUSHF stores and POPF loads and that this crate tracks.
const IMAGE: [Eflags; 9] = [CF, PF, AF, ZF, SF, IF, DF, OF, AC];

pub(super) const KEEP: FlagEffects = effect(&[], &[], &[]);
pub(super) const ARITH: FlagEffects = effect(&[], &[OF, SF, ZF, AF, PF, CF], &[]);
pub(super) const CARRY: FlagEffects = effect(&[CF], &[OF, SF, ZF, AF, PF, CF], &[]);
pub(super) const STEP: FlagEffects = effect(&[], &[OF, SF, ZF, AF, PF], &[]);
pub(super) const LOGIC: FlagEffects = effect(&[], &[OF, SF, ZF, PF, CF], &[AF]);
pub(super) const MULTIPLY: FlagEffects = effect(&[], &[OF, CF], &[SF, ZF, AF, PF]);
pub(super) const UNDEFINED: FlagEffects = effect(&[], &[], &[OF, SF, ZF, AF, PF, CF]);
/// Rotates with a count of one; [`Instruction`](crate::Instruction) narrows it by the count.
pub(super) const ROTATE: FlagEffects = effect(&[], &[OF, CF], &[]);
pub(super) const ROTATE_CARRY: FlagEffects = effect(&[CF], &[OF, CF], &[]);
pub(super) const SHIFT: FlagEffects = effect(&[], &[OF, SF, ZF, PF, CF], &[AF]);
pub(super) const BIT: FlagEffects = effect(&[], &[CF], &[OF, SF, AF, PF]);
pub(super) const SCAN: FlagEffects = effect(&[], &[ZF], &[OF, SF, AF, PF, CF]);
pub(super) const COUNT_ZEROS: FlagEffects = effect(&[], &[ZF, CF], &[OF, SF, AF, PF]);
pub(super) const DAA: FlagEffects = effect(&[AF, CF], &[SF, ZF, AF, PF, CF], &[OF]);
pub(super) const AAA: FlagEffects = effect(&[AF], &[AF, CF], &[OF, SF, ZF, PF]);
pub(super) const AAM: FlagEffects = effect(&[], &[SF, ZF, PF], &[OF, AF, CF]);
pub(super) const LOAD_AH: FlagEffects = effect(&[SF, ZF, AF, PF, CF], &[], &[]);
pub(super) const STORE_AH: FlagEffects = effect(&[], &[SF, ZF, AF, PF, CF], &[]);
pub(super) const READ_ALL: FlagEffects = effect(&IMAGE, &[], &[]);
pub(super) const WRITE_ALL: FlagEffects = effect(&[], &IMAGE, &[]);
/// The 16-bit forms do not reach AC.
pub(super) const READ_WORD: FlagEffects = effect(&[CF, PF, AF, ZF, SF, IF, DF, OF], &[], &[]);
pub(super) const WRITE_WORD: FlagEffects = effect(&[], &[CF, PF, AF, ZF, SF, IF, DF, OF], &[]);
/// SYSCALL saves the flags and masks them.
pub(super) const SYSTEM_CALL: FlagEffects = effect(&IMAGE, &IMAGE, &[]);
pub(super) const ZERO: FlagEffects = effect(&[], &[ZF], &[]);
pub(super) const READ_CF: FlagEffects = effect(&[CF], &[], &[]);
pub(super) const READ_ZF: FlagEffects = effect(&[ZF], &[], &[]);
pub(super) const READ_PF: FlagEffects = effect(&[PF], &[], &[]);
pub(super) const READ_CF_ZF: FlagEffects = effect(&[CF, ZF], &[], &[]);
pub(super) const READ_OF: FlagEffects = effect(&[OF], &[], &[]);
pub(super) const READ_DF: FlagEffects = effect(&[DF], &[], &[]);
pub(super) const WRITE_CF: FlagEffects = effect(&[], &[CF], &[]);
pub(super) const WRITE_DF: FlagEffects = effect(&[], &[DF], &[]);
pub(super) const WRITE_IF: FlagEffects = effect(&[], &[IF], &[]);
pub(super) const WRITE_AC: FlagEffects = effect(&[], &[AC], &[]);
pub(super) const COMPLEMENT: FlagEffects = effect(&[CF], &[CF], &[]);
pub(super) const COMPARE_STRING: FlagEffects = effect(&[DF], &[OF, SF, ZF, AF, PF, CF], &[]);
pub(super) const ADD_OF: FlagEffects = effect(&[OF], &[OF], &[]);
