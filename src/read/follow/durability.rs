//! A follower yields only durable records. In the writing process it reads up to the writer's watermark. In any other
//! process it may read records that the writer has not synced yet, so it syncs what it reads.

use std::{io, path::Path, path::PathBuf, sync::Arc};

use rustix::io::Errno;

use crate::{
    MiniStoreError, Result,
    io::{FileHandle, FileSystem},
};

/// How a follower ensures that a record is durable.
#[derive(Debug)]
pub(super) enum Durability {
    /// The writer published this sequence number: records up to it are durable.
    Watermark(u64),
    /// The follower syncs the files that it reads.
    SyncOnRead { fs: Arc<dyn FileSystem>, dir: PathBuf },
}

impl Durability {
    /// Returns the highest sequence number that may be yielded.
    pub(super) fn up_to(&self) -> u64 {
        match self {
            Self::Watermark(seq) => *seq,
            Self::SyncOnRead { .. } => u64::MAX,
        }
    }

    pub(super) fn is_bounded(&self) -> bool {
        matches!(self, Self::Watermark(_))
    }

    /// Syncs a file that was read and, if `sync_dir` is set, its directory entry.
    pub(super) fn ensure(&self, file: &dyn FileHandle, path: &Path, sync_dir: bool) -> Result<()> {
        let Self::SyncOnRead { fs, dir } = self else { return Ok(()) };
        match file.sync_data() {
            // A file system that is not writable has nothing to sync.
            Err(error) if is_unwritable(&error) => {}
            synced => synced.map_err(MiniStoreError::file(path, "sync"))?,
        }
        if sync_dir {
            match fs.sync_dir(dir) {
                Err(error) if is_unwritable(&error) => {}
                synced => synced.map_err(MiniStoreError::file(dir, "sync the directory"))?,
            }
        }
        Ok(())
    }
}

fn is_unwritable(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::ROFS))
}
