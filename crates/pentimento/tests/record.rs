//! What is recorded on one engine is replayed on every other, without the host: the same run, to the last
//! instruction.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pentimento::host::{Clock, Entropy, Input};
use pentimento::{
    Bounds, Capture, EngineKind, Halt, History, LocalFolder, Machine, Mount, Recording, RecordingError,
    TimeMode,
};

/// A clock that jumps, as the host's does: what decides how far, and the time in nanoseconds.
struct Erratic(u64, u64);

impl Clock for Erratic {
    fn monotonic(&mut self) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Up to a sixteenth of a millisecond a look.
        self.1 += self.0 >> 48;
        Duration::from_nanos(self.1)
    }

    fn realtime(&mut self) -> Duration {
        self.monotonic() + Duration::from_secs(1_000_000_000)
    }

    fn sleep(&mut self, _: Duration) {}
}

/// Random numbers that no other run has.
struct Own(u8);

impl Entropy for Own {
    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            self.0 = self.0.wrapping_mul(5).wrapping_add(3);
            *byte = self.0;
        }
    }
}

/// Somebody who types a line now and then.
struct Typist {
    lines: Vec<&'static str>,
    patience: u32,
}

impl Input for Typist {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.patience += 1;
        if !self.patience.is_multiple_of(3) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.lines.is_empty() {
            return Ok(0);
        }
        let line = self.lines.remove(0).as_bytes();
        buffer[..line.len()].copy_from_slice(line);
        Ok(line.len())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        self.patience += 1;
        Ok(timeout != Some(Duration::ZERO) || self.patience % 3 == 2)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/programs")
}

/// A recorded machine with a program of a host folder, in the host's time.
fn recorded((name, arguments): (&str, &[&str]), engine: EngineKind, output: &Capture) -> Machine {
    let typist = Typist { lines: vec!["1 + 2\n", "3 * 4\n", "(5 + 6) * 7\n"], patience: 0 };
    let programs = Mount::CopyOnWrite(Arc::new(LocalFolder::open(folder()).unwrap()));
    let builder = Machine::builder().seed(3).quantum(1_000..=20_000).engine(engine).trace_hash().record();
    let builder = builder.time(TimeMode::Real).clock(Erratic(1, 0)).entropy(Own(1)).stdin(typist);
    let builder = builder.mount("/programs", programs).environment("NAME", "value").stdout(output.clone());
    let mut machine = builder.working_directory("/tmp").build().unwrap();
    let path = format!("/programs/{name}");
    let words: Vec<&str> = [path.as_str()].into_iter().chain(arguments.iter().copied()).collect();
    machine.start(&words).unwrap();
    machine
}

const PROGRAMS: &[(&str, &[&str])] =
    &[("interleaving", &["order"]), ("calculator", &[]), ("file_io", &[]), ("crowd", &["10"])];

