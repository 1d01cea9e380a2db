//! The engine: when translated code runs, and what happens where it leaves.

use core::fmt;

use pentimento_decoder::Operation;
use pentimento_execute::blocks::fits;
use pentimento_execute::observe::Observed;
use pentimento_execute::semantics::binary_arithmetic::sub;
use pentimento_execute::{Engine, Exit, Guest, REPEAT_CHUNK, Reference, Stop, Until};
use pentimento_interpreter::Interpreter;
use pentimento_memory::Backing;
use pentimento_memory::engine::reservation;
use pentimento_registers::{CpuState, Descriptor, Eflags, Gpr, Mxcsr, SegmentRegister};

use crate::cache::{Cache, Place, Start, instruction_at};
use crate::frame::{Frame, reason};
use crate::host::{has_gs_base, stack_top};
use crate::host_features::{HostFeatures, suffices};
use crate::storm::Storm;
use crate::stubs::SLICE;
use crate::translate::{Fix, MOST, MOST_UNCOUNTED, Surroundings, width};
use crate::x87;

/// Instructions that a guest executes in the interpreter before it is translated.
const HOT: u64 = 1 << 18;

/// Instructions by which translated code may overrun what it is given.
const TAIL: u64 = MOST_UNCOUNTED as u64;

/// Instructions that translated code is given at once, so that sums of them are far from any limit.
const MOST_GIVEN: u64 = 1 << 40;

/// Tallies that translated code adds to; each makes every block longer.
const MOST_TALLIES: usize = 16;

/// Instructions that are executed one by one at the end of a budget, at most: more are a block.
const MOST_STEPS: u64 = MOST as u64 + TAIL;

/// The translator, with the blocks that it has translated.
///
/// Its blocks are those of one address space. Given another one, it keeps those whose code is there, too.
pub struct Translator {
    interpreter: Interpreter,
    /// `None` until the guest is hot.
    cache: Option<Box<Cache>>,
    /// The blocks that count, while none of them runs; while some do, the others.
    counting: Option<Box<Cache>>,
    frame: Box<Frame>,
    surroundings: Surroundings,
    /// Instructions that the guest still executes in the interpreter.
    cold: u64,
    /// Where the guest was interrupted: it goes on in the middle of a block, rather than at the beginning
    /// of another one that nobody jumps to.
    interrupted: Option<u32>,
    storm: Storm,
    /// Translated code was left at an indirect jump, whose target is not in the jump table.
    indirect: bool,
    /// The host has no memory for code: the interpreter executes everything.
    refused: bool,
}

// SAFETY: the frame's pointers are set before each run and not used after it.
#[allow(unsafe_code, reason = "the frame holds pointers while translated code runs")]
unsafe impl Send for Translator {}

/// Who hears of what happens, if the blocks are those that count.
type Watching<'o, 'a> = Option<&'o mut Observed<'a>>;

/// What is next for the guest after translated code has been left.
enum Next {
    /// Translated code.
    Translated,
    /// The interpreter, for a while.
    Interpreter,
    /// As many single instructions as are still to be executed: fewer than a block has.
    Steps,
    /// Its owner.
    Leave(Exit),
}

impl Translator {
    /// A translator that knows no block yet. Guests begin in the interpreter.
    #[must_use]
    pub fn new() -> Self {
        Self::with(HOT, false)
    }

    /// A translator that translates from the first instruction on, and hands to the reference what leaves
    /// flags open: flags that the SDM calls undefined are then the same as on every engine, whatever the
    /// host's make. For comparing engines.
    #[must_use]
    pub fn eager() -> Self {
        Self::with(0, true)
    }

    fn with(cold: u64, exact: bool) -> Self {
        let features = HostFeatures::detect();
        Self {
            interpreter: Interpreter::new(),
            cache: None,
            counting: None,
            frame: Box::new(Frame::new()),
            surroundings: Surroundings { features, fs: false, gs: false, exact },
            cold,
            interrupted: None,
            storm: Storm::default(),
            indirect: false,
            refused: !Self::is_supported(),
        }
    }

    /// Whether the host's CPU and kernel have what translated code needs; without, the interpreter
    /// executes everything.
    #[must_use]
    pub fn is_supported() -> bool {
        suffices() && has_gs_base()
    }

    /// Whether the guest is in a state that there are translations for. All data segments have one
    /// selector, so that which one x87's last operand was in is no question.
    fn fits(state: &CpuState) -> bool {
        let selector = |register| state.segment(register).selector;
        let data = selector(SegmentRegister::Ds);
        fits(state) && selector(SegmentRegister::Ss) == data && selector(SegmentRegister::Es) == data
    }

