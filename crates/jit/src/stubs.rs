//! The fixed pieces of translated code: the way in, the ways out, and what blocks call.

use pentimento_decoder::Map;
use pentimento_registers::offsets;

use crate::emit::{BASE, Emitter, Mem, Opcode, R8, R9, RAX, RDI, RSP, Reg, Rm, Site, alu, condition};
use crate::frame::{BIAS, CODE, ESP, FRAME, Frame, LEFT, TABLE, reason};
use crate::translate::MOST_UNCOUNTED;

/// Instructions that translated code executes before it looks for a request to stop, and how much of its
/// stack it uses.
pub(crate) const SLICE: u64 = 1 << 13;

/// Bytes of return addresses from which on, at the end of a slice, they are forgotten.
const MOST_RETURNS: i32 = 32 << 10;

/// Bytes of return addresses that there ever are: eight are pushed for a CALL, and some by the pieces.
pub(crate) const MOST_STACK: usize = MOST_RETURNS as usize + 8 * SLICE as usize + 64;

/// Where the pieces are, as offsets in the code memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stubs {
    /// The function that runs translated code; its argument is the frame.
    pub(crate) enter: u32,
    /// A jump to R8 that has no translation. It is at offset 0, because that is what the jump
    /// table says of such addresses.
    pub(crate) lookup: u32,
    /// A direct jump to R8 that leads nowhere yet.
    pub(crate) unlinked: u32,
    /// The same, where what is there goes on inside of a block.
    pub(crate) inside: u32,
    /// The instruction at R8 is for the reference.
    pub(crate) reference: u32,
    /// Fewer instructions are left than the block has; R9 is where to go on with more, R8 the address of
    /// the instruction there. Flags are as the guest has them.
    pub(crate) refill: u32,
    /// The same, where flags are lost, by the number of instructions that were executed and not counted.
    pub(crate) refill_lost: [u32; MOST_UNCOUNTED],
    /// Where the signal handler lets translated code go on that raised an exception.
    pub(crate) fault: u32,
    /// Loads the x87 state; called.
    pub(crate) load_x87: u32,
    /// A jump to R8, by the jump table.
    pub(crate) dispatch: u32,
    /// Where blocks begin.
    pub(crate) end: u32,
}

/// Callee-saved registers of the host's calling convention, in the order in which they are pushed.
const SAVED: [Reg; 6] = [3, 5, 12, 13, 14, 15];

/// Bytes by which the stack is moved after that, so that it is aligned.
const PADDING: i32 = 8;

/// Writes all pieces to the start of the code memory.
pub(crate) fn write(emit: &mut Emitter) -> Stubs {
    let mut stubs = Stubs { lookup: emit.offset(), ..Stubs::default() };
    let mut exits = Vec::new();
    exits.push(leave(emit, reason::LOOKUP));
    stubs.unlinked = emit.offset();
    exits.push(leave(emit, reason::UNLINKED));
    stubs.inside = emit.offset();
    exits.push(leave(emit, reason::INSIDE));
    stubs.reference = emit.offset();
    exits.push(leave(emit, reason::REFERENCE));
    stubs.fault = emit.offset();
    exits.push(leave(emit, reason::FAULT));
    let refill_begins = emit.offset();
    let bottoms = [refill(emit)];
    exits.push(leave(emit, reason::BUDGET));
    stubs.refill = refill_after(emit, refill_begins, 0, false);
    for (uncounted, lost) in stubs.refill_lost.iter_mut().enumerate() {
        *lost = refill_after(emit, refill_begins, uncounted as u32, true);
    }
    for site in exits {
        emit.bind_here(site);
    }
    exit(emit);
    emit.align(16);
    let bottom = emit.offset();
    push_bottom(emit, bottom);
    stubs.dispatch = emit.offset();
    dispatch(emit);
    for site in bottoms {
        emit.bind(site, bottom);
    }
    emit.align(16);
    stubs.enter = emit.offset();
    enter(emit, bottom);
    stubs.load_x87 = emit.offset();
    load_x87(emit);
    emit.align(64);
    stubs.end = emit.offset();
    stubs
}

/// Says why, and goes on to the exit.
fn leave(emit: &mut Emitter, reason: u32) -> Site {
    emit.store_immediate(Frame::reason(), reason);
    emit.jmp()
}

