//! When is measured: a warm-up, the window that counts, the end; and what a caller counts in it.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::contestant::{Answer, Refusal};

/// Anything else is the warm-up.
const COUNTED: u8 = 1;
const OVER: u8 = 2;

/// The longest latency that is told apart, in nanoseconds.
const LATENCY_MAX: u64 = 120_000_000_000;

/// With more callers than this, latencies are kept to two digits instead of three, so that the counting stays in memory.
const FINE_CALLERS_MAX: usize = 256;

/// How long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Before anything counts.
    pub warm_up: Duration,
    /// What counts.
    pub window: Duration,
}

/// Where the run is; seen by every caller.
#[derive(Debug, Default)]
pub struct Phases(AtomicU8);

impl Phases {
    /// Goes through the phases in their time; returns how long the window was.
    pub fn pass(&self, timing: Timing) -> Duration {
        thread::sleep(timing.warm_up);
        let start = Instant::now();
        self.0.store(COUNTED, Ordering::Relaxed);
        thread::sleep(timing.window);
        self.0.store(OVER, Ordering::Relaxed);
        start.elapsed()
    }

    /// Whether callers go on.
    #[must_use]
    pub fn go_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) != OVER
    }
}

/// What one caller saw, or all of them.
#[derive(Debug)]
pub struct Tally {
    latencies: Histogram<u64>,
    records: u64,
    acknowledged: u64,
}

impl Tally {
    /// Nothing yet, for one of so many callers.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn new(callers: usize) -> Answer<Self> {
        let digits = if callers > FINE_CALLERS_MAX { 2 } else { 3 };
        let latencies = Histogram::new_with_max(LATENCY_MAX, digits).map_err(Refusal::of)?;
        Ok(Self { latencies, records: 0, acknowledged: 0 })
    }

    /// `records` that were handed over together at `start` were acknowledged just now.
    ///
    /// The rate is of what was acknowledged within the window. The latencies are of every call that was under way in it:
    /// were those left out that outlast it, a log that lets most callers starve and serves a few would look quick.
    pub fn acknowledge(&mut self, phases: &Phases, start: Instant, records: u64) {
        self.acknowledged += records;
        let phase = phases.0.load(Ordering::Relaxed);
        if phase == COUNTED {
            self.records += records;
        }
        if phase == COUNTED || phase == OVER {
            let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.latencies.saturating_record(nanos);
        }
    }

    /// Takes in what another caller saw.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn add(&mut self, other: &Self) -> Answer<()> {
        self.records += other.records;
        self.acknowledged += other.acknowledged;
        self.latencies.add(&other.latencies).map_err(Refusal::of)
    }

    /// The figures of a window.
    #[must_use]
    pub fn figures(&self, window: Duration, record_bytes: usize) -> Figures {
        let micros = |quantile: f64| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        let rate = self.records as f64 / window.as_secs_f64();
        Figures {
            records_per_second: rate,
            bytes_per_second: rate * (record_bytes + 1) as f64,
            p50_us: micros(0.5),
            p90_us: micros(0.9),
            p99_us: micros(0.99),
            p999_us: micros(0.999),
            max_us: self.latencies.max() as f64 / 1000.0,
            calls: self.latencies.len(),
            acknowledged: self.acknowledged,
            kept: None,
        }
    }
}

/// What one measurement gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Records acknowledged in the window, a second.
    pub records_per_second: f64,
    /// Their JSON and a line feed each.
    pub bytes_per_second: f64,
    /// From the call to its acknowledgement, in microseconds: half of the calls took no longer.
    pub p50_us: f64,
    /// Nine of ten.
    pub p90_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
    /// 999 of 1,000.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// How many calls the latencies are of: all that were under way in the window.
    pub calls: u64,
    /// Records acknowledged in all, before and after the window too.
    pub acknowledged: u64,
    /// Records found in the log afterwards, where it was read.
    pub kept: Option<u64>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{
        sync::atomic::Ordering,
        time::{Duration, Instant},
    };

    use super::{COUNTED, OVER, Phases, Tally};

    #[test]
    fn the_rate_is_of_the_window_and_the_latencies_of_every_call_under_way_in_it() {
        let (phases, mut tally) = (Phases::default(), Tally::new(1).unwrap());
        tally.acknowledge(&phases, Instant::now(), 1);
        phases.0.store(COUNTED, Ordering::Relaxed);
        tally.acknowledge(&phases, Instant::now(), 10);
        phases.0.store(OVER, Ordering::Relaxed);
        tally.acknowledge(&phases, Instant::now(), 100);
        let figures = tally.figures(Duration::from_secs(2), 9);
        assert_eq!((figures.acknowledged, figures.calls), (111, 2));
        assert_eq!((figures.records_per_second, figures.bytes_per_second), (5.0, 50.0));
    }
}
