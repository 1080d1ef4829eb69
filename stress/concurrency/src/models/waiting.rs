//! Appends that wait for capacity while their futures are polled, dropped or ignored.

use std::{future::Future, path::Path, pin::Pin};

use super::fixture::{Fixture, is_closed, is_poisoned, permits_for, poll_once, spawn};
use crate::{
    MiniStore, MiniStoreError, PendingAppend, Result,
    sync::{block_on, switch, thread},
};

type BoxedAppend = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A store whose queue has capacity for `appends`, and is full, while commits are blocked.
fn full(fixture: &Fixture, appends: u64) -> (MiniStore, Vec<PendingAppend>) {
    let store = fixture.open(permits_for(appends)).unwrap();
    fixture.block_commits();
    let pending = (0..appends).map(|_| store.blocking().submit(&0_u64).unwrap()).collect();
    (store, pending)
}

/// An append of `count` equal records that was polled once and waits. A large count takes the whole queue.
fn waiting(store: &MiniStore, value: u64, count: usize) -> BoxedAppend {
    let store = store.clone();
    let mut append: BoxedAppend =
        Box::pin(async move { store.append_batch(vec![value; count]).await.map(drop) });
    assert!(poll_once(&mut append).is_none(), "there is capacity");
    append
}

/// Records that need more than the capacity of the queue, and get all of it.
const LARGE: usize = 1000;

/// Returns the written values, without repetitions of a value and without the zeros that filled the queue.
fn values(fixture: &Fixture) -> Vec<u64> {
    let mut values: Vec<_> = fixture.records().into_iter().filter(|value| *value != 0).collect();
    values.dedup();
    values
}

/// Appends a batch that needs the whole queue; hangs if any capacity was lost.
fn use_whole_queue(store: &MiniStore) {
    store.blocking().append_batch([9_u64; LARGE]).unwrap();
}

/// Futures that were polled once and are kept block no append that comes later, and precede it.
pub(super) fn unpolled_appends_block_no_others(dir: &Path) {
    let fixture = Fixture::new(dir);
    let (store, filling) = full(&fixture, 2);
    let parked = [waiting(&store, 1, 1), waiting(&store, 2, LARGE), waiting(&store, 3, 1)];
    let others = [4_u64, 5].map(|value| spawn(&store, move |store| store.blocking().append(&value).unwrap()));
    fixture.unblock_commits();
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(values(&fixture)[..3], [1, 2, 3]);
    filling.into_iter().for_each(|pending| assert!(pending.wait().is_ok()));
    parked.into_iter().for_each(|parked| block_on(parked).unwrap());
    use_whole_queue(&store);
    store.blocking().close().unwrap();
    assert_eq!(values(&fixture).len(), 6);
}

/// New appends do not overtake waiting ones, whether they may wait or not, and large ones are not starved.
pub(super) fn new_appends_do_not_overtake_waiting_ones(dir: &Path) {
    let fixture = Fixture::new(dir);
    let (store, filling) = full(&fixture, 3);
    let awaits = [waiting(&store, 1, 1), waiting(&store, 2, LARGE), waiting(&store, 3, 1)]
        .map(|append| thread::spawn(move || block_on(append).unwrap()));
    let late = [4_u64, 5].map(|value| {
        spawn(&store, move |store| match store.try_send(crate::Append::record(&value).unwrap()) {
            Ok(pending) => drop(pending.wait().unwrap()),
            Err(MiniStoreError::QueueFull) => store.blocking().append(&value).unwrap(),
            Err(other) => panic!("{other}"),
        })
    });
    fixture.unblock_commits();
    awaits.into_iter().chain(late).for_each(|thread| thread.join().unwrap());
    filling.into_iter().for_each(|pending| assert!(pending.wait().is_ok()));
    store.blocking().close().unwrap();
    let values = values(&fixture);
    assert_eq!((values.len(), &values[..3]), (5, &[1, 2, 3][..]));
}

