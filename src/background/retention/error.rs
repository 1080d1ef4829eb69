//! Why deleting segments ended early.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{MiniStoreError, error::clone_io_error};

#[derive(Debug)]
pub(super) enum RetentionError {
    /// The deletion is tried again at the next rotation or request.
    Retryable(OsError),
    /// A sync failed: it is unknown what is durable.
    Fatal(io::Error),
}

/// An error of the operating system, with the file and the action that failed.
#[derive(Debug)]
pub(super) struct OsError {
    path: PathBuf,
    action: &'static str,
    pub(super) source: io::Error,
}

impl OsError {
    pub(super) fn warn(&self) {
        let Self { path, action, source } = self;
        tracing::warn!(path = %path.display(), action, error = %source, "could not delete old segments");
    }

    pub(super) fn to_error(&self) -> MiniStoreError {
        MiniStoreError::file(&self.path, self.action)(clone_io_error(&self.source))
    }
}

pub(super) fn retryable(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> RetentionError {
    let path = path.to_path_buf();
    move |source| RetentionError::Retryable(OsError { path, action, source })
}

/// Returns the I/O error of an error, or one that wraps it.
pub(super) fn into_io(error: MiniStoreError) -> io::Error {
    match error {
        MiniStoreError::Io { source } => source,
        MiniStoreError::StorageFull { source, .. } => clone_io_error(&source),
        other => io::Error::other(other),
    }
}
