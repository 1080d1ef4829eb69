//! The index of a reader: a segment list and index points, and how a record is found with them.
//!
//! Everything here may be out of date: a writer appends, rotates, truncates and deletes at any time. The index only
//! says where to start reading. Where the files contradict it, they are listed again and read from their start.

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    found::FoundRecord,
    segment_list::SegmentList,
    sparse_index::{BYTES_MAX, POINT_DISTANCE_BYTES, SparseIndex},
};
use crate::{
    MiniStoreError, Result,
    format::ChainLink,
    format::scan::{IndexPoint, ScanMode, ScanPosition, Scanner, SegmentEnd},
    io::{FileHandle, FileSystem, OpenMode},
    journal::file_names::FileNames,
    journal::segment_set::SegmentSet,
    read::{
        block_cursor::BlockCursor,
        journal_reader::{JournalReader, RELISTS_MAX},
        segment::SegmentReader,
    },
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The index that all clones of one reader share.
pub(crate) struct Index {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    state: Mutex<IndexState>,
}

#[derive(Debug)]
struct IndexState {
    segment_list: Option<Arc<SegmentList>>,
    sparse_index: SparseIndex,
}

/// Shows only the path, and takes no lock.
impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Index {
    pub(super) fn new(fs: Arc<dyn FileSystem>, path: PathBuf) -> Self {
        let state = IndexState { segment_list: None, sparse_index: SparseIndex::new(BYTES_MAX) };
        Self { fs, path, state: Mutex::new(state) }
    }

    pub(in crate::read) fn fs(&self) -> &Arc<dyn FileSystem> {
        &self.fs
    }

    pub(in crate::read) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the memory that the index points take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.lock().sparse_index.bytes()
    }

    /// Lists the segments again; returns the list, and the active segment's path and open file.
    #[expect(clippy::type_complexity, reason = "a pair")]
    pub(in crate::read) fn list_segments(
        &self,
    ) -> Result<(Arc<SegmentList>, Option<(PathBuf, Arc<dyn FileHandle>)>)> {
        let segments = SegmentSet::take(&*self.fs, &FileNames::resolve(&*self.fs, &self.path)?)?;
        let list = Arc::new(SegmentList::of(&segments));
        self.lock().segment_list = Some(Arc::clone(&list));
        Ok((list, segments.active))
    }

    pub(in crate::read) fn trimmed_error(&self, first_seq: u64) -> MiniStoreError {
        MiniStoreError::Trimmed { path: self.path.clone(), first_seq }
    }

    /// Returns the sequence number of the first record that exists, where a header states it.
    pub(in crate::read) fn first_seq(&self) -> Option<u64> {
        // Retention may delete every segment of a list before one is opened.
        let mut lists = (0..RELISTS_MAX).map_while(|_| Some(self.list_segments().ok()?.0));
        lists.find(|list| !list.is_deleted(&*self.fs))?.first_seq(&*self.fs)
    }

    /// Returns whether the newest segment's header states a sequence number.
    pub(crate) fn has_seqs(&self) -> bool {
        let list = self.lock().segment_list.clone();
        list.is_some_and(|list| list.has_seqs(&*self.fs))
    }

    /// Returns the record `seq`; `None` where the journal ends before it.
    pub(super) fn find(self: &Arc<Self>, seq: u64) -> Result<Option<FoundRecord>> {
        match self.find_indexed(seq) {
            Some(found) => Ok(found),
            None => self.find_after_relist(seq),
        }
    }

    /// Finds a record with the segment list and index points in memory. The outer `None` means that they do not
    /// suffice; the inner one that the journal ends before `seq`.
    fn find_indexed(self: &Arc<Self>, seq: u64) -> Option<Option<FoundRecord>> {
        let list = self.lock().segment_list.clone()?;
        let entry = list.containing(&*self.fs, seq)?;
        let header = entry.header(&*self.fs)?;
        let file = self.fs.open(&entry.path, OpenMode::ReadOnly).ok()?;
        let scanner = Scanner::open(Arc::clone(&file), ScanMode::Read).ok()?.ok()?;
        // A rotation may have replaced the active segment since it was listed.
        let link = header.link().filter(|_| scanner.header() == header)?;
        let mut segment = SegmentReader::new(Arc::clone(&entry.path), file, scanner, link.first);
        match seek(self, &mut segment, seq).ok()? {
            None => segment.find_record(seq).ok().flatten().map(Some),
            Some(end) => (entry.is_active && !is_corrupt(&end)).then_some(None),
        }
    }

    /// Lists the segments again and finds the record, which may also be in a segment that follows the expected one.
    pub(crate) fn find_after_relist(self: &Arc<Self>, seq: u64) -> Result<Option<FoundRecord>> {
        let mut journal_reader = JournalReader::of_range(self, only(seq))?;
        let mut block_cursor = BlockCursor::default();
        while block_cursor.next_block(&mut journal_reader)? {
            if block_cursor.advance(seq) {
                return Ok(block_cursor.current().map(|record| FoundRecord::of(&record)));
            }
        }
        Ok(None)
    }

    /// Returns the sequence number of the newest record; 0 where there is none.
    pub(super) fn last_seq(self: &Arc<Self>) -> Result<u64> {
        JournalReader::last_seq(self)
    }

    /// Adds an index point; returns `false` where the position cannot be one.
    fn add_point(&self, link: ChainLink, position: &ScanPosition, seq: u64) -> bool {
        let index_point = position.index_point();
        if let Some(index_point) = index_point {
            self.lock().sparse_index.add(link, seq, index_point);
        }
        index_point.is_some()
    }

    fn point_before(&self, link: ChainLink, seq: u64) -> Option<(u64, IndexPoint)> {
        self.lock().sparse_index.point_before(link, seq)
    }

    fn remove_segment(&self, link: ChainLink) {
        self.lock().sparse_index.remove_segment(link);
    }

    fn lock(&self) -> MutexGuard<'_, IndexState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn only(seq: u64) -> Range<u64> {
    seq..seq.saturating_add(1)
}

