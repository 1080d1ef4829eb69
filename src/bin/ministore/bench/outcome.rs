//! Owns the JSON shape of what `bench` measured (docs/benchmarking.md), as it is written and as it is read again by
//! `compare`. Latencies are in microseconds, times in seconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine::{FileSystem, Machine};

/// A later shape that a reader of this one cannot read has another number.
pub(crate) const SCHEMA: &str = "ministore-bench/1";

/// The percentiles that are told, with the quantiles they stand for.
pub(crate) const PERCENTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// A whole measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) schema: String,
    pub(crate) version: String,
    /// Seconds since 1970.
    pub(crate) started: u64,
    /// Every round of every point was run to its end.
    pub(crate) complete: bool,
    pub(crate) machine: Machine,
    pub(crate) file_system: Option<FileSystem>,
    pub(crate) options: Options,
    pub(crate) points: Vec<Point>,
}

/// What was the same for all points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) seconds: f64,
    pub(crate) warm_up: f64,
    pub(crate) rounds: u32,
    pub(crate) segment_bytes: u64,
    pub(crate) commit_delay_us: f64,
    pub(crate) write_ahead: bool,
    /// As it was asked for. Reports of earlier versions have none.
    #[serde(default = "auto")]
    pub(crate) sync_mode: String,
}

fn auto() -> String {
    "auto".to_owned()
}

/// What differs from point to point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// How many appends may be in flight.
    pub(crate) callers: u32,
    pub(crate) record_bytes: u32,
    /// As it was asked for: `auto`, `uring` or `blocking`.
    pub(crate) backend: String,
    /// Appends that were due a second; `None`: a closed loop.
    pub(crate) rate: Option<f64>,
}

/// A point of the sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    #[serde(flatten)]
    pub(crate) setting: Setting,
    pub(crate) appends_per_second: Spread,
    /// By percentile: of each round's, not of all rounds together.
    pub(crate) latency_us: BTreeMap<String, Spread>,
    pub(crate) records_per_commit: Spread,
    /// Of all rounds together: HdrHistogram's percentile curve.
    pub(crate) curve: Vec<Step>,
    /// Of all rounds together: how many groups held up to so many records; the sizes double.
    pub(crate) group_sizes: Vec<Groups>,
    pub(crate) rounds: Vec<Round>,
}

/// The middle one of the rounds, and the least and the greatest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else { return Self::default() };
        let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Self { median: f64::midpoint(below, above), min, max }
    }
}

/// A part of the appends, and how long the slowest of them took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// 0 to 1.
    pub(crate) quantile: f64,
    pub(crate) us: f64,
    /// How many appends are in that part.
    pub(crate) appends: u64,
}

/// Commit groups of a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Groups {
    pub(crate) records_from: u64,
    pub(crate) records_to: u64,
    pub(crate) groups: u64,
}

impl Round {
    /// What carried the commits, and how, for people.
    pub(crate) fn carrier(&self) -> String {
        let how = if self.direct { "direct writes" } else { "writes through the page cache" };
        let sync_mode = self.sync_mode.as_ref().map_or_else(String::new, |mode| format!(", {mode}"));
        format!("{}, {how}{sync_mode}", self.backend)
    }
}

/// A point measured once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Round {
    /// What carried the commits.
    pub(crate) backend: String,
    pub(crate) direct: bool,
    /// What made the commits durable. Reports of earlier versions do not say.
    #[serde(default)]
    pub(crate) sync_mode: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) appends: u64,
    pub(crate) appends_per_second: f64,
    /// Were due, and not begun when the time was over: counted in `latency_us` as having waited until then.
    pub(crate) unsent: u64,
    /// Whether as many appends became durable as were due, but for one in a hundred. `None`: a closed loop.
    pub(crate) rate_kept: Option<bool>,
    pub(crate) latency_us: BTreeMap<String, f64>,
    /// How long after they were due appends were begun. Empty in a closed loop.
    pub(crate) late_us: BTreeMap<String, f64>,
    pub(crate) commits: u64,
    pub(crate) records_per_commit: f64,
    pub(crate) group_records: BTreeMap<String, f64>,
    pub(crate) rotations: u64,
    /// By stage, and for `rotation` and `rotation_held`: see docs/observing.md.
    pub(crate) stages_us: BTreeMap<String, BTreeMap<String, f64>>,
    pub(crate) timeline: Vec<Interval>,
}

/// Part of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// From the start of the round, behind the warm-up.
    pub(crate) at: f64,
    pub(crate) appends: u64,
    /// p50, p99 and max of what ended in it, with two significant digits; empty where nothing did.
    pub(crate) latency_us: BTreeMap<String, f64>,
    pub(crate) rotations: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_rounds_is_their_middle_and_their_ends() {
        let of = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(of(&[4.0, 1.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(of(&[]), Spread::default());
    }
}
