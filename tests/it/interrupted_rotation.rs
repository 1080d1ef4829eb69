//! Rotations interrupted at every step, and journals with segments that are missing or in the wrong place.

use std::fs;

use ministore_uring::{JournalOptions, MiniStoreError, Reader, RecoveryPolicy};

use crate::support::{
    FileContents, NAME, TempJournal, for_each_commit_path, legacy_replay, numbered, replay,
};

const NEXT: &str = "journal.jsonl.next";
const ROTATED: &str = "journal.jsonl.001";

/// The files of a rotation, before and after it.
struct RotationFiles {
    /// The full segment, preallocated and not closed: records 1 to 3.
    full: Vec<u8>,
    /// The same, closed.
    closed: Vec<u8>,
    /// Its successor, preallocated: records 4 and 5.
    successor: Vec<u8>,
}

fn rotation_files(options: &JournalOptions) -> RotationFiles {
    let journal = TempJournal::new();
    let store = options.clone().open_blocking(journal.path()).unwrap();
    store.blocking().append_batch([1, 2]).unwrap();
    store.blocking().append(&3).unwrap();
    let full = journal.bytes();
    store.blocking().rotate().unwrap();
    store.blocking().append(&4).unwrap();
    store.blocking().append(&5).unwrap();
    let successor = journal.bytes();
    store.blocking().close().unwrap();
    let closed = fs::read(journal.file(".001")).unwrap();
    assert!(full.ends_with(b"  ") && successor.ends_with(b"  ") && closed.ends_with(b"\t\n"));
    RotationFiles { full, closed, successor }
}

fn blank() -> Vec<u8> {
    vec![b' '; 4096]
}

fn padded(text: &[u8]) -> Vec<u8> {
    let mut bytes = blank();
    bytes[..text.len()].copy_from_slice(text);
    bytes
}

fn header(segment: &[u8]) -> &[u8] {
    segment.split(|&b| b == b'\n').next().unwrap()
}

fn numbers(upto: u64) -> Vec<(u64, u64)> {
    (1..=upto).map(|n| (n, n)).collect()
}

/// Checks that a reader and the writer find all records in these files, and that the writer completes the rotation.
fn check<const N: usize>(options: &JournalOptions, what: &str, files: [(&str, &[u8]); N], records: u64) {
    let files: FileContents = files.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).into();
    let journal = TempJournal::of(&files);
    assert_eq!(numbered::<u64>(journal.path()).unwrap(), numbers(records), "{what}: read before recovery");
    assert_eq!(journal.files(), files, "{what}: reading changes nothing");
    let store =
        options.clone().open_blocking(journal.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(store.open_report().next_seq, records + 1, "{what}");
    assert_eq!(store.open_report().truncated, None, "{what}");
    assert!(!journal.file(".next").exists(), "{what}: {:?}", journal.names());
    store.blocking().append(&(records + 1)).unwrap();
    assert_eq!(
        legacy_replay::<u64>(journal.path()).unwrap(),
        (1..=records + 1).collect::<Vec<_>>(),
        "{what}"
    );
    store.blocking().close().unwrap();
    if let Ok(rotated) = fs::read(journal.file(".001")) {
        assert!(rotated.ends_with(b"\t\n"), "{what}: the rotated segment is closed");
    }
    let store = options.clone().open_blocking(journal.path()).unwrap();
    let report = store.open_report();
    assert!(
        !report.rotation_completed && !report.created && report.truncated.is_none(),
        "{what}: {report:?}"
    );
    assert_eq!(numbered::<u64>(journal.path()).unwrap(), numbers(records + 1), "{what}");
}

#[test]
fn interrupted_rotation_is_completed_from_any_step() {
    for_each_commit_path(|options| {
        let RotationFiles { full, closed, successor } = &rotation_files(&options);
        let check = |what: &str, files: [(&str, &[u8]); 2], records| check(&options, what, files, records);
        check("prepared", [(NAME, full), (NEXT, &blank())], 3);
        check("prepared, empty", [(NAME, full), (NEXT, b"")], 3);
        check("prepared after a clean close", [(NAME, closed), (NEXT, &blank())], 3);
        check("rotated, blank successor", [(ROTATED, full), (NEXT, &blank())], 3);
        check("rotated, empty successor", [(ROTATED, full), (NEXT, b"")], 3);
        let head = header(successor);
        check("rotated, torn header", [(ROTATED, full), (NEXT, &padded(&head[..head.len() - 5]))], 3);
        check("rotated, torn magic", [(ROTATED, full), (NEXT, &padded(&head[..9]))], 3);
        check("rotated, header", [(ROTATED, full), (NEXT, &padded(head))], 3);
        check("rotated, header and records", [(ROTATED, full), (NEXT, successor)], 5);
        check("published", [(ROTATED, full), (NAME, successor)], 5);
        check("published, header only", [(ROTATED, full), (NAME, &padded(head))], 3);
        check("old segment closed", [(ROTATED, closed), (NAME, successor)], 5);
        check("closed, header and records", [(ROTATED, closed), (NEXT, successor)], 5);
        check("closed, empty active", [(ROTATED, closed), (NAME, b"")], 3);
    });
}

