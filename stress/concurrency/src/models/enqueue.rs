//! A caller acquires capacity, queues an append and gets its outcome.

use std::path::Path;

use super::fixture::{APPEND_BYTES, Fixture, options, permits_for, poll_once, spawn};
use crate::{MiniStore, PendingAppend, Reader, sync::block_on};

/// Three callers: one waits for each append, one submits all before it waits, one waits on another thread. The queue has
/// capacity for two appends.
pub(super) fn appends_are_acknowledged_once_in_order(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(permits_for(2)).unwrap();
    let callers = [append_one_by_one, submit_all_first, wait_on_another_thread]
        .map(|append| spawn(&store, move |store| append(&store)));
    let acks: Vec<_> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    assert_eq!(store.durable_seq(), acks.len() as u64);
    store.blocking().close().unwrap();
    let mut by_number = acks.clone();
    by_number.sort_unstable();
    let found: Vec<_> = (1..).zip(fixture.records()).collect();
    assert_eq!(found, by_number, "the acknowledged numbers are not those of the records");
    for of_one in acks.chunk_by(|(_, a), (_, b)| a / 10 == b / 10) {
        assert!(of_one.is_sorted(), "one caller's records are out of order: {of_one:?}");
    }
}

/// Acknowledged sequence numbers and their values.
type Acks = Vec<(u64, u64)>;

fn append_one_by_one(store: &MiniStore) -> Acks {
    let append = |value: u64| {
        let pending = store.blocking().submit(&value).unwrap();
        (wait_durable(store, pending), value)
    };
    vec![append(1), append(2)]
}

fn submit_all_first(store: &MiniStore) -> Acks {
    let single = store.blocking().submit(&11_u64).unwrap();
    let batch = block_on(store.append_batch([12_u64, 13])).unwrap();
    let single = wait_durable(store, single);
    vec![(single, 11), (batch.start, 12), (batch.start + 1, 13)]
}

fn wait_on_another_thread(store: &MiniStore) -> Acks {
    let pending = store.blocking().submit(&21_u64).unwrap();
    let waiter = spawn(store, move |store| wait_durable(&store, pending));
    store.blocking().append(&22_u64).unwrap();
    let second = store.durable_seq();
    let first = waiter.join().unwrap();
    assert!(first < second, "{first} was issued before {second}");
    vec![(first, 21)].into_iter().chain(seq_of(store, 22).map(|seq| (seq, 22))).collect()
}

/// Returns the sequence number of a value; `append` does not return it.
fn seq_of(store: &MiniStore, value: u64) -> Option<u64> {
    let mut records = Reader::open(store.path()).unwrap().records::<u64>().map(Result::unwrap);
    records.find(|record| record.value == value).map(|record| record.seq)
}

fn wait_durable(store: &MiniStore, pending: PendingAppend) -> u64 {
    let seq = pending.wait().unwrap().seq;
    assert!(store.durable_seq() >= seq, "{seq} was acknowledged before it was published");
    seq
}

/// One future is dropped at any moment and one outcome is never awaited: other appends succeed, and all capacity is freed.
pub(super) fn dropped_futures_do_not_affect_others(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(permits_for(1)).unwrap();
    let drops = spawn(&store, move |store| {
        let mut append = Box::pin(store.append(&1_u64));
        let _ = poll_once(&mut append);
    });
    let forgets = spawn(&store, move |store| drop(store.blocking().submit(&2_u64).unwrap()));
    store.blocking().append(&3_u64).unwrap();
    drops.join().unwrap();
    forgets.join().unwrap();
    // Needs the whole queue; hangs if any capacity was lost.
    const { assert!(APPEND_BYTES < 1000, "the batch is larger than the queue") };
    store.blocking().append_batch(vec![4_u64; 1000]).unwrap();
    store.blocking().close().unwrap();
    let records = fixture.records();
    let count = |value: u64| records.iter().filter(|&&record| record == value).count();
    assert!(count(1) <= 1, "the append of a dropped future was written {} times", count(1));
    assert_eq!((count(2), count(3), count(4)), (1, 1, 1000));
    drop(fixture.open(options()).unwrap());
}
