//! Closing and dropping a store while other callers use it or open the journal again.

use std::path::Path;

use super::{
    failure::reopen_and_find,
    fixture::{Fixture, is_closed, is_locked, options, poll_once, spawn},
};
use crate::sync::thread;

/// Appends and a rotation race two closes: one close succeeds, and the journal contains exactly the acknowledged records.
pub(super) fn requests_racing_a_close_succeed_or_are_rejected(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options()).unwrap();
    let appends =
        [1_u64, 2].map(|value| spawn(&store, move |store| (value, store.blocking().append(&value))));
    let rotate = spawn(&store, move |store| store.blocking().rotate());
    let closes = [store.clone(), store.clone()].map(|store| thread::spawn(move || store.blocking().close()));
    let closes = closes.map(|close| close.join().unwrap());
    assert_eq!(closes.iter().filter(|closed| closed.is_ok()).count(), 1, "{closes:?}");
    assert_eq!(closes.iter().filter(|closed| is_closed(closed)).count(), 1, "{closes:?}");
    let rotated = rotate.join().unwrap();
    assert!(rotated.is_ok() || is_closed(&rotated), "{rotated:?}");
    let outcomes = appends.map(|append| append.join().unwrap());
    fixture.assert_written_or_rejected(outcomes);
    let late = store.blocking().append(&3_u64);
    assert!(is_closed(&late), "{late:?}");
}

/// Two threads drop their handles while appends are pending: all are written, and the journal can be opened at once.
pub(super) fn last_handle_may_be_dropped_with_pending_appends(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options()).unwrap();
    let callers = [store.clone(), store].map(|store| {
        thread::spawn(move || {
            let pending = store.blocking().submit(&1_u64).unwrap();
            drop(store);
            pending.wait().unwrap()
        })
    });
    let [a, b] = callers.map(|caller| caller.join().unwrap());
    assert_ne!(a, b, "two appends got the same number");
    reopen_and_find(&fixture, &[1]);
    assert_eq!(fixture.records(), [1, 1, 99]);
}

/// The journal can be opened as soon as a close returns or the last handle is dropped.
pub(super) fn closed_journal_can_be_opened_at_once(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options()).unwrap();
    let other = spawn(&store, move |store| store.blocking().append(&1_u64));
    store.blocking().close().unwrap();
    // Handles of the closed store still exist.
    let second = fixture.open(options()).unwrap();
    let outcome = other.join().unwrap();
    assert!(outcome.is_ok() || is_closed(&outcome), "{outcome:?}");
    drop(second);
    drop(fixture.open(options()).unwrap());
    drop(store);
    reopen_and_find(&fixture, &[]);
}

/// A dropped open leaves no lock that keeps the next caller from opening the journal.
pub(super) fn cancelled_open_leaves_no_lock(dir: &Path) {
    let fixture = Fixture::new(dir);
    let mut opening = fixture.opening(options());
    let opened = poll_once(&mut opening);
    drop(opening);
    drop(opened);
    let again = fixture.open(options());
    assert!(!is_locked(&again), "{again:?}");
    again.unwrap().blocking().append(&1_u64).unwrap();
}
