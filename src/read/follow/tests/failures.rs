//! Followers of a store or a disk that fails.

use std::{fs, path::Path};

use futures_lite::future::poll_once;
use rustix::io::Errno;
use tempfile::TempDir;

use super::PolledFollower;
use crate::{
    Append, BackendKind, FollowStream, JournalOptions, MiniStore, MiniStoreError, Reader,
    io::{
        fault::{FaultInjector, Op},
        os_file_system,
    },
};

fn open(faults: &FaultInjector, path: &Path, options: JournalOptions) -> MiniStore {
    let faults = faults.clone();
    let select_backend = move || {
        Ok((BackendKind::Blocking, faults.file_system(), faults.commit_backend(BackendKind::Blocking)?))
    };
    pollster::block_on(MiniStore::open_on(options, path, select_backend)).unwrap()
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
    let outcome = next(&mut follow).unwrap();
    assert!(matches!(outcome, Err(MiniStoreError::Poisoned { .. })), "{outcome:?}");
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
    faults.block(Op::Commit);
    let pending = store.blocking().submit(&2).unwrap();
    faults.wait_until_blocked(Op::Commit);
    let mut second = Box::pin(follow.next());
    assert!(pollster::block_on(poll_once(&mut second)).is_none());
    assert_eq!(store.durable_seq(), 1);
    faults.unblock(Op::Commit);
    pending.wait().unwrap();
    assert_eq!(pollster::block_on(second).unwrap().unwrap().value, 2);
}

#[test]
fn unsynced_records_are_not_followed() {
    let (dir, faults) = (TempDir::new().unwrap(), FaultInjector::new());
    let path = dir.path().join("j");
    let store = open(&faults, &path, JournalOptions::new());
    store.blocking().append(&1).unwrap();
    let mut follower = PolledFollower::new(faults.file_system(), &path, 1);
    faults.fail(Op::SyncFile, 1, Errno::IO);
    let outcome = follower.poll_now();
    assert!(
        matches!(&outcome, Err(MiniStoreError::Io { source }) if source.to_string().contains("cannot sync"))
    );
    assert_eq!(follower.yielded, []);
}

/// Returns a batch larger than the preallocated padding: its write extends the file, with padding after it.
fn large_batch() -> Vec<String> {
    (0..48).map(|n| format!("{n}").repeat(60 << 10)).collect()
}

/// Returns the bytes that the file grows by for the large batch after a first record, up to its seal.
fn growth_of_large_batch() -> u64 {
    let (dir, faults) = (TempDir::new().unwrap(), FaultInjector::new());
    let path = dir.path().join("j");
    let store = open(&faults, &path, JournalOptions::new());
    store.blocking().append(&0).unwrap();
    let before = fs::metadata(&path).unwrap().len();
    store.blocking().append_batch(large_batch()).unwrap();
    store.blocking().close().unwrap();
    // Without the close marker and its LF.
    fs::metadata(&path).unwrap().len() - 2 - before
}

/// A group may be whole and lack only a part of its padding when the disk runs full. The append fails, the writer
/// truncates the group, and the next append gets its sequence numbers.
#[test]
fn records_undone_by_full_disk_are_not_followed() {
    let growth = growth_of_large_batch();
    let mut whole = 0;
    for more in [0, 1, 100, 4096, 9000] {
        let (dir, faults) = (TempDir::new().unwrap(), FaultInjector::new());
        let path = dir.path().join("j");
        let store = open(&faults, &path, JournalOptions::new());
        store.blocking().append(&0).unwrap();
        let mut follower = PolledFollower::new(os_file_system(), &path, 1);
        follower.poll_now().unwrap();
        assert_eq!(follower.yielded, [(1, 0)]);
        faults.set_space_limit(growth + more);
        // The writer waits before it truncates the group.
        faults.block(Op::SetLen);
        let pending = store.blocking().send(Append::batch(large_batch()).unwrap()).unwrap();
        faults.wait_until_blocked(Op::SetLen);
        let found = Reader::open(&path).unwrap().records::<serde::de::IgnoredAny>().count();
        whole += u32::from(found == 1 + large_batch().len());
        follower.poll_now().unwrap();
        assert_eq!(follower.yielded, [(1, 0)], "space for {more} bytes of padding");
        faults.unblock(Op::SetLen);
        let outcome = pending.wait();
        assert!(matches!(outcome, Err(MiniStoreError::StorageFull { .. })), "{outcome:?}");
        faults.clear_space_limit();
        store.blocking().append(&7).unwrap();
        follower.poll_now().unwrap();
        assert_eq!(follower.yielded, [(1, 0), (2, 7)]);
    }
    assert!(whole > 0, "no group was whole when it was truncated: this test shows nothing");
}
