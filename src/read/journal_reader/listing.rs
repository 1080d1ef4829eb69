//! The queue of segments that a reader opens, oldest first.

use std::{
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::JournalReader;
use crate::{
    MiniStoreError, Result,
    format::SegmentHeader,
    format::scan::read_header,
    io::{FileHandle, FileSystem, OpenMode},
    journal::file_names::FileNames,
    journal::segment_set::SegmentSet,
};

/// A segment that has not been read yet.
#[derive(Debug)]
pub(super) struct QueuedSegment {
    pub(super) path: Arc<Path>,
    /// The open file; only of the active segment, which a rotation may rename.
    pub(super) file: Option<Arc<dyn FileHandle>>,
}

impl JournalReader {
    /// Lists the segments, from the one on that contains the first requested record.
    pub(super) fn list(&mut self) -> Result<()> {
        let not_opened = |path| QueuedSegment { path, file: None };
        let active = match (&self.index, &self.journal) {
            (Some(index), _) => {
                let (list, active) = index.list_segments()?;
                self.queue = list.paths_from(&*self.fs, self.wanted.start).map(not_opened).collect();
                if active.is_some() {
                    // The last entry of the list is the active segment, which is open already.
                    self.queue.pop_back();
                }
                active
            }
            (None, Some(path)) => {
                let names = FileNames::resolve(&*self.fs, path)?;
                let SegmentSet { rotated, active } = SegmentSet::take(&*self.fs, &names)?;
                self.queue = rotated.into_iter().map(|(_, path)| not_opened(path.into())).collect();
                active
            }
            (None, None) => None,
        };
        if let Some((path, file)) = active {
            self.queue_active(path, file)?;
        }
        if self.index.is_none() {
            self.skip_before(self.wanted.start);
        }
        Ok(())
    }

    /// Lists the segments again if retention deleted all of them before the first was opened: the journal then
    /// continues in newer ones. Returns `false` if that was not the case.
    pub(super) fn relist(&mut self) -> Result<bool> {
        if !mem::take(&mut self.deleted_since_listing) || self.relists_left == 0 {
            return Ok(false);
        }
        self.relists_left -= 1;
        self.list()?;
        Ok(true)
    }

    fn queue_active(&mut self, path: PathBuf, file: Arc<dyn FileHandle>) -> Result<()> {
        let empty = file.len().map_err(MiniStoreError::file(&path, "stat"))? == 0;
        if !empty {
            self.queue.push_back(QueuedSegment { path: path.into(), file: Some(file) });
        }
        Ok(())
    }

    /// Drops the segments before the one that contains `from_seq`, which their headers show.
    fn skip_before(&mut self, from_seq: u64) {
        if from_seq <= 1 {
            return;
        }
        let contains_seq = |queued: &QueuedSegment| {
            queued
                .header(&*self.fs)
                .and_then(SegmentHeader::link)
                .is_some_and(|link| link.first_seq <= from_seq)
        };
        if let Some(start) = self.queue.iter().rposition(contains_seq) {
            self.queue.drain(..start);
        }
    }
}

impl QueuedSegment {
    pub(super) fn header(&self, fs: &dyn FileSystem) -> Option<SegmentHeader> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => fs.open(&self.path, OpenMode::ReadOnly).ok()?,
        };
        read_header(file).ok()?.ok()
    }
}
