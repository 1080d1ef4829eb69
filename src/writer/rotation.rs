//! When a segment is extended, when the next is prepared, and how the writer turns to it.
//!
//! A rotation runs beside the commits:
//!
//! 1. Halfway through a segment the housekeeper prepares `NAME.next`: padding, durable, under a durable name.
//! 2. When the segment is full it gets its archived name, and the directory is synced. Commits go on into it.
//! 3. The writer turns to the prepared file: header and first group are one durable write.
//! 4. The file is renamed to `NAME`; only then is the group acknowledged, so that every reader finds it.
//! 5. The housekeeper syncs the directory, closes the archived segment, deletes the oldest.
//!
//! Wherever this is cut off, recovery finds every acknowledged record and completes it.

use std::{io, mem, path::PathBuf, sync::Arc};

use tokio::sync::oneshot;

use super::{
    Writer, can_wait,
    housekeeper::{Job, Outcome},
    segment::{Growth, Segment},
};
use crate::{
    MiniStoreError, Result,
    device::{CommitError, Disk, DiskFile},
    format::{Header, Link},
    names::Names,
    shared::Shared,
};

/// Smallest step of writing ahead, and what steps are multiples of: the largest page size of the kernels we know
/// (64 KiB, on some arm64), so that padding and commits never share a page.
const STEP_BYTES_MIN: u64 = 64 << 10;

/// Largest step of writing ahead.
const STEP_BYTES_MAX: u64 = 16 << 20;

/// A group that needs this much more room is not padded for: its own write extends the file.
const LARGE_GROUP_BYTES: u64 = 4 << 20;

/// Where a rotation stands.
#[derive(Debug)]
pub(super) struct Rotation {
    next: Next,
    archive: Archive,
    extending: Extending,
    /// Somebody asked for a rotation, whatever the size.
    requested: bool,
    /// The housekeeper found no room: nothing is asked of it until somebody appends or rotates again.
    stalled: bool,
    /// What is to be done with the old segment once the new one has its name.
    retire: Option<Job>,
    newest_archived: u64,
}

#[derive(Debug)]
enum Next {
    Absent,
    Requested { bytes: u64 },
    Ready { file: Arc<dyn DiskFile>, bytes: u64 },
}

#[derive(Debug)]
enum Archive {
    Not,
    Requested { to: PathBuf },
    Done { to: PathBuf },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extending {
    No,
    /// Padding is being written behind what commits touch.
    Beside {
        from: u64,
    },
    /// Padding is being written in a page that commits touch: they wait.
    Alone {
        from: u64,
    },
}

impl Rotation {
    pub(super) fn new(newest_archived: u64) -> Self {
        Self {
            next: Next::Absent,
            archive: Archive::Not,
            extending: Extending::No,
            requested: false,
            stalled: false,
            retire: None,
            newest_archived,
        }
    }

    /// Takes an outcome in. Whatever is not a lack of room stops the journal.
    pub(super) fn note(&mut self, outcome: &Outcome, shared: &Shared) {
        let failed = |error: &io::Error| {
            if !can_wait(error) {
                shared.poison(io::Error::new(error.kind(), error.to_string()));
            }
            tracing::warn!(journal = %shared.path.display(), %error, "could not prepare or rotate a segment");
        };
        match outcome {
            Outcome::Extended(extended) => {
                self.extending = Extending::No;
                if let Err(error) = extended {
                    self.stalled = true;
                    failed(error);
                }
            }
            Outcome::Prepared(Ok(file)) => {
                if let Next::Requested { bytes } = self.next {
                    self.next = Next::Ready { file: Arc::clone(file), bytes };
                }
            }
            Outcome::Prepared(Err(error)) => {
                self.next = Next::Absent;
                self.stalled = true;
                failed(error);
            }
            Outcome::Archived(Ok(())) => {
                if let Archive::Requested { to } = mem::replace(&mut self.archive, Archive::Not) {
                    self.archive = Archive::Done { to };
                }
            }
            // Whether the name changed is not known: that is no state to go on from.
            Outcome::Archived(Err(error)) => {
                self.archive = Archive::Not;
                shared.poison(io::Error::new(error.kind(), error.to_string()));
            }
            Outcome::Retired(Ok(())) => {}
            Outcome::Retired(Err(error)) => shared.poison(io::Error::new(error.kind(), error.to_string())),
        }
    }

    /// At closing: a segment that was prepared and not needed.
    pub(super) fn discard_prepared(&mut self, disk: &dyn Disk, names: &Names) -> Result<()> {
        if let Next::Ready { .. } = mem::replace(&mut self.next, Next::Absent) {
            disk.remove(&names.next()).map_err(MiniStoreError::file(names.next(), "remove"))?;
        }
        Ok(())
    }
}

impl Writer {
    /// Asks for whatever is due. Never waits.
    pub(super) fn keep_house(&mut self) {
        if self.shared.poisoned().is_some() {
            self.answer_rotate_waiters();
            return;
        }
        self.write_ahead();
        self.prepare_next();
        self.advance_rotation();
        self.answer_rotate_waiters();
    }