#[test]
fn a_run_is_replayed_on_every_engine_however_it_is_cut() {
    for program in PROGRAMS {
        let output = Capture::new();
        let mut machine = recorded(*program, EngineKind::INTERPRETER, &output);
        let halt = machine.run_and_wait(u64::MAX);
        assert!(matches!(halt, Halt::Exited(_)), "{program:?}: {halt}");
        let mut file = Vec::new();
        machine.save_recording(&mut file).unwrap();
        for engine in EngineKind::ALL {
            for stride in [u64::MAX, 777] {
                let again = Capture::new();
                let recording = Recording::load(&file[..]).unwrap();
                assert_eq!(recording.statistics(), machine.statistics());
                let mut replay = recording.machine(*engine, again.clone(), Capture::new()).unwrap();
                let end = loop {
                    match replay.run_and_wait(stride) {
                        Halt::Budget => {}
                        end => break end,
                    }
                };
                let what = format!("{program:?} on {engine} by {stride}");
                assert_eq!((end, again.text()), (halt, output.text()), "{what}");
                assert_eq!(replay.statistics(), machine.statistics(), "{what}");
                // What this engine puts into flags that the architecture leaves open is its own.
                if engine.is_exact() {
                    assert_eq!(replay.trace_hash(), machine.trace_hash(), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_recorded_machine_goes_back_and_hears_the_same_again() {
    let output = Capture::new();
    let mut machine = recorded(("calculator", &[]), EngineKind::INTERPRETER, &output);
    let mut history = History::with(&mut machine, 10_000, 10);
    let end = loop {
        match history.run(&mut machine, Bounds::none()) {
            Halt::Waiting { .. } => drop(machine.wait(Duration::from_millis(1))),
            end => break end,
        }
    };
    let (hash, statistics, text) = (machine.trace_hash(), machine.statistics(), output.text());
    for part in [3, 2, 5] {
        history.go_to(&mut machine, statistics.instructions / part).unwrap();
        assert_eq!(machine.run_and_wait(u64::MAX), end);
        assert_eq!((machine.trace_hash(), machine.statistics()), (hash, statistics));
    }
    assert_eq!(output.text(), text);
}

#[test]
fn damaged_recordings_are_refused_or_end() {
    let mut machine = recorded(("file_io", &[]), EngineKind::INTERPRETER, &Capture::new());
    machine.run_and_wait(u64::MAX);
    let mut file = Vec::new();
    machine.save_recording(&mut file).unwrap();
    let load = |bytes: &[u8]| Recording::load(bytes).map(|_| ());
    assert!(matches!(load(b"PENT-CPU"), Err(RecordingError::NoRecording)));
    assert!(matches!(load(&[&file[..8], &[9]].concat()), Err(RecordingError::Version { found: 9 })));
    for length in (9..file.len()).step_by(file.len() / 200) {
        assert!(load(&file[..length]).is_err(), "cut off at {length}");
    }
    let mut seed = 1_u64;
    let mut began = 0;
    for _ in 0..300 {
        let mut damaged = file.clone();
        for _ in 0..3 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = 8 + (seed >> 33) as usize % (damaged.len() - 8);
            damaged[at] ^= 1 << (seed >> 61);
        }
        let Ok(recording) = Recording::load(&damaged[..]) else { continue };
        let Ok(mut machine) = recording.machine(EngineKind::INTERPRETER, Capture::new(), Capture::new())
        else {
            continue;
        };
        began += 1;
        for _ in 0..20 {
            machine.run(100_000);
        }
    }
    assert!(began > 10, "some differ only in what the host said");
    let unrecorded = Machine::builder().build().unwrap();
    assert!(matches!(unrecorded.save_recording(Vec::new()), Err(RecordingError::NotRecorded)));
}

/// A machine whose run was cut goes on from the file, on every engine, as it would have without.
#[test]
fn a_machine_goes_on_from_its_file() {
    let program = std::fs::read(folder().join("interleaving")).unwrap();
    let host = |engine: EngineKind, output: &Capture| {
        Machine::builder().engine(engine).stdout(output.clone()).entropy(Own(9)).trace_hash()
    };
    let built = |engine: EngineKind, output: &Capture| {
        let builder = host(engine, output).seed(5).program("/program", program.clone());
        let mut machine = builder.record().build().unwrap();
        machine.start(&["/program"]).unwrap();
        machine
    };
    let expected = Capture::new();
    let mut whole = built(EngineKind::REFERENCE, &expected);
    let end = whole.run_and_wait(u64::MAX);
    assert!(matches!(end, Halt::Exited(0)), "{end}");
    let length = whole.statistics().instructions;
    for engine in EngineKind::ALL {
        for part in [0, 1, length / 3, length - 1] {
            let output = Capture::new();
            let mut first = built(EngineKind::default(), &output);
            assert!(part == 0 || first.run_and_wait(part) == Halt::Budget);
            let mut file = Vec::new();
            first.save_recording(&mut file).unwrap();
            drop(first);
            let recording = Recording::load(&file[..]).unwrap();
            let mut second = recording.resume(host(*engine, &output)).unwrap();
            assert_eq!(second.statistics().instructions, part);
            // And once more, from what was recorded on.
            assert!(part == length - 1 || second.run_and_wait(length / 4) == Halt::Budget);
            let mut file = Vec::new();
            second.save_recording(&mut file).unwrap();
            let mut third = Recording::load(&file[..]).unwrap().resume(host(*engine, &output)).unwrap();
            assert_eq!(third.run_and_wait(u64::MAX), end, "{engine} from {part}");
            assert_eq!(third.trace_hash(), whole.trace_hash(), "{engine} from {part}");
            assert_eq!(output.text(), expected.text(), "{engine} from {part}: each output is heard once");
        }
    }
}

#[test]
fn a_machine_that_lacks_a_folder_does_not_go_on() {
    let scratch = Arc::new(LocalFolder::open(std::env::temp_dir()).unwrap());
    let hello = std::fs::read(folder().join("hello")).unwrap();
    let builder =
        Machine::builder().program("/hello", hello).mount("/data", Mount::ReadOnly(scratch.clone()));
    let mut machine = builder.record().build().unwrap();
    machine.start(&["/hello"]).unwrap();
    machine.run(3);
    let mut file = Vec::new();
    machine.save_recording(&mut file).unwrap();
    let load = || Recording::load(&file[..]).unwrap();
    let refused = load().resume(Machine::builder()).unwrap_err();
    assert!(matches!(&refused, RecordingError::MissingFolder { path } if path == "/data"), "{refused}");
    let another = Machine::builder().mount("/data", Mount::CopyOnWrite(scratch.clone()));
    assert!(matches!(load().resume(another), Err(RecordingError::MissingFolder { .. })));
    let mut again = load().resume(Machine::builder().mount("/data", Mount::ReadOnly(scratch))).unwrap();
    assert_eq!(again.run(1000), Halt::Exited(0));
}
