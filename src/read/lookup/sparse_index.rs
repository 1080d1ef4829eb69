//! The start positions of some groups of each segment, so that a record is found without reading its segment from the
//! start. Bounded: the least recently used segment is evicted first.
//!
//! An index point is only a hint. It contains the seal before it, so the groups after it are verified as if everything
//! before it had been read.

use std::collections::HashMap;

use crate::{format::ChainLink, format::scan::IndexPoint};

/// The maximum memory of all index points, in bytes. It is enough for 10 GiB of groups smaller than their distance of
/// 32 KiB; larger ones need less.
pub(super) const BYTES_MAX: usize = 8 << 20;

/// The sequence number of a group's first record, and the group's position.
type IndexEntry = (u64, IndexPoint);

/// Identifies a segment by its header, which it keeps at a rotation.
type SegmentKey = (u64, u32);

#[derive(Debug)]
pub(super) struct SparseIndex {
    /// The minimum distance between two index points, in bytes.
    distance: u64,
    points_max: usize,
    points: usize,
    /// Advances whenever a segment is used.
    clock: u64,
    segments: HashMap<SegmentKey, SegmentIndex>,
}

/// The index points of one segment, by ascending sequence number.
#[derive(Debug, Default)]
struct SegmentIndex {
    last_used: u64,
    points: Vec<IndexEntry>,
}

impl SparseIndex {
    pub(super) fn new(bytes_max: usize, distance: u64) -> Self {
        Self {
            distance,
            points_max: bytes_max / size_of::<IndexEntry>(),
            points: 0,
            clock: 0,
            segments: HashMap::new(),
        }
    }

    /// Returns the last index point whose group starts at or before record `seq`.
    pub(super) fn point_before(&mut self, link: ChainLink, seq: u64) -> Option<IndexEntry> {
        self.clock += 1;
        let segment = self.segments.get_mut(&key(link))?;
        segment.last_used = self.clock;
        let after = segment.points.partition_point(|&(first, _)| first <= seq);
        segment.points.get(after.checked_sub(1)?).copied()
    }

    /// Adds an index point, unless there is another one nearby.
    pub(super) fn add(&mut self, link: ChainLink, seq: u64, index_point: IndexPoint) {
        self.clock += 1;
        let segment = self.segments.entry(key(link)).or_default();
        segment.last_used = self.clock;
        let at = segment.points.partition_point(|&(first, _)| first < seq);
        let distance = self.distance;
        let close = |&(_, other): &IndexEntry| other.offset.abs_diff(index_point.offset) < distance;
        let known = segment.points.get(at).is_some_and(|point| point.0 == seq || close(point));
        if known || at.checked_sub(1).is_some_and(|before| close(&segment.points[before])) {
            return;
        }
        segment.points.insert(at, (seq, index_point));
        self.points += 1;
        while self.points > self.points_max {
            self.evict(key(link));
        }
    }

    /// Removes the index points of a segment, because they are wrong.
    pub(super) fn remove_segment(&mut self, link: ChainLink) {
        self.remove(key(link));
    }

    /// Returns the memory that the index takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let points: usize = self.segments.values().map(|segment| segment.points.capacity()).sum();
        points * size_of::<IndexEntry>() + self.segments.capacity() * size_of::<(SegmentKey, SegmentIndex)>()
    }

    /// Removes the least recently used segment other than `in_use`; if there is none, every second index point of
    /// `in_use`.
    fn evict(&mut self, in_use: SegmentKey) {
        let others = self.segments.iter().filter(|&(&other, _)| other != in_use);
        match others.min_by_key(|(_, segment)| segment.last_used).map(|(&oldest, _)| oldest) {
            Some(oldest) => self.remove(oldest),
            None => {
                let Some(segment) = self.segments.get_mut(&in_use) else { return };
                let mut keep = false;
                segment.points.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.points = segment.points.len();
            }
        }
    }

    fn remove(&mut self, key: SegmentKey) {
        let dropped = self.segments.remove(&key);
        self.points -= dropped.map_or(0, |segment| segment.points.len());
    }
}

