//! Retention, on the background thread: deletes segments, saves holds, and replies to the callers that asked for it. No
//! other code does either while the journal is open, so one decision sees all holds and all segments.
//!
//! Segments are deleted oldest first, and each deletion is durable before the next: a crash that keeps one and loses an
//! older one would leave a gap. Each job deletes at most one segment, so that other jobs (padding, above all, which
//! commits wait for) run in between.

mod batch;
mod delete;
mod error;
mod inspect;

use std::{io, mem, path::Path, sync::Arc};

use self::{
    batch::{HoldReply, RequestBatch, TrimReply, reply_to_all},
    error::{OsError, RetentionError, into_io},
};
use super::{
    job::Remaining,
    listing::Listing,
    policy::{RetentionLimits, RetentionPolicy},
    requests::RetentionRequest,
};
use crate::{
    JournalOptions, MiniStoreError, Result,
    error::{clone_io_error, is_storage_full},
    io::FileSystem,
    journal::{
        file_names::FileNames,
        holds::{HOLDS_MAX, Holds, SaveError, save},
        status::StoreStatus,
    },
    sync::{Mutex, PoisonError},
};

/// Applies the retention limits, and serves the retention requests.
#[derive(Debug)]
pub(crate) struct RetentionManager {
    fs: Arc<dyn FileSystem>,
    names: FileNames,
    limits: RetentionLimits,
    /// Whether segment headers store sequence numbers.
    checksums: bool,
    status: Arc<StoreStatus>,
    state: Mutex<DeletionState>,
}

#[derive(Debug)]
struct DeletionState {
    /// The program needs no record before this one.
    trimmed_before: u64,
    /// The rotated segments, once they were listed.
    listing: Option<Listing>,
    /// Whether the first deletion by count is logged as a warning, because the program did not choose the limit itself.
    warn_on_first_delete: bool,
    /// Whether an implausible time stamp was logged.
    has_warned_of_stamp: bool,
    deferred: Deferred,
    /// The journal is being closed: the limits are still applied, trimmed segments are left.
    closing: bool,
}

/// The work that a job left to the next one.
#[derive(Debug, Default)]
struct Deferred {
    /// The limits to apply, if segments are left to delete.
    limits: Option<RetentionLimits>,
    /// The callers that get a reply when all segments are deleted.
    trim_replies: Vec<TrimReply>,
}

impl RetentionManager {
    pub(crate) fn new(
        options: &JournalOptions,
        fs: Arc<dyn FileSystem>,
        names: FileNames,
        status: Arc<StoreStatus>,
    ) -> Self {
        let state = DeletionState {
            trimmed_before: 0,
            listing: None,
            warn_on_first_delete: options.legacy_defaults,
            has_warned_of_stamp: false,
            deferred: Deferred::default(),
            closing: false,
        };
        Self {
            fs,
            names,
            limits: RetentionLimits::of(options),
            checksums: options.checksums,
            status,
            state: Mutex::new(state),
        }
    }

