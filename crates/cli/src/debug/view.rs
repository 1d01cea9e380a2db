//! What the debugger's screen shows, drawn from a description of it.

use pentimento::Eflags;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

/// The keys, for the last line.
const KEYS: &str =
    "s step  n next  f finish  c continue  b back  r reverse  k breakpoint here  g stop at  m memory  q quit";

/// The flags that programs use, spelled out.
#[rustfmt::skip]
const FLAGS: [(Eflags, &str); 7] = [
    (Eflags::CF, "carry"), (Eflags::PF, "parity"), (Eflags::AF, "adjust"), (Eflags::ZF, "zero"),
    (Eflags::SF, "sign"), (Eflags::DF, "direction"), (Eflags::OF, "overflow"),
];

/// A line of code.
pub(super) struct CodeLine {
    pub(super) address: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) text: String,
    pub(super) is_next: bool,
    pub(super) has_breakpoint: bool,
}

/// A register, and whether it has changed since the last stop.
pub(super) struct Register {
    pub(super) name: &'static str,
    pub(super) value: u32,
    pub(super) changed: bool,
}

/// All that the screen shows.
pub(super) struct Screen {
    pub(super) title: String,
    pub(super) code: Vec<CodeLine>,
    pub(super) registers: Vec<Register>,
    pub(super) flags: Eflags,
    pub(super) changed_flags: Eflags,
    /// Addresses and words from ESP up.
    pub(super) stack: Vec<(u32, u32)>,
    /// Addresses and rows of up to 16 bytes.
    pub(super) memory: Vec<(u32, Vec<u8>)>,
    /// System calls, the newest last.
    pub(super) calls: Vec<String>,
    /// Lines that the program has printed.
    pub(super) output: Vec<String>,
    pub(super) status: String,
}

/// How many lines of each pane fit: code, stack, memory, system calls, output.
pub(super) struct Room {
    pub(super) code: usize,
    pub(super) stack: usize,
    pub(super) memory: usize,
    pub(super) log: usize,
}

/// The panes: code, registers, stack, memory, calls, output, and the two lines below.
fn panes(area: Rect) -> [Rect; 8] {
    let [upper, lower, status, keys] = Layout::vertical([
        Constraint::Fill(3),
        Constraint::Fill(2),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let [code, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(36)]).areas(upper);
    let [registers, stack] = Layout::vertical([Constraint::Length(9), Constraint::Fill(1)]).areas(right);
    let [memory, log] = Layout::horizontal([Constraint::Length(78), Constraint::Fill(1)]).areas(lower);
    let [calls, output] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(log);
    [code, registers, stack, memory, calls, output, status, keys]
}

/// What fits on a screen of that size.
pub(super) fn room(area: Rect) -> Room {
    let [code, _, stack, memory, calls, ..] = panes(area);
    let lines = |pane: Rect| usize::from(pane.height.saturating_sub(2));
    Room { code: lines(code), stack: lines(stack), memory: lines(memory), log: lines(calls) }
}

const CHANGED: Style = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);

/// Draws the screen.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let [code, registers, stack, memory, calls, output, status, keys] = panes(frame.area());
    let mut pane = |area: Rect, title: &str, lines: Vec<Line<'_>>| {
        let block = Block::bordered().title(format!(" {title} "));
        frame.render_widget(Paragraph::new(lines).block(block), area);
    };
    pane(code, &screen.title, screen.code.iter().map(code_line).collect());
    pane(registers, "registers", register_lines(screen));
    let word = |(address, word): &(u32, u32)| Line::raw(format!("{address:08x}  {word:08x}"));
    pane(stack, "stack", screen.stack.iter().map(word).collect());
    pane(memory, "memory", screen.memory.iter().map(memory_line).collect());
    pane(calls, "system calls", screen.calls.iter().map(Line::raw).collect());
    pane(output, "output", screen.output.iter().map(Line::raw).collect());
    frame.render_widget(Paragraph::new(screen.status.as_str()).style(Modifier::BOLD), status);
    frame.render_widget(Paragraph::new(KEYS).style(Modifier::DIM), keys);
}

fn code_line(line: &CodeLine) -> Line<'_> {
    let bytes: String = line.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let marks = [if line.has_breakpoint { '*' } else { ' ' }, if line.is_next { '>' } else { ' ' }];
    let text = format!("{}{} {:08x}  {bytes:<16}  {}", marks[0], marks[1], line.address, line.text);
    let style = match (line.is_next, line.has_breakpoint) {
        (true, _) => Style::new().add_modifier(Modifier::REVERSED),
        (_, true) => Style::new().fg(Color::Red),
        _ => Style::new(),
    };
    Line::styled(text, style)
}

fn register_lines(screen: &Screen) -> Vec<Line<'_>> {
    let span = |register: &Register| {
        let mark = if register.changed { '!' } else { ' ' };
        let text = format!("{:<4}{:08x}{mark}  ", register.name, register.value);
        if register.changed { Span::styled(text, CHANGED) } else { Span::raw(text) }
    };
    let mut lines: Vec<Line<'_>> =
        screen.registers.chunks(2).map(|pair| Line::from_iter(pair.iter().map(span))).collect();
    let set = FLAGS.iter().filter(|(flag, _)| screen.flags.contains(*flag));
    let names: Vec<Span<'_>> = set
        .flat_map(|(flag, name)| {
            let style = if screen.changed_flags.contains(*flag) { CHANGED } else { Style::new() };
            [Span::styled(*name, style), Span::raw(" ")]
        })
        .collect();
    lines.push(Line::from_iter([Span::raw("flags: ")].into_iter().chain(names)));
    let cleared = FLAGS
        .iter()
        .filter(|(flag, _)| screen.changed_flags.contains(*flag) && !screen.flags.contains(*flag));
    let names: Vec<&str> = cleared.map(|(_, name)| *name).collect();
    if !names.is_empty() {
        lines.push(Line::styled(format!("cleared: {}", names.join(" ")), CHANGED));
    }
    lines
}

fn memory_line((address, bytes): &(u32, Vec<u8>)) -> Line<'_> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
    let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
    let text: String = bytes.iter().map(shown).collect();
    Line::raw(format!("{address:08x}  {hex:<48} {text}"))
}
