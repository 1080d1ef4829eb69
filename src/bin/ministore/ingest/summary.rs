//! Owns what `ingest` tells at its end.

use ministore_uring::Stats;
use serde_json::json;

use super::feed::Fed;
use crate::{
    exit::Failure,
    latency::{self, COMMIT_POINTS},
    output, store, units,
};

/// How the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Complete,
    Interrupted,
    Stopped,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Interrupted => "interrupted",
            Self::Stopped => "stopped",
        }
    }
}

/// The figures of a run.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) fed: Fed,
    pub(super) seconds: f64,
    pub(super) stats: Stats,
    pub(super) outcome: Outcome,
    pub(super) start_seq: u64,
}

impl Summary {
    pub(super) fn print(&self) -> Result<(), Failure> {
        if self.nothing_left() {
            let passed_over = units::count(self.fed.passed_over);
            return output::lines([format!(
                "nothing left to do: all {passed_over} records are in the journal"
            )]);
        }
        output::pairs(&self.rows())
    }

    /// A resumed run that found everything in its place.
    fn nothing_left(&self) -> bool {
        self.outcome == Outcome::Complete && self.fed.passed_over > 0 && self.fed.durable.records == 0
    }

    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let (fed, stats) = (self.fed, &self.stats);
        let rate = units::count(units::rate(fed.durable.records, self.seconds));
        let byte_rate = units::bytes(units::rate(fed.durable.bytes, self.seconds));
        let mut rows = vec![
            ("records", format!("{} durable ({})", units::count(fed.durable.records), self.outcome.name())),
            ("bytes", format!("{} ({})", units::count(fed.durable.bytes), units::bytes(fed.durable.bytes))),
            ("seconds", format!("{:.3}", self.seconds)),
            ("rate", format!("{rate} records/s, {byte_rate}/s")),
            ("commits", format!("{} ({:.1} records a commit)", units::count(stats.groups), self.a_commit())),
            ("commit latency", latency::line(&stats.committed, &COMMIT_POINTS)),
            ("backend", store::carrier(stats)),
        ];
        let asides = [
            ("passed over", fed.passed_over),
            ("skipped", fed.bad.skipped),
            ("quarantined", fed.bad.quarantined),
        ];
        let asides = asides.into_iter().filter(|&(_, lines)| lines > 0);
        rows.extend(asides.map(|(name, lines)| (name, units::counted(lines, "line"))));
        rows
    }

    pub(super) fn print_json(&self) -> Result<(), Failure> {
        output::json(&self.json())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let (fed, stats) = (self.fed, &self.stats);
        json!({
            "outcome": self.outcome.name(),
            "records": fed.durable.records,
            "bytes": fed.durable.bytes,
            "seconds": self.seconds,
            "records_per_second": units::ratio(fed.durable.records, self.seconds),
            "bytes_per_second": units::ratio(fed.durable.bytes, self.seconds),
            "commits": stats.groups,
            "records_per_commit": self.a_commit(),
            "commit_latency_us": latency::json(&stats.committed, &COMMIT_POINTS),
            "passed_over": fed.passed_over,
            "skipped": fed.bad.skipped,
            "quarantined": fed.bad.quarantined,
            "start_seq": self.start_seq,
            "durable_seq": stats.durable_seq,
            "backend": stats.backend.to_string(),
            "direct": stats.direct,
            "sync_mode": stats.sync_mode.to_string(),
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people, shown with one decimal")]
    fn a_commit(&self) -> f64 {
        units::ratio(self.fed.durable.records, self.stats.groups as f64)
    }
}
