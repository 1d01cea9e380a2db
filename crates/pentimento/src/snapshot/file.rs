//! A CPU as bytes: a header, registers, environment, descriptor tables, what is mapped, and the pages
//! that are not all zero. Numbers are little-endian; the version is counted up with every change.

use std::io::{self, Read, Write};

use pentimento_execute::{CpuModel, Gates};
use pentimento_memory::{MapError, Permissions, RegionKind};
use pentimento_registers::{
    ControlWord, CpuState, Descriptor, Eflags, F80, LocalDescriptors, Mxcsr, Segment, StatusWord,
    TlsDescriptors, X87State,
};

use crate::{Cpu, EngineKind, PAGE_SIZE};

const MAGIC: &[u8; 8] = b"PENT-CPU";
const VERSION: u32 = 1;

/// Why a CPU could not be written to a file, or read from one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file cannot be written or read, or ends too early.
    #[error("cannot access the snapshot: {0}")]
    Io(#[from] io::Error),
    /// A device is mapped, whose state the CPU does not know.
    #[error("a device is mapped at {address:#010x}, whose state cannot be saved")]
    Device {
        /// Its first byte.
        address: u32,
    },
    /// It is no snapshot of a CPU.
    #[error("this is no snapshot of a CPU")]
    NoSnapshot,
    /// Another version of this library wrote it.
    #[error("the snapshot has version {found}; this library reads version {VERSION}")]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// Something in it makes no sense.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// Its memory cannot be mapped here.
    #[error("cannot map guest memory: {0}")]
    Map(#[from] MapError),
}

impl Cpu {
    /// Writes registers, environment, descriptor tables and memory. Shared objects are written as what
    /// is mapped of them, and come back as private memory; pages that are all zero take no room.
    /// Snapshots, breakpoints and stop handles are not written.
    ///
    /// ```
    /// use pentimento::{Cpu, EngineKind, Gpr};
    ///
    /// let mut cpu = Cpu::new();
    /// cpu.state.set_gpr(Gpr::Eax, 7);
    /// let mut file = Vec::new();
    /// cpu.save(&mut file)?;
    /// let copy = Cpu::load(&file[..], EngineKind::REFERENCE)?;
    /// assert_eq!(copy.state, cpu.state);
    /// # Ok::<(), pentimento::SnapshotError>(())
    /// ```
    ///
    /// # Errors
    /// [`SnapshotError::Io`], [`SnapshotError::Device`].
    pub fn save(&self, out: impl Write) -> Result<(), SnapshotError> {
        let mut out = io::BufWriter::new(out);
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        write_state(&mut out, &self.state)?;
        self.write_environment(&mut out)?;
        write_tables(&mut out, &self.tls, &self.local)?;
        self.write_memory(&mut out)?;
        out.flush()?;
        Ok(())
    }

    /// Reads what [`save`](Self::save) wrote, on whatever host and engine, into a new CPU on `engine`.
    ///
    /// # Errors
    /// Every kind but [`SnapshotError::Device`]. Files may be hostile.
    pub fn load(input: impl Read, engine: EngineKind) -> Result<Self, SnapshotError> {
        let mut input = Input(io::BufReader::new(input));
        if input.array::<8>()? != *MAGIC {
            return Err(SnapshotError::NoSnapshot);
        }
        let found = input.u32()?;
        if found != VERSION {
            return Err(SnapshotError::Version { found });
        }
        let state = read_state(&mut input)?;
        let length = usize::from(input.array::<1>()?[0]);
        let name = input.bytes(length)?;
        let model = std::str::from_utf8(&name).ok().and_then(CpuModel::from_name);
        let mut cpu = Self::with(model.ok_or(SnapshotError::Damaged("no such CPU model"))?, engine);
        cpu.state = state;
        cpu.read_environment(&mut input)?;
        read_tables(&mut input, &mut cpu.tls, &mut cpu.local)?;
        cpu.read_memory(&mut input)?;
        Ok(cpu)
    }

    fn write_environment(&self, out: &mut impl Write) -> Result<(), SnapshotError> {
        let environment = &self.environment;
        let name = environment.model.name().as_bytes();
        out.write_all(&[name.len() as u8])?;
        out.write_all(name)?;
        out.write_all(&environment.time_stamp.to_le_bytes())?;
        out.write_all(&environment.processor.to_le_bytes())?;
        out.write_all(&environment.random.to_le_bytes())?;
        out.write_all(&[
            u8::from(environment.gates == Gates::Linux),
            u8::from(environment.code_end.is_some()),
        ])?;
        out.write_all(&environment.code_end.unwrap_or(0).to_le_bytes())?;
        Ok(())
    }

    fn read_environment(&mut self, input: &mut Input<impl Read>) -> Result<(), SnapshotError> {
        let environment = &mut self.environment;
        environment.time_stamp = input.u64()?;
        environment.processor = input.u32()?;
        environment.random = input.u64()?;
        let [gates, ends] = input.array()?;
        let end = input.u32()?;
        environment.gates = match gates {
            0 => Gates::All,
            1 => Gates::Linux,
            _ => return Err(SnapshotError::Damaged("no such gates")),
        };
        environment.code_end = (ends != 0).then_some(end);
        Ok(())
    }

    /// Regions, each with the pages in it that are not zero.
    fn write_memory(&self, out: &mut impl Write) -> Result<(), SnapshotError> {
        let mut page = [0; PAGE_SIZE as usize];
        for region in self.memory.regions() {
            if region.kind == RegionKind::Device {
                return Err(SnapshotError::Device { address: region.start });
            }
            let pages = (region.length / u64::from(PAGE_SIZE)) as u32;
            out.write_all(&pages.to_le_bytes())?;
            out.write_all(&region.start.to_le_bytes())?;
            out.write_all(&[region.permissions.bits()])?;
            for number in 0..pages {
                let address = region.start + number * PAGE_SIZE;
                // A page beyond the end of its object has no content.
                if self.memory.peek_bytes(address, &mut page).is_ok() && page != [0; PAGE_SIZE as usize] {
                    out.write_all(&address.to_le_bytes())?;
                    out.write_all(&page)?;
                }
            }
            out.write_all(&END.to_le_bytes())?;
        }
        out.write_all(&0_u32.to_le_bytes())?;
        Ok(())
    }

    fn read_memory(&mut self, input: &mut Input<impl Read>) -> Result<(), SnapshotError> {
        loop {
            let pages = input.u32()?;
            if pages == 0 {
                return Ok(());
            }
            let start = input.u32()?;
            let permissions = Permissions::from_bits(input.array::<1>()?[0])
                .ok_or(SnapshotError::Damaged("no such permissions"))?;
            let in_range = u64::from(start) + u64::from(pages) * u64::from(PAGE_SIZE) <= 1 << 32;
            if !in_range || start % PAGE_SIZE != 0 {
                return Err(SnapshotError::Damaged("a region lies outside of the address space"));
            }
            // All of the address space is one page more than a length can say.
            let half = pages / 2;
            for (first, count) in [(0, half), (half, pages - half)] {
                if count > 0 {
                    self.memory.map(start + first * PAGE_SIZE, count * PAGE_SIZE, permissions)?;
                }
            }
            loop {
                let address = input.u32()?;
                if address == END {
                    break;
                }
                let inside = address % PAGE_SIZE == 0 && (address - start.min(address)) / PAGE_SIZE < pages;
                let page = input.array::<{ PAGE_SIZE as usize }>()?;
                if !inside || address < start || self.memory.poke_bytes(address, &page).is_err() {
                    return Err(SnapshotError::Damaged("a page lies outside of its region"));
                }
            }
        }
    }
}

/// No page's address: behind the last page of a region.
const END: u32 = u32::MAX;

/// Numbers from a file.
struct Input<R>(io::BufReader<R>);

impl<R: Read> Input<R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, SnapshotError> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u16(&mut self) -> Result<u16, SnapshotError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, SnapshotError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, SnapshotError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn u128(&mut self) -> Result<u128, SnapshotError> {
        Ok(u128::from_le_bytes(self.array()?))
    }
}

