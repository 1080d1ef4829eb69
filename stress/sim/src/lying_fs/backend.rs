//! The commit path of a disk that lies.

use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Mutex},
};

use ministore_uring::{
    SyncKind,
    internals::{
        CommitBackend, CommitBuffer, CommitError, CommitMethod, CommitOptions, FileHandle, FileSystem,
        OpenMode,
    },
};

use super::{Lie, lock};

/// The commit path of a disk that lies. Where it lies about a commit, it writes through the page cache.
pub(super) struct LyingBackend {
    inner: Box<dyn CommitBackend>,
    fs: Arc<dyn FileSystem>,
    lie: Lie,
    file: Option<Arc<dyn FileHandle>>,
    next: Option<Arc<dyn FileHandle>>,
    /// A commit that was acknowledged and not written.
    unwritten: Option<(Arc<dyn FileHandle>, Vec<u8>, u64)>,
    has_committed: Arc<Mutex<bool>>,
}

impl LyingBackend {
    pub(super) fn new(
        fs: &Arc<dyn FileSystem>,
        lie: Lie,
        has_committed: Arc<Mutex<bool>>,
    ) -> io::Result<Self> {
        let (inner, fs) = (fs.commit_backend()?, Arc::clone(fs));
        Ok(Self { inner, fs, lie, file: None, next: None, unwritten: None, has_committed })
    }

    fn options(&self, options: CommitOptions) -> CommitOptions {
        CommitOptions {
            trust_file_system: options.trust_file_system || self.lie == Lie::DsyncHonored,
            ..options
        }
    }

    fn commit_falsely(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        match self.lie {
            Lie::Written => match self.unwritten.replace((Arc::clone(file), bytes.to_vec(), offset)) {
                Some((file, bytes, offset)) => file.write_at(&bytes, offset).and_then(|()| file.sync()),
                None => Ok(()),
            },
            Lie::FailedSync => {
                file.write_at(bytes, offset).and_then(|()| file.sync().or_else(|_| file.sync()))
            }
            _ => file.write_at(bytes, offset),
        }
    }
}

impl CommitBackend for LyingBackend {
    fn attach(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        self.inner.attach(path, self.options(options))?;
        self.file = Some(self.fs.open(path, OpenMode::ReadWrite)?);
        Ok(())
    }

    fn method(&self) -> CommitMethod {
        self.inner.method()
    }

    fn prepare(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        self.inner.prepare(path, self.options(options))?;
        self.next = Some(self.fs.open(path, OpenMode::ReadWrite)?);
        Ok(())
    }

    fn switch(&mut self) {
        self.inner.switch();
        self.file = self.next.take();
    }

    fn fall_back_to_buffered(&mut self) -> io::Result<()> {
        self.inner.fall_back_to_buffered()
    }

    fn commit(&mut self, buffer: &mut CommitBuffer, offset: u64) -> Result<(), CommitError> {
        *lock(&self.has_committed) = true;
        let CommitMethod { direct, sync, .. } = self.method();
        let is_synced = sync == SyncKind::Fdatasync;
        let lies = match self.lie {
            Lie::SyncOfCachedCommits => is_synced && !direct,
            Lie::SyncOfDirectCommits => is_synced && direct,
            Lie::FailedSync => is_synced,
            Lie::Written => true,
            _ => false,
        };
        if lies {
            return self.commit_falsely(buffer.bytes(), offset).map_err(CommitError::from_write);
        }
        self.inner.commit(buffer, offset)
    }
}

impl fmt::Debug for LyingBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LyingBackend").field("lie", &self.lie).finish_non_exhaustive()
    }
}
