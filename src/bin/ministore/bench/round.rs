//! Owns one round of one point: a store in the directory of the benchmark, the load on it, and what is told of both.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::{Counter, Histogram};
use ministore_uring::{JournalOptions, Stats};

use super::{
    callers::{self, Load},
    observer::{self, Log, Observed},
    outcome::{Interval, PERCENTILES, Round, Setting},
    recorder::{Recorder, Window},
};
use crate::{exit::Failure, signals::Interrupts, store, units};

/// So many intervals at most: what is kept of a long run is bounded.
const INTERVALS_MAX: u32 = 60;

/// Shorter ones would disturb what they look at.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

/// Of an open loop, this part of what was due has to be durable in time.
const RATE_KEPT: f64 = 0.99;

/// For how long it runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    pub(super) warm_up: Duration,
    pub(super) seconds: Duration,
}

/// What a round leaves beside its figures.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) round: Round,
    /// Of every append, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) group_records: Histogram<u64>,
}

pub(super) fn measure(
    journal: &Path,
    options: JournalOptions,
    setting: &Setting,
    length: Length,
    log: Option<&mut Log>,
    interrupts: &Interrupts,
) -> Result<Measured, Failure> {
    let store = store::open(options, journal)?;
    let begun = Instant::now();
    let from = begun + length.warm_up;
    let interval = (length.seconds / INTERVALS_MAX).max(INTERVAL_MIN);
    let window = Window { from, until: from + length.seconds, interval };
    let (callers, rate) = (setting.callers, setting.rate);
    let load = Load { callers, record: record(setting.record_bytes), rate, begun, window };
    let run = || {
        let seen = callers::run(&store, &load, interrupts)?;
        // Until the last of them was durable; looking at the statistics once more takes a moment.
        Ok((seen, from.elapsed().as_secs_f64()))
    };
    let ran = observer::while_running(&store, window, log, run);
    let closed = store.blocking().close();
    let failed = |error| Failure::store(journal, &error);
    let ((seen, seconds), observed) = ran.map_err(failed)?;
    closed.map_err(failed)?;
    let interrupted = interrupts.raised().is_some();
    let round = told(&seen, &observed, (!interrupted).then_some(rate).flatten(), length, seconds);
    Ok(Measured { round, latency: seen.latency, group_records: observed.all.group_records })
}

fn told(seen: &Recorder, observed: &Observed, rate: Option<f64>, length: Length, seconds: f64) -> Round {
    let stats = &observed.all;
    let due = |rate: f64| rate * length.seconds.as_secs_f64();
    Round {
        backend: stats.backend.to_string(),
        direct: stats.direct,
        sync_mode: Some(stats.sync_mode.to_string()),
        seconds,
        appends: seen.appends,
        appends_per_second: units::ratio(seen.appends, seconds),
        unsent: seen.unsent,
        rate_kept: rate.map(|rate| units::ratio(seen.appends, due(rate)) >= RATE_KEPT),
        latency_us: percentiles(&seen.latency, 1e3),
        late_us: percentiles(&seen.late, 1e3),
        // Both of one histogram: counters beside it are read at another moment, while commits go on.
        commits: stats.group_records.len(),
        records_per_commit: stats.group_records.mean(),
        group_records: percentiles(&stats.group_records, 1.0),
        rotations: stats.rotations,
        stages_us: stages(stats),
        timeline: timeline(seen, observed, (length.seconds / INTERVALS_MAX).max(INTERVAL_MIN)),
    }
}

fn stages(stats: &Stats) -> BTreeMap<String, BTreeMap<String, f64>> {
    let latencies = stats.histograms().into_iter().filter(|(name, _)| !name.starts_with("group_"));
    latencies.map(|(name, histogram)| (name.to_owned(), percentiles(histogram, 1e3))).collect()
}

fn timeline(seen: &Recorder, observed: &Observed, interval: Duration) -> Vec<Interval> {
    let rotations = observed.rotations.iter().copied().chain(std::iter::repeat(0));
    let mut timeline: Vec<_> = (0_u32..)
        .zip(&seen.intervals)
        .zip(rotations)
        .map(|((n, latency), rotations)| {
            let mut latency_us = percentiles(latency, 1e3);
            latency_us.retain(|name, _| matches!(&**name, "p50" | "p99" | "max"));
            Interval { at: (interval * n).as_secs_f64(), appends: latency.len(), latency_us, rotations }
        })
        .collect();
    // Of a run that was interrupted, what was left to do.
    while timeline.last().is_some_and(|last| last.appends == 0 && last.rotations == 0) {
        timeline.pop();
    }
    timeline
}

/// Each divided by `unit`; empty where nothing was measured.
pub(super) fn percentiles<T: Counter>(histogram: &Histogram<T>, unit: f64) -> BTreeMap<String, f64> {
    let value = |quantile| histogram.value_at_quantile(quantile).min(histogram.max());
    let points = PERCENTILES.iter().filter(|_| !histogram.is_empty());
    points.map(|&(name, quantile)| (name.to_owned(), units::ratio(value(quantile), unit))).collect()
}

/// One JSON object of so many bytes.
fn record(bytes: u32) -> Bytes {
    const FRAME: &str = "{\"event\":\"\"}";
    let filler = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(FRAME.len());
    format!("{{\"event\":\"{}\"}}", "x".repeat(filler)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_size_asked_for_and_is_json() {
        for bytes in [16, 300] {
            let record = record(bytes);
            assert_eq!(record.len(), bytes as usize);
            assert!(serde_json::from_slice::<serde_json::Value>(&record).is_ok());
        }
    }
}
