//! `cargo xtask fixtures`: rebuilds the guest programs in `fixtures/` and compares them byte for
//! byte with what is committed; `--bless` writes them and their golden outputs instead.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::debian::Archive;
use crate::process::{command, output, run, top};
use crate::skips::skip;

/// The compiler whose output is committed; another one builds other bytes.
const COMPILER: &str = "12.2.0";

/// How a program is built; the binary is named `PROGRAM` or `PROGRAM.LABEL`.
struct Build {
    label: &'static str,
    flags: &'static [&'static str],
    place: Linkage,
    /// Names of functions, and what the compiler wrote for debuggers, stay in the file.
    symbols: bool,
}

/// Where a program lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Linkage {
    /// At the usual address, with a C library.
    Usual,
    /// From address 0 on, without a library, as `low/low.ld` lays it out.
    Low,
    /// From address 0 on, as `flat/flat.ld` lays it out: bytes without a file format.
    Flat,
}

const fn build(label: &'static str, flags: &'static [&'static str]) -> Build {
    Build { label, flags, place: Linkage::Usual, symbols: false }
}

const PLAIN: &[Build] = &[build("", &["-march=i486", "-Os"])];

const LOW: &[Build] = &[Build { place: Linkage::Low, ..build("", &["-march=i486", "-Os"]) }];

const FLAT: &[Build] = &[Build { place: Linkage::Flat, ..build("bin", &["-march=i486"]) }];

/// Floating point as every generation of compilers and processors does it.
#[rustfmt::skip]
const FLOAT: &[Build] = &[
    build("i486-O0",     &["-march=i486", "-O0"]),
    build("i486-Os",     &["-march=i486", "-Os"]),
    build("i486-O2",     &["-march=i486", "-O2"]),
    build("i686-O2",     &["-march=i686", "-O2"]),
    build("pentium3-O2", &["-march=pentium3", "-O2", "-mfpmath=sse"]),
    build("pentium4-O2", &["-march=pentium4", "-O2", "-mfpmath=sse"]),
    build("nehalem-O2",  &["-march=nehalem", "-O2", "-mfpmath=sse"]),
    build("nehalem-O3",  &["-march=nehalem", "-O3", "-mfpmath=sse"]),
];

/// What compilers made of integer code for two decades.
const KERNEL: &[Build] = &[build("", &["-march=i686", "-O2"])];

/// Doubles on the x87 unit, and in SSE2 registers.
const FLOAT_KERNEL: &[Build] =
    &[build("x87", &["-march=i686", "-O2"]), build("sse2", &["-march=pentium4", "-O2", "-mfpmath=sse"])];

/// For debuggers: with tables, as distributions build, and with frame pointers alone.
#[rustfmt::skip]
const DEBUGGED: &[Build] = &[
    Build { symbols: true, ..build("", &["-march=i686", "-O1", "-gdwarf-5", "-gno-record-gcc-switches", "-fasynchronous-unwind-tables"]) },
    Build { symbols: true, ..build("frames", &["-march=i686", "-O1", "-fno-omit-frame-pointer"]) },
];

/// A program with its source below `fixtures`.
struct Program {
    source: &'static str,
    builds: &'static [Build],
}

#[rustfmt::skip]
const PROGRAMS: &[Program] = &[
    Program { source: "flat/capitals.s",               builds: FLAT },
    Program { source: "flat/clock.s",                  builds: FLAT },
    Program { source: "flat/factorial.s",              builds: FLAT },
    Program { source: "flat/hello.s",                  builds: FLAT },
    Program { source: "flat/patch.s",                  builds: FLAT },
    Program { source: "flat/sieve.s",                  builds: FLAT },
    Program { source: "kernels/bytecode.c",              builds: KERNEL },
    Program { source: "kernels/compress.c",              builds: KERNEL },
    Program { source: "kernels/list.c",                  builds: KERNEL },
    Program { source: "kernels/mandelbrot.c",            builds: FLOAT_KERNEL },
    Program { source: "kernels/matrix.c",                builds: KERNEL },
    Program { source: "kernels/n_body.c",                builds: FLOAT_KERNEL },
    Program { source: "kernels/sha256.c",                builds: KERNEL },
    Program { source: "kernels/sort.c",                  builds: KERNEL },
    Program { source: "kernels/state_machine.c",         builds: KERNEL },
    Program { source: "kernels/strings.c",               builds: KERNEL },
    Program { source: "low/arguments.c",               builds: LOW },
    Program { source: "low/faults.c",                  builds: LOW },
    Program { source: "low/floats.c",                  builds: LOW },
    Program { source: "low/heap.c",                    builds: LOW },
    Program { source: "low/hello.c",                   builds: LOW },
    Program { source: "low/null_write.c",              builds: LOW },
    Program { source: "low/numbers.c",                 builds: LOW },
    Program { source: "programs/arguments.c",          builds: PLAIN },
    Program { source: "programs/base64.c",             builds: PLAIN },
    Program { source: "programs/calculator.c",         builds: PLAIN },
    Program { source: "programs/crowd.c",              builds: PLAIN },
    Program { source: "programs/file_io.c",            builds: PLAIN },
    Program { source: "programs/float_checks.c",       builds: FLOAT },
    Program { source: "programs/float_kernels.c",      builds: FLOAT },
    Program { source: "programs/float_roundtrip.c",    builds: FLOAT },
    Program { source: "programs/fork_large.c",         builds: PLAIN },
    Program { source: "programs/hello.s",              builds: PLAIN },
    Program { source: "programs/instruction_groups.c", builds: PLAIN },
    Program { source: "programs/interleaving.c",       builds: PLAIN },
    Program { source: "programs/libm_sweep.c",         builds: FLOAT },
    Program { source: "programs/lost_update.c",        builds: PLAIN },
    Program { source: "programs/malloc_stress.c",      builds: PLAIN },
    Program { source: "programs/matrix.c",             builds: PLAIN },
    Program { source: "programs/memory_calls.c",       builds: PLAIN },
    Program { source: "programs/nobody_there.c",       builds: PLAIN },
    Program { source: "programs/memory_copy.c",        builds: PLAIN },
    Program { source: "programs/parser.c",             builds: KERNEL },
    Program { source: "programs/recursion.c",          builds: PLAIN },
    Program { source: "programs/signal_calls.c",       builds: PLAIN },
    Program { source: "programs/sorting.c",            builds: PLAIN },
    Program { source: "programs/structures.c",         builds: PLAIN },
    Program { source: "programs/system_name.c",        builds: PLAIN },
    Program { source: "programs/system_v.c",           builds: PLAIN },
    Program { source: "programs/tracing.c",            builds: PLAIN },
    Program { source: "programs/vector_kernels.c",     builds: FLOAT },
    Program { source: "programs/written_code.c",       builds: PLAIN },
];

/// Programs that have no golden output: the first and the third must never run outside a machine, the
/// second ends as it is told, the others say what depends on where and as whom they run.
const MACHINES: &[Program] = &[
    Program { source: "machines/attacks.c", builds: PLAIN },
    Program { source: "machines/crash.c", builds: DEBUGGED },
    Program { source: "machines/escape.c", builds: PLAIN },
    Program { source: "machines/low_memory.c", builds: PLAIN },
    Program { source: "machines/network.c", builds: PLAIN },
    Program { source: "machines/processor.c", builds: PLAIN },
    Program { source: "machines/system_calls.c", builds: PLAIN },
];

pub(crate) fn run_task(options: &[String]) -> Result<(), Failure> {
    let bless = match options {
        [] => false,
        [option] if option == "--bless" => true,
        _ => return Err("the only option is --bless".into()),
    };
    let toolchain = match Toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(reason) if !bless => {
            skip("fixtures: rebuilding them", &reason);
            return Ok(());
        }
        Err(reason) => return Err(reason),
    };
    let folder = top().join("fixtures");
    let scratch = top().join("guests/fixtures");
    fs::create_dir_all(&scratch).map_err(|error| error.to_string())?;
    let mut differing = Vec::new();
    let mut count = 0;
    for (program, has_golden) in
        PROGRAMS.iter().map(|program| (program, true)).chain(MACHINES.iter().map(|program| (program, false)))
    {
        for build in program.builds {
            let name = binary_name(program, build);
            let built = scratch.join(name.replace('/', "-"));
            let source = folder.join(program.source);
            toolchain.build(&source, build, &built)?;
            let committed = folder.join(&name);
            if bless {
                fs::copy(&built, &committed).map_err(|error| error.to_string())?;
                if has_golden {
                    toolchain.record(&source, build, &committed)?;
                }
            } else if fs::read(&built).ok() != fs::read(&committed).ok() {
                differing.push(name);
            }
            count += 1;
        }
    }
    count += 1;
    if !oracle_is_rebuilt(&scratch, bless)? {
        differing.push("oracle/oracle".to_owned());
    }
    if differing.is_empty() {
        println!("fixtures: {count} programs {}", if bless { "written" } else { "rebuilt byte for byte" });
        Ok(())
    } else {
        Err(format!(
            "rebuilt differently: {}; if the sources changed, run with --bless",
            differing.join(", ")
        ))
    }
}

