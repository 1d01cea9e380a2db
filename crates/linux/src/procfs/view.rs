//! The kernel's processes, as files see them.

use super::process::Subject;
use super::processes::Processes;
use super::table::{Content, PROCESS, SYSTEM};
use crate::errno::Errno;
use crate::signal::Signal;
use crate::vfs::{Location, OpenFile, Owner, ProcessView, Setting, TextPart};

impl ProcessView for Processes<'_> {
    fn current(&self) -> u32 {
        self.tasks.get(&self.current).map_or(0, |task| task.process.number())
    }

    fn current_thread(&self) -> u32 {
        self.current.number()
    }

    fn processes(&self) -> Vec<u32> {
        self.processes.keys().map(|id| id.number()).collect()
    }

    fn threads(&self, process: u32) -> Vec<u32> {
        self.process(process)
            .map_or_else(Vec::new, |process| process.threads.iter().map(|id| id.number()).collect())
    }

    fn owner(&self, process: u32) -> Option<Owner> {
        let credentials = &self.process(process)?.credentials;
        Some(Owner { uid: credentials.euid, gid: credentials.egid })
    }

    fn descriptors(&self, process: u32) -> Option<Vec<u32>> {
        let table = self.files.get(self.task(process)?.files)?;
        Some(table.iter().map(|(fd, _)| fd).collect())
    }

    fn descriptor(&self, process: u32, fd: u32) -> Option<OpenFile> {
        let descriptor = self.files.get(self.task(process)?.files)?.get(fd).ok()?;
        Some(OpenFile { description: descriptor.description.number(), file: descriptor.file })
    }

    fn location(&self, process: u32) -> Option<&Location> {
        self.locations.get(self.task(process)?.location)
    }

    fn executable(&self, process: u32) -> Option<Vec<u8>> {
        Some(self.process(process)?.executable.clone())
    }

    fn job(&self) -> (u32, u32) {
        let process = self.tasks.get(&self.current).and_then(|task| self.processes.get(&task.process));
        process.map_or((0, 0), |process| (process.group.number(), process.session.number()))
    }

    fn session_of(&self, group: u32) -> Option<u32> {
        let member = self.processes.values().find(|process| process.group.number() == group);
        member.map(|process| process.session.number())
    }

    fn ignores(&self, signal: Signal) -> bool {
        let Some(task) = self.tasks.get(&self.current) else { return false };
        let ignored = self
            .processes
            .get(&task.process)
            .and_then(|process| self.actions.get(process.actions))
            .is_some_and(|actions| actions.ignores(signal));
        ignored || task.mask.contains(signal)
    }

    fn pending_signals(&self) -> u64 {
        let Some(task) = self.tasks.get(&self.current) else { return 0 };
        let shared = self.processes.get(&task.process).map_or(0, |process| process.pending.set().0);
        task.pending.set().0 | shared
    }

    fn has_ended(&self, number: u32, serial: u64) -> bool {
        self.process(number).is_none_or(|process| process.serial != serial || process.ended.is_some())
    }

    fn serial(&self, process: u32) -> Option<u64> {
        self.process(process).map(|process| process.serial)
    }

    fn system_text(&self, row: usize) -> Vec<u8> {
        match SYSTEM.get(row).map(|row| row.content) {
            Some(Content::System(text)) => text(self).into_bytes(),
            _ => Vec::new(),
        }
    }

    fn setting(&self, row: usize, process: u32, thread: u32, text: &[u8]) -> Result<Setting, Errno> {
        let subject = Subject::new(self, process, thread).ok_or(Errno::ESRCH)?;
        match PROCESS.get(row).map(|row| row.content) {
            Some(Content::Setting(_, set)) => set(&subject, text),
            _ => Err(Errno::EINVAL),
        }
    }

    fn process_text(&self, row: usize, process: u32, thread: u32, from: u32) -> Option<TextPart> {
        let subject = Subject::new(self, process, thread)?;
        match PROCESS.get(row)?.content {
            Content::Process(text) | Content::Setting(text, _) => Some((text(&subject), None)),
            Content::Parts(part) => Some(part(&subject, from)),
            _ => None,
        }
    }
}
