//! A block of guest code: where it ends, where it counts, and what is left behind for the rare cases.
//!
//! A block goes on behind branches forwards, which leave it at the side or lead further down in it, and
//! ends with the first jump, call, return or branch backwards, and before an instruction that is for the
//! reference. It is made of segments, each of which counts its instructions where it begins, or the first
//! one a little later: before an instruction that sets all flags, it is also seen whether there are as many
//! instructions left as the whole block can execute.

use core::ops::Range;

use pentimento_decoder::Operation;
use pentimento_execute::Environment;
use pentimento_execute::blocks::{CodeWindow, FlagEffect, Flow, find};
use pentimento_memory::AddressSpace;
use pentimento_registers::Eflags;

use super::kind::{Item, Kind, Surroundings};
use super::traits::{Table, Traits};
use crate::counting::Counting;
use crate::emit::{Emitter, JMP_SHORT, JRCXZ, Mem, Opcode, R8, R9, RAX, RCX, Rm, Site, alu, condition};
use crate::frame::{Frame, LEFT};
use crate::stubs::Stubs;

/// Instructions in a block.
pub(crate) const MOST: usize = 64;
/// `shrx rcx, r8, r13`
const SHRX_RCX_R8_R13: [u8; 5] = [0xc4, 0xc2, 0x93, 0xf7, 0xc8];
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
    /// ESI and EDI are, and ECX counts steps of four bytes; what is left of those is in
    /// [`Frame::counter`](crate::frame::Frame::counter)'s low two bits.
    Steps,
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
    /// It leads on inside of what a host takes for a block.
    pub(crate) inside: bool,
}

/// A translated block, and what it says of itself. One value serves for many blocks, so that what it is
/// made of is allocated once.
pub(crate) struct Draft {
    /// Bytes of guest code, which start at the first instruction's address and have no gaps.
    pub(crate) length: u32,
    /// Where to enter it.
    pub(crate) entry: u32,
    /// Where to enter it with the x87 state loaded.
    pub(crate) loaded_entry: u32,
    /// The same two for who goes on inside of a block, which is not counted again.
    pub(crate) inside: (u32, u32),
    /// What is executed again and again.
    pub(crate) host: Range<u32>,
    /// What is rarely executed.
    pub(crate) rare: Range<u32>,
    pub(crate) uses_x87: bool,
    pub(crate) points: Vec<Point>,
    pub(crate) exits: Vec<Exit>,
    /// It is what it is because of what FS and GS are.
    pub(crate) based: bool,
    /// The instructions.
    pub(crate) items: Vec<Item>,
    /// Jumps within the block: where they are, and the instruction that they lead to.
    pub(super) joins: Vec<(Site, usize)>,
    pub(super) cold: Vec<Cold>,
    traits: Table,
}

/// Code that is rarely executed and lies apart, so that what is executed lies close together.
pub(super) enum Cold {
    /// A jump to `target`; `inside` of a block if it is none of the guest's.
    Edge { site: Site, target: u32, backwards: bool, inside: bool },
    /// A jump of the guest's to the block at `eip`, which is counted, and goes on at `back`.
    Count { site: Site, eip: u32, back: u32 },
    /// The repeated instruction at `eip` has more than one chunk, of which `back` is the work. From it on
    /// `left` instructions were counted.
    Chunks { site: Site, left: i32, eip: u32, back: u32 },
    /// There are not as many instructions left as the block executes; the flags are lost. A block that is one
    /// segment, `single`, has counted them by then.
    Refill { site: Site, again: u32, single: bool },
    /// The same before the first instruction, with RCX in R9, `first` instructions counted, and the flags.
    RefillFirst { again: u32, first: i32 },
}

