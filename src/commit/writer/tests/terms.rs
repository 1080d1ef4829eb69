//! Appends on terms of their own: if nobody was first, without waiting, with a receipt, with a callback.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};

use super::*;
use crate::{Append, Reader, Receipt, WriteOutcome};

fn is_conflict<T>(outcome: &Result<T>, told: (u64, u64)) -> bool {
    matches!(outcome, Err(MiniStoreError::SeqMismatch { expected, actual }) if (*expected, *actual) == told)
}

fn append(rig: &Rig, append: Append) -> Result<Receipt> {
    finish(finish(rig.store.send(append))?)
}

#[test]
fn of_many_who_want_the_same_number_one_gets_it() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let first = rig.stall(0);
        let rivals: Vec<_> = (10..15u64)
            .map(|record| {
                let entry = Append::record(&record).unwrap().expect_seq(2);
                finish(rig.store.send(entry)).unwrap()
            })
            .collect();
        let other = rig.submit(&1u64);
        rig.faults.release(Op::Commit);
        let mut told = rivals.into_iter().map(finish);
        assert_eq!(told.next().unwrap().unwrap().seqs(), 2..3);
        assert!(told.all(|told| is_conflict(&told, (2, 3))), "refused with the number that was next");
        assert_eq!(
            (finish(first).unwrap().seq, finish(other).unwrap().seq),
            (1, 3),
            "nobody else is touched"
        );
        assert_eq!(values(&rig.path), [0, 10, 1]);
        let commits = rig.faults.count(Op::Commit);
        let refused = append(&rig, Append::record(&9u64).unwrap().expect_seq(2));
        assert!(is_conflict(&refused, (2, 4)));
        assert_eq!(refused.unwrap_err().write_outcome(), WriteOutcome::NotWritten);
        assert_eq!(rig.faults.count(Op::Commit), commits, "it costs no write");
        append(&rig, Append::record(&2u64).unwrap().expect_seq(4)).unwrap();
    }
}

#[test]
fn future_seq_is_not_waited_for() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        assert!(is_conflict(&append(&rig, Append::record(&0u64).unwrap().expect_seq(2)), (2, 1)));
        assert!(is_conflict(&append(&rig, Append::record(&0u64).unwrap().expect_seq(0)), (0, 1)));
        let batch = Append::batch([0u64, 1]).unwrap();
        assert_eq!(append(&rig, batch.clone().expect_seq(1)).unwrap().seqs(), 1..3);
        assert!(is_conflict(&append(&rig, batch.expect_seq(2)), (2, 3)));
        assert_eq!(values(&rig.path), [0, 1]);
    }
}

#[test]
fn append_expecting_failed_predecessor_is_refused() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let first = rig.stall(0);
        let before = rig.submit(&1u64);
        let after = finish(rig.store.send(Append::record(&2u64).unwrap().expect_seq(3))).unwrap();
        rig.faults.fail(Op::Commit, 1, Errno::NOSPC);
        rig.faults.release(Op::Commit);
        assert_eq!(finish(first).unwrap().seq, 1);
        assert!(is_full(&finish(before)));
        assert!(is_conflict(&finish(after), (3, 2)));
        assert_eq!(values(&rig.path), [0]);
    }
}

#[test]
fn a_poisoned_store_says_so_whatever_number_was_asked_for() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let first = rig.stall(0);
        let meant = finish(rig.store.send(Append::record(&1u64).unwrap().expect_seq(7))).unwrap();
        rig.faults.fail(Op::Commit, 0, Errno::IO);
        rig.faults.release(Op::Commit);
        for refused in [finish(first).map(drop), finish(meant).map(drop)] {
            assert_eq!(refused.as_ref().unwrap_err().write_outcome(), WriteOutcome::Unknown);
            assert_eq!(poison(refused), Some(Errno::IO));
        }
    }
}

