//! Whether the writer stays awake a moment for the callers it has just woken to come back.
//!
//! A commit costs much the same for one append as for many, and a parked thread takes a while to wake. So where all the
//! callers of the last group append again at once (a closed loop), it pays to look out for them for part of a commit's
//! time. Whether they do is learned: after a wait in vain more and more commits go by without one, so that appends that
//! come by themselves are not delayed. With one processor it is never done.

use std::time::{Duration, Instant};

use crate::{journal::status::is_multicore, sync::thread};

/// It is never waited longer, however slow the disk is.
const WAIT_MAX: Duration = Duration::from_micros(100);

/// More callers than this take longer to come back than a commit takes: it goes on beside them.
const MAX_WOKEN: u64 = 64;

/// Looks between two glances at the clock. Each gives way to whoever else wants the processor.
const POLLS_PER_CLOCK_READ: u32 = 4;

/// Waits in vain, one after the other, that still count: 2 to the power of this many commits go by without a wait.
const MAX_MISSES: u32 = 10;

#[derive(Debug)]
pub(super) struct AdaptiveSpin {
    possible: bool,
    /// Waits in vain, one after the other.
    in_vain: u32,
    /// Commits to go by before the next try.
    pass: u32,
}

impl AdaptiveSpin {
    pub(super) fn new() -> Self {
        Self { possible: is_multicore(), in_vain: 0, pass: 0 }
    }

    /// Waits until `woken` more appends are there than now, at most for three quarters of the time that the last commit
    /// took.
    pub(super) fn wait_for(&mut self, woken: u64, last_commit_latency: Duration, there: impl Fn() -> u64) {
        if !self.possible || !(1..=MAX_WOKEN).contains(&woken) {
            return;
        }
        if self.pass > 0 {
            self.pass -= 1;
            return;
        }
        let began = Instant::now();
        let limit = (last_commit_latency * 3 / 4).min(WAIT_MAX);
        let expected = there() + woken;
        while began.elapsed() < limit {
            for _ in 0..POLLS_PER_CLOCK_READ {
                if there() >= expected {
                    self.in_vain = 0;
                    return;
                }
                thread::yield_now();
            }
        }
        self.in_vain = (self.in_vain + 1).min(MAX_MISSES);
        self.pass = (1 << self.in_vain) - 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    fn linger() -> AdaptiveSpin {
        AdaptiveSpin { possible: true, in_vain: 0, pass: 0 }
    }

    #[test]
    fn it_ends_when_everybody_is_back() {
        let (mut linger, looks) = (linger(), Cell::new(7));
        linger.wait_for(3, LONG, || looks.replace(looks.get() + 1));
        assert_eq!(looks.get(), 7 + 4, "looked once at the start and until three more were there");
        assert_eq!((linger.in_vain, linger.pass), (0, 0));
    }

    #[test]
    fn waits_in_vain_become_rare() {
        let (mut linger, looks) = (linger(), Cell::new(0u64));
        let nobody = || {
            looks.set(looks.get() + 1);
            0
        };
        let mut tries = 0;
        for _ in 0..5000 {
            let before = looks.get();
            linger.wait_for(1, Duration::from_nanos(1), nobody);
            tries += u32::from(looks.get() > before);
        }
        assert_eq!(tries, 13, "after 0, 1, 3, 7, … commits, then after 1023 each");
    }

    #[test]
    fn linger_skipped_after_no_or_too_many_wakeups() {
        linger().wait_for(0, LONG, || panic!("looked"));
        linger().wait_for(MAX_WOKEN + 1, LONG, || panic!("looked"));
    }
}
