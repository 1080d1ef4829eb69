//! Owns what `bench` tells.

use hdrhistogram::Histogram;
use ministore_uring::Stats;
use serde_json::json;

use super::Args;
use crate::{
    exit::Failure,
    latency::{self, APPEND_POINTS, COMMIT_POINTS},
    output, store, units,
};

/// The figures of a run.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) args: &'a Args,
    pub(super) seconds: f64,
    pub(super) stats: Stats,
    /// Of every append, in nanoseconds.
    pub(super) latency: Histogram<u64>,
}

impl Report<'_> {
    pub(super) fn print(&self) -> Result<(), Failure> {
        let (args, stats) = (self.args, &self.stats);
        let rate = units::count(units::rate(self.latency.len(), self.seconds));
        output::pairs(&[
            ("callers", format!("{} (records of {} bytes)", args.callers, args.record_bytes)),
            ("backend", store::carrier(stats)),
            ("appends", units::count(self.latency.len())),
            ("seconds", format!("{:.3}", self.seconds)),
            ("rate", format!("{rate} durable appends/s")),
            ("append latency", latency::line(&self.latency, &APPEND_POINTS)),
            ("commits", format!("{} ({:.1} records a commit)", units::count(stats.groups), self.a_commit())),
            ("commit latency", latency::line(&stats.committed, &COMMIT_POINTS)),
        ])
    }

    pub(super) fn print_json(&self) -> Result<(), Failure> {
        let (args, stats) = (self.args, &self.stats);
        output::json(&json!({
            "callers": args.callers,
            "record_bytes": args.record_bytes,
            "write_ahead": !args.write.no_write_ahead,
            "backend": stats.backend.to_string(),
            "direct": stats.direct,
            "appends": self.latency.len(),
            "seconds": self.seconds,
            "appends_per_second": units::ratio(self.latency.len(), self.seconds),
            "append_latency_us": latency::json(&self.latency, &APPEND_POINTS),
            "commits": stats.groups,
            "records_per_commit": self.a_commit(),
            "commit_latency_us": latency::json(&stats.committed, &COMMIT_POINTS),
        }))
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people, shown with one decimal")]
    fn a_commit(&self) -> f64 {
        units::ratio(self.stats.records, self.stats.groups as f64)
    }
}
