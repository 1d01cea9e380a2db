//! `--net host`: a guest talks with the host over the host's loopback, and without it with nobody.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Starts the fixture in a machine.
fn guest(options: &[&str], what: &str, port: u16) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pentimento"))
        .arg("run")
        .args(options)
        .args(["--timeout", "60s", "fixtures/machines/network", what, &port.to_string()])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn told(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines that the guest says.
fn lines(count: u32) -> String {
    (0..count).map(|line| format!("line {line} of what the guest says\n")).collect()
}

/// What the guest prints when it has heard `bytes`.
fn heard(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    format!("heard {} bytes, sum {sum}\n", bytes.len())
}

/// A port that nobody uses at the moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_guest_connects_to_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let child = guest(&["--net", "host"], "connect", listener.local_addr().unwrap().port());
    let (mut stream, _) = listener.accept().unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, lines(5000));
    let answer = vec![b'x'; 300_000];
    stream.write_all(&answer).unwrap();
    drop(stream);
    assert_eq!(told(child), format!("connected: 0, to the right port: 1\n{}", heard(&answer)));
}

#[test]
fn the_host_connects_to_a_guest() {
    let port = free_port();
    let child = guest(&["--net", "host"], "listen", port);
    let mut expected = String::new();
    for text in ["one", "another"] {
        let mut stream = (0..200)
            .find_map(|_| {
                std::thread::sleep(Duration::from_millis(25));
                TcpStream::connect(("127.0.0.1", port)).ok()
            })
            .unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, lines(100));
        expected += &format!("from 127.0.0.1: 1\n{}", heard(text.as_bytes()));
    }
    assert_eq!(told(child), expected);
}

#[test]
fn datagrams_go_both_ways() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let child = guest(&["--net", "host"], "datagrams", socket.local_addr().unwrap().port());
    let mut buffer = [0; 64];
    for (text, answer) in [("ping", "pong"), ("more", "enough")] {
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], text.as_bytes());
        socket.send_to(answer.as_bytes(), from).unwrap();
    }
    let expected =
        "datagram of 4 bytes: pong, from the right port: 1\npoll: 1\ndatagram of 6 bytes: enough\n";
    assert_eq!(told(child), expected);
}

#[test]
fn what_nobody_answers_is_refused() {
    for options in [&["--net", "host"][..], &["--net", "none"], &[]] {
        let child = guest(options, "refused", free_port());
        assert_eq!(told(child), "connect: -1 Connection refused\n", "{options:?}");
    }
}

#[test]
fn without_the_option_nothing_reaches_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let child = guest(&[], "refused", listener.local_addr().unwrap().port());
    assert_eq!(told(child), "connect: -1 Connection refused\n");
    assert!(listener.accept().is_err());
}
