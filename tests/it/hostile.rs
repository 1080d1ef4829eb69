//! Files that are not what the journal wrote: they are read correctly or not at all, rejected with a position and left
//! unchanged, and a repaired or salvaged journal is valid. [`check`] does all of it; the modules are tables of what people,
//! editors, crashes and other programs do to files.

mod edited;
mod kinds;
mod large;
mod names;
mod segments;

use std::{collections::BTreeSet, fs, path::Path};

use ministore_uring::{
    Backend, JournalOptions, MiniStore, MiniStoreError, Reader, RecoveryPolicy, Result,
    maintenance::{RepairMode, repair, salvage, verify},
};

use crate::support::{FileContents, NAME, TempJournal, block_on, numbered, replay};

/// The expected treatment of a journal. A position is the suffix of a file name and a line in that file.
#[derive(Debug, Clone)]
enum Expectation {
    /// These records are read, and there is no fault.
    Valid(Vec<u64>),
    /// These records are read without an error, and opening truncates an unacknowledged tail.
    Torn(Vec<u64>),
    /// These records are read, and then an error is returned.
    Corrupt {
        read: Vec<u64>,
        read_error: (&'static str, u64),
        /// The position in the error of opening; `None` if opening does not read that part.
        open_error: Option<(&'static str, u64)>,
    },
    /// Any records; only what holds for every file is checked.
    Any,
}

/// Writes three groups of two records per segment; the value of a record is its sequence number.
fn sample(segments: u64) -> FileContents {
    let journal = TempJournal::new();
    let store = options().open_blocking(journal.path()).unwrap();
    for segment in 0..segments {
        for group in 0..3 {
            let first = segment * 6 + group * 2 + 1;
            store.blocking().append_batch([first, first + 1]).unwrap();
        }
        if segment + 1 < segments {
            store.blocking().rotate().unwrap();
        }
    }
    store.blocking().close().unwrap();
    journal.files()
}

/// Returns options without preallocation, which makes no difference here and takes time to read.
fn options() -> JournalOptions {
    JournalOptions::new().backend(Backend::Blocking).preallocate(false)
}

fn suffixed(suffix: &str) -> String {
    format!("{NAME}{suffix}")
}

/// Runs every reader, the writer, verify, repair and salvage on these files.
fn check(what: &str, files: &FileContents, expected: &Expectation) {
    let journal = TempJournal::of(files);
    let read = check_readers(what, &journal, expected);
    check_verify(what, &journal, expected);
    let planned = repair(journal.path(), RepairMode::DryRun).unwrap();
    assert_eq!(&journal.files(), files, "{what}: reading and planning change nothing");
    check_open(what, &journal, files, expected, &read);
    check_truncating_open(what, &journal, files);
    check_repair(what, &journal, files, planned.unrepairable.is_empty());
    check_salvage(what, &journal, files, &read);
}

fn check_readers(what: &str, journal: &TempJournal, expected: &Expectation) -> Vec<u64> {
    let mut read = Vec::new();
    let mut fault = None;
    for record in Reader::open(journal.path()).unwrap().records::<u64>() {
        match record {
            Ok(record) => {
                assert_eq!(record.seq, record.value, "{what}: a record with another's number");
                read.push(record.value);
            }
            Err(error) => fault = Some(error),
        }
    }
    match (expected, &fault) {
        (Expectation::Any, _) => {}
        (Expectation::Valid(all) | Expectation::Torn(all), None) => assert_eq!(&read, all, "{what}: read"),
        (Expectation::Corrupt { read: before, read_error, .. }, Some(fault)) => {
            assert_eq!(&read, before, "{what}: read before {fault}");
            assert_position(what, journal, fault, *read_error);
        }
        _ => panic!("{what}: {read:?} and {fault:?}, expected {expected:?}"),
    }
    let replayed = replay::<u64>(journal.path());
    assert_eq!(replayed.is_err(), fault.is_some(), "{what}: {replayed:?}");
    let replay_outcome = replayed.as_ref().map_err(ToString::to_string);
    let parallel = block_on(Reader::open(journal.path()).unwrap().replay_parallel::<u64>());
    assert_eq!(parallel.as_ref().map_err(ToString::to_string), replay_outcome, "{what}: replay in parallel");
    assert!(replayed.is_err() || replayed.unwrap() == read, "{what}: replay");
    read
}

/// Checks that the error has the file, the line and the offset of the line.
#[track_caller]
fn assert_position(
    what: &str,
    journal: &TempJournal,
    error: &MiniStoreError,
    (suffix, expected): (&str, u64),
) {
    match error {
        MiniStoreError::Corrupt { segment, offset, line, .. } => {
            assert_eq!(segment, &journal.file(suffix), "{what}: {error}");
            assert_eq!(*line, expected, "{what}: {error}");
            let bytes = fs::read(segment).unwrap();
            let before = bytes[..*offset as usize].iter().filter(|&&byte| byte == b'\n').count() as u64;
            // A group without the LF before it starts at the offset of that LF.
            assert!(before + 1 == expected || before + 2 == expected, "{what}: byte {offset}: {error}");
        }
        MiniStoreError::MissingInitialState => assert_eq!(expected, 1, "{what}: {error}"),
        _ => panic!("{what}: {error:?}"),
    }
}

fn check_verify(what: &str, journal: &TempJournal, expected: &Expectation) {
    let found = verify(journal.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
    match expected {
        Expectation::Any => {}
        Expectation::Valid(all) => {
            assert_eq!((found.records, &found.torn_tail), (all.len() as u64, &None), "{what}");
            assert_eq!(found.faults, [], "{what}");
        }
        Expectation::Torn(_) => {
            assert!(found.faults.is_empty() && found.torn_tail.is_some(), "{what}: {found:?}")
        }
        Expectation::Corrupt { read_error: (suffix, line), .. } => {
            let position =
                |fault: &ministore_uring::maintenance::Corruption| (fault.segment.clone(), fault.line);
            let positions: Vec<_> = found.faults.iter().map(position).collect();
            assert!(positions.contains(&(journal.file(suffix), *line)), "{what}: {:?}", found.faults);
        }
    }
}

fn check_open(what: &str, journal: &TempJournal, files: &FileContents, expected: &Expectation, read: &[u64]) {
    let opened = options().open_blocking(journal.path());
    match (&opened, expected) {
        (Err(error), Expectation::Corrupt { open_error: Some(position), .. }) => {
            assert_position(what, journal, error, *position);
        }
        (Err(_), Expectation::Any) | (Ok(_), Expectation::Corrupt { open_error: None, .. }) => {}
        (Ok(store), Expectation::Valid(_) | Expectation::Torn(_) | Expectation::Any) => {
            let truncated = store.open_report().truncated.is_some();
            assert!(
                matches!(expected, Expectation::Any) || truncated == matches!(expected, Expectation::Torn(_)),
                "{what}: truncated"
            );
            store.blocking().append(&store.open_report().next_seq).unwrap();
        }
        _ => panic!("{what}: {opened:?}, expected {expected:?}"),
    }
    if opened.is_err() {
        assert_eq!(&journal.files(), files, "{what}: rejected, and changed");
        return;
    }
    drop(opened);
    let reopened = options().open_blocking(journal.path()).unwrap();
    assert_eq!(reopened.open_report().truncated, None, "{what}: the second open truncates nothing");
    reopened.blocking().close().unwrap();
    if let (Expectation::Valid(_) | Expectation::Torn(_), Ok(after)) =
        (expected, numbered::<u64>(journal.path()))
    {
        let after: Vec<_> = after.into_iter().map(|(_, value)| value).collect();
        assert_eq!((&after[..read.len()], after.len()), (read, read.len() + 1), "{what}: after opening");
    }
}

/// Opens with the other recovery policy: either the open fails and changes nothing, or an appended record is found again.
fn check_truncating_open(what: &str, journal: &TempJournal, files: &FileContents) {
    journal.restore(files);
    match options().recovery(RecoveryPolicy::TruncateAtFirstError).open_blocking(journal.path()) {
        Err(_) => assert_eq!(&journal.files(), files, "{what}: rejected, and changed"),
        Ok(store) => {
            let next = store.open_report().next_seq;
            store.blocking().append(&next).unwrap();
            store.blocking().close().unwrap();
            let found: Result<Vec<_>> =
                Reader::open(journal.path()).unwrap().records_from::<u64>(next).collect();
            if let Ok(found) = found {
                let found: Vec<_> = found.into_iter().map(|record| (record.seq, record.value)).collect();
                assert_eq!(found, [(next, next)], "{what}: appended after truncation");
            }
        }
    }
}

fn check_repair(what: &str, journal: &TempJournal, files: &FileContents, repairs_all: bool) {
    journal.restore(files);
    let done = repair(journal.path(), RepairMode::Apply).unwrap();
    assert_eq!(done.unrepairable.is_empty(), repairs_all, "{what}: done as planned");
    if done.actions.is_empty() {
        assert_eq!(&journal.files(), files, "{what}: changed without an action");
    }
    let found = verify(journal.path()).unwrap();
    assert_eq!(found.faults.is_empty(), repairs_all, "{what}: repaired {found:?}");
}

/// Checks that every readable record is salvaged, that the source is unchanged and that the new journal is valid.
fn check_salvage(what: &str, journal: &TempJournal, files: &FileContents, read: &[u64]) {
    journal.restore(files);
    let new = TempJournal::new();
    let done = salvage(journal.path(), new.path()).unwrap();
    assert_eq!(&journal.files(), files, "{what}: salvage only reads");
    let values = replay::<u64>(new.path()).unwrap_or_else(|error| panic!("{what}: salvaged: {error}"));
    assert_eq!(values.len() as u64, done.records, "{what}");
    assert_eq!(verify(new.path()).unwrap().faults, [], "{what}");
    let salvaged: BTreeSet<_> = values.iter().copied().collect();
    assert!(read.iter().all(|value| salvaged.contains(value)), "{what}: {read:?} in {values:?}");
}

/// Returns the files with one of them changed.
fn with(files: &FileContents, suffix: &str, change: impl FnOnce(&[u8]) -> Vec<u8>) -> FileContents {
    let mut files = files.clone();
    let name = suffixed(suffix);
    let changed = change(&files[&name]);
    files.insert(name, changed);
    files
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}
