//! A process without free file descriptors loses no record and poisons no store, and everything works again once descriptors are
//! free. Each test runs in a child process, because the limit applies to the process.

use std::{fs::File, path::Path, thread, time::Duration};

use ministore_uring::{Backend, JournalOptions, MiniStore, MiniStoreError, Reader, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{block_on, child, child_args, on_each_backend};

/// Longer than the longest back-off.
const BACK_OFF: Duration = Duration::from_millis(1100);

/// Runs `test` in a child, on each backend.
fn in_child(name: &str, test: impl Fn(Backend)) {
    if let Some(args) = child_args() {
        return test(args[0].parse().unwrap());
    }
    on_each_backend(|backend| {
        let output = child(&format!("shortage::{name}"), &[&backend.to_string()]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "on {backend}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
}

fn limit_descriptors(most: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }).unwrap();
}

/// Opens files until the process has no free descriptor.
fn take_all_descriptors() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

fn open(backend: Backend, dir: &Path) -> MiniStore {
    let options = JournalOptions::new().backend(backend).max_segment_bytes(64 << 10);
    let store = options.open_blocking(dir.join("j")).unwrap();
    (0..10).for_each(|i| store.blocking().append(&i).unwrap());
    store
}

fn values(dir: &Path) -> usize {
    Reader::open(dir.join("j")).unwrap().records::<serde_json::Value>().map(Result::unwrap).count()
}

/// Opens a store, calls `during` while there are no free descriptors, and `after` when there are, and checks that no record is
/// lost.
fn without_descriptors(backend: Backend, during: impl Fn(&MiniStore), after: impl Fn(&MiniStore)) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(backend, dir.path());
    limit_descriptors(100);
    let held_descriptors = take_all_descriptors();
    during(&store);
    store.blocking().append(&"during").unwrap();
    assert!(!store.stats().poisoned);
    drop(held_descriptors);
    thread::sleep(BACK_OFF);
    after(&store);
    store.blocking().append(&"after").unwrap();
    store.blocking().rotate().unwrap();
    assert!(!store.stats().poisoned && store.stats().rotations >= 1);
    let expected = store.durable_seq() as usize;
    store.blocking().close().unwrap();
    assert_eq!(values(dir.path()), expected);
    assert_eq!(
        MiniStore::open_blocking(dir.path().join("j")).unwrap().open_report().next_seq as usize,
        expected + 1
    );
}

#[test]
fn rotate_without_descriptors_is_retryable() {
    in_child("rotate_without_descriptors_is_retryable", |backend| {
        let rotate = |store: &MiniStore| {
            for _ in 0..3 {
                match store.blocking().rotate() {
                    Err(MiniStoreError::Unavailable { source, .. }) => {
                        assert_eq!(source.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
                    }
                    other => panic!("{other:?}"),
                }
            }
            let stats = store.stats();
            assert!(stats.transient_errors > 0);
            assert_eq!(stats.last_transient_error, Some(rustix::io::Errno::MFILE.raw_os_error()));
        };
        without_descriptors(backend, rotate, |store| store.blocking().rotate().unwrap());
    });
}

#[test]
fn full_segment_without_descriptors_grows() {
    in_child("full_segment_without_descriptors_grows", |backend| {
        let grow = |store: &MiniStore| {
            let text = "x".repeat(1000);
            (0..200).for_each(|_| store.blocking().append(&text).unwrap());
            assert_eq!(store.stats().rotations, 0);
        };
        without_descriptors(backend, grow, |_| {});
    });
}

/// A rotation to a prepared segment needs no new descriptor.
#[test]
fn prepared_rotation_needs_no_descriptor() {
    in_child("prepared_rotation_needs_no_descriptor", |backend| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(backend, dir.path());
        let text = "x".repeat(1000);
        (0..40).for_each(|_| store.blocking().append(&text).unwrap());
        // The next segment is prepared when this one is half full; the next append opens it.
        while !dir.path().join("j.next").exists() {
            thread::yield_now();
        }
        store.blocking().trim_before(0).unwrap();
        store.blocking().append(&text).unwrap();
        limit_descriptors(100);
        let held_descriptors = take_all_descriptors();
        store.blocking().rotate().unwrap();
        store.blocking().append(&"after").unwrap();
        assert_eq!((store.stats().rotations, store.stats().transient_errors), (1, 0));
        drop(held_descriptors);
        store.blocking().close().unwrap();
        assert_eq!(values(dir.path()), 52);
    });
}

#[test]
fn hold_and_trim_without_descriptors_are_retryable() {
    in_child("hold_and_trim_without_descriptors_are_retryable", |backend| {
        let check_errors = |store: &MiniStore| {
            assert!(matches!(store.blocking().hold("x", 1), Err(MiniStoreError::Io { .. })));
            assert!(store.holds().is_empty());
            assert!(matches!(store.blocking().trim_before(5), Err(MiniStoreError::Io { .. })));
        };
        without_descriptors(backend, check_errors, |store| {
            store.blocking().hold("x", 1).unwrap();
            assert_eq!(store.blocking().trim_before(5).unwrap(), 1);
        });
    });
}

#[test]
fn get_and_follow_without_descriptors_are_retryable() {
    in_child("get_and_follow_without_descriptors_are_retryable", |backend| {
        let check_errors = |store: &MiniStore| {
            assert!(matches!(store.blocking().get::<i32>(3), Err(MiniStoreError::Io { .. })));
            let mut follow = store.follow::<serde_json::Value>(1);
            // It fails, or it needs no new descriptor; it never hangs and never skips a record.
            match block_on(follow.next()) {
                Some(Ok(record)) => assert_eq!(record.seq, 1),
                Some(Err(error)) => assert!(matches!(error, MiniStoreError::Io { .. }), "{error}"),
                None => panic!("it ended as if the journal did"),
            }
        };
        without_descriptors(backend, check_errors, |store| {
            assert_eq!(store.blocking().get::<i32>(3).unwrap().unwrap().value, 2);
            let mut follow = store.follow::<serde_json::Value>(1);
            for seq in 1..=10 {
                assert_eq!(block_on(follow.next()).unwrap().unwrap().seq, seq);
            }
        });
    });
}

#[test]
fn open_without_enough_descriptors_leaks_none() {
    in_child("open_without_enough_descriptors_leaks_none", |backend| {
        let dir = tempfile::tempdir().unwrap();
        let options = JournalOptions::new().backend(backend);
        let open = || options.clone().open_blocking(dir.path().join("j"));
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        // tokio opens its pipe for signals once per process.
        open().unwrap().blocking().close().unwrap();
        let before = count();
        limit_descriptors(100);
        for free in 0..20 {
            let mut held = take_all_descriptors();
            held.truncate(held.len() - free);
            let opened = open();
            assert!(opened.is_ok() || free < 15, "{free}: {opened:?}");
            assert!(opened.is_err() || free > 3, "{free}");
            drop((opened, held));
            // Waits until the writer thread has closed the dropped store.
            open().unwrap().blocking().close().unwrap();
            assert_eq!(count(), before, "after an open with {free} descriptors");
        }
    });
}

/// As many stores as a limit of 1,024 descriptors allows survive a rotation without a free one.
#[test]
fn many_stores_at_the_limit_survive_rotation() {
    in_child("many_stores_at_the_limit_survive_rotation", |backend| {
        let dir = tempfile::tempdir().unwrap();
        limit_descriptors(1024);
        let options = JournalOptions::new().backend(backend);
        let mut stores = Vec::new();
        while stores.len() < 300
            && let Ok(store) = options.clone().open_blocking(dir.path().join(stores.len().to_string()))
        {
            stores.push(store);
        }
        // Five descriptors of each tokio-uring store are those of its runtime.
        let expected = if backend == Backend::TokioUring { 95 } else { 150 };
        assert!(stores.len() >= expected, "{}", stores.len());
        stores.iter().for_each(|store| store.blocking().append(&1).unwrap());
        let held_descriptors = take_all_descriptors();
        for store in &stores {
            assert!(matches!(store.blocking().rotate(), Err(MiniStoreError::Unavailable { .. })));
            store.blocking().append(&2).unwrap();
        }
        drop(held_descriptors);
        // Allow another descriptor for each store.
        limit_descriptors(getrlimit(Resource::Nofile).maximum.map_or(4096, |most| most.min(4096)));
        thread::sleep(BACK_OFF);
        for (index, store) in stores.iter().enumerate() {
            store.blocking().rotate().unwrap_or_else(|error| panic!("store {index}: {error}"));
            store.blocking().append(&3).unwrap();
            assert!(!store.stats().poisoned);
        }
        for (index, store) in stores.iter().enumerate() {
            store.blocking().close().unwrap();
            let path = dir.path().join(index.to_string());
            let found: Vec<_> =
                Reader::open(&path).unwrap().records::<u64>().map(|record| record.unwrap().value).collect();
            assert_eq!(found, [1, 2, 3]);
        }
    });
}
