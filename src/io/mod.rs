//! The boundary between the engine and the operating system.
//!
//! [`FileSystem`] does everything to files and names that is not a commit: opening, recovery, rotation, preallocation.
//! [`CommitBackend`] is the commit path: it belongs to the writer thread and makes one buffer durable at a time. The
//! implementations are chosen once, at open; the rest of the engine does not depend on the choice.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::len_without_is_empty,
    rustdoc::private_intra_doc_links,
    reason = "only the module `internals` exports it"
)]

mod blocking;
mod buffer;
mod commit_backend;
mod commit_file;
mod executor;
#[cfg(test)]
pub(crate) mod fault;
mod file_backend;
mod file_system;
#[cfg(any(test, shuttle, feature = "unstable-internals"))]
mod layer;
mod method;
mod open_dir;
mod os_file;
mod os_file_system;
mod rename;
#[cfg(feature = "tokio-uring")]
mod tokio_uring;
mod uring;

use std::{fmt, io};

use blocking::BlockingBackend;
pub use buffer::CommitBuffer;
pub use commit_backend::{CommitBackend, CommitError};
pub use executor::Executor;
#[cfg(any(test, feature = "testkit"))]
pub(crate) use executor::Task;
pub(crate) use executor::ThreadExecutor;
pub use file_system::{FileHandle, FileId, FileKind, FileSystem, LockFile, OpenMode};
#[cfg(any(test, shuttle, feature = "unstable-internals"))]
pub use layer::FileSystemLayer;
pub use method::{CommitMethod, CommitOptions, SyncKind};
pub use open_dir::OpenDir;
pub(crate) use os_file_system::{OsFileSystem, os_file_system};
pub(crate) use rename::{RenameError, has_id, is_at, rename_to_free_name};
#[cfg(feature = "tokio-uring")]
use tokio_uring::TokioUringBackend;
use uring::UringBackend;
pub(crate) use uring::refusal_hint;

/// The error of a backend that is not compiled in.
#[cfg(not(feature = "tokio-uring"))]
const NO_TOKIO_URING: &str = "built without the feature tokio-uring of ministore-uring";

/// Offset and length of a direct write are multiples of this many bytes, and so is the address of its buffer.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// The system calls that commits use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub enum BackendKind {
    /// io_uring.
    #[serde(rename = "io_uring")]
    Uring,
    /// io_uring through tokio-uring.
    #[serde(rename = "tokio-uring")]
    TokioUring,
    /// Blocking system calls on the writer's own thread.
    #[serde(rename = "blocking")]
    Blocking,
}

impl BackendKind {
    /// Returns the commit path that uses these system calls. Called on the thread that will use it.
    pub(crate) fn commit_backend(self) -> io::Result<Box<dyn CommitBackend>> {
        Ok(match self {
            Self::Uring => Box::new(UringBackend::new()?),
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring => Box::new(TokioUringBackend::new()?),
            #[cfg(not(feature = "tokio-uring"))]
            Self::TokioUring => return Err(io::Error::new(io::ErrorKind::Unsupported, NO_TOKIO_URING)),
            Self::Blocking => Box::new(BlockingBackend::default()),
        })
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "io_uring",
            Self::TokioUring => "tokio-uring",
            Self::Blocking => "blocking",
        })
    }
}
