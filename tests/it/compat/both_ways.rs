//! Journals that this crate and `ministore` 0.1.7 write in turn.

use super::*;

#[test]
fn seqs_continue_after_0_1_7() {
    let journal = TempJournal::new();
    let path: &Path = journal.path();
    legacy_write(path, ministore::MiniStoreOptions::new(), &[1, 2, 3]);
    let store = MiniStore::open_blocking(path).unwrap();
    assert_eq!(store.blocking().submit(&4).unwrap().wait().unwrap().seq, 4);
    assert_eq!(replay::<u32>(path).unwrap(), [1, 2, 3, 4]);
}

/// Creates a closed journal with two rotated segments and an active one.
fn closed(options: &ministore_uring::JournalOptions) -> TempJournal {
    let journal = TempJournal::new();
    let store = options.clone().open_blocking(journal.path()).unwrap();
    for number in 1..=6u32 {
        store.blocking().append(&number).unwrap();
        if number % 2 == 0 && number < 6 {
            store.blocking().rotate().unwrap();
        }
    }
    store.blocking().hold("consumer", 1).unwrap();
    store.blocking().close().unwrap();
    journal
}

#[test]
fn ministore_0_1_7_continues_after_close() {
    for_each_backend(|options| {
        let journal = closed(&options);
        // `ministore` 0.1.7 ignores the lock file and the holds file.
        assert!(journal.file(".lock").exists() && journal.file(".holds").exists());
        // It numbers its next rotated segment after ours.
        let small = ministore::MiniStoreOptions::new().max_bytes_per_segment(1).max_segments(usize::MAX);
        legacy_write(journal.path(), small, &[7, 8]);
        assert!(journal.file(".002").exists() && journal.file(".000004").exists(), "{:?}", journal.names());
        assert_eq!(legacy_replay::<u32>(journal.path()).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
    });
}

#[test]
fn records_of_0_1_7_after_seal_are_truncated_and_kept() {
    for_each_backend(|options| {
        let journal = closed(&options);
        legacy_write(journal.path(), ministore::MiniStoreOptions::new(), &[7, 8]);
        assert_eq!(legacy_replay::<u32>(journal.path()).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
        // Lines without a seal after a checksummed group look like an interrupted commit.
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [1, 2, 3, 4, 5, 6]);
        let store = options.clone().open_blocking(journal.path()).unwrap();
        let tail = store.open_report().truncated.clone().unwrap();
        assert_eq!(fs::read(tail.saved_to.unwrap()).unwrap(), b"7\n8\n");
    });
}

#[test]
fn segments_written_by_0_1_7_are_continued() {
    for_each_backend(|options| {
        let journal = closed(&options);
        // The documented way back: rename the last segment, so that `ministore` 0.1.7 starts a new one.
        fs::rename(journal.path(), journal.file(".003")).unwrap();
        legacy_write(journal.path(), ministore::MiniStoreOptions::new(), &[7, 8]);
        let numbers = |to| (1..=to).collect::<Vec<u32>>();
        assert_eq!(legacy_replay::<u32>(journal.path()).unwrap(), numbers(8));
        // This crate reads and continues that.
        assert_eq!(replay::<u32>(journal.path()).unwrap(), numbers(8));
        let store = options.clone().open_blocking(journal.path()).unwrap();
        assert!(store.open_report().truncated.is_none());
        assert_eq!(store.blocking().submit(&9).unwrap().wait().unwrap().seq, 9);
        store.blocking().close().unwrap();
        assert_eq!(replay::<u32>(journal.path()).unwrap(), numbers(9));
        assert_eq!(legacy_replay::<u32>(journal.path()).unwrap(), numbers(9));
    });
}

#[test]
fn open_journal_must_be_closed_before_0_1_7() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append_batch([1, 2]).unwrap();
        let crashed = TempJournal::of(&journal.files());
        assert_eq!(legacy_replay::<u32>(crashed.path()).unwrap(), [1, 2], "it can be read");
        legacy_write(crashed.path(), ministore::MiniStoreOptions::new(), &[3]);
        assert!(legacy_replay::<u32>(crashed.path()).is_err(), "0.1.7 appends its line to the padding");

        let crashed = TempJournal::of(&journal.files());
        MiniStore::open_blocking(crashed.path()).unwrap().blocking().close().unwrap();
        legacy_write(crashed.path(), ministore::MiniStoreOptions::new(), &[3]);
        assert_eq!(legacy_replay::<u32>(crashed.path()).unwrap(), [1, 2, 3]);
    });
}
