//! Records the latencies of the clients of one thread, in total and per interval.

use std::time::{Duration, Instant};

use hdrhistogram::{AdditionError, Histogram};
use ministore_uring::{MiniStoreError, Result};

/// Longer latencies are recorded with this value.
const LATENCY_MAX: Duration = Duration::from_secs(600);

/// The time of the measurement; appends that were due before it are warm-up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) from: Instant,
    pub(super) until: Instant,
    /// The length of an interval.
    pub(super) interval: Duration,
}

impl Window {
    /// The number of intervals; later appends belong to the last one.
    fn intervals(&self) -> usize {
        let count = (self.until - self.from).as_nanos().div_ceil(self.interval.as_nanos().max(1));
        usize::try_from(count).unwrap_or(1).max(1)
    }

    fn interval_of(&self, moment: Instant) -> usize {
        let after = moment.saturating_duration_since(self.from).as_nanos();
        usize::try_from(after / self.interval.as_nanos().max(1)).unwrap_or(usize::MAX)
    }
}

/// Histograms of nanoseconds. Those of intervals have two significant digits, to limit the memory.
#[derive(Debug)]
pub(super) struct Recorder {
    window: Window,
    pub(super) latency: Histogram<u64>,
    /// The delay between due time and start of an append. Empty in a closed loop.
    pub(super) late: Histogram<u64>,
    pub(super) intervals: Vec<Histogram<u32>>,
    pub(super) appends: u64,
    /// Appends that were due and not started, as no client was free.
    pub(super) not_started: u64,
}

impl Recorder {
    pub(super) fn new(window: Window) -> Result<Self> {
        let invalid = |error| invalid(&error);
        let total = || Histogram::new_with_bounds(1, nanos(LATENCY_MAX), 3).map_err(invalid);
        let intervals = (0..window.intervals()).map(|_| Histogram::new(2).map_err(invalid));
        Ok(Self {
            window,
            latency: total()?,
            late: total()?,
            intervals: intervals.collect::<Result<_>>()?,
            appends: 0,
            not_started: 0,
        })
    }

    /// Records the start of an append in an open loop.
    pub(super) fn begun(&mut self, due: Instant) {
        if due >= self.window.from {
            self.late.saturating_record(nanos(due.elapsed()));
        }
    }

    /// Records a durable append.
    pub(super) fn ended(&mut self, due: Instant, ended: Instant) {
        if due >= self.window.from {
            self.appends += 1;
            self.record(due, ended, 1);
        }
    }

    /// Records appends that were due and not started before the end, with the latency so far.
    pub(super) fn unstarted(&mut self, due: Instant, ended: Instant, count: u64) {
        if due >= self.window.from {
            self.not_started += count;
            self.record(due, ended, count);
        }
    }

    fn record(&mut self, due: Instant, ended: Instant, count: u64) {
        let took = nanos(ended.saturating_duration_since(due)).max(1);
        self.latency.saturating_record_n(took, count);
        let at = self.window.interval_of(ended).min(self.intervals.len() - 1);
        // The histogram resizes itself.
        let counted = self.intervals[at]
            .record_n(took.min(nanos(LATENCY_MAX)), u32::try_from(count).unwrap_or(u32::MAX));
        debug_assert!(counted.is_ok(), "{took}: {counted:?}");
    }

    pub(super) fn add(&mut self, other: &Self) -> Result<()> {
        let mut add = || -> std::result::Result<(), AdditionError> {
            self.latency.add(&other.latency)?;
            self.late.add(&other.late)?;
            self.intervals.iter_mut().zip(&other.intervals).try_for_each(|(all, one)| all.add(one))
        };
        add().map_err(|error| invalid(&error))?;
        self.appends += other.appends;
        self.not_started += other.not_started;
        Ok(())
    }
}

fn invalid(error: &impl ToString) -> MiniStoreError {
    MiniStoreError::InvalidArgument(error.to_string())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_is_not_counted() {
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        let window = Window { from: after(100), until: after(300), interval: Duration::from_millis(60) };
        let mut recorder = Recorder::new(window).unwrap();
        recorder.ended(after(99), after(150));
        recorder.unstarted(after(99), after(150), 1);
        for (due, ended) in [(100, 101), (150, 165), (200, 299), (299, 900)] {
            recorder.ended(after(due), after(ended));
        }
        recorder.unstarted(after(250), after(300), 1);
        assert_eq!((recorder.appends, recorder.not_started), (4, 1));
        assert_eq!(recorder.latency.len(), 5);
        assert_eq!(recorder.intervals.iter().map(Histogram::len).collect::<Vec<_>>(), [1, 1, 0, 3]);
        assert!(recorder.latency.max() >= 600_000_000);
    }
}
