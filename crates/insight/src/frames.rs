//! Call frame information: how to get from a function's registers to its caller's.

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, DebugFrame, EhFrame, Encoding, EndianSlice, Evaluation,
    EvaluationResult, Expression, LittleEndian, Location, Register, RegisterRule, UnwindContext,
    UnwindExpression, UnwindSection, UnwindTableRow, Value,
};

use crate::registers::{Memory, Registers};
use crate::sections::Sections;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// DWARF's number of EIP; those before it are the general registers as they are encoded.
const EIP: u16 = 8;

/// Which section describes a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Section {
    Eh,
    Debug,
}

/// Where a range of code is described.
#[derive(Clone, Copy, Debug)]
struct Description {
    start: u32,
    end: u32,
    section: Section,
    offset: usize,
}

/// All that a file describes, by address.
#[derive(Debug, Default)]
pub(crate) struct Frames(Vec<Description>);

impl Frames {
    /// Reads the index of a file's tables.
    pub(crate) fn of(sections: &Sections) -> Self {
        let mut found = Vec::new();
        index(&eh_frame(sections), &bases(sections), Section::Eh, &mut found);
        index(&debug_frame(sections), &bases(sections), Section::Debug, &mut found);
        found.sort_by_key(|description| description.start);
        Self(found)
    }

    /// The caller's registers, if the table describes the code at `address`; whether the caller was
    /// interrupted there, and its EIP is no return address.
    pub(crate) fn step(
        &self,
        sections: &Sections,
        address: u32,
        registers: &Registers,
        memory: &mut Memory<'_>,
    ) -> Option<(Registers, bool)> {
        let behind = self.0.partition_point(|description| description.start <= address);
        let description = self.0.get(behind.checked_sub(1)?).filter(|found| address < found.end)?;
        let mut walk = Walk { sections, address, registers, memory };
        match description.section {
            Section::Eh => walk.step(&eh_frame(sections), gimli::EhFrameOffset(description.offset)),
            Section::Debug => walk.step(&debug_frame(sections), gimli::DebugFrameOffset(description.offset)),
        }
    }
}

fn eh_frame(sections: &Sections) -> EhFrame<Bytes<'_>> {
    let mut section = EhFrame::new(sections.section(".eh_frame").0, LittleEndian);
    section.set_address_size(4);
    section
}

fn debug_frame(sections: &Sections) -> DebugFrame<Bytes<'_>> {
    let mut section = DebugFrame::new(sections.section(".debug_frame").0, LittleEndian);
    section.set_address_size(4);
    section
}

/// What addresses in the tables are relative to.
fn bases(sections: &Sections) -> BaseAddresses {
    BaseAddresses::default()
        .set_eh_frame(sections.section(".eh_frame").1.into())
        .set_text(sections.section(".text").1.into())
        .set_got(sections.section(".got").1.into())
}

fn index<'a, S>(section: &S, bases: &BaseAddresses, kind: Section, found: &mut Vec<Description>)
where
    S: UnwindSection<Bytes<'a>>,
    S::Offset: gimli::UnwindOffset<usize>,
{
    let mut entries = section.entries(bases);
    // What stands behind an error cannot be found.
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let Ok(entry) = partial.parse(S::cie_from_offset) else { continue };
        let start = entry.initial_address() as u32;
        let end = start.saturating_add(u32::try_from(entry.len()).unwrap_or(u32::MAX));
        found.push(Description { start, end, section: kind, offset: entry.offset() });
    }
}

/// A step from a function to its caller.
struct Walk<'a, 'm> {
    sections: &'a Sections,
    address: u32,
    registers: &'a Registers,
    memory: &'a mut Memory<'m>,
}

impl<'a> Walk<'a, '_> {
    fn step<S>(&mut self, section: &S, offset: S::Offset) -> Option<(Registers, bool)>
    where
        S: UnwindSection<Bytes<'a>>,
    {
        let bases = bases(self.sections);
        let entry = section.fde_from_offset(&bases, offset, S::cie_from_offset).ok()?;
        let mut context = UnwindContext::new();
        let row = entry.unwind_info_for_address(section, &bases, &mut context, self.address.into()).ok()?;
        let encoding = entry.cie().encoding();
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                self.register(*register)?.wrapping_add(*offset as u32)
            }
            CfaRule::Expression(expression) => self.evaluate(section, expression, encoding, None)?,
        };
        let mut caller = *self.registers;
        for number in 0..8 {
            let value = self.value(section, row, Register(number), cfa, encoding);
            caller.general[usize::from(number)] = value.unwrap_or(caller.general[usize::from(number)]);
        }
        if matches!(row.register(Register(4)), RegisterRule::Undefined | RegisterRule::SameValue) {
            caller.general[4] = cfa;
        }
        let back = entry.cie().return_address_register();
        if row.register(back) == RegisterRule::Undefined {
            return None;
        }
        caller.eip = self.value(section, row, Register(EIP), cfa, encoding)?;
        Some((caller, entry.is_signal_trampoline()))
    }

    fn register(&self, register: Register) -> Option<u32> {
        match register.0 {
            EIP => Some(self.registers.eip),
            number => self.registers.general.get(usize::from(number)).copied(),
        }
    }

    /// What a register had in the caller.
    fn value<S>(
        &mut self,
        section: &S,
        row: &UnwindTableRow<usize>,
        register: Register,
        cfa: u32,
        encoding: Encoding,
    ) -> Option<u32>
    where
        S: UnwindSection<Bytes<'a>>,
    {
        match row.register(register) {
            RegisterRule::Offset(offset) => self.memory.word(cfa.wrapping_add(offset as u32)),
            RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add(offset as u32)),
            RegisterRule::Register(other) => self.register(other),
            RegisterRule::Expression(expression) => {
                let address = self.evaluate(section, &expression, encoding, Some(cfa))?;
                self.memory.word(address)
            }
            RegisterRule::ValExpression(expression) => {
                self.evaluate(section, &expression, encoding, Some(cfa))
            }
            RegisterRule::Constant(value) => Some(value as u32),
            _ => self.register(register),
        }
    }

    fn evaluate<S>(
        &mut self,
        section: &S,
        expression: &UnwindExpression<usize>,
        encoding: Encoding,
        cfa: Option<u32>,
    ) -> Option<u32>
    where
        S: UnwindSection<Bytes<'a>>,
    {
        /// More than any compiler writes: an expression may loop.
        const STEPS: u32 = 1000;
        let expression: Expression<Bytes<'a>> = expression.get(section).ok()?;
        let mut evaluation: Evaluation<Bytes<'a>> = expression.evaluation(encoding);
        evaluation.set_max_iterations(STEPS);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa.into());
        }
        let mut state = evaluation.evaluate().ok()?;
        loop {
            state = match state {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = self.register(register)?;
                    evaluation.resume_with_register(Value::Generic(value.into())).ok()?
                }
                EvaluationResult::RequiresMemory { address, .. } => {
                    let value = self.memory.word(address as u32)?;
                    evaluation.resume_with_memory(Value::Generic(value.into())).ok()?
                }
                _ => return None,
            };
        }
        match evaluation.result().first()?.location {
            Location::Address { address } => Some(address as u32),
            _ => None,
        }
    }
}
