//! Callers who hold and release records, beside others who append, rotate and close.

use std::path::Path;

use super::rig::{Rig, is_closed, options};
use crate::sync::thread;

/// Holds, releases, an append and a rotation at a time: each is answered, and no held record goes.
pub(super) fn what_is_held_stays_while_others_release_it(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options()).unwrap();
    store.blocking().append(&1_u64).unwrap();
    store.blocking().rotate().unwrap();
    let holds = ["a", "b"].map(|name| {
        let store = store.clone();
        thread::spawn(move || store.blocking().hold(name, 1))
    });
    let append = thread::spawn({
        let store = store.clone();
        move || store.blocking().append(&2_u64).and_then(|()| store.blocking().rotate())
    });
    let released = store.blocking().trim_before(2).unwrap();
    let held = holds.map(|hold| hold.join().unwrap());
    append.join().unwrap().unwrap();
    let first = store.blocking().trim_before(9).unwrap();
    if held.iter().any(Result::is_ok) {
        assert_eq!((released, first), (1, 1), "record 1 is held: {held:?}");
    } else {
        assert_eq!((released, first), (2, 3), "nobody holds anything: {held:?}");
    }
    assert_eq!(store.first_seq(), first);
    assert_eq!(store.holds().len(), held.iter().filter(|held| held.is_ok()).count());
    store.blocking().close().unwrap();
}

/// Each ask is done, durably, or refused; nobody waits for ever.
pub(super) fn what_is_asked_at_a_close_is_done_or_refused(dir: &Path) {
    let rig = Rig::new(dir);
    let store = rig.open(options()).unwrap();
    let holds = ["a", "b"].map(|name| {
        let store = store.clone();
        thread::spawn(move || store.blocking().hold(name, 1))
    });
    store.blocking().close().unwrap();
    let told = holds.map(|hold| hold.join().unwrap());
    assert!(told.iter().all(|told| told.is_ok() || is_closed(told)), "{told:?}");
    let late = store.blocking().hold("c", 1);
    assert!(is_closed(&late), "{late:?}");
    drop(store);
    let stand = rig.open(options()).unwrap().holds();
    for (name, told) in ["a", "b"].into_iter().zip(told) {
        assert_eq!(stand.contains_key(name), told.is_ok(), "{name}: {told:?}");
    }
}