#[test]
fn try_send_returns_queue_full_at_capacity() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_queue_bytes(600));
        let first = rig.stall(0);
        let second = rig.store.try_send(Append::record(&1u64).unwrap()).unwrap();
        let busy = rig.store.try_send(Append::record(&2u64).unwrap()).unwrap_err();
        assert!(matches!(busy, MiniStoreError::QueueFull), "{busy}");
        assert_eq!(busy.write_outcome(), WriteOutcome::NotWritten);
        let entry = Append::record(&2u64).unwrap();
        assert!(matches!(rig.store.try_send(entry.clone()), Err(MiniStoreError::QueueFull)));
        let uncalled = |_| panic!("an entry that was refused has no outcome");
        assert!(matches!(
            rig.store.try_send(entry.clone().on_commit(uncalled)).map(drop),
            Err(MiniStoreError::QueueFull)
        ));
        rig.faults.release(Op::Commit);
        assert_eq!((finish(first).unwrap().seq, finish(second).unwrap().seq), (1, 2));
        finish(rig.store.try_send(entry.clone()).unwrap()).unwrap();
        assert_eq!(finish(rig.store.try_send(entry).unwrap()).unwrap().seq, 4);
        assert_eq!(values(&rig.path), [0, 1, 2, 2]);
    }
}

#[test]
fn new_append_does_not_overtake_waiting_appends() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_queue_bytes(1000));
        let first = rig.stall(0);
        let large = "x".repeat(700);
        let mut waiting = Box::pin(rig.store.submit(&large));
        assert!(is_waiting(&mut waiting));
        assert!(matches!(rig.store.try_send(Append::record(&1u64).unwrap()), Err(MiniStoreError::QueueFull)));
        rig.faults.release(Op::Commit);
        finish(finish(waiting).unwrap()).unwrap();
        finish(first).unwrap();
    }
}

#[test]
fn receipt_has_position_and_group_size() {
    for kind in lanes() {
        for preallocate in [true, false] {
            let options = JournalOptions::new().max_segment_bytes(500).preallocate(preallocate);
            let rig = Rig::open(kind, options);
            let mut receipts = Vec::new();
            for batch in 0..20u64 {
                let first = rig.stall(batch);
                let entries = [Append::record(&batch), Append::batch([batch; 3]), Append::record("text")];
                let pending = entries.map(|entry| finish(rig.store.send(entry.unwrap())).unwrap());
                rig.faults.release(Op::Commit);
                finish(first).unwrap();
                receipts.extend(pending.into_iter().map(|pending| finish(pending).unwrap()));
            }
            finish(rig.store.close()).unwrap();
            assert!(rig.rotations() > 2);
            check_places(&rig, &receipts);
        }
    }
}

/// Every receipt names the place where a reader finds the record, and the group that a scan finds there.
fn check_places(rig: &Rig, receipts: &[Receipt]) {
    let mut lines = Reader::open(&rig.path).unwrap().raw_records();
    let mut places = std::collections::BTreeMap::new();
    let mut segments: Vec<(PathBuf, u64)> = Vec::new();
    while let Some(line) = lines.next_record().unwrap() {
        if segments.last().is_none_or(|(path, _)| path != line.segment) {
            segments.push((line.segment.to_path_buf(), line.seq));
        }
        places.insert(line.seq, (segments.last().unwrap().1, line.offset));
    }
    for (index, receipt) in receipts.iter().enumerate() {
        assert_eq!(places[&receipt.seq], (receipt.segment_first_seq, receipt.offset), "{receipt:?}");
        assert_eq!(receipt.seqs().count(), [1, 3, 1][index % 3]);
        // With the first one too, where what held it up was the header of a new segment.
        assert!((5..=6).contains(&receipt.group_records), "all that came meanwhile: {receipt:?}");
        assert!(receipt.queue_wait <= receipt.latency);
    }
}

#[test]
fn empty_append_has_receipt_without_position() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let receipt = append(&rig, Append::batch::<u64>([]).unwrap()).unwrap();
        assert_eq!((receipt.seqs(), receipt.group_records), (1..1, 0));
    }
}

