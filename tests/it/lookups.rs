//! Records by sequence number, in journals that are open, written, rotated, trimmed, closed, old or large.

use std::{
    iter,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use fastrand::Rng;
use futures_lite::StreamExt;
use ministore_uring::{JournalOptions, MiniStoreError, Reader, Record, Result};
use serde::de::DeserializeOwned;

use crate::support::{TempJournal, block_on, for_each_backend, legacy_write};

/// Returns a fixed pseudo-random sequence of numbers.
fn scattered(of: u64) -> impl Iterator<Item = u64> {
    let mut random = Rng::with_seed(1);
    iter::repeat_with(move || random.u64(1..=of))
}

fn value<T: DeserializeOwned>(seq: u64, found: Result<Option<Record<T>>>) -> Option<T> {
    found.unwrap().map(|record| {
        assert_eq!(record.seq, seq);
        record.value
    })
}

#[test]
fn get_finds_a_record_by_its_seq() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.max_segment_bytes(20_000).open_blocking(journal.path()).unwrap();
        let reader = Reader::open(journal.path()).unwrap();
        let texts: Vec<String> = (1..=3000).map(|n| format!("{n}{}", "-".repeat(n % 100))).collect();
        for texts in texts.chunks(7) {
            store.blocking().append_batch(texts).unwrap();
        }
        for (seq, at) in scattered(3000).take(300).map(|seq| (seq, seq as usize - 1)) {
            let expected = texts.get(at).cloned();
            assert_eq!(value(seq, reader.get(seq)), expected);
            assert_eq!(value(seq, store.blocking().get(seq)), expected);
            assert_eq!(value(seq, block_on(store.get(seq))), expected);
        }
        for seq in [0, 3001, u64::MAX] {
            assert_eq!(value::<String>(seq, reader.get(seq)), None);
            assert_eq!(value::<String>(seq, store.blocking().get(seq)), None);
            assert_eq!(value::<String>(seq, block_on(store.get(seq))), None);
        }
        let expected: Vec<_> = (1001..).zip(texts[1000..2000].iter().cloned()).collect();
        let pair = |record: Result<Record<String>>| record.map(|record| (record.seq, record.value)).unwrap();
        assert_eq!(reader.range(1001..2001).map(pair).collect::<Vec<_>>(), expected);
        assert_eq!(store.blocking().range(1001..=2000).map(pair).collect::<Vec<_>>(), expected);
        assert_eq!(block_on(store.range(1001..2001).map(pair).collect::<Vec<_>>()), expected);
        assert_eq!(block_on(store.range::<String>(..).count()), 3000);
        store.blocking().close().unwrap();
        assert_eq!(value(1500, store.blocking().get(1500)), Some(texts[1499].clone()), "closed");
        assert_eq!(value(1500, block_on(store.get(1500))), Some(texts[1499].clone()), "closed");
    });
}

#[test]
fn last_seq_reads_only_the_newest_segment() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let reader = Reader::open(journal.path()).unwrap();
        assert_eq!(reader.last_seq().unwrap(), 0, "the journal is empty");
        let store = options.max_segment_bytes(2000).open_blocking(journal.path()).unwrap();
        assert_eq!(reader.last_seq().unwrap(), 0);
        for n in 1..=200_u64 {
            store.blocking().append(&n).unwrap();
            assert_eq!(reader.last_seq().unwrap(), n);
        }
        store.blocking().rotate().unwrap();
        assert_eq!(reader.last_seq().unwrap(), 200, "the newest segment is empty");
        store.blocking().close().unwrap();
        // Damage in other segments is not detected, because they are not read.
        std::fs::write(journal.file(".001"), "// MINISTORE JOURNAL v0.1.4\n??\n1\n").unwrap();
        assert_eq!(Reader::open(journal.path()).unwrap().last_seq().unwrap(), 200);
    });
    let journal = TempJournal::new();
    let small = ministore::MiniStoreOptions { max_bytes_per_segment: 100, max_segments: 100 };
    legacy_write(journal.path(), small, &Vec::from_iter(1..=60_u64));
    assert!(journal.names().len() > 1, "it was rotated");
    assert_eq!(Reader::open(journal.path()).unwrap().last_seq().unwrap(), 60);
}

