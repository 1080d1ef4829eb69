//! What may be handed out: only what is durable. The writing process knows; any other has to see to it itself, for it also
//! reads what the writer has not synced yet.

use std::{io, path::Path, path::PathBuf, sync::Arc};

use rustix::io::Errno;

use crate::{
    MiniStoreError, Result,
    io::{FileHandle, FileSystem},
};

/// How it is known what is durable.
#[derive(Debug)]
pub(super) enum Durability {
    /// The writer has published this number.
    Watermark(u64),
    /// Whoever reads syncs what it reads.
    SyncOnRead { disk: Arc<dyn FileSystem>, dir: PathBuf },
}

impl Durability {
    /// Nothing above this number is handed out.
    pub(super) fn up_to(&self) -> u64 {
        match self {
            Self::Watermark(seq) => *seq,
            Self::SyncOnRead { .. } => u64::MAX,
        }
    }

    pub(super) fn is_bounded(&self) -> bool {
        matches!(self, Self::Watermark(_))
    }

    /// Syncs what was read of a file, and, the first time, its name.
    pub(super) fn ensure(&self, file: &dyn FileHandle, path: &Path, first: bool) -> Result<()> {
        let Self::SyncOnRead { disk, dir } = self else { return Ok(()) };
        match file.sync_data() {
            // Nothing that cannot be written to has anything to sync.
            Err(error) if is_unwritable(&error) => {}
            synced => synced.map_err(MiniStoreError::file(path, "sync"))?,
        }
        if first {
            match disk.sync_dir(dir) {
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
