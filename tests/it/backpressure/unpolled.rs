//! Futures of waiting appends that are not polled or are leaked block no other append.

use super::*;

fn runtimes() -> [Runtime; 2] {
    let single = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let multi = runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    [single, multi]
}

#[test]
fn unpolled_append_does_not_block_same_task() {
    for_each_backend(|options| {
        for runtime in runtimes() {
            let stalled = Stalled::filled(&options);
            let store = stalled.store.clone();
            runtime.block_on(async {
                let line = large('a');
                // The losing branch of a `select!`.
                let mut parked = Box::pin(store.append(&line));
                assert!(poll_once(&mut parked).await.is_none(), "there was space");
                stalled.release();
                let other = timeout(HANG, store.append(&large('b'))).await;
                other.expect("blocked by a future that is not polled").unwrap();
                timeout(HANG, parked).await.unwrap().unwrap();
            });
            drop(store);
            assert_eq!(stalled.records(), [large('a'), large('b')]);
        }
    });
}

#[test]
fn unpolled_append_does_not_block_other_tasks() {
    for_each_backend(|options| {
        for runtime in runtimes() {
            let stalled = Stalled::filled(&options);
            let line = large('a');
            let mut parked = Box::pin(stalled.store.submit(&line));
            assert!(is_waiting(&mut parked));
            stalled.release();
            let others = (0..20).map(|_| {
                let store = stalled.store.clone();
                runtime.spawn(async move { store.append(&large('b')).await })
            });
            for other in others.collect::<Vec<_>>() {
                let outcome = runtime.block_on(async { timeout(HANG, other).await });
                outcome.expect("blocked by a future that is not polled").unwrap().unwrap();
            }
            drop(parked);
            assert_eq!(stalled.records()[..2], [large('a'), large('b')]);
        }
    });
}

#[test]
fn unpolled_append_does_not_block_threads() {
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let line = large('a');
        let mut parked = Box::pin(stalled.store.append(&line));
        assert!(is_waiting(&mut parked));
        stalled.release();
        let (done, outcome) = mpsc::channel();
        let store = stalled.store.clone();
        let other = thread::spawn(move || {
            done.send(store.blocking().append(&large('b'))).unwrap();
        });
        let outcome = outcome.recv_timeout(HANG).expect("blocked by a future that is not polled");
        outcome.unwrap();
        other.join().unwrap();
        // It was written, though the future has not seen it yet.
        assert_eq!(stalled.store.durable_seq(), 4);
        finish(parked).unwrap();
        assert_eq!(stalled.records(), [large('a'), large('b')]);
    });
}

#[test]
fn leaked_append_does_not_block_others() {
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let store = stalled.store.clone();
        let mut leaked = Box::pin(async move { store.append(&large('a')).await });
        assert!(is_waiting(&mut leaked));
        std::mem::forget(leaked);
        stalled.release();
        finish(stalled.store.append(&large('b'))).unwrap();
        assert_eq!(stalled.records(), [large('a'), large('b')]);
    });
}

#[test]
fn leaked_append_does_not_block_last_handle() {
    for_each_backend(|options| {
        let Stalled { journal, store, release } = Stalled::filled(&options);
        let line = large('a');
        let mut leaked = Box::pin(store.append(&line));
        assert!(is_waiting(&mut leaked));
        std::mem::forget(leaked);
        release.send(()).unwrap();
        drop(store);
        // Waits until the writer has closed the journal.
        let again = options.open_blocking(journal.path()).unwrap();
        assert_eq!(again.durable_seq(), 3);
    });
}

/// As `buffer_unordered` does it: all of `futures` are polled until one is ready; they are not polled while the consumer
/// runs.
async fn buffer_unordered<F: Future<Output = usize>>(
    mut futures: impl Iterator<Item = F>,
    concurrent: usize,
    mut consume: impl AsyncFnMut(usize),
) {
    let mut buffered: Vec<Pin<Box<F>>> = Vec::new();
    loop {
        buffered.extend(futures.by_ref().take(concurrent - buffered.len()).map(Box::pin));
        if buffered.is_empty() {
            return;
        }
        let ready = poll_fn(|context| {
            let polled = buffered.iter_mut().enumerate().find_map(|(at, future)| {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => Some((at, output)),
                    Poll::Pending => None,
                }
            });
            polled.map_or(Poll::Pending, Poll::Ready)
        });
        let (at, output) = ready.await;
        drop(buffered.swap_remove(at));
        consume(output).await;
    }
}

/// A buffered stream of appends whose consumer appends to the same store.
fn appends_in_consumer(options: &JournalOptions, record: usize, progress: usize, concurrent: usize) {
    const COUNT: usize = 300;
    for runtime in runtimes() {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        let append = async |number: usize| {
            store.append(&format!("{number} {}", "x".repeat(record))).await.unwrap();
            number
        };
        let consume = async |number: usize| {
            if number.is_multiple_of(3) {
                store.append(&format!("progress {number} {}", "p".repeat(progress))).await.unwrap();
            }
        };
        let work = buffer_unordered((0..COUNT).map(append), concurrent, consume);
        let outcome = runtime.block_on(async { timeout(HANG, work).await });
        outcome.expect("blocked by futures that are not polled");
        assert_eq!(store.durable_seq(), (COUNT + COUNT / 3) as u64);
    }
}

#[test]
fn consumer_of_buffered_appends_may_append() {
    for_each_backend(|options| appends_in_consumer(&options.max_queue_bytes(4096), 1000, 2500, 16));
}

#[test]
fn large_buffered_appends_do_not_block_consumer() {
    for_each_backend(|options| {
        appends_in_consumer(&options.max_queue_bytes(1 << 20), 20 << 10, 20 << 10, 100);
    });
}
