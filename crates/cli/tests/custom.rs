//! `pentimento custom` as a person meets it, and the chapter of the documentation that is about it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn custom_in(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pentimento"))
        .arg("custom")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that needs no input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn custom(arguments: &[&str]) -> Output {
    custom_in(&top(), arguments, b"")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard output and the exit code.
fn shown(output: &Output) -> (String, i32) {
    (text(&output.stdout), output.status.code().unwrap())
}

#[test]
fn softmachine_words_from_everywhere() {
    const WORDS: &str = "0x30001000;0x01100000;0x41000100";
    let expected = "\
a    0x00001000 4096
b    0x00000f00 3840
c    0x00000000 0
d    0x00000000 0
ip   0x00000003 3
flags 0
stack 0
end of the program after 3 instructions
";
    let expected = (expected.to_owned(), 0);
    assert_eq!(shown(&custom(&["run", "--isa", "softmachine", "-s", WORDS])), expected);
    assert_eq!(shown(&custom_in(&top(), &["run"], WORDS.as_bytes())), expected);
    let raw = [0, 0x10, 0, 0x30, 0, 0, 0x10, 1, 0, 1, 0, 0x41];
    assert_eq!(shown(&custom_in(&top(), &["run", "-"], &raw)), expected);
    let assembly = "add a, 4096; mov b, a; sub b, 256";
    assert_eq!(shown(&custom(&["run", "-s", assembly])), expected);
    assert_eq!(
        shown(&custom(&["asm", "-s", assembly])),
        ("0x30001000 0x01100000 0x41000100\n".to_owned(), 0)
    );

    let output = custom(&["run", "--json", "-s", "0x30001000;0x01100000;0x41000100;0x10100001;0x10000007"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let registers = serde_json::json!({ "a": 4096, "b": 3840, "c": 0, "d": 0, "ip": 5 });
    assert_eq!((&json["registers"], &json["flags"]), (&registers, &0.into()));
    assert_eq!((&json["stack"], &json["stack_entries"]), (&serde_json::json!([7, 3840]), &2.into()));
    assert_eq!(
        (&json["status"], &json["instructions"], &json["fault"]),
        (&0.into(), &5.into(), &serde_json::Value::Null)
    );
}

#[test]
fn faults_are_one_line_with_the_offset() {
    let cases: [(&[&str], &str); 6] = [
        (&["-s", "0x20000000"], "fault at offset 0x0: pop from an empty stack"),
        (
            &["-s", "push 1; push 2; push 3", "--set", "stack.entries=2"],
            "fault at offset 0x2: push on a full stack, which holds 2 entries",
        ),
        (&["-s", "0x00000001 0x90000000"], "fault at offset 0x1: unknown instruction 0x90000000"),
        (&["-s", "0x00000001 0x0c000000"], "fault at offset 0x1: no register has the number 12"),
        (&["-s", "mov a, 233; exit"], "fault at offset 0x1: exit status 233 is not within 0 to 232"),
        (&["--limit", "1k", "-s", "x: jmp x"], "budget used up"),
    ];
    for (arguments, message) in cases {
        let output = custom(&[&["run"], arguments].concat());
        assert_eq!(text(&output.stderr), format!("pentimento: {message}\n"));
        assert_eq!(output.status.code(), Some(125), "{message}");
        assert!(text(&output.stdout).contains(message), "{}", text(&output.stdout));
        let json = custom(&[&["run", "--json"], arguments].concat());
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!((&json["end"], &json["status"]), (&message.into(), &serde_json::Value::Null));
    }
}

#[test]
fn lowbyte_says_hello() {
    for program in ["fixtures/custom/hello.asm", "fixtures/custom/hello-loop.asm"] {
        let output = custom(&["run", "--quiet", "--isa", "lowbyte", program]);
        assert_eq!(shown(&output), ("Hello World\n".to_owned(), 0), "{}", text(&output.stderr));
        // The same from bytes, and from what the disassembler makes of them.
        let file = std::env::temp_dir().join(format!("pentimento-custom-{}.bin", std::process::id()));
        let file = file.to_str().unwrap();
        assert_eq!(shown(&custom(&["asm", "--isa", "lowbyte", program, "-o", file])), (String::new(), 0));
        assert_eq!(shown(&custom(&["run", "-q", "--isa", "lowbyte", file])), ("Hello World\n".to_owned(), 0));
        let (listing, _) = shown(&custom(&["disasm", "--isa", "lowbyte", file]));
        let again = custom_in(&top(), &["run", "-q", "--isa", "lowbyte"], listing.as_bytes());
        assert_eq!(shown(&again), ("Hello World\n".to_owned(), 0), "{listing}");
        std::fs::remove_file(file).unwrap();
    }
    let output = custom(&["run", "-q", "fixtures/custom/sum.asm"]);
    assert_eq!(shown(&output), (String::new(), 55));
}

#[test]
fn traces_show_what_changes() {
    let output = custom(&["run", "--quiet", "--trace", "-s", "mov a, 5; push a; cmp a, 5"]);
    let expected = "\
00000000  0x00000005   mov a, 5                           a=0x5
00000001  0x10100000   push a                             stack=1
00000002  0x50000005   cmp a, 5                           flags=1
";
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeeze(&text(&output.stderr)), squeeze(expected));
}

#[test]
fn mistakes_are_one_line() {
    let cases: [(&[&str], &str); 6] = [
        (&["run", "--isa", "nothing", "-s", "0x0"], "--isa: cannot read nothing"),
        (&["run", "-s", "mvo a, 1"], "-s: line 1, column 1: no instruction 'mvo'; there are add"),
        (&["run", "--set", "word=99", "-s", "0x0"], "softmachine: word: 99 hexadecimal digits; 1 to 16"),
        (&["run", "/nowhere/at/all"], "cannot read /nowhere/at/all"),
        (&["run", "--format", "hex", "-s", "xyz"], "'xyz' is no hexadecimal word"),
        (&["stress", "--isa", "lowbyte", "-n", "10"], "stress needs mov, push, pop"),
    ];
    for (arguments, message) in cases {
        let output = custom(arguments);
        let error = text(&output.stderr);
        assert!(error.starts_with("pentimento: ") && error.contains(message), "{error}");
        assert_eq!((error.lines().count(), output.status.code()), (1, Some(125)), "{error}");
    }
}

/// Twenty million instructions and more; memory grows by the stack's four bytes an entry and little else.
#[test]
fn stress_grows_by_the_stack_alone() {
    let output = custom(&["stress", "-n", "10000000", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["end"], output.status.code()), (&"halted with status 0".into(), Some(0)));
    assert_eq!(json["instructions"], 20_060_003);
    if let Some(kib) = json["memory_kib"].as_u64() {
        assert!((39_000..44_000).contains(&kib), "{kib} KiB");
    }
    let full = custom(&["stress", "-n", "16777216"]);
    assert!(
        text(&full.stderr).is_empty() && text(&full.stdout).contains("push on a full stack"),
        "{}",
        text(&full.stdout)
    );
    assert_eq!(full.status.code(), Some(125));
}

/// Runs the chapter: the first blocks are files, and `$` starts a command whose output follows.
#[test]
fn the_chapter_is_true() {
    let chapter = std::fs::read_to_string(top().join("docs/custom.md")).unwrap();
    let folder = std::env::temp_dir().join(format!("pentimento-chapter-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut commands = 0;
    for block in chapter.split("\n```").skip(1).step_by(2) {
        let (language, content) = block.split_once('\n').unwrap();
        let content = format!("{content}\n");
        match language {
            "toml" => {
                assert!(content.lines().filter(|line| !line.trim().is_empty()).count() <= 30, "{content}");
                std::fs::write(folder.join("pocket.toml"), content).unwrap();
            }
            "asm" => std::fs::write(folder.join("hello.asm"), content).unwrap(),
            "console" => {
                for session in content.split("$ pentimento custom ").skip(1) {
                    let (command, expected) = session.split_once('\n').unwrap();
                    let arguments = words(command);
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    let (output, _) = shown(&custom_in(&folder, &arguments, b""));
                    assert_eq!(output, expected, "{command}");
                    commands += 1;
                }
            }
            // A doctest of the crate.
            "rust" => {}
            other => panic!("what to do with {other}?"),
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
    assert!(commands >= 5, "{commands} commands");
}

/// The words of a command, as a shell takes them apart: blanks, and double quotes.
fn words(command: &str) -> Vec<String> {
    let quoted = command.split('"').enumerate();
    quoted
        .flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}
