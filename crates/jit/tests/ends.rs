//! Accesses at both ends of the address space, in every addressing form: translated code does there what
//! the reference does, and touches nothing else.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests stop where something is wrong")]

use pentimento_execute::{Engine, Environment, Guest, Reference, Stop, Until};
use pentimento_jit::Translator;
use pentimento_memory::engine::reservation;
use pentimento_memory::{AddressSpace, Backing, FrameSource, PAGE_SIZE, Permissions};
use pentimento_registers::{CpuState, Descriptor, DescriptorTables, Eflags, Segment};

const CODE: u32 = 0x4000_0000;
const LAST_PAGE: u32 = 0u32.wrapping_sub(PAGE_SIZE);
/// Pages at both ends: a writable one at the very end, and one behind it that can only be read.
const ENDS: [(u32, Permissions); 4] = [
    (0, Permissions::READ.union(Permissions::WRITE)),
    (PAGE_SIZE, Permissions::READ),
    (LAST_PAGE - PAGE_SIZE, Permissions::READ),
    (LAST_PAGE, Permissions::READ.union(Permissions::WRITE)),
];

/// What there is at both ends before each case.
fn fill_ends(memory: &mut AddressSpace) {
    for (start, _) in ENDS {
        let bytes: Vec<u8> = (0..PAGE_SIZE).map(|offset| (offset * 7 + start / PAGE_SIZE) as u8).collect();
        memory.poke_bytes(start, &bytes).unwrap();
    }
}

fn ends_of(memory: &mut AddressSpace) -> Vec<u8> {
    let mut ends = vec![0; ENDS.len() * PAGE_SIZE as usize];
    for ((start, _), bytes) in ENDS.iter().zip(ends.chunks_mut(PAGE_SIZE as usize)) {
        memory.read_bytes(*start, bytes).unwrap();
    }
    ends
}

/// Memory with pages at the ends.
fn memory(frames: &FrameSource) -> AddressSpace {
    let mut memory = AddressSpace::try_new_from(frames, Backing::Paged).unwrap();
    for (start, permissions) in ENDS {
        memory.map(start, PAGE_SIZE, permissions).unwrap();
    }
    memory
}

/// Other guests, whose reservations the host puts around that of a machine: what leaves the one lands in
/// another.
struct Neighbours {
    spaces: Vec<AddressSpace>,
    /// How many lie beside the machine's.
    beside: usize,
}

impl Neighbours {
    /// Two below `between` and two above, if the host puts one reservation beside the other.
    fn of(between: &mut AddressSpace, frames: &FrameSource) -> Self {
        let reserved = |space: &mut AddressSpace| {
            assert!(space.reserve());
            reservation(space).map(|base| base.addr().get()).unwrap()
        };
        let mut others: Vec<AddressSpace> = (0..4).map(|_| memory(frames)).collect();
        others.iter_mut().for_each(fill_ends);
        let mut bases = vec![reserved(&mut others[0]), reserved(&mut others[1])];
        let own = reserved(between);
        bases.extend([reserved(&mut others[2]), reserved(&mut others[3])]);
        let beside = bases.iter().filter(|base| base.abs_diff(own) < 9 << 29).count();
        Self { spaces: others, beside }
    }

    fn check(&mut self) {
        let mut expected = memory(&FrameSource::new());
        fill_ends(&mut expected);
        let expected = ends_of(&mut expected);
        for space in &mut self.spaces {
            assert!(ends_of(space) == expected, "a guest has reached another one's memory");
        }
    }
}

/// A machine with pages at the ends.
struct Bench {
    engine: Box<dyn Engine>,
    memory: AddressSpace,
    environment: Environment,
    cases: u32,
}

impl Bench {
    fn new(engine: Box<dyn Engine>, frames: &FrameSource) -> Self {
        let mut memory = memory(frames);
        memory.map(CODE, 16 * PAGE_SIZE, Permissions::READ | Permissions::EXECUTE).unwrap();
        Self { engine, memory, environment: Environment::default(), cases: 0 }
    }

