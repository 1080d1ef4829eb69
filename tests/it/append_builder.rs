//! The `Append` builder: expected sequence numbers, sending without waiting, callbacks and receipts.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};

use ministore_uring::{Append, MiniStore, MiniStoreError, PendingAppend, Reader, WriteOutcome};

use crate::support::{TempJournal, block_on, for_each_commit_path, replay};

/// Increments the counter: reads the last value and appends the next one, only if no other caller has appended since. Returns
/// the number of conflicts.
fn increment(store: &MiniStore, journal: &TempJournal) -> u64 {
    let mut conflicts = 0;
    loop {
        let seq = store.durable_seq();
        let value: u64 = match seq {
            0 => 0,
            _ => Reader::open(journal.path()).unwrap().records_from(seq).next().unwrap().unwrap().value,
        };
        match store
            .blocking()
            .send(Append::record(&(value + 1)).unwrap().expect_seq(seq + 1))
            .and_then(PendingAppend::wait)
            .map(drop)
        {
            Ok(()) => return conflicts,
            Err(MiniStoreError::SeqMismatch { expected, actual }) => {
                assert!(expected == seq + 1 && actual > expected);
                conflicts += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn append_expecting_loses_no_concurrent_update() {
    const CALLERS: u64 = 6;
    const UPDATES: u64 = 15;
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let conflicts: u64 = thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|_| scope.spawn(|| (0..UPDATES).map(|_| increment(&store, &journal)).sum::<u64>()))
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).sum()
        });
        eprintln!("{conflicts} conflicts");
        assert_eq!(
            replay::<u64>(journal.path()).unwrap(),
            (1..=CALLERS * UPDATES).collect::<Vec<_>>(),
            "each increment saw the one before"
        );
    });
}

#[test]
fn seqs_continue_after_reopen() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().append_batch([1, 2, 3]).unwrap();
        store.blocking().close().unwrap();
        let store = options.open_blocking(journal.path()).unwrap();
        let error = store
            .blocking()
            .send(Append::record(&4).unwrap().expect_seq(3))
            .and_then(PendingAppend::wait)
            .map(drop)
            .unwrap_err();
        assert!(matches!(error, MiniStoreError::SeqMismatch { expected: 3, actual: 4 }), "{error}");
        assert_eq!(error.to_string(), "expected sequence number 3, but the next is 4");
        let receipt = store
            .blocking()
            .send(Append::record(&4).unwrap().expect_seq(4))
            .and_then(PendingAppend::wait)
            .unwrap();
        assert_eq!((receipt.seqs(), receipt.segment_first_seq), (4..5, 1));
        assert!(journal.bytes()[receipt.offset as usize..].starts_with(b"4"));
    });
}

#[test]
fn append_can_be_awaited_blocked_on_or_called_back() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let (sender, called) = mpsc::channel();
        let line = Append::json(" {\"a\" : 1}\n").unwrap();
        assert_eq!((line.records(), line.bytes()), (1, 9));
        assert_eq!(block_on(block_on(store.send(line.clone())).unwrap()).unwrap().seq, 1);
        let waited = store.blocking().send(line.clone()).unwrap();
        let awaited = store.try_send(line.clone()).unwrap();
        let sends = sender.clone();
        let callback = move |receipt: ministore_uring::Result<ministore_uring::Receipt>| {
            sends.send(receipt.unwrap().seqs()).unwrap();
        };
        store.blocking().send(line.clone().on_commit(callback.clone())).map(drop).unwrap();
        store.try_send(Append::batch([1, 2]).unwrap().on_commit(callback)).map(drop).unwrap();
        store
            .blocking()
            .send(
                Append::record(&"x").unwrap().on_commit(move |seq| sender.send(0..seq.unwrap().seq).unwrap()),
            )
            .map(drop)
            .unwrap();
        assert_eq!((waited.wait().unwrap().seq, block_on(awaited).unwrap().seq), (2, 3));
        assert_eq!(called.iter().collect::<Vec<_>>(), [4..5, 5..7, 0..7]);
        assert_eq!(store.blocking().append_json_str("8").unwrap(), 8);
        assert_eq!(store.try_send(Append::record(&9).unwrap()).unwrap().wait().unwrap().seq, 9);
    });
}

#[test]
fn closed_store_rejects_all_append_calls() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let append = Append::record(&1).unwrap();
        store.blocking().close().unwrap();
        let uncalled = |_| panic!("an append that was not queued has no outcome");
        for outcome in [
            store.blocking().append(&1),
            store.try_send(Append::record(&1).unwrap()).map(drop),
            store
                .blocking()
                .send(Append::record(&1).unwrap().expect_seq(1))
                .and_then(PendingAppend::wait)
                .map(drop),
            store.blocking().send(append.clone()).and_then(PendingAppend::wait).map(drop),
            store
                .blocking()
                .send(
                    Append::record(&1)
                        .unwrap()
                        .on_commit(|_| panic!("an append that was not queued has no outcome")),
                )
                .map(drop),
            store.blocking().send(append.clone().on_commit(uncalled)).map(drop),
            store.try_send(append.clone().on_commit(uncalled)).map(drop),
        ] {
            let error = outcome.unwrap_err();
            assert!(matches!(error, MiniStoreError::Closed), "{error}");
            assert_eq!(error.write_outcome(), WriteOutcome::NotWritten);
        }
    });
}

#[test]
fn callbacks_may_append_from_the_writer_thread() {
    const LINKS: u64 = 100;
    /// Appends the next record once the one before is durable, as a replicated log does.
    fn link(store: &MiniStore, committed: mpsc::Sender<u64>) {
        let next = store.clone();
        let append_next = move |receipt: ministore_uring::Result<ministore_uring::Receipt>| {
            let seq = receipt.unwrap().seq;
            committed.send(seq).unwrap();
            if seq < LINKS {
                link(&next, committed);
            }
        };
        let append = Append::record(&store.durable_seq()).unwrap();
        store.try_send(append.on_commit(append_next)).map(drop).unwrap();
    }
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let (sender, committed) = mpsc::channel();
        link(&store, sender);
        assert_eq!(committed.iter().collect::<Vec<_>>(), (1..=LINKS).collect::<Vec<_>>());
        let count = Arc::new(Mutex::new(0));
        let counts = Arc::clone(&count);
        store
            .blocking()
            .send(Append::record(&0).unwrap().on_commit(move |_| *counts.lock().unwrap() += 1))
            .map(drop)
            .unwrap();
        store.blocking().close().unwrap();
        assert_eq!(*count.lock().unwrap(), 1, "called before the close returns");
    });
}

#[test]
fn debug_output_of_a_handle_is_short() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append(&1).unwrap();
        let pending = store.try_send(Append::record(&2).unwrap()).unwrap();
        for shown in [
            format!("{store:?}"),
            format!("{pending:?}"),
            format!("{:?}", Reader::open(journal.path()).unwrap()),
        ] {
            assert!(shown.len() < 3000, "{} bytes: {}", shown.len(), &shown[..1000]);
        }
        pending.wait().unwrap();
    });
}
