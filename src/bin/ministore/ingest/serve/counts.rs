//! Owns what the service counts: for the summary, and for whoever reads its metrics.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::ingest::bad;

/// Why a client was not let in, or was disconnected. The names are labels of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// Refused: there are as many as may be.
    Full,
    /// Refused: not an allowed user or group.
    Peer,
    /// Refused: no token, or not one of those allowed.
    Token,
    /// Disconnected: no line for too long.
    Idle,
    /// Disconnected: its answers were not taken.
    Unread,
    /// Disconnected: a bad line.
    BadLine,
    /// Disconnected: its line is long, and too many long lines are being read.
    Memory,
    /// Disconnected: its records could not be made durable.
    Store,
}

impl Turned {
    const ALL: [Self; 8] = [
        Self::Full,
        Self::Peer,
        Self::Token,
        Self::Idle,
        Self::Unread,
        Self::BadLine,
        Self::Memory,
        Self::Store,
    ];

    pub(super) fn is_refusal(self) -> bool {
        matches!(self, Self::Full | Self::Peer | Self::Token)
    }

    fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Peer => "peer",
            Self::Token => "token",
            Self::Idle => "idle",
            Self::Unread => "unread",
            Self::BadLine => "bad_line",
            Self::Memory => "memory",
            Self::Store => "store",
        }
    }
}

/// Since the service began.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Connected now.
    pub(super) clients: AtomicU64,
    /// Let in so far.
    pub(super) clients_total: AtomicU64,
    turned: [AtomicU64; Turned::ALL.len()],
    /// Lines that are not blank, hellos not counted.
    pub(super) lines: AtomicU64,
    pub(super) bad_lines: AtomicU64,
    /// Received from clients.
    pub(super) bytes: AtomicU64,
    /// Records that were acknowledged to a client that asked for it.
    pub(super) acknowledged: AtomicU64,
    aside: Mutex<bad::Counts>,
}

impl Counts {
    pub(super) fn turned(&self, why: Turned) {
        self.turned[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_of(&self, why: Turned) -> u64 {
        self.turned[why as usize].load(Ordering::Relaxed)
    }

    /// How many were refused, or, `false`, disconnected.
    pub(super) fn turned_away(&self, refused: bool) -> u64 {
        let those = Turned::ALL.into_iter().filter(|why| why.is_refusal() == refused);
        those.map(|why| self.count_of(why)).sum()
    }

    pub(super) fn put_aside(&self, what: impl FnOnce(&mut bad::Counts)) {
        what(&mut self.aside.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn aside(&self) -> bad::Counts {
        *self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands them to the recorder of the process.
    pub(super) fn publish(&self) {
        let all = [
            ("ministore_ingest_clients_total", &self.clients_total),
            ("ministore_ingest_lines_total", &self.lines),
            ("ministore_ingest_bad_lines_total", &self.bad_lines),
            ("ministore_ingest_received_bytes_total", &self.bytes),
            ("ministore_ingest_acknowledged_total", &self.acknowledged),
        ];
        for (name, count) in all {
            counter!(name).absolute(count.load(Ordering::Relaxed));
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of clients")]
        gauge!("ministore_ingest_clients").set(self.clients.load(Ordering::Relaxed) as f64);
        for why in Turned::ALL {
            let name = if why.is_refusal() {
                "ministore_ingest_refused_total"
            } else {
                "ministore_ingest_disconnected_total"
            };
            counter!(name, "reason" => why.label()).absolute(self.count_of(why));
        }
    }
}

/// Says what each metric means, once.
pub(super) fn describe() {
    describe_gauge!("ministore_ingest_clients", Unit::Count, "Clients connected now.");
    let counters = [
        ("ministore_ingest_clients_total", Unit::Count, "Clients let in."),
        ("ministore_ingest_refused_total", Unit::Count, "Clients not let in, by reason."),
        (
            "ministore_ingest_disconnected_total",
            Unit::Count,
            "Clients disconnected by the service, by reason.",
        ),
        ("ministore_ingest_lines_total", Unit::Count, "Lines received, blank ones not counted."),
        ("ministore_ingest_bad_lines_total", Unit::Count, "Lines that could not be records."),
        ("ministore_ingest_received_bytes_total", Unit::Bytes, "Bytes received."),
        (
            "ministore_ingest_acknowledged_total",
            Unit::Count,
            "Records acknowledged to clients that asked for it.",
        ),
    ];
    for (name, unit, meaning) in counters {
        describe_counter!(name, unit, meaning);
    }
}

/// One client more, for as long as it lives.
#[derive(Debug)]
pub(super) struct Present<'a>(&'a Counts);

impl<'a> Present<'a> {
    pub(super) fn new(counts: &'a Counts) -> Self {
        counts.clients.fetch_add(1, Ordering::Relaxed);
        counts.clients_total.fetch_add(1, Ordering::Relaxed);
        Self(counts)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}
