//! What an iterator or a stream is to read, before anything was opened.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{feed::Feed, lookup::Index};
use crate::{Result, device::Disk};

/// Records of a journal.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// All that are there, from a number on.
    Journal { disk: Arc<dyn Disk>, path: PathBuf, from_seq: u64 },
    /// These; they must be there.
    Range { index: Arc<Index>, wanted: Range<u64> },
}

impl Source {
    pub(super) fn open(&self) -> Result<Feed> {
        match self {
            Self::Journal { disk, path, from_seq } => Feed::of_journal(Arc::clone(disk), path, *from_seq),
            Self::Range { index, wanted } => Feed::of_range(index, wanted.clone()),
        }
    }

    /// Nothing before this record is wanted.
    pub(super) fn first_seq(&self) -> u64 {
        match self {
            Self::Journal { from_seq, .. } => *from_seq,
            Self::Range { wanted, .. } => wanted.start,
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Journal { path, .. } => path,
            Self::Range { index, .. } => index.path(),
        }
    }
}
