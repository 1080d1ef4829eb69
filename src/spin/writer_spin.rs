//! Spinning of the writer thread after a commit, until the callers that it has just woken append again.
//!
//! A commit costs about the same for one append as for many, and a parked thread takes a while to wake. So where all
//! the callers of the last group append again at once (a closed loop), it pays to spin for part of a commit's time.
//! Independent appends are not delayed: a spin that not all callers end is a miss.

use std::time::{Duration, Instant};

use super::{SpinBackoff, is_multicore};
use crate::sync::thread;

/// The longest spin, however slow the disk is: callers that append again do so within this time.
const SPIN_MAX: Duration = Duration::from_micros(100);

/// With more callers than this the writer thread does not spin: they take longer to append again than a commit takes.
const MAX_WOKEN: u64 = 64;

/// Polls between two reads of the clock. Each poll yields the processor to other threads.
const POLLS_PER_CLOCK_READ: u32 = 4;

#[derive(Debug)]
pub(crate) struct WriterSpin {
    is_enabled: bool,
    backoff: SpinBackoff,
}

impl WriterSpin {
    /// Returns a spin that does nothing if `enabled` is not set, or where there is one processor.
    pub(crate) fn new(enabled: bool) -> Self {
        Self { is_enabled: enabled && is_multicore(), backoff: SpinBackoff::default() }
    }

    /// Spins until `appends` returns `woken` more than now, at most for three quarters of `last_commit_latency`.
    pub(crate) fn wait_for(&mut self, woken: u64, last_commit_latency: Duration, appends: impl Fn() -> u64) {
        if !self.is_enabled || !(1..=MAX_WOKEN).contains(&woken) || self.backoff.skips() {
            return;
        }
        let began = Instant::now();
        let limit = (last_commit_latency * 3 / 4).min(SPIN_MAX);
        let expected = appends() + woken;
        while began.elapsed() < limit {
            for _ in 0..POLLS_PER_CLOCK_READ {
                if appends() >= expected {
                    return self.backoff.record(true);
                }
                thread::yield_now();
            }
        }
        self.backoff.record(false);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    fn spin() -> WriterSpin {
        WriterSpin { is_enabled: true, backoff: SpinBackoff::default() }
    }

    #[test]
    fn spin_ends_when_all_callers_append_again() {
        let (mut spin, polls) = (spin(), Cell::new(7));
        spin.wait_for(3, LONG, || polls.replace(polls.get() + 1));
        assert_eq!(polls.get(), 7 + 4, "polled once at the start and until three more had arrived");
        assert!(!spin.backoff.skips(), "it has paid");
    }

    #[test]
    fn spin_without_appends_is_a_miss() {
        let mut spin = spin();
        spin.wait_for(1, Duration::from_nanos(1), || 0);
        assert!(spin.backoff.skips());
    }

    #[test]
    fn no_spin_after_zero_or_too_many_wakeups() {
        spin().wait_for(0, LONG, || panic!("polled"));
        spin().wait_for(MAX_WOKEN + 1, LONG, || panic!("polled"));
        WriterSpin::new(false).wait_for(1, LONG, || panic!("polled"));
    }
}
