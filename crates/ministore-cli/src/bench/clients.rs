//! The workload of a benchmark: clients that append, as tasks on a few threads.

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
    arrivals::{ArrivalSchedule, Arrivals},
    recorder::{Recorder, Window},
};
use crate::signals::SignalHandler;

/// The interval at which a waiting thread checks for signals.
const SIGNAL_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The target of the appends: a store, or a fake in tests.
pub(super) trait Target: Sync {
    fn append(&self, record: Bytes) -> impl Future<Output = Result<()>>;
}

impl Target for MiniStore {
    async fn append(&self, record: Bytes) -> Result<()> {
        self.append_json(record).await.map(drop)
    }
}

/// The parameters of the workload.
#[derive(Debug)]
pub(super) struct Workload {
    /// The maximum number of appends in flight.
    pub(super) clients: u32,
    pub(super) record: Bytes,
    /// Open loop: appends due per second.
    pub(super) rate: Option<f64>,
    pub(super) begun: Instant,
    pub(super) window: Window,
}

/// Runs the workload and returns the latencies.
pub(super) fn run(store: &impl Target, load: &Workload, signals: &SignalHandler) -> Result<Recorder> {
    let threads = thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let threads = threads.min(load.clients);
    thread::scope(|scope| {
        let spawn = |n| {
            let run = move || on_one_thread(store, load, n, threads, signals);
            let thread = thread::Builder::new().name("ministore-bench".into());
            thread.spawn_scoped(scope, run).map_err(MiniStoreError::from)
        };
        let running: Vec<_> = (0..threads).map(spawn).collect::<Result<_>>()?;
        let mut all = Recorder::new(load.window)?;
        for thread in running {
            all.add(&thread.join().map_err(|_| MiniStoreError::WriterPanicked)??)?;
        }
        Ok(all)
    })
}

/// Runs the share of the clients of thread `n` of `threads`.
fn on_one_thread(
    store: &impl Target,
    load: &Workload,
    n: u32,
    threads: u32,
    signals: &SignalHandler,
) -> Result<Recorder> {
    let clients = load.clients / threads + u32::from(n < load.clients % threads);
    let times = load.rate.map(|rate| ArrivalSchedule::share(load.begun, rate, n, threads));
    let arrivals = Arrivals::new(times, load.window.from, load.window.until);
    let recorder = RefCell::new(Recorder::new(load.window)?);
    let running: FuturesUnordered<_> =
        (0..clients).map(|_| run_client(store, load, &arrivals, &recorder)).collect();
    let result = drive(running.fold(Ok(()), async |all: Result<()>, one| all.and(one)), &arrivals, signals);
    let mut recorder = recorder.into_inner();
    result?;
    let ended = Instant::now();
    for (due, count) in arrivals.unstarted() {
        recorder.unstarted(due, ended, count);
    }
    Ok(recorder)
}

async fn run_client(
    store: &impl Target,
    load: &Workload,
    arrivals: &Arrivals,
    recorder: &RefCell<Recorder>,
) -> Result<()> {
    while let Some(due) = arrivals.next().await {
        if load.rate.is_some() {
            recorder.borrow_mut().begun(due);
        }
        if let Err(error) = store.append(load.record.clone()).await {
            arrivals.stop();
            return Err(error);
        }
        recorder.borrow_mut().ended(due, Instant::now());
    }
    Ok(())
}

