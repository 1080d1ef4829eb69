//! The commit path over plain blocking system calls: what runs where io_uring is denied.

use std::{io, os::unix::fs::FileExt, path::Path};

use super::{
    CommitBuffer, CommitError, CommitMethod, CommitOptions, HeldDir, Lane, SyncKind, files::CommitFile,
};

#[derive(Debug, Default)]
pub(crate) struct BlockingLane {
    file: Option<CommitFile>,
    /// Where files are looked up.
    dir: HeldDir,
    /// Opened for later.
    next: Option<CommitFile>,
}

impl Lane for BlockingLane {
    fn hold_dir(&mut self, dir: HeldDir) {
        self.dir = dir;
    }

    fn attach(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        self.file = Some(CommitFile::open(&self.dir, path, options)?);
        Ok(())
    }

    fn method(&self) -> CommitMethod {
        self.file.as_ref().map_or(CommitMethod::BUFFERED, |file| file.method)
    }

    fn prepare(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        self.next = None;
        self.next = Some(CommitFile::open(&self.dir, path, options)?);
        Ok(())
    }

    fn switch(&mut self) {
        self.file = self.next.take();
    }

    fn leave_direct(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), CommitFile::leave_direct)
    }

    fn commit(&mut self, buffer: &mut CommitBuffer, offset: u64) -> Result<(), CommitError> {
        let commit_file = self.file.as_ref().ok_or_else(not_attached)?;
        let (file, bytes) = (&commit_file.file, buffer.bytes());
        let written = loop {
            match file.write_at(bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written.map_err(CommitError::of_write)?,
            }
        };
        if written < bytes.len() {
            return commit_file.write_again(bytes, offset);
        }
        match commit_file.method.sync {
            SyncKind::Dsync => Ok(()),
            SyncKind::Fdatasync => file.sync_data().map_err(CommitError::Failed),
        }
    }
}

/// The writer attaches a file before it commits.
pub(super) fn not_attached() -> CommitError {
    CommitError::Failed(io::Error::other("no file is attached"))
}
