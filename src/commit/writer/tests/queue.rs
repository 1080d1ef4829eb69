//! The queue is bounded: who finds no room waits, and blocks nobody else.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::*;

/// What one of these records takes of the queue.
const RECORD_BYTES: u64 = 1000;

fn record(number: usize) -> String {
    let overhead = crate::api::APPEND_OVERHEAD_BYTES;
    format!("{number:0width$}", width = (RECORD_BYTES - overhead) as usize - 2)
}

#[test]
fn callers_beyond_the_limit_wait_while_other_tasks_run() {
    const QUEUE_BYTES: u64 = 10 * RECORD_BYTES + 500;
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_queue_bytes(QUEUE_BYTES));
        let first = rig.stall(0);
        let (accepted, turns) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        finish(async {
            let caller = |number| {
                let (store, accepted) = (rig.store.clone(), Arc::clone(&accepted));
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
            // The runtime's only thread went on; nobody was acknowledged; the queue holds what it may.
            assert!(callers.iter().all(|caller| !caller.is_finished()));
            assert_eq!(accepted.load(Relaxed), 10);
            rig.faults.release(Op::Commit);
            for caller in callers {
                caller.await.unwrap().unwrap();
            }
        });
        finish(first).unwrap();
        assert_eq!(rig.store.durable_seq(), 51);
    }
}

#[test]
fn cancelled_waiting_append_yields_its_capacity() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_queue_bytes(3 * RECORD_BYTES));
        let first = rig.stall(0);
        let large = record(1).repeat(4);
        let mut waiting = Box::pin(rig.store.submit(&large));
        let mut next = Box::pin(rig.store.submit(&2u64));
        assert!(is_waiting(&mut waiting) && is_waiting(&mut next));
        drop(waiting);
        let next = pollster::block_on(poll_once(next)).expect("there is room now").unwrap();
        rig.faults.release(Op::Commit);
        assert_eq!((finish(first).unwrap().seq, finish(next).unwrap().seq), (1, 2));
    }
}

#[test]
fn what_is_larger_than_the_queue_takes_all_of_it() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_queue_bytes(RECORD_BYTES));
        let large = record(1).repeat(9);
        finish(rig.store.append(&large)).unwrap();
        let first = rig.stall(0);
        let mut waiting = Box::pin(rig.store.append(&large));
        assert!(is_waiting(&mut waiting));
        rig.faults.release(Op::Commit);
        finish(waiting).unwrap();
        assert_eq!(finish(first).unwrap().seq, 2);
    }
}

#[test]
fn capacity_returns_with_every_outcome() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_queue_bytes(RECORD_BYTES));
        for number in 0..20u64 {
            if number % 3 == 0 {
                rig.faults.fail(Op::Commit, 1, Errno::NOSPC);
            }
            let outcome = rig.append(number);
            assert_eq!(is_full(&outcome), number % 3 == 0, "{outcome:?}");
        }
    }
}
