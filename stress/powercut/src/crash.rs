//! The disk images that a power cut may leave: everything before the last flush, and any subset of the sectors written
//! after it. This module is pure: it chooses and builds images and accesses no file system.
//!
//! The kept writes are applied in order, so the last kept write to a sector wins.

use std::{collections::HashSet, fmt, str::FromStr};

use crate::{
    image::Image,
    random::Random,
    recording::{Event, Recording},
};

/// The unflushed writes that reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeptWrites {
    Nothing,
    Everything,
    /// Each unit of `unit_bytes` is kept with a probability of `percent`, chosen by `seed`. A unit of 0 bytes is a
    /// whole write.
    Some {
        unit_bytes: u64,
        percent: u64,
        seed: u64,
    },
}

/// The metadata block size of the file systems.
const BLOCK_BYTES: u64 = 4096;

impl KeptWrites {
    /// Returns `true` if a file system block may be kept in part. Journals must survive that. The file systems
    /// themselves do not always: the checksum of a torn superblock does not match.
    pub(crate) fn tears_blocks(self) -> bool {
        matches!(self, Self::Some { unit_bytes: 1..BLOCK_BYTES, .. })
    }
}

impl fmt::Display for KeptWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Everything => f.write_str("everything"),
            Self::Some { unit_bytes, percent, seed } => write!(f, "{unit_bytes}:{percent}:{seed}"),
        }
    }
}

impl FromStr for KeptWrites {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nothing" => return Ok(Self::Nothing),
            "everything" => return Ok(Self::Everything),
            _ => {}
        }
        let numbers: Result<Vec<u64>, _> = text.split(':').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[unit_bytes, percent, seed]) => Ok(Self::Some { unit_bytes, percent, seed }),
            _ => Err(format!("{text}: not nothing, everything or BYTES:PERCENT:SEED")),
        }
    }
}

/// A power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crash {
    /// The number of events before the power cut.
    pub(crate) at: usize,
    pub(crate) kept: KeptWrites,
    /// The number of last flushes that the disk ignored. Only the control that simulates a lying disk sets it.
    pub(crate) flushes_ignored: usize,
}

/// The crash points worth testing: before a flush, when most writes are pending; after a marker, when most records are
/// acknowledged; and after a write.
#[derive(Debug)]
pub(crate) struct CrashPoints {
    before_flush: Vec<usize>,
    after_marker: Vec<usize>,
    after_write: Vec<usize>,
}

impl CrashPoints {
    /// Collects the crash points from event `from` on.
    pub(crate) fn of(events: &[Event], from: usize) -> Self {
        let mut points = Self { before_flush: vec![], after_marker: vec![], after_write: vec![] };
        for (index, event) in events.iter().enumerate().skip(from) {
            match event {
                Event::Flush => points.before_flush.push(index),
                Event::Marker(_) => points.after_marker.push(index + 1),
                Event::Write { .. } => points.after_write.push(index + 1),
            }
        }
        points
    }

