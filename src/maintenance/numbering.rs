//! Numbers the records of a salvaged journal: which numbers they had, which they have now, and which numbers are lost. Pure.
//!
//! Headers state the number of a segment's first record. From there the lines are counted, in damaged groups too. That is exact
//! unless the damage changed a line feed, and the next header shows whether it did.

use std::path::PathBuf;

use serde::Serialize;

/// Consecutive records of one segment that were copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SalvagedRecords {
    /// The segment of the old journal.
    #[serde(serialize_with = "crate::serialize::path")]
    pub segment: PathBuf,
    /// The number of the first of them in the old journal, if it is known.
    pub old_first_seq: Option<u64>,
    /// The number of the first of them in the new journal.
    pub new_first_seq: u64,
    /// The number of records.
    pub records: u64,
    /// The old number counts lines of damaged groups before it, and no later header confirms it.
    pub is_estimated: bool,
}

/// Consecutive records that were acknowledged and are lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LostRecords {
    /// The segment that they were in; where segments are missing, the one after them.
    #[serde(serialize_with = "crate::serialize::path")]
    pub segment: PathBuf,
    /// The offset of the bytes that do not verify, from the start of the file.
    pub offset: u64,
    /// The number of the first of them, if it is known.
    pub first_seq: Option<u64>,
    /// The number of records.
    pub records: u64,
    /// The numbers count lines of damaged groups, and no later header confirms them.
    pub is_estimated: bool,
}

/// Consecutive lines of a segment, in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) records: u64,
    /// The number of the first of them in the new journal; `None` if they were not copied.
    pub(super) new_first: Option<u64>,
}

/// The lines of a segment.
#[derive(Debug)]
pub(super) struct NumberedSegment {
    pub(super) path: PathBuf,
    /// The number of its first record, if its header states it or it was counted back from a later header.
    pub(super) first: Option<u64>,
    pub(super) pieces: Vec<Piece>,
}

impl NumberedSegment {
    /// Adds lines to the last piece, or begins a new one.
    pub(super) fn push(&mut self, piece: Piece) {
        if let Some(last) = self.pieces.last_mut()
            && last.new_first.map(|first| first + last.records) == piece.new_first
        {
            last.records += piece.records;
        } else if piece.records > 0 {
            self.pieces.push(piece);
        }
    }
}

/// A sequence number, and whether it is exact.
type Position = (u64, bool);

/// Returns the records that were copied and those that are lost.
pub(super) fn number(segments: &[NumberedSegment]) -> (Vec<SalvagedRecords>, Vec<LostRecords>) {
    let (mut copied, mut lost) = (Vec::new(), Vec::new());
    let mut expected: Option<Position> = None;
    for (index, segment) in segments.iter().enumerate() {
        if let (Some((next, true)), Some(first)) = (expected, segment.first)
            && first > next
        {
            lost.push(LostRecords {
                segment: segment.path.clone(),
                offset: 0,
                first_seq: Some(next),
                records: first - next,
                is_estimated: false,
            });
        }
        let start = segment.first.map(|first| (first, true)).or(expected);
        let next = segments.get(index + 1).and_then(|next| next.first);
        let positions = positions(&segment.pieces, start, next);
        for (piece, (position, records)) in segment.pieces.iter().zip(&positions) {
            let (seq, is_estimated) =
                (position.map(|(seq, _)| seq), position.is_some_and(|(_, exact)| !exact));
            let segment = segment.path.clone();
            match piece.new_first {
                Some(new_first_seq) => copied.push(SalvagedRecords {
                    segment,
                    old_first_seq: seq,
                    new_first_seq,
                    records: *records,
                    is_estimated,
                }),
                None => lost.push(LostRecords {
                    segment,
                    offset: piece.offset,
                    first_seq: seq,
                    records: *records,
                    is_estimated,
                }),
            }
        }
        expected = match positions.last() {
            Some((position, records)) => position.map(|(seq, exact)| (seq + records, exact)),
            None => start,
        };
        // Records that a damaged segment had at its end are between its last line and the next header.
        if let (Some((seq, false)), Some(next)) = (expected, next) {
            expected = Some((seq.max(next), true));
        }
    }
    (copied, lost)
}

