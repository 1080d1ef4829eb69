//! The limit on what waits for the writer.

use std::path::Path;

use super::rig::{Rig, is_closed, is_poisoned, permits_for, poll_once};
use crate::sync::{block_on, switch, thread};

/// While the disk holds a commit back, no more appends are accepted than there is room for.
pub(super) fn no_more_is_accepted_than_there_is_room_for(dir: &Path) {
    const ROOM: usize = 2;
    let rig = Rig::new(dir);
    let store = rig.open(permits_for(ROOM as u64)).unwrap();
    rig.hold();
    let accepted = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let callers: Vec<_> = (0..4_u64)
        .map(|value| {
            let (rig, store, accepted) = (rig.clone(), store.clone(), std::sync::Arc::clone(&accepted));
            thread::spawn(move || {
                let pending = store.blocking().submit(&value).unwrap();
                // Nothing is answered while commits are held back, so that nothing gives its room back.
                let so_far = accepted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                if rig.holds() {
                    assert!(so_far <= ROOM, "{so_far} appends were accepted, with room for {ROOM}");
                }
                pending.wait().unwrap();
            })
        })
        .collect();
    for _ in 0..20 {
        switch();
    }
    rig.release();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    store.blocking().close().unwrap();
    assert_eq!(rig.records().len(), 4);
}

/// A large one is not overtaken by small ones for ever, nor a small one by others.
pub(super) fn room_is_granted_in_the_order_it_was_asked_for(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(permits_for(3)).unwrap();
    rig.hold();
    let first = store.blocking().send(crate::Append::batch([0_u64; 1000]).unwrap()).unwrap();
    let requests = [vec![1_u64], vec![2; 1000], vec![3]].map(|records| {
        let store = store.clone();
        let mut append = Box::pin(async move { store.append_batch(records).await });
        assert!(poll_once(&mut append).is_none(), "there was room");
        append
    });
    let waiting = requests.map(|append| thread::spawn(move || block_on(append)));
    let newcomer = thread::spawn({
        let store = store.clone();
        move || store.blocking().append(&4_u64)
    });
    rig.release();
    for waiter in waiting {
        waiter.join().unwrap().unwrap();
    }
    newcomer.join().unwrap().unwrap();
    first.wait().unwrap();
    store.blocking().close().unwrap();
    let mut order = rig.records();
    order.dedup();
    // The last small one and the newcomer have room together: they may queue in any order.
    assert_eq!(order[..3], [0, 1, 2]);
    assert_eq!(order.len(), 5, "{order:?}");
}

/// A store that fails while its queue is full: those who wait for room are told so, and told why.
pub(super) fn whoever_waits_for_room_learns_that_there_will_be_none(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(permits_for(1)).unwrap();
    rig.hold();
    rig.fail_commit(1);
    let first = store.blocking().submit(&0_u64).unwrap();
    let waiting: Vec<_> = (1..3_u64)
        .map(|value| {
            let store = store.clone();
            thread::spawn(move || store.blocking().append(&value))
        })
        .collect();
    switch();
    rig.release();
    for waiter in waiting {
        let told = waiter.join().unwrap();
        assert!(is_poisoned(&told), "{told:?}");
    }
    let told = first.wait();
    assert!(is_poisoned(&told), "{told:?}");
    let told = store.blocking().close();
    assert!(is_poisoned(&told), "{told:?}");
}

/// A store that is closed while its queue is full: each who waits for room is written, or told that it is closed.
pub(super) fn whoever_waits_for_room_at_a_close_is_written_or_refused(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(permits_for(1)).unwrap();
    let waiting: Vec<_> = (1..4_u64)
        .map(|value| {
            let store = store.clone();
            thread::spawn(move || (value, store.blocking().append(&value)))
        })
        .collect();
    store.blocking().close().unwrap();
    let told: Vec<_> = waiting.into_iter().map(|waiter| waiter.join().unwrap()).collect();
    let records = rig.records();
    for (value, told) in told {
        match told {
            Ok(()) => assert!(records.contains(&value), "{value} was acknowledged and is not there"),
            refused => assert!(is_closed(&refused) && !records.contains(&value), "{value}: {refused:?}"),
        }
    }
}
