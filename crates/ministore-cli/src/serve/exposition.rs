//! The metrics of the service for Prometheus: names, help texts, histogram buckets. The values are in [`metrics`](super::metrics)
//! and [`process`](super::process); the journal registers its own.

use std::sync::atomic::Ordering;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::{
    metrics::{DisconnectReason, RefuseReason},
    process,
    service::Service,
};
use crate::exit::{CliError, ExitStatus};

/// From 10 µs, less than any device needs, to 10 s, more than a stall that a client waits for.
const SECONDS_BUCKETS: [f64; 19] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// From a small record to the largest record.
const BYTES_BUCKETS: [f64; 9] =
    [256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// From a group of one to thousands of clients that share a commit.
const RECORDS_BUCKETS: [f64; 13] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0];

const COUNTERS: [(&str, Unit, &str); 8] = [
    ("ministore_serve_connections_total", Unit::Count, "Accepted clients."),
    (
        "ministore_serve_disconnects_total",
        Unit::Count,
        "Clients rejected or disconnected by the service, by reason.",
    ),
    ("ministore_serve_lines_total", Unit::Count, "Received lines, except blank ones and handshakes."),
    ("ministore_serve_durable_lines_total", Unit::Count, "Received lines whose records are durable."),
    ("ministore_serve_bad_lines_total", Unit::Count, "Received lines that are not records."),
    ("ministore_serve_refused_lines_total", Unit::Count, "Received lines that were not accepted, by reason."),
    ("ministore_serve_received_bytes_total", Unit::Bytes, "Received bytes."),
    (
        "ministore_serve_acknowledged_records_total",
        Unit::Count,
        "Records acknowledged to clients that requested it.",
    ),
];

const GAUGES: [(&str, Unit, &str); 4] = [
    ("ministore_serve_connections", Unit::Count, "Connected clients."),
    (
        "ministore_serve_storage_full",
        Unit::Count,
        "1 while the last append was refused because the disk is full.",
    ),
    (
        "ministore_serve_free_bytes",
        Unit::Bytes,
        "Free space of the journal's file system, sampled every 5 seconds.",
    ),
    ("ministore_build_info", Unit::Count, "1, with the version of the program."),
];

/// Installs the recorder. It must be installed before the journal is opened, which registers its metrics then.
pub(super) fn install() -> Result<PrometheusHandle, CliError> {
    let recorder = builder().and_then(PrometheusBuilder::install_recorder).map_err(|error| {
        CliError::new(ExitStatus::Internal, format_args!("cannot record metrics: {error}"))
    })?;
    for (name, unit, meaning) in COUNTERS {
        describe_counter!(name, unit, meaning);
    }
    for (name, unit, meaning) in GAUGES {
        describe_gauge!(name, unit, meaning);
    }
    process::describe();
    Ok(recorder)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), &RECORDS_BUCKETS)
}

/// Copies the current values to the recorder.
#[expect(clippy::cast_precision_loss, reason = "gauges of Prometheus are floating-point numbers")]
pub(super) fn publish(service: &Service) {
    let metrics = &service.metrics;
    let counts = [
        ("ministore_serve_connections_total", &metrics.clients_total),
        ("ministore_serve_lines_total", &metrics.lines),
        ("ministore_serve_durable_lines_total", &metrics.durable_lines),
        ("ministore_serve_bad_lines_total", &metrics.bad_lines_total),
        ("ministore_serve_received_bytes_total", &metrics.bytes),
        ("ministore_serve_acknowledged_records_total", &metrics.acknowledged),
    ];
    for (name, count) in counts {
        counter!(name).absolute(count.load(Ordering::Relaxed));
    }
    for (reason, label) in DisconnectReason::ALL {
        let total = metrics.disconnects_for(reason);
        counter!("ministore_serve_disconnects_total", "reason" => label).absolute(total);
    }
    for (reason, label) in RefuseReason::ALL {
        let total = metrics.refused_for(reason);
        counter!("ministore_serve_refused_lines_total", "reason" => label).absolute(total);
    }
    gauge!("ministore_serve_connections").set(metrics.clients.load(Ordering::Relaxed) as f64);
    let is_full = metrics.last_append_refused() == Some(RefuseReason::StorageFull);
    gauge!("ministore_serve_storage_full").set(f64::from(u8::from(is_full)));
    if let Some(bytes) = *service.free_bytes.borrow() {
        gauge!("ministore_serve_free_bytes").set(bytes as f64);
    }
    gauge!("ministore_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    process::publish();
}
