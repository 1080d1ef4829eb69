//! The segments of a journal at the time of one listing, and their headers.

use std::{io, path::Path, sync::Arc};

use crate::{
    format::SegmentHeader,
    format::scan::read_header,
    io::{FileSystem, OpenMode},
    journal::segment_set::SegmentSet,
    sync::OnceLock,
};

/// The segments of a journal, oldest first.
#[derive(Debug)]
pub(in crate::read) struct SegmentList {
    segments: Vec<SegmentEntry>,
}

#[derive(Debug)]
pub(super) struct SegmentEntry {
    pub(super) path: Arc<Path>,
    /// Whether this is the active segment.
    pub(super) is_active: bool,
    header: OnceLock<SegmentHeader>,
}

/// The result of reading a segment's header.
enum HeaderState {
    Header(SegmentHeader),
    /// Retention deleted the segment. It deletes the oldest rotated segments at any time.
    Deleted,
    Unreadable,
}

impl SegmentList {
    pub(super) fn of(SegmentSet { rotated, active }: &SegmentSet) -> Self {
        let new_entry =
            |path: &Path, is_active| SegmentEntry { path: path.into(), is_active, header: OnceLock::new() };
        let rotated = rotated.iter().map(|(_, path)| new_entry(path, false));
        let active = active.iter().map(|(path, _)| new_entry(path, true));
        Self { segments: rotated.chain(active).collect() }
    }

    /// Returns the segment that contains record `seq`, or would: the last one whose first record is not after it. Reads
    /// few headers (binary search).
    pub(super) fn containing(&self, fs: &dyn FileSystem, seq: u64) -> Option<&SegmentEntry> {
        self.segments.get(self.index_of(fs, seq)?)
    }

    /// Returns the paths from that segment on; all paths where no header shows which one it is.
    pub(in crate::read) fn paths_from(
        &self,
        fs: &dyn FileSystem,
        seq: u64,
    ) -> impl Iterator<Item = Arc<Path>> {
        let from = self.index_of(fs, seq).unwrap_or(0);
        self.segments[from..].iter().map(|entry| Arc::clone(&entry.path))
    }

    /// Returns the sequence number of the first record that exists, if a header states it.
    pub(super) fn first_seq(&self, fs: &dyn FileSystem) -> Option<u64> {
        self.segments.iter().find_map(|entry| match entry.find_header(fs) {
            HeaderState::Header(header) => Some(header.link().map(|link| link.first_seq)),
            HeaderState::Deleted => None,
            HeaderState::Unreadable => Some(None),
        })?
    }

    /// Returns whether all segments of the list were deleted.
    pub(super) fn is_deleted(&self, fs: &dyn FileSystem) -> bool {
        let is_deleted = |entry: &SegmentEntry| matches!(entry.find_header(fs), HeaderState::Deleted);
        !self.segments.is_empty() && self.segments.iter().all(is_deleted)
    }

    /// Returns whether the newest segment's header states a sequence number.
    pub(super) fn has_seqs(&self, fs: &dyn FileSystem) -> bool {
        let newest = self.segments.last().and_then(|entry| entry.header(fs));
        newest.and_then(SegmentHeader::link).is_some()
    }

    fn index_of(&self, fs: &dyn FileSystem, seq: u64) -> Option<usize> {
        let (mut low, mut high) = (0, self.segments.len());
        while low < high {
            let middle = low.midpoint(high);
            let before = match self.segments[middle].find_header(fs) {
                HeaderState::Header(SegmentHeader::Checksummed(link) | SegmentHeader::Json(link)) => {
                    link.first_seq <= seq
                }
                HeaderState::Deleted => true,
                HeaderState::Header(SegmentHeader::Plain) | HeaderState::Unreadable => {
                    return self.scan_headers(fs, seq);
                }
            };
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }

    /// Does the search of [`index_of`](Self::index_of) linearly, where not every header states a sequence number.
    fn scan_headers(&self, fs: &dyn FileSystem, seq: u64) -> Option<usize> {
        self.segments.iter().rposition(|entry| {
            let link = entry.header(fs).and_then(SegmentHeader::link);
            link.is_some_and(|link| link.first_seq <= seq)
        })
    }
}

impl SegmentEntry {
    pub(super) fn header(&self, fs: &dyn FileSystem) -> Option<SegmentHeader> {
        match self.find_header(fs) {
            HeaderState::Header(header) => Some(header),
            HeaderState::Deleted | HeaderState::Unreadable => None,
        }
    }

    /// Reads the header the first time, and returns it from memory afterwards.
    fn find_header(&self, fs: &dyn FileSystem) -> HeaderState {
        if let Some(&header) = self.header.get() {
            return HeaderState::Header(header);
        }
        let read = fs.open(&self.path, OpenMode::ReadOnly).and_then(read_header);
        match read {
            Ok(Ok(header)) => {
                let _ = self.header.set(header);
                HeaderState::Header(header)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_active => HeaderState::Deleted,
            Ok(Err(_)) | Err(_) => HeaderState::Unreadable,
        }
    }
}
