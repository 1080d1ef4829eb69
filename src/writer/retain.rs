//! Retention, on the housekeeper's thread: deletes segments, moves holds, answers whoever asked. Nothing else moves holds or
//! deletes segments, so that one look decides. Oldest first, and each deletion is durable before the next: a crash that
//! keeps one and loses the one before it would leave a gap. One deletion a job: other jobs get in between. The segments are
//! listed once, and kept in memory (`listing.rs`).

use std::{
    io, mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    housekeeper::Worker,
    listing::{First, Listing},
};
use crate::{
    JournalOptions, MiniStoreError, Result,
    device::{DiskFile, Open, is_at, is_no_room},
    error::copy_of,
    ownership::{Place, check_deletion, has_own_lock},
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
    trimmed_before: u64,
    /// The archived segments, once they were listed.
    listing: Option<Listing>,
    /// The program did not choose its limits, and is to be told once what they delete.
    is_to_be_warned: bool,
    unfinished: Unfinished,
    /// The journal is being closed: what callers released is left, and the limits of the options are kept.
    closing: bool,
}

/// What a job left to the next one: each deletes one segment at most, so that what commits wait for (padding, above all)
/// is never behind many deletions.
#[derive(Debug, Default)]
struct Unfinished {
    /// The limits to go on by, where segments are left to be deleted.
    limits: Option<Limits>,
    /// Those who are answered when all is done.
    waiting: Vec<Release>,
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

/// A caller who wants segments deleted.
type Release = oneshot::Sender<Result<u64>>;

/// A caller who moves a hold.
#[derive(Debug)]
enum Holder {
    Hold(oneshot::Sender<Result<()>>),
    /// With whether there was such a hold.
    ReleaseHold(oneshot::Sender<Result<bool>>, bool),
}

/// What was asked together.
#[derive(Debug)]
struct Round {
    holds: Holds,
    holders: Vec<Holder>,
    releases: Vec<Release>,
}

impl Keeper {
    pub(super) fn new(options: &JournalOptions, shared: Arc<Shared>) -> Self {
        let memory = Memory {
            trimmed_before: 0,
            listing: None,
            is_to_be_warned: options.legacy_defaults,
            unfinished: Unfinished::default(),
            closing: false,
        };
        Self { limits: Limits::of(options), numbered: options.checksums, shared, memory: Mutex::new(memory) }
    }

    fn remember<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn rules(&self, limits: Limits) -> Rules {
        let held_from = self.shared.retention.held_from();
        let trimmed_before = self.remember(|memory| if memory.closing { 0 } else { memory.trimmed_before });
        Rules { limits, trimmed_before, held_from }
    }

    /// The journal is being closed.
    pub(super) fn begin_closing(&self) {
        self.remember(|memory| memory.closing = true);
    }

    fn is_closing(&self) -> bool {
        self.remember(|memory| memory.closing)
    }

    /// Segments are left to be deleted: another job is to go on.
    pub(super) fn is_unfinished(&self) -> bool {
        self.remember(|memory| memory.unfinished.limits.is_some())
    }

    /// What is on the disk is not known any more: no job that was asked for already is to build on it.
    pub(super) fn stop(&self, error: &io::Error) {
        self.shared.poison_beside(copy_of(error));
    }

    /// Logs and counts what was refused, and is tried again.
    fn report(&self, refused: &Refused) {
        refused.warn();
        self.count_refusal(&refused.source);
    }

    fn count_refusal(&self, source: &io::Error) {
        if !is_no_room(source) {
            self.shared.counters.transient_error(source.raw_os_error());
        }
    }

    /// Nobody goes on: those who wait for that are told why.
    pub(super) fn refuse_unfinished(&self) {
        let unfinished = self.remember(|memory| mem::take(&mut memory.unfinished));
        answer_all(unfinished.waiting, || Err(self.shared.refusal()));
    }

    /// A segment was archived.
    pub(super) fn archived(&self, number: u64, path: &Path) {
        self.remember(|memory| {
            memory.listing.iter_mut().for_each(|listing| listing.push(number, path.into()))
        });
    }

    /// Closes the files that a deletion keeps open for the next one.
    fn close_segments(&self) {
        self.remember(|memory| memory.listing.iter_mut().for_each(Listing::close_files));
    }

    /// An archived segment was closed, which took its padding away.
    pub(super) fn forget_size(&self, number: u64) {
        self.remember(|memory| memory.listing.iter_mut().for_each(|listing| listing.forget_size(number)));
    }

