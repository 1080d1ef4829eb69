//! A histogram that one thread adds to while others read it, without a lock: a reader cannot delay a commit, and a
//! forked child never finds it locked.
//!
//! Its buckets are those of an HdrHistogram with three significant digits, so that a snapshot equals what such a
//! histogram would have recorded, except for the minimum and the maximum, which are those of their buckets.

use hdrhistogram::{CreationError, Histogram};

use crate::sync::stats::{AtomicU64, Once, Ordering};

/// Significant decimal digits.
const DIGITS: u8 = 3;

/// The number of buckets of width 1 that [`DIGITS`] need: the first power of two from 2000 on. After them, the width
/// doubles every [`ROW`] buckets.
const SUB_BUCKETS: u64 = 2048;

/// The number of buckets of each width; of width 1 there are twice as many.
const ROW: u64 = SUB_BUCKETS / 2;

/// The greatest value: an hour in nanoseconds. Larger ones count as this one.
pub(super) const VALUE_MAX: u64 = 3600 * 1_000_000_000;

/// The number of rows up to `VALUE_MAX`.
const ROWS: usize = (bucket(VALUE_MAX) / ROW + 1) as usize;

type Row = Box<[AtomicU64]>;

/// Allocates a row when the first value is added to it.
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
        let bucket = bucket(value.min(VALUE_MAX));
        let row =
            self.rows[(bucket / ROW) as usize].get_or_init(|| (0..ROW).map(|_| AtomicU64::new(0)).collect());
        row[(bucket % ROW) as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the recorded values in a histogram like `empty`.
    pub(super) fn read(&self, empty: &Histogram<u64>) -> Histogram<u64> {
        let mut histogram = like(empty);
        // From the greatest value down, so that the histogram grows only once.
        for (index, row) in self.rows.iter().enumerate().rev() {
            let Some(row) = row.get() else { continue };
            for (bucket, count) in (index as u64 * ROW..).zip(row) {
                match count.load(Ordering::Relaxed) {
                    0 => {}
                    count => add(&mut histogram, value_max(bucket), count),
                }
            }
        }
        histogram
    }
}

/// Returns an empty histogram with these buckets, of the smallest size. It grows as values are recorded.
pub(super) fn empty() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, 2, DIGITS)
}

fn like(other: &Histogram<u64>) -> Histogram<u64> {
    let mut histogram = Histogram::new_from(other);
    histogram.auto(true);
    histogram
}

/// Adds a value to a histogram that grows, which cannot fail.
fn add(histogram: &mut Histogram<u64>, value: u64, count: u64) {
    let added = histogram.record_n(value, count);
    debug_assert!(added.is_ok(), "{value}: {added:?}");
}

/// Returns the values that `later` has more than `earlier`; none where it has fewer.
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

/// Returns the index of a value's bucket.
const fn bucket(value: u64) -> u64 {
    let doublings = (u64::BITS - (value | (SUB_BUCKETS - 1)).leading_zeros() - SUB_BUCKETS.ilog2()) as u64;
    doublings * ROW + (value >> doublings)
}

/// Returns the greatest value of a bucket.
fn value_max(bucket: u64) -> u64 {
    let doublings = (bucket / ROW).saturating_sub(1);
    ((bucket - doublings * ROW + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Small values are as likely as large ones.
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

    /// Returns the greatest value and the count of every bucket that is not empty.
    fn counts(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
        histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    }

    proptest! {
        #[test]
        fn snapshot_equals_an_hdrhistogram(values in values()) {
            let (snapshot, recorded) = (snapshot(&values), recorded(&values));
            prop_assert_eq!(counts(&snapshot), counts(&recorded));
            prop_assert_eq!(snapshot.min(), recorded.min());
            prop_assert_eq!(snapshot.max(), recorded.highest_equivalent(recorded.max()));
            prop_assert_eq!(snapshot.mean(), recorded.mean());
        }

        #[test]
        fn difference_has_the_later_values(before in values(), after in values()) {
            let all: Vec<u64> = before.iter().chain(&after).copied().collect();
            let difference = difference(&snapshot(&all), &snapshot(&before));
            prop_assert_eq!(counts(&difference), counts(&snapshot(&after)));
        }
    }

    #[test]
    fn buckets_up_to_an_hour_are_contiguous() {
        for bucket in 0..=bucket(VALUE_MAX) {
            let value = value_max(bucket);
            assert_eq!(super::bucket(value), bucket);
            assert_eq!(super::bucket(value + 1), bucket + 1);
        }
        assert_eq!((ROWS as u64 - 1) * ROW, bucket(VALUE_MAX) / ROW * ROW);
    }

    #[test]
    fn rows_are_allocated_on_first_value() {
        let atomic_histogram = AtomicHistogram::default();
        (40_000..80_000).for_each(|value| atomic_histogram.record(value));
        assert!(atomic_histogram.rows.iter().filter(|row| row.get().is_some()).count() <= 2);
        atomic_histogram.record(u64::MAX);
        let read = atomic_histogram.read(&empty().unwrap());
        assert_eq!((read.len(), read.max()), (40_001, read.highest_equivalent(VALUE_MAX)));
    }
}
