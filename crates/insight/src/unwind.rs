//! From a function to its caller.

use pentimento::{AddressSpace, CpuState};

use crate::modules::Modules;
use crate::registers::{Memory, Registers};

/// More frames than anybody reads; the stack of a guest may go in circles.
const MOST_FRAMES: usize = 256;

const ESP: usize = 4;
const EBP: usize = 5;

/// The EIPs of a thread's frames, the innermost first; whether each is a return address.
pub(crate) fn frames(state: &CpuState, space: &AddressSpace, modules: &Modules) -> Vec<(u32, bool)> {
    let mut memory = Memory(space);
    let mut registers = Registers { general: *state.gprs(), eip: state.eip };
    let mut frames = vec![(registers.eip, false)];
    let mut returns = false;
    while frames.len() < MOST_FRAMES {
        // A call may be the last instruction of its function: look at the call, not behind it.
        let address = registers.eip.wrapping_sub(u32::from(returns));
        let described = modules.step(address, &registers, &mut memory);
        let known = described.is_some();
        let leaf = |memory: &mut Memory<'_>| {
            if frames.len() == 1 {
                modules.function(address).and_then(|start| leaf(&registers, start, memory))
            } else {
                None
            }
        };
        let found = described.or_else(|| leaf(&mut memory)).or_else(|| chain(&registers, &mut memory));
        let Some((caller, interrupted)) = found else { break };
        // The stack grows downwards: a caller's frame is above.
        let goes_up = caller.general[ESP] > registers.general[ESP] || known && frames.len() == 1;
        if caller.eip == 0 || !goes_up {
            break;
        }
        registers = caller;
        returns = !interrupted;
        frames.push((registers.eip, returns));
    }
    frames
}

/// The caller by the frame pointer: EBP points to the caller's, with the return address behind it.
fn chain(registers: &Registers, memory: &mut Memory<'_>) -> Option<(Registers, bool)> {
    let frame = registers.general[EBP];
    if frame < registers.general[ESP] || !frame.is_multiple_of(4) {
        return None;
    }
    let (outer, back) = (memory.word(frame)?, memory.word(frame.wrapping_add(4))?);
    // Whatever else EBP was used for seldom has an address of code behind it.
    if memory.0.fetch(back, &mut [0]) == 0 {
        return None;
    }
    let mut caller = *registers;
    caller.general[EBP] = outer;
    caller.general[ESP] = frame.wrapping_add(8);
    caller.eip = back;
    Some((caller, false))
}

/// The caller of the innermost function, which begins at `start`, where that has no frame of its own (yet):
/// the return address is on top of the stack, behind a call of just that function.
fn leaf(registers: &Registers, start: u32, memory: &mut Memory<'_>) -> Option<(Registers, bool)> {
    /// CALL with a relative target, and its length.
    const CALL: u8 = 0xe8;
    const LENGTH: u32 = 5;
    // Behind PUSH EBP, the first instruction of functions with frames, it is one word deeper.
    let pushed = if registers.eip.wrapping_sub(start) == 1 { 4 } else { 0 };
    let top = registers.general[ESP].wrapping_add(pushed);
    let back = memory.word(top)?;
    let call = back.wrapping_sub(LENGTH);
    let target = memory.word(call.wrapping_add(1))?.wrapping_add(back);
    if memory.word(call)?.to_le_bytes()[0] != CALL || target != start {
        return None;
    }
    let mut caller = *registers;
    caller.general[ESP] = top.wrapping_add(4);
    caller.eip = back;
    Some((caller, false))
}