/// Jumps to the translation of the address in R8.
pub(crate) fn dispatch(emit: &mut Emitter) {
    load_target(emit);
    // jmp r9
    emit.modrm(Opcode::of(0xff), 4, Rm::Reg(R9));
}

/// Loads the place of the translation of the address in R8 into R9.
pub(crate) fn load_target(emit: &mut Emitter) {
    emit.load(R9, Mem { base: Some(TABLE), index: Some((R8, 4)), displacement: 0, guest: false });
    emit.lea_wide(R9, Mem { base: Some(CODE), index: Some((R9, 1)), displacement: 0, guest: false });
}

/// Pushes the address at `bottom`, to which the host returns where the guest does and its CALL is not
/// known: it is pushed again there, and the target looked up.
fn push_bottom(emit: &mut Emitter, bottom: u32) {
    let site = emit.lea_rip(R9);
    emit.bind(site, bottom);
    push(emit, R9);
}

/// Gives the block its instructions if there are any and nobody asks for a stop, and goes back to R9;
/// else goes on behind. No flag changes. Returns where the address of the bottom of the stack is wanted.
fn refill(emit: &mut Emitter) -> Site {
    emit.store_wide(Frame::spilled(), RAX);
    emit.save_flags();
    emit.store_wide(Frame::spilled_flags(), RAX);
    // Return addresses of calls that never return pile up.
    emit.load_wide(RAX, Frame::stack());
    emit.modrm(Opcode::wide(0x29), RSP, Rm::Reg(RAX));
    emit.alu_wide(alu::CMP, RAX, MOST_RETURNS);
    let few = emit.short(0x70 | condition::BELOW);
    emit.load_wide(RSP, Frame::stack());
    let bottom = emit.lea_rip(RAX);
    push(emit, RAX);
    emit.bind_short(few);
    emit.load_wide(RAX, Frame::stop());
    // cmp byte ptr [rax], 0
    emit.modrm(Opcode::of(0x80), alu::CMP, Rm::Mem(Mem::host(RAX, 0)));
    emit.byte(0);
    let stopped = emit.short(0x70 | condition::NOT_EQUAL);
    emit.load_wide(RAX, Frame::rest());
    emit.modrm(Opcode::wide(0x85), RAX, Rm::Reg(RAX));
    let empty = emit.short(0x70 | condition::EQUAL);
    // The smaller of the two: cmp rax, SLICE; jb; mov eax, SLICE.
    emit.alu_wide(alu::CMP, RAX, SLICE as i32);
    let last = emit.short(0x70 | condition::BELOW);
    emit.immediate(RAX, SLICE as u32);
    emit.bind_short(last);
    emit.modrm(Opcode::wide(0x29), RAX, Rm::Mem(Frame::rest()));
    emit.modrm(Opcode::wide(0x01), RAX, Rm::Reg(LEFT));
    emit.load_wide(RAX, Frame::spilled_flags());
    emit.restore_flags();
    emit.load_wide(RAX, Frame::spilled());
    emit.modrm(Opcode::of(0xff), 4, Rm::Reg(R9));
    emit.bind_short(stopped);
    emit.bind_short(empty);
    emit.load_wide(RAX, Frame::spilled_flags());
    emit.restore_flags();
    emit.load_wide(RAX, Frame::spilled());
    bottom
}

/// Says what a refill may have to tell, and goes on to it, at `refill`.
fn refill_after(emit: &mut Emitter, refill: u32, uncounted: u32, flags_lost: bool) -> u32 {
    let start = emit.offset();
    emit.store_immediate(Frame::uncounted(), uncounted);
    emit.store_immediate(Frame::flags_lost(), flags_lost.into());
    let site = emit.jmp();
    emit.bind(site, refill);
    start
}

fn push(emit: &mut Emitter, reg: Reg) {
    if reg > 7 {
        emit.byte(0x41);
    }
    emit.byte(0x50 | reg & 7);
}

fn pop(emit: &mut Emitter, reg: Reg) {
    if reg > 7 {
        emit.byte(0x41);
    }
    emit.byte(0x58 | reg & 7);
}

/// The host's register that holds the guest's general register `number`.
pub(crate) const fn host_register(number: u8) -> Reg {
    if number == 4 { ESP } else { number }
}

fn general(number: u8) -> Mem {
    Mem::host(R8, (offsets::GPR + 4 * number as usize) as i32)
}

