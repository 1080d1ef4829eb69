//! Journals whose header is a JSON object: their bytes, their segments next to those with a comment, and `ministore` 0.1.7 on
//! them.

use std::fs;

use ministore_uring::{
    Header, JournalOptions, MiniStoreError, Reader,
    maintenance::{RepairMode, repair, salvage, verify},
};
use serde_json::{Value, json};

use crate::support::{
    FileContents, Mutation, NAME, TempJournal, for_each_backend, legacy_replay, legacy_write, numbered,
    replay, seal, tokio_run,
};

const HEADER: &str = r#"{"$ministore":{"journal":"0.2.0","seal":"crc32c","first":1,"prev":"00000000"}}"#;

/// Returns the first line of a file.
fn first_line(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap().lines().next().unwrap()
}

/// Appends the numbers 1 to 12 in four segments; each open of the journal has the next of these headers.
fn mixed_journal(options: &JournalOptions, headers: [Header; 4]) -> TempJournal {
    let journal = TempJournal::new();
    for (index, header) in (0..).zip(headers) {
        let store = options.clone().header(header).open_blocking(journal.path()).unwrap();
        if index > 0 {
            // The active segment keeps its header.
            store.blocking().rotate().unwrap();
        }
        for n in 1..=3u64 {
            store.blocking().append(&(index * 3 + n)).unwrap();
        }
        store.blocking().close().unwrap();
    }
    journal
}

#[test]
fn closed_journal_with_json_header_is_the_example() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.header(Header::Json).open_blocking(journal.path()).unwrap();
        store.blocking().append_batch([Mutation::Set { value: 10 }, Mutation::Inc { by: 5 }]).unwrap();
        store.blocking().append(&Mutation::Inc { by: 7 }).unwrap();
        store.blocking().close().unwrap();
        let (first, second) = (seal(0xc638_08df), seal(0xad2f_5d31));
        let expected = format!(
            "{HEADER}\n{{\"Set\":{{\"value\":10}}}}\n{{\"Inc\":{{\"by\":5}}}}{first}\n{{\"Inc\":{{\"by\":7}}}}{second}\t\n"
        );
        assert_eq!(String::from_utf8(journal.bytes()).unwrap(), expected);
    });
}

#[test]
fn every_new_segment_has_the_chosen_header() {
    for_each_backend(|options| {
        let (comment, json) = (Header::Comment, Header::Json);
        let journal = mixed_journal(&options, [comment, json, json, comment]);
        let is_json = |suffix: &str| first_line(&fs::read(journal.file(suffix)).unwrap()).starts_with('{');
        assert_eq!([".001", ".002", ".003", ""].map(is_json), [false, true, true, false]);
        let parsed: Value =
            serde_json::from_str(first_line(&fs::read(journal.file(".002")).unwrap())).unwrap();
        assert_eq!((&parsed["$ministore"]["first"], parsed.as_object().unwrap().len()), (&json!(4), 1));
    });
}

#[test]
fn every_reader_reads_both_headers() {
    for_each_backend(|options| {
        for headers in [[Header::Json; 4], [Header::Comment, Header::Json, Header::Comment, Header::Json]] {
            let journal = mixed_journal(&options, headers);
            let expected: Vec<_> = (1..=12).map(|n| (n, n)).collect();
            assert_eq!(numbered::<u64>(journal.path()).unwrap(), expected);
            assert_eq!(replay::<u64>(journal.path()).unwrap(), Vec::from_iter(1..=12));
            let reader = Reader::open(journal.path()).unwrap();
            for (seq, value) in &expected {
                assert_eq!(reader.get::<u64>(*seq).unwrap().unwrap().value, *value);
            }
            let newest: Vec<u64> = reader.range(5..).map(|record| record.unwrap().value).collect();
            assert_eq!(newest, Vec::from_iter(5..=12));
            let mut follow = reader.follow::<u64>(6).unwrap();
            for seq in 6..=12 {
                assert_eq!(follow.next().unwrap().unwrap().seq, seq);
            }
            let verified = verify(journal.path()).unwrap();
            assert_eq!((verified.records, verified.faults.len()), (12, 0));
            assert!(verified.segments.iter().all(|segment| segment.checksummed));
        }
    });
}

