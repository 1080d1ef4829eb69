//! A histogram that one thread adds to while others read it, without a lock: nobody who looks can hold a commit up, and
//! a fork never finds it locked.
//!
//! Its buckets are those of an HdrHistogram with three significant digits, so that what is read is what such a histogram
//! would have recorded, but for the least and the greatest value, which are those of their buckets.

use hdrhistogram::{CreationError, Histogram};

use crate::sync::stats::{AtomicU64, Once, Ordering};

/// Significant decimal digits.
const DIGITS: u8 = 3;

/// Buckets of width 1 that so many digits need: the power of two from twice a thousand on. From there on, each next half
/// as many are twice as wide.
const SUB_BUCKETS: u64 = 2048;

/// Buckets of one width, but for the narrowest, of which there are twice as many.
const ROW: u64 = SUB_BUCKETS / 2;

/// The greatest value; larger ones count as this one: an hour in nanoseconds.
pub(super) const VALUE_MAX: u64 = 3600 * 1_000_000_000;

/// Up to `VALUE_MAX`.
const ROWS: usize = (place(VALUE_MAX) / ROW + 1) as usize;

type Row = Box<[AtomicU64]>;

/// Memory is taken by the row, when something falls into it.
#[derive(Debug)]
pub(super) struct AtomicHistogram {
    rows: [Once<Row>; ROWS],
}

impl Default for AtomicHistogram {
    fn default() -> Self {
        Self { rows: std::array::from_fn(|_| Once::new()) }
    }
}

impl AtomicHistogram {
    pub(super) fn record(&self, value: u64) {
        let place = place(value.min(VALUE_MAX));
        let row =
            self.rows[(place / ROW) as usize].get_or_init(|| (0..ROW).map(|_| AtomicU64::new(0)).collect());
        row[(place % ROW) as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What was recorded so far, in a histogram like `empty`.
    pub(super) fn read(&self, empty: &Histogram<u64>) -> Histogram<u64> {
        let mut histogram = like(empty);
        // From the greatest value down: it then grows once.
        for (index, row) in self.rows.iter().enumerate().rev() {
            let Some(row) = row.get() else { continue };
            for (place, count) in (index as u64 * ROW..).zip(row) {
                match count.load(Ordering::Relaxed) {
                    0 => {}
                    count => add(&mut histogram, value_max(place), count),
                }
            }
        }
        histogram
    }
}

/// An empty histogram with the buckets of a tally, as small as there is one: it grows with what is recorded.
pub(super) fn empty() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, 2, DIGITS)
}

fn like(other: &Histogram<u64>) -> Histogram<u64> {
    let mut histogram = Histogram::new_from(other);
    histogram.auto(true);
    histogram
}

/// Such a histogram takes whatever there is memory for.
fn add(histogram: &mut Histogram<u64>, value: u64, count: u64) {
    let added = histogram.record_n(value, count);
    debug_assert!(added.is_ok(), "{value}: {added:?}");
}

/// What `later` has more than `earlier`; nothing where it has less.
pub(super) fn difference(later: &Histogram<u64>, earlier: &Histogram<u64>) -> Histogram<u64> {
    let mut difference = like(later);
    for step in later.iter_recorded() {
        let value = step.value_iterated_to();
        let before = if value <= earlier.max() { earlier.count_at(value) } else { 0 };
        let count = step.count_at_value().saturating_sub(before);
        if count > 0 {
            add(&mut difference, value, count);
        }
    }
    difference
}

/// The place of a value's bucket among all.
const fn place(value: u64) -> u64 {
    let doublings = (u64::BITS - (value | (SUB_BUCKETS - 1)).leading_zeros() - SUB_BUCKETS.ilog2()) as u64;
    doublings * ROW + (value >> doublings)
}

/// The greatest value of a bucket.
fn value_max(place: u64) -> u64 {
    let doublings = (place / ROW).saturating_sub(1);
    ((place - doublings * ROW + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As many small values as large ones.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        let value = (0..u64::BITS, any::<u64>()).prop_map(|(shift, value)| value >> shift);
        proptest::collection::vec(value, 0..200)
    }

    fn recorded(values: &[u64]) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_max(VALUE_MAX, DIGITS).unwrap();
        values.iter().for_each(|&value| histogram.record(value.min(VALUE_MAX)).unwrap());
        histogram
    }

    fn snapshot(values: &[u64]) -> Histogram<u64> {
        let atomic_histogram = AtomicHistogram::default();
        values.iter().for_each(|&value| atomic_histogram.record(value));
        atomic_histogram.read(&empty().unwrap())
    }

    /// Every bucket with something in it.
    fn counts(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
        histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    }

    proptest! {
        #[test]
        fn a_tally_has_the_buckets_of_the_histogram(values in values()) {
            let (snapshot, recorded) = (snapshot(&values), recorded(&values));
            prop_assert_eq!(counts(&snapshot), counts(&recorded));
            prop_assert_eq!(snapshot.min(), recorded.min());
            prop_assert_eq!(snapshot.max(), recorded.highest_equivalent(recorded.max()));
            prop_assert_eq!(snapshot.mean(), recorded.mean());
        }

        #[test]
        fn a_difference_is_what_came_later(before in values(), after in values()) {
            let all: Vec<u64> = before.iter().chain(&after).copied().collect();
            let difference = difference(&snapshot(&all), &snapshot(&before));
            prop_assert_eq!(counts(&difference), counts(&snapshot(&after)));
        }
    }

    #[test]
    fn every_bucket_up_to_an_hour_has_its_place() {
        for place in 0..=place(VALUE_MAX) {
            let value = value_max(place);
            assert_eq!(super::place(value), place);
            assert_eq!(super::place(value + 1), place + 1);
        }
        assert_eq!((ROWS as u64 - 1) * ROW, place(VALUE_MAX) / ROW * ROW);
    }

    #[test]
    fn memory_is_taken_only_for_what_was_recorded() {
        let atomic_histogram = AtomicHistogram::default();
        (40_000..80_000).for_each(|value| atomic_histogram.record(value));
        assert!(atomic_histogram.rows.iter().filter(|row| row.get().is_some()).count() <= 2);
        atomic_histogram.record(u64::MAX);
        let read = atomic_histogram.read(&empty().unwrap());
        assert_eq!((read.len(), read.max()), (40_001, read.highest_equivalent(VALUE_MAX)));
    }
}