fn vector(number: u8) -> Mem {
    Mem::host(R8, (offsets::XMM + 16 * number as usize) as i32)
}

const WRGSBASE: u8 = 3;
const RDGSBASE: u8 = 1;

/// `wrgsbase` or `rdgsbase`.
fn gs_base(emit: &mut Emitter, digit: u8, reg: Reg) {
    emit.modrm(Opcode { prefix: 0xf3, map: Map::TwoByte, byte: 0xae, wide: true }, digit, Rm::Reg(reg));
}

/// An instruction on MXCSR in memory: LDMXCSR (2) or STMXCSR (3).
fn mxcsr(emit: &mut Emitter, digit: u8, mem: Mem) {
    emit.modrm(Opcode::two(0xae), digit, Rm::Mem(mem));
}

/// Stores what the guest has, takes up what the host had, and returns. R8 is the guest's EIP.
fn exit(emit: &mut Emitter) {
    emit.store(Frame::eip(), R8);
    emit.load_wide(R8, Frame::state());
    emit.store(general(0), RAX);
    emit.save_flags();
    emit.store(Frame::flags(), RAX);
    for number in 1..8 {
        emit.store(general(number), host_register(number));
    }
    for number in 0..8 {
        // movaps [mem], xmm
        emit.modrm(Opcode::two(0x29), number, Rm::Mem(vector(number)));
    }
    emit.store_wide(Frame::left(), LEFT);
    // cld: an exception may have been raised between STD and CLD.
    emit.byte(0xfc);
    mxcsr(emit, 3, Frame::mxcsr());
    mxcsr(emit, 2, Frame::host_mxcsr());
    emit.load(RAX, Frame::x87_loaded());
    emit.modrm(Opcode::of(0x85), RAX, Rm::Reg(RAX));
    let empty = emit.short(0x70 | condition::EQUAL);
    // fnsave [mem]: which leaves the unit as the host wants it
    emit.modrm(Opcode::of(0xdd), 6, Rm::Mem(Frame::x87()));
    emit.bind_short(empty);
    emit.load_wide(RAX, Frame::host_gs());
    gs_base(emit, WRGSBASE, RAX);
    emit.load_wide(RSP, Frame::host_stack());
    emit.alu_wide(alu::ADD, RSP, PADDING);
    for reg in SAVED.into_iter().rev() {
        pop(emit, reg);
    }
    emit.byte(0xc3);
}

/// `extern "sysv64" fn(*mut Frame)`.
fn enter(emit: &mut Emitter, bottom: u32) {
    for reg in SAVED {
        push(emit, reg);
    }
    emit.alu_wide(alu::SUB, RSP, PADDING);
    emit.lea_wide(FRAME, Mem::host(RDI, BIAS));
    emit.store_wide(Frame::host_stack(), RSP);
    emit.load_wide(RSP, Frame::stack());
    push_bottom(emit, bottom);
    gs_base(emit, RDGSBASE, RAX);
    emit.store_wide(Frame::host_gs(), RAX);
    emit.load_wide(BASE, Frame::base());
    gs_base(emit, WRGSBASE, BASE);
    mxcsr(emit, 3, Frame::host_mxcsr());
    mxcsr(emit, 2, Frame::mxcsr());
    emit.load_wide(TABLE, Frame::table());
    emit.load_wide(CODE, Frame::code());
    emit.load_wide(LEFT, Frame::left());
    emit.load_wide(R8, Frame::state());
    for number in 0..8 {
        // movaps xmm, [mem]
        emit.modrm(Opcode::two(0x28), number, Rm::Mem(vector(number)));
    }
    for number in 1..8 {
        emit.load(host_register(number), general(number));
    }
    emit.load(RAX, Frame::flags());
    emit.restore_flags();
    emit.load(RAX, general(0));
    // jmp [mem]
    emit.modrm(Opcode::of(0xff), 4, Rm::Mem(Frame::target()));
}

/// Loads the x87 state and returns. No flag and no other register changes.
fn load_x87(emit: &mut Emitter) {
    // frstor [mem]
    emit.modrm(Opcode::of(0xdd), 4, Rm::Mem(Frame::x87()));
    emit.store_immediate(Frame::x87_loaded(), 1);
    emit.byte(0xc3);
}
