//! `Reader` reads a journal by its path, from both ends, blocking or as a stream.

use ministore_uring::{Append, MiniStoreError, Reader, Record};

use crate::support::{TempJournal, block_on, for_each_backend};

const RECORDS: u64 = 1000;

fn written(journal: &TempJournal, options: ministore_uring::JournalOptions) -> ministore_uring::MiniStore {
    let store = options.max_segment_bytes(4096).open_blocking(journal.path()).unwrap();
    for n in 1..=RECORDS {
        store.blocking().submit(&n).unwrap().wait().map(drop).unwrap();
    }
    store
}

fn seqs(records: impl Iterator<Item = ministore_uring::Result<Record<u64>>>) -> Vec<u64> {
    records
        .map(|record| {
            let record = record.unwrap();
            assert_eq!(record.seq, record.value);
            record.seq
        })
        .collect()
}

#[test]
fn range_reversed_yields_the_same_records() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = written(&journal, options);
        let reader = Reader::open(journal.path()).unwrap();
        for (start, end) in [(1, 1001), (1, 2), (500, 500), (200, 700), (937, 1001), (0, 65)] {
            let mut reversed = seqs(reader.range(start..end).rev());
            reversed.reverse();
            assert_eq!(reversed, seqs(reader.range(start..end)), "{start}..{end}");
            assert_eq!(reversed, seqs(store.blocking().range(start..end)), "{start}..{end}");
        }
        assert_eq!(seqs(reader.range(..).rev()).len(), RECORDS as usize);
        assert_eq!(seqs(reader.range(990..).rev().take(3)), [1000, 999, 998]);
        assert!(seqs(reader.range(2000..).rev()).is_empty());
    });
}

#[test]
fn range_read_from_both_ends_meets_in_the_middle() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        drop(written(&journal, options));
        let reader = Reader::open(journal.path()).unwrap();
        for every in [2, 3, 7, 100] {
            let mut range = reader.range::<u64>(100..=300);
            let (mut front, mut back) = (Vec::new(), Vec::new());
            for turn in 0.. {
                let next = if turn % every == 0 { range.next() } else { range.next_back() };
                let Some(record) = next else { break };
                if turn % every == 0 { &mut front } else { &mut back }.push(record.unwrap().seq);
            }
            assert!(range.next().is_none() && range.next_back().is_none());
            back.reverse();
            assert_eq!([front, back].concat(), (100..=300).collect::<Vec<_>>(), "one of {every}");
        }
    });
}

#[test]
fn range_reversed_keeps_large_records_bounded() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let large = "x".repeat(700 << 10);
        for _ in 0..5 {
            store.blocking().append(&large).unwrap();
        }
        let reader = Reader::open(journal.path()).unwrap();
        let records: Vec<Record<String>> = reader.range(..).rev().collect::<Result<_, _>>().unwrap();
        assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
        assert!(records.iter().all(|record| record.value == large));
    });
}

#[test]
fn range_reversed_ends_at_the_oldest_record() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = written(&journal, options);
        let first = store.blocking().trim_before(600).unwrap();
        assert!(first > 100 && first <= 600, "{first}");
        let reader = Reader::open(journal.path()).unwrap();
        assert_eq!((reader.first_seq().unwrap(), reader.last_seq().unwrap()), (first, RECORDS));
        let mut reversed = seqs(reader.range(..).rev());
        reversed.reverse();
        assert_eq!(reversed, (first..=RECORDS).collect::<Vec<_>>());
        let trimmed = reader.range::<u64>(first - 1..).rev().find_map(Result::err);
        assert!(matches!(trimmed, Some(MiniStoreError::Trimmed { first_seq, .. }) if first_seq == first));
    });
}

#[test]
fn reader_of_a_missing_journal_has_no_records() {
    let journal = TempJournal::new();
    let reader = Reader::open(journal.path()).unwrap();
    assert_eq!((reader.first_seq().unwrap(), reader.last_seq().unwrap()), (1, 0));
    assert_eq!(reader.records::<u64>().count() + reader.range::<u64>(..).rev().count(), 0);
    assert!(reader.get::<u64>(1).unwrap().is_none());
    assert!(block_on(reader.records_stream::<u64>(0).next()).is_none());
}

#[test]
fn reader_of_a_directory_is_rejected() {
    let journal = TempJournal::new();
    let opened = Reader::open(journal.dir()).map(drop);
    assert!(matches!(opened, Err(MiniStoreError::PathIsNotFile { path }) if path == journal.dir()));
}

#[test]
fn streams_yield_what_iterators_yield() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        drop(written(&journal, options));
        let reader = Reader::open(journal.path()).unwrap();
        block_on(async {
            let (mut all, mut some) = (reader.records_stream::<u64>(991), reader.range_stream::<u64>(5..8));
            let mut read = Vec::new();
            while let Some(record) = all.next().await {
                read.push(record.unwrap().seq);
            }
            while let Some(record) = some.next().await {
                read.push(record.unwrap().seq);
            }
            assert_eq!(read, (991..=1000).chain(5..8).collect::<Vec<_>>());
            assert_eq!(reader.replay_parallel::<u64>().await.unwrap().len(), RECORDS as usize);
        });
    });
}

#[test]
fn follower_iterates_until_it_is_stopped() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let mut follower = Reader::open(journal.path()).unwrap().follow::<u64>(1).unwrap();
        let stop = follower.stop_handle();
        for n in 1..=3u64 {
            store.blocking().append(&n).unwrap();
            assert_eq!(follower.next().unwrap().unwrap(), Record { seq: n, value: n });
        }
        let mut own = store.blocking().follow::<u64>(2).unwrap();
        assert_eq!(own.next().unwrap().unwrap().seq, 2);
        stop.stop();
        assert!(follower.next().is_none());
        store.blocking().close().unwrap();
        assert_eq!(own.by_ref().map(|record| record.unwrap().seq).collect::<Vec<_>>(), [3]);
    });
}

#[test]
fn follower_continues_after_a_record_of_another_type() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap().into_blocking();
        for append in [Append::json("1"), Append::json_str("\"text\""), Append::record(&3)] {
            store.send(append.unwrap()).unwrap().wait().map(drop).unwrap();
        }
        let mut follower = Reader::open(journal.path()).unwrap().follow::<u64>(1).unwrap();
        assert_eq!(follower.next().unwrap().unwrap().seq, 1);
        assert!(matches!(follower.next(), Some(Err(MiniStoreError::Record { seq: 2, .. }))));
        assert_eq!(follower.next().unwrap().unwrap().seq, 3);
    });
}
