//! The records of the workload: each says who wrote it, and its text can be computed from that.

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// The caller that the checker appends as.
pub(crate) const CHECKER: u64 = u64::MAX;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) journal: u64,
    /// How many power cuts came before.
    pub(crate) generation: u64,
    pub(crate) caller: u64,
    /// Each caller counts its records from 1.
    pub(crate) number: u64,
    /// Its place in its batch, from 0, and how many the batch has. 1 for a record by itself.
    pub(crate) place: u64,
    pub(crate) batch: u64,
    pub(crate) text: String,
}

impl Line {
    pub(crate) fn new(who: (u64, u64, u64), number: u64, place: u64, batch: u64, text_bytes: usize) -> Self {
        let (journal, generation, caller) = who;
        let mut line = Self { journal, generation, caller, number, place, batch, text: String::new() };
        line.text = line.text_of(text_bytes);
        line
    }

    /// Whether every byte of it is what its caller wrote.
    pub(crate) fn is_whole(&self) -> bool {
        self.place < self.batch && self.text == self.text_of(self.text.len())
    }

    /// Hexadecimal digits that no other record has, nor the same one at another length.
    fn text_of(&self, bytes: usize) -> String {
        let mut random =
            Random::new(&[self.journal, self.generation, self.caller, self.number, bytes as u64]);
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            let piece = format!("{:016x}", random.next());
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
    fn a_changed_character_is_noticed() {
        let line = Line::new((1, 0, 2), 7, 0, 1, 300);
        assert!(line.is_whole());
        for at in [0, 150, 299] {
            let mut changed = line.clone();
            changed.text.replace_range(at..=at, "-");
            assert!(!changed.is_whole());
        }
        assert!(!Line { number: 8, ..line.clone() }.is_whole());
        assert!(!Line { place: 1, ..line }.is_whole());
    }
}
