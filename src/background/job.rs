//! The jobs that the writer thread submits to the background thread, and their results.

use std::{io, path::PathBuf, sync::Arc};

use super::requests::RetentionRequest;
use crate::io::FileHandle;

/// A job for the background thread.
#[derive(Debug)]
pub(crate) enum BackgroundJob {
    /// Pads the active segment from `from` to `to`, after truncating it at `truncate_at`.
    Preallocate {
        file: Arc<dyn FileHandle>,
        truncate_at: Option<u64>,
        from: u64,
        to: u64,
        page_cache: PageCache,
    },
    /// Creates the next segment, padded up to `bytes`.
    CreateNext { bytes: u64, page_cache: PageCache },
    /// Renames the active segment to `to`, its name as a rotated segment, if the prepared segment still exists.
    Rename { file: Arc<dyn FileHandle>, next: Arc<dyn FileHandle>, to: PathBuf },
    /// Closes a rotated segment whose successor has the active name, then deletes the oldest segment if a limit says
    /// so.
    Close(RotatedSegment),
    /// Serves retention requests. Only rotated segments up to number `newest` may be deleted.
    ApplyRetention { requests: Vec<RetentionRequest>, newest: u64, opening: bool },
}

/// Whether padding stays in the page cache, where it only takes memory if commits use direct I/O.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageCache {
    Keep,
    Drop,
}

/// A rotated segment that has no end marker yet.
#[derive(Debug, Clone)]
pub(crate) struct RotatedSegment {
    pub(crate) file: Arc<dyn FileHandle>,
    pub(crate) data_end: u64,
    pub(crate) checksummed: bool,
    pub(crate) number: u64,
    /// Whether closing it is followed by the deletion of the oldest segment, if a limit says so.
    pub(crate) applies_retention: bool,
}

/// The result of a job.
#[derive(Debug)]
pub(crate) enum JobResult {
    /// The offset up to which the file is padded.
    Preallocated(io::Result<u64>),
    Created(Result<Arc<dyn FileHandle>, PrepareError>),
    Renamed(io::Result<RenameResult>),
    /// With whether the limits left segments to delete.
    Closed(io::Result<Remaining>),
    /// There was no disk space for the end marker. The segment is readable without it; the writer tries again later.
    CloseDeferred(RotatedSegment, Remaining),
    /// The callers got their replies, or get them when no segment is left to delete.
    RetentionApplied(io::Result<Remaining>),
    /// The job panicked, or was never run: its effect is unknown.
    Lost(io::Error),
}

/// Whether segments are left to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remaining {
    None,
    Some,
}

/// Why the next segment was not prepared.
#[derive(Debug)]
pub(crate) enum PrepareError {
    /// Nothing that a record depends on was changed, and the file is discarded.
    NotStarted { action: &'static str, source: io::Error },
    /// Another process created a file of this name.
    Taken,
    /// A sync of the directory failed.
    NotDurable(io::Error),
}

/// The results of [`BackgroundJob::Rename`] that leave the journal in a known state.
#[derive(Debug)]
pub(crate) enum RenameResult {
    Renamed,
    /// A call failed before it changed anything.
    NotRenamed(io::Error),
    /// Another process deleted, moved or replaced the prepared segment: nothing was changed.
    NextGone,
    /// This file has the name, or is the lock file of a journal of that name: nothing was changed.
    Taken(PathBuf),
    /// The rename could replace another file: nothing was changed.
    Refused(String),
}
