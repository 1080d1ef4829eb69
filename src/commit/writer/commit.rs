//! Committing a group: encoding, writing and syncing it, and notifying its callers.

use std::{io, sync::Arc, time::Instant};

use super::Writer;
use crate::{
    commit::queue::{AppendOutcome, CommitInfo, Group, Mailbox},
    io::CommitError,
    stats::GroupSample,
};

impl Writer {
    /// Makes a group durable and notifies its callers.
    pub(super) fn commit_group(&mut self, group: Group) {
        self.inner.update_queue_gauge();
        self.resume_retries();
        self.drain_results();
        self.wait_overdue_rotation();
        let dequeued_at = Instant::now();
        if let Some(mismatch) = self.check_expected_seq(&group) {
            return self.complete_group(group, mismatch);
        }
        let next_group = self.mailbox.take_full_group();
        let info = self.commit_info(group.records(), group.json_bytes(), dequeued_at);
        let committed = self.commit(group.pieces(), info, group.first_append_at(), next_group.as_ref());
        match committed {
            Ok(committed) => self.complete_group(group, AppendOutcome::Durable(committed)),
            Err(CommitError::StorageFull(_)) if group.appends() > 1 => {
                let outcomes = self.commit_individually(&group, dequeued_at);
                self.complete_by(group, |mailbox, group| mailbox.complete_each(group, outcomes));
            }
            Err(error) => {
                let outcome = self.append_outcome(error);
                self.complete_group(group, outcome);
            }
        }
        self.next_group = next_group;
    }

    /// Returns the outcome of a group that expects another sequence number than the next one.
    fn check_expected_seq(&self, group: &Group) -> Option<AppendOutcome> {
        let (expected, actual) = (group.expected_seq()?, self.next_seq);
        let mismatch = expected != actual && self.inner.status.poisoned().is_none();
        mismatch.then_some(AppendOutcome::SeqMismatch { expected, actual })
    }

