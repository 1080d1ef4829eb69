//! Owns the load of a benchmark: callers that append, as tasks on a few threads.

use std::{
    cell::RefCell,
    future::Future,
    num::NonZeroU64,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use ministore_uring::{MiniStore, MiniStoreError, Result};

use super::{
    pace::{Pace, Times},
    recorder::{Recorder, Window},
};
use crate::signals::Interrupts;

/// How long a thread that waits goes without a look at the signals.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What takes the appends: a store, or in a test what plays one.
pub(super) trait Appends: Sync {
    fn append(&self, record: Bytes) -> impl Future<Output = Result<()>>;
}

impl Appends for MiniStore {
    async fn append(&self, record: Bytes) -> Result<()> {
        self.append_json(record).await.map(drop)
    }
}

/// What is asked of the journal.
#[derive(Debug)]
pub(super) struct Load {
    /// At most so many appends are in flight.
    pub(super) callers: u32,
    pub(super) record: Bytes,
    /// An open loop: so many appends a second are due.
    pub(super) rate: Option<f64>,
    pub(super) begun: Instant,
    pub(super) window: Window,
}

/// Runs the load; returns what the callers saw.
pub(super) fn run(store: &impl Appends, load: &Load, interrupts: &Interrupts) -> Result<Recorder> {
    let threads = thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let threads = threads.min(load.callers);
    thread::scope(|scope| {
        let spawn = |n| scope.spawn(move || on_one_thread(store, load, Share { n, threads }, interrupts));
        let running: Vec<_> = (0..threads).map(spawn).collect();
        let mut all = Recorder::new(load.window)?;
        for thread in running {
            all.add(&thread.join().map_err(|_| MiniStoreError::WriterGone)??)?;
        }
        Ok(all)
    })
}

/// One thread among so many.
#[derive(Debug, Clone, Copy)]
struct Share {
    n: u32,
    threads: u32,
}

fn on_one_thread(
    store: &impl Appends,
    load: &Load,
    Share { n, threads }: Share,
    interrupts: &Interrupts,
) -> Result<Recorder> {
    let callers = load.callers / threads + u32::from(n < load.callers % threads);
    let times = load.rate.map(|rate| Times::share(load.begun, rate, n, threads));
    let pace = Pace::new(times, load.window.until);
    let recorder = RefCell::new(Recorder::new(load.window)?);
    let running: FuturesUnordered<_> =
        (0..callers).map(|_| one_caller(store, load, &pace, &recorder)).collect();
    let ran = drive(running.fold(Ok(()), async |all: Result<()>, one| all.and(one)), &pace, interrupts);
    let mut recorder = recorder.into_inner();
    ran?;
    let ended = Instant::now();
    for (due, count) in pace.missed() {
        recorder.missed(due, ended, count);
    }
    Ok(recorder)
}

async fn one_caller(
    store: &impl Appends,
    load: &Load,
    pace: &Pace,
    recorder: &RefCell<Recorder>,
) -> Result<()> {
    while let Some(due) = pace.next().await {
        if load.rate.is_some() {
            recorder.borrow_mut().begun(due);
        }
        if let Err(error) = store.append(load.record.clone()).await {
            pace.stop();
            return Err(error);
        }
        recorder.borrow_mut().ended(due, Instant::now());
    }
    Ok(())
}

/// Polls until it is ready; in between wakes callers when their appends are due.
fn drive<T>(future: impl Future<Output = T>, pace: &Pace, interrupts: &Interrupts) -> T {
    // Else the kernel may let a thread sleep 50 µs longer than asked for.
    if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
        tracing::info!(%error, "timers stay coarse");
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(ready) = future.as_mut().poll(&mut cx) {
            return ready;
        }
        if interrupts.raised().is_some() {
            pace.stop();
        }
        let next = pace.wake_due();
        let wait = next.map_or(LOOK_EVERY, |due| due.saturating_duration_since(Instant::now()));
        thread::park_timeout(wait.min(LOOK_EVERY));
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    const STALL: Duration = Duration::from_millis(100);

    /// Takes appends at once, but for one that stalls everybody for a while.
    #[derive(Default)]
    struct Stalls {
        taken: AtomicU64,
        stalled: AtomicBool,
    }

    impl Appends for Stalls {
        async fn append(&self, _: Bytes) -> Result<()> {
            let taken = self.taken.fetch_add(1, Ordering::Relaxed);
            if taken >= 50 && !self.stalled.swap(true, Ordering::Relaxed) {
                // What is being simulated is a thread that gets nowhere.
                thread::sleep(STALL);
            }
            Ok(())
        }
    }

    fn load(rate: Option<f64>, callers: u32) -> Load {
        let begun = Instant::now();
        let until = begun + Duration::from_millis(500);
        let window = Window { from: begun, until, interval: Duration::from_millis(50) };
        Load { callers, record: Bytes::from_static(b"1"), rate, begun, window }
    }

    fn slow(recorder: &Recorder) -> u64 {
        let half = u64::try_from(STALL.as_nanos() / 2).unwrap();
        recorder.latency.count_between(half, u64::MAX)
    }

    #[test]
    fn an_open_loop_tells_how_long_everybody_waited_whom_a_stall_held_up() {
        let seen = run(&Stalls::default(), &load(Some(1000.0), 1), &Interrupts::default()).unwrap();
        assert_eq!(seen.appends + seen.unsent, 500, "every append that was due is counted");
        // One was due each millisecond of the stall: those of its first half waited for more than half of it.
        assert!(slow(&seen) >= 49, "{} appends waited", slow(&seen));
        assert!(seen.late.max() >= 90_000_000, "begun {} ns late", seen.late.max());
    }

    #[test]
    fn a_closed_loop_omits_them() {
        let store = Stalls::default();
        let seen = run(&store, &load(None, 1), &Interrupts::default()).unwrap();
        assert!(seen.latency.max() >= 100_000_000 && seen.appends > 1000, "{}", seen.appends);
        assert!(seen.latency.value_at_quantile(0.99) < 50_000_000, "the stall is one append of many");
        assert_eq!((seen.unsent, seen.late.len()), (0, 0));
    }

    /// Takes a second for each.
    struct Slow;

    impl Appends for Slow {
        async fn append(&self, _: Bytes) -> Result<()> {
            thread::sleep(Duration::from_secs(1));
            Ok(())
        }
    }

    #[test]
    fn what_no_caller_was_free_for_counts_as_late_and_is_told() {
        let seen = run(&Slow, &load(Some(100.0), 1), &Interrupts::default()).unwrap();
        assert_eq!((seen.appends, seen.unsent, seen.latency.len()), (1, 49, 50));
        assert!(seen.latency.min() >= 500_000_000, "{}", seen.latency.min());
    }

    struct Refuses;

    impl Appends for Refuses {
        async fn append(&self, _: Bytes) -> Result<()> {
            Err(MiniStoreError::Closed)
        }
    }

    #[test]
    fn a_refused_append_ends_it() {
        for rate in [None, Some(1000.0)] {
            let ended = run(&Refuses, &load(rate, 8), &Interrupts::default());
            assert!(matches!(ended, Err(MiniStoreError::Closed)), "{ended:?}");
        }
    }
}