/// Returns the number of the first record of each piece, and the number of its records. `next` is the first number of the next
/// segment, if that states it.
fn positions(pieces: &[Piece], start: Option<Position>, next: Option<u64>) -> Vec<(Option<Position>, u64)> {
    let total: u64 = pieces.iter().map(|piece| piece.records).sum();
    let is_damaged = |piece: &Piece| piece.new_first.is_none();
    let first_damaged = pieces.iter().position(is_damaged);
    let last_damaged = pieces.iter().rposition(is_damaged);
    let is_confirmed = start.is_some_and(|(first, exact)| exact && Some(first + total) == next);
    let mut seq = start;
    let mut positions = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let is_after_damage = first_damaged.is_some_and(|first| index >= first);
        // The lost piece itself begins where the records before it end, but its lines may have been changed.
        let exact = seq.is_some_and(|(_, exact)| exact) && (is_confirmed || !is_after_damage);
        positions.push((seq.map(|(seq, _)| (seq, exact)), piece.records));
        seq = seq.map(|(seq, _)| (seq + piece.records, exact));
    }
    let (Some(next), Some(last), false) = (next, last_damaged, is_confirmed) else { return positions };
    // The records after the last damage are counted back from the next header.
    let after: u64 = pieces[last + 1..].iter().map(|piece| piece.records).sum();
    let mut first = next.saturating_sub(after);
    if first_damaged == Some(last)
        && let Some((lost_first, _)) = positions[last].0
        && lost_first < first
    {
        let is_start_exact = start.is_some_and(|(_, exact)| exact);
        positions[last] = (Some((lost_first, is_start_exact)), first - lost_first);
    }
    for (position, piece) in positions[last + 1..].iter_mut().zip(&pieces[last + 1..]) {
        position.0 = Some((first, true));
        first += piece.records;
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces by their records: positive ones were copied, negative ones are lost.
    fn segment(first: Option<u64>, pieces: &[i64]) -> NumberedSegment {
        let mut new_first = 1;
        let mut segment = NumberedSegment { path: PathBuf::new(), first, pieces: Vec::new() };
        for &records in pieces {
            let is_copied = records > 0;
            let records = records.unsigned_abs();
            segment.pieces.push(Piece { offset: 0, records, new_first: is_copied.then_some(new_first) });
            new_first += if is_copied { records } else { 0 };
        }
        segment
    }

    /// Returns the old numbers of the copied records and of the lost ones: first, count, whether they are exact.
    #[expect(clippy::type_complexity, reason = "a test's table")]
    fn numbered(
        segments: &[NumberedSegment],
    ) -> (Vec<(Option<u64>, u64, bool)>, Vec<(Option<u64>, u64, bool)>) {
        let (copied, lost) = number(segments);
        (
            copied.iter().map(|run| (run.old_first_seq, run.records, !run.is_estimated)).collect(),
            lost.iter().map(|run| (run.first_seq, run.records, !run.is_estimated)).collect(),
        )
    }

    #[test]
    fn next_header_confirms_counted_lines() {
        let (copied, lost) = numbered(&[segment(Some(1), &[2, -3, 4]), segment(Some(10), &[1])]);
        assert_eq!(copied, [(Some(1), 2, true), (Some(6), 4, true), (Some(10), 1, true)]);
        assert_eq!(lost, [(Some(3), 3, true)]);
    }

    #[test]
    fn next_header_corrects_counted_lines() {
        // A line feed was changed: five records look like three lines.
        let (copied, lost) = numbered(&[segment(Some(1), &[2, -3, 4]), segment(Some(12), &[1])]);
        assert_eq!(copied, [(Some(1), 2, true), (Some(8), 4, true), (Some(12), 1, true)]);
        assert_eq!(lost, [(Some(3), 5, true)]);
    }

    #[test]
    fn numbers_after_damage_at_the_end_are_estimated() {
        let (copied, lost) = numbered(&[segment(Some(5), &[2, -3, 4])]);
        assert_eq!(copied, [(Some(5), 2, true), (Some(10), 4, false)]);
        assert_eq!(lost, [(Some(7), 3, false)]);
    }

    #[test]
    fn missing_segment_is_lost_exactly() {
        let (copied, lost) = numbered(&[segment(Some(1), &[2]), segment(Some(9), &[1])]);
        assert_eq!(copied, [(Some(1), 2, true), (Some(9), 1, true)]);
        assert_eq!(lost, [(Some(3), 6, true)]);
    }

    #[test]
    fn records_cut_off_before_a_next_segment_are_lost() {
        let (copied, lost) = numbered(&[segment(Some(1), &[2, -1]), segment(Some(9), &[1])]);
        assert_eq!(copied, [(Some(1), 2, true), (Some(9), 1, true)]);
        assert_eq!(lost, [(Some(3), 6, true)]);
    }

    #[test]
    fn unknown_first_number_stays_unknown() {
        let (copied, lost) = numbered(&[segment(None, &[-1, 2]), segment(Some(9), &[1])]);
        assert_eq!(copied, [(Some(7), 2, true), (Some(9), 1, true)]);
        assert_eq!(lost, [(None, 1, true)]);
    }
}
