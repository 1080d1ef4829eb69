//! The summary of `ingest` and `serve`.

use ministore_uring::Stats;
use serde_json::json;

use super::pipeline::IngestTotals;
use crate::{
    exit::{CliError, is_quiet},
    latency::{self, COMMIT_PERCENTILES},
    output, store, units,
};

/// The outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunOutcome {
    Complete,
    Interrupted,
    Failed,
}

impl RunOutcome {
    fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

/// The figures of a run.
#[derive(Debug)]
pub(crate) struct RunSummary {
    pub(crate) totals: IngestTotals,
    pub(crate) seconds: f64,
    pub(crate) stats: Stats,
    pub(crate) outcome: RunOutcome,
    pub(crate) start_seq: u64,
}

impl RunSummary {
    /// Prints it as one JSON object, or as text unless `--quiet` is given.
    pub(super) fn print(&self, as_json: bool) -> Result<(), CliError> {
        match (as_json, is_quiet()) {
            (true, _) => output::json(&self.json()),
            (false, true) => Ok(()),
            (false, false) if self.is_nothing_to_do() => {
                let already_present = units::count(self.totals.already_present);
                output::lines([format!(
                    "nothing to do: all {already_present} records are already in the journal"
                )])
            }
            (false, false) => output::pairs(&self.rows()),
        }
    }

    /// Whether a resumed run found all its records in the journal.
    fn is_nothing_to_do(&self) -> bool {
        self.outcome == RunOutcome::Complete
            && self.totals.already_present > 0
            && self.totals.durable.records == 0
    }

    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let (totals, stats) = (self.totals, &self.stats);
        let rate = units::count(units::rate(totals.durable.records, self.seconds));
        let byte_rate = units::bytes(units::rate(totals.durable.bytes, self.seconds));
        let mut rows = vec![
            (
                "records",
                format!("{} durable ({})", units::count(totals.durable.records), self.outcome.name()),
            ),
            (
                "bytes",
                format!("{} ({})", units::count(totals.durable.bytes), units::bytes(totals.durable.bytes)),
            ),
            ("seconds", format!("{:.3}", self.seconds)),
            ("rate", format!("{rate} records/s, {byte_rate}/s")),
            (
                "commits",
                format!("{} ({:.1} records per commit)", units::count(stats.groups), self.per_commit()),
            ),
            ("commit latency", latency::line(&stats.sync, &COMMIT_PERCENTILES)),
            ("backend", store::write_path(stats.backend, stats.direct_io, stats.sync_mode)),
        ];
        let counts = [
            ("already present", totals.already_present),
            ("skipped", totals.bad.skipped),
            ("quarantined", totals.bad.quarantined),
        ];
        let counts = counts.into_iter().filter(|&(_, lines)| lines > 0);
        rows.extend(counts.map(|(name, lines)| (name, units::counted(lines, "line"))));
        rows
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let (totals, stats) = (self.totals, &self.stats);
        json!({
            "outcome": self.outcome.name(),
            "records": totals.durable.records,
            "bytes": totals.durable.bytes,
            "seconds": self.seconds,
            "records_per_second": units::ratio(totals.durable.records, self.seconds),
            "bytes_per_second": units::ratio(totals.durable.bytes, self.seconds),
            "commits": stats.groups,
            "records_per_commit": self.per_commit(),
            "commit_latency_us": latency::percentiles(&stats.sync, &COMMIT_PERCENTILES, 1e3),
            "already_present": totals.already_present,
            "skipped": totals.bad.skipped,
            "quarantined": totals.bad.quarantined,
            "start_seq": self.start_seq,
            "durable_seq": stats.durable_seq,
            "backend": stats.backend,
            "direct_io": stats.direct_io,
            "sync_mode": stats.sync_mode,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people, shown with one decimal")]
    fn per_commit(&self) -> f64 {
        units::ratio(self.totals.durable.records, self.stats.groups as f64)
    }
}
