//! A process that runs out of file descriptors: nothing is lost, nothing is poisoned, and everything works again once
//! there are some. Each test runs in a process of its own, for the limit is the process's.

use std::{fs::File, path::Path, thread, time::Duration};

use ministore_uring::{Backend, JournalOptions, MiniStore, MiniStoreError, Reader, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{block_on, child, child_args, on_each_backend};

/// Longer than the longest back-off.
const BACK_OFF: Duration = Duration::from_millis(1100);

/// Runs `test` in a child, on each backend.
fn in_a_child(name: &str, test: impl Fn(Backend)) {
    if let Some(args) = child_args() {
        let backend = if args[0] == "Uring" { Backend::Uring } else { Backend::Blocking };
        return test(backend);
    }
    on_each_backend(|backend| {
        let output = child(&format!("shortage::{name}"), &[&format!("{backend:?}")]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "on {backend:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
}

fn limit_descriptors(most: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }).unwrap();
}

/// Every descriptor that the process can still open.
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

/// Opens a store, leaves it without descriptors, and checks that it works before, meanwhile and afterwards.
fn short_of_descriptors(backend: Backend, meanwhile: impl Fn(&MiniStore), afterwards: impl Fn(&MiniStore)) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(backend, dir.path());
    limit_descriptors(100);
    let hogs = take_all_descriptors();
    meanwhile(&store);
    store.blocking().append(&"meanwhile").unwrap();
    assert!(!store.stats().poisoned);
    drop(hogs);
    thread::sleep(BACK_OFF);
    afterwards(&store);
    store.blocking().append(&"afterwards").unwrap();
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
    in_a_child("rotate_without_descriptors_is_retryable", |backend| {
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
        short_of_descriptors(backend, rotate, |store| store.blocking().rotate().unwrap());
    });
}

#[test]
fn full_segment_without_descriptors_grows() {
    in_a_child("full_segment_without_descriptors_grows", |backend| {
        let grow = |store: &MiniStore| {
            let text = "x".repeat(1000);
            (0..200).for_each(|_| store.blocking().append(&text).unwrap());
            assert_eq!(store.stats().rotations, 0);
        };
        short_of_descriptors(backend, grow, |_| {});
    });
}

/// The prepared segment has all that the rotation needs: without descriptors it is completed all the same.
#[test]
fn prepared_rotation_needs_no_descriptor() {
    in_a_child("prepared_rotation_needs_no_descriptor", |backend| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(backend, dir.path());
        let text = "x".repeat(1000);
        (0..40).for_each(|_| store.blocking().append(&text).unwrap());
        // The next segment is prepared from half of this one on; an append that finds it prepared opens it.
        while !dir.path().join("j.next").exists() {
            thread::yield_now();
        }
        store.blocking().trim_before(0).unwrap();
        store.blocking().append(&text).unwrap();
        limit_descriptors(100);
        let hogs = take_all_descriptors();
        store.blocking().rotate().unwrap();
        store.blocking().append(&"after").unwrap();
        assert_eq!((store.stats().rotations, store.stats().transient_errors), (1, 0));
        drop(hogs);
        store.blocking().close().unwrap();
        assert_eq!(values(dir.path()), 52);
    });
}

#[test]
fn hold_and_trim_without_descriptors_are_retryable() {
    in_a_child("hold_and_trim_without_descriptors_are_retryable", |backend| {
        let refused = |store: &MiniStore| {
            assert!(matches!(store.blocking().hold("x", 1), Err(MiniStoreError::Io { .. })));
            assert!(store.holds().is_empty());
            assert!(matches!(store.blocking().trim_before(5), Err(MiniStoreError::Io { .. })));
        };
        short_of_descriptors(backend, refused, |store| {
            store.blocking().hold("x", 1).unwrap();
            assert_eq!(store.blocking().trim_before(5).unwrap(), 1);
        });
    });
}

#[test]
fn get_and_follow_without_descriptors_are_retryable() {
    in_a_child("get_and_follow_without_descriptors_are_retryable", |backend| {
        let refused = |store: &MiniStore| {
            assert!(matches!(store.blocking().get::<i32>(3), Err(MiniStoreError::Io { .. })));
            let mut follow = store.follow::<serde_json::Value>(1);
            // It fails, or it was opened without a new descriptor; it never hangs and never skips.
            match block_on(follow.next()) {
                Some(Ok(record)) => assert_eq!(record.seq, 1),
                Some(Err(error)) => assert!(matches!(error, MiniStoreError::Io { .. }), "{error}"),
                None => panic!("it ended as if the journal did"),
            }
        };
        short_of_descriptors(backend, refused, |store| {
            assert_eq!(store.blocking().get::<i32>(3).unwrap().unwrap().value, 2);
            let mut follow = store.follow::<serde_json::Value>(1);
            for seq in 1..=10 {
                assert_eq!(block_on(follow.next()).unwrap().unwrap().seq, seq);
            }
        });
    });
}

/// As many stores as a limit of 1,024 descriptors allows all survive a rotation that finds none left.
#[test]
fn many_stores_at_the_limit_survive_rotation() {
    in_a_child("many_stores_at_the_limit_survive_rotation", |backend| {
        let dir = tempfile::tempdir().unwrap();
        limit_descriptors(1024);
        let options = JournalOptions::new().backend(backend);
        let mut stores = Vec::new();
        while stores.len() < 300
            && let Ok(store) = options.clone().open_blocking(dir.path().join(stores.len().to_string()))
        {
            stores.push(store);
        }
        assert!(stores.len() >= 150, "{}", stores.len());
        stores.iter().for_each(|store| store.blocking().append(&1).unwrap());
        let hogs = take_all_descriptors();
        for store in &stores {
            assert!(matches!(store.blocking().rotate(), Err(MiniStoreError::Unavailable { .. })));
            store.blocking().append(&2).unwrap();
        }
        drop(hogs);
        // A descriptor more for each store than it has now.
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