/// Polls until it is ready, and wakes clients when their appends are due.
fn drive<T>(future: impl Future<Output = T>, arrivals: &Arrivals, signals: &SignalHandler) -> T {
    // By default the kernel may let a thread sleep 50 µs longer.
    if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
        tracing::info!(%error, "cannot set the timer slack");
    }
    let waker = Waker::from(Arc::new(ThreadWaker(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(ready) = future.as_mut().poll(&mut cx) {
            return ready;
        }
        if signals.received().is_some() {
            arrivals.stop();
        }
        let next = arrivals.wake_due();
        let wait = next.map_or(SIGNAL_CHECK_INTERVAL, |due| due.saturating_duration_since(Instant::now()));
        thread::park_timeout(wait.min(SIGNAL_CHECK_INTERVAL));
    }
}

struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
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

    /// Completes appends at once, except one that stalls all clients.
    #[derive(Default)]
    struct StallingTarget {
        appends: AtomicU64,
        stalled: AtomicBool,
    }

    impl Target for StallingTarget {
        async fn append(&self, _: Bytes) -> Result<()> {
            let appends = self.appends.fetch_add(1, Ordering::Relaxed);
            if appends >= 50 && !self.stalled.swap(true, Ordering::Relaxed) {
                // Simulates a blocked thread.
                thread::sleep(STALL);
            }
            Ok(())
        }
    }

    fn load(rate: Option<f64>, clients: u32) -> Workload {
        let begun = Instant::now();
        let until = begun + Duration::from_millis(500);
        let window = Window { from: begun, until, interval: Duration::from_millis(50) };
        Workload { clients, record: Bytes::from_static(b"1"), rate, begun, window }
    }

    fn slow(recorder: &Recorder) -> u64 {
        let half = u64::try_from(STALL.as_nanos() / 2).unwrap();
        recorder.latency.count_between(half, u64::MAX)
    }

    #[test]
    fn open_loop_includes_the_waiting_during_a_stall() {
        let seen =
            run(&StallingTarget::default(), &load(Some(1000.0), 1), &SignalHandler::default()).unwrap();
        assert_eq!(seen.appends + seen.not_started, 500, "every append that was due is counted");
        // One append was due per millisecond of the stall. Those of its first half waited more than half of it.
        assert!(slow(&seen) >= 49, "{} appends waited", slow(&seen));
        assert!(seen.late.max() >= 90_000_000, "begun {} ns late", seen.late.max());
    }

    #[test]
    fn closed_loop_omits_the_waiting() {
        let store = StallingTarget::default();
        let seen = run(&store, &load(None, 1), &SignalHandler::default()).unwrap();
        assert!(seen.latency.max() >= 100_000_000 && seen.appends > 1000, "{}", seen.appends);
        assert!(seen.latency.value_at_quantile(0.99) < 50_000_000, "the stall is one append of many");
        assert_eq!((seen.not_started, seen.late.len()), (0, 0));
    }

    /// Takes a second for each append.
    struct SlowTarget;

    impl Target for SlowTarget {
        async fn append(&self, _: Bytes) -> Result<()> {
            thread::sleep(Duration::from_secs(1));
            Ok(())
        }
    }

    #[test]
    fn append_without_free_client_counts_as_late() {
        let seen = run(&SlowTarget, &load(Some(100.0), 1), &SignalHandler::default()).unwrap();
        assert_eq!((seen.appends, seen.not_started, seen.latency.len()), (1, 49, 50));
        assert!(seen.latency.min() >= 500_000_000, "{}", seen.latency.min());
    }

    #[test]
    fn stall_over_the_whole_window_leaves_one_append() {
        let mut load = load(None, 1);
        load.window.from += Duration::from_millis(100);
        let seen = run(&SlowTarget, &load, &SignalHandler::default()).unwrap();
        assert_eq!((seen.appends, seen.latency.len()), (1, 1));
    }

    /// Fails every append.
    struct FailingTarget;

    impl Target for FailingTarget {
        async fn append(&self, _: Bytes) -> Result<()> {
            Err(MiniStoreError::Closed)
        }
    }

    #[test]
    fn failed_append_stops_the_workload() {
        for rate in [None, Some(1000.0)] {
            let ended = run(&FailingTarget, &load(rate, 8), &SignalHandler::default());
            assert!(matches!(ended, Err(MiniStoreError::Closed)), "{ended:?}");
        }
    }
}