/// The silicon oracle's native program has a build script of its own: no library, a fixed address.
fn oracle_is_rebuilt(scratch: &Path, bless: bool) -> Result<bool, Failure> {
    let committed = top().join("fixtures/oracle/oracle");
    let built = if bless { committed.clone() } else { scratch.join("oracle") };
    run(command("fixtures/oracle/build.sh").arg(&built))?;
    Ok(bless || fs::read(&built).ok() == fs::read(&committed).ok())
}

fn binary_name(program: &Program, build: &Build) -> String {
    let stem = program.source.split('.').next().unwrap_or(program.source);
    if build.label.is_empty() { stem.to_owned() } else { format!("{stem}.{}", build.label) }
}

/// gcc with Debian's i386 musl and libgcc, unpacked below `guests/`.
struct Toolchain {
    root: PathBuf,
    headers: String,
}

impl Toolchain {
    fn find() -> Result<Self, Failure> {
        let version =
            output(command("gcc").arg("-dumpfullversion")).map_err(|_| "the host has no gcc".to_owned())?;
        if version.trim() != COMPILER {
            return Err(format!(
                "the fixtures are built with gcc {COMPILER}, the host has {}",
                version.trim()
            ));
        }
        let headers = output(command("gcc").arg("-print-file-name=include"))?.trim().to_owned();
        let root = top().join("guests/musl");
        if !root.join("usr/lib/i386-linux-musl/libc.a").exists() {
            let archive = Archive::open()?;
            for package in ["musl-dev", "libgcc-12-dev"] {
                archive.unpack_one(package, &root)?;
            }
        }
        Ok(Self { root, headers })
    }

