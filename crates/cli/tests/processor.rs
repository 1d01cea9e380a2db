//! `/proc/cpuinfo` says what CPUID says: both are read by a guest, for each `--cpu` model.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

#[path = "../../conformance/src/skip.rs"]
mod skip;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use skip::skip;

const PROGRAM: &str = "fixtures/machines/processor";

const MODELS: [&str; 5] = ["pentium", "pentium3", "pentium4", "x86-64-v2", "max"];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What the guest was told: CPUID's answers, and the lines of `/proc/cpuinfo`.
struct Told {
    /// EAX, EBX, ECX and EDX by leaf and subleaf.
    leaves: HashMap<(u32, u32), [u32; 4]>,
    lines: Vec<(String, String)>,
}

impl Told {
    fn parse(text: &str) -> Self {
        let (leaves, lines) = text.split_once("\n\n").unwrap();
        let number = |text: &str| u32::from_str_radix(text, 16).unwrap();
        let leaves = leaves.lines().map(|line| {
            let words: Vec<u32> = line.split(' ').map(number).collect();
            ((words[0], words[1]), [words[2], words[3], words[4], words[5]])
        });
        // The first processor alone: a host has more.
        let lines = lines.split("\n\n").next().unwrap_or_default().lines();
        let lines = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no colon in {line:?}"));
            (name.trim_end().to_owned(), value.trim_start().to_owned())
        });
        Self { leaves: leaves.collect(), lines: lines.collect() }
    }

    fn line(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn leaf(&self, leaf: u32) -> [u32; 4] {
        self.leaves.get(&(leaf, 0)).copied().unwrap_or_default()
    }
}

fn told_to_a_guest(model: &str) -> Told {
    let output = Command::new(env!("CARGO_BIN_EXE_pentimento"))
        .args(["run", "--cpu", model, PROGRAM])
        .current_dir(top())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Told::parse(&String::from_utf8(output.stdout).unwrap())
}

fn characters(words: &[u32]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    String::from_utf8(bytes).unwrap().trim_matches(['\0', ' ']).to_owned()
}

const EBX: usize = 1;
const ECX: usize = 2;
const EDX: usize = 3;

/// Where each flag comes from that some model has: leaf, register, bit; in Linux's order.
#[rustfmt::skip]
const FLAGS: &[(&str, u32, usize, u32)] = &[
    ("fpu", 1, EDX, 0), ("vme", 1, EDX, 1), ("de", 1, EDX, 2), ("pse", 1, EDX, 3), ("tsc", 1, EDX, 4),
    ("msr", 1, EDX, 5), ("pae", 1, EDX, 6), ("mce", 1, EDX, 7), ("cx8", 1, EDX, 8), ("apic", 1, EDX, 9),
    ("sep", 1, EDX, 11), ("mtrr", 1, EDX, 12), ("pge", 1, EDX, 13), ("mca", 1, EDX, 14), ("cmov", 1, EDX, 15),
    ("pat", 1, EDX, 16), ("pse36", 1, EDX, 17), ("clflush", 1, EDX, 19), ("dts", 1, EDX, 21),
    ("acpi", 1, EDX, 22), ("mmx", 1, EDX, 23), ("fxsr", 1, EDX, 24), ("sse", 1, EDX, 25), ("sse2", 1, EDX, 26),
    ("ss", 1, EDX, 27), ("ht", 1, EDX, 28), ("tm", 1, EDX, 29),
    ("syscall", 0x8000_0001, EDX, 11), ("mmxext", 0x8000_0001, EDX, 22), ("rdtscp", 0x8000_0001, EDX, 27),
    ("pni", 1, ECX, 0), ("pclmulqdq", 1, ECX, 1), ("ssse3", 1, ECX, 9), ("sse4_1", 1, ECX, 19),
    ("sse4_2", 1, ECX, 20), ("movbe", 1, ECX, 22), ("popcnt", 1, ECX, 23), ("aes", 1, ECX, 25),
    ("rdrand", 1, ECX, 30),
    ("abm", 0x8000_0001, ECX, 5), ("sse4a", 0x8000_0001, ECX, 6), ("3dnowprefetch", 0x8000_0001, ECX, 8),
    ("topoext", 0x8000_0001, ECX, 22),
    ("invpcid", 7, EBX, 10), ("rdseed", 7, EBX, 18), ("adx", 7, EBX, 19), ("clflushopt", 7, EBX, 23),
    ("clwb", 7, EBX, 24), ("sha_ni", 7, EBX, 29),
    ("clzero", 0x8000_0008, EBX, 0), ("wbnoinvd", 0x8000_0008, EBX, 9),
    ("gfni", 7, ECX, 8), ("rdpid", 7, ECX, 22),
];