    /// Returns about `count` crash points in ascending order, spread over the whole recording.
    pub(crate) fn sample(&self, count: usize, random: &mut Random) -> Vec<usize> {
        let mut chosen: Vec<usize> = [&self.before_flush, &self.after_marker, &self.after_write]
            .into_iter()
            .flat_map(|points| spread(points, count.div_ceil(3), random))
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// Returns about `count` crash points right after markers.
    pub(crate) fn sample_after_markers(&self, count: usize, random: &mut Random) -> Vec<usize> {
        spread(&self.after_marker, count, random)
    }
}

/// Returns one crash point from each of `count` equal parts.
fn spread(points: &[usize], count: usize, random: &mut Random) -> Vec<usize> {
    let count = count.min(points.len());
    let part = |number: usize| number * points.len() / count.max(1);
    (0..count)
        .filter_map(|number| {
            let (from, to) = (part(number), part(number + 1));
            let offset = usize::try_from(random.below((to - from) as u64)).unwrap_or_default();
            points.get(from + offset).copied()
        })
        .collect()
}

/// Returns the power cuts to test at one crash point. No two leave the same image.
pub(crate) fn crashes_at(events: &[Event], at: usize, random: &mut Random) -> Vec<Crash> {
    let crash = |kept| Crash { at, kept, flushes_ignored: 0 };
    let pending = &events[last_flush(events, at, 0)..at];
    if !pending.iter().any(|event| matches!(event, Event::Write { .. })) {
        return vec![crash(KeptWrites::Everything)];
    }
    let mut crashes = vec![crash(KeptWrites::Nothing), crash(KeptWrites::Everything)];
    let mut seen: HashSet<Vec<(u64, u64)>> =
        crashes.iter().map(|crash| kept_sectors(pending, crash.kept)).collect();
    for unit_bytes in [512, BLOCK_BYTES, 0, 512] {
        let percent = [10, 50, 90][usize::try_from(random.below(3)).unwrap_or_default()];
        let kept = KeptWrites::Some { unit_bytes, percent, seed: random.below(1 << 32) };
        if seen.insert(kept_sectors(pending, kept)) {
            crashes.push(crash(kept));
        }
    }
    crashes
}

/// Returns (event, offset) of each kept sector, to detect equal images.
fn kept_sectors(pending: &[Event], kept: KeptWrites) -> Vec<(u64, u64)> {
    let mut sectors_kept = Vec::new();
    for_each_kept(pending, kept, |event, from, data| {
        let sectors = (from..from + data.len() as u64).step_by(512);
        sectors_kept.extend(sectors.map(|byte| (event as u64, byte)));
    });
    sectors_kept
}

/// Calls `keep` with (event, offset in it, bytes) for each kept part of a pending write.
fn for_each_kept<'a>(pending: &'a [Event], kept: KeptWrites, mut keep: impl FnMut(usize, u64, &'a [u8])) {
    let (unit_bytes, percent, seed) = match kept {
        KeptWrites::Nothing => return,
        KeptWrites::Everything => (0, 100, 0),
        KeptWrites::Some { unit_bytes, percent, seed } => (unit_bytes, percent, seed),
    };
    let mut random = Random::new(&[seed]);
    for (index, event) in pending.iter().enumerate() {
        let Event::Write { offset, data } = event else { continue };
        let mut from = 0;
        while from < data.len() {
            // Units are aligned to the disk, not to the write, so the first and the last may be smaller.
            let left = match unit_bytes {
                0 => u64::MAX,
                unit => unit - (offset + from as u64) % unit,
            };
            let to = data.len().min(from.saturating_add(usize::try_from(left).unwrap_or(usize::MAX)));
            if random.percent(percent) {
                keep(index, from as u64, &data[from..to]);
            }
            from = to;
        }
    }
}

/// Returns the index of the event after the last flush before `at` that was not ignored.
fn last_flush(events: &[Event], at: usize, flushes_ignored: usize) -> usize {
    let mut flushes = (0..at).rev().filter(|index| events[*index] == Event::Flush);
    flushes.nth(flushes_ignored).map_or(0, |index| index + 1)
}

/// Returns the number of unflushed bytes at a crash point.
pub(crate) fn pending_bytes(events: &[Event], at: usize) -> u64 {
    let pending = &events[last_flush(events, at, 0)..at];
    let bytes = |event: &Event| if let Event::Write { data, .. } = event { data.len() as u64 } else { 0 };
    pending.iter().map(bytes).sum()
}

/// Builds the images of one recording. It is fast if the crash points ascend.
#[derive(Debug)]
pub(crate) struct ImageBuilder<'a> {
    recording: &'a Recording,
    durable: Image,
    /// The number of events applied to `durable`.
    applied: usize,
}

impl<'a> ImageBuilder<'a> {
    pub(crate) fn new(recording: &'a Recording) -> Self {
        Self { recording, durable: recording.base.clone(), applied: 0 }
    }

    /// Builds the image that `crash` leaves.
    pub(crate) fn image(&mut self, crash: Crash) -> Image {
        let events = &self.recording.events;
        let at = crash.at.min(events.len());
        let durable = last_flush(events, at, crash.flushes_ignored);
        if durable < self.applied {
            *self = Self::new(self.recording);
        }
        for event in &events[self.applied..durable] {
            if let Event::Write { offset, data } = event {
                self.durable.write(*offset, data);
            }
        }
        self.applied = durable;
        let mut image = self.durable.clone();
        let pending = &events[durable..at];
        for_each_kept(pending, crash.kept, |index, from, data| {
            if let Event::Write { offset, .. } = &pending[index] {
                image.write(offset + from, data);
            }
        });
        image
    }
}

#[cfg(test)]
mod tests;