/// A block while it is written.
pub(super) struct Writer<'a> {
    pub(super) emit: &'a mut Emitter,
    /// For code that is rarely executed; at the end, when that is written, for the rest.
    apart: &'a mut Emitter,
    pub(super) stubs: &'a Stubs,
    pub(super) items: &'a [Item],
    /// The place of the instruction that is being written.
    pub(super) at: usize,
    /// What is to be added to R15 to be ESP.
    pub(super) stack_ahead: i32,
    /// Where segments begin: a bit for each place.
    segments: u64,
    /// Where the segment of the instruction that is being written ends.
    end: usize,
    /// Where the instruction is that counts the first segment.
    place: Option<usize>,
    /// String instructions go backwards.
    pub(super) backwards: bool,
    pub(super) draft: &'a mut Draft,
    pub(super) counting: Option<&'a mut Counting>,
    /// TOP is zero, because the last instruction of the x87 unit was one of MMX's.
    top_is_zero: bool,
    /// A jump before the entry, for [`Cold::RefillFirst`].
    pub(super) way_out: Site,
}

impl Draft {
    /// Bytes of a block before its entry, at least.
    pub(crate) const BEFORE_ENTRY: u32 = 5;

    /// A draft of nothing.
    pub(crate) fn new() -> Self {
        Self {
            length: 0,
            entry: 0,
            loaded_entry: 0,
            inside: (0, 0),
            host: 0..0,
            rare: 0..0,
            uses_x87: false,
            points: Vec::new(),
            exits: Vec::new(),
            based: false,
            items: Vec::new(),
            joins: Vec::new(),
            cold: Vec::new(),
            traits: Table::new(),
        }
    }

    /// Translates the block at `eip`, for where the emitters are, of which the second is for what is rarely
    /// executed; false if there is nothing that could be.
    pub(crate) fn translate(
        &mut self,
        (emit, apart): (&mut Emitter, &mut Emitter),
        stubs: &Stubs,
        memory: &AddressSpace,
        environment: &Environment,
        (surroundings, counting): (&Surroundings, Option<&mut Counting>),
        (eip, backwards): (u32, bool),
    ) -> bool {
        let Some(end) = self.discover(memory, environment, surroundings, eip) else { return false };
        let start = emit.offset();
        self.length = end.wrapping_sub(eip);
        (self.entry, self.loaded_entry, self.host) = (start, start, start..start);
        self.rare = apart.offset()..apart.offset();
        self.uses_x87 = self.items.iter().any(Item::uses_x87);
        self.points.clear();
        self.exits.clear();
        let items = core::mem::take(&mut self.items);
        let segments = segments(&items);
        let mut writer = Writer {
            emit,
            apart,
            stubs,
            items: &items,
            at: 0,
            stack_ahead: 0,
            segments,
            end: next_segment(segments, 0, items.len()),
            place: place(&items),
            backwards,
            draft: self,
            counting,
            top_is_zero: false,
            way_out: Site(0),
        };
        writer.write(eip, items.last().map_or(eip, |last| last.found.next));
        writer.finish();
        self.items = items;
        true
    }

    /// Finds the instructions of the block at `eip`, and says what address is behind the last, or behind
    /// the one for the reference that is all of the block.
    fn discover(
        &mut self,
        memory: &AddressSpace,
        environment: &Environment,
        surroundings: &Surroundings,
        eip: u32,
    ) -> Option<u32> {
        self.items.clear();
        self.based = false;
        let mut window = CodeWindow::new();
        let mut end = eip;
        let mut branches = 0;
        while self.items.len() < MOST && branches < MOST_BRANCHES {
            let Some(found) = find(&mut window, memory, environment, end) else { break };
            let (next, flow, backwards) = (found.next, found.flow, found.target <= eip);
            let Some(item) = Item::of(found, surroundings, &self.traits, &mut self.based) else {
                if self.items.is_empty() {
                    // The block is a way to the reference.
                    end = next;
                }
                break;
            };
            end = next;
            let kind = item.kind;
            self.items.push(item);
            match flow {
                // Behind it something may be left of it to be done.
                Flow::Next if ends_block(kind) => break,
                Flow::Next => {}
                Flow::Branch if !backwards => branches += 1,
                Flow::Branch | Flow::Jump | Flow::Recheck => break,
            }
        }
        (end != eip).then_some(end)
    }
}

