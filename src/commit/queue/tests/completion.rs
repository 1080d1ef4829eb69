//! The outcomes of groups, and how callers learn of them.

use std::io;

use super::*;

#[test]
fn appends_committed_alone_get_separate_outcomes() {
    let ends = QueueEnds::new(100, 100);
    let [written, storage_full, rejected, missing] = [1, 2, 3, 4].map(|bytes| ends.submit(bytes));
    let full = Arc::new(io::Error::from(io::ErrorKind::StorageFull));
    let outcomes =
        vec![AppendOutcome::Durable(committed(7)), AppendOutcome::StorageFull(full), AppendOutcome::Rejected];
    let group = ends.group();
    ends.mailbox().complete_each(group, outcomes);
    assert!(matches!(now(written), Ok(CommitInfo { seq: 7, .. })));
    assert!(matches!(now(storage_full), Err(MiniStoreError::StorageFull { .. })));
    assert!(matches!(now(rejected), Err(MiniStoreError::WriterPanicked)));
    assert!(
        matches!(now(missing), Err(MiniStoreError::WriterPanicked)),
        "an append without an outcome is not rejected"
    );
}

#[test]
fn last_registered_waker_is_woken_once() {
    let ends = QueueEnds::new(100, 100);
    let mut pending = ends.submit(1);
    let (first, last) = (Arc::new(WakeCounter::default()), Arc::new(WakeCounter::default()));
    assert!(poll(&mut pending, &Waker::from(Arc::clone(&first))).is_pending());
    for _ in 0..2 {
        assert!(poll(&mut pending, &Waker::from(Arc::clone(&last))).is_pending());
    }
    assert_eq!(Arc::strong_count(&first), 1, "the replaced waker is kept");
    ends.commit(1);
    assert_eq!((first.0.load(SeqCst), last.0.load(SeqCst)), (0, 1));
    assert_eq!(Arc::strong_count(&last), 1, "the waker is kept after it was woken");
    assert!(matches!(now(pending), Ok(CommitInfo { seq: 1, .. })));
}
