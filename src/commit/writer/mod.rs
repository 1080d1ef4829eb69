//! The writer thread: the only one that commits. Owns the journal from open to close.
//!
//! It gathers what is pending, commits it as one group, wakes the callers, and repeats. What takes long and can be
//! done beside the commits (writing ahead, preparing the next segment, archiving the last) it hands to the
//! [`background`]. Nothing here may panic on what a disk says: every failure is an answer to somebody.

#[cfg(feature = "_bench")]
pub(crate) mod bench;
mod logging;
#[cfg(any(test, feature = "_sim"))]
mod manual;
mod open;
mod preallocate;
mod retry;
mod rotation;
mod segment;
#[cfg(test)]
mod tests;

use std::{io, mem, ops::ControlFlow, sync::Arc, time::Instant};

#[cfg(any(test, feature = "_sim"))]
pub(crate) use manual::{ManualWriter, StepResult};
pub(crate) use open::{SelectedBackend, WriterParts, select_backend, spawn};

use self::{
    logging::LogOnce,
    preallocate::{GroupSizeEma, Preallocating},
    rotation::{RetentionPhase, Rotation},
    segment::ActiveSegment,
};
use crate::{
    JournalOptions, MiniStoreError, Result,
    background::{
        requests::RequestReceiver,
        worker::{BackgroundWorker, JobResult},
    },
    commit::inner::StoreInner,
    commit::queue::{AppendOutcome, Command, CommitInfo, Group, GroupOutcome, QueueReceiver, Recv},
    io::{CommitBackend, CommitError, FileSystem},
    journal::file_names::FileNames,
    journal::lock::JournalLock,
    journal::ownership::remove_own,
    journal::reply::reply,
    seeded_bugs::{Bug, seeded},
    stats::GroupSample,
    sync::oneshot,
};

/// The state of the writer thread.
#[derive(Debug)]
struct Writer {
    options: JournalOptions,
    names: FileNames,
    disk: Arc<dyn FileSystem>,
    commit_backend: Box<dyn CommitBackend>,
    inner: StoreInner,
    retention_requests: RequestReceiver,
    receiver: QueueReceiver,
    background: BackgroundWorker,
    segment: ActiveSegment,
    rotation: Rotation,
    retention_phase: RetentionPhase,
    preallocating: Preallocating,
    group_size: GroupSizeEma,
    next_seq: u64,
    /// When records became durable whose callers are not told yet.
    notify_pending_since: Option<Instant>,
    log_once: LogOnce,
    /// How many appends were the last group had, until the writer has looked out for them.
    last_group_len: u64,
    /// Callers who wait for a rotation.
    rotate_callers: Vec<oneshot::Sender<Result<()>>>,
    // Last: released when everything else is done.
    lock: JournalLock,
}

/// Whoever waits for the journal to be closed.
type CloseReply = oneshot::Sender<Result<()>>;

/// What woke the writer.
enum Event {
    Command(Command),
    JobDone(JobResult),
    /// Somebody asks something of retention.
    RetentionRequested,
    /// Every handle is gone.
    Disconnected,
}

/// What is to be committed at once.
struct Lines<'a, P> {
    /// LFs belong between them.
    pieces: P,
    records: u64,
    json_bytes: u64,
    /// When their group was opened.
    opened: Instant,
    /// When the writer took them.
    taken: Instant,
    /// The group that is committed next, if that is known: laid out meanwhile.
    next_group: Option<&'a Group>,
}

impl Writer {
    /// Runs until the journal is closed or abandoned.
    fn run(mut self) {
        self.schedule_background_work();
        let closing = loop {
            let event = self.wait();
            if let ControlFlow::Break(closing) = self.handle(event) {
                break closing;
            }
            self.schedule_background_work();
        };
        self.shut_down(closing);
    }