    /// Whether an access through FS or GS only adds the base.
    fn is_flat_but_for_base(state: &CpuState, register: SegmentRegister) -> bool {
        state.segment(register).descriptor().is_some_and(|descriptor| {
            Descriptor { base: 0, ..*descriptor } == Descriptor { base: 0, ..Descriptor::FLAT_DATA }
        })
    }

    /// Has a cache and a reservation. Without memory for code the interpreter executes everything;
    /// without a reservation, whose mappings others may give back, it does so for a while.
    fn warm_up(&mut self, guest: &mut Guest<'_>) -> bool {
        if self.refused {
            return false;
        }
        if self.cache.is_none() {
            self.cache = Cache::new(self.surroundings).map(Box::new);
            self.refused = self.cache.is_none();
        }
        if !self.refused && guest.memory.backing() != Backing::Reserved && !guest.memory.reserve() {
            self.cold = HOT;
            return false;
        }
        !self.refused
    }

    /// Runs in the interpreter.
    fn interpret(
        &mut self,
        guest: &mut Guest<'_>,
        until: Until,
        executed: &mut u64,
        observed: &mut Watching<'_, '_>,
    ) -> Next {
        if is_breakpoint(guest, *executed) {
            return Next::Leave(Exit::Breakpoint);
        }
        let stop = match observed {
            None => self.interpreter.run(guest, until),
            Some(observed) => {
                observed.end(guest.state.eip);
                self.interpreter.run_observed(guest, until, observed)
            }
        };
        self.cold = self.cold.saturating_sub(stop.executed);
        *executed += stop.executed;
        match stop.exit {
            Exit::Budget => Next::Translated,
            exit => Next::Leave(exit),
        }
    }

    /// Runs translated code from EIP on, at most `given` instructions. Adds to `executed` how many there
    /// were.
    fn enter(
        &mut self,
        guest: &mut Guest<'_>,
        given: u64,
        executed: &mut u64,
        observed: &mut Watching<'_, '_>,
    ) -> Next {
        let Some(cache) = self.cache.as_mut() else { return Next::Interpreter };
        self.surroundings.fs = Self::is_flat_but_for_base(guest.state, SegmentRegister::Fs);
        self.surroundings.gs = Self::is_flat_but_for_base(guest.state, SegmentRegister::Gs);
        cache.refresh(guest.memory, guest.environment, self.surroundings);
        let backwards = guest.state.eflags.contains(Eflags::DF);
        let eip = guest.state.eip;
        let list = core::mem::take(&mut self.indirect);
        if let Some(rest) = cache.mixed.rest(eip) {
            let until = Until { budget: given, block_end: rest.min(given) };
            let before = *executed;
            let next = self.interpret(guest, until, executed, observed);
            if let Some(cache) = self.cache.as_mut() {
                cache.rest_from(guest.memory, eip, *executed - before);
            }
            return next;
        }
        let inside = observed.as_ref().is_some_and(|observed| !observed.position.is_arriving());
        let arrives = observed.is_some() && !inside;
        let goes_on = self.interrupted.take() == Some(eip) && !backwards && !arrives && !cache.has(eip);
        let middle = if goes_on && given >= MOST as u64 { cache.middle(eip) } else { None };
        let start = match middle {
            Some(start) => start,
            None => match cache.entry(guest.memory, guest.environment, (eip, backwards), list) {
                Some(start) => cache.inside((eip, backwards)).filter(|_| inside).unwrap_or(start),
                None => return reference(guest, executed, observed),
            },
        };
        // Not before: where code is watched, the host takes back its permission to store.
        let (Some(base), Some(stack)) = (reservation(guest.memory), stack_top()) else {
            self.cold = HOT;
            return Next::Translated;
        };
        let frame = &mut *self.frame;
        frame.stack = stack;
        frame.base = base.addr().get() as u64;
        frame.minus_base = (frame.base as u32).wrapping_neg();
        prepare(frame, guest, given, start, cache.uses_x87);
        // SAFETY: the start is the one just asked for; the state and the memory are borrowed from the
        // guest for this call, and the base is that of its memory, as it is now.
        #[allow(unsafe_code, reason = "the call into translated code")]
        unsafe {
            cache.run(frame, start);
        }
        self.left(guest, given, executed, observed)
    }

