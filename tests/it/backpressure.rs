//! A full queue: appends wait in the order of their first poll, and no caller can block the others.

mod order;
mod unpolled;

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

use crate::support::{TempJournal, block_on, for_each_backend, numbered};

/// A test that waits longer than this hangs.
const HANG: Duration = Duration::from_secs(60);

const QUEUE_BYTES: u64 = 4096;

/// Fits into an empty queue, but not next to [`FILLER`].
const LARGE: usize = 2500;

/// Leaves space for a small append, but not for one of [`LARGE`] bytes.
const FILLER: usize = 3000;

/// A store whose writer thread is blocked in a callback until it is released.
struct Stalled {
    journal: TempJournal,
    store: MiniStore,
    release: mpsc::Sender<()>,
}

impl Stalled {
    /// The queue is empty.
    fn new(options: &JournalOptions) -> Self {
        let journal = TempJournal::new();
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
fn callback_of_dropped_append_is_not_called() {
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let line = large('a');
        let (called, outcome) = mpsc::channel();
        let mut with_callback =
            Box::pin(stalled.store.send(
                Append::record(&line).unwrap().on_commit(move |seq| called.send(seq.map(drop)).unwrap()),
            ));
        assert!(is_waiting(&mut with_callback));
        drop(with_callback);
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
        let rejected = finish(parked);
        assert!(matches!(rejected, Err(MiniStoreError::Closed)), "{rejected:?}");
        let rejected = finish(stalled.store.append("late"));
        assert!(matches!(rejected, Err(MiniStoreError::Closed)), "{rejected:?}");
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
    struct PanickingWaker;
    impl Wake for PanickingWaker {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("a waker panics"));
        }
    }
    for_each_backend(|options| {
        let stalled = Stalled::filled(&options);
        let line = large('a');
        let mut futures: Vec<_> = (0..20).map(|_| Box::pin(stalled.store.submit(&line))).collect();
        let panics = Waker::from(Arc::new(PanickingWaker));
        for future in &mut futures {
            assert!(future.as_mut().poll(&mut Context::from_waker(&panics)).is_pending());
        }
        stalled.release();
        finish(stalled.store.append("last")).unwrap();
        futures.into_iter().for_each(|future| drop(finish(future).unwrap()));
        assert_eq!(stalled.records().len(), 21);
    });
}