    fn wait(&mut self) -> Event {
        loop {
            // What is done is taken in first: where nothing runs beside the commits the order of all that is done is
            // then always the same.
            if let Some(outcome) = self.background.poll() {
                return Event::JobDone(outcome);
            }
            self.receiver.linger(mem::take(&mut self.last_group_len));
            match self.receiver.wait() {
                Recv::Command(request) => return Event::Command(request),
                Recv::Disconnected => return Event::Disconnected,
                Recv::Wakeup if self.retention_requests.has_pending() => {
                    return Event::RetentionRequested;
                }
                // For an outcome.
                Recv::Wakeup => {}
            }
        }
    }

    /// Does what an event asks for. Breaks when it is time to shut down, with whoever asked for it.
    fn handle(&mut self, event: Event) -> ControlFlow<Option<CloseReply>> {
        match event {
            Event::Command(Command::Commit(group)) => self.commit_group(group),
            Event::Command(Command::Rotate(done)) => self.rotate(done),
            Event::Command(Command::Close(done)) => return ControlFlow::Break(Some(done)),
            Event::JobDone(outcome) => self.on_job_result(&outcome),
            // When the house is kept.
            Event::RetentionRequested => {}
            Event::Disconnected => return ControlFlow::Break(None),
        }
        ControlFlow::Continue(())
    }

    /// Makes a group durable and answers its callers.
    fn commit_group(&mut self, group: Group) {
        self.inner.update_queue_gauge();
        self.clear_disk_full();
        self.drain_results();
        self.wait_overdue_rotation();
        let taken = Instant::now();
        if let Some(check_expected_seq) = self.check_expected_seq(&group) {
            return self.settle(group, GroupOutcome::Each(vec![check_expected_seq]));
        }
        let next_group = self.receiver.pop_full_group();
        let lines = Lines {
            pieces: group.pieces(),
            records: group.records(),
            json_bytes: group.json_bytes(),
            opened: group.opened(),
            taken,
            next_group: next_group.as_ref(),
        };
        let outcome = match self.commit(lines) {
            Ok(committed) => GroupOutcome::Durable(committed),
            Err(CommitError::StorageFull(_)) if group.appends() > 1 => {
                GroupOutcome::Each(self.commit_individually(&group, taken))
            }
            Err(error) => match self.append_outcome(error) {
                AppendOutcome::Refused => GroupOutcome::Refused,
                fate => GroupOutcome::Each(vec![fate; group.appends()]),
            },
        };
        if let Some(next_group) = next_group {
            self.receiver.push_front_group(next_group);
        }
        self.settle(group, outcome);
    }

    /// A group that was meant for another number than the one that is next.
    fn check_expected_seq(&self, group: &Group) -> Option<AppendOutcome> {
        let (expected, actual) = (group.next_seq()?, self.next_seq);
        let refused =
            expected != actual && !seeded(Bug::ExpectedSeqIgnored) && self.inner.status.poisoned().is_none();
        refused.then_some(AppendOutcome::SeqMismatch { expected, actual })
    }

    /// Where there is no room for all of them, each is tried by itself: the smaller may fit.
    fn commit_individually(&mut self, group: &Group, taken: Instant) -> Vec<AppendOutcome> {
        let mut fates = Vec::with_capacity(group.appends());
        let opened = group.opened();
        for (lines, records, json_bytes) in group.each() {
            let pieces = (records > 0).then_some(lines).into_iter();
            let lines = Lines { pieces, records, json_bytes, opened, taken, next_group: None };
            let fate = match self.commit(lines) {
                Ok(committed) => {
                    // At once: if one of the others stops the store, this one is known by then.
                    self.publish();
                    AppendOutcome::Durable(committed)
                }
                Err(error) => self.append_outcome(error),
            };
            fates.push(fate);
        }
        fates
    }

    /// What a failed commit means to whoever appended.
    fn append_outcome(&mut self, error: CommitError) -> AppendOutcome {
        match error {
            CommitError::StorageFull(error) => {
                self.log_disk_full(&error);
                AppendOutcome::StorageFull(Arc::new(error))
            }
            CommitError::NotBegun { action, source } => {
                self.log_not_begun(action, &source);
                AppendOutcome::Unavailable { action, source: Arc::new(source) }
            }
            CommitError::Failed(error) => {
                self.inner.poison(error);
                AppendOutcome::Refused
            }
        }
    }