/// Whether a block ends behind an instruction of this kind, though the next one follows it.
const fn ends_block(kind: Kind) -> bool {
    matches!(kind, Kind::Repeated | Kind::Scan | Kind::Direction)
}

/// The place in the block where `target` is, behind the instruction at place `at`.
fn join(items: &[Item], at: usize, target: u32) -> Option<usize> {
    let behind = at + 1;
    items[behind..].iter().position(|item| item.found.eip() == target).map(|distance| behind + distance)
}

/// Where segments begin.
fn segments(items: &[Item]) -> u64 {
    let mut starts = 1;
    for (at, branch) in items.iter().enumerate().filter(|(_, item)| item.found.flow == Flow::Branch) {
        let joined = join(items, at, branch.found.target);
        for start in [Some(at + 1), joined].into_iter().flatten().filter(|start| *start < MOST) {
            starts |= 1 << start;
        }
    }
    starts
}

/// Where the first segment behind place `at` begins; `all` if none does.
const fn next_segment(segments: u64, at: usize, all: usize) -> usize {
    let behind = segments & (!1 << at);
    let next = behind.trailing_zeros() as usize;
    if next < all { next } else { all }
}

/// The last place before every way out, and near the start, where nobody sees the flags: the instruction
/// there sets them all, and cannot fault.
fn place(items: &[Item]) -> Option<usize> {
    let leaves = |item: &Item| item.found.flow != Flow::Next || ends_block(item.kind);
    let near = &items[..items.len().min(MOST_UNCOUNTED)];
    let first_exit = near.iter().position(leaves).unwrap_or(near.len());
    near[..first_exit].iter().rposition(|item| {
        if !item.traits.contains(Traits::FLAGS) {
            return false;
        }
        let effect = FlagEffect::of(&item.found.instruction);
        !effect.observes_all && effect.read.is_empty() && effect.written == Eflags::STATUS
    })
}

