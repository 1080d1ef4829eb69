//! Formats latency histograms (nanoseconds): the same percentiles in every summary.

use std::collections::BTreeMap;

use hdrhistogram::{Counter, Histogram};

use crate::units;

/// The name of a percentile and its quantile.
pub(crate) type Percentile = (&'static str, f64);

/// The percentiles in the summaries of `ingest` and `serve`.
pub(crate) const COMMIT_PERCENTILES: [Percentile; 4] =
    [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// Returns `p50 140 µs  p99 300 µs  …`, or a dash if nothing was measured.
pub(crate) fn line(histogram: &Histogram<u64>, points: &[Percentile]) -> String {
    if histogram.is_empty() {
        return "-".to_owned();
    }
    let shown = points.iter().map(|&(name, at)| format!("{name} {}", units::nanos(value_at(histogram, at))));
    shown.collect::<Vec<_>>().join("  ")
}

/// Returns the percentiles divided by `unit`; empty if nothing was measured.
pub(crate) fn percentiles<T: Counter>(
    histogram: &Histogram<T>,
    points: &[Percentile],
    unit: f64,
) -> BTreeMap<String, f64> {
    let points = points.iter().filter(|_| !histogram.is_empty());
    points.map(|&(name, at)| (name.to_owned(), units::ratio(value_at(histogram, at), unit))).collect()
}

/// The maximum is the measured value, not the upper end of its bucket.
pub(crate) fn value_at<T: Counter>(histogram: &Histogram<T>, quantile: f64) -> u64 {
    histogram.value_at_quantile(quantile).min(histogram.max())
}