#[test]
fn durable_records_are_found_during_rotation() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.max_segment_bytes(3000).open_blocking(journal.path()).unwrap();
        store.blocking().append(&1).unwrap();
        let reader = Reader::open(journal.path()).unwrap();
        let (done, lookups) = (AtomicBool::new(false), AtomicU64::new(0));
        let look_up = |method: u64| {
            let mut random = Rng::with_seed(method);
            while !done.load(Ordering::Acquire) {
                let durable = store.durable_seq();
                // Sometimes the newest record, whose segment may be in the middle of its rename.
                let seq = if random.u8(..3) == 0 { durable } else { random.u64(1..=durable) };
                let found = match method {
                    0 => reader.get(seq),
                    1 => store.blocking().get(seq),
                    2 => block_on(store.get(seq)),
                    _ => reader.range(seq..).next().transpose(),
                };
                assert_eq!(value(seq, found), Some(seq), "method {method}");
                lookups.fetch_add(1, Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|method| scope.spawn(move || look_up(method))).collect();
            for n in 2..=1500u64 {
                store.blocking().append(&n).unwrap();
            }
            while lookups.load(Ordering::Relaxed) < 200 {
                thread::yield_now();
            }
            done.store(true, Ordering::Release);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert!(store.stats().rotations >= 5, "{} rotations", store.stats().rotations);
    });
}

#[test]
fn many_tasks_get_concurrently() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.max_segment_bytes(20_000).open_blocking(journal.path()).unwrap();
        store.blocking().append_batch(1..=5000u64).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            let get = |seq| {
                let store = store.clone();
                tokio::spawn(async move { value::<u64>(seq, store.get(seq).await) })
            };
            let tasks: Vec<_> = scattered(5000).take(500).map(|seq| (seq, get(seq))).collect();
            for (seq, task) in tasks {
                assert_eq!(task.await.unwrap(), Some(seq));
            }
        });
    });
}

#[test]
fn trimmed_differs_from_never_written() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        for first in [1, 11, 21] {
            store.blocking().append_batch(first..first + 10u64).unwrap();
            store.blocking().rotate().unwrap();
        }
        let reader = Reader::open(journal.path()).unwrap();
        let trimmed_before = |found: Result<Option<Record<u64>>>| match found {
            Err(MiniStoreError::Trimmed { first_seq, .. }) => Some(first_seq),
            found => panic!("{found:?}"),
        };
        assert_eq!(value(15, reader.get::<u64>(15)), Some(15));
        assert_eq!(store.blocking().trim_before(21).unwrap(), 21);
        for seq in [1, 15, 20] {
            assert_eq!(trimmed_before(reader.get(seq)), Some(21));
            assert_eq!(trimmed_before(store.blocking().get(seq)), Some(21));
            assert_eq!(trimmed_before(block_on(store.get(seq))), Some(21));
            assert_eq!(trimmed_before(reader.range(seq..).next().transpose()), Some(21));
        }
        assert_eq!(value(21, reader.get::<u64>(21)), Some(21));
        assert_eq!(value(31, reader.get::<u64>(31)), None);
        assert_eq!(store.blocking().trim_before(31).unwrap(), 31);
        assert_eq!(trimmed_before(reader.get(30)), Some(31), "no record is left");
        assert_eq!(value(31, reader.get::<u64>(31)), None);
    });
}

/// Files of `ministore` 0.1.7 contain no sequence numbers: readers count the records.
#[test]
fn records_of_0_1_7_are_counted() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let options_0_1_7 = ministore::MiniStoreOptions { max_bytes_per_segment: 200, max_segments: 100 };
        legacy_write(journal.path(), options_0_1_7, &Vec::from_iter(1..=100u64));
        let reader = Reader::open(journal.path()).unwrap();
        let check = |last: u64| {
            for seq in (0..=last + 1).rev() {
                let expected = (1..=last).contains(&seq).then_some(seq);
                assert_eq!(value::<u64>(seq, reader.get(seq)), expected);
            }
        };
        check(100);
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append_batch(101..=110u64).unwrap();
        check(110);
        store.blocking().rotate().unwrap();
        store.blocking().append_batch(111..=120u64).unwrap();
        check(120);
        assert_eq!(value(50, store.blocking().get::<u64>(50)), Some(50));
    });
}

