//! What a log gave back against what it had acknowledged. The same judgement for every contestant.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// What a log gave back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Returned {
    /// Appender, number, and whether nothing in the record was changed; in the order of the log.
    pub records: Vec<(u32, u64, bool)>,
    /// How many things were given back that are no record.
    pub garbage: usize,
    /// The contestant's error.
    pub error: Option<String>,
    /// It panicked, crashed or hung: how.
    pub broke: Option<String>,
}

/// What was handed over to a log, and what of it was acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handed {
    /// The records whose append was begun.
    pub over: BTreeSet<(u32, u64)>,
    /// Those that were acknowledged.
    pub acked: BTreeSet<(u32, u64)>,
    /// Those whose append gave an error.
    pub refused: BTreeSet<(u32, u64)>,
}

impl Handed {
    /// Notes an acknowledgement.
    pub fn ack(&mut self, appender: u32, number: u64) {
        self.over.insert((appender, number));
        self.acked.insert((appender, number));
    }

    /// Notes an error.
    pub fn refuse(&mut self, appender: u32, number: u64) {
        self.over.insert((appender, number));
        self.refused.insert((appender, number));
    }
}

/// The difference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Acknowledged records that were not given back.
    pub missing: u64,
    /// Records that were given back more than once.
    pub doubled: u64,
    /// Records that stand before an older one of the same appender.
    pub out_of_order: u64,
    /// What was given back and never handed over: changed records, unknown ones, and what is no record.
    pub invented: u64,
    /// Records whose append had given an error and that are there (nobody promises that they are not).
    pub refused_yet_there: u64,
}

impl Judgement {
    /// Compares.
    #[must_use]
    pub fn of(handed: &Handed, returned: &Returned) -> Self {
        let mut judgement = Self { invented: returned.garbage as u64, ..Self::default() };
        let mut seen = BTreeSet::new();
        let mut latest: BTreeMap<u32, u64> = BTreeMap::new();
        for &(appender, number, genuine) in &returned.records {
            if !genuine || !handed.over.contains(&(appender, number)) {
                judgement.invented += 1;
                continue;
            }
            if !seen.insert((appender, number)) {
                judgement.doubled += 1;
                continue;
            }
            let latest = latest.entry(appender).or_default();
            judgement.out_of_order += u64::from(number < *latest);
            *latest = number.max(*latest);
        }
        judgement.missing = handed.acked.difference(&seen).count() as u64;
        judgement.refused_yet_there = handed.refused.intersection(&seen).count() as u64;
        judgement
    }

    /// Whether an acknowledged record was lost, or anything was given back that should not have been.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.missing + self.doubled + self.out_of_order + self.invented > 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Handed, Judgement, Returned};

    fn judge(acked: &[u64], over: &[u64], returned: &[(u32, u64, bool)]) -> Judgement {
        let mut handed = Handed::default();
        handed.over.extend(over.iter().map(|number| (0, *number)));
        for number in acked {
            handed.ack(0, *number);
        }
        Judgement::of(&handed, &Returned { records: returned.to_vec(), ..Returned::default() })
    }

    #[test]
    fn a_log_that_gives_back_what_was_acknowledged_is_not_blamed() {
        let whole = judge(&[1, 2], &[3], &[(0, 1, true), (0, 2, true), (0, 3, true)]);
        assert_eq!(whole, Judgement::default());
        assert!(!whole.is_broken());
    }

    #[test]
    fn each_fault_is_counted_as_what_it_is() {
        assert_eq!(judge(&[1, 2], &[], &[(0, 2, true)]).missing, 1);
        assert_eq!(judge(&[1], &[], &[(0, 1, true), (0, 1, true)]).doubled, 1);
        assert_eq!(judge(&[1, 2], &[], &[(0, 2, true), (0, 1, true)]).out_of_order, 1);
        let changed = judge(&[1], &[], &[(0, 1, false)]);
        assert_eq!((changed.invented, changed.missing), (1, 1));
        assert_eq!(judge(&[], &[], &[(0, 9, true)]).invented, 1);
    }

    #[test]
    fn refused_record_found_on_disk_is_reported() {
        let mut handed = Handed::default();
        handed.refuse(0, 1);
        let judgement =
            Judgement::of(&handed, &Returned { records: vec![(0, 1, true)], ..Returned::default() });
        assert_eq!(judgement.refused_yet_there, 1);
        assert!(!judgement.is_broken());
    }
}
