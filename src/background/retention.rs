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
    listing::{First, Listing},
    policy::{DeleteReason, JournalSize, OldestSegment, RetentionLimits, RetentionPolicy},
    requests::{RequestQueue, RetentionRequest},
    worker::JobRunner,
};
use crate::{
    JournalOptions, MiniStoreError, Result,
    error::clone_io_error,
    format::scan::read_header,
    io::{FileHandle, OpenMode, is_at, is_storage_full},
    journal::ownership::{Place, check_deletion, has_own_lock},
    journal::segment_summary::scan_to_end,
    journal::{
        holds::{HOLDS_MAX, Holds, SaveError, save},
        reply::reply,
        status::StoreStatus,
    },
    sync::{Mutex, PoisonError, oneshot},
};

/// What retention goes by, and what it keeps in mind.
#[derive(Debug)]
pub(crate) struct RetentionManager {
    limits: RetentionLimits,
    /// Sequence numbers outlast the store.
    numbered: bool,
    status: Arc<StoreStatus>,
    requests: Arc<RequestQueue>,
    state: Mutex<RetentionState>,
}

#[derive(Debug)]
struct RetentionState {
    /// The program needs nothing before this record.
    trimmed_before: u64,
    /// The archived segments, once they were listed.
    listing: Option<Listing>,
    /// The program did not choose its limits, and is to be told once what they delete.
    warn_on_first_delete: bool,
    deferred: Deferred,
    /// The journal is being closed: what callers released is left, and the limits of the options are kept.
    closing: bool,
}

/// What a job left to the next one: each deletes one segment at most, so that what commits wait for (padding, above all)
/// is never behind many deletions.
#[derive(Debug, Default)]
struct Deferred {
    /// The limits to go on by, where segments are left to be deleted.
    limits: Option<RetentionLimits>,
    /// Those who are answered when all is done.
    waiting: Vec<TrimReply>,
}

/// How far the deleting got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remaining {
    None,
    /// The oldest segment is to be deleted, too.
    Some,
}

/// Why the deleting ended early.
#[derive(Debug)]
enum RetentionError {
    /// To be tried again.
    Retryable(OsError),
    /// A sync failed: what is durable is not known.
    Fatal(io::Error),
}

/// What the operating system refused.
#[derive(Debug)]
struct OsError {
    path: PathBuf,
    action: &'static str,
    source: io::Error,
}

/// A caller who wants segments deleted.
type TrimReply = oneshot::Sender<Result<u64>>;

/// A caller who moves a hold.
#[derive(Debug)]
enum PendingHold {
    Hold(oneshot::Sender<Result<()>>),
    /// With whether there was such a hold.
    ReleaseHold(oneshot::Sender<Result<bool>>, bool),
}

/// What was asked together.
#[derive(Debug)]
struct RequestBatch {
    holds: Holds,
    hold_requests: Vec<PendingHold>,
    trim_requests: Vec<TrimReply>,
}

impl RetentionManager {
    pub(crate) fn new(
        options: &JournalOptions,
        status: Arc<StoreStatus>,
        requests: Arc<RequestQueue>,
    ) -> Self {
        let state = RetentionState {
            trimmed_before: 0,
            listing: None,
            warn_on_first_delete: options.legacy_defaults,
            deferred: Deferred::default(),
            closing: false,
        };
        Self {
            limits: RetentionLimits::of(options),
            numbered: options.checksums,
            status,
            requests,
            state: Mutex::new(state),
        }
    }

