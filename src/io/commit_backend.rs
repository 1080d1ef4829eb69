//! [`CommitBackend`]: the commit path of the writer thread.

use std::{fmt, io, path::Path};

use super::{CommitBuffer, CommitMethod, CommitOptions, OpenDir};
use crate::error::is_storage_full;

/// Writes commit groups to one file at a time and makes them durable.
pub trait CommitBackend: fmt::Debug {
    /// Looks up the files of this directory in its descriptor from then on.
    fn keep_dir_open(&mut self, _dir: OpenDir) {}

    /// Opens another file for commits, with what `options` ask for and its file system supports.
    fn attach(&mut self, path: &Path, options: CommitOptions) -> io::Result<()>;

    /// Returns how commits to the attached file are made durable.
    fn method(&self) -> CommitMethod;

    /// Opens the file that [`switch`](Self::switch) directs commits to, with what `options` ask for and its file system
    /// supports. Replaces one that was prepared before.
    fn prepare(&mut self, path: &Path, options: CommitOptions) -> io::Result<()>;

    /// Directs commits to the prepared file. Makes no system call, so it cannot fail for lack of descriptors. Without a
    /// prepared file, commits fail from then on.
    fn switch(&mut self);

    /// Uses buffered writes with the same descriptor from then on, and syncs each of them with `fdatasync`.
    fn fall_back_to_buffered(&mut self) -> io::Result<()>;

    /// Returns whether writes bypass the page cache: offsets and lengths must then be multiples of
    /// [`BLOCK_BYTES`](super::BLOCK_BYTES).
    fn is_direct(&self) -> bool {
        self.method().direct
    }

    /// Writes the buffer's bytes at `offset` and makes them durable, the file's length included.
    fn commit(&mut self, buffer: &mut CommitBuffer, offset: u64) -> Result<(), CommitError>;

    /// Commits, and calls `overlapped` once while the write is in flight; before the write, if the backend blocks in
    /// it.
    fn commit_overlapped(
        &mut self,
        buffer: &mut CommitBuffer,
        offset: u64,
        overlapped: &mut dyn FnMut(),
    ) -> Result<(), CommitError> {
        overlapped();
        self.commit(buffer, offset)
    }
}

/// Why a commit is not durable.
#[derive(Debug)]
pub enum CommitError {
    /// The disk is full: nothing acknowledged is affected, and a later commit may succeed.
    StorageFull(io::Error),
    /// A call failed before it changed anything, for example for lack of memory: a later commit may succeed.
    NotStarted { action: &'static str, source: io::Error },
    /// A write or a sync failed: the on-disk state is unknown.
    Failed(io::Error),
}

impl CommitError {
    /// Classifies the failure of a write that was not yet followed by a sync.
    pub fn from_write(error: io::Error) -> Self {
        if is_storage_full(&error) { Self::StorageFull(error) } else { Self::Failed(error) }
    }

    pub(crate) fn into_io(self) -> io::Error {
        let (Self::StorageFull(error) | Self::NotStarted { source: error, .. } | Self::Failed(error)) = self;
        error
    }
}
