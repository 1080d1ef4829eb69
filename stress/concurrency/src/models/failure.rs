//! A commit fails while other callers append, rotate and close.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::fixture::{Fixture, is_closed, is_poisoned, options, spawn};
use crate::sync::thread;

/// A commit fails: after the first caller got the error no append succeeds, and the acknowledged records exist when the
/// journal is opened again.
pub(super) fn failed_commit_ends_acknowledgements(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options()).unwrap();
    fixture.fail_commit(2);
    let failed = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = [10_u64, 20, 30]
        .into_iter()
        .map(|caller| {
            let (store, failed) = (store.clone(), Arc::clone(&failed));
            thread::spawn(move || {
                let append = |value: u64| {
                    let after_failure = failed.load(Ordering::SeqCst);
                    let outcome = store.blocking().append(&value);
                    match outcome {
                        Ok(()) => assert!(!after_failure, "acknowledged after a failure"),
                        ref rejected => assert!(is_poisoned(rejected), "{rejected:?}"),
                    }
                    failed.fetch_or(outcome.is_err(), Ordering::SeqCst);
                    outcome.is_ok().then_some(value)
                };
                [append(caller + 1), append(caller + 2)].into_iter().flatten().collect::<Vec<_>>()
            })
        })
        .collect();
    let acknowledged: Vec<_> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    let closed = store.blocking().close();
    assert_eq!(is_poisoned(&closed), failed.load(Ordering::SeqCst), "{closed:?}");
    drop(store);
    reopen_and_find(&fixture, &acknowledged);
}

/// Every caller gets an outcome, with one cause or the other, and the journal can be opened again.
pub(super) fn failure_racing_a_close_replies_to_all_callers(dir: &Path) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options()).unwrap();
    fixture.fail_commit(1);
    let append = spawn(&store, move |store| store.blocking().append(&1_u64));
    let rotate = spawn(&store, move |store| store.blocking().rotate());
    let closes = [store.clone(), store].map(|store| thread::spawn(move || store.blocking().close()));
    let appended = append.join().unwrap();
    let rotated = rotate.join().unwrap();
    let closed = closes.map(|close| close.join().unwrap());
    assert!(is_poisoned(&appended) || is_closed(&appended), "{appended:?}");
    assert!(rotated.is_ok() || is_poisoned(&rotated) || is_closed(&rotated), "{rotated:?}");
    let succeeded = closed.iter().filter(|closed| closed.is_ok()).count();
    if is_poisoned(&appended) {
        assert!(closed.iter().all(is_poisoned), "{closed:?}");
    } else {
        assert_eq!(succeeded, 1, "{closed:?}");
        assert!(closed.iter().all(|closed| closed.is_ok() || is_closed(closed)), "{closed:?}");
    }
    reopen_and_find(&fixture, &[]);
}

/// Opens the journal, whose handles are all dropped, and checks that it contains the acknowledged records.
pub(super) fn reopen_and_find(fixture: &Fixture, acknowledged: &[u64]) {
    fixture.clear_faults();
    let store = fixture.open(options()).unwrap();
    let records = fixture.records();
    for value in acknowledged {
        assert!(records.contains(value), "{value} was acknowledged and is missing: {records:?}");
    }
    store.blocking().append(&99_u64).unwrap();
    store.blocking().close().unwrap();
}
