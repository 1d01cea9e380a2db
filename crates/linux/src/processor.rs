//! `/proc/cpuinfo`: what the processor's CPUID answers, as Linux says it (proc(5)).

use std::fmt::Write;
use std::sync::Arc;

/// EAX, EBX, ECX and EDX.
type Answer = [u32; 4];

/// What CPUID answers for a leaf (EAX) and a subleaf (ECX): EAX, EBX, ECX and EDX.
pub type Cpuid = Arc<dyn Fn(u32, u32) -> [u32; 4] + Send + Sync>;

const EAX: usize = 0;
const EBX: usize = 1;
const ECX: usize = 2;
const EDX: usize = 3;

/// Leaf 1, EDX: bit 4.
const TSC: u32 = 1 << 4;
const PAE: u32 = 1 << 6;
const PSE36: u32 = 1 << 17;
const CLFLUSH: u32 = 1 << 19;
/// Leaf 8000_0007h, EDX: the time-stamp counter runs at one rate, always.
const INVARIANT_TSC: u32 = 1 << 8;

/// Time-stamp counts a second: one an instruction, of which virtual time has a thousand million.
const MEGAHERTZ: u32 = 1000;

/// Flags of one register of one leaf: bit and name.
struct Word {
    leaf: u32,
    register: usize,
    flags: &'static [(u32, &'static str)],
}

/// Linux's words of flags and its names, in its order; the third word, of its own, stands between.
#[rustfmt::skip]
const WORDS: &[Word] = &[
    Word { leaf: 1, register: EDX, flags: &[
        (0, "fpu"), (1, "vme"), (2, "de"), (3, "pse"), (4, "tsc"), (5, "msr"), (6, "pae"), (7, "mce"), (8, "cx8"),
        (9, "apic"), (11, "sep"), (12, "mtrr"), (13, "pge"), (14, "mca"), (15, "cmov"), (16, "pat"), (17, "pse36"),
        (18, "pn"), (19, "clflush"), (21, "dts"), (22, "acpi"), (23, "mmx"), (24, "fxsr"), (25, "sse"), (26, "sse2"),
        (27, "ss"), (28, "ht"), (29, "tm"), (30, "ia64"), (31, "pbe"),
    ] },
    Word { leaf: 0x8000_0001, register: EDX, flags: &[
        (11, "syscall"), (19, "mp"), (20, "nx"), (22, "mmxext"), (25, "fxsr_opt"), (26, "pdpe1gb"), (27, "rdtscp"),
        (29, "lm"), (30, "3dnowext"), (31, "3dnow"),
    ] },
    Word { leaf: 1, register: ECX, flags: &[
        (0, "pni"), (1, "pclmulqdq"), (2, "dtes64"), (3, "monitor"), (4, "ds_cpl"), (5, "vmx"), (6, "smx"), (7, "est"),
        (8, "tm2"), (9, "ssse3"), (10, "cid"), (11, "sdbg"), (12, "fma"), (13, "cx16"), (14, "xtpr"), (15, "pdcm"),
        (17, "pcid"), (18, "dca"), (19, "sse4_1"), (20, "sse4_2"), (21, "x2apic"), (22, "movbe"), (23, "popcnt"),
        (24, "tsc_deadline_timer"), (25, "aes"), (26, "xsave"), (28, "avx"), (29, "f16c"), (30, "rdrand"),
        (31, "hypervisor"),
    ] },
    Word { leaf: 0x8000_0001, register: ECX, flags: &[
        (0, "lahf_lm"), (1, "cmp_legacy"), (2, "svm"), (3, "extapic"), (4, "cr8_legacy"), (5, "abm"), (6, "sse4a"),
        (7, "misalignsse"), (8, "3dnowprefetch"), (9, "osvw"), (10, "ibs"), (11, "xop"), (12, "skinit"), (13, "wdt"),
        (15, "lwp"), (16, "fma4"), (17, "tce"), (19, "nodeid_msr"), (21, "tbm"), (22, "topoext"),
        (23, "perfctr_core"), (24, "perfctr_nb"), (26, "bpext"), (27, "ptsc"), (28, "perfctr_llc"), (29, "mwaitx"),
    ] },
    Word { leaf: 7, register: EBX, flags: &[
        (0, "fsgsbase"), (1, "tsc_adjust"), (2, "sgx"), (3, "bmi1"), (4, "hle"), (5, "avx2"), (7, "smep"), (8, "bmi2"),
        (9, "erms"), (10, "invpcid"), (11, "rtm"), (12, "cqm"), (14, "mpx"), (15, "rdt_a"), (16, "avx512f"),
        (17, "avx512dq"), (18, "rdseed"), (19, "adx"), (20, "smap"), (21, "avx512ifma"), (23, "clflushopt"),
        (24, "clwb"), (25, "intel_pt"), (26, "avx512pf"), (27, "avx512er"), (28, "avx512cd"), (29, "sha_ni"),
        (30, "avx512bw"), (31, "avx512vl"),
    ] },
    Word { leaf: 0x8000_0008, register: EBX, flags: &[
        (0, "clzero"), (1, "irperf"), (2, "xsaveerptr"), (4, "rdpru"), (9, "wbnoinvd"),
    ] },
    Word { leaf: 7, register: ECX, flags: &[
        (1, "avx512vbmi"), (2, "umip"), (3, "pku"), (4, "ospke"), (5, "waitpkg"), (6, "avx512_vbmi2"), (8, "gfni"),
        (9, "vaes"), (10, "vpclmulqdq"), (11, "avx512_vnni"), (12, "avx512_bitalg"), (13, "tme"),
        (14, "avx512_vpopcntdq"), (16, "la57"), (22, "rdpid"), (24, "bus_lock_detect"), (25, "cldemote"),
        (27, "movdiri"), (28, "movdir64b"), (29, "enqcmd"), (30, "sgx_lc"),
    ] },
];

