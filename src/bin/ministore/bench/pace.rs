//! Owns when a caller may append again: at once (a closed loop), or at fixed times, whatever happened before (an
//! open loop). One pace serves the callers of one thread.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use crate::units;

/// A disk that is given a thousand times what it can take must not be followed by an hour of counting.
const MISSED_MAX: u64 = 1_000_000;

/// The times of an open loop's appends: one every `step` from `first` on, as long as it is before the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) first: Instant,
    /// In seconds: a nanosecond is too coarse for high rates.
    pub(super) step: f64,
}

impl Times {
    /// So many appends a second by all threads together, the share of one of them: the times of the threads lie evenly
    /// between each other.
    pub(super) fn share(begun: Instant, rate: f64, thread: u32, threads: u32) -> Self {
        let step = f64::from(threads) / rate;
        Self { first: begun + Duration::from_secs_f64(f64::from(thread) / rate), step }
    }

    fn at(&self, n: u64) -> Instant {
        self.first + Duration::from_secs_f64(n as f64 * self.step)
    }

    /// How many there are before that.
    fn before(&self, end: Instant) -> u64 {
        units::whole((end.saturating_duration_since(self.first).as_secs_f64() / self.step).ceil())
    }
}

/// Hands out the times at which appends are due.
#[derive(Debug)]
pub(super) struct Pace {
    /// `None`: a closed loop.
    times: Option<Times>,
    until: Instant,
    taken: Cell<u64>,
    stopped: Cell<bool>,
    waiting: RefCell<VecDeque<Waker>>,
}

impl Pace {
    pub(super) fn new(times: Option<Times>, until: Instant) -> Self {
        Self { times, until, taken: Cell::default(), stopped: Cell::default(), waiting: RefCell::default() }
    }

    /// When the next append is due; for a caller that may be late. `None` when it is over.
    pub(super) async fn next(&self) -> Option<Instant> {
        poll_fn(|cx| {
            let now = Instant::now();
            if self.stopped.get() || now >= self.until {
                return Poll::Ready(None);
            }
            match self.due() {
                None => Poll::Ready(Some(now)),
                Some(due) if due >= self.until => Poll::Ready(None),
                Some(due) if due <= now => {
                    self.taken.set(self.taken.get() + 1);
                    Poll::Ready(Some(due))
                }
                Some(_) => {
                    self.waiting.borrow_mut().push_back(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Wakes as many waiting callers as there are appends due; returns when to call again, if somebody waits.
    pub(super) fn wake_due(&self) -> Option<Instant> {
        let times = self.times?;
        let mut woken = 0;
        loop {
            if self.waiting.borrow().is_empty() {
                return None;
            }
            let due = times.at(self.taken.get() + woken);
            let over = self.stopped.get() || due >= self.until;
            if !over && due > Instant::now() {
                return Some(due);
            }
            woken += 1;
            let waker = self.waiting.borrow_mut().pop_front();
            waker?.wake();
        }
    }

    /// Nothing more is due.
    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    /// The times that have come and that no caller was free for, each with how many it stands for: far more than so
    /// many are told by some of them.
    pub(super) fn missed(&self) -> impl Iterator<Item = (Instant, u64)> {
        let end = if self.stopped.get() { self.until.min(Instant::now()) } else { self.until };
        let (times, taken) = (self.times, self.taken.get());
        let count = times.map_or(0, |times| times.before(end).saturating_sub(taken));
        let each = count.div_ceil(MISSED_MAX).max(1);
        let places = (0..count.div_ceil(each)).map(move |n| n * each);
        places.filter_map(move |n| Some((times?.at(taken + n), each.min(count - n))))
    }

    fn due(&self) -> Option<Instant> {
        self.times.map(|times| times.at(self.taken.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_the_threads_make_the_rate_together() {
        let begun = Instant::now();
        let mut all: Vec<_> = (0..3)
            .flat_map(|thread| {
                let times = Times::share(begun, 300.0, thread, 3);
                (0..4).map(move |n| times.at(n).duration_since(begun))
            })
            .collect();
        all.sort();
        let gaps = all.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.map(|gap| gap.as_micros()).all(|gap| (3332..=3334).contains(&gap)), "{all:?}");
    }

    #[test]
    fn what_nobody_was_free_for_is_missed() {
        let begun = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let times = Times { first: begun, step: 0.1 };
        let pace = Pace::new(Some(times), begun + Duration::from_secs(1));
        assert_eq!(pollster::block_on(pace.next()), None, "it is over");
        assert_eq!(pace.missed().map(|(_, count)| count).sum::<u64>(), 10);
        assert_eq!(Pace::new(None, begun).missed().count(), 0);
    }

    #[test]
    fn far_too_many_missed_ones_are_told_by_some_of_them() {
        let begun = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let times = Times { first: begun, step: 1e-8 };
        let missed: Vec<_> = Pace::new(Some(times), begun + Duration::from_secs(1)).missed().collect();
        assert!(missed.len() as u64 <= MISSED_MAX);
        assert_eq!(missed.iter().map(|(_, count)| count).sum::<u64>(), 100_000_000);
        assert!(missed.is_sorted() && missed.last().unwrap().0 < begun + Duration::from_secs(1));
    }

    #[test]
    fn appends_are_due_at_their_times_however_late_they_are_asked_for() {
        let begun = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let times = Times { first: begun, step: 0.1 };
        let pace = Pace::new(Some(times), begun + Duration::from_secs(60));
        let due: Vec<_> = (0..10).map(|_| pollster::block_on(pace.next()).unwrap() - begun).collect();
        assert_eq!(due, (0..10).map(|n| Duration::from_millis(100 * n)).collect::<Vec<_>>());
    }
}
