//! The disk images that a power cut may leave: everything before the last flush, and any subset of the sectors written
//! after it. This module is pure: it chooses and builds images and accesses no file system.
//!
//! The kept writes are applied in order, so the last kept write to a sector wins.

use std::collections::HashSet;

use fastrand::Rng;
use ministore_faultfs::{
    image::Image,
    recording::{Event, KeptPart, KeptWrites, Recording},
};

/// The metadata block size of the file systems.
const BLOCK_BYTES: u64 = 4096;

/// Returns `true` if a file system block may be kept in part. Journals must survive that. The file systems themselves do
/// not always: the checksum of a torn superblock does not match.
pub(crate) fn tears_blocks(kept: KeptWrites) -> bool {
    matches!(kept, KeptWrites::Some { unit_bytes: 1..BLOCK_BYTES, .. })
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
                Event::Sync => points.before_flush.push(index),
                Event::Marker(_) => points.after_marker.push(index + 1),
                Event::Write { .. } | Event::SetLen(_) => points.after_write.push(index + 1),
            }
        }
        points
    }

    /// Returns about `count` crash points in ascending order, spread over the whole recording.
    pub(crate) fn sample(&self, count: usize, random: &mut Rng) -> Vec<usize> {
        let mut chosen: Vec<usize> = [&self.before_flush, &self.after_marker, &self.after_write]
            .into_iter()
            .flat_map(|points| spread(points, count.div_ceil(3), random))
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// Returns about `count` crash points right after markers.
    pub(crate) fn sample_after_markers(&self, count: usize, random: &mut Rng) -> Vec<usize> {
        spread(&self.after_marker, count, random)
    }
}

/// Returns one crash point from each of `count` equal parts.
fn spread(points: &[usize], count: usize, random: &mut Rng) -> Vec<usize> {
    let count = count.min(points.len());
    let part = |number: usize| number * points.len() / count.max(1);
    (0..count)
        .filter_map(|number| {
            let (from, to) = (part(number), part(number + 1));
            points.get(random.usize(from..to)).copied()
        })
        .collect()
}

/// Returns the power cuts to test at one crash point. No two leave the same image.
pub(crate) fn crashes_at(events: &[Event], at: usize, random: &mut Rng) -> Vec<Crash> {
    let crash = |kept| Crash { at, kept, flushes_ignored: 0 };
    let pending = &events[last_flush(events, at, 0)..at];
    if !pending.iter().any(|event| matches!(event, Event::Write { .. })) {
        return vec![crash(KeptWrites::Everything)];
    }
    let mut crashes = vec![crash(KeptWrites::Nothing), crash(KeptWrites::Everything)];
    let mut seen: HashSet<Vec<(usize, u64)>> =
        crashes.iter().map(|crash| kept_sectors(pending, crash.kept)).collect();
    for unit_bytes in [512, BLOCK_BYTES, 0, 512] {
        let percent = [10, 50, 90][random.usize(..3)];
        let kept = KeptWrites::Some { unit_bytes, percent, seed: random.u64(..1 << 32) };
        if seen.insert(kept_sectors(pending, kept)) {
            crashes.push(crash(kept));
        }
    }
    crashes
}

/// Returns (event, offset) of each kept sector, to detect equal images.
fn kept_sectors(pending: &[Event], kept: KeptWrites) -> Vec<(usize, u64)> {
    let mut sectors_kept = Vec::new();
    kept.select(pending, |event, part| {
        if let KeptPart::Bytes(offset, data) = part {
            let sectors = (offset..offset + data.len() as u64).step_by(512);
            sectors_kept.extend(sectors.map(|sector| (event, sector)));
        }
    });
    sectors_kept
}

/// Returns the index of the event after the last flush before `at` that was not ignored.
fn last_flush(events: &[Event], at: usize, flushes_ignored: usize) -> usize {
    let mut flushes = (0..at).rev().filter(|index| events[*index] == Event::Sync);
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
        events[self.applied..durable].iter().for_each(|event| event.apply_to(&mut self.durable));
        self.applied = durable;
        let mut image = self.durable.clone();
        crash.kept.select(&events[durable..at], |_, part| part.apply_to(&mut image));
        image
    }
}

#[cfg(test)]
mod tests;