    /// Commits each append of a group alone, because the disk has no space for all of them: the smaller ones may fit.
    fn commit_individually(&mut self, group: &Group, dequeued_at: Instant) -> Vec<AppendOutcome> {
        let mut outcomes = Vec::with_capacity(group.appends());
        let first_append_at = group.first_append_at();
        for (lines, records, json_bytes) in group.each() {
            let pieces = (records > 0).then_some(lines).into_iter();
            let info = self.commit_info(records, json_bytes, dequeued_at);
            let outcome = match self.commit(pieces, info, first_append_at, None) {
                Ok(committed) => {
                    // At once: if a later append poisons the store, this one is known to be durable.
                    self.publish();
                    AppendOutcome::Durable(committed)
                }
                Err(error) => self.append_outcome(error),
            };
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Converts the error of a commit into the outcome of its appends. Logs it, or poisons the store.
    fn append_outcome(&mut self, error: CommitError) -> AppendOutcome {
        match error {
            CommitError::StorageFull(error) => {
                self.log_disk_full(&error);
                AppendOutcome::StorageFull(Arc::new(error))
            }
            CommitError::NotStarted { action, source } => {
                self.log_not_begun(action, &source);
                AppendOutcome::Unavailable { action, source: Arc::new(source) }
            }
            CommitError::Failed(error) => {
                self.inner.poison(error);
                AppendOutcome::Rejected
            }
        }
    }

    /// Writes lines with one write and makes them durable. Encodes `next_group` during the write.
    fn commit<'a>(
        &mut self,
        pieces: impl Iterator<Item = &'a [u8]>,
        info: CommitInfo,
        first_append_at: Instant,
        next_group: Option<&Group>,
    ) -> Result<CommitInfo, CommitError> {
        if self.inner.status.poisoned().is_some() {
            return Err(CommitError::Failed(io::Error::other("poisoned")));
        }
        let CommitInfo { group_records: records, group_bytes: json_bytes, dequeued_at, .. } = info;
        if records == 0 && !self.segment.is_unwritten() {
            return Ok(info);
        }
        if records > 0 && self.segment.is_unwritten() {
            // In a commit of its own: a group that is torn in one write with the segment's header could tear the
            // header.
            self.commit_header()?;
        }
        if let Err(error) = self.begin_commit(records) {
            // The group may have been encoded during the previous commit. It is rejected now, and must not be written
            // with the next group.
            self.segment.discard_encoded();
            return Err(error);
        }
        let encoded = self.segment.encode_group(pieces);
        let written = self.ensure_space(encoded.end).and_then(|kind| {
            let started = Instant::now();
            let next_group = next_group.map(Group::pieces);
            self.segment.write(&mut *self.commit_backend, encoded, kind, next_group)?;
            Ok(started)
        });
        let started = match written {
            Ok(started) => started,
            Err(CommitError::StorageFull(error)) => {
                self.wait_preallocated();
                self.segment.truncate_failed_group().map_err(CommitError::Failed)?;
                return Err(CommitError::StorageFull(error));
            }
            Err(failed) => return Err(failed),
        };
        let durable_at = Instant::now();
        let committed = CommitInfo { durable_at, ..info };
        self.publish_segment()?;
        self.next_seq += records;
        self.segment.records += records;
        self.log_commit_method();
        if records > 0 {
            self.group_size.record(json_bytes);
            // Of appends that are committed individually, each begins where the previous one ended.
            let begun = self.notify_pending_since.replace(durable_at).unwrap_or(dequeued_at);
            let latency = durable_at.duration_since(started);
            self.inner.status.counters.record_group(&GroupSample {
                records,
                json_bytes,
                queue_wait: begun.saturating_duration_since(first_append_at),
                encode: started.saturating_duration_since(begun),
                sync: latency,
            });
            self.inner.status.caller_spin.record_commit(latency);
            self.log_commit(&committed, latency);
        }
        Ok(committed)
    }

    /// Checks that a commit can begin. Nothing of it is written before: a record that was rejected must not be found.
    fn begin_commit(&mut self, records: u64) -> Result<(), CommitError> {
        if records > 0 && !self.segment.is_unwritten() {
            self.publish_segment()?;
        }
        let checked = self.segment.file.check_before_commit(&*self.fs);
        if let Err(CommitError::NotStarted { source, .. }) = &checked {
            self.inner.status.counters.count_transient_error(source.raw_os_error());
        }
        checked
    }

    /// Returns the position of the lines that are written next. Its `durable_at` is set after the commit.
    fn commit_info(&self, records: u64, json_bytes: u64, dequeued_at: Instant) -> CommitInfo {
        CommitInfo {
            seq: self.next_seq,
            offset: self.segment.next_offset(),
            segment_first_seq: self.next_seq - self.segment.records,
            group_records: records,
            group_bytes: json_bytes,
            dequeued_at,
            durable_at: dequeued_at,
        }
    }

    /// Commits the header of a segment that has none yet, without records.
    pub(super) fn commit_header(&mut self) -> Result<(), CommitError> {
        let now = Instant::now();
        let info = self.commit_info(0, 0, now);
        self.commit(std::iter::empty(), info, now, None).map(drop)
    }

    /// Publishes the durable sequence number, then notifies the callers of a group.
    fn complete_group(&mut self, group: Group, outcome: AppendOutcome) {
        if let AppendOutcome::Durable(committed) = &outcome {
            debug_assert_eq!(
                committed.seq + group.records(),
                self.next_seq,
                "the acknowledged records are those that were numbered"
            );
        }
        self.complete_by(group, |mailbox, group| mailbox.complete(group, outcome));
    }

    fn complete_by(&mut self, group: Group, complete: impl FnOnce(&mut Mailbox, Group)) {
        self.publish();
        self.last_group_len = group.appends() as u64;
        self.inner.status.caller_spin.record_group(self.last_group_len);
        complete(&mut self.mailbox, group);
        if let Some(durable_at) = self.notify_pending_since.take() {
            self.inner.status.counters.record_notify(durable_at.elapsed());
        }
        self.inner.update_queue_gauge();
        // After the callers, which wait for nothing else.
        self.inner.status.watermark.notify_waiters();
    }

    fn publish(&self) {
        self.inner.status.publish(self.next_seq - 1);
    }
}
