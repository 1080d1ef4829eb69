//! Test records. Each carries its writer and position, and a filler derived from both, so that a swapped or partial
//! record is detected.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

pub const BATCH_LEN: u32 = 4;

/// The identity of a record: its writer, and its position among the records of that writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId {
    /// The process: one per round.
    pub round: u32,
    pub writer: u32,
    /// Appends of this thread before this one.
    pub count: u32,
    /// Index within the batch.
    pub index: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestRecord {
    pub id: RecordId,
    filler: String,
}

impl RecordId {
    /// Returns the number of records in the append that contains this record.
    pub fn batch_len(self) -> u32 {
        if self.count.is_multiple_of(5) { BATCH_LEN } else { 1 }
    }

    /// Returns the record that the same writer issues after this one.
    pub fn successor(self) -> Self {
        let index = (self.index + 1) % self.batch_len();
        Self { index, count: self.count + u32::from(index == 0), ..self }
    }
}

impl TestRecord {
    /// Builds the record with this identity. Most are short; some are longer than a disk block.
    pub fn new(id: RecordId) -> Self {
        let parts = [id.round, id.writer, id.count, id.index];
        let seed = parts.iter().fold(0, |seed, part| Rng::with_seed(seed ^ u64::from(*part)).u64(..));
        let mut random = Rng::with_seed(seed);
        let bytes = if random.u8(..24) == 0 { random.usize(..6000) } else { random.usize(..50) };
        let filler = (0..bytes).map(|_| random.lowercase()).collect();
        Self { id, filler }
    }

    /// Returns `true` if no byte of it was lost or changed.
    pub fn is_intact(&self) -> bool {
        *self == Self::new(self.id)
    }
}
