//! What `/proc/PID` says of a process's memory areas: `maps`, `smaps`, `smaps_rollup` (proc(5)).

use std::fmt::Write as _;

use pentimento_memory::{PAGE_SIZE, Permissions};

use super::process::Subject;
use crate::space::{Area, AreaSource, Space};
use crate::vfs::TextPart;

/// The line of `maps` about an area.
fn line(space: &Space, start: u32, area: &Area) -> Vec<u8> {
    let flag = |bit, letter| if area.protection.contains(bit) { letter } else { '-' };
    let (offset, inode) = match area.backing {
        AreaSource::File { node, offset } => (offset, u64::from(node.node.inode())),
        AreaSource::Program { offset, .. } => (u64::from(offset), 1),
        AreaSource::Shared { object, offset } => (offset, object),
        _ => (0, 0),
    };
    let line = format!(
        "{start:08x}-{:08x} {}{}{}{} {offset:08x} 00:00 {inode}",
        area.end,
        flag(Permissions::READ, 'r'),
        flag(Permissions::WRITE, 'w'),
        flag(Permissions::EXECUTE, 'x'),
        if area.shared { 's' } else { 'p' },
    );
    let name = space.name_of(area);
    let mut text = if name.is_empty() {
        line.into_bytes()
    } else {
        // Names start in the same column.
        [format!("{line:<72} ").as_bytes(), &name].concat()
    };
    text.push(b'\n');
    text
}

/// What `describe` says of some areas, the first of which starts at `from` or above it, and where the next
/// one starts.
fn some(subject: &Subject<'_>, from: u32, describe: impl Fn(&mut Vec<u8>, &Space, u32, &Area)) -> TextPart {
    /// Areas of a part.
    const AREAS: usize = 512;
    let Some(space) = subject.space else { return (Vec::new(), None) };
    let mut text = Vec::new();
    let mut areas = space.areas.starting_from(from);
    for (start, area) in areas.by_ref().take(AREAS) {
        describe(&mut text, space, start, area);
    }
    (text, areas.next().map(|(start, _)| start))
}

/// `maps`: one area a line, from the address `from` on.
pub(super) fn maps(subject: &Subject<'_>, from: u32) -> TextPart {
    some(subject, from, |text, space, start, area| text.extend_from_slice(&line(space, start, area)))
}

/// KiB of an area, or of all together.
#[derive(Clone, Copy, Default)]
struct Sizes {
    resident: u64,
    anonymous: u64,
    shared: u64,
    private: u64,
}

impl Sizes {
    fn of(space: &Space, start: u32, area: &Area) -> Self {
        let pages = space.memory.resident_within(start, area.end.wrapping_sub(start));
        let resident = u64::from(pages) * u64::from(PAGE_SIZE) / 1024;
        let (shared, private) = if area.shared { (resident, 0) } else { (0, resident) };
        let anonymous = if area.file_offset().is_none() { private } else { 0 };
        Self { resident, anonymous, shared, private }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            resident: self.resident + other.resident,
            anonymous: self.anonymous + other.anonymous,
            shared: self.shared + other.shared,
            private: self.private + other.private,
        }
    }

    /// The lines from `Rss` to `Locked`.
    fn write(self, text: &mut Vec<u8>) {
        let rows = [
            ("Rss", self.resident),
            ("Pss", self.resident),
            ("Pss_Dirty", self.resident),
            ("Shared_Clean", 0),
            ("Shared_Dirty", self.shared),
            ("Private_Clean", 0),
            ("Private_Dirty", self.private),
            ("Referenced", self.resident),
            ("Anonymous", self.anonymous),
            ("LazyFree", 0),
            ("AnonHugePages", 0),
            ("ShmemPmdMapped", 0),
            ("FilePmdMapped", 0),
            ("Shared_Hugetlb", 0),
            ("Private_Hugetlb", 0),
            ("Swap", 0),
            ("SwapPss", 0),
            ("Locked", 0),
        ];
        for (name, size) in rows {
            put_size(text, name, size);
        }
    }
}

fn put_size(text: &mut Vec<u8>, name: &str, size: u64) {
    text.extend_from_slice(format!("{:<16}{size:8} kB\n", format!("{name}:")).as_bytes());
}

/// `smaps`: what each area takes, from the address `from` on.
pub(super) fn detailed(subject: &Subject<'_>, from: u32) -> TextPart {
    some(subject, from, |text, space, start, area| {
        text.extend_from_slice(&line(space, start, area));
        put_size(text, "Size", u64::from(area.end.wrapping_sub(start)) / 1024);
        put_size(text, "KernelPageSize", u64::from(PAGE_SIZE) / 1024);
        put_size(text, "MMUPageSize", u64::from(PAGE_SIZE) / 1024);
        Sizes::of(space, start, area).write(text);
        text.extend_from_slice(b"THPeligible:    0\n");
        let mut flags = String::from("VmFlags:");
        let bits = [
            (area.protection.contains(Permissions::READ), "rd"),
            (area.protection.contains(Permissions::WRITE), "wr"),
            (area.protection.contains(Permissions::EXECUTE), "ex"),
            (area.shared, "sh"),
            (true, "mr"),
            (area.may_write, "mw"),
            (true, "me"),
            (area.shared, "ms"),
            (area.grows_down, "gd"),
        ];
        for (_, name) in bits.iter().filter(|(set, _)| *set) {
            let _ = write!(flags, " {name}");
        }
        text.extend_from_slice(flags.as_bytes());
        text.extend_from_slice(b" \n");
    })
}

/// `smaps_rollup`: what all areas take together.
pub(super) fn summed(subject: &Subject<'_>) -> Vec<u8> {
    let Some(space) = subject.space else { return Vec::new() };
    let sizes = space.areas.iter().map(|(start, area)| Sizes::of(space, start, area));
    let sum = sizes.fold(Sizes::default(), Sizes::plus);
    let start = space.areas.iter().next().map_or(0, |(start, _)| start);
    let end = space.areas.iter().last().map_or(0, |(_, area)| area.end);
    let line = format!("{start:08x}-{end:08x} ---p 00000000 00:00 0");
    let mut text = format!("{line:<72} [rollup]\n").into_bytes();
    sum.write(&mut text);
    text
}
