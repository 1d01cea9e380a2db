//! What CPUID answers (SDM volume 2, CPUID; AMD's manual, volume 3, appendix E).

use pentimento_decoder::Feature as F;

use crate::CpuModel;

/// EAX, EBX, ECX and EDX.
type Answer = [u32; 4];

/// A feature's bit in the register of a leaf.
type Bit = (F, u32);

#[rustfmt::skip]
const LEAF_1_EDX: &[Bit] = &[
    (F::Fpu, 0), (F::Tsc, 4), (F::Msr, 5), (F::Cx8, 8), (F::Sep, 11), (F::Cmov, 15),
    (F::Clflush, 19), (F::Mmx, 23), (F::Fxsr, 24), (F::Sse, 25), (F::Sse2, 26),
];

#[rustfmt::skip]
const LEAF_1_ECX: &[Bit] = &[
    (F::Sse3, 0), (F::Pclmulqdq, 1), (F::Ssse3, 9), (F::Sse41, 19), (F::Sse42, 20),
    (F::Movbe, 22), (F::Popcnt, 23), (F::Aes, 25), (F::Rdrand, 30),
];

// BMI1 (bit 3) is not reported: it would promise ANDN and BEXTR too, which are VEX-encoded.
#[rustfmt::skip]
const LEAF_7_EBX: &[Bit] = &[
    (F::Invpcid, 10), (F::Rdseed, 18), (F::Adx, 19), (F::Clflushopt, 23), (F::Clwb, 24), (F::Sha, 29),
];

const LEAF_7_ECX: &[Bit] = &[(F::Gfni, 8), (F::Rdpid, 22)];

/// AMD repeats bits of leaf 1 here; Intel does not.
#[rustfmt::skip]
const EXTENDED_1_EDX_AMD: &[Bit] = &[
    (F::Fpu, 0), (F::Tsc, 4), (F::Msr, 5), (F::Cx8, 8), (F::Cmov, 15), (F::MmxExt, 22),
    (F::Mmx, 23), (F::Fxsr, 24),
];

const EXTENDED_1_EDX: &[Bit] = &[(F::Syscall, 11), (F::Rdtscp, 27)];

const EXTENDED_1_ECX: &[Bit] = &[(F::Lzcnt, 5), (F::Sse4a, 6), (F::Prefetchw, 8)];

const EXTENDED_8_EBX: &[Bit] = &[(F::Clzero, 0), (F::Wbnoinvd, 9)];

/// Bits of leaf 1, EDX, for what system software alone can see: VME, DE, PSE and MCE...
const SYSTEM_PENTIUM: u32 = 0x0000_008e;
/// ...and PAE, APIC, MTRR, PGE, MCA, PAT and PSE-36...
const SYSTEM_PENTIUM3: u32 = SYSTEM_PENTIUM | 0x0003_7240;
/// ...and debug store, ACPI, self-snoop and thermal monitor.
const SYSTEM_PENTIUM4: u32 = SYSTEM_PENTIUM3 | 0x2860_0000;

/// What a model answers apart from its features.
struct Identity {
    vendor: &'static [u8; 12],
    /// Family, model and stepping: leaf 1, EAX.
    signature: u32,
    system: u32,
    highest: u32,
    highest_extended: u32,
    brand: &'static [u8],
    /// Leaf 2: one-byte descriptors of caches and TLBs.
    descriptors: Answer,
    /// Leaf 4 of Intel and 8000_001Dh of AMD.
    caches: &'static [Answer],
}

/// A cache as leaf 4 describes it: not shared, 64-byte lines.
const fn cache(kind: u32, level: u32, ways: u32, sets: u32) -> Answer {
    const SELF_INITIALISING: u32 = 1 << 8;
    [kind | level << 5 | SELF_INITIALISING, (ways - 1) << 22 | 63, sets - 1, 0]
}

const DATA: u32 = 1;
const CODE: u32 = 2;
const UNIFIED: u32 = 3;

const NEHALEM_CACHES: &[Answer] =
    &[cache(DATA, 1, 8, 64), cache(CODE, 1, 4, 128), cache(UNIFIED, 2, 8, 512), cache(UNIFIED, 3, 16, 8192)];

const ZEN_CACHES: &[Answer] =
    &[cache(DATA, 1, 8, 64), cache(CODE, 1, 8, 64), cache(UNIFIED, 2, 8, 2048), cache(UNIFIED, 3, 16, 32768)];

