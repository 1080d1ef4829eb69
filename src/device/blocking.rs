//! The commit path over plain blocking system calls: what runs where io_uring is denied.

use std::{io, os::unix::fs::FileExt, path::Path};

use super::{CommitBuffer, CommitError, Lane, files::CommitFile};

#[derive(Debug, Default)]
pub(crate) struct BlockingLane {
    file: Option<CommitFile>,
}

impl Lane for BlockingLane {
    fn attach(&mut self, path: &Path, direct: bool) -> io::Result<()> {
        self.file = Some(CommitFile::open(path, direct)?);
        Ok(())
    }

    fn is_direct(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.direct)
    }

    fn commit(&mut self, buffer: &mut CommitBuffer, offset: u64) -> Result<(), CommitError> {
        let CommitFile { file, direct } = self.file.as_ref().ok_or_else(not_attached)?;
        file.write_all_at(buffer.bytes(), offset).map_err(CommitError::of_write)?;
        if !direct {
            file.sync_data().map_err(CommitError::Failed)?;
        }
        Ok(())
    }
}

/// The writer attaches a file before it commits.
pub(super) fn not_attached() -> CommitError {
    CommitError::Failed(io::Error::other("no file is attached"))
}
