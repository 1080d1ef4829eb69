//! Checked-in journals of earlier versions, which the engine must read and continue.

use std::{fs, path::Path};

use ministore_uring::{Append, Header, JsonBatch, MiniStoreError, PendingAppend, Reader, maintenance};
use serde_json::{Value, json, value::RawValue};

use crate::support::{FileContents, NAME, TempJournal, for_each_backend, legacy_replay, numbered, replay};

/// Returns the records of every fixture.
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

fn fixture(name: &str) -> FileContents {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// Returns whether `ministore` 0.1.7 reads a fixture.
fn is_read_by_0_1_7(name: &str) -> bool {
    !name.starts_with("json-")
}

/// Reads a copy of the fixture, continues it, and reads it again. Returns the report of the open.
fn read_and_continue(name: &str, options: ministore_uring::JournalOptions) -> ministore_uring::OpenReport {
    let mut expected: Vec<_> = (1..).zip(records()).collect();
    let journal = TempJournal::of(&fixture(name));
    assert_eq!(replay::<Value>(journal.path()).unwrap(), records(), "{name}");
    assert_eq!(numbered::<Value>(journal.path()).unwrap(), expected, "{name}");
    let store = options.open_blocking(journal.path()).unwrap();
    assert_eq!(
        store.blocking().append_batch([json!("more"), json!("still more")]).unwrap(),
        10..12,
        "{name}"
    );
    store.blocking().rotate().unwrap();
    assert_eq!(store.blocking().append_json("12").unwrap(), 12, "{name}");
    store.blocking().close().unwrap();
    expected.extend([(10, json!("more")), (11, json!("still more")), (12, json!(12))]);
    assert_eq!(numbered::<Value>(journal.path()).unwrap(), expected, "{name}");
    let values: Vec<_> = expected.into_iter().map(|(_, value)| value).collect();
    match legacy_replay::<Value>(journal.path()) {
        Ok(read) => assert!(is_read_by_0_1_7(name) && read == values, "{name}: {read:?}"),
        Err(error) => assert!(!is_read_by_0_1_7(name), "{name}: {error}"),
    }
    store.open_report().clone()
}

#[test]
fn closed_journals_are_read_and_continued() {
    for_each_backend(|options| {
        for name in ["closed", "rotated", "json-closed", "json-rotated"] {
            for header in [Header::Comment, Header::Json] {
                if header == Header::Json && is_read_by_0_1_7(name) {
                    continue;
                }
                let report = read_and_continue(name, options.clone().header(header));
                assert!(
                    report.truncated.is_none() && !report.rotation_completed && !report.legacy_upgraded,
                    "{report:?}"
                );
            }
        }
    });
}

#[test]
fn crashed_journal_is_recovered_and_continued() {
    for_each_backend(|options| {
        for name in ["crashed", "json-crashed"] {
            let tail = read_and_continue(name, options.clone()).truncated.unwrap();
            let crashed = &fixture(name)[NAME];
            let torn = &crashed[tail.offset as usize..][..tail.bytes as usize];
            assert!(String::from_utf8_lossy(torn).contains("never acknowledged"), "{tail:?}");
        }
    });
}

#[test]
fn journals_of_0_1_7_are_read_and_continued() {
    for_each_backend(|options| {
        for name in ["legacy", "legacy-rotated"] {
            let report = read_and_continue(name, options.clone());
            assert!(report.legacy_upgraded && report.truncated.is_none(), "{report:?}");
        }
    });
}

#[test]
fn closed_journal_equals_the_fixture() {
    for_each_backend(|options| {
        for (name, header) in [("closed", Header::Comment), ("json-closed", Header::Json)] {
            let journal = TempJournal::new();
            let store = options.clone().header(header).open_blocking(journal.path()).unwrap();
            let records = records();
            store.blocking().append_batch(&records[..2]).unwrap();
            store.blocking().append(&records[2]).unwrap();
            store.blocking().append_batch(&records[3..6]).unwrap();
            for record in &records[6..] {
                store.blocking().append(record).unwrap();
            }
            store.blocking().close().unwrap();
            assert_eq!(journal.files(), fixture(name));
        }
    });
}

/// Returns the records of the fixture `permissive`, as they are in the file.
fn permissive_records() -> Vec<String> {
    vec![
        r#"{"name":"\ud83d"}"#.to_owned(),
        r#"{"\udc00":1}"#.to_owned(),
        "1e400".to_owned(),
        "-1e400".to_owned(),
        "[1.5e309]".to_owned(),
        r#"{"ordinary":6}"#.to_owned(),
        format!("{}{}", "[".repeat(128), "]".repeat(128)),
        format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200)),
        r#"{"$serde_json::private::RawValue":1}"#.to_owned(),
        r#""ordinary""#.to_owned(),
    ]
}

