//! The registry of locks within a process.

use std::path::Path;

use super::fixture::{Fixture, is_locked, options};
use crate::{
    io::os_file_system,
    journal::file_names::FileNames,
    journal::lock::{JournalLock, PendingRelease},
    sync::thread,
};

/// Two threads open the journal: one gets it; the other gets `Locked`, or opens it after the first has closed it.
pub(super) fn concurrent_opens_exclude_each_other(dir: &Path) {
    let fixture = Fixture::new(dir);
    let openers = [1_u64, 2].map(|value| {
        let fixture = fixture.clone();
        thread::spawn(move || {
            let opened = fixture.open(options());
            assert!(opened.is_ok() || is_locked(&opened), "{opened:?}");
            opened.is_ok_and(|store| store.blocking().append(&value).is_ok())
        })
    });
    let wrote = openers.map(|opener| opener.join().unwrap());
    assert!(wrote.contains(&true), "neither thread got the journal");
    drop(fixture.open(options()).unwrap());
    assert_eq!(fixture.records().len(), wrote.iter().filter(|wrote| **wrote).count());
}

/// Two threads try to lock a journal whose owner announces its release and then releases it: each gets the lock, or gets
/// `Locked` because it tried before the announcement.
pub(super) fn open_waits_for_a_lock_being_released(dir: &Path) {
    let names = FileNames::resolve(&*os_file_system(), &dir.join("j")).unwrap();
    let releasing = PendingRelease::default();
    let first = JournalLock::acquire(&*os_file_system(), &names, releasing.clone()).unwrap();
    let early = thread::spawn({
        let names = names.clone();
        move || {
            let releasing = PendingRelease::default();
            let lock = JournalLock::acquire(&*os_file_system(), &names, releasing.clone());
            assert!(lock.is_ok() || is_locked(&lock), "{lock:?}");
            // Not before it has the lock: only an owner announces a release.
            releasing.mark_releasing();
            drop(lock);
        }
    });
    releasing.mark_releasing();
    let releases = thread::spawn(move || drop(first));
    let late = JournalLock::acquire(&*os_file_system(), &names, PendingRelease::default());
    assert!(late.is_ok() || is_locked(&late), "{late:?}");
    drop(late);
    releases.join().unwrap();
    early.join().unwrap();
    drop(JournalLock::acquire(&*os_file_system(), &names, PendingRelease::default()).unwrap());
}
