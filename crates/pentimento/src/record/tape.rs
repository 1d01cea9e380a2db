//! What the host said, by the moment in which it said it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bytes::{Bytes, Damaged};

/// A moment that is the same in every run of a machine, whoever runs it and however the run is cut: the
/// instructions executed, the system calls and exceptions taken to the kernel, and how often the machine
/// has waited for its host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) instructions: u64,
    pub(crate) entries: u64,
    pub(crate) waits: u64,
}

/// All answers of a host to one machine. Clones are of the same tape.
#[derive(Clone, Debug)]
pub(crate) struct Tape(Arc<Mutex<Reel>>);

#[derive(Debug)]
struct Reel {
    /// There is a host to ask.
    live: bool,
    now: Moment,
    /// The latest moment that the machine has come to: before it, all answers are on the tape.
    latest: Moment,
    /// Until this moment, that one included, a host has heard all output before: the machine comes from a
    /// file.
    heard: Option<Moment>,
    tracks: BTreeMap<Vec<u8>, Track>,
}

/// The answers to one question.
#[derive(Clone, Default, Debug)]
struct Track {
    answers: Vec<(Moment, Vec<u8>)>,
    /// The first one that has not been given.
    next: usize,
}

impl Track {
    /// The answer that holds at `now`: the last until then.
    fn at(&self, now: Moment) -> Option<&Vec<u8>> {
        let until = self.answers.partition_point(|(moment, _)| *moment <= now);
        self.answers.get(until.saturating_sub(1)).map(|(_, answer)| answer)
    }

    /// Whether an answer of this very moment has not been given.
    fn has_more(&self, now: Moment) -> bool {
        self.answers.get(self.next).is_some_and(|(moment, _)| *moment == now)
    }

    fn push(&mut self, now: Moment, answer: Vec<u8>) {
        self.answers.push((now, answer));
        self.next = self.answers.len();
    }
}

impl Reel {
    /// Whether the answer to a question is on the tape: of the last moment some may be, and others not yet.
    fn is_past(&self, question: &[u8]) -> bool {
        !self.live
            || self.now < self.latest
            || self.tracks.get(question).is_some_and(|track| track.has_more(self.now))
    }
}

impl Tape {
    /// A tape on which a host's answers are put.
    pub(crate) fn recording() -> Self {
        Self::of(true, BTreeMap::new())
    }

    fn of(live: bool, tracks: BTreeMap<Vec<u8>, Track>) -> Self {
        let (now, latest, heard) = (Moment::default(), Moment::default(), None);
        Self(Arc::new(Mutex::new(Reel { live, now, latest, heard, tracks })))
    }

    /// The tape has a host to ask behind its end, which is at `moment`.
    pub(crate) fn go_on_from(&self, moment: Moment) {
        let mut reel = self.reel();
        (reel.live, reel.latest, reel.heard) = (true, moment, Some(moment));
    }

    /// Whether output has been heard by the host of the machine that this one continues.
    pub(crate) fn is_heard(&self) -> bool {
        let reel = self.reel();
        reel.heard.is_some_and(|heard| reel.now <= heard)
    }

    /// The last answer to a question.
    pub(crate) fn last(&self, question: &[u8]) -> Option<Vec<u8>> {
        self.reel().tracks.get(question)?.answers.last().map(|(_, answer)| answer.clone())
    }

    fn reel(&self) -> MutexGuard<'_, Reel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine has come to a moment.
    pub(crate) fn come_to(&self, moment: Moment) {
        let mut reel = self.reel();
        reel.now = moment;
        reel.latest = reel.latest.max(moment);
    }

    /// The machine went back to a moment.
    pub(crate) fn go_back_to(&self, moment: Moment) {
        let mut reel = self.reel();
        reel.now = moment;
        for track in reel.tracks.values_mut() {
            track.next = track.answers.partition_point(|(at, _)| *at < moment);
        }
    }

    /// Whether there is no host to ask.
    pub(crate) fn is_replay(&self) -> bool {
        !self.reel().live
    }

    /// Something that stands still between two moments: a clock.
    pub(crate) fn standing(&self, question: &[u8], ask: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        let mut reel = self.reel();
        let Reel { now, tracks, live, .. } = &mut *reel;
        let track = tracks.entry(question.to_vec()).or_default();
        if !*live || track.answers.last().is_some_and(|(moment, _)| *moment >= *now) {
            return track.at(*now).cloned().unwrap_or_default();
        }
        let answer = ask();
        track.push(*now, answer.clone());
        answer
    }

