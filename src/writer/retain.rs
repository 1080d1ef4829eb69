//! Retention, on the housekeeper's thread: deletes segments, moves holds, answers whoever asked. Nothing else moves holds or
//! deletes segments, so that one look decides. Oldest first, and each deletion is durable before the next: a crash that
//! keeps one and loses the one before it would leave a gap. One deletion a job: other jobs get in between.

use std::{
    collections::HashMap,
    io, mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::housekeeper::Worker;
use crate::{
    JournalOptions, MiniStoreError, Result,
    device::Open,
    error::copy_of,
    ownership::reason_to_keep,
    recovery::scan_to_end,
    request::answer,
    retention::{Ask, HOLDS_MAX, Holds, Left, Limits, Oldest, Rules, SaveError, Why, save},
    scan::read_header,
    shared::Shared,
    sync::{Mutex, PoisonError, oneshot},
};

/// What retention goes by, and what it keeps in mind.
#[derive(Debug)]
pub(super) struct Keeper {
    limits: Limits,
    /// Sequence numbers outlast the store.
    numbered: bool,
    shared: Arc<Shared>,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    /// The program needs nothing before this record.
    released_before: u64,
    /// Bytes of archived segments that are complete, by their numbers.
    sizes: HashMap<u64, u64>,
    /// The program did not choose its limits, and is to be told once what they delete.
    is_to_be_warned: bool,
    unfinished: Unfinished,
}

/// What a job left to the next one: each deletes one segment at most, so that what commits wait for (padding, above all)
/// is never behind many deletions.
#[derive(Debug, Default)]
struct Unfinished {
    /// The limits to go on by, where segments are left to be deleted.
    limits: Option<Limits>,
    /// Those who are answered when all is done.
    waiting: Vec<Waiting>,
}

/// How far the deleting got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surplus {
    Gone,
    /// The oldest segment is to be deleted, too.
    Left,
}

/// Why the deleting ended early.
#[derive(Debug)]
enum Stopped {
    /// To be tried again.
    CouldNot(Refused),
    /// A sync failed: what is durable is not known.
    Failed(io::Error),
}

/// What the operating system refused.
#[derive(Debug)]
struct Refused {
    path: PathBuf,
    action: &'static str,
    source: io::Error,
}

/// Whoever waits for an answer.
#[derive(Debug)]
enum Waiting {
    Release(oneshot::Sender<Result<u64>>),
    Hold(oneshot::Sender<Result<()>>),
    Unhold(oneshot::Sender<Result<bool>>, bool),
}

/// What was asked together.
#[derive(Debug)]
struct Round {
    holds: Holds,
    waiting: Vec<Waiting>,
    /// Somebody wants segments deleted.
    releases: bool,
}

impl Keeper {
    pub(super) fn new(options: &JournalOptions, shared: Arc<Shared>) -> Self {
        let memory = Memory {
            released_before: 0,
            sizes: HashMap::new(),
            is_to_be_warned: options.as_the_original,
            unfinished: Unfinished::default(),
        };
        Self { limits: Limits::of(options), numbered: options.seals, shared, memory: Mutex::new(memory) }
    }

    fn remember<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn rules(&self, limits: Limits) -> Rules {
        let held_from = self.shared.retention.held_from();
        Rules { limits, released_before: self.remember(|memory| memory.released_before), held_from }
    }

    /// Segments are left to be deleted: another job is to go on.
    pub(super) fn is_unfinished(&self) -> bool {
        self.remember(|memory| memory.unfinished.limits.is_some())
    }

    /// What is on the disk is not known any more: no job that was asked for already is to build on it.
    pub(super) fn stop(&self, error: &io::Error) {
        self.shared.poison_beside(copy_of(error));
    }

    /// Nobody goes on: those who wait for that are told why.
    pub(super) fn refuse_unfinished(&self) {
        let unfinished = self.remember(|memory| mem::take(&mut memory.unfinished));
        refuse(unfinished.waiting, || self.shared.refusal());
    }

    /// An archived segment was closed, which took its padding away.
    pub(super) fn forget_size(&self, number: u64) {
        self.remember(|memory| memory.sizes.remove(&number));
    }

    /// Takes in what was asked; who cannot be served is refused at once.
    fn take_round(&self) -> Round {
        let retention = &self.shared.retention;
        let mut round = Round { holds: retention.holds(), waiting: Vec::new(), releases: false };
        for ask in retention.asks.take() {
            match self.check(&ask, &round.holds) {
                Err(refusal) => ask.refuse(refusal),
                Ok(()) => self.note(ask, &mut round),
            }
        }
        round
    }

