//! What retention may have deleted, and what it must not have: part of the model. Knows nothing of files.

use std::collections::BTreeMap;

use crate::model::{Checked, violated};

/// Where a hold may stand; `None`: there is none.
type Hold = Option<u64>;

/// A hold, as far as anybody was told.
#[derive(Debug, Default, Clone)]
struct Known {
    stands: Hold,
    /// What was asked since, in that order, and not refused: each may stand.
    asked: Vec<(u64, Hold)>,
}

/// What became of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    Yes,
    No,
    Unknown,
}

#[derive(Debug, Default)]
pub struct Retention {
    holds: BTreeMap<String, Known>,
    asks: u64,
    /// Some options deleted by themselves, once.
    pub limited: bool,
    /// Nobody released more than what lies before this record.
    released: u64,
    /// Somebody was told that everything before this record is gone.
    gone: u64,
}

impl Known {
    fn possible(&self) -> impl Iterator<Item = Hold> {
        [self.stands].into_iter().chain(self.asked.iter().map(|(_, hold)| *hold))
    }
}

impl Retention {
    pub fn release(&mut self, before: u64) {
        self.released = self.released.max(before);
    }

    pub fn was_released(&mut self, first_seq: u64) {
        self.gone = self.gone.max(first_seq);
    }

    /// A hold is set, moved, or taken away; says how to tell what became of it.
    pub fn hold(&mut self, name: &str, hold: Hold) -> u64 {
        self.asks += 1;
        self.holds.entry(name.to_owned()).or_default().asked.push((self.asks, hold));
        self.asks
    }

    pub fn moved(&mut self, name: &str, ask: u64, moved: Moved) {
        let known = self.holds.entry(name.to_owned()).or_default();
        match moved {
            Moved::Yes => {
                known.stands =
                    known.asked.iter().find(|(other, _)| *other == ask).and_then(|(_, hold)| *hold);
                known.asked.retain(|(other, _)| *other > ask);
            }
            Moved::No => known.asked.retain(|(other, _)| *other != ask),
            Moved::Unknown => {}
        }
    }

    /// No record from here on may be gone: the holds that stand for sure, each where it may have moved to.
    fn held_from(&self) -> u64 {
        let least = |known: &Known| {
            let places: Option<Vec<u64>> = known.possible().collect();
            places.and_then(|places| places.into_iter().max())
        };
        self.holds.values().filter_map(least).min().unwrap_or(u64::MAX).max(1)
    }

    /// `first` is the oldest record found; where there is none, one more than what must be there.
    pub fn check(&self, first: u64, any_found: bool) -> Checked {
        if first > self.held_from() {
            return violated(format!("record {first} is the first, and {:?} held them", self.holds));
        }
        if !self.limited && first > self.released.max(1) {
            let released = self.released;
            return violated(format!(
                "record {first} is the first, and those before {released} were released"
            ));
        }
        if any_found && first < self.gone {
            return violated(format!("record {first} is the first, and {} was told", self.gone));
        }
        Ok(())
    }

    /// What a recovery found is what stands from now on.
    pub fn recovered(&mut self, found: &BTreeMap<String, u64>, next_seq: u64) -> Checked {
        if next_seq < self.gone {
            return violated(format!("the next record is to be {next_seq}, and {} was told", self.gone));
        }
        for name in found.keys() {
            self.holds.entry(name.clone()).or_default();
        }
        for (name, known) in &mut self.holds {
            let stands = found.get(name).copied();
            if known.possible().all(|hold| hold != stands) {
                return violated(format!("the hold {name} is {stands:?} after recovery, and was {known:?}"));
            }
            *known = Known { stands, asked: Vec::new() };
        }
        Ok(())
    }
}
