//! Journals of earlier days, checked in: whatever becomes of the engine, it reads and continues them.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{Files, Journal, NAME, for_each_backend, numbered, original_replay, replay};

/// What every fixture holds.
fn records() -> Vec<Value> {
    vec![
        json!({"Set": {"value": 10}}),
        json!({"Inc": {"by": 5}}),
        json!({"Inc": {"by": 7}}),
        json!("text with \"quotes\", a tab \t and ü"),
        json!(null),
        json!(-1.5),
        json!([1, [2, {}]]),
        json!({"empty": ""}),
        json!(9),
    ]
}

fn fixture(name: &str) -> Files {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// Reads a copy of the fixture, continues it, and reads it again; gives back how the writer found it.
fn read_and_continue(name: &str, options: ministore_uring::JournalOptions) -> ministore_uring::OpenReport {
    let mut expected: Vec<_> = (1..).zip(records()).collect();
    let journal = Journal::of(&fixture(name));
    assert_eq!(replay::<Value>(journal.path()).unwrap(), records(), "{name}");
    assert_eq!(numbered::<Value>(journal.path()).unwrap(), expected, "{name}");
    let store = options.open_blocking(journal.path()).unwrap();
    assert_eq!(
        store.blocking().append_batch([json!("more"), json!("still more")]).unwrap(),
        10..12,
        "{name}"
    );
    store.blocking().rotate().unwrap();
    assert_eq!(store.blocking().append_json("12".into()).unwrap(), 12, "{name}");
    store.blocking().close().unwrap();
    expected.extend([(10, json!("more")), (11, json!("still more")), (12, json!(12))]);
    assert_eq!(numbered::<Value>(journal.path()).unwrap(), expected, "{name}");
    let values: Vec<_> = expected.into_iter().map(|(_, value)| value).collect();
    assert_eq!(original_replay::<Value>(journal.path()).unwrap(), values, "{name}");
    store.open_report().clone()
}

#[test]
fn closed_journals_are_read_and_continued() {
    for_each_backend(|options| {
        for name in ["closed", "rotated"] {
            let report = read_and_continue(name, options.clone());
            assert!(report.cut.is_none() && !report.rotation_completed && !report.plain_sealed, "{report:?}");
        }
    });
}

#[test]
fn a_crashed_journal_is_read_recovered_and_continued() {
    for_each_backend(|options| {
        let cut = read_and_continue("crashed", options).cut.unwrap();
        let crashed = &fixture("crashed")[NAME];
        let torn = &crashed[cut.offset as usize..][..cut.bytes as usize];
        assert!(String::from_utf8_lossy(torn).contains("never acknowledged"), "{cut:?}");
    });
}

#[test]
fn journals_of_the_original_are_read_and_continued() {
    for_each_backend(|options| {
        for name in ["original", "original-rotated"] {
            let report = read_and_continue(name, options.clone());
            assert!(report.plain_sealed && report.cut.is_none(), "{report:?}");
        }
    });
}

#[test]
fn a_closed_journal_is_still_written_as_it_was() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let records = records();
        store.blocking().append_batch(&records[..2]).unwrap();
        store.blocking().append(&records[2]).unwrap();
        store.blocking().append_batch(&records[3..6]).unwrap();
        for record in &records[6..] {
            store.blocking().append(record).unwrap();
        }
        store.blocking().close().unwrap();
        assert_eq!(journal.files(), fixture("closed"));
    });
}