    fn check(&self, ask: &Ask, holds: &Holds) -> Result<()> {
        let invalid = |text: &str| Err(MiniStoreError::InvalidArgument(text.into()));
        let first_seq = self.shared.retention.first_seq();
        match ask {
            Ask::Release { .. } | Ask::Hold { .. } if !self.numbered => {
                invalid("without seals sequence numbers do not last: nothing can be released or held by them")
            }
            Ask::Hold { seq, .. } if (*seq).max(1) < first_seq => {
                Err(MiniStoreError::Released { path: self.shared.path.clone(), first_seq })
            }
            Ask::Hold { name, .. } if holds.len() >= HOLDS_MAX && !holds.contains_key(name) => {
                invalid("too many holds: 4096 may stand at a time")
            }
            _ => Ok(()),
        }
    }

    fn note(&self, ask: Ask, round: &mut Round) {
        let waiting = match ask {
            Ask::Release { before, done } => {
                round.releases = true;
                self.remember(|memory| memory.released_before = memory.released_before.max(before));
                Waiting::Release(done)
            }
            Ask::Hold { name, seq, done } => {
                round.holds.insert(name, seq);
                Waiting::Hold(done)
            }
            Ask::Unhold { name, done } => {
                let stood = round.holds.remove(&name).is_some();
                Waiting::Unhold(done, stood)
            }
        };
        round.waiting.push(waiting);
    }
}

impl Worker {
    /// Does what callers asked for: holds first, in one write, then a deletion, then the answers of those who wait for no
    /// other deletion. While `opening`, what the limits ask for.
    pub(super) fn tend(&self, newest: u64, opening: bool) -> io::Result<()> {
        let mut round = self.keeper.take_round();
        if self.keeper.shared.poisoned().is_some() {
            // A job before this one failed: what is deleted, and with it what can be held, is not known any more.
            refuse(round.waiting, || self.keeper.shared.refusal());
            self.keeper.refuse_unfinished();
            return Ok(());
        }
        let freed = match self.move_holds(&mut round) {
            Ok(freed) => freed,
            Err(error) => return Err(self.fail(round.waiting, error)),
        };
        let limits = self.keeper.limits;
        let asked =
            if round.releases || freed { Some(limits) } else { opening.then(|| limits.without_count()) };
        if asked.is_none() && !self.keeper.is_unfinished() {
            // Their holds stand. Nobody is answered before those who asked earlier.
            answer_all(mem::take(&mut round.waiting), || Ok(self.keeper.shared.retention.first_seq()));
        }
        let Unfinished { limits, mut waiting } =
            self.keeper.remember(|memory| mem::take(&mut memory.unfinished));
        waiting.append(&mut round.waiting);
        match asked.or(limits) {
            Some(limits) => self.go_on(newest, limits, waiting),
            None => Ok(()),
        }
    }

    /// Saves the holds that were asked for; whether segments may go that could not before.
    fn move_holds(&self, round: &mut Round) -> io::Result<bool> {
        let retention = &self.keeper.shared.retention;
        if round.holds == retention.holds() {
            return Ok(false);
        }
        let held_before = retention.held_from();
        match save(&*self.disk, &self.names, &round.holds) {
            Ok(()) => {
                retention.set_holds(mem::take(&mut round.holds));
                Ok(held_before < retention.held_from())
            }
            Err(error @ SaveError::Refused { .. }) => {
                round.refuse_holds(&error);
                Ok(false)
            }
            Err(error @ SaveError::Unknown { .. }) => Err(into_io(error.error())),
        }
    }

    /// Deletes a segment; answers those who wait, where no other is left to be deleted.
    fn go_on(&self, newest: u64, limits: Limits, waiting: Vec<Waiting>) -> io::Result<()> {
        match self.delete_surplus(newest, limits) {
            Err(Stopped::Failed(error)) => return Err(self.fail(waiting, error)),
            Err(Stopped::CouldNot(refused)) => {
                refused.warn();
                answer_all(waiting, || Err(refused.error()));
            }
            Ok(Surplus::Left) => {
                let unfinished = Unfinished { limits: Some(limits), waiting };
                self.keeper.remember(|memory| memory.unfinished = unfinished);
            }
            Ok(Surplus::Gone) => answer_all(waiting, || Ok(self.keeper.shared.retention.first_seq())),
        }
        Ok(())
    }

