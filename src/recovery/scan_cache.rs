//! Caches the verified part of each segment during one recovery, so that a later inspection reads a segment from its last groups and
//! not from its start.
//!
//! This process holds the lock of the journal, and one commit is in flight at a time: a group was durable before the next one was
//! written. So every group except for the last is on disk and does not change, even if the page cache drops it between two
//! inspections. The last group may not be on disk, and neither may the LF before it, which was written with it: a later inspection
//! starts before the group that this LF ends.
//!
//! Never trusts the last group, and never applies the result for one file to another file that took its name.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use super::decide::Step;
use crate::{
    format::HeaderError,
    io::FileHandle,
    journal::file_names::FileNames,
    journal::parallel_scan::scan_in_parallel,
    journal::segment_summary::{Checkpoint, ResumableSummary, SegmentSummary, scan_from_start},
};

/// The checkpoints of the segments that this recovery scanned.
#[derive(Debug, Default)]
pub(crate) struct ScanCache {
    segments: HashMap<PathBuf, Checkpoint>,
}

impl ScanCache {
    /// Scans a segment to its end, from the checkpoint of an earlier scan if there is one. If less verifies than then, the segment is
    /// scanned from its start.
    pub(super) fn scan(
        &mut self,
        path: &Path,
        file: &dyn FileHandle,
    ) -> io::Result<Result<SegmentSummary, HeaderError>> {
        let resumed = match self.segments.remove(path) {
            Some(checkpoint) => checkpoint.scan(file)?,
            None => None,
        };
        let (summary, checkpoint) = match resumed {
            Some(found) => found,
            None => match scan_whole(file)? {
                Ok(found) => found,
                Err(error) => return Ok(Err(error)),
            },
        };
        self.segments.extend(checkpoint.map(|checkpoint| (path.into(), checkpoint)));
        Ok(Ok(summary))
    }

    /// Removes the checkpoint of a name that belongs to no file now.
    pub(super) fn forget(&mut self, path: &Path) {
        self.segments.remove(path);
    }

    /// Removes the checkpoints of the names that may belong to other files after this step.
    pub(super) fn invalidate(&mut self, step: Step, names: &FileNames) {
        match step {
            Step::PromoteNext | Step::CreateActive | Step::WriteHeader => {
                self.segments.remove(&names.active());
                self.segments.remove(&names.next());
            }
            Step::RemoveNext | Step::QuarantineNext => drop(self.segments.remove(&names.next())),
            Step::TruncateActive | Step::CloseRotated | Step::Done | Step::Fail(_) => {}
        }
    }
}

/// Scans a segment from its start, on several threads if the file allows it.
fn scan_whole(file: &dyn FileHandle) -> io::Result<Result<ResumableSummary, HeaderError>> {
    if file.allows_parallel_reads() { scan_in_parallel(file, file.len()?) } else { scan_from_start(file) }
}
