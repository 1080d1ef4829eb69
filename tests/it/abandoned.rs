//! Callers, handles and runtimes that go away while appends are in flight: nobody else notices.

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

use crate::support::{Journal, block_on, for_each_commit_path, numbered, tokio_run};

/// Cannot be serialized.
struct Panics;

impl Serialize for Panics {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        // As a panic, but without its message.
        resume_unwind(Box::new("in the middle of serializing"))
    }
}

/// What was acknowledged, by number.
type Acknowledged = Arc<Mutex<BTreeMap<u64, u32>>>;

/// Tasks that append for ever.
fn appending_tasks(runtime: &tokio::runtime::Runtime, store: &MiniStore, acknowledged: &Acknowledged) {
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

/// Everything acknowledged is there, nothing is there twice.
fn check(journal: &Journal, acknowledged: &Acknowledged) {
    let found: BTreeMap<_, _> = numbered::<u32>(journal.path()).unwrap().into_iter().collect();
    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.iter().all(|(seq, value)| found.get(seq) == Some(value)));
    let mut values: Vec<_> = found.values().collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), found.len());
}

#[test]
fn a_runtime_that_is_dropped_with_appends_in_flight_takes_nothing_along() {
    type End = fn(tokio::runtime::Runtime);
    let ends: [End; 3] = [drop, tokio::runtime::Runtime::shutdown_background, |runtime| {
        runtime.shutdown_timeout(Duration::from_millis(1))
    }];
    for_each_commit_path(|options| {
        for end in ends {
            let journal = Journal::new();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            let acknowledged = Acknowledged::default();
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
            appending_tasks(&runtime, &store, &acknowledged);
            while acknowledged.lock().unwrap().len() < 100 {
                thread::yield_now();
            }
            end(runtime);
            store.blocking().append(&u32::MAX).unwrap();
            drop(store);
            // Tasks of a runtime that was not waited for may still hold a handle for a moment.
            let again = loop {
                match options.clone().open_blocking(journal.path()) {
                    Err(MiniStoreError::Locked { .. }) => thread::yield_now(),
                    opened => break opened.unwrap(),
                }
            };
            assert!(again.open_report().truncated.is_none(), "it was closed in peace");
            check(&journal, &acknowledged);
        }
    });
}

fn poll_with<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Polls a future so many times, and drops it.
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
        let journal = Journal::new();
        // One large record takes most of the room.
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
            // Room is granted in order: it comes to this one only if those before gave theirs back.
            store.blocking().append(&"last").unwrap();
        }
        store.blocking().close().unwrap();
        let found: Vec<_> = numbered::<String>(journal.path()).unwrap().into_iter().map(|(_, s)| s).collect();
        assert_eq!(found.iter().filter(|text| *text == "last").count(), 60);
        assert!(found.iter().all(|text| [&large, "json", "last"].contains(&&**text)), "whole or not at all");
        // What was never polled was never issued: of 3 rounds 2 issued five records and two in a batch.
        assert!(found.len() <= 60 + 40 * 6, "{}", found.len());
    });
}

#[test]
fn a_close_that_is_dropped_closes_all_the_same() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().append(&1).unwrap();
        poll_and_drop(store.close(), 1);
        let outcome = store.blocking().append(&2);
        assert!(matches!(outcome, Err(MiniStoreError::Closed)), "{outcome:?}");
        // Though a handle is there: it waits for the closing.
        let again = options.open_blocking(journal.path()).unwrap();
        assert_eq!(again.durable_seq(), 1);
        drop(store);
    });
}

/// The journal can be opened at once, and nothing is missing.
fn reopens(options: &JournalOptions, journal: &Journal, records: u64) {
    let again = options.clone().open_blocking(journal.path()).unwrap();
    assert!(again.open_report().truncated.is_none());
    assert_eq!(again.durable_seq(), records);
    again.blocking().close().unwrap();
}

#[test]
fn a_store_is_dropped_anywhere() {
    type Drops = fn(MiniStore);
    let places: [(&str, Drops); 6] = [
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
        for (place, drops) in places {
            eprintln!("dropped in {place}");
            let journal = Journal::new();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            let pending: Vec<PendingAppend> = (0..50).map(|n| store.blocking().submit(&n).unwrap()).collect();
            drops(store);
            for pending in pending {
                pending.wait().unwrap();
            }
            reopens(&options, &journal, 50);
        }
    });
}

/// Does something once, when it is woken: on the writer's thread.
struct OnWake<F>(Mutex<Option<F>>, AtomicBool);

impl<F: FnOnce() + Send + 'static> OnWake<F> {
    fn new(act: F) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(act)), AtomicBool::new(false)))
    }

    fn has_acted(&self) -> bool {
        self.1.load(Relaxed)
    }
}

impl<F: FnOnce() + Send + 'static> Wake for OnWake<F> {
    fn wake(self: Arc<Self>) {
        let act = self.0.lock().unwrap().take();
        self.1.store(true, Relaxed);
        if let Some(act) = act {
            act();
        }
    }
}

