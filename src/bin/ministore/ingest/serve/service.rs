//! Owns what all clients share.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ministore_uring::{MiniStore, MiniStoreError};
use tokio::sync::Semaphore;

use super::{
    args::ServeArgs, aside::Aside, counts::Counts, ending::Ending, health::Health, limits::LONG_LINES_BYTES,
    token::Allowed,
};
use crate::exit::{Failure, warn};

/// Warnings about clients in a second. Whoever floods the service does not flood its log.
const NOTES_A_SECOND: u32 = 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) store: MiniStore,
    pub(super) limits: Limits,
    pub(super) allowed: Allowed,
    pub(super) aside: Aside,
    pub(super) counts: Counts,
    pub(super) ending: Ending,
    pub(super) health: Health,
    /// A permit a client.
    pub(super) room: Arc<Semaphore>,
    /// A permit a byte: see [`LONG_LINES_BYTES`].
    pub(super) memory: Arc<Semaphore>,
    notes: Mutex<Notes>,
}

/// What a client may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) line_bytes_max: usize,
    /// `None`: it may be silent.
    pub(super) idle: Option<Duration>,
    pub(super) unread: Duration,
}

#[derive(Debug)]
struct Notes {
    second: Instant,
    told: u32,
    held_back: u64,
}

impl Service {
    pub(super) fn new(
        store: MiniStore,
        args: &ServeArgs,
        allowed: Allowed,
        aside: Aside,
        ending: Ending,
    ) -> Self {
        let limits = Limits {
            line_bytes_max: args.max_line_bytes,
            idle: Some(args.idle_timeout).filter(|idle| !idle.is_zero()),
            unread: args.unread_timeout,
        };
        // The longest line must find room, with its copies.
        let memory = LONG_LINES_BYTES.max(8 * args.max_line_bytes);
        Self {
            store,
            limits,
            allowed,
            aside,
            counts: Counts::default(),
            ending,
            health: Health::default(),
            room: Arc::new(Semaphore::new(args.max_clients as usize)),
            memory: Arc::new(Semaphore::new(memory)),
            notes: Mutex::new(Notes { second: Instant::now(), told: 0, held_back: 0 }),
        }
    }

    /// Something about a client that whoever runs the service should see.
    pub(super) fn note(&self, message: impl std::fmt::Display) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.second.elapsed() >= Duration::from_secs(1) {
            if notes.held_back > 0 {
                warn(format_args!("{} more warnings about clients within a second", notes.held_back));
            }
            *notes = Notes { second: Instant::now(), told: 0, held_back: 0 };
        }
        if notes.told < NOTES_A_SECOND {
            notes.told += 1;
            warn(message);
        } else {
            notes.held_back += 1;
        }
    }

    /// An append was refused. Where the journal takes nothing more, the service ends.
    pub(super) fn refused(&self, error: &MiniStoreError) {
        use MiniStoreError as E;
        if matches!(error, E::Poisoned { .. } | E::WriterGone | E::Closed) {
            self.ending.fail(Failure::store(self.store.path(), error));
        }
    }
}