fn raw_records(path: &Path) -> Vec<String> {
    replay::<Box<RawValue>>(path).unwrap().iter().map(|raw| raw.get().to_owned()).collect()
}

#[test]
fn permissive_records_are_not_accepted_as_new() {
    let accepted: Vec<_> = permissive_records()
        .into_iter()
        .filter(|json| JsonBatch::new().push(json.as_bytes()).is_ok())
        .collect();
    assert_eq!(accepted, [r#"{"ordinary":6}"#, r#""ordinary""#]);
}

#[test]
fn permissive_journal_is_read_and_recovered() {
    for_each_backend(|options| {
        let journal = TempJournal::of(&fixture("permissive"));
        let mut expected = permissive_records();
        assert_eq!(raw_records(journal.path()), expected);
        let report = maintenance::verify(journal.path()).unwrap();
        assert!(report.faults.is_empty() && report.torn_tail.is_some(), "{report:?}");
        let last: Box<RawValue> = Reader::open(journal.path()).unwrap().get(7).unwrap().unwrap().value;
        assert_eq!(last.get(), expected[6]);

        let store = options.open_blocking(journal.path()).unwrap();
        assert!(store.open_report().truncated.is_some());
        assert_eq!(store.blocking().append_json("11").unwrap(), 11);
        store.blocking().rotate().unwrap();
        assert_eq!(store.blocking().append_json("12").unwrap(), 12);
        assert!(store.blocking().append_json(expected[0].clone()).is_err());
        store.blocking().close().unwrap();
        expected.extend(["11".to_owned(), "12".to_owned()]);
        assert_eq!(raw_records(journal.path()), expected);
        assert!(maintenance::verify(journal.path()).unwrap().faults.is_empty());
    });
}

#[test]
fn permissive_records_are_copied_by_salvage() {
    let journal = TempJournal::of(&fixture("permissive"));
    let copy = journal.dir().join("copy");
    let salvaged = maintenance::salvage(journal.path(), &copy).unwrap();
    assert_eq!(salvaged.records, 10);
    assert_eq!(raw_records(&copy), permissive_records());

    // The groups after damage in the middle still verify and are copied too.
    let mut files = fixture("permissive");
    let segment = files.get_mut(&format!("{NAME}.001")).unwrap();
    let at = segment.windows(5).position(|bytes| bytes == b"udc00").unwrap();
    segment[at] = b'x';
    let damaged = TempJournal::of(&files);
    let copy = damaged.dir().join("copy");
    maintenance::salvage(damaged.path(), &copy).unwrap();
    let mut expected = permissive_records();
    expected.remove(1);
    assert_eq!(raw_records(&copy), expected);
}

#[test]
fn permissive_records_are_copied_by_json_batch() {
    let journal = TempJournal::of(&fixture("permissive"));
    let mut batch = JsonBatch::new();
    let mut lines = Reader::open(journal.path()).unwrap().raw_records();
    while let Some(line) = lines.next_record().unwrap() {
        batch.push_copy(&line).unwrap();
    }
    let copy = TempJournal::new();
    let store = ministore_uring::JournalOptions::new().open_blocking(copy.path()).unwrap();
    store.blocking().send(Append::json_batch(batch)).and_then(PendingAppend::wait).unwrap();
    store.blocking().close().unwrap();
    assert_eq!(raw_records(copy.path()), permissive_records());
}

#[test]
fn push_copy_rejects_a_line_that_is_not_json() {
    let journal = TempJournal::of_bytes(b"// MINISTORE JOURNAL v0.1.3\nnope\n\"\xff\"\n1\n");
    let mut lines = Reader::open(journal.path()).unwrap().raw_records();
    let mut batch = JsonBatch::new();
    for number in 1..=2 {
        let rejected = batch.push_copy(&lines.next_record().unwrap().unwrap());
        assert!(matches!(rejected, Err(MiniStoreError::Record { seq, .. }) if seq == number), "{rejected:?}");
    }
    assert!(batch.is_empty());
    batch.push_copy(&lines.next_record().unwrap().unwrap()).unwrap();
    assert_eq!(batch.records(), 1);
}
