//! A block of guest code: where it ends, where it counts, and what is left behind for the rare cases.
//!
//! A block goes on behind branches forwards, which leave it at the side or lead further down in it, and
//! ends with the first jump, call, return or branch backwards, and before an instruction that is for the
//! reference. It is made of segments, each of which counts its instructions where it begins, or the first
//! one a little later: before an instruction that sets all flags, it is also seen whether there are as many
//! instructions left as the whole block can execute.

use core::ops::Range;

use pentimento_decoder::{Instruction, Operation};
use pentimento_execute::Environment;
use pentimento_execute::blocks::{FlagEffect, Flow, Found, find};
use pentimento_memory::AddressSpace;
use pentimento_registers::Eflags;

use super::kind::{Kind, Surroundings, is_based, is_mmx, kind, uses_x87};
use super::stack::names_stack_pointer;
use crate::emit::{Emitter, JMP_SHORT, JRCXZ, Mem, R8, R9, RAX, RCX, Site, alu, condition};
use crate::frame::{Frame, LEFT};
use crate::stubs::Stubs;

/// Instructions in a block.
pub(crate) const MOST: usize = 64;
/// Instructions of a block before the place where it counts.
pub(crate) const MOST_UNCOUNTED: usize = 8;
/// Branches in a block.
const MOST_BRANCHES: usize = 4;

/// What an exception's state needs before it is the guest's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fix {
    /// Nothing.
    None,
    /// EDI is an address of the host's.
    Destination,
    /// ESI and EDI are.
    Both,
    /// As those, by the operands of a repeated CMPS or SCAS, which has more to do than ECX says
    /// ([`Frame::behind`](crate::frame::Frame::behind)), and flags that may be older than its last iteration.
    Scan,
    /// TOP is in [`Frame::x87_status`](crate::frame::Frame::x87_status): an MMX instruction sets it to
    /// zero even if its operand then faults.
    Top,
}

/// From here on the host executes this instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// Offset in the code memory.
    pub(crate) host: u32,
    /// The instruction's address.
    pub(crate) eip: u32,
    /// Instructions that were executed and not counted; negative if more were counted than executed.
    pub(crate) uncounted: i8,
    /// What is to be added to R15 to be ESP.
    pub(crate) stack_ahead: i16,
    pub(crate) fix: Fix,
    /// The instruction begins here, with nothing of it done and the state as the guest has it, but for
    /// what this point says: a run may begin here, too.
    pub(crate) enters: bool,
}

/// A direct jump out of a block, which can lead straight to another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exit {
    /// Where the displacement is.
    pub(crate) site: Site,
    /// Where it leads while the target has no translation.
    pub(crate) stub: u32,
    pub(crate) target: u32,
    /// String instructions go backwards there.
    pub(crate) backwards: bool,
    /// Whether the x87 state is loaded there for certain.
    pub(crate) loaded: bool,
}

/// A translated block, and what it says of itself.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Bytes of guest code, which start at the first instruction's address and have no gaps.
    pub(crate) length: u32,
    /// Where to enter it.
    pub(crate) entry: u32,
    /// Where to enter it with the x87 state loaded.
    pub(crate) loaded_entry: u32,
    /// All of it.
    pub(crate) host: Range<u32>,
    /// Instructions.
    pub(crate) instructions: u8,
    pub(crate) uses_x87: bool,
    pub(crate) points: Vec<Point>,
    pub(crate) exits: Vec<Exit>,
    /// It is what it is because of what FS and GS are.
    pub(crate) based: bool,
}

/// Code that is rarely executed and lies behind the block.
pub(super) enum Cold {
    /// A jump to `target`.
    Edge { site: Site, target: u32, backwards: bool },
    /// The repeated instruction at place `at` has more than one chunk, of which `back` is the work.
    Chunks { site: Site, at: usize, back: u32 },
    /// The block has not as many instructions left as it executes.
    Refill { site: Site, again: u32, saved: bool },
}

/// A block while it is written.
pub(super) struct Writer<'a> {
    pub(super) emit: &'a mut Emitter,
    pub(super) stubs: &'a Stubs,
    pub(super) found: &'a [Found],
    /// The place of the instruction that is being written.
    pub(super) at: usize,
    /// What is to be added to R15 to be ESP.
    pub(super) stack_ahead: i32,
    /// Where segments begin, in ascending order, and behind them the number of instructions.
    segments: Vec<usize>,
    /// Where the instruction is that counts the first segment.
    place: Option<usize>,
    /// Jumps within the block: where they are, and the instruction that they lead to.
    joins: Vec<(Site, usize)>,
    /// String instructions go backwards.
    pub(super) backwards: bool,
    pub(super) draft: Draft,
    pub(super) cold: Vec<Cold>,
    /// TOP is zero, because the last instruction of the x87 unit was one of MMX's.
    top_is_zero: bool,
}