    /// Nothing is to be built on what is on the disk now.
    fn fail(&self, waiting: Vec<Waiting>, error: io::Error) -> io::Error {
        self.keeper.stop(&error);
        refuse(waiting, || self.keeper.shared.refusal());
        error
    }

    /// At a rotation all limits apply. What cannot be deleted now is tried again at the next.
    pub(super) fn retain_after_rotation(&self, newest: u64) -> io::Result<()> {
        if self.keeper.shared.poisoned().is_some() {
            // A job before this one failed: a hold that it wrote may stand at the next opening, and is not counted here.
            return Ok(());
        }
        match self.delete_surplus(newest, self.keeper.limits) {
            Err(Stopped::Failed(error)) => Err(self.fail(Vec::new(), error)),
            Err(Stopped::CouldNot(refused)) => {
                refused.warn();
                Ok(())
            }
            Ok(Surplus::Gone) => Ok(()),
            Ok(Surplus::Left) => {
                self.keeper.remember(|memory| memory.unfinished.limits = Some(self.keeper.limits));
                Ok(())
            }
        }
    }

    /// Deletes the oldest archived segment, if its number is up to `newest` and the rules say so; whether the next one
    /// is to go, too.
    fn delete_surplus(&self, newest: u64, limits: Limits) -> std::result::Result<Surplus, Stopped> {
        let rules = self.keeper.rules(limits);
        if limits.keep_everything() && rules.released_before == 0 {
            return Ok(Surplus::Gone);
        }
        let listed = self.disk.list(self.names.dir());
        let listed = listed.map_err(could_not(self.names.dir(), "list the directory"))?;
        let archived = self.names.archived_in(&listed);
        let sizes = if limits.limits_bytes() { self.sizes(&archived)? } else { Vec::new() };
        let mut left = Left { segments: archived.len() + 1, bytes: sizes.iter().sum() };
        for (index, (number, path)) in archived.iter().enumerate().take(2) {
            if *number > newest {
                break;
            }
            let successor =
                archived.get(index + 1).map_or_else(|| self.names.active(), |(_, path)| path.clone());
            let oldest = Oldest {
                first: self.keeper.shared.retention.first_seq(),
                end: self.first_in(&successor)?,
                age: if limits.limits_age() { self.age(path)? } else { None },
            };
            let Some(why) = rules.verdict(left, &oldest) else { break };
            if oldest.end.is_none()
                && self.keeper.numbered
                && !self.is_numbered_behind(&archived[index + 1..])?
            {
                break;
            }
            if index > 0 {
                return Ok(Surplus::Left);
            }
            if let Some(reason) = self.reason_to_keep(path, &successor)? {
                return Err(could_not(path, "delete")(io::Error::other(reason)));
            }
            self.delete(path, &oldest, why)?;
            left.segments -= 1;
            left.bytes = left.bytes.saturating_sub(sizes.first().copied().unwrap_or(0));
        }
        Ok(Surplus::Gone)
    }