    /// Takes what translated code has left, of a run of at most `given` instructions.
    fn left(
        &mut self,
        guest: &mut Guest<'_>,
        given: u64,
        executed: &mut u64,
        observed: &mut Watching<'_, '_>,
    ) -> Next {
        let Self { cache: Some(cache), frame, .. } = self else { return Next::Interpreter };
        let place = if frame.reason == reason::FAULT { cache.place(frame.fault) } else { None };
        let mut done = given as i64 - (frame.left + frame.rest as i64);
        if let Some(place) = place {
            done += uncounted(guest, place, frame);
        } else if frame.reason == reason::BUDGET {
            done += i64::from(frame.uncounted);
        }
        finish(frame, guest, cache);
        if let Some(observed) = observed {
            match frame.reason {
                reason::LOOKUP | reason::UNLINKED => observed.position.arrives(),
                // What comes before any of the others was counted.
                _ => observed.position.stays(),
            }
        }
        *executed += done as u64;
        guest.environment.time_stamp = guest.environment.time_stamp.wrapping_add(done as u64);
        debug_assert!(place.is_some() || frame.reason != reason::FAULT, "points cover what may fault");
        if let Some(place) = place {
            cache.statistics().faults += 1;
            fix(guest, place, frame);
            guest.state.eip = place.eip;
            let next = reference(guest, executed, observed);
            if let Ok(address) = u32::try_from(frame.address.wrapping_sub(frame.base)) {
                cache.stored_beside(guest.memory, address);
                if !self.surroundings.exact {
                    self.cold = self.storm.note(guest.environment.time_stamp);
                }
            }
            self.interrupted = Some(guest.state.eip);
            return next;
        }
        match frame.reason {
            reason::REFERENCE => {
                cache.hand_over(guest.memory, guest.state.eip);
                reference(guest, executed, observed)
            }
            reason::BUDGET if frame.flags_lost != 0 => match reference(guest, executed, observed) {
                Next::Translated => Next::Steps,
                next => next,
            },
            reason::BUDGET => Next::Steps,
            reason => {
                self.indirect = reason == reason::LOOKUP;
                Next::Translated
            }
        }
    }
}

/// Instructions that were executed beyond those counted where an exception was raised. ECX becomes a number
/// of iterations if it is none.
fn uncounted(guest: &mut Guest<'_>, place: Place, frame: &Frame) -> i64 {
    let counter = guest.state.gpr(Gpr::Ecx);
    let iterations = match place.fix {
        Fix::Steps => counter << 2 | frame.counter & 3,
        Fix::Destination | Fix::Both => counter,
        _ => return place.uncounted,
    };
    guest.state.set_gpr(Gpr::Ecx, iterations);
    // Those that are left of a repeated instruction were counted.
    place.uncounted - i64::from(iterations.saturating_sub(1) / REPEAT_CHUNK)
}

/// Makes the guest's what an instruction in the middle of its work has left otherwise.
fn fix(guest: &mut Guest<'_>, place: Place, frame: &Frame) {
    let state = &mut *guest.state;
    state.set_gpr(Gpr::Esp, state.gpr(Gpr::Esp).wrapping_add_signed(place.stack_ahead));
    let mut back = |registers: &[Gpr]| {
        for &register in registers {
            state.set_gpr(register, state.gpr(register).wrapping_add(frame.minus_base));
        }
    };
    match place.fix {
        Fix::None => {}
        // The physical registers are what they were.
        Fix::Top => state.x87.top = (frame.x87_status >> 11 & 7) as u8,
        Fix::Destination => back(&[Gpr::Edi]),
        Fix::Both | Fix::Steps => back(&[Gpr::Esi, Gpr::Edi]),
        Fix::Scan => {
            let Ok(instruction) = instruction_at(guest.memory, place.eip) else { return };
            let both = instruction.operation() == Operation::Cmps;
            back(if both { &[Gpr::Esi, Gpr::Edi] } else { &[Gpr::Edi] });
            let counter = state.gpr(Gpr::Ecx).wrapping_add(frame.behind);
            state.set_gpr(Gpr::Ecx, counter);
            if counter != frame.counter {
                compare_last(guest, width(&instruction) as u32, both);
            }
        }
    }
}

