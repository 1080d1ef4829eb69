//! The part of the model that knows which records retention may delete and which it must keep. Knows nothing of files.

use std::collections::BTreeMap;

use crate::model::{Checked, violated};

/// The first sequence number that a hold keeps; `None` if there is no hold.
type Position = Option<u64>;

/// What is known of a hold.
#[derive(Debug, Default, Clone)]
struct HoldState {
    confirmed: Position,
    /// The requests since then that were not rejected, in order: the hold may be at any of them.
    requested: Vec<(u64, Position)>,
}

/// The outcome of a request to set, move or release a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldOutcome {
    Done,
    Rejected,
    Unknown,
}

#[derive(Debug, Default)]
pub struct Retention {
    holds: BTreeMap<String, HoldState>,
    hold_requests: u64,
    /// Whether the options ever allowed deletions without a trim.
    pub has_limits: bool,
    /// The largest sequence number that any trim was requested for: records from here on must not be trimmed.
    trim_requested: u64,
    /// The largest first sequence number that a trim returned: records before it are deleted.
    trimmed_before: u64,
}

impl HoldState {
    fn possible(&self) -> impl Iterator<Item = Position> {
        [self.confirmed].into_iter().chain(self.requested.iter().map(|(_, position)| *position))
    }
}

impl Retention {
    pub fn request_trim(&mut self, before: u64) {
        self.trim_requested = self.trim_requested.max(before);
    }

    pub fn trimmed(&mut self, first_seq: u64) {
        self.trimmed_before = self.trimmed_before.max(first_seq);
    }

    /// Records a request to set, move or release a hold; returns its number, for [`Self::resolve_hold`].
    pub fn request_hold(&mut self, name: &str, position: Position) -> u64 {
        self.hold_requests += 1;
        self.holds.entry(name.to_owned()).or_default().requested.push((self.hold_requests, position));
        self.hold_requests
    }

    pub fn resolve_hold(&mut self, name: &str, request: u64, outcome: HoldOutcome) {
        let hold = self.holds.entry(name.to_owned()).or_default();
        match outcome {
            HoldOutcome::Done => {
                let done = hold.requested.iter().find(|(other, _)| *other == request);
                hold.confirmed = done.and_then(|(_, position)| *position);
                hold.requested.retain(|(other, _)| *other > request);
            }
            HoldOutcome::Rejected => hold.requested.retain(|(other, _)| *other != request),
            HoldOutcome::Unknown => {}
        }
    }

    /// Returns the first record that must not be deleted: the lowest of the holds that certainly exist, each at the highest
    /// position that it may have.
    fn lowest_hold(&self) -> u64 {
        let highest = |hold: &HoldState| {
            let positions: Option<Vec<u64>> = hold.possible().collect();
            positions.and_then(|positions| positions.into_iter().max())
        };
        self.holds.values().filter_map(highest).min().unwrap_or(u64::MAX).max(1)
    }

    /// Checks the oldest record found. `first` is its sequence number; if no record was found, it is one more than the last
    /// acknowledged number.
    pub fn check(&self, first: u64, any_found: bool) -> Checked {
        if first > self.lowest_hold() {
            return violated(format!(
                "record {first} is the first, and earlier ones are held: {:?}",
                self.holds
            ));
        }
        if !self.has_limits && first > self.trim_requested.max(1) {
            let requested = self.trim_requested;
            return violated(format!(
                "record {first} is the first, and trims were requested before {requested}"
            ));
        }
        if any_found && first < self.trimmed_before {
            return violated(format!(
                "record {first} is the first, and a trim returned {}",
                self.trimmed_before
            ));
        }
        Ok(())
    }

    /// Checks the holds that a recovery found, and adopts them.
    pub fn recovered(&mut self, found: &BTreeMap<String, u64>, next_seq: u64) -> Checked {
        if next_seq < self.trimmed_before {
            return violated(format!(
                "the next record will be {next_seq}, and a trim returned {}",
                self.trimmed_before
            ));
        }
        for name in found.keys() {
            self.holds.entry(name.clone()).or_default();
        }
        for (name, hold) in &mut self.holds {
            let confirmed = found.get(name).copied();
            if hold.possible().all(|position| position != confirmed) {
                return violated(format!(
                    "the hold {name} is {confirmed:?} after recovery, and was {hold:?}"
                ));
            }
            *hold = HoldState { confirmed, requested: Vec::new() };
        }
        Ok(())
    }
}
