//! `pentimento debug`: a program in a machine that stops, steps, and goes back, on a screen.

mod session;
mod view;

use std::time::Duration;

use pentimento::Capture;
use pentimento::host::Bytes;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::arguments::RunOptions;
use crate::failure::{Failure, reason};
use crate::run;
use session::{CallLog, Session};

/// What is typed on the status line, and what becomes of it.
enum Prompt {
    Breakpoint,
    Memory,
}

/// Shows the program until the user has had enough.
pub(crate) fn debug(options: &RunOptions) -> Result<u8, Failure> {
    let current = std::env::current_dir()?;
    let (builder, _keeping) = run::describe(options, &current)?;
    let (calls, output) = (CallLog::default(), Capture::new());
    let builder = builder.stdin(Bytes::default()).stdout(output.clone()).stderr(output.clone());
    // What the host says is heard again by a program that goes back.
    let builder = builder.trace(calls.clone()).record();
    let mut machine = builder.build().map_err(|error| Failure::new(error.to_string()))?;
    run::start(&mut machine, options, &current)?;
    let name = options.program.clone().unwrap_or_else(|| "the image's program".into());
    let mut session = Session::new(machine, calls, output, name);
    let mut terminal = ratatui::try_init().map_err(|error| Failure::new(no_terminal(&error)))?;
    let ended = rule(&mut session, &mut terminal);
    ratatui::restore();
    ended.map(|()| 0).map_err(|error| Failure::new(no_terminal(&error)))
}

fn no_terminal(error: &std::io::Error) -> String {
    format!("debug needs a terminal: {}", reason(error))
}

/// Shows the session and does what the keys say.
fn rule(session: &mut Session, terminal: &mut DefaultTerminal) -> std::io::Result<()> {
    loop {
        show(session, terminal)?;
        let Some(key) = pressed(&event::read()?) else { continue };
        match key.code {
            KeyCode::Char('q') => return Ok(()),
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
            KeyCode::Char('s') => session.step(),
            KeyCode::Char('n') => session.next(&mut is_interrupted),
            KeyCode::Char('f') => session.finish(&mut is_interrupted),
            KeyCode::Char('c') => session.go_on(&mut is_interrupted),
            KeyCode::Char('b') => session.back(),
            KeyCode::Char('r') => session.reverse(),
            KeyCode::Char('k') => session.toggle_breakpoint(None),
            KeyCode::Char('g') => ask(session, terminal, &Prompt::Breakpoint)?,
            KeyCode::Char('m') => ask(session, terminal, &Prompt::Memory)?,
            KeyCode::Up => session.scroll_memory(-1),
            KeyCode::Down => session.scroll_memory(1),
            KeyCode::PageUp => session.scroll_memory(-8),
            KeyCode::PageDown => session.scroll_memory(8),
            _ => {}
        }
    }
}

fn show(session: &mut Session, terminal: &mut DefaultTerminal) -> std::io::Result<()> {
    terminal.draw(|frame| {
        let screen = session.screen(&view::room(frame.area()));
        view::draw(frame, &screen);
    })?;
    Ok(())
}

fn pressed(event: &Event) -> Option<KeyEvent> {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Press => Some(*key),
        _ => None,
    }
}

/// Whether a key was pressed while the machine runs, which stops it.
fn is_interrupted() -> bool {
    while event::poll(Duration::ZERO).unwrap_or(true) {
        match event::read() {
            Ok(event) if pressed(&event).is_none() => {}
            _ => return true,
        }
    }
    false
}

/// Reads an address on the status line.
fn ask(session: &mut Session, terminal: &mut DefaultTerminal, prompt: &Prompt) -> std::io::Result<()> {
    let question = match prompt {
        Prompt::Breakpoint => "stop at",
        Prompt::Memory => "show memory at",
    };
    let mut typed = String::new();
    loop {
        session.say(format!("{question} (hexadecimal): {typed}"));
        show(session, terminal)?;
        let Some(key) = pressed(&event::read()?) else { continue };
        match key.code {
            KeyCode::Char(digit) if digit.is_ascii_hexdigit() || digit == 'x' => typed.push(digit),
            KeyCode::Backspace => _ = typed.pop(),
            KeyCode::Enter => break,
            KeyCode::Esc => {
                session.say(String::new());
                return Ok(());
            }
            _ => {}
        }
    }
    match (u32::from_str_radix(typed.trim_start_matches("0x"), 16), prompt) {
        (Ok(address), Prompt::Breakpoint) => session.toggle_breakpoint(Some(address)),
        (Ok(address), Prompt::Memory) => {
            session.show_memory(address);
            session.say(String::new());
        }
        (Err(_), _) => session.say(format!("'{typed}' is no address")),
    }
    Ok(())
}
