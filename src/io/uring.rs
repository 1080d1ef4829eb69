//! The commit path over io_uring. The only file that names `io_uring`, and the only one of the library with `unsafe`.
//!
//! The ring lives on the writer thread and carries one operation at a time. Whoever begins one waits for its end, so
//! that a buffer is never touched or dropped under the kernel's hands; where the kernel will not tell of the end, the
//! buffer is leaked.

use std::{
    fmt, io, mem,
    os::fd::{AsRawFd, RawFd},
    panic::{self, AssertUnwindSafe},
    thread,
    time::Duration,
};

use io_uring::{IoUring, Probe, opcode, squeue, types};
use rustix::io::Errno;

use super::{
    CommitBackend, CommitBuffer, CommitError, SyncKind,
    commit_files::{CommitFiles, FileBackend},
    files::CommitFile,
};

/// One commit is a write and perhaps a sync, one after the other; a small ring keeps locked memory small.
const RING_ENTRIES: u32 = 8;

/// A single write takes no more: the largest multiple of a block that the kernel writes at once is a little less than
/// 2 GiB (`MAX_RW_COUNT`), and what is left is written next.
const WRITE_BYTES_MAX: usize = 1 << 30;

/// The first pause while the kernel is short of memory, and the longest.
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(50);

pub(crate) struct UringBackend {
    ring: IoUring,
    files: CommitFiles,
    /// An operation never came to its end: nothing is to be begun any more.
    broken: bool,
}

impl UringBackend {
    /// Sets up a ring and sends one operation through it. To be called on the thread that will use it.
    ///
    /// # Errors
    ///
    /// What the kernel says where io_uring is missing or refused.
    pub(crate) fn new() -> io::Result<Self> {
        let ring = match single_issuer_ring() {
            // Older than Linux 6.1.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => IoUring::new(RING_ENTRIES)?,
            ring => ring?,
        };
        check_operations(&ring)?;
        let mut commit_backend = Self { ring, files: CommitFiles::default(), broken: false };
        commit_backend.run(&opcode::Nop::new().build(), None).map_err(OpError::into_error)?;
        Ok(commit_backend)
    }

    /// Runs one operation to its end, and `meanwhile` as soon as it is under way.
    fn run(&mut self, entry: &squeue::Entry, meanwhile: Option<&mut dyn FnMut()>) -> Result<u32, OpError> {
        if self.broken {
            return Err(OpError::Completed(io::Error::other("an earlier operation on the ring never ended")));
        }
        push(&mut self.ring, entry).map_err(OpError::Completed)?;
        let panicked = meanwhile.and_then(|meanwhile| {
            // Where the kernel does not take it now, it does when it is waited for.
            let _ = self.ring.submit();
            // The operation has to end before anything else does.
            panic::catch_unwind(AssertUnwindSafe(meanwhile)).err()
        });
        let ended = self.wait();
        if let Some(panicked) = panicked {
            panic::resume_unwind(panicked);
        }
        ended
    }