    /// Takes in what the housekeeper has done so far.
    pub(super) fn settle_pending(&mut self) {
        while let Some(outcome) = self.housekeeper.poll() {
            self.take_in(&outcome);
        }
    }

    pub(super) fn take_in(&mut self, outcome: &Outcome) {
        if let (Outcome::Extended(Ok(to)), Extending::Beside { from } | Extending::Alone { from }) =
            (outcome, self.rotation.extending)
        {
            self.segment.prepared(*to);
            self.shared.counters.written_ahead(to - from);
        }
        self.rotation.note(outcome, &self.shared);
    }

    /// Waits for one outcome. `false` where none is to come.
    fn settle_one(&mut self) -> bool {
        let outcome = self.housekeeper.await_one();
        outcome.is_some_and(|outcome| {
            self.take_in(&outcome);
            true
        })
    }

    /// Extends the padding before it runs out.
    fn write_ahead(&mut self) {
        let segment = &self.segment;
        let left = segment.prepared_end().saturating_sub(segment.data_end());
        let step = step_after(segment.prepared_end());
        let archived = !matches!(self.rotation.archive, Archive::Not);
        if !segment.is_written_ahead() || archived || self.rotation.stalled || left >= step / 2 {
            return;
        }
        let to = (segment.prepared_end() + step).min(self.padded_end_max());
        self.extend_to(to.next_multiple_of(STEP_BYTES_MIN));
    }

    fn extend_to(&mut self, to: u64) {
        let from = self.segment.prepared_end();
        if self.rotation.extending != Extending::No || to <= from {
            return;
        }
        let shares_page = !from.is_multiple_of(STEP_BYTES_MIN);
        self.rotation.extending =
            if shares_page { Extending::Alone { from } } else { Extending::Beside { from } };
        let cut = self.segment.cut_before_padding();
        self.housekeeper.ask(Job::Extend { file: Arc::clone(&self.segment.file), cut, from, to });
    }

    /// Sees to it that a group that ends at `end` can be written; says whether its write extends the file.
    pub(super) fn make_room(&mut self, end: u64) -> std::result::Result<Growth, CommitError> {
        if !self.segment.is_written_ahead() {
            return Ok(Growth::Extends);
        }
        let mut asked = false;
        loop {
            let fits = end <= self.segment.prepared_end();
            match self.rotation.extending {
                Extending::Beside { .. } if fits => return Ok(Growth::Within),
                Extending::No if fits => return Ok(Growth::Within),
                Extending::No if asked || end - self.segment.prepared_end() > LARGE_GROUP_BYTES => {
                    // Large, or there was no room for the padding; there may be for the group.
                    self.segment.widen(if asked { 1 } else { STEP_BYTES_MIN });
                    return Ok(Growth::Extends);
                }
                Extending::No => {
                    asked = true;
                    let step = step_after(self.segment.prepared_end());
                    self.extend_to((end + step / 2).next_multiple_of(STEP_BYTES_MIN));
                }
                Extending::Beside { .. } | Extending::Alone { .. } => {
                    self.settle_one();
                    if self.shared.poisoned().is_some() {
                        return Err(CommitError::Failed(io::Error::other("writing ahead failed")));
                    }
                }
            }
        }
    }

    /// Prepares the next segment when half of this one is used up, or as soon as it is needed.
    fn prepare_next(&mut self) {
        let half_used = self.segment.data_end() >= self.options.max_bytes_per_segment / 2;
        let due = self.rotation_is_due();
        let wanted = self.segment.records > 0 && (half_used || due);
        if !matches!(self.rotation.next, Next::Absent) || self.rotation.stalled || !wanted {
            return;
        }
        let write_ahead = self.options.write_ahead && self.options.seals;
        let bytes = if write_ahead { self.padded_end_max().min(STEP_BYTES_MAX) } else { 0 };
        self.rotation.next = Next::Requested { bytes };
        self.housekeeper.ask(Job::Prepare { bytes });
    }

    /// Starts what can be started of a rotation that is due; turns to the next segment when it can.
    fn advance_rotation(&mut self) {
        if !self.rotation_is_due() {
            return;
        }
        match (&self.rotation.next, &self.rotation.archive) {
            (Next::Ready { .. }, Archive::Not) => {
                let to = self.names.archived(self.rotation.newest_archived + 1);
                self.rotation.archive = Archive::Requested { to: to.clone() };
                self.housekeeper.ask(Job::Archive { to });
            }
            (Next::Ready { .. }, Archive::Done { .. }) => self.turn_to_next(),
            _ => {}
        }
    }

    fn rotation_is_due(&self) -> bool {
        let full = self.segment.data_end() >= self.options.max_bytes_per_segment;
        self.segment.records > 0 && (full || self.rotation.requested)
    }

