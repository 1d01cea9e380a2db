//! Three ways from one operation of an interpreter to the next, on the same small machine: a loop
//! around a `match`, a loop that calls through function pointers, and handlers that end by calling
//! the next one, which optimised builds turn into jumps.
//! `cargo bench -p pentimento-benches --bench dispatch`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// The registers, the flags' operands and the memory, with the branches that are left.
struct Machine {
    registers: [u32; 8],
    flags: [u32; 2],
    memory: Vec<u32>,
    left: u32,
}

impl Machine {
    fn new(rounds: u32) -> Self {
        Self {
            registers: [1, 0, 3, 4, u32::MAX, 6, 7, 8],
            flags: [0; 2],
            memory: vec![5; 1024],
            left: rounds,
        }
    }

    fn get(&self, register: u8) -> u32 {
        self.registers[usize::from(register % 8)]
    }

    fn set(&mut self, register: u8, value: u32) {
        self.registers[usize::from(register % 8)] = value;
    }

    /// The place of an address, checked as an entry of a page table is.
    fn place(&mut self, address: u32) -> Option<&mut u32> {
        self.memory.get_mut((address >> 2) as usize)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Add,
    Sub,
    Xor,
    AndImmediate,
    AddImmediate,
    Shift,
    Load,
    Store,
    BranchUnlessZero,
}

/// An operation. Each technique looks at what it needs.
#[derive(Clone, Copy)]
struct Op {
    kind: Kind,
    called: fn(&Op, &mut Machine) -> Flow,
    chained: fn(&[Op], usize, &mut Machine) -> u32,
    a: u8,
    b: u8,
    immediate: u32,
}

/// Where execution goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Back,
    Stop,
}

/// The work of one operation; a constant where the technique knows which.
#[inline(always)]
fn execute(kind: Kind, op: &Op, machine: &mut Machine) -> Flow {
    let (a, b) = (machine.get(op.a), machine.get(op.b));
    let result = match kind {
        Kind::Add => a.wrapping_add(b),
        Kind::Sub => a.wrapping_sub(b),
        Kind::Xor => a ^ b,
        Kind::AndImmediate => a & op.immediate,
        Kind::AddImmediate => a.wrapping_add(op.immediate),
        Kind::Shift => a << 1,
        Kind::Load => {
            let Some(place) = machine.place(b) else { return Flow::Stop };
            let value = *place;
            machine.set(op.a, value);
            return Flow::Next;
        }
        Kind::Store => {
            let Some(place) = machine.place(b) else { return Flow::Stop };
            *place = a;
            return Flow::Next;
        }
        Kind::BranchUnlessZero => {
            machine.left = machine.left.wrapping_sub(1);
            let taken = machine.flags[0] != machine.flags[1] && machine.left != 0;
            return if taken { Flow::Back } else { Flow::Stop };
        }
    };
    machine.set(op.a, result);
    machine.flags = [a, b];
    Flow::Next
}

/// A handler for [`Op::called`].
fn called<const KIND: u8>(op: &Op, machine: &mut Machine) -> Flow {
    execute(KINDS[KIND as usize], op, machine)
}

/// A handler for [`Op::chained`].
fn chained<const KIND: u8>(ops: &[Op], at: usize, machine: &mut Machine) -> u32 {
    let Some(op) = ops.get(at) else { return 0 };
    let next = match execute(KINDS[KIND as usize], op, machine) {
        Flow::Next => at + 1,
        Flow::Back => 0,
        Flow::Stop => return machine.registers[0],
    };
    match ops.get(next) {
        Some(op) => (op.chained)(ops, next, machine),
        None => 0,
    }
}

const KINDS: [Kind; 9] = [
    Kind::Add,
    Kind::Sub,
    Kind::Xor,
    Kind::AndImmediate,
    Kind::AddImmediate,
    Kind::Shift,
    Kind::Load,
    Kind::Store,
    Kind::BranchUnlessZero,
];

const fn op<const KIND: u8>(a: u8, b: u8, immediate: u32) -> Op {
    let kind = KINDS[KIND as usize];
    Op { kind, called: called::<KIND>, chained: chained::<KIND>, a, b, immediate }
}

/// Nine operations: load, three that compute, store, two that move the address, count, branch.
fn program() -> Vec<Op> {
    vec![
        op::<6>(0, 1, 0),
        op::<0>(0, 2, 0),
        op::<2>(3, 0, 0),
        op::<5>(3, 0, 0),
        op::<7>(3, 1, 0),
        op::<4>(1, 1, 4),
        op::<3>(1, 1, 0xfff),
        op::<1>(4, 2, 0),
        op::<8>(0, 0, 0),
    ]
}

/// Goes on by `step` until that says to stop.
#[inline(always)]
fn drive(ops: &[Op], machine: &mut Machine, step: impl Fn(&Op, &mut Machine) -> Flow) -> u32 {
    let mut at = 0;
    while let Some(op) = ops.get(at) {
        match step(op, machine) {
            Flow::Next => at += 1,
            Flow::Back => at = 0,
            Flow::Stop => break,
        }
    }
    machine.registers[0]
}

fn by_match(ops: &[Op], machine: &mut Machine) -> u32 {
    drive(ops, machine, |op, machine| execute(op.kind, op, machine))
}

fn by_pointer(ops: &[Op], machine: &mut Machine) -> u32 {
    drive(ops, machine, |op, machine| (op.called)(op, machine))
}

fn by_chain(ops: &[Op], machine: &mut Machine) -> u32 {
    ops.first().map_or(0, |op| (op.chained)(ops, 0, machine))
}

/// A technique: runs the operations until they stop.
type Technique = fn(&[Op], &mut Machine) -> u32;

fn dispatch(criterion: &mut Criterion) {
    // Without optimisation a chain nests: short enough for any stack.
    const ROUNDS: u32 = 1000;
    let ops = program();
    let techniques: [(&str, Technique); 3] =
        [("match loop", by_match), ("function pointers", by_pointer), ("chained handlers", by_chain)];
    let expected = by_match(&ops, &mut Machine::new(ROUNDS));
    let mut group = criterion.benchmark_group("dispatch");
    group.throughput(Throughput::Elements(u64::from(ROUNDS) * ops.len() as u64));
    for (name, technique) in techniques {
        assert_eq!(technique(&ops, &mut Machine::new(ROUNDS)), expected, "{name} computes something else");
        let mut machine = Machine::new(ROUNDS);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                machine.left = ROUNDS;
                technique(black_box(&ops), &mut machine)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