    /// Waits for the one operation that is under way.
    fn wait(&mut self) -> Result<u32, OpError> {
        let mut pause = Pause::default();
        loop {
            if let Some(completed) = self.ring.completion().next() {
                let result = completed.result();
                return u32::try_from(result)
                    .map_err(|_| OpError::Completed(io::Error::from_raw_os_error(-result)));
            }
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if is_transient(&error) => thread::sleep(pause.after(&error)),
                Err(error) => {
                    self.broken = true;
                    return Err(OpError::Unknown(error));
                }
            }
        }
    }

    /// Writes some of the bytes from `written` on.
    fn write(
        &mut self,
        fd: RawFd,
        buffer: &mut CommitBuffer,
        written: usize,
        offset: u64,
        meanwhile: Option<&mut dyn FnMut()>,
    ) -> io::Result<usize> {
        let bytes = &buffer.bytes()[written..];
        let len = bytes.len().min(WRITE_BYTES_MAX) as u32;
        let entry = opcode::Write::new(types::Fd(fd), bytes.as_ptr(), len).offset(offset).build();
        self.run(&entry, meanwhile).map(|count| count as usize).map_err(|lost| {
            if matches!(lost, OpError::Unknown(_)) {
                mem::forget(mem::replace(buffer, CommitBuffer::with_capacity(0)));
            }
            lost.into_error()
        })
    }

    /// Writes all bytes; returns `false` where a write was short. What the file holds then is not known: after a short
    /// write the ring writes the rest by itself, and on FUSE begins too far on in the buffer (Linux 6.18).
    fn write_all(
        &mut self,
        fd: RawFd,
        buffer: &mut CommitBuffer,
        offset: u64,
        mut meanwhile: Option<&mut dyn FnMut()>,
    ) -> io::Result<bool> {
        let mut written = 0;
        while written < buffer.len() {
            let wanted = (buffer.len() - written).min(WRITE_BYTES_MAX);
            match self.write(fd, buffer, written, offset + written as u64, meanwhile.take()) {
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

/// A ring that asks little of the kernel: it does the work of completions when it is waited for, not in an interrupt of
/// whatever runs, and knows that one thread uses it.
fn single_issuer_ring() -> io::Result<IoUring> {
    IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(RING_ENTRIES)
}

/// Linux 5.6 was the first that could say what it can do, and the first that could write without a vector.
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

/// The one place where memory is handed to the kernel.
#[expect(unsafe_code, reason = "the ring takes pointers")]
fn push(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<()> {
    // SAFETY: whatever an entry points to lives until the operation has ended. `UringBackend::run` is the only caller: it
    // neither returns nor unwinds before the kernel says that the operation has ended, and where the kernel does not say
    // so, `UringBackend::write` leaks the buffer. While it runs the lane is borrowed mutably, and so is the buffer. The
    // descriptor belongs to `UringBackend::files`, whose files are replaced only between operations.
    unsafe { ring.submission().push(entry) }.map_err(|_| io::Error::other("the submission queue is full"))
}

/// An operation that failed.
enum OpError {
    /// It has ended, or never began.
    Completed(io::Error),
    /// The kernel may still be at it.
    Unknown(io::Error),
}

impl OpError {
    fn into_error(self) -> io::Error {
        let (Self::Completed(error) | Self::Unknown(error)) = self;
        error
    }
}

/// Whether `io_uring_enter` is to be called again. It fails so before it has begun anything: a signal came, or the
/// kernel is short of memory.
fn is_transient(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INTR | Errno::AGAIN | Errno::BUSY | Errno::NOMEM))
}

/// How long to wait before `io_uring_enter` is called again.
#[derive(Debug, Default)]
struct Pause(Duration);

impl Pause {
    /// Nothing after a signal; else twice as long as the last time.
    fn after(&mut self, error: &io::Error) -> Duration {
        if error.kind() == io::ErrorKind::Interrupted {
            return Duration::ZERO;
        }
        self.0 = (self.0 * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.0
    }
}

/// The likely cause of a refusal, and what can be done about it.
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
    fn files(&self) -> &CommitFiles {
        &self.files
    }

    fn files_mut(&mut self) -> &mut CommitFiles {
        &mut self.files
    }

    fn make_durable(
        &mut self,
        buffer: &mut CommitBuffer,
        offset: u64,
        meanwhile: Option<&mut dyn FnMut()>,
    ) -> Result<(), CommitError> {
        let CommitFile { file, method } = self.files.attached()?;
        let (fd, sync) = (file.as_raw_fd(), method.sync);
        if !self.write_all(fd, buffer, offset, meanwhile).map_err(CommitError::of_write)? {
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
        f.debug_struct("UringLane").field("method", &self.method()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

    use std::{fs, panic::catch_unwind};

    use super::{super::CommitOptions, *};

    #[test]
    fn memory_shortage_in_the_kernel_is_waited_out() {
        for errno in [Errno::AGAIN, Errno::NOMEM, Errno::BUSY] {
            let (error, mut pause) = (io::Error::from(errno), Pause::default());
            assert!(is_transient(&error));
            let pauses: Vec<_> = (0..20).map(|_| pause.after(&error)).collect();
            assert_eq!((pauses[0], pauses[1]), (PAUSE_MIN, PAUSE_MIN * 2));
            assert!(pauses.is_sorted() && pauses[19] == PAUSE_MAX, "no busy loop, and no long wait");
        }
        let signal = io::Error::from(Errno::INTR);
        assert!(is_transient(&signal) && Pause::default().after(&signal).is_zero());
        assert!(!is_transient(&Errno::IO.into()) && !is_transient(&Errno::BADF.into()));
    }

    #[test]
    fn what_is_done_meanwhile_may_panic_and_the_write_is_whole() {
        let Ok(mut commit_backend) = UringBackend::new() else {
            eprintln!("SKIPPED: io_uring: refused");
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        commit_backend.attach(&path, CommitOptions::default()).unwrap();
        let mut buffer = CommitBuffer::with_capacity(1 << 20);
        buffer.fill_to(1 << 20, b'x');
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            commit_backend.commit_overlapped(&mut buffer, 0, &mut || panic!("meanwhile")).is_ok()
        }));
        assert!(panicked.is_err(), "the panic is handed on");
        assert_eq!(fs::read(&path).unwrap(), buffer.bytes(), "the write ended first");
        let mut calls = 0;
        commit_backend.commit_overlapped(&mut buffer, 1 << 20, &mut || calls += 1).unwrap();
        assert_eq!((calls, fs::metadata(&path).unwrap().len()), (1, 2 << 20), "the lane goes on");
    }
}
