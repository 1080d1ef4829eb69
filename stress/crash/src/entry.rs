//! The records: each one says who wrote it and in what order, and cannot be mistaken for another, or for half of
//! itself.

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// Records of one batch.
pub const BATCH: u32 = 4;

/// Who wrote a record, and as which of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// The process: one a round.
    pub round: u32,
    /// The thread.
    pub writer: u32,
    /// Appends of this thread before this one.
    pub count: u32,
    /// Place in the batch.
    pub place: u32,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which one it is.
    pub mark: Mark,
    filler: String,
}

impl Mark {
    /// How many records its append hands over.
    #[must_use]
    pub fn of(self) -> u32 {
        if self.count.is_multiple_of(5) { BATCH } else { 1 }
    }

    /// The one that its writer issues after it.
    #[must_use]
    pub fn next(self) -> Self {
        let place = (self.place + 1) % self.of();
        Self { place, count: self.count + u32::from(place == 0), ..self }
    }
}

impl Entry {
    /// The record of this mark. Most are short; some are longer than a block of the disk.
    #[must_use]
    pub fn new(mark: Mark) -> Self {
        let seed = [mark.round, mark.writer, mark.count, mark.place];
        let seed = seed.iter().fold(1_u64, |seed, &n| seed.wrapping_mul(1_000_003) ^ u64::from(n));
        let mut random = Random::new(seed);
        let bytes = if random.once_in(24) { random.below(6000) } else { random.below(50) };
        let filler = (0..bytes).map(|_| char::from(b'a' + (random.draw() % 26) as u8)).collect();
        Self { mark, filler }
    }

    /// Nothing of it was lost or changed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Self::new(self.mark)
    }
}
