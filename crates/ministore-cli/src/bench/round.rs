//! One round of one point: a new journal, the workload, and the measurements.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::{Counter, Histogram};
use ministore_uring::{JournalOptions, Stats};

use super::{
    Args,
    clients::{self, Workload},
    observer::{self, IntervalLog, StatsSampler},
    recorder::{Recorder, Window},
    report::{BenchPoint, Interval, PERCENTILES, Round},
};
use crate::{exit::CliError, latency, signals::SignalHandler, store, units};

/// The maximum number of intervals, which bounds the memory.
const INTERVALS_MAX: u32 = 60;

/// Shorter intervals would disturb the measurement.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

/// The rate of an open loop is met if this share of the appends that were due became durable.
const RATE_MET: f64 = 0.99;

/// The results of a round.
#[derive(Debug)]
pub(super) struct RoundResult {
    pub(super) round: Round,
    /// Of every append, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) group_records: Histogram<u64>,
}

pub(super) fn measure(
    journal: &Path,
    options: JournalOptions,
    setting: &BenchPoint,
    args: &Args,
    log: Option<&mut IntervalLog>,
    signals: &SignalHandler,
) -> Result<RoundResult, CliError> {
    let store = store::open(options, journal)?;
    let begun = Instant::now();
    let from = begun + args.warm_up;
    let interval = (args.duration / INTERVALS_MAX).max(INTERVAL_MIN);
    let window = Window { from, until: from + args.duration, interval };
    let (clients, rate) = (setting.clients, setting.rate);
    let load = Workload { clients, record: record(setting.record_bytes), rate, begun, window };
    let run = || {
        let seen = clients::run(&store, &load, signals)?;
        // Until the last append was durable, without the time to read the statistics.
        Ok((seen, from.elapsed().as_secs_f64()))
    };
    let result = observer::while_running(&store, window, log, run);
    let closed = store.blocking().close();
    let failed = |error| CliError::store(journal, &error);
    let ((seen, seconds), observed) = result.map_err(failed)?;
    closed.map_err(failed)?;
    let interrupted = signals.received().is_some();
    // Whether an interrupted round met its rate is unknown.
    let due = rate.filter(|_| !interrupted).map(|rate| rate * args.duration.as_secs_f64());
    let round = round_report(&seen, &observed, due, interval, seconds);
    Ok(RoundResult { round, latency: seen.latency, group_records: observed.all.group_records })
}

fn round_report(
    seen: &Recorder,
    observed: &StatsSampler,
    due: Option<f64>,
    interval: Duration,
    seconds: f64,
) -> Round {
    let stats = &observed.all;
    Round {
        backend: stats.backend.to_string(),
        direct_io: stats.direct_io,
        sync_mode: stats.sync_mode.to_string(),
        seconds,
        appends: seen.appends,
        appends_per_second: units::ratio(seen.appends, seconds),
        not_started: seen.not_started,
        rate_met: due.map(|due| units::ratio(seen.appends, due) >= RATE_MET),
        latency_us: percentiles(&seen.latency, 1e3),
        schedule_lag_us: percentiles(&seen.late, 1e3),
        // Both from one histogram: other counters are read at another moment, while commits continue.
        commits: stats.group_records.len(),
        records_per_commit: stats.group_records.mean(),
        group_records: percentiles(&stats.group_records, 1.0),
        rotations: stats.rotations,
        stages_us: stages(stats),
        timeline: timeline(seen, observed, interval),
    }
}

fn stages(stats: &Stats) -> BTreeMap<String, BTreeMap<String, f64>> {
    let latencies = stats.histograms().into_iter().filter(|(name, _)| !name.starts_with("group_"));
    latencies.map(|(name, histogram)| (name.to_owned(), percentiles(histogram, 1e3))).collect()
}

fn timeline(seen: &Recorder, observed: &StatsSampler, interval: Duration) -> Vec<Interval> {
    let rotations = observed.rotations.iter().copied().chain(std::iter::repeat(0));
    let mut timeline: Vec<_> = (0_u32..)
        .zip(&seen.intervals)
        .zip(rotations)
        .map(|((n, latency), rotations)| {
            let mut latency_us = percentiles(latency, 1e3);
            latency_us.retain(|name, _| matches!(&**name, "p50" | "p99" | "max"));
            Interval {
                at_seconds: (interval * n).as_secs_f64(),
                appends: latency.len(),
                latency_us,
                rotations,
            }
        })
        .collect();
    // The remaining intervals of an interrupted run.
    while timeline.last().is_some_and(|last| last.appends == 0 && last.rotations == 0) {
        timeline.pop();
    }
    timeline
}

fn percentiles<T: Counter>(histogram: &Histogram<T>, unit: f64) -> BTreeMap<String, f64> {
    latency::percentiles(histogram, &PERCENTILES, unit)
}

/// Returns a JSON object of this size.
fn record(bytes: u32) -> Bytes {
    const FRAME: &str = "{\"event\":\"\"}";
    let filler = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(FRAME.len());
    format!("{{\"event\":\"{}\"}}", "x".repeat(filler)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_json_of_requested_size() {
        for bytes in [16, 300] {
            let record = record(bytes);
            assert_eq!(record.len(), bytes as usize);
            assert!(serde_json::from_slice::<serde_json::Value>(&record).is_ok());
        }
    }
}
