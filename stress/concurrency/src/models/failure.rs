//! A commit fails while others append, rotate and close.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::rig::{Rig, is_closed, is_poisoned, options};
use crate::{Result, sync::thread};

/// The second or third commit fails: whoever appends after anybody was told so is refused, and what was acknowledged is
/// there when the journal is opened again.
pub(super) fn nothing_is_acknowledged_after_a_failed_commit(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options()).unwrap();
    rig.fail_commit(2);
    let failed = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = [10_u64, 20, 30]
        .into_iter()
        .map(|caller| {
            let (store, failed) = (store.clone(), Arc::clone(&failed));
            thread::spawn(move || {
                let append = |value: u64| {
                    let after_failure = failed.load(Ordering::SeqCst);
                    let told = store.blocking().append(&value);
                    match told {
                        Ok(()) => assert!(!after_failure, "acknowledged after a failure"),
                        ref refused => assert!(is_poisoned(refused), "{refused:?}"),
                    }
                    failed.fetch_or(told.is_err(), Ordering::SeqCst);
                    told.is_ok().then_some(value)
                };
                [append(caller + 1), append(caller + 2)].into_iter().flatten().collect::<Vec<_>>()
            })
        })
        .collect();
    let acknowledged: Vec<_> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    let closed = store.blocking().close();
    assert_eq!(is_poisoned(&closed), failed.load(Ordering::SeqCst), "{closed:?}");
    drop(store);
    reopen_and_find(&rig, &acknowledged);
}

/// Everybody is answered, with the one reason or the other, and the journal is free for the next.
pub(super) fn a_failure_racing_a_close_answers_everybody(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options()).unwrap();
    rig.fail_commit(1);
    let append = thread::spawn({
        let store = store.clone();
        move || store.blocking().append(&1_u64)
    });
    let rotate = thread::spawn({
        let store = store.clone();
        move || store.blocking().rotate()
    });
    let closes = [store.clone(), store].map(|store| thread::spawn(move || store.blocking().close()));
    let appended = append.join().unwrap();
    let rotated = rotate.join().unwrap();
    let closed = closes.map(|close| close.join().unwrap());
    assert!(is_poisoned(&appended) || is_closed(&appended), "{appended:?}");
    assert!(rotated.is_ok() || is_the_end(&rotated), "{rotated:?}");
    let ended_well = closed.iter().filter(|closed| closed.is_ok()).count();
    if is_poisoned(&appended) {
        assert!(closed.iter().all(is_poisoned), "{closed:?}");
    } else {
        assert_eq!(ended_well, 1, "{closed:?}");
        assert!(closed.iter().all(|closed| closed.is_ok() || is_closed(closed)), "{closed:?}");
    }
    reopen_and_find(&rig, &[]);
}

fn is_the_end<T: std::fmt::Debug>(outcome: &Result<T>) -> bool {
    is_poisoned(outcome) || is_closed(outcome)
}

/// Opening works at once, for every handle is gone.
pub(super) fn reopen_and_find(rig: &Rig, acknowledged: &[u64]) {
    rig.heal();
    let store = rig.open(options()).unwrap();
    let records = rig.records();
    for value in acknowledged {
        assert!(records.contains(value), "{value} was acknowledged and is not there: {records:?}");
    }
    store.blocking().append(&99_u64).unwrap();
    store.blocking().close().unwrap();
}