    /// Takes in what was asked; who cannot be served is refused at once.
    fn take_round(&self) -> Round {
        let retention = &self.shared.retention;
        let mut round = Round { holds: retention.holds(), holders: Vec::new(), releases: Vec::new() };
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
                invalid("trim_before and hold need checksums: without them sequence numbers are not stored")
            }
            Ask::Hold { seq, .. } if (*seq).max(1) < first_seq => {
                Err(MiniStoreError::Trimmed { path: self.shared.path.clone(), first_seq })
            }
            Ask::Hold { name, .. } if holds.len() >= HOLDS_MAX && !holds.contains_key(name) => {
                invalid("too many holds: at most 4096 at a time")
            }
            _ => Ok(()),
        }
    }

    fn note(&self, ask: Ask, round: &mut Round) {
        match ask {
            Ask::Release { before, done } => {
                self.remember(|memory| memory.trimmed_before = memory.trimmed_before.max(before));
                round.releases.push(done);
            }
            Ask::Hold { name, seq, done } => {
                round.holds.insert(name, seq);
                round.holders.push(Holder::Hold(done));
            }
            Ask::ReleaseHold { name, done } => {
                let stood = round.holds.remove(&name).is_some();
                round.holders.push(Holder::ReleaseHold(done, stood));
            }
        }
    }
}