#[test]
fn missing_active_file_is_recreated() {
    for_each_commit_path(|options| {
        let RotationFiles { full, closed, .. } = &rotation_files(&options);
        check(&options, "rotated, nothing prepared", [(ROTATED, full)], 3);
        check(&options, "closed, nothing prepared", [(ROTATED, closed)], 3);
    });
}

#[test]
fn truncated_first_segment_is_recreated() {
    for_each_commit_path(|options| {
        let head = header(&rotation_files(&options).full).to_vec();
        check(&options, "header under construction", [(NEXT, &head[..20])], 0);
        check(&options, "header without its name", [(NEXT, &head)], 0);
        check(&options, "blank", [(NAME, b"")], 0);
    });
}

#[test]
fn prepared_segment_with_records_is_rejected() {
    for_each_commit_path(|options| {
        let RotationFiles { full, successor, .. } = rotation_files(&options);
        let files = FileContents::from([(NAME.into(), full), (NEXT.into(), successor)]);
        let journal = TempJournal::of(&files);
        let opened = options.clone().open_blocking(journal.path());
        assert!(matches!(opened, Err(MiniStoreError::Corrupt { .. })), "{opened:?}");
        assert_eq!(journal.files(), files);
        let options = options.recovery(RecoveryPolicy::TruncateAtFirstError);
        drop(options.clone().open_blocking(journal.path()).unwrap());
        drop(options.open_blocking(journal.path()).unwrap());
        assert_eq!(numbered::<u64>(journal.path()).unwrap(), numbers(3));
        let saved = journal.files().into_iter().find(|(name, _)| name.contains(".truncated-")).unwrap();
        assert_eq!(saved.1, files[NEXT], "quarantined, not deleted");
    });
}

/// Writes three rotated segments and an active one, two records each.
fn four_segments(options: &JournalOptions, first_value: u64) -> FileContents {
    let journal = TempJournal::new();
    let store = options.clone().open_blocking(journal.path()).unwrap();
    for value in first_value..first_value + 8 {
        store.blocking().append(&value).unwrap();
        if matches!(value - first_value, 1 | 3 | 5) {
            store.blocking().rotate().unwrap();
        }
    }
    store.blocking().close().unwrap();
    let files = journal.files();
    assert_eq!(files.len(), 4);
    files
}

fn assert_unreadable(files: &FileContents, what: &str) {
    let journal = TempJournal::of(files);
    let read = replay::<u64>(journal.path());
    assert!(matches!(read, Err(MiniStoreError::Corrupt { .. })), "{what}: {read:?}");
    let first = Reader::open(journal.path()).unwrap().records::<u64>().find_map(Result::err);
    assert!(matches!(first, Some(MiniStoreError::Corrupt { .. })), "{what}: {first:?}");
}

fn assert_open_fails(options: &JournalOptions, files: &FileContents, what: &str) {
    let journal = TempJournal::of(files);
    let opened = options.clone().open_blocking(journal.path());
    assert!(matches!(opened, Err(MiniStoreError::Corrupt { .. })), "{what}: {opened:?}");
    assert_eq!(journal.files(), *files, "{what}: nothing changed");
}

#[test]
fn missing_middle_segment_is_corruption() {
    for_each_commit_path(|options| {
        for missing in ["journal.jsonl.002", "journal.jsonl.003"] {
            let mut files = four_segments(&options, 0);
            files.remove(missing);
            assert_unreadable(&files, missing);
            if missing.ends_with('3') {
                assert_open_fails(&options, &files, missing);
            }
        }
    });
}

#[test]
fn swapped_segments_are_corruption() {
    for_each_commit_path(|options| {
        for (one, other) in [(".001", ".002"), (".002", ".003"), (".003", "")] {
            let mut files = four_segments(&options, 0);
            let (one, other) = (format!("{NAME}{one}"), format!("{NAME}{other}"));
            let (first, second) = (files[&one].clone(), files[&other].clone());
            files.insert(one.clone(), second);
            files.insert(other, first);
            assert_unreadable(&files, &one);
            if !one.ends_with('1') {
                assert_open_fails(&options, &files, &one);
            }
        }
    });
}

#[test]
fn segment_of_another_journal_is_corruption() {
    for_each_commit_path(|options| {
        let other = four_segments(&options, 100);
        for name in ["journal.jsonl.002", "journal.jsonl.003", NAME] {
            let mut files = four_segments(&options, 0);
            files.insert(name.into(), other[name].clone());
            assert_unreadable(&files, name);
            if !name.ends_with('2') {
                assert_open_fails(&options, &files, name);
            }
        }
    });
}

#[test]
fn oldest_segments_may_be_missing() {
    for_each_commit_path(|options| {
        let mut files = four_segments(&options, 1);
        for (removed, first) in [(".001", 3), (".002", 5), (".003", 7)] {
            files.remove(&format!("{NAME}{removed}"));
            let journal = TempJournal::of(&files);
            assert_eq!(numbered::<u64>(journal.path()).unwrap(), numbers(8)[first - 1..]);
            let store = options.clone().open_blocking(journal.path()).unwrap();
            assert_eq!(store.blocking().submit(&9).unwrap().wait().unwrap().seq, 9);
            assert_eq!(numbered::<u64>(journal.path()).unwrap(), numbers(9)[first - 1..]);
        }
    });
}
