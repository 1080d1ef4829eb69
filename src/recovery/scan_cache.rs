//! What the looks of one opening have verified, so that a later look reads a segment from its last groups on and not from
//! its start. The journal's lock is held meanwhile, and one commit is in flight at a time: a group was durable before
//! the next one was written. So all but the last group of a segment is on the disk and stays as it is, whatever the page
//! cache forgets between two looks. The last group may not be, nor the LF before it, which was written with it: a
//! later look begins before the group that this LF ends.
//!
//! Never trusts the last group, and never carries what was verified of one file over to another that took its name.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use super::decide::Step;
use crate::journal::segment_summary::{Checkpoint, SegmentSummary, scan_from_start};
use crate::{format::HeaderError, format::scan::ReadAt, journal::file_names::FileNames};

#[derive(Debug, Default)]
pub(crate) struct ScanCache {
    segments: HashMap<PathBuf, Checkpoint>,
}

impl ScanCache {
    /// Reads a segment to its end, from where an earlier look allows. What then shows less than that look did is
    /// read from its start.
    pub(super) fn scan(
        &mut self,
        path: &Path,
        source: &(impl ReadAt + ?Sized),
    ) -> io::Result<Result<SegmentSummary, HeaderError>> {
        let again = match self.segments.remove(path) {
            Some(checkpoint) => checkpoint.scan(source)?,
            None => None,
        };
        let (summary, checkpoint) = match again {
            Some(found) => found,
            None => match scan_from_start(source)? {
                Ok(found) => found,
                Err(fault) => return Ok(Err(fault)),
            },
        };
        self.segments.extend(checkpoint.map(|checkpoint| (path.into(), checkpoint)));
        Ok(Ok(summary))
    }

    /// After this step other files may have these names.
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
