//! The JSON report of `bench` (docs/reference/bench.md), written by `bench` and read by `compare`. Latencies are in microseconds,
//! times in seconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    host::{FileSystem, HostInfo},
    store,
};

/// The number changes with incompatible changes.
pub(crate) const SCHEMA: &str = "ministore-bench/1";

/// The reported percentiles and their quantiles.
pub(crate) const PERCENTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// A whole measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BenchReport {
    pub(crate) schema: String,
    pub(crate) version: String,
    /// Seconds since 1970.
    pub(crate) started: u64,
    /// The command line, quoted for a shell. Reports of earlier versions have none.
    #[serde(default)]
    pub(crate) command: String,
    /// False: interrupted.
    pub(crate) complete: bool,
    pub(crate) host: HostInfo,
    pub(crate) file_system: Option<FileSystem>,
    pub(crate) options: BenchOptions,
    pub(crate) points: Vec<Point>,
}

/// The options that are the same for all points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BenchOptions {
    pub(crate) duration_seconds: f64,
    pub(crate) warm_up_seconds: f64,
    pub(crate) rounds: u32,
    pub(crate) max_segment_bytes: u64,
    pub(crate) commit_delay_us: f64,
    pub(crate) preallocate: bool,
    pub(crate) spin: bool,
    /// As requested.
    pub(crate) sync_mode: String,
}

/// The parameters of a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BenchPoint {
    /// The maximum number of appends in flight.
    pub(crate) clients: u32,
    pub(crate) record_bytes: u32,
    /// As requested: `auto`, `uring` or `blocking`.
    pub(crate) backend: String,
    /// Appends due per second; `None`: closed loop.
    pub(crate) rate: Option<f64>,
}

/// A point of the sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    #[serde(flatten)]
    pub(crate) setting: BenchPoint,
    pub(crate) appends_per_second: Summary,
    /// By percentile, over the rounds.
    pub(crate) latency_us: BTreeMap<String, Summary>,
    pub(crate) records_per_commit: Summary,
    /// The percentile curve of all rounds.
    pub(crate) curve: Vec<CurvePoint>,
    /// The distribution of group sizes of all rounds; the sizes double.
    pub(crate) group_sizes: Vec<GroupSizeBucket>,
    pub(crate) rounds: Vec<Round>,
}

/// Median, minimum and maximum of the rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Summary {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else { return Self::default() };
        let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Self { median: f64::midpoint(below, above), min, max }
    }
}

/// A point of the percentile curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct CurvePoint {
    /// 0 to 1.
    pub(crate) quantile: f64,
    pub(crate) latency_us: f64,
    /// The number of appends that were at most this slow.
    pub(crate) appends: u64,
}

/// The number of commit groups of a size range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupSizeBucket {
    pub(crate) records_from: u64,
    pub(crate) records_to: u64,
    pub(crate) groups: u64,
}

impl Round {
    /// Describes how commits reach the disk.
    pub(crate) fn write_path(&self) -> String {
        store::write_path(&self.backend, self.direct_io, &self.sync_mode)
    }
}

/// One measurement of a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Round {
    /// The backend in use.
    pub(crate) backend: String,
    pub(crate) direct_io: bool,
    /// The sync mode in use.
    pub(crate) sync_mode: String,
    pub(crate) seconds: f64,
    pub(crate) appends: u64,
    pub(crate) appends_per_second: f64,
    /// Appends that were due but not started at the end; counted in `latency_us` as having waited until then.
    pub(crate) not_started: u64,
    /// Whether at least 99 % of the appends that were due became durable. `None`: closed loop.
    pub(crate) rate_met: Option<bool>,
    pub(crate) latency_us: BTreeMap<String, f64>,
    /// The delay between due time and start of an append. Empty in a closed loop.
    pub(crate) schedule_lag_us: BTreeMap<String, f64>,
    pub(crate) commits: u64,
    pub(crate) records_per_commit: f64,
    pub(crate) group_records: BTreeMap<String, f64>,
    pub(crate) rotations: u64,
    /// By commit stage: see docs/reference/metrics.md.
    pub(crate) stages_us: BTreeMap<String, BTreeMap<String, f64>>,
    pub(crate) timeline: Vec<Interval>,
}

/// An interval of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// Seconds since the end of the warm-up.
    pub(crate) at_seconds: f64,
    pub(crate) appends: u64,
    /// p50, p99 and max of the appends that completed in it, with two significant digits; may be empty.
    pub(crate) latency_us: BTreeMap<String, f64>,
    pub(crate) rotations: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_is_median_minimum_and_maximum() {
        let of = |values: &[f64]| Summary::of(values.iter().copied());
        assert_eq!(of(&[3.0, 1.0, 2.0]), Summary { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(of(&[4.0, 1.0]), Summary { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(of(&[]), Summary::default());
    }
}
