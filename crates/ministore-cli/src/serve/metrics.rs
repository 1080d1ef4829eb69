//! The counters of the service, for its summary and its Prometheus metrics.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::ingest::bad_lines;

/// Why the service rejected or disconnected a client. The labels are the `reason` of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DisconnectReason {
    /// Rejected: `--max-clients` are connected.
    MaxClients,
    /// Rejected: not an allowed user or group.
    PeerNotAllowed,
    /// Rejected: no valid token, or none in time.
    Unauthenticated,
    /// No complete line for too long.
    IdleTimeout,
    /// Its responses were not read.
    WriteTimeout,
    BadLine,
    /// Its line is long, and too many long lines are being read.
    OutOfMemoryBudget,
    /// Its records could not be made durable.
    JournalError,
}

impl DisconnectReason {
    pub(super) const ALL: [Self; 8] = [
        Self::MaxClients,
        Self::PeerNotAllowed,
        Self::Unauthenticated,
        Self::IdleTimeout,
        Self::WriteTimeout,
        Self::BadLine,
        Self::OutOfMemoryBudget,
        Self::JournalError,
    ];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::MaxClients => "max_clients",
            Self::PeerNotAllowed => "peer_not_allowed",
            Self::Unauthenticated => "unauthenticated",
            Self::IdleTimeout => "idle_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::BadLine => "bad_line",
            Self::OutOfMemoryBudget => "memory_limit",
            Self::JournalError => "journal_error",
        }
    }
}

/// Counters since the service started.
#[derive(Debug, Default)]
pub(super) struct ServiceMetrics {
    /// Connected now.
    pub(super) clients: AtomicU64,
    /// Accepted so far.
    pub(super) clients_total: AtomicU64,
    disconnects_by_reason: [AtomicU64; DisconnectReason::ALL.len()],
    /// Lines that are neither blank nor handshakes.
    pub(super) lines: AtomicU64,
    pub(super) bad_lines_total: AtomicU64,
    /// Received from clients.
    pub(super) bytes: AtomicU64,
    /// Records acknowledged to clients that requested it.
    pub(super) acknowledged: AtomicU64,
    bad_lines: Mutex<bad_lines::BadLineCounts>,
}

impl ServiceMetrics {
    pub(super) fn count_disconnect(&self, why: DisconnectReason) {
        self.disconnects_by_reason[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn disconnects_for(&self, why: DisconnectReason) -> u64 {
        self.disconnects_by_reason[why as usize].load(Ordering::Relaxed)
    }

    /// All rejected and disconnected clients.
    pub(super) fn disconnects(&self) -> u64 {
        DisconnectReason::ALL.into_iter().map(|reason| self.disconnects_for(reason)).sum()
    }

    pub(super) fn count_bad(&self, what: impl FnOnce(&mut bad_lines::BadLineCounts)) {
        what(&mut self.bad_lines.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn bad_lines(&self) -> bad_lines::BadLineCounts {
        *self.bad_lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies the counters to the metrics recorder of the process.
    pub(super) fn publish(&self) {
        let all = [
            ("ministore_serve_connections_total", &self.clients_total),
            ("ministore_serve_lines_total", &self.lines),
            ("ministore_serve_bad_lines_total", &self.bad_lines_total),
            ("ministore_serve_received_bytes_total", &self.bytes),
            ("ministore_serve_acknowledged_records_total", &self.acknowledged),
        ];
        for (name, count) in all {
            counter!(name).absolute(count.load(Ordering::Relaxed));
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of clients")]
        gauge!("ministore_serve_connections").set(self.clients.load(Ordering::Relaxed) as f64);
        for reason in DisconnectReason::ALL {
            let total = self.disconnects_for(reason);
            counter!("ministore_serve_disconnects_total", "reason" => reason.label()).absolute(total);
        }
    }
}

/// Registers the help text of each metric.
pub(super) fn describe() {
    describe_gauge!("ministore_serve_connections", Unit::Count, "Connected clients.");
    let counters = [
        ("ministore_serve_connections_total", Unit::Count, "Accepted clients."),
        (
            "ministore_serve_disconnects_total",
            Unit::Count,
            "Clients rejected or disconnected by the service, by reason.",
        ),
        ("ministore_serve_lines_total", Unit::Count, "Received lines, except blank ones."),
        ("ministore_serve_bad_lines_total", Unit::Count, "Received lines that are not records."),
        ("ministore_serve_received_bytes_total", Unit::Bytes, "Received bytes."),
        (
            "ministore_serve_acknowledged_records_total",
            Unit::Count,
            "Records acknowledged to clients that requested it.",
        ),
    ];
    for (name, unit, meaning) in counters {
        describe_counter!(name, unit, meaning);
    }
}

/// Counts one connected client until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionGuard<'a>(&'a ServiceMetrics);

impl<'a> ConnectionGuard<'a> {
    pub(super) fn new(metrics: &'a ServiceMetrics) -> Self {
        metrics.clients.fetch_add(1, Ordering::Relaxed);
        metrics.clients_total.fetch_add(1, Ordering::Relaxed);
        Self(metrics)
    }
}

impl Drop for ConnectionGuard<'_> {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}