fn write_state(out: &mut impl Write, state: &CpuState) -> Result<(), SnapshotError> {
    for register in state.gprs() {
        out.write_all(&register.to_le_bytes())?;
    }
    for word in [state.eip, state.eflags.bits(), state.mxcsr.bits()] {
        out.write_all(&word.to_le_bytes())?;
    }
    for segment in &state.segments {
        out.write_all(&segment.selector.to_le_bytes())?;
        write_descriptor(out, segment.descriptor().copied())?;
    }
    write_x87(out, &state.x87)?;
    for register in state.xmm.iter().chain(&state.ymm_high) {
        out.write_all(&register.to_le_bytes())?;
    }
    out.write_all(&state.xcr0.to_le_bytes())?;
    Ok(())
}

fn read_state(input: &mut Input<impl Read>) -> Result<CpuState, SnapshotError> {
    let mut state = CpuState::new();
    for register in state.gprs_mut() {
        *register = input.u32()?;
    }
    state.eip = input.u32()?;
    state.eflags = Eflags::from_bits_retain(input.u32()?);
    state.mxcsr = Mxcsr::from_bits_retain(input.u32()?);
    for segment in &mut state.segments {
        let selector = input.u16()?;
        *segment = Segment::new(selector, read_descriptor(input)?);
    }
    state.x87 = read_x87(input)?;
    for register in state.xmm.iter_mut().chain(&mut state.ymm_high) {
        *register = input.u128()?;
    }
    state.xcr0 = input.u64()?;
    Ok(state)
}

