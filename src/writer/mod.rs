//! The writer thread: the only one that commits. Owns the journal from open to close.
//!
//! It gathers what is pending, commits it as one group, wakes the callers, and repeats. What takes long and can be
//! done beside the commits (writing ahead, preparing the next segment, archiving the last) it hands to the
//! [`housekeeper`]. Nothing here may panic on what a disk says: every failure is an answer to somebody.

mod ahead;
#[cfg(feature = "_bench")]
pub(crate) mod bench;
mod events;
mod housekeeper;
mod listing;
mod open;
mod retain;
mod retry;
mod rotation;
mod segment;
#[cfg(any(test, feature = "_sim"))]
mod stepped;
#[cfg(test)]
mod tests;

use std::{io, mem, ops::ControlFlow, sync::Arc, time::Instant};

pub(crate) use open::{Chosen, Opened, choose, spawn};
#[cfg(any(test, feature = "_sim"))]
pub(crate) use stepped::{Stepped, Turn};

use self::{
    ahead::{Extending, GroupSize},
    events::Said,
    housekeeper::{Housekeeper, Outcome},
    rotation::{Retaining, Rotation},
    segment::Segment,
};
use crate::{
    JournalOptions, MiniStoreError, Result,
    device::{CommitError, Disk, Lane},
    lock::JournalLock,
    names::Names,
    ownership::remove_own,
    planted::{Bug, planted},
    queue::{Committed, Fate, Found, Group, Inbox, Request, Verdict},
    request::answer,
    shared::Shared,
    stats::Counted,
    sync::oneshot,
};

/// The state of the writer thread.
#[derive(Debug)]
struct Writer {
    options: JournalOptions,
    names: Names,
    disk: Arc<dyn Disk>,
    lane: Box<dyn Lane>,
    shared: Arc<Shared>,
    inbox: Inbox,
    housekeeper: Housekeeper,
    segment: Segment,
    rotation: Rotation,
    retaining: Retaining,
    extending: Extending,
    group_size: GroupSize,
    next_seq: u64,
    /// When records became durable whose callers are not told yet.
    untold_since: Option<Instant>,
    said: Said,
    /// How many appends were the last group had, until the writer has looked out for them.
    woken: u64,
    /// Callers who wait for a rotation.
    rotate_waiters: Vec<oneshot::Sender<Result<()>>>,
    // Last: released when everything else is done.
    lock: JournalLock,
}

/// Whoever waits for the journal to be closed.
type Closing = oneshot::Sender<Result<()>>;

/// What woke the writer.
enum Event {
    Request(Request),
    Outcome(Outcome),
    /// Somebody asks something of retention.
    Asked,
    /// Every handle is gone.
    Abandoned,
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
    following: Option<&'a Group>,
}

impl Writer {
    /// Runs until the journal is closed or abandoned.
    fn run(mut self) {
        self.keep_house();
        let closing = loop {
            let event = self.wait();
            if let ControlFlow::Break(closing) = self.handle(event) {
                break closing;
            }
            self.keep_house();
        };
        self.shut_down(closing);
    }

    fn wait(&mut self) -> Event {
        loop {
            // What is done is taken in first: where nothing runs beside the commits the order of all that is done is
            // then always the same.
            if let Some(outcome) = self.housekeeper.poll() {
                return Event::Outcome(outcome);
            }
            self.inbox.linger(mem::take(&mut self.woken));
            match self.inbox.wait() {
                Found::Request(request) => return Event::Request(request),
                Found::Abandoned => return Event::Abandoned,
                Found::Nudge if self.shared.retention.asks.are_waiting() => return Event::Asked,
                // For an outcome.
                Found::Nudge => {}
            }
        }
    }

    /// Does what an event asks for. Breaks when it is time to shut down, with whoever asked for it.
    fn handle(&mut self, event: Event) -> ControlFlow<Option<Closing>> {
        match event {
            Event::Request(Request::Commit(group)) => self.commit_group(group),
            Event::Request(Request::Rotate(done)) => self.rotate(done),
            Event::Request(Request::Close(done)) => return ControlFlow::Break(Some(done)),
            Event::Outcome(outcome) => self.take_in(&outcome),
            // When the house is kept.
            Event::Asked => {}
            Event::Abandoned => return ControlFlow::Break(None),
        }
        ControlFlow::Continue(())
    }