/// Where Linux's own flags stand: behind the first two words.
const OWN_WORD: usize = 2;

/// Second-level caches by the one-byte descriptors of leaf 2: descriptor and KiB.
#[rustfmt::skip]
const SECOND_LEVEL: &[(u8, u32)] = &[
    (0x41, 128), (0x42, 256), (0x43, 512), (0x44, 1024), (0x45, 2048),
    (0x79, 128), (0x7a, 256), (0x7b, 512), (0x7c, 1024),
    (0x82, 256), (0x83, 512), (0x84, 1024), (0x85, 2048),
];

/// Names of processors without one of their own: family, model, name.
const NAMES: &[(u32, u32, &str)] = &[(5, 2, "Pentium 75 - 200"), (6, 8, "Pentium III (Coppermine)")];

/// A processor without features but those that any program of the last decades takes for granted.
pub(crate) fn plain() -> Cpuid {
    Arc::new(|leaf, _| match leaf {
        0 => [1, 0, 0, 0],
        1 => [0x0600, 0, 0, 0x0781_abfb],
        _ => [0; 4],
    })
}

/// A processor as leaves 0 and 1 and their extended twins introduce it.
struct Processor<'a> {
    cpuid: &'a dyn Fn(u32, u32) -> Answer,
    level: u32,
    extended_level: u32,
    vendor: String,
    family: u32,
    model: u32,
    stepping: u32,
    /// Leaf 1, EDX.
    features: u32,
}

/// The text of `/proc/cpuinfo` for one processor.
pub(crate) fn text(cpuid: &Cpuid) -> String {
    Processor::new(&**cpuid).text().unwrap_or_default()
}

impl<'a> Processor<'a> {
    fn new(cpuid: &'a dyn Fn(u32, u32) -> Answer) -> Self {
        let [level, b, c, d] = cpuid(0, 0);
        let [signature, _, _, features] = cpuid(1, 0);
        let extended = cpuid(0x8000_0000, 0)[EAX];
        let mut family = signature >> 8 & 15;
        if family == 15 {
            family += signature >> 20 & 0xff;
        }
        let high_model = if family >= 6 { signature >> 12 & 0xf0 } else { 0 };
        Self {
            cpuid,
            level,
            // Older processors answer something else.
            extended_level: if extended >> 16 == 0x8000 { extended } else { 0 },
            vendor: characters(&[b, d, c]),
            family,
            model: high_model | signature >> 4 & 15,
            stepping: signature & 15,
            features,
        }
    }

    /// A leaf, or zeros where there is none.
    fn leaf(&self, leaf: u32) -> Answer {
        let highest = if leaf >= 0x8000_0000 { self.extended_level } else { self.level };
        if leaf <= highest { (self.cpuid)(leaf, 0) } else { [0; 4] }
    }

    fn is_intel(&self) -> bool {
        self.vendor == "GenuineIntel"
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let vendor = if self.vendor.is_empty() { "unknown" } else { &self.vendor };
        write!(
            text,
            "processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {}\nmodel\t\t: {}\n",
            self.family, self.model
        )?;
        write!(text, "model name\t: {}\nstepping\t: {}\n", self.name(), self.stepping)?;
        if self.features & TSC != 0 {
            writeln!(text, "cpu MHz\t\t: {MEGAHERTZ}.000")?;
        }
        if let size @ 1.. = self.cache() {
            writeln!(text, "cache size\t: {size} KB")?;
        }
        text.push_str("physical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\napicid\t\t: 0\ninitial apicid\t: 0\n");
        write!(
            text,
            "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: {}\nwp\t\t: yes\nflags\t\t:",
            self.level
        )?;
        for name in self.flags() {
            write!(text, " {name}")?;
        }
        write!(text, "\nbugs\t\t:\nbogomips\t: {}.00\n", 2 * MEGAHERTZ)?;
        let [_, entries, ..] = self.leaf(0x8000_0006);
        if let size @ 1.. = (entries >> 16 & 0xfff) + (entries & 0xfff) {
            writeln!(text, "TLB size\t: {size} 4K pages")?;
        }
        let (line, alignment) = self.cache_line();
        write!(text, "clflush size\t: {line}\ncache_alignment\t: {alignment}\n")?;
        let (physical, linear) = self.address_bits();
        write!(
            text,
            "address sizes\t: {physical} bits physical, {linear} bits virtual\npower management:\n\n"
        )?;
        Ok(text)
    }