/// Translates the block at `eip`, for where the emitter is; `None` if there is nothing that could be.
pub(crate) fn translate(
    emit: &mut Emitter,
    stubs: &Stubs,
    memory: &AddressSpace,
    environment: &Environment,
    surroundings: &Surroundings,
    eip: u32,
    backwards: bool,
) -> Option<Draft> {
    let discovery = discover(memory, environment, surroundings, eip)?;
    let Discovery { found, kinds, end, based } = &discovery;
    let start = emit.offset();
    let draft = Draft {
        length: end.wrapping_sub(eip),
        entry: start,
        loaded_entry: start,
        host: start..start,
        instructions: found.len() as u8,
        uses_x87: found.iter().any(|found| uses_x87(&found.instruction)),
        points: Vec::with_capacity(found.len()),
        exits: Vec::new(),
        based: *based,
    };
    let mut writer = Writer {
        emit,
        stubs,
        found,
        at: 0,
        stack_ahead: 0,
        segments: segments(found),
        place: place(found, kinds),
        joins: Vec::new(),
        backwards,
        draft,
        cold: Vec::new(),
        top_is_zero: false,
    };
    writer.write(kinds, found.last().map_or(eip, |last| last.next));
    writer.finish();
    Some(writer.draft)
}

/// What a block is made of.
struct Discovery {
    found: Vec<Found>,
    /// How each instruction is translated.
    kinds: Vec<Kind>,
    /// The address behind the last, or behind the one for the reference that is all of the block.
    end: u32,
    /// An instruction was looked at that uses FS or GS.
    based: bool,
}

/// The instructions of the block at `eip`.
fn discover(
    memory: &AddressSpace,
    environment: &Environment,
    surroundings: &Surroundings,
    eip: u32,
) -> Option<Discovery> {
    let (mut all, mut kinds) = (Vec::with_capacity(16), Vec::with_capacity(16));
    let mut end = eip;
    let mut based = false;
    let mut branches = 0;
    while all.len() < MOST && branches < MOST_BRANCHES {
        let Some(found) = find(memory, environment, end) else { break };
        based |= found.instruction.memory().is_some_and(|memory| is_based(memory.segment));
        let Some(kind) = kind(&found, surroundings) else { break };
        end = found.next;
        let backwards = found.target <= eip;
        let flow = found.flow;
        all.push(found);
        kinds.push(kind);
        match flow {
            // Behind it something may be left of it to be done.
            Flow::Next if ends_block(kind) => break,
            Flow::Next => {}
            Flow::Branch if !backwards => branches += 1,
            Flow::Branch | Flow::Jump | Flow::Recheck => break,
        }
    }
    if all.is_empty() {
        // The block is a way to the reference, if there is an instruction at all.
        end = find(memory, environment, eip)?.next;
    }
    Some(Discovery { found: all, kinds, end, based })
}

/// Whether a block ends behind an instruction of this kind, though the next one follows it.
const fn ends_block(kind: Kind) -> bool {
    matches!(kind, Kind::Repeated | Kind::Scan | Kind::Direction)
}

/// The place in the block where `target` is, behind the instruction at place `at`.
fn join(found: &[Found], at: usize, target: u32) -> Option<usize> {
    let behind = at + 1;
    found[behind..].iter().position(|found| found.eip() == target).map(|distance| behind + distance)
}

