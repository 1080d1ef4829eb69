//! What a follower says when a store, or the disk, fails.

use std::{fs, path::Path};

use futures_lite::future::poll_once;
use rustix::io::Errno;
use tempfile::TempDir;

use super::Eye;
use crate::{
    Append, BackendKind, FollowStream, JournalOptions, MiniStore, MiniStoreError, Reader,
    io::{
        fault::{FaultInjector, Op},
        os_file_system,
    },
};

fn open(faults: &FaultInjector, path: &Path, options: JournalOptions) -> MiniStore {
    let faults = faults.clone();
    let choose =
        move || Ok((BackendKind::Blocking, faults.disk(), faults.commit_backend(BackendKind::Blocking)?));
    pollster::block_on(MiniStore::open_on(options, path, choose)).unwrap()
}

fn next(follow: &mut FollowStream<u64>) -> Option<crate::Result<u64>> {
    pollster::block_on(follow.next()).map(|record| record.map(|record| record.value))
}

#[test]
fn failed_store_yields_durable_records_then_error() {
    let (dir, faults) = (TempDir::new().unwrap(), FaultInjector::new());
    let store = open(&faults, &dir.path().join("j"), JournalOptions::new());
    let mut follow = store.follow::<u64>(1);
    for value in 1..=5 {
        store.blocking().append(&value).unwrap();
    }
    faults.fail(Op::Commit, 1, Errno::IO);
    assert!(store.blocking().append(&6).is_err());
    for value in 1..=5 {
        assert_eq!(next(&mut follow).unwrap().unwrap(), value);
    }
    let told = next(&mut follow).unwrap();
    assert!(matches!(told, Err(MiniStoreError::Poisoned { .. })), "{told:?}");
    assert!(next(&mut follow).is_none());
    let waited = store.blocking().wait_durable(6);
    assert!(matches!(waited, Err(MiniStoreError::Poisoned { .. })), "{waited:?}");
    store.blocking().wait_durable(5).unwrap();
}

#[test]
fn store_follower_skips_undurable_records() {
    let (dir, faults) = (TempDir::new().unwrap(), FaultInjector::new());
    let store = open(&faults, &dir.path().join("j"), JournalOptions::new());
    store.blocking().append(&1).unwrap();
    let mut follow = store.follow::<u64>(1);
    assert_eq!(next(&mut follow).unwrap().unwrap(), 1);
    faults.hold(Op::Commit);
    let pending = store.blocking().submit(&2).unwrap();
    faults.await_held(Op::Commit);
    let mut second = Box::pin(follow.next());
    assert!(pollster::block_on(poll_once(&mut second)).is_none());
    assert_eq!(store.durable_seq(), 1);
    faults.release(Op::Commit);
    pending.wait().unwrap();
    assert_eq!(pollster::block_on(second).unwrap().unwrap().value, 2);
}

#[test]
fn unsynced_records_are_not_followed() {
    let (dir, faults) = (TempDir::new().unwrap(), FaultInjector::new());
    let path = dir.path().join("j");
    let store = open(&faults, &path, JournalOptions::new());
    store.blocking().append(&1).unwrap();
    let mut eye = Eye::new(faults.disk(), &path, 1);
    faults.fail(Op::SyncFile, 1, Errno::IO);
    let looked = eye.poll_now();
    assert!(
        matches!(&looked, Err(MiniStoreError::Io { source }) if source.to_string().contains("cannot sync"))
    );
    assert_eq!(eye.seen, []);
}

/// Larger than what is padded for: its own write extends the file, with padding behind it.
fn large() -> Vec<String> {
    (0..48).map(|n| format!("{n}").repeat(60 << 10)).collect()
}

/// How many bytes the file grows by for a first record and then the large group, up to its seal.
fn growth_of_large() -> u64 {
    let (dir, faults) = (TempDir::new().unwrap(), FaultInjector::new());
    let path = dir.path().join("j");
    let store = open(&faults, &path, JournalOptions::new());
    store.blocking().append(&0).unwrap();
    let before = fs::metadata(&path).unwrap().len();
    store.blocking().append_batch(large()).unwrap();
    store.blocking().close().unwrap();
    // Less the closed mark and its LF.
    fs::metadata(&path).unwrap().len() - 2 - before
}

/// A group may be whole and lack only some of its padding when the disk runs full: it is refused, cut away, and its number
/// given to another.
#[test]
fn records_undone_by_full_disk_are_not_followed() {
    let growth = growth_of_large();
    let mut whole = 0;
    for more in [0, 1, 100, 4096, 9000] {
        let (dir, faults) = (TempDir::new().unwrap(), FaultInjector::new());
        let path = dir.path().join("j");
        let store = open(&faults, &path, JournalOptions::new());
        store.blocking().append(&0).unwrap();
        let mut eye = Eye::new(os_file_system(), &path, 1);
        eye.poll_now().unwrap();
        assert_eq!(eye.seen, [(1, 0)]);
        faults.set_space_limit(growth + more);
        // What the writer is about to cut away is there.
        faults.hold(Op::SetLen);
        let pending = store.blocking().send(Append::batch(large()).unwrap()).unwrap();
        faults.await_held(Op::SetLen);
        let found = Reader::open(&path).unwrap().records::<serde::de::IgnoredAny>().count();
        whole += u32::from(found == 1 + large().len());
        eye.poll_now().unwrap();
        assert_eq!(eye.seen, [(1, 0)], "room for {more} bytes of padding");
        faults.release(Op::SetLen);
        let told = pending.wait();
        assert!(matches!(told, Err(MiniStoreError::StorageFull { .. })), "{told:?}");
        faults.clear_space_limit();
        store.blocking().append(&7).unwrap();
        eye.poll_now().unwrap();
        assert_eq!(eye.seen, [(1, 0), (2, 7)]);
    }
    assert!(whole > 0, "no group was whole when it was taken back: this test shows nothing");
}
