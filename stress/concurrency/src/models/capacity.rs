//! The capacity of the queue.

use std::path::Path;

use super::fixture::{Fixture, is_poisoned, permits_for, poll_once, spawn};
use crate::sync::{block_on, switch, thread};

/// While a commit is blocked, the queue accepts as many appends as it has capacity for, and no more.
pub(super) fn full_queue_accepts_no_more(dir: &Path) {
    const CAPACITY: usize = 2;
    let fixture = Fixture::new(dir);
    let store = fixture.open(permits_for(CAPACITY as u64)).unwrap();
    fixture.block_commits();
    let accepted = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let callers: Vec<_> = (0..4_u64)
        .map(|value| {
            let (fixture, store, accepted) =
                (fixture.clone(), store.clone(), std::sync::Arc::clone(&accepted));
            thread::spawn(move || {
                let pending = store.blocking().submit(&value).unwrap();
                // No append completes while commits are blocked, so no capacity is freed.
                let accepted = accepted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                if fixture.is_blocked() {
                    assert!(
                        accepted <= CAPACITY,
                        "{accepted} appends were accepted, the capacity is {CAPACITY}"
                    );
                }
                pending.wait().unwrap();
            })
        })
        .collect();
    for _ in 0..20 {
        switch();
    }
    fixture.unblock_commits();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    store.blocking().close().unwrap();
    assert_eq!(fixture.records().len(), 4);
}

/// Waiting appends are accepted in order: small ones do not starve a large one, nor other appends a small one.
pub(super) fn capacity_is_granted_in_request_order(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(permits_for(3)).unwrap();
    fixture.block_commits();
    let first = store.blocking().send(crate::Append::batch([0_u64; 1000]).unwrap()).unwrap();
    let requests = [vec![1_u64], vec![2; 1000], vec![3]].map(|records| {
        let store = store.clone();
        let mut append = Box::pin(async move { store.append_batch(records).await });
        assert!(poll_once(&mut append).is_none(), "there was capacity");
        append
    });
    let waiting = requests.map(|append| thread::spawn(move || block_on(append)));
    let late = spawn(&store, move |store| store.blocking().append(&4_u64));
    fixture.unblock_commits();
    for waiter in waiting {
        waiter.join().unwrap().unwrap();
    }
    late.join().unwrap().unwrap();
    first.wait().unwrap();
    store.blocking().close().unwrap();
    let mut order = fixture.records();
    order.dedup();
    // There is capacity for the last small append and the late one together: they may queue in any order.
    assert_eq!(order[..3], [0, 1, 2]);
    assert_eq!(order.len(), 5, "{order:?}");
}

/// The store fails while its queue is full: the appends that wait for capacity get the cause.
pub(super) fn failure_rejects_appends_waiting_for_capacity(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(permits_for(1)).unwrap();
    fixture.block_commits();
    fixture.fail_commit(1);
    let first = store.blocking().submit(&0_u64).unwrap();
    let waiting: Vec<_> =
        (1..3_u64).map(|value| spawn(&store, move |store| store.blocking().append(&value))).collect();
    switch();
    fixture.unblock_commits();
    for waiter in waiting {
        let outcome = waiter.join().unwrap();
        assert!(is_poisoned(&outcome), "{outcome:?}");
    }
    let outcome = first.wait();
    assert!(is_poisoned(&outcome), "{outcome:?}");
    let outcome = store.blocking().close();
    assert!(is_poisoned(&outcome), "{outcome:?}");
}

/// The store is closed while its queue is full: each waiting append is written, or gets the error that the store is closed.
pub(super) fn close_writes_or_rejects_waiting_appends(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(permits_for(1)).unwrap();
    let waiting: Vec<_> = (1..4_u64)
        .map(|value| spawn(&store, move |store| (value, store.blocking().append(&value))))
        .collect();
    store.blocking().close().unwrap();
    let outcomes: Vec<_> = waiting.into_iter().map(|waiter| waiter.join().unwrap()).collect();
    fixture.assert_written_or_rejected(outcomes);
}
