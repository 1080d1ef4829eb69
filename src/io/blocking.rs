//! Commits with blocking system calls on the writer thread.

use std::{io, os::unix::fs::FileExt, path::Path};

use super::{
    CommitBuffer, CommitError, CommitOptions, SyncKind,
    commit_file::CommitFile,
    file_backend::{CommitFiles, FileBackend},
};

/// The [`CommitBackend`](super::CommitBackend) that blocks in each write and sync.
#[derive(Debug, Default)]
pub(crate) struct BlockingBackend {
    files: CommitFiles,
}

impl FileBackend for BlockingBackend {
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
        if let Some(overlapped) = overlapped {
            overlapped();
        }
        let commit_file = self.files.attached()?;
        let (file, bytes) = (&commit_file.file, buffer.bytes());
        let written = loop {
            match file.write_at(bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written.map_err(CommitError::from_write)?,
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
