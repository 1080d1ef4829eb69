//! Decides whether the oldest segment is deleted: a pure function, evaluated again after each deletion.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::JournalOptions;

/// The limits from the options. The highest value of each field means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetentionLimits {
    /// Segments, including the active one.
    pub(crate) max_segments: usize,
    /// Bytes of their files, including the active one.
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

    /// Returns the limits that also apply between two rotations: all but the number of segments.
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

/// The limits, trims and holds that decide whether a segment is deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetentionPolicy {
    pub(crate) limits: RetentionLimits,
    /// The program needs no record before this one.
    pub(crate) trimmed_before: u64,
    /// A consumer needs all records from this one on. Without a hold: `u64::MAX`, which no record has.
    pub(crate) lowest_hold: u64,
}

/// The size of a journal before a decision, including the active segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JournalSize {
    pub(crate) segments: usize,
    pub(crate) bytes: u64,
}

/// The oldest rotated segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OldestSegment {
    /// The sequence number of its first record.
    pub(crate) first: u64,
    /// The sequence number after its last record, if the header of the next segment stores it.
    pub(crate) end: Option<u64>,
    /// The age of its newest record, if it is known.
    pub(crate) age: Option<Duration>,
}

/// 2020: no journal was written earlier. A machine without a battery clock starts in 1970 or 1980.
const EARLIEST_STAMP: Duration = Duration::from_secs(1_577_836_800);

/// Returns the age that a time stamp states; `None` if the stamp is implausible: it is in the future, or from a clock that was
/// not set.
pub(crate) fn plausible_age(stamp: SystemTime, now: SystemTime) -> Option<Duration> {
    let age = now.duration_since(stamp).ok()?;
    let is_set = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since >= EARLIEST_STAMP)
    };
    (is_set(stamp) || !is_set(now)).then_some(age)
}

/// Returns the age of the first of these segments, oldest first, by the first plausible time stamp: a segment is at least as old as
/// the ones after it.
pub(crate) fn age_of_oldest<E>(
    stamps: impl Iterator<Item = Result<Option<SystemTime>, E>>,
    now: SystemTime,
) -> Result<Option<Duration>, E> {
    for stamp in stamps {
        if let Some(age) = stamp?.and_then(|stamp| plausible_age(stamp, now)) {
            return Ok(Some(age));
        }
    }
    Ok(None)
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
    /// Returns why the oldest segment must be deleted, or `None` to keep it and all segments after it.
    pub(crate) fn delete_reason(&self, size: JournalSize, oldest: &OldestSegment) -> Option<DeleteReason> {
        let Self { limits, trimmed_before, .. } = self;
        let (end, segments) = (oldest.end, size.segments);
        if self.is_held(oldest) {
            None
        } else if end.is_some_and(|end| end <= *trimmed_before) {
            Some(DeleteReason::Trimmed)
        } else if segments > limits.max_segments {
            Some(DeleteReason::Count)
        } else if size.bytes > limits.max_total_bytes {
            Some(DeleteReason::Bytes)
        } else if oldest.age.is_some_and(|age| age > limits.max_age) {
            Some(DeleteReason::Age)
        } else {
            None
        }
    }

    /// Returns whether a hold may need a record of this segment: if its end is unknown, any hold may.
    fn is_held(&self, oldest: &OldestSegment) -> bool {
        let has_hold = self.lowest_hold < u64::MAX;
        has_hold && oldest.end.is_none_or(|end| end > self.lowest_hold)
    }
}

#[cfg(test)]
mod tests;
