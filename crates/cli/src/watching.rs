//! What a run is watched by: `--trace`, `--coverage`, `--profile`, `--backtrace`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use pentimento::{Bounds, Crash, Halt, Machine, Trace};
use pentimento_insight::{Backtrace, Coverage, Profile, Symbols};

use crate::arguments::RunOptions;
use crate::failure::{Failure, reason};
use crate::output;

/// Instructions between two samples of a profile.
const PERIOD: u64 = 50_000;

/// A file of a run that an option names, made before it begins so that nothing is run in vain.
struct Target<'a> {
    option: &'static str,
    path: &'a Path,
    file: BufWriter<File>,
}

impl<'a> Target<'a> {
    fn create(option: &'static str, path: &'a Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| Self::failure(option, path, &error))?;
        Ok(Self { option, path, file: BufWriter::new(file) })
    }

    fn failure(option: &str, path: &Path, error: &io::Error) -> Failure {
        Failure::new(format!("{option} {}: {}", path.display(), reason(error)))
    }

    /// Whether its name ends in one of these.
    fn ends_in(&self, endings: &[&str]) -> bool {
        let extension = self.path.extension().unwrap_or_default();
        endings.iter().any(|ending| extension.eq_ignore_ascii_case(ending))
    }

    fn write(mut self, content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), Failure> {
        let written = content(&mut self.file).and_then(|()| self.file.flush());
        written.map_err(|error| Self::failure(self.option, self.path, &error))
    }
}

/// What was asked for.
pub(crate) struct Watching<'a> {
    trace: Option<(&'a Path, Trace<BufWriter<File>>)>,
    coverage: Option<(Target<'a>, Coverage)>,
    profile: Option<(Target<'a>, Profile)>,
    backtraces: bool,
    symbols: Symbols,
    /// The last exception that became a signal.
    raised: Option<(Crash, Backtrace)>,
}

impl<'a> Watching<'a> {
    /// Begins to watch.
    pub(crate) fn start(machine: &mut Machine, options: &'a RunOptions) -> Result<Self, Failure> {
        let create = |option, path: &'a Option<_>| {
            path.as_deref().map(|path: &Path| Target::create(option, path)).transpose()
        };
        let trace = create("--trace", &options.trace)?;
        let coverage = create("--coverage", &options.coverage)?;
        let profile = create("--profile", &options.profile)?;
        machine.stop_at_exceptions |= options.backtrace;
        Ok(Self {
            trace: trace.map(|target| (target.path, Trace::start(&mut machine.hooks, target.file))),
            coverage: coverage.map(|target| (target, Coverage::start(machine))),
            profile: profile.map(|target| (target, Profile::every(PERIOD))),
            backtraces: options.backtrace,
            symbols: Symbols::new(),
            raised: None,
        })
    }

    /// Runs the machine to its end or to that of `bounds`.
    pub(crate) fn run(&mut self, machine: &mut Machine, bounds: Bounds) -> Halt {
        let end = bounds.time().map(|time| Instant::now() + time);
        let begun = machine.statistics().instructions;
        loop {
            let executed = machine.statistics().instructions - begun;
            let mut left = bounds.budget(bounds.instructions().saturating_sub(executed));
            if let Some(end) = end {
                left = left.deadline(end);
            }
            let halt = match &mut self.profile {
                Some((_, profile)) => profile.run(machine, left),
                None => machine.run_and_wait(left),
            };
            match halt {
                // Whether it kills, its signal will tell.
                Halt::Raised { crash, .. } if self.backtraces => {
                    self.raised = Some((crash, Backtrace::of(machine, crash.task, &mut self.symbols)));
                }
                halt => return halt,
            }
        }
    }

    /// Writes what was seen of the run; who called whom, where it ended with a crash.
    pub(crate) fn finish(
        self,
        machine: &mut Machine,
        program: &str,
        halt: Halt,
    ) -> Result<Option<Backtrace>, Failure> {
        let Self { trace, coverage, profile, mut symbols, raised, .. } = self;
        if let Some((path, trace)) = trace {
            let finished = trace.finish(&mut machine.hooks);
            finished.map_err(|error| Target::failure("--trace", path, &error))?;
        }
        if let Some((target, coverage)) = coverage {
            let covered = coverage.finish(machine);
            if target.ends_in(&["info", "lcov"]) {
                let mut sources = 0;
                target.write(|file| {
                    sources = covered.write_lcov(machine, &mut symbols, file)?;
                    Ok(())
                })?;
                if sources == 0 {
                    output::say(format_args!(
                        "pentimento: --coverage: no program has line tables (gcc -g); a file with another ending gets blocks"
                    ));
                }
            } else {
                target.write(|file| covered.write_drcov(file))?;
            }
        }
        if let Some((target, profile)) = profile {
            let is_picture = target.ends_in(&["svg"]);
            let content = if is_picture { profile.flame_graph(program) } else { profile.folded() };
            target.write(|file| file.write_all(content.as_bytes()))?;
        }
        let crashed = raised.filter(
            |(raised, _)| matches!(halt, Halt::Killed { crash: Some(crash), .. } if crash == *raised),
        );
        Ok(crashed.map(|(_, backtrace)| backtrace))
    }
}