    fn with_state<T>(&self, look: impl FnOnce(&mut RetentionState) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn rules(&self, limits: RetentionLimits) -> RetentionPolicy {
        let lowest_hold = self.status.retention.lowest_hold();
        let trimmed_before = self.with_state(|state| if state.closing { 0 } else { state.trimmed_before });
        RetentionPolicy { limits, trimmed_before, lowest_hold }
    }

    /// The journal is being closed.
    pub(super) fn begin_closing(&self) {
        self.with_state(|state| state.closing = true);
    }

    fn is_closing(&self) -> bool {
        self.with_state(|state| state.closing)
    }

    /// Segments are left to be deleted: another job is to go on.
    pub(super) fn has_deferred(&self) -> bool {
        self.with_state(|state| state.deferred.limits.is_some())
    }

    /// What is on the disk is not known any more: no job that was asked for already is to build on it.
    pub(super) fn stop(&self, error: &io::Error) {
        self.status.poison(clone_io_error(error));
    }

    /// Logs and counts what was refused, and is tried again.
    fn report(&self, refused: &OsError) {
        refused.warn();
        self.count_refusal(&refused.source);
    }

    fn count_refusal(&self, source: &io::Error) {
        if !is_storage_full(source) {
            self.status.counters.transient_error(source.raw_os_error());
        }
    }

    /// Nobody goes on: those who wait for that are told why.
    pub(super) fn cancel_deferred(&self) {
        let deferred = self.with_state(|state| mem::take(&mut state.deferred));
        answer_all(deferred.waiting, || Err(self.status.closed_error()));
    }

    /// A segment was archived.
    pub(super) fn rotated(&self, number: u64, path: &Path) {
        self.with_state(|state| {
            state.listing.iter_mut().for_each(|listing| listing.push(number, path.into()))
        });
    }

    /// Closes the files that a deletion keeps open for the next one.
    fn close_segments(&self) {
        self.with_state(|state| state.listing.iter_mut().for_each(Listing::close_files));
    }

    /// An archived segment was closed, which took its padding away.
    pub(super) fn forget_size(&self, number: u64) {
        self.with_state(|state| state.listing.iter_mut().for_each(|listing| listing.forget_size(number)));
    }

    /// Takes in what was asked; who cannot be served is refused at once.
    fn drain_requests(&self) -> RequestBatch {
        let retention = &self.status.retention;
        let mut batch =
            RequestBatch { holds: retention.holds(), hold_requests: Vec::new(), trim_requests: Vec::new() };
        for ask in self.requests.take() {
            match self.check(&ask, &batch.holds) {
                Err(closed_error) => ask.refuse(closed_error),
                Ok(()) => self.note(ask, &mut batch),
            }
        }
        batch
    }

    fn check(&self, ask: &RetentionRequest, holds: &Holds) -> Result<()> {
        let invalid = |text: &str| Err(MiniStoreError::InvalidArgument(text.into()));
        let first_seq = self.status.retention.first_seq();
        match ask {
            RetentionRequest::Trim { .. } | RetentionRequest::Hold { .. } if !self.numbered => {
                invalid("trim_before and hold need checksums: without them sequence numbers are not stored")
            }
            RetentionRequest::Hold { seq, .. } if (*seq).max(1) < first_seq => {
                Err(MiniStoreError::Trimmed { path: self.status.path.clone(), first_seq })
            }
            RetentionRequest::Hold { name, .. } if holds.len() >= HOLDS_MAX && !holds.contains_key(name) => {
                invalid("too many holds: at most 4096 at a time")
            }
            _ => Ok(()),
        }
    }

    fn note(&self, ask: RetentionRequest, batch: &mut RequestBatch) {
        match ask {
            RetentionRequest::Trim { before, done } => {
                self.with_state(|state| state.trimmed_before = state.trimmed_before.max(before));
                batch.trim_requests.push(done);
            }
            RetentionRequest::Hold { name, seq, done } => {
                batch.holds.insert(name, seq);
                batch.hold_requests.push(PendingHold::Hold(done));
            }
            RetentionRequest::ReleaseHold { name, done } => {
                let existed = batch.holds.remove(&name).is_some();
                batch.hold_requests.push(PendingHold::ReleaseHold(done, existed));
            }
        }
    }
}

impl JobRunner {
    /// Does what callers asked for: holds first, in one write, whose callers are answered at once; then a deletion. While
    /// `opening`, what the limits ask for.
    pub(super) fn run_retention(&self, newest: u64, opening: bool) -> io::Result<()> {
        let mut batch = self.retention.drain_requests();
        if self.retention.status.poisoned().is_some() {
            // A job before this one failed: what is deleted, and with it what can be held, is not known any more.
            batch.refuse(|| self.retention.status.closed_error());
            self.retention.cancel_deferred();
            return Ok(());
        }
        let freed = match self.save_holds(&mut batch) {
            Ok(freed) => freed,
            Err(error) => {
                self.retention.stop(&error);
                batch.refuse(|| self.retention.status.closed_error());
                return Err(error);
            }
        };
        batch.answer_holders();
        let limits = self.retention.limits;
        let asked = if !batch.trim_requests.is_empty() || freed {
            Some(limits)
        } else {
            opening.then(|| limits.without_count())
        };
        let Deferred { limits, mut waiting } =
            self.retention.with_state(|state| mem::take(&mut state.deferred));
        waiting.append(&mut batch.trim_requests);
        match asked.or(limits) {
            Some(limits) => self.delete_next(newest, limits, waiting),
            None => Ok(()),
        }
    }

