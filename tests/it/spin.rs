//! Callers that spin until their append is durable: on every kind of executor, and when they are dropped.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use futures_lite::future::zip;
use ministore_uring::{JournalOptions, MiniStore};
use tokio::{runtime::Builder, task::LocalSet};

use crate::support::{TempJournal, block_on, numbered};

const APPENDS: u64 = 200;

fn open(journal: &TempJournal, spin: bool) -> MiniStore {
    JournalOptions::new().spin(spin).open_blocking(journal.path()).unwrap()
}

async fn append_all(store: MiniStore) {
    for number in 0..APPENDS {
        store.append(&number).await.unwrap();
    }
}

#[test]
fn appends_complete_on_every_executor() {
    for spin in [true, false] {
        let journal = TempJournal::new();
        let store = open(&journal, spin);
        let mut appended = 0;
        let mut expect_more = |appends: u64| {
            appended += appends;
            assert_eq!(store.durable_seq(), appended);
        };
        let current = Builder::new_current_thread().build().unwrap();
        current.block_on(append_all(store.clone()));
        expect_more(APPENDS);
        LocalSet::new().block_on(&current, append_all(store.clone()));
        expect_more(APPENDS);
        let multi = Builder::new_multi_thread().worker_threads(2).build().unwrap();
        multi.block_on(multi.spawn(append_all(store.clone()))).unwrap();
        expect_more(APPENDS);
        multi.block_on(zip(append_all(store.clone()), append_all(store.clone())));
        expect_more(2 * APPENDS);
        // Outside of tokio, and on threads of tokio that may block.
        block_on(append_all(store.clone()));
        expect_more(APPENDS);
        let blocking = store.clone();
        multi.block_on(multi.spawn_blocking(move || blocking.blocking().append(&0))).unwrap().unwrap();
        expect_more(1);
        let inner = store.clone();
        multi.block_on(multi.spawn_blocking(move || block_on(append_all(inner)))).unwrap();
        expect_more(APPENDS);
        // Another executor blocks the thread of a task: its runtime cannot poll it again.
        let inner = store.clone();
        multi.block_on(multi.spawn(async { block_on(append_all(inner)) })).unwrap();
        expect_more(APPENDS);
        let inner = store.clone();
        current.block_on(async { block_on(append_all(inner)) });
        expect_more(APPENDS);
        store.blocking().close().unwrap();
    }
}

#[test]
fn dropped_spinning_append_is_written() {
    let journal = TempJournal::new();
    let store = open(&journal, true);
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for number in 0..APPENDS {
            {
                let mut append = pin!(store.append(&number));
                poll_fn(|context| {
                    let _ = append.as_mut().poll(context);
                    Poll::Ready(())
                })
                .await;
            }
            store.append(&number).await.unwrap();
        }
    });
    assert_eq!(store.durable_seq(), 2 * APPENDS, "the appends that were dropped, and those that were not");
    store.blocking().close().unwrap();
}

#[test]
fn runtime_dropped_during_a_spin_loses_no_append() {
    let journal = TempJournal::new();
    let store = open(&journal, true);
    store.blocking().append(&"first").unwrap();
    for round in 0..20 {
        let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.spawn(append_all(store.clone()));
        while store.durable_seq() < 2 + round {
            std::thread::yield_now();
        }
        runtime.shutdown_background();
        store.blocking().append(&round).unwrap();
    }
    store.blocking().close().unwrap();
    let records = numbered::<serde_json::Value>(journal.path()).unwrap();
    assert_eq!(records.len() as u64, store.durable_seq());
}
