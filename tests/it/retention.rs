//! Retention: trimmed records are deleted, held records are kept whatever the limits, and holds survive crashes.

mod holds;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    time::{Duration, SystemTime},
};

use futures_lite::future::zip;
use ministore_uring::{
    Backend, JournalOptions, MiniStore, MiniStoreError, MiniStoreOptions, maintenance::verify,
};

use crate::support::{
    NAME, TempJournal, block_on, child, child_args, for_each_commit_path, legacy_replay, legacy_write,
    numbered, on_each_backend, report, reported,
};

/// Writes `count` segments of ten records each, after which the active segment is empty.
fn write_segments(store: &MiniStore, count: u64) {
    for _ in 0..count {
        append(store, 10);
        store.blocking().rotate().unwrap();
    }
}

/// Appends records whose values are their sequence numbers.
fn append(store: &MiniStore, count: u64) {
    let next = store.durable_seq() + 1;
    assert_eq!(store.blocking().append_batch(next..next + count).unwrap(), next..next + count);
}

/// Returns the sequence numbers of all records, and checks that each record has its own number.
fn found_seqs(journal: &TempJournal) -> Vec<u64> {
    let found = numbered::<u64>(journal.path()).unwrap();
    assert!(found.iter().all(|(seq, value)| seq == value), "{found:?}");
    found.into_iter().map(|(seq, _)| seq).collect()
}

fn is_invalid<T: std::fmt::Debug>(outcome: Result<T, MiniStoreError>, part: &str) -> bool {
    matches!(outcome, Err(MiniStoreError::InvalidArgument(text)) if text.contains(part))
}

#[test]
fn segments_with_only_older_records_are_trimmed() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!(store.first_seq(), 1);
        write_segments(&store, 3);
        append(&store, 5);
        for (before, first) in [(0, 1), (1, 1), (10, 1), (11, 11), (12, 11), (5, 11), (31, 31), (1000, 31)] {
            assert_eq!(store.blocking().trim_before(before).unwrap(), first, "before {before}");
            assert_eq!((store.first_seq(), found_seqs(&journal)[0]), (first, first));
            let stats = store.stats();
            assert_eq!((stats.trimmed_records, stats.trimmed_segments), (first - 1, (first - 1) / 10));
        }
        assert_eq!(found_seqs(&journal), [31, 32, 33, 34, 35]);
        // Trimmed records of the active segment are deleted once it is rotated.
        store.blocking().rotate().unwrap();
        assert_eq!(store.blocking().trim_before(0).unwrap(), 36);
        assert!(found_seqs(&journal).is_empty());
        append(&store, 1);
        assert_eq!((store.first_seq(), found_seqs(&journal)), (36, vec![36]));
        store.blocking().close().unwrap();
        assert_eq!(journal.names(), [NAME]);
    });
}

#[test]
fn first_seq_is_known_after_open() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        for (count, before, first) in [(0, 0, 1), (2, 11, 11), (2, 0, 11), (1, 1000, 51), (0, 0, 51)] {
            let store = options.clone().open_blocking(journal.path()).unwrap();
            write_segments(&store, count);
            assert_eq!(store.blocking().trim_before(before).unwrap(), first);
            store.blocking().close().unwrap();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            assert_eq!(store.first_seq(), first);
            assert_eq!(store.stats().trimmed_records, 0);
            store.blocking().close().unwrap();
        }
        fs::remove_file(journal.file(".005")).unwrap_err();
        assert_eq!(options.open_blocking(journal.path()).unwrap().open_report().next_seq, 51);
    });
}

#[test]
fn trim_without_checksums_deletes_nothing() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let options = options.checksums(false).max_segments(3);
        let store = options.clone().open_blocking(journal.path()).unwrap();
        assert!(is_invalid(store.blocking().trim_before(5), "need checksums"));
        assert!(is_invalid(store.blocking().hold("x", 5), "need checksums"));
        // `max_segments` still deletes, and the deleted records are counted.
        write_segments(&store, 4);
        append(&store, 1);
        store.blocking().close().unwrap();
        assert_eq!((store.first_seq(), store.stats().trimmed_records), (21, 20));
        assert_eq!(journal.names().len(), 3);
        // Sequence numbers count from the oldest existing record.
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!((store.first_seq(), store.open_report().next_seq), (1, 22));
    });
}

#[test]
fn segments_of_0_1_7_are_numbered_from_the_first() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let options_0_1_7 = ministore::MiniStoreOptions::new().max_bytes_per_segment(120).max_segments(4);
        legacy_write(journal.path(), options_0_1_7, &(1..=200_u64).collect::<Vec<_>>());
        let kept = legacy_replay::<u64>(journal.path()).unwrap().len() as u64;
        assert!(kept < 200, "0.1.7 deleted some: {kept} are left");
        let store = options.clone().open_blocking(journal.path()).unwrap();
        assert_eq!((store.first_seq(), store.open_report().next_seq), (1, kept + 1));
        store.blocking().append(&0_u64).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&0_u64).unwrap();
        // These segments, except for the newest, do not contain their last sequence number.
        assert_eq!(store.blocking().trim_before(kept).unwrap(), 1);
        store.blocking().close().unwrap();
        // When the oldest is deleted manually or by count, the others keep their numbers.
        let oldest = journal.names().into_iter().nth(1).unwrap();
        fs::remove_file(journal.dir().join(oldest)).unwrap();
        let first = numbered::<u64>(journal.path()).unwrap()[0].0;
        assert!(first > 1);
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!(store.first_seq(), first);
    });
}

