//! Closing and dropping, while others still use the store or open it again.

use std::path::Path;

use super::{
    failure::reopen_and_find,
    rig::{Rig, is_closed, is_locked, options, poll_once},
};
use crate::sync::thread;

/// Appends and a rotation race two closes: one close succeeds, and what was acknowledged is exactly what is there.
pub(super) fn what_races_a_close_is_written_or_refused(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options()).unwrap();
    let appends = [1_u64, 2].map(|value| {
        let store = store.clone();
        thread::spawn(move || (value, store.blocking().append(&value)))
    });
    let rotate = thread::spawn({
        let store = store.clone();
        move || store.blocking().rotate()
    });
    let closes = [store.clone(), store.clone()].map(|store| thread::spawn(move || store.blocking().close()));
    let closes = closes.map(|close| close.join().unwrap());
    assert_eq!(closes.iter().filter(|closed| closed.is_ok()).count(), 1, "{closes:?}");
    assert_eq!(closes.iter().filter(|closed| is_closed(closed)).count(), 1, "{closes:?}");
    let rotated = rotate.join().unwrap();
    assert!(rotated.is_ok() || is_closed(&rotated), "{rotated:?}");
    let told = appends.map(|append| append.join().unwrap());
    let records = rig.records();
    for (value, told) in told {
        match told {
            Ok(()) => assert!(records.contains(&value), "{value} was acknowledged and is not there"),
            refused => assert!(is_closed(&refused) && !records.contains(&value), "{value}: {refused:?}"),
        }
    }
    let late = store.blocking().append(&3_u64);
    assert!(is_closed(&late), "{late:?}");
}

/// Handles go on two threads while appends are under way: all are written, and the journal can be opened at once.
pub(super) fn the_last_handle_may_go_before_the_answers_come(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options()).unwrap();
    let callers = [store.clone(), store].map(|store| {
        thread::spawn(move || {
            let pending = store.blocking().submit(&1_u64).unwrap();
            drop(store);
            pending.wait().unwrap()
        })
    });
    let [a, b] = callers.map(|caller| caller.join().unwrap());
    assert_ne!(a, b, "two appends were told the same number");
    reopen_and_find(&rig, &[1]);
    assert_eq!(rig.records(), [1, 1, 99]);
}

/// Whoever awaited a close, and whoever dropped the last handle, finds the journal free.
pub(super) fn a_closed_journal_is_free_at_once(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options()).unwrap();
    let other = thread::spawn({
        let store = store.clone();
        move || store.blocking().append(&1_u64)
    });
    store.blocking().close().unwrap();
    // Handles of the closed store are still there.
    let second = rig.open(options()).unwrap();
    let told = other.join().unwrap();
    assert!(told.is_ok() || is_closed(&told), "{told:?}");
    drop(second);
    drop(rig.open(options()).unwrap());
    drop(store);
    reopen_and_find(&rig, &[]);
}

/// Whoever gives up opening leaves nothing behind that keeps another from it.
pub(super) fn a_cancelled_open_leaves_the_journal_free(dir: &Path) {
    let rig = Rig::new(dir);
    let mut opening = rig.opening(options());
    let opened = poll_once(&mut opening);
    drop(opening);
    drop(opened);
    let again = rig.open(options());
    assert!(!is_locked(&again), "{again:?}");
    again.unwrap().blocking().append(&1_u64).unwrap();
}