/// Flags that are Linux's own conclusions, with those models that it draws them for.
const CONCLUSIONS: &[(&str, &[&str])] = &[
    ("constant_tsc", &["x86-64-v2", "max"]),
    ("rep_good", &["pentium3", "x86-64-v2", "max"]),
    ("nopl", &["pentium3", "pentium4", "x86-64-v2", "max"]),
    ("nonstop_tsc", &["x86-64-v2", "max"]),
    ("cpuid", &MODELS),
];

#[test]
fn identity_is_that_of_cpuid() {
    for model in MODELS {
        let told = told_to_a_guest(model);
        let [level, b, c, d] = told.leaf(0);
        assert_eq!(told.line("vendor_id"), Some(characters(&[b, d, c]).as_str()), "{model}");
        assert_eq!(told.line("cpuid level"), Some(level.to_string().as_str()), "{model}");
        let signature = told.leaf(1)[0];
        let base = signature >> 8 & 15;
        let family = if base == 15 { base + (signature >> 20 & 255) } else { base };
        let extended_model = if base >= 6 { signature >> 16 & 15 } else { 0 };
        let numbers = [family, extended_model << 4 | signature >> 4 & 15, signature & 15];
        for (name, number) in ["cpu family", "model", "stepping"].into_iter().zip(numbers) {
            assert_eq!(told.line(name), Some(number.to_string().as_str()), "{model}: {name}");
        }
        let brand = [2, 3, 4].map(|part| told.leaf(0x8000_0000 + part)).concat();
        let named =
            if brand[0] != 0 { characters(&brand) } else { told.line("model name").unwrap().to_owned() };
        assert!(!named.is_empty(), "{model}");
        assert_eq!(told.line("model name"), Some(named.as_str()), "{model}");
        let sizes = told.leaf(0x8000_0008)[0];
        let (physical, linear) = match sizes {
            0 if told.leaf(1)[EDX] & (1 << 6 | 1 << 17) == 0 => (32, 32),
            0 => (36, 32),
            _ => (sizes & 255, sizes >> 8 & 255),
        };
        let expected = format!("{physical} bits physical, {linear} bits virtual");
        assert_eq!(told.line("address sizes"), Some(expected.as_str()), "{model}");
    }
}

#[test]
fn flags_are_those_of_cpuid_in_linuxs_order() {
    for model in MODELS {
        let told = told_to_a_guest(model);
        let shown: Vec<&str> = told.line("flags").unwrap().split(' ').collect();
        let is_conclusion = |flag: &&str| CONCLUSIONS.iter().any(|(name, _)| name == flag);
        let from_cpuid: Vec<&str> = shown.iter().copied().filter(|flag| !is_conclusion(flag)).collect();
        let is_set = |leaf, register: usize, bit: u32| told.leaf(leaf)[register] >> bit & 1 != 0;
        let expected: Vec<&str> = FLAGS
            .iter()
            .filter(|(_, leaf, register, bit)| is_set(*leaf, *register, *bit))
            .map(|(flag, ..)| *flag)
            .collect();
        assert_eq!(from_cpuid, expected, "{model}");
        let concluded: Vec<&str> = shown.iter().copied().filter(is_conclusion).collect();
        let expected: Vec<&str> =
            CONCLUSIONS.iter().filter(|(_, models)| models.contains(&model)).map(|(name, _)| *name).collect();
        assert_eq!(concluded, expected, "{model}");
        no_bit_is_left_out(&told, model);
    }
}

