//! Callers that wait for a record to be durable, and followers that read it.

use std::path::Path;

use super::fixture::{Fixture, is_closed, is_poisoned, options, spawn};
use crate::sync::{block_on, thread};

/// `wait_durable` returns once the record is durable, or fails when the store is closed before.
pub(super) fn wait_durable_returns_or_fails_at_close(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options()).unwrap();
    let [first, second, never] = [1, 2, 9].map(|seq| {
        spawn(&store, move |store| {
            let outcome = store.blocking().wait_durable(seq);
            assert!(outcome.is_err() || store.durable_seq() >= seq, "record {seq} is not durable");
            outcome
        })
    });
    let unpolled = store.wait_durable(2);
    for value in 1..=2_u64 {
        store.blocking().append(&value).unwrap();
    }
    drop(unpolled);
    // No later append wakes these threads.
    first.join().unwrap().unwrap();
    second.join().unwrap().unwrap();
    store.blocking().close().unwrap();
    let outcome = never.join().unwrap();
    assert!(is_closed(&outcome), "{outcome:?}");
}

/// The store fails: waiting callers get the cause.
pub(super) fn wait_durable_reports_a_failed_commit(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options()).unwrap();
    fixture.fail_commit(2);
    let waiting = [1, 2].map(|seq| spawn(&store, move |store| store.blocking().wait_durable(seq)));
    store.blocking().append(&1_u64).unwrap();
    let _ = store.blocking().append(&2_u64);
    let [first, second] = waiting.map(|waiter| waiter.join().unwrap());
    first.unwrap();
    assert!(is_poisoned(&second), "{second:?}");
}

/// One follower yields every record and then the end; another is dropped at some point. Both reading threads end: the model
/// checker would report a deadlock.
pub(super) fn follower_yields_every_record_and_the_end(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options()).unwrap();
    let mut follow = store.follow::<u64>(1);
    let mut dropped = store.follow::<u64>(1);
    let following = thread::spawn(move || {
        block_on(async {
            for seq in 1..=3 {
                assert_eq!(follow.next().await.unwrap().unwrap().seq, seq);
            }
            assert!(follow.next().await.is_none());
        });
    });
    let dropping = thread::spawn(move || {
        assert_eq!(block_on(dropped.next()).unwrap().unwrap().seq, 1);
    });
    store.blocking().append(&1_u64).unwrap();
    store.blocking().append_batch([2_u64, 3]).unwrap();
    store.blocking().close().unwrap();
    following.join().unwrap();
    dropping.join().unwrap();
}
