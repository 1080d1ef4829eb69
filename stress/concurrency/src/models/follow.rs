//! Those who wait for a record to be durable, and those who read it as soon as it is.

use std::path::Path;

use super::rig::{Rig, is_closed, is_poisoned, options};
use crate::sync::{block_on, thread};

/// Who waits for a number learns that it is durable, or that it will not be.
pub(super) fn whoever_waits_for_a_number_is_told_or_refused(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options()).unwrap();
    let [first, second, never] = [1, 2, 9].map(|seq| {
        let store = store.clone();
        thread::spawn(move || {
            let told = store.blocking().wait_durable(seq);
            assert!(told.is_err() || store.durable_seq() >= seq, "record {seq} is not durable");
            told
        })
    });
    let forgotten = store.wait_durable(2);
    for value in 1..=2_u64 {
        store.blocking().append(&value).unwrap();
    }
    drop(forgotten);
    // Nothing else will wake them.
    first.join().unwrap().unwrap();
    second.join().unwrap().unwrap();
    store.blocking().close().unwrap();
    let told = never.join().unwrap();
    assert!(is_closed(&told), "{told:?}");
}

/// A store that fails: everybody who waits learns why.
pub(super) fn whoever_waits_for_a_number_learns_of_a_failure(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options()).unwrap();
    rig.fail_commit(2);
    let waiting = [1, 2].map(|seq| {
        let store = store.clone();
        thread::spawn(move || store.blocking().wait_durable(seq))
    });
    store.blocking().append(&1_u64).unwrap();
    let _ = store.blocking().append(&2_u64);
    let [first, second] = waiting.map(|waiter| waiter.join().unwrap());
    first.unwrap();
    assert!(is_poisoned(&second), "{second:?}");
}

/// One follower gets every record and then the end; another is dropped somewhere. Neither thread is left behind: the model
/// checker would say that it waits for ever.
pub(super) fn a_follower_gets_every_record_and_the_end(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options()).unwrap();
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
