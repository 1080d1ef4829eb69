//! Owns whether the service does what it is for, and who is told: the service manager and its watchdog.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{counts::Turned, service::Service};
use crate::exit::warn;

/// How often it is looked whether records get to the disk.
const LOOK: Duration = Duration::from_millis(500);

/// Since when records wait, and none of them becomes durable or is refused.
#[derive(Debug, Default)]
pub(super) struct Health {
    stuck: Mutex<Option<(Progress, Instant)>>,
}

/// The highest durable number, and how many clients were told that their records are not durable.
type Progress = (u64, u64);

impl Health {
    /// Looks again and again, for as long as the service lives.
    pub(super) async fn watch(service: &Service) {
        let mut looks = every(LOOK);
        loop {
            looks.tick().await;
            let stats = service.store.stats();
            let refused = service.counts.count_of(Turned::Store);
            service.health.look((stats.durable_seq, refused), stats.queue_bytes > 0, Instant::now());
        }
    }

    fn look(&self, progress: Progress, waiting: bool, now: Instant) {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        *stuck = match *stuck {
            Some((before, since)) if waiting && before == progress => Some((before, since)),
            _ => waiting.then_some((progress, now)),
        };
    }

    /// Records have not been waiting in vain for so long.
    pub(super) fn is_good(&self, patience: Duration) -> bool {
        let stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        stuck.is_none_or(|(_, since)| since.elapsed() < patience)
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
    let half = (patience / 2).max(Duration::from_millis(1));
    let mut ticks = every(half);
    loop {
        ticks.tick().await;
        // It is looked at less often than a short patience asks for.
        if service.health.is_good(half.max(2 * LOOK)) {
            notify(&NotifyState::Watchdog);
        } else {
            service.note("no record becomes durable: the watchdog is not told");
        }
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_that_wait_in_vain_are_a_fault() {
        let (begun, patience) = (Instant::now(), Duration::from_secs(60));
        let long_ago = begun.checked_sub(2 * patience).unwrap();
        let health = Health::default();
        health.look((7, 0), false, long_ago);
        health.look((7, 0), true, begun);
        assert!(health.is_good(patience), "they have only just come");
        health.look((7, 0), false, begun);
        health.look((7, 0), true, long_ago);
        health.look((7, 0), true, begun);
        assert!(!health.is_good(patience), "they have been waiting since long ago");
        health.look((8, 0), true, begun);
        assert!(health.is_good(patience), "one has become durable");
        health.look((8, 0), true, long_ago);
        health.look((8, 1), true, begun);
        assert!(health.is_good(patience), "a full disk has answered");
    }
}