#[test]
fn the_limits_of_a_store_hold_for_entries() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_record_bytes(10).max_batch_bytes(20));
        let too_large = |entry: Result<Append>| {
            let refused = append(&rig, entry.unwrap()).unwrap_err();
            assert!(matches!(refused, MiniStoreError::TooLarge { .. }), "{refused}");
        };
        too_large(Append::record("123456789"));
        too_large(Append::batch(["1", "123456789"]));
        too_large(Append::batch(["123456", "123456", "123456"]));
        too_large(Append::json("12345678901"));
        append(&rig, Append::batch(["123456", "123456"]).unwrap()).unwrap();
    }
}

#[test]
fn a_callback_runs_on_the_writer_thread_once_the_record_is_durable() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let first = rig.stall(0);
        let (sender, told) = mpsc::channel();
        for record in 1..=3u64 {
            let (store, sender) = (rig.store.clone(), sender.clone());
            let callback = move |receipt: Result<Receipt>| {
                let thread = thread::current().name().map(str::to_owned);
                sender.send((receipt.unwrap().seq, store.durable_seq(), thread)).unwrap();
            };
            drop(finish(rig.store.send(Append::record(&record).unwrap().on_commit(callback))).unwrap());
        }
        assert!(told.try_recv().is_err());
        rig.faults.release(Op::Commit);
        finish(first).unwrap();
        for seq in 2..=4 {
            let (number, durable, thread) = told.recv_timeout(HANG).unwrap();
            assert_eq!((number, durable), (seq, 4), "in order, after all of them are durable");
            assert_eq!(thread.as_deref(), Some("ministore-writer"));
        }
    }
}

#[test]
fn a_callback_may_submit_and_may_let_the_last_handle_go() {
    for kind in lanes() {
        let Rig { dir, path, faults: _faults, store } = Rig::open(kind, JournalOptions::new());
        let (sender, told) = mpsc::channel();
        let last = store.clone();
        let callback = move |receipt: Result<Receipt>| {
            let next = last.try_send(Append::record(&1u64).unwrap()).unwrap();
            drop(last);
            sender.send((receipt.unwrap().seq, next)).unwrap();
        };
        let entered = Mutex::new(Some(callback));
        let entered = move |receipt| (entered.lock().unwrap().take().unwrap())(receipt);
        drop(pollster::block_on(store.send(Append::record(&0u64).unwrap().on_commit(entered))).unwrap());
        drop(store);
        let (seq, next) = told.recv_timeout(HANG).unwrap();
        assert_eq!((seq, finish(next).unwrap().seq), (1, 2));
        drop(finish(JournalOptions::new().open(&path)).unwrap());
        assert_eq!(values(&path), [0, 1]);
        drop(dir);
    }
}

#[test]
fn callback_gets_the_outcome_of_its_record() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let first = rig.stall(0);
        let told = Arc::new(Mutex::new(Vec::new()));
        let note = |name: &'static str| {
            let told = Arc::clone(&told);
            move |outcome: Result<Receipt>| {
                told.lock().unwrap().push((name, outcome.map_err(|error| error.write_outcome())));
            }
        };
        let submit = |entry: Append, name| drop(finish(rig.store.send(entry.on_commit(note(name)))).unwrap());
        submit(Append::record(&1u64).unwrap().expect_seq(9), "refused");
        submit(Append::record(&2u64).unwrap(), "failed");
        drop(
            finish(rig.store.send(Append::record(&3u64).unwrap().on_commit(|_| panic!("on purpose"))))
                .unwrap(),
        );
        submit(Append::record(&4u64).unwrap(), "behind");
        rig.faults.fail(Op::Commit, 1, Errno::IO);
        rig.faults.release(Op::Commit);
        finish(first).unwrap();
        assert_eq!(poison(finish(rig.store.close())), Some(Errno::IO));
        let told = told.lock().unwrap();
        let (not_written, unknown) = (Err(WriteOutcome::NotWritten), Err(WriteOutcome::Unknown));
        assert_eq!(*told, [("refused", not_written), ("failed", unknown), ("behind", unknown)]);
        let refused =
            finish(rig.store.send(Append::record(&5u64).unwrap().on_commit(|_| panic!("it was not queued"))));
        assert_eq!(poison(refused), Some(Errno::IO));
    }
}
