//! Callers, handles and runtimes that are dropped while appends are in flight do not affect the others.

mod close;
mod wakers;

use std::{
    collections::BTreeMap,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use ministore_uring::{Append, JournalOptions, MiniStore, MiniStoreError, PendingAppend, Receipt};
use serde::{Serialize, Serializer};

use crate::support::{TempJournal, block_on, for_each_commit_path, numbered, tokio_run};

/// Cannot be serialized.
struct PanickingRecord;

impl Serialize for PanickingRecord {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        // Panics without printing a message.
        resume_unwind(Box::new("in the middle of serializing"))
    }
}

/// The acknowledged values, by sequence number.
type AcknowledgedValues = Arc<Mutex<BTreeMap<u64, u32>>>;

/// Spawns tasks that append until the runtime is dropped.
fn spawn_appending_tasks(
    runtime: &tokio::runtime::Runtime,
    store: &MiniStore,
    acknowledged: &AcknowledgedValues,
) {
    let next = Arc::new(AtomicU32::new(0));
    for _ in 0..20 {
        let (store, acknowledged, next) = (store.clone(), Arc::clone(acknowledged), Arc::clone(&next));
        runtime.spawn(async move {
            loop {
                let value = next.fetch_add(1, Relaxed);
                let seq = store.submit(&value).await.unwrap().await.unwrap().seq;
                acknowledged.lock().unwrap().insert(seq, value);
            }
        });
    }
}

/// Checks that every acknowledged record exists and that no value exists twice.
fn check(journal: &TempJournal, acknowledged: &AcknowledgedValues) {
    let found: BTreeMap<_, _> = numbered::<u32>(journal.path()).unwrap().into_iter().collect();
    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.iter().all(|(seq, value)| found.get(seq) == Some(value)));
    let mut values: Vec<_> = found.values().collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), found.len());
}

#[test]
fn dropped_runtime_loses_no_acknowledged_append() {
    type ShutDown = fn(tokio::runtime::Runtime);
    let shutdowns: [ShutDown; 3] = [drop, tokio::runtime::Runtime::shutdown_background, |runtime| {
        runtime.shutdown_timeout(Duration::from_millis(1))
    }];
    for_each_commit_path(|options| {
        for shut_down in shutdowns {
            let journal = TempJournal::new();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            let acknowledged = AcknowledgedValues::default();
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
            spawn_appending_tasks(&runtime, &store, &acknowledged);
            while acknowledged.lock().unwrap().len() < 100 {
                thread::yield_now();
            }
            shut_down(runtime);
            store.blocking().append(&u32::MAX).unwrap();
            drop(store);
            // Tasks of a runtime that shut down in the background may still hold a handle for a moment.
            let again = loop {
                match options.clone().open_blocking(journal.path()) {
                    Err(MiniStoreError::Locked { .. }) => thread::yield_now(),
                    opened => break opened.unwrap(),
                }
            };
            assert!(again.open_report().truncated.is_none(), "the journal was closed");
            check(&journal, &acknowledged);
        }
    });
}

fn poll_with<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Polls a future at most `times` times, and drops it.
fn poll_and_drop<F: Future>(future: F, times: usize) {
    let mut future = pin!(future);
    for _ in 0..times {
        if poll_with(future.as_mut(), Waker::noop()).is_ready() {
            break;
        }
    }
}

#[test]
fn futures_dropped_at_any_await_free_their_capacity() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        // One large record needs most of the capacity.
        let store = options.clone().max_queue_bytes(4000).open_blocking(journal.path()).unwrap();
        let large = "large".repeat(600);
        for round in 0..60 {
            let polls = round % 3;
            poll_and_drop(store.append(&large), polls);
            poll_and_drop(store.append_batch([&large, &large]), polls);
            poll_and_drop(store.submit(&large), polls);
            poll_and_drop(store.send(Append::batch([&large]).unwrap()), polls);
            poll_and_drop(store.append_json("\"json\""), polls);
            poll_and_drop(store.rotate(), polls);
            poll_and_drop(options.clone().open(journal.path()), polls);
            // Capacity is granted in order: this append gets it only if those before it have freed theirs.
            store.blocking().append(&"last").unwrap();
        }
        store.blocking().close().unwrap();
        let found: Vec<_> = numbered::<String>(journal.path()).unwrap().into_iter().map(|(_, s)| s).collect();
        assert_eq!(found.iter().filter(|text| *text == "last").count(), 60);
        assert!(found.iter().all(|text| [&large, "json", "last"].contains(&&**text)), "whole or not at all");
        // A future that was never polled issues nothing: two of three rounds issue at most six records.
        assert!(found.len() <= 60 + 40 * 6, "{}", found.len());
    });
}

