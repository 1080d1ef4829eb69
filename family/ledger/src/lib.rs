//! The state of the ledger: the last number of each client, so that a missing or repeated mutation is detected.

use std::collections::BTreeMap;

use ministate::Mutator;
use serde::{Deserialize, Serialize};

/// The journal, in the directory of the state.
pub const JOURNAL: &str = "ledger.wal.jsonl";

/// A mutation: the next number of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The client.
    pub client: u32,
    /// The last number of the client plus one.
    pub number: u64,
    /// Arbitrary text.
    pub note: String,
}

/// The state after all mutations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The last number of each client.
    pub last: BTreeMap<u32, u64>,
    /// Numbers that are missing although later ones were applied.
    pub lost: u64,
}

impl Mutator<Ledger> for Count {
    /// Applies the mutation. This is idempotent, because `minisnap` replaces the state and its number by two renames:
    /// after a kill between them, mutations that the state already contains are replayed.
    fn apply(&self, ledger: &mut Ledger) {
        let last = ledger.last.entry(self.client).or_default();
        if self.number > *last {
            ledger.lost += self.number - *last - 1;
            *last = self.number;
        }
    }
}
