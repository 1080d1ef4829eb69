//! Verify, repair and salvage of any files.

use std::path::Path;

use super::{
    generator::Generator,
    journal::{FilesByName, FuzzJournal, records},
};
use crate::{
    MiniStoreError,
    maintenance::{Corruption, RepairMode, VerifyReport, repair, salvage, verify},
};

/// Verifies, salvages and repairs the journal that the bytes generate in `dir`.
pub fn maintenance(data: &[u8], dir: &Path) {
    let journal = FuzzJournal::generated(&mut Generator::new(data), dir);
    let before = journal.files();
    let found = match verify(journal.path()) {
        Ok(found) => found,
        Err(MiniStoreError::Io { source }) => {
            assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
            return;
        }
        // A segment with a bare header that no writer could have given its number.
        Err(MiniStoreError::NotOwned { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    check_readers_agree(&journal, &found);
    check_salvage(&journal, &found, &before);
    check_repair(&journal, &found, &before);
}

/// Checks that a journal without a fault can be read to its end, and that the sums agree.
fn check_readers_agree(journal: &FuzzJournal, found: &VerifyReport) {
    let (read, fault) = journal.records();
    if matches!(fault, Some(MiniStoreError::Record { .. })) {
        return;
    }
    match fault {
        Some(_) => assert!(!found.faults.is_empty(), "{fault:?}"),
        None => assert!(found.faults.iter().all(is_skipped), "{:?}", found.faults),
    }
    if fault.is_none() && !found.faults.iter().any(is_of_next) {
        assert_eq!(read.len() as u64, found.records);
    }
    let sums = found.segments.iter().map(|segment| (segment.records, segment.groups));
    let sums = sums.fold((0, 0), |sums, (records, groups)| (sums.0 + records, sums.1 + groups));
    assert_eq!(sums, (found.records, found.groups));
    for segment in &found.segments {
        assert!(segment.data_bytes + segment.padding_bytes <= segment.file_bytes, "{segment:?}");
    }
}

/// Returns whether readers skip the corruption: bytes at the end of a rotated segment that are in no group. A line reader does
/// not skip them.
fn is_skipped(found: &Corruption) -> bool {
    found.reason.contains("of a rotated segment") || is_of_next(found)
}

/// Returns whether the corruption is a prepared segment with content, which readers ignore next to an active segment.
fn is_of_next(found: &Corruption) -> bool {
    found.segment.extension().is_some_and(|extension| extension == "next")
}

/// Checks that the new journal is valid, and contains no record that the old one does not.
fn check_salvage(journal: &FuzzJournal, found: &VerifyReport, before: &FilesByName) {
    let to = journal.other_path();
    let salvage = salvage(journal.path(), &to).unwrap();
    assert_eq!(&journal.files(), before, "the old journal is only read");
    let new = verify(&to).unwrap();
    assert!(new.faults.is_empty() && new.torn_tail.is_none(), "{new:?}");
    let mapped: u64 = salvage.map.iter().map(|run| run.records).sum();
    assert_eq!(mapped, salvage.records, "{salvage:?}");
    let (copied, fault) = records(&to, 0);
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!((copied.len() as u64, new.records), (salvage.records, salvage.records));
    for (_, value) in &copied {
        let contains = |bytes: &Vec<u8>| memchr::memmem::find(bytes, value.as_bytes()).is_some();
        assert!(before.values().any(contains), "never written: {value}");
    }
    let (read, fault) = journal.records();
    if fault.is_none() {
        assert!(found.faults.iter().all(is_skipped), "{:?}", found.faults);
        let values =
            |records: Vec<(u64, String)>| records.into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        let (copied, read) = (values(copied), values(read));
        assert!(copied.starts_with(&read), "a record of a valid journal was not copied");
        let has_stray = found.faults.iter().any(is_of_next);
        assert!(copied.len() == read.len() || has_stray, "a record was copied twice");
    }
}

/// Checks that repair makes the changes of its dry run, and that its report names everything that is still damaged.
fn check_repair(journal: &FuzzJournal, found: &VerifyReport, before: &FilesByName) {
    let planned = repair(journal.path(), RepairMode::DryRun).unwrap();
    assert_eq!(&journal.files(), before, "a dry run changes nothing");
    let (read, fault) = journal.records();
    let done = repair(journal.path(), RepairMode::Apply).unwrap();
    assert_eq!(done.unrepairable, planned.unrepairable);
    assert_eq!(done.actions.len(), planned.actions.len());
    assert!(found.faults.is_empty() <= done.unrepairable.is_empty());
    if done.actions.is_empty() {
        assert_eq!(&journal.files(), before, "no action was reported");
    }
    let after = verify(journal.path()).unwrap();
    assert_eq!(after.faults.is_empty(), done.unrepairable.is_empty(), "{after:?} {done:?}");
    assert!(!done.unrepairable.is_empty() || after.torn_tail.is_none(), "{after:?}");
    if fault.is_none() {
        assert_eq!(journal.records().0, read, "a record is missing");
    }
    let again = repair(journal.path(), RepairMode::Apply).unwrap();
    assert_eq!(
        (again.actions.len(), again.unrepairable.is_empty()),
        (0, done.unrepairable.is_empty()),
        "{again:?}"
    );
}