    fn build(&self, source: &Path, build: &Build, target: &Path) -> Result<(), Failure> {
        match build.place {
            Linkage::Usual => self.link(source, build, &[], target),
            Linkage::Low => self.link(source, build, &["-Wl,-T,fixtures/low/low.ld"], target),
            Linkage::Flat => {
                let layout = "-Wl,-T,fixtures/flat/flat.ld";
                self.link(source, build, &[layout, "-Wl,--oformat=binary"], target)
            }
        }
    }

    fn link(&self, source: &Path, build: &Build, layout: &[&str], target: &Path) -> Result<(), Failure> {
        let library = |name: &str| self.root.join("usr/lib/i386-linux-musl").join(name);
        let mut gcc = command("gcc");
        gcc.args(["-m32", "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-result", "-static"])
            .args(["-nostdlib", "-nostdinc", "-fno-pie", "-no-pie", "-fno-ident"])
            .args(["-fno-asynchronous-unwind-tables", "-fno-stack-protector"])
            .args(["-Wl,--build-id=none", "-Wl,--gc-sections", "-Wl,-z,noseparate-code"])
            // What debuggers read names no folder of this host.
            .arg(format!("-ffile-prefix-map={}=.", top().display()))
            .arg("-fno-canonical-system-headers")
            .args(build.flags)
            .args(layout);
        if !build.symbols {
            gcc.arg("-Wl,--strip-all");
        }
        if build.place != Linkage::Usual {
            gcc.args(["-ffreestanding", "-Wl,--no-warn-rwx-segments"]).arg(source);
        } else if source.extension().is_some_and(|extension| extension == "s") {
            gcc.arg(source);
        } else {
            gcc.arg("-isystem")
                .arg(self.root.join("usr/include/i386-linux-musl"))
                .arg("-isystem")
                .arg(&self.headers)
                .args([library("crt1.o"), library("crti.o")])
                .arg(source)
                .arg(library("libc.a"))
                .arg(self.root.join("usr/lib/gcc/i686-linux-gnu/12/libgcc.a"))
                .arg(library("crtn.o"));
        }
        run(gcc.arg("-o").arg(target))
    }

    /// Runs a program on the host's own CPU and keeps what it printed as `PROGRAM.out`. Its standard
    /// input is `SOURCE.in`, where there is one.
    fn record(&self, source: &Path, build: &Build, program: &Path) -> Result<(), Failure> {
        let mut native = match build.place {
            Linkage::Usual => Command::new(program),
            Linkage::Low => at_address_zero(program),
            Linkage::Flat => {
                // The same bytes as an ELF file, which the host's kernel takes.
                let file = program.with_extension("elf");
                self.link(source, build, &["-Wl,-T,fixtures/flat/flat.ld"], &file)?;
                at_address_zero(&file)
            }
        };
        let input = fs::File::open(source.with_extension("in")).map_or_else(|_| Stdio::null(), Stdio::from);
        let result = native
            .env_clear()
            .stdin(input)
            .output()
            .map_err(|error| format!("this host cannot run {}: {error}", program.display()))?;
        if build.place == Linkage::Flat {
            fs::remove_file(program.with_extension("elf")).map_err(|error| error.to_string())?;
        }
        let code = result.status.code().ok_or_else(|| {
            format!("{} died: {}; programs at address 0 need root", program.display(), result.status)
        })?;
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let mut golden =
            String::from_utf8_lossy(&result.stdout).replace(&program.display().to_string(), &name);
        golden.push_str(&format!("exit code {code}\n"));
        let path = PathBuf::from(format!("{}.out", program.display()));
        fs::write(&path, golden).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }
}

/// Runs a program that lies at address 0, as nobody, with the right to map memory there
/// (CAP_SYS_RAWIO) and no other.
fn at_address_zero(program: &Path) -> Command {
    let mut command = Command::new("/usr/bin/setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"])
        .args(["--inh-caps=-all,+sys_rawio", "--ambient-caps=-all,+sys_rawio"])
        .arg("--bounding-set=-all,+sys_rawio")
        .arg(program);
    command
}