#[test]
fn damage_after_a_json_header_is_detected() {
    for_each_backend(|options| {
        let journal = mixed_journal(&options, [Header::Json; 4]);
        let intact = journal.files();
        let copy = journal.dir().join("copy");
        for (suffix, from, to) in
            [(".002", "\"first\":4", "\"first\":5"), (".002", "\n5", "\n7"), ("", "\n11", "\n10")]
        {
            let mut files = intact.clone();
            let bytes = files.get_mut(&format!("{NAME}{suffix}")).unwrap();
            *bytes = String::from_utf8(bytes.clone()).unwrap().replace(from, to).into_bytes();
            journal.restore(&files);
            assert!(numbered::<u64>(journal.path()).is_err(), "{from}");
            assert!(!verify(journal.path()).unwrap().faults.is_empty(), "{from}");
            assert!(repair(journal.path(), RepairMode::DryRun).is_ok(), "{from}");
            let salvaged = salvage(journal.path(), &copy).unwrap();
            assert!((9..=11).contains(&salvaged.records), "{from}: {salvaged:?}");
            for name in ["copy", "copy.lock"] {
                fs::remove_file(journal.dir().join(name)).unwrap();
            }
        }
    });
}

/// Only the first line of a segment is a header.
#[test]
fn record_that_looks_like_a_header_is_a_record() {
    for_each_backend(|options| {
        for header in [Header::Comment, Header::Json] {
            let journal = TempJournal::new();
            let store = options.clone().header(header).open_blocking(journal.path()).unwrap();
            store.blocking().append_json(HEADER).unwrap();
            store.blocking().rotate().unwrap();
            store.blocking().append_json(HEADER).unwrap();
            store.blocking().append(&3).unwrap();
            store.blocking().close().unwrap();
            let line: Value = serde_json::from_str(HEADER).unwrap();
            assert_eq!(replay::<Value>(journal.path()).unwrap(), [line.clone(), line, json!(3)]);
            assert!(verify(journal.path()).unwrap().faults.is_empty());
        }
    });
}

#[test]
fn other_json_file_is_not_a_journal() {
    for text in [
        "{}\n",
        "{\"$ministore\":1}\n",
        "{\"$ministore\":{\"other\":1}}\n",
        "{\"a\":1}",
        "{\n  \"a\": 1\n}\n",
    ] {
        let journal = TempJournal::of_bytes(text);
        for header in [Header::Comment, Header::Json] {
            let opened = JournalOptions::new().header(header).open_blocking(journal.path());
            assert!(matches!(opened, Err(MiniStoreError::MissingInitialState)), "{text:?}: {opened:?}");
        }
        assert_eq!(journal.bytes(), text.as_bytes());
    }
}

#[test]
fn numbered_file_is_adopted_by_its_chain() {
    let journal = mixed_journal(&JournalOptions::new(), [Header::Json; 4]);
    let mut files = journal.files();
    for (from, to) in [(".001", ".2022"), (".002", ".2023"), (".003", ".2024")] {
        let bytes = files.remove(&format!("{NAME}{from}")).unwrap();
        files.insert(format!("{NAME}{to}"), bytes);
    }
    journal.restore(&files);
    assert_eq!(replay::<u64>(journal.path()).unwrap(), Vec::from_iter(1..=12));
    let own = TempJournal::new();
    let store = JournalOptions::new().header(Header::Json).open_blocking(own.path()).unwrap();
    store.blocking().append(&1u64).unwrap();
    store.blocking().close().unwrap();
    files.insert(format!("{NAME}.3000"), own.bytes());
    journal.restore(&files);
    let refused = replay::<u64>(journal.path());
    assert!(matches!(refused, Err(MiniStoreError::NotOwned { .. })), "{refused:?}");
}

