//! Appends that wait for capacity.

use std::io;

use super::{
    super::commit_queue::{ACCEPTED_APPENDS_PER_LOCK, ACCEPTED_BYTES_PER_LOCK},
    *,
};

#[test]
fn waiting_appends_are_accepted_without_a_poll() {
    let ends = QueueEnds::new(10, 100);
    drop(ends.submit(8));
    let mut waiting = [3, 1, 7, 1].map(|bytes| ends.wait(bytes));
    assert!(ends.queue.try_append(&mut queued(line(1), 1)).unwrap().is_none());
    ends.commit(1);
    assert_eq!(ends.queue.used_bytes(), 4, "the third does not fit, and the fourth does not overtake it");
    assert!(poll(&mut waiting[3], Waker::noop()).is_pending());
    ends.commit(2);
    ends.commit(4);
    assert_eq!(waiting.map(|append| now(now(append).unwrap()).unwrap().seq), [2, 3, 4, 5]);
    assert_eq!(ends.queue.used_bytes(), 0);
    drop(ends.submit(10));
}

#[test]
fn dropped_waiting_append_is_not_written() {
    let ends = QueueEnds::new(10, 100);
    drop(ends.submit(8));
    let [first, second, third, fourth] = [9, 9, 1, 1].map(|bytes| ends.wait(bytes));
    drop(second);
    assert_eq!(ends.queue.used_bytes(), 8);
    drop(first);
    assert_eq!(ends.queue.used_bytes(), 10, "the next ones fit");
    assert_eq!(ends.group().bytes(), 10);
    let pending = now(third).unwrap();
    drop(fourth);
    assert!(matches!(now(pending), Err(MiniStoreError::WriterPanicked)), "its group was dropped");
}

#[test]
fn many_waiting_appends_are_accepted_in_order() {
    let count = 3 * ACCEPTED_APPENDS_PER_LOCK + 1;
    let ends = QueueEnds::new(u32::try_from(count).unwrap(), u64::MAX);
    drop(ends.submit(count));
    let large = ACCEPTED_BYTES_PER_LOCK / 3;
    let waiting: Vec<_> =
        (0..count).map(|at| ends.wait_with(queued(line(if at % 7 == 0 { large } else { 1 }), 1))).collect();
    ends.commit(1);
    assert_eq!(ends.group().appends(), count);
    for (at, append) in waiting.into_iter().enumerate() {
        drop((at, now(append).unwrap()));
    }
}

#[test]
fn last_waker_of_waiting_append_is_woken_once() {
    let ends = QueueEnds::new(1, 100);
    drop(ends.submit(1));
    let mut waiting = ends.wait(1);
    let (first, last) = (Arc::new(WakeCounter::default()), Arc::new(WakeCounter::default()));
    assert!(poll(&mut waiting, &Waker::from(Arc::clone(&first))).is_pending());
    assert!(poll(&mut waiting, &Waker::from(Arc::clone(&last))).is_pending());
    assert_eq!(Arc::strong_count(&first), 1, "the replaced waker is kept");
    ends.commit(1);
    assert_eq!((first.0.load(SeqCst), last.0.load(SeqCst)), (0, 1));
    assert_eq!(Arc::strong_count(&last), 1, "the waker is kept after it was woken");
    drop(now(waiting).unwrap());
}

#[test]
fn closing_rejects_waiting_appends_and_later_ones() {
    let ends = QueueEnds::new(1, 100);
    drop(ends.submit(1));
    let (mut waiting, unpolled) = (ends.wait(1), ends.wait(1));
    let woken = Arc::new(WakeCounter::default());
    assert!(poll(&mut waiting, &Waker::from(Arc::clone(&woken))).is_pending());
    ends.inner().poison(io::Error::other("on purpose"));
    assert_eq!(woken.0.load(SeqCst), 1);
    ends.commit(1);
    assert_eq!(ends.queue.used_bytes(), 0);
    for waiting in [waiting, unpolled] {
        assert!(matches!(now(waiting), Err(MiniStoreError::Poisoned { .. })));
    }
    assert!(ends.queue.append(&mut queued(line(1), 1)).is_err());
    assert!(ends.queue.try_append(&mut queued(line(1), 1)).is_err());
}
