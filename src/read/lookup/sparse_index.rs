//! Where groups begin in the segments of a journal: some places of each, so that a record is found without reading its
//! segment from the start. Bounded: the segment that was not read from for longest is forgotten first.
//!
//! A place is only ever a hint. It comes with the seal before it, so that what is read from there is verified as if
//! everything before it had been read.

use std::collections::HashMap;

use crate::{format::ChainLink, format::scan::IndexPoint};

/// A place is remembered where the last one is so many bytes away.
pub(super) const EVERY_BYTES: u64 = if cfg!(test) { 200 } else { 32 << 10 };

/// What all places may take. It is enough for 10 GiB of groups smaller than [`EVERY_BYTES`]; larger ones need less.
pub(super) const BYTES_MAX: usize = 8 << 20;

/// A group's place, and the number of its first record.
type IndexEntry = (u64, IndexPoint);

/// A segment is told by what its header says: it keeps that when it is archived.
type SegmentKey = (u64, u32);

#[derive(Debug)]
pub(super) struct SparseIndex {
    points_max: usize,
    points: usize,
    /// Moves on whenever a segment is used.
    clock: u64,
    segments: HashMap<SegmentKey, SegmentIndex>,
}

/// Places in one segment, in the order of their numbers.
#[derive(Debug, Default)]
struct SegmentIndex {
    used: u64,
    points: Vec<IndexEntry>,
}

impl SparseIndex {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            points_max: bytes_max / size_of::<IndexEntry>(),
            points: 0,
            clock: 0,
            segments: HashMap::new(),
        }
    }

    /// The last place before record `seq`.
    pub(super) fn before(&mut self, link: ChainLink, seq: u64) -> Option<IndexEntry> {
        self.clock += 1;
        let route = self.segments.get_mut(&key(link))?;
        route.used = self.clock;
        let behind = route.points.partition_point(|&(first, _)| first <= seq);
        route.points.get(behind.checked_sub(1)?).copied()
    }

    /// Remembers a place, unless there is another nearby.
    pub(super) fn note(&mut self, link: ChainLink, seq: u64, index_point: IndexPoint) {
        self.clock += 1;
        let route = self.segments.entry(key(link)).or_default();
        route.used = self.clock;
        let at = route.points.partition_point(|&(first, _)| first < seq);
        let close = |&(_, other): &IndexEntry| other.offset.abs_diff(index_point.offset) < EVERY_BYTES;
        let known = route.points.get(at).is_some_and(|point| point.0 == seq || close(point));
        if known || at.checked_sub(1).is_some_and(|before| close(&route.points[before])) {
            return;
        }
        route.points.insert(at, (seq, index_point));
        self.points += 1;
        while self.points > self.points_max {
            self.evict(key(link));
        }
    }

    /// What was remembered of this segment does not hold any more.
    pub(super) fn forget(&mut self, link: ChainLink) {
        self.drop_route(key(link));
    }

    /// Memory held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let points: usize = self.segments.values().map(|route| route.points.capacity()).sum();
        points * size_of::<IndexEntry>() + self.segments.capacity() * size_of::<(SegmentKey, SegmentIndex)>()
    }

    /// Forgets the segment that was not used for longest; where there is only this one, every second place in it.
    fn evict(&mut self, in_use: SegmentKey) {
        let others = self.segments.iter().filter(|&(&other, _)| other != in_use);
        match others.min_by_key(|(_, route)| route.used).map(|(&oldest, _)| oldest) {
            Some(oldest) => self.drop_route(oldest),
            None => {
                let Some(route) = self.segments.get_mut(&in_use) else { return };
                let mut keep = false;
                route.points.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.points = route.points.len();
            }
        }
    }

    fn drop_route(&mut self, segment: SegmentKey) {
        let dropped = self.segments.remove(&segment);
        self.points -= dropped.map_or(0, |route| route.points.len());
    }
}

fn key(link: ChainLink) -> SegmentKey {
    (link.first, link.prev)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: ChainLink = ChainLink { first: 1, prev: 0 };
    const SECOND: ChainLink = ChainLink { first: 1000, prev: 7 };

    fn at(offset: u64) -> IndexPoint {
        IndexPoint { offset, seal: offset as u32 }
    }

    fn points_of(bytes: u64) -> SparseIndex {
        SparseIndex::new(bytes as usize * size_of::<IndexEntry>())
    }

    #[test]
    fn the_last_place_before_a_record_is_found() {
        let mut sparse_index = points_of(100);
        for number in 1..=9 {
            sparse_index.note(FIRST, number * 10, at(number * EVERY_BYTES));
        }
        assert_eq!(sparse_index.before(FIRST, 9), None);
        assert_eq!(sparse_index.before(FIRST, 10), Some((10, at(EVERY_BYTES))));
        assert_eq!(sparse_index.before(FIRST, 39), Some((30, at(3 * EVERY_BYTES))));
        assert_eq!(sparse_index.before(FIRST, u64::MAX), Some((90, at(9 * EVERY_BYTES))));
        assert_eq!(sparse_index.before(SECOND, u64::MAX), None);
    }

    #[test]
    fn places_are_kept_some_way_apart_in_whatever_order_they_come() {
        let mut sparse_index = points_of(1000);
        let offsets: Vec<u64> = (1..500).map(|n| n * 10_007 % 4999).collect();
        for &offset in &offsets {
            sparse_index.note(FIRST, offset, at(offset));
        }
        let points = &sparse_index.segments[&key(FIRST)].points;
        assert!(
            points.windows(2).all(|pair| pair[0].1.offset + EVERY_BYTES <= pair[1].1.offset),
            "{points:?}"
        );
        for offset in offsets {
            let (_, near) = sparse_index.before(FIRST, offset + EVERY_BYTES).unwrap();
            assert!(near.offset.abs_diff(offset) <= 2 * EVERY_BYTES, "{near:?} for {offset}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_segment_in_use_is_kept() {
        let mut sparse_index = points_of(10);
        for number in 1..=8 {
            sparse_index.note(FIRST, number, at(number * EVERY_BYTES));
        }
        sparse_index.note(SECOND, 1001, at(EVERY_BYTES));
        sparse_index.note(SECOND, 1002, at(2 * EVERY_BYTES));
        assert!(sparse_index.before(FIRST, 8).is_some());
        sparse_index.note(SECOND, 1003, at(3 * EVERY_BYTES));
        assert_eq!(sparse_index.before(FIRST, 8), None, "the other one gave way");
        for number in 4..=1000 {
            sparse_index.note(SECOND, 1000 + number, at(number * EVERY_BYTES));
            assert!(sparse_index.points <= 10);
        }
        assert_eq!(sparse_index.points, sparse_index.segments[&key(SECOND)].points.len());
        assert!(sparse_index.points >= 5, "{sparse_index:?}");
        assert!(sparse_index.bytes() < 4096, "{sparse_index:?}");
    }

    #[test]
    fn evicted_index_entries_free_capacity() {
        let mut sparse_index = points_of(10);
        sparse_index.note(FIRST, 5, at(1000));
        sparse_index.forget(FIRST);
        sparse_index.forget(SECOND);
        assert_eq!((sparse_index.before(FIRST, 5), sparse_index.points), (None, 0));
    }
}
