//! Spinning of the writer thread after a commit, until the callers that it has just woken append again.
//!
//! A commit costs about the same for one append as for many, and a parked thread takes a while to wake. So where all
//! the callers of the last group append again at once (a closed loop), it pays to spin for part of a commit's time.
//! Whether they do is learned: after each spin without success, twice as many commits pass without one, so that
//! independent appends are not delayed. The writer thread never spins on a machine with one processor.

use std::time::{Duration, Instant};

use crate::{journal::status::is_multicore, sync::thread};

/// The longest spin, however slow the disk is.
const SPIN_MAX: Duration = Duration::from_micros(100);

/// With more callers than this the writer thread does not spin: they take longer to append again than a commit takes.
const MAX_WOKEN: u64 = 64;

/// Polls between two reads of the clock. Each poll yields the processor to other threads.
const POLLS_PER_CLOCK_READ: u32 = 4;

/// The highest count of consecutive misses: at most `2^MAX_MISSES - 1` commits pass without a spin.
const MAX_MISSES: u32 = 10;

#[derive(Debug)]
pub(super) struct AdaptiveSpin {
    is_multicore: bool,
    /// Consecutive spins without success.
    misses: u32,
    /// Commits without a spin before the next one.
    skip: u32,
}

impl AdaptiveSpin {
    pub(super) fn new() -> Self {
        Self { is_multicore: is_multicore(), misses: 0, skip: 0 }
    }

    /// Spins until `appends` returns `woken` more than now, at most for three quarters of `last_commit_latency`.
    pub(super) fn wait_for(&mut self, woken: u64, last_commit_latency: Duration, appends: impl Fn() -> u64) {
        if !self.is_multicore || !(1..=MAX_WOKEN).contains(&woken) {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        let began = Instant::now();
        let limit = (last_commit_latency * 3 / 4).min(SPIN_MAX);
        let expected = appends() + woken;
        while began.elapsed() < limit {
            for _ in 0..POLLS_PER_CLOCK_READ {
                if appends() >= expected {
                    self.misses = 0;
                    return;
                }
                thread::yield_now();
            }
        }
        self.misses = (self.misses + 1).min(MAX_MISSES);
        self.skip = (1 << self.misses) - 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    fn spin() -> AdaptiveSpin {
        AdaptiveSpin { is_multicore: true, misses: 0, skip: 0 }
    }

    #[test]
    fn spin_ends_when_all_callers_append_again() {
        let (mut spin, polls) = (spin(), Cell::new(7));
        spin.wait_for(3, LONG, || polls.replace(polls.get() + 1));
        assert_eq!(polls.get(), 7 + 4, "polled once at the start and until three more had arrived");
        assert_eq!((spin.misses, spin.skip), (0, 0));
    }

    #[test]
    fn spins_become_rare_after_misses() {
        let (mut spin, polls) = (spin(), Cell::new(0u64));
        let no_append = || {
            polls.set(polls.get() + 1);
            0
        };
        let mut tries = 0;
        for _ in 0..5000 {
            let before = polls.get();
            spin.wait_for(1, Duration::from_nanos(1), no_append);
            tries += u32::from(polls.get() > before);
        }
        assert_eq!(tries, 13, "after 0, 1, 3, 7, … commits, then after 1023 each");
    }

    #[test]
    fn no_spin_after_zero_or_too_many_wakeups() {
        spin().wait_for(0, LONG, || panic!("polled"));
        spin().wait_for(MAX_WOKEN + 1, LONG, || panic!("polled"));
    }
}
