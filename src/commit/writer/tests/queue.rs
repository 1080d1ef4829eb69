//! The queue is bounded: a caller waits for capacity without blocking other tasks.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::*;

/// The queue bytes that one of these records takes.
const RECORD_BYTES: u64 = 1000;

fn record(number: usize) -> String {
    let overhead = crate::api::APPEND_OVERHEAD_BYTES;
    format!("{number:0width$}", width = (RECORD_BYTES - overhead) as usize - 2)
}

#[test]
fn callers_over_capacity_wait_without_blocking_tasks() {
    const QUEUE_BYTES: u64 = 10 * RECORD_BYTES + 500;
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_queue_bytes(QUEUE_BYTES));
        let first = fixture.stall(0);
        let (accepted, turns) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        finish(async {
            let caller = |number| {
                let (store, accepted) = (fixture.store.clone(), Arc::clone(&accepted));
                async move {
                    let pending = store.submit(&record(number)).await?;
                    accepted.fetch_add(1, Relaxed);
                    pending.await
                }
            };
            let callers: Vec<_> = (0..50).map(|number| tokio::spawn(caller(number))).collect();
            let counter = Arc::clone(&turns);
            let other = tokio::spawn(async move {
                while counter.fetch_add(1, Relaxed) < 500 {
                    tokio::task::yield_now().await;
                }
            });
            other.await.unwrap();
            // The runtime's only thread was not blocked, no append was acknowledged, and the queue is full.
            assert!(callers.iter().all(|caller| !caller.is_finished()));
            assert_eq!(accepted.load(Relaxed), 10);
            fixture.faults.unblock(Op::Commit);
            for caller in callers {
                caller.await.unwrap().unwrap();
            }
        });
        finish(first).unwrap();
        assert_eq!(fixture.store.durable_seq(), 51);
    }
}

#[test]
fn cancelled_waiting_append_yields_its_capacity() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_queue_bytes(3 * RECORD_BYTES));
        let first = fixture.stall(0);
        let large = record(1).repeat(4);
        let mut waiting = Box::pin(fixture.store.submit(&large));
        let mut next = Box::pin(fixture.store.submit(&2u64));
        assert!(is_pending(&mut waiting) && is_pending(&mut next));
        drop(waiting);
        let next = pollster::block_on(poll_once(next)).expect("capacity was released").unwrap();
        fixture.faults.unblock(Op::Commit);
        assert_eq!((finish(first).unwrap().seq, finish(next).unwrap().seq), (1, 2));
    }
}

#[test]
fn append_larger_than_queue_takes_all_capacity() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_queue_bytes(RECORD_BYTES));
        let large = record(1).repeat(9);
        finish(fixture.store.append(&large)).unwrap();
        let first = fixture.stall(0);
        let mut waiting = Box::pin(fixture.store.append(&large));
        assert!(is_pending(&mut waiting));
        fixture.faults.unblock(Op::Commit);
        finish(waiting).unwrap();
        assert_eq!(finish(first).unwrap().seq, 2);
    }
}

#[test]
fn capacity_returns_with_every_outcome() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_queue_bytes(RECORD_BYTES));
        for number in 0..20u64 {
            if number % 3 == 0 {
                fixture.faults.fail(Op::Commit, 1, Errno::NOSPC);
            }
            let outcome = fixture.append(number);
            assert_eq!(is_storage_full(&outcome), number % 3 == 0, "{outcome:?}");
        }
    }
}
