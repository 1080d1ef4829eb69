//! The summary of the service.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::{
    metrics::{DisconnectReason, RefuseReason},
    service::Service,
};
use crate::{
    exit::CliError,
    ingest::{
        batch::DurableTotals,
        pipeline::IngestTotals,
        summary::{RunOutcome, RunSummary},
    },
    output, units,
};

/// Prints the summary as one JSON object, or as text unless `--quiet` is given.
pub(super) fn print(service: &Service, summary: &RunSummary, as_json: bool) -> Result<(), CliError> {
    match (as_json, is_quiet()) {
        (true, _) => output::json(&json(service, summary)),
        (false, true) => Ok(()),
        (false, false) => output::pairs(&rows(service, summary)),
    }
}

fn rows(service: &Service, summary: &RunSummary) -> Vec<(&'static str, String)> {
        let metrics = &self.service.metrics;
        let mut rows = self.summary().rows();
        let clients = units::count(metrics.clients_total.load(Ordering::Relaxed));
        let disconnects = units::count(metrics.disconnects());
        rows.push(("clients", format!("{clients} accepted, {disconnects} rejected or disconnected")));
        let lines = units::count(metrics.lines.load(Ordering::Relaxed));
        let refused = units::count(metrics.refused());
        rows.push(("lines", format!("{lines} received, {refused} refused")));
        rows.push(("bad lines", units::count(metrics.bad_lines_total.load(Ordering::Relaxed))));
        output::pairs(&rows)
    }

    pub(super) fn print_json(&self) -> Result<(), CliError> {
        let metrics = &self.service.metrics;
        let mut summary = self.summary().json();
        let disconnects: Map<String, Value> = DisconnectReason::ALL
            .into_iter()
            .map(|reason| (reason.label().to_owned(), metrics.disconnects_for(reason).into()))
            .collect();
        summary["connections"] = json!(metrics.clients_total.load(Ordering::Relaxed));
        summary["disconnects"] = disconnects.into();
        summary["acknowledged_records"] = json!(metrics.acknowledged.load(Ordering::Relaxed));
        let refused: Map<String, Value> = RefuseReason::ALL
            .into_iter()
            .map(|reason| (reason.label().to_owned(), metrics.refused_for(reason).into()))
            .collect();
        summary["lines"] = json!(metrics.lines.load(Ordering::Relaxed));
        summary["durable_lines"] = json!(metrics.durable_lines.load(Ordering::Relaxed));
        summary["refused_lines"] = refused.into();
        summary["bad_lines"] = json!(metrics.bad_lines_total.load(Ordering::Relaxed));
        output::json(&summary)
    }
}