/// Where segments begin, and behind them the number of instructions.
fn segments(found: &[Found]) -> Vec<usize> {
    let mut starts = vec![0, found.len()];
    for (at, branch) in found.iter().enumerate().filter(|(_, found)| found.flow == Flow::Branch) {
        starts.push(at + 1);
        starts.extend(join(found, at, branch.target));
    }
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// The last place before every way out, and near the start, where nobody sees the flags: the instruction
/// there sets them all, and cannot fault.
fn place(found: &[Found], kinds: &[Kind]) -> Option<usize> {
    let leaves = |(found, kind): (&Found, &Kind)| found.flow != Flow::Next || ends_block(*kind);
    let first_exit = found.iter().zip(kinds).position(leaves).unwrap_or(found.len());
    found[..first_exit.min(MOST_UNCOUNTED)].iter().rposition(|found| {
        let effect = FlagEffect::of(&found.instruction);
        !effect.observes_all && effect.read.is_empty() && effect.written == Eflags::STATUS
    })
}

impl Writer<'_> {
    fn write(&mut self, kinds: &[Kind], end: u32) {
        if self.draft.uses_x87 {
            self.require_x87();
        }
        for (at, kind) in kinds.iter().enumerate() {
            self.at = at;
            self.begin_segment(at);
            if at == self.place.unwrap_or(0) {
                self.count(self.place.is_none());
            }
            self.point(at, Fix::None);
            self.may_be_entered();
            self.instruction(at, *kind);
        }
        match kinds.last() {
            Some(Kind::Jump | Kind::Call | Kind::Return | Kind::Direction) => {}
            Some(kind) if ends_block(*kind) => self.edge(end),
            Some(_) if self.ends_by_itself() => self.edge(end),
            _ => {
                self.settle_stack();
                self.emit.immediate(R8, end);
                let site = self.emit.jmp();
                self.emit.bind(site, self.stubs.reference);
            }
        }
    }

    /// Whether what follows the block may be translated, too: it ended because it was long enough.
    fn ends_by_itself(&self) -> bool {
        let branches = self.found.iter().filter(|found| found.flow == Flow::Branch).count();
        let backwards = |found: &Found| found.flow == Flow::Branch && found.target <= self.found[0].eip();
        self.found.len() >= MOST || branches >= MOST_BRANCHES || self.found.last().is_some_and(backwards)
    }

    fn instruction(&mut self, at: usize, kind: Kind) {
        let found = &self.found[at];
        let instruction = &found.instruction;
        if matches!(kind, Kind::Plain | Kind::Address | Kind::Step) {
            if self.moves_stack(instruction, at) {
                return;
            }
            self.settle_if_named(instruction);
        }
        match kind {
            Kind::Nothing => {}
            Kind::Plain => {
                self.keep_top(at);
                self.plain(instruction);
            }
            Kind::Address => self.load_address(instruction),
            Kind::Step => self.step(instruction),
            Kind::Push => self.push(instruction),
            Kind::Pop => self.pop(instruction),
            Kind::Leave => self.leave(),
            Kind::Xlat => self.xlat(),
            Kind::String => self.string(instruction),
            Kind::Repeated => self.repeated(instruction, at),
            Kind::Scan => self.scan(found, at),
            Kind::Direction => self.direction(found),
            Kind::Branch => self.branch(found, at),
            Kind::CounterBranch => self.counter_branch(found, at),
            Kind::Jump => self.jump(found),
            Kind::Call => self.call(found),
            Kind::Return => self.ret(instruction),
        }
    }

    /// Where the segment of the instruction at place `at` ends.
    fn segment_end(&self, at: usize) -> usize {
        let behind = self.segments.partition_point(|start| *start <= at);
        self.segments.get(behind).copied().unwrap_or(self.found.len())
    }

    /// Counts the instructions of the segment that begins at place `at`, if one does; the first one's are
    /// counted elsewhere.
    fn begin_segment(&mut self, at: usize) {
        if at == 0 || self.segments.binary_search(&at).is_err() {
            return;
        }
        self.settle_stack();
        for (site, _) in self.joins.extract_if(.., |(_, target)| *target == at) {
            self.emit.bind_here(site);
        }
        let count = self.segment_end(at) - at;
        self.emit.lea_wide(LEFT, Mem::host(LEFT, -(count as i32)));
        self.top_is_zero = false;
    }

    /// Counts the first segment's instructions, if there are as many left as the block can execute. With
    /// flags that are seen, they are saved.
    fn count(&mut self, live: bool) {
        self.settle_stack();
        let again = self.emit.offset();
        if live {
            self.emit.copy(R8, RAX);
            self.emit.save_flags();
        }
        let (first, all) = (self.segment_end(0) as i32, self.found.len() as i32);
        let single = first == all;
        self.emit.alu_wide(if single { alu::SUB } else { alu::CMP }, LEFT, all);
        let site = self.emit.jcc(condition::LESS);
        if !single {
            self.emit.lea_wide(LEFT, Mem::host(LEFT, -first));
        }
        if live {
            self.emit.restore_flags();
            self.emit.copy(RAX, R8);
        }
        self.cold.push(Cold::Refill { site, again, saved: live });
    }

    /// A jump of the instruction at place `at` to `target`: to where that is further down in the block, or
    /// out of it.
    pub(super) fn lead(&mut self, site: Site, at: usize, target: u32) {
        match join(self.found, at, target) {
            Some(place) => self.joins.push((site, place)),
            None => self.cold.push(Cold::Edge { site, target, backwards: self.backwards }),
        }
    }

    /// Loads the x87 state unless it is loaded. What is rare lies before the entry, in a short jump's
    /// reach.
    fn require_x87(&mut self) {
        let cold = self.emit.offset();
        let site = self.emit.call();
        self.emit.bind(site, self.stubs.load_x87);
        let back = self.emit.short(JMP_SHORT);
        self.draft.entry = self.emit.offset();
        self.emit.copy_wide(R8, RCX);
        self.emit.load(RCX, Frame::x87_loaded());
        let distance = cold.wrapping_sub(self.emit.offset() + 2);
        self.emit.raw(&[JRCXZ, distance as u8]);
        self.emit.bind_short(back);
        self.emit.copy_wide(RCX, R8);
        self.draft.loaded_entry = self.emit.offset();
    }

    /// Lets R15 be ESP for an instruction that has it as an operand.
    pub(super) fn settle_if_named(&mut self, instruction: &Instruction) {
        if names_stack_pointer(instruction) {
            self.settle_stack();
        }
    }

    /// Saves TOP before an MMX instruction that may fault.
    fn keep_top(&mut self, at: usize) {
        let instruction = &self.found[at].instruction;
        if !uses_x87(instruction) {
            return;
        }
        let mmx = is_mmx(instruction);
        if mmx && !self.top_is_zero && instruction.memory().is_some() {
            // mov r8d, eax; fnstsw ax; mov [frame], eax; mov eax, r8d
            self.emit.copy(R8, RAX);
            self.emit.raw(&[0xdf, 0xe0]);
            self.emit.store(Frame::x87_status(), RAX);
            self.emit.copy(RAX, R8);
            self.point(at, Fix::Top);
        }
        // With an operand in memory these two use no MMX register.
        let converts = matches!(instruction.operation(), Operation::Cvtpi2ps | Operation::Cvtpi2pd);
        self.top_is_zero = mmx && !(converts && instruction.memory().is_some());
    }

    /// From here on the host executes the instruction at place `at`.
    pub(super) fn point(&mut self, at: usize, fix: Fix) {
        let eip = self.found[at].eip();
        let counted = if self.place.is_some_and(|place| at < place) { 0 } else { self.segment_end(at) };
        let uncounted = at as i8 - counted as i8;
        self.draft.points.push(Point {
            host: self.emit.offset(),
            eip,
            uncounted,
            stack_ahead: self.stack_ahead as i16,
            fix,
            enters: false,
        });
    }

    /// Lets a run begin at the last point, unless it would need the x87 unit's state.
    fn may_be_entered(&mut self) {
        if let Some(point) = self.draft.points.last_mut() {
            point.enters = !self.draft.uses_x87;
        }
    }

    /// Writes what lies behind the block.
    fn finish(&mut self) {
        for cold in core::mem::take(&mut self.cold) {
            match cold {
                Cold::Edge { site, target, backwards } => {
                    let stub = self.emit.offset();
                    self.emit.bind(site, stub);
                    self.emit.immediate(R8, target);
                    let jump = self.emit.jmp();
                    self.emit.bind(jump, self.stubs.lookup);
                    let loaded = self.draft.uses_x87;
                    self.draft.exits.push(Exit { site, stub, target, backwards, loaded });
                }
                Cold::Chunks { site, at, back } => {
                    self.emit.bind_here(site);
                    self.chunks(at, back);
                }
                Cold::Refill { site, again, saved } => self.refill(site, again, saved),
            }
        }
        self.draft.host.end = self.emit.offset();
    }

    /// Leaves the instruction at place `at`, which was counted, to the reference.
    pub(super) fn reference(&mut self, at: usize) {
        self.emit.lea_wide(LEFT, Mem::host(LEFT, (self.segment_end(at) - at) as i32));
        self.emit.immediate(R8, self.found[at].eip());
        let jump = self.emit.jmp();
        self.emit.bind(jump, self.stubs.reference);
    }

    fn refill(&mut self, site: Site, again: u32, saved: bool) {
        self.emit.bind_here(site);
        if self.segment_end(0) == self.found.len() {
            self.emit.lea_wide(LEFT, Mem::host(LEFT, self.found.len() as i32));
        }
        if saved {
            self.emit.restore_flags();
            self.emit.copy(RAX, R8);
        }
        let before = self.place.unwrap_or(0);
        self.emit.store_immediate(Frame::uncounted(), before as u32);
        self.emit.store_immediate(Frame::flags_lost(), u32::from(!saved));
        self.emit.immediate(R8, self.found[before].eip());
        let back = self.emit.lea_rip(R9);
        self.emit.bind(back, again);
        let jump = self.emit.jmp();
        self.emit.bind(jump, self.stubs.refill);
    }
}