    /// Where a segment is much larger than it should be, the rotation is waited for: it bounds what an append can
    /// leave behind, and makes tiny segments as regular as the original's.
    pub(super) fn finish_overdue_rotation(&mut self) {
        let allowed = self.options.max_bytes_per_segment;
        while self.segment.data_end() >= allowed.saturating_add(allowed / 8) && self.step_rotation() {}
    }

    /// A closed journal is not left with a rotation due.
    pub(super) fn finish_rotation_before_closing(&mut self) {
        while self.step_rotation() {}
    }

    /// Waits for one step of a rotation that is due. `false` where there is none, or no room for it.
    fn step_rotation(&mut self) -> bool {
        let archived = !matches!(self.rotation.archive, Archive::Not);
        if self.shared.poisoned().is_some() || !(self.rotation_is_due() || archived) {
            return false;
        }
        self.keep_house();
        let stalled = self.rotation.stalled && matches!(self.rotation.next, Next::Absent);
        self.rotation_is_due() && !stalled && self.settle_one()
    }

    /// Makes the prepared file the segment that is written to. The old one is left to the housekeeper.
    fn turn_to_next(&mut self) {
        let Next::Ready { file, bytes } = mem::replace(&mut self.rotation.next, Next::Absent) else { return };
        let Archive::Done { to } = mem::replace(&mut self.rotation.archive, Archive::Not) else { return };
        let link = Link { first: self.next_seq, prev: self.segment.last_seal().unwrap_or(0) };
        let header = if self.options.seals { Header::Sealed(link) } else { Header::Plain };
        let write_ahead = self.options.write_ahead;
        let mut newborn = Segment::unborn(file, self.names.next(), bytes, header, write_ahead);
        if let Err(error) = newborn.attach(&mut *self.lane, self.options.direct) {
            self.shared.poison(error);
            return;
        }
        let old = mem::replace(&mut self.segment, newborn);
        self.rotation.newest_archived += 1;
        self.rotation.requested = false;
        self.shared.counters.rotation();
        self.shared.counters.written_ahead(bytes);
        tracing::debug!(segment = %to.display(), next_seq = self.next_seq, "archived a segment");
        self.rotation.retire = Some(Job::Retire {
            file: Arc::clone(&old.file),
            data_end: old.data_end(),
            sealed: old.is_sealed(),
            segments_kept: self.options.max_segments,
        });
        // Header first: nobody must ever find the active name without one. Without room for it, the next group
        // tries again: it brings the header along.
        if let Err(CommitError::Failed(error)) = self.commit(&[]) {
            self.shared.poison(error);
        }
    }

    /// Once its header is durable, a new segment takes the active name. What it holds is acknowledged after that.
    pub(super) fn name_newborn(&mut self) -> std::result::Result<(), CommitError> {
        let active = self.names.active();
        if self.segment.path == active {
            return Ok(());
        }
        self.disk.rename(&self.segment.path, &active).map_err(CommitError::Failed)?;
        self.segment.path = active;
        if let Some(retire) = self.rotation.retire.take() {
            self.housekeeper.ask(retire);
        }
        Ok(())
    }

    /// Somebody asks for a rotation.
    pub(super) fn rotate(&mut self, done: oneshot::Sender<Result<()>>) {
        self.rotation.requested = true;
        self.rotation.stalled = false;
        self.rotate_waiters.push(done);
    }

    /// An append or a rotation is about to be tried: there may be room again.
    pub(super) fn try_again(&mut self) {
        self.rotation.stalled = false;
    }

    fn answer_rotate_waiters(&mut self) {
        let poisoned = self.shared.poisoned().is_some();
        let stalled = self.rotation.stalled && matches!(self.rotation.next, Next::Absent);
        if self.segment.records > 0 && self.rotation.requested && !stalled && !poisoned {
            return;
        }
        self.rotation.requested = false;
        for done in self.rotate_waiters.drain(..) {
            let no_room = || MiniStoreError::StorageFull {
                path: self.names.next(),
                source: Arc::new(io::ErrorKind::StorageFull.into()),
            };
            let outcome = match self.shared.poisoned() {
                Some(poisoned) => Err(poisoned),
                None if stalled => Err(no_room()),
                None => Ok(()),
            };
            let _ = done.send(outcome);
        }
    }

    /// Padding does not go further than a full segment with what may be added to it while it is rotated.
    fn padded_end_max(&self) -> u64 {
        let full = self.options.max_bytes_per_segment;
        full.saturating_add(full / 8)
            .saturating_add(1)
            .checked_next_multiple_of(STEP_BYTES_MIN)
            .unwrap_or(full)
    }
}

/// Steps grow with the segment: a small journal stays small.
fn step_after(prepared_end: u64) -> u64 {
    prepared_end.next_multiple_of(STEP_BYTES_MIN).clamp(STEP_BYTES_MIN, STEP_BYTES_MAX)
}
