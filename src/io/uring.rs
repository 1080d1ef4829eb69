//! The commit path over io_uring. The only file that names `io_uring`, and the only one of the library with `unsafe`.
//!
//! The ring belongs to the writer thread and carries one operation at a time. The thread that submits an operation
//! waits for its completion, so a buffer is never touched or dropped while the kernel owns it; if the completion is
//! unknown, the buffer is leaked.

use std::{
    fmt, io, mem,
    os::fd::{AsRawFd, RawFd},
    panic::{self, AssertUnwindSafe},
    path::Path,
    thread,
    time::Duration,
};

use io_uring::{IoUring, Probe, opcode, squeue, types};
use rustix::io::Errno;

use super::{
    CommitBackend, CommitBuffer, CommitError, CommitOptions, SyncKind,
    commit_file::CommitFile,
    file_backend::{CommitFiles, FileBackend},
};

/// A commit is a write and at most one sync, one after the other; a small ring keeps locked memory small.
const RING_ENTRIES: u32 = 8;

/// The most bytes of one write. The kernel writes a little less than 2 GiB at once (`MAX_RW_COUNT`), which is not a
/// multiple of a block; the rest is written by the next write.
const WRITE_BYTES_MAX: usize = 1 << 30;

/// The first and the longest pause while the kernel is short of memory.
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// The [`CommitBackend`] that uses io_uring.
pub(crate) struct UringBackend {
    ring: IoUring,
    files: CommitFiles,
    /// The completion of an operation is unknown: no operation may be started any more.
    broken: bool,
}

impl UringBackend {
    /// Sets up a ring and runs one operation on it. Must be called on the thread that will use it.
    ///
    /// # Errors
    ///
    /// The kernel's error if io_uring is missing or refused.
    pub(crate) fn new() -> io::Result<Self> {
        let ring = match single_issuer_ring() {
            // The kernel is older than Linux 6.1.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => IoUring::new(RING_ENTRIES)?,
            ring => ring?,
        };
        check_operations(&ring)?;
        let mut backend = Self { ring, files: CommitFiles::default(), broken: false };
        backend.run(&opcode::Nop::new().build(), None).map_err(OpError::into_error)?;
        Ok(backend)
    }

    /// Runs one operation to its completion, and `overlapped` once it is submitted.
    fn run(&mut self, entry: &squeue::Entry, overlapped: Option<&mut dyn FnMut()>) -> Result<u32, OpError> {
        if self.broken {
            return Err(OpError::Completed(io::Error::other("an earlier operation on the ring never ended")));
        }
        push(&mut self.ring, entry).map_err(OpError::Completed)?;
        let panicked = overlapped.and_then(|overlapped| {
            // If this submission fails, `wait` submits again.
            let _ = self.ring.submit();
            // A panic must not unwind before the operation has completed.
            panic::catch_unwind(AssertUnwindSafe(overlapped)).err()
        });
        let completion = self.wait();
        if let Some(panicked) = panicked {
            panic::resume_unwind(panicked);
        }
        completion
    }

    /// Waits for the completion of the operation in flight.
    fn wait(&mut self) -> Result<u32, OpError> {
        let mut backoff = Backoff::default();
        loop {
            if let Some(completed) = self.ring.completion().next() {
                let result = completed.result();
                return u32::try_from(result)
                    .map_err(|_| OpError::Completed(io::Error::from_raw_os_error(-result)));
            }
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if is_transient(&error) => thread::sleep(backoff.next_after(&error)),
                Err(error) => {
                    self.broken = true;
                    return Err(OpError::Unknown(error));
                }
            }
        }
    }

    /// Writes some of the bytes from index `written` on. Returns their number.
    fn write(
        &mut self,
        fd: RawFd,
        buffer: &mut CommitBuffer,
        written: usize,
        offset: u64,
        overlapped: Option<&mut dyn FnMut()>,
    ) -> io::Result<usize> {
        let bytes = &buffer.bytes()[written..];
        let len = bytes.len().min(WRITE_BYTES_MAX) as u32;
        let entry = opcode::Write::new(types::Fd(fd), bytes.as_ptr(), len).offset(offset).build();
        self.run(&entry, overlapped).map(|count| count as usize).map_err(|error| {
            if matches!(error, OpError::Unknown(_)) {
                mem::forget(mem::replace(buffer, CommitBuffer::with_capacity(0)));
            }
            error.into_error()
        })
    }

    /// Writes all bytes; returns `false` if a write was short. The contents of the file are then unknown: after a short
    /// write io_uring itself writes the rest, and on FUSE starts at the wrong position of the buffer (Linux 6.18).
    fn write_all(
        &mut self,
        fd: RawFd,
        buffer: &mut CommitBuffer,
        offset: u64,
        mut overlapped: Option<&mut dyn FnMut()>,
    ) -> io::Result<bool> {
        let mut written = 0;
        while written < buffer.len() {
            let wanted = (buffer.len() - written).min(WRITE_BYTES_MAX);
            match self.write(fd, buffer, written, offset + written as u64, overlapped.take()) {
                Ok(count) if count < wanted => return Ok(false),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn sync(&mut self, fd: RawFd) -> io::Result<()> {
        let entry = opcode::Fsync::new(types::Fd(fd)).flags(types::FsyncFlags::DATASYNC).build();
        self.run(&entry, None).map(drop).map_err(OpError::into_error)
    }
}

/// Sets up a ring for one thread, whose completion work runs when that thread waits and does not interrupt other code.
fn single_issuer_ring() -> io::Result<IoUring> {
    IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(RING_ENTRIES)
}

/// Checks that the kernel supports the operations. Linux 5.6 was the first with a probe, and the first with a write
/// that takes no vector.
fn check_operations(ring: &IoUring) -> io::Result<()> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let needed = [opcode::Nop::CODE, opcode::Write::CODE, opcode::Fsync::CODE];
    if needed.iter().all(|&code| probe.is_supported(code)) {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring cannot write or sync here"))
    }
}

/// Submits an operation. The only place where the kernel gets a pointer.
#[expect(unsafe_code, reason = "the ring takes pointers")]
fn push(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<()> {
    // SAFETY: everything that an entry points to lives until the operation has completed. `UringBackend::run` is the
    // only caller: it neither returns nor unwinds before the completion, and if the completion is unknown,
    // `UringBackend::write` leaks the buffer. While the operation runs the backend is borrowed mutably, and so is the
    // buffer. The descriptor belongs to `UringBackend::files`, whose files are replaced only between operations.
    unsafe { ring.submission().push(entry) }.map_err(|_| io::Error::other("the submission queue is full"))
}

/// An operation that failed.
enum OpError {
    /// It has completed, or was never submitted.
    Completed(io::Error),
    /// The kernel may still be working on it.
    Unknown(io::Error),
}

impl OpError {
    fn into_error(self) -> io::Error {
        let (Self::Completed(error) | Self::Unknown(error)) = self;
        error
    }
}

/// Returns whether `io_uring_enter` must be called again. These errors are returned before it has started anything,
/// because of a signal or because the kernel is short of memory.
fn is_transient(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INTR | Errno::AGAIN | Errno::BUSY | Errno::NOMEM))
}