    /// The brand string, else what Linux calls it.
    fn name(&self) -> String {
        let brand = [0x8000_0002, 0x8000_0003, 0x8000_0004].map(|leaf| self.leaf(leaf)).concat();
        let brand = characters(&brand);
        let words: Vec<&str> = brand.split_whitespace().collect();
        if !words.is_empty() {
            return words.join(" ");
        }
        let known = NAMES
            .iter()
            .find(|(family, model, _)| self.is_intel() && (*family, *model) == (self.family, self.model));
        known.map_or_else(
            || format!("{:02x}/{:02x}", self.family, self.model),
            |(.., name)| (*name).to_owned(),
        )
    }

    /// All flags that are shown.
    fn flags(&self) -> Vec<&'static str> {
        let mut flags = Vec::new();
        for (index, word) in WORDS.iter().enumerate() {
            if index == OWN_WORD {
                self.own_flags(&mut flags);
            }
            let bits = self.leaf(word.leaf)[word.register];
            flags.extend(word.flags.iter().filter(|(bit, _)| bits >> bit & 1 != 0).map(|(_, name)| name));
        }
        flags
    }

    /// What Linux concludes from maker, family and the rest.
    fn own_flags(&self, flags: &mut Vec<&'static str>) {
        let invariant = self.leaf(0x8000_0007)[EDX] & INVARIANT_TSC != 0;
        let (family, model, intel) = (self.family, self.model, self.is_intel());
        let constant = invariant || intel && (family == 15 && model >= 3 || family == 6 && model >= 14);
        let strings = if intel { family == 6 } else { self.vendor == "AuthenticAMD" && family >= 16 };
        let own = [
            (constant, "constant_tsc"),
            (strings, "rep_good"),
            (family >= 6, "nopl"),
            (invariant, "nonstop_tsc"),
            (true, "cpuid"),
        ];
        flags.extend(own.into_iter().filter_map(|(shown, name)| shown.then_some(name)));
    }

    /// KiB of the last cache that is the processor's alone, on AMD's, or of the last there is; 0 if
    /// it does not say.
    fn cache(&self) -> u32 {
        if !self.is_intel() {
            return self.leaf(0x8000_0006)[ECX] >> 16;
        }
        if self.level >= 4 {
            let sizes = (0..8).map(|index| (self.cpuid)(4, index)).take_while(|cache| cache[EAX] & 31 != 0);
            let best = sizes.max_by_key(|cache| cache[EAX] >> 5 & 7);
            return best.map_or(0, |[_, shape, sets, _]| {
                let part = |shift: u32, mask: u32| u64::from(shape >> shift & mask) + 1;
                let bytes = part(22, 0x3ff) * part(12, 0x3ff) * part(0, 0xfff) * (u64::from(sets) + 1);
                u32::try_from(bytes >> 10).unwrap_or(u32::MAX)
            });
        }
        let descriptors = self.leaf(2).map(u32::to_le_bytes).concat();
        // The first byte is no descriptor.
        let second = |byte: &u8| SECOND_LEVEL.iter().find(|(descriptor, _)| descriptor == byte);
        descriptors.iter().skip(1).find_map(second).map_or(0, |(_, size)| *size)
    }

    /// Bytes that CLFLUSH writes back, and those that data of two processors should lie apart.
    fn cache_line(&self) -> (u32, u32) {
        let line = if self.features & CLFLUSH != 0 { (self.leaf(1)[EBX] >> 8 & 0xff) * 8 } else { 32 };
        (line, if self.is_intel() && self.family == 15 { 2 * line } else { line })
    }

    /// Bits of physical and of linear addresses.
    fn address_bits(&self) -> (u32, u32) {
        match self.leaf(0x8000_0008)[EAX] {
            0 if self.features & (PAE | PSE36) != 0 => (36, 32),
            0 => (32, 32),
            sizes => (sizes & 0xff, sizes >> 8 & 0xff),
        }
    }
}

/// The text that registers hold, up to the first zero.
fn characters(words: &[u32]) -> String {
    let bytes: Vec<u8> =
        words.iter().flat_map(|word| word.to_le_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
