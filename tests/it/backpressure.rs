//! A full queue: appends wait in the order of their first poll, and no caller can block the others.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use futures_lite::future::poll_once;
use ministore_uring::{Append, JournalOptions, MiniStore, MiniStoreError, Receipt, Result};
use tokio::{runtime, runtime::Runtime, time::timeout};

use crate::support::{Journal, block_on, for_each_backend, numbered};

/// A test that waits longer than this hangs.
const HANG: Duration = Duration::from_secs(60);

const QUEUE_BYTES: u64 = 4096;

/// Fits into an empty queue, but not next to [`FILLER`].
const LARGE: usize = 2500;

/// Leaves space for a small append, but not for one of [`LARGE`] bytes.
const FILLER: usize = 3000;

/// A store whose writer thread is blocked in a callback until it is released.
struct Stalled {
    journal: Journal,
    store: MiniStore,
    release: mpsc::Sender<()>,
}

impl Stalled {
    /// The queue is empty.
    fn new(options: &JournalOptions) -> Self {
        let journal = Journal::new();
        let store = options.clone().max_queue_bytes(QUEUE_BYTES).open_blocking(journal.path()).unwrap();
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let callback = move |_| {
            started.send(()).unwrap();
            // An error: the test has failed.
            let _ = released.recv();
        };
        store.blocking().send(Append::record(&"stall").unwrap().on_commit(callback)).map(drop).unwrap();
        has_started.recv_timeout(HANG).expect("the callback runs");
        Self { journal, store, release }
    }

    /// The queue has space for small appends only.
    fn filled(options: &JournalOptions) -> Self {
        let stalled = Self::new(options);
        drop(stalled.store.try_send(Append::record(&"f".repeat(FILLER)).unwrap()).unwrap());
        stalled
    }

    fn release(&self) {
        self.release.send(()).unwrap();
    }

    /// Closes the store and returns all records except the two that [`Stalled::filled`] wrote.
    fn records(self) -> Vec<String> {
        finish(self.store.close()).unwrap();
        let records = numbered::<String>(self.journal.path()).unwrap().into_iter();
        records.map(|(_, text)| text).filter(|text| text != "stall" && !text.starts_with('f')).collect()
    }
}

fn large(letter: char) -> String {
    letter.to_string().repeat(LARGE)
}

/// Waits for an outcome, with a limit.
fn finish<T>(future: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { timeout(HANG, future).await.expect("a caller hangs") })
}

fn is_waiting<F: Future + Unpin>(future: &mut F) -> bool {
    block_on(poll_once(future)).is_none()
}

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
        let journal = Journal::new();
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
            // Polling again does not change the place.
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
fn dropping_waiting_append_removes_only_it() {
    for_each_backend(|options| {
        for dropped in 0..3 {
            let stalled = Stalled::filled(&options);
            let lines = ['a', 'b', 'c'].map(large);
            let mut futures: Vec<_> = lines.iter().map(|line| Box::pin(stalled.store.append(line))).collect();
            assert!(futures.iter_mut().all(is_waiting));
            drop(futures.remove(dropped));
            stalled.release();
            futures.into_iter().for_each(|future| finish(future).unwrap());
            let mut expected = lines.to_vec();
            expected.remove(dropped);
            assert_eq!(stalled.records(), expected);
        }
    });
}