/// Sets the flags that the last iteration of a repeated CMPS or SCAS has left: the host's CPU may write
/// them at the end only.
fn compare_last(guest: &mut Guest<'_>, width: u32, both: bool) {
    let element = |register: Gpr| {
        let mut bytes = [0; 4];
        let register = guest.state.gpr(register);
        let backwards = guest.state.eflags.contains(Eflags::DF);
        let address = if backwards { register.wrapping_add(width) } else { register.wrapping_sub(width) };
        // It has just been read.
        let _ = guest.memory.read_bytes(address, &mut bytes[..width as usize]);
        u32::from_le_bytes(bytes)
    };
    let first = if both { element(Gpr::Esi) } else { guest.state.gpr(Gpr::Eax) };
    let second = element(Gpr::Edi);
    let flags = match width {
        1 => sub(first as u8, second as u8).1,
        2 => sub(first as u16, second as u16).1,
        _ => sub(first, second).1,
    };
    guest.state.eflags = guest.state.eflags.difference(Eflags::STATUS).union(flags);
}

/// Executes the instruction at EIP by the reference.
fn reference(guest: &mut Guest<'_>, executed: &mut u64, observed: &mut Watching<'_, '_>) -> Next {
    if is_breakpoint(guest, *executed) {
        return Next::Leave(Exit::Breakpoint);
    }
    let result = match observed {
        None => {
            let before = guest.environment.time_stamp;
            let result = Reference.step(guest);
            *executed += guest.environment.time_stamp.wrapping_sub(before) & 1;
            result
        }
        Some(observed) => observed.step(guest, executed),
    };
    match result {
        Ok(()) if Translator::fits(guest.state) => Next::Translated,
        Ok(()) => Next::Interpreter,
        Err(exit) => Next::Leave(exit),
    }
}

/// Whether EIP has a breakpoint and is not that of the run's first instruction.
fn is_breakpoint(guest: &Guest<'_>, executed: u64) -> bool {
    executed > 0 && guest.environment.breakpoints.contains(guest.state.eip)
}

/// Executes at most `most` instructions by the reference, and `least` at least.
fn steps(
    guest: &mut Guest<'_>,
    (most, least): (u64, u64),
    executed: &mut u64,
    observed: &mut Watching<'_, '_>,
) -> Next {
    let end = *executed + most.min(least);
    while *executed < end {
        match reference(guest, executed, observed) {
            Next::Translated => {}
            next => return next,
        }
    }
    Next::Translated
}

/// Fills the frame for a run of at most `given` instructions.
fn prepare(frame: &mut Frame, guest: &mut Guest<'_>, given: u64, start: Start, uses_x87: bool) {
    let state = &mut *guest.state;
    state.set_gpr(Gpr::Esp, state.gpr(Gpr::Esp).wrapping_add_signed(-start.stack_ahead));
    let slice = given.min(SLICE);
    frame.left = slice as i64 + start.uncounted;
    frame.rest = given - slice;
    frame.stop = guest.environment.stop.flag();
    frame.fs_base = state.segment(SegmentRegister::Fs).base();
    frame.gs_base = state.segment(SegmentRegister::Gs).base();
    let flags = state.eflags;
    let status = flags.intersection(Eflags::STATUS.difference(Eflags::OF)).bits();
    frame.flags = (status & 0xff) << 8 | u32::from(flags.contains(Eflags::OF));
    frame.backwards = u32::from(flags.contains(Eflags::DF));
    frame.mxcsr = state.mxcsr.bits();
    frame.x87_loaded = 0;
    frame.x87_data = u64::MAX;
    if uses_x87 {
        x87::store(&state.x87, &mut frame.x87);
    }
    frame.state = state;
}

/// Takes what the frame holds of the guest's state.
fn finish(frame: &Frame, guest: &mut Guest<'_>, cache: &Cache) {
    let state = &mut *guest.state;
    state.eip = frame.eip;
    state.mxcsr = Mxcsr::from_bits_truncate(frame.mxcsr);
    let mut flags = Eflags::from_bits_truncate(frame.flags >> 8 & 0xff).intersection(Eflags::STATUS);
    flags.set(Eflags::OF, frame.flags & 1 != 0);
    state.eflags = state.eflags.difference(Eflags::STATUS).union(flags);
    state.eflags.set(Eflags::DF, frame.backwards != 0);
    if frame.x87_loaded == 0 {
        return;
    }
    let last = x87::load(&mut state.x87, &frame.x87);
    if let Some(place) = last.and_then(|address| cache.place(cache.offset(address)))
        && let Ok(instruction) = instruction_at(guest.memory, place.eip)
    {
        state.x87.last_instruction = place.eip;
        state.x87.last_instruction_selector = state.segment(SegmentRegister::Cs).selector;
        state.x87.last_opcode = u16::from(instruction.opcode() & 7) << 8 | u16::from(instruction.modrm());
    }
    if let Ok(offset) = u32::try_from(frame.x87_data) {
        state.x87.last_data = offset;
        state.x87.last_data_selector = state.segment(SegmentRegister::Ds).selector;
    }
}

