//! The same figures for the `metrics` facade, if that feature is on; otherwise a type without fields.
//!
//! The only file that names `metrics`. Handles are registered when a journal is opened, with the recorder that is
//! installed at that time: no handle is looked up during a commit. Names, units and labels are in
//! docs/reference/metrics.md: they are an interface.

#[cfg(feature = "metrics")]
pub(super) use on::Metrics;

#[cfg(not(feature = "metrics"))]
pub(super) use off::Metrics;

#[cfg(feature = "metrics")]
mod on {
    use std::{path::Path, time::Duration};

    use metrics::{
        Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
        gauge, histogram,
    };

    use crate::{JournalOptions, stats::GroupSample};

    /// The handle of each metric.
    #[derive(Debug)]
    pub(in crate::stats) struct Metrics {
        records: Counter,
        bytes: Counter,
        groups: Counter,
        slow_commits: Counter,
        transient_errors: Counter,
        rotations: Counter,
        trimmed_segments: Counter,
        trimmed_records: Counter,
        durable_seq: Gauge,
        queue_bytes: Gauge,
        poisoned: Gauge,
        queue_wait: Histogram,
        encode: Histogram,
        sync: Histogram,
        notify: Histogram,
        group_records: Histogram,
        group_bytes: Histogram,
        rotation: Histogram,
        rotation_stall: Histogram,
    }

    impl Metrics {
        pub(in crate::stats) fn register(path: &Path, options: &JournalOptions) -> Self {
            let label = options.metrics_label.clone().unwrap_or_else(|| path.display().to_string());
            let labels = if label.is_empty() { Vec::new() } else { vec![("journal", label)] };
            let counter = |name: &'static str, unit, meaning: &'static str| {
                describe_counter!(name, unit, meaning);
                counter!(name, &labels)
            };
            let gauge = |name: &'static str, unit, meaning: &'static str| {
                describe_gauge!(name, unit, meaning);
                gauge!(name, &labels)
            };
            let histogram = |name: &'static str, unit, meaning: &'static str| {
                describe_histogram!(name, unit, meaning);
                histogram!(name, &labels)
            };
            let metric_handles = Self {
                records: counter("ministore_records_total", Unit::Count, "Records made durable."),
                bytes: counter("ministore_bytes_total", Unit::Bytes, "Bytes of JSON made durable."),
                groups: counter("ministore_groups_total", Unit::Count, "Commit groups made durable."),
                slow_commits: counter(
                    "ministore_slow_commits_total",
                    Unit::Count,
                    "Commits that took slow_commit_threshold or longer.",
                ),
                transient_errors: counter(
                    "ministore_transient_errors_total",
                    Unit::Count,
                    "System calls that failed before they changed anything; they are retried.",
                ),
                rotations: counter("ministore_rotations_total", Unit::Count, "Segments rotated."),
                trimmed_segments: counter(
                    "ministore_trimmed_segments_total",
                    Unit::Count,
                    "Segments that retention deleted.",
                ),
                trimmed_records: counter("ministore_trimmed_records_total", Unit::Count, "Records in them."),
                durable_seq: gauge(
                    "ministore_durable_seq",
                    Unit::Count,
                    "The highest sequence number that is durable.",
                ),
                queue_bytes: gauge(
                    "ministore_queue_bytes",
                    Unit::Bytes,
                    "Bytes in the queue, when a commit begins or ends.",
                ),
                poisoned: gauge(
                    "ministore_poisoned",
                    Unit::Count,
                    "1 if a write or a sync failed and every append is rejected.",
                ),
                queue_wait: histogram(
                    "ministore_queue_wait_seconds",
                    Unit::Seconds,
                    "From a group's oldest append until the writer dequeued it.",
                ),
                encode: histogram(
                    "ministore_encode_seconds",
                    Unit::Seconds,
                    "From then until its write began.",
                ),
                sync: histogram(
                    "ministore_sync_seconds",
                    Unit::Seconds,
                    "From the start of a group's write until it was durable.",
                ),
                notify: histogram(
                    "ministore_notify_seconds",
                    Unit::Seconds,
                    "From then until all its callers were notified.",
                ),
                group_records: histogram("ministore_group_records", Unit::Count, "Records in a group."),
                group_bytes: histogram("ministore_group_bytes", Unit::Bytes, "Bytes of JSON in a group."),
                rotation: histogram(
                    "ministore_rotation_seconds",
                    Unit::Seconds,
                    "From when a rotation was due until the new segment was active.",
                ),
                rotation_stall: histogram(
                    "ministore_rotation_stall_seconds",
                    Unit::Seconds,
                    "The part of a rotation in which the writer could not commit.",
                ),
            };
            metric_handles.poisoned.set(0.0);
            metric_handles.queue_bytes.set(0.0);
            metric_handles
        }

        pub(in crate::stats) fn record_group(&self, group: &GroupSample) {
            self.records.increment(group.records);
            self.bytes.increment(group.json_bytes);
            self.groups.increment(1);
            self.queue_wait.record(group.queue_wait);
            self.encode.record(group.encode);
            self.sync.record(group.sync);
            self.group_records.record(number(group.records));
            self.group_bytes.record(number(group.json_bytes));
        }

        pub(in crate::stats) fn record_notify(&self, took: Duration) {
            self.notify.record(took);
        }

        pub(in crate::stats) fn count_slow_commit(&self) {
            self.slow_commits.increment(1);
        }