    /// Saves the holds that were asked for; whether segments may go that could not before.
    fn save_holds(&self, batch: &mut RequestBatch) -> io::Result<bool> {
        let retention = &self.retention.status.retention;
        if batch.holds == retention.holds() {
            return Ok(false);
        }
        let held_before = retention.lowest_hold();
        match save(&*self.disk, &self.names, &batch.holds) {
            Ok(()) => {
                retention.set_holds(mem::take(&mut batch.holds));
                Ok(held_before < retention.lowest_hold())
            }
            Err(error @ SaveError::NotSaved { .. }) => {
                self.retention.count_refusal(error.source());
                batch.refuse_holders(|| error.error());
                Ok(false)
            }
            Err(error @ SaveError::Unknown { .. }) => Err(into_io(error.error())),
        }
    }

    /// Deletes a segment; answers those who wait, where no other is left to be deleted.
    fn delete_next(&self, newest: u64, limits: RetentionLimits, waiting: Vec<TrimReply>) -> io::Result<()> {
        match self.delete_oldest_expired(newest, limits) {
            Err(RetentionError::Fatal(error)) => return Err(self.fail(waiting, error)),
            Err(RetentionError::Retryable(refused)) => {
                self.retention.report(&refused);
                answer_all(waiting, || Err(refused.error()));
            }
            Ok(Remaining::Some) => {
                let deferred = Deferred { limits: Some(limits), waiting };
                self.retention.with_state(|state| state.deferred = deferred);
            }
            Ok(Remaining::None) if self.retention.is_closing() => {
                answer_all(waiting, || Err(MiniStoreError::Closed));
            }
            Ok(Remaining::None) => answer_all(waiting, || Ok(self.retention.status.retention.first_seq())),
        }
        Ok(())
    }

    /// Nothing is to be built on what is on the disk now.
    fn fail(&self, waiting: Vec<TrimReply>, error: io::Error) -> io::Error {
        self.retention.stop(&error);
        answer_all(waiting, || Err(self.retention.status.closed_error()));
        error
    }

    /// At a rotation all limits apply. What cannot be deleted now is tried again at the next.
    pub(super) fn retain_after_rotation(&self, newest: u64) -> io::Result<()> {
        if self.retention.status.poisoned().is_some() {
            // A job before this one failed: a hold that it wrote may stand at the next opening, and is not counted here.
            return Ok(());
        }
        let surplus = self.delete_oldest_expired(newest, self.retention.limits);
        self.retention.close_segments();
        match surplus {
            Err(RetentionError::Fatal(error)) => Err(self.fail(Vec::new(), error)),
            Err(RetentionError::Retryable(refused)) => {
                self.retention.report(&refused);
                Ok(())
            }
            Ok(Remaining::None) => Ok(()),
            Ok(Remaining::Some) => {
                self.retention.with_state(|state| state.deferred.limits = Some(self.retention.limits));
                Ok(())
            }
        }
    }

    /// Deletes the oldest archived segment, if its number is up to `newest` and the rules say so; whether the next one
    /// is to go, too.
    fn delete_oldest_expired(
        &self,
        newest: u64,
        limits: RetentionLimits,
    ) -> std::result::Result<Remaining, RetentionError> {
        let rules = self.retention.rules(limits);
        if limits.keep_everything() && rules.trimmed_before == 0 {
            return Ok(Remaining::None);
        }
        let known = self.retention.with_state(|state| state.listing.take());
        let mut listing = known.map_or_else(|| self.list(), Ok)?;
        // Listed again after an error.
        let surplus = self.delete_oldest(&mut listing, newest, &rules)?;
        self.retention.with_state(|state| state.listing = Some(listing));
        Ok(surplus)
    }

