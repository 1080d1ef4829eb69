//! Journals written by `ministore` 0.1.7 are replayed, continued, and checksummed from then on.

use std::fs;

use ministore_uring::{MiniStore, MiniStoreError};
use serde_json::{Value, json};

use crate::support::{
    FileContents, Mutation, NAME, TempJournal, for_each_backend, legacy_replay, legacy_write, numbered,
    replay,
};

const HEADER: &str = "// MINISTORE JOURNAL v0.1.4\n";

fn rotated() -> (TempJournal, Vec<Mutation>) {
    let journal = TempJournal::new();
    let records: Vec<_> = (0..20).map(|value| Mutation::Set { value }).collect();
    let options = ministore::MiniStoreOptions::new().max_bytes_per_segment(150).max_segments(100);
    legacy_write(journal.path(), options, &records);
    assert!(journal.names().contains(&"journal.jsonl.000002".into()), "{:?}", journal.names());
    (journal, records)
}

/// Opens, appends one record and closes. Returns all records.
fn continue_with(
    options: ministore_uring::JournalOptions,
    journal: &TempJournal,
    record: &Value,
) -> Vec<(u64, Value)> {
    let store = options.open_blocking(journal.path()).unwrap();
    store.blocking().append(record).unwrap();
    store.blocking().close().unwrap();
    let records = numbered::<Value>(journal.path()).unwrap();
    let values: Vec<_> = records.iter().map(|(_, value)| value.clone()).collect();
    assert_eq!(replay::<Value>(journal.path()).unwrap(), values);
    assert_eq!(legacy_replay::<Value>(journal.path()).unwrap(), values, "0.1.7 reads it too");
    records
}

#[test]
fn six_digit_segments_are_read_and_continued() {
    for_each_backend(|options| {
        let (journal, mut records) = rotated();
        assert_eq!(replay::<Mutation>(journal.path()).unwrap(), records);
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!(store.open_report().next_seq, 21);
        for (seq, by) in (21..).zip(0..10) {
            records.push(Mutation::Inc { by });
            assert_eq!(store.blocking().submit(&Mutation::Inc { by }).unwrap().wait().unwrap().seq, seq);
            if by == 4 {
                store.blocking().rotate().unwrap();
            }
        }
        for _ in ["open", "closed"] {
            let expected: Vec<_> = (1..).zip(records.clone()).collect();
            assert_eq!(numbered::<Mutation>(journal.path()).unwrap(), expected);
            assert_eq!(legacy_replay::<Mutation>(journal.path()).unwrap(), records);
            let _ = store.blocking().close();
        }
    });
}

#[test]
fn new_segment_is_numbered_after_those_of_0_1_7() {
    for_each_backend(|options| {
        let (journal, _) = rotated();
        let newest = journal.names().last().unwrap()[14..].parse::<u32>().unwrap();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append(&Mutation::Inc { by: 1 }).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().close().unwrap();
        assert!(journal.names().contains(&format!("{NAME}.{:03}", newest + 1)), "{:?}", journal.names());
    });
}

#[test]
fn legacy_file_is_checksummed_in_place() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        legacy_write(journal.path(), ministore::MiniStoreOptions::new(), &[json!(1), json!("two")]);
        let before = journal.bytes();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        assert!(store.open_report().legacy_upgraded);
        assert!(!store.open_report().created);
        drop(store);
        assert!(journal.bytes().starts_with(before.trim_ascii_end()));
        let records = continue_with(options.clone(), &journal, &json!({"three": 3}));
        assert_eq!(records, [(1, json!(1)), (2, json!("two")), (3, json!({"three": 3}))]);
        assert!(!options.open_blocking(journal.path()).unwrap().open_report().legacy_upgraded);
    });
}

#[test]
fn empty_legacy_file_is_continued() {
    for_each_backend(|options| {
        let journal = TempJournal::of_bytes(HEADER);
        assert_eq!(continue_with(options, &journal, &json!(1)), [(1, json!(1))]);
    });
}

