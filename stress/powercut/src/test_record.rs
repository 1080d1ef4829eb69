//! The records of the workload. Each identifies its client, and its text is derived from that identity.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// The client ID of the checker.
pub(crate) const CHECKER: u64 = u64::MAX;

/// Creates a random number generator. The same parts give the same numbers.
pub(crate) fn rng(parts: &[u64]) -> Rng {
    let seed = parts.iter().fold(0, |seed, part| Rng::with_seed(seed ^ part).u64(..));
    Rng::with_seed(seed)
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct TestRecord {
    pub(crate) journal: u64,
    /// The number of power cuts before it was written.
    pub(crate) generation: u64,
    pub(crate) client: u64,
    /// The position among the records of this client, from 1.
    pub(crate) number: u64,
    /// The index in its batch, from 0.
    pub(crate) index: u64,
    /// The number of records in its batch; 1 for a single record.
    pub(crate) batch_len: u64,
    pub(crate) text: String,
}

impl TestRecord {
    pub(crate) fn new(
        writer: (u64, u64, u64),
        number: u64,
        index: u64,
        batch_len: u64,
        text_bytes: usize,
    ) -> Self {
        let (journal, generation, client) = writer;
        let mut record = Self { journal, generation, client, number, index, batch_len, text: String::new() };
        record.text = record.text_of(text_bytes);
        record
    }

    /// Returns `true` if every byte is as its client wrote it.
    pub(crate) fn is_intact(&self) -> bool {
        self.index < self.batch_len && self.text == self.text_of(self.text.len())
    }

    /// Returns hexadecimal digits that depend on the identity and the length of the record.
    fn text_of(&self, bytes: usize) -> String {
        let mut random = rng(&[self.journal, self.generation, self.client, self.number, bytes as u64]);
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            let piece = format!("{:016x}", random.u64(..));
            text.push_str(&piece.repeat(8));
        }
        text.truncate(bytes);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_record_is_not_intact() {
        let record = TestRecord::new((1, 0, 2), 7, 0, 1, 300);
        assert!(record.is_intact());
        for at in [0, 150, 299] {
            let mut changed = record.clone();
            changed.text.replace_range(at..=at, "-");
            assert!(!changed.is_intact());
        }
        assert!(!TestRecord { number: 8, ..record.clone() }.is_intact());
        assert!(!TestRecord { index: 1, ..record }.is_intact());
    }
}
