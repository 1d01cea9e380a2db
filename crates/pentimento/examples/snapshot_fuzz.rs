//! Finds the bug of a parser: a fuzzer in a page. The machine runs up to where the program first reads, and
//! from there again and again, each time with another input; inputs that lead along new edges are kept, and
//! changed further. (`pentimento-libafl` has all that a real fuzzer needs.)

use std::collections::HashSet;
use std::error::Error;
use std::io::Write;
use std::sync::{Arc, Mutex};

use pentimento::{Edge, Gpr, GuestCall, Halt, Machine, Reply, View};

const PARSER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/programs/parser");
/// Instructions that an input may take: what takes longer is of no use.
const BUDGET: u64 = 300_000;

/// The input that all others come from: a picture whose size is given twice.
const SEED: &[u8] = b"PENTS\x02\x04\x04G\x02\x01\x01R\x02\x03\x01S\x02\x04\x02E\0";

/// After so many executions there is nothing to be found.
const MOST: u32 = 100_000;

/// The input of a run, and the edges that it has taken.
type Run = Arc<Mutex<(Vec<u8>, HashSet<Edge>)>>;

/// Answers read(2) in the kernel's place.
fn answer_read(view: &mut View<'_>, call: &GuestCall, run: &Run) -> Reply {
    if call.name() != Some("read") {
        return Reply::Pass;
    }
    let [_, buffer, length, ..] = call.arguments;
    let mut run = run.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let count = run.0.len().min(length as usize);
    let read: Vec<u8> = run.0.drain(..count).collect();
    if view.memory.poke_bytes(buffer, &read).is_err() {
        return Reply::Pass;
    }
    view.state.set_gpr(Gpr::Eax, count as u32);
    Reply::Done
}

/// A machine that is about to read its input.
fn before_the_first_read() -> Result<Machine, Box<dyn Error>> {
    let mut machine = Machine::builder().program("/parser", std::fs::read(PARSER)?).build()?;
    machine.start(&["/parser"])?;
    let hook = machine.hooks.on_system_call(|view, call| {
        if call.name() != Some("read") {
            return Reply::Pass;
        }
        view.state.eip -= 2; // INT 80h is executed once more
        view.stop();
        Reply::Done
    });
    assert_eq!(machine.run(BUDGET), Halt::Hook(hook));
    machine.hooks.remove(hook);
    Ok(machine)
}

/// Random numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    /// The input with a few bytes changed, or a piece of it repeated elsewhere.
    fn change(&mut self, input: &[u8]) -> Vec<u8> {
        let mut input = input.to_vec();
        for _ in 0..=self.below(4) {
            let (at, from) = (self.below(input.len()), self.below(input.len()));
            if self.below(3) == 0 && input.len() < 400 {
                let piece = input[from..(from + 1 + self.below(6)).min(input.len())].to_vec();
                input.splice(at..at, piece);
            } else {
                input[at] = self.below(256) as u8;
            }
        }
        input
    }
}

/// Fuzzes until a crash is found.
pub(crate) fn show(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut machine = before_the_first_read()?;
    let run = Run::default();
    let (input, edges) = (run.clone(), run.clone());
    machine.hooks.on_system_call(move |view, call| answer_read(view, call, &input));
    machine.hooks.on_edge(.., move |_, edge| {
        edges.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).1.insert(edge);
    });
    let start = machine.snapshot();
    let mut corpus = vec![SEED.to_vec()];
    let (mut known, mut random) = (HashSet::new(), Random(7));
    for executions in 1..=MOST {
        let parent = random.below(corpus.len());
        let input = random.change(&corpus[parent]);
        run.lock().map_err(|_| "a hook has panicked")?.0.clone_from(&input);
        let halt = machine.run(BUDGET);
        machine.restore(&start)?;
        if let Halt::Killed { crash: Some(_), .. } = halt {
            writeln!(out, "{executions} executions, {} inputs kept, {} edges", corpus.len(), known.len())?;
            writeln!(out, "{:?}\n{halt}", String::from_utf8_lossy(&input))?;
            return Ok(());
        }
        let taken = std::mem::take(&mut run.lock().map_err(|_| "a hook has panicked")?.1);
        if !taken.is_subset(&known) {
            known.extend(taken);
            corpus.push(input);
        }
    }
    Err("nothing was found".into())
}

#[allow(dead_code, reason = "the tests call `show`")]
fn main() -> Result<(), Box<dyn Error>> {
    show(&mut std::io::stdout())
}