#[test]
fn a_waker_may_drop_the_last_handle_on_the_writers_thread() {
    for_each_commit_path(|options| {
        // A commit that is faster than the poll wakes nobody: then once more.
        let acted = (0..50).any(|_| {
            let journal = Journal::new();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            let mut pending = pin!(store.blocking().submit(&1).unwrap());
            let behind = store.blocking().submit(&2).unwrap();
            let on_wake = OnWake::new(move || drop(store));
            let waker = Waker::from(Arc::clone(&on_wake));
            let is_pending = poll_with(pending.as_mut(), &waker).is_pending();
            // Answered in their order.
            assert_eq!(behind.wait().unwrap().seq, 2);
            assert!(
                !is_pending
                    || matches!(poll_with(pending, Waker::noop()), Poll::Ready(Ok(Receipt { seq: 1, .. })))
            );
            // Not woken, it still holds the store.
            drop((on_wake.0.lock().unwrap().take(), waker));
            reopens(&options, &journal, 2);
            on_wake.has_acted()
        });
        assert!(acted, "no waker was ever woken");
    });
}

#[test]
fn panicking_waker_affects_only_itself() {
    for_each_commit_path(|options| {
        let acted = (0..50).any(|_| {
            let journal = Journal::new();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            let on_wake = OnWake::new(|| resume_unwind(Box::new("a waker panics")));
            let waker = Waker::from(Arc::clone(&on_wake));
            let mut pending = pin!(store.blocking().submit(&1).unwrap());
            let is_pending = poll_with(pending.as_mut(), &waker).is_pending();
            let others: Vec<PendingAppend> = (2..50).map(|n| store.blocking().submit(&n).unwrap()).collect();
            for (pending, n) in others.into_iter().zip(2..) {
                assert_eq!(pending.wait().unwrap().seq, n);
            }
            if is_pending {
                assert_eq!(block_on(pending.as_mut()).unwrap().seq, 1);
            }
            store.blocking().append(&50).unwrap();
            store.blocking().close().unwrap();
            reopens(&options, &journal, 50);
            on_wake.has_acted()
        });
        assert!(acted, "no waker was ever woken");
    });
}

#[test]
fn of_two_that_close_at_once_one_succeeds_and_both_find_the_journal_free() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        for _ in 0..40 {
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().append(&1).unwrap();
            let start = Barrier::new(2);
            let outcomes = thread::scope(|scope| {
                let close = || {
                    start.wait();
                    let outcome = store.blocking().close();
                    // Whoever was answered can go on, though the other's handle is still there.
                    match options.clone().open_blocking(journal.path()) {
                        Ok(again) => again.blocking().close().unwrap(),
                        // The other one was faster, and has it open.
                        Err(MiniStoreError::Locked { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                    outcome
                };
                let other = scope.spawn(close);
                [close(), other.join().unwrap()]
            });
            let closed = |outcome: &Result<(), _>| matches!(outcome, Err(MiniStoreError::Closed));
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
            assert_eq!(outcomes.iter().filter(|outcome| closed(outcome)).count(), 1, "{outcomes:?}");
        }
    });
}

#[test]
fn closed_journal_can_be_opened_at_once() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        for _ in 0..40 {
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().append(&1).unwrap();
            thread::scope(|scope| {
                scope.spawn(|| store.blocking().close().unwrap());
                let refused = loop {
                    match store.blocking().append(&2) {
                        Ok(()) => {}
                        Err(refused) => break refused,
                    }
                };
                assert!(matches!(refused, MiniStoreError::Closed), "{refused}");
                let again = options.clone().open_blocking(journal.path());
                again.expect("it is closed").blocking().close().unwrap();
            });
        }
    });
}

#[test]
fn appends_that_race_with_close_are_answered_and_found_exactly_when_they_succeeded() {
    for_each_commit_path(|options| {
        for _ in 0..15 {
            let journal = Journal::new();
            let store = options.clone().max_queue_bytes(3000).open_blocking(journal.path()).unwrap();
            let mut appended: Vec<u32> = thread::scope(|scope| {
                let append = |caller: u32| {
                    let store = &store;
                    move || {
                        let values =
                            (caller * 100_000..).take_while(|value| match store.blocking().append(value) {
                                Ok(()) => true,
                                Err(MiniStoreError::Closed) => false,
                                Err(other) => panic!("{other}"),
                            });
                        values.collect::<Vec<_>>()
                    }
                };
                let callers: Vec<_> = (0..12).map(|caller| scope.spawn(append(caller))).collect();
                while store.durable_seq() < 30 {
                    thread::yield_now();
                }
                store.blocking().close().unwrap();
                callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
            });
            let found = numbered::<u32>(journal.path()).unwrap();
            let mut found: Vec<_> = found.into_iter().map(|(_, value)| value).collect();
            found.sort_unstable();
            appended.sort_unstable();
            assert_eq!(found, appended);
        }
    });
}

#[test]
fn panicking_caller_affects_only_itself() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
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
                    0 => drop(store.blocking().append(&Panics)),
                    1 => drop(store.blocking().append_batch([Panics, Panics])),
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
        // What was accepted is written, though nobody waits for it; what could not be serialized is not.
        reopens(&options, &journal, 200 + 16);
    });
}