#[test]
fn append_dropped_after_acceptance_is_written() {
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let (a, b) = (large('a'), large('b'));
        let mut accepted = Box::pin(stalled.store.append(&a));
        let mut next = Box::pin(stalled.store.append(&b));
        assert!(is_waiting(&mut accepted) && is_waiting(&mut next));
        stalled.release();
        finish(next).unwrap();
        // It precedes `next`, so it was accepted; it was not polled since.
        drop(accepted);
        assert_eq!(stalled.records(), [large('a'), large('b')]);
    });
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn dropping_first_waiting_append_accepts_the_next() {
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let line = large('a');
        let mut first = Box::pin(stalled.store.submit(&line));
        let mut next = Box::pin(stalled.store.submit("next"));
        let woken = Arc::new(Woken::default());
        assert!(is_waiting(&mut first));
        let waker = Waker::from(Arc::clone(&woken));
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(first);
        assert_eq!(woken.0.load(SeqCst), 1);
        let pending = block_on(poll_once(next)).expect("there is space").unwrap();
        stalled.release();
        assert_eq!(finish(pending).unwrap().seq, 3);
        assert_eq!(stalled.records(), ["next"]);
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
        let journal = Journal::new();
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
fn every_kind_of_append_keeps_its_place() {
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
        let mut entry = Box::pin(store.send(Append::record("g").unwrap()));
        let callback = move |receipt: Result<Receipt>| called.send(receipt).unwrap();
        let mut then = Box::pin(store.send(Append::record("h").unwrap().on_commit(callback)));
        assert!(is_waiting(&mut first) && is_waiting(&mut batch) && is_waiting(&mut json));
        assert!(is_waiting(&mut expecting) && is_waiting(&mut conflict) && is_waiting(&mut entry));
        assert!(is_waiting(&mut then));
        stalled.release();
        // The callback is called, though no future is polled.
        assert_eq!(outcome.recv_timeout(HANG).expect("it is never called").unwrap().seq, 9);
        drop(finish(then).unwrap());
        assert_eq!(finish(finish(entry).unwrap()).unwrap().seq, 8);
        let refused = finish(finish(conflict).unwrap());
        assert!(
            matches!(refused, Err(MiniStoreError::SeqMismatch { expected: 6, actual: 8 })),
            "{refused:?}"
        );
        assert_eq!(finish(json).unwrap(), 6);
        finish(finish(expecting).unwrap()).unwrap();
        assert_eq!(finish(batch).unwrap(), 4..6);
        finish(first).unwrap();
    });
}

#[test]
fn callback_of_dropped_append_is_not_called() {
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let line = large('a');
        let (called, outcome) = mpsc::channel();
        let mut then =
            Box::pin(stalled.store.send(
                Append::record(&line).unwrap().on_commit(move |seq| called.send(seq.map(drop)).unwrap()),
            ));
        assert!(is_waiting(&mut then));
        drop(then);
        assert!(matches!(outcome.try_recv(), Err(mpsc::TryRecvError::Disconnected)));
        stalled.release();
        assert!(stalled.records().is_empty());
    });
}

#[test]
fn waiting_append_is_rejected_when_store_closes() {
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let store = stalled.store.clone();
        let mut closing = Box::pin(store.close());
        assert!(is_waiting(&mut closing));
        let line = large('a');
        let mut parked = Box::pin(stalled.store.append(&line));
        assert!(is_waiting(&mut parked));
        stalled.release();
        finish(closing).unwrap();
        let refused = finish(parked);
        assert!(matches!(refused, Err(MiniStoreError::Closed)), "{refused:?}");
        let refused = finish(stalled.store.append("late"));
        assert!(matches!(refused, Err(MiniStoreError::Closed)), "{refused:?}");
        assert_eq!(numbered::<String>(stalled.journal.path()).unwrap().len(), 2);
    });
}

#[test]
fn parked_append_does_not_block_close() {
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let line = large('a');
        let mut parked = Box::pin(stalled.store.append(&line));
        assert!(is_waiting(&mut parked));
        stalled.release();
        finish(stalled.store.close()).unwrap();
        let written = numbered::<String>(stalled.journal.path()).unwrap().len() == 3;
        match finish(parked) {
            Ok(()) => assert!(written),
            Err(MiniStoreError::Closed) => assert!(!written),
            Err(other) => panic!("{other}"),
        }
    });
}

#[test]
fn queue_bytes_does_not_count_waiting_appends() {
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let filled = stalled.store.stats().queue_bytes;
        assert!((FILLER as u64..QUEUE_BYTES).contains(&filled), "{filled}");
        let line = "l".repeat(2 * QUEUE_BYTES as usize);
        let mut waiting = Box::pin(stalled.store.append(&line));
        assert!(is_waiting(&mut waiting));
        assert_eq!(stalled.store.stats().queue_bytes, filled);
        stalled.release();
        finish(waiting).unwrap();
        // Capacity is freed before a caller is notified.
        assert_eq!(stalled.store.stats().queue_bytes, 0);
    });
}

#[test]
fn panicking_waker_does_not_stop_acceptance() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("a waker panics"));
        }
    }
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let line = large('a');
        let mut futures: Vec<_> = (0..20).map(|_| Box::pin(stalled.store.submit(&line))).collect();
        let panics = Waker::from(Arc::new(Panics));
        for future in &mut futures {
            assert!(future.as_mut().poll(&mut Context::from_waker(&panics)).is_pending());
        }
        stalled.release();
        finish(stalled.store.append("last")).unwrap();
        futures.into_iter().for_each(|future| drop(finish(future).unwrap()));
        assert_eq!(stalled.records().len(), 21);
    });
}
