//! The commit path over io_uring. The only file that names `tokio_uring` and `io_uring`.
//!
//! The ring lives on the writer thread and carries one commit at a time; every operation is awaited to its end,
//! so that a buffer is never dropped under the kernel's hands. `tokio_uring::start` would panic where
//! io_uring is refused; building the runtime answers with an error instead.

use std::{fmt, io, path::Path};

use tokio_uring::{Runtime, buf::BoundedBuf, fs::File};

use super::{CommitBuffer, CommitError, Lane, blocking::not_attached, files::CommitFile};

/// One commit is a write and perhaps a sync; a small ring keeps locked memory small.
const RING_ENTRIES: u32 = 8;

pub(crate) struct UringLane {
    // Before the runtime, so that it is dropped while its ring still stands.
    file: Option<(File, bool)>,
    runtime: Runtime,
}

impl UringLane {
    /// Sets up a ring and sends one operation through it.
    ///
    /// # Errors
    ///
    /// What the kernel says where io_uring is missing or refused.
    pub(crate) fn new() -> io::Result<Self> {
        // tokio-uring leaks its runtime, three descriptors with it, where the kernel refuses the ring: ask first.
        drop(io_uring::IoUring::new(RING_ENTRIES)?);
        let mut builder = tokio_uring::builder();
        builder.entries(RING_ENTRIES);
        let runtime = Runtime::new(&builder)?;
        runtime.block_on(tokio_uring::no_op())?;
        Ok(Self { file: None, runtime })
    }
}

/// The likely cause of a refusal, and what can be done about it.
pub(crate) fn refusal_hint(error: &io::Error) -> &'static str {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::PERM | Errno::ACCESS) => {
            "refused by a seccomp filter (Docker's default profile does) or by the sysctl kernel.io_uring_disabled"
        }
        Some(Errno::NOSYS) => "this kernel was built without io_uring, or a seccomp filter hides it",
        Some(Errno::NOMEM) => "not enough locked memory is allowed: raise RLIMIT_MEMLOCK (ulimit -l)",
        Some(Errno::INVAL) => "this kernel is too old: 5.11 or newer is needed",
        _ => "Backend::Auto falls back to blocking system calls",
    }
}

impl Lane for UringLane {
    fn attach(&mut self, path: &Path, direct: bool) -> io::Result<()> {
        let CommitFile { file, direct } = CommitFile::open(path, direct)?;
        let file = File::from_std(file);
        if let Some((old, _)) = self.file.replace((file, direct)) {
            // Inside the runtime: a file closes through the ring.
            self.runtime.block_on(async { drop(old) });
        }
        Ok(())
    }

    fn is_direct(&self) -> bool {
        self.file.as_ref().is_some_and(|(_, direct)| *direct)
    }

    fn commit(&mut self, buffer: &mut CommitBuffer, offset: u64) -> Result<(), CommitError> {
        let (file, direct) = self.file.as_ref().ok_or_else(not_attached)?;
        let (storage, start) = buffer.take();
        let (result, storage) = self.runtime.block_on(async {
            let (written, slice) = file.write_all_at(storage.slice(start..), offset).await;
            let result = match written {
                Err(error) => Err(CommitError::of_write(error)),
                Ok(()) if *direct => Ok(()),
                Ok(()) => file.sync_data().await.map_err(CommitError::Failed),
            };
            (result, slice.into_inner())
        });
        buffer.put_back(storage);
        result
    }
}

impl fmt::Debug for UringLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UringLane").field("direct", &self.is_direct()).finish_non_exhaustive()
    }
}
