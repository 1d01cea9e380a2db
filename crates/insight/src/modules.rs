//! Which files a program has in its memory, and what is at an address.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use pentimento::{Kernel, Mapping, TaskId};

use crate::image::Image;
use crate::registers::{Memory, Registers};

/// The largest file that is read for its symbols.
const LARGEST: usize = 256 << 20;

/// The files of guests' programs, each read once.
#[derive(Debug, Default)]
pub struct Symbols {
    images: HashMap<Vec<u8>, Option<Arc<Image>>>,
}

impl Symbols {
    /// None has been read.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `file` in the place of the guest's file at `path`, for one that the guest does not have, or a
    /// copy that was not stripped. Says whether it is a 32-bit ELF file.
    pub fn provide(&mut self, path: impl Into<Vec<u8>>, file: Vec<u8>) -> bool {
        let image = Image::parse(&file).map(Arc::new);
        let is_image = image.is_some();
        self.images.insert(path.into(), image);
        is_image
    }

    /// The file at a path of the guest.
    pub(crate) fn image(&mut self, kernel: &mut Kernel, path: &[u8]) -> Option<Arc<Image>> {
        if let Some(known) = self.images.get(path) {
            return known.clone();
        }
        let image = kernel.read_file(path, LARGEST).ok().and_then(|file| Image::parse(&file)).map(Arc::new);
        self.images.insert(path.to_vec(), image.clone());
        image
    }
}

/// A file in memory.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    pub(crate) path: Vec<u8>,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Where one of its bytes is: its offset in the file, and its address.
    anchor: (u64, u32),
    has_code: bool,
}

impl Module {
    /// The files in a program's memory that have code, by address.
    pub(crate) fn of(mappings: &[Mapping]) -> Vec<Self> {
        let mut modules: Vec<Self> = Vec::new();
        for mapping in mappings.iter().filter(|mapping| mapping.name.starts_with(b"/")) {
            let executable = mapping.permissions.contains(pentimento::Permissions::EXECUTE);
            // The same file again is another module if it begins anew.
            let last = modules.last_mut().filter(|last| last.path == mapping.name && mapping.offset > 0);
            match last {
                Some(last) => {
                    last.end = mapping.end;
                    if executable && !last.has_code {
                        (last.anchor, last.has_code) = ((mapping.offset, mapping.start), true);
                    }
                }
                None => modules.push(Self {
                    path: mapping.name.clone(),
                    start: mapping.start,
                    end: mapping.end,
                    anchor: (mapping.offset, mapping.start),
                    has_code: executable,
                }),
            }
        }
        modules.retain(|module| module.has_code);
        modules
    }

    /// By how much its addresses differ from those in its file.
    pub(crate) fn bias(&self, image: &Image) -> Option<u32> {
        image.bias(self.anchor.0, self.anchor.1)
    }

    pub(crate) const fn holds(&self, address: u32) -> bool {
        self.start <= address && address < self.end
    }
}

/// The files in one program's memory, with what is in them.
#[derive(Debug, Default)]
pub(crate) struct Modules(Vec<Loaded>);

/// A file in memory, what is in it, and by how much its addresses differ from those in memory.
type Loaded = (Module, Option<(Arc<Image>, u32)>);

impl Modules {
    /// What `task` has in its memory.
    pub(crate) fn of(kernel: &mut Kernel, task: TaskId, symbols: &mut Symbols) -> Self {
        let modules = Module::of(&kernel.mappings(task));
        let with_image = |module: Module| {
            let image = symbols.image(kernel, &module.path);
            let image = image.and_then(|image| module.bias(&image).map(|bias| (image, bias)));
            (module, image)
        };
        Self(modules.into_iter().map(with_image).collect())
    }

    fn find(&self, address: u32) -> Option<&Loaded> {
        self.0.iter().find(|(module, _)| module.holds(address))
    }

    /// What is at an address.
    pub(crate) fn place(&self, address: u32) -> Place {
        let mut place = Place { address, ..Place::default() };
        let Some((module, image)) = self.find(address) else { return place };
        let path = String::from_utf8_lossy(&module.path).into_owned();
        place.module = Some((path, address - module.start));
        if let Some((image, bias)) = image {
            let own = address.wrapping_sub(*bias);
            place.function = image.function(own).map(|(name, start)| (name.to_owned(), own - start));
            place.line = image.lines().at(own).map(|(file, line)| (file.to_owned(), line));
        }
        place
    }

    /// The start of the function at an address.
    pub(crate) fn function(&self, address: u32) -> Option<u32> {
        let (image, bias) = self.find(address)?.1.as_ref()?;
        image.function(address.wrapping_sub(*bias)).map(|(_, start)| start.wrapping_add(*bias))
    }

    /// The caller's registers, where the code at `address` is described.
    pub(crate) fn step(
        &self,
        address: u32,
        registers: &Registers,
        memory: &mut Memory<'_>,
    ) -> Option<(Registers, bool)> {
        let (image, bias) = self.find(address)?.1.as_ref()?;
        image.frames().step(image.sections(), address.wrapping_sub(*bias), registers, memory)
    }
}

/// What is at an address of a program's memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The address.
    pub address: u32,
    /// The path of the file that is mapped there, and how many bytes behind its start.
    pub module: Option<(String, u32)>,
    /// The function, and how many bytes behind its start.
    pub function: Option<(String, u32)>,
    /// The source file and line, from 1.
    pub line: Option<(String, u32)>,
}

/// Such as `sum+0x1c at sum.c:12 (/bin/sum)`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.function, &self.module) {
            (Some((name, offset)), _) => write!(f, "{name}+{offset:#x}")?,
            (None, Some((path, offset))) => return write!(f, "{path}+{offset:#x}"),
            (None, None) => return write!(f, "?"),
        }
        if let Some((file, line)) = &self.line {
            write!(f, " at {file}:{line}")?;
        }
        match &self.module {
            Some((path, _)) => write!(f, " ({path})"),
            None => Ok(()),
        }
    }
}