fn key(link: ChainLink) -> SegmentKey {
    (link.first_seq, link.prev_seal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT_DISTANCE_BYTES: u64 = 200;

    const FIRST: ChainLink = ChainLink { first_seq: 1, prev_seal: 0 };
    const SECOND: ChainLink = ChainLink { first_seq: 1000, prev_seal: 7 };

    fn at(offset: u64) -> IndexPoint {
        IndexPoint { offset, seal: offset as u32 }
    }

    fn index_of_size(points: usize) -> SparseIndex {
        SparseIndex::new(points * size_of::<IndexEntry>(), POINT_DISTANCE_BYTES)
    }

    #[test]
    fn last_point_before_record_is_found() {
        let mut sparse_index = index_of_size(100);
        for number in 1..=9 {
            sparse_index.add(FIRST, number * 10, at(number * POINT_DISTANCE_BYTES));
        }
        assert_eq!(sparse_index.point_before(FIRST, 9), None);
        assert_eq!(sparse_index.point_before(FIRST, 10), Some((10, at(POINT_DISTANCE_BYTES))));
        assert_eq!(sparse_index.point_before(FIRST, 39), Some((30, at(3 * POINT_DISTANCE_BYTES))));
        assert_eq!(sparse_index.point_before(FIRST, u64::MAX), Some((90, at(9 * POINT_DISTANCE_BYTES))));
        assert_eq!(sparse_index.point_before(SECOND, u64::MAX), None);
    }

    #[test]
    fn points_added_in_any_order_keep_distance() {
        let mut sparse_index = index_of_size(1000);
        let offsets: Vec<u64> = (1..500).map(|n| n * 10_007 % 4999).collect();
        for &offset in &offsets {
            sparse_index.add(FIRST, offset, at(offset));
        }
        let points = &sparse_index.segments[&key(FIRST)].points;
        assert!(
            points.windows(2).all(|pair| pair[0].1.offset + POINT_DISTANCE_BYTES <= pair[1].1.offset),
            "{points:?}"
        );
        for offset in offsets {
            let (_, nearest) = sparse_index.point_before(FIRST, offset + POINT_DISTANCE_BYTES).unwrap();
            assert!(nearest.offset.abs_diff(offset) <= 2 * POINT_DISTANCE_BYTES, "{nearest:?} for {offset}");
        }
    }

    #[test]
    fn full_index_evicts_unused_segment() {
        let mut sparse_index = index_of_size(10);
        for number in 1..=8 {
            sparse_index.add(FIRST, number, at(number * POINT_DISTANCE_BYTES));
        }
        sparse_index.add(SECOND, 1001, at(POINT_DISTANCE_BYTES));
        sparse_index.add(SECOND, 1002, at(2 * POINT_DISTANCE_BYTES));
        assert!(sparse_index.point_before(FIRST, 8).is_some());
        sparse_index.add(SECOND, 1003, at(3 * POINT_DISTANCE_BYTES));
        assert_eq!(sparse_index.point_before(FIRST, 8), None, "the least recently used segment is evicted");
        for number in 4..=1000 {
            sparse_index.add(SECOND, 1000 + number, at(number * POINT_DISTANCE_BYTES));
            assert!(sparse_index.points <= 10);
        }
        assert_eq!(sparse_index.points, sparse_index.segments[&key(SECOND)].points.len());
        assert!(sparse_index.points >= 5, "{sparse_index:?}");
        assert!(sparse_index.bytes() < 4096, "{sparse_index:?}");
    }

    #[test]
    fn removed_segment_frees_points() {
        let mut sparse_index = index_of_size(10);
        sparse_index.add(FIRST, 5, at(1000));
        sparse_index.remove_segment(FIRST);
        sparse_index.remove_segment(SECOND);
        assert_eq!((sparse_index.point_before(FIRST, 5), sparse_index.points), (None, 0));
    }
}
