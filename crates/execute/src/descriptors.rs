//! The descriptor tables of a Linux process (SDM volume 3, section 3.5; set_thread_area(2), modify_ldt(2)).

use alloc::vec::Vec;

use pentimento_registers::{CpuState, Descriptor};

/// The GDT as a 32-bit process under a 64-bit Linux sees it, and its LDT.
///
/// Only what code at privilege level 3 can load is kept: the flat user segments, the segment whose
/// limit is the CPU's number, the three TLS entries, and the LDT. Every descriptor here
/// has DPL 3.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DescriptorTables {
    tls: [Option<Descriptor>; 3],
    ldt: Vec<Option<Descriptor>>,
}

impl DescriptorTables {
    /// Linux's 64-bit user code selector, which a far transfer would change the mode with. It can
    /// be looked at and read through; a transfer to it raises #GP.
    pub const LONG_CODE: u16 = 0x33;
    /// The selector of the segment that vDSOs read the CPU's number from, with LSL.
    pub const CPU_NUMBER: u16 = 0x7b;
    /// The first GDT entry that set_thread_area(2) hands out.
    pub const TLS_FIRST: u16 = 12;
    /// How many there are.
    pub const TLS_COUNT: u16 = 3;
    /// Entries an LDT can have (LDT_ENTRIES in asm/ldt.h).
    pub const LDT_ENTRIES: u16 = 8192;

    /// The selector, with requested privilege level 3, of GDT entry `index`.
    #[must_use]
    pub const fn gdt_selector(index: u16) -> u16 {
        index << 3 | 3
    }

    /// The descriptor that `selector` names, whatever its RPL: `None` for a null selector, an entry
    /// outside the tables, an empty one, or one that is not for user code.
    #[must_use]
    pub fn get(&self, selector: u16) -> Option<Descriptor> {
        const LOCAL: u16 = 4;
        const FLAT_CODE: u16 = CpuState::USER_CS >> 3;
        const FLAT_DATA: u16 = CpuState::USER_DS >> 3;
        const LONG_CODE: u16 = DescriptorTables::LONG_CODE >> 3;
        const CPU_NUMBER: u16 = DescriptorTables::CPU_NUMBER >> 3;
        let index = selector >> 3;
        if selector & LOCAL != 0 {
            return self.ldt.get(usize::from(index)).copied().flatten();
        }
        match index {
            FLAT_CODE => Some(Descriptor::FLAT_CODE),
            FLAT_DATA => Some(Descriptor::FLAT_DATA),
            LONG_CODE => Some(Descriptor { big: false, ..Descriptor::FLAT_CODE }),
            CPU_NUMBER => {
                Some(Descriptor { limit: 0, accessible: false, expand_down: true, ..Descriptor::FLAT_DATA })
            }
            _ => self.tls(index),
        }
    }

    /// TLS entry `index` of the GDT, 12 to 14.
    #[must_use]
    pub fn tls(&self, index: u16) -> Option<Descriptor> {
        let slot = index.checked_sub(Self::TLS_FIRST)?;
        self.tls.get(usize::from(slot)).copied().flatten()
    }

    /// Fills or empties TLS entry `index` of the GDT; says whether there is such an entry.
    /// Segment registers keep what they loaded before.
    pub fn set_tls(&mut self, index: u16, descriptor: Option<Descriptor>) -> bool {
        let slot = index.checked_sub(Self::TLS_FIRST).and_then(|slot| self.tls.get_mut(usize::from(slot)));
        match slot {
            Some(slot) => {
                *slot = descriptor;
                true
            }
            None => false,
        }
    }

    /// Fills or empties LDT entry `index`; says whether there can be such an entry.
    pub fn set_ldt(&mut self, index: u16, descriptor: Option<Descriptor>) -> bool {
        if index >= Self::LDT_ENTRIES {
            return false;
        }
        let index = usize::from(index);
        if index >= self.ldt.len() {
            self.ldt.resize(index + 1, None);
        }
        self.ldt[index] = descriptor;
        true
    }

    /// The LDT's entries up to the last that was ever set.
    #[must_use]
    pub fn ldt(&self) -> &[Option<Descriptor>] {
        &self.ldt
    }
}
