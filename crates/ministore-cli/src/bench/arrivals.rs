//! The arrival process: when a client may append again, at once (closed loop) or at fixed times (open loop). One instance
//! serves the clients of one thread.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use crate::units;

/// Bounds the time to count appends that were not started.
const MISSED_MAX: u64 = 1_000_000;

/// The due times of an open loop: one every `step` from `first` on, until the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct ArrivalSchedule {
    pub(super) first: Instant,
    /// In seconds: nanoseconds are too coarse for high rates.
    pub(super) step: f64,
}

impl ArrivalSchedule {
    /// The share of one thread of `rate` appends per second; the due times of the threads interleave evenly.
    pub(super) fn share(begun: Instant, rate: f64, thread: u32, threads: u32) -> Self {
        let step = f64::from(threads) / rate;
        Self { first: begun + Duration::from_secs_f64(f64::from(thread) / rate), step }
    }

    fn at(&self, n: u64) -> Instant {
        self.first + Duration::from_secs_f64(n as f64 * self.step)
    }

    /// The number of due times before `end`.
    fn before(&self, end: Instant) -> u64 {
        units::whole((end.saturating_duration_since(self.first).as_secs_f64() / self.step).ceil())
    }
}

/// Yields the due times.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// `None`: closed loop.
    times: Option<ArrivalSchedule>,
    /// Appends that are due before it are warm-up.
    from: Instant,
    until: Instant,
    started: Cell<u64>,
    /// Closed loop: an append was begun at or after `from`.
    measured: Cell<bool>,
    stopped: Cell<bool>,
    waiting: RefCell<VecDeque<Waker>>,
}

impl Arrivals {
    pub(super) fn new(times: Option<ArrivalSchedule>, from: Instant, until: Instant) -> Self {
        Self {
            times,
            from,
            until,
            started: Cell::default(),
            measured: Cell::default(),
            stopped: Cell::default(),
            waiting: RefCell::default(),
        }
    }

    /// Returns the due time of the next append, possibly in the past; `None` at the end. A closed loop does not end before it
    /// has begun an append to measure: otherwise a stall from the warm-up to the end would leave none.
    pub(super) async fn next(&self) -> Option<Instant> {
        poll_fn(|cx| {
            let now = Instant::now();
            let is_over = now >= self.until && (self.times.is_some() || self.measured.get());
            if self.stopped.get() || is_over {
                return Poll::Ready(None);
            }
            match self.due() {
                None => {
                    self.measured.set(self.measured.get() || now >= self.from);
                    Poll::Ready(Some(now))
                }
                Some(due) if due >= self.until => Poll::Ready(None),
                Some(due) if due <= now => {
                    self.started.set(self.started.get() + 1);
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

    /// Wakes one waiting client per due append; returns when to call again if clients wait.
    pub(super) fn wake_due(&self) -> Option<Instant> {
        let times = self.times?;
        let mut woken = 0;
        loop {
            if self.waiting.borrow().is_empty() {
                return None;
            }
            let due = times.at(self.started.get() + woken);
            let over = self.stopped.get() || due >= self.until;
            if !over && due > Instant::now() {
                return Some(due);
            }
            woken += 1;
            let waker = self.waiting.borrow_mut().pop_front();
            waker?.wake();
        }
    }

    /// Ends the schedule.
    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    /// The due times for which no client was free, each with the number of appends it represents (a sample if there are very
    /// many).
    pub(super) fn unstarted(&self) -> impl Iterator<Item = (Instant, u64)> {
        let end = if self.stopped.get() { self.until.min(Instant::now()) } else { self.until };
        let (times, started) = (self.times, self.started.get());
        let count = times.map_or(0, |times| times.before(end).saturating_sub(started));
        let each = count.div_ceil(MISSED_MAX).max(1);
        let indexes = (0..count.div_ceil(each)).map(move |n| n * each);
        indexes.filter_map(move |n| Some((times?.at(started + n), each.min(count - n))))
    }

    fn due(&self) -> Option<Instant> {
        self.times.map(|times| times.at(self.started.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_the_rate_evenly() {
        let begun = Instant::now();
        let mut all: Vec<_> = (0..3)
            .flat_map(|thread| {
                let times = ArrivalSchedule::share(begun, 300.0, thread, 3);
                (0..4).map(move |n| times.at(n).duration_since(begun))
            })
            .collect();
        all.sort();
        let gaps = all.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.map(|gap| gap.as_micros()).all(|gap| (3332..=3334).contains(&gap)), "{all:?}");
    }

    #[test]
    fn append_without_free_client_is_not_started() {
        let begun = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let times = ArrivalSchedule { first: begun, step: 0.1 };
        let arrivals = Arrivals::new(Some(times), begun, begun + Duration::from_secs(1));
        assert_eq!(pollster::block_on(arrivals.next()), None, "it is over");
        assert_eq!(arrivals.unstarted().map(|(_, count)| count).sum::<u64>(), 10);
        assert_eq!(Arrivals::new(None, begun, begun).unstarted().count(), 0);
    }

    #[test]
    fn very_many_unstarted_appends_are_sampled() {
        let begun = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let times = ArrivalSchedule { first: begun, step: 1e-8 };
        let unstarted: Vec<_> =
            Arrivals::new(Some(times), begun, begun + Duration::from_secs(1)).unstarted().collect();
        assert!(unstarted.len() as u64 <= MISSED_MAX);
        assert_eq!(unstarted.iter().map(|(_, count)| count).sum::<u64>(), 100_000_000);
        assert!(unstarted.is_sorted() && unstarted.last().unwrap().0 < begun + Duration::from_secs(1));
    }

    #[test]
    fn due_times_do_not_depend_on_late_clients() {
        let begun = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let times = ArrivalSchedule { first: begun, step: 0.1 };
        let arrivals = Arrivals::new(Some(times), begun, begun + Duration::from_secs(60));
        let due: Vec<_> = (0..10).map(|_| pollster::block_on(arrivals.next()).unwrap() - begun).collect();
        assert_eq!(due, (0..10).map(|n| Duration::from_millis(100 * n)).collect::<Vec<_>>());
    }
}
