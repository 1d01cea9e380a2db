//! What memory should be: every byte of every mapped page, and of the objects that spaces share.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use pentimento_memory::{Access, Fault, FaultKind, PAGE_SIZE, Permissions};

/// The content of shared objects: one for all spaces, and no snapshot covers it.
pub(crate) type Objects = Rc<RefCell<Vec<Vec<u8>>>>;

/// What is behind a page.
#[derive(Clone)]
pub(crate) enum Content {
    Private(Vec<u8>),
    /// A page of an object, by its number in it.
    Shared(usize, u32),
}

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) pages: BTreeMap<u32, (Permissions, Content)>,
    pub(crate) objects: Objects,
}

pub(crate) fn pages_of(start: u32, length: u32) -> Option<Range<u32>> {
    let end = u64::from(start) + u64::from(length);
    let first = start / PAGE_SIZE;
    match length {
        _ if end > 1 << 32 => None,
        0 => Some(first..first),
        _ => Some(first..end.div_ceil(u64::from(PAGE_SIZE)) as u32),
    }
}

impl Model {
    pub(crate) fn new(objects: Objects) -> Self {
        Self { pages: BTreeMap::new(), objects }
    }

    fn kind(&self, address: u32, access: Option<Access>) -> Option<FaultKind> {
        match self.pages.get(&(address / PAGE_SIZE)) {
            None => Some(FaultKind::NotMapped),
            Some((held, _)) if access.is_some() && held.is_empty() => Some(FaultKind::Hidden),
            Some((held, _)) if access.is_some_and(|access| !held.contains(access.needs())) => {
                Some(FaultKind::Protected)
            }
            Some(_) => None,
        }
    }

    fn is_beyond_end(&self, address: u32) -> bool {
        match self.pages.get(&(address / PAGE_SIZE)) {
            Some((_, Content::Shared(object, index))) => {
                *index >= (self.objects.borrow()[*object].len() as u32).div_ceil(PAGE_SIZE)
            }
            _ => false,
        }
    }

    /// Permissions of all bytes come before the ends of objects.
    fn access(&self, address: u32, length: u32, access: Access) -> Result<(), Fault> {
        let bytes = || (0..length).map(|offset| address.wrapping_add(offset));
        let refused = bytes().find_map(|at| self.kind(at, Some(access)).map(|kind| (at, kind)));
        let beyond =
            || bytes().find(|at| self.is_beyond_end(*at)).map(|address| (address, FaultKind::BeyondEnd));
        match refused.or_else(beyond) {
            None => Ok(()),
            Some((address, kind)) => Err(Fault { address, access, kind }),
        }
    }

    /// The byte at a mapped address, or `None` beyond the end of an object.
    pub(crate) fn get(&self, address: u32) -> Option<u8> {
        let within = (address % PAGE_SIZE) as usize;
        match &self.pages.get(&(address / PAGE_SIZE))?.1 {
            Content::Private(bytes) => Some(bytes[within]),
            Content::Shared(..) if self.is_beyond_end(address) => None,
            Content::Shared(object, index) => {
                let at = (*index * PAGE_SIZE) as usize + within;
                Some(self.objects.borrow()[*object].get(at).copied().unwrap_or(0))
            }
        }
    }

    /// The bytes of a page, or `None` where nothing is mapped or an object ends before.
    pub(crate) fn page(&self, page: u32) -> Option<Vec<u8>> {
        match &self.pages.get(&page)?.1 {
            Content::Private(bytes) => Some(bytes.clone()),
            Content::Shared(object, index) => {
                let start = (*index * PAGE_SIZE) as usize;
                self.objects.borrow()[*object].get(start..start + PAGE_SIZE as usize).map(<[u8]>::to_vec)
            }
        }
    }

    /// Stores a byte whatever permissions say; false where there is nothing to store to.
    pub(crate) fn set(&mut self, address: u32, value: u8) -> bool {
        if self.get(address).is_none() {
            return false;
        }
        let within = (address % PAGE_SIZE) as usize;
        match self.pages.get_mut(&(address / PAGE_SIZE)) {
            None => return false,
            Some((_, Content::Private(bytes))) => bytes[within] = value,
            Some((_, Content::Shared(object, index))) => {
                let at = (*index * PAGE_SIZE) as usize + within;
                self.objects.borrow_mut()[*object][at] = value;
            }
        }
        true
    }

    pub(crate) fn load(&self, address: u32, length: u32) -> Result<Vec<u8>, Fault> {
        self.access(address, length, Access::Read)?;
        Ok((0..length).filter_map(|offset| self.get(address.wrapping_add(offset))).collect())
    }

    pub(crate) fn store(&mut self, address: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.access(address, bytes.len() as u32, Access::Write)?;
        for (offset, byte) in bytes.iter().enumerate() {
            self.set(address.wrapping_add(offset as u32), *byte);
        }
        Ok(())
    }
}
