//! What is timed, and the times that each kind is to stay within.

use std::path::PathBuf;

use crate::process::top;

/// Members that are judged together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    /// Own kernels that do what CoreMark's do.
    CoreMark,
    /// The other integer kernels of our own.
    Integer,
    /// Programs from Debian packages.
    Debian,
    /// Floating-point kernels, x87 and SSE2 builds of the same sources.
    Float,
}

impl Group {
    /// All, in the order of tables and charts.
    pub(crate) const ALL: [Self; 4] = [Self::CoreMark, Self::Integer, Self::Debian, Self::Float];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::CoreMark => "CoreMark-class kernels",
            Self::Integer => "Integer kernels",
            Self::Debian => "Debian programs",
            Self::Float => "Floating-point kernels",
        }
    }

    /// The most times native that any member may take.
    pub(crate) const fn bar(self) -> Option<f64> {
        match self {
            Self::CoreMark => Some(14.0),
            Self::Integer | Self::Debian => Some(30.0),
            Self::Float => None,
        }
    }
}

/// A set of members with a geometric mean of its own.
pub(crate) struct Mean {
    pub(crate) title: &'static str,
    pub(crate) groups: &'static [Group],
    /// The most times native that the mean may be.
    pub(crate) bar: Option<f64>,
}

#[rustfmt::skip]
pub(crate) const MEANS: &[Mean] = &[
    Mean { title: "integer kernels",     groups: &[Group::CoreMark, Group::Integer],                bar: None },
    Mean { title: "Debian programs",     groups: &[Group::Debian],                                  bar: None },
    Mean { title: "all integer members", groups: &[Group::CoreMark, Group::Integer, Group::Debian], bar: Some(15.0) },
    Mean { title: "floating point",      groups: &[Group::Float],                                   bar: Some(40.0) },
];

/// A fixture kernel.
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    /// The argument that makes it run for 0.1 to 0.2 seconds natively.
    pub(crate) rounds: u32,
    /// The argument that makes it run for a million guest instructions or so: for callgrind.
    pub(crate) few: u32,
}

#[rustfmt::skip]
pub(crate) const KERNELS: &[Kernel] = &[
    Kernel { name: "list",            group: Group::CoreMark, rounds: 3000,      few: 15 },
    Kernel { name: "matrix",          group: Group::CoreMark, rounds: 1200,      few: 6 },
    Kernel { name: "state_machine",   group: Group::CoreMark, rounds: 40_000,    few: 200 },
    Kernel { name: "sort",            group: Group::Integer,  rounds: 120,       few: 1 },
    Kernel { name: "sha256",          group: Group::Integer,  rounds: 40_000,    few: 200 },
    Kernel { name: "compress",        group: Group::Integer,  rounds: 400,       few: 2 },
    Kernel { name: "bytecode",        group: Group::Integer,  rounds: 400,       few: 2 },
    Kernel { name: "strings",         group: Group::Integer,  rounds: 60_000,    few: 300 },
    Kernel { name: "n_body.x87",      group: Group::Float,    rounds: 1_000_000, few: 2500 },
    Kernel { name: "n_body.sse2",     group: Group::Float,    rounds: 2_000_000, few: 2500 },
    Kernel { name: "mandelbrot.x87",  group: Group::Float,    rounds: 700,       few: 20 },
    Kernel { name: "mandelbrot.sse2", group: Group::Float,    rounds: 1000,      few: 20 },
];

impl Kernel {
    /// Where its binary is.
    pub(crate) fn path(&self) -> PathBuf {
        top().join("fixtures/kernels").join(self.name)
    }
}

/// A command line for the shell of the Debian root of `cargo xtask guests`, with a run of 0.1 to
/// 0.4 seconds natively.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) line: &'static str,
}

#[rustfmt::skip]
pub(crate) const PROGRAMS: &[Program] = &[
    Program { name: "gzip",       line: "head -c 3000000 /usr/bin/python3.11 | gzip -c > /dev/null" },
    Program { name: "xz",         line: "head -c 600000 /usr/bin/python3.11 | xz -c > /dev/null" },
    Program { name: "bzip2",      line: "head -c 2000000 /usr/bin/python3.11 | bzip2 -c > /dev/null" },
    Program { name: "sha256sum",  line: "cat /usr/bin/python3.11 /usr/bin/python3.11 /usr/bin/python3.11 /usr/bin/python3.11 | sha256sum" },
    Program { name: "python3.11", line: "python3.11 -S -c 'print(sum(i * i % 7 for i in range(1800000)))'" },
    Program { name: "lua5.4",     line: "lua5.4 -e 'local s = 0 for i = 1, 9000000 do s = s + i % 7 * 3 end print(s)'" },
    Program { name: "sqlite3",    line: "sqlite3 :memory: 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT sum(i % 13), count(DISTINCT i % 1000) FROM n'" },
    Program { name: "zstd",       line: "head -c 6000000 /usr/bin/python3.11 | zstd -q -5 -c > /dev/null" },
    Program { name: "brotli",     line: "head -c 1500000 /usr/bin/python3.11 | brotli -q 6 -c > /dev/null" },
    Program { name: "openssl",    line: "cat /usr/bin/python3.11 | openssl dgst -sha512; cat /usr/bin/python3.11 | openssl dgst -md5; openssl prime -hex -checks 40 7$(head -c 1100 /dev/zero | tr '\\0' F)" },
    Program { name: "lame",       line: "head -c 400000 /usr/bin/python3.11 | lame -r -s 44.1 --quiet - - > /dev/null" },
    Program { name: "python start", line: "for i in 1 2 3 4 5 6; do python3.11 -c pass; done" },
    Program { name: "perl",       line: "perl -e 'my %h; for my $i (1 .. 700000) { $h{$i % 1000} .= $i } print length(join \"\", values %h), \"\\n\"'" },
    Program { name: "gcc",        line: "perl -e 'for my $i (1 .. 150) { print \"int f$i(int *x, int n) { int s = $i; for (int i = 0; i < n; i++) { if (x[i] > s) s += x[i] * $i; else s ^= x[n - i]; } return s; }\\n\" }' | gcc -O2 -x c -S - -o /dev/null" },
    Program { name: "make",       line: "d=$(mktemp -d) && cd $d && for i in $(seq 10); do echo \"int f$i(int x) { return x * $i; }\" > f$i.c; done && printf '%s\\n' 'all: $(patsubst %.c,%.o,$(wildcard *.c))' > Makefile && make -s CC=gcc && ls *.o | wc -l" },
    Program { name: "short commands", line: "i=0; while [ $i -lt 100 ]; do /bin/true; echo $i | grep -q 7; i=$((i + 1)); done" },
];
