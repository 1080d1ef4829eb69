//! The counters of the service, for its summary and its Prometheus metrics.
//!
//! Every received line has exactly one outcome: it is durable, it is a bad line, or it was refused. A line is counted when it
//! arrives, and its outcome when that is known, by different code: a test compares the sums.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use ministore_uring::{ErrorKind, MiniStoreError};

use crate::ingest::bad_lines::BadLineCounts;

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
    /// It speaks HTTP or TLS.
    WrongProtocol,
}

impl DisconnectReason {
    /// All reasons with their labels.
    pub(super) const ALL: [(Self, &str); 9] = [
        (Self::MaxClients, "max_clients"),
        (Self::PeerNotAllowed, "peer_not_allowed"),
        (Self::Unauthenticated, "unauthenticated"),
        (Self::IdleTimeout, "idle_timeout"),
        (Self::WriteTimeout, "write_timeout"),
        (Self::BadLine, "bad_line"),
        (Self::OutOfMemoryBudget, "memory_limit"),
        (Self::JournalError, "journal_error"),
        (Self::WrongProtocol, "wrong_protocol"),
    ];
}

/// Why the service refused lines, which may be records. The labels are the `reason` of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefuseReason {
    /// The disk is full.
    StorageFull,
    /// A system call failed before anything was written.
    Unavailable,
    /// A write or sync failed, or the journal is closed.
    JournalFailed,
    /// The client has no access, or too many are connected.
    Rejected,
    /// The client speaks HTTP or TLS.
    WrongProtocol,
    /// They arrived after the line for which the client was disconnected, or the connection broke within the last one.
    Disconnected,
    /// They arrived after the shutdown began.
    Shutdown,
}

impl RefuseReason {
    /// All reasons with their labels.
    pub(super) const ALL: [(Self, &str); 7] = [
        (Self::StorageFull, "storage_full"),
        (Self::Unavailable, "unavailable"),
        (Self::JournalFailed, "journal_failed"),
        (Self::Rejected, "rejected"),
        (Self::WrongProtocol, "wrong_protocol"),
        (Self::Disconnected, "disconnected"),
        (Self::Shutdown, "shutdown"),
    ];

    fn of(error: &MiniStoreError) -> Self {
        match error.kind() {
            ErrorKind::StorageFull => Self::StorageFull,
            ErrorKind::Closed => Self::JournalFailed,
            _ => Self::Unavailable,
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
    /// Lines whose records are durable.
    pub(super) durable_lines: AtomicU64,
    refused_by_reason: [AtomicU64; RefuseReason::ALL.len()],
    pub(super) bad_lines_total: AtomicU64,
    /// Received from clients.
    pub(super) bytes: AtomicU64,
    /// Records acknowledged to clients that requested it.
    pub(super) acknowledged: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) quarantined: AtomicU64,
    /// Why the journal refused the last append: 1 more than an index of [`RefuseReason::ALL`]; 0: it did not.
    last_append_refused: AtomicU8,
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
        DisconnectReason::ALL.into_iter().map(|(reason, _)| self.disconnects_for(reason)).sum()
    }

    pub(super) fn bad_lines(&self) -> BadLineCounts {
        let [skipped, quarantined] =
            [&self.skipped, &self.quarantined].map(|count| count.load(Ordering::Relaxed));
        BadLineCounts { skipped, quarantined }
    }

    /// Counts lines that arrived.
    pub(super) fn count_lines(&self, lines: u64) {
        self.lines.fetch_add(lines, Ordering::Relaxed);
    }

    /// The journal made the records of these lines durable.
    pub(super) fn count_durable(&self, lines: u64) {
        self.durable_lines.fetch_add(lines, Ordering::Relaxed);
        self.last_append_refused.store(0, Ordering::Relaxed);
    }

    /// The journal refused these lines.
    pub(super) fn count_failed(&self, error: &MiniStoreError, lines: u64) {
        let reason = RefuseReason::of(error);
        self.count_refused(reason, lines);
        self.last_append_refused.store(reason as u8 + 1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self, reason: RefuseReason, lines: u64) {
        self.refused_by_reason[reason as usize].fetch_add(lines, Ordering::Relaxed);
    }

    /// Lines arrived that are not examined any more.
    pub(super) fn count_unread(&self, reason: RefuseReason, lines: u64) {
        self.count_lines(lines);
        self.count_refused(reason, lines);
    }

    pub(super) fn refused_for(&self, reason: RefuseReason) -> u64 {
        self.refused_by_reason[reason as usize].load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) -> u64 {
        RefuseReason::ALL.into_iter().map(|(reason, _)| self.refused_for(reason)).sum()
    }

    /// Why the journal refused the last append, if it did.
    pub(super) fn last_append_refused(&self) -> Option<RefuseReason> {
        let index = usize::from(self.last_append_refused.load(Ordering::Relaxed)).checked_sub(1)?;
        RefuseReason::ALL.get(index).map(|&(reason, _)| reason)
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