#[test]
fn ministore_0_1_7_does_not_read_a_json_header() {
    let journal = mixed_journal(
        &JournalOptions::new(),
        [Header::Comment, Header::Json, Header::Comment, Header::Comment],
    );
    let read = legacy_replay::<u64>(journal.path());
    assert!(matches!(read, Err(ministore::MiniStoreError::MissingInitialState)), "{read:?}");
    let streamed = tokio_run(ministore::MiniStore::stream::<u64>(journal.file(".002")));
    assert!(matches!(streamed.map(drop), Err(ministore::MiniStoreError::MissingInitialState)));
}

/// 0.1.7 opens any file for writing and adds lines without seals. They are no records, as after a comment.
#[test]
fn lines_of_0_1_7_are_reported_and_kept() {
    for_each_backend(|options| {
        for header in [Header::Comment, Header::Json] {
            let options = options.clone().header(header);
            let journal = TempJournal::new();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().append_batch([1u64, 2]).unwrap();
            store.blocking().close().unwrap();
            let sealed = journal.bytes();
            legacy_write(journal.path(), ministore::MiniStoreOptions::new(), &[3, 4]);
            assert_eq!(journal.bytes(), [&sealed[..], b"3\n4\n"].concat(), "{header}");
            let torn = verify(journal.path()).unwrap().torn_tail.unwrap();
            assert_eq!((torn.offset, torn.line), (sealed.len() as u64, 4), "{header}: {torn:?}");
            assert_eq!(replay::<u64>(journal.path()).unwrap(), [1, 2], "{header}");
            let store = options.open_blocking(journal.path()).unwrap();
            let truncated = store.open_report().truncated.clone().unwrap();
            assert_eq!(fs::read(truncated.saved_to.unwrap()).unwrap(), b"3\n4\n", "{header}");
            assert_eq!(store.blocking().append_json("5").unwrap(), 3);
            store.blocking().close().unwrap();
            assert_eq!(replay::<u64>(journal.path()).unwrap(), [1, 2, 5], "{header}");
        }
    });
}

/// After a crash the file ends in padding, and the line of 0.1.7 follows it on the line of the last record.
#[test]
fn line_of_0_1_7_after_padding_is_kept() {
    for_each_backend(|options| {
        for header in [Header::Comment, Header::Json] {
            let options = options.clone().header(header);
            let journal = TempJournal::new();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().append_batch([1u64, 2]).unwrap();
            let crashed = TempJournal::of(&journal.files());
            legacy_write(crashed.path(), ministore::MiniStoreOptions::new(), &["0.1.7"]);
            let store = options.open_blocking(crashed.path()).unwrap();
            let truncated = store.open_report().truncated.clone().unwrap();
            assert!(fs::read(truncated.saved_to.unwrap()).unwrap().ends_with(b"\"0.1.7\"\n"), "{header}");
            assert_eq!(replay::<u64>(crashed.path()).unwrap(), [1, 2], "{header}");
        }
    });
}

#[test]
fn plain_segment_is_continued_and_followed_by_json() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        legacy_write(journal.path(), ministore::MiniStoreOptions::new(), &[1, 2]);
        let store = options.header(Header::Json).open_blocking(journal.path()).unwrap();
        assert!(store.open_report().legacy_upgraded);
        store.blocking().append(&3).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&4).unwrap();
        store.blocking().close().unwrap();
        let files: FileContents = journal.files();
        assert!(first_line(&files["journal.jsonl.001"]).starts_with("//"));
        assert!(first_line(&files[NAME]).starts_with('{'));
        assert_eq!(numbered::<u64>(journal.path()).unwrap(), [(1, 1), (2, 2), (3, 3), (4, 4)]);
    });
}
