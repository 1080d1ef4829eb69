//! The bytes on the disk match the description of the format.

use std::time::Duration;

use ministore_uring::JournalOptions;

use crate::support::{
    FileContents, Mutation, NAME, TempJournal, for_each_backend, legacy_write, replay, seal, seal_ends,
};

const HEADER: &str = r#"// MINISTORE JOURNAL v0.1.4 {"seal":"crc32c","first":1,"prev":"00000000"}"#;

/// Writes the example of the description: a batch of two records, then one record.
fn write_example(options: JournalOptions, journal: &TempJournal) -> ministore_uring::MiniStore {
    let store = options.open_blocking(journal.path()).unwrap();
    store.blocking().append_batch([Mutation::Set { value: 10 }, Mutation::Inc { by: 5 }]).unwrap();
    store.blocking().append(&Mutation::Inc { by: 7 }).unwrap();
    store
}

/// Returns the example without the end of the file.
fn example() -> String {
    let (first, second) = (seal(0x5321_4414), seal(0xbe69_100f));
    format!(
        "{HEADER}\n{{\"Set\":{{\"value\":10}}}}\n{{\"Inc\":{{\"by\":5}}}}{first}\n{{\"Inc\":{{\"by\":7}}}}{second}"
    )
}

fn assert_text(bytes: &[u8], expected: &str) {
    assert_eq!(String::from_utf8_lossy(bytes), expected);
}

/// Checks that no file has a blank line, on which the reader of `ministore` 0.1.7 fails.
fn assert_no_blank_line(journal: &TempJournal, when: &str) {
    for (name, bytes) in journal.files() {
        if name.ends_with(".next") {
            continue;
        }
        // Nothing follows the last line feed.
        let lines = bytes.strip_suffix(b"\n").unwrap_or(&bytes).split(|&b| b == b'\n');
        for (number, line) in lines.enumerate() {
            assert!(!line.trim_ascii().is_empty(), "{when}: line {} of {name} is blank", number + 1);
        }
    }
}

#[test]
fn closed_journal_is_the_documented_example() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        write_example(options, &journal).blocking().close().unwrap();
        assert_text(&journal.bytes(), &format!("{}\t\n", example()));
        assert_eq!(journal.names(), [NAME]);
    });
}

#[test]
fn open_journal_is_the_example_and_padding() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = write_example(options, &journal);
        let bytes = journal.bytes();
        let (data, padding) = bytes.split_at(example().len());
        assert_text(data, &example());
        assert!(!padding.is_empty() && padding.iter().all(|&b| b == b' '), "{}", padding.len());
        assert!(bytes.len() <= 256 << 10, "a journal of three records takes {} bytes", bytes.len());
        drop(store);
    });
}

#[test]
fn preallocation_does_not_change_closed_bytes() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = write_example(options.preallocate(false), &journal);
        assert_text(&journal.bytes(), &format!("{}\n", example()));
        store.blocking().close().unwrap();
        assert_text(&journal.bytes(), &format!("{}\t\n", example()));
    });
}

#[test]
fn continued_journal_equals_one_never_closed() {
    for_each_backend(|options| {
        let whole = TempJournal::new();
        write_example(options.clone(), &whole).blocking().close().unwrap();
        let continued = TempJournal::new();
        let store = options.clone().open_blocking(continued.path()).unwrap();
        store.blocking().append_batch([Mutation::Set { value: 10 }, Mutation::Inc { by: 5 }]).unwrap();
        store.blocking().close().unwrap();
        let store = options.open_blocking(continued.path()).unwrap();
        store.blocking().append(&Mutation::Inc { by: 7 }).unwrap();
        store.blocking().close().unwrap();
        assert_eq!(continued.bytes(), whole.bytes());
    });
}

#[test]
fn closed_file_without_checksums_equals_0_1_7() {
    let records: Vec<_> = (0..20).map(|by| Mutation::Inc { by }).collect();
    let legacy = TempJournal::new();
    legacy_write(legacy.path(), ministore::MiniStoreOptions::new(), &records);
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.checksums(false).open_blocking(journal.path()).unwrap();
        for record in &records {
            store.blocking().append(record).unwrap();
        }
        store.blocking().close().unwrap();
        assert_text(&journal.bytes(), &String::from_utf8(legacy.bytes()).unwrap());
    });
}

#[test]
fn rotated_files_without_checksums_are_plain() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.checksums(false).open_blocking(journal.path()).unwrap();
        for n in 0..6 {
            store.blocking().append(&n).unwrap();
            if n % 2 == 1 && n < 5 {
                store.blocking().rotate().unwrap();
            }
        }
        store.blocking().close().unwrap();
        let plain = |lines| format!("// MINISTORE JOURNAL v0.1.4\n{lines}").into_bytes();
        let expected = [(NAME, "4\n5\n"), ("journal.jsonl.001", "0\n1\n"), ("journal.jsonl.002", "2\n3\n")];
        assert_eq!(journal.files(), expected.map(|(name, lines)| (name.into(), plain(lines))).into());
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn batch_has_one_seal() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.max_group_bytes(1).open_blocking(journal.path()).unwrap();
        store.blocking().append_batch(0..100).unwrap();
        store.blocking().close().unwrap();
        let bytes = journal.bytes();
        assert_eq!(seal_ends(&bytes), [bytes.len() - 2]);
    });
}

#[test]
fn appends_committed_together_share_a_seal() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.commit_delay(Duration::from_millis(200)).open_blocking(journal.path()).unwrap();
        let pending: Vec<_> = (0..50).map(|n| store.blocking().submit(&n).unwrap()).collect();
        for pending in pending {
            pending.wait().unwrap();
        }
        let groups = store.stats().groups;
        store.blocking().close().unwrap();
        assert!(groups < 50, "{groups} groups for 50 appends within the delay");
        assert_eq!(seal_ends(&journal.bytes()).len() as u64, groups);
    });
}

#[test]
fn segment_header_links_to_previous_segment() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = write_example(options, &journal);
        store.blocking().rotate().unwrap();
        store.blocking().append(&Mutation::Inc { by: 1 }).unwrap();
        store.blocking().close().unwrap();
        let files: FileContents = journal.files();
        assert_text(&files["journal.jsonl.001"], &format!("{}\t\n", example()));
        let header = r#"// MINISTORE JOURNAL v0.1.4 {"seal":"crc32c","first":4,"prev":"be69100f"}"#;
        let begin = format!("{header}\n{{\"Inc\":{{\"by\":1}}}}\t");
        assert_text(&files[NAME][..begin.len()], &begin);
    });
}

#[test]
fn padding_is_never_a_blank_line() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        // Various sizes, so that groups end anywhere in a block, and some records take most of a block.
        let open = || options.clone().open_blocking(journal.path()).unwrap();
        let mut store = open();
        assert_no_blank_line(&journal, "after opening");
        for round in 0..60usize {
            store.blocking().append(&"x".repeat(round * round % 4099)).unwrap();
            assert_no_blank_line(&journal, &format!("after append {round}"));
            if round % 20 == 7 {
                store.blocking().rotate().unwrap();
                assert_no_blank_line(&journal, "after a rotation");
            }
            if round % 20 == 13 {
                store.blocking().close().unwrap();
                assert_no_blank_line(&journal, "after closing");
                store = open();
                assert_no_blank_line(&journal, "after opening again");
            }
        }
    });
}
