//! Reading while the journal is written: once a sequence number is durable, every reader finds its record.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::support::{TempJournal, for_each_commit_path, numbered};

/// Runs `poll` repeatedly on another thread while `write` runs, and once after it.
fn poll_while(poll: impl Fn() + Sync, write: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let poller = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                poll();
            }
            poll();
        });
        write();
        done.store(true, Ordering::Release);
        poller.join().unwrap();
    });
}

#[test]
fn durable_records_are_visible_at_once() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let poll = || {
            let durable = store.durable_seq();
            let found = numbered::<u64>(journal.path()).unwrap();
            assert!(found.len() as u64 >= durable, "{} records found, {durable} durable", found.len());
            assert!(found.iter().zip(1..).all(|(&(seq, value), n)| seq == n && value == n), "{found:?}");
            let bytes = journal.bytes();
            let lines: Vec<_> = bytes.split(|&b| b == b'\n').skip(1).take(durable as usize).collect();
            assert_eq!(lines.len() as u64, durable);
            for (line, n) in lines.iter().zip(1u64..) {
                assert_eq!(serde_json::from_slice::<u64>(line).unwrap(), n);
            }
        };
        poll_while(poll, || {
            for n in 1..=400u64 {
                store.blocking().append(&n).unwrap();
            }
        });
    });
}

#[test]
fn reading_during_rotation_yields_each_record_once() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.max_segment_bytes(2000).open_blocking(journal.path()).unwrap();
        let poll = || {
            let durable = store.durable_seq();
            let found = numbered::<u64>(journal.path()).unwrap();
            assert!(found.len() as u64 >= durable, "{} records found, {durable} durable", found.len());
            assert!(found.iter().zip(1..).all(|(&(seq, value), n)| seq == n && value == n), "{found:?}");
        };
        poll_while(poll, || {
            for n in 1..=600u64 {
                store.blocking().append(&n).unwrap();
            }
        });
        assert!(store.stats().rotations >= 5, "{} rotations", store.stats().rotations);
    });
}

#[test]
fn reading_during_retention_yields_the_rest() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let options = options.max_segment_bytes(2000).max_segments(3);
        let store = options.open_blocking(journal.path()).unwrap();
        let poll = || {
            let durable = store.durable_seq();
            let found = numbered::<u64>(journal.path()).unwrap();
            assert!(found.iter().all(|(seq, value)| seq == value), "{found:?}");
            assert!(found.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "{found:?}");
            assert!(found.last().map_or(0, |last| last.0) >= durable, "{found:?}, {durable} durable");
        };
        poll_while(poll, || {
            for n in 1..=600u64 {
                store.blocking().append(&n).unwrap();
            }
        });
    });
}
