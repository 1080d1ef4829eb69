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
mod steps;
mod timer;

use std::{mem, path::PathBuf, sync::Arc};

use self::timer::RotationTimer;
use super::retry::Retry;
use crate::{
    MiniStoreError, Result,
    background::job::{BackgroundJob, RotatedSegment},
    io::{FileHandle, FileSystem},
    journal::{file_names::FileNames, ownership::remove_own},
};

/// The state of the rotation.
#[derive(Debug)]
pub(super) struct Rotation {
    next: NextSegment,
    rename: ActiveRename,
    /// A caller has requested a rotation, whatever the size of the segment.
    requested: bool,
    /// The last call that failed before it changed anything, and when it is attempted again.
    retry: Retry,
    /// The rotated segment, to be closed once the new segment has its name.
    to_close: Option<RotatedSegment>,
    /// A rotated segment that could not be closed because the disk was full.
    close_deferred: Option<RotatedSegment>,
    /// The job that closes a rotated segment was submitted and has not ended.
    is_closing: bool,
    newest_rotated: u64,
    /// The number to try for the next rotated segment. Files of another journal may have the numbers after the newest.
    next_number: u64,
    timer: RotationTimer,
}

/// The new segment.
#[derive(Debug)]
enum NextSegment {
    Absent,
    Requested {
        bytes: u64,
    },
    /// `open`: it is also open for commits, so that the switch needs no further file descriptor.
    Ready {
        file: Arc<dyn FileHandle>,
        bytes: u64,
        open: bool,
    },
}

/// The rename of the active segment to its name as a rotated segment.
#[derive(Debug)]
enum ActiveRename {
    Idle,
    Requested { to: PathBuf, number: u64 },
    Done { to: PathBuf, number: u64 },
}

impl Rotation {
    pub(super) fn new(newest_rotated: u64) -> Self {
        Self {
            next: NextSegment::Absent,
            rename: ActiveRename::Idle,
            requested: false,
            retry: Retry::default(),
            to_close: None,
            close_deferred: None,
            is_closing: false,
            newest_rotated,
            next_number: newest_rotated + 1,
            timer: RotationTimer::default(),
        }
    }

    /// Returns the number of the newest rotated segment that retention may delete: the newest one whose successor has
    /// the active name. (A retention job that is submitted now runs after the job that makes this name durable.)
    pub(super) fn newest_deletable(&self) -> u64 {
        self.newest_rotated - u64::from(self.to_close.is_some())
    }

    /// Returns whether the active segment must not be preallocated now: a retry waits, or the segment is being renamed.
    pub(super) fn is_blocked(&self) -> bool {
        self.retry.is_waiting() || !matches!(self.rename, ActiveRename::Idle)
    }

    /// Returns whether the rotation cannot continue before another attempt is allowed.
    fn is_stuck(&self) -> bool {
        self.retry.is_waiting()
            && matches!(self.next, NextSegment::Absent | NextSegment::Ready { .. })
            && matches!(self.rename, ActiveRename::Idle)
    }

    /// Takes the job that closes the newest rotated segment, if it is not closed.
    ///
    /// There is one at most: the next rotation waits until the segment before it is closed, so that a rotated segment
    /// without its close marker is either the newest or damaged.
    pub(super) fn take_unclosed(&mut self) -> Option<BackgroundJob> {
        let unclosed = self.close_deferred.take().or_else(|| self.to_close.take())?;
        self.is_closing = true;
        Some(BackgroundJob::Close(unclosed))
    }

    /// Returns whether the rotated segment before the active one is closed.
    fn is_previous_closed(&self) -> bool {
        !self.is_closing && self.close_deferred.is_none()
    }

    /// Removes a new segment that was created and not used. Called when the journal is closed.
    pub(super) fn remove_next_segment(&mut self, fs: &dyn FileSystem, names: &FileNames) -> Result<()> {
        if let NextSegment::Ready { file, .. } = mem::replace(&mut self.next, NextSegment::Absent) {
            remove_own(fs, &names.next(), &*file).map_err(MiniStoreError::file(names.next(), "remove"))?;
        }
        Ok(())
    }
}
