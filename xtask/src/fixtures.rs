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
}

const PLAIN: &[Build] = &[Build { label: "", flags: &["-march=i486", "-Os"] }];

/// Floating point as every generation of compilers and processors does it.
#[rustfmt::skip]
const FLOAT: &[Build] = &[
    Build { label: "i486-O0",     flags: &["-march=i486", "-O0"] },
    Build { label: "i486-Os",     flags: &["-march=i486", "-Os"] },
    Build { label: "i486-O2",     flags: &["-march=i486", "-O2"] },
    Build { label: "i686-O2",     flags: &["-march=i686", "-O2"] },
    Build { label: "pentium3-O2", flags: &["-march=pentium3", "-O2", "-mfpmath=sse"] },
    Build { label: "pentium4-O2", flags: &["-march=pentium4", "-O2", "-mfpmath=sse"] },
    Build { label: "nehalem-O2",  flags: &["-march=nehalem", "-O2", "-mfpmath=sse"] },
    Build { label: "nehalem-O3",  flags: &["-march=nehalem", "-O3", "-mfpmath=sse"] },
];

/// What compilers made of integer code for two decades.
const KERNEL: &[Build] = &[Build { label: "", flags: &["-march=i686", "-O2"] }];

/// Doubles on the x87 unit, and in SSE2 registers.
const FLOAT_KERNEL: &[Build] = &[
    Build { label: "x87", flags: &["-march=i686", "-O2"] },
    Build { label: "sse2", flags: &["-march=pentium4", "-O2", "-mfpmath=sse"] },
];

/// A program with its source below `fixtures`.
struct Program {
    source: &'static str,
    builds: &'static [Build],
}

#[rustfmt::skip]
const PROGRAMS: &[Program] = &[
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
    Program { source: "programs/memory_copy.c",        builds: PLAIN },
    Program { source: "programs/recursion.c",          builds: PLAIN },
    Program { source: "programs/sorting.c",            builds: PLAIN },
    Program { source: "programs/structures.c",         builds: PLAIN },
    Program { source: "programs/system_name.c",        builds: PLAIN },
    Program { source: "programs/vector_kernels.c",     builds: FLOAT },
];

/// Programs that have no golden output: one must never run outside a machine, the other talks.
const MACHINES: &[Program] = &[
    Program { source: "machines/escape.c", builds: PLAIN },
    Program { source: "machines/network.c", builds: PLAIN },
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
            toolchain.build(&folder.join(program.source), build.flags, &built)?;
            let committed = folder.join(&name);
            if bless {
                fs::copy(&built, &committed).map_err(|error| error.to_string())?;
                if has_golden {
                    record(&committed)?;
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

/// Runs a program on the host's own CPU and keeps what it printed as `PROGRAM.out`.
fn record(program: &Path) -> Result<(), Failure> {
    let result = Command::new(program)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("this host cannot run {}: {error}", program.display()))?;
    let code =
        result.status.code().ok_or_else(|| format!("{} died: {}", program.display(), result.status))?;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let mut golden = String::from_utf8_lossy(&result.stdout).replace(&program.display().to_string(), &name);
    golden.push_str(&format!("exit code {code}\n"));
    let path = PathBuf::from(format!("{}.out", program.display()));
    fs::write(&path, golden).map_err(|error| format!("cannot write {}: {error}", path.display()))
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

    fn build(&self, source: &Path, flags: &[&str], target: &Path) -> Result<(), Failure> {
        let library = |name: &str| self.root.join("usr/lib/i386-linux-musl").join(name);
        let mut gcc = command("gcc");
        gcc.args([
            "-m32",
            "-std=gnu11",
            "-Wall",
            "-Wextra",
            "-Wno-unused-result",
            "-static",
            "-nostdlib",
            "-nostdinc",
        ])
        .args([
            "-fno-pie",
            "-no-pie",
            "-fno-ident",
            "-fno-asynchronous-unwind-tables",
            "-fno-stack-protector",
        ])
        .args(["-Wl,--build-id=none", "-Wl,--strip-all", "-Wl,--gc-sections", "-Wl,-z,noseparate-code"])
        .arg("-isystem")
        .arg(self.root.join("usr/include/i386-linux-musl"))
        .arg("-isystem")
        .arg(&self.headers)
        .args(flags);
        if source.extension().is_some_and(|extension| extension == "s") {
            gcc.arg(source);
        } else {
            gcc.args([library("crt1.o"), library("crti.o")])
                .arg(source)
                .arg(library("libc.a"))
                .arg(self.root.join("usr/lib/gcc/i686-linux-gnu/12/libgcc.a"))
                .arg(library("crtn.o"));
        }
        run(gcc.arg("-o").arg(target))
    }
}
