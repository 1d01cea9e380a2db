//! The descriptor tables of a Linux process (SDM volume 3, section 3.5; set_thread_area(2), modify_ldt(2)).

use alloc::vec::Vec;

use crate::{CpuState, Descriptor};

/// The three entries of the GDT that belong to a thread: set_thread_area(2) fills them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TlsDescriptors([Option<Descriptor>; Self::COUNT as usize]);

impl TlsDescriptors {
    /// The first of them in the GDT under a 64-bit kernel.
    pub const FIRST: u16 = 12;
    /// How many there are.
    pub const COUNT: u16 = 3;

    /// All three empty.
    #[must_use]
    pub const fn new() -> Self {
        Self([None; Self::COUNT as usize])
    }

    /// The selector, with requested privilege level 3, of GDT entry `index`.
    #[must_use]
    pub const fn selector(index: u16) -> u16 {
        index << 3 | 3
    }

    /// GDT entry `index`; `None` for one that is empty or not among these.
    #[must_use]
    pub fn get(&self, index: u16) -> Option<Descriptor> {
        let slot = index.checked_sub(Self::FIRST)?;
        self.0.get(usize::from(slot)).copied().flatten()
    }

    /// Fills or empties GDT entry `index`; says whether it is among these. Segment registers keep
    /// what they loaded before.
    pub fn set(&mut self, index: u16, descriptor: Option<Descriptor>) -> bool {
        let slot = index.checked_sub(Self::FIRST).and_then(|slot| self.0.get_mut(usize::from(slot)));
        slot.map(|slot| *slot = descriptor).is_some()
    }

    /// The GDT entry of the first that is empty.
    #[must_use]
    pub fn first_free(&self) -> Option<u16> {
        (Self::FIRST..).zip(&self.0).find(|(_, slot)| slot.is_none()).map(|(index, _)| index)
    }
}

/// The local descriptor table of a process: modify_ldt(2) fills it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LocalDescriptors(Vec<Option<Descriptor>>);

impl LocalDescriptors {
    /// Entries that it can have (LDT_ENTRIES in asm/ldt.h).
    pub const MOST: u16 = 8192;

    /// No table: SLDT stores a null selector.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The selector, with requested privilege level 3, of entry `index`.
    #[must_use]
    pub const fn selector(index: u16) -> u16 {
        index << 3 | 7
    }

    /// Entry `index`; `None` for one that is empty or beyond the end.
    #[must_use]
    pub fn get(&self, index: u16) -> Option<Descriptor> {
        self.0.get(usize::from(index)).copied().flatten()
    }

    /// Fills or empties entry `index`; says whether there can be such an entry. The table grows to
    /// hold it and never shrinks, as Linux's does.
    pub fn set(&mut self, index: u16, descriptor: Option<Descriptor>) -> bool {
        if index >= Self::MOST {
            return false;
        }
        let index = usize::from(index);
        if index >= self.0.len() {
            self.0.resize(index + 1, None);
        }
        self.0[index] = descriptor;
        true
    }

    /// Every entry, the empty ones too, up to the last that was ever set.
    #[must_use]
    pub fn entries(&self) -> &[Option<Descriptor>] {
        &self.0
    }
}

/// What a thread's segment loads find: the GDT as a 32-bit process under a 64-bit Linux sees it,
/// and the LDT. It borrows the tables from the thread and the process that own them.
///
/// Only what code at privilege level 3 can load is here: the flat user segments, the segment whose
/// limit is the CPU's number, the TLS entries, and the LDT. Every descriptor has DPL 3.
#[derive(Clone, Copy, Debug)]
pub struct DescriptorTables<'a> {
    /// The thread's entries of the GDT.
    pub tls: &'a TlsDescriptors,
    /// The process's LDT.
    pub local: &'a LocalDescriptors,
}

impl DescriptorTables<'static> {
    /// No descriptors but Linux's own.
    pub const EMPTY: Self =
        Self { tls: &const { TlsDescriptors::new() }, local: &const { LocalDescriptors::new() } };
}

impl DescriptorTables<'_> {
    /// Linux's 64-bit user code selector, which a far transfer would change the mode with. It can
    /// be looked at and read through; a transfer to it raises #GP.
    pub const LONG_CODE: u16 = 0x33;
    /// The selector of the segment that vDSOs read the CPU's number from, with LSL.
    pub const CPU_NUMBER: u16 = 0x7b;

    /// The descriptor that `selector` names, whatever its RPL: `None` for a null selector, an entry
    /// outside the tables, an empty one, or one that is not for user code. `processor` is the CPU's
    /// number, which [`Self::CPU_NUMBER`] has as its limit.
    #[must_use]
    pub fn get(&self, selector: u16, processor: u32) -> Option<Descriptor> {
        const LOCAL: u16 = 4;
        const FLAT_CODE: u16 = CpuState::USER_CS >> 3;
        const FLAT_DATA: u16 = CpuState::USER_DS >> 3;
        const LONG_CODE: u16 = DescriptorTables::LONG_CODE >> 3;
        const CPU_NUMBER: u16 = DescriptorTables::CPU_NUMBER >> 3;
        let index = selector >> 3;
        if selector & LOCAL != 0 {
            return self.local.get(index);
        }
        match index {
            FLAT_CODE => Some(Descriptor::FLAT_CODE),
            FLAT_DATA => Some(Descriptor::FLAT_DATA),
            LONG_CODE => Some(Descriptor { big: false, ..Descriptor::FLAT_CODE }),
            CPU_NUMBER => Some(Descriptor {
                limit: processor,
                accessible: false,
                expand_down: true,
                ..Descriptor::FLAT_DATA
            }),
            _ => self.tls.get(index),
        }
    }
}
