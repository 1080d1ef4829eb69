//! The phases of a measurement (warm-up, window, end), and the counts of a caller.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::log_under_test::{LogError, LogResult};

/// Any other value is the warm-up.
const MEASURED: u8 = 1;
const OVER: u8 = 2;

/// The longest latency that the histogram distinguishes, in nanoseconds.
const LATENCY_MAX: u64 = 120_000_000_000;

/// With more callers than this, latencies have two digits instead of three, to limit the memory of the histograms.
const FINE_CALLERS_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    pub warm_up: Duration,
    pub window: Duration,
}

/// The current phase; shared by all callers.
#[derive(Debug, Default)]
pub struct Phases(AtomicU8);

/// What the window took.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Its real length.
    pub length: Duration,
    /// The processor time of all threads of this process, in user and kernel mode.
    pub processor_time: Duration,
}

/// Returns the processor time that this process has used since its start.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}

impl Phases {
    /// Runs through the phases.
    pub fn run(&self, timing: Timing) -> Window {
        thread::sleep(timing.warm_up);
        let (start, used_before) = (Instant::now(), processor_time());
        self.0.store(MEASURED, Ordering::Relaxed);
        thread::sleep(timing.window);
        self.0.store(OVER, Ordering::Relaxed);
        Window { length: start.elapsed(), processor_time: processor_time().saturating_sub(used_before) }
    }

    pub fn is_running(&self) -> bool {
        self.0.load(Ordering::Relaxed) != OVER
    }
}

/// The counts of one caller, or of all.
#[derive(Debug)]
pub struct CallerStats {
    latencies: Histogram<u64>,
    records: u64,
    acknowledged: u64,
}

impl CallerStats {
    pub fn new(callers: usize) -> LogResult<Self> {
        let digits = if callers > FINE_CALLERS_MAX { 2 } else { 3 };
        let latencies = Histogram::new_with_max(LATENCY_MAX, digits)?;
        Ok(Self { latencies, records: 0, acknowledged: 0 })
    }

    /// Counts `records` that were submitted together at `start` and are acknowledged now.
    ///
    /// The rate counts the records acknowledged within the window. The latencies include every call in flight in the
    /// window: without the calls that outlast it, a log that serves a few callers and starves most would look fast.
    pub fn acknowledge(&mut self, phases: &Phases, start: Instant, records: u64) {
        self.acknowledged += records;
        let phase = phases.0.load(Ordering::Relaxed);
        if phase == MEASURED {
            self.records += records;
        }
        if phase == MEASURED || phase == OVER {
            let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.latencies.saturating_record(nanos);
        }
    }

    pub fn add(&mut self, other: &Self) -> LogResult<()> {
        self.records += other.records;
        self.acknowledged += other.acknowledged;
        self.latencies.add(&other.latencies).map_err(LogError::from)
    }

    pub fn measurement(&self, window: Window, record_bytes: usize) -> Measurement {
        let micros = |quantile: f64| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        let rate = self.records as f64 / window.length.as_secs_f64();
        Measurement {
            records_per_second: rate,
            bytes_per_second: rate * (record_bytes + 1) as f64,
            p50_us: micros(0.5),
            p90_us: micros(0.9),
            p99_us: micros(0.99),
            p999_us: micros(0.999),
            max_us: self.latencies.max() as f64 / 1000.0,
            processors: window.processor_time.as_secs_f64() / window.length.as_secs_f64(),
            write_bytes: None,
            calls: self.latencies.len(),
            acknowledged: self.acknowledged,
            stored: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub records_per_second: f64,
    /// Bytes per second: the JSON of the records and a line feed each.
    pub bytes_per_second: f64,
    /// The median latency from the call to its acknowledgement, in microseconds.
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    /// Seconds of processor time that the process used per second.
    pub processors: f64,
    /// The mean number of bytes in one write, where it is known: ours, and the limits of bulk.
    pub write_bytes: Option<f64>,
    /// The number of calls with a latency: all calls in flight in the window.
    pub calls: u64,
    /// Records acknowledged in total, also before and after the window.
    pub acknowledged: u64,
    /// Records found in the log afterwards, if it was read.
    #[serde(rename = "kept")]
    pub stored: Option<u64>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{
        sync::atomic::Ordering,
        time::{Duration, Instant},
    };

    use super::{CallerStats, MEASURED, OVER, Phases, Window};

    #[test]
    fn rate_counts_window_and_latency_counts_calls() {
        let (phases, mut stats) = (Phases::default(), CallerStats::new(1).unwrap());
        stats.acknowledge(&phases, Instant::now(), 1);
        phases.0.store(MEASURED, Ordering::Relaxed);
        stats.acknowledge(&phases, Instant::now(), 10);
        phases.0.store(OVER, Ordering::Relaxed);
        stats.acknowledge(&phases, Instant::now(), 100);
        let window = Window { length: Duration::from_secs(2), processor_time: Duration::from_millis(500) };
        let measurement = stats.measurement(window, 9);
        assert_eq!((measurement.acknowledged, measurement.calls), (111, 2));
        assert_eq!((measurement.records_per_second, measurement.bytes_per_second), (5.0, 50.0));
        assert_eq!(measurement.processors, 0.25);
    }
}
