//! How reports are serialized.

use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// Serializes a path as a string; bytes that are not UTF-8 are replaced.
pub(crate) fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Serializes a path that may be missing.
pub(crate) fn optional_path<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.display().to_string()).serialize(serializer)
}

/// Serializes a histogram as its count and its percentiles, in the histogram's own unit.
pub(crate) fn histogram<S: Serializer>(values: &Histogram<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Summary {
        count: u64,
        min: u64,
        mean: f64,
        p50: u64,
        p90: u64,
        p99: u64,
        p99_9: u64,
        max: u64,
    }
    let summary = Summary {
        count: values.len(),
        min: values.min(),
        mean: values.mean(),
        p50: values.value_at_quantile(0.5),
        p90: values.value_at_quantile(0.9),
        p99: values.value_at_quantile(0.99),
        p99_9: values.value_at_quantile(0.999),
        max: values.max(),
    };
    summary.serialize(serializer)
}
