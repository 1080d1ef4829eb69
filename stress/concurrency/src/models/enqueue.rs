//! A caller takes room, queues, and is answered.

use std::path::Path;

use super::rig::{APPEND_BYTES, Rig, options, permits_for, poll_once};
use crate::{MiniStore, PendingAppend, Reader, sync::block_on, sync::thread};

/// Three callers: one appends and waits each time, one hands all over first, one has another thread wait. The queue
/// holds two appends.
pub(super) fn every_append_is_answered_once_and_in_order(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(permits_for(2)).unwrap();
    let callers = [one_by_one, all_at_once, waited_for_elsewhere].map(|append| {
        let store = store.clone();
        thread::spawn(move || append(&store))
    });
    let told: Vec<_> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    assert_eq!(store.durable_seq(), told.len() as u64);
    store.blocking().close().unwrap();
    let mut by_number = told.clone();
    by_number.sort_unstable();
    let found: Vec<_> = (1..).zip(rig.records()).collect();
    assert_eq!(found, by_number, "what was told is not what was written");
    for of_one in told.chunk_by(|(_, a), (_, b)| a / 10 == b / 10) {
        assert!(of_one.is_sorted(), "one caller's records are out of order: {of_one:?}");
    }
}

/// Numbers and values.
type Told = Vec<(u64, u64)>;

fn one_by_one(store: &MiniStore) -> Told {
    let append = |value: u64| {
        let pending = store.blocking().submit(&value).unwrap();
        (durable(store, pending), value)
    };
    vec![append(1), append(2)]
}

fn all_at_once(store: &MiniStore) -> Told {
    let single = store.blocking().submit(&11_u64).unwrap();
    let batch = block_on(store.append_batch([12_u64, 13])).unwrap();
    let single = durable(store, single);
    vec![(single, 11), (batch.start, 12), (batch.start + 1, 13)]
}

fn waited_for_elsewhere(store: &MiniStore) -> Told {
    let pending = store.blocking().submit(&21_u64).unwrap();
    let waiter = thread::spawn({
        let store = store.clone();
        move || durable(&store, pending)
    });
    store.blocking().append(&22_u64).unwrap();
    let second = store.durable_seq();
    let first = waiter.join().unwrap();
    assert!(first < second, "{first} was issued before {second}");
    vec![(first, 21)].into_iter().chain(number_of(store, 22).map(|seq| (seq, 22))).collect()
}

/// The number that a value was written under: whoever was told of no number looks it up.
fn number_of(store: &MiniStore, value: u64) -> Option<u64> {
    let mut records = Reader::open(store.path()).unwrap().records::<u64>().map(Result::unwrap);
    records.find(|record| record.value == value).map(|record| record.seq)
}

fn durable(store: &MiniStore, pending: PendingAppend) -> u64 {
    let seq = pending.wait().unwrap().seq;
    assert!(store.durable_seq() >= seq, "{seq} was acknowledged before it was published");
    seq
}

/// Futures dropped at any moment and outcomes nobody waits for: the others are served, and all room comes back.
pub(super) fn whoever_gives_up_hurts_nobody(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(permits_for(1)).unwrap();
    let gives_up = thread::spawn({
        let store = store.clone();
        move || {
            let mut append = Box::pin(store.append(&1_u64));
            let _ = poll_once(&mut append);
        }
    });
    let forgets = thread::spawn({
        let store = store.clone();
        move || drop(store.blocking().submit(&2_u64).unwrap())
    });
    store.blocking().append(&3_u64).unwrap();
    gives_up.join().unwrap();
    forgets.join().unwrap();
    // One that takes the whole queue: had a byte of room been lost, it would wait for ever.
    const { assert!(APPEND_BYTES < 1000, "the batch is larger than the queue") };
    store.blocking().append_batch(vec![4_u64; 1000]).unwrap();
    store.blocking().close().unwrap();
    let records = rig.records();
    let count = |value: u64| records.iter().filter(|&&record| record == value).count();
    assert!(count(1) <= 1, "an append given up was written {} times", count(1));
    assert_eq!((count(2), count(3), count(4)), (1, 1, 1000));
    drop(rig.open(options()).unwrap());
}
