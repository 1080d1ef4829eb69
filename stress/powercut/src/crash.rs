//! What a power cut may leave on a disk: everything before the last flush, and any subset of the sectors written
//! after it. Pure: chooses and builds images, touches no file system.
//!
//! Which of several writes to one sector is the newest one kept follows from the subset: they are applied in order.

use std::{collections::HashSet, fmt, str::FromStr};

use crate::{
    image::Image,
    random::Random,
    recording::{Event, Recording},
};

/// What of the writes that were not flushed is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Nothing,
    Everything,
    /// Each unit of so many bytes with so many percent, by a seed. `unit_bytes` 0: whole writes.
    Some {
        unit_bytes: u64,
        percent: u64,
        seed: u64,
    },
}

/// What file systems write their own metadata in, in bytes.
const BLOCK_BYTES: u64 = 4096;

impl Kept {
    /// Whether a block of a file system may be there in part. Journals must survive that; the file systems themselves
    /// do not always: the checksum of a superblock does not fit then.
    pub(crate) fn tears_blocks(self) -> bool {
        matches!(self, Self::Some { unit_bytes: 1..BLOCK_BYTES, .. })
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Everything => f.write_str("everything"),
            Self::Some { unit_bytes, percent, seed } => write!(f, "{unit_bytes}:{percent}:{seed}"),
        }
    }
}

impl FromStr for Kept {
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

/// One power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crash {
    /// So many events had happened.
    pub(crate) at: usize,
    pub(crate) kept: Kept,
    /// So many of the last flushes did nothing: 0 but for a control, which shows that a disk that lies is noticed.
    pub(crate) flushes_ignored: usize,
}

/// The moments worth trying: right before a flush (most is pending), right after a mark (most is promised), right
/// after a write.
#[derive(Debug)]
pub(crate) struct Moments {
    before_flush: Vec<usize>,
    after_mark: Vec<usize>,
    after_write: Vec<usize>,
}

impl Moments {
    /// Those from event `from` on.
    pub(crate) fn of(events: &[Event], from: usize) -> Self {
        let mut moments = Self { before_flush: vec![], after_mark: vec![], after_write: vec![] };
        for (index, event) in events.iter().enumerate().skip(from) {
            match event {
                Event::Flush => moments.before_flush.push(index),
                Event::Mark(_) => moments.after_mark.push(index + 1),
                Event::Write { .. } => moments.after_write.push(index + 1),
            }
        }
        moments
    }

    /// About `count` of them, in order, spread over the whole history.
    pub(crate) fn sample(&self, count: usize, random: &mut Random) -> Vec<usize> {
        let mut chosen: Vec<usize> = [&self.before_flush, &self.after_mark, &self.after_write]
            .into_iter()
            .flat_map(|moments| spread(moments, count.div_ceil(3), random))
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// About `count` moments at which something has just been promised.
    pub(crate) fn promises(&self, count: usize, random: &mut Random) -> Vec<usize> {
        spread(&self.after_mark, count, random)
    }
}

/// One of each of `count` equal parts.
fn spread(moments: &[usize], count: usize, random: &mut Random) -> Vec<usize> {
    let count = count.min(moments.len());
    let part = |number: usize| number * moments.len() / count.max(1);
    (0..count)
        .filter_map(|number| {
            let (from, to) = (part(number), part(number + 1));
            let inside = usize::try_from(random.below((to - from) as u64)).unwrap_or_default();
            moments.get(from + inside).copied()
        })
        .collect()
}

/// Every image to try at one moment: none twice.
pub(crate) fn crashes_at(events: &[Event], at: usize, random: &mut Random) -> Vec<Crash> {
    let crash = |kept| Crash { at, kept, flushes_ignored: 0 };
    let pending = &events[last_flush(events, at, 0)..at];
    if !pending.iter().any(|event| matches!(event, Event::Write { .. })) {
        return vec![crash(Kept::Everything)];
    }
    let mut crashes = vec![crash(Kept::Nothing), crash(Kept::Everything)];
    let mut seen: HashSet<Vec<(u64, u64)>> =
        crashes.iter().map(|crash| pieces(pending, crash.kept)).collect();
    for unit_bytes in [512, BLOCK_BYTES, 0, 512] {
        let percent = [10, 50, 90][usize::try_from(random.below(3)).unwrap_or_default()];
        let kept = Kept::Some { unit_bytes, percent, seed: random.below(1 << 32) };
        if seen.insert(pieces(pending, kept)) {
            crashes.push(crash(kept));
        }
    }
    crashes
}

/// What is kept of `pending`, as (event, first byte in it) of every sector: to tell equal images.
fn pieces(pending: &[Event], kept: Kept) -> Vec<(u64, u64)> {
    let mut pieces = Vec::new();
    for_each_kept(pending, kept, |event, from, data| {
        let sectors = (from..from + data.len() as u64).step_by(512);
        pieces.extend(sectors.map(|byte| (event as u64, byte)));
    });
    pieces
}

/// Calls `keep` with (event, first byte, bytes) of every part of a pending write that is on the disk.
fn for_each_kept<'a>(pending: &'a [Event], kept: Kept, mut keep: impl FnMut(usize, u64, &'a [u8])) {
    let (unit_bytes, percent, seed) = match kept {
        Kept::Nothing => return,
        Kept::Everything => (0, 100, 0),
        Kept::Some { unit_bytes, percent, seed } => (unit_bytes, percent, seed),
    };
    let mut random = Random::new(&[seed]);
    for (index, event) in pending.iter().enumerate() {
        let Event::Write { offset, data } = event else { continue };
        let mut from = 0;
        while from < data.len() {
            // Units are those of the disk, not of the write: the first and the last may be smaller.
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

/// Index of the first event behind the last flush before `at` that was not ignored.
fn last_flush(events: &[Event], at: usize, flushes_ignored: usize) -> usize {
    let mut flushes = (0..at).rev().filter(|index| events[*index] == Event::Flush);
    flushes.nth(flushes_ignored).map_or(0, |index| index + 1)
}

/// How many bytes were at stake.
pub(crate) fn pending_bytes(events: &[Event], at: usize) -> u64 {
    let pending = &events[last_flush(events, at, 0)..at];
    let bytes = |event: &Event| if let Event::Write { data, .. } = event { data.len() as u64 } else { 0 };
    pending.iter().map(bytes).sum()
}

/// Builds images of one recording, fast where the moments ascend.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    recording: &'a Recording,
    durable: Image,
    /// So many events are in `durable`.
    applied: usize,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(recording: &'a Recording) -> Self {
        Self { recording, durable: recording.base.clone(), applied: 0 }
    }

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