/// Every feature bit that CPUID sets has its flag.
fn no_bit_is_left_out(told: &Told, model: &str) {
    /// AMD's CPUs repeat these of leaf 1 in 8000_0001h, EDX.
    const REPEATED: u32 = 0x0183_f3ff;
    for (leaf, register) in
        [(1, EDX), (1, ECX), (7, EBX), (7, ECX), (0x8000_0001, EDX), (0x8000_0001, ECX), (0x8000_0008, EBX)]
    {
        let named: u32 = FLAGS
            .iter()
            .filter(|(_, at, column, _)| (*at, *column) == (leaf, register))
            .map(|(.., bit)| 1 << bit)
            .sum();
        let repeated = if (leaf, register) == (0x8000_0001, EDX) { REPEATED } else { 0 };
        assert_eq!(
            told.leaf(leaf)[register] & !named & !repeated,
            0,
            "{model}: leaf {leaf:x}, register {register}"
        );
    }
}

#[test]
fn caches_are_those_of_cpuid() {
    let sizes = [None, Some("256 KB"), Some("512 KB"), Some("8192 KB"), Some("1024 KB")];
    for (model, size) in MODELS.into_iter().zip(sizes) {
        let told = told_to_a_guest(model);
        assert_eq!(told.line("cache size"), size, "{model}");
        let line = if told.leaf(1)[EDX] & 1 << 19 != 0 { (told.leaf(1)[EBX] >> 8 & 255) * 8 } else { 32 };
        assert_eq!(told.line("clflush size"), Some(line.to_string().as_str()), "{model}");
    }
    // The descriptors of the two that have no leaf 4 say 256 KiB (82h) and 512 KiB (7Bh).
    let has = |model, descriptor| {
        told_to_a_guest(model).leaf(2).map(u32::to_le_bytes).concat().contains(&descriptor)
    };
    assert!(has("pentium3", 0x82) && has("pentium4", 0x7b));
    let [_, shape, sets, _] = told_to_a_guest("x86-64-v2").leaves[&(4, 3)];
    assert_eq!(((shape >> 22) + 1) * ((shape & 0xfff) + 1) * (sets + 1), 8192 << 10);
    assert_eq!(told_to_a_guest("max").leaf(0x8000_0006)[ECX] >> 16, 1024);
}

#[test]
fn the_lines_are_linuxs() {
    let told = told_to_a_guest("pentium4");
    let expected = [
        ("processor", "0"),
        ("vendor_id", "GenuineIntel"),
        ("cpu family", "15"),
        ("model", "2"),
        ("model name", "Intel(R) Pentium(R) 4 CPU"),
        ("stepping", "9"),
        ("cpu MHz", "1000.000"),
        ("cache size", "512 KB"),
        ("physical id", "0"),
        ("siblings", "1"),
        ("core id", "0"),
        ("cpu cores", "1"),
        ("apicid", "0"),
        ("initial apicid", "0"),
        ("fpu", "yes"),
        ("fpu_exception", "yes"),
        ("cpuid level", "2"),
        ("wp", "yes"),
        (
            "flags",
            "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush dts acpi mmx \
             fxsr sse sse2 ss tm nopl cpuid",
        ),
        ("bugs", ""),
        ("bogomips", "2000.00"),
        ("clflush size", "64"),
        ("cache_alignment", "128"),
        ("address sizes", "36 bits physical, 32 bits virtual"),
        ("power management", ""),
    ];
    let shown: Vec<(&str, &str)> =
        told.lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(shown, expected);
}

/// The names belong to the right bits: where a host's own kernel shows one, its CPUID sets the bit.
#[test]
fn the_hosts_kernel_names_the_same_bits() {
    let Some(output) =
        Command::new(top().join(PROGRAM)).output().ok().filter(|output| output.status.success())
    else {
        return skip("the host's own /proc/cpuinfo", "this host does not run 32-bit programs");
    };
    let told = Told::parse(&String::from_utf8(output.stdout).unwrap());
    let shown: Vec<&str> = told.line("flags").unwrap().split(' ').collect();
    let ours = FLAGS.iter().filter(|(flag, ..)| shown.contains(flag));
    let mut order = Vec::new();
    for (flag, leaf, register, bit) in ours {
        assert!(told.leaf(*leaf)[*register] >> bit & 1 != 0, "{flag}");
        order.push(*flag);
    }
    let theirs: Vec<&str> = shown.into_iter().filter(|flag| order.contains(flag)).collect();
    assert_eq!(theirs, order);
}