#[test]
fn odd_legacy_files_are_read_as_in_0_1_7() {
    let cases = [
        ("carriage returns", "// MINISTORE JOURNAL v0.1.4\r\n{\"a\":1}\r\n[2]\r\n".to_owned()),
        ("no line feed at the end", format!("{HEADER}{{\"a\":1}}\n[2]")),
        ("another version", "// MINISTORE JOURNAL v0.1.0\n{\"a\":1}\n[2]\n".to_owned()),
        ("white space", format!("{HEADER} {{\"a\":1}}  \n[2]\t\n")),
    ];
    for_each_backend(|options| {
        for (what, text) in &cases {
            let journal = TempJournal::of_bytes(text);
            assert_eq!(replay::<Value>(journal.path()).unwrap(), [json!({"a": 1}), json!([2])], "{what}");
            let records = continue_with(options.clone(), &journal, &json!(3));
            assert_eq!(records, [(1, json!({"a": 1})), (2, json!([2])), (3, json!(3))], "{what}");
        }
    });
}

#[test]
fn bare_numbers_and_texts_are_records() {
    for_each_backend(|options| {
        let journal = TempJournal::of_bytes(format!("{HEADER}1\n\"text\"\nnull\n-2.5e3\n"));
        let records = continue_with(options, &journal, &json!(5));
        let values: Vec<_> = records.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [json!(1), json!("text"), json!(null), json!(-2500.0), json!(5)]);
    });
}

#[test]
fn incomplete_last_line_is_truncated_and_kept() {
    for_each_backend(|options| {
        // A number without a line feed may be incomplete.
        for tail in ["{\"a\":", "\"te", "12"] {
            let journal = TempJournal::of_bytes(format!("{HEADER}1\n2\n{tail}"));
            assert_eq!(replay::<Value>(journal.path()).unwrap(), [json!(1), json!(2)], "{tail}");
            let store = options.clone().open_blocking(journal.path()).unwrap();
            let truncated = store.open_report().truncated.clone().unwrap_or_else(|| panic!("{tail} is kept"));
            assert_eq!(fs::read(truncated.saved_to.unwrap()).unwrap().trim_ascii(), tail.as_bytes());
            assert_eq!(truncated.segment, journal.path());
            drop(store);
            let records = continue_with(options.clone(), &journal, &json!(3));
            assert_eq!(records, [(1, json!(1)), (2, json!(2)), (3, json!(3))], "{tail}");
        }
    });
}

#[test]
fn damaged_middle_of_legacy_file_is_rejected() {
    for_each_backend(|options| {
        let journal = TempJournal::of_bytes(format!("{HEADER}1\n{{\"a\":\n3\n"));
        let before = journal.files();
        let opened = options.open_blocking(journal.path());
        let Err(MiniStoreError::Corrupt { segment, line, .. }) = opened else { panic!("{opened:?}") };
        assert_eq!((segment.as_path(), line), (journal.path(), 3));
        assert_eq!(journal.files(), before);
    });
}

#[test]
fn continued_legacy_file_is_checksummed() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        legacy_write(journal.path(), ministore::MiniStoreOptions::new(), &[11, 12, 13]);
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().append(&14).unwrap();
        let crashed = journal.files();
        store.blocking().close().unwrap();
        for files in [journal.files(), crashed] {
            let mut damaged: FileContents = files;
            let bytes = damaged.get_mut(NAME).unwrap();
            let at = bytes.windows(3).position(|window| window == b"12\n").unwrap();
            bytes[at + 1] = b'9';
            let damaged = TempJournal::of(&damaged);
            let read = replay::<u32>(damaged.path());
            assert!(matches!(read, Err(MiniStoreError::Corrupt { .. })), "{read:?}");
            let opened = options.clone().open_blocking(damaged.path());
            assert!(matches!(opened, Err(MiniStoreError::Corrupt { .. })), "{opened:?}");
        }
    });
}

#[test]
fn ministore_0_1_7_continues_without_checksums() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.clone().checksums(false).open_blocking(journal.path()).unwrap();
        store.blocking().append(&1).unwrap();
        store.blocking().close().unwrap();
        legacy_write(journal.path(), ministore::MiniStoreOptions::new(), &[2]);
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [1, 2]);
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append(&3).unwrap();
        drop(store);
        assert_eq!(replay_after_close(&journal), [1, 2, 3]);
    });
}

fn replay_after_close(journal: &TempJournal) -> Vec<u32> {
    // Opening waits for the close that the drop started.
    drop(MiniStore::open_blocking(journal.path()).unwrap());
    replay(journal.path()).unwrap()
}
