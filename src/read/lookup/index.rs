//! What a reader of single records knows of a journal, and how it finds one.
//!
//! Everything here may be out of date: the journal is appended to, rotated and shortened by others. What is known only
//! says where to look. Wherever the files say otherwise they are listed anew, and read from where they begin.

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    found::FoundRecord,
    segment_list::SegmentList,
    sparse_index::{BYTES_MAX, EVERY_BYTES, SparseIndex},
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

/// Shared by all who read the same journal by way of one reader.
pub(crate) struct Index {
    disk: Arc<dyn FileSystem>,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    listing: Option<Arc<SegmentList>>,
    sparse_index: SparseIndex,
}

/// Without all that it knows, and without its lock.
impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Index {
    pub(super) fn new(disk: Arc<dyn FileSystem>, path: PathBuf) -> Self {
        let state = State { listing: None, sparse_index: SparseIndex::new(BYTES_MAX) };
        Self { disk, path, state: Mutex::new(state) }
    }

    pub(in crate::read) fn disk(&self) -> &Arc<dyn FileSystem> {
        &self.disk
    }

    pub(in crate::read) fn path(&self) -> &Path {
        &self.path
    }

    /// Memory held by what is known of the insides of segments, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.lock().sparse_index.bytes()
    }

    /// Lists the segments anew; gives the active one, open.
    #[expect(clippy::type_complexity, reason = "a pair")]
    pub(in crate::read) fn look(&self) -> Result<(Arc<SegmentList>, Option<(PathBuf, Arc<dyn FileHandle>)>)> {
        let snapshot = SegmentSet::take(&*self.disk, &FileNames::resolve(&*self.disk, &self.path)?)?;
        let listing = Arc::new(SegmentList::of(&snapshot));
        self.lock().listing = Some(Arc::clone(&listing));
        Ok((listing, snapshot.active))
    }

    pub(in crate::read) fn released(&self, first_seq: u64) -> MiniStoreError {
        MiniStoreError::Trimmed { path: self.path.clone(), first_seq }
    }

    /// The first record that is still there, where a header says it.
    pub(in crate::read) fn first_seq(&self) -> Option<u64> {
        // All that was listed may be gone before it is looked at.
        let mut listings = (0..RELISTS_MAX).map_while(|_| Some(self.look().ok()?.0));
        listings.find(|listing| !listing.is_deleted(&*self.disk))?.first_seq(&*self.disk)
    }

    /// Whether the newest segment says the number of its first record.
    pub(crate) fn has_seqs(&self) -> bool {
        let listing = self.lock().listing.clone();
        listing.is_some_and(|listing| listing.has_seqs(&*self.disk))
    }

    /// The record `seq`; `None` where the journal ends before it.
    pub(super) fn find(self: &Arc<Self>, seq: u64) -> Result<Option<FoundRecord>> {
        match self.find_indexed(seq) {
            Some(found) => Ok(found),
            None => self.find_after_relist(seq),
        }
    }

    /// `None` where what is known does not answer it.
    fn find_indexed(self: &Arc<Self>, seq: u64) -> Option<Option<FoundRecord>> {
        let listing = self.lock().listing.clone()?;
        let listed = listing.holding(&*self.disk, seq)?;
        let header = listed.header(&*self.disk)?;
        let file = self.disk.open(&listed.path, OpenMode::ReadOnly).ok()?;
        let scanner = Scanner::open(Arc::clone(&file), ScanMode::Read).ok()?.ok()?;
        // What was the active file may be an archived one by now.
        let link = header.link().filter(|_| scanner.header() == header)?;
        let mut segment = SegmentReader::new(Arc::clone(&listed.path), file, scanner, link.first);
        match seek(self, &mut segment, seq).ok()? {
            None => segment.take(seq).ok().flatten().map(Some),
            Some(end) => (listed.is_active && !is_damaged(&end)).then_some(None),
        }
    }

    /// Looks at the directory first, and on in the next segment where this one ends.
    pub(crate) fn find_after_relist(self: &Arc<Self>, seq: u64) -> Result<Option<FoundRecord>> {
        let mut journal_reader = JournalReader::of_range(self, only(seq))?;
        let mut block_cursor = BlockCursor::default();
        while block_cursor.next_block(&mut journal_reader)? {
            if block_cursor.advance(seq) {
                return Ok(block_cursor.line().map(|line| FoundRecord::of(&line)));
            }
        }
        Ok(None)
    }

    /// The number of the newest record; 0 where there is none.
    pub(super) fn last_seq(self: &Arc<Self>) -> Result<u64> {
        JournalReader::last_seq(self)
    }

    fn note(&self, link: ChainLink, position: &ScanPosition, seq: u64) -> bool {
        let index_point = position.index_point();
        if let Some(index_point) = index_point {
            self.lock().sparse_index.note(link, seq, index_point);
        }
        index_point.is_some()
    }

    fn waypoint_before(&self, link: ChainLink, seq: u64) -> Option<(u64, IndexPoint)> {
        self.lock().sparse_index.before(link, seq)
    }

    fn forget(&self, link: ChainLink) {
        self.lock().sparse_index.forget(link);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn only(seq: u64) -> Range<u64> {
    seq..seq.saturating_add(1)
}

fn is_damaged(end: &SegmentEnd) -> bool {
    end.tail.as_ref().is_some_and(|tail| tail.damaged)
}

/// Takes a segment to the group that holds record `seq`, from the nearest place that is known. The end, where it holds no
/// such record.
pub(in crate::read) fn seek(
    index: &Arc<Index>,
    segment: &mut SegmentReader,
    seq: u64,
) -> io::Result<Option<SegmentEnd>> {
    let link = segment.header().link();
    if let Some(link) = link {
        segment.leave(IndexRecorder { index: Arc::clone(index), link, next_offset: 0 });
    }
    if segment.next_seq() >= seq {
        return Ok(None);
    }
    if let Some(link) = link
        && let Some((from_seq, index_point)) = index.waypoint_before(link, seq)
    {
        let mut further = segment.seek_to(from_seq, index_point);
        let sought = further.skip_to(seq);
        // A group stood behind it. Where none does any more, or another, what is known is of a tail that was cut.
        let confirmed = match &sought {
            Ok(None) => true,
            Ok(Some(end)) => further.next_seq() > from_seq && !is_damaged(end),
            Err(_) => false,
        };
        if confirmed {
            *segment = further;
            return sought;
        }
        index.forget(link);
    }
    segment.skip_to(seq)
}

/// Where it is noted how far a segment was verified.
#[derive(Debug, Clone)]
pub(in crate::read) struct IndexRecorder {
    index: Arc<Index>,
    link: ChainLink,
    next_offset: u64,
}

impl IndexRecorder {
    /// The group from here on was verified; `seq` is its first record.
    pub(in crate::read) fn record_point(&mut self, position: &ScanPosition, seq: u64) {
        if position.offset() >= self.next_offset && self.index.note(self.link, position, seq) {
            self.next_offset = position.offset() + EVERY_BYTES;
        }
    }
}