impl Writer<'_> {
    fn write(&mut self, eip: u32, end: u32) {
        // What is rare lies before the entry, in a short jump's reach.
        self.way_out = self.emit.jmp();
        (self.draft.entry, self.draft.loaded_entry) = (self.emit.offset(), self.emit.offset());
        self.enter(eip);
        for at in 0..self.items.len() {
            self.at = at;
            self.begin_segment(at);
            match self.place {
                Some(place) if place == at => self.count(),
                None if at == 0 => self.count_first(),
                _ => {}
            }
            self.point(at, Fix::None);
            self.may_be_entered();
            self.instruction(at);
        }
        match self.items.last().map(|item| item.kind) {
            Some(Kind::Jump | Kind::Call | Kind::Return | Kind::Direction) => {}
            // What follows begins a block.
            Some(Kind::Branch | Kind::CounterBranch) if self.counting.is_some() => self.edge(end),
            Some(kind) if ends_block(kind) => self.edge_inside(end),
            Some(_) if self.ends_by_itself() => self.edge_inside(end),
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
        let is_branch = |item: &&Item| item.found.flow == Flow::Branch;
        let branches = self.items.iter().filter(is_branch).count();
        let start = self.items[0].found.eip();
        let backwards = self.items.last().filter(is_branch).is_some_and(|last| last.found.target <= start);
        self.items.len() >= MOST || branches >= MOST_BRANCHES || backwards
    }

    fn instruction(&mut self, at: usize) {
        let items = self.items;
        let item = &items[at];
        let found = &item.found;
        let instruction = &found.instruction;
        if item.names_stack && matches!(item.kind, Kind::Plain | Kind::Address | Kind::Step) {
            if self.moves_stack(item, at) {
                return;
            }
            self.settle_stack();
        }
        match item.kind {
            Kind::Nothing => {}
            Kind::Plain => {
                self.keep_top(at);
                self.plain(item);
            }
            Kind::Address => self.load_address(item),
            Kind::Step => self.step(instruction),
            Kind::Push => self.push(item),
            Kind::Pop => self.pop(item),
            Kind::Leave => self.leave(),
            Kind::Xlat => self.xlat(),
            Kind::String => self.string(instruction),
            Kind::Repeated => self.repeated(instruction, at),
            Kind::Scan => self.scan(found, at),
            Kind::Direction => self.direction(found),
            Kind::Branch => self.branch(found, at),
            Kind::CounterBranch => self.counter_branch(found, at),
            Kind::Jump => self.jump(item),
            Kind::Call => self.call(item),
            Kind::Return => self.ret(instruction),
        }
    }

    /// Counts the instructions of the segment that begins at place `at`, if one does; the first one's are
    /// counted elsewhere.
    fn begin_segment(&mut self, at: usize) {
        if at == 0 || self.segments >> at & 1 == 0 {
            return;
        }
        self.end = next_segment(self.segments, at, self.items.len());
        self.settle_stack();
        self.count_segment(at);
        let count = self.end - at;
        self.emit.lea_wide(LEFT, Mem::host(LEFT, -(count as i32)));
        self.top_is_zero = false;
    }

    /// Counts the first segment's instructions, if there are as many left as the block can execute. The flags
    /// are lost.
    fn count(&mut self) {
        self.settle_stack();
        let again = self.emit.offset();
        let (first, all) = (self.end as i32, self.items.len() as i32);
        let single = first == all;
        self.emit.alu_wide(if single { alu::SUB } else { alu::CMP }, LEFT, all);
        let site = self.emit.jcc(condition::LESS);
        if !single {
            self.emit.lea_wide(LEFT, Mem::host(LEFT, -first));
        }
        self.draft.cold.push(Cold::Refill { site, again, single });
    }

    /// The same before the first instruction, where somebody may see the flags: none changes.
    fn count_first(&mut self) {
        let again = self.emit.offset();
        let (first, all) = (self.end as i32, self.items.len() as i32);
        // RCX becomes zero if there are too few.
        self.emit.copy_wide(R9, RCX);
        self.emit.lea_wide(R8, Mem::host(LEFT, -all));
        self.emit.modrm(Opcode::wide(0xf7), 2, Rm::Reg(R8));
        self.emit.raw(&SHRX_RCX_R8_R13);
        self.emit.lea_wide(LEFT, Mem::host(LEFT, -first));
        let distance = (self.way_out.0 - 1).wrapping_sub(self.emit.offset() + 2);
        self.emit.raw(&[JRCXZ, distance as u8]);
        self.emit.copy_wide(RCX, R9);
        self.draft.cold.push(Cold::RefillFirst { again, first });
    }

    /// A jump of the instruction at place `at` to `target`: to where that is further down in the block, or
    /// out of it.
    pub(super) fn lead(&mut self, site: Site, at: usize, target: u32) {
        match join(self.items, at, target) {
            Some(place) => self.draft.joins.push((site, place)),
            None => self.cold_edge(site, target, false),
        }
    }

    /// Loads the x87 state unless it is loaded. What is rare of it lies before that, too. Returns where it
    /// begins.
    pub(super) fn require_x87(&mut self) -> u32 {
        let cold = self.emit.offset();
        let site = self.emit.call();
        self.emit.bind(site, self.stubs.load_x87);
        let back = self.emit.short(JMP_SHORT);
        let entry = self.emit.offset();
        self.emit.copy_wide(R8, RCX);
        self.emit.load(RCX, Frame::x87_loaded());
        let distance = cold.wrapping_sub(self.emit.offset() + 2);
        self.emit.raw(&[JRCXZ, distance as u8]);
        self.emit.bind_short(back);
        self.emit.copy_wide(RCX, R8);
        entry
    }

    /// Saves TOP before an MMX instruction that may fault.
    fn keep_top(&mut self, at: usize) {
        let items = self.items;
        let item = &items[at];
        if !item.uses_x87() {
            return;
        }
        let mmx = item.traits.contains(Traits::MMX);
        if mmx && !self.top_is_zero && item.memory.is_some() {
            // mov r8d, eax; fnstsw ax; mov [frame], eax; mov eax, r8d
            self.emit.copy(R8, RAX);
            self.emit.raw(&[0xdf, 0xe0]);
            self.emit.store(Frame::x87_status(), RAX);
            self.emit.copy(RAX, R8);
            self.point(at, Fix::Top);
        }
        // With an operand in memory these two use no MMX register.
        let converts =
            matches!(item.found.instruction.operation(), Operation::Cvtpi2ps | Operation::Cvtpi2pd);
        self.top_is_zero = mmx && !(converts && item.memory.is_some());
    }

    /// From here on the host executes the instruction at place `at`.
    pub(super) fn point(&mut self, at: usize, fix: Fix) {
        let eip = self.items[at].found.eip();
        let counted = if self.place.is_some_and(|place| at < place) { 0 } else { self.end };
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

    /// Writes what is rarely executed.
    fn finish(&mut self) {
        self.draft.host.end = self.emit.offset();
        core::mem::swap(&mut self.emit, &mut self.apart);
        let mut all = core::mem::take(&mut self.draft.cold);
        for cold in all.drain(..) {
            match cold {
                Cold::Count { site, eip, back } => {
                    self.apart.bind(site, self.emit.offset());
                    self.count_block(eip);
                    let jump = self.emit.jmp();
                    self.emit.bind(jump, back);
                }
                Cold::Edge { site, target, backwards, inside } => {
                    let stub = self.emit.offset();
                    self.apart.bind(site, stub);
                    self.emit.immediate(R8, target);
                    let jump = self.emit.jmp();
                    let counts = inside && self.counting.is_some();
                    self.emit.bind(jump, if counts { self.stubs.inside } else { self.stubs.unlinked });
                    let loaded = self.draft.uses_x87;
                    self.draft.exits.push(Exit { site, stub, target, backwards, loaded, inside });
                }
                Cold::Chunks { site, left, eip, back } => {
                    self.apart.bind(site, self.emit.offset());
                    self.chunks(left, eip, back);
                }
                Cold::Refill { site, again, single } => self.refill(site, again, single),
                Cold::RefillFirst { again, first } => self.refill_first(again, first),
            }
        }
        self.draft.cold = all;
        self.draft.rare.end = self.emit.offset();
    }

    /// Instructions of the segment that were counted, from the one at place `at` on.
    pub(super) const fn counted(&self, at: usize) -> i32 {
        (self.end - at) as i32
    }

    /// Leaves the instruction at `eip` to the reference; from it on `left` were counted.
    pub(super) fn reference(&mut self, left: i32, eip: u32) {
        self.emit.lea_wide(LEFT, Mem::host(LEFT, left));
        self.emit.immediate(R8, eip);
        let jump = self.emit.jmp();
        self.emit.bind(jump, self.stubs.reference);
    }

    fn refill(&mut self, site: Site, again: u32, single: bool) {
        self.apart.bind(site, self.emit.offset());
        if single {
            self.emit.lea_wide(LEFT, Mem::host(LEFT, self.items.len() as i32));
        }
        let before = self.place.unwrap_or(0);
        self.go_on_at(again, before, self.stubs.refill_lost[before]);
    }

    fn refill_first(&mut self, again: u32, first: i32) {
        self.apart.bind(self.way_out, self.emit.offset());
        self.emit.copy_wide(RCX, R9);
        self.emit.lea_wide(LEFT, Mem::host(LEFT, first));
        self.go_on_at(again, 0, self.stubs.refill);
    }

    /// Has `refill` go on at `again`, with the instruction at place `at`.
    fn go_on_at(&mut self, again: u32, at: usize, refill: u32) {
        self.emit.immediate(R8, self.items[at].found.eip());
        let back = self.emit.lea_rip(R9);
        self.emit.bind(back, again);
        let jump = self.emit.jmp();
        self.emit.bind(jump, refill);
    }
}
