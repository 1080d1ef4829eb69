//! The files of a commit path, handled alike by every backend: the one that commits go to, and the one prepared for later.

use std::{fmt, io, path::Path};

use super::{
    CommitBackend, CommitBuffer, CommitError, CommitMethod, CommitOptions, HeldDir, files::CommitFile,
};

#[derive(Debug, Default)]
pub(crate) struct CommitFiles {
    /// Where files are looked up.
    dir: HeldDir,
    attached: Option<CommitFile>,
    /// Opened for later.
    next: Option<CommitFile>,
}

impl CommitFiles {
    /// Returns the file that commits go to. The writer attaches one before it commits.
    pub(super) fn attached(&self) -> Result<&CommitFile, CommitError> {
        self.attached.as_ref().ok_or_else(|| CommitError::Failed(io::Error::other("no file is attached")))
    }
}

/// A commit path to files of the operating system: a [`CommitBackend`] that says only how bytes are written and synced.
pub(crate) trait FileBackend: fmt::Debug {
    fn files(&self) -> &CommitFiles;

    fn files_mut(&mut self) -> &mut CommitFiles;

    /// Writes the buffer's bytes at `offset` of the attached file and makes them durable. Calls `meanwhile` once.
    fn make_durable(
        &mut self,
        buffer: &mut CommitBuffer,
        offset: u64,
        meanwhile: Option<&mut dyn FnMut()>,
    ) -> Result<(), CommitError>;
}

impl<L: FileBackend> CommitBackend for L {
    fn hold_dir(&mut self, dir: HeldDir) {
        self.files_mut().dir = dir;
    }

    fn attach(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        let files = self.files_mut();
        files.attached = Some(CommitFile::open(&files.dir, path, options)?);
        Ok(())
    }

    fn method(&self) -> CommitMethod {
        self.files().attached.as_ref().map_or(CommitMethod::BUFFERED, |file| file.method)
    }

    fn prepare(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        let files = self.files_mut();
        files.next = None;
        files.next = Some(CommitFile::open(&files.dir, path, options)?);
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
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), CommitError> {
        self.make_durable(buffer, offset, Some(meanwhile))
    }
}
