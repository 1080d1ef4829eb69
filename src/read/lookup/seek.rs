//! Moves a segment reader to a record with the index.

use std::{io, sync::Arc};

use super::index::{Index, IndexRecorder};
use crate::{format::scan::SegmentEnd, read::segment::SegmentReader};

pub(super) fn is_corrupt(end: &SegmentEnd) -> bool {
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
        segment.set_index_recorder(IndexRecorder::new(Arc::clone(index), link));
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
