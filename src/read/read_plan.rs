//! The records that an iterator or a stream will read, before it opens a file.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{journal_reader::JournalReader, lookup::Index};
use crate::{MiniStoreError, Result, io::FileSystem};

/// Selects the records of a journal that an iterator or a stream reads.
#[derive(Debug, Clone)]
pub(crate) enum ReadPlan {
    /// All records that exist, from a sequence number on.
    Journal { fs: Arc<dyn FileSystem>, path: PathBuf, from_seq: u64 },
    /// The request is invalid: opening fails with the reason.
    Invalid { path: PathBuf, reason: String },
    /// The records in this range. The first one must exist, unless the range starts at 0.
    Range { index: Arc<Index>, wanted: Range<u64> },
}

impl ReadPlan {
    pub(super) fn open(&self) -> Result<JournalReader> {
        match self {
            Self::Journal { fs, path, from_seq } => {
                JournalReader::of_journal(Arc::clone(fs), path, *from_seq)
            }
            Self::Invalid { reason, .. } => Err(MiniStoreError::InvalidArgument(reason.clone())),
            Self::Range { index, wanted } => JournalReader::of_range(index, wanted.clone()),
        }
    }

    /// Returns the lowest sequence number to return: a block may start with records before it.
    pub(super) fn first_seq(&self) -> u64 {
        match self {
            Self::Journal { from_seq, .. } => *from_seq,
            Self::Invalid { .. } => 0,
            Self::Range { wanted, .. } => wanted.start,
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Journal { path, .. } | Self::Invalid { path, .. } => path,
            Self::Range { index, .. } => index.path(),
        }
    }
}
