//! Commits over io_uring through the runtime of the crate tokio-uring, without `unsafe`. The only file that names the
//! crate.
//!
//! The runtime belongs to the writer thread, which creates, runs and drops it. A buffer is moved into its write and
//! back. If the crate panics during one, the crate keeps the buffer until the kernel has completed the write.

use std::{
    fmt, io, mem,
    panic::{self, AssertUnwindSafe},
    path::Path,
    pin::pin,
    time::Duration,
};

use tokio_uring::{
    Runtime,
    buf::{BoundedBuf, Slice},
    fs::File,
};

use super::{
    CommitBackend, CommitBuffer, CommitError, CommitOptions, UringBackend,
    commit_file::CommitFile,
    file_backend::{CommitFiles, FileBackend},
};
use crate::options::SyncMode;

/// One operation is in flight at a time; a small ring keeps locked memory small.
const RING_ENTRIES: u32 = 8;

/// The crate discards the errors of `io_uring_enter`, which the kernel returns while it is short of memory. It submits
/// again before its thread waits again, so no wait is longer than this.
const RESUBMIT_INTERVAL: Duration = Duration::from_millis(50);

/// The [`CommitBackend`] that uses tokio-uring: one `write_at` and one `sync_data` for each group.
pub(crate) struct TokioUringBackend {
    // The first field: the files are closed before the runtime ends.
    files: CommitFiles<File>,
    runtime: Runtime,
    /// The crate has panicked: its state is unknown.
    panicked: bool,
}

impl TokioUringBackend {
    /// Creates the runtime. Must be called on the thread that will use it.
    ///
    /// # Errors
    ///
    /// The kernel's error if io_uring is missing or refused.
    pub(crate) fn new() -> io::Result<Self> {
        // If `Runtime::new` gets no ring, it leaks the descriptors of the tokio runtime below it. Both are tried first.
        let ring = UringBackend::new()?;
        let below = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        drop((ring, below));
        let runtime = catch_panic(|| Runtime::new(tokio_uring::builder().entries(RING_ENTRIES)))??;
        Ok(Self { files: CommitFiles::default(), runtime, panicked: false })
    }
}

/// Writes all bytes and syncs them; returns `false` if the write was short. Also returns the storage of the bytes.
async fn write_and_sync(
    file: &File,
    mut bytes: Slice<Vec<u8>>,
    offset: u64,
) -> (Result<bool, CommitError>, Vec<u8>) {
    let wanted = bytes.len();
    let written = loop {
        let (written, returned) = complete(file.write_at(bytes, offset).submit()).await;
        bytes = returned;
        match written {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => break written,
        }
    };
    let durable = match written {
        Ok(count) if count < wanted => Ok(false),
        Ok(_) => complete(pin!(file.sync_data())).await.map(|()| true).map_err(CommitError::Failed),
        Err(error) => Err(CommitError::from_write(error)),
    };
    (durable, bytes.into_inner())
}

/// Waits for an operation, and submits it again if the kernel did not accept it.
async fn complete<F: Future + Unpin>(mut operation: F) -> F::Output {
    loop {
        if let Ok(output) = tokio::time::timeout(RESUBMIT_INTERVAL, &mut operation).await {
            return output;
        }
    }
}

/// Runs code of the crate, which panics on internal errors.
fn catch_panic<T>(run: impl FnOnce() -> T) -> io::Result<T> {
    panic::catch_unwind(AssertUnwindSafe(run)).map_err(|_| io::Error::other("tokio-uring panicked"))
}

impl FileBackend for TokioUringBackend {
    /// A duplicate of the descriptor: a file of the crate cannot be converted back without `unsafe`.
    type Handle = File;

    fn files(&self) -> &CommitFiles<File> {
        &self.files
    }

    fn files_mut(&mut self) -> &mut CommitFiles<File> {
        &mut self.files
    }

    fn open(&self, path: &Path, options: CommitOptions) -> io::Result<CommitFile<File>> {
        let options = CommitOptions { sync: SyncMode::Fdatasync, ..options };
        let CommitFile { file, method, .. } = self.files.open(path, options)?;
        let handle = File::from_std(file.try_clone()?);
        Ok(CommitFile { file, method, handle })
    }

    fn make_durable(
        &mut self,
        buffer: &mut CommitBuffer,
        offset: u64,
        overlapped: Option<&mut dyn FnMut()>,
    ) -> Result<(), CommitError> {
        // The crate submits a write only when its thread waits, so nothing can run during the write.
        if let Some(overlapped) = overlapped {
            overlapped();
        }
        if self.panicked {
            return Err(CommitError::Failed(io::Error::other("tokio-uring panicked in an earlier commit")));
        }
        let commit_file = self.files.attached()?;
        let (storage, start) = mem::take(buffer).into_storage();
        // The bytes stay aligned: they begin at the same address.
        let group = write_and_sync(&commit_file.handle, storage.slice(start..), offset);
        let (durable, storage) = catch_panic(|| self.runtime.block_on(group)).map_err(|panic| {
            self.panicked = true;
            CommitError::Failed(panic)
        })?;
        *buffer = CommitBuffer::from_storage(storage, start);
        if durable? { Ok(()) } else { commit_file.write_again(buffer.bytes(), offset) }
    }
}

impl fmt::Debug for TokioUringBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokioUringBackend").field("method", &self.method()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::format::group::GroupBuffer;

    /// Returns a backend with an empty file, and a buffer of two blocks; `None` if the kernel refuses io_uring.
    fn attached() -> Option<(TokioUringBackend, TempDir, CommitBuffer)> {
        let Ok(mut backend) = TokioUringBackend::new() else {
            eprintln!("SKIPPED: io_uring: refused");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        backend.attach(&path, CommitOptions { direct: true, ..CommitOptions::default() }).unwrap();
        let mut buffer = CommitBuffer::with_capacity(10);
        buffer.fill_to(8192, b'x');
        Some((backend, dir, buffer))
    }

    #[test]
    fn buffer_is_returned_at_the_same_address() {
        let Some((mut backend, dir, mut buffer)) = attached() else { return };
        let address = buffer.bytes().as_ptr();
        for offset in [0, 8192] {
            backend.commit(&mut buffer, offset).unwrap();
            assert_eq!((buffer.bytes().as_ptr(), buffer.bytes()), (address, &[b'x'; 8192][..]));
        }
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), [b'x'; 16384]);
    }

    #[test]
    fn panic_in_the_crate_fails_the_commits() {
        let Some((mut backend, dir, mut buffer)) = attached() else { return };
        let outer = Runtime::new(tokio_uring::builder().entries(RING_ENTRIES)).unwrap();
        // The crate panics because the thread already runs a runtime.
        let failed = outer.block_on(async { backend.commit(&mut buffer, 0) });
        let Err(CommitError::Failed(error)) = failed else { panic!("{failed:?}") };
        assert_eq!(error.to_string(), "tokio-uring panicked");
        assert!(buffer.bytes().is_empty(), "the buffer is not used again");
        buffer.fill_to(4096, b'y');
        let failed = backend.commit(&mut buffer, 0);
        assert!(matches!(failed, Err(CommitError::Failed(_))), "{failed:?}");
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"", "nothing is written any more");
    }
}