    /// One write, made durable.
    fn commit<'a>(
        &mut self,
        lines: Lines<'a, impl Iterator<Item = &'a [u8]>>,
    ) -> std::result::Result<CommitInfo, CommitError> {
        if self.inner.status.poisoned().is_some() && !seeded(Bug::CommitAfterFailure) {
            return Err(CommitError::Failed(io::Error::other("poisoned")));
        }
        let Lines { pieces, records, json_bytes, opened, taken, next_group } = lines;
        if records == 0 && !self.segment.is_unwritten() {
            return Ok(self.commit_info(0, 0, taken));
        }
        if records > 0 && self.segment.is_unwritten() && !seeded(Bug::HeaderWithFirstGroup) {
            // Alone: a group torn in one write with its segment's header could take the header along.
            self.commit_header()?;
        }
        if let Err(error) = self.begin_commit(records) {
            // The group was laid out beside the one before it, perhaps. It is refused, and must not be written with the next.
            self.segment.discard_encoded();
            return Err(error);
        }
        let commit_info = self.commit_info(records, json_bytes, taken);
        let layout = self.segment.encode_group(pieces);
        let made = self.ensure_space(layout.end).and_then(|growing| {
            let started = Instant::now();
            let next_group = next_group.map(Group::pieces);
            self.segment.write(&mut *self.commit_backend, layout, growing, next_group)?;
            Ok(started)
        });
        let started = match made {
            Ok(started) => started,
            Err(CommitError::StorageFull(error)) => {
                self.finish_extending();
                self.segment.truncate_failed_group().map_err(CommitError::Failed)?;
                return Err(CommitError::StorageFull(error));
            }
            Err(failed) => return Err(failed),
        };
        let durable = Instant::now();
        let committed = CommitInfo { durable, ..commit_info };
        self.publish_segment()?;
        self.next_seq += records;
        self.segment.records += records;
        self.log_commit_method();
        if records > 0 {
            self.group_size.note(json_bytes);
            // Of appends that are committed one by one, the last one's end.
            let begun = self.notify_pending_since.replace(durable).unwrap_or(taken);
            let latency = durable.duration_since(started);
            self.inner.status.counters.group(&GroupSample {
                records,
                json_bytes,
                queue_wait: begun.saturating_duration_since(opened),
                encode: started.saturating_duration_since(begun),
                sync: latency,
            });
            self.inner.status.record_commit_latency(latency);
            self.log_commit(&committed, latency);
        }
        Ok(committed)
    }

    /// Whether a commit can begin. Nothing of it is written before this says so: a record that was refused must not be found.
    fn begin_commit(&mut self, records: u64) -> std::result::Result<(), CommitError> {
        if records > 0 && !self.segment.is_unwritten() {
            self.publish_segment()?;
        }
        let in_place = self.segment.check_before_commit(&*self.disk);
        if let Err(CommitError::NotBegun { source, .. }) = &in_place {
            self.inner.status.counters.transient_error(source.raw_os_error());
        }
        in_place
    }

    /// What will be told of lines that are written next; when they were durable is not known yet.
    fn commit_info(&self, records: u64, json_bytes: u64, taken: Instant) -> CommitInfo {
        CommitInfo {
            seq: self.next_seq,
            offset: self.segment.next_offset(),
            segment_first_seq: self.next_seq - self.segment.records,
            group_records: records,
            group_bytes: json_bytes,
            taken,
            durable: taken,
        }
    }

    /// A new segment that has a header and no name yet gets one, if that is possible by now.
    pub(super) fn publish_header(&mut self) -> std::result::Result<(), CommitError> {
        if self.segment.is_unwritten() || self.inner.status.poisoned().is_some() {
            Ok(())
        } else {
            self.publish_segment()
        }
    }

    /// The header of a segment that has none yet, by itself.
    fn commit_header(&mut self) -> std::result::Result<(), CommitError> {
        let (pieces, taken) = (std::iter::empty(), Instant::now());
        let header = Lines { pieces, records: 0, json_bytes: 0, opened: taken, taken, next_group: None };
        self.commit(header).map(drop)
    }

    /// Tells everybody, once the number is published.
    fn settle(&mut self, group: Group, outcome: GroupOutcome) {
        if let GroupOutcome::Durable(committed) = &outcome {
            debug_assert_eq!(
                committed.seq + group.records(),
                self.next_seq,
                "what is acknowledged is what was numbered"
            );
        }
        self.publish();
        self.last_group_len = group.appends() as u64;
        self.receiver.complete(group, outcome);
        if let Some(durable) = self.notify_pending_since.take() {
            self.inner.status.counters.notify(durable.elapsed());
        }
        self.inner.update_queue_gauge();
        if seeded(Bug::NotifyBeforePublish) {
            self.inner.status.publish(self.next_seq - 1);
        }
        // After the callers, who wait for nothing else.
        self.inner.status.watermark.notify_waiters();
    }

    fn publish(&self) {
        if !seeded(Bug::NotifyBeforePublish) {
            self.inner.status.publish(self.next_seq - 1);
        }
    }

    /// Answers who is still waiting, and leaves the journal closed.
    fn shut_down(mut self, closing: Option<CloseReply>) {
        // Whoever is told that the journal is closed may open it at once, though others still hold a handle.
        self.lock.releasing().mark_releasing();
        let closed = self.close_journal();
        if let Err(error) = &closed {
            tracing::error!(journal = %self.inner.status.path.display(), %error, "close failed");
        }
        self.inner.close();
        self.retention_requests.cancel();
        self.background.cancel_deferred();
        let closed_error = || self.inner.status.closed_error();
        for request in self.receiver.end() {
            match request {
                // Refused as it goes.
                Command::Commit(group) => drop(group),
                Command::Rotate(done) | Command::Close(done) => reply(done, Err(closed_error())),
            }
        }
        for done in self.rotate_callers.drain(..) {
            reply(done, Err(closed_error()));
        }
        if closed.is_ok() {
            tracing::info!(journal = %self.inner.status.path.display(), next_seq = self.next_seq, "closed");
        }
        // The lock goes before the answer, so that whoever awaited the closing finds the journal free.
        drop(self);
        if let Some(done) = closing {
            reply(done, closed);
        }
    }

    fn close_journal(&mut self) -> Result<()> {
        self.background.begin_closing();
        self.finish_rotation_before_closing();
        if let Err(CommitError::Failed(error)) = self.publish_header() {
            self.inner.poison(error);
        }
        self.maybe_run_retention();
        self.drain_background();
        let unnamed = self.segment.path != self.names.active();
        for retire in self.rotation.take_unclosed() {
            // A new segment without a name may get none: the next open takes the numbers from the old one.
            self.background.submit(if unnamed { retire.without_retention() } else { retire });
        }
        self.drain_background();
        let now = self.disk.elapsed();
        self.background.finish(|outcome| self.rotation.on_result(&outcome, &self.names, &self.inner, now));
        if let Some(poisoned) = self.inner.status.poisoned() {
            return Err(poisoned);
        }
        self.rotation.remove_next_segment(&*self.disk, &self.names)?;
        if self.segment.is_unwritten() || unnamed {
            // Its header could not be written, or it could not get its name: it holds no record, and the next open
            // creates it again.
            let path = self.segment.path.clone();
            let removed = remove_own(&*self.disk, &path, &*self.segment.file);
            return removed.map_err(MiniStoreError::file(path, "remove"));
        }
        let in_place = self.segment.check_not_replaced(&*self.disk).map_err(CommitError::into_io);
        let closed = in_place.and_then(|()| self.segment.close());
        closed.map_err(MiniStoreError::file(&self.inner.status.path, "close"))
    }
}
