//! What an iterator or a stream is to read, before anything was opened.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{journal_reader::JournalReader, lookup::Index};
use crate::{MiniStoreError, Result, io::FileSystem};

/// Records of a journal.
#[derive(Debug, Clone)]
pub(crate) enum ReadPlan {
    /// All that are there, from a number on.
    Journal { disk: Arc<dyn FileSystem>, path: PathBuf, from_seq: u64 },
    /// Nothing is read.
    Refused { path: PathBuf, reason: String },
    /// These; they must be there.
    Range { index: Arc<Index>, wanted: Range<u64> },
}

impl ReadPlan {
    pub(super) fn open(&self) -> Result<JournalReader> {
        match self {
            Self::Journal { disk, path, from_seq } => {
                JournalReader::of_journal(Arc::clone(disk), path, *from_seq)
            }
            Self::Refused { reason, .. } => Err(MiniStoreError::InvalidArgument(reason.clone())),
            Self::Range { index, wanted } => JournalReader::of_range(index, wanted.clone()),
        }
    }

    /// Nothing before this record is wanted.
    pub(super) fn first_seq(&self) -> u64 {
        match self {
            Self::Journal { from_seq, .. } => *from_seq,
            Self::Refused { .. } => 0,
            Self::Range { wanted, .. } => wanted.start,
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Journal { path, .. } | Self::Refused { path, .. } => path,
            Self::Range { index, .. } => index.path(),
        }
    }
}
