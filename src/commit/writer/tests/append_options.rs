//! Appends with options: an expected sequence number, without waiting, with a receipt, with a callback.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};

use super::*;
use crate::{Append, Reader, Receipt, WriteOutcome};

fn is_mismatch<T>(outcome: &Result<T>, seqs: (u64, u64)) -> bool {
    matches!(outcome, Err(MiniStoreError::SeqMismatch { expected, actual }) if (*expected, *actual) == seqs)
}

fn append(fixture: &StoreFixture, append: Append) -> Result<Receipt> {
    finish(finish(fixture.store.send(append))?)
}

#[test]
fn one_of_many_appends_expecting_same_seq_succeeds() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let first = fixture.stall(0);
        let rivals: Vec<_> = (10..15u64)
            .map(|record| {
                let append_request = Append::record(&record).unwrap().expect_seq(2);
                finish(fixture.store.send(append_request)).unwrap()
            })
            .collect();
        let other = fixture.submit(&1u64);
        fixture.faults.unblock(Op::Commit);
        let mut outcomes = rivals.into_iter().map(finish);
        assert_eq!(outcomes.next().unwrap().unwrap().seqs(), 2..3);
        assert!(
            outcomes.all(|outcome| is_mismatch(&outcome, (2, 3))),
            "refused with the number that was next"
        );
        assert_eq!(
            (finish(first).unwrap().seq, finish(other).unwrap().seq),
            (1, 3),
            "the other appends are unaffected"
        );
        assert_eq!(values(&fixture.path), [0, 10, 1]);
        let commits = fixture.faults.count(Op::Commit);
        let refused = append(&fixture, Append::record(&9u64).unwrap().expect_seq(2));
        assert!(is_mismatch(&refused, (2, 4)));
        assert_eq!(refused.unwrap_err().write_outcome(), WriteOutcome::NotWritten);
        assert_eq!(fixture.faults.count(Op::Commit), commits, "it costs no write");
        append(&fixture, Append::record(&2u64).unwrap().expect_seq(4)).unwrap();
    }
}

#[test]
fn future_seq_is_not_waited_for() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        assert!(is_mismatch(&append(&fixture, Append::record(&0u64).unwrap().expect_seq(2)), (2, 1)));
        assert!(is_mismatch(&append(&fixture, Append::record(&0u64).unwrap().expect_seq(0)), (0, 1)));
        let batch = Append::batch([0u64, 1]).unwrap();
        assert_eq!(append(&fixture, batch.clone().expect_seq(1)).unwrap().seqs(), 1..3);
        assert!(is_mismatch(&append(&fixture, batch.expect_seq(2)), (2, 3)));
        assert_eq!(values(&fixture.path), [0, 1]);
    }
}

#[test]
fn append_expecting_failed_predecessor_is_refused() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let first = fixture.stall(0);
        let before = fixture.submit(&1u64);
        let after = finish(fixture.store.send(Append::record(&2u64).unwrap().expect_seq(3))).unwrap();
        fixture.faults.fail(Op::Commit, 1, Errno::NOSPC);
        fixture.faults.unblock(Op::Commit);
        assert_eq!(finish(first).unwrap().seq, 1);
        assert!(is_storage_full(&finish(before)));
        assert!(is_mismatch(&finish(after), (3, 2)));
        assert_eq!(values(&fixture.path), [0]);
    }
}

#[test]
fn poisoned_store_reports_poison_before_seq_mismatch() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let first = fixture.stall(0);
        let meant = finish(fixture.store.send(Append::record(&1u64).unwrap().expect_seq(7))).unwrap();
        fixture.faults.fail(Op::Commit, 0, Errno::IO);
        fixture.faults.unblock(Op::Commit);
        for refused in [finish(first).map(drop), finish(meant).map(drop)] {
            assert_eq!(refused.as_ref().unwrap_err().write_outcome(), WriteOutcome::Unknown);
            assert_eq!(poison_errno(refused), Some(Errno::IO));
        }
    }
}

