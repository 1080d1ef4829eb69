//! A rotation: the writer thread switches from a full segment to a new one.
//!
//! It runs concurrently with commits:
//!
//! 1. When a segment is half full, the background thread creates `NAME.next`: padding, durable, under a durable name.
//! 2. When the segment is full, the background thread renames it to its name as a rotated segment and syncs the
//!    directory. Commits still go to it.
//! 3. The writer thread switches to the new file and makes its header durable.
//! 4. The writer thread renames the new file to `NAME`. Only then is a record in it acknowledged, so that every reader
//!    finds it.
//! 5. The background thread syncs the directory, closes the rotated segment, and deletes the oldest segments, one per
//!    job.
//!
//! If a rotation is interrupted at any point, recovery finds every acknowledged record and completes the rotation.

mod results;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod timer;

use std::{mem, sync::Arc};

use rustix::io::Errno;

use self::{
    state::{PreviousSegment, RotationEvent, RotationState},
    timer::RotationTimer,
};
use super::retry::Retry;
use crate::{
    MiniStoreError, Result,
    background::job::{BackgroundJob, RotatedSegment},
    io::FileSystem,
    journal::{file_names::FileNames, ownership::remove_own},
};

/// The rotation of the active segment, and the end of the one before it.
#[derive(Debug)]
pub(super) struct Rotation {
    state: RotationState,
    previous: PreviousSegment,
    /// A caller has requested a rotation, whatever the size of the segment.
    requested: bool,
    /// The last call that failed before it changed anything, and when it is attempted again.
    retry: Retry,
    newest_rotated: u64,
    /// The number to try for the next rotated segment. Files of another journal may have the numbers after the newest.
    next_number: u64,
    timer: RotationTimer,
}

impl Rotation {
    pub(super) fn new(newest_rotated: u64) -> Self {
        Self {
            state: RotationState::Idle,
            previous: PreviousSegment::Closed,
            requested: false,
            retry: Retry::default(),
            newest_rotated,
            next_number: newest_rotated + 1,
            timer: RotationTimer::default(),
        }
    }

    fn apply(&mut self, event: RotationEvent) {
        self.state = mem::take(&mut self.state).after(event);
    }

    /// Returns the number of the newest rotated segment that retention may delete: the newest one whose successor has
    /// the active name. (A retention job that is submitted now runs after the job that makes this name durable.)
    pub(super) fn newest_deletable(&self) -> u64 {
        self.newest_rotated - u64::from(matches!(self.state, RotationState::Publishing(_)))
    }

    /// Returns whether the active segment must not be preallocated now: a retry waits, or the segment is being renamed.
    pub(super) fn is_blocked(&self) -> bool {
        self.retry.is_waiting() || self.state.is_renaming()
    }

    /// Returns whether the rotation cannot continue before another attempt is allowed.
    fn is_stuck(&self) -> bool {
        self.retry.is_waiting() && !self.state.is_renaming() && !self.state.awaits_job()
    }

    /// Returns the job that closes a rotated segment.
    fn close_job(&mut self, rotated: RotatedSegment) -> BackgroundJob {
        self.previous = PreviousSegment::Closing;
        BackgroundJob::Close(rotated)
    }

    /// Takes the job that closes the newest rotated segment, if it is not closed. Called when the journal is closed.
    pub(super) fn take_unclosed(&mut self) -> Option<BackgroundJob> {
        if let RotationState::Publishing(rotated) = &self.state {
            // A new segment without its name may never get it: the next open reads the sequence numbers from the old
            // one, which retention must not delete.
            let rotated = RotatedSegment { applies_retention: false, ..rotated.clone() };
            self.state = RotationState::Idle;
            return Some(self.close_job(rotated));
        }
        match mem::replace(&mut self.previous, PreviousSegment::Closing) {
            PreviousSegment::Deferred(rotated) => Some(self.close_job(rotated)),
            other => {
                self.previous = other;
                None
            }
        }
    }

    /// Returns an error if the disk was too full to close the newest rotated segment. Called when the journal is closed.
    pub(super) fn check_previous_closed(&self, names: &FileNames) -> Result<()> {
        match &self.previous {
            PreviousSegment::Deferred(rotated) => Err(MiniStoreError::StorageFull {
                path: names.rotated(rotated.number),
                source: Arc::new(Errno::NOSPC.into()),
            }),
            PreviousSegment::Closed | PreviousSegment::Closing => Ok(()),
        }
    }

    /// Removes a new segment that was created and not used. Called when the journal is closed.
    pub(super) fn remove_next_segment(&mut self, fs: &dyn FileSystem, names: &FileNames) -> Result<()> {
        if let RotationState::Created(next) | RotationState::Prepared(next) = mem::take(&mut self.state) {
            remove_own(fs, &names.next(), &*next.file)
                .map_err(MiniStoreError::file(names.next(), "remove"))?;
        }
        Ok(())
    }
}