    /// Why a file that is the oldest segment by its name is not deleted.
    fn reason_to_keep(
        &self,
        path: &Path,
        successor: &Path,
    ) -> std::result::Result<Option<&'static str>, Stopped> {
        match reason_to_keep(&*self.disk, path, successor) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            checked => checked.map_err(could_not(path, "read")),
        }
    }

    fn delete(&self, path: &Path, oldest: &Oldest, why: Why) -> std::result::Result<(), Stopped> {
        // Nobody else says how many there are.
        let counted = if oldest.end.is_none() { self.count_records(path)? } else { 0 };
        let end = oldest.end.unwrap_or(oldest.first + counted).max(oldest.first);
        match self.disk.remove(path) {
            // Somebody else did.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(could_not(path, "delete"))?,
        }
        let dir = self.names.dir();
        let synced = self.disk.sync_dir(dir).map_err(MiniStoreError::file(dir, "sync the directory"));
        synced.map_err(|error| Stopped::Failed(into_io(error)))?;
        let records = end - oldest.first;
        let shared = &self.keeper.shared;
        shared.retention.set_first_seq(end);
        shared.counters.released(records);
        tracing::info!(segment = %path.display(), records, first_seq = end, %why, "deleted a segment");
        if why == Why::Count && self.keeper.remember(|memory| mem::take(&mut memory.is_to_be_warned)) {
            tracing::warn!(
                journal = %shared.path.display(),
                first_seq = end,
                "max_segments deletes records that nobody released: a program that replays, or counts what it replayed, \
                 misses them (JournalOptions keeps everything unless told)"
            );
        }
        Ok(())
    }

    /// Whether one of these segments, or the active one, says the number of its first record. Where none does, all count from
    /// the oldest of them: its records would give their numbers to those behind it.
    fn is_numbered_behind(&self, behind: &[(u64, PathBuf)]) -> std::result::Result<bool, Stopped> {
        let active = self.names.active();
        for path in behind.iter().map(|(_, path)| path).chain([&active]) {
            if self.first_in(path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The first record of a segment, where it is there and says so. What cannot be read does not count as one that says
    /// nothing: the records of the segment before it would be counted, or be taken for none.
    fn first_in(&self, path: &Path) -> std::result::Result<Option<u64>, Stopped> {
        let header = match self.disk.open(path, Open::Read).and_then(read_header) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(could_not(path, "read"))?,
        };
        Ok(header.ok().and_then(|header| header.link()).map(|link| link.first))
    }

    fn count_records(&self, path: &Path) -> std::result::Result<u64, Stopped> {
        let scanned = match self.disk.open(path, Open::Read).and_then(|file| scan_to_end(&file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            scanned => scanned.map_err(could_not(path, "read"))?,
        };
        Ok(scanned.map_or(0, |scanned| scanned.records))
    }

    /// How long ago its newest record was written.
    fn age(&self, path: &Path) -> std::result::Result<Option<Duration>, Stopped> {
        let modified = self.disk.open(path, Open::Read).and_then(|file| file.modified());
        let modified = modified.map_err(could_not(path, "look at"))?;
        // Clocks are set back at times.
        Ok(modified.and_then(|modified| self.disk.now().duration_since(modified).ok()))
    }

    /// The sizes of the archived segments, in their order, and of the active one.
    fn sizes(&self, archived: &[(u64, PathBuf)]) -> std::result::Result<Vec<u64>, Stopped> {
        let len = |path: &Path| match self.disk.open(path, Open::Read).and_then(|file| file.len()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            looked => looked.map_err(could_not(path, "look at")),
        };
        let known = self.keeper.remember(|memory| mem::take(&mut memory.sizes));
        let mut sizes = Vec::with_capacity(archived.len() + 1);
        for (number, path) in archived {
            sizes.push(known.get(number).map_or_else(|| len(path), |size| Ok(*size))?);
        }
        // The newest may have padding still.
        let complete = archived.len().saturating_sub(1);
        let numbers = archived[..complete].iter().map(|(number, _)| *number);
        let known = numbers.zip(sizes.iter().copied()).collect();
        self.keeper.remember(|memory| memory.sizes = known);
        sizes.push(len(&self.names.active())?);
        Ok(sizes)
    }
}

impl Round {
    fn refuse_holds(&mut self, error: &SaveError) {
        let mut others = Vec::new();
        for waiting in self.waiting.drain(..) {
            match waiting {
                Waiting::Hold(done) => answer(done, Err(error.error())),
                Waiting::Unhold(done, _) => answer(done, Err(error.error())),
                Waiting::Release(_) => others.push(waiting),
            }
        }
        self.waiting = others;
    }
}

/// `released` is what there is to say to those who wanted segments deleted.
fn answer_all(waiting: Vec<Waiting>, released: impl Fn() -> Result<u64>) {
    for waiting in waiting {
        match waiting {
            Waiting::Release(done) => answer(done, released()),
            Waiting::Hold(done) => answer(done, Ok(())),
            Waiting::Unhold(done, stood) => answer(done, Ok(stood)),
        }
    }
}

fn refuse(waiting: Vec<Waiting>, refusal: impl Fn() -> MiniStoreError) {
    for waiting in waiting {
        match waiting {
            Waiting::Release(done) => answer(done, Err(refusal())),
            Waiting::Hold(done) => answer(done, Err(refusal())),
            Waiting::Unhold(done, _) => answer(done, Err(refusal())),
        }
    }
}

impl Refused {
    fn warn(&self) {
        let Self { path, action, source } = self;
        tracing::warn!(path = %path.display(), action, error = %source, "could not delete old segments");
    }

    fn error(&self) -> MiniStoreError {
        MiniStoreError::file(&self.path, self.action)(copy_of(&self.source))
    }
}

fn could_not(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Stopped {
    let path = path.to_path_buf();
    move |source| Stopped::CouldNot(Refused { path, action, source })
}

/// What names file and action, as a cause.
fn into_io(error: MiniStoreError) -> io::Error {
    match error {
        MiniStoreError::Io { source } => source,
        other => io::Error::other(other),
    }
}
