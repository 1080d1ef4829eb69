//! The rotated segments, in memory, for retention: the directory is listed once, and each header is read at most once,
//! however many segments are deleted.
//!
//! Only the background thread renames and deletes rotated segments while the journal is open, so the list stays true.
//! If another process deleted a segment, retention removes it from the list; after an error of the operating system it
//! lists the directory again.

use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::io::FileHandle;

/// Rotated segments, oldest first.
#[derive(Debug)]
pub(super) struct Listing {
    segments: VecDeque<ListedSegment>,
    /// The numbers of the segments whose size is unknown.
    unmeasured: BTreeSet<u64>,
    /// The sum of the known sizes.
    bytes: u64,
}

#[derive(Debug)]
pub(super) struct ListedSegment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) first: FirstSeq,
    /// The file, open for reading, if a deletion needed it.
    pub(super) file: Option<Arc<dyn FileHandle>>,
    /// Whether `file` continues a segment of this journal.
    pub(super) is_own: bool,
    size: Option<u64>,
}

/// The sequence number of a segment's first record, if its header was read and stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstSeq {
    Unread,
    Read(Option<u64>),
}

impl ListedSegment {
    fn new((number, path): (u64, PathBuf)) -> Self {
        Self { number, path, first: FirstSeq::Unread, file: None, is_own: false, size: None }
    }
}

impl Listing {
    pub(super) fn new(rotated: Vec<(u64, PathBuf)>) -> Self {
        let unmeasured = rotated.iter().map(|(number, _)| *number).collect();
        Self { segments: rotated.into_iter().map(ListedSegment::new).collect(), unmeasured, bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&ListedSegment> {
        self.segments.get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut ListedSegment> {
        self.segments.get_mut(index)
    }

    /// Adds a segment that was just rotated.
    pub(super) fn push(&mut self, number: u64, path: PathBuf) {
        self.segments.push_back(ListedSegment::new((number, path)));
        self.unmeasured.insert(number);
    }

    /// Removes a segment that was deleted.
    pub(super) fn remove(&mut self, index: usize) {
        if let Some(ListedSegment { number, size, .. }) = self.segments.remove(index) {
            self.bytes -= size.unwrap_or(0);
            self.unmeasured.remove(&number);
        }
    }

    pub(super) fn close_files(&mut self) {
        // A deletion opens only the first two.
        for segment in self.segments.iter_mut().take(2) {
            (segment.file, segment.is_own) = (None, false);
        }
    }

    /// Returns the sum of the known sizes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the segments whose size is unknown.
    pub(super) fn unmeasured(&self) -> Vec<(u64, &Path)> {
        let path = |number: &u64| Some((*number, self.segments[self.index_of(*number)?].path.as_path()));
        self.unmeasured.iter().filter_map(path).collect()
    }

    pub(super) fn set_size(&mut self, number: u64, size: u64) {
        if let Some(index) = self.index_of(number) {
            self.forget_size(number);
            self.segments[index].size = Some(size);
            self.bytes += size;
            self.unmeasured.remove(&number);
        }
    }

    pub(super) fn forget_size(&mut self, number: u64) {
        if let Some(index) = self.index_of(number) {
            self.bytes -= self.segments[index].size.take().unwrap_or(0);
            self.unmeasured.insert(number);
        }
    }

    /// Forgets the size of the newest segment, which may still have padding.
    pub(super) fn forget_newest_size(&mut self) {
        if let Some(number) = self.segments.back().map(|newest| newest.number) {
            self.forget_size(number);
        }
    }

    fn index_of(&self, number: u64) -> Option<usize> {
        self.segments.binary_search_by_key(&number, |segment| segment.number).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_add_up_after_removals() {
        let path = |number: u64| PathBuf::from(number.to_string());
        let mut listing = Listing::new((1..=4).map(|number| (number, path(number))).collect());
        assert_eq!(listing.unmeasured().len(), 4);
        (1..=4).for_each(|number| listing.set_size(number, 10 * number));
        listing.set_size(2, 25);
        assert_eq!((listing.bytes(), listing.unmeasured().len()), (105, 0));
        listing.remove(0);
        listing.push(5, path(5));
        listing.forget_newest_size();
        listing.forget_size(4);
        assert_eq!((listing.bytes(), listing.len()), (55, 4));
        assert_eq!(listing.unmeasured(), [(4, Path::new("4")), (5, Path::new("5"))]);
    }
}