#[test]
fn dropped_close_still_closes() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().append(&1).unwrap();
        poll_and_drop(store.close(), 1);
        let outcome = store.blocking().append(&2);
        assert!(matches!(outcome, Err(MiniStoreError::Closed)), "{outcome:?}");
        // Opening waits for the close, although a handle still exists.
        let again = options.open_blocking(journal.path()).unwrap();
        assert_eq!(again.durable_seq(), 1);
        drop(store);
    });
}

/// Checks that the journal can be opened at once and has all records.
fn check_reopen(options: &JournalOptions, journal: &TempJournal, records: u64) {
    let again = options.clone().open_blocking(journal.path()).unwrap();
    assert!(again.open_report().truncated.is_none());
    assert_eq!(again.durable_seq(), records);
    again.blocking().close().unwrap();
}

#[test]
fn store_may_be_dropped_anywhere() {
    type DropStore = fn(MiniStore);
    let places: [(&str, DropStore); 6] = [
        ("another thread", |store| thread::spawn(move || drop(store)).join().unwrap()),
        ("an async task", |store| {
            tokio_run(async { tokio::spawn(async move { drop(store) }).await.unwrap() })
        }),
        ("a runtime's blocking pool", |store| {
            tokio_run(async { tokio::task::spawn_blocking(move || drop(store)).await.unwrap() });
        }),
        ("a runtime that is dropped", |store| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.spawn(async move {
                std::future::pending::<()>().await;
                drop(store);
            });
        }),
        ("a panic", |store| {
            let panicked = catch_unwind(AssertUnwindSafe(move || {
                let _store = store;
                resume_unwind(Box::new("a caller panics"));
            }));
            assert!(panicked.is_err());
        }),
        ("a local of a thread that ends", |store| {
            thread_local!(static HELD: Mutex<Option<MiniStore>> = const { Mutex::new(None) });
            thread::spawn(move || HELD.with(|held| *held.lock().unwrap() = Some(store))).join().unwrap();
        }),
    ];
    for_each_commit_path(|options| {
        for (place, drop_store) in places {
            eprintln!("dropped in {place}");
            let journal = TempJournal::new();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            let pending: Vec<PendingAppend> = (0..50).map(|n| store.blocking().submit(&n).unwrap()).collect();
            drop_store(store);
            for pending in pending {
                pending.wait().unwrap();
            }
            check_reopen(&options, &journal, 50);
        }
    });
}

#[test]
fn panicking_caller_affects_only_itself() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        let panicked = thread::scope(|scope| {
            let others: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            store.blocking().append(&"other").unwrap();
                        }
                    })
                })
                .collect();
            let panicked = (0..50).filter(|n| {
                let panicking = AssertUnwindSafe(|| match n % 3 {
                    0 => drop(store.blocking().append(&PanickingRecord)),
                    1 => drop(store.blocking().append_batch([PanickingRecord, PanickingRecord])),
                    _ => {
                        let _pending = store.blocking().submit(&"accepted").unwrap();
                        resume_unwind(Box::new("between submitting and awaiting"));
                    }
                });
                catch_unwind(panicking).is_err()
            });
            let panicked = panicked.count();
            for other in others {
                other.join().unwrap();
            }
            panicked
        });
        assert_eq!(panicked, 50);
        store.blocking().close().unwrap();
        // An accepted append is written although its caller panics; a record that cannot be serialized is not.
        check_reopen(&options, &journal, 200 + 16);
    });
}