    /// A fact about what does not change, or seldom.
    pub(crate) fn fact(&self, question: &[u8], ask: impl FnOnce() -> Vec<u8>) -> Option<Vec<u8>> {
        let mut reel = self.reel();
        if !reel.live || reel.now < reel.latest {
            let Reel { now, tracks, live, .. } = &*reel;
            let known = tracks.get(question).and_then(|track| track.at(*now)).cloned();
            if known.is_some() || !live {
                return known;
            }
        }
        let answer = ask();
        let Reel { now, tracks, .. } = &mut *reel;
        let track = tracks.entry(question.to_vec()).or_default();
        if track.answers.last().is_none_or(|(_, last)| *last != answer) {
            track.push(*now, answer.clone());
        }
        Some(answer)
    }

    /// A call that has an answer each time: in a replay the next one; the last one again where a debugger
    /// asks more often than the guest did.
    pub(crate) fn call(&self, question: &[u8], ask: impl FnOnce() -> Vec<u8>) -> Option<Vec<u8>> {
        let mut reel = self.reel();
        let past = reel.is_past(question);
        let Reel { now, tracks, .. } = &mut *reel;
        if past {
            let track = tracks.get_mut(question)?;
            if track.answers.get(track.next).is_some_and(|(moment, _)| moment <= now) {
                track.next += 1;
            }
            return track.answers.get(track.next.checked_sub(1)?).map(|(_, answer)| answer.clone());
        }
        let answer = ask();
        tracks.entry(question.to_vec()).or_default().push(*now, answer.clone());
        Some(answer)
    }

    /// News, which come in some moment and at most once; `None` where there are none.
    pub(crate) fn news(&self, question: &[u8], ask: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        let mut reel = self.reel();
        let past = reel.is_past(question);
        let Reel { now, tracks, .. } = &mut *reel;
        if past {
            let track = tracks.get_mut(question)?;
            while track.answers.get(track.next).is_some_and(|(moment, _)| moment < now) {
                track.next += 1;
            }
            let (moment, answer) = track.answers.get(track.next)?;
            if moment != now {
                return None;
            }
            track.next += 1;
            return Some(answer.clone());
        }
        let answer = ask()?;
        tracks.entry(question.to_vec()).or_default().push(*now, answer.clone());
        Some(answer)
    }

    /// Whether [`news`](Self::news) would have some.
    pub(crate) fn has_news(&self, question: &[u8]) -> bool {
        let reel = self.reel();
        let Some(track) = reel.tracks.get(question) else { return false };
        track.answers.iter().skip(track.next).any(|(moment, _)| *moment == reel.now)
    }

    /// Whether all answers are on the tape, be it because the machine went back.
    pub(crate) fn is_past(&self) -> bool {
        let reel = self.reel();
        !reel.live || reel.now < reel.latest
    }

    pub(super) fn write(&self, out: &mut Bytes) {
        let reel = self.reel();
        out.number(reel.tracks.len() as u64);
        for (question, track) in &reel.tracks {
            out.bytes(question);
            out.number(track.answers.len() as u64);
            // Moments only grow along a track.
            let mut last = Moment::default();
            for (moment, answer) in &track.answers {
                out.number(moment.instructions.wrapping_sub(last.instructions));
                out.number(moment.entries.wrapping_sub(last.entries));
                out.number(moment.waits.wrapping_sub(last.waits));
                out.bytes(answer);
                last = *moment;
            }
        }
    }

    /// The tape of a file, for a machine without a host.
    pub(super) fn read(input: &mut Bytes) -> Result<Self, Damaged> {
        let mut tracks = BTreeMap::new();
        for _ in 0..input.take_number()? {
            let question = input.take_bytes()?.to_vec();
            let mut track = Track::default();
            let mut last = Moment::default();
            for _ in 0..input.take_number()? {
                last.instructions = last.instructions.wrapping_add(input.take_number()?);
                last.entries = last.entries.wrapping_add(input.take_number()?);
                last.waits = last.waits.wrapping_add(input.take_number()?);
                track.answers.push((last, input.take_bytes()?.to_vec()));
            }
            if !track.answers.is_sorted_by_key(|(moment, _)| *moment) {
                return Err(Damaged("answers are not in order"));
            }
            tracks.insert(question, track);
        }
        Ok(Self::of(false, tracks))
    }
}