#[test]
fn try_send_returns_queue_full_at_capacity() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_queue_bytes(600));
        let first = fixture.stall(0);
        let second = fixture.store.try_send(Append::record(&1u64).unwrap()).unwrap();
        let queue_full = fixture.store.try_send(Append::record(&2u64).unwrap()).unwrap_err();
        assert!(matches!(queue_full, MiniStoreError::QueueFull), "{queue_full}");
        assert_eq!(queue_full.write_outcome(), WriteOutcome::NotWritten);
        let append_request = Append::record(&2u64).unwrap();
        assert!(matches!(fixture.store.try_send(append_request.clone()), Err(MiniStoreError::QueueFull)));
        let uncalled = |_| panic!("a refused append has no outcome");
        assert!(matches!(
            fixture.store.try_send(append_request.clone().on_commit(uncalled)).map(drop),
            Err(MiniStoreError::QueueFull)
        ));
        fixture.faults.unblock(Op::Commit);
        assert_eq!((finish(first).unwrap().seq, finish(second).unwrap().seq), (1, 2));
        finish(fixture.store.try_send(append_request.clone()).unwrap()).unwrap();
        assert_eq!(finish(fixture.store.try_send(append_request).unwrap()).unwrap().seq, 4);
        assert_eq!(values(&fixture.path), [0, 1, 2, 2]);
    }
}

#[test]
fn new_append_does_not_overtake_waiting_appends() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_queue_bytes(1000));
        let first = fixture.stall(0);
        let large = "x".repeat(700);
        let mut waiting = Box::pin(fixture.store.submit(&large));
        assert!(is_pending(&mut waiting));
        assert!(matches!(
            fixture.store.try_send(Append::record(&1u64).unwrap()),
            Err(MiniStoreError::QueueFull)
        ));
        fixture.faults.unblock(Op::Commit);
        finish(finish(waiting).unwrap()).unwrap();
        finish(first).unwrap();
    }
}

#[test]
fn receipt_has_position_and_group_size() {
    for kind in backends() {
        for preallocate in [true, false] {
            let options = JournalOptions::new().max_segment_bytes(500).preallocate(preallocate);
            let fixture = StoreFixture::open(kind, options);
            let mut receipts = Vec::new();
            for batch in 0..20u64 {
                let first = fixture.stall(batch);
                let appends = [Append::record(&batch), Append::batch([batch; 3]), Append::record("text")];
                let pending = appends.map(|append| finish(fixture.store.send(append.unwrap())).unwrap());
                fixture.faults.unblock(Op::Commit);
                finish(first).unwrap();
                receipts.extend(pending.into_iter().map(|pending| finish(pending).unwrap()));
            }
            finish(fixture.store.close()).unwrap();
            assert!(fixture.rotations() > 2);
            check_positions(&fixture, &receipts);
        }
    }
}

/// Each receipt must have the position at which a reader finds the record, and the size of its group.
fn check_positions(fixture: &StoreFixture, receipts: &[Receipt]) {
    let mut lines = Reader::open(&fixture.path).unwrap().raw_records();
    let mut positions = std::collections::BTreeMap::new();
    let mut segments: Vec<(PathBuf, u64)> = Vec::new();
    while let Some(line) = lines.next_record().unwrap() {
        if segments.last().is_none_or(|(path, _)| path != line.segment) {
            segments.push((line.segment.to_path_buf(), line.seq));
        }
        positions.insert(line.seq, (segments.last().unwrap().1, line.offset));
    }
    for (index, receipt) in receipts.iter().enumerate() {
        assert_eq!(positions[&receipt.seq], (receipt.segment_first_seq, receipt.offset), "{receipt:?}");
        assert_eq!(receipt.seqs().count(), [1, 3, 1][index % 3]);
        // Including the first append, if it was blocked by the header of a new segment.
        assert!((5..=6).contains(&receipt.group_records), "all appends during the commit: {receipt:?}");
        assert!(receipt.queue_wait <= receipt.latency);
    }
}

#[test]
fn empty_append_has_receipt_without_position() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let receipt = append(&fixture, Append::batch::<u64>([]).unwrap()).unwrap();
        assert_eq!((receipt.seqs(), receipt.group_records), (1..1, 0));
    }
}