impl Worker {
    /// Does what callers asked for: holds first, in one write, whose callers are answered at once; then a deletion. While
    /// `opening`, what the limits ask for.
    pub(super) fn tend(&self, newest: u64, opening: bool) -> io::Result<()> {
        let mut round = self.keeper.take_round();
        if self.keeper.shared.poisoned().is_some() {
            // A job before this one failed: what is deleted, and with it what can be held, is not known any more.
            round.refuse(|| self.keeper.shared.refusal());
            self.keeper.refuse_unfinished();
            return Ok(());
        }
        let freed = match self.move_holds(&mut round) {
            Ok(freed) => freed,
            Err(error) => {
                self.keeper.stop(&error);
                round.refuse(|| self.keeper.shared.refusal());
                return Err(error);
            }
        };
        round.answer_holders();
        let limits = self.keeper.limits;
        let asked = if !round.releases.is_empty() || freed {
            Some(limits)
        } else {
            opening.then(|| limits.without_count())
        };
        let Unfinished { limits, mut waiting } =
            self.keeper.remember(|memory| mem::take(&mut memory.unfinished));
        waiting.append(&mut round.releases);
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
                self.keeper.count_refusal(error.source());
                round.refuse_holders(|| error.error());
                Ok(false)
            }
            Err(error @ SaveError::Unknown { .. }) => Err(into_io(error.error())),
        }
    }

    /// Deletes a segment; answers those who wait, where no other is left to be deleted.
    fn go_on(&self, newest: u64, limits: Limits, waiting: Vec<Release>) -> io::Result<()> {
        match self.delete_surplus(newest, limits) {
            Err(Stopped::Failed(error)) => return Err(self.fail(waiting, error)),
            Err(Stopped::CouldNot(refused)) => {
                self.keeper.report(&refused);
                answer_all(waiting, || Err(refused.error()));
            }
            Ok(Surplus::Left) => {
                let unfinished = Unfinished { limits: Some(limits), waiting };
                self.keeper.remember(|memory| memory.unfinished = unfinished);
            }
            Ok(Surplus::Gone) if self.keeper.is_closing() => {
                answer_all(waiting, || Err(MiniStoreError::Closed));
            }
            Ok(Surplus::Gone) => answer_all(waiting, || Ok(self.keeper.shared.retention.first_seq())),
        }
        Ok(())
    }

    /// Nothing is to be built on what is on the disk now.
    fn fail(&self, waiting: Vec<Release>, error: io::Error) -> io::Error {
        self.keeper.stop(&error);
        answer_all(waiting, || Err(self.keeper.shared.refusal()));
        error
    }

    /// At a rotation all limits apply. What cannot be deleted now is tried again at the next.
    pub(super) fn retain_after_rotation(&self, newest: u64) -> io::Result<()> {
        if self.keeper.shared.poisoned().is_some() {
            // A job before this one failed: a hold that it wrote may stand at the next opening, and is not counted here.
            return Ok(());
        }
        let surplus = self.delete_surplus(newest, self.keeper.limits);
        self.keeper.close_segments();
        match surplus {
            Err(Stopped::Failed(error)) => Err(self.fail(Vec::new(), error)),
            Err(Stopped::CouldNot(refused)) => {
                self.keeper.report(&refused);
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
        if limits.keep_everything() && rules.trimmed_before == 0 {
            return Ok(Surplus::Gone);
        }
        let known = self.keeper.remember(|memory| memory.listing.take());
        let mut listing = known.map_or_else(|| self.list(), Ok)?;
        // Listed again after an error.
        let surplus = self.delete_oldest(&mut listing, newest, &rules)?;
        self.keeper.remember(|memory| memory.listing = Some(listing));
        Ok(surplus)
    }

    fn delete_oldest(
        &self,
        listing: &mut Listing,
        newest: u64,
        rules: &Rules,
    ) -> std::result::Result<Surplus, Stopped> {
        for deleted in [false, true] {
            let Some(path) =
                listing.get(0).filter(|oldest| oldest.number <= newest).map(|oldest| oldest.path.clone())
            else {
                break;
            };
            let bytes = if rules.limits.limits_bytes() { self.measure(listing)? } else { 0 };
            let left = Left { segments: listing.len() + 1, bytes };
            let oldest = Oldest {
                first: self.keeper.shared.retention.first_seq(),
                end: self.end_of_oldest(listing)?,
                age: if rules.limits.limits_age() { self.age(&path)? } else { None },
            };
            let Some(why) = rules.verdict(left, &oldest) else { break };
            if oldest.end.is_none() && self.keeper.numbered && !self.is_numbered_behind_oldest(listing)? {
                break;
            }
            if deleted {
                return Ok(Surplus::Left);
            }
            if let Some(reason) = self.reason_to_keep(listing, &path)? {
                return Err(could_not(&path, "delete")(io::Error::other(reason)));
            }
            self.delete(&path, &oldest, why)?;
            listing.remove(0);
        }
        Ok(Surplus::Gone)
    }

    /// Why a file that is the oldest segment by its name is not deleted.
    fn reason_to_keep(
        &self,
        listing: &mut Listing,
        path: &Path,
    ) -> std::result::Result<Option<&'static str>, Stopped> {
        if has_own_lock(&*self.disk, path).map_err(could_not(path, "stat"))? {
            // Since it was listed.
            return Ok(Some("its lock file makes it a journal of its own"));
        }
        let held = listing.get(0).and_then(|oldest| oldest.file.clone());
        let oldest = self.opened(listing, 0)?;
        let is_own = oldest.is_none() || listing.get(0).is_some_and(|oldest| oldest.is_own);
        let successor = match listing.get(1) {
            Some(_) => self.opened(listing, 1)?,
            None => self.open(&self.names.active())?,
        };
        // Where another process deleted it, the open file still says whether its successor is of this journal.
        let Some(known) = oldest.as_ref().or(held.as_ref()) else { return Ok(None) };
        let checked = check_deletion(&**known, successor.as_deref(), is_own);
        match checked.map_err(could_not(path, "read"))? {
            Err(reason) => return Ok(Some(reason).filter(|_| oldest.is_some())),
            Ok(Place::Continues) => listing.get_mut(1).into_iter().for_each(|next| next.is_own = true),
            Ok(_) => {}
        }
        Ok(None)
    }

    /// The file that has the name of a listed segment now. It stays open: the next deletion needs it again.
    fn opened(
        &self,
        listing: &mut Listing,
        index: usize,
    ) -> std::result::Result<Option<Arc<dyn DiskFile>>, Stopped> {
        let Some(segment) = listing.get_mut(index) else { return Ok(None) };
        if let Some(file) = &segment.file
            && is_at(&*self.disk, &segment.path, &**file).map_err(could_not(&segment.path, "stat"))?
        {
            return Ok(segment.file.clone());
        }
        segment.is_own = false;
        segment.file = self.open(&segment.path)?;
        Ok(segment.file.clone())
    }

    /// A file, opened for reading; `None` where it is not there.
    fn open(&self, path: &Path) -> std::result::Result<Option<Arc<dyn DiskFile>>, Stopped> {
        match self.disk.open(path, Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some).map_err(could_not(path, "read")),
        }
    }

    fn list(&self) -> std::result::Result<Listing, Stopped> {
        let listed = self.disk.list(self.names.dir());
        let listed = listed.map_err(could_not(self.names.dir(), "list the directory"))?;
        Ok(Listing::new(self.names.archived_in(&listed)))
    }

    /// The first record after the oldest segment, where the next segment states it.
    fn end_of_oldest(&self, listing: &mut Listing) -> std::result::Result<Option<u64>, Stopped> {
        while listing.len() > 1 {
            if let Some(first) = self.first_of(listing, 1)? {
                return Ok(first);
            }
            // Another process deleted it.
            listing.remove(1);
        }
        Ok(self.first_in(&self.names.active())?.flatten())
    }

    /// What [`first_in`](Self::first_in) says of a listed segment. Its header is read once.
    fn first_of(
        &self,
        listing: &mut Listing,
        index: usize,
    ) -> std::result::Result<Option<Option<u64>>, Stopped> {
        let Some(segment) = listing.get_mut(index) else { return Ok(None) };
        if let First::Read(first) = segment.first {
            return Ok(Some(first));
        }
        let Some(file) = self.open(&segment.path)? else { return Ok(None) };
        let first = self.first_stated(&segment.path, &file)?;
        segment.first = First::Read(first);
        if index <= 1 {
            segment.file = Some(file);
        }
        Ok(Some(first))
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
        tracing::info!(segment = %path.display(), records, first_seq = end, reason = %why, "deleted a segment");
        if why == Why::Count && self.keeper.remember(|memory| mem::take(&mut memory.is_to_be_warned)) {
            tracing::warn!(
                journal = %shared.path.display(),
                first_seq = end,
                "max_segments deleted untrimmed records; JournalOptions keeps all segments by default"
            );
        }
        Ok(())
    }

    /// Whether one of the segments after the oldest, or the active one, says the number of its first record. Where none
    /// does, all count from the oldest of them: its records would give their numbers to those after it.
    fn is_numbered_behind_oldest(&self, listing: &mut Listing) -> std::result::Result<bool, Stopped> {
        if self.first_in(&self.names.active())?.flatten().is_some() {
            return Ok(true);
        }
        // Newer ones are more likely to.
        for index in (1..listing.len()).rev() {
            if self.first_of(listing, index)?.flatten().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The first record of a segment, where it says so; `None` where the segment is not there. What cannot be read does not
    /// count as one that says nothing: the records of the segment before it would be counted, or be taken for none.
    fn first_in(&self, path: &Path) -> std::result::Result<Option<Option<u64>>, Stopped> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        self.first_stated(path, &file).map(Some)
    }

    fn first_stated(
        &self,
        path: &Path,
        file: &Arc<dyn DiskFile>,
    ) -> std::result::Result<Option<u64>, Stopped> {
        let header = read_header(&**file).map_err(could_not(path, "read"))?;
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
        let modified = modified.map_err(could_not(path, "stat"))?;
        // Clocks are set back at times.
        Ok(modified.and_then(|modified| self.disk.now().duration_since(modified).ok()))
    }

    /// The bytes of all segments together. Only the newest archived segment and the active one are looked at each time.
    fn measure(&self, listing: &mut Listing) -> std::result::Result<u64, Stopped> {
        let len = |path: &Path| match self.disk.open(path, Open::Read).and_then(|file| file.len()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            looked => looked.map_err(could_not(path, "stat")),
        };
        let mut sizes = Vec::new();
        for (number, path) in listing.unmeasured() {
            sizes.push((number, len(path)?));
        }
        sizes.into_iter().for_each(|(number, size)| listing.set_size(number, size));
        let bytes = listing.bytes() + len(&self.names.active())?;
        listing.forget_newest_size();
        Ok(bytes)
    }
}

impl Round {
    /// Their holds are durable.
    fn answer_holders(&mut self) {
        for holder in self.holders.drain(..) {
            match holder {
                Holder::Hold(done) => answer(done, Ok(())),
                Holder::ReleaseHold(done, stood) => answer(done, Ok(stood)),
            }
        }
    }

    fn refuse_holders(&mut self, refusal: impl Fn() -> MiniStoreError) {
        for holder in self.holders.drain(..) {
            match holder {
                Holder::Hold(done) => answer(done, Err(refusal())),
                Holder::ReleaseHold(done, _) => answer(done, Err(refusal())),
            }
        }
    }

    fn refuse(mut self, refusal: impl Fn() -> MiniStoreError) {
        self.refuse_holders(&refusal);
        answer_all(self.releases, || Err(refusal()));
    }
}

fn answer_all(waiting: Vec<Release>, released: impl Fn() -> Result<u64>) {
    waiting.into_iter().for_each(|done| answer(done, released()));
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