    /// Makes a group durable and answers its callers.
    fn commit_group(&mut self, group: Group) {
        self.shared.note_queue();
        self.try_again();
        self.settle_pending();
        self.finish_overdue_rotation();
        let taken = Instant::now();
        if let Some(conflict) = self.conflict(&group) {
            return self.settle(group, Verdict::Each(vec![conflict]));
        }
        let following = self.inbox.borrow_full();
        let lines = Lines {
            pieces: group.pieces(),
            records: group.records(),
            json_bytes: group.json_bytes(),
            opened: group.opened(),
            taken,
            following: following.as_ref(),
        };
        let verdict = match self.commit(lines) {
            Ok(committed) => Verdict::Durable(committed),
            Err(CommitError::NoRoom(_)) if group.appends() > 1 => {
                Verdict::Each(self.commit_each(&group, taken))
            }
            Err(error) => match self.fate(error) {
                Fate::Refused => Verdict::Refused,
                fate => Verdict::Each(vec![fate; group.appends()]),
            },
        };
        if let Some(following) = following {
            self.inbox.put_back(following);
        }
        self.settle(group, verdict);
    }

    /// A group that was meant for another number than the one that is next.
    fn conflict(&self, group: &Group) -> Option<Fate> {
        let (expected, actual) = (group.next_seq()?, self.next_seq);
        let refused =
            expected != actual && !planted(Bug::AnyNumberWillDo) && self.shared.poisoned().is_none();
        refused.then_some(Fate::SeqMismatch { expected, actual })
    }

    /// Where there is no room for all of them, each is tried by itself: the smaller may fit.
    fn commit_each(&mut self, group: &Group, taken: Instant) -> Vec<Fate> {
        let mut fates = Vec::with_capacity(group.appends());
        let opened = group.opened();
        for (lines, records, json_bytes) in group.each() {
            let pieces = (records > 0).then_some(lines).into_iter();
            let lines = Lines { pieces, records, json_bytes, opened, taken, following: None };
            let fate = match self.commit(lines) {
                Ok(committed) => {
                    // At once: if one of the others stops the store, this one is known by then.
                    self.publish();
                    Fate::Durable(committed)
                }
                Err(error) => self.fate(error),
            };
            fates.push(fate);
        }
        fates
    }

    /// What a failed commit means to whoever appended.
    fn fate(&mut self, error: CommitError) -> Fate {
        match error {
            CommitError::NoRoom(error) => {
                self.say_no_room(&error);
                Fate::NoRoom(Arc::new(error))
            }
            CommitError::NotBegun { action, source } => {
                self.say_not_begun(action, &source);
                Fate::Unavailable { action, source: Arc::new(source) }
            }
            CommitError::Failed(error) => {
                self.shared.poison(error);
                Fate::Refused
            }
        }
    }

