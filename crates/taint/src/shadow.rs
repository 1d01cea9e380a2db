//! The labels of registers and memory, a set for each byte.

use std::collections::HashMap;

use pentimento::decoder::Register;
use pentimento::{Gpr, PAGE_SIZE};

use crate::labels::{Set, Sets};

/// The labels of a thread's registers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registers {
    general: [[Set; 4]; 8],
    xmm: [[Set; 16]; 8],
    /// x87 registers by their place, which MMX registers share.
    x87: [[Set; 10]; 8],
    /// Flags by their bit.
    flags: [Set; 12],
}

impl Registers {
    /// The bytes of a register, `top` being x87's; `None` for one that carries no labels.
    pub(crate) fn bytes(&mut self, register: Register, top: u8) -> Option<&mut [Set]> {
        let physical = |number: u8| usize::from(number.wrapping_add(top) & 7);
        Some(match register {
            Register::Gpr8(part) => {
                let number = usize::from(part.number());
                let byte = number / 4;
                &mut self.general[number % 4][byte..=byte]
            }
            Register::Gpr16(register) => &mut self.general[usize::from(register.number())][..2],
            Register::Gpr32(register) => &mut self.general[usize::from(register.number())][..],
            Register::St(number) => &mut self.x87[physical(number)][..],
            Register::Mmx(number) => &mut self.x87[usize::from(number & 7)][..8],
            Register::Xmm(number) => &mut self.xmm[usize::from(number & 7)][..],
            _ => return None,
        })
    }

    /// The bytes of a general register.
    pub(crate) fn general(&mut self, register: Gpr) -> &mut [Set; 4] {
        &mut self.general[usize::from(register.number())]
    }

    /// All labels of the flags in `mask`.
    pub(crate) fn flags(&self, mask: u32, sets: &mut Sets) -> Set {
        let flags = self.flags.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 != 0);
        flags.fold(Set::EMPTY, |union, (_, set)| sets.union(union, *set))
    }

    /// Gives the flags in `mask` these labels, or adds them.
    pub(crate) fn set_flags(&mut self, mask: u32, set: Set, adds: bool, sets: &mut Sets) {
        for (bit, flag) in self.flags.iter_mut().enumerate() {
            if mask >> bit & 1 != 0 {
                *flag = if adds { sets.union(*flag, set) } else { set };
            }
        }
    }
}

/// The labels of an address space.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pages: HashMap<u32, Box<[Set]>>,
}

impl Memory {
    /// The labels of the byte at `address`.
    pub(crate) fn get(&self, address: u32) -> Set {
        let page = self.pages.get(&(address / PAGE_SIZE));
        page.map_or(Set::EMPTY, |page| page[(address % PAGE_SIZE) as usize])
    }

    /// Gives the byte at `address` these labels.
    pub(crate) fn set(&mut self, address: u32, set: Set) {
        let (page, offset) = (address / PAGE_SIZE, (address % PAGE_SIZE) as usize);
        match self.pages.get_mut(&page) {
            Some(page) => page[offset] = set,
            None if set.is_empty() => {}
            None => {
                let mut bytes = vec![Set::EMPTY; PAGE_SIZE as usize].into_boxed_slice();
                bytes[offset] = set;
                self.pages.insert(page, bytes);
            }
        }
    }
}
