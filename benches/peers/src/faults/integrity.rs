//! Compares the records that a log returned with those that it acknowledged. The same checks apply to every log.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{child_process::ChildEvent, wire::Reply};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayResult {
    /// Appender, number, and whether the record is unchanged; in the order of the log.
    pub records: Vec<(u32, u64, bool)>,
    pub garbage: usize,
    pub error: Option<String>,
    /// It panicked, crashed or hung: how.
    pub crash: Option<String>,
}

/// The records that were submitted to a log, and their acknowledgements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubmittedRecords {
    /// The records whose append was started.
    pub all: BTreeSet<(u32, u64)>,
    pub acked: BTreeSet<(u32, u64)>,
    pub rejected: BTreeSet<(u32, u64)>,
}

impl SubmittedRecords {
    pub fn add_acked(&mut self, appender: u32, number: u64) {
        self.all.insert((appender, number));
        self.acked.insert((appender, number));
    }

    /// Adds the record of a reply to an append, if the reply names one.
    pub fn add_reply(&mut self, reply: &Reply) {
        match *reply {
            Reply::Acked(appender, number) => self.add_acked(appender, number),
            Reply::Refused(appender, number, _) => {
                self.all.insert((appender, number));
                self.rejected.insert((appender, number));
            }
            _ => {}
        }
    }

    pub fn add_replies(&mut self, events: &[ChildEvent]) {
        for event in events {
            if let ChildEvent::Reply(reply) = event {
                self.add_reply(reply);
            }
        }
    }
}

/// The differences between submitted and returned records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IntegrityReport {
    pub missing: u64,
    pub doubled: u64,
    /// Records that precede an older one of the same appender.
    pub out_of_order: u64,
    /// Returned items that were never submitted: changed records, unknown records, and non-records.
    pub invented: u64,
    /// Records whose append returned an error and that were returned nevertheless, which every log permits.
    pub rejected_but_stored: u64,
}

impl IntegrityReport {
    pub fn compare(submitted: &SubmittedRecords, returned: &ReplayResult) -> Self {
        let mut report = Self { invented: returned.garbage as u64, ..Self::default() };
        let mut seen = BTreeSet::new();
        let mut latest: BTreeMap<u32, u64> = BTreeMap::new();
        for &(appender, number, genuine) in &returned.records {
            if !genuine || !submitted.all.contains(&(appender, number)) {
                report.invented += 1;
                continue;
            }
            if !seen.insert((appender, number)) {
                report.doubled += 1;
                continue;
            }
            let latest = latest.entry(appender).or_default();
            report.out_of_order += u64::from(number < *latest);
            *latest = number.max(*latest);
        }
        report.missing = submitted.acked.difference(&seen).count() as u64;
        report.rejected_but_stored = submitted.rejected.intersection(&seen).count() as u64;
        report
    }

    /// Returns whether an acknowledged record is missing or a wrong record was returned.
    pub fn has_violations(&self) -> bool {
        self.missing + self.doubled + self.out_of_order + self.invented > 0
    }
}

#[cfg(test)]
mod tests {
    use super::{IntegrityReport, ReplayResult, Reply, SubmittedRecords};

    fn report(acked: &[u64], submitted_numbers: &[u64], returned: &[(u32, u64, bool)]) -> IntegrityReport {
        let mut submitted = SubmittedRecords::default();
        submitted.all.extend(submitted_numbers.iter().map(|number| (0, *number)));
        for number in acked {
            submitted.add_acked(0, *number);
        }
        IntegrityReport::compare(
            &submitted,
            &ReplayResult { records: returned.to_vec(), ..ReplayResult::default() },
        )
    }

    #[test]
    fn intact_log_has_no_violations() {
        let whole = report(&[1, 2], &[3], &[(0, 1, true), (0, 2, true), (0, 3, true)]);
        assert_eq!(whole, IntegrityReport::default());
        assert!(!whole.has_violations());
    }

    #[test]
    fn each_violation_is_counted() {
        assert_eq!(report(&[1, 2], &[], &[(0, 2, true)]).missing, 1);
        assert_eq!(report(&[1], &[], &[(0, 1, true), (0, 1, true)]).doubled, 1);
        assert_eq!(report(&[1, 2], &[], &[(0, 2, true), (0, 1, true)]).out_of_order, 1);
        let changed = report(&[1], &[], &[(0, 1, false)]);
        assert_eq!((changed.invented, changed.missing), (1, 1));
        assert_eq!(report(&[], &[], &[(0, 9, true)]).invented, 1);
    }

    #[test]
    fn rejected_record_found_is_counted() {
        let mut submitted = SubmittedRecords::default();
        submitted.add_reply(&Reply::Refused(0, 1, "full".into()));
        let report = IntegrityReport::compare(
            &submitted,
            &ReplayResult { records: vec![(0, 1, true)], ..ReplayResult::default() },
        );
        assert_eq!(report.rejected_but_stored, 1);
        assert!(!report.has_violations());
    }
}
