//! The writer thread: the only one that commits. Owns the journal from open to close.
//!
//! It gathers what is pending, commits it as one group, wakes the callers, and repeats. What takes long and can be
//! done beside the commits (writing ahead, preparing the next segment, archiving the last) it hands to the
//! [`housekeeper`]. Nothing here may panic on what a disk says: every failure is an answer to somebody.

mod ahead;
mod gather;
mod housekeeper;
mod open;
mod rotation;
mod segment;
#[cfg(any(test, feature = "_sim"))]
mod stepped;
#[cfg(test)]
mod tests;

use std::{io, ops::ControlFlow, sync::Arc, time::Instant};

pub(crate) use open::{Chosen, Opened, choose, spawn};
#[cfg(any(test, feature = "_sim"))]
pub(crate) use stepped::{Stepped, Turn};

use self::{
    ahead::Extending,
    gather::Group,
    housekeeper::{Housekeeper, Outcome},
    rotation::Rotation,
    segment::Segment,
};
use crate::{
    JournalOptions, MiniStoreError, Result,
    device::{CommitError, Disk, Lane},
    lock::JournalLock,
    names::Names,
    planted::{Bug, planted},
    request::{Append, Request, answer},
    shared::Shared,
    sync::{Receiver, oneshot, select},
};

/// The state of the writer thread.
#[derive(Debug)]
struct Writer {
    options: JournalOptions,
    names: Names,
    disk: Arc<dyn Disk>,
    lane: Box<dyn Lane>,
    shared: Arc<Shared>,
    requests: Receiver<Request>,
    housekeeper: Housekeeper,
    segment: Segment,
    rotation: Rotation,
    extending: Extending,
    next_seq: u64,
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
    /// Every handle is gone.
    Abandoned,
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
        // What is done is taken in first: where nothing runs beside the commits the order of all that is done is then
        // always the same.
        if let Some(outcome) = self.housekeeper.poll() {
            return Event::Outcome(outcome);
        }
        select! {
            recv(self.requests) -> request => request.map_or(Event::Abandoned, Event::Request),
            recv(self.housekeeper.outcomes()) -> outcome => match outcome {
                Ok(outcome) => {
                    self.housekeeper.received();
                    Event::Outcome(outcome)
                }
                Err(_) => Event::Abandoned,
            },
        }
    }

    /// Does what an event asks for. Breaks when it is time to shut down, with whoever asked for it.
    fn handle(&mut self, event: Event) -> ControlFlow<Option<Closing>> {
        match event {
            Event::Request(Request::Append(append)) => {
                let (group, control) = self.gather(append);
                self.commit_group(group);
                match control {
                    Some(Request::Close(done)) => return ControlFlow::Break(Some(done)),
                    Some(Request::Rotate(done)) => self.rotate(done),
                    Some(Request::Append(_)) | None => {}
                }
            }
            Event::Request(Request::Rotate(done)) => self.rotate(done),
            Event::Request(Request::Close(done)) => return ControlFlow::Break(Some(done)),
            Event::Outcome(outcome) => self.take_in(&outcome),
            Event::Abandoned => return ControlFlow::Break(None),
        }
        ControlFlow::Continue(())
    }

    /// Makes a group durable and answers its callers.
    fn commit_group(&mut self, group: Group) {
        self.try_again();
        self.settle_pending();
        self.finish_overdue_rotation();
        self.commit_or_split(group.appends);
    }

    /// Where there is no room for all of them, each is tried by itself: the smaller may fit.
    fn commit_or_split(&mut self, appends: Vec<Append>) {
        match self.commit(&appends) {
            Ok(first) => self.acknowledge(appends, first),
            Err(CommitError::NoRoom(_)) if appends.len() > 1 => {
                for append in appends {
                    self.commit_or_split(vec![append]);
                }
            }
            Err(CommitError::NoRoom(error)) => {
                let source = Arc::new(error);
                for append in appends {
                    let path = self.shared.path.clone();
                    append.answer(Err(MiniStoreError::StorageFull { path, source: Arc::clone(&source) }));
                }
            }
            Err(CommitError::Failed(error)) => {
                self.shared.poison(error);
                for append in appends {
                    append.answer(Err(self.shared.refusal()));
                }
            }
        }
    }

    /// One write, made durable; the sequence number of the first record.
    fn commit(&mut self, appends: &[Append]) -> std::result::Result<u64, CommitError> {
        if self.shared.poisoned().is_some() && !planted(Bug::GoesOnAfterAFailure) {
            return Err(CommitError::Failed(io::Error::other("poisoned")));
        }
        let records: u64 = appends.iter().map(|append| append.records).sum();
        if records == 0 && !self.segment.is_unborn() {
            return Ok(self.next_seq);
        }
        if records > 0 && self.segment.is_unborn() && !planted(Bug::HeaderWithFirstGroup) {
            // Alone: a group torn in one write with its segment's header could take the header along.
            self.commit(&[])?;
        }
        self.segment.check_in_place().map_err(CommitError::Failed)?;
        let lines = appends.iter().filter(|append| append.records > 0).map(|append| append.lines.bytes());
        let layout = self.segment.lay_out(lines);
        let made = self.make_room(layout.end).and_then(|growing| {
            let started = Instant::now();
            self.segment.write(&mut *self.lane, layout, growing)?;
            Ok(started.elapsed())
        });
        let latency = match made {
            Ok(latency) => latency,
            Err(CommitError::NoRoom(error)) => {
                self.finish_extending();
                self.segment.cut_back().map_err(CommitError::Failed)?;
                return Err(CommitError::NoRoom(error));
            }
            Err(failed) => return Err(failed),
        };
        self.name_newborn()?;
        let first = self.next_seq;
        self.next_seq += records;
        self.segment.records += records;
        self.shared.counters.direct(self.lane.is_direct());
        if records > 0 {
            let bytes = appends.iter().map(Append::json_bytes).sum();
            self.shared.counters.group(records, bytes, latency);
        }
        Ok(first)
    }

    /// Tells everybody, once the number is published.
    fn acknowledge(&mut self, appends: Vec<Append>, first: u64) {
        debug_assert_eq!(
            first + appends.iter().map(|append| append.records).sum::<u64>(),
            self.next_seq,
            "what is acknowledged is what was numbered"
        );
        if !planted(Bug::AnswersBeforePublishing) {
            self.shared.publish(self.next_seq - 1);
        }
        let mut seq = first;
        for append in appends {
            let records = append.records;
            append.answer(Ok(seq));
            seq += records;
        }
        if planted(Bug::AnswersBeforePublishing) {
            self.shared.publish(self.next_seq - 1);
        }
    }

    /// Answers who is still waiting, and leaves the journal closed.
    fn shut_down(mut self, closing: Option<Closing>) {
        // Whoever is told that the journal is closed may open it at once, though others still hold a handle.
        self.lock.releasing().announce();
        let closed = self.close_journal();
        if let Err(error) = &closed {
            tracing::error!(journal = %self.shared.path.display(), %error, "could not close the journal");
        }
        self.shared.close();
        let refusal = || self.shared.refusal();
        for request in self.requests.try_iter() {
            match request {
                Request::Append(append) => append.answer(Err(refusal())),
                Request::Rotate(done) | Request::Close(done) => answer(done, Err(refusal())),
            }
        }
        for done in self.rotate_waiters.drain(..) {
            answer(done, Err(refusal()));
        }
        // The lock goes before the answer, so that whoever awaited the closing finds the journal free.
        drop(self);
        if let Some(done) = closing {
            answer(done, closed);
        }
    }

    fn close_journal(&mut self) -> Result<()> {
        self.finish_rotation_before_closing();
        while self.settle_one() {}
        let unnamed = self.segment.path != self.names.active();
        for retire in self.rotation.take_retire() {
            // A new segment without a name may get none: the next open takes the numbers from the old one.
            self.housekeeper.ask(if unnamed { retire.without_retention() } else { retire });
        }
        self.housekeeper.finish(|outcome| self.rotation.note(&outcome, &self.shared));
        if let Some(poisoned) = self.shared.poisoned() {
            return Err(poisoned);
        }
        self.rotation.discard_prepared(&*self.disk, &self.names)?;
        if self.segment.is_unborn() {
            // There was no room for its header: it holds nothing, and the next open creates it anew.
            let path = self.segment.path.clone();
            return self.disk.remove(&path).map_err(MiniStoreError::file(path, "remove"));
        }
        let closed = self.segment.check_in_place().and_then(|()| self.segment.close());
        closed.map_err(MiniStoreError::file(&self.shared.path, "close"))
    }
}
