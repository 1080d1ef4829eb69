//! Monitors whether records become durable, and notifies the service manager and its watchdog.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{metrics::DisconnectReason, service::Service};
use crate::exit::warn;

/// The interval at which the progress is sampled.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// Detects that records wait while none of them becomes durable or is rejected.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The progress at which records started to wait, and when.
    stuck: Mutex<Option<(DurableProgress, Instant)>>,
}

/// The highest durable sequence number, and the number of clients whose records failed.
type DurableProgress = (u64, u64);

impl Health {
    /// Samples as long as the service runs.
    pub(super) async fn run(service: &Service) {
        let mut ticks = every(SAMPLE_INTERVAL);
        loop {
            ticks.tick().await;
            let stats = service.store.stats();
            let refused = service.metrics.disconnects_for(DisconnectReason::JournalError);
            service.health.sample((stats.durable_seq, refused), stats.queue_bytes > 0, Instant::now());
        }
    }

    fn sample(&self, progress: DurableProgress, waiting: bool, now: Instant) {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        *stuck = match *stuck {
            Some((before, since)) if waiting && before == progress => Some((before, since)),
            _ => waiting.then_some((progress, now)),
        };
    }

    /// Whether no record has waited without progress for this long.
    pub(super) fn is_healthy(&self, timeout_after: Duration) -> bool {
        let stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        stuck.is_none_or(|(_, since)| since.elapsed() < timeout_after)
    }
}

/// Notifies the service manager; does nothing without `NOTIFY_SOCKET`.
pub(super) fn notify(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        warn(format_args!("cannot notify the service manager: {error}"));
    }
}

/// Notifies the watchdog at twice its rate while records become durable. A blocked runtime or disk stops the notifications.
pub(super) async fn watchdog(service: &Service) {
    let Some(timeout_after) = sd_notify::watchdog_enabled().filter(|timeout_after| !timeout_after.is_zero())
    else {
        return std::future::pending().await;
    };
    let half = (timeout_after / 2).max(Duration::from_millis(1));
    let mut ticks = every(half);
    loop {
        ticks.tick().await;
        // A short watchdog interval can be shorter than the sampling interval.
        if service.health.is_healthy(half.max(2 * SAMPLE_INTERVAL)) {
            notify(&NotifyState::Watchdog);
        } else {
            service.warn_limited("records wait and none becomes durable; not notifying the watchdog");
        }
    }
}

/// Returns a timer that does not catch up on ticks that were missed.
pub(super) fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_without_progress_are_unhealthy() {
        let (begun, timeout_after) = (Instant::now(), Duration::from_secs(60));
        let long_ago = begun.checked_sub(2 * timeout_after).unwrap();
        let health = Health::default();
        health.sample((7, 0), false, long_ago);
        health.sample((7, 0), true, begun);
        assert!(health.is_healthy(timeout_after), "they have just arrived");
        health.sample((7, 0), false, begun);
        health.sample((7, 0), true, long_ago);
        health.sample((7, 0), true, begun);
        assert!(!health.is_healthy(timeout_after), "they have waited for too long");
        health.sample((8, 0), true, begun);
        assert!(health.is_healthy(timeout_after), "one became durable");
        health.sample((8, 0), true, long_ago);
        health.sample((8, 1), true, begun);
        assert!(health.is_healthy(timeout_after), "a full disk rejected one");
    }
}