        pub(in crate::stats) fn count_transient_error(&self) {
            self.transient_errors.increment(1);
        }

        pub(in crate::stats) fn count_rotation(&self) {
            self.rotations.increment(1);
        }

        pub(in crate::stats) fn record_rotation(&self, took: Duration, stall: Duration) {
            self.rotation.record(took);
            self.rotation_stall.record(stall);
        }

        pub(in crate::stats) fn count_trimmed(&self, records: u64) {
            self.trimmed_segments.increment(1);
            self.trimmed_records.increment(records);
        }

        pub(in crate::stats) fn set_durable_seq(&self, seq: u64) {
            self.durable_seq.set(number(seq));
        }

        pub(in crate::stats) fn set_queue_bytes(&self, bytes: impl FnOnce() -> u64) {
            self.queue_bytes.set(number(bytes()));
        }

        pub(in crate::stats) fn set_poisoned(&self) {
            self.poisoned.set(1.0);
        }
    }

    /// Exact up to 2^53.
    fn number(count: u64) -> f64 {
        count as f64
    }
}

#[cfg(not(feature = "metrics"))]
mod off {
    use std::{path::Path, time::Duration};

    use crate::{JournalOptions, stats::GroupSample};

    #[derive(Debug)]
    pub(in crate::stats) struct Metrics;

    impl Metrics {
        pub(in crate::stats) fn register(_: &Path, _: &JournalOptions) -> Self {
            Self
        }

        pub(in crate::stats) fn record_group(&self, _: &GroupSample) {}

        pub(in crate::stats) fn record_notify(&self, _: Duration) {}

        pub(in crate::stats) fn count_slow_commit(&self) {}

        pub(in crate::stats) fn count_transient_error(&self) {}

        pub(in crate::stats) fn count_rotation(&self) {}

        pub(in crate::stats) fn record_rotation(&self, _: Duration, _: Duration) {}

        pub(in crate::stats) fn count_trimmed(&self, _: u64) {}

        pub(in crate::stats) fn set_durable_seq(&self, _: u64) {}

        pub(in crate::stats) fn set_queue_bytes(&self, _: impl FnOnce() -> u64) {}

        pub(in crate::stats) fn set_poisoned(&self) {}
    }
}

#[cfg(all(test, feature = "metrics"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::{collections::BTreeMap, path::Path, sync::Mutex};

    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder,
    };

    use super::*;
    use crate::JournalOptions;

    /// The descriptions and the labels of the registered metrics, by name.
    #[derive(Default)]
    struct RegisteredMetrics {
        described: Mutex<BTreeMap<String, String>>,
        labels: Mutex<BTreeMap<String, Vec<String>>>,
    }

    impl RegisteredMetrics {
        fn describe(&self, kind: &str, name: &KeyName, unit: Option<Unit>, meaning: &SharedString) {
            let unit = unit.unwrap().as_str().to_owned();
            let row = format!("| `{}` | {kind} | {unit} | {meaning} |", name.as_str());
            assert!(self.described.lock().unwrap().insert(name.as_str().to_owned(), row).is_none());
        }

        fn register(&self, key: &Key) {
            let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            assert!(self.labels.lock().unwrap().insert(key.name().to_owned(), labels).is_none());
        }
    }

    impl Recorder for RegisteredMetrics {
        fn describe_counter(&self, name: KeyName, unit: Option<Unit>, meaning: SharedString) {
            self.describe("counter", &name, unit, &meaning);
        }

        fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, meaning: SharedString) {
            self.describe("gauge", &name, unit, &meaning);
        }

        fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, meaning: SharedString) {
            self.describe("histogram", &name, unit, &meaning);
        }

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            self.register(key);
            Counter::noop()
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            self.register(key);
            Gauge::noop()
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            self.register(key);
            Histogram::noop()
        }
    }

    fn registered(options: &JournalOptions) -> RegisteredMetrics {
        let recorder = RegisteredMetrics::default();
        with_local_recorder(&recorder, || drop(Metrics::register(Path::new("/some/j"), options)));
        recorder
    }

    #[test]
    fn registered_metrics_match_the_documentation() {
        let page = include_str!("../../docs/reference/metrics.md");
        let table = page.split("\n## Metrics\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let documented: Vec<_> = table.lines().filter(|line| line.starts_with("| `ministore_")).collect();
        let recorder = registered(&JournalOptions::new());
        let described = recorder.described.lock().unwrap();
        assert_eq!(described.len(), 19);
        for row in described.values() {
            assert!(documented.contains(&row.as_str()), "not in docs/reference/metrics.md: {row}");
        }
        assert_eq!(documented.len(), described.len());
        assert!(described.keys().eq(recorder.labels.lock().unwrap().keys()), "each is registered");
    }

    #[test]
    fn label_defaults_to_path() {
        let labels = |options: &JournalOptions| {
            let recorder = registered(options);
            let labels = recorder.labels.lock().unwrap();
            let mut all: Vec<_> = labels.values().cloned().collect();
            all.dedup();
            assert_eq!(all.len(), 1, "all have the same");
            all.remove(0)
        };
        assert_eq!(labels(&JournalOptions::new()), ["journal=/some/j"]);
        assert_eq!(labels(&JournalOptions::new().metrics_label("tenants")), ["journal=tenants"]);
        assert!(labels(&JournalOptions::new().metrics_label("")).is_empty());
    }
}
