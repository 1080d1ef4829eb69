//! Wakers that drop handles or panic on the writer thread.

use super::*;

/// A waker that runs a function once, on the writer thread.
struct OnWake<F>(Mutex<Option<F>>, AtomicBool);

impl<F: FnOnce() + Send + 'static> OnWake<F> {
    fn new(act: F) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(act)), AtomicBool::new(false)))
    }

    fn has_acted(&self) -> bool {
        self.1.load(Relaxed)
    }
}

impl<F: FnOnce() + Send + 'static> Wake for OnWake<F> {
    fn wake(self: Arc<Self>) {
        let act = self.0.lock().unwrap().take();
        self.1.store(true, Relaxed);
        if let Some(act) = act {
            act();
        }
    }
}

#[test]
fn waker_may_drop_the_last_handle() {
    for_each_commit_path(|options| {
        // A commit that completes before the poll wakes no task: repeat until one does.
        let acted = (0..50).any(|_| {
            let journal = TempJournal::new();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            let mut pending = pin!(store.blocking().submit(&1).unwrap());
            let second = store.blocking().submit(&2).unwrap();
            let on_wake = OnWake::new(move || drop(store));
            let waker = Waker::from(Arc::clone(&on_wake));
            let is_pending = poll_with(pending.as_mut(), &waker).is_pending();
            // Appends complete in order.
            assert_eq!(second.wait().unwrap().seq, 2);
            assert!(
                !is_pending
                    || matches!(poll_with(pending, Waker::noop()), Poll::Ready(Ok(Receipt { seq: 1, .. })))
            );
            // If it was not woken, it still holds the store.
            drop((on_wake.0.lock().unwrap().take(), waker));
            check_reopen(&options, &journal, 2);
            on_wake.has_acted()
        });
        assert!(acted, "no waker was ever woken");
    });
}

#[test]
fn panicking_waker_affects_only_itself() {
    for_each_commit_path(|options| {
        let acted = (0..50).any(|_| {
            let journal = TempJournal::new();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            let on_wake = OnWake::new(|| resume_unwind(Box::new("a waker panics")));
            let waker = Waker::from(Arc::clone(&on_wake));
            let mut pending = pin!(store.blocking().submit(&1).unwrap());
            let is_pending = poll_with(pending.as_mut(), &waker).is_pending();
            let others: Vec<PendingAppend> = (2..50).map(|n| store.blocking().submit(&n).unwrap()).collect();
            for (pending, n) in others.into_iter().zip(2..) {
                assert_eq!(pending.wait().unwrap().seq, n);
            }
            if is_pending {
                assert_eq!(block_on(pending.as_mut()).unwrap().seq, 1);
            }
            store.blocking().append(&50).unwrap();
            store.blocking().close().unwrap();
            check_reopen(&options, &journal, 50);
            on_wake.has_acted()
        });
        assert!(acted, "no waker was ever woken");
    });
}
