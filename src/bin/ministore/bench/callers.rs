//! Owns the load of a benchmark: callers that append in closed loops, as tasks on a few threads.

use std::{
    cell::RefCell,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use hdrhistogram::Histogram;
use ministore_uring::{MiniStore, MiniStoreError, Result};

use crate::signals::Interrupts;

/// Longer latencies are counted as this long.
const LATENCY_MAX: Duration = Duration::from_secs(600);

/// What is asked of the journal.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) callers: u32,
    pub(super) record: Bytes,
    pub(super) until: Instant,
}

/// Runs the load; returns the latency of every append in nanoseconds.
pub(super) fn run(store: &MiniStore, load: &Load, interrupts: &Interrupts) -> Result<Histogram<u64>> {
    let threads = thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let threads = threads.min(load.callers);
    let share = |thread| load.callers / threads + u32::from(thread < load.callers % threads);
    thread::scope(|scope| {
        let spawn = |n| scope.spawn(move || on_one_thread(store, load, share(n), interrupts));
        let running: Vec<_> = (0..threads).map(spawn).collect();
        let mut all = histogram()?;
        for thread in running {
            let one = thread.join().map_err(|_| MiniStoreError::WriterGone)??;
            all.add(&one).map_err(|error| MiniStoreError::InvalidArgument(error.to_string()))?;
        }
        Ok(all)
    })
}

fn on_one_thread(
    store: &MiniStore,
    load: &Load,
    callers: u32,
    interrupts: &Interrupts,
) -> Result<Histogram<u64>> {
    let latencies = RefCell::new(histogram()?);
    let mut running: FuturesUnordered<_> =
        (0..callers).map(|_| one_caller(store, load, &latencies, interrupts)).collect();
    pollster::block_on(async {
        while let Some(ended) = running.next().await {
            ended?;
        }
        Ok::<_, MiniStoreError>(())
    })?;
    drop(running);
    Ok(latencies.into_inner())
}

async fn one_caller(
    store: &MiniStore,
    load: &Load,
    latencies: &RefCell<Histogram<u64>>,
    interrupts: &Interrupts,
) -> Result<()> {
    let mut begun = Instant::now();
    while begun < load.until && interrupts.raised().is_none() {
        store.append_json(load.record.clone()).await?;
        let ended = Instant::now();
        let nanos = u64::try_from((ended - begun).as_nanos()).unwrap_or(u64::MAX);
        latencies.borrow_mut().saturating_record(nanos);
        begun = ended;
    }
    Ok(())
}

/// Three significant digits, from a nanosecond on.
fn histogram() -> Result<Histogram<u64>> {
    let max = u64::try_from(LATENCY_MAX.as_nanos()).unwrap_or(u64::MAX);
    Histogram::new_with_bounds(1, max, 3).map_err(|error| MiniStoreError::InvalidArgument(error.to_string()))
}
