//! Which segment may go: a pure rule about the oldest one, asked again after each deletion.

use std::{fmt, time::Duration};

use crate::{
    JournalOptions,
    seeded_bugs::{Bug, seeded},
};

/// What the options say. The highest value of each sets no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetentionLimits {
    /// Segments, the active one counted.
    pub(crate) max_segments: usize,
    /// Bytes of their files, the active one's counted.
    pub(crate) max_total_bytes: u64,
    pub(crate) max_age: Duration,
}

impl RetentionLimits {
    pub(crate) fn of(options: &JournalOptions) -> Self {
        Self {
            max_segments: options.max_segments.unwrap_or(usize::MAX),
            max_total_bytes: options.max_total_bytes.unwrap_or(u64::MAX),
            max_age: options.max_age.unwrap_or(Duration::MAX),
        }
    }

    /// Those that hold between two rotations, too.
    pub(crate) fn without_count(self) -> Self {
        Self { max_segments: usize::MAX, ..self }
    }

    pub(crate) fn limits_bytes(&self) -> bool {
        self.max_total_bytes < u64::MAX
    }

    pub(crate) fn limits_age(&self) -> bool {
        self.max_age < Duration::MAX
    }

    pub(crate) fn keep_everything(&self) -> bool {
        self.max_segments == usize::MAX && !self.limits_bytes() && !self.limits_age()
    }
}

/// What decides about a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetentionPolicy {
    pub(crate) limits: RetentionLimits,
    /// The program needs no record before this one.
    pub(crate) trimmed_before: u64,
    /// Somebody needs all records from this one on. Nobody: the highest number, which no record has.
    pub(crate) lowest_hold: u64,
}

/// What a journal consists of before a decision, the active segment counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JournalSize {
    pub(crate) segments: usize,
    pub(crate) bytes: u64,
}

/// The oldest archived segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OldestSegment {
    /// Its first record.
    pub(crate) first: u64,
    /// The first record behind it, where the segment behind it says so.
    pub(crate) end: Option<u64>,
    /// The age of its newest record, where that can be known.
    pub(crate) age: Option<Duration>,
}

/// Why a segment is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeleteReason {
    Trimmed,
    Count,
    Bytes,
    Age,
}

impl fmt::Display for DeleteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trimmed => "trimmed",
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Age => "age",
        })
    }
}

impl RetentionPolicy {
    /// Why the oldest segment is to be deleted; `None`: it stays, and so does everything behind it.
    pub(crate) fn delete_reason(&self, left: JournalSize, oldest: &OldestSegment) -> Option<DeleteReason> {
        let Self { limits, trimmed_before, .. } = self;
        let end = if seeded(Bug::TrimDeletesOneTooMany) { Some(oldest.first) } else { oldest.end };
        let segments = left.segments
            + usize::from(seeded(Bug::RetentionDeletesOneTooMany) && limits.max_segments < usize::MAX);
        if self.is_held(oldest) {
            None
        } else if end.is_some_and(|end| end <= *trimmed_before) {
            Some(DeleteReason::Trimmed)
        } else if segments > limits.max_segments {
            Some(DeleteReason::Count)
        } else if left.bytes > limits.max_total_bytes {
            Some(DeleteReason::Bytes)
        } else if oldest.age.is_some_and(|age| age > limits.max_age) {
            Some(DeleteReason::Age)
        } else {
            None
        }
    }

    /// What is not known to end before it is held.
    fn is_held(&self, oldest: &OldestSegment) -> bool {
        let somebody_holds = self.lowest_hold < u64::MAX && !seeded(Bug::RetentionIgnoresHolds);
        somebody_holds && oldest.end.is_none_or(|end| end > self.lowest_hold)
    }
}

#[cfg(test)]
mod tests;