    /// Runs `code` and INT 80h from these registers; what came of it, with a digest of both ends.
    fn run(&mut self, code: &[u8], registers: [u32; 8], backwards: bool) -> (Stop, CpuState, Vec<u8>) {
        fill_ends(&mut self.memory);
        // Another place each time, so that nothing is translated twice.
        let place = CODE + self.cases % 1000 * 64;
        self.cases += 1;
        let mut bytes = [0x90; 64];
        bytes[..code.len()].copy_from_slice(code);
        bytes[code.len()..code.len() + 2].copy_from_slice(&[0xcd, 0x80]);
        self.memory.poke_bytes(place, &bytes).unwrap();
        let mut state = CpuState::new();
        *state.gprs_mut() = registers;
        state.eip = place;
        state.xmm = core::array::from_fn(|number| 0x0102_0304_0506_0708_u128 * (number as u128 + 3));
        state.eflags.set(Eflags::DF, backwards);
        let base = Descriptor { base: 0xffff_fff0, ..Descriptor::FLAT_DATA };
        state.segments[5] = Segment::new(0x63, Some(base));
        let mut guest = Guest {
            state: &mut state,
            memory: &mut self.memory,
            environment: &mut self.environment,
            descriptors: DescriptorTables::EMPTY,
        };
        let stop = self.engine.run(&mut guest, Until::budget(10_000));
        (stop, state, ends_of(&mut self.memory))
    }
}

/// Runs both machines, and compares them.
fn compare(reference: &mut Bench, translator: &mut Bench, code: &[u8], registers: [u32; 8], backwards: bool) {
    let (expected_stop, expected, expected_ends) = reference.run(code, registers, backwards);
    let (stop, state, ends) = translator.run(code, registers, backwards);
    let context = format!("{code:02x?} with {registers:x?}");
    assert_eq!(stop, expected_stop, "{context}");
    assert_eq!(state, expected, "{context}");
    assert!(ends == expected_ends, "memory differs: {context}");
}

fn benches() -> (Bench, Bench, Neighbours) {
    // One source, so that nothing else is mapped between the reservations.
    let frames = FrameSource::new();
    let reference = Bench::new(Box::new(Reference), &frames);
    let mut translator = Bench::new(Box::new(Translator::eager()), &frames);
    let neighbours = Neighbours::of(&mut translator.memory, &frames);
    (reference, translator, neighbours)
}

/// Register values that reach an end, go over it, or add up to it.
const VALUES: [u32; 8] = [0, 4, 0xfff, 0x7fff_ffff, 0x8000_0000, 0xffff_f000, 0xffff_fff9, 0xffff_ffff];

/// Opcodes with a ModRM byte whose reg field is a register or zero: loads, stores and both, of one to
/// 512 bytes.
const OPCODES: &[&[u8]] = &[
    &[0x8b],
    &[0x89],
    &[0x8a],
    &[0x88],
    &[0x01],
    &[0x3b],
    &[0x66, 0x89],
    &[0x87],
    &[0x0f, 0xb7],
    &[0x0f, 0x6f],
    &[0x0f, 0x7f],
    &[0xf3, 0x0f, 0x6f],
    &[0xf3, 0x0f, 0x7f],
    &[0x0f, 0x10],
    &[0x0f, 0x28],
    &[0xf2, 0x0f, 0x10],
    &[0x65, 0x8b],
    &[0x65, 0x89],
    &[0x8d],
];

/// The same with the reg field fixed: x87 loads and stores, PUSH, POP, INC, saves of the whole state.
const EXTENDED: &[(&[u8], u8)] = &[
    (&[0xdb], 5),
    (&[0xdb], 7),
    (&[0xdd], 0),
    (&[0xdd], 3),
    (&[0xd9], 7),
    (&[0xff], 6),
    (&[0x8f], 0),
    (&[0xff], 0),
    (&[0xff], 2),
    (&[0xff], 4),
    (&[0x0f, 0xae], 0),
    (&[0xdd], 6),
    (&[0x0f, 0xc7], 1),
    (&[0x0f, 0xae], 3),
];

