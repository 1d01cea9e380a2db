//! Segment registers and the descriptors they cache (SDM volume 3, section 3.4).

use core::fmt;

/// A segment register, by its encoding in MOV and in segment-override prefixes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum SegmentRegister {
    /// Extra data; the destination of string instructions.
    Es = 0,
    /// Code.
    Cs = 1,
    /// Stack.
    Ss = 2,
    /// Data.
    Ds = 3,
    /// Free for the system: unused by i386 Linux programs.
    Fs = 4,
    /// Free for the system: thread-local storage on i386 Linux.
    Gs = 5,
}

impl SegmentRegister {
    /// All six, in encoding order.
    pub const ALL: [Self; 6] = [Self::Es, Self::Cs, Self::Ss, Self::Ds, Self::Fs, Self::Gs];

    /// The register with encoding `number`, or `None` for the two encodings that are reserved.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        if number < 6 { Some(Self::ALL[number as usize]) } else { None }
    }

    /// The encoding, 0 to 5.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name in lower case, such as `gs`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        ["es", "cs", "ss", "ds", "fs", "gs"][self as usize]
    }
}

/// The part of a segment descriptor that accesses depend on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct Descriptor {
    /// Linear address of offset zero.
    pub base: u32,
    /// Highest valid offset, in bytes (granularity already applied); for an expand-down segment
    /// the highest *invalid* one.
    pub limit: u32,
    /// A code segment (which is never writable) rather than a data segment.
    pub code: bool,
    /// Data: writable. Code: readable.
    pub accessible: bool,
    /// The segment grows downwards: valid offsets lie above the limit.
    pub expand_down: bool,
    /// 32-bit default operand and stack size (the D/B bit).
    pub big: bool,
    /// The segment is present; a load of one that is not raises #NP.
    pub present: bool,
}

impl Descriptor {
    /// Linux's flat 32-bit user data segment: base 0, limit 4 GiB.
    pub const FLAT_DATA: Self = Self {
        base: 0,
        limit: u32::MAX,
        code: false,
        accessible: true,
        expand_down: false,
        big: true,
        present: true,
    };

    /// Linux's flat 32-bit user code segment: base 0, limit 4 GiB.
    pub const FLAT_CODE: Self = Self { code: true, ..Self::FLAT_DATA };
}

/// A segment register: the selector that software sees, and the descriptor cached when it was loaded.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Segment {
    /// All zero unless `loaded`.
    pub(crate) descriptor: Descriptor,
    /// Index, table indicator and requested privilege level.
    pub selector: u16,
    /// Whether there is a descriptor.
    pub(crate) loaded: bool,
}

impl Segment {
    /// A null segment.
    pub const NULL: Self = Self::new(0, None);

    /// A register with this selector and cached descriptor: `None` as after a null selector was
    /// loaded, when any access through it raises #GP.
    #[must_use]
    pub const fn new(selector: u16, descriptor: Option<Descriptor>) -> Self {
        const ABSENT: Descriptor = Descriptor {
            base: 0,
            limit: 0,
            code: false,
            accessible: false,
            expand_down: false,
            big: false,
            present: false,
        };
        match descriptor {
            Some(descriptor) => Self { descriptor, selector, loaded: true },
            None => Self { descriptor: ABSENT, selector, loaded: false },
        }
    }

    /// The cached descriptor, or `None` after a null selector was loaded.
    #[inline(always)]
    #[must_use]
    pub const fn descriptor(&self) -> Option<&Descriptor> {
        if self.loaded { Some(&self.descriptor) } else { None }
    }

    /// The linear address of offset zero; 0 for a null segment.
    #[inline(always)]
    #[must_use]
    pub const fn base(&self) -> u32 {
        self.descriptor.base
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("selector", &self.selector)
            .field("descriptor", &self.descriptor())
            .finish()
    }
}
