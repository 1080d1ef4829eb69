//! The state of the ledger: how far each client has counted. A mutation that is missing, or comes twice, shows.

use std::collections::BTreeMap;

use ministate::Mutator;
use serde::{Deserialize, Serialize};

/// The journal, in the directory of the state.
pub const JOURNAL: &str = "ledger.wal.jsonl";

/// A client counts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Who.
    pub client: u32,
    /// One more than its last.
    pub number: u64,
    /// Whatever it likes.
    pub note: String,
}

/// What all mutations so far come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The last number of each client.
    pub last: BTreeMap<u32, u64>,
    /// Numbers that never came, though later ones did.
    pub lost: u64,
}

impl Mutator<Ledger> for Count {
    /// May be applied again: `minisnap` replaces the state and its number by two renames, and a program that is killed
    /// between them is given mutations again that its state holds already.
    fn apply(&self, ledger: &mut Ledger) {
        let last = ledger.last.entry(self.client).or_default();
        if self.number > *last {
            ledger.lost += self.number - *last - 1;
            *last = self.number;
        }
    }
}