const fn identity(model: CpuModel) -> Identity {
    const INTEL: Identity = Identity {
        vendor: b"GenuineIntel",
        signature: 0x0000_052c,
        system: SYSTEM_PENTIUM,
        highest: 1,
        highest_extended: 0,
        brand: b"",
        descriptors: [0; 4],
        caches: &[],
    };
    match model {
        CpuModel::Pentium => INTEL,
        CpuModel::Pentium3 => Identity {
            signature: 0x0000_0686,
            system: SYSTEM_PENTIUM3,
            highest: 2,
            descriptors: [0x0302_0101, 0, 0, 0x0c04_0882],
            ..INTEL
        },
        CpuModel::Pentium4 => Identity {
            signature: 0x0000_0f29,
            system: SYSTEM_PENTIUM4,
            highest: 2,
            highest_extended: 0x8000_0004,
            brand: b"Intel(R) Pentium(R) 4 CPU",
            descriptors: [0x665b_5001, 0, 0, 0x007b_7040],
            ..INTEL
        },
        CpuModel::X86_64V2 => Identity {
            signature: 0x0001_06a5,
            system: SYSTEM_PENTIUM4,
            highest: 7,
            highest_extended: 0x8000_0008,
            brand: b"Intel(R) Core(TM) i7 CPU",
            descriptors: [0x5503_5a01, 0x00f0_b2dd, 0, 0x09ca_212c],
            caches: NEHALEM_CACHES,
            ..INTEL
        },
        CpuModel::Max => Identity {
            vendor: b"AuthenticAMD",
            signature: 0x00a6_0f12,
            system: SYSTEM_PENTIUM3,
            highest: 7,
            highest_extended: 0x8000_001d,
            brand: b"Pentimento",
            descriptors: [0; 4],
            caches: ZEN_CACHES,
        },
    }
}

/// Four bytes of `text`, padded with zeros, as a register holds them.
fn word(text: &[u8], index: u32) -> u32 {
    let byte = |offset| text.get(4 * index as usize + offset).copied().unwrap_or(0);
    u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
}

impl CpuModel {
    /// The bits of those features that the model has.
    fn bits(self, table: &[Bit]) -> u32 {
        table.iter().filter(|(feature, _)| self.has(*feature)).map(|(_, bit)| 1 << bit).sum()
    }

    /// What CPUID answers for `leaf` (EAX) and `subleaf` (ECX): EAX, EBX, ECX and EDX.
    #[must_use]
    pub fn cpuid(self, leaf: u32, subleaf: u32) -> [u32; 4] {
        const EXTENDED: u32 = 0x8000_0000;
        let identity = identity(self);
        let amd = self == Self::Max;
        match leaf {
            EXTENDED.. if leaf <= identity.highest_extended => self.extended_leaf(&identity, leaf, subleaf),
            _ if leaf <= identity.highest => self.basic_leaf(&identity, leaf, subleaf),
            // Beyond what there is, Intel answers with the highest basic leaf and AMD with zeros.
            _ if amd => [0; 4],
            _ => self.basic_leaf(&identity, identity.highest, subleaf),
        }
    }

    fn basic_leaf(self, identity: &Identity, leaf: u32, subleaf: u32) -> Answer {
        const LINE_IN_QUADWORDS: u32 = 8 << 8;
        let vendor = identity.vendor.as_slice();
        match leaf {
            0 => [identity.highest, word(vendor, 0), word(vendor, 2), word(vendor, 1)],
            1 => {
                let line = if self.has(F::Clflush) { LINE_IN_QUADWORDS } else { 0 };
                let features = self.bits(LEAF_1_EDX) | identity.system;
                [identity.signature, line, self.bits(LEAF_1_ECX), features]
            }
            2 => identity.descriptors,
            4 if self != Self::Max => Self::cache_leaf(identity, subleaf),
            7 if subleaf == 0 => [0, self.bits(LEAF_7_EBX), self.bits(LEAF_7_ECX), 0],
            _ => [0; 4],
        }
    }

    fn cache_leaf(identity: &Identity, subleaf: u32) -> Answer {
        identity.caches.get(subleaf as usize).copied().unwrap_or_default()
    }

    fn extended_leaf(self, identity: &Identity, leaf: u32, subleaf: u32) -> Answer {
        /// Topology extensions: leaf 8000_001Dh exists.
        const TOPOLOGY: u32 = 1 << 22;
        /// The time-stamp counter runs at one rate always.
        const INVARIANT_TSC: u32 = 1 << 8;
        /// 36 physical and 32 linear address bits.
        const ADDRESS_BITS: u32 = 0x2024;
        let amd = self == Self::Max;
        let vendor = identity.vendor.as_slice();
        match leaf & 0xff {
            0 if amd => [identity.highest_extended, word(vendor, 0), word(vendor, 2), word(vendor, 1)],
            0 => [identity.highest_extended, 0, 0, 0],
            1 => {
                let repeated = if amd { self.bits(EXTENDED_1_EDX_AMD) | identity.system } else { 0 };
                let topology = if amd { TOPOLOGY } else { 0 };
                let signature = if amd { identity.signature } else { 0 };
                let ecx = self.bits(EXTENDED_1_ECX) | topology;
                [signature, 0, ecx, self.bits(EXTENDED_1_EDX) | repeated]
            }
            part @ 2..=4 => [0, 1, 2, 3].map(|index| word(identity.brand, 4 * (part - 2) + index)),
            // First-level caches: 32 KiB, 8 ways, 64-byte lines; TLBs of 64 entries.
            5 if amd => [0xff40_ff40, 0xff40_ff40, 0x2008_0140, 0x2008_0140],
            // 1 MiB of second- and 32 MiB of third-level cache.
            6 if amd => [0x4800_2200, 0x6800_4200, 0x0400_6140, 0x0100_9140],
            7 => [0, 0, 0, INVARIANT_TSC],
            8 => [ADDRESS_BITS, self.bits(EXTENDED_8_EBX), 0, 0],
            0x1d if amd => Self::cache_leaf(identity, subleaf),
            _ => [0; 4],
        }
    }
}