    fn delete_oldest(
        &self,
        listing: &mut Listing,
        newest: u64,
        rules: &RetentionPolicy,
    ) -> std::result::Result<Remaining, RetentionError> {
        for deleted in [false, true] {
            let Some(path) =
                listing.get(0).filter(|oldest| oldest.number <= newest).map(|oldest| oldest.path.clone())
            else {
                break;
            };
            let bytes = if rules.limits.limits_bytes() { self.measure(listing)? } else { 0 };
            let left = JournalSize { segments: listing.len() + 1, bytes };
            let oldest = OldestSegment {
                first: self.retention.status.retention.first_seq(),
                end: self.end_of_oldest(listing)?,
                age: if rules.limits.limits_age() { self.age(&path)? } else { None },
            };
            let Some(why) = rules.delete_reason(left, &oldest) else { break };
            if oldest.end.is_none() && self.retention.numbered && !self.is_numbered_behind_oldest(listing)? {
                break;
            }
            if deleted {
                return Ok(Remaining::Some);
            }
            if let Some(reason) = self.reason_to_keep(listing, &path)? {
                return Err(retryable(&path, "delete")(io::Error::other(reason)));
            }
            self.delete(&path, &oldest, why)?;
            listing.remove(0);
        }
        Ok(Remaining::None)
    }

    /// Why a file that is the oldest segment by its name is not deleted.
    fn reason_to_keep(
        &self,
        listing: &mut Listing,
        path: &Path,
    ) -> std::result::Result<Option<&'static str>, RetentionError> {
        if has_own_lock(&*self.disk, path).map_err(retryable(path, "stat"))? {
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
        match checked.map_err(retryable(path, "read"))? {
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
    ) -> std::result::Result<Option<Arc<dyn FileHandle>>, RetentionError> {
        let Some(segment) = listing.get_mut(index) else { return Ok(None) };
        if let Some(file) = &segment.file
            && is_at(&*self.disk, &segment.path, &**file).map_err(retryable(&segment.path, "stat"))?
        {
            return Ok(segment.file.clone());
        }
        segment.is_own = false;
        segment.file = self.open(&segment.path)?;
        Ok(segment.file.clone())
    }

    /// A file, opened for reading; `None` where it is not there.
    fn open(&self, path: &Path) -> std::result::Result<Option<Arc<dyn FileHandle>>, RetentionError> {
        match self.disk.open(path, OpenMode::ReadOnly) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some).map_err(retryable(path, "read")),
        }
    }

    fn list(&self) -> std::result::Result<Listing, RetentionError> {
        let listed = self.disk.list(self.names.dir());
        let listed = listed.map_err(retryable(self.names.dir(), "list the directory"))?;
        Ok(Listing::new(self.names.rotated_in(&listed)))
    }