#[test]
fn size_limits_apply_to_send() {
    for kind in backends() {
        let fixture =
            StoreFixture::open(kind, JournalOptions::new().max_record_bytes(10).max_batch_bytes(20));
        let too_large = |append_request: Result<Append>| {
            let refused = append(&fixture, append_request.unwrap()).unwrap_err();
            assert!(matches!(refused, MiniStoreError::TooLarge { .. }), "{refused}");
        };
        too_large(Append::record("123456789"));
        too_large(Append::batch(["1", "123456789"]));
        too_large(Append::batch(["123456", "123456", "123456"]));
        too_large(Append::json("12345678901"));
        append(&fixture, Append::batch(["123456", "123456"]).unwrap()).unwrap();
    }
}

#[test]
fn callback_runs_on_writer_thread_after_commit() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let first = fixture.stall(0);
        let (sender, receiver) = mpsc::channel();
        for record in 1..=3u64 {
            let (store, sender) = (fixture.store.clone(), sender.clone());
            let callback = move |receipt: Result<Receipt>| {
                let thread = thread::current().name().map(str::to_owned);
                sender.send((receipt.unwrap().seq, store.durable_seq(), thread)).unwrap();
            };
            drop(finish(fixture.store.send(Append::record(&record).unwrap().on_commit(callback))).unwrap());
        }
        assert!(receiver.try_recv().is_err());
        fixture.faults.unblock(Op::Commit);
        finish(first).unwrap();
        for seq in 2..=4 {
            let (number, durable, thread) = receiver.recv_timeout(WAIT_TIMEOUT).unwrap();
            assert_eq!((number, durable), (seq, 4), "in order, after all of them are durable");
            assert_eq!(thread.as_deref(), Some("ministore-writer"));
        }
    }
}

#[test]
fn callback_may_submit_and_drop_the_last_handle() {
    for kind in backends() {
        let StoreFixture { dir, path, faults: _faults, store } =
            StoreFixture::open(kind, JournalOptions::new());
        let (sender, receiver) = mpsc::channel();
        let last = store.clone();
        let callback = move |receipt: Result<Receipt>| {
            let next = last.try_send(Append::record(&1u64).unwrap()).unwrap();
            drop(last);
            sender.send((receipt.unwrap().seq, next)).unwrap();
        };
        let once = Mutex::new(Some(callback));
        let once = move |receipt| (once.lock().unwrap().take().unwrap())(receipt);
        drop(pollster::block_on(store.send(Append::record(&0u64).unwrap().on_commit(once))).unwrap());
        drop(store);
        let (seq, next) = receiver.recv_timeout(WAIT_TIMEOUT).unwrap();
        assert_eq!((seq, finish(next).unwrap().seq), (1, 2));
        drop(finish(JournalOptions::new().open(&path)).unwrap());
        assert_eq!(values(&path), [0, 1]);
        drop(dir);
    }
}

#[test]
fn callback_gets_the_outcome_of_its_record() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let first = fixture.stall(0);
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        let record_as = |name: &'static str| {
            let outcomes = Arc::clone(&outcomes);
            move |outcome: Result<Receipt>| {
                outcomes.lock().unwrap().push((name, outcome.map_err(|error| error.write_outcome())));
            }
        };
        let submit = |append_request: Append, name| {
            drop(finish(fixture.store.send(append_request.on_commit(record_as(name)))).unwrap())
        };
        submit(Append::record(&1u64).unwrap().expect_seq(9), "refused");
        submit(Append::record(&2u64).unwrap(), "failed");
        drop(
            finish(fixture.store.send(Append::record(&3u64).unwrap().on_commit(|_| panic!("on purpose"))))
                .unwrap(),
        );
        submit(Append::record(&4u64).unwrap(), "later");
        fixture.faults.fail(Op::Commit, 1, Errno::IO);
        fixture.faults.unblock(Op::Commit);
        finish(first).unwrap();
        assert_eq!(poison_errno(finish(fixture.store.close())), Some(Errno::IO));
        let outcomes = outcomes.lock().unwrap();
        let (not_written, unknown) = (Err(WriteOutcome::NotWritten), Err(WriteOutcome::Unknown));
        assert_eq!(*outcomes, [("refused", not_written), ("failed", unknown), ("later", unknown)]);
        let refused = finish(
            fixture.store.send(Append::record(&5u64).unwrap().on_commit(|_| panic!("it was not queued"))),
        );
        assert_eq!(poison_errno(refused), Some(Errno::IO));
    }
}