fn is_corrupt(end: &SegmentEnd) -> bool {
    end.tail.as_ref().is_some_and(|tail| tail.is_corrupt)
}

/// Skips a segment to the group that contains record `seq`, starting at the nearest index point. Returns the segment's
/// end if it contains no such record.
pub(in crate::read) fn seek(
    index: &Arc<Index>,
    segment: &mut SegmentReader,
    seq: u64,
) -> io::Result<Option<SegmentEnd>> {
    let link = segment.header().link();
    if let Some(link) = link {
        segment.set_index_recorder(IndexRecorder { index: Arc::clone(index), link, next_offset: 0 });
    }
    if segment.next_seq() >= seq {
        return Ok(None);
    }
    if let Some(link) = link
        && let Some((from_seq, index_point)) = index.point_before(link, seq)
    {
        let mut candidate = segment.seek_to(from_seq, index_point);
        let sought = candidate.skip_to(seq);
        // An index point precedes a group that verified. If that no longer holds, the point is from a tail that was
        // truncated.
        let confirmed = match &sought {
            Ok(None) => true,
            Ok(Some(end)) => candidate.next_seq() > from_seq && !is_corrupt(end),
            Err(_) => false,
        };
        if confirmed {
            *segment = candidate;
            return sought;
        }
        index.remove_segment(link);
    }
    segment.skip_to(seq)
}

/// Adds the verified positions of one segment to the index.
#[derive(Debug, Clone)]
pub(in crate::read) struct IndexRecorder {
    index: Arc<Index>,
    link: ChainLink,
    next_offset: u64,
}

impl IndexRecorder {
    /// Records that the group at `position` was verified; `seq` is its first record.
    pub(in crate::read) fn record_point(&mut self, position: &ScanPosition, seq: u64) {
        if position.offset() >= self.next_offset && self.index.add_point(self.link, position, seq) {
            self.next_offset = position.offset() + POINT_DISTANCE_BYTES;
        }
    }
}
