//! Owns what the service tells at its end.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::service::Service;
use crate::{
    exit::Failure,
    ingest::{
        batch::Durable,
        feed::Fed,
        summary::{Outcome, Summary},
    },
    output, units,
};

/// The figures of the service.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) service: &'a Service,
    pub(super) seconds: f64,
    pub(super) start_seq: u64,
}

impl Report<'_> {
    fn summary(&self) -> Summary {
        let stats = self.service.store.stats();
        let durable = Durable { records: stats.records, bytes: stats.bytes };
        let outcome = if stats.poisoned { Outcome::Stopped } else { Outcome::Interrupted };
        let fed = Fed { durable, passed_over: 0, bad: self.service.counts.aside() };
        Summary { fed, seconds: self.seconds, stats, outcome, start_seq: self.start_seq }
    }

    pub(super) fn print(&self) -> Result<(), Failure> {
        let counts = &self.service.counts;
        let mut rows = self.summary().rows();
        let clients = units::count(counts.clients_total.load(Ordering::Relaxed));
        let (refused, disconnected) = (counts.turned_away(true), counts.turned_away(false));
        rows.push((
            "clients",
            format!(
                "{clients} ({} refused, {} disconnected)",
                units::count(refused),
                units::count(disconnected)
            ),
        ));
        rows.push(("bad lines", units::count(counts.bad_lines.load(Ordering::Relaxed))));
        output::pairs(&rows)
    }

    pub(super) fn print_json(&self) -> Result<(), Failure> {
        let counts = &self.service.counts;
        let mut told = self.summary().json();
        told["clients"] = json!({
            "served": counts.clients_total.load(Ordering::Relaxed),
            "refused": counts.turned_away(true),
            "disconnected": counts.turned_away(false),
            "acknowledged": counts.acknowledged.load(Ordering::Relaxed),
        });
        told["bad_lines"] = json!(counts.bad_lines.load(Ordering::Relaxed));
        output::json(&told)
    }
}
