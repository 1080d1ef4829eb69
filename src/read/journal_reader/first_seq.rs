//! The sequence number that a segment starts with.

use std::{iter, path::Path, sync::Arc};

use super::{ExpectedNext, JournalReader, corrupt};
use crate::{
    MiniStoreError, Result,
    format::SegmentHeader,
    io::{FileHandle, OpenMode},
    journal::{
        legacy::{Numbering, count_back},
        segment_summary::scan_to_end,
    },
};

impl JournalReader {
    /// Returns the sequence number of a segment's first record, after checking that the segment continues the one
    /// before.
    pub(super) fn first_seq(
        &mut self,
        path: &Path,
        file: &Arc<dyn FileHandle>,
        header: SegmentHeader,
    ) -> Result<u64> {
        let expected = self.expected.take();
        match (expected, header.link()) {
            (None, Some(link)) => Ok(link.first_seq),
            (None, None) => self.first_of_plain(path, file),
            (Some(ExpectedNext { torn: Some(torn), last_seal, .. }), link)
                if link.is_none_or(|link| link.prev_seal != last_seal.unwrap_or(0)) =>
            {
                Err(torn)
            }
            (Some(expected), None) => Ok(expected.next_seq),
            (Some(expected), Some(link)) => {
                let fits =
                    link.first_seq == expected.next_seq && link.prev_seal == expected.last_seal.unwrap_or(0);
                let missing = || {
                    format!(
                        "it does not continue the segment before it: it begins with record {}, and {} was to come",
                        link.first_seq, expected.next_seq
                    )
                };
                if fits { Ok(link.first_seq) } else { Err(corrupt(path, missing())) }
            }
        }
    }

    /// Returns the sequence number of the first record of a plain segment.
    fn first_of_plain(&self, path: &Path, file: &Arc<dyn FileHandle>) -> Result<u64> {
        let this = self.count_records(path, file).map(Numbering::Counted);
        let later =
            self.queue.iter().map(|queued| match queued.header(&*self.fs).and_then(SegmentHeader::link) {
                Some(link) => Ok(Numbering::Stated(link.first_seq)),
                None => match self.fs.open(&queued.path, OpenMode::ReadOnly) {
                    Ok(file) => self.count_records(&queued.path, &file).map(Numbering::Counted),
                    Err(_) => Ok(Numbering::Counted(0)),
                },
            });
        count_back(iter::once(this).chain(later))
    }

    /// Counts the records of a segment that verify. Records after damage are not counted, so a read by sequence number
    /// fails on damage: it would return the wrong records.
    fn count_records(&self, path: &Path, file: &Arc<dyn FileHandle>) -> Result<u64> {
        let summary = match scan_to_end(file).map_err(MiniStoreError::file(path, "read"))? {
            Ok(summary) => summary,
            Err(error) if self.index.is_some() => return Err(corrupt(path, error.to_string())),
            Err(_) => return Ok(0),
        };
        match summary.end.tail {
            Some(tail) if tail.is_corrupt && self.index.is_some() => Err(MiniStoreError::Corrupt {
                segment: path.into(),
                offset: tail.offset,
                line: tail.line,
                seq: None,
                reason: tail.reason.into(),
            }),
            _ => Ok(summary.records),
        }
    }
}
