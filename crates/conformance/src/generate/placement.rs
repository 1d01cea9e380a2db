//! Where memory operands go: registers and displacements chosen so that addresses fall on page
//! boundaries, protected pages and now and then nowhere.

use pentimento_decoder::{AddressSize, MemoryOperand};
use pentimento_registers::{CpuState, Gpr};

use super::random::Random;
use crate::layout::{CODE, DATA, LOW_DATA, RESERVED};

const PAGE: u32 = pentimento_memory::PAGE_SIZE;

/// A linear address for `size` bytes in the pages of `window`, of which the last page is read-only.
pub(super) fn target(random: &mut Random, size: u32, window: &core::ops::Range<u32>) -> u32 {
    let size = size.max(1);
    let writable_end = window.end - PAGE;
    let straddle = 1 + random.below(size.max(2) - 1);
    match random.below(20) {
        0..=8 => {
            let at = window.start + random.below(writable_end - window.start - size.min(PAGE));
            if random.percent(60) { at & !15 } else { at }
        }
        // Across, or just before, the boundary between two writable pages.
        9..=11 => writable_end - PAGE - straddle,
        12 => writable_end - PAGE - size,
        // The same at the read-only page.
        13 => writable_end - size,
        14 => writable_end - straddle,
        15 => (writable_end + random.below(PAGE - size.min(PAGE - 1))) & !15,
        // At the ends of the window.
        16 => window.end - straddle,
        17 => window.start.wrapping_sub(straddle),
        18 => random.pick(&[window.start, window.end - size, CODE.start + 0x800, CODE.end - straddle]),
        _ => nowhere(random),
    }
}

/// A linear address anywhere but where the native oracle lives.
fn nowhere(random: &mut Random) -> u32 {
    let at = match random.below(4) {
        0 => random.below(64),
        1 => u32::MAX - random.below(64),
        _ => random.next_u32(),
    };
    let reserved = RESERVED.start - 0x1_0000..RESERVED.end + 0x1_0000;
    if reserved.contains(&at) { 0x1000 } else { at }
}

/// The pages that a memory operand can reach.
fn window(state: &CpuState, operand: &MemoryOperand) -> core::ops::Range<u32> {
    let flat = state.segment(operand.segment).base() == 0;
    match operand.address_size {
        AddressSize::Word if flat => LOW_DATA,
        _ => DATA,
    }
}

/// Makes `operand` name `size` bytes somewhere interesting: by its base register if it has one, by
/// the displacement otherwise. Returns the linear address, and the displacement to encode if it
/// has to change.
pub(super) fn place(
    state: &mut CpuState,
    operand: &MemoryOperand,
    size: u32,
    random: &mut Random,
) -> (u32, Option<u32>) {
    let linear = target(random, size, &window(state, operand));
    let wanted = linear.wrapping_sub(state.segment(operand.segment).base());
    let scale = u32::from(operand.scale);
    let index = operand.index.map_or(0, |index| state.gpr(index).wrapping_mul(scale));
    let mut displacement = None;
    match (operand.base, operand.index) {
        (Some(base), Some(same)) if base == same => {
            // One register counts 1 + scale times: the nearest address below.
            let value = wanted.wrapping_sub(operand.displacement) / (scale + 1);
            set(state, base, operand.address_size, value);
        }
        (Some(base), _) => {
            let value = wanted.wrapping_sub(operand.displacement).wrapping_sub(index);
            set(state, base, operand.address_size, value);
        }
        (None, _) => displacement = Some(wanted.wrapping_sub(index)),
    }
    if operand.base.is_some() && operand.base == operand.index {
        let sum = state.segment(operand.segment).base().wrapping_add(operand.displacement);
        let register = operand.base.map_or(0, |base| state.gpr(base));
        return (sum.wrapping_add(register.wrapping_mul(scale + 1)), None);
    }
    (linear, displacement)
}

fn set(state: &mut CpuState, register: Gpr, size: AddressSize, value: u32) {
    match size {
        AddressSize::Dword => state.set_gpr(register, value),
        AddressSize::Word => state.set_gpr16(register, value as u16),
    }
}

/// Somewhere in or at the ends of the code pages, where INT3 awaits.
pub(super) fn code_target(random: &mut Random) -> u32 {
    match random.below(12) {
        0 => CODE.end - random.below(4),
        1 => nowhere(random),
        2 => DATA.start + random.below(PAGE),
        _ => CODE.start + random.below(CODE.end - CODE.start),
    }
}

/// Where an instruction of `length` bytes is put.
pub(super) fn code_address(random: &mut Random, length: u32) -> u32 {
    match random.below(20) {
        // Across the boundary between the pages.
        0 | 1 => CODE.start + PAGE - 1 - random.below(length),
        // Up to the end of the last page, or beyond it.
        2 => CODE.end - length,
        3 => CODE.end - 1 - random.below(length),
        _ => CODE.start + 0x100 + random.below(0x1e00),
    }
}