/// The back-off before `io_uring_enter` is called again.
#[derive(Debug, Default)]
struct Backoff(Duration);

impl Backoff {
    /// Returns the next pause: zero after a signal, otherwise twice the last one.
    fn next_after(&mut self, error: &io::Error) -> Duration {
        if error.kind() == io::ErrorKind::Interrupted {
            return Duration::ZERO;
        }
        self.0 = (self.0 * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.0
    }
}

/// Returns the likely cause of a refusal, and what can be done about it.
pub(crate) fn refusal_hint(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::PERM | Errno::ACCESS) => {
            "refused by a seccomp filter (Docker's default profile does) or by the sysctl kernel.io_uring_disabled"
        }
        Some(Errno::NOSYS) => "this kernel was built without io_uring, or a seccomp filter hides it",
        Some(Errno::NOMEM) => "not enough locked memory is allowed: raise RLIMIT_MEMLOCK (ulimit -l)",
        Some(Errno::INVAL) => "this kernel is too old: 5.6 or newer is needed",
        _ => "Backend::Auto falls back to blocking system calls",
    }
}

impl FileBackend for UringBackend {
    type Handle = ();

    fn files(&self) -> &CommitFiles {
        &self.files
    }

    fn files_mut(&mut self) -> &mut CommitFiles {
        &mut self.files
    }

    fn open(&self, path: &Path, options: CommitOptions) -> io::Result<CommitFile> {
        self.files.open(path, options)
    }

    fn make_durable(
        &mut self,
        buffer: &mut CommitBuffer,
        offset: u64,
        overlapped: Option<&mut dyn FnMut()>,
    ) -> Result<(), CommitError> {
        let CommitFile { file, method, .. } = self.files.attached()?;
        let (fd, sync) = (file.as_raw_fd(), method.sync);
        if !self.write_all(fd, buffer, offset, overlapped).map_err(CommitError::from_write)? {
            return self.files.attached()?.write_again(buffer.bytes(), offset);
        }
        match sync {
            SyncKind::Dsync => Ok(()),
            SyncKind::Fdatasync => self.sync(fd).map_err(CommitError::Failed),
        }
    }
}

impl fmt::Debug for UringBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UringBackend").field("method", &self.method()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

    use std::{fs, panic::catch_unwind};

    use super::*;
    use crate::format::group::GroupBuffer;

    #[test]
    fn kernel_memory_shortage_is_retried() {
        for errno in [Errno::AGAIN, Errno::NOMEM, Errno::BUSY] {
            let (error, mut backoff) = (io::Error::from(errno), Backoff::default());
            assert!(is_transient(&error));
            let pauses: Vec<_> = (0..20).map(|_| backoff.next_after(&error)).collect();
            assert_eq!((pauses[0], pauses[1]), (PAUSE_MIN, PAUSE_MIN * 2));
            assert!(pauses.is_sorted() && pauses[19] == PAUSE_MAX, "no busy loop, and no long wait");
        }
        let signal = io::Error::from(Errno::INTR);
        assert!(is_transient(&signal) && Backoff::default().next_after(&signal).is_zero());
        assert!(!is_transient(&Errno::IO.into()) && !is_transient(&Errno::BADF.into()));
    }

    #[test]
    fn panic_in_overlapped_work_completes_the_write() {
        let Ok(mut backend) = UringBackend::new() else {
            eprintln!("SKIPPED: io_uring: refused");
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        backend.attach(&path, CommitOptions::default()).unwrap();
        let mut buffer = CommitBuffer::with_capacity(1 << 20);
        buffer.fill_to(1 << 20, b'x');
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            backend.commit_overlapped(&mut buffer, 0, &mut || panic!("overlapped")).is_ok()
        }));
        assert!(panicked.is_err(), "the panic is propagated");
        assert_eq!(fs::read(&path).unwrap(), buffer.bytes(), "the write completed first");
        let mut calls = 0;
        backend.commit_overlapped(&mut buffer, 1 << 20, &mut || calls += 1).unwrap();
        assert_eq!((calls, fs::metadata(&path).unwrap().len()), (1, 2 << 20), "the backend continues");
    }
}