/// Futures of waiting appends are dropped before and while capacity is freed: the others keep their order, all of the
/// capacity is freed again, and an append whose future was dropped while it waited is not written.
pub(super) fn waiting_appends_may_be_dropped_at_any_moment(dir: &Path) {
    let fixture = Fixture::new(dir);
    let (store, filling) = full(&fixture, 2);
    let early = waiting(&store, 1, 1);
    let late = [waiting(&store, 2, LARGE), waiting(&store, 3, 1)];
    let kept = waiting(&store, 4, 1);
    let awaited = waiting(&store, 5, 1);
    drop(early);
    let drops = late.map(|late| thread::spawn(move || drop(late)));
    let awaits = thread::spawn(move || block_on(awaited).unwrap());
    fixture.unblock_commits();
    awaits.join().unwrap();
    drops.into_iter().for_each(|drops| drops.join().unwrap());
    filling.into_iter().for_each(|pending| assert!(pending.wait().is_ok()));
    block_on(kept).unwrap();
    use_whole_queue(&store);
    store.blocking().close().unwrap();
    let values = values(&fixture);
    assert!(values.is_sorted() && !values.contains(&1), "{values:?}");
    assert!([4, 5, 9].iter().all(|value| values.contains(value)), "{values:?}");
}

/// While the writer waits for the disk, dropping the first waiting append lets the next ones in.
pub(super) fn dropping_the_first_waiting_append_accepts_others(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(permits_for(2)).unwrap();
    fixture.block_commits();
    let filling = store.blocking().submit(&0_u64).unwrap();
    let large = waiting(&store, 1, LARGE);
    let small = spawn(&store, move |store| store.blocking().submit(&2_u64).unwrap());
    drop(large);
    // Ends while commits are blocked.
    let small = small.join().unwrap();
    fixture.unblock_commits();
    assert_eq!((filling.wait().unwrap().seq, small.wait().unwrap().seq), (1, 2));
    use_whole_queue(&store);
    store.blocking().close().unwrap();
    assert_eq!(values(&fixture), [2, 9]);
}

/// A commit fails while appends wait whose futures are polled, dropped or ignored: each gets the error.
pub(super) fn waiting_appends_end_with_a_failure(dir: &Path) {
    ends_while_appends_wait(dir, true);
}

/// As [`waiting_appends_end_with_a_failure`], with a close: each append is written or rejected.
pub(super) fn waiting_appends_end_with_a_close(dir: &Path) {
    ends_while_appends_wait(dir, false);
}

fn ends_while_appends_wait(dir: &Path, fails: bool) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(permits_for(1)).unwrap();
    fixture.block_commits();
    if fails {
        fixture.fail_commit(1);
    }
    let filling = store.blocking().submit(&0_u64).unwrap();
    let parked = waiting(&store, 1, 1);
    let dropped = waiting(&store, 2, 1);
    let awaited = waiting(&store, 3, 1);
    let drops = thread::spawn(move || drop(dropped));
    let awaits = thread::spawn(move || block_on(awaited));
    let closes = spawn(&store, move |store| store.blocking().close());
    switch();
    fixture.unblock_commits();
    let outcomes = [(3, awaits.join().unwrap()), (1, block_on(parked))];
    drops.join().unwrap();
    let closed = closes.join().unwrap();
    assert_eq!(filling.wait().is_err(), fails);
    assert!(if fails { is_poisoned(&closed) } else { closed.is_ok() }, "{closed:?}");
    let values = values(&fixture);
    for (value, outcome) in outcomes {
        match outcome {
            Ok(()) => assert!(values.contains(&value), "{value} was acknowledged and is missing"),
            rejected if closed.is_ok() => {
                assert!(is_closed(&rejected) && !values.contains(&value), "{value}: {rejected:?}");
            }
            rejected => assert!(is_poisoned(&rejected), "{value}: {rejected:?}"),
        }
    }
}
