//! What holds for any active segment, however it was cut or damaged.

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

/// Records before each group, and after the last.
fn borders(groups: &[Vec<i32>]) -> Vec<usize> {
    (0..=groups.len()).map(|count| groups[..count].iter().map(Vec::len).sum()).collect()
}

fn segment(groups: &[Vec<i32>]) -> SegmentBytes {
    groups.iter().fold(SegmentBytes::new(FIRST), |segment, group| {
        segment.group(&group.iter().map(i32::to_string).collect::<Vec<_>>())
    })
}

/// Recovers a journal of these bytes; what it holds then, and whether anything of it was cut. `None` where it is refused.
fn recovered(bytes: &[u8], policy: RecoveryPolicy) -> Result<Option<(Vec<Value>, bool)>, TestCaseError> {
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
        .map(|record| record.expect("it was recovered").value)
        .collect();
    prop_assert_eq!(recovered.report.next_seq, records.len() as u64 + 1);
    prop_assert_eq!(recovered.records, records.len() as u64);
    Ok(Some((records, recovered.report.truncated.is_some())))
}

fn check_whole_groups(records: &[Value], groups: &[Vec<i32>]) -> Result<(), TestCaseError> {
    let all: Vec<Value> = groups.concat().into_iter().map(Value::from).collect();
    prop_assert!(all.starts_with(records), "records that were never written: {records:?}");
    prop_assert!(borders(groups).contains(&records.len()), "a group in part: {records:?}");
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
        let (records, _) = recovered(&bytes, RecoveryPolicy::Strict)?.expect("a crash is no damage");
        check_whole_groups(&records, &groups)?;
    }

    #[test]
    fn flipped_byte_is_refused_or_truncated_with_report(
        groups in vec(vec(any::<i32>(), 1..4), 1..5), at: Index, flip in 1u8.., closed: bool
    ) {
        let segment = segment(&groups);
        let mut bytes = if closed { segment.closed() } else { segment.padded(700) };
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Some((records, cut)) = recovered(&bytes, RecoveryPolicy::Strict)? {
            check_whole_groups(&records, &groups)?;
            prop_assert!(cut || records.len() == groups.concat().len(), "records lost without a word");
            prop_assert!(!closed || records.len() == groups.concat().len(), "cut though it was closed");
        }
        if let Some((records, cut)) = recovered(&bytes, RecoveryPolicy::TruncateAtFirstError)? {
            check_whole_groups(&records, &groups)?;
            prop_assert!(cut || records.len() == groups.concat().len(), "records lost without a word");
        }
    }
}
