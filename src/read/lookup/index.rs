//! The index of a reader: a segment list and index points, and how a record is found with them.
//!
//! Everything here may be out of date: a writer appends, rotates, truncates and deletes at any time. The index only
//! says where to start reading. Where the files contradict it, they are listed again and read from their start.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    segment_list::SegmentList,
    sparse_index::{BYTES_MAX, SparseIndex},
};
use crate::{
    MiniStoreError, Result,
    format::ChainLink,
    format::scan::{IndexPoint, ScanPosition},
    io::{FileHandle, FileSystem},
    journal::file_names::FileNames,
    journal::segment_set::SegmentSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The maximum number of listings of which retention deleted every segment before one was opened: more in a row do not
/// happen.
pub(in crate::read) const RELISTS_MAX: u32 = 100;

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
        let sparse_index = SparseIndex::new(BYTES_MAX, fs.read_limits().index_distance_bytes);
        let state = IndexState { segment_list: None, sparse_index };
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

    /// Returns the segment list of the last listing.
    pub(super) fn segment_list(&self) -> Option<Arc<SegmentList>> {
        self.lock().segment_list.clone()
    }

    /// Returns the sequence number of the first record that exists, where a header states it.
    pub(in crate::read) fn first_seq(&self) -> Option<u64> {
        // Retention may delete every segment of a list before one is opened.
        let mut lists = (0..RELISTS_MAX).map_while(|_| Some(self.list_segments().ok()?.0));
        lists.find(|list| !list.is_deleted(&*self.fs))?.first_seq(&*self.fs)
    }

    /// Returns whether the newest segment's header states a sequence number.
    pub(crate) fn has_seqs(&self) -> bool {
        self.segment_list().is_some_and(|list| list.has_seqs(&*self.fs))
    }

    /// Adds an index point; returns `false` where the position cannot be one.
    fn add_point(&self, link: ChainLink, position: &ScanPosition, seq: u64) -> bool {
        let index_point = position.index_point();
        if let Some(index_point) = index_point {
            self.lock().sparse_index.add(link, seq, index_point);
        }
        index_point.is_some()
    }

    pub(super) fn point_before(&self, link: ChainLink, seq: u64) -> Option<(u64, IndexPoint)> {
        self.lock().sparse_index.point_before(link, seq)
    }

    pub(super) fn remove_segment(&self, link: ChainLink) {
        self.lock().sparse_index.remove_segment(link);
    }

    fn lock(&self) -> MutexGuard<'_, IndexState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the verified positions of one segment to the index.
#[derive(Debug, Clone)]
pub(in crate::read) struct IndexRecorder {
    index: Arc<Index>,
    link: ChainLink,
    next_offset: u64,
}

impl IndexRecorder {
    pub(super) fn new(index: Arc<Index>, link: ChainLink) -> Self {
        Self { index, link, next_offset: 0 }
    }

    /// Records that the group at `position` was verified; `seq` is its first record.
    pub(in crate::read) fn record_point(&mut self, position: &ScanPosition, seq: u64) {
        if position.offset() >= self.next_offset && self.index.add_point(self.link, position, seq) {
            self.next_offset = position.offset() + self.index.fs.read_limits().index_distance_bytes;
        }
    }
}
