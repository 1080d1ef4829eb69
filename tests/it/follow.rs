//! Followers of a journal that is written, rotated, killed and recovered: they yield each record once, in order, when it is
//! durable.

mod processes;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    pin::pin,
    thread,
    time::{Duration, Instant},
};

use futures_lite::future::poll_once;
use ministore_uring::{Backend, FollowStream, JournalOptions, MiniStore, MiniStoreError, Reader};

use crate::support::{
    TempJournal, block_on, child, child_args, for_each_backend, numbered, on_each_backend, report, reported,
};

/// A test that waits longer than this hangs.
const HANG: Duration = Duration::from_secs(120);

const WRITERS: u64 = 3;

/// Sets small segments, for many rotations.
fn small(options: JournalOptions) -> JournalOptions {
    options.max_segment_bytes(3000)
}

fn next(follow: &mut FollowStream<u64>) -> Option<ministore_uring::Result<(u64, u64)>> {
    block_on(follow.next()).map(|record| record.map(|record| (record.seq, record.value)))
}

/// Appends `each` times from several threads, single records and batches.
fn load(store: &MiniStore, each: u64) {
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for n in 0..each {
                    let value = writer << 32 | n;
                    if n % 10 == 0 {
                        store.blocking().append_batch([value; 3]).unwrap();
                    } else {
                        store.blocking().append(&value).unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn follower_yields_durable_records_once_in_order() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = small(options).open_blocking(journal.path()).unwrap();
        let mut follow = store.follow::<u64>(1);
        let watcher = store.clone();
        let following = thread::spawn(move || {
            let mut followed = Vec::new();
            while let Some(record) = next(&mut follow) {
                let (seq, value) = record.unwrap();
                assert!(seq <= watcher.durable_seq(), "record {seq} was yielded before it was durable");
                followed.push((seq, value));
            }
            followed
        });
        load(&store, 400);
        assert!(store.stats().rotations >= 5, "{} rotations", store.stats().rotations);
        store.blocking().close().unwrap();
        assert_eq!(following.join().unwrap(), numbered::<u64>(journal.path()).unwrap());
    });
}

#[test]
fn file_follower_yields_the_same_records() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let mut lines = Reader::open(journal.path()).unwrap().follow_raw(1).unwrap();
        let stop_handle = lines.stop_handle();
        let total = WRITERS * (400 + 2 * 40);
        let following = thread::spawn(move || {
            let mut followed = Vec::new();
            while let Some(line) = lines.next_record().unwrap() {
                followed.push((line.seq, line.parse::<u64>().unwrap()));
                if line.seq == total {
                    // Stopped here, because a second thread cannot know when the last record was read.
                    stop_handle.stop();
                }
            }
            followed
        });
        let store = small(options).open_blocking(journal.path()).unwrap();
        load(&store, 400);
        let followed = following.join().unwrap();
        store.blocking().close().unwrap();
        assert_eq!(followed, numbered::<u64>(journal.path()).unwrap());
    });
}

#[test]
fn follower_waits_for_a_future_seq() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let mut follow = store.follow::<u64>(3);
        let mut files = Reader::open(journal.path()).unwrap().follow_stream::<u64>(3);
        store.blocking().append_batch([1_u64, 2]).unwrap();
        assert!(block_on(poll_once(pin!(follow.next()))).is_none());
        assert!(block_on(poll_once(pin!(files.next()))).is_none());
        store.blocking().append(&3_u64).unwrap();
        assert_eq!(next(&mut follow).unwrap().unwrap(), (3, 3));
        assert_eq!(next(&mut files).unwrap().unwrap(), (3, 3));
        store.blocking().close().unwrap();
        assert!(next(&mut follow).is_none());
    });
}

#[test]
fn wait_durable_returns_or_fails_at_close() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let waiting: Vec<_> = (1..=4_u64)
            .map(|seq| {
                let (store, waited) = (store.clone(), store.wait_durable(seq));
                thread::spawn(move || block_on(waited).map(|()| store.durable_seq() >= seq))
            })
            .collect();
        for value in 1..=3_u64 {
            store.blocking().append(&value).unwrap();
        }
        store.blocking().wait_durable(3).unwrap();
        let never = store.wait_durable(5);
        store.blocking().close().unwrap();
        let outcomes: Vec<_> = waiting.into_iter().map(|waiter| waiter.join().unwrap()).collect();
        assert!(outcomes[..3].iter().all(|outcome| matches!(outcome, Ok(true))), "{outcomes:?}");
        assert!(matches!(outcomes[3], Err(MiniStoreError::Closed)), "{outcomes:?}");
        assert!(matches!(block_on(never), Err(MiniStoreError::Closed)));
        store.blocking().wait_durable(3).unwrap();
    });
}

/// A consumer stops reading while retention continues.
#[test]
fn follower_overtaken_by_retention_can_continue() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = small(options).max_segments(2).open_blocking(journal.path()).unwrap();
        store.blocking().append(&0_u64).unwrap();
        let mut overtaken = [
            store.follow::<u64>(1),
            Reader::open(journal.path()).unwrap().follow_stream(1),
            Reader::open(journal.path()).unwrap().follow_stream(0),
        ];
        for follow in &mut overtaken {
            assert_eq!(next(follow).unwrap().unwrap(), (1, 0));
        }
        while store.stats().rotations < 40 {
            store.blocking().append_batch([7_u64; 100]).unwrap();
        }
        store.blocking().close().unwrap();
        let first = numbered::<u64>(journal.path()).unwrap()[0].0;
        for follow in &mut overtaken {
            let mut expected = 2;
            let error = loop {
                match next(follow).unwrap() {
                    Ok((seq, _)) => assert_eq!(seq, expected),
                    Err(error) => break error,
                }
                expected += 1;
            };
            let MiniStoreError::Trimmed { first_seq, .. } = error else { panic!("{error:?}") };
            assert!(expected < first_seq && first_seq <= first, "{expected}, {first_seq}, {first}");
            assert!(next(follow).is_none());
        }
        let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
        for mut late in [store.follow::<u64>(1), Reader::open(journal.path()).unwrap().follow_stream(1)] {
            let outcome = next(&mut late).unwrap();
            assert!(
                matches!(outcome, Err(MiniStoreError::Trimmed { first_seq, .. }) if first_seq == first),
                "{outcome:?}"
            );
        }
        for mut oldest in [store.follow::<u64>(0), Reader::open(journal.path()).unwrap().follow_stream(first)]
        {
            assert_eq!(next(&mut oldest).unwrap().unwrap().0, first);
        }
    });
}

#[test]
fn follower_waits_for_a_missing_directory() {
    let journal = TempJournal::new();
    let path = journal.dir().join("later").join("j");
    let mut follow = Reader::open(&path).unwrap().follow_stream::<u64>(1);
    assert!(block_on(poll_once(pin!(follow.next()))).is_none());
    let store = MiniStore::open_blocking(&path).unwrap();
    store.blocking().append(&5_u64).unwrap();
    assert_eq!(next(&mut follow).unwrap().unwrap(), (1, 5));
    drop(follow);
    drop(store);
    let mut left = String::new();
    fs::File::open(&path).unwrap().read_to_string(&mut left).unwrap();
    assert!(left.contains("\n5"));
}