#[test]
fn max_total_bytes_deletes_oldest_segments() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        write_segments(&store, 4);
        store.blocking().close().unwrap();
        let sizes: Vec<u64> = journal
            .names()
            .iter()
            .map(|name| fs::metadata(journal.dir().join(name)).unwrap().len())
            .collect();
        // At open: all but the two oldest fit.
        let fits = sizes.iter().sum::<u64>() - sizes[1] - sizes[2];
        for (bytes, first) in [(fits + sizes[1] + sizes[2], 1), (fits, 21), (1, 41)] {
            // Without padding and before the first append, the active file has the same size as before.
            let options = options.clone().preallocate(false).max_total_bytes(bytes);
            let store = options.open_blocking(journal.path()).unwrap();
            store.blocking().close().unwrap();
            assert_eq!(store.first_seq(), first, "{bytes}");
        }
        // At a rotation.
        let store = options.max_total_bytes(1).open_blocking(journal.path()).unwrap();
        append(&store, 10);
        store.blocking().rotate().unwrap();
        store.blocking().close().unwrap();
        assert_eq!((store.first_seq(), store.stats().trimmed_segments), (51, 1));
    });
}

#[test]
fn max_age_deletes_old_segments() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let hour = Duration::from_secs(3600);
        let store = options.clone().open_blocking(journal.path()).unwrap();
        write_segments(&store, 3);
        let age = |suffix: &str, hours: u32| {
            let file = fs::File::options().write(true).open(journal.file(suffix)).unwrap();
            file.set_modified(SystemTime::now() - hour * hours).unwrap();
        };
        age(".001", 5);
        age(".002", 3);
        store.blocking().close().unwrap();
        let opened_with = |hours: u32| {
            let store = options.clone().max_age(hour * hours).open_blocking(journal.path()).unwrap();
            store.blocking().close().unwrap();
            store.first_seq()
        };
        assert_eq!([6, 4, 4].map(opened_with), [1, 11, 11]);

        let store = options.clone().max_age(hour).open_blocking(journal.path()).unwrap();
        assert_eq!(store.blocking().trim_before(0).unwrap(), 21);
        // From the future: the clock was set back.
        let file = fs::File::options().write(true).open(journal.file(".003")).unwrap();
        file.set_modified(SystemTime::now() + hour * 10).unwrap();
        assert_eq!(store.blocking().trim_before(0).unwrap(), 21);
        age(".003", 2);
        append(&store, 1);
        store.blocking().rotate().unwrap();
        store.blocking().close().unwrap();
        assert_eq!(store.first_seq(), 31);
    });
}

#[test]
fn max_age_ignores_implausible_time_stamps() {
    let journal = TempJournal::new();
    let day = Duration::from_secs(86_400);
    let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
    write_segments(&store, 4);
    store.blocking().close().unwrap();
    let first_seq = || {
        let store = JournalOptions::new().max_age(day).open_blocking(journal.path()).unwrap();
        store.blocking().close().unwrap();
        store.first_seq()
    };
    let stamp = |suffix: &str, time: SystemTime| {
        fs::File::options().write(true).open(journal.file(suffix)).unwrap().set_modified(time).unwrap();
    };
    // The clock of 1980: the segments were written now.
    for suffix in [".001", ".002", ".003"] {
        stamp(suffix, SystemTime::UNIX_EPOCH + day * 3653);
    }
    assert_eq!(first_seq(), 1, "nothing is known to be old");
    // From the future: the segment after it shows that it is old.
    stamp(".001", SystemTime::now() + day * 10);
    stamp(".002", SystemTime::now() - day * 3);
    stamp(".003", SystemTime::now());
    assert_eq!(first_seq(), 21, "one wrong stamp does not end retention");
}

#[test]
fn zero_retention_limits_are_rejected() {
    let journal = TempJournal::new();
    let opened = |options: JournalOptions| options.open_blocking(journal.path());
    assert!(is_invalid(opened(JournalOptions::new().max_total_bytes(0)), "max_total_bytes"));
    assert!(is_invalid(opened(JournalOptions::new().max_age(Duration::ZERO)), "max_age"));
}

#[test]
fn open_deletes_nothing_by_count_as_0_1_7() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        write_segments(&store, 5);
        store.blocking().close().unwrap();
        let store = block_on(MiniStoreOptions::new().max_segments(2).open(journal.path())).unwrap();
        store.blocking().append(&51_u64).unwrap();
        store.blocking().close().unwrap();
        assert_eq!((store.first_seq(), journal.names().len()), (1, 6));
    });
}
