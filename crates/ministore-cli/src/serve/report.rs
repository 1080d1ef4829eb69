//! The summary of the service: that of `ingest`, and the figures about its clients.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::{
    metrics::{DisconnectReason, RefuseReason},
    service::Service,
};
use crate::{
    exit::{CliError, is_quiet},
    ingest::{
        batch::DurableTotals,
        pipeline::IngestTotals,
        summary::{RunOutcome, RunSummary},
    },
    output, units,
};

/// Returns the figures of the journal.
pub(super) fn summary(service: &Service, seconds: f64, start_seq: u64, outcome: RunOutcome) -> RunSummary {
    let stats = service.store.stats();
    let durable = DurableTotals { records: stats.records, bytes: stats.bytes };
    let totals = IngestTotals { durable, already_present: 0, bad: service.metrics.bad_lines() };
    RunSummary { totals, seconds, stats, outcome, start_seq }
}

/// Prints the summary as one JSON object, or as text unless `--quiet` is given.
pub(super) fn print(service: &Service, summary: &RunSummary, as_json: bool) -> Result<(), CliError> {
    match (as_json, is_quiet()) {
        (true, _) => output::json(&json(service, summary)),
        (false, true) => Ok(()),
        (false, false) => output::pairs(&rows(service, summary)),
    }
}

fn rows(service: &Service, summary: &RunSummary) -> Vec<(&'static str, String)> {
    let metrics = &service.metrics;
    let mut rows = summary.rows();
    let clients = units::count(metrics.clients_total.load(Ordering::Relaxed));
    let disconnects = units::count(metrics.disconnects());
    rows.push(("clients", format!("{clients} accepted, {disconnects} rejected or disconnected")));
    let lines = units::count(metrics.lines.load(Ordering::Relaxed));
    let refused = units::count(metrics.refused());
    rows.push(("lines", format!("{lines} received, {refused} refused")));
    rows.push(("bad lines", units::count(metrics.bad_lines_total.load(Ordering::Relaxed))));
    rows
}

fn json(service: &Service, summary: &RunSummary) -> Value {
    let metrics = &service.metrics;
    let disconnects = DisconnectReason::ALL.map(|(reason, label)| (label, metrics.disconnects_for(reason)));
    let refused = RefuseReason::ALL.map(|(reason, label)| (label, metrics.refused_for(reason)));
    let object = |counts: &[(&str, u64)]| {
        Value::from(
            counts.iter().map(|&(label, count)| (label.to_owned(), count.into())).collect::<Map<_, _>>(),
        )
    };
    let mut json = summary.json();
    json["connections"] = json!(metrics.clients_total.load(Ordering::Relaxed));
    json["disconnects"] = object(&disconnects);
    json["acknowledged_records"] = json!(metrics.acknowledged.load(Ordering::Relaxed));
    json["lines"] = json!(metrics.lines.load(Ordering::Relaxed));
    json["durable_lines"] = json!(metrics.durable_lines.load(Ordering::Relaxed));
    json["refused_lines"] = object(&refused);
    json["bad_lines"] = json!(metrics.bad_lines_total.load(Ordering::Relaxed));
    json
}
