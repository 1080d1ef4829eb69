//! Journals that `ministore` 0.1.7 wrote: replayed, continued, and from then on protected.

use std::fs;

use ministore_uring::{MiniStore, MiniStoreError};
use serde_json::{Value, json};

use crate::support::{
    Files, Journal, Mutation, NAME, for_each_backend, numbered, original_replay, original_write, replay,
};

const HEADER: &str = "// MINISTORE JOURNAL v0.1.4\n";

fn rotated() -> (Journal, Vec<Mutation>) {
    let journal = Journal::new();
    let records: Vec<_> = (0..20).map(|value| Mutation::Set { value }).collect();
    let options = ministore::MiniStoreOptions::new().max_bytes_per_segment(150).max_segments(100);
    original_write(journal.path(), options, &records);
    assert!(journal.names().contains(&"journal.jsonl.000002".into()), "{:?}", journal.names());
    (journal, records)
}

/// Opens, appends one record, closes; gives back what is then in it.
fn continue_with(
    options: ministore_uring::JournalOptions,
    journal: &Journal,
    record: &Value,
) -> Vec<(u64, Value)> {
    let store = options.open_blocking(journal.path()).unwrap();
    store.blocking().append(record).unwrap();
    store.blocking().close().unwrap();
    let records = numbered::<Value>(journal.path()).unwrap();
    let values: Vec<_> = records.iter().map(|(_, value)| value.clone()).collect();
    assert_eq!(replay::<Value>(journal.path()).unwrap(), values);
    assert_eq!(original_replay::<Value>(journal.path()).unwrap(), values, "the original reads on");
    records
}

#[test]
fn segments_with_six_digits_are_replayed_and_continued() {
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
            assert_eq!(original_replay::<Mutation>(journal.path()).unwrap(), records);
            let _ = store.blocking().close();
        }
    });
}

#[test]
fn a_new_segment_is_numbered_after_the_originals() {
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
fn a_plain_file_is_put_under_a_seal_and_continued_in_place() {
    for_each_backend(|options| {
        let journal = Journal::new();
        original_write(journal.path(), ministore::MiniStoreOptions::new(), &[json!(1), json!("two")]);
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
fn an_empty_plain_file_is_continued() {
    for_each_backend(|options| {
        let journal = Journal::of_bytes(HEADER);
        assert_eq!(continue_with(options, &journal, &json!(1)), [(1, json!(1))]);
    });
}

#[test]
fn odd_plain_files_are_read_as_the_original_reads_them() {
    let cases = [
        ("carriage returns", "// MINISTORE JOURNAL v0.1.4\r\n{\"a\":1}\r\n[2]\r\n".to_owned()),
        ("no line feed at the end", format!("{HEADER}{{\"a\":1}}\n[2]")),
        ("another version", "// MINISTORE JOURNAL v0.1.0\n{\"a\":1}\n[2]\n".to_owned()),
        ("white space", format!("{HEADER} {{\"a\":1}}  \n[2]\t\n")),
    ];
    for_each_backend(|options| {
        for (what, text) in &cases {
            let journal = Journal::of_bytes(text);
            assert_eq!(replay::<Value>(journal.path()).unwrap(), [json!({"a": 1}), json!([2])], "{what}");
            let records = continue_with(options.clone(), &journal, &json!(3));
            assert_eq!(records, [(1, json!({"a": 1})), (2, json!([2])), (3, json!(3))], "{what}");
        }
    });
}

#[test]
fn bare_numbers_and_texts_are_records() {
    for_each_backend(|options| {
        let journal = Journal::of_bytes(format!("{HEADER}1\n\"text\"\nnull\n-2.5e3\n"));
        let records = continue_with(options, &journal, &json!(5));
        let values: Vec<_> = records.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [json!(1), json!("text"), json!(null), json!(-2500.0), json!(5)]);
    });
}

#[test]
fn incomplete_last_line_is_truncated_and_kept() {
    for_each_backend(|options| {
        // A number without a line feed may lack digits.
        for tail in ["{\"a\":", "\"te", "12"] {
            let journal = Journal::of_bytes(format!("{HEADER}1\n2\n{tail}"));
            assert_eq!(replay::<Value>(journal.path()).unwrap(), [json!(1), json!(2)], "{tail}");
            let store = options.clone().open_blocking(journal.path()).unwrap();
            let cut = store.open_report().truncated.clone().unwrap_or_else(|| panic!("{tail} is cut"));
            assert_eq!(fs::read(cut.saved_to.unwrap()).unwrap().trim_ascii(), tail.as_bytes());
            assert_eq!(cut.segment, journal.path());
            drop(store);
            let records = continue_with(options.clone(), &journal, &json!(3));
            assert_eq!(records, [(1, json!(1)), (2, json!(2)), (3, json!(3))], "{tail}");
        }
    });
}

#[test]
fn a_damaged_middle_is_refused_in_a_plain_file_too() {
    for_each_backend(|options| {
        let journal = Journal::of_bytes(format!("{HEADER}1\n{{\"a\":\n3\n"));
        let before = journal.files();
        let refused = options.open_blocking(journal.path());
        let Err(MiniStoreError::Corrupt { segment, line, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!((segment.as_path(), line), (journal.path(), 3));
        assert_eq!(journal.files(), before);
    });
}

#[test]
fn what_the_original_wrote_is_protected_once_it_was_continued() {
    for_each_backend(|options| {
        let journal = Journal::new();
        original_write(journal.path(), ministore::MiniStoreOptions::new(), &[11, 12, 13]);
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().append(&14).unwrap();
        let crashed = journal.files();
        store.blocking().close().unwrap();
        for files in [journal.files(), crashed] {
            let mut damaged: Files = files;
            let bytes = damaged.get_mut(NAME).unwrap();
            let at = bytes.windows(3).position(|window| window == b"12\n").unwrap();
            bytes[at + 1] = b'9';
            let damaged = Journal::of(&damaged);
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
        let journal = Journal::new();
        let store = options.clone().checksums(false).open_blocking(journal.path()).unwrap();
        store.blocking().append(&1).unwrap();
        store.blocking().close().unwrap();
        original_write(journal.path(), ministore::MiniStoreOptions::new(), &[2]);
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [1, 2]);
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append(&3).unwrap();
        drop(store);
        assert_eq!(block_replay(&journal), [1, 2, 3]);
    });
}

fn block_replay(journal: &Journal) -> Vec<u32> {
    // Opening waits for the closing that the drop began.
    drop(MiniStore::open_blocking(journal.path()).unwrap());
    replay(journal.path()).unwrap()
}
