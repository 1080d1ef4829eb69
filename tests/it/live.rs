//! Reading while the journal is being written: once a number is durable, every reader finds its record.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::support::{Journal, for_each_commit_path, numbered};

/// Runs `poll` over and over on a thread of its own while `write` runs, and once after it.
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
fn what_is_durable_is_seen_by_every_reader_at_once() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let poll = || {
            let durable = store.durable_seq();
            let seen = numbered::<u64>(journal.path()).unwrap();
            assert!(seen.len() as u64 >= durable, "{} records seen, {durable} durable", seen.len());
            assert!(seen.iter().zip(1..).all(|(&(seq, value), n)| seq == n && value == n), "{seen:?}");
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
fn reading_while_segments_rotate_misses_and_repeats_nothing() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let store = options.max_segment_bytes(2000).open_blocking(journal.path()).unwrap();
        let poll = || {
            let durable = store.durable_seq();
            let seen = numbered::<u64>(journal.path()).unwrap();
            assert!(seen.len() as u64 >= durable, "{} records seen, {durable} durable", seen.len());
            assert!(seen.iter().zip(1..).all(|(&(seq, value), n)| seq == n && value == n), "{seen:?}");
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
fn reading_while_the_oldest_segments_go_sees_the_rest() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let options = options.max_segment_bytes(2000).max_segments(3);
        let store = options.open_blocking(journal.path()).unwrap();
        let poll = || {
            let durable = store.durable_seq();
            let seen = numbered::<u64>(journal.path()).unwrap();
            assert!(seen.iter().all(|(seq, value)| seq == value), "{seen:?}");
            assert!(seen.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "{seen:?}");
            assert!(seen.last().map_or(0, |last| last.0) >= durable, "{seen:?}, {durable} durable");
        };
        poll_while(poll, || {
            for n in 1..=600u64 {
                store.blocking().append(&n).unwrap();
            }
        });
    });
}
