//! [`FileBackend`]: the part of a [`CommitBackend`] that differs between system calls. The handling of its files is
//! shared: the one that commits go to, and the one prepared for the next segment.

use std::{fmt, io, path::Path};

use super::{
    CommitBackend, CommitBuffer, CommitError, CommitMethod, CommitOptions, OpenDir, commit_file::CommitFile,
};

/// The open files of a backend.
#[derive(Debug)]
pub(crate) struct CommitFiles<H = ()> {
    /// The directory in which files are looked up.
    dir: OpenDir,
    /// The file that commits go to.
    attached: Option<CommitFile<H>>,
    /// The file that [`CommitBackend::switch`] directs commits to.
    next: Option<CommitFile<H>>,
}

impl<H> Default for CommitFiles<H> {
    fn default() -> Self {
        Self { dir: OpenDir::default(), attached: None, next: None }
    }
}

impl<H> CommitFiles<H> {
    /// Opens a file with the flags that the options ask for and its file system supports.
    pub(super) fn open(&self, path: &Path, options: CommitOptions) -> io::Result<CommitFile> {
        CommitFile::open(&self.dir, path, options)
    }

    /// Returns the file that commits go to. The writer attaches one before it commits.
    pub(super) fn attached(&self) -> Result<&CommitFile<H>, CommitError> {
        self.attached.as_ref().ok_or_else(|| CommitError::Failed(io::Error::other("no file is attached")))
    }
}

/// A [`CommitBackend`] for files of the operating system. Implements only how files are opened, and how bytes are
/// written and synced.
pub(crate) trait FileBackend: fmt::Debug {
    /// The backend's own handle of an open file; `()` if it uses the file itself.
    type Handle;

    fn files(&self) -> &CommitFiles<Self::Handle>;

    fn files_mut(&mut self) -> &mut CommitFiles<Self::Handle>;

    /// Opens a file for commits.
    fn open(&self, path: &Path, options: CommitOptions) -> io::Result<CommitFile<Self::Handle>>;

    /// Writes the buffer's bytes at `offset` of the attached file and makes them durable. Calls `overlapped` once.
    fn make_durable(
        &mut self,
        buffer: &mut CommitBuffer,
        offset: u64,
        overlapped: Option<&mut dyn FnMut()>,
    ) -> Result<(), CommitError>;
}

impl<B: FileBackend> CommitBackend for B {
    fn keep_dir_open(&mut self, dir: OpenDir) {
        self.files_mut().dir = dir;
    }

    fn attach(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        self.files_mut().attached = Some(self.open(path, options)?);
        Ok(())
    }

    fn method(&self) -> CommitMethod {
        self.files().attached.as_ref().map_or(CommitMethod::BUFFERED, |file| file.method)
    }

    fn prepare(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        self.files_mut().next = None;
        self.files_mut().next = Some(self.open(path, options)?);
        Ok(())
    }

    fn switch(&mut self) {
        let files = self.files_mut();
        files.attached = files.next.take();
    }

    fn fall_back_to_buffered(&mut self) -> io::Result<()> {
        self.files_mut().attached.as_mut().map_or(Ok(()), CommitFile::fall_back_to_buffered)
    }

    fn commit(&mut self, buffer: &mut CommitBuffer, offset: u64) -> Result<(), CommitError> {
        self.make_durable(buffer, offset, None)
    }

    fn commit_overlapped(
        &mut self,
        buffer: &mut CommitBuffer,
        offset: u64,
        overlapped: &mut dyn FnMut(),
    ) -> Result<(), CommitError> {
        self.make_durable(buffer, offset, Some(overlapped))
    }
}
