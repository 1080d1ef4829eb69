//! Properties of the recovery of any active segment, truncated or changed anywhere.

use std::fs;

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::Value;

use crate::{
    JournalOptions, MiniStoreError, Reader, RecoveryPolicy,
    format::testing::{FIRST, SegmentBytes},
    io::fault::FaultInjector,
    journal::file_names::FileNames,
    recovery::recover,
};

/// Returns the number of records before each group, and after the last.
fn group_boundaries(groups: &[Vec<i32>]) -> Vec<usize> {
    (0..=groups.len()).map(|count| groups[..count].iter().map(Vec::len).sum()).collect()
}

fn segment(groups: &[Vec<i32>]) -> SegmentBytes {
    groups.iter().fold(SegmentBytes::new(FIRST), |segment, group| {
        segment.group(&group.iter().map(i32::to_string).collect::<Vec<_>>())
    })
}

/// Recovers a journal of these bytes; returns its records, and whether a tail was truncated. Returns `None` if recovery fails.
fn recover_bytes(bytes: &[u8], policy: RecoveryPolicy) -> Result<Option<(Vec<Value>, bool)>, TestCaseError> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("j");
    fs::write(&path, bytes)?;
    let names = FileNames::resolve(&*crate::io::os_file_system(), &path).expect("a path");
    let faults = FaultInjector::new();
    let options = JournalOptions::new().recovery(policy);
    let recovered = match recover(&*faults.file_system(), &names, &options) {
        Ok(recovered) => recovered,
        Err(MiniStoreError::Corrupt { .. } | MiniStoreError::MissingInitialState) => {
            prop_assert_eq!(faults.changes(), 0);
            return Ok(None);
        }
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    };
    let records: Vec<_> = Reader::open(&path)
        .unwrap()
        .records()
        .map(|record| record.expect("the journal was recovered").value)
        .collect();
    prop_assert_eq!(recovered.report.next_seq, records.len() as u64 + 1);
    prop_assert_eq!(recovered.records, records.len() as u64);
    Ok(Some((records, recovered.report.truncated.is_some())))
}

fn check_whole_groups(records: &[Value], groups: &[Vec<i32>]) -> Result<(), TestCaseError> {
    let all: Vec<Value> = groups.concat().into_iter().map(Value::from).collect();
    prop_assert!(all.starts_with(records), "returned records that were never written: {records:?}");
    prop_assert!(
        group_boundaries(groups).contains(&records.len()),
        "returned a part of a group: {records:?}"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn truncated_journal_opens_to_whole_group_prefix(
        groups in vec(vec(any::<i32>(), 1..4), 0..5), at: Index, padding in 0usize..2000
    ) {
        let whole = segment(&groups).bare();
        let mut bytes = whole[..at.index(whole.len() + 1)].to_vec();
        bytes.resize(bytes.len() + padding, b' ');
        let (records, _) = recover_bytes(&bytes, RecoveryPolicy::Strict)?.expect("a crash must not be reported as corruption");
        check_whole_groups(&records, &groups)?;
    }

    #[test]
    fn flipped_byte_is_rejected_or_reported(
        groups in vec(vec(any::<i32>(), 1..4), 1..5), at: Index, flip in 1u8.., closed: bool
    ) {
        let segment = segment(&groups);
        let mut bytes = if closed { segment.closed() } else { segment.padded(700) };
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Some((records, truncated)) = recover_bytes(&bytes, RecoveryPolicy::Strict)? {
            check_whole_groups(&records, &groups)?;
            prop_assert!(truncated || records.len() == groups.concat().len(), "records lost without a report");
            prop_assert!(!closed || records.len() == groups.concat().len(), "truncated a closed segment");
        }
        if let Some((records, truncated)) = recover_bytes(&bytes, RecoveryPolicy::TruncateAtFirstError)? {
            check_whole_groups(&records, &groups)?;
            prop_assert!(truncated || records.len() == groups.concat().len(), "records lost without a report");
        }
    }
}
