//! The segments of a journal as they were listed at one moment, and what their headers say.

use std::{io, path::Path, sync::Arc};

use crate::{
    format::Header,
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
    /// The segment that is appended to.
    pub(super) is_active: bool,
    header: OnceLock<Header>,
}

/// What can be known of a segment's header.
enum HeaderState {
    Header(Header),
    /// Archived segments may be deleted at any time, the oldest first.
    Gone,
    Unreadable,
}

impl SegmentList {
    pub(super) fn of(SegmentSet { rotated, active }: &SegmentSet) -> Self {
        let listed =
            |path: &Path, is_active| SegmentEntry { path: path.into(), is_active, header: OnceLock::new() };
        let rotated = rotated.iter().map(|(_, path)| listed(path, false));
        let active = active.iter().map(|(path, _)| listed(path, true));
        Self { segments: rotated.chain(active).collect() }
    }

    /// The segment that holds record `seq`, or would: the last that begins with it or before. Reads few headers.
    pub(super) fn holding(&self, disk: &dyn FileSystem, seq: u64) -> Option<&SegmentEntry> {
        self.segments.get(self.index_of(disk, seq)?)
    }

    /// The paths of that segment and those behind it; all of them where no segment says that it holds `seq`.
    pub(in crate::read) fn paths_from(
        &self,
        disk: &dyn FileSystem,
        seq: u64,
    ) -> impl Iterator<Item = Arc<Path>> {
        let from = self.index_of(disk, seq).unwrap_or(0);
        self.segments[from..].iter().map(|listed| Arc::clone(&listed.path))
    }

    /// The number of the first record that is still there, if a header says it.
    pub(super) fn first_seq(&self, disk: &dyn FileSystem) -> Option<u64> {
        self.segments.iter().find_map(|listed| match listed.find_header(disk) {
            HeaderState::Header(header) => Some(header.link().map(|link| link.first)),
            HeaderState::Gone => None,
            HeaderState::Unreadable => Some(None),
        })?
    }

    /// Whether nothing of it is there any more.
    pub(super) fn is_deleted(&self, disk: &dyn FileSystem) -> bool {
        let is_deleted = |listed: &SegmentEntry| matches!(listed.find_header(disk), HeaderState::Gone);
        !self.segments.is_empty() && self.segments.iter().all(is_deleted)
    }

    /// Whether the newest segment says the number of its first record.
    pub(super) fn has_seqs(&self, disk: &dyn FileSystem) -> bool {
        let newest = self.segments.last().and_then(|listed| listed.header(disk));
        newest.and_then(Header::link).is_some()
    }

    fn index_of(&self, disk: &dyn FileSystem, seq: u64) -> Option<usize> {
        let (mut low, mut high) = (0, self.segments.len());
        while low < high {
            let middle = low.midpoint(high);
            let before = match self.segments[middle].find_header(disk) {
                HeaderState::Header(Header::Sealed(link)) => link.first <= seq,
                HeaderState::Gone => true,
                HeaderState::Header(Header::Plain) | HeaderState::Unreadable => {
                    return self.scan_headers(disk, seq);
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

    /// Where not every header states a number.
    fn scan_headers(&self, disk: &dyn FileSystem, seq: u64) -> Option<usize> {
        self.segments.iter().rposition(|listed| {
            let link = listed.header(disk).and_then(Header::link);
            link.is_some_and(|link| link.first <= seq)
        })
    }
}

impl SegmentEntry {
    pub(super) fn header(&self, disk: &dyn FileSystem) -> Option<Header> {
        match self.find_header(disk) {
            HeaderState::Header(header) => Some(header),
            HeaderState::Gone | HeaderState::Unreadable => None,
        }
    }

    /// Reads it once.
    fn find_header(&self, disk: &dyn FileSystem) -> HeaderState {
        if let Some(&header) = self.header.get() {
            return HeaderState::Header(header);
        }
        let read = disk.open(&self.path, OpenMode::ReadOnly).and_then(read_header);
        match read {
            Ok(Ok(header)) => {
                let _ = self.header.set(header);
                HeaderState::Header(header)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_active => HeaderState::Gone,
            Ok(Err(_)) | Err(_) => HeaderState::Unreadable,
        }
    }
}