/// A translator whose blocks are those that count, until this goes: also where a device panics.
struct Counted<'a>(&'a mut Translator);

impl<'a> Counted<'a> {
    fn new(translator: &'a mut Translator) -> Self {
        translator.exchange_blocks();
        Self(translator)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.exchange_blocks();
    }
}

impl Translator {
    fn exchange_blocks(&mut self) {
        core::mem::swap(&mut self.cache, &mut self.counting);
        (self.interrupted, self.indirect, self.storm) = (None, false, Storm::default());
    }

    /// Runs with blocks that count what the observer wants counted.
    fn run_counting(&mut self, guest: &mut Guest<'_>, until: Until, observed: &mut Observed<'_>) -> Stop {
        let counted = Counted::new(self);
        let translator = &mut *counted.0;
        if translator.cache.is_none() {
            translator.cache = Cache::new(translator.surroundings).map(Box::new);
        }
        let Some(cache) = &mut translator.cache else {
            return translator.interpreter.run_observed(guest, until, observed);
        };
        cache.count(observed.observer.interests());
        observed.begin(guest.state.eip);
        let stop = translator.run_either(guest, until, Some(observed));
        observed.end(guest.state.eip);
        stop
    }

    /// Runs as [`Engine::run`] says, and with an observer as [`Engine::run_observed`] says, who only counts.
    fn run_either(&mut self, guest: &mut Guest<'_>, until: Until, mut observed: Watching<'_, '_>) -> Stop {
        let Until { budget, block_end } = until;
        let mut executed = 0;
        let mut next = Next::Translated;
        let observed = &mut observed;
        while executed < budget && executed < block_end {
            if guest.environment.stop.take() {
                return Stop { executed, exit: Exit::Stopped };
            }
            let (left, least) = (budget - executed, block_end - executed);
            next = match next {
                Next::Leave(exit) => return Stop { executed, exit },
                Next::Steps => steps(guest, (left.min(MOST_STEPS), least), &mut executed, observed),
                Next::Translated if self.cold > 0 => {
                    let budget = left.min(self.cold);
                    self.interpret(guest, Until { budget, block_end: least }, &mut executed, observed)
                }
                Next::Translated if left <= TAIL => Next::Steps,
                Next::Translated if Self::fits(guest.state) && self.warm_up(guest) => {
                    let given = (left - TAIL).min(least.saturating_add(MOST as u64)).min(MOST_GIVEN);
                    self.enter(guest, given, &mut executed, observed)
                }
                Next::Translated | Next::Interpreter => {
                    let block_end = if self.refused { least } else { 1 };
                    self.interpret(guest, Until { budget: left, block_end }, &mut executed, observed)
                }
            };
        }
        match next {
            Next::Leave(exit) => Stop { executed, exit },
            _ => {
                self.interrupted = Some(guest.state.eip);
                Stop { executed, exit: Exit::Budget }
            }
        }
    }
}

impl Engine for Translator {
    fn run(&mut self, guest: &mut Guest<'_>, until: Until) -> Stop {
        self.run_either(guest, until, None)
    }

    /// In translations that count, where nothing else is wanted; else in the interpreter, whose blocks have
    /// operations that tell of events.
    fn run_observed(&mut self, guest: &mut Guest<'_>, until: Until, observed: &mut Observed<'_>) -> Stop {
        let interests = observed.observer.interests();
        if self.refused || !interests.only_counts() || interests.counts.len() > MOST_TALLIES {
            return self.interpreter.run_observed(guest, until, observed);
        }
        self.run_counting(guest, until, observed)
    }

    fn retire(&mut self) -> bool {
        self.interpreter = Interpreter::new();
        (self.interrupted, self.indirect, self.storm) = (None, false, Storm::default());
        !self.refused
    }

    fn footprint(&self) -> usize {
        self.interpreter.footprint()
            + [&self.cache, &self.counting]
                .into_iter()
                .flatten()
                .map(|cache| cache.footprint())
                .sum::<usize>()
    }

    fn counts(&self) -> Vec<(String, u64)> {
        self.cache.as_ref().map_or_else(Vec::new, |cache| cache.counts())
    }
}

impl Default for Translator {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Translator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Translator").field("refused", &self.refused).finish_non_exhaustive()
    }
}
