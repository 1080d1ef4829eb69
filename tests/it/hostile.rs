//! Whatever stands where a journal should stand: it is read right or not at all, refused with its place and left as it
//! is, and what is mended or salvaged is sound. One function checks it all; the modules are tables of what hands,
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

use crate::support::{Files, Journal, NAME, block_on, numbered, replay};

/// What is to become of a journal. Places are the suffix of a file's name and a line in it.
#[derive(Debug, Clone)]
enum Fate {
    /// Nothing is wrong with these records.
    Sound(Vec<u64>),
    /// These records are read, nothing is said, and opening cuts what was not acknowledged.
    Torn(Vec<u64>),
    /// These records are read, and then a fault is told.
    Damaged {
        read: Vec<u64>,
        told: (&'static str, u64),
        /// Where opening refuses; `None`: it does not look there.
        refused: Option<(&'static str, u64)>,
    },
    /// It is not said what is found, but what always holds does.
    Any,
}

/// Groups of two records each, three to a segment; the value of a record is its number.
fn sample(segments: u64) -> Files {
    let journal = Journal::new();
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

/// What is written ahead makes no difference here, and takes time to read.
fn options() -> JournalOptions {
    JournalOptions::new().backend(Backend::Blocking).preallocate(false)
}

fn suffixed(suffix: &str) -> String {
    format!("{NAME}{suffix}")
}

/// Every reader, the writer, verify, repair and salvage on these files.
fn check(what: &str, files: &Files, fate: &Fate) {
    let journal = Journal::of(files);
    let read = readers(what, &journal, fate);
    examined(what, &journal, fate);
    let planned = repair(journal.path(), RepairMode::DryRun).unwrap();
    assert_eq!(&journal.files(), files, "{what}: reading and planning change nothing");
    opened(what, &journal, files, fate, &read);
    cut(what, &journal, files);
    repaired(what, &journal, files, planned.unrepairable.is_empty());
    salvaged(what, &journal, files, &read);
}

fn readers(what: &str, journal: &Journal, fate: &Fate) -> Vec<u64> {
    let mut read = Vec::new();
    let mut fault = None;
    for record in Reader::open(journal.path()).unwrap().records::<u64>() {
        match record {
            Ok(record) => {
                assert_eq!(record.seq, record.value, "{what}: a record under another's number");
                read.push(record.value);
            }
            Err(error) => fault = Some(error),
        }
    }
    match (fate, &fault) {
        (Fate::Any, _) => {}
        (Fate::Sound(all) | Fate::Torn(all), None) => assert_eq!(&read, all, "{what}: read"),
        (Fate::Damaged { read: before, told, .. }, Some(fault)) => {
            assert_eq!(&read, before, "{what}: read before {fault}");
            assert_place(what, journal, fault, *told);
        }
        _ => panic!("{what}: {read:?} and {fault:?}, but was to be {fate:?}"),
    }
    let replayed = replay::<u64>(journal.path());
    assert_eq!(replayed.is_err(), fault.is_some(), "{what}: {replayed:?}");
    let told = replayed.as_ref().map_err(ToString::to_string);
    let parallel = block_on(Reader::open(journal.path()).unwrap().replay_parallel::<u64>());
    assert_eq!(parallel.as_ref().map_err(ToString::to_string), told, "{what}: replay in parallel");
    assert!(replayed.is_err() || replayed.unwrap() == read, "{what}: replay");
    read
}

/// The error names the file, the line and the byte where that line begins.
#[track_caller]
fn assert_place(what: &str, journal: &Journal, error: &MiniStoreError, (suffix, expected): (&str, u64)) {
    match error {
        MiniStoreError::Corrupt { segment, offset, line, .. } => {
            assert_eq!(segment, &journal.file(suffix), "{what}: {error}");
            assert_eq!(*line, expected, "{what}: {error}");
            let bytes = fs::read(segment).unwrap();
            let before = bytes[..*offset as usize].iter().filter(|&&byte| byte == b'\n').count() as u64;
            // A group that lost the LF before it begins where that stood.
            assert!(before + 1 == expected || before + 2 == expected, "{what}: byte {offset}: {error}");
        }
        MiniStoreError::MissingInitialState => assert_eq!(expected, 1, "{what}: {error}"),
        _ => panic!("{what}: {error:?}"),
    }
}

fn examined(what: &str, journal: &Journal, fate: &Fate) {
    let found = verify(journal.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
    match fate {
        Fate::Any => {}
        Fate::Sound(all) => {
            assert_eq!((found.records, &found.torn_tail), (all.len() as u64, &None), "{what}");
            assert_eq!(found.faults, [], "{what}");
        }
        Fate::Torn(_) => assert!(found.faults.is_empty() && found.torn_tail.is_some(), "{what}: {found:?}"),
        Fate::Damaged { told: (suffix, line), .. } => {
            let place =
                |fault: &ministore_uring::maintenance::Corruption| (fault.segment.clone(), fault.line);
            let places: Vec<_> = found.faults.iter().map(place).collect();
            assert!(places.contains(&(journal.file(suffix), *line)), "{what}: {:?}", found.faults);
        }
    }
}

fn opened(what: &str, journal: &Journal, files: &Files, fate: &Fate, read: &[u64]) {
    let opened = options().open_blocking(journal.path());
    match (&opened, fate) {
        (Err(error), Fate::Damaged { refused: Some(place), .. }) => {
            assert_place(what, journal, error, *place);
        }
        (Err(_), Fate::Any) | (Ok(_), Fate::Damaged { refused: None, .. }) => {}
        (Ok(store), Fate::Sound(_) | Fate::Torn(_) | Fate::Any) => {
            let cut = store.open_report().truncated.is_some();
            assert!(matches!(fate, Fate::Any) || cut == matches!(fate, Fate::Torn(_)), "{what}: cut");
            store.blocking().append(&store.open_report().next_seq).unwrap();
        }
        _ => panic!("{what}: {opened:?}, but was to be {fate:?}"),
    }
    if opened.is_err() {
        assert_eq!(&journal.files(), files, "{what}: refused, and changed");
        return;
    }
    drop(opened);
    let reopened = options().open_blocking(journal.path()).unwrap();
    assert_eq!(reopened.open_report().truncated, None, "{what}: recovered once and for all");
    reopened.blocking().close().unwrap();
    if let (Fate::Sound(_) | Fate::Torn(_), Ok(after)) = (fate, numbered::<u64>(journal.path())) {
        let after: Vec<_> = after.into_iter().map(|(_, value)| value).collect();
        assert_eq!((&after[..read.len()], after.len()), (read, read.len() + 1), "{what}: after opening");
    }
}

/// With the other policy it is refused and left as it is, or opens and takes a record that is found again.
fn cut(what: &str, journal: &Journal, files: &Files) {
    journal.restore(files);
    match options().recovery(RecoveryPolicy::TruncateAtFirstError).open_blocking(journal.path()) {
        Err(_) => assert_eq!(&journal.files(), files, "{what}: refused, and changed"),
        Ok(store) => {
            let next = store.open_report().next_seq;
            store.blocking().append(&next).unwrap();
            store.blocking().close().unwrap();
            let found: Result<Vec<_>> =
                Reader::open(journal.path()).unwrap().records_from::<u64>(next).collect();
            if let Ok(found) = found {
                let found: Vec<_> = found.into_iter().map(|record| (record.seq, record.value)).collect();
                assert_eq!(found, [(next, next)], "{what}: appended after a cut");
            }
        }
    }
}

fn repaired(what: &str, journal: &Journal, files: &Files, all: bool) {
    journal.restore(files);
    let done = repair(journal.path(), RepairMode::Apply).unwrap();
    assert_eq!(done.unrepairable.is_empty(), all, "{what}: done as planned");
    if done.actions.is_empty() {
        assert_eq!(&journal.files(), files, "{what}: nothing said to be done");
    }
    let found = verify(journal.path()).unwrap();
    assert_eq!(found.faults.is_empty(), all, "{what}: repaired {found:?}");
}

/// What was read is salvaged, what is salvaged was there, and the new journal is sound.
fn salvaged(what: &str, journal: &Journal, files: &Files, read: &[u64]) {
    journal.restore(files);
    let new = Journal::new();
    let done = salvage(journal.path(), new.path()).unwrap();
    assert_eq!(&journal.files(), files, "{what}: salvage only reads");
    let values = replay::<u64>(new.path()).unwrap_or_else(|error| panic!("{what}: salvaged: {error}"));
    assert_eq!(values.len() as u64, done.records, "{what}");
    assert_eq!(verify(new.path()).unwrap().faults, [], "{what}");
    let salvaged: BTreeSet<_> = values.iter().copied().collect();
    assert!(read.iter().all(|value| salvaged.contains(value)), "{what}: {read:?} in {values:?}");
}

/// Files of a sample, with one of them changed.
fn with(files: &Files, suffix: &str, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Files {
    let mut files = files.clone();
    let name = suffixed(suffix);
    let changed = change(&files[&name]);
    files.insert(name, changed);
    files
}

/// Nothing was made where nothing was.
fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}