    fn with_state<T>(&self, f: impl FnOnce(&mut DeletionState) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn policy(&self, limits: RetentionLimits) -> RetentionPolicy {
        let lowest_hold = self.status.retention.lowest_hold();
        let trimmed_before = self.with_state(|state| if state.closing { 0 } else { state.trimmed_before });
        RetentionPolicy { limits, trimmed_before, lowest_hold }
    }

    /// Called when the journal starts to close: trimmed segments are left from now on, so that closing does not wait
    /// for their deletion.
    pub(super) fn begin_closing(&self) {
        self.with_state(|state| state.closing = true);
    }

    fn is_closing(&self) -> bool {
        self.with_state(|state| state.closing)
    }

    /// Poisons the store: the on-disk state is unknown, and no job that was submitted before may build on it.
    pub(super) fn poison(&self, error: &io::Error) {
        self.status.poison(clone_io_error(error));
    }

    /// Logs and counts an error that is retried.
    fn report(&self, error: &OsError) {
        error.warn();
        self.count_transient(&error.source);
    }

    fn count_transient(&self, source: &io::Error) {
        if !is_storage_full(source) {
            self.status.counters.count_transient_error(source.raw_os_error());
        }
    }

    /// Gives up the deletions that are left, and fails the callers that wait for them.
    pub(super) fn cancel_deferred(&self) {
        let deferred = self.with_state(|state| mem::take(&mut state.deferred));
        reply_to_all(deferred.trim_replies, || Err(self.status.closed_error()));
    }

    /// Called after a segment was rotated to `path`.
    pub(super) fn rotated(&self, number: u64, path: &Path) {
        self.with_state(|state| {
            state.listing.iter_mut().for_each(|listing| listing.push(number, path.into()))
        });
    }

    /// Closes the files that a deletion keeps open for the next one.
    fn close_files(&self) {
        self.with_state(|state| state.listing.iter_mut().for_each(Listing::close_files));
    }

    /// Called after a rotated segment was closed, which truncated its padding.
    pub(super) fn forget_size(&self, number: u64) {
        self.with_state(|state| state.listing.iter_mut().for_each(|listing| listing.forget_size(number)));
    }

    /// Serves requests: saves the holds with one write and replies to their callers, then deletes a segment. While
    /// `opening`, the limits are applied even without a request.
    pub(super) fn serve_requests(
        &self,
        requests: Vec<RetentionRequest>,
        newest: u64,
        opening: bool,
    ) -> io::Result<Remaining> {
        let mut batch = self.batch(requests);
        if self.status.poisoned().is_some() {
            // An earlier job failed: it is unknown which segments are deleted, and so which records can be held.
            batch.fail(|| self.status.closed_error());
            self.cancel_deferred();
            return Ok(Remaining::None);
        }
        let freed = match self.save_holds(&mut batch) {
            Ok(freed) => freed,
            Err(error) => {
                self.poison(&error);
                batch.fail(|| self.status.closed_error());
                return Err(error);
            }
        };
        batch.confirm_holds();
        let requested = if !batch.trim_replies.is_empty() || freed {
            Some(self.limits)
        } else {
            opening.then(|| self.limits.without_count())
        };
        let Deferred { limits, mut trim_replies } = self.with_state(|state| mem::take(&mut state.deferred));
        trim_replies.append(&mut batch.trim_replies);
        match requested.or(limits) {
            Some(limits) => self.delete_next(newest, limits, trim_replies),
            None => Ok(Remaining::None),
        }
    }

    /// Returns the requests as one batch, and fails those that cannot be served.
    fn batch(&self, requests: Vec<RetentionRequest>) -> RequestBatch {
        let mut batch = RequestBatch {
            holds: self.status.retention.holds(),
            hold_replies: Vec::new(),
            trim_replies: Vec::new(),
        };
        for request in requests {
            match self.check(&request, &batch.holds) {
                Err(error) => request.fail(error),
                Ok(()) => self.add_to(&mut batch, request),
            }
        }
        batch
    }

    fn check(&self, request: &RetentionRequest, holds: &Holds) -> Result<()> {
        let invalid = |text: &str| Err(MiniStoreError::InvalidArgument(text.into()));
        let first_seq = self.status.retention.first_seq();
        match request {
            RetentionRequest::Trim { .. } | RetentionRequest::Hold { .. } if !self.checksums => {
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

    fn add_to(&self, batch: &mut RequestBatch, request: RetentionRequest) {
        match request {
            RetentionRequest::Trim { before, reply_tx } => {
                self.with_state(|state| state.trimmed_before = state.trimmed_before.max(before));
                batch.trim_replies.push(reply_tx);
            }
            RetentionRequest::Hold { name, seq, reply_tx } => {
                batch.holds.insert(name, seq);
                batch.hold_replies.push(HoldReply::Hold(reply_tx));
            }
            RetentionRequest::ReleaseHold { name, reply_tx } => {
                let existed = batch.holds.remove(&name).is_some();
                batch.hold_replies.push(HoldReply::ReleaseHold(reply_tx, existed));
            }
        }
    }

    /// Saves the holds of a batch. Returns whether the lowest hold rose, so that more segments may be deleted.
    fn save_holds(&self, batch: &mut RequestBatch) -> io::Result<bool> {
        let retention = &self.status.retention;
        if batch.holds == retention.holds() {
            return Ok(false);
        }
        let lowest_before = retention.lowest_hold();
        match save(&*self.fs, &self.names, &batch.holds) {
            Ok(()) => {
                retention.set_holds(mem::take(&mut batch.holds));
                Ok(lowest_before < retention.lowest_hold())
            }
            Err(error @ SaveError::NotSaved { .. }) => {
                self.count_transient(error.source());
                batch.fail_holds(|| error.to_error());
                Ok(false)
            }
            Err(error @ SaveError::Unknown { .. }) => Err(into_io(error.to_error())),
        }
    }

    /// Deletes a segment, and replies to the callers if no other is left to delete.
    fn delete_next(
        &self,
        newest: u64,
        limits: RetentionLimits,
        trim_replies: Vec<TrimReply>,
    ) -> io::Result<Remaining> {
        match self.delete_oldest_expired(newest, limits) {
            Err(RetentionError::Fatal(error)) => return Err(self.fail(trim_replies, error)),
            Err(RetentionError::Retryable(error)) => {
                self.report(&error);
                reply_to_all(trim_replies, || Err(error.to_error()));
            }
            Ok(Remaining::Some) => {
                let deferred = Deferred { limits: Some(limits), trim_replies };
                self.with_state(|state| state.deferred = deferred);
                return Ok(Remaining::Some);
            }
            Ok(Remaining::None) if self.is_closing() => {
                reply_to_all(trim_replies, || Err(MiniStoreError::Closed));
            }
            Ok(Remaining::None) => reply_to_all(trim_replies, || Ok(self.status.retention.first_seq())),
        }
        Ok(Remaining::None)
    }

    /// Poisons the store after a failed sync, and fails the callers.
    fn fail(&self, trim_replies: Vec<TrimReply>, error: io::Error) -> io::Error {
        self.poison(&error);
        reply_to_all(trim_replies, || Err(self.status.closed_error()));
        error
    }

    /// Applies all limits after a rotation. A segment that cannot be deleted is tried again at the next one.
    pub(super) fn apply_limits(&self, newest: u64) -> io::Result<Remaining> {
        if self.status.poisoned().is_some() {
            // An earlier job failed: it may have saved a hold that the next open finds and that is unknown here.
            return Ok(Remaining::None);
        }
        let deleted = self.delete_oldest_expired(newest, self.limits);
        self.close_files();
        match deleted {
            Err(RetentionError::Fatal(error)) => Err(self.fail(Vec::new(), error)),
            Err(RetentionError::Retryable(error)) => {
                self.report(&error);
                Ok(Remaining::None)
            }
            Ok(Remaining::None) => Ok(Remaining::None),
            Ok(Remaining::Some) => {
                self.with_state(|state| state.deferred.limits = Some(self.limits));
                Ok(Remaining::Some)
            }
        }
    }
}