#[test]
fn journal_without_checksums_is_counted() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let options = options.checksums(false).max_segment_bytes(500);
        let store = options.open_blocking(journal.path()).unwrap();
        for n in 1..=200u64 {
            store.blocking().append(&n).unwrap();
        }
        let reader = Reader::open(journal.path()).unwrap();
        for seq in [200, 1, 100, 37, 201] {
            let expected = (seq <= 200).then_some(seq);
            assert_eq!(value::<u64>(seq, reader.get(seq)), expected);
            assert_eq!(value::<u64>(seq, store.blocking().get(seq)), expected);
        }
    });
}

/// The group is larger than the buffer of a reader.
#[test]
fn record_of_a_large_group_is_found() {
    let journal = TempJournal::new();
    let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
    let filler = "x".repeat(1000);
    let text = |n: u64| format!("{n}{filler}");
    store.blocking().append(&text(1)).unwrap();
    store.blocking().append_batch((2..=12_000).map(text)).unwrap();
    store.blocking().append(&text(12_001)).unwrap();
    let reader = Reader::open(journal.path()).unwrap();
    for seq in [7000, 1, 2, 12_000, 12_001, 6999] {
        assert_eq!(value(seq, reader.get(seq)), Some(text(seq)));
        assert_eq!(value(seq, block_on(store.get(seq))), Some(text(seq)));
    }
    let seqs: Vec<_> = reader.range::<String>(11_990..=12_005).map(|record| record.unwrap().seq).collect();
    assert_eq!(seqs, Vec::from_iter(11_990..=12_001));
}

#[test]
fn index_is_much_smaller_than_the_journal() {
    let journal = TempJournal::new();
    let store = JournalOptions::new().max_segment_bytes(4 << 20).open_blocking(journal.path()).unwrap();
    let text = "x".repeat(200);
    for _ in 0..100 {
        store.blocking().append_batch((0..1000).map(|_| &text)).unwrap();
        for _ in 0..5 {
            store.blocking().append(&text).unwrap();
        }
    }
    let reader: Reader = Reader::open(journal.path()).unwrap();
    assert_eq!(reader.index_bytes(), 0, "no lookup yet");
    assert_eq!(reader.range::<String>(..).count(), 100_500);
    let bytes = reader.index_bytes();
    assert!((100 * 24..30_000).contains(&bytes), "{bytes} bytes for 21 MB");
    assert_eq!(value(77_777, reader.get(77_777)), Some(text));
    assert_eq!(reader.index_bytes(), bytes, "the index is unchanged");
}

#[test]
fn record_of_another_type_is_reported() {
    let journal = TempJournal::new();
    let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
    store.blocking().append_batch(["1", "two"]).unwrap();
    store.blocking().append(&3).unwrap();
    match block_on(store.get::<u64>(2)) {
        Err(MiniStoreError::Record { seq: 2, line: 3, segment, .. }) => assert_eq!(segment, journal.path()),
        found => panic!("{found:?}"),
    }
    assert_eq!(value::<u64>(3, store.blocking().get(3)), Some(3));
}

#[test]
fn get_without_stable_seqs_is_rejected() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let options = options.checksums(false);
        let deletes = options.clone().max_segment_bytes(200).max_segments(2);
        let store = deletes.open_blocking(journal.path()).unwrap();
        for value in 0..100 {
            store.blocking().append(&value).unwrap();
        }
        let check_rejected = |error: MiniStoreError| {
            let is_expected =
                matches!(&error, MiniStoreError::InvalidArgument(text) if text.contains("needs checksums"));
            assert!(is_expected, "{error}");
        };
        check_rejected(store.blocking().get::<u64>(99).unwrap_err());
        check_rejected(block_on(store.get::<u64>(99)).unwrap_err());
        let mut range = store.blocking().range::<u64>(99..);
        check_rejected(range.next().unwrap().unwrap_err());
        assert!(range.next().is_none());
        check_rejected(block_on(store.follow::<u64>(0).next()).unwrap().unwrap_err());
        store.blocking().close().unwrap();

        // Without deletions the sequence numbers are stable.
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append(&7).unwrap();
        assert_eq!(store.blocking().get::<u64>(1).unwrap().unwrap().value, 7);
    });
}
