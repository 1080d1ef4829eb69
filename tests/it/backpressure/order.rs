//! Waiting appends are accepted in the order of their first poll.

use super::*;

#[test]
fn order_of_first_poll_is_order_of_records() {
    for_each_backend(|options| {
        for reversed in [false, true] {
            let stalled = Stalled::filled(&options);
            let lines: Vec<_> = (0..30).map(|n| format!("{n} {}", "x".repeat(900))).collect();
            // Created in another order.
            let mut futures: Vec<_> =
                lines.iter().rev().map(|line| Box::pin(stalled.store.submit(line))).collect();
            futures.reverse();
            assert!(futures.iter_mut().all(is_waiting));
            // Polling again does not change the position.
            assert!(futures.iter_mut().rev().all(is_waiting));
            stalled.release();
            let mut numbers: Vec<u64> = if reversed {
                let numbers =
                    futures.into_iter().rev().map(|future| finish(finish(future).unwrap()).unwrap().seq);
                numbers.collect()
            } else {
                futures.into_iter().map(|future| finish(finish(future).unwrap()).unwrap().seq).collect()
            };
            if reversed {
                numbers.reverse();
            }
            assert_eq!(numbers, (3..33).collect::<Vec<_>>());
            assert_eq!(stalled.records(), lines);
        }
    });
}

#[test]
fn small_append_does_not_overtake_a_large_one() {
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let line = "l".repeat(2 * QUEUE_BYTES as usize);
        let mut larger_than_queue = Box::pin(stalled.store.submit(&line));
        assert!(is_waiting(&mut larger_than_queue));
        // These would fit.
        assert!(matches!(
            stalled.store.try_send(Append::record("try").unwrap()),
            Err(MiniStoreError::QueueFull)
        ));
        let mut small: Vec<_> = (0..5).map(|_| Box::pin(stalled.store.submit("small"))).collect();
        assert!(small.iter_mut().all(is_waiting));
        stalled.release();
        for future in small.into_iter().rev() {
            finish(finish(future).unwrap()).unwrap();
        }
        finish(finish(larger_than_queue).unwrap()).unwrap();
        let records = stalled.records();
        assert_eq!((records.len(), &records[0]), (6, &line));
    });
}

#[test]
fn large_append_is_accepted_under_steady_load() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.max_queue_bytes(QUEUE_BYTES).open_blocking(journal.path()).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(SeqCst) {
                        drop(store.blocking().submit(&"s".repeat(500)).unwrap());
                    }
                });
            }
            for _ in 0..20 {
                let outcome = catch(|| finish(store.append(&"l".repeat(2 * QUEUE_BYTES as usize))));
                if outcome.is_err() {
                    stop.store(true, SeqCst);
                }
                outcome.expect("the large append is starved").unwrap();
            }
            stop.store(true, SeqCst);
        });
    });
}

fn catch<T>(act: impl FnOnce() -> T) -> thread::Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act))
}

#[test]
fn every_kind_of_append_keeps_its_position() {
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let store = &stalled.store;
        let line = large('a');
        let (called, outcome) = mpsc::channel();
        let mut first = Box::pin(store.append(&line));
        let mut batch = Box::pin(store.append_batch(["b", "b"]));
        let mut json = Box::pin(store.append_json("\"c\""));
        let mut expecting = Box::pin(store.send(Append::record("d").unwrap().expect_seq(7)));
        let mut conflict = Box::pin(store.send(Append::record("e").unwrap().expect_seq(6)));
        let mut record = Box::pin(store.send(Append::record("g").unwrap()));
        let callback = move |receipt: Result<Receipt>| called.send(receipt).unwrap();
        let mut with_callback = Box::pin(store.send(Append::record("h").unwrap().on_commit(callback)));
        assert!(is_waiting(&mut first) && is_waiting(&mut batch) && is_waiting(&mut json));
        assert!(is_waiting(&mut expecting) && is_waiting(&mut conflict) && is_waiting(&mut record));
        assert!(is_waiting(&mut with_callback));
        stalled.release();
        // The callback is called, though no future is polled.
        assert_eq!(outcome.recv_timeout(HANG).expect("it is never called").unwrap().seq, 9);
        drop(finish(with_callback).unwrap());
        assert_eq!(finish(finish(record).unwrap()).unwrap().seq, 8);
        let rejected = finish(finish(conflict).unwrap());
        assert!(
            matches!(rejected, Err(MiniStoreError::SeqMismatch { expected: 6, actual: 8 })),
            "{rejected:?}"
        );
        assert_eq!(finish(json).unwrap(), 6);
        finish(finish(expecting).unwrap()).unwrap();
        assert_eq!(finish(batch).unwrap(), 4..6);
        finish(first).unwrap();
    });
}
