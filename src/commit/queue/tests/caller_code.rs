//! Code of callers: it runs outside the lock, and a panic in it affects no other caller.

use bytes::Bytes;

use super::{super::queued_append::COPY_THRESHOLD_BYTES, *};
use crate::sync::Mutex;

/// Bytes whose owner runs a function when it is dropped.
struct OnDrop<F: Fn()>(Vec<u8>, F);

impl<F: Fn()> AsRef<[u8]> for OnDrop<F> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.1)();
    }
}

/// Counts the wake-ups during which the queue is not locked, and panics on each.
struct UnlockedWake(Arc<CommitQueue>, Arc<AtomicUsize>);

impl Wake for UnlockedWake {
    fn wake(self: Arc<Self>) {
        if self.0.state.try_lock().is_ok() {
            self.1.fetch_add(1, SeqCst);
        }
        std::panic::resume_unwind(Box::new("on purpose"));
    }
}

#[test]
fn copied_payloads_are_dropped_outside_the_lock() {
    let ends = QueueEnds::new(1000, 1000);
    let dropped = Arc::new(AtomicUsize::new(0));
    let (queue, counts) = (Arc::clone(&ends.queue), Arc::clone(&dropped));
    let owner = OnDrop(b"1".to_vec(), move || {
        assert!(queue.state.try_lock().is_ok(), "the bytes of an append are dropped under the lock");
        counts.fetch_add(1, SeqCst);
    });
    drop(ends.append(queued(Payload::Bytes(Bytes::from_owner(owner)), 1)));
    assert_eq!(dropped.load(SeqCst), 1, "the payload was not copied");
}

#[test]
fn code_of_waiting_callers_runs_outside_the_lock() {
    let ends = QueueEnds::new(10, 100);
    let (calls, callbacks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::new(UnlockedWake(Arc::clone(&ends.queue), Arc::clone(&calls))));
    let wait = |permits| {
        let (queue, calls) = (Arc::clone(&ends.queue), Arc::clone(&calls));
        let owner = OnDrop(b"1".to_vec(), move || {
            if queue.state.try_lock().is_ok() {
                calls.fetch_add(1, SeqCst);
            }
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
        });
        let called = Arc::clone(&callbacks);
        let callback = Callback::new(move |_, _| {
            called.fetch_add(1, SeqCst);
        });
        let lines = Payload::Bytes(Bytes::from_owner(owner));
        let mut waiting = ends.wait_with(QueuedAppend { callback: Some(callback), ..queued(lines, permits) });
        assert!(poll(&mut waiting, &waker).is_pending());
        waiting
    };
    drop(ends.submit(10));
    let [accepted, dropped, next, rejected] = [5, 9, 5, 9].map(wait);
    ends.commit(1);
    assert_eq!(calls.swap(0, SeqCst), 2, "the bytes and the waker of the first");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(dropped)));
    assert!(panicked.is_err(), "the owner of the bytes");
    assert_eq!(calls.swap(0, SeqCst), 3, "the bytes of the dropped one; the bytes and the waker of the next");
    ends.inner().close();
    assert_eq!(calls.swap(0, SeqCst), 2, "the bytes and the waker of the last");
    assert!(matches!(now(rejected), Err(MiniStoreError::Closed)));
    ends.commit(2);
    assert_eq!([accepted, next].map(|append| now(now(append).unwrap()).unwrap().seq), [2, 3]);
    assert_eq!(callbacks.load(SeqCst), 2);
}

#[test]
fn panicking_bytes_owner_affects_only_itself() {
    let ends = QueueEnds::new(100, u64::MAX);
    let lines = || {
        Payload::Bytes(Bytes::from_owner(OnDrop(vec![b'1'; COPY_THRESHOLD_BYTES], || panic!("on purpose"))))
    };
    let durable = [0; 2].map(|_| ends.append(queued(lines(), 1)));
    ends.commit(1);
    let rejected = [0; 2].map(|_| ends.append(queued(lines(), 1)));
    drop(ends.group());
    assert!(durable.iter().all(|pending| matches!(pending.outcome(), Some(AppendOutcome::Durable(_)))));
    assert!(rejected.iter().all(|pending| matches!(pending.outcome(), Some(AppendOutcome::Rejected))));
}

/// Returns a callback that records the outcome.
fn recording(outcomes: &Arc<Mutex<Vec<String>>>, panics: bool) -> Option<Callback> {
    let outcomes = Arc::clone(outcomes);
    Some(Callback::new(move |outcome, _| {
        outcomes.lock().unwrap().push(match outcome {
            AppendOutcome::Durable(committed) => committed.seq.to_string(),
            other => format!("{other:?}"),
        });
        assert!(!panics, "on purpose");
    }))
}

#[test]
fn callbacks_run_once_in_order_despite_panics() {
    let ends = QueueEnds::new(100, 100);
    let outcomes = Arc::default();
    for at in 0..4 {
        let callback = recording(&outcomes, at % 2 == 0);
        drop(ends.append(QueuedAppend { callback, ..queued(line(1), 1) }));
    }
    assert!(outcomes.lock().unwrap().is_empty());
    ends.commit(5);
    assert_eq!(*outcomes.lock().unwrap(), ["5", "6", "7", "8"]);
}

#[test]
fn callbacks_of_dropped_groups_run() {
    let ends = QueueEnds::new(100, 1);
    let outcomes = Arc::default();
    for _ in 0..2 {
        drop(ends.append(QueuedAppend { callback: recording(&outcomes, false), ..queued(line(1), 1) }));
    }
    drop(ends.group());
    drop(ends.mailbox.take());
    assert_eq!(*outcomes.lock().unwrap(), ["Rejected", "Rejected"]);
}

#[test]
fn panicking_waker_does_not_stop_other_wakers() {
    let ends = QueueEnds::new(100, 100);
    let mut pending = [1, 2, 3, 4].map(|bytes| ends.submit(bytes));
    let woken = Arc::new(WakeCounter::default());
    let counts = Waker::from(Arc::clone(&woken));
    for (at, pending) in pending.iter_mut().enumerate() {
        let waker = if at % 2 == 0 { panicking_waker() } else { counts.clone() };
        assert!(poll(pending, &waker).is_pending());
    }
    ends.commit(1);
    assert_eq!(woken.0.load(SeqCst), 2);
    assert_eq!(pending.map(|pending| now(pending).unwrap().seq), [1, 2, 3, 4]);
}

#[test]
fn panicking_waker_does_not_stop_acceptance() {
    let ends = QueueEnds::new(4, 100);
    let all = ends.submit(4);
    let mut waiting = [1, 1, 1].map(|bytes| ends.wait(bytes));
    let woken = Arc::new(WakeCounter::default());
    let counts = Waker::from(Arc::clone(&woken));
    for (at, append) in waiting.iter_mut().enumerate() {
        assert!(poll(append, &if at == 0 { panicking_waker() } else { counts.clone() }).is_pending());
    }
    ends.commit(1);
    assert!(matches!(now(all), Ok(CommitInfo { seq: 1, .. })));
    assert_eq!(woken.0.load(SeqCst), 2);
    let pending = waiting.map(|append| now(append).unwrap());
    ends.commit(2);
    assert_eq!(pending.map(|pending| now(pending).unwrap().seq), [2, 3, 4]);
    assert_eq!(ends.queue.used_bytes(), 0);
}
