//! Owns whether the service does what it is for, and who is told: the service manager and its watchdog.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ministore_uring::Stats;
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use super::service::Service;
use crate::exit::warn;

/// What was seen when it was looked at last.
#[derive(Debug, Default)]
pub(super) struct Health {
    last: Mutex<Option<(u64, u64)>>,
}

impl Health {
    /// The journal accepts records, and those that waited at the last look are not all still waiting.
    pub(super) fn look(&self, stats: &Stats) -> bool {
        let now = (stats.durable_seq, stats.queue_bytes);
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        let is_stuck = last.is_some_and(|last| last.1 > 0 && now.1 > 0 && last.0 == now.0);
        !stats.poisoned && !is_stuck
    }
}

/// The service manager, where there is one: without `NOTIFY_SOCKET` nothing is sent.
pub(super) fn notify(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        warn(format_args!("cannot notify the service manager: {error}"));
    }
}

/// Tells the watchdog, twice as often as it asks, for as long as records get to the disk. A runtime that hangs tells it
/// nothing, nor does a disk that does not answer.
pub(super) async fn watchdog(service: &Service) {
    let Some(patience) = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero()) else {
        return std::future::pending().await;
    };
    let health = Health::default();
    let mut ticks = interval((patience / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if health.look(&service.store.stats()) {
            notify(&NotifyState::Watchdog);
        } else {
            service.note("no record becomes durable: the watchdog is not told");
        }
    }
}