    /// The first record after the oldest segment, where the next segment states it.
    fn end_of_oldest(&self, listing: &mut Listing) -> std::result::Result<Option<u64>, RetentionError> {
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
    ) -> std::result::Result<Option<Option<u64>>, RetentionError> {
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

    fn delete(
        &self,
        path: &Path,
        oldest: &OldestSegment,
        why: DeleteReason,
    ) -> std::result::Result<(), RetentionError> {
        // Nobody else says how many there are.
        let counted = if oldest.end.is_none() { self.count_records(path)? } else { 0 };
        let end = oldest.end.unwrap_or(oldest.first + counted).max(oldest.first);
        match self.disk.remove(path) {
            // Somebody else did.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(retryable(path, "delete"))?,
        }
        let dir = self.names.dir();
        let synced = self.disk.sync_dir(dir).map_err(MiniStoreError::file(dir, "sync the directory"));
        synced.map_err(|error| RetentionError::Fatal(into_io(error)))?;
        let records = end - oldest.first;
        let status = &self.retention.status;
        status.retention.set_first_seq(end);
        status.counters.released(records);
        tracing::info!(segment = %path.display(), records, first_seq = end, reason = %why, "deleted a segment");
        if why == DeleteReason::Count
            && self.retention.with_state(|state| mem::take(&mut state.warn_on_first_delete))
        {
            tracing::warn!(
                journal = %status.path.display(),
                first_seq = end,
                "max_segments deleted untrimmed records; JournalOptions keeps all segments by default"
            );
        }
        Ok(())
    }

    /// Whether one of the segments after the oldest, or the active one, says the number of its first record. Where none
    /// does, all count from the oldest of them: its records would give their numbers to those after it.
    fn is_numbered_behind_oldest(&self, listing: &mut Listing) -> std::result::Result<bool, RetentionError> {
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
    fn first_in(&self, path: &Path) -> std::result::Result<Option<Option<u64>>, RetentionError> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        self.first_stated(path, &file).map(Some)
    }

    fn first_stated(
        &self,
        path: &Path,
        file: &Arc<dyn FileHandle>,
    ) -> std::result::Result<Option<u64>, RetentionError> {
        let header = read_header(&**file).map_err(retryable(path, "read"))?;
        Ok(header.ok().and_then(|header| header.link()).map(|link| link.first))
    }

    fn count_records(&self, path: &Path) -> std::result::Result<u64, RetentionError> {
        let scanned = match self.disk.open(path, OpenMode::ReadOnly).and_then(|file| scan_to_end(&file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            scanned => scanned.map_err(retryable(path, "read"))?,
        };
        Ok(scanned.map_or(0, |scanned| scanned.records))
    }

    /// How long ago its newest record was written.
    fn age(&self, path: &Path) -> std::result::Result<Option<Duration>, RetentionError> {
        let modified = self.disk.open(path, OpenMode::ReadOnly).and_then(|file| file.modified());
        let modified = modified.map_err(retryable(path, "stat"))?;
        // Clocks are set back at times.
        Ok(modified.and_then(|modified| self.disk.now().duration_since(modified).ok()))
    }

    /// The bytes of all segments together. Only the newest archived segment and the active one are looked at each time.
    fn measure(&self, listing: &mut Listing) -> std::result::Result<u64, RetentionError> {
        let len = |path: &Path| match self.disk.open(path, OpenMode::ReadOnly).and_then(|file| file.len()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            looked => looked.map_err(retryable(path, "stat")),
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

impl RequestBatch {
    /// Their holds are durable.
    fn answer_holders(&mut self) {
        for holder in self.hold_requests.drain(..) {
            match holder {
                PendingHold::Hold(done) => reply(done, Ok(())),
                PendingHold::ReleaseHold(done, existed) => reply(done, Ok(existed)),
            }
        }
    }

    fn refuse_holders(&mut self, closed_error: impl Fn() -> MiniStoreError) {
        for holder in self.hold_requests.drain(..) {
            match holder {
                PendingHold::Hold(done) => reply(done, Err(closed_error())),
                PendingHold::ReleaseHold(done, _) => reply(done, Err(closed_error())),
            }
        }
    }

    fn refuse(mut self, closed_error: impl Fn() -> MiniStoreError) {
        self.refuse_holders(&closed_error);
        answer_all(self.trim_requests, || Err(closed_error()));
    }
}

fn answer_all(waiting: Vec<TrimReply>, released: impl Fn() -> Result<u64>) {
    waiting.into_iter().for_each(|done| reply(done, released()));
}

impl OsError {
    fn warn(&self) {
        let Self { path, action, source } = self;
        tracing::warn!(path = %path.display(), action, error = %source, "could not delete old segments");
    }

    fn error(&self) -> MiniStoreError {
        MiniStoreError::file(&self.path, self.action)(clone_io_error(&self.source))
    }
}

fn retryable(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> RetentionError {
    let path = path.to_path_buf();
    move |source| RetentionError::Retryable(OsError { path, action, source })
}

/// What names file and action, as a cause.
fn into_io(error: MiniStoreError) -> io::Error {
    match error {
        MiniStoreError::Io { source } => source,
        other => io::Error::other(other),
    }
}
