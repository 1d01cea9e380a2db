//! Backtraces, coverage and profiles of a program whose source is known.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::path::Path;

use pentimento::{Capture, EngineKind, Halt, Machine};
use pentimento_insight::{Backtrace, CodeCoverage, Coverage, Profile, Symbols};
use proptest::prelude::{ProptestConfig, any};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/machines").join(name)).unwrap()
}

/// A machine that has started a fixture.
fn machine(name: &str, arguments: &[&str], engine: EngineKind) -> Machine {
    let builder = Machine::builder().engine(engine).stdout(Capture::new());
    let mut machine = builder.program("/bin/crash", fixture(name)).build().unwrap();
    machine.start(&[&["crash"], arguments].concat()).unwrap();
    machine
}

/// The functions at the crash, with their lines where they are known.
fn crash(name: &str, engine: EngineKind) -> Vec<(String, Option<String>)> {
    let mut machine = machine(name, &["now"], engine);
    machine.stop_at_exceptions = true;
    let Halt::Raised { signal: 11, crash } = machine.run(10_000_000) else { panic!("it crashes") };
    let backtrace = Backtrace::of(&mut machine, crash.task, &mut Symbols::new());
    assert_eq!(backtrace.frames()[0].eip, crash.eip);
    let line = |place: &pentimento_insight::Place| {
        place.line.as_ref().map(|(file, line)| format!("{}:{line}", file.rsplit('/').next().unwrap()))
    };
    let frames = backtrace.frames().iter();
    let name = |place: &pentimento_insight::Place| {
        place.function.as_ref().map_or_else(|| place.to_string(), |(name, _)| name.clone())
    };
    frames.map(|frame| (name(&frame.place), line(&frame.place))).collect()
}

/// The line of the fixture's source that has `text`.
fn line_of(text: &str) -> u32 {
    let source = String::from_utf8(fixture("crash.c")).unwrap();
    source.lines().position(|line| line.contains(text)).unwrap() as u32 + 1
}

#[test]
fn a_crash_shows_who_called_whom() {
    for engine in EngineKind::ALL {
        let frames = crash("crash", *engine);
        let line = |text| Some(format!("crash.c:{}", line_of(text)));
        let expected = [
            ("store", line("*where = total;")),
            ("work", line("store(where);")),
            ("repeat", line("sum += what(")),
            ("main", line("repeat(50,")),
        ];
        let expected: Vec<_> = expected.map(|(name, line)| (name.to_owned(), line)).into();
        assert_eq!(frames[..4], expected, "{engine}");
        // The C library has neither tables nor frame pointers.
        assert!(frames.len() <= 6, "{frames:?}");
    }
}

#[test]
fn frame_pointers_serve_where_there_are_no_tables() {
    let frames = crash("crash.frames", EngineKind::default());
    let names: Vec<&str> = frames.iter().map(|(name, _)| &**name).take(4).collect();
    assert_eq!(names, ["store", "work", "repeat", "main"]);
    assert!(frames.iter().all(|(_, line)| line.is_none()));
}

#[test]
fn a_profile_says_what_takes_the_instructions() {
    let profile = |engine: EngineKind, cut: u64| {
        let mut machine = machine("crash", &[], engine);
        let mut profile = Profile::every(1000);
        let halt = loop {
            match profile.run(&mut machine, cut) {
                Halt::Budget => {}
                halt => break halt,
            }
        };
        assert_eq!(halt, Halt::Exited(0));
        // One at every thousandth instruction.
        assert_eq!(profile.samples(), machine.statistics().instructions / 1000, "{engine}");
        (profile.folded(), profile.flame_graph("crash & co"))
    };
    let (folded, picture) = profile(EngineKind::default(), u64::MAX);
    for engine in EngineKind::ALL {
        assert_eq!(profile(*engine, 12_345).0, folded, "{engine}");
    }
    let samples = |function: &str| {
        let stack = format!("main;repeat;work;{function} ");
        let line = folded.lines().find(|line| line.contains(&stack)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let (light, heavy) = (samples("light"), samples("heavy"));
    assert!(heavy > 6 * light && heavy < 12 * light, "{folded}");
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
    assert!(picture.contains("crash &amp; co") && picture.contains(">heavy</text>"), "{picture}");
}

/// What a run of the fixture covers, and the machine.
fn covered(engine: EngineKind) -> (CodeCoverage, Machine) {
    let mut machine = machine("crash", &[], engine);
    let coverage = Coverage::start(&mut machine);
    assert_eq!(machine.run(100_000_000), Halt::Exited(0));
    (coverage.finish(&mut machine), machine)
}

#[test]
fn coverage_counts_lines_and_functions() {
    let (covered, mut machine) = covered(EngineKind::default());
    let mut file = Vec::new();
    let sources = covered.write_lcov(&mut machine, &mut Symbols::new(), &mut file).unwrap();
    let text = String::from_utf8(file).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("SF:")).count(), sources, "{text}");
    let has = |line: String| assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    assert!(text.lines().any(|line| line.starts_with("SF:") && line.ends_with("machines/crash.c")), "{text}");
    has("FNDA:50,store".into());
    has("FNDA:1,main".into());
    has(format!("DA:{},50", line_of("*where = total;")));
    has(format!("DA:{},0", line_of("puts(\"never\")")));
    let heavy = 50 * 8 * 1000;
    has(format!("DA:{},{heavy}", line_of("i * 7 ^ total")));
    has("end_of_record".into());
}

#[test]
fn a_drcov_file_has_the_blocks_of_each_engine() {
    let mut first = None;
    for engine in EngineKind::ALL {
        let (covered, _) = covered(*engine);
        let [module] = covered.modules() else { panic!("one file has code") };
        assert!(module.blocks.iter().all(|block| block.length > 0 && block.times > 0));
        let mut file = Vec::new();
        covered.write_drcov(&mut file).unwrap();
        let head = format!(
            "DRCOV VERSION: 2\nDRCOV FLAVOR: drcov\nModule Table: version 2, count 1\n\
             Columns: id, base, end, entry, path\n  0, 0x08048000, {:#010x}, 0x00000000, /bin/crash\n\
             BB Table: {} bbs\n",
            module.end,
            module.blocks.len()
        );
        assert!(file.starts_with(head.as_bytes()), "{}", String::from_utf8_lossy(&file));
        assert_eq!(file.len(), head.len() + 8 * module.blocks.len());
        assert_eq!(*first.get_or_insert_with(|| file.clone()), file, "{engine}");
    }
}

proptest::proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    /// Whatever is in a file, it gives names or none.
    #[test]
    fn damaged_files_are_no_errors(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..40),
        cut in proptest::option::weighted(0.2, any::<proptest::sample::Index>()),
    ) {
        let mut machine = machine("crash", &["now"], EngineKind::REFERENCE);
        machine.stop_at_exceptions = true;
        machine.run(100_000);
        let mut file = fixture("crash");
        // The tables are behind what is loaded; most changes are to be there.
        let from = file.len() / 2;
        for (index, byte) in changes {
            let length = file.len() - from;
            file[from + index.index(length)] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let mut symbols = Symbols::new();
        symbols.provide("/bin/crash", file);
        let task = machine.task().unwrap();
        let backtrace = Backtrace::of(&mut machine, task, &mut symbols);
        proptest::prop_assert!(!backtrace.frames().is_empty());
        let _ = backtrace.to_string();
    }
}
