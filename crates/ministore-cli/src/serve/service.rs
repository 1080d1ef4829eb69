//! The state that all clients share.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ministore_uring::{MiniStore, MiniStoreError};
use tokio::sync::{Semaphore, watch};

use super::{
    args::Args, auth::AccessPolicy, bad_lines::BadLinePolicy, free_bytes, health::Health,
    limits::LONG_LINES_BYTES, metrics::ServiceMetrics, shutdown::Shutdown,
};
use crate::exit::{CliError, warn};

/// Limits the warnings about clients, so that a client cannot flood the log.
const WARNINGS_PER_SECOND: u32 = 10;

/// The shared state of the service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) store: MiniStore,
    pub(super) max_record_bytes: usize,
    /// `None`: no timeout.
    pub(super) idle_timeout: Option<Duration>,
    pub(super) write_timeout: Duration,
    pub(super) allowed: AccessPolicy,
    pub(super) bad_lines: BadLinePolicy,
    pub(super) metrics: ServiceMetrics,
    pub(super) shutdown: Shutdown,
    pub(super) health: Health,
    /// The last sample of the free space of the journal's file system, if it is known.
    pub(super) free_bytes: watch::Sender<Option<u64>>,
    /// One permit per client.
    pub(super) client_permits: Arc<Semaphore>,
    /// One permit per byte: see [`LONG_LINES_BYTES`].
    pub(super) memory: Arc<Semaphore>,
    log: Mutex<RateLimitedLog>,
}

#[derive(Debug)]
struct RateLimitedLog {
    second: Instant,
    emitted: u32,
    suppressed: u64,
}

impl Service {
    pub(super) fn new(
        store: MiniStore,
        args: &Args,
        allowed: AccessPolicy,
        bad_lines: BadLinePolicy,
        shutdown: Shutdown,
    ) -> Self {
        // The longest line must fit with its copies.
        let memory = LONG_LINES_BYTES.max(8 * args.max_record_bytes);
        Self {
            free_bytes: watch::Sender::new(free_bytes::sample(store.path())),
            store,
            max_record_bytes: args.max_record_bytes,
            idle_timeout: Some(args.idle_timeout).filter(|idle| !idle.is_zero()),
            write_timeout: args.write_timeout,
            allowed,
            bad_lines,
            metrics: ServiceMetrics::default(),
            shutdown,
            health: Health::default(),
            client_permits: Arc::new(Semaphore::new(args.max_clients as usize)),
            memory: Arc::new(Semaphore::new(memory)),
            log: Mutex::new(RateLimitedLog { second: Instant::now(), emitted: 0, suppressed: 0 }),
        }
    }

    /// Prints a warning about a client.
    pub(super) fn warn_limited(&self, message: impl std::fmt::Display) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.second.elapsed() >= Duration::from_secs(1) {
            if log.suppressed > 0 {
                warn(format_args!(
                    "{} more warnings about clients suppressed within a second",
                    log.suppressed
                ));
            }
            *log = RateLimitedLog { second: Instant::now(), emitted: 0, suppressed: 0 };
        }
        if log.emitted < WARNINGS_PER_SECOND {
            log.emitted += 1;
            warn(message);
        } else {
            log.suppressed += 1;
        }
    }

    /// Shuts the service down if the journal accepts no more records.
    pub(super) fn on_append_error(&self, error: &MiniStoreError) {
        use MiniStoreError as E;
        if matches!(error, E::Poisoned { .. } | E::WriterPanicked | E::Closed) {
            self.shutdown.trigger_with_error(CliError::store(self.store.path(), error));
        }
    }
}