fn write_x87(out: &mut impl Write, x87: &X87State) -> Result<(), SnapshotError> {
    for register in &x87.registers {
        out.write_all(&register.to_le_bytes())?;
    }
    for word in [x87.control.bits(), x87.status_word(), x87.last_opcode] {
        out.write_all(&word.to_le_bytes())?;
    }
    out.write_all(&[x87.in_use])?;
    out.write_all(&x87.last_instruction_selector.to_le_bytes())?;
    out.write_all(&x87.last_instruction.to_le_bytes())?;
    out.write_all(&x87.last_data_selector.to_le_bytes())?;
    out.write_all(&x87.last_data.to_le_bytes())?;
    Ok(())
}

fn read_x87(input: &mut Input<impl Read>) -> Result<X87State, SnapshotError> {
    let mut x87 = X87State::new();
    for register in &mut x87.registers {
        *register = F80::from_le_bytes(input.array()?);
    }
    x87.control = ControlWord::from_bits_retain(input.u16()?);
    let status = input.u16()?;
    x87.set_status_word(status);
    debug_assert!(StatusWord::from_bits_truncate(status) == x87.status, "TOP and the flags are all there is");
    x87.last_opcode = input.u16()?;
    x87.in_use = input.array::<1>()?[0];
    x87.last_instruction_selector = input.u16()?;
    x87.last_instruction = input.u32()?;
    x87.last_data_selector = input.u16()?;
    x87.last_data = input.u32()?;
    Ok(x87)
}

/// Base, limit, and a byte of flags, of which the first says whether there is a descriptor at all.
fn write_descriptor(out: &mut impl Write, descriptor: Option<Descriptor>) -> Result<(), SnapshotError> {
    let Some(descriptor) = descriptor else { return Ok(out.write_all(&[0; 9])?) };
    out.write_all(&descriptor.base.to_le_bytes())?;
    out.write_all(&descriptor.limit.to_le_bytes())?;
    let Descriptor { code, accessible, expand_down, big, present, .. } = descriptor;
    let flags = [true, code, accessible, expand_down, big, present];
    let flags = flags.iter().enumerate().fold(0, |flags, (bit, set)| flags | u8::from(*set) << bit);
    Ok(out.write_all(&[flags])?)
}

fn read_descriptor(input: &mut Input<impl Read>) -> Result<Option<Descriptor>, SnapshotError> {
    let (base, limit) = (input.u32()?, input.u32()?);
    let flags = input.array::<1>()?[0];
    let has = |bit: u8| flags & (1 << bit) != 0;
    Ok(has(0).then_some(Descriptor {
        base,
        limit,
        code: has(1),
        accessible: has(2),
        expand_down: has(3),
        big: has(4),
        present: has(5),
    }))
}

fn write_tables(
    out: &mut impl Write,
    tls: &TlsDescriptors,
    local: &LocalDescriptors,
) -> Result<(), SnapshotError> {
    for index in TlsDescriptors::FIRST..TlsDescriptors::FIRST + TlsDescriptors::COUNT {
        write_descriptor(out, tls.get(index))?;
    }
    out.write_all(&(local.entries().len() as u32).to_le_bytes())?;
    for entry in local.entries() {
        write_descriptor(out, *entry)?;
    }
    Ok(())
}

fn read_tables(
    input: &mut Input<impl Read>,
    tls: &mut TlsDescriptors,
    local: &mut LocalDescriptors,
) -> Result<(), SnapshotError> {
    for index in TlsDescriptors::FIRST..TlsDescriptors::FIRST + TlsDescriptors::COUNT {
        tls.set(index, read_descriptor(input)?);
    }
    let count = input.u32()?;
    if count > LocalDescriptors::MOST.into() {
        return Err(SnapshotError::Damaged("too many descriptors"));
    }
    for index in 0..count as u16 {
        local.set(index, read_descriptor(input)?);
    }
    Ok(())
}
