//! The registry of locks within a process.

use std::path::Path;

use super::rig::{Rig, is_locked, options};
use crate::{
    io::os_file_system,
    journal::file_names::FileNames,
    journal::lock::{JournalLock, PendingRelease},
    sync::thread,
};

/// Two open at once: one gets it, the other is refused, or comes after the first is done.
pub(super) fn one_of_two_openers_gets_the_journal(dir: &Path) {
    let rig = Rig::new(dir);
    let openers = [1_u64, 2].map(|value| {
        let rig = rig.clone();
        thread::spawn(move || {
            let opened = rig.open(options());
            assert!(opened.is_ok() || is_locked(&opened), "{opened:?}");
            opened.is_ok_and(|store| store.blocking().append(&value).is_ok())
        })
    });
    let wrote = openers.map(|opener| opener.join().unwrap());
    assert!(wrote.contains(&true), "nobody got the journal");
    drop(rig.open(options()).unwrap());
    assert_eq!(rig.records().len(), wrote.iter().filter(|wrote| **wrote).count());
}

/// Two wait for a third, which announces and releases: both get it, one after the other, unless they came before the
/// announcement.
pub(super) fn a_lock_is_waited_for_while_it_is_being_released(dir: &Path) {
    let names = FileNames::resolve(&*os_file_system(), &dir.join("j")).unwrap();
    let releasing = PendingRelease::default();
    let first = JournalLock::acquire(&*os_file_system(), &names, releasing.clone()).unwrap();
    let early = thread::spawn({
        let names = names.clone();
        move || {
            let releasing = PendingRelease::default();
            let lock = JournalLock::acquire(&*os_file_system(), &names, releasing.clone());
            assert!(lock.is_ok() || is_locked(&lock), "{lock:?}");
            // Only now: before it got the lock, nobody knew of it.
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