/// The bytes of an operand: ModRM, SIB and displacement.
fn forms() -> Vec<Vec<u8>> {
    let displacements: [u32; 6] = [0, 0x7f, 0xffff_ff80, 0x7fff_fff0, 0x8000_0000, 0xffff_fffc];
    let mut forms = Vec::new();
    for rm in [0, 4, 5, 6] {
        for mode in 0..3_u8 {
            let sibs: &[u8] = if rm == 4 { &[0x24, 0x0b, 0xc8, 0x4c, 0xa5, 0x25] } else { &[0] };
            for sib in sibs {
                for displacement in displacements {
                    let mut form = vec![mode << 6 | rm];
                    if rm == 4 {
                        form.push(*sib);
                    }
                    let wide = mode == 2 || mode == 0 && (rm == 5 || rm == 4 && sib & 7 == 5);
                    match (mode, wide) {
                        (_, true) => form.extend(displacement.to_le_bytes()),
                        (1, _) => form.push(displacement as u8),
                        _ => {}
                    }
                    forms.push(form);
                }
            }
        }
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

#[test]
fn every_addressing_form_does_at_the_ends_what_the_reference_does() {
    let (mut reference, mut translator, mut neighbours) = benches();
    let opcodes = OPCODES.iter().map(|opcode| (*opcode, 2)).chain(EXTENDED.iter().copied());
    if neighbours.beside == 0 {
        eprintln!("skipped in part: the host puts reservations apart, and nobody lies beside a guest");
    }
    let mut tried = 0_u32;
    for (opcode, reg) in opcodes {
        for form in forms() {
            for first in VALUES {
                let second = VALUES[(tried as usize * 5 + 3) % VALUES.len()];
                let mut code = opcode.to_vec();
                code.push(form[0] | reg << 3);
                code.extend(&form[1..]);
                // EAX, EBX, ESP, EBP and ESI address; ECX counts and is an index.
                let registers = [first, second, 0x0102_0304, second, first, first, second, first];
                compare(&mut reference, &mut translator, &code, registers, false);
                tried += 1;
            }
        }
    }
    neighbours.check();
    assert!(tried > 20_000, "{tried}");
    let faults = translator.engine.counts().into_iter().find(|(name, _)| name == "exceptions of the host");
    assert!(faults.is_some_and(|(_, count)| count > 5000), "translated code ran into the ends");
}

#[test]
fn strings_and_the_stack_stop_at_the_ends() {
    let (mut reference, mut translator, mut neighbours) = benches();
    let strings: &[&[u8]] = &[
        &[0xa4],
        &[0xa5],
        &[0xaa],
        &[0xab],
        &[0xac],
        &[0xae],
        &[0xa6],
        &[0xa7],
        &[0xf3, 0xa4],
        &[0xf3, 0xa5],
        &[0xf3, 0xaa],
        &[0xf3, 0xab],
        &[0xf3, 0xa6],
        &[0xf2, 0xae],
        &[0xf3, 0x66, 0xa5],
        &[0xf2, 0x66, 0xaf],
        &[0x50],
        &[0x58],
        &[0x60],
        &[0x61],
        &[0xc9],
        &[0xc3],
        &[0x68, 1, 2, 3, 4],
        &[0x54],
        &[0x5c],
        &[0xd7],
        &[0x50, 0x51, 0x52, 0x53, 0x56],
    ];
    for code in strings {
        for first in VALUES {
            for second in VALUES {
                for counter in [0, 1, 3, 1024, 1025, 5000, 0xffff_ffff] {
                    for backwards in [false, true] {
                        let registers = [7, counter, 0, second, first, first, first, second];
                        compare(&mut reference, &mut translator, code, registers, backwards);
                    }
                }
            }
        }
    }
    neighbours.check();
}
