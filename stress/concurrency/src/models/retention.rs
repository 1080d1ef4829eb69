//! Callers that hold and trim records while others append, rotate and close.

use std::path::Path;

use super::fixture::{Fixture, is_closed, options, spawn};

/// Holds, trims, an append and a rotation run concurrently: each gets an outcome, and no held record is deleted.
pub(super) fn held_records_survive_concurrent_trims(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options()).unwrap();
    store.blocking().append(&1_u64).unwrap();
    store.blocking().rotate().unwrap();
    let holds = ["a", "b"].map(|name| spawn(&store, move |store| store.blocking().hold(name, 1)));
    let append =
        spawn(&store, move |store| store.blocking().append(&2_u64).and_then(|()| store.blocking().rotate()));
    let first_trim = store.blocking().trim_before(2).unwrap();
    let held = holds.map(|hold| hold.join().unwrap());
    append.join().unwrap().unwrap();
    let second_trim = store.blocking().trim_before(9).unwrap();
    if held.iter().any(Result::is_ok) {
        assert_eq!((first_trim, second_trim), (1, 1), "record 1 is held: {held:?}");
    } else {
        assert_eq!((first_trim, second_trim), (2, 3), "no record is held: {held:?}");
    }
    assert_eq!(store.first_seq(), second_trim);
    assert_eq!(store.holds().len(), held.iter().filter(|held| held.is_ok()).count());
    store.blocking().close().unwrap();
}

/// Each hold is durable, or gets the error that the store is closed.
pub(super) fn hold_racing_a_close_succeeds_or_is_rejected(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options()).unwrap();
    let holds = ["a", "b"].map(|name| spawn(&store, move |store| store.blocking().hold(name, 1)));
    store.blocking().close().unwrap();
    let outcomes = holds.map(|hold| hold.join().unwrap());
    assert!(outcomes.iter().all(|outcome| outcome.is_ok() || is_closed(outcome)), "{outcomes:?}");
    let late = store.blocking().hold("c", 1);
    assert!(is_closed(&late), "{late:?}");
    drop(store);
    let found = fixture.open(options()).unwrap().holds();
    for (name, outcome) in ["a", "b"].into_iter().zip(outcomes) {
        assert_eq!(found.contains_key(name), outcome.is_ok(), "{name}: {outcome:?}");
    }
}