    /// One write, made durable.
    fn commit<'a>(
        &mut self,
        lines: Lines<'a, impl Iterator<Item = &'a [u8]>>,
    ) -> std::result::Result<Committed, CommitError> {
        if self.shared.poisoned().is_some() && !planted(Bug::GoesOnAfterAFailure) {
            return Err(CommitError::Failed(io::Error::other("poisoned")));
        }
        let Lines { pieces, records, json_bytes, opened, taken, following } = lines;
        if records == 0 && !self.segment.is_unborn() {
            return Ok(self.upcoming(0, 0, taken));
        }
        if records > 0 && self.segment.is_unborn() && !planted(Bug::HeaderWithFirstGroup) {
            // Alone: a group torn in one write with its segment's header could take the header along.
            self.commit_header()?;
        }
        if let Err(error) = self.begin_commit(records) {
            // The group was laid out beside the one before it, perhaps. It is refused, and must not be written with the next.
            self.segment.forget_layout();
            return Err(error);
        }
        let upcoming = self.upcoming(records, json_bytes, taken);
        let layout = self.segment.lay_out(pieces);
        let made = self.make_room(layout.end).and_then(|growing| {
            let started = Instant::now();
            let following = following.map(Group::pieces);
            self.segment.write(&mut *self.lane, layout, growing, following)?;
            Ok(started)
        });
        let started = match made {
            Ok(started) => started,
            Err(CommitError::NoRoom(error)) => {
                self.finish_extending();
                self.segment.cut_back().map_err(CommitError::Failed)?;
                return Err(CommitError::NoRoom(error));
            }
            Err(failed) => return Err(failed),
        };
        let durable = Instant::now();
        let committed = Committed { durable, ..upcoming };
        self.name_newborn()?;
        self.next_seq += records;
        self.segment.records += records;
        self.note_method();
        if records > 0 {
            self.group_size.note(json_bytes);
            // Of appends that are committed one by one, the last one's end.
            let begun = self.untold_since.replace(durable).unwrap_or(taken);
            let latency = durable.duration_since(started);
            self.shared.counters.group(&Counted {
                records,
                json_bytes,
                queue_wait: begun.saturating_duration_since(opened),
                encode: started.saturating_duration_since(begun),
                sync: latency,
            });
            self.shared.committed_in(latency);
            self.say_committed(&committed, latency);
        }
        Ok(committed)
    }

    /// Whether a commit can begin. Nothing of it is written before this says so: a record that was refused must not be found.
    fn begin_commit(&mut self, records: u64) -> std::result::Result<(), CommitError> {
        if records > 0 && !self.segment.is_unborn() {
            self.name_newborn()?;
        }
        let in_place = self.segment.check_before_commit(&*self.disk);
        if let Err(CommitError::NotBegun { source, .. }) = &in_place {
            self.shared.counters.transient_error(source.raw_os_error());
        }
        in_place
    }

    /// What will be told of lines that are written next; when they were durable is not known yet.
    fn upcoming(&self, records: u64, json_bytes: u64, taken: Instant) -> Committed {
        Committed {
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
    pub(super) fn name_header(&mut self) -> std::result::Result<(), CommitError> {
        if self.segment.is_unborn() || self.shared.poisoned().is_some() {
            Ok(())
        } else {
            self.name_newborn()
        }
    }

    /// The header of a segment that has none yet, by itself.
    fn commit_header(&mut self) -> std::result::Result<(), CommitError> {
        let (pieces, taken) = (std::iter::empty(), Instant::now());
        let header = Lines { pieces, records: 0, json_bytes: 0, opened: taken, taken, following: None };
        self.commit(header).map(drop)
    }

    /// Tells everybody, once the number is published.
    fn settle(&mut self, group: Group, verdict: Verdict) {
        if let Verdict::Durable(committed) = &verdict {
            debug_assert_eq!(
                committed.seq + group.records(),
                self.next_seq,
                "what is acknowledged is what was numbered"
            );
        }
        self.publish();
        self.woken = group.appends() as u64;
        self.inbox.settle(group, verdict);
        if let Some(durable) = self.untold_since.take() {
            self.shared.counters.notify(durable.elapsed());
        }
        self.shared.note_queue();
        if planted(Bug::AnswersBeforePublishing) {
            self.shared.publish(self.next_seq - 1);
        }
        // After the callers, who wait for nothing else.
        self.shared.progress.tell();
    }

    fn publish(&self) {
        if !planted(Bug::AnswersBeforePublishing) {
            self.shared.publish(self.next_seq - 1);
        }
    }

    /// Answers who is still waiting, and leaves the journal closed.
    fn shut_down(mut self, closing: Option<Closing>) {
        // Whoever is told that the journal is closed may open it at once, though others still hold a handle.
        self.lock.releasing().announce();
        let closed = self.close_journal();
        if let Err(error) = &closed {
            tracing::error!(journal = %self.shared.path.display(), %error, "close failed");
        }
        self.shared.close();
        self.shared.end_retention();
        self.housekeeper.refuse_unfinished();
        let refusal = || self.shared.refusal();
        for request in self.inbox.end() {
            match request {
                // Refused as it goes.
                Request::Commit(group) => drop(group),
                Request::Rotate(done) | Request::Close(done) => answer(done, Err(refusal())),
            }
        }
        for done in self.rotate_waiters.drain(..) {
            answer(done, Err(refusal()));
        }
        if closed.is_ok() {
            tracing::info!(journal = %self.shared.path.display(), next_seq = self.next_seq, "closed");
        }
        // The lock goes before the answer, so that whoever awaited the closing finds the journal free.
        drop(self);
        if let Some(done) = closing {
            answer(done, closed);
        }
    }

    fn close_journal(&mut self) -> Result<()> {
        self.housekeeper.begin_closing();
        self.finish_rotation_before_closing();
        if let Err(CommitError::Failed(error)) = self.name_header() {
            self.shared.poison(error);
        }
        self.retain_if_asked();
        self.finish_housekeeping();
        let unnamed = self.segment.path != self.names.active();
        for retire in self.rotation.take_retire() {
            // A new segment without a name may get none: the next open takes the numbers from the old one.
            self.housekeeper.ask(if unnamed { retire.without_retention() } else { retire });
        }
        self.finish_housekeeping();
        let now = self.disk.elapsed();
        self.housekeeper.finish(|outcome| self.rotation.note(&outcome, &self.names, &self.shared, now));
        if let Some(poisoned) = self.shared.poisoned() {
            return Err(poisoned);
        }
        self.rotation.discard_prepared(&*self.disk, &self.names)?;
        if self.segment.is_unborn() || unnamed {
            // Its header could not be written, or it could not get its name: it holds no record, and the next open
            // creates it again.
            let path = self.segment.path.clone();
            let removed = remove_own(&*self.disk, &path, &*self.segment.file);
            return removed.map_err(MiniStoreError::file(path, "remove"));
        }
        let in_place = self.segment.check_in_place(&*self.disk).map_err(CommitError::into_io);
        let closed = in_place.and_then(|()| self.segment.close());
        closed.map_err(MiniStoreError::file(&self.shared.path, "close"))
    }
}
